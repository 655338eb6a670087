#include "cpu/output_coords.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "cpu/axis_reach.h"
#include "distinct_coords.h"
#include "fail.h"

// How the outputs of a convolution are found, each once, in the order of the inputs that lead to them first. It is
// known beforehand which blocks of outputs a block of inputs leads to, so these are numbered before any output is: an
// input then finds its outputs by its block's table of numbers, and sees by one mask which of them are not there yet.
// The numbers serve the outputs' own index as well.

namespace lattice::cpu {
namespace {

bool fits_int32(int64_t value) {
  return value >= kInt32Range.first && value <= kInt32Range.second;
}

int32_t narrow(int64_t value, int64_t row, const Coord& from, std::string_view operation) {
  if (!fits_int32(value)) {
    fail(ErrorCode::out_of_range,
         "{}: input row {} at {} leads to the output coordinate {}, which does not fit int32; subtract an origin first",
         operation, row, to_string(from), value);
  }
  return static_cast<int32_t>(value);
}

template <typename Axis>
using Axes = std::array<Axis, 3>;  // x, y, z

/// Calls visit(output) for all that an input reaches, in the order of taps. Throws where one leaves int32.
template <typename Axis, typename Visit>
void for_outputs(const Axes<Axis>& axes, int64_t row, const Coord& from, std::string_view operation,
                 const Visit& visit) {
  const Reached xs = axes[0].from(from.x), ys = axes[1].from(from.y), zs = axes[2].from(from.z);
  for (int64_t ix = 0, x = xs.first; ix < xs.count; ++ix, x += axes[0].step()) {
    for (int64_t iy = 0, y = ys.first; iy < ys.count; ++iy, y += axes[1].step()) {
      for (int64_t iz = 0, z = zs.first; iz < zs.count; ++iz, z += axes[2].step()) {
        visit(Coord{from.batch, narrow(x, row, from, operation), narrow(y, row, from, operation),
                    narrow(z, row, from, operation)});
      }
    }
  }
}

/// The tables of the three axes.
using Reach = std::array<AxisReach, 3>;

/// The outputs of an input, in the order of taps, by the phases of its block and by its cell.
class Patterns {
 public:
  struct Output {
    uint8_t part;  // of what its block leads to, z running fastest
    uint8_t cell;
  };

  explicit Patterns(const Reach& reach) : y_phases_(reach[1].phases()), z_phases_(reach[2].phases()) {
    first_.reserve(reach[0].phases() * y_phases_ * z_phases_ * Block::kCells + 1);
    first_.push_back(0);
    for (size_t x = 0; x < reach[0].phases(); ++x) {
      for (size_t y = 0; y < y_phases_; ++y) {
        for (size_t z = 0; z < z_phases_; ++z) add(reach[0].phase(x), reach[1].phase(y), reach[2].phase(z));
      }
    }
  }

  /// The pattern of cell 0 in a block of these phases; those of the other cells follow.
  uint32_t at(size_t x, size_t y, size_t z) const noexcept {
    return static_cast<uint32_t>(((x * y_phases_ + y) * z_phases_ + z) * Block::kCells);
  }
  std::span<const Output> outputs(uint32_t pattern) const noexcept {
    return {outputs_.data() + first_[pattern], outputs_.data() + first_[pattern + 1]};
  }
  /// Of one pattern, at most.
  size_t most_outputs() const noexcept { return most_outputs_; }
  /// Whether each input has one output: only_output() of its pattern.
  bool have_one_output() const noexcept { return most_outputs_ == 1 && outputs_.size() + 1 == first_.size(); }
  Output only_output(uint32_t pattern) const noexcept { return outputs_[pattern]; }

 private:
  void add(const AxisReach::Phase& x_phase, const AxisReach::Phase& y_phase, const AxisReach::Phase& z_phase) {
    for (size_t cell = 0; cell < Block::kCells; ++cell) {
      const AxisReach::FromCell &x = x_phase.from[cell >> 4], &y = y_phase.from[cell >> 2 & 3],
                                &z = z_phase.from[cell & 3];
      for (size_t ix = 0; ix < static_cast<size_t>(x.count); ++ix) {
        for (size_t iy = 0; iy < static_cast<size_t>(y.count); ++iy) {
          for (size_t iz = 0; iz < static_cast<size_t>(z.count); ++iz) {
            const int part = (x.part[ix] * y_phase.parts + y.part[iy]) * z_phase.parts + z.part[iz];
            outputs_.push_back(
                {static_cast<uint8_t>(part), static_cast<uint8_t>(x.cell[ix] << 4 | y.cell[iy] << 2 | z.cell[iz])});
          }
        }
      }
      most_outputs_ = std::max(most_outputs_, outputs_.size() - first_.back());
      first_.push_back(static_cast<uint32_t>(outputs_.size()));
    }
  }

