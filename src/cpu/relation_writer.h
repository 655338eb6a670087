#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu/relation.h"

namespace lattice::cpu {

/// Writes one piece of a relation, tile by tile; a tile's edges may come in any order of taps.
class PieceWriter {
 public:
  /// Taps that get a list each, which an edge is appended to; more would leave the caches, so edges are sorted then.
  static constexpr int64_t kMostLists = 512;

  explicit PieceWriter(int64_t taps) {
    piece_.run_begin.push_back(0);
    piece_.edge_begin.push_back(0);
    if (taps > kMostLists) return;
    counts_.assign(static_cast<size_t>(taps), 0);
    // Left uninitialized: only what is filled is ever touched.
    inputs_.reset(new int32_t[static_cast<size_t>(taps * kTileRows)]);
    slots_.reset(new uint16_t[static_cast<size_t>(taps * kTileRows)]);
  }

  /// For at most kMostLists taps; no (tap, slot) twice within a tile.
  void add(int32_t tap, int64_t slot, int32_t input) {
    const size_t at = static_cast<size_t>(tap) * kTileRows + counts_[static_cast<size_t>(tap)]++;
    inputs_[at] = input;
    slots_[at] = static_cast<uint16_t>(slot);
  }
  /// For any number of taps: `copy` tells apart what several inputs bring to one (tap, slot).
  void add_sorted(int32_t tap, int32_t copy, int64_t slot, int32_t input) {
    sorted_.push_back({tap, copy, static_cast<uint16_t>(slot), input});
  }

  void end_tile() {
    std::sort(sorted_.begin(), sorted_.end(), [](const Edge& a, const Edge& b) {
      return std::tie(a.tap, a.copy, a.slot) < std::tie(b.tap, b.copy, b.slot);
    });
    auto next = sorted_.begin();
    for (size_t tap = 0; tap < counts_.size(); ++tap) {
      if (counts_[tap] != 0) {
        const size_t first = tap * kTileRows;
        piece_.runs.push_back({static_cast<int32_t>(tap), static_cast<int32_t>(counts_[tap])});
        piece_.input.insert(piece_.input.end(), &inputs_[first], &inputs_[first + counts_[tap]]);
        piece_.slot.insert(piece_.slot.end(), &slots_[first], &slots_[first + counts_[tap]]);
        counts_[tap] = 0;
      }
      while (next != sorted_.end() && static_cast<size_t>(next->tap) == tap) next = append_run(next);
    }
    while (next != sorted_.end()) next = append_run(next);
    sorted_.clear();
    piece_.run_begin.push_back(static_cast<int64_t>(piece_.runs.size()));
    piece_.edge_begin.push_back(static_cast<int64_t>(piece_.input.size()));
  }

  /// The piece, without the room that its arrays grew into.
  TiledRelation::Piece take() {
    piece_.runs.shrink_to_fit();
    piece_.input.shrink_to_fit();
    piece_.slot.shrink_to_fit();
    return std::move(piece_);
  }

 private:
  struct Edge {
    int32_t tap, copy;
    uint16_t slot;
    int32_t input;
  };
  using Edges = std::vector<Edge>;

  Edges::iterator append_run(Edges::iterator first) {
    const auto last = std::find_if(first, sorted_.end(), [&](const Edge& edge) {
      return edge.tap != first->tap || edge.copy != first->copy;
    });
    piece_.runs.push_back({first->tap, static_cast<int32_t>(last - first)});
    for (; first != last; ++first) {
      piece_.input.push_back(first->input);
      piece_.slot.push_back(first->slot);
    }
    return last;
  }

  TiledRelation::Piece piece_;
  std::unique_ptr<int32_t[]> inputs_;  // kTileRows a tap
  std::unique_ptr<uint16_t[]> slots_;
  std::vector<size_t> counts_;  // by tap: edges of the tile at hand
  Edges sorted_;
};

}  // namespace lattice::cpu
