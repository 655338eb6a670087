#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"

// Edges turned round, one by one.

namespace lattice::cpu {
namespace {

inline void count_each_turned_edge(const TurnedEdges& edges) {
  for (int64_t i = 0; i < edges.count; ++i) ++edges.next[(edges.positions[i] >> edges.tile_bits) * edges.stride];
}

inline void place_each_turned_edge(const TurnedEdges& edges) {
  uint32_t* const next = edges.next;
  const int32_t slot_bits = (1 << edges.tile_bits) - 1;
  for (int64_t i = 0; i < edges.count; ++i) {
    const int32_t position = edges.positions[i], tile = position >> edges.tile_bits;
    const uint32_t place = next[tile * edges.stride]++;
    const TileLists& lists = edges.lists[tile];
    lists.input[place] = edges.rows[edges.slots[i]];
    lists.slot[place] = static_cast<uint16_t>(position & slot_bits);
  }
}

}  // namespace
}  // namespace lattice::cpu
