#include "cpu/relation_inverse.h"

#include <algorithm>
#include <utility>

#include "coord_index.h"
#include "cpu/relation_search.h"

// A counting sort of the edges by the tile of their new output, then by tap. The old tiles are cut into parts, one a
// thread, each with counters of its own; an edge's place follows from the parts before its own, whatever their number.

namespace lattice::cpu {
namespace {

/// Calls visit(new output row, old slot's row, tap) for the edges of the tiles first .. last-1.
template <typename Visit>
void for_edges(const TiledRelation& relation, int64_t first, int64_t last, const Visit& visit) {
  for (int64_t index = first; index < last; ++index) {
    const TiledRelation::Tile tile = relation.tile(index);
    const int32_t* input = tile.input;
    const uint16_t* slot = tile.slot;
    for (const TiledRelation::Run& run : tile.runs) {
      for (const int32_t* const end = input + run.count; input < end; ++input, ++slot) {
        visit(*input, tile.order[*slot], run.tap);
      }
    }
  }
}

}  // namespace

bool is_worth_turning(const TiledRelation& relation) {
  constexpr int64_t kAlways = 1 << 16;
  return relation.taps() <= kAlways && tiles_of(relation.input_rows()) * relation.taps() <= relation.edges() + kAlways;
}

PooledVector<TiledRelation::TileEdges> turn_round(const TiledRelation& relation, const CoordSet& target,
                                                  Workers& workers) {
  const std::span<const int32_t> order = target.index().order();
  PooledVector<int32_t> positions(order.size());  // by row
  constexpr int64_t kRowsABlock = 16384;
  workers.for_blocks(target.rows(), kRowsABlock, [&](int64_t first, int64_t last) {
    for (auto at = static_cast<size_t>(first); at < static_cast<size_t>(last); ++at) {
      positions[static_cast<size_t>(order[at])] = static_cast<int32_t>(at);
    }
  });

  const auto taps = static_cast<size_t>(relation.taps());
  const auto tiles = static_cast<size_t>(tiles_of(target.rows()));
  const int64_t parts = workers.threads();
  // By part, new tile and tap: how many edges, and then where in its tile the next one goes.
  PooledVector<PooledVector<uint32_t>> next(static_cast<size_t>(parts), PooledVector<uint32_t>(tiles * taps, 0));
  const auto for_part = [&](int64_t part, const auto& visit) {
    for_edges(relation, relation.tile_count() * part / parts, relation.tile_count() * (part + 1) / parts,
              [&](int32_t output_row, int32_t input_row, int32_t tap) {
                const auto position = static_cast<uint32_t>(positions[static_cast<size_t>(output_row)]);
                const size_t tile = position / kTileRows;
                visit(tile, next[static_cast<size_t>(part)][tile * taps + static_cast<size_t>(tap)],
                      static_cast<uint16_t>(position % kTileRows), input_row);
              });
  };
  workers.for_each(parts,
                   [&](int64_t part) { for_part(part, [](size_t, uint32_t& count, uint16_t, int32_t) { ++count; }); });

  PooledVector<TiledRelation::TileEdges> turned = tiles_for(target.rows());
  workers.for_each(static_cast<int64_t>(tiles), [&](int64_t index) {
    TiledRelation::TileEdges& tile = turned[static_cast<size_t>(index)];
    uint32_t edges = 0;
    for (size_t tap = 0; tap < taps; ++tap) {
      const uint32_t first = edges;
      for (PooledVector<uint32_t>& of_part : next) {
        edges += std::exchange(of_part[static_cast<size_t>(index) * taps + tap], edges);
      }
      if (edges != first) tile.runs.push_back({static_cast<int32_t>(tap), static_cast<int32_t>(edges - first)});
    }
    tile.runs.shrink_to_fit();
    reserve_tile(tile, edges, std::min(kTileRows, target.rows() - index * kTileRows));
    tile.input.resize(edges);
    tile.slot.resize(edges);
  });

  workers.for_each(parts, [&](int64_t part) {
    for_part(part, [&](size_t tile, uint32_t& at, uint16_t slot, int32_t input_row) {
      turned[tile].input[at] = input_row;
      turned[tile].slot[at] = slot;
      ++at;
    });
  });
  return turned;
}

}  // namespace lattice::cpu
