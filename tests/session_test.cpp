#include "lattice/session.h"

#include <stdlib.h>

#include "lattice/conv.h"
#include "ops/sparse_examples.h"

namespace lattice {
namespace {

class SessionTest : public ::testing::TestWithParam<BackendKind> {
 protected:
  Session session_{SessionOptions{.backend = GetParam(), .threads = 2}};
  const ConvGeometry halve_{ConvOptions{.kernel_size = 2, .stride = 2}};
  const ConvGeometry cube_{ConvOptions{.kernel_size = 3}};
};
INSTANTIATE_TEST_SUITE_P(Backends, SessionTest, both_backends(), backend_name);

std::vector<Coord> line(int32_t length) {
  std::vector<Coord> coords;
  for (int32_t x = 0; x < length; ++x) coords.push_back({0, x, 0, 0});
  return coords;
}

TEST_P(SessionTest, KeepsARelationAndItsOutput) {
  const Support source = CoordSet::make(line(8));
  const RelatedSupport first = session_.relate(RelationKind::forward, source, halve_);
  const RelatedSupport second = session_.relate(RelationKind::forward, source, halve_);
  EXPECT_EQ(first.output, second.output);
  EXPECT_EQ(first.relation, second.relation);
  EXPECT_EQ(session_.relations(), 1);
  EXPECT_EQ(session_.relation_bytes(), first.relation->nbytes());
  EXPECT_EQ(coords_of(first.output), line(4));
  EXPECT_EQ(first.relation->edges(), 8);
  EXPECT_EQ(first.relation->kind(), RelationKind::forward);
}

TEST_P(SessionTest, TheSameCoordinatesInAnotherSetAreAnotherKey) {
  const Support one = CoordSet::make(line(8)), other = CoordSet::make(line(8));
  const RelatedSupport first = session_.relate(RelationKind::forward, one, halve_);
  const RelatedSupport second = session_.relate(RelationKind::forward, other, halve_);
  EXPECT_NE(first.output, second.output);
  EXPECT_NE(first.relation, second.relation);
  EXPECT_EQ(coords_of(first.output), coords_of(second.output));
  EXPECT_EQ(session_.relations(), 2);
}

TEST_P(SessionTest, GeometryKindAndTargetArePartOfTheKey) {
  const Support source = CoordSet::make(line(8));
  const Support target = CoordSet::make(line(4), 2), same_again = CoordSet::make(line(4), 2);
  const auto forward = session_.relate(RelationKind::forward, source, halve_);
  const auto regular = session_.relate(RelationKind::regular, source, halve_);
  const auto padded =
      session_.relate(RelationKind::forward, source, ConvGeometry({.kernel_size = 2, .stride = 2, .padding = 1}));
  const auto onto = session_.relate(RelationKind::target, source, halve_, target);
  const auto onto_again = session_.relate(RelationKind::target, source, halve_, same_again);
  EXPECT_EQ(session_.relations(), 5);
  EXPECT_EQ(onto.output, target);
  EXPECT_EQ(onto_again.output, same_again);
  EXPECT_NE(onto.relation, onto_again.relation);
  EXPECT_EQ(session_.relate(RelationKind::target, source, halve_, target).relation, onto.relation);
  EXPECT_EQ(session_.relate(RelationKind::regular, source, halve_).output, regular.output);
  EXPECT_NE(forward.output, regular.output);
  EXPECT_NE(forward.output, padded.output);
  EXPECT_EQ(session_.relations(), 5);
}

TEST_P(SessionTest, SubmanifoldAndPointwiseKeepTheIdentity) {
  const Support source = CoordSet::make(line(5), 1, Triple(9));
  EXPECT_EQ(session_.relate(RelationKind::submanifold, source, cube_).output, source);
  const auto pointwise = session_.relate(RelationKind::pointwise, source, ConvGeometry({.kernel_size = 1}));
  EXPECT_EQ(pointwise.output, source);
  EXPECT_EQ(pointwise.relation->edges(), 5);
  EXPECT_EQ(session_.relate(RelationKind::target, source, cube_, source).output, source);
}

TEST_P(SessionTest, GivesOutputsTheirStrideAndExtent) {
  const Support source = CoordSet::make(line(8), 2, Triple(8, 6, 4));
  const auto regular = session_.relate(RelationKind::regular, source, halve_).output;
  EXPECT_EQ(regular->stride(), Triple(4));
  EXPECT_EQ(regular->extent(), Triple(4, 3, 2));
  const auto forward = session_.relate(RelationKind::forward, source, halve_).output;
  EXPECT_EQ(forward->stride(), Triple(4));
  EXPECT_EQ(forward->extent(), std::nullopt);
  for (const RelationKind kind : {RelationKind::transposed, RelationKind::generative}) {
    const auto finer = session_.relate(kind, source, halve_).output;
    EXPECT_EQ(finer->stride(), Triple(1));
    EXPECT_EQ(finer->extent(), std::nullopt);
    EXPECT_EQ(finer->rows(), 64);
  }
  const Support target = CoordSet::make(line(3), 4, Triple(50));
  EXPECT_EQ(session_.relate(RelationKind::target, source, halve_, target).output->extent(), Triple(50));
}

TEST_P(SessionTest, EmptySourcesAndTargetsWork) {
  const Support empty = CoordSet::make(std::vector<Coord>(), 2), full = CoordSet::make(line(4), 2);
  const Support coarse = CoordSet::make(std::vector<Coord>(), 4), fine = CoordSet::make(std::vector<Coord>(), 1);
  for (const RelationKind kind :
       {RelationKind::forward, RelationKind::regular, RelationKind::transposed, RelationKind::generative}) {
    const auto related = session_.relate(kind, empty, halve_);
    EXPECT_EQ(related.output->rows(), 0) << name(kind);
    EXPECT_EQ(related.relation->edges(), 0) << name(kind);
  }
  EXPECT_EQ(session_.relate(RelationKind::submanifold, empty, cube_).relation->edges(), 0);
  EXPECT_EQ(session_.relate(RelationKind::target, full, halve_, coarse).relation->output_rows(), 0);
  EXPECT_EQ(session_.relate(RelationKind::target_transposed, full, halve_, fine).relation->edges(), 0);
  const auto unreached = session_.relate(RelationKind::target, empty, cube_, full);
  EXPECT_EQ(unreached.relation->output_rows(), 4);
  EXPECT_EQ(unreached.relation->edges(), 0);
}

TEST_P(SessionTest, ReleasesWhatADroppedSourceLedTo) {
  std::weak_ptr<const CoordSet> middle, end;
  {
    const Support source = CoordSet::make(line(16));
    middle = session_.relate(RelationKind::forward, source, halve_).output;
    end = session_.relate(RelationKind::forward, middle.lock(), halve_).output;
    session_.relate(RelationKind::target_transposed, end.lock(), halve_, middle.lock());
    session_.relate(RelationKind::submanifold, end.lock(), cube_);
    EXPECT_EQ(session_.relations(), 4);
    EXPECT_FALSE(end.expired());
  }
  const Support other = CoordSet::make(line(2));
  session_.relate(RelationKind::submanifold, other, cube_);
  EXPECT_EQ(session_.relations(), 1);
  EXPECT_TRUE(middle.expired());
  EXPECT_TRUE(end.expired());
}

TEST_P(SessionTest, DropsARelationWithItsTarget) {
  const Support source = CoordSet::make(line(8));
  session_.relate(RelationKind::target, source, halve_, CoordSet::make(line(4), 2));
  session_.relate(RelationKind::submanifold, source, cube_);
  EXPECT_EQ(session_.relations(), 1);
}

TEST_P(SessionTest, RunsForeverWithoutGrowing) {
  const ConvWeight down(f32(std::vector<float>(8, 0.5F), {1, 2, 2, 2, 1}));
  Random random(7);
  int64_t most = 0;
  for (int run = 0; run < 100; ++run) {
    const std::vector<Coord> coords = random_distinct_coords(random, 40, 8);
    const SparseTensor x = sparse(coords, std::vector<float>(coords.size(), 1.0F));
    const SparseTensor half = conv3d(session_, x, down, halve_);
    const SparseTensor quarter = conv3d(session_, half, down, halve_);
    const SparseTensor up = conv_transpose3d(session_, quarter, down, halve_);
    const SparseTensor back = conv_transpose3d(session_, up, down, halve_, x.support());
    EXPECT_EQ(back.support(), x.support());
    most = std::max(most, session_.relations());
  }
  // Four of the run at hand; those of the run before fall at the first miss.
  EXPECT_EQ(most, 4);
}

TEST_P(SessionTest, ForgetsOnDemand) {
  const Support source = CoordSet::make(line(8));
  const auto first = session_.relate(RelationKind::submanifold, source, cube_);
  session_.clear_relations();
  EXPECT_EQ(session_.relations(), 0);
  EXPECT_EQ(session_.relation_bytes(), 0);
  EXPECT_EQ(first.relation->edges(), 22);  // still the caller's: 3 taps a row, less the two ends
  EXPECT_NE(session_.relate(RelationKind::submanifold, source, cube_).relation, first.relation);
}

TEST_P(SessionTest, AFailedBuildLeavesTheCacheAsItWas) {
  const Support source = CoordSet::make(line(8));
  const auto kept = session_.relate(RelationKind::submanifold, source, cube_);
  const Support far = CoordSet::make({{0, 0, 0, 0}, {0, 1 << 30, 0, 0}}, 4);
  const ConvGeometry quadruple({.kernel_size = 1, .stride = 4});
  expect_error(ErrorCode::out_of_range, {"relate", "row 1"},
               [&] { session_.relate(RelationKind::transposed, far, quadruple); });
  EXPECT_EQ(session_.relations(), 1);
  EXPECT_EQ(session_.relate(RelationKind::submanifold, source, cube_).relation, kept.relation);
}

TEST_P(SessionTest, MovesWithItsRelations) {
  const Support source = CoordSet::make(line(8));
  const auto kept = session_.relate(RelationKind::submanifold, source, cube_);
  Session moved = std::move(session_);
  EXPECT_EQ(moved.relations(), 1);
  EXPECT_EQ(moved.relate(RelationKind::submanifold, source, cube_).relation, kept.relation);
}

TEST_P(SessionTest, RecordsBackendAndThreads) {
  EXPECT_EQ(session_.backend_kind(), GetParam());
  EXPECT_EQ(session_.threads(), 2);
  EXPECT_GE(Session({.backend = GetParam()}).threads(), 1);
  EXPECT_FALSE(session_.isa().empty());
  expect_error(ErrorCode::invalid_argument, {"session", "threads -1", "at least 0"},
               [&] { Session({.backend = GetParam(), .threads = -1}); });
  EXPECT_EQ(Session({.backend = GetParam(), .threads = 1024}).threads(), 1024);
  expect_error(ErrorCode::invalid_argument, {"session", "threads 1025", "at most 1024"},
               [&] { Session({.backend = GetParam(), .threads = 1025}); });
}

TEST(SessionErrors, AnUnknownBackendIsRefused) {
  expect_error(ErrorCode::invalid_argument, {"session", "backend", "9"},
               [] { Session({.backend = static_cast<BackendKind>(9)}); });
}

TEST(SessionErrors, AnUnknownInstructionSetIsUnsupported) {
  const char* const before = getenv("LATTICE_ISA");
  const std::string kept = before != nullptr ? before : "";
  setenv("LATTICE_ISA", "abacus", 1);
  expect_error(ErrorCode::unsupported, {"abacus"}, [] { Session({.backend = BackendKind::cpu}); });
  if (before != nullptr) {
    setenv("LATTICE_ISA", kept.c_str(), 1);
  } else {
    unsetenv("LATTICE_ISA");
  }
}

}  // namespace
}  // namespace lattice
