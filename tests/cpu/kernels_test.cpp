#include "cpu/kernels/kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "cpu/kernels/plain_vector.h"
#include "cpu/kernels/select.h"
#include "cpu/kernels/tile_gemm.h"
#include "lattice/dtype.h"
#include "lattice/error.h"
#include "lattice/random.h"
#include "lattice/session.h"

namespace lattice::cpu {
namespace {

/// LATTICE_ISA for the life of this object.
class ForcedIsa {
 public:
  explicit ForcedIsa(const std::string& isa) {
    if (const char* before = std::getenv("LATTICE_ISA")) before_ = before;
    setenv("LATTICE_ISA", isa.c_str(), 1);
  }
  ~ForcedIsa() {
    if (before_.empty()) {
      unsetenv("LATTICE_ISA");
    } else {
      setenv("LATTICE_ISA", before_.c_str(), 1);
    }
  }

 private:
  std::string before_;
};

// The generic body with the lanes, vectors and rows of AVX-512, which not every machine has.
constexpr const char* kAvx512Model = "model_of_avx512";

class EveryIsa : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const {
    static const Kernels model = kernels_of<PlainVector<16, 4, 6>>(kAvx512Model);
    if (GetParam() == kAvx512Model) return model;
    const ForcedIsa forced(GetParam());
    return select_kernels();
  }
};

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const auto isa : available_isas()) names.emplace_back(isa);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Models, EveryIsa, testing::Values(kAvx512Model));
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsa, testing::ValuesIn(isas()), [](const auto& isa) { return isa.param; });

TEST(ForcedIsa, IsTaken) {
  for (const std::string& isa : isas()) {
    const ForcedIsa forced(isa);
    EXPECT_EQ(select_kernels().isa, isa);
    EXPECT_EQ(Session().isa(), isa);
  }
}

TEST(ForcedIsa, IsAnErrorWhereTheMachineLacksIt) {
  const ForcedIsa forced("avx1024");
  try {
    Session session;
    FAIL() << "a session came to be on " << session.isa();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_THAT(error.what(), testing::HasSubstr("avx1024"));
    EXPECT_THAT(error.what(), testing::HasSubstr("scalar"));
  }
}

// Products of small integers are exact in float32, in any order and with or without fusing.
TEST_P(EveryIsa, MultipliesAnyNumberOfRowsExactly) {
  Random random(1);
  const auto small = [&] { return std::floor(static_cast<float>(random.uniform()) * 17.0F) - 8.0F; };
  const Kernels& k = kernels();
  for (int64_t count = 0; count <= 2 * 6 + 1; ++count) {
    for (int64_t width = k.lanes; width <= k.panel_width; width += k.lanes) {
      const int64_t channels = 1 + static_cast<int64_t>(random.next() % 40);
      const int64_t rows = count + 3;
      std::vector<float> x(static_cast<size_t>(rows * channels)), panel(static_cast<size_t>(channels * width));
      std::vector<float> sums(static_cast<size_t>(rows * (width + 4)), 0.0F);
      for (float& value : x) value = small();
      for (float& value : panel) value = small();
      for (float& value : sums) value = small();
      std::vector<int32_t> input;
      std::vector<uint16_t> slot;
      for (int64_t e = 0; e < count; ++e) {
        input.push_back(static_cast<int32_t>(random.next() % static_cast<uint64_t>(rows)));
        slot.push_back(static_cast<uint16_t>(rows - 1 - e));
      }
      std::vector<float> expected = sums;
      for (int64_t e = 0; e < count; ++e) {
        for (int64_t n = 0; n < width; ++n) {
          for (int64_t c = 0; c < channels; ++c) {
            expected[static_cast<size_t>(slot[static_cast<size_t>(e)] * (width + 4) + n)] +=
                x[static_cast<size_t>(input[static_cast<size_t>(e)] * channels + c)] *
                panel[static_cast<size_t>(c * width + n)];
          }
        }
      }
      k.tap_product({.x = x.data(),
                     .x_stride = channels,
                     .input = input.data(),
                     .slot = slot.data(),
                     .count = count,
                     .panel = panel.data(),
                     .channels = channels,
                     .width = width,
                     .sums = sums.data(),
                     .sums_stride = width + 4});
      ASSERT_EQ(sums, expected) << count << " rows, width " << width;
    }
  }
}

// Scales and biases are powers of two, so that no rounding hides a wrong code.
TEST_P(EveryIsa, DecodesEveryCode) {
  Random random(2);
  const Kernels& k = kernels();
  for (const int64_t bits : {int64_t{4}, int64_t{8}}) {
    for (const int64_t group_size : {int64_t{32}, int64_t{64}, int64_t{128}}) {
      for (int64_t width = k.lanes; width <= k.panel_width; width += k.lanes) {
        const int64_t groups = 2;
        const int64_t codes_a_word = 32 / bits;
        const int64_t channels = groups * group_size;
        std::vector<uint32_t> words(static_cast<size_t>(channels / codes_a_word * width));
        std::vector<float> scales(static_cast<size_t>(groups * width)), biases(scales.size());
        for (uint32_t& word : words) word = static_cast<uint32_t>(random.next());
        for (float& scale : scales) scale = std::ldexp(1.0F, static_cast<int>(random.next() % 8) - 4);
        for (float& bias : biases) bias = -std::ldexp(1.0F, static_cast<int>(random.next() % 4));
        std::vector<float> panel(static_cast<size_t>(channels * width));
        k.decode_panel({.words = words.data(),
                        .scales = scales.data(),
                        .biases = biases.data(),
                        .groups = groups,
                        .group_size = group_size,
                        .bits = bits,
                        .width = width,
                        .panel = panel.data()});
        for (int64_t c = 0; c < channels; ++c) {
          for (int64_t n = 0; n < width; ++n) {
            const uint32_t word = words[static_cast<size_t>(c / codes_a_word * width + n)];
            const uint32_t code = word >> (c % codes_a_word * bits) & ((1U << bits) - 1);
            const auto at = static_cast<size_t>(c / group_size * width + n);
            ASSERT_EQ(panel[static_cast<size_t>(c * width + n)], scales[at] * static_cast<float>(code) + biases[at]);
          }
        }
      }
    }
  }
}

TEST_P(EveryIsa, WidensEverySixteenBitPattern) {
  std::vector<uint16_t> from(65536 + 3);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint16_t>(i);
  std::vector<float> to(from.size());
  const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  kernels().widen_f16({.from = from.data(), .to = to.data(), .count = static_cast<int64_t>(from.size())});
  for (size_t i = 0; i < from.size(); ++i) {
    ASSERT_TRUE(same(to[i], static_cast<float>(Float16::from_bits(from[i])))) << i;
  }
  kernels().widen_bf16({.from = from.data(), .to = to.data(), .count = static_cast<int64_t>(from.size())});
  for (size_t i = 0; i < from.size(); ++i) {
    ASSERT_TRUE(same(to[i], static_cast<float>(BFloat16::from_bits(from[i])))) << i;
  }
}

}  // namespace
}  // namespace lattice::cpu
