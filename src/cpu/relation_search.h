#pragma once

#include <vector>

#include "coord_index.h"
#include "cpu/relation.h"
#include "cpu/relation_stencil.h"

namespace lattice::cpu {

/// Finds the edges that `rule` makes from `source` to `target`. A look-up finds an input's first copy, or with
/// `all_copies` every one.
PooledVector<TiledRelation::TileEdges> search_edges(const TapRule& rule, const CoordSet& source, const CoordSet& target,
                                                    bool all_copies, const Kernels& kernels, Workers& workers);

}  // namespace lattice::cpu
