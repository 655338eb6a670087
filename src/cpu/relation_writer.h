#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu/relation.h"

namespace lattice::cpu {

/// Writes a tile of a relation; its edges may come in any order of taps. Inputs are given by their rank (see
/// CoordIndex), which becomes the row of the first copy at the end, when many can be looked up at once.
class TileWriter {
 public:
  /// Taps that get a list each, which an edge is appended to; more would leave the caches, so edges are sorted then.
  static constexpr int64_t kMostLists = 512;

  /// The lists of all taps; no (tap, slot) twice.
  struct Lists {
    uint32_t* next;  // by tap: where its next edge goes
    int32_t* ranks;
    uint16_t* slots;

    void add(uint32_t tap, uint16_t slot, int32_t rank) const {
      const uint32_t at = next[tap]++;
      ranks[at] = rank;
      slots[at] = slot;
    }
    /// Edges from the ranks first .. last-1, in order, to the slots from `slot` on.
    void add_own(int32_t tap, int64_t slot, int64_t first, int64_t last) const {
      uint32_t& at = next[tap];
      std::iota(ranks + at, ranks + at + (last - first), static_cast<int32_t>(first));
      std::iota(slots + at, slots + at + (last - first), static_cast<uint16_t>(slot));
      at += static_cast<uint32_t>(last - first);
    }
  };

  /// What a thread keeps from tile to tile: memory that has grown to the largest.
  class Scratch {
    friend TileWriter;
    PooledVector<uint32_t> next;
    PooledVector<int32_t> ranks;   // kListRows a tap
    PooledVector<uint16_t> slots;  // the same
  };

  /// `first_rows`: of the source; without them, ranks stay ranks.
  TileWriter(int64_t taps, std::span<const int32_t> first_rows, Scratch& scratch)
      : first_rows_(first_rows), scratch_(scratch) {
    scratch_.next.clear();
    if (taps > kMostLists) return;
    for (size_t tap = 0; tap < static_cast<size_t>(taps); ++tap) scratch_.next.push_back(begin_of(tap));
    const auto most = static_cast<size_t>(taps * kListRows);
    if (scratch_.ranks.size() < most) {
      scratch_.ranks.resize(most);
      scratch_.slots.resize(most);
    }
  }

  bool has_lists() const noexcept { return !scratch_.next.empty(); }
  /// Only where has_lists().
  Lists lists() noexcept { return {scratch_.next.data(), scratch_.ranks.data(), scratch_.slots.data()}; }
  /// For any number of taps: `copy` tells apart what several inputs bring to one (tap, slot).
  void add_row(int32_t tap, int32_t copy, int64_t slot, int32_t row) {
    sorted_.push_back({tap, copy, static_cast<uint16_t>(slot), row});
  }

  /// The tile, of so many outputs; nothing may be added afterwards.
  TiledRelation::TileEdges take(int64_t rows) {
    std::sort(sorted_.begin(), sorted_.end(), [](const Edge& a, const Edge& b) {
      return std::tie(a.tap, a.copy, a.slot) < std::tie(b.tap, b.copy, b.slot);
    });
    if (first_rows_.empty()) {  // soon given back: in few sizes, so that the next one finds it
      reserve_tile(tile_, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(edges()))), kTileRows);
    } else {
      reserve_tile(tile_, edges(), rows);
    }
    auto next = sorted_.begin();
    for (size_t tap = 0; tap < scratch_.next.size(); ++tap) {
      const uint32_t first = begin_of(tap), last = scratch_.next[tap];
      if (first != last) {
        tile_.runs.push_back({static_cast<int32_t>(tap), static_cast<int32_t>(last - first)});
        const int32_t* const ranks = scratch_.ranks.data();
        const size_t end = tile_.input.size();
        tile_.input.resize(end + (last - first));
        if (first_rows_.empty()) {
          std::copy(ranks + first, ranks + last, tile_.input.data() + end);
        } else {
          std::transform(ranks + first, ranks + last, tile_.input.data() + end,
                         [this](int32_t rank) { return first_rows_[static_cast<size_t>(rank)]; });
        }
        const uint16_t* const slots = scratch_.slots.data();
        tile_.slot.insert(tile_.slot.end(), slots + first, slots + last);
      }
      while (next != sorted_.end() && static_cast<size_t>(next->tap) == tap) next = append_run(next);
    }
    while (next != sorted_.end()) next = append_run(next);
    tile_.runs.shrink_to_fit();
    return std::move(tile_);
  }

 private:
  struct Edge {
    int32_t tap, copy;
    uint16_t slot;
    int32_t input;
  };
  using Edges = PooledVector<Edge>;

  int64_t edges() const {
    size_t edges = sorted_.size();
    for (size_t tap = 0; tap < scratch_.next.size(); ++tap) edges += scratch_.next[tap] - begin_of(tap);
    return static_cast<int64_t>(edges);
  }

  Edges::iterator append_run(Edges::iterator first) {
    const auto last = std::find_if(
        first, sorted_.end(), [&](const Edge& edge) { return edge.tap != first->tap || edge.copy != first->copy; });
    tile_.runs.push_back({first->tap, static_cast<int32_t>(last - first)});
    for (; first != last; ++first) {
      tile_.input.push_back(first->input);
      tile_.slot.push_back(first->slot);
    }
    return last;
  }

  // Lists that grew alike would all end in the same few sets of a first-level cache if they stood 4 KiB apart.
  static constexpr int64_t kListRows = kTileRows + 16;
  static uint32_t begin_of(size_t tap) { return static_cast<uint32_t>(tap * kListRows); }

  std::span<const int32_t> first_rows_;
  Scratch& scratch_;
  TiledRelation::TileEdges tile_;
  Edges sorted_;
};

}  // namespace lattice::cpu
