#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "artifact/graph.h"
#include "lattice/error.h"

// Graph text for tests, with short names for its types.

namespace lattice::artifact {

inline std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (size_t at = text.find(from); at != text.npos; at = text.find(from)) {
    result.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return result.append(text);
}

/// Writes out $S and $H (sparse tensors of f32 and f16), $T and $U (their features), $C, $N, $I, $P (coordinates, an
/// active count, indices, points) and $W{family}.
inline std::string expanded(std::string text) {
  const std::string sparse = "!lattice.sparse_tensor<rank = 3, coord = batch_x_y_z, feature = row_channel, dtype = ";
  text = replaced(text, "$S", sparse + "f32>");
  text = replaced(text, "$H", sparse + "f16>");
  text = replaced(text, "$T", "tensor<?x8xf32>");
  text = replaced(text, "$U", "tensor<?x8xf16>");
  text = replaced(text, "$C", "tensor<?x4xi32>");
  text = replaced(text, "$N", "tensor<1xi32>");
  text = replaced(text, "$I", "tensor<?xi32>");
  text = replaced(text, "$P", "tensor<?x3xf32>");
  text = replaced(text, "$W{", "!lattice.weight<");
  return replaced(text, "}$", ", f32>");
}

inline constexpr std::string_view kDigestText = "\"1380f1e819fc0eb1af587202ecec3c14ec2c981d249333c5061f0263f82072ad\"";

/// `count` strings, as an array: `[PREFIX0, PREFIX1]`, or all of them one string where `numbered` is false.
inline std::string string_array(std::string_view prefix, int64_t count, bool numbered) {
  std::string text = "[";
  for (int64_t i = 0; i < count; ++i) {
    text += (i > 0 ? ", \"" : "\"") + std::string(prefix) + (numbered ? std::to_string(i) : "") + "\"";
  }
  return text + "]";
}

/// The seven attributes of a module, on one line.
inline std::string module_attributes(int64_t inputs, int64_t outputs) {
  return "lattice.ir_version = 2, lattice.schema_digest = " + std::string(kDigestText) +
         ", lattice.input_names = " + string_array("in", inputs, true) +
         ", lattice.input_roles = " + string_array("tensor", inputs, false) +
         ", lattice.output_names = " + string_array("out", outputs, true) +
         ", lattice.output_roles = " + string_array("tensor", outputs, false) +
         ", lattice.weight_file = \"weights.safetensors\"";
}

/// A module of which line 1 holds the attributes, line 2 the signature, and the lines from 3 the body.
inline std::string module_text(std::string_view arguments, std::string_view results, std::string_view body,
                               int64_t outputs = 1, std::string_view more_attributes = "") {
  const auto inputs = static_cast<int64_t>(std::count(arguments.begin(), arguments.end(), '%'));
  return expanded("module attributes {" + module_attributes(inputs, outputs) + std::string(more_attributes) +
                  "} {\nfunc.func @forward(" + std::string(arguments) + ") -> " + std::string(results) + " {\n" +
                  std::string(body) + "}\n}\n");
}

/// The code and the message of what `action` throws; empty if it throws nothing.
template <typename Action>
std::string refusal_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return std::string(name(error.code())) + " " + error.what();
  }
  return {};
}

inline bool same_bits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

inline bool same_attribute(const Attribute& a, const Attribute& b) {
  if (a.index() != b.index()) return false;
  if (const float* real = std::get_if<float>(&a)) {
    return std::bit_cast<uint32_t>(*real) == std::bit_cast<uint32_t>(std::get<float>(b));
  }
  if (const Reals* reals = std::get_if<Reals>(&a)) {
    return std::equal(reals->begin(), reals->end(), std::get<Reals>(b).begin(), same_bits);
  }
  return a == b;
}

/// Equal in everything but places.
inline void expect_same(const Graph& a, const Graph& b) {
  EXPECT_EQ(a.arguments, b.arguments);
  EXPECT_EQ(a.results, b.results);
  EXPECT_EQ(a.input_names, b.input_names);
  EXPECT_EQ(a.output_names, b.output_names);
  EXPECT_EQ(a.input_roles, b.input_roles);
  EXPECT_EQ(a.output_roles, b.output_roles);
  EXPECT_EQ(a.extensions, b.extensions);
  ASSERT_EQ(a.values.size(), b.values.size());
  for (size_t i = 0; i < a.values.size(); ++i) {
    EXPECT_EQ(a.values[i].name, b.values[i].name);
    EXPECT_TRUE(a.values[i].type == b.values[i].type) << a.values[i].name;
  }
  ASSERT_EQ(a.operations.size(), b.operations.size());
  for (size_t i = 0; i < a.operations.size(); ++i) {
    const Operation& one = a.operations[i];
    const Operation& other = b.operations[i];
    EXPECT_EQ(one.name, other.name);
    EXPECT_EQ(one.symbol, other.symbol);
    EXPECT_EQ(one.operands, other.operands);
    EXPECT_EQ(one.results, other.results);
    EXPECT_TRUE(std::equal(
        one.attributes.begin(), one.attributes.end(), other.attributes.begin(), other.attributes.end(),
        [](const auto& x, const auto& y) { return x.first == y.first && same_attribute(x.second, y.second); }))
        << one.name;
  }
}

}  // namespace lattice::artifact
