#include "block_numbers.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <type_traits>

#include "coord_index.h"
#include "distinct_coords.h"
#include "transpose.h"

// A scan's blocks stand near one another: a bitmap over the set's ranges takes a few bytes a row. Setting the bits
// sorts the blocks, and counting those below a bit gives its block's number, without a comparison or a guess. Sets
// whose ranges are large beside their rows number their blocks by hash and sort those.

namespace lattice {
namespace {

using FourPlaces = uint32_t __attribute__((vector_size(16)));
using FourCells = uint8_t __attribute__((vector_size(4)));

/// How coordinates lead to blocks, and blocks to themselves.
struct OfCells {
  static constexpr bool kHasCells = true;
  static int32_t block(int32_t value) noexcept { return value >> Block::kSideBits; }
  static Four block(Four values) noexcept { return values >> Block::kSideBits; }
};
struct OfBlocks {
  static constexpr bool kHasCells = false;
  static int32_t block(int32_t value) noexcept { return value; }
  static Four block(Four values) noexcept { return values; }
};

/// Gives each row its block's number, and each block the cells of its rows, which are known.
template <typename Of, typename NumberOf>
void number_rows(BlockNumbers& numbers, const NumberOf& number_of) {
  if (Of::kHasCells) numbers.cells.resize(numbers.heights.size());
  for (size_t row = 0; row < numbers.of_row.size(); ++row) {
    const uint32_t number = number_of(numbers.of_row[row]);
    numbers.of_row[row] = number;
    if (Of::kHasCells) numbers.cells[number] |= uint64_t{1} << numbers.cell_of_row[row];
  }
}

/// Four rows, by axis.
struct FourRows {
  Four batch, x, y, z;

  static FourRows at(const Coord* rows) noexcept {
    const auto lanes = [rows](int row) { return std::bit_cast<Four>(rows[row]); };
    const auto [batch, x, y, z] = transposed(lanes(0), lanes(1), lanes(2), lanes(3));
    return {batch, x, y, z};
  }
  FourCells cells() const noexcept {
    constexpr int32_t kWithin = Block::kSide - 1;
    const Four cells = (x & kWithin) << 2 * Block::kSideBits | (y & kWithin) << Block::kSideBits | (z & kWithin);
    // Of 32 bits each the lowest byte, which a compiler does not see in a conversion.
    using Bytes = uint8_t __attribute__((vector_size(16)));
    const auto bytes = std::bit_cast<Bytes>(cells);
    constexpr int kLow = std::endian::native == std::endian::little ? 0 : 3;
    return __builtin_shufflevector(bytes, bytes, kLow, kLow + 4, kLow + 8, kLow + 12);
  }
};

/// Calls visit(first row, count, rows) for four rows after the other, a count that a compiler knows; the last ones may
/// be less, and repeated.
template <typename Visit>
void for_fours(std::span<const Coord> coords, const Visit& visit) {
  size_t row = 0;
  for (; row + 4 <= coords.size(); row += 4) {
    visit(row, std::integral_constant<size_t, 4>(), FourRows::at(&coords[row]));
  }
  if (row == coords.size()) return;
  std::array<Coord, 4> rest;
  rest.fill(coords.back());
  std::copy(coords.begin() + static_cast<std::ptrdiff_t>(row), coords.end(), rest.begin());
  visit(row, coords.size() - row, FourRows::at(rest.data()));
}

template <typename Of>
Coord block_of(const Coord& c) {
  return {c.batch, Of::block(c.x), Of::block(c.y), Of::block(c.z)};
}

/// The ranges of a set's blocks; a place in them is a number, z running fastest.
template <typename Of>
class Ranges {
 public:
  explicit Ranges(const CoordBounds& bounds) : low_(block_of<Of>(bounds.low)) {
    const Coord highest = block_of<Of>(bounds.high);
    const auto size = [](int32_t from, int32_t to) { return static_cast<uint64_t>(int64_t{to} - from + 1); };
    batches_ = size(low_.batch, highest.batch);
    x_ = size(low_.x, highest.x);
    y_ = size(low_.y, highest.y);
    z_ = size(low_.z, highest.z);
  }

