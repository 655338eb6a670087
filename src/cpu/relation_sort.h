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
/// counters of its own, by tile and tap; an edge's place follows from the parts before its own, whatever their number,
/// so that edges of one tile and tap stay in the order of all parts behind one another. No output may have two of one
/// tap.
///
/// count(part, parts, counters) adds the edges of a part, at most `edges` in all, to its counters; then
/// place(part, parts, counters, lists) puts the same edges where they, and those after them, belong in their tiles.
///
/// behind.append(index, tile) adds runs of higher taps to a tile, of behind.edges(index) edges.
template <typename Count, typename Place, typename Behind = NothingBehind>
PooledVector<TiledRelation::TileEdges> sort_edges(int64_t edges, int64_t output_rows, int64_t tap_count,
                                                  Workers& workers, const Count& count, const Place& place,
                                                  const Behind& behind = {}) {
  constexpr int64_t kLeastEdgesAPart = 16384;  // fewer are not worth another thread
  const auto taps = static_cast<size_t>(tap_count);
  const auto tiles = static_cast<size_t>(tiles_of(output_rows));
  const int64_t parts = std::clamp<int64_t>(edges / kLeastEdgesAPart, 1, workers.threads());
  const auto for_each = [&](int64_t tasks, const auto& task) {
    if (parts > 1) return workers.for_each(tasks, task);
    for (int64_t i = 0; i < tasks; ++i) task(i);
  };
  // How many edges, and then where in its tile the next one goes.
  PooledVector<PooledVector<uint32_t>> next(static_cast<size_t>(parts), PooledVector<uint32_t>(tiles * taps, 0));
  for_each(parts, [&](int64_t part) { count(part, parts, next[static_cast<size_t>(part)].data()); });

  PooledVector<TiledRelation::TileEdges> sorted = tiles_for(output_rows);
  PooledVector<TileLists> lists(tiles);
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

  for_each(parts, [&](int64_t part) { place(part, parts, next[static_cast<size_t>(part)].data(), lists.data()); });
  return sorted;
}

/// The same for edges that come one by one: find(part, parts, visit) calls visit(position of the output, tap, input
/// row) for the edges of a part; then recall, called alike, does the same for the same edges in the same order.
template <typename Find, typename Recall>
PooledVector<TiledRelation::TileEdges> sort_visited(int64_t edges, int64_t output_rows, int64_t tap_count,
                                                    Workers& workers, const Find& find, const Recall& recall) {
  const auto taps = static_cast<size_t>(tap_count);
  const auto count = [&](int64_t part, int64_t parts, uint32_t* counts) {
    find(part, parts, [=](uint32_t position, uint32_t tap, int32_t) { ++counts[position / kTileRows * taps + tap]; });
  };
  const auto place = [&](int64_t part, int64_t parts, uint32_t* next, const TileLists* lists) {
    recall(part, parts, [=](uint32_t position, uint32_t tap, int32_t input_row) {
      const size_t tile = position / kTileRows;
      const uint32_t at = next[tile * taps + tap]++;
      lists[tile].input[at] = input_row;
      lists[tile].slot[at] = static_cast<uint16_t>(position % kTileRows);
    });
  };
  return sort_edges(edges, output_rows, tap_count, workers, count, place);
}

}  // namespace lattice::cpu
