#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "cpu/kernels/kernels.h"
#include "cpu/relation_sink.h"

// The search for kernels that reach no further than 5 cells, on machines with a kernel for it: 3x3x3 and 5x5x5, strided
// or not, and 3x3x3 at dilation 2. All that an output reads lies in a corner of the box, four columns of up to four
// blocks, whose cells two vectors hold: all taps are then looked up at once, and those that find something are pushed
// together.

namespace lattice::cpu {

/// A stencil as corners.
class CornerTable {
 public:
  /// Nothing where some output reaches over more than two blocks on x or y. Refers to the stencil.
  static std::optional<CornerTable> make(const Stencil& stencil);

  const Stencil& stencil() const noexcept { return *stencil_; }
  const CornerPattern* patterns() const noexcept { return patterns_.data(); }
  const uint32_t* taps() const noexcept { return taps_.data(); }
  /// Taps of an output, at most.
  size_t most_taps() const noexcept { return most_taps_; }
  /// Whether no output reads more than one block, as 2x2x2 at stride 2.
  bool one_block() const noexcept { return one_block_; }

 private:
  explicit CornerTable(const Stencil& stencil);
  void add_pattern(Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs);

  const Stencil* stencil_;
  PooledVector<CornerPattern> patterns_;
  size_t lanes_a_pattern_;  // of taps_
  PooledVector<uint32_t> taps_;
  size_t most_taps_ = 0;
  bool one_block_ = true;
};

/// What an index tells of its blocks, in the order that boxes are gathered in.
class CornerSource {
 public:
  explicit CornerSource(const CoordIndex& index);

  const CoordIndex& index() const noexcept { return index_; }
  /// As BlockLookup::blocks_by_height has the blocks.
  const uint64_t* cells_by_height() const noexcept { return cells_by_height_.data(); }

 private:
  const CoordIndex& index_;
  PooledVector<uint64_t> cells_by_height_;
};

/// Blocks of outputs are gathered in batches and each step is taken for all of a batch, so that a step's loads do not
/// wait for those of the one before.
class CornerSearch {
 public:
  CornerSearch(const CornerTable& table, void (*find_edges)(const EdgeSearch&), const CornerSource& source,
               const CoordIndex& target);

  void enter_column(const BlockColumn& column);
  void search(const OutputGroup& group, int64_t tile_first, EdgeSink& sink) {
    for (int64_t first = group.first, last = 0; first < group.last; first = last) {
      if (groups_ == kMostGroups || rows_ == kMostRows) search_batch(sink);
      last = std::min(group.last, first + kMostRows - rows_);  // copies of a place may be many
      add(group, first, last, tile_first);
    }
  }
  void end_tile(EdgeSink& sink) { search_batch(sink); }

 private:
  static constexpr size_t kMostGroups = 32;
  static constexpr int64_t kMostRows = EdgeSearch::kMostOutputs;

  /// What a thread keeps from tile to tile.
  struct Batch {
    std::array<BoxColumns, kMostGroups + 1> columns;
    std::array<CornerOutputs, kMostGroups> outputs;
    PooledVector<uint32_t> blocks, edges;
  };
  static Batch& batch_of_thread();

  void search_batch(EdgeSink& sink);
  /// Adds the positions first .. last-1 of a group.
  void add(const OutputGroup& group, int64_t first, int64_t last, int64_t tile_first) {
    if (rows_ == 0) {
      first_position_ = first;
      first_slot_ = first - tile_first;
    }
    rows_ += last - first;
    CornerOutputs& outputs = batch_.outputs[groups_];
    outputs.columns = &batch_.columns[last_column_];
    outputs.patterns = table_.patterns() + stencil_.first_pattern(column_.x, column_.y, group.z);
    outputs.count = last - first;
    outputs.height = first_height_of_box(stencil_, group.z);
    ++groups_;
  }

  const CornerTable& table_;
  const Stencil& stencil_;
  void (*find_edges_)(const EdgeSearch&);
  const CornerSource& source_;
  const BlockLookup& lookup_;
  std::span<const uint8_t> cells_;

  Batch& batch_;
  size_t groups_ = 0;
  int64_t first_position_ = 0, first_slot_ = 0, rows_ = 0;
  BlockColumn column_ = {};  // of output blocks, at hand
  size_t last_column_ = 0;   // of the batch: its box
};

}  // namespace lattice::cpu
