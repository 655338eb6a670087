#include "cpu/relation_mirror.h"

#include <algorithm>
#include <bit>

#include "cpu/relation_sort.h"

// Where output o reads input i through tap k, i reads o through tap K-1-k: half of the edges are the other half turned
// round.

namespace lattice::cpu {
namespace {

using TileEdges = TiledRelation::TileEdges;

/// The halves of tiles, behind the edges that mirror them.
class Halves {
 public:
  Halves(const PooledVector<TileEdges>& halves, std::span<const int32_t> order) : halves_(halves), order_(order) {}

  int64_t edges(int64_t index) const noexcept { return static_cast<int64_t>(of(index).input.size()); }
  void append(int64_t index, TileEdges& tile) const {
    const TileEdges& half = of(index);
    tile.runs.insert(tile.runs.end(), half.runs.begin(), half.runs.end());
    tile.slot.insert(tile.slot.end(), half.slot.begin(), half.slot.end());
    const size_t mirrored = tile.input.size();
    tile.input.resize(mirrored + half.input.size());
    std::transform(half.input.begin(), half.input.end(), tile.input.begin() + static_cast<std::ptrdiff_t>(mirrored),
                   [this](int32_t position) { return order_[static_cast<size_t>(position)]; });
  }

 private:
  const TileEdges& of(int64_t index) const noexcept { return halves_[static_cast<size_t>(index)]; }

  const PooledVector<TileEdges>& halves_;
  std::span<const int32_t> order_;
};

}  // namespace

PooledVector<TileEdges> with_mirrored(const PooledVector<TileEdges>& halves, std::span<const int32_t> order,
                                      int64_t taps, const EdgeRoute& kernels, Workers& workers) {
  const auto tiles = static_cast<int64_t>(halves.size());
  const int64_t own = taps / 2;
  int64_t edges = 0;
  for (const TileEdges& half : halves) edges += static_cast<int64_t>(half.input.size());
  const auto for_part = [&](void (*kernel)(const TurnedEdges&), int64_t part, int64_t parts, uint32_t* next,
                            const TileLists* lists) {
    for (int64_t index = tiles * part / parts; index < tiles * (part + 1) / parts; ++index) {
      const TileEdges& half = halves[static_cast<size_t>(index)];
      TurnedEdges turned = {.positions = half.input.data(),
                            .slots = half.slot.data(),
                            .count = 0,
                            .tile_bits = std::countr_zero(static_cast<uint64_t>(kTileRows)),
                            .rows = order.data() + index * kTileRows,
                            .next = next,
                            .stride = own,
                            .lists = lists};
      for (const TiledRelation::Run& run : half.runs) {
        turned.count = run.count;
        turned.next = next + (taps - 1 - run.tap);
        if (run.tap != own) kernel(turned);
        turned.positions += run.count;
        turned.slots += run.count;
      }
    }
  };
  return sort_edges(
      edges, static_cast<int64_t>(order.size()), own, workers,
      [&](int64_t part, int64_t parts, uint32_t* counts) {
        for_part(kernels.count_turned, part, parts, counts, nullptr);
      },
      [&](int64_t part, int64_t parts, uint32_t* next, const TileLists* lists) {
        for_part(kernels.place_turned, part, parts, next, lists);
      },
      Halves(halves, order));
}

}  // namespace lattice::cpu
