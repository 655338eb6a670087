#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/x86_intrinsics.h"

// The search of edges: all taps of an output look up their cells at once, and those that find something are pushed
// together. Each step is taken for all outputs before the next one, so that its loads do not wait for those of the one
// before.

namespace lattice::cpu {
namespace {

/// Finds the blocks of a box, and their cells: outputs that share a box then find them side by side.
template <bool OneBlock>
inline void gather_box(const EdgeSearch& task, CornerOutputs& outputs) {
  const BoxColumns& columns = *outputs.columns;
  const __m512i below = _mm512_min_epi32(_mm512_loadu_si512(columns.high), _mm512_set1_epi32(outputs.height));
  const __m512i first = _mm512_max_epi32(_mm512_loadu_si512(columns.low), below);
  int32_t begin[16];
  _mm512_storeu_si512(begin, _mm512_add_epi32(first, _mm512_loadu_si512(columns.zero)));
  for (int64_t x = 0; x < task.box_x; ++x) {
    for (int64_t column = x * 4; column < x * 4 + task.box_y; ++column) {
      const int32_t at = begin[column];
      _mm_storeu_si128(reinterpret_cast<__m128i*>(outputs.box + column * 4),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(task.blocks_by_height + at)));
      if (OneBlock) continue;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(outputs.box_cells + column * 4),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(task.cells_by_height + at)));
    }
  }
}

/// Stores `count` lanes and some more. Few are the rule, and half a vector crosses lines half as often.
inline void store_first(uint32_t* to, __m512i v, int count) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(v));
  if (count > 8) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), _mm512_extracti64x4_epi64(v, 1));
}

/// The block of each output, by its number: a loop over a block's outputs ends where nothing foresees it.
struct BlocksOfOutputs {
  uint8_t of_output[EdgeSearch::kMostOutputs + 16];
  int64_t count = 0;

  explicit BlocksOfOutputs(const EdgeSearch& task) {
    for (int64_t block = 0; block < task.block_count; ++block) {
      const __m128i number = _mm_set1_epi8(static_cast<char>(block));
      const int64_t last = count + task.blocks_of_outputs[block].count;
      do {  // beyond them too, as few are the rule
        _mm_storeu_si128(reinterpret_cast<__m128i*>(of_output + count), number);
        count += 16;
      } while (count < last);
      count = last;
    }
  }
};

/// Fills task.blocks and task.edges; how many edges there are.
template <bool OneBlock>
int64_t look_up_taps(const EdgeSearch& task) {
  uint32_t *blocks = task.blocks, *edges = task.edges;
  const BlocksOfOutputs blocks_of(task);
  for (int64_t i = 0; i < blocks_of.count; ++i) {
    const CornerOutputs& outputs = task.blocks_of_outputs[blocks_of.of_output[i]];
    const CornerPattern& pattern = outputs.patterns[task.cells[i]];
    __m512i numbers, cells_low, cells_high;  // of the corner's sixteen blocks
    if constexpr (OneBlock) {
      const int32_t number = outputs.box[pattern.only_block];
      numbers = _mm512_set1_epi32(number);
      cells_low = cells_high = _mm512_set1_epi64(static_cast<int64_t>(task.source_cells[number]));
    } else {
      const int32_t* const box = outputs.box + pattern.corner;
      const auto half = [box](int x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(box + x * 16)); };
      numbers = _mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(1), 1);
      cells_low = _mm512_loadu_si512(outputs.box_cells + pattern.corner);
      cells_high = _mm512_loadu_si512(outputs.box_cells + pattern.corner + 16);
    }
    const __m512i slot = _mm512_set1_epi32(static_cast<int>((task.slot + i) << CornerTap::kSlotBit));
    const uint32_t* const pattern_taps = task.taps + pattern.first;
    const uint32_t vectors = pattern.vectors, last_lanes = pattern.last_lanes;
    for (uint32_t vector = 0; vector < vectors; ++vector) {
      const __m512i taps = _mm512_loadu_si512(pattern_taps + vector * 16);
      // The half of a block that a tap reads, turned until its cell is bit 0.
      const __m512i half =
          _mm512_permutex2var_epi32(cells_low, _mm512_srli_epi32(taps, CornerTap::kBlockBit - 1), cells_high);
      const __mmask16 found =
          _mm512_mask_test_epi32_mask(static_cast<__mmask16>(vector + 1 < vectors ? 0xFFFFU : last_lanes),
                                      _mm512_rorv_epi32(half, taps), _mm512_set1_epi32(1));
      const __m512i block = _mm512_permutexvar_epi32(_mm512_srli_epi32(taps, CornerTap::kBlockBit), numbers);
      const int count = __builtin_popcount(found);
      store_first(blocks, _mm512_maskz_compress_epi32(found, block), count);
      store_first(edges, _mm512_maskz_compress_epi32(found, _mm512_or_si512(taps, slot)), count);
      blocks += count;
      edges += count;
    }
  }
  return edges - task.edges;
}

