#pragma once

#include <vector>

#include "cpu/relation.h"

namespace lattice::cpu {

/// The tiles of `relation` turned round: its outputs become the inputs, and its inputs, which are the rows of
/// `target`, the outputs. No coordinate of either set may repeat, so that no output meets two inputs through one tap.
PooledVector<TiledRelation::TileEdges> turn_round(const TiledRelation& relation, const CoordSet& target,
                                                  Workers& workers);

/// Whether the counters that turning round takes are few beside the edges; else a search is quicker.
bool is_worth_turning(const TiledRelation& relation);

}  // namespace lattice::cpu
