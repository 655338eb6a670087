#include "cpu/relation.h"

#include <algorithm>
#include <numeric>

#include "coord_index.h"
#include "cpu/relation_inverse.h"
#include "cpu/relation_search.h"
#include "cpu/relation_writer.h"

namespace lattice::cpu {
namespace {

using TileEdges = TiledRelation::TileEdges;

/// Row i*K + k comes from input i through tap k and nothing else. Outputs stand tap by tap, so that nearly every tile
/// has a single run: position p holds the edge of tap p / N and input p % N.
PooledVector<TileEdges> one_edge_a_row(int64_t input_rows, int64_t taps, PooledVector<int32_t>& order,
                                       Workers& workers) {
  const int64_t rows = input_rows * taps;
  order.resize(static_cast<size_t>(rows));
  PooledVector<TileEdges> tiles = tiles_for(rows);
  workers.for_each(static_cast<int64_t>(tiles.size()), [&](int64_t index) {
    TileEdges& tile = tiles[static_cast<size_t>(index)];
    const int64_t first = index * kTileRows, last = std::min(rows, first + kTileRows);
    reserve_tile(tile, last - first, last - first);
    for (int64_t position = first; position < last;) {
      const int64_t tap = position / input_rows;
      const int64_t end = std::min(last, (tap + 1) * input_rows);
      tile.runs.push_back({static_cast<int32_t>(tap), static_cast<int32_t>(end - position)});
      for (; position < end; ++position) {
        const int64_t input = position - tap * input_rows;
        order[static_cast<size_t>(position)] = static_cast<int32_t>(input * taps + tap);
        tile.input.push_back(static_cast<int32_t>(input));
        tile.slot.push_back(static_cast<uint16_t>(position - first));
      }
    }
  });
  return tiles;
}

}  // namespace

TiledRelation::TiledRelation(RelationKind kind, int64_t input_rows, int64_t taps, PooledVector<int32_t> order,
                             PooledVector<TileEdges> tiles, bool taps_never_meet)
    : Relation(kind, input_rows, static_cast<int64_t>(order.size()), taps),
      order_(std::move(order)),
      tiles_(std::move(tiles)),
      taps_never_meet_(taps_never_meet) {
  for (const TileEdges& tile : tiles_) edges_ += static_cast<int64_t>(tile.input.size());
}

TiledRelation::Tile TiledRelation::tile(int64_t index) const noexcept {
  const TileEdges& tile = tiles_[static_cast<size_t>(index)];
  const int64_t first = index * kTileRows;
  return {.order = {order_.data() + first, static_cast<size_t>(std::min(kTileRows, output_rows() - first))},
          .runs = tile.runs,
          .input = tile.input.data(),
          .slot = tile.slot.data(),
          .edges = static_cast<int64_t>(tile.input.size())};
}

EdgeList TiledRelation::edge_list() const {
  EdgeList list;
  list.input_row.resize(static_cast<size_t>(edges()));
  list.output_row.resize(static_cast<size_t>(edges()));
  list.tap.resize(static_cast<size_t>(edges()));
  list.output_begin.assign(static_cast<size_t>(output_rows()) + 1, 0);
  const auto for_edges = [this](const auto& visit) {
    for (int64_t index = 0; index < tile_count(); ++index) {
      const Tile at = tile(index);
      size_t edge = 0;
      for (const Run& run : at.runs) {
        for (int32_t i = 0; i < run.count; ++i, ++edge) visit(at.input[edge], at.order[at.slot[edge]], run.tap);
      }
    }
  };
  for_edges([&](int32_t, int32_t output, int32_t) { ++list.output_begin[static_cast<size_t>(output) + 1]; });
  std::partial_sum(list.output_begin.begin(), list.output_begin.end(), list.output_begin.begin());
  PooledVector<int64_t> next(list.output_begin.begin(), list.output_begin.end() - 1);
  // Runs stand in the order of taps, and copies of an input in row order: filling keeps (output, tap, input) sorted.
  for_edges([&](int32_t input, int32_t output, int32_t tap) {
    const auto at = static_cast<size_t>(next[static_cast<size_t>(output)]++);
    list.input_row[at] = input;
    list.output_row[at] = output;
    list.tap[at] = tap;
  });
  return list;
}

int64_t TiledRelation::nbytes() const {
  const auto bytes = [](const auto& vector) { return static_cast<int64_t>(vector.size() * sizeof(vector[0])); };
  int64_t sum = bytes(order_);
  for (const TileEdges& tile : tiles_) sum += bytes(tile.runs) + bytes(tile.input) + bytes(tile.slot);
  return sum;
}

std::shared_ptr<const TiledRelation> build_relation(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                                    const ConvGeometry& geometry, const TiledRelation* inverse,
                                                    const Kernels& kernels, Workers& workers) {
  const bool merges = kind == RelationKind::transposed && !geometry.taps_never_meet();
  const bool one_edge = kind == RelationKind::pointwise || kind == RelationKind::generative ||
                        (kind == RelationKind::transposed && !merges);
  PooledVector<int32_t> order;
  PooledVector<TileEdges> tiles;
  if (one_edge) {
    tiles = one_edge_a_row(source.rows(), geometry.taps(), order, workers);
  } else {
    tiles = inverse != nullptr && is_worth_turning(*inverse)
                ? turn_round(*inverse, target, workers)
                : search_edges(TapRule::of(kind, geometry), source, target, merges, kernels, workers);
    order = target.index().sorted().order;
  }
  const bool transposes = kind == RelationKind::transposed || kind == RelationKind::target_transposed;
  const bool taps_never_meet = one_edge || geometry.taps() == 1 || (transposes && geometry.taps_never_meet());
  return std::allocate_shared<const TiledRelation>(PoolAllocator<TiledRelation>(), kind, source.rows(), geometry.taps(),
                                                   std::move(order), std::move(tiles), taps_never_meet);
}

}  // namespace lattice::cpu
