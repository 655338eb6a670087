#pragma once

#include <memory>
#include <span>
#include <vector>

#include "cpu/kernels/kernels.h"
#include "cpu/workers.h"
#include "lattice/relation.h"

namespace lattice::cpu {

// Output rows a tile. With 64 channels a block its sums take 256 KiB: half of a second-level cache of 512 KiB, where a
// tap's panel and the rows that it reads are beside them. More rows a tile mean longer runs of edges, and fewer
// decodings of packed weights; 2048 are faster by 2 % yet on a cache of 2 MiB, but leave two threads unequal shares.
inline constexpr int64_t kTileRows = 1024;

/// How many tiles so many output rows make.
constexpr int64_t tiles_of(int64_t rows) {
  return (rows + kTileRows - 1) / kTileRows;
}

/// A relation in the form that the convolution executes: output rows in tiles, and for each tile one run of edges for
/// each tap that touches it. Output rows stand in an order of their own, sorted by place, so that a tile's inputs are
/// near.
class TiledRelation final : public Relation {
 public:
  /// Where several inputs meet an output through one tap, there are several runs of it.
  using Run = TapRun;

  /// The edges of a tile. What each thread found stays where it wrote it: a copy into one array would double the memory
  /// of the largest relations.
  struct TileEdges {
    PooledVector<Run> runs;       // by tap
    PooledVector<int32_t> input;  // by run: input row of each edge
    PooledVector<uint16_t> slot;  // and its output's position within the tile
  };

  /// One tile, as the convolution reads it.
  struct Tile {
    std::span<const int32_t> order;  // output row of each slot
    std::span<const Run> runs;
    const int32_t* input;
    const uint16_t* slot;
    int64_t edges;
  };

  /// `order` is the output row at each position: tile t covers positions t*kTileRows and on. `taps_never_meet`: no
  /// output has two edges.
  TiledRelation(RelationKind kind, int64_t input_rows, int64_t taps, PooledVector<int32_t> order,
                PooledVector<TileEdges> tiles, bool taps_never_meet);

  int64_t edges() const override { return edges_; }
  EdgeList edge_list() const override;
  int64_t nbytes() const override;

  /// Whether every output has one edge, neither more nor less.
  bool has_one_edge_a_row() const noexcept { return taps_never_meet_ && edges_ == output_rows(); }
  /// Whether inputs are read once and no more, on average.
  bool reads_once() const noexcept { return edges_ <= input_rows(); }
  int64_t tile_count() const noexcept { return static_cast<int64_t>(tiles_.size()); }
  Tile tile(int64_t index) const noexcept;

 private:
  PooledVector<int32_t> order_;
  PooledVector<TileEdges> tiles_;
  int64_t edges_ = 0;
  bool taps_never_meet_;
};

/// The room for the tiles of a relation of `rows` outputs.
inline PooledVector<TiledRelation::TileEdges> tiles_for(int64_t rows) {
  return PooledVector<TiledRelation::TileEdges>(static_cast<size_t>(tiles_of(rows)));
}

/// Makes room for the edges of a tile of `rows` outputs: as much as a full tile of the like would take, so that what a
/// relation takes of the memory pool does not hang on how many rows its last tile has.
inline void reserve_tile(TiledRelation::TileEdges& tile, int64_t edges, int64_t rows) {
  const auto room = static_cast<size_t>(rows > 0 ? edges * kTileRows / rows : 0);
  tile.input.reserve(room);
  tile.slot.reserve(room);
}

/// Builds the edges from `source` to `target` (see Backend::relate).
std::shared_ptr<const TiledRelation> build_relation(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                                    const ConvGeometry& geometry, const TiledRelation* inverse,
                                                    const Kernels& kernels, Workers& workers);

}  // namespace lattice::cpu
