#include "cpu/relation_partition.h"

#include <bit>

#include "cpu/relation_sort.h"

namespace lattice::cpu {

std::optional<Partition> Partition::make(const TapRule& rule) {
  if (rule.divides || rule.size != rule.stride || rule.shift != Triple(0)) return std::nullopt;
  std::array<int, 3> shifts = {};
  size_t axis = 0;
  for (const auto& [size, dilation] : {std::pair(rule.size.x, rule.dilation.x), std::pair(rule.size.y, rule.dilation.y),
                                       std::pair(rule.size.z, rule.dilation.z)}) {
    if (size != 1 && size != 2 && size != 4) return std::nullopt;
    if (size != 1 && dilation != 1) return std::nullopt;
    shifts[axis++] = std::countr_zero(static_cast<uint64_t>(size));
  }
  return Partition(shifts);
}

Partition::Partition(const std::array<int, 3>& shifts) : shifts_(shifts) {
  const int x = shifts[0], y = shifts[1], z = shifts[2];
  for (int cell = 0; cell < Block::kCells; ++cell) {
    const int at_x = cell >> 4, at_y = cell >> 2 & 3, at_z = cell & 3;
    const auto tap = [](int at, int shift) { return at & ((1 << shift) - 1); };
    readers_[static_cast<size_t>(cell)] = {
        .cell = static_cast<uint8_t>(Block::cell(at_x >> x, at_y >> y, at_z >> z)),
        .tap = static_cast<uint8_t>((tap(at_x, x) << y | tap(at_y, y)) << z | tap(at_z, z))};
  }
}

PooledVector<Partition::Reading> Partition::readings(const CoordIndex& source, const CoordIndex& target,
                                                     Workers& workers) const {
  const int x = shifts_[0], y = shifts_[1], z = shifts_[2];  // no binding, which clang 14 cannot capture
  const BlockLookup& lookup = target.lookup();
  PooledVector<Reading> readings(source.block_count());
  constexpr int64_t kColumnsAtOnce = 4096;
  workers.for_blocks(
      static_cast<int64_t>(source.columns().size()) - 1, kColumnsAtOnce, [&](int64_t first, int64_t end) {
        for (auto number = static_cast<size_t>(first); number < static_cast<size_t>(end); ++number) {
          const BlockColumn& at = source.columns()[number];
          const BlockLookup::Heights& column = lookup.heights(lookup.column_at(at.batch, at.x >> x, at.y >> y));
          // The block's first cell is 4 * block, which may lie in the middle of the block that is its place, shifted.
          const int corner = Block::cell((at.x << 2) >> x, (at.y << 2) >> y, 0);
          const int32_t last = source.columns()[number + 1].first_block;
          for (int32_t block = at.first_block; block < last; ++block) {
            const int32_t height = source.block_heights()[static_cast<size_t>(block)];
            const Block by = target.block(static_cast<size_t>(*lookup.blocks_above(column, height >> z)));
            readings[static_cast<size_t>(block)] = {by.cells, by.first, corner | Block::cell(0, 0, (height << 2) >> z)};
          }
        }
      });
  return readings;
}

PooledVector<TiledRelation::TileEdges> Partition::edges(const CoordIndex& source, const CoordIndex& target,
                                                        Workers& workers) const {
  constexpr uint32_t kNone = ~uint32_t{0};
  const PooledVector<Reading> readings = this->readings(source, target, workers);
  const auto rows = static_cast<int64_t>(source.rows());
  PooledVector<uint32_t> outputs(source.rows());  // their positions, by the inputs' rows
  // Pointers of their own, and a table on the stack, so that nothing is fetched anew for each edge.
  const auto find = [=, this, by_block = readings.data(), cells = source.cell_of_row().data(), to = outputs.data(),
                     block_of_row = source.block_of_row().data()](int64_t part, int64_t parts, const auto& visit) {
    const std::array<Reader, Block::kCells> readers = readers_;
    const int64_t end = rows * (part + 1) / parts;
    for (int64_t row = rows * part / parts; row < end; ++row) {
      const Reading& reading = by_block[block_of_row[row]];
      const Reader reader = readers[cells[row]];
      const int cell = reading.corner + reader.cell;
      const Block by = {reading.cells, 0, reading.first};
      to[row] = by.holds(cell) ? static_cast<uint32_t>(by.rank(cell)) : kNone;
      if (to[row] != kNone) visit(to[row], uint32_t{reader.tap}, static_cast<int32_t>(row));
    }
  };
  const auto recall = [=, this, cells = source.cell_of_row().data(), known = outputs.data()](
                          int64_t part, int64_t parts, const auto& visit) {
    const std::array<Reader, Block::kCells> readers = readers_;
    const int64_t end = rows * (part + 1) / parts;
    for (int64_t row = rows * part / parts; row < end; ++row) {
      if (known[row] != kNone) visit(known[row], uint32_t{readers[cells[row]].tap}, static_cast<int32_t>(row));
    }
  };
  const int64_t taps = int64_t{1} << (shifts_[0] + shifts_[1] + shifts_[2]);
  return sort_visited(rows, static_cast<int64_t>(target.rows()), taps, workers, find, recall);
}

}  // namespace lattice::cpu
