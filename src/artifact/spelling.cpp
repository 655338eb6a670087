#include "artifact/spelling.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "artifact/lexer.h"
#include "artifact/number_text.h"

namespace lattice::artifact {
namespace {

// In the order of the enumerations.
constexpr std::array<std::string_view, 8> kElements = {"i4", "i8", "i32", "i64", "f16", "bf16", "f32", "f64"};
constexpr std::array<std::string_view, 5> kRoles = {"tensor", "sparse_coords", "sparse_features", "sparse_active",
                                                    "sparse_tensor"};

template <typename Enum, size_t N>
std::optional<Enum> named(const std::array<std::string_view, N>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

std::string spell_value(const TensorType& type) {
  std::string dims;
  for (const int64_t dim : type.dims) dims += dim == kAnySize ? "?x" : fmt::format("{}x", dim);
  return fmt::format("tensor<{}{}>", dims, name(type.element));
}

std::string spell_value(const SparseType& type) {
  return fmt::format("!lattice.sparse_tensor<rank = {}, coord = {}, feature = {}, dtype = {}>", type.rank,
                     keyword(type.coord), keyword(type.feature), name(type.dtype));
}

std::string spell_value(const WeightType& type) {
  return fmt::format("!lattice.weight<{}, {}>", keyword(type.family), name(type.dtype));
}

std::string spell_value(const std::string& text) {
  return quoted(text);
}
std::string spell_value(int64_t value) {
  return fmt::format("{}", value);
}
std::string spell_value(float value) {
  return real_text(value) + " : f32";
}
std::string spell_value(const Integers& values) {
  return fmt::format("array<i64: {}, {}, {}>", values[0], values[1], values[2]);
}
std::string spell_value(const Reals& values) {
  return fmt::format("array<f64: {}>", spell_list(values, real_text<double>));
}
std::string spell_value(const Keyword& value) {
  return fmt::format("#lattice.{}<{}>", value.mnemonic, keyword(value.value));
}
std::string spell_value(const Packing& packing) {
  if (packing.kind == "dense") return "#lattice.packing<dense>";
  return fmt::format("#lattice.packing<{}, group_size = {}, scale_dtype = {}, mode = {}>", keyword(packing.kind),
                     packing.group_size, name(packing.scale_dtype), keyword(packing.mode));
}

}  // namespace

std::string_view name(ElementType element) {
  return kElements.at(static_cast<size_t>(element));
}
std::string_view name(Role role) {
  return kRoles.at(static_cast<size_t>(role));
}
std::optional<ElementType> element_named(std::string_view name) {
  return named<ElementType>(kElements, name);
}
std::optional<Role> role_named(std::string_view name) {
  return named<Role>(kRoles, name);
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (c >= ' ' && c <= '~') {
      result += c;
    } else {
      result += fmt::format("\\{:02X}", static_cast<uint8_t>(c));
    }
  }
  return result + '"';
}

std::string keyword(std::string_view text) {
  return is_identifier(text) ? std::string(text) : quoted(text);
}

std::string spell(const Type& type) {
  return std::visit([](const auto& each) { return spell_value(each); }, type);
}

std::string spell(const Attribute& attribute) {
  return std::visit([](const auto& each) { return spell_value(each); }, attribute);
}

}  // namespace lattice::artifact
