#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "lattice/error.h"
#include "lattice/random.h"
#include "lattice/session.h"

// Sets whose coordinates span nearly all of int32 on every axis need keys of more than 64 bits (src/coord_index.h), and
// their neighbours lie beyond int32.

namespace lattice {
namespace {

constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
constexpr int32_t kMost = std::numeric_limits<int32_t>::max();

/// Clusters of neighbours at the corners, the edges and the middle of int32, some rows twice.
Support extreme_set(uint64_t seed, int64_t rows) {
  Random random(seed);
  const auto near_an_end = [&]() -> int32_t {
    const auto step = static_cast<int32_t>(random.next() % 3);
    switch (random.next() % 3) {
      case 0:
        return kLeast + step;
      case 1:
        return kMost - step;
      default:
        return step - 1;
    }
  };
  std::vector<Coord> coords;
  for (int64_t row = 0; row < rows; ++row) {
    const int32_t batch = random.next() % 2 == 0 ? 0 : kMost;
    coords.push_back({batch, near_an_end(), near_an_end(), near_an_end()});
  }
  return CoordSet::make(coords);
}

struct Kind {
  RelationKind kind;
  ConvOptions options;
};

const Kind kKinds[] = {
    {RelationKind::submanifold, {.kernel_size = 3}},
    {RelationKind::submanifold, {.kernel_size = {1, 3, 5}, .dilation = {1, 2, kMost}}},
    {RelationKind::forward, {.kernel_size = 2, .stride = 2}},
    {RelationKind::forward, {.kernel_size = 3, .stride = {3, 1, 1 << 20}, .padding = {1, 0, 2}}},
    {RelationKind::target, {.kernel_size = 3, .padding = 1}},
    {RelationKind::target_transposed, {.kernel_size = 3, .padding = 1}},
};

class ExtremeCoordinates : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, ExtremeCoordinates, testing::Range(uint64_t{0}, uint64_t{40}));

TEST_P(ExtremeCoordinates, GiveTheEdgesOfTheReference) {
  const Support source = extreme_set(GetParam(), 120);
  int64_t edges = 0;
  for (const Kind& kind : kKinds) {
    const bool onto_target = kind.kind == RelationKind::target || kind.kind == RelationKind::target_transposed;
    const Support target = onto_target ? extreme_set(GetParam() + 1000, 80) : nullptr;
    const ConvGeometry geometry(kind.options);
    Session cpu({.threads = 2});
    Session reference({.backend = BackendKind::reference});
    const RelatedSupport ours = cpu.relate(kind.kind, source, geometry, target);
    const RelatedSupport expected = reference.relate(kind.kind, source, geometry, target);
    ASSERT_TRUE(std::ranges::equal(ours.output->coords(), expected.output->coords())) << name(kind.kind);
    const EdgeList a = ours.relation->edge_list();
    const EdgeList b = expected.relation->edge_list();
    ASSERT_EQ(a.input_row, b.input_row) << name(kind.kind);
    ASSERT_EQ(a.output_row, b.output_row) << name(kind.kind);
    ASSERT_EQ(a.tap, b.tap) << name(kind.kind);
    edges += ours.relation->edges();
  }
  EXPECT_GT(edges, 200);
}

TEST(ExtremeCoordinatesErrors, OutputsBeyondInt32NameTheRow) {
  const Support source = CoordSet::make({{0, 1, 1, 1}, {0, 1, kMost / 2 + 1, 1}}, 2);
  for (const RelationKind kind : {RelationKind::transposed, RelationKind::generative}) {
    Session session;
    try {
      session.relate(kind, source, ConvGeometry({.kernel_size = 2, .stride = 2}), nullptr, "up");
      FAIL() << "the outputs fit int32";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::out_of_range);
      EXPECT_THAT(error.what(), testing::HasSubstr("up: input row 1 at (0, 1, 1073741824, 1)"));
      EXPECT_THAT(error.what(), testing::HasSubstr("2147483648"));
    }
    EXPECT_EQ(session.relations(), 0);
  }
}

}  // namespace
}  // namespace lattice
