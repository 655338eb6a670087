#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "cpu/every_isa.h"
#include "lattice/dtype.h"

// What the tests of packed weights share: random panels, and activations in the form of each route.

namespace lattice::cpu {
namespace {

/// A panel of random codes, whose scales and biases are powers of two, so that no rounding hides a wrong code; or whose
/// biases are scales times an integer, some of them zeros.
struct RandomPanel {
  int64_t groups, group_size, bits, width;
  std::vector<uint32_t> words;
  std::vector<float> scales, biases;
  bool is_centred;

  RandomPanel(Random& random, int64_t groups_, int64_t group_size_, int64_t bits_, int64_t width_,
              bool is_centred_ = false)
      : groups(groups_),
        group_size(group_size_),
        bits(bits_),
        width(width_),
        words(static_cast<size_t>(groups * group_size * bits / 32 * width)),
        scales(static_cast<size_t>(groups * width)),
        biases(scales.size()),
        is_centred(is_centred_) {
    for (uint32_t& word : words) word = static_cast<uint32_t>(random.next());
    for (float& scale : scales) scale = std::ldexp(1.0F, static_cast<int>(random.next() % 3) - 1);
    for (float& bias : biases) bias = -std::ldexp(1.0F, static_cast<int>(random.next() % 4));
    if (!is_centred) return;
    const auto codes = static_cast<uint64_t>(1 << bits);
    for (size_t i = 0; i < biases.size(); ++i) {
      if (random.next() % 16 == 0) scales[i] = 0;
      biases[i] = scales[i] * static_cast<float>(1 - static_cast<int>(random.next() % (codes + 2)));  // 1 to -2^bits
    }
  }
  PanelCodes view() const {
    return {.words = words.data(),
            .scales = scales.data(),
            .biases = biases.data(),
            .groups = groups,
            .group_size = group_size,
            .bits = bits,
            .width = width,
            .is_centred = is_centred};
  }
  int64_t channels() const { return groups * group_size; }
  int32_t code(int64_t channel, int64_t column) const {
    const int64_t codes_a_word = 32 / bits;
    const uint32_t word = words[static_cast<size_t>(channel / codes_a_word * width + column)];
    return static_cast<int32_t>(word >> code_shift(channel % codes_a_word) & ((1U << bits) - 1));
  }
  float scale(int64_t channel, int64_t column) const {
    return scales[static_cast<size_t>(channel / group_size * width + column)];
  }
  float bias(int64_t channel, int64_t column) const {
    return biases[static_cast<size_t>(channel / group_size * width + column)];
  }
};

/// Activations in the form of a route.
struct RouteRows {
  std::vector<uint8_t> x;
  std::vector<GroupFactors> factors;
  std::vector<uint8_t> exact;

  RouteRows(int64_t rows, const RandomPanel& packed, int64_t activation_bytes)
      : x(static_cast<size_t>(rows * packed.channels() * activation_bytes)),
        factors(static_cast<size_t>(rows * packed.groups)),
        exact(static_cast<size_t>(rows), 9) {}
};

RouteRows quantized(const IntegerRoute& route, int32_t limit, const RandomPanel& packed, const std::vector<float>& x,
                    int64_t channels) {
  const auto rows = static_cast<int64_t>(x.size()) / channels;
  RouteRows result(rows, packed, route.activation_bytes);
  route.quantize({.x = x.data(),
                  .rows = rows,
                  .channels = channels,
                  .groups = packed.groups,
                  .group_size = packed.group_size,
                  .limit = limit,
                  .q = result.x.data(),
                  .factors = result.factors.data(),
                  .exact = result.exact.data()});
  return result;
}

std::vector<uint16_t> bits_of(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (const float value : values) bits.push_back(BFloat16(value).bits);
  return bits;
}

/// Rows of x, of bfloat16 values, as they are.
RouteRows bf16_rows(const Kernels& k, const RandomPanel& packed, const std::vector<float>& x) {
  const auto rows = static_cast<int64_t>(x.size()) / packed.channels();
  RouteRows result(rows, packed, 2);
  const std::vector<uint16_t> bits = bits_of(x);
  std::memcpy(result.x.data(), bits.data(), result.x.size());
  k.bf16.sum_groups({.x = bits.data(),
                     .rows = rows,
                     .groups = packed.groups,
                     .group_size = packed.group_size,
                     .factors = result.factors.data(),
                     .exact = result.exact.data()});
  return result;
}

}  // namespace
}  // namespace lattice::cpu
