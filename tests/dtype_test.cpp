#include "lattice/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lattice {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

uint16_t half_bits(float value) {
  return Float16(value).bits;
}
uint16_t brain_bits(float value) {
  return BFloat16(value).bits;
}
float half_value(unsigned bits) {
  return static_cast<float>(Float16::from_bits(static_cast<uint16_t>(bits)));
}
float brain_value(unsigned bits) {
  return static_cast<float>(BFloat16::from_bits(static_cast<uint16_t>(bits)));
}

/// What a binary16 pattern means, by the definition.
double meaning(unsigned bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(Float16, EveryPatternRoundTrips) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = half_value(bits);
    const bool special = (bits & 0x7c00) == 0x7c00, nan = special && (bits & 0x3ff) != 0;
    if (nan) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_TRUE(std::isnan(half_value(half_bits(value)))) << bits;
      EXPECT_EQ(half_bits(value), bits | 0x200) << "the payload is kept, and the NaN becomes quiet";
      continue;
    }
    if (special) {
      EXPECT_EQ(value, (bits & 0x8000) != 0 ? -kInf : kInf);
    } else {
      EXPECT_EQ(value, meaning(bits)) << bits;
      EXPECT_EQ(std::signbit(value), (bits & 0x8000) != 0) << bits;
    }
    ASSERT_EQ(half_bits(value), bits);
  }
}

TEST(Float16, TiesGoToEvenBetweenAllNeighbours) {
  for (unsigned bits = 0; bits < 0x7bff; ++bits) {
    // The middle of two neighbours is exact in float, as is a step beside it.
    const float middle = (half_value(bits) + half_value(bits + 1)) / 2;
    ASSERT_EQ(half_bits(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    ASSERT_EQ(half_bits(std::nextafter(middle, 0.0F)), bits) << bits;
    ASSERT_EQ(half_bits(std::nextafter(middle, kInf)), bits + 1) << bits;
    ASSERT_EQ(half_bits(-middle), 0x8000 | (bits % 2 == 0 ? bits : bits + 1)) << bits;
  }
}

TEST(Float16, OverflowsAt65520) {
  EXPECT_EQ(half_bits(65504.0F), 0x7bff);
  EXPECT_EQ(half_bits(std::nextafter(65520.0F, 0.0F)), 0x7bff);
  EXPECT_EQ(half_bits(65520.0F), 0x7c00);
  EXPECT_EQ(half_bits(-65520.0F), 0xfc00);
  EXPECT_EQ(half_bits(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(half_bits(kInf), 0x7c00);
  EXPECT_EQ(half_bits(-kInf), 0xfc00);
}

TEST(Float16, SubnormalsAndZero) {
  EXPECT_EQ(half_bits(0x1p-24F), 1);
  EXPECT_EQ(half_bits(0x1p-25F), 0) << "a tie with zero, which is even";
  EXPECT_EQ(half_bits(std::nextafter(0x1p-25F, 1.0F)), 1);
  EXPECT_EQ(half_bits(0x1.8p-24F), 2) << "a tie of 1 and 2";
  EXPECT_EQ(half_bits(0x1p-14F), 0x0400) << "the least normal value";
  EXPECT_EQ(half_bits(0x1.ff8p-15F), 0x03ff) << "the largest subnormal";
  EXPECT_EQ(half_bits(0x1.ffcp-15F), 0x0400) << "a tie of these two";
  EXPECT_EQ(half_bits(0.0F), 0);
  EXPECT_EQ(half_bits(-0.0F), 0x8000);
  EXPECT_EQ(half_bits(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(Float16, NanStaysNan) {
  EXPECT_TRUE(std::isnan(static_cast<float>(Float16(std::numeric_limits<float>::quiet_NaN()))));
  // A payload in the lower bits alone must not become an infinity.
  EXPECT_TRUE(std::isnan(static_cast<float>(Float16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_EQ(Float16(std::bit_cast<float>(0xff800001U)).bits & 0x8000, 0x8000);
}

TEST(BFloat16, EveryPatternRoundTrips) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = brain_value(bits);
    EXPECT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    ASSERT_EQ(brain_bits(value), std::isnan(value) ? bits | 0x40 : bits);
  }
}

TEST(BFloat16, TiesGoToEvenBetweenAllNeighbours) {
  for (unsigned bits = 0; bits < 0x7f7f; ++bits) {
    const float middle = std::bit_cast<float>(bits << 16 | 0x8000U);
    ASSERT_EQ(brain_bits(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    ASSERT_EQ(brain_bits(std::nextafter(middle, 0.0F)), bits) << bits;
    ASSERT_EQ(brain_bits(std::nextafter(middle, kInf)), bits + 1) << bits;
  }
}

TEST(BFloat16, OverflowAndNan) {
  EXPECT_EQ(brain_bits(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(brain_bits(-kInf), 0xff80);
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::bit_cast<float>(0x7fffffffU)))));
}

TEST(DTypes, SizesNamesAndKinds) {
  constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i8,  DType::u8,     DType::i16,
                              DType::u16, DType::i32, DType::u32,  DType::i64, DType::u64, DType::boolean};
  constexpr size_t kSizes[] = {4, 2, 2, 8, 1, 1, 2, 2, 4, 4, 8, 8, 1};
  constexpr std::string_view kNames[] = {"f32", "f16", "bf16", "f64", "i8",  "u8",  "i16",
                                         "u16", "i32", "u32",  "i64", "u64", "bool"};
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    EXPECT_EQ(size_of(kTypes[i]), kSizes[i]);
    EXPECT_EQ(name(kTypes[i]), kNames[i]);
    EXPECT_EQ(is_feature_type(kTypes[i]), i < 3);
  }
  static_assert(dtype_of<float> == DType::f32 && dtype_of<Float16> == DType::f16 && dtype_of<bool> == DType::boolean);
}

}  // namespace
}  // namespace lattice
