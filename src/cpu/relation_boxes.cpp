#include "cpu/relation_boxes.h"

#include <algorithm>

namespace lattice::cpu {
namespace {

int row_bits_of(const Stencil& stencil) {
  const auto lies_within = [&](int axis, int first, int last) {
    const auto at = static_cast<size_t>(axis);
    return stencil.lowest()[at] == first && stencil.highest()[at] <= last;
  };
  const auto others_lie_within = [&](int first, int last) {
    return lies_within(1, first, last) && lies_within(2, first, last);
  };
  const bool low = lies_within(0, 0, 7) && others_lie_within(0, 7);
  const bool middle = (lies_within(0, 3, 10) || lies_within(0, 0, 4)) && others_lie_within(3, 10);
  return low || middle ? 8 : 16;
}

BoxSource::Rows rows_of(uint64_t cells) {
  using Words = uint64_t __attribute__((vector_size(16)));
  constexpr uint64_t kEven = 0x0F0F0F0F0F0F0F0F;
  const Words even = {cells & kEven, 0}, odd = {cells >> 4 & kEven, 0};
  return __builtin_shufflevector(reinterpret_cast<BoxSource::Rows>(even), reinterpret_cast<BoxSource::Rows>(odd), 0, 16,
                                 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

}  // namespace

BoxSource::BoxSource(const CoordIndex& source, Workers& workers)
    : lookup_(source.lookup()), blocks_(source.block_cells().size()) {
  constexpr int64_t kBlocksAtOnce = 4096;
  workers.for_blocks(static_cast<int64_t>(blocks_.size()), kBlocksAtOnce, [&](int64_t first, int64_t last) {
    for (auto number = static_cast<size_t>(first); number < static_cast<size_t>(last); ++number) {
      const lattice::Block block = source.block(number);
      blocks_[number] = {block, rows_of(block.cells)};
    }
  });
}

BoxTable::BoxTable(const Stencil& stencil) : stencil_(stencil), row_bits_(row_bits_of(stencil)) {
  stencil.for_patterns(
      [this](Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs) { add_pattern(xs, ys, zs); });
}

void BoxTable::add_pattern(Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs) {
  Pattern pattern = {static_cast<uint32_t>(words_.size()), 0};
  // The taps from `first` on that reach over fewer than `cells` cells.
  const auto near = [](Stencil::AxisTaps taps, size_t first, int cells) {
    size_t last = first;
    while (last < taps.size() && taps[last].cell - taps[first].cell < cells) ++last;
    return taps.subspan(first, last - first);
  };
  if (!xs.empty() && !zs.empty()) {
    const int bits = zs.back().cell - zs.front().cell + 1;
    for (size_t first_y = 0; first_y < ys.size();) {
      const Stencil::AxisTaps rows = near(ys, first_y, 64 / row_bits_);
      const int all_rows = rows.back().cell - rows.front().cell + 1;
      // Side by side in the rows, and as often above one another as the word holds.
      const auto slices = static_cast<size_t>(std::min(kMostSlices, row_bits_ / bits * (64 / row_bits_ / all_rows)));
      for (size_t first_x = 0; first_x < xs.size(); first_x += slices) {
        add_word(xs.subspan(first_x, std::min(slices, xs.size() - first_x)), rows, zs);
      }
      first_y += rows.size();
    }
  }
  pattern.last_word = static_cast<uint32_t>(words_.size());
  patterns_.push_back(pattern);
}

void BoxTable::add_word(Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs) {
  const bool whole = row_bits_ == 8;  // slices
  const int bits = zs.back().cell - zs.front().cell + 1, rows = ys.back().cell - ys.front().cell + 1;
  const int first_row = whole ? ys.front().cell - stencil_.lowest()[1] : ys.front().cell % Block::kSide;
  Word word = {.mask = 0,
               .searched = 0,
               .first_x = xs[0].cell,
               .x_step = xs.size() > 1 ? xs[1].cell - xs[0].cell : 0,
               .slices = static_cast<int>(xs.size()),
               .quad = whole ? 0 : ys.front().cell / Block::kSide,
               .row_shift = first_row * row_bits_,
               .z = zs.front().cell - (whole ? stencil_.lowest()[2] : 0),
               .place = {},
               .reach = {}};
  for (int slice = 0; slice < word.slices; ++slice) {
    const int beside = row_bits_ / bits;
    const int place = slice % beside * bits + slice / beside * rows * row_bits_;
    word.place[static_cast<size_t>(slice)] = static_cast<uint8_t>(place);
    const Stencil::AxisTap& x = xs[static_cast<size_t>(slice)];
    for (const Stencil::AxisTap& y : ys) {
      for (const Stencil::AxisTap& z : zs) {
        const int at = (y.cell - ys.front().cell) * row_bits_ + z.cell - zs.front().cell;
        const int32_t tap = stencil_.tap(x, y, z);
        word.mask |= uint64_t{1} << at;
        if (stencil_.searches(tap)) word.searched |= uint64_t{1} << (place + at);
        const int block = Stencil::box_block(x.cell / Block::kSide, y.cell / Block::kSide, z.cell / Block::kSide);
        word.reach[static_cast<size_t>(place + at)] = {
            .tap = static_cast<uint16_t>(tap),
            .block = static_cast<uint8_t>(block),
            .cell = static_cast<uint8_t>(Block::cell(x.cell, y.cell, z.cell))};
      }
    }
  }
  words_.push_back(word);
}

}  // namespace lattice::cpu