  size_t y_phases_, z_phases_;
  PooledVector<uint32_t> first_;
  PooledVector<Output> outputs_;
  size_t most_outputs_ = 0;
};

/// The blocks of outputs that each block of inputs leads to.
class ReachedBlocks {
 public:
  /// One block of inputs.
  struct From {
    uint32_t first;         // where the numbers of its blocks of outputs stand, by part
    uint32_t pattern : 31;  // of its cell 0
    uint32_t inside : 1;    // nothing that it reaches is left out, or leaves int32
  };

  template <typename Axis>
  ReachedBlocks(const CoordIndex& source, const Axes<Axis>& axes, const Reach& reach, const Patterns& patterns);

  const From& from(uint32_t input_block) const noexcept { return from_[input_block]; }
  /// The number of a block of outputs.
  uint32_t number(const From& from, uint32_t part) const noexcept { return numbers_[from.first + part]; }
  /// The blocks of outputs, once.
  BlockNumbers take_blocks() { return std::move(blocks_); }

 private:
  PooledVector<From> from_;
  PooledVector<uint32_t> numbers_;  // by part; any where no input leads there
  BlockNumbers blocks_;
};

template <typename Axis>
ReachedBlocks::ReachedBlocks(const CoordIndex& source, const Axes<Axis>& axes, const Reach& reach,
                             const Patterns& patterns) {
  using Inputs = std::array<uint64_t, AxisReach::kMostParts>;  // by part: the cells of a block that lead there
  const auto inputs = [&](int axis, const AxisReach::Place& place, int64_t block) {
    const AxisReach::Phase& phase = reach[static_cast<size_t>(axis)].phase(place.phase);
    if (place.inside) return phase.inputs;
    Inputs clipped = {};
    const Axis& along = axes[static_cast<size_t>(axis)];
    for (int cell = 0; cell < Block::kSide; ++cell) {
      const Reached reached = along.from(block * Block::kSide + cell);
      for (int64_t i = 0; i < reached.count; ++i) {
        const int64_t part = Block::of(reached.first + i * along.step()) - place.first_block;
        clipped[static_cast<size_t>(part)] |= AxisReach::plane(axis, cell);
      }
    }
    return clipped;
  };
  const size_t blocks = source.block_count();
  from_.reserve(blocks);
  numbers_.reserve(blocks);
  PooledVector<Coord> reached;
  reached.reserve(blocks);
  for (size_t column = 0; column + 1 < source.columns().size(); ++column) {
    const BlockColumn& at = source.columns()[column];
    const AxisReach::Place x = reach[0].place(at.x), y = reach[1].place(at.y);
    const int x_parts = reach[0].phase(x.phase).parts, y_parts = reach[1].phase(y.phase).parts;
    const Inputs x_inputs = inputs(0, x, at.x), y_inputs = inputs(1, y, at.y);
    const int32_t last = source.columns()[column + 1].first_block;
    for (int32_t number = at.first_block; number < last; ++number) {
      const Block block = source.block(static_cast<size_t>(number));
      const AxisReach::Place z = reach[2].place(block.z);
      const int z_parts = reach[2].phase(z.phase).parts;
      const Inputs z_inputs = inputs(2, z, block.z);
      from_.push_back({.first = static_cast<uint32_t>(numbers_.size()),
                       .pattern = patterns.at(x.phase, y.phase, z.phase) & 0x7FFFFFFF,
                       .inside = x.inside && y.inside && z.inside});
      for (int ix = 0; ix < x_parts; ++ix) {
        for (int iy = 0; iy < y_parts; ++iy) {
          const uint64_t cells = block.cells & x_inputs[static_cast<size_t>(ix)] & y_inputs[static_cast<size_t>(iy)];
          for (int iz = 0; iz < z_parts; ++iz) {
            const bool leads = (cells & z_inputs[static_cast<size_t>(iz)]) != 0;
            numbers_.push_back(static_cast<uint32_t>(reached.size()));  // for the time being
            if (!leads) continue;
            reached.push_back({at.batch, static_cast<int32_t>(x.first_block + ix),
                               static_cast<int32_t>(y.first_block + iy), static_cast<int32_t>(z.first_block + iz)});
          }
        }
      }
    }
  }
  BlockNumbers numbers = BlockNumbers::of_blocks(reached);
  numbers.of_row.push_back(0);  // of a part without inputs behind the last reached one
  for (uint32_t& number : numbers_) number = numbers.of_row[number];
  blocks_ = std::move(numbers);
}

/// The outputs found so far.
class Outputs {
 public:
  /// In these blocks, of which it is not known yet what they hold.
  Outputs(BlockNumbers blocks, int64_t expected) : blocks_(std::move(blocks)) {
    blocks_.cells.reserve(blocks_.heights.size() + 1);  // an index adds one
    blocks_.cells.assign(blocks_.heights.size(), 0);
    blocks_.of_row.clear();
    reserve(static_cast<size_t>(expected));
  }

