#include "cpu/output_coords.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "backend.h"
#include "coord_index.h"
#include "lattice/random.h"

// What a backend derives, coordinate by coordinate, and the index that starts from what it knows.

namespace lattice {
namespace {

std::vector<Coord> random_coords(Random& random, size_t rows, int64_t low, uint64_t span) {
  const auto draw = [&] { return static_cast<int32_t>(low + static_cast<int64_t>(random.next() % span)); };
  std::vector<Coord> coords(rows);
  for (Coord& c : coords) c = {static_cast<int32_t>(random.next() % 2), draw(), draw(), draw()};
  return coords;
}

void expect_the_same(RelationKind kind, const Support& source, const ConvOptions& options,
                     const std::optional<Triple>& extent) {
  const ConvGeometry geometry(options);
  const NumberedCoords expected = make_reference_backend()->output_coords(kind, *source, geometry, extent, "test");
  NumberedCoords found = make_cpu_backend(1, Numerics::float32)->output_coords(kind, *source, geometry, extent, "test");
  ASSERT_EQ(found.coords, expected.coords) << to_string(options.kernel_size) << to_string(options.stride)
                                           << to_string(options.padding) << to_string(options.dilation);
  if (found.blocks.of_row.empty()) return;
  const CoordIndex alone(BlockNumbers::of(expected.coords)), informed(std::move(found.blocks));
  EXPECT_EQ(alone.sorted().order, informed.sorted().order);
  ASSERT_EQ(alone.block_count(), informed.block_count());
  for (size_t block = 0; block < alone.block_count(); ++block) {
    ASSERT_EQ(alone.block(block).cells, informed.block(block).cells);
    ASSERT_EQ(alone.block(block).z, informed.block(block).z);
    ASSERT_EQ(alone.block(block).first, informed.block(block).first);
  }
}

// Strides and sizes for which there are tables of blocks, and larger ones, for which there are none.
TEST(OutputCoords, AreThoseOfTheReference) {
  Random random(11);
  const std::vector<ConvOptions> geometries = {
      {.kernel_size = 2, .stride = 2},
      {.kernel_size = 3, .stride = 2, .padding = 1},
      {.kernel_size = {3, 1, 2}, .stride = {2, 1, 3}, .padding = {1, 0, 1}},
      {.kernel_size = 3, .stride = 1, .padding = 1, .dilation = 2},
      {.kernel_size = 5, .stride = 3, .padding = 2, .dilation = {1, 2, 3}},
      {.kernel_size = {4, 1, 2}, .stride = {4, 1, 2}},
      {.kernel_size = 8, .stride = 8},
      {.kernel_size = 3, .stride = {9, 16, 2}, .padding = 1},
      {.kernel_size = {9, 1, 1}, .stride = 2, .padding = {4, 0, 0}},
      {.kernel_size = {3, 1, 1}, .stride = 1, .padding = {7, 0, 0}, .dilation = {7, 1, 1}},
  };
  for (const uint64_t span : {uint64_t{12}, uint64_t{60}, uint64_t{1} << 28}) {
    for (const size_t rows : {size_t{0}, size_t{1}, size_t{400}}) {
      const Support around = CoordSet::make(random_coords(random, rows, -static_cast<int64_t>(span) / 2, span));
      for (const ConvOptions& options : geometries) {
        expect_the_same(RelationKind::forward, around, options, std::nullopt);
        expect_the_same(RelationKind::regular, around, options, std::nullopt);
        expect_the_same(RelationKind::transposed, around, options, std::nullopt);
      }
      if (span > 100) continue;
      const Triple extent(static_cast<int64_t>(span), static_cast<int64_t>(span), static_cast<int64_t>(span));
      const Support inside = CoordSet::make(random_coords(random, rows, 0, span), 1, extent);
      for (const ConvOptions& options : geometries) {
        const Triple smaller(static_cast<int64_t>(span) / 2, static_cast<int64_t>(span) - 3, 2);
        expect_the_same(RelationKind::regular, inside, options, smaller);
      }
    }
  }
}

}  // namespace
}  // namespace lattice