  /// How many places there are, or more than `most`.
  uint64_t places(uint64_t most) const noexcept {
    uint64_t product = 1;
    for (const uint64_t size : {batches_, x_, y_, z_}) {  // each at most 2^31
      product *= size;
      if (product > most) break;
    }
    return product;
  }
  /// Where there are at most 2^32 places.
  FourPlaces places(const FourRows& rows) const noexcept {
    const auto distance = [](int32_t from, Four to) {
      return std::bit_cast<FourPlaces>(to) - static_cast<uint32_t>(from);
    };
    const auto x = static_cast<uint32_t>(x_), y = static_cast<uint32_t>(y_), z = static_cast<uint32_t>(z_);
    return ((distance(low_.batch, rows.batch) * x + distance(low_.x, Of::block(rows.x))) * y +
            distance(low_.y, Of::block(rows.y))) *
               z +
           distance(low_.z, Of::block(rows.z));
  }

  /// Adds the blocks of places, which must rise, to those that are there.
  class Lister {
   public:
    Lister(const Ranges& ranges, BlockNumbers& numbers) : ranges_(ranges), numbers_(numbers) {}
    void add(uint64_t place) {
      if (place - first_ >= ranges_.z_) enter(place / ranges_.z_);
      numbers_.heights.push_back(static_cast<int32_t>(ranges_.low_.z + int64_t(place - first_)));
    }

   private:
    void enter(uint64_t column) {
      first_ = column * ranges_.z_;
      if (column - row_first_ >= ranges_.y_) {
        const uint64_t row = column / ranges_.y_;
        row_first_ = row * ranges_.y_;
        at_.batch = static_cast<int32_t>(ranges_.low_.batch + int64_t(row / ranges_.x_));
        at_.x = static_cast<int32_t>(ranges_.low_.x + int64_t(row % ranges_.x_));
      }
      at_.y = static_cast<int32_t>(ranges_.low_.y + int64_t(column - row_first_));
      at_.first_block = static_cast<int32_t>(numbers_.heights.size());
      numbers_.columns.push_back(at_);
    }

    const Ranges& ranges_;
    BlockNumbers& numbers_;
    // The first place of the column at hand, and the first column of its x; at first far from any.
    uint64_t first_ = uint64_t{1} << 63, row_first_ = uint64_t{1} << 63;
    BlockColumn at_ = {};
  };

 private:
  Coord low_;
  uint64_t batches_ = 0, x_ = 0, y_ = 0, z_ = 0;
};

constexpr size_t kWordsAtOnce = 4;  // of which a bitmap has a multiple

/// Turns words of bits into blocks; how many blocks stand before each word that has some.
template <typename Of>
PooledVector<uint32_t> list_blocks(std::span<const uint64_t> held, const Ranges<Of>& ranges, BlockNumbers& numbers) {
  PooledVector<uint32_t> before(held.size());
  typename Ranges<Of>::Lister lister(ranges, numbers);
  for (size_t first = 0; first < held.size(); first += kWordsAtOnce) {
    const uint64_t* const words = &held[first];
    if ((words[0] | words[1] | words[2] | words[3]) == 0) continue;  // as most are
    for (size_t word = first; word < first + kWordsAtOnce; ++word) {
      before[word] = static_cast<uint32_t>(numbers.heights.size());
      for (uint64_t rest = held[word]; rest != 0; rest &= rest - 1) {
        lister.add(word * 64 + static_cast<uint64_t>(std::countr_zero(rest)));
      }
    }
  }
  return before;
}

template <typename Of>
BlockNumbers number_by_bitmap(std::span<const Coord> coords, const Ranges<Of>& ranges, uint64_t places) {
  BlockNumbers numbers;
  numbers.of_row.resize(coords.size());
  if (Of::kHasCells) numbers.cell_of_row.resize(coords.size());
  PooledVector<uint64_t> held((places / 64 / kWordsAtOnce + 1) * kWordsAtOnce, 0);
  for_fours(coords, [&, of_row = numbers.of_row.data(), cell_of_row = numbers.cell_of_row.data(), bits = held.data()](
                        size_t first, auto count, const FourRows& rows) {
    const FourPlaces places_of_rows = ranges.places(rows);
    std::memcpy(of_row + first, &places_of_rows, count * sizeof(uint32_t));
    if constexpr (Of::kHasCells) {
      const FourCells cells = rows.cells();
      std::memcpy(cell_of_row + first, &cells, count);
    }
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t place = places_of_rows[i];
      bits[place >> 6] |= uint64_t{1} << (place & 63);
    }
  });
  const PooledVector<uint32_t> before = list_blocks(held, ranges, numbers);
  number_rows<Of>(numbers, [&](uint32_t place) {
    const uint64_t below = held[place >> 6] & ((uint64_t{1} << (place & 63)) - 1);
    return before[place >> 6] + static_cast<uint32_t>(std::popcount(below));
  });
  return numbers;
}

template <typename Of>
BlockNumbers number_by_hash(std::span<const Coord> coords) {
  BlockNumbers numbers;
  numbers.of_row.reserve(coords.size());
  DistinctCoords distinct(static_cast<int64_t>(coords.size()));
  if (Of::kHasCells) numbers.cell_of_row.reserve(coords.size());
  for (const Coord& c : coords) {
    numbers.of_row.push_back(static_cast<uint32_t>(distinct.add(block_of<Of>(c))));
    if (Of::kHasCells) numbers.cell_of_row.push_back(static_cast<uint8_t>(Block::cell(c.x, c.y, c.z)));
  }
  const PooledVector<Coord> blocks = distinct.take();
  PooledVector<uint32_t> sorted(blocks.size()), number(blocks.size());
  std::iota(sorted.begin(), sorted.end(), 0U);
  std::sort(sorted.begin(), sorted.end(), [&](uint32_t a, uint32_t b) { return blocks[a] < blocks[b]; });
  numbers.heights.reserve(blocks.size());
  const Coord* previous = nullptr;
  for (const uint32_t at : sorted) {
    const Coord& block = blocks[at];
    const auto next = static_cast<uint32_t>(numbers.heights.size());
    if (previous == nullptr || block.y != previous->y || block.x != previous->x || block.batch != previous->batch) {
      numbers.columns.push_back({block.batch, block.x, block.y, static_cast<int32_t>(next)});
    }
    previous = &block;
    number[at] = next;
    numbers.heights.push_back(block.z);
  }
  number_rows<Of>(numbers, [&](uint32_t at) { return number[at]; });
  return numbers;
}

template <typename Of>
BlockNumbers number(std::span<const Coord> coords, const CoordBounds& bounds) {
  if (coords.empty()) return {};
  // At most 64 bytes of bits a row, beside which rows themselves take 16.
  const uint64_t most = std::min<uint64_t>(coords.size() * 512 + 4096, uint64_t{1} << 32);
  const Ranges<Of> ranges(bounds);
  const uint64_t places = ranges.places(most);
  return places <= most ? number_by_bitmap(coords, ranges, places) : number_by_hash<Of>(coords);
}

}  // namespace

