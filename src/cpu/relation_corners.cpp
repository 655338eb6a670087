#include "cpu/relation_corners.h"

#include <algorithm>
#include <cstring>

#include "transpose.h"

namespace lattice::cpu {
namespace {

constexpr size_t kLanes = 16;  // of a vector of taps

int block_of(const Stencil::AxisTap& tap) {
  return tap.cell >> Block::kSideBits;
}

size_t vectors_of(size_t taps) {
  return std::max<size_t>(1, (taps + kLanes - 1) / kLanes);
}

static_assert(Stencil::kMostTaps <= 1 << (CornerTap::kSlotBit - CornerTap::kTapBit));
static_assert(kTileRows <= 1 << (32 - CornerTap::kSlotBit));
static_assert(BlockLookup::kMostBlocksAbove == Stencil::kMostBlocks);

}  // namespace

std::optional<CornerTable> CornerTable::make(const Stencil& stencil) {
  CornerTable table(stencil);
  table.patterns_.reserve(stencil.patterns());
  table.taps_.resize(stencil.patterns() * table.lanes_a_pattern_);
  bool fits = true;
  stencil.for_patterns([&](Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs) {
    for (const Stencil::AxisTaps taps : {xs, ys}) {
      fits = fits && (taps.empty() || block_of(taps.back()) - block_of(taps.front()) <= 1);
    }
    if (fits) table.add_pattern(xs, ys, zs);
  });
  return fits ? std::optional(std::move(table)) : std::nullopt;
}

CornerTable::CornerTable(const Stencil& stencil)
    : stencil_(&stencil), lanes_a_pattern_(vectors_of(stencil.most_taps()) * kLanes) {}

void CornerTable::add_pattern(Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs) {
  const size_t first = patterns_.size() * lanes_a_pattern_;
  CornerPattern& pattern = patterns_.emplace_back();
  size_t count = 0;
  if (!xs.empty() && !ys.empty() && !zs.empty()) {
    // Two columns on x and on y, of which none lies beyond a box of two.
    const auto first_of_two = [this](const Stencil::AxisTap& tap, size_t axis) {
      return std::min(block_of(tap), std::max(stencil_->blocks()[axis], 2) - 2);
    };
    const int x0 = first_of_two(xs.front(), 0), y0 = first_of_two(ys.front(), 1);
    pattern.corner = static_cast<uint32_t>(Stencil::box_block(x0, y0, 0));
    const auto place = [](const Stencil::AxisTap& x, const Stencil::AxisTap& y, const Stencil::AxisTap& z) {
      return static_cast<uint32_t>(Stencil::box_block(block_of(x), block_of(y), block_of(z)));
    };
    pattern.only_block = place(xs.front(), ys.front(), zs.front());
    uint32_t* const taps = taps_.data() + first;
    for (const Stencil::AxisTap& x : xs) {
      for (const Stencil::AxisTap& y : ys) {
        for (const Stencil::AxisTap& z : zs) {
          const int32_t tap = stencil_->tap(x, y, z);
          const int block = ((block_of(x) - x0) * 2 + block_of(y) - y0) * Stencil::kMostBlocks + block_of(z);
          one_block_ = one_block_ && place(x, y, z) == pattern.only_block;
          taps[count] = CornerTap::of(Block::cell(x.cell, y.cell, z.cell), block, tap);  // the next one's where not
          count += stencil_->searches(tap) ? 1 : 0;
        }
      }
    }
  }
  pattern.first = static_cast<uint32_t>(first);
  pattern.vectors = static_cast<uint32_t>(vectors_of(count));
  pattern.last_lanes = (1U << (count - (pattern.vectors - 1) * kLanes)) - 1;
  most_taps_ = std::max(most_taps_, count);
}

CornerSource::CornerSource(const CoordIndex& index)
    : index_(index), cells_by_height_(index.lookup().blocks_by_height().size()) {
  const std::span<const int32_t> places = index.lookup().places_by_block();
  const uint64_t* const cells = index.block_cells().data();
  uint64_t* const to = cells_by_height_.data();
  for (size_t block = 0; block < places.size(); ++block) to[places[block]] = cells[block];
}

CornerSearch::CornerSearch(const CornerTable& table, void (*find_edges)(const EdgeSearch&), const CornerSource& source,
                           const CoordIndex& target)
    : table_(table),
      stencil_(table.stencil()),
      find_edges_(find_edges),
      source_(source),
      lookup_(source.index().lookup()),
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
               .cells_by_height = source_.cells_by_height(),
               .source_cells = source_.index().block_cells().data(),
               .source_first = source_.index().block_first().data(),
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
