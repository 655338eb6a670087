#include "block_numbers.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>

#include "coord_index.h"
#include "distinct_coords.h"
#include "four_rows.h"
#include "held_places.h"

// A scan's blocks stand near one another: a bitmap over the set's ranges takes a few bytes a row. Setting the bits
// sorts the blocks, and counting those below a bit gives its block's number, without a comparison or a guess. Where the
// ranges are wide, as a whole turn of a LiDAR's, a bitmap numbers the columns first, and one over the heights of those
// that hold something the blocks. Sets whose ranges are large even then number their blocks by hash and sort those.

namespace lattice {
namespace {

using FourPlaces = uint32_t __attribute__((vector_size(16)));
using FourCells = uint8_t __attribute__((vector_size(4)));

// Beyond the first, a pass more over the rows takes less time than the bits; the second is 64 bytes of them, beside
// which a row itself takes 16.
constexpr uint64_t kFewPlacesARow = 32, kMostPlacesARow = 512;

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
  if (Of::kHasCells) {
    numbers.cells.reserve(numbers.heights.size() + 1);  // an index adds one
    numbers.cells.resize(numbers.heights.size());
  }
  for (size_t row = 0; row < numbers.of_row.size(); ++row) {
    const uint32_t number = number_of(numbers.of_row[row]);
    numbers.of_row[row] = number;
    if (Of::kHasCells) numbers.cells[number] |= uint64_t{1} << numbers.cell_of_row[row];
  }
}

/// The cells of rows in their blocks.
FourCells cells_of(const FourRows& rows) noexcept {
  constexpr int32_t kWithin = Block::kSide - 1;
  const Four cells =
      (rows.x & kWithin) << 2 * Block::kSideBits | (rows.y & kWithin) << Block::kSideBits | (rows.z & kWithin);
  // Of 32 bits each the lowest byte, which a compiler does not see in a conversion.
  using Bytes = uint8_t __attribute__((vector_size(16)));
  const auto bytes = std::bit_cast<Bytes>(cells);
  constexpr int kLow = std::endian::native == std::endian::little ? 0 : 3;
  return __builtin_shufflevector(bytes, bytes, kLow, kLow + 4, kLow + 8, kLow + 12);
}

template <typename Of>
BlockNumbers room_for(size_t rows) {
  BlockNumbers numbers;
  numbers.of_row.resize(rows);
  if (Of::kHasCells) numbers.cell_of_row.resize(rows);
  return numbers;
}

/// Where what is known of rows goes; pointers of their own, so that they stay in registers.
template <typename Of>
class RowPlaces {
 public:
  explicit RowPlaces(BlockNumbers& numbers)
      : of_row_(numbers.of_row.data()), cell_of_row_(numbers.cell_of_row.data()) {}
  void store(size_t row, size_t count, FourPlaces places, const FourRows& rows) const noexcept {
    std::memcpy(of_row_ + row, &places, count * sizeof(uint32_t));
    if constexpr (Of::kHasCells) {
      const FourCells cells = cells_of(rows);
      std::memcpy(cell_of_row_ + row, &cells, count);
    }
  }

 private:
  uint32_t* of_row_;
  uint8_t* cell_of_row_;
};

template <typename Of>
Coord block_of(const Coord& c) {
  return {c.batch, Of::block(c.x), Of::block(c.y), Of::block(c.z)};
}

/// The ranges of a set's blocks. A column's place in them is a number, y running fastest; a block's place in its column
/// is its height.
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

  /// How many places a column takes so that they are a power of two, and heights their remainders.
  uint64_t heights() const noexcept { return std::bit_ceil(z_); }
  /// How many columns there are, or more than `most`, which is at most 2^32.
  uint64_t columns(uint64_t most) const noexcept {
    uint64_t product = 1;
    for (const uint64_t size : {batches_, x_, y_}) {  // each at most 2^31
      product *= size;
      if (product > most) break;
    }
    return product;
  }
  /// Where there are at most 2^32 columns.
  FourPlaces columns_of(const FourRows& rows) const noexcept {
    const auto x = static_cast<uint32_t>(x_), y = static_cast<uint32_t>(y_);
    return (distance(low_.batch, rows.batch) * x + distance(low_.x, Of::block(rows.x))) * y +
           distance(low_.y, Of::block(rows.y));
  }
  FourPlaces heights_of(const FourRows& rows) const noexcept { return distance(low_.z, Of::block(rows.z)); }
  int32_t height_at(uint64_t height) const noexcept {
    return static_cast<int32_t>(low_.z + static_cast<int64_t>(height));
  }

