#pragma once

#include <memory>
#include <vector>

#include "cpu/workers.h"
#include "lattice/relation.h"

namespace lattice::cpu {

// Output rows a tile: with 64 channels a block its sums take 128 KiB, which a second-level cache of 512 KiB holds
// beside a tap's panel and the rows that it reads; more rows a tile mean fewer decodings of the packed weights.
inline constexpr int64_t kTileRows = 512;

/// A relation in the form that the convolution executes: output rows in tiles, and for each tile one run of edges for
/// each tap that touches it. Output rows stand in an order of their own, sorted by place, so that a tile's inputs are
/// near.
class TiledRelation final : public Relation {
 public:
  /// Edges of one tap within one tile; no output occurs twice in a run (where several inputs meet an output through one
  /// tap, there are several runs of it).
  struct Run {
    int32_t tap;
    int32_t count;
  };

  struct Tiles {
    std::vector<int32_t> order;       // output row at each position; tile t covers positions t*kTileRows ..
    std::vector<Run> runs;            // by tile, tap
    std::vector<int32_t> input;       // by run: input row of each edge
    std::vector<int32_t> slot;        // and its output's position within the tile
    std::vector<int64_t> run_begin;   // tiles + 1: first run of each tile
    std::vector<int64_t> edge_begin;  // tiles + 1: first edge of each tile
  };

  TiledRelation(RelationKind kind, int64_t input_rows, int64_t taps, Tiles tiles);

  int64_t edges() const override { return tiles_.edge_begin.back(); }
  EdgeList edge_list() const override;
  int64_t nbytes() const override;

  const Tiles& tiles() const noexcept { return tiles_; }
  int64_t tile_count() const noexcept { return static_cast<int64_t>(tiles_.run_begin.size()) - 1; }

 private:
  Tiles tiles_;
};

/// Builds the edges from `source` to `target` (see Backend::relate).
std::unique_ptr<const TiledRelation> build_relation(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                                    const ConvGeometry& geometry, Workers& workers);

}  // namespace lattice::cpu
