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

}  // namespace
}  // namespace lattice::cpu
