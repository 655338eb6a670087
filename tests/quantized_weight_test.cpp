#include "lattice/quantized_weight.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "exact_error.h"
#include "lattice/conv_weight.h"
#include "lattice/error.h"
#include "lattice/random.h"

namespace lattice {
namespace {

Tensor random_weight(const Shape& shape, uint64_t seed, DType dtype = DType::f32) {
  Tensor weight = Tensor::empty(DType::f32, shape);
  Random random(seed);
  for (int64_t i = 0; i < weight.elements(); ++i) {
    weight.mutable_data<float>()[i] = static_cast<float>(random.uniform(-1, 1));
  }
  return weight.to(dtype);
}

/// A linear weight of one output channel.
Tensor row(const std::vector<float>& values) {
  return Tensor::from(values, {1, static_cast<int64_t>(values.size())});
}

TEST(quantized_weight, pins_a_group_by_hand) {
  // 0, 1, ..., 31: low 0, high 31, scale -31/15, edge 31 at code -15, bias 31; code 15 is 0 and code 0 is 31.
  std::vector<float> values(32);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const QuantizedWeight packed = QuantizedWeight::pack(row(values));
  EXPECT_EQ(packed.scale(0, 0, 0), 31.0F / -15.0F);
  EXPECT_EQ(packed.bias(0, 0, 0), 31.0F);
  EXPECT_EQ(packed.code(0, 0, 0), 15U);
  EXPECT_EQ(packed.code(0, 1, 0), 15U);  // 30 / 2.0667 = 14.516
  EXPECT_EQ(packed.code(0, 2, 0), 14U);  // 29 / 2.0667 = 14.03
  EXPECT_EQ(packed.code(0, 31, 0), 0U);
  EXPECT_EQ(packed.words().values<uint32_t>()[0] & 0xfffU, 0xeffU) << "the lowest channel lies in the lowest bits";
}

TEST(quantized_weight, keeps_zero_exactly) {
  // A bias at a multiple of the scale: zero is a code, so that padding and pruned weights stay zero up to one rounding.
  const QuantizedWeight zeros = QuantizedWeight::pack(row(std::vector<float>(40, 0.0F)));
  EXPECT_EQ(zeros.scale(0, 0, 0), -1e-7F);
  const Tensor back = zeros.dequantize();
  for (const float value : back.values<float>()) EXPECT_EQ(value, 0.0F);
}

TEST(quantized_weight, keeps_constant_groups_exactly) {
  for (const float constant : {1.0F, -3.25F, 1e-3F, 1e30F, -std::numeric_limits<float>::max()}) {
    const Tensor back = QuantizedWeight::pack(row(std::vector<float>(32, constant))).dequantize();
    for (const float value : back.values<float>()) EXPECT_EQ(value, constant);
  }
}

TEST(quantized_weight, is_off_by_at_most_half_a_step_and_a_rounding_of_its_edge) {
  for (const int64_t bits : {4, 8}) {
    for (const int64_t group_size : {32, 64, 128}) {
      const Tensor weight = random_weight({5, 3, 1, 3, 100}, 7);
      const QuantizedWeight packed = QuantizedWeight::pack(weight, {.bits = bits, .group_size = group_size});
      const Tensor back = packed.dequantize();
      ASSERT_EQ(back.shape(), weight.shape());
      const double levels = static_cast<double>((1 << bits) - 1);
      for (int64_t i = 0; i < weight.elements(); ++i) {
        const int64_t out = i / 900, tap = i / 100 % 9, group = i % 100 / group_size;
        // The edge stands on a code exactly; the far end of the range, at `levels` steps, may miss its code by the
        // change of scale that this takes: half a step at most. Then half a step of rounding.
        const double step = std::fabs(double{packed.scale(tap, group, out)});
        const double error = std::fabs(double{back.data<float>()[i]} - double{weight.data<float>()[i]});
        EXPECT_LE(error, step * (1 + levels * 0x1p-22)) << i;
      }
    }
  }
}

TEST(quantized_weight, stores_scales_in_the_weights_type) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const QuantizedWeight packed =
        QuantizedWeight::pack(random_weight({4, 3, 3, 3, 20}, 3, dtype), {.bits = 8, .group_size = std::nullopt});
    EXPECT_EQ(packed.scales().dtype(), dtype == DType::f16 ? DType::f16 : DType::f32);
    EXPECT_EQ(packed.biases().dtype(), packed.scales().dtype());
    EXPECT_EQ(packed.dequantize().dtype(), packed.scales().dtype());
  }
}