  /// Turns columns' numbers, which stand in their y and rise, into where they are.
  template <typename ColumnPlace>
  void locate(std::span<BlockColumn> columns, const ColumnPlace& column_place) const {
    uint64_t row_first = uint64_t{1} << 63;  // the first place of the x at hand; at first far from any
    int32_t batch = 0, x = 0;
    for (BlockColumn& column : columns) {
      const uint64_t place = column_place(static_cast<uint32_t>(column.y));
      if (place - row_first >= y_) {
        const uint64_t row = place / y_;
        row_first = row * y_;
        batch = static_cast<int32_t>(low_.batch + static_cast<int64_t>(row / x_));
        x = static_cast<int32_t>(low_.x + static_cast<int64_t>(row % x_));
      }
      column.batch = batch;
      column.x = x;
      column.y = static_cast<int32_t>(low_.y + static_cast<int64_t>(place - row_first));
    }
  }

 private:
  static FourPlaces distance(int32_t from, Four to) noexcept {
    return std::bit_cast<FourPlaces>(to) - static_cast<uint32_t>(from);
  }

  Coord low_;
  uint64_t batches_ = 0, x_ = 0, y_ = 0, z_ = 0;
};

/// Numbers blocks by their places, and the rows whose places stand in numbers.of_row. The places are those of
/// `columns`, each of so many `heights`; column_place(i) is where column i stands in the ranges.
template <typename Of, typename ColumnPlace>
void number_by_place(HeldPlaces& places, uint64_t columns, uint64_t heights, const Ranges<Of>& ranges,
                     const ColumnPlace& column_place, BlockNumbers& numbers) {
  constexpr int kFewBlocks = 4;  // of a column
  const PooledVector<uint32_t> blocks = places.number<kFewBlocks>(numbers.of_row.size());
  numbers.heights.reserve(blocks.size() + 1);  // an index adds one, to the columns too
  numbers.heights.resize(blocks.size());
  numbers.columns.resize(std::min<uint64_t>(columns, blocks.size()) + 1);
  const int bits = std::countr_zero(heights);
  size_t count = 0;
  uint32_t previous = ~uint32_t{0};
  for (size_t block = 0; block < blocks.size(); ++block) {
    const auto column = static_cast<uint32_t>(uint64_t{blocks[block]} >> bits);
    numbers.heights[block] = ranges.height_at(blocks[block] & (heights - 1));
    // Written in any case, behind what was found so far.
    numbers.columns[count] = {.batch = 0,
                              .x = 0,
                              .y = static_cast<int32_t>(column),  // still its number
                              .first_block = static_cast<int32_t>(block)};
    count += column != previous ? 1 : 0;
    previous = column;
  }
  numbers.columns.resize(count);
  ranges.locate(numbers.columns, column_place);
  number_rows<Of>(numbers, [&](uint32_t place) { return places.number_of(place); });
}

/// Where the ranges' blocks are no more than a few a row.
template <typename Of>
BlockNumbers number_by_ranges(std::span<const Coord> coords, const Ranges<Of>& ranges, uint64_t columns) {
  BlockNumbers numbers = room_for<Of>(coords.size());
  const uint64_t heights = ranges.heights();
  HeldPlaces places(columns * heights);
  for_fours(coords,
            [&, to = RowPlaces<Of>(numbers), bits = places.bits()](size_t row, auto count, const FourRows& rows) {
              const FourPlaces at = ranges.columns_of(rows) * static_cast<uint32_t>(heights) + ranges.heights_of(rows);
              to.store(row, count, at, rows);
              for (size_t i = 0; i < 4; ++i) HeldPlaces::add(bits, at[i]);
            });
  number_by_place<Of>(places, columns, heights, ranges, std::identity(), numbers);
  return numbers;
}

