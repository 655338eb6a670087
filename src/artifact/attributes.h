#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "artifact/graph.h"
#include "fail.h"
#include "lattice/coords.h"
#include "lattice/dtype.h"

namespace lattice::artifact {

/// The attribute of an operation, as the kind that the format gives it; corrupt_file where it is absent or another.
template <typename T>
const T& attribute(const Operation& operation, std::string_view name) {
  const auto found = operation.attributes.find(name);
  if (found == operation.attributes.end()) {
    fail(ErrorCode::corrupt_file, "attribute {} is missing; every attribute of an operation is required", name);
  }
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) fail(ErrorCode::corrupt_file, "attribute {} is of another kind than the operation takes", name);
  return *value;
}

inline Triple triple(const Operation& operation, std::string_view name) {
  const auto& numbers = attribute<Integers>(operation, name);
  return {numbers[0], numbers[1], numbers[2]};
}

/// What a word of a closed list stands for.
template <typename T, size_t size>
T meaning(const std::pair<std::string_view, T> (&table)[size], std::string_view word, std::string_view what) {
  for (const auto& [known, value] : table) {
    if (known == word) return value;
  }
  fail(ErrorCode::corrupt_file, "{} {} is not in the format's list", what, word);
}

template <typename T, size_t size>
T keyword(const Operation& operation, std::string_view name, const std::pair<std::string_view, T> (&table)[size]) {
  return meaning(table, attribute<Keyword>(operation, name).value, name);
}

/// The library's type of an element type; unsupported for i4, which no tensor holds.
inline DType dtype_of_element(ElementType element) {
  switch (element) {
    case ElementType::i8:
      return DType::i8;
    case ElementType::i32:
      return DType::i32;
    case ElementType::i64:
      return DType::i64;
    case ElementType::f16:
      return DType::f16;
    case ElementType::bf16:
      return DType::bf16;
    case ElementType::f32:
      return DType::f32;
    case ElementType::f64:
      return DType::f64;
    case ElementType::i4:
      break;
  }
  fail(ErrorCode::unsupported, "a tensor of i4 cannot be held here; only packed weights have 4 bits");
}

}  // namespace lattice::artifact
