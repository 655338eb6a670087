#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/packed_rows.h"
#include "cpu/kernels/x86_avx512.h"

// Products of integers on AMX. A tile holds 16 rows of 64 bytes; one instruction multiplies a tile of 16 edges x 64
// channels with one of 64 channels x 16 output channels. It takes bytes: activations of 16 bits are two planes, q = 256
// * high + low, and their sums of 32 bits are put together in AVX-512. At the largest group, of 128 channels of 8 bits,
// that is at most 32768 * 255 * 128 < 2^31.

namespace lattice::cpu {
namespace {

constexpr int64_t kTileEdges = 16;
constexpr int64_t kTileColumns = 16;
constexpr int64_t kTileBytes = 64;  // a row
constexpr int64_t kMostRowBytes = 2 * kLargestGroup;

/// What ldtilecfg reads.
struct alignas(64) TileShapes {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

/// One group of 16 edges, gathered, and what comes of them.
struct alignas(64) TileBlock {
  uint8_t rows[kTileEdges][kMostRowBytes];
  uint32_t products[4][kTileEdges * kTileColumns];  // of plane p and vector n in p * 2 + n
};

/// The tiles' instructions of g++ 12 do not tell it what memory they read.
inline void settle_memory() {
  asm volatile("" ::: "memory");
}

// The numbers of tiles are part of the instructions: 0 and 1 are the sums of the first plane (the only one of 8 bits),
// 2 and 3 those of the low bytes, 4 and 5 the planes' activations, 6 and 7 codes.
inline void configure_tiles(int64_t step) {
  TileShapes shapes = {};
  shapes.palette = 1;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.rows[tile] = static_cast<uint8_t>(tile < 6 ? kTileEdges : step / 4);
    shapes.row_bytes[tile] = static_cast<uint16_t>(tile == 4 || tile == 5 ? step : kTileBytes);
  }
  settle_memory();
  _tile_loadconfig(&shapes);
}

template <int Planes, int N>
void multiply_tiles(TileBlock& block, const uint8_t* codes, int64_t width, int64_t group_size, int64_t step) {
  _tile_zero(0);
  if constexpr (N == 2) _tile_zero(1);
  if constexpr (Planes == 2) _tile_zero(2);
  if constexpr (Planes == 2 && N == 2) _tile_zero(3);
  settle_memory();
  for (int64_t c = 0; c < group_size; c += step) {
    const uint8_t* quads = codes + c * width;
    _tile_loadd(4, block.rows[0] + c, kMostRowBytes);
    _tile_loadd(6, quads, 4 * width);
    _tile_dpbsud(0, 4, 6);
    if constexpr (N == 2) {
      _tile_loadd(7, quads + kTileBytes, 4 * width);
      _tile_dpbsud(1, 4, 7);
    }
    if constexpr (Planes == 2) {
      _tile_loadd(5, block.rows[0] + group_size + c, kMostRowBytes);
      _tile_dpbuud(2, 5, 6);
      if constexpr (N == 2) _tile_dpbuud(3, 5, 7);
    }
  }
  _tile_stored(0, block.products[0], kTileBytes);
  if constexpr (N == 2) _tile_stored(1, block.products[1], kTileBytes);
  if constexpr (Planes == 2) _tile_stored(2, block.products[2], kTileBytes);
  if constexpr (Planes == 2 && N == 2) _tile_stored(3, block.products[3], kTileBytes);
  settle_memory();
}

/// Adds the products of `count` edges, scaled, to their sums.
template <int Planes, int N>
void add_products(const IntegerProduct& task, const TileBlock& block, int64_t first, int64_t count, int64_t group,
                  int64_t column) {
  using V = Avx512;
  const float* scales = task.scales + group * task.edges.width + column;
  const float* biases = task.biases + group * task.edges.width + column;
  for (int64_t r = 0; r < count; ++r) {
    const int64_t at = task.edges.input[first + r] * task.groups + group;
    float* sums = task.edges.sums + task.edges.slot[first + r] * task.edges.sums_stride + column;
    const V::Vector row_scale = V::broadcast(task.row_scales[at]);
    const V::Vector row_sum = V::broadcast(task.row_sums[at]);
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      V::Ints product = V::load_ints(block.products[n] + r * kTileColumns);
      if constexpr (Planes == 2) {
        const V::Ints low = V::load_ints(block.products[2 + n] + r * kTileColumns);
        product = _mm512_add_epi32(_mm512_slli_epi32(product, 8), low);
      }
      const V::Vector biased = V::multiply(row_sum, V::load(biases + kOffset));
      const V::Vector scaled = V::multiply_add(V::to_floats(product), V::load(scales + kOffset), biased);
      V::store(sums + kOffset, V::multiply_add(row_scale, scaled, V::load(sums + kOffset)));
    });
  }
}

/// A group's activations of 16 edges, one below the other; where there are fewer, the first again.
inline void gather(const IntegerProduct& task, int64_t first, int64_t count, int64_t group, int64_t bytes,
                   TileBlock& block) {
  for (int64_t r = 0; r < kTileEdges; ++r) {
    const int64_t row = task.edges.input[first + (r < count ? r : 0)];
    const uint8_t* from = static_cast<const uint8_t*>(task.q) + (row * task.groups + group) * bytes;
    for (int64_t b = 0; b < bytes; b += 32) {
      const __m256i part = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + b));
      _mm256_store_si256(reinterpret_cast<__m256i*>(block.rows[r] + b), part);
    }
  }
}

/// Tiles are configured and released here, once for all edges of a tap: a thread that keeps tiles in use would have
/// their 8 KiB saved and restored with it whenever another one runs.
template <int Planes>
void tile_product(const IntegerProduct& task) {
  const int64_t group_size = task.group_size;
  const int64_t step = group_size < kTileBytes ? group_size : kTileBytes;
  configure_tiles(step);
  TileBlock block;
  for (int64_t group = 0; group < task.groups; ++group) {
    const uint8_t* codes = static_cast<const uint8_t*>(task.codes) + group * group_size * task.edges.width;
    for (int64_t first = 0; first < task.edges.count; first += kTileEdges) {
      const int64_t left = task.edges.count - first;
      const int64_t count = left < kTileEdges ? left : kTileEdges;
      gather(task, first, count, group, group_size * Planes, block);
      int64_t column = 0;
      for (; column + 2 * kTileColumns <= task.edges.width; column += 2 * kTileColumns) {
        multiply_tiles<Planes, 2>(block, codes + 4 * column, task.edges.width, group_size, step);
        add_products<Planes, 2>(task, block, first, count, group, column);
      }
      if (column == task.edges.width) continue;
      multiply_tiles<Planes, 1>(block, codes + 4 * column, task.edges.width, group_size, step);
      add_products<Planes, 1>(task, block, first, count, group, column);
    }
  }
  _tile_release();
}

template <int Planes>
constexpr IntegerRoute tile_route() {
  return {.activation_bytes = Planes,
          .code_bytes = 1,
          .quantize = quantize_rows<BytePlanes<Planes>>,
          .decode = decode_quads<Avx512>,
          .product = tile_product<Planes>};
}

}  // namespace
}  // namespace lattice::cpu
