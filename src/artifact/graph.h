#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lattice/tensor.h"

// What the text of a lattice artifact says, as values: read by text_reader, checked by the verifier, run by the
// executor, written by text_writer.

namespace lattice::artifact {

/// Where something stands in the text, from 1; 0 where it did not come from text.
struct Place {
  int64_t line = 0, column = 0;
};

enum class ElementType : uint8_t { i4, i8, i32, i64, f16, bf16, f32, f64 };

struct TensorType {
  ElementType element = ElementType::f32;
  Shape dims;  // kAnySize for `?`
  bool operator==(const TensorType&) const = default;
};
inline constexpr int64_t kAnySize = -1;

struct SparseType {
  int64_t rank = 3;
  std::string coord = "batch_x_y_z", feature = "row_channel";
  ElementType dtype = ElementType::f32;
  bool operator==(const SparseType&) const = default;
};

struct WeightType {
  std::string family;
  ElementType dtype = ElementType::f32;
  bool operator==(const WeightType&) const = default;
};

using Type = std::variant<TensorType, SparseType, WeightType>;

/// `#lattice.packing<...>`; the fields after `kind` are absent for dense.
struct Packing {
  std::string kind = "dense";
  int64_t group_size = 0;
  ElementType scale_dtype = ElementType::f32;
  std::string mode;
  bool operator==(const Packing&) const = default;
};

/// `#lattice.mnemonic<value>` of any other mnemonic.
struct Keyword {
  std::string mnemonic, value;
  bool operator==(const Keyword&) const = default;
};

using Integers = std::array<int64_t, 3>;
using Reals = std::array<double, 3>;
using Attribute = std::variant<std::string, int64_t, float, Integers, Reals, Keyword, Packing>;

/// An SSA value: an argument of the entry function, or a result of the operation that defines it.
struct Value {
  std::string name;  // without %
  Type type;
  Place place = {};
};

/// Index into Graph::values.
using ValueId = int32_t;

struct Operation {
  std::string name;    // without the prefix lattice.
  std::string symbol;  // weight alone: @SYM
  std::vector<ValueId> operands;
  std::vector<ValueId> results;
  std::map<std::string, Attribute, std::less<>> attributes;
  Place place;
};

enum class Role : uint8_t { tensor, sparse_coords, sparse_features, sparse_active, sparse_tensor };

/// One entry function. Operations stand in the order of the text, which defines every value before its use.
struct Graph {
  std::vector<Value> values;
  std::vector<ValueId> arguments;
  std::vector<ValueId> results;
  std::vector<Operation> operations;
  std::vector<std::string> input_names, output_names;  // as many as arguments, results
  std::vector<Role> input_roles, output_roles;
  std::vector<std::string> extensions;  // "regular", or none
  Place place = {};                     // of the module
};

}  // namespace lattice::artifact
