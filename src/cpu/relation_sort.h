#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/relation.h"

namespace lattice::cpu {

/// Whether the counters of sort_edges are few beside the edges; else a search is quicker.
inline bool is_worth_sorting(int64_t edges, int64_t output_rows, int64_t taps) {
  constexpr int64_t kAlways = 1 << 16;
  return taps <= kAlways && tiles_of(output_rows) * taps <= edges + kAlways;
}

/// Where nothing stands behind the edges that are sorted.
struct NothingBehind {
  static int64_t edges(int64_t) noexcept { return 0; }
  static void append(int64_t, TiledRelation::TileEdges&) noexcept {}
};

/// A counting sort of edges by the tile of their output, then by tap. They come in parts, one a thread, each with
/// counters of its own; an edge's place follows from the parts before its own, whatever their number, so that edges of
/// one tile and tap stay in the order of all parts behind one another. No output may have two of one tap.
///
/// find(part, parts, visit) calls visit(position of the output, tap, input row) for the edges of a part, at most
/// `edges` in all; then recall, called alike, does the same for the same edges in the same order.
///
/// behind.append(index, tile) adds runs of higher taps to a tile, of behind.edges(index) edges.
template <typename Find, typename Recall, typename Behind = NothingBehind>
PooledVector<TiledRelation::TileEdges> sort_edges(int64_t edges, int64_t output_rows, int64_t tap_count,
                                                  Workers& workers, const Find& find, const Recall& recall,
                                                  const Behind& behind = {}) {
  constexpr int64_t kLeastEdgesAPart = 16384;  // fewer are not worth another thread
  const auto taps = static_cast<size_t>(tap_count);
  const auto tiles = static_cast<size_t>(tiles_of(output_rows));
  const int64_t parts = std::clamp<int64_t>(edges / kLeastEdgesAPart, 1, workers.threads());
  const auto for_each = [&](int64_t count, const auto& task) {
    if (parts > 1) return workers.for_each(count, task);
    for (int64_t i = 0; i < count; ++i) task(i);
  };
  // By part, tile and tap: how many edges, and then where in its tile the next one goes.
  PooledVector<PooledVector<uint32_t>> next(static_cast<size_t>(parts), PooledVector<uint32_t>(tiles * taps, 0));
  for_each(parts, [&](int64_t part) {
    uint32_t* const counts = next[static_cast<size_t>(part)].data();
    find(part, parts, [=](uint32_t position, uint32_t tap, int32_t) { ++counts[position / kTileRows * taps + tap]; });
  });

  struct Lists {
    int32_t* input;
    uint16_t* slot;
  };
  PooledVector<TiledRelation::TileEdges> sorted = tiles_for(output_rows);
  PooledVector<Lists> lists(tiles);
  for_each(static_cast<int64_t>(tiles), [&](int64_t index) {
    TiledRelation::TileEdges& tile = sorted[static_cast<size_t>(index)];
    uint32_t listed = 0;
    for (size_t tap = 0; tap < taps; ++tap) {
      const uint32_t first = listed;
      for (PooledVector<uint32_t>& of_part : next) {
        listed += std::exchange(of_part[static_cast<size_t>(index) * taps + tap], listed);
      }
      if (listed != first) tile.runs.push_back({static_cast<int32_t>(tap), static_cast<int32_t>(listed - first)});
    }
    reserve_tile(tile, listed + behind.edges(index), std::min(kTileRows, output_rows - index * kTileRows));
    tile.input.resize(listed);
    tile.slot.resize(listed);
    behind.append(index, tile);
    tile.runs.shrink_to_fit();
    lists[static_cast<size_t>(index)] = {tile.input.data(), tile.slot.data()};
  });

  for_each(parts, [&](int64_t part) {
    uint32_t* const places = next[static_cast<size_t>(part)].data();
    const Lists* const of_tiles = lists.data();
    recall(part, parts, [=](uint32_t position, uint32_t tap, int32_t input_row) {
      const size_t tile = position / kTileRows;
      const uint32_t at = places[tile * taps + tap]++;
      of_tiles[tile].input[at] = input_row;
      of_tiles[tile].slot[at] = static_cast<uint16_t>(position % kTileRows);
    });
  });
  return sorted;
}

}  // namespace lattice::cpu
