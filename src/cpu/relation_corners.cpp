#include "cpu/relation_corners.h"

#include <algorithm>
#include <cstring>

#include "transpose.h"

namespace lattice::cpu {
namespace {

constexpr size_t kLanes = 16;  // of a vector of taps

static_assert(Stencil::kMostTaps <= 1 << (CornerTap::kSlotBit - CornerTap::kTapBit));
static_assert(kTileRows <= 1 << (32 - CornerTap::kSlotBit));
static_assert(BlockLookup::kMostBlocksAbove == Stencil::kMostBlocks);

}  // namespace

std::optional<CornerTable> CornerTable::make(const Stencil& stencil) {
  CornerTable table(stencil);
  bool fits = true;
  stencil.for_patterns([&](Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs) {
    for (const Stencil::AxisTaps taps : {xs, ys, zs}) {
      fits = fits && (taps.empty() || taps.back().cell / Block::kSide - taps.front().cell / Block::kSide <= 1);
    }
    if (fits) table.add_pattern(xs, ys, zs);
  });
  return fits ? std::optional(std::move(table)) : std::nullopt;
}

void CornerTable::add_pattern(Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs) {
  CornerPattern pattern = {};
  pattern.first = static_cast<uint32_t>(taps_.size());
  if (!xs.empty() && !ys.empty() && !zs.empty()) {
    const int x0 = xs.front().cell / Block::kSide, y0 = ys.front().cell / Block::kSide,
              z0 = zs.front().cell / Block::kSide;
    for (int block = 0; block < 8; ++block) {
      // A block beyond the box is read by no tap.
      const auto within = [this](int axis, int at) {
        return std::min(at, stencil_->blocks()[static_cast<size_t>(axis)] - 1);
      };
      pattern.blocks[block] = pattern.blocks[block + 8] = static_cast<uint32_t>(Stencil::box_block(
          within(0, x0 + (block >> 2)), within(1, y0 + (block >> 1 & 1)), within(2, z0 + (block & 1))));
    }
    for (const Stencil::AxisTap& x : xs) {
      for (const Stencil::AxisTap& y : ys) {
        for (const Stencil::AxisTap& z : zs) {
          const int32_t tap = stencil_->tap(x, y, z);
          const int block =
              (x.cell / Block::kSide - x0) << 2 | (y.cell / Block::kSide - y0) << 1 | (z.cell / Block::kSide - z0);
          one_block_ = one_block_ && block == 0;
          if (stencil_->searches(tap)) {
            taps_.push_back(CornerTap::of(Block::cell(x.cell, y.cell, z.cell), block, tap));
          }
        }
      }
    }
  }
  const size_t count = taps_.size() - pattern.first;
  most_taps_ = std::max(most_taps_, count);
  pattern.vectors = static_cast<uint32_t>(std::max<size_t>(1, (count + kLanes - 1) / kLanes));
  pattern.last_lanes = (1U << (count - (pattern.vectors - 1) * kLanes)) - 1;
  taps_.resize(pattern.first + pattern.vectors * kLanes, 0);
  patterns_.push_back(pattern);
}

CornerSearch::CornerSearch(const CornerTable& table, void (*find_edges)(const EdgeSearch&), const CoordIndex& source,
                           const CoordIndex& target)
    : table_(table),
      stencil_(table.stencil()),
      find_edges_(find_edges),
      source_(source),
      lookup_(source.lookup()),
      cells_(target.sorted().cells),
      batch_(batch_of_thread()) {
  const size_t most = static_cast<size_t>(kMostRows) * table.most_taps() + kLanes;
  if (batch_.edges.size() >= most) return;
  batch_.blocks.resize(most);
  batch_.edges.resize(most);
}

CornerSearch::Batch& CornerSearch::batch_of_thread() {
  static thread_local Batch batch;
  return batch;
}

void CornerSearch::enter_column(const BlockColumn& column) {
  column_ = column;
  // Where the batch holds nothing of the column before, its place is free.
  if (groups_ > 0 && batch_.outputs[groups_ - 1].columns == &batch_.columns[last_column_]) ++last_column_;
  BoxColumns& columns = batch_.columns[last_column_];
  for_columns_of_box(stencil_, lookup_, column, [&](int x, const auto& beside) {
    // Three numbers of four columns each, from four columns of three numbers and one more.
    const auto heights_of = [&](size_t y) {
      Four heights;
      std::memcpy(&heights, &lookup_.heights(beside[y]), sizeof(heights));
      return heights;
    };
    const auto [low, high, zero, unused] = transposed(heights_of(0), heights_of(1), heights_of(2), heights_of(3));
    const auto store = [x](int32_t* to, const Four& four) {
      std::memcpy(to + x * Stencil::kMostBlocks, &four, sizeof(four));
    };
    store(columns.low, low);
    store(columns.high, high);
    store(columns.zero, zero);
  });
}

void CornerSearch::search_batch(EdgeSink& sink) {
  if (groups_ == 0) return;
  const TileWriter::Lists lists = sink.lists();
  if (stencil_.own_tap() >= 0) {
    lists.add_own(stencil_.own_tap(), first_slot_, first_position_, first_position_ + rows_);
  }
  find_edges_({.blocks_by_height = lookup_.blocks_by_height().data(),
               .source_cells = source_.block_cells().data(),
               .source_first = source_.block_first().data(),
               .taps = table_.taps(),
               .box_x = stencil_.blocks()[0],
               .box_y = stencil_.blocks()[1],
               .one_block = table_.one_block(),
               .blocks_of_outputs = batch_.outputs.data(),
               .block_count = static_cast<int64_t>(groups_),
               .cells = cells_.data() + first_position_,
               .slot = first_slot_,
               .blocks = batch_.blocks.data(),
               .edges = batch_.edges.data(),
               .next = lists.next,
               .ranks = lists.ranks,
               .slots = lists.slots});
  // The column at hand may have more groups.
  if (last_column_ != 0) batch_.columns[0] = batch_.columns[last_column_];
  last_column_ = groups_ = 0;
  rows_ = 0;
}

}  // namespace lattice::cpu
