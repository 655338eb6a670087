#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "coord_index.h"

// The radix sort behind CoordIndex.

namespace lattice {

/// How coordinates become integers that sort by block, then cell: each axis counts from the set's lowest block and
/// takes as many bits as the set's range needs; the cell's bits are lowest.
struct BlockFrame {
  Coord low;  // batch, and blocks of x, y, z
  int z_shift = Block::kCellBits, y_shift = 0, x_shift = 0, batch_shift = 0, bits = 0;

  static BlockFrame of(std::span<const Coord> coords);

  template <typename Key>
  Key key(const Coord& c) const noexcept {
    const auto field = [](int64_t value, int64_t lowest) { return static_cast<Key>(value - lowest); };
    return field(c.batch, low.batch) << batch_shift | field(Block::of(c.x), low.x) << x_shift |
           field(Block::of(c.y), low.y) << y_shift | field(Block::of(c.z), low.z) << z_shift |
           static_cast<Key>(Block::cell(c.x, c.y, c.z));
  }
  template <typename Key>
  Coord block_of(Key key) const noexcept {
    const auto field = [key](int shift, int next) {
      return static_cast<int64_t>(key >> shift & ((Key{1} << (next - shift)) - 1));
    };
    return {static_cast<int32_t>(field(batch_shift, bits) + low.batch),
            static_cast<int32_t>(field(x_shift, batch_shift) + low.x),
            static_cast<int32_t>(field(y_shift, x_shift) + low.y),
            static_cast<int32_t>(field(z_shift, y_shift) + low.z)};
  }
};

/// Key and row in one word, the row in its low bits: what nearly every set is sorted as.
class PackedCoords {
 public:
  using Item = uint64_t;

  PackedCoords(const BlockFrame& frame, int row_bits) : frame_(frame), row_bits_(row_bits) {}

  const BlockFrame& frame() const noexcept { return frame_; }
  Item item(const Coord& c, size_t row) const noexcept { return frame_.key<uint64_t>(c) << row_bits_ | row; }
  uint32_t digit(Item item, int shift) const noexcept { return static_cast<uint32_t>(item >> (row_bits_ + shift)); }
  static bool less(Item a, Item b) noexcept { return a < b; }

  size_t size() const noexcept { return items_.size(); }
  uint64_t key(size_t at) const noexcept { return at < items_.size() ? items_[at] >> row_bits_ : 0; }
  int32_t row(size_t at) const noexcept { return static_cast<int32_t>(items_[at] & ((uint64_t{1} << row_bits_) - 1)); }
  PooledVector<Item>& items() noexcept { return items_; }
  void sort(size_t first, size_t last) {
    std::sort(items_.begin() + static_cast<std::ptrdiff_t>(first), items_.begin() + static_cast<std::ptrdiff_t>(last),
              less);
  }

 private:
  BlockFrame frame_;
  int row_bits_;
  PooledVector<Item> items_;
};

/// Coordinates that span nearly all of int32 on every axis need keys of up to 127 bits.
class WideCoords {
 public:
  using Key = unsigned __int128;
  struct Item {
    Key key;
    int32_t row;
  };

  explicit WideCoords(const BlockFrame& frame) : frame_(frame) {}

  const BlockFrame& frame() const noexcept { return frame_; }
  Item item(const Coord& c, size_t row) const noexcept { return {frame_.key<Key>(c), static_cast<int32_t>(row)}; }
  uint32_t digit(const Item& item, int shift) const noexcept { return static_cast<uint32_t>(item.key >> shift); }
  static bool less(const Item& a, const Item& b) noexcept { return a.key != b.key ? a.key < b.key : a.row < b.row; }

  size_t size() const noexcept { return items_.size(); }
  Key key(size_t at) const noexcept { return at < items_.size() ? items_[at].key : 0; }
  int32_t row(size_t at) const noexcept { return items_[at].row; }
  PooledVector<Item>& items() noexcept { return items_; }
  void sort(size_t first, size_t last) {
    std::sort(items_.begin() + static_cast<std::ptrdiff_t>(first), items_.begin() + static_cast<std::ptrdiff_t>(last),
              less);
  }

