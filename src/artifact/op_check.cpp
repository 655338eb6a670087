#include "artifact/op_check.h"

#include "artifact/spelling.h"
#include "fail.h"

namespace lattice::artifact {
namespace {

std::string title(const Graph& graph, const Operation& operation) {
  std::string result = "lattice." + operation.name;
  if (!operation.results.empty()) result += " %" + graph.values[static_cast<size_t>(operation.results[0])].name;
  return result;
}

}  // namespace

void Subject::refuse(std::string_view rule, std::string_view found, ErrorCode code) const {
  std::string where(source_name);
  if (place.line > 0) where += fmt::format(":{}:{}", place.line, place.column);
  fail(code, "{}: {}: {}; found {}", where, what, rule, found);
}

OperationCheck::OperationCheck(const Graph& graph, const Operation& operation, const OperationInfo& info,
                               std::string_view source_name)
    : graph_(graph),
      operation_(operation),
      info_(info),
      subject_{source_name, operation.place, title(graph, operation)} {}

const Type* OperationCheck::find_type(std::string_view name) const {
  const auto among = [&](const std::vector<OperandInfo>& infos, const std::vector<ValueId>& ids) -> const Type* {
    for (size_t i = 0; i < infos.size() && i < ids.size(); ++i) {
      if (infos[i].name == name) return &graph_.values[static_cast<size_t>(ids[i])].type;
    }
    return nullptr;
  };
  const Type* operand = among(info_.operands, operation_.operands);
  return operand != nullptr ? operand : among(info_.results, operation_.results);
}

void OperationCheck::require_rank(std::string_view tensor_name, size_t rank) const {
  const TensorType& type = tensor(tensor_name);
  require(type.dims.size() == rank, fmt::format("{} has rank {}", tensor_name, rank), spell(type));
}

void OperationCheck::require_element(std::string_view tensor_name, ElementType element) const {
  const TensorType& type = tensor(tensor_name);
  require(type.element == element, fmt::format("{} has elements {}", tensor_name, name(element)), spell(type));
}

void OperationCheck::require_size(std::string_view tensor_name, size_t axis, int64_t size) const {
  const TensorType& type = tensor(tensor_name);
  require(type.dims[axis] == size || type.dims[axis] == kAnySize,
          fmt::format("{} has {} along axis {}", tensor_name, size, axis), spell(type));
}

void OperationCheck::require_same_rows(std::string_view one, std::string_view other) const {
  const int64_t rows = tensor(one).dims[0];
  const int64_t other_rows = tensor(other).dims[0];
  require(rows == other_rows || rows == kAnySize || other_rows == kAnySize,
          fmt::format("{} and {} have as many rows", one, other), fmt::format("{} and {}", rows, other_rows));
}

void OperationCheck::require_family(std::string_view weight_name, std::string_view family) const {
  const WeightType& type = weight(weight_name);
  require(type.family == family, fmt::format("{} is a weight of the family {}", weight_name, family), spell(type));
}

}  // namespace lattice::artifact