CoordBounds CoordBounds::of(std::span<const Coord> coords) {
  if (coords.empty()) return {};
  using Lanes = int32_t __attribute__((vector_size(16)));
  Lanes low = std::bit_cast<Lanes>(coords[0]), high = low;
  for (const Coord& c : coords) {
    const auto at = std::bit_cast<Lanes>(c);
    low = at < low ? at : low;
    high = at > high ? at : high;
  }
  return {std::bit_cast<Coord>(low), std::bit_cast<Coord>(high)};
}

BlockNumbers BlockNumbers::of(std::span<const Coord> coords, const CoordBounds& bounds) {
  return number<OfCells>(coords, bounds);
}

BlockNumbers BlockNumbers::of_blocks(std::span<const Coord> blocks) {
  return number<OfBlocks>(blocks, CoordBounds::of(blocks));
}

CoordBounds BlockNumbers::bounds() const {
  if (heights.empty()) return {};
  const BlockColumn &first = columns.front(), &last = columns.back();
  Coord low = {first.batch, first.x, first.y, heights.front()}, high = {last.batch, low.x, low.y, low.z};
  for (const BlockColumn& column : columns) {
    low.x = std::min(low.x, column.x);
    high.x = std::max(high.x, column.x);
    low.y = std::min(low.y, column.y);
    high.y = std::max(high.y, column.y);
  }
  for (const int32_t z : heights) {
    low.z = std::min(low.z, z);
    high.z = std::max(high.z, z);
  }
  for (int32_t Coord::*axis : {&Coord::x, &Coord::y, &Coord::z}) {
    low.*axis *= Block::kSide;
    high.*axis = high.*axis * Block::kSide + (Block::kSide - 1);
  }
  return {low, high};
}

PooledVector<Coord> BlockNumbers::blocks() const {
  PooledVector<Coord> blocks;
  blocks.reserve(heights.size());
  for (size_t column = 0; column < columns.size(); ++column) {
    const auto& [batch, x, y, first] = columns[column];
    const size_t last =
        column + 1 < columns.size() ? static_cast<size_t>(columns[column + 1].first_block) : heights.size();
    for (auto block = static_cast<size_t>(first); block < last; ++block)
      blocks.push_back({batch, x, y, heights[block]});
  }
  return blocks;
}

}  // namespace lattice