/// The columns first, then the blocks of those that hold something: a scan fills few of its ranges' columns. None where
/// these have more than `most` places.
template <typename Of>
std::optional<BlockNumbers> number_by_columns(std::span<const Coord> coords, const Ranges<Of>& ranges, uint64_t columns,
                                              uint64_t most) {
  BlockNumbers numbers = room_for<Of>(coords.size());
  PooledVector<uint32_t> height_of_row(coords.size());
  HeldPlaces held_columns(columns);
  for_fours(coords, [&, to = RowPlaces<Of>(numbers), heights_to = height_of_row.data(), bits = held_columns.bits()](
                        size_t row, auto count, const FourRows& rows) {
    const FourPlaces at = ranges.columns_of(rows), heights_at = ranges.heights_of(rows);
    to.store(row, count, at, rows);
    std::memcpy(heights_to + row, &heights_at, count * sizeof(uint32_t));
    for (size_t i = 0; i < 4; ++i) HeldPlaces::add(bits, at[i]);
  });
  constexpr int kFewColumns = 8;  // beside one another
  const PooledVector<uint32_t> held = held_columns.number<kFewColumns>(coords.size());
  const uint64_t heights = std::max(ranges.heights(), HeldPlaces::kWord), places_held = held.size() * heights;
  if (places_held > most) return std::nullopt;
  HeldPlaces places(places_held);
  for (size_t row = 0; auto& place : numbers.of_row) {
    place = held_columns.number_of(place) * static_cast<uint32_t>(heights) + height_of_row[row++];
    HeldPlaces::add(places.bits(), place);
  }
  number_by_place<Of>(
      places, held.size(), heights, ranges, [&](uint32_t column) { return held[column]; }, numbers);
  return numbers;
}

template <typename Of>
BlockNumbers number_by_hash(std::span<const Coord> coords) {
  BlockNumbers numbers = room_for<Of>(coords.size());
  PooledVector<Coord> block_of_row(coords.size());
  for (size_t row = 0; row < coords.size(); ++row) {
    const Coord& c = coords[row];
    block_of_row[row] = block_of<Of>(c);
    if (Of::kHasCells) numbers.cell_of_row[row] = static_cast<uint8_t>(Block::cell(c.x, c.y, c.z));
  }
  const DistinctRows distinct = DistinctRows::of(block_of_row);
  const PooledVector<Coord> blocks = distinct.distinct_coords(block_of_row);
  PooledVector<uint32_t> sorted(blocks.size()), number(blocks.size());
  std::iota(sorted.begin(), sorted.end(), 0U);
  std::sort(sorted.begin(), sorted.end(), [&](uint32_t a, uint32_t b) { return blocks[a] < blocks[b]; });
  numbers.heights.reserve(blocks.size() + 1);
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
  std::copy(distinct.number_of_row.begin(), distinct.number_of_row.end(), numbers.of_row.begin());
  number_rows<Of>(numbers, [&](uint32_t at) { return number[at]; });
  return numbers;
}

template <typename Of>
BlockNumbers number(std::span<const Coord> coords, const CoordBounds& bounds) {
  if (coords.empty()) return {};
  const auto at_most = [&](uint64_t places_a_row) {
    return std::min<uint64_t>(coords.size() * places_a_row + 4096, uint64_t{1} << 32);
  };
  const Ranges<Of> ranges(bounds);
  const uint64_t few = at_most(kFewPlacesARow), most = at_most(kMostPlacesARow), columns = ranges.columns(most);
  if (columns <= few && columns * ranges.heights() <= few) return number_by_ranges(coords, ranges, columns);
  if (columns <= most) {
    if (auto numbers = number_by_columns(coords, ranges, columns, most)) return *std::move(numbers);
  }
  return number_by_hash<Of>(coords);
}

/// Of what consists of four numbers each.
template <typename Row>
CoordBounds bounds_of(std::span<const Row> rows) {
  if (rows.empty()) return {};
  auto low = std::bit_cast<Four>(rows[0]), high = low;
  for (const Row& row : rows) {
    const auto at = std::bit_cast<Four>(row);
    low = at < low ? at : low;
    high = at > high ? at : high;
  }
  return {std::bit_cast<Coord>(low), std::bit_cast<Coord>(high)};
}

}  // namespace

CoordBounds CoordBounds::of(std::span<const Coord> coords) {
  return bounds_of(coords);
}

CoordBounds CoordBounds::of_columns(std::span<const BlockColumn> columns) {
  return bounds_of(columns);
}

BlockNumbers BlockNumbers::of(std::span<const Coord> coords, const CoordBounds& bounds) {
  return number<OfCells>(coords, bounds);
}

BlockNumbers BlockNumbers::of_blocks(std::span<const Coord> blocks) {
  return number<OfBlocks>(blocks, CoordBounds::of(blocks));
}

CoordBounds BlockNumbers::bounds() const {
  if (heights.empty()) return {};
  auto [low, high] = CoordBounds::of_columns(columns);
  low.z = high.z = heights.front();
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
