#include "cpu/relation_inverse.h"

#include "coord_index.h"
#include "cpu/relation_sort.h"

namespace lattice::cpu {
namespace {

/// Calls visit(new output row, old slot's row, tap) for the edges of the tiles first .. last-1.
template <typename Visit>
void for_edges(const TiledRelation& relation, int64_t first, int64_t last, const Visit& visit) {
  for (int64_t index = first; index < last; ++index) {
    const TiledRelation::Tile tile = relation.tile(index);
    const int32_t* input = tile.input;
    const uint16_t* slot = tile.slot;
    for (const TiledRelation::Run& run : tile.runs) {
      for (const int32_t* const end = input + run.count; input < end; ++input, ++slot) {
        visit(*input, tile.order[*slot], run.tap);
      }
    }
  }
}

}  // namespace

bool is_worth_turning(const TiledRelation& relation) {
  return is_worth_sorting(relation.edges(), relation.input_rows(), relation.taps());
}

PooledVector<TiledRelation::TileEdges> turn_round(const TiledRelation& relation, const CoordSet& target,
                                                  Workers& workers) {
  const std::span<const int32_t> order = target.index().sorted().order;
  PooledVector<int32_t> positions(order.size());  // by row
  constexpr int64_t kRowsABlock = 16384;
  workers.for_blocks(target.rows(), kRowsABlock, [&](int64_t first, int64_t last) {
    for (auto at = static_cast<size_t>(first); at < static_cast<size_t>(last); ++at) {
      positions[static_cast<size_t>(order[at])] = static_cast<int32_t>(at);
    }
  });
  const auto for_part = [&](int64_t part, int64_t parts, const auto& visit) {
    for_edges(relation, relation.tile_count() * part / parts, relation.tile_count() * (part + 1) / parts,
              [&](int32_t output_row, int32_t input_row, int32_t tap) {
                visit(static_cast<uint32_t>(positions[static_cast<size_t>(output_row)]), static_cast<uint32_t>(tap),
                      input_row);
              });
  };
  return sort_visited(relation.edges(), target.rows(), relation.taps(), workers, for_part, for_part);
}

}  // namespace lattice::cpu