TEST(quantized_weight, has_the_documented_layout) {
  const QuantizedWeight spatial =
      QuantizedWeight::pack(random_weight({5, 2, 3, 1, 70}, 1), {.bits = 4, .group_size = std::nullopt});
  EXPECT_EQ(spatial.group_size(), 64);
  EXPECT_EQ(spatial.padded_in_channels(), 128);
  EXPECT_EQ(spatial.words().shape(), (Shape{6, 16, 5}));
  EXPECT_EQ(spatial.scales().shape(), (Shape{6, 2, 5}));
  EXPECT_EQ(spatial.kernel_size(), Triple(2, 3, 1));

  const QuantizedWeight pointwise = QuantizedWeight::pack(random_weight({5, 70}, 1), {.bits = 8, .group_size = 32});
  EXPECT_EQ(pointwise.words().shape(), (Shape{1, 5, 24}));
  EXPECT_EQ(pointwise.biases().shape(), (Shape{1, 5, 3}));
  EXPECT_EQ(pointwise.dequantize().shape(), (Shape{5, 1, 1, 1, 70}));
}

TEST(quantized_weight, chooses_the_group_size_by_channels) {
  EXPECT_EQ(QuantizedWeight::pack(random_weight({1, 63}, 1)).group_size(), 32);
  EXPECT_EQ(QuantizedWeight::pack(random_weight({1, 64}, 1)).group_size(), 64);
}

TEST(quantized_weight, packs_a_tap_on_its_own) {
  const Tensor weight = random_weight({3, 1, 1, 2, 40}, 5);
  const QuantizedWeight packed = QuantizedWeight::pack(weight);
  for (int64_t out = 0; out < 3; ++out) {
    for (int64_t tap = 0; tap < 2; ++tap) {
      const auto first = weight.data<float>() + (out * 2 + tap) * 40;
      const QuantizedWeight alone = QuantizedWeight::pack(row({first, first + 40}));
      for (int64_t group = 0; group < 2; ++group) {
        EXPECT_EQ(packed.scale(tap, group, out), alone.scale(0, group, 0));
        EXPECT_EQ(packed.bias(tap, group, out), alone.bias(0, group, 0));
      }
      for (int64_t in = 0; in < 40; ++in) EXPECT_EQ(packed.code(tap, in, out), alone.code(0, in, 0));
    }
  }
}

TEST(quantized_weight, counts_bytes_and_bits) {
  // 4 channels padded to a group of 32: 16 bytes of codes, then a scale and a bias.
  const QuantizedWeight single = QuantizedWeight::pack(random_weight({8, 3, 3, 3, 4}, 1));
  EXPECT_EQ(single.nbytes(), 27 * 8 * (16 + 8));
  EXPECT_EQ(single.bits_per_weight(), 48.0);
  const QuantizedWeight half = QuantizedWeight::pack(random_weight({8, 3, 3, 3, 4}, 1, DType::f16));
  EXPECT_EQ(half.nbytes(), 27 * 8 * (16 + 4));
  EXPECT_EQ(half.bits_per_weight(), 40.0);
  EXPECT_EQ(QuantizedWeight::pack(random_weight({2, 64}, 1)).bits_per_weight(), 5.0);
  EXPECT_EQ(QuantizedWeight::pack(random_weight({2, 128}, 1), {.bits = 8, .group_size = 128}).bits_per_weight(), 8.5);
}

TEST(quantized_weight, comes_back_from_its_arrays) {
  const QuantizedWeight packed =
      QuantizedWeight::pack(random_weight({3, 1, 3, 1, 33}, 2), {.bits = 8, .group_size = std::nullopt});
  const QuantizedWeight again =
      QuantizedWeight::from_arrays(packed.words(), packed.scales(), packed.biases(), 8, 32, {1, 3, 1}, 33);
  EXPECT_EQ(again.words().raw(), packed.words().raw()) << "the arrays are shared";
  EXPECT_EQ(again.out_channels(), 3);
  const Tensor back = packed.dequantize(), same = again.dequantize();
  EXPECT_TRUE(std::equal(back.values<float>().begin(), back.values<float>().end(), same.values<float>().begin()));
}