 private:
  BlockFrame frame_;
  PooledVector<Item> items_;
};

// 4096 counters of 4 bytes fit the first-level cache; the 22 to 24 bits of a scan's blocks take two passes.
inline constexpr int kMostDigitBits = 12;
// Below this a comparison sort is quicker than clearing the counters of the passes.
inline constexpr size_t kFewItems = 256;
// Fewer rows than this a thread are not worth the threads' start.
inline constexpr size_t kLeastRowsAThread = 4096;

/// Stable least-significant-digit radix sort of coords.items() by block; what stands within a block keeps the order of
/// rows. With several threads each takes a consecutive part of
/// the items in every pass, so that the result does not depend on their number.
template <typename Coords>
void sort_by_digits(std::span<const Coord> rows, Coords& coords, int threads, const ForEach& for_each) {
  using Item = typename Coords::Item;
  PooledVector<Item>& items = coords.items();
  const size_t count = rows.size();
  items.resize(count);
  if (count < kFewItems) {
    for (size_t row = 0; row < count; ++row) items[row] = coords.item(rows[row], row);
    return coords.sort(0, count);
  }
  const size_t parts = std::clamp<size_t>(count / kLeastRowsAThread, 1, static_cast<size_t>(threads));
  const auto begin_of = [&](size_t part) { return count * part / parts; };
  const auto for_parts = [&](const auto& task) {
    if (parts == 1) return task(size_t{0});
    for_each(static_cast<int64_t>(parts), [&](int64_t part) { task(static_cast<size_t>(part)); });
  };
  const int bits = std::max(1, coords.frame().bits - Block::kCellBits);
  const int passes = (bits + kMostDigitBits - 1) / kMostDigitBits;
  const int digit_bits = (bits + passes - 1) / passes;
  const size_t digits = size_t{1} << digit_bits;
  const auto digit = [&](const Item& item, int pass) {
    return coords.digit(item, Block::kCellBits + pass * digit_bits) & (digits - 1);
  };

  PooledVector<Item> other(count);
  // By part and digit, first counts and then where the next item goes. A single part counts for all passes at once.
  PooledVector<uint32_t> next(digits * (parts == 1 ? static_cast<size_t>(passes) : parts), 0);
  for_parts([&](size_t part) {
    for (size_t row = begin_of(part); row < begin_of(part + 1); ++row) {
      items[row] = coords.item(rows[row], row);
      if (parts > 1) continue;
      for (int pass = 0; pass < passes; ++pass) ++next[static_cast<size_t>(pass) * digits + digit(items[row], pass)];
    }
  });
  for (int pass = 0; pass < passes; ++pass) {
    uint32_t* const starts = next.data() + (parts == 1 ? static_cast<size_t>(pass) * digits : 0);
    if (parts > 1) {
      for_parts([&](size_t part) {
        uint32_t* const counts = starts + part * digits;
        std::fill_n(counts, digits, 0U);
        for (size_t i = begin_of(part); i < begin_of(part + 1); ++i) ++counts[digit(items[i], pass)];
      });
    }
    uint32_t sum = 0;
    for (size_t value = 0; value < digits; ++value) {
      for (size_t part = 0; part < parts; ++part) sum += std::exchange(starts[part * digits + value], sum);
    }
    for_parts([&](size_t part) {
      uint32_t* const to = starts + part * digits;
      for (size_t i = begin_of(part); i < begin_of(part + 1); ++i) other[to[digit(items[i], pass)]++] = items[i];
    });
    items.swap(other);
  }
}

/// Calls visit with the PackedCoords or WideCoords of the rows, sorted by block.
template <typename Visit>
void with_sorted_coords(std::span<const Coord> coords, int threads, const ForEach& for_each, const Visit& visit) {
  const BlockFrame frame = BlockFrame::of(coords);
  const auto row_bits = static_cast<int>(std::bit_width(coords.size()));
  if (frame.bits + row_bits <= 64) {
    PackedCoords sorted(frame, row_bits);
    sort_by_digits(coords, sorted, threads, for_each);
    visit(sorted);
  } else {
    WideCoords sorted(frame);
    sort_by_digits(coords, sorted, threads, for_each);
    visit(sorted);
  }
}

inline BlockFrame BlockFrame::of(std::span<const Coord> coords) {
  BlockFrame frame;
  if (coords.empty()) return frame;
  Coord lo = coords[0], hi = coords[0];
  for (const Coord& c : coords) {
    lo = {std::min(lo.batch, c.batch), std::min(lo.x, c.x), std::min(lo.y, c.y), std::min(lo.z, c.z)};
    hi = {std::max(hi.batch, c.batch), std::max(hi.x, c.x), std::max(hi.y, c.y), std::max(hi.z, c.z)};
  }
  const auto block = [](int32_t value) { return static_cast<int32_t>(Block::of(value)); };
  const auto bits_for = [](int64_t lowest, int64_t highest) {
    return static_cast<int>(std::bit_width(static_cast<uint64_t>(highest - lowest)));
  };
  frame.low = {lo.batch, block(lo.x), block(lo.y), block(lo.z)};
  frame.y_shift = frame.z_shift + bits_for(frame.low.z, block(hi.z));
  frame.x_shift = frame.y_shift + bits_for(frame.low.y, block(hi.y));
  frame.batch_shift = frame.x_shift + bits_for(frame.low.x, block(hi.x));
  frame.bits = frame.batch_shift + bits_for(lo.batch, hi.batch);
  return frame;
}

}  // namespace lattice
