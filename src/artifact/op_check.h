#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "artifact/graph.h"
#include "artifact/op_table.h"
#include "lattice/error.h"

namespace lattice::artifact {

/// Where a verifier's messages say that something is wrong.
struct Subject {
  std::string_view source_name;
  Place place;
  std::string what;  // such as `lattice.conv3d %stem`

  /// Throws corrupt_file, `SOURCE:LINE:COLUMN: what: rule; found found`, unless `holds`.
  template <typename Found>
  void require(bool holds, std::string_view rule, const Found& found) const {
    if (!holds) refuse(rule, fmt::format("{}", found));
  }
  [[noreturn]] void refuse(std::string_view rule, std::string_view found,
                           ErrorCode code = ErrorCode::corrupt_file) const;
};

/// One operation under verification. Operands and results are asked for by their names in the operation's row, where no
/// two share one; their kinds, and those of the attributes, must have been checked.
class OperationCheck {
 public:
  OperationCheck(const Graph& graph, const Operation& operation, const OperationInfo& info,
                 std::string_view source_name);

  const OperationInfo& info() const { return info_; }
  const Operation& operation() const { return operation_; }
  const Subject& subject() const { return subject_; }

  template <typename Found>
  void require(bool holds, std::string_view rule, const Found& found) const {
    subject_.require(holds, rule, found);
  }

  /// Null where an optional operand is absent.
  const Type* find_type(std::string_view name) const;
  const TensorType& tensor(std::string_view name) const { return std::get<TensorType>(*find_type(name)); }
  const SparseType& sparse(std::string_view name) const { return std::get<SparseType>(*find_type(name)); }
  const WeightType& weight(std::string_view name) const { return std::get<WeightType>(*find_type(name)); }

  template <typename T>
  const T& attribute(std::string_view name) const {
    return std::get<T>(operation_.attributes.find(name)->second);
  }
  const std::string& keyword(std::string_view name) const { return attribute<Keyword>(name).value; }

  /// Rules that many operations share.
  void require_rank(std::string_view tensor_name, size_t rank) const;
  void require_element(std::string_view tensor_name, ElementType element) const;
  void require_size(std::string_view tensor_name, size_t axis, int64_t size) const;  // `?` passes
  void require_same_rows(std::string_view one, std::string_view other) const;        // `?` passes
  void require_family(std::string_view weight_name, std::string_view family) const;

 private:
  const Graph& graph_;
  const Operation& operation_;
  const OperationInfo& info_;
  Subject subject_;
};

}  // namespace lattice::artifact
