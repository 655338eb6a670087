#include "cpu/forced_isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cpu/kernels/select.h"
#include "lattice/error.h"
#include "lattice/session.h"

namespace lattice::cpu {
namespace {

TEST(ForcedIsa, IsTaken) {
  for (const auto available : available_isas()) {
    const std::string isa(available);
    const ForcedIsa forced(isa);
    EXPECT_EQ(select_kernels().kernels.isa, isa);
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

TEST(CompletedKernels, AreTheBasesButForTheRoutesOfTheirOwn) {
  const auto quantize_as = [](int64_t bytes, void (*quantize)(const RowQuantization&)) {
    return IntegerRoute{.activation_bytes = bytes, .quantize = quantize};
  };
  const Kernels base = {.isa = "base",
                        .lanes = 4,
                        .float_product = [](const FloatProduct&) {},
                        .wide = quantize_as(2, [](const RowQuantization&) {}),
                        .narrow = quantize_as(1, [](const RowQuantization&) {}),
                        .finish = [](const RowFinish&) {}};
  const Kernels middle = {.isa = "middle", .base = &base, .wide = quantize_as(2, [](const RowQuantization&) {})};
  const Kernels top = {.isa = "top",
                       .base = &middle,
                       .narrow = quantize_as(1, [](const RowQuantization&) {}),
                       .bf16 = {.float_product = [](const FloatProduct&) {}},
                       .split = {.decode = [](const PanelCodes&, uint32_t*) { return int64_t{0}; }}};
  const Kernels all = completed(top);
  EXPECT_STREQ(all.isa, "top");
  EXPECT_EQ(all.lanes, base.lanes);
  EXPECT_EQ(all.float_product, base.float_product);
  EXPECT_EQ(all.finish, base.finish);
  EXPECT_EQ(all.wide.quantize, middle.wide.quantize);
  EXPECT_EQ(all.narrow.quantize, top.narrow.quantize);
  EXPECT_EQ(all.bf16.float_product, top.bf16.float_product);
  EXPECT_EQ(all.split.decode, top.split.decode);
  EXPECT_NE(base.wide.quantize, middle.wide.quantize);  // or nothing is told by the above
  EXPECT_NE(base.narrow.quantize, top.narrow.quantize);
}

}  // namespace
}  // namespace lattice::cpu
