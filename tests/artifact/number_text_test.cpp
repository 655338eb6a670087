#include "artifact/number_text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace lattice::artifact {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(NumberText, Integers) {
  EXPECT_EQ(integer_from("007", false), 7);
  EXPECT_EQ(integer_from("0", true), 0);
  EXPECT_EQ(integer_from("9223372036854775807", false), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(integer_from("9223372036854775808", true), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(integer_from("9223372036854775808", false), std::nullopt);
  EXPECT_EQ(integer_from("18446744073709551616", true), std::nullopt);
  EXPECT_EQ(integer_from(std::string(1000, '0') + "5", true), -5);
}

TEST(NumberText, RealsAreRoundedOnce) {
  EXPECT_EQ(real_from<float>("0.01", false), 0.01f);
  EXPECT_EQ(real_from<float>("1.", false), 1.0f);
  EXPECT_EQ(real_from<float>("1.e2", true), -100.0f);
  EXPECT_EQ(real_from<float>("0002.50", false), 2.5f);
  EXPECT_EQ(real_from<double>("1.0E+300", false), 1e300);
  EXPECT_TRUE(std::signbit(real_from<float>("0.0", true)));
  // Just above the middle of 1 and the next float: through a double it would become the middle, then 1.
  EXPECT_EQ(real_from<float>("1.00000005960464477540", false), std::nextafter(1.0f, 2.0f));
}

TEST(NumberText, RealsBeyondTheRange) {
  EXPECT_EQ(real_from<float>("1.0e39", false), kInfinity);
  EXPECT_EQ(real_from<float>("1.0e39", true), -kInfinity);
  EXPECT_EQ(real_from<float>("1.0e-60", false), 0.0f);
  EXPECT_EQ(real_from<float>("1.0e-40", false), 1.0e-40f) << "subnormal";
  EXPECT_EQ(real_from<double>("1.0e99999999999999999999", false), std::numeric_limits<double>::infinity());
  EXPECT_EQ(real_from<double>("1.0e-99999999999999999999", false), 0.0);
  EXPECT_EQ(real_from<double>("0.0e99999999999999999999", false), 0.0);
  EXPECT_EQ(real_from<float>("1" + std::string(60, '0') + ".0", false), kInfinity);
  EXPECT_EQ(real_from<float>("1" + std::string(60, '0') + ".0e-60", false), 1.0f);
  EXPECT_EQ(real_from<float>("0." + std::string(60, '0') + "1", false), 0.0f);
  EXPECT_EQ(real_from<float>("1" + std::string(60, '0') + ".0e-200", false), 0.0f);
  EXPECT_EQ(real_from<float>("0." + std::string(60, '0') + "1e200", false), kInfinity);
}

TEST(NumberText, Bits) {
  EXPECT_EQ(real_from_bits<float>("0x7F800000"), kInfinity);
  EXPECT_EQ(real_from_bits<float>("0x3f800000"), 1.0f);
  EXPECT_EQ(real_from_bits<float>("0x0000000000BF800000"), -1.0f);
  EXPECT_EQ(real_from_bits<float>("0x100000000"), std::nullopt);
  EXPECT_TRUE(std::isnan(*real_from_bits<float>("0x7FC00001")));
  EXPECT_EQ(real_from_bits<double>("0x3FF8000000000000"), 1.5);
  EXPECT_EQ(real_from_bits<double>("0x10000000000000000"), std::nullopt);
}

template <typename T, typename Bits>
void expect_round_trip(Bits bits) {
  const T value = std::bit_cast<T>(bits);
  std::string text = real_text(value);
  ASSERT_NE(text.find_first_of(".x"), std::string::npos) << text;
  const bool negative = text.starts_with('-');
  if (negative) text.erase(0, 1);
  const T read = text.starts_with("0x") ? real_from_bits<T>(text).value() : real_from<T>(text, negative);
  EXPECT_EQ(std::bit_cast<Bits>(read), bits) << text;
}

TEST(NumberText, RoundTripsEveryKindOfFloat) {
  EXPECT_EQ(real_text(1.0f), "1.0");
  EXPECT_EQ(real_text(-0.0f), "-0.0");
  EXPECT_EQ(real_text(1e-12f), "1.0e-12");
  EXPECT_EQ(real_text(0.01f), "0.01");
  EXPECT_EQ(real_text(kInfinity), "0x7F800000");
  EXPECT_EQ(real_text(1e300), "1.0e+300");
  EXPECT_EQ(real_text(-std::numeric_limits<double>::infinity()), "0xFFF0000000000000");
  std::mt19937_64 random(5);
  for (int i = 0; i < 20000; ++i) {
    expect_round_trip<float>(static_cast<uint32_t>(random()));
    expect_round_trip<double>(uint64_t{random()});
  }
  for (const uint32_t bits :
       {0u, 1u, 0x80000000u, 0x7FFFFFu, 0x7F7FFFFFu, 0x7F800000u, 0xFF800000u, 0x7FC00000u, 0x7F800001u}) {
    expect_round_trip<float>(bits);
  }
}

}  // namespace
}  // namespace lattice::artifact