  /// Makes room for `count` more.
  void reserve(size_t count) {
    if (count_ + count <= coords_.size()) return;
    const size_t room = std::max(count_ + count, coords_.size() + coords_.size() / 2);
    coords_.resize(room);
    blocks_.of_row.resize(room);
    blocks_.cell_of_row.resize(room);
  }
  /// Adds outputs, for which there must be room. Holds what changes with each of them in registers: the others are
  /// lost until `keep`.
  struct Adder {
    uint64_t* cells;  // by block
    Coord* coords;
    uint32_t* numbers;
    uint8_t* cell_of_row;
    size_t count;

    /// Adds a coordinate, at a cell of a block, where it is not there. Whether it is there cannot be foreseen: it is
    /// written in any case, and counts where it is new.
    void add(uint32_t number, unsigned cell, const Coord& at) {
      const uint64_t held = cells[number];
      coords[count] = at;
      numbers[count] = number;
      cell_of_row[count] = static_cast<uint8_t>(cell);
      count += ~held >> cell & 1;
      cells[number] = held | uint64_t{1} << cell;
    }
  };
  Adder adder() {
    return {blocks_.cells.data(), coords_.data(), blocks_.of_row.data(), blocks_.cell_of_row.data(), count_};
  }
  void keep(const Adder& adder) {
    count_ = adder.count;
    if (count_ > 0) check_distinct_count(count_ - 1);
  }

  NumberedCoords take() {
    coords_.resize(count_);
    blocks_.of_row.resize(count_);
    blocks_.cell_of_row.resize(count_);
    return {std::move(coords_), std::move(blocks_)};
  }

 private:
  BlockNumbers blocks_;
  PooledVector<Coord> coords_;
  size_t count_ = 0;
};

/// All outputs, by the tables of the axes.
template <typename Axis>
NumberedCoords merge_by_blocks(const CoordSet& source, const Axes<Axis>& axes, const Reach& reach,
                               std::string_view operation) {
  const CoordIndex& index = source.index();
  const Patterns patterns(reach);
  ReachedBlocks reached(index, axes, reach, patterns);
  BlockNumbers blocks = reached.take_blocks();
  const PooledVector<Coord> places = blocks.blocks();
  Outputs outputs(std::move(blocks), source.rows());
  const std::span<const Coord> coords = source.coords();
  const std::span<const uint32_t> block_of_row = index.block_of_row();
  const bool have_one_output = patterns.have_one_output();
  constexpr size_t kRowsAtOnce = 256;
  for (size_t begin = 0; begin < coords.size(); begin += kRowsAtOnce) {
    const size_t end = std::min(coords.size(), begin + kRowsAtOnce);
    outputs.reserve((end - begin) * patterns.most_outputs());
    Outputs::Adder adder = outputs.adder();
    for (size_t row = begin; row < end; ++row) {
      const Coord& c = coords[row];
      const ReachedBlocks::From from = reached.from(block_of_row[row]);
      if (from.inside) {
        const uint32_t pattern = from.pattern + static_cast<uint32_t>(Block::cell(c.x, c.y, c.z));
        const auto add = [&](const Patterns::Output& to) {
          const uint32_t number = reached.number(from, to.part);
          const Coord& block = places[number];
          adder.add(number, to.cell,
                    {block.batch, block.x * Block::kSide + (to.cell >> 4), block.y * Block::kSide + (to.cell >> 2 & 3),
                     block.z * Block::kSide + (to.cell & 3)});
        };
        if (have_one_output) {
          add(patterns.only_output(pattern));
        } else {
          for (const Patterns::Output& to : patterns.outputs(pattern)) add(to);
        }
        continue;
      }
      const AxisReach::Place x = reach[0].place(Block::of(c.x)), y = reach[1].place(Block::of(c.y)),
                             z = reach[2].place(Block::of(c.z));
      const int64_t y_parts = reach[1].phase(y.phase).parts, z_parts = reach[2].phase(z.phase).parts;
      for_outputs(axes, static_cast<int64_t>(row), c, operation, [&](const Coord& at) {
        const int64_t column = (Block::of(at.x) - x.first_block) * y_parts + Block::of(at.y) - y.first_block;
        const int64_t part = column * z_parts + Block::of(at.z) - z.first_block;
        adder.add(reached.number(from, static_cast<uint32_t>(part)),
                  static_cast<unsigned>(Block::cell(at.x, at.y, at.z)), at);
      });
    }
    outputs.keep(adder);
  }
  return outputs.take();
}

/// Division by powers of two, rounded down.
class Shift {
 public:
  static std::optional<Shift> of(const Triple& divisors) {
    const auto is_power = [](int64_t value) { return std::has_single_bit(static_cast<uint64_t>(value)); };
    if (!is_power(divisors.x) || !is_power(divisors.y) || !is_power(divisors.z)) return std::nullopt;
    const auto bits = [](int64_t power) { return std::countr_zero(static_cast<uint64_t>(power)); };
    return Shift(bits(divisors.x), bits(divisors.y), bits(divisors.z));
  }

