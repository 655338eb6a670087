#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/x86_intrinsics.h"

// The search of edges: all taps of an output look up their cells at once, and those that find something are pushed
// together. Each step is taken for all outputs before the next one, so that its loads do not wait for those of the one
// before.

namespace lattice::cpu {
namespace {

/// Finds the blocks of a box.
inline void gather_box(const EdgeSearch& task, CornerOutputs& outputs) {
  const BoxColumns& columns = *outputs.columns;
  const __m512i below = _mm512_min_epi32(_mm512_loadu_si512(columns.high), _mm512_set1_epi32(outputs.height));
  const __m512i first = _mm512_max_epi32(_mm512_loadu_si512(columns.low), below);
  int32_t begin[16];
  _mm512_storeu_si512(begin, _mm512_add_epi32(first, _mm512_loadu_si512(columns.zero)));
  for (int64_t x = 0; x < task.box_x; ++x) {
    for (int64_t column = x * 4; column < x * 4 + task.box_y; ++column) {
      const void* const blocks = task.blocks_by_height + begin[column];
      _mm_storeu_si128(reinterpret_cast<__m128i*>(outputs.box + column * 4),
                       _mm_loadu_si128(static_cast<const __m128i*>(blocks)));
    }
  }
}

/// The cells of a corner's eight blocks.
inline __m512i corner_cells(const uint64_t* source_cells, const CornerOutputs& outputs, const CornerPattern& pattern) {
  const auto cells = [&](int i) { return static_cast<int64_t>(source_cells[outputs.box[pattern.blocks[i]]]); };
  const auto two = [&](int i) { return _mm_insert_epi64(_mm_cvtsi64_si128(cells(i)), cells(i + 1), 1); };
  const auto four = [&](int i) { return _mm256_inserti128_si256(_mm256_castsi128_si256(two(i)), two(i + 2), 1); };
  return _mm512_inserti64x4(_mm512_castsi256_si512(four(0)), four(4), 1);
}

/// Stores `count` lanes and some more. Few are the rule, and half a vector crosses lines half as often.
inline void store_first(uint32_t* to, __m512i v, int count) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(v));
  if (count > 8) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), _mm512_extracti64x4_epi64(v, 1));
}

/// Of a corner's eight blocks: their numbers, and their cells.
struct Corner {
  __m512i numbers, cells;
};

inline Corner corner_of(const EdgeSearch& task, const CornerOutputs& outputs, const CornerPattern& pattern) {
  const __m512i places = _mm512_loadu_si512(pattern.blocks);
  const auto box = [&](int quarter) { return _mm512_loadu_si512(outputs.box + quarter * 16); };
  const __m512i numbers = _mm512_mask_blend_epi32(_mm512_test_epi32_mask(places, _mm512_set1_epi32(32)),
                                                  _mm512_permutex2var_epi32(box(0), places, box(1)),
                                                  _mm512_permutex2var_epi32(box(2), places, box(3)));
  return {numbers, corner_cells(task.source_cells, outputs, pattern)};
}

/// The same where only the first block is read.
inline Corner one_block_of(const EdgeSearch& task, const CornerOutputs& outputs, const CornerPattern& pattern) {
  const int32_t number = outputs.box[pattern.blocks[0]];
  return {_mm512_set1_epi32(number), _mm512_set1_epi64(static_cast<int64_t>(task.source_cells[number]))};
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
    const auto [numbers, cells] = OneBlock ? one_block_of(task, outputs, pattern) : corner_of(task, outputs, pattern);
    const __m512i slot = _mm512_set1_epi32(static_cast<int>((task.slot + i) << CornerTap::kSlotBit));
    const uint32_t* const pattern_taps = task.taps + pattern.first;
    const uint32_t vectors = pattern.vectors, last_lanes = pattern.last_lanes;
    for (uint32_t vector = 0; vector < vectors; ++vector) {
      const __m512i taps = _mm512_loadu_si512(pattern_taps + vector * 16);
      // The half of a block that a tap reads, turned until its cell is bit 0.
      const __m512i half = _mm512_permutexvar_epi32(_mm512_srli_epi32(taps, CornerTap::kBlockBit - 1), cells);
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
  for (int64_t i = 0; i < task.block_count; ++i) gather_box(task, task.blocks_of_outputs[i]);
  append_edges(task, task.one_block ? look_up_taps<true>(task) : look_up_taps<false>(task));
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
