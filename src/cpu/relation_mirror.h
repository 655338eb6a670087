#pragma once

#include <cstdint>
#include <span>

#include "cpu/relation.h"

namespace lattice::cpu {

/// The tiles of a set related to itself by a kernel of `taps` taps that mirrors itself. `halves` hold the edges of the
/// tap on itself and of those behind it, their inputs as positions; `order` gives the row of each. No coordinate
/// repeats.
PooledVector<TiledRelation::TileEdges> with_mirrored(const PooledVector<TiledRelation::TileEdges>& halves,
                                                     std::span<const int32_t> order, int64_t taps,
                                                     const EdgeRoute& kernels, Workers& workers);

}  // namespace lattice::cpu