  Coord operator()(const Coord& c) const noexcept { return {c.batch, c.x >> x_, c.y >> y_, c.z >> z_}; }

 private:
  Shift(int x, int y, int z) : x_(x), y_(y), z_(z) {}

  int x_, y_, z_;
};

/// All outputs, of which each input has one: its own coordinate, shifted. A block of inputs then leads to the block
/// that is its own place, shifted.
template <typename Shift>
NumberedCoords merge_shifted(const CoordSet& source, const Shift& shift) {
  const CoordIndex& index = source.index();
  PooledVector<Coord> reached;
  reached.reserve(index.block_count());
  for (size_t column = 0; column + 1 < index.columns().size(); ++column) {
    const BlockColumn& at = index.columns()[column];
    Coord to = shift({at.batch, at.x, at.y, 0});
    const int32_t last = index.columns()[column + 1].first_block;
    for (int32_t number = at.first_block; number < last; ++number) {
      to.z = shift({0, 0, 0, index.block_heights()[static_cast<size_t>(number)]}).z;
      reached.push_back(to);
    }
  }
  BlockNumbers blocks = BlockNumbers::of_blocks(reached);
  const PooledVector<uint32_t> number_of_block = std::move(blocks.of_row);
  Outputs outputs(std::move(blocks), source.rows());
  const std::span<const Coord> coords = source.coords();
  const uint32_t* const block_of_row = index.block_of_row().data();
  Outputs::Adder adder = outputs.adder();
  for (size_t row = 0; row < coords.size(); ++row) {
    const Coord to = shift(coords[row]);
    adder.add(number_of_block[block_of_row[row]], static_cast<unsigned>(Block::cell(to.x, to.y, to.z)), to);
  }
  outputs.keep(adder);
  return outputs.take();
}

template <typename Axis>
NumberedCoords merge(const CoordSet& source, const Axes<Axis>& axes, std::string_view operation) {
  const std::array<std::optional<AxisReach>, 3> tables = {AxisReach::make(axes[0], 0), AxisReach::make(axes[1], 1),
                                                          AxisReach::make(axes[2], 2)};
  // The parts of all blocks are counted in 32 bits.
  constexpr size_t kMostBlocks =
      std::numeric_limits<uint32_t>::max() / (AxisReach::kMostParts * AxisReach::kMostParts * AxisReach::kMostParts);
  if (tables[0] && tables[1] && tables[2] && source.index().block_count() <= kMostBlocks) {
    return merge_by_blocks(source, axes, {*tables[0], *tables[1], *tables[2]}, operation);
  }
  DistinctCoords distinct(source.rows());
  int64_t row = -1;
  for (const Coord& c : source.coords()) {
    for_outputs(axes, ++row, c, operation, [&](const Coord& output) { distinct.add(output); });
  }
  return {distinct.take(), {}};
}

/// Every tap of every input, an output each.
PooledVector<Coord> every_tap(const CoordSet& source, const ConvGeometry& geometry, const Axes<TransposedAxis>& axes,
                              std::string_view operation) {
  // How far each tap is from the first one. What leaves int32 is refused before; differences may wrap around.
  using Lanes = uint32_t __attribute__((vector_size(16)));
  PooledVector<Lanes> steps;
  const auto& [size, stride, padding, dilation] = geometry.options();
  for (int64_t x = 0; x < size.x; ++x) {
    for (int64_t y = 0; y < size.y; ++y) {
      for (int64_t z = 0; z < size.z; ++z) {
        steps.push_back(Lanes{0, static_cast<uint32_t>(x * dilation.x), static_cast<uint32_t>(y * dilation.y),
                              static_cast<uint32_t>(z * dilation.z)});
      }
    }
  }
  PooledVector<Coord> outputs;
  const std::span<const Coord> coords = source.coords();
  outputs.reserve(coords.size() * steps.size());
  constexpr size_t kRowsAtOnce = 64;  // whose outputs are in the cache still when they are written
  for (size_t begin = 0; begin < coords.size(); begin += kRowsAtOnce) {
    const size_t end = std::min(coords.size(), begin + kRowsAtOnce), known = outputs.size();
    outputs.resize(known + (end - begin) * steps.size());
    Coord* to = outputs.data() + known;
    for (size_t row = begin; row < end; ++row) {
      const Coord& c = coords[row];
      const std::array<Reached, 3> reached = {axes[0].from(c.x), axes[1].from(c.y), axes[2].from(c.z)};
      bool fits = true;
      for (size_t axis = 0; axis < 3; ++axis) {
        const auto [first, count] = reached[axis];
        fits = fits && fits_int32(first) && fits_int32(first + (count - 1) * axes[axis].step());
      }
      if (!fits) for_outputs(axes, static_cast<int64_t>(row), c, operation, [](const Coord&) {});  // throws
      const auto first =
          std::bit_cast<Lanes>(Coord{c.batch, static_cast<int32_t>(reached[0].first),
                                     static_cast<int32_t>(reached[1].first), static_cast<int32_t>(reached[2].first)});
      for (const Lanes& step : steps) *to++ = std::bit_cast<Coord>(first + step);
    }
  }
  return outputs;
}

}  // namespace

NumberedCoords forward_coords(const CoordSet& source, const ConvGeometry& geometry) {
  const std::span<const Coord> coords = source.coords();
  if (geometry.has_unit_stride() && geometry.padding() == Triple(0)) return {{coords.begin(), coords.end()}, {}};
  const auto& stride = geometry.stride();
  if (stride == Triple(2)) {
    return merge_shifted(source, [](const Coord& c) { return Coord{c.batch, c.x >> 1, c.y >> 1, c.z >> 1}; });
  }
  if (const auto shift = Shift::of(stride)) return merge_shifted(source, *shift);
  return merge(source, Axes<ForwardAxis>{ForwardAxis(stride.x), ForwardAxis(stride.y), ForwardAxis(stride.z)}, "");
}

NumberedCoords regular_coords(const CoordSet& source, const ConvGeometry& geometry, const std::optional<Triple>& extent,
                              std::string_view operation) {
  const auto along = [&](int64_t Triple::*axis) {
    const auto& [size, stride, padding, dilation] = geometry.options();
    return RegularAxis(size.*axis, stride.*axis, padding.*axis, dilation.*axis,
                       extent ? std::optional((*extent).*axis) : std::nullopt);
  };
  return merge(source, Axes<RegularAxis>{along(&Triple::x), along(&Triple::y), along(&Triple::z)}, operation);
}

NumberedCoords transposed_coords(const CoordSet& source, const ConvGeometry& geometry, bool merges,
                                 std::string_view operation) {
  const auto along = [&](int64_t Triple::*axis) {
    const auto& [size, stride, padding, dilation] = geometry.options();
    return TransposedAxis(size.*axis, stride.*axis, padding.*axis, dilation.*axis);
  };
  const Axes<TransposedAxis> axes = {along(&Triple::x), along(&Triple::y), along(&Triple::z)};
  if (merges) return merge(source, axes, operation);
  return {every_tap(source, geometry, axes, operation), {}};
}

}  // namespace lattice::cpu