inline void append_edges(const EdgeSearch& task, int64_t count) {
  const uint64_t* const cells = task.source_cells;
  const int32_t* const first = task.source_first;
  const uint32_t *const blocks = task.blocks, *const edges = task.edges;
  uint32_t* const next = task.next;
  int32_t* const ranks = task.ranks;
  uint16_t* const slots = task.slots;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t edge = edges[i], block = blocks[i];
    const uint64_t below = cells[block] & ((uint64_t{1} << CornerTap::cell(edge)) - 1);
    const uint32_t at = next[CornerTap::tap(edge)]++;
    ranks[at] = first[block] + __builtin_popcountll(below);
    slots[at] = CornerTap::slot(edge);
  }
}

inline void find_corner_edges(const EdgeSearch& task) {
  const auto find = [&]<bool OneBlock>(std::bool_constant<OneBlock>) {
    for (int64_t i = 0; i < task.block_count; ++i) gather_box<OneBlock>(task, task.blocks_of_outputs[i]);
    append_edges(task, look_up_taps<OneBlock>(task));
  };
  return task.one_block ? find(std::true_type()) : find(std::false_type());
}

// Edges turned round go to the tiles of what they read. Neighbours mostly go to the same one: those of a vector that do
// are counted and stored at once.

inline __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count < 16 ? (1U << count) - 1 : 0xFFFFU);
}

/// Calls visit(tile, lanes) for each tile that `lanes` of a vector of positions lie in.
template <typename Visit>
inline void for_tiles(const int32_t* from, __m512i positions, __mmask16 lanes, int tile_bits, const Visit& visit) {
  const __m512i tiles = _mm512_srl_epi32(positions, _mm_cvtsi32_si128(tile_bits));
  while (lanes != 0) {
    const int32_t tile = from[__builtin_ctz(lanes)] >> tile_bits;
    const __mmask16 in_tile = _mm512_mask_cmpeq_epi32_mask(lanes, tiles, _mm512_set1_epi32(tile));
    visit(tile, in_tile);
    lanes = static_cast<__mmask16>(lanes & ~in_tile);
  }
}

inline void count_turned_edges(const TurnedEdges& edges) {
  uint32_t* const next = edges.next;
  const int64_t stride = edges.stride;
  for (int64_t i = 0; i < edges.count; i += 16) {
    const int32_t* const from = edges.positions + i;
    const __mmask16 all = first_lanes(edges.count - i);
    for_tiles(from, _mm512_maskz_loadu_epi32(all, from), all, edges.tile_bits, [=](int32_t tile, __mmask16 lanes) {
      next[tile * stride] += static_cast<uint32_t>(__builtin_popcount(lanes));
    });
  }
}

inline void place_turned_edges(const TurnedEdges& edges) {
  uint32_t* const next = edges.next;
  const int64_t stride = edges.stride;
  const TileLists* const lists = edges.lists;
  const __m512i slot_bits = _mm512_set1_epi32((1 << edges.tile_bits) - 1);
  for (int64_t i = 0; i < edges.count; i += 16) {
    const int32_t* const from = edges.positions + i;
    const __mmask16 all = first_lanes(edges.count - i);
    const __m512i positions = _mm512_maskz_loadu_epi32(all, from);
    const __m512i own_slots = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(all, edges.slots + i));
    const __m512i rows = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), all, own_slots, edges.rows, 4);
    const __m512i slots = _mm512_and_si512(positions, slot_bits);
    for_tiles(from, positions, all, edges.tile_bits, [=](int32_t tile, __mmask16 lanes) {
      uint32_t& place = next[tile * stride];
      const int count = __builtin_popcount(lanes);
      const __mmask16 stored = first_lanes(count);
      _mm512_mask_storeu_epi32(lists[tile].input + place, stored, _mm512_maskz_compress_epi32(lanes, rows));
      _mm256_mask_storeu_epi16(lists[tile].slot + place, stored,
                               _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(lanes, slots)));
      place += static_cast<uint32_t>(count);
    });
  }
}

}  // namespace
}  // namespace lattice::cpu