TEST(quantized_weight, refuses_what_it_cannot_pack) {
  const Tensor weight = random_weight({2, 4}, 1);
  expect_error([&] { QuantizedWeight::pack(weight, {.bits = 5, .group_size = std::nullopt}); },
               "quantized_weight: bits 5 must be 4 or 8; take 8 where 4 loses too much");
  expect_error([&] { QuantizedWeight::pack(weight, {.bits = 4, .group_size = 16}); },
               "quantized_weight: group_size 16 must be 32, 64 or 128; leave it unset for the default");
  expect_error(
      [&] {
        QuantizedWeight::pack(weight.reshaped({2, 2, 2}));
      },
      "quantized_weight: the weight has shape (2, 2, 2), but must be (C_out, Kx, Ky, Kz, C_in), or (C_out, C_in) for "
      "kernel size 1; permute or reshape it");
  expect_error(
      [] {
        QuantizedWeight::pack(Tensor::zeros(DType::f32, {2, 1, 1, 1, 0}));
      },
      "quantized_weight: the weight has shape (2, 1, 1, 1, 0), but every size must be at least 1; drop the layer");
  expect_error(
      [] {
        QuantizedWeight::pack(Tensor::zeros(DType::f32, {0, 4}));
      },
      "quantized_weight: the weight has shape (0, 4), but every size must be at least 1; drop the layer");
  expect_error([&] { QuantizedWeight::pack(weight.to(DType::f64)); },
               "quantized_weight: the weight is f64, but must be f32, f16 or bf16; convert it with to()");
}

TEST(quantized_weight, refuses_weights_that_are_not_finite) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const auto infinite = row({1, 2, std::numeric_limits<float>::infinity(), 4}).to(dtype);
    expect_error(
        [&] { QuantizedWeight::pack(infinite); },
        "quantized_weight: element 2 of the weight of shape (1, 4) is inf, but every weight must be finite; repair "
        "the checkpoint");
  }
  EXPECT_THROW(QuantizedWeight::pack(row({std::nanf("")})), Error);
  const float most = std::numeric_limits<float>::max();
  expect_error(
      [&] {
        QuantizedWeight::pack(row({most, -most}));
      },
      "quantized_weight: channels 0 to 31 of output channel 0, tap 0 span more than float32 holds; scale the weight "
      "down");
}

TEST(quantized_weight, refuses_arrays_that_contradict_each_other) {
  const QuantizedWeight packed = QuantizedWeight::pack(random_weight({3, 1, 3, 1, 33}, 2));
  const Tensor words = packed.words(), scales = packed.scales(), biases = packed.biases();
  const auto make = [&](const Tensor& some_words, const Tensor& some_scales, const Tensor& some_biases,
                        Triple kernel_size = {1, 3, 1}, int64_t in_channels = 33, int64_t bits = 4,
                        int64_t group_size = 32) {
    QuantizedWeight::from_arrays(some_words, some_scales, some_biases, bits, group_size, kernel_size, in_channels);
  };
  make(words, scales, biases);
  const std::string but = ", but bits, group_size, kernel_size and channels make it ";
  expect_error(
      [&] {
        make(words, scales, biases, {1, 3, 1}, 65);
      },
      "quantized_weight: words have shape (3, 8, 3)" + but + "(3, 12, 3); check these");
  expect_error(
      [&] {
        make(words, scales, biases, {1, 2, 1});
      },
      "quantized_weight: words have shape (3, 8, 3)" + but + "(2, 8, 3); check these");
  expect_error(
      [&] {
        make(words, scales.reshaped({2, 3, 3}), biases);
      },
      "quantized_weight: scales have shape (2, 3, 3)" + but + "(3, 2, 3); check these");
  expect_error([&] { make(words, scales, biases.reshaped({18})); },
               "quantized_weight: biases have shape (18)" + but + "(3, 2, 3); check these");
  expect_error(
      [&] { make(words, scales, biases.to(DType::f16)); },
      "quantized_weight: scales are f32 and biases f16, but both must be f32 or both f16; convert them with to()");
  expect_error(
      [&] { make(words, scales.to(DType::bf16), biases.to(DType::bf16)); },
      "quantized_weight: scales are bf16 and biases bf16, but both must be f32 or both f16; convert them with to()");
  expect_error([&] { make(scales, scales, biases); },
               "quantized_weight: words are f32, but must be u32; store the codes in 32-bit words");
  expect_error(
      [&] {
        make(words, scales, biases, {1, 0, 1});
      },
      "quantized_weight: kernel_size (1, 0, 1) must be positive with a product of at most 2^31 - 1; pass the layer's "
      "kernel size");
  constexpr int64_t kHuge = int64_t{1} << 40;
  EXPECT_THROW(make(words, scales, biases, {kHuge, kHuge, kHuge}), Error);
  expect_error(
      [&] {
        make(words, scales, biases, {1, 3, 1}, 0);
      },
      "quantized_weight: in_channels 0 must be from 1 to 2^31 - 1; pass the layer's input channels");
  EXPECT_THROW(make(words, scales, biases, {1, 3, 1}, std::numeric_limits<int64_t>::max()), Error);
  EXPECT_THROW(make(words, scales, biases, {1, 3, 1}, 33, 3), Error);
  EXPECT_THROW(make(words, scales, biases, {1, 3, 1}, 33, 4, 0), Error);
  EXPECT_THROW(make(words.reshaped({72}), scales, biases), Error);
  EXPECT_THROW(make(Tensor(), Tensor(), Tensor()), Error);
}

