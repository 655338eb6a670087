// Relations of the cpu backend beyond what random convolutions reach: sets that take the widest keys, every form of
// search, and edges that are another relation's turned round.
#include "lattice/relation.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <vector>

#include "cpu/forced_isa.h"
#include "lattice/random.h"
#include "lattice/session.h"

namespace lattice {
namespace {

std::vector<Coord> scattered(uint64_t seed, size_t rows, int32_t low, uint64_t side, bool repeated) {
  Random random(seed);
  const auto draw = [&] { return static_cast<int32_t>(low + static_cast<int64_t>(random.next() % side)); };
  std::vector<Coord> coords;
  std::set<Coord> seen;
  while (coords.size() < rows) {
    const Coord c = {static_cast<int32_t>(random.next() % 2), draw(), draw(), draw()};
    if (seen.insert(c).second || repeated) coords.push_back(c);
  }
  return coords;
}

void expect_same(const Relation& a, const Relation& b, const std::string& what) {
  const EdgeList x = a.edge_list(), y = b.edge_list();
  EXPECT_EQ(a.edges(), b.edges()) << what;
  EXPECT_EQ(x.output_begin, y.output_begin) << what;
  EXPECT_EQ(x.tap, y.tap) << what;
  EXPECT_EQ(x.input_row, y.input_row) << what;
}

/// Coordinates and edges of the reference, and of the cpu backend on one thread and on three, and with the search of
/// machines that have no kernel for it.
void expect_agreement(RelationKind kind, const std::vector<Coord>& coords, const ConvOptions& options,
                      const std::string& what) {
  const ConvGeometry geometry(options);
  Session reference({.backend = BackendKind::reference});
  const bool transposes = kind == RelationKind::transposed;
  const Support source = CoordSet::make(coords, transposes ? options.stride : Triple(1));
  const RelatedSupport expected = reference.relate(kind, source, geometry);
  const auto expect_from = [&](int threads, const std::string& by) {
    Session session({.threads = threads});
    const RelatedSupport related = session.relate(kind, source, geometry);
    ASSERT_EQ(related.output->rows(), expected.output->rows()) << what;
    EXPECT_TRUE(
        std::equal(related.output->coords().begin(), related.output->coords().end(), expected.output->coords().begin()))
        << what;
    expect_same(*related.relation, *expected.relation, what + ", " + by);
  };
  expect_from(1, "one thread");
  expect_from(3, "three threads");
  const cpu::ForcedIsa forced("scalar");
  expect_from(1, "scalar");
}

TEST(Relation, AgreesForEveryWayToSearch) {
  struct Shape {
    const char* name;
    ConvOptions options;
  };
  const Shape shapes[] = {
      {"a box", {.kernel_size = 3}},
      {"a box of two words", {.kernel_size = 5}},
      {"a flat box", {.kernel_size = {1, 3, 5}}},
      {"the widest box", {.kernel_size = 5, .dilation = 3}},
      {"a box of which an output reads three blocks in z", {.kernel_size = {3, 3, 9}}},
      {"a box of four blocks in z", {.kernel_size = {3, 3, 9}, .stride = {1, 1, 2}}},
      {"beyond the box in z", {.kernel_size = {3, 3, 9}, .dilation = 2}},
      {"beyond the box", {.kernel_size = 3, .dilation = 11}},
      {"more taps than lists", {.kernel_size = 9}},
      {"strides", {.kernel_size = 3, .stride = 2, .padding = 1}},
      {"strides of three", {.kernel_size = {3, 4, 2}, .stride = 3, .padding = {0, 5, 1}, .dilation = {1, 2, 3}}},
      {"strides above the box", {.kernel_size = 3, .stride = {9, 2, 17}, .padding = 2}},
      {"a single place", {.kernel_size = 1, .stride = 2}},
      {"parts", {.kernel_size = 2, .stride = 2}},
      {"parts of one, four and two cells", {.kernel_size = {1, 4, 2}, .stride = {1, 4, 2}, .dilation = {5, 1, 1}}},
      {"parts that begin before a block does", {.kernel_size = 2, .stride = 2, .padding = 1}},
      {"parts above a block", {.kernel_size = 8, .stride = 8}},
  };
  for (const bool repeated : {false, true}) {
    const std::vector<Coord> coords = scattered(1, 500, -6, 11, repeated);
    for (const auto& [name, options] : shapes) {
      const std::string what = std::string(name) + (repeated ? ", repeated coordinates" : "");
      if (options.stride == Triple(1) && options.kernel_size != Triple(4)) {
        expect_agreement(RelationKind::submanifold, coords, options, "submanifold, " + what);
      }
      expect_agreement(RelationKind::forward, coords, options, "forward, " + what);
      if (options.kernel_size == Triple(9)) continue;  // the derived supports would take the reference minutes
      expect_agreement(RelationKind::regular, coords, options, "regular, " + what);
      expect_agreement(RelationKind::transposed, coords, options, "transposed, " + what);
    }
  }
}

TEST(Relation, AgreesForKeysOfEveryWidth) {
  constexpr int32_t kLowest = std::numeric_limits<int32_t>::min(), kLargest = std::numeric_limits<int32_t>::max();
  for (const bool repeated : {false, true}) {
    std::vector<Coord> coords = scattered(2, 1200, 1000, 12, repeated);
    const ConvOptions options = {.kernel_size = 3};
    expect_agreement(RelationKind::submanifold, coords, options, "narrow");
    coords.push_back({1 << 20, 1 << 20, -(1 << 20), 5});  // key and row together leave 64 bits
    expect_agreement(RelationKind::submanifold, coords, options, "wide");
    for (const Coord& c : {Coord{kLargest, kLowest, kLowest, kLowest}, Coord{kLargest, kLargest, kLargest, kLargest},
                           Coord{0, kLowest, kLargest, kLowest + 1}, Coord{0, kLowest, kLargest, kLowest}}) {
      coords.push_back(c);
    }
    expect_agreement(RelationKind::submanifold, coords, options, "widest");
    expect_agreement(RelationKind::forward, coords, {.kernel_size = 2, .stride = 2}, "widest, strided");
  }
}

// A set's blocks are found through tables over its ranges, unless these were large beside the set.
TEST(Relation, AgreesWhereTablesWouldBeLarge) {
  constexpr int32_t kFar = 1 << 24;
  struct Shape {
    const char* name;
    Coord outlier;
  };
  for (const auto& [name, outlier] :
       {Shape{"none far", {0, 1, 1, 1}}, Shape{"far in x", {1, kFar, 1, 1}}, Shape{"far in batch", {kFar, 1, 1, 1}},
        Shape{"far above the others", {0, 1, 1, kFar}}, Shape{"far below", {1, 1, 1, -kFar}}}) {
    std::vector<Coord> coords = scattered(8, 900, -4, 10, false);
    coords.push_back({outlier.batch, 1, 1, 2});
    coords.push_back(outlier);
    coords.push_back({outlier.batch, outlier.x, outlier.y, outlier.z + 1});
    expect_agreement(RelationKind::submanifold, coords, {.kernel_size = 3}, name);
    expect_agreement(RelationKind::submanifold, coords, {.kernel_size = 5}, name);
    expect_agreement(RelationKind::forward, coords, {.kernel_size = 2, .stride = 2}, name);
    expect_agreement(RelationKind::regular, coords, {.kernel_size = 3, .stride = 2, .padding = 1}, name);
    expect_agreement(RelationKind::transposed, coords, {.kernel_size = 3, .stride = 2}, name);
  }
}

// Whose taps nearly all miss: those that can reach an input are known beforehand.
TEST(Relation, AgreesForKernelsLargerThanTheScan) {
  for (const int32_t low : {-40, 0, 3000}) {
    const auto coords = scattered(9, 12, low, 9, true);
    for (const RelationKind kind : {RelationKind::forward, RelationKind::regular, RelationKind::transposed}) {
      for (const int64_t stride : {1, 3, 4, 6}) {
        const ConvOptions options = {
            .kernel_size = {13, 17, 3}, .stride = stride, .padding = {7, 2, 1}, .dilation = {1, 2, 3}};
        expect_agreement(
            kind, coords, options,
            "from " + std::to_string(low) + ", stride " + std::to_string(stride) + ", " + std::string(name(kind)));
      }
    }
  }
}

// More outputs in a block than a search takes at once.
TEST(Relation, AgreesWhereAPlaceHasManyCopies) {
  std::vector<Coord> coords = scattered(9, 900, -4, 10, false);
  coords.insert(coords.begin() + 300, 1500, coords[7]);
  expect_agreement(RelationKind::submanifold, coords, {.kernel_size = 3}, "copies");
  expect_agreement(RelationKind::forward, coords, {.kernel_size = 2, .stride = 2}, "copies");
}

// On one thread half of a submanifold relation's edges are the other half turned round: across many tiles, and for
// kernels that reach over one cell of a block or several.
TEST(Relation, MirrorsEdgesAcrossTiles) {
  const std::vector<Coord> coords = scattered(12, 7000, -14, 28, false);
  for (const ConvOptions& options :
       {ConvOptions{.kernel_size = 3}, ConvOptions{.kernel_size = 5}, ConvOptions{.kernel_size = {1, 3, 5}},
        ConvOptions{.kernel_size = {3, 1, 1}}, ConvOptions{.kernel_size = 3, .dilation = 2}}) {
    expect_agreement(RelationKind::submanifold, coords, options,
                     to_string(options.kernel_size) + " at dilation " + to_string(options.dilation));
  }
}

// So many rows that each of several threads has a part of them; and outputs that are not there.
TEST(Relation, PartsManyInputsAmongTheOutputs) {
  const ConvGeometry geometry({.kernel_size = 2, .stride = 2});
  const Support fine = CoordSet::make(scattered(10, 50000, -25, 50, false));
  const Support coarse = CoordSet::make(scattered(11, 12000, -13, 26, false), 2);
  Session reference({.backend = BackendKind::reference});
  const auto derived = reference.relate(RelationKind::forward, fine, geometry);
  const auto explicit_target = reference.relate(RelationKind::target, fine, geometry, coarse);
  EXPECT_EQ(derived.relation->edges(), fine->rows());
  EXPECT_LT(explicit_target.relation->edges(), fine->rows());
  for (const int threads : {1, 3}) {
    Session session({.threads = threads});
    expect_same(*session.relate(RelationKind::forward, fine, geometry).relation, *derived.relation, "derived");
    expect_same(*session.relate(RelationKind::target, fine, geometry, coarse).relation, *explicit_target.relation,
                "explicit target");
  }
}

TEST(Relation, TurnsTheEdgesOfAnotherRound) {
  const std::vector<Coord> unique = scattered(3, 6000, -12, 26, false);
  const std::vector<Coord> repeated = scattered(4, 6000, -7, 14, true);
  struct Case {
    RelationKind kind;
    ConvOptions options;
  };
  const Case cases[] = {{RelationKind::regular, {.kernel_size = 3, .stride = 2, .padding = 1}},
                        {RelationKind::regular, {.kernel_size = {3, 2, 5}, .stride = {2, 3, 1}, .dilation = {1, 1, 2}}},
                        {RelationKind::forward, {.kernel_size = 2, .stride = 2}},
                        {RelationKind::forward, {.kernel_size = 3, .stride = 2, .padding = 1}},  // centred: no inverse
                        {RelationKind::regular, {.kernel_size = 1, .stride = 3}}};
  for (const std::vector<Coord>& coords : {unique, repeated}) {
    for (const auto& [kind, options] : cases) {
      const ConvGeometry geometry(options);
      const Support fine = CoordSet::make(coords);
      Session reference({.backend = BackendKind::reference});
      const Support coarse = reference.relate(kind, fine, geometry).output;
      const auto expected = reference.relate(RelationKind::target_transposed, coarse, geometry, fine);
      for (const int threads : {1, 3}) {
        Session session({.threads = threads});
        const RelatedSupport down = session.relate(kind, fine, geometry);
        const RelatedSupport up = session.relate(RelationKind::target_transposed, down.output, geometry, fine);
        EXPECT_EQ(up.relation->kind(), RelationKind::target_transposed);
        EXPECT_EQ(up.output->id(), fine->id());
        expect_same(*up.relation, *expected.relation, to_string(options.kernel_size));
      }
    }
  }
}

TEST(Relation, TurnsTheEdgesOfAnExplicitTargetRound) {
  const ConvGeometry geometry({.kernel_size = 2, .stride = 2});
  const Support fine = CoordSet::make(scattered(5, 3000, -10, 20, false));
  const Support coarse = CoordSet::make(scattered(6, 500, -6, 12, false), 2);
  const Support other = CoordSet::make(scattered(7, 500, -6, 12, false), 2);
  Session session, fresh;
  session.relate(RelationKind::target, fine, geometry, coarse);
  for (const Support& source : {coarse, other}) {
    const auto up = session.relate(RelationKind::target_transposed, source, geometry, fine);
    const auto searched = fresh.relate(RelationKind::target_transposed, source, geometry, fine);
    expect_same(*up.relation, *searched.relation, "explicit target");
  }
}

}  // namespace
}  // namespace lattice