TEST(conv_weight, is_floating_or_packed) {
  const Tensor weight = random_weight({5, 3}, 1);
  const ConvWeight floating(weight), packed(QuantizedWeight::pack(weight));
  EXPECT_FALSE(floating.is_packed());
  EXPECT_EQ(floating.dense().shape(), (Shape{5, 1, 1, 1, 3}));
  EXPECT_EQ(floating.nbytes(), 60);
  EXPECT_TRUE(packed.is_packed());
  EXPECT_EQ(packed.nbytes(), 5 * 24);
  for (const ConvWeight& either : {floating, packed}) {
    EXPECT_EQ(either.kernel_size(), Triple(1));
    EXPECT_EQ(either.taps(), 1);
    EXPECT_EQ(either.in_channels(), 3);
    EXPECT_EQ(either.out_channels(), 5);
  }
  expect_error([&] { (void)packed.dense(); },
               "conv_weight: a packed weight was asked for as a floating one; use packed().dequantize()");
  expect_error([&] { (void)floating.packed(); },
               "conv_weight: a floating weight was asked for as a packed one; use QuantizedWeight::pack");
}

TEST(conv_weight, comes_from_kernel_major_arrays) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const Tensor source = random_weight({6, 4, 5}, 9, dtype);
    const Tensor dense = ConvWeight::from_kernel_major(source, {1, 2, 3}).dense().to(DType::f32);
    ASSERT_EQ(dense.shape(), (Shape{5, 1, 2, 3, 4}));
    const Tensor values = source.to(DType::f32);
    for (int64_t tap = 0; tap < 6; ++tap) {
      for (int64_t in = 0; in < 4; ++in) {
        for (int64_t out = 0; out < 5; ++out) {
          EXPECT_EQ(dense.data<float>()[(out * 6 + tap) * 4 + in], values.data<float>()[(tap * 4 + in) * 5 + out]);
        }
      }
    }
  }
}

TEST(conv_weight, refuses_other_shapes) {
  expect_error(
      [] {
        ConvWeight weight(Tensor::zeros(DType::f32, {2, 3, 4}));
      },
      "conv_weight: the weight has shape (2, 3, 4), but must be (C_out, Kx, Ky, Kz, C_in), or (C_out, C_in) for kernel "
      "size 1; permute or reshape it");
  expect_error(
      [] {
        ConvWeight weight(Tensor::zeros(DType::i32, {2, 3}));
      },
      "conv_weight: the weight is i32, but must be f32, f16 or bf16; convert it with to()");
  expect_error(
      [] {
        (void)ConvWeight::from_kernel_major(Tensor::zeros(DType::f32, {6, 4, 5}), 2);
      },
      "conv_weight: a kernel-major weight of kernel_size (2, 2, 2) has shape (6, 4, 5), but must be (K, C_in, C_out) "
      "with K the product of the kernel's sizes and every size at least 1; check kernel_size");
  EXPECT_THROW((void)ConvWeight::from_kernel_major(Tensor::zeros(DType::f32, {6, 4}), 6), Error);
  EXPECT_THROW((void)ConvWeight::from_kernel_major(Tensor::zeros(DType::i32, {1, 4, 5}), 1), Error);
  EXPECT_THROW((void)ConvWeight::from_kernel_major(Tensor::zeros(DType::f32, {6, 4, 5}), {-2, -3, 1}), Error);
}

}  // namespace
}  // namespace lattice
