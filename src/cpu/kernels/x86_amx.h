#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/bf16_rows.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/packed_rows.h"
#include "cpu/kernels/unrolled.h"
#include "cpu/kernels/x86_avx512.h"

// Products on AMX. A tile holds 16 rows of 64 bytes; one instruction multiplies a tile of 16 edges x 64 bytes of
// channels with one of as many channels x 16 output channels. Integers are bytes: activations of 16 bits are two
// planes, q = 256 * high + low, and their sums of 32 bits are put together in AVX-512. At the largest group, of 128
// channels of 8 bits, that is at most 32768 * 255 * 128 < 2^31. bfloat16 is summed in float32, from two sums of every
// other channel.

namespace lattice::cpu {
namespace {

constexpr int64_t kTileEdges = 16;
constexpr int64_t kTileColumns = 16;
constexpr int64_t kTileBytes = 64;  // a row
constexpr int64_t kMostRowBytes = 2 * kLargestGroup;
constexpr int kTiles = 8;

/// What ldtilecfg reads.
struct alignas(64) TileShapes {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

/// Channels of 16 edges, gathered, and what comes of them: integers of plane p and vector n in p * 2 + n, or floats of
/// vector n.
struct alignas(64) TileBlock {
  uint8_t rows[kTileEdges][kMostRowBytes];
  union {
    uint32_t integers[4][kTileEdges * kTileColumns];
    float floats[2][kTileEdges * kTileColumns];
  };
  float* sums[kTileEdges];
  float row_scales[kTileEdges], row_sums[kTileEdges];  // of packed weights
};

/// The tiles' instructions of g++ 12 do not tell it what memory they read.
inline void settle_memory() {
  asm volatile("" ::: "memory");
}

/// Of a tile; one without rows is not in use.
struct TileShape {
  int64_t rows, row_bytes;
};
constexpr TileShape kSumsShape = {kTileEdges, kTileBytes};
/// Of so many bytes of channels.
constexpr TileShape activations_shape(int64_t bytes) {
  return {bytes > 0 ? kTileEdges : 0, bytes};
}
constexpr TileShape weights_shape(int64_t bytes) {
  return {bytes / 4, bytes > 0 ? kTileBytes : 0};
}

inline void configure_tiles(const TileShape (&tiles)[kTiles]) {
  TileShapes shapes = {};
  shapes.palette = 1;
  for (int tile = 0; tile < kTiles; ++tile) {
    shapes.rows[tile] = static_cast<uint8_t>(tiles[tile].rows);
    shapes.row_bytes[tile] = static_cast<uint16_t>(tiles[tile].row_bytes);
  }
  settle_memory();
  _tile_loadconfig(&shapes);
}

// The numbers of tiles are part of the instructions.

/// 0 and 1 are the sums of the first plane (the only one of 8 bits), 2 and 3 those of the low bytes, 4 and 5 the
/// planes' activations, 6 and 7 codes.
inline void configure_integer_tiles(int64_t step) {
  const TileShape activations = activations_shape(step), codes = weights_shape(step);
  configure_tiles({kSumsShape, kSumsShape, kSumsShape, kSumsShape, activations, activations, codes, codes});
}

/// 0 and 1 are sums, 4 activations, 6 and 7 weights; 5, 2 and 3 are those of the `rest` bytes that no whole step takes.
inline void configure_bf16_tiles(int64_t rest) {
  const TileShape weights = weights_shape(kTileBytes), rest_weights = weights_shape(rest);
  configure_tiles({kSumsShape, kSumsShape, rest_weights, rest_weights, activations_shape(kTileBytes),
                   activations_shape(rest), weights, weights});
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
  _tile_stored(0, block.integers[0], kTileBytes);
  if constexpr (N == 2) _tile_stored(1, block.integers[1], kTileBytes);
  if constexpr (Planes == 2) _tile_stored(2, block.integers[2], kTileBytes);
  if constexpr (Planes == 2 && N == 2) _tile_stored(3, block.integers[3], kTileBytes);
  settle_memory();
}

/// The products of `channels` channels of bfloat16; `panel` holds their pairs of `width` columns.
template <int N>
void multiply_bf16_tiles(TileBlock& block, const uint8_t* panel, int64_t width, int64_t channels) {
  constexpr int64_t kStep = kTileBytes / 2;
  _tile_zero(0);
  if constexpr (N == 2) _tile_zero(1);
  settle_memory();
  int64_t c = 0;
  for (; c + kStep <= channels; c += kStep) {
    const uint8_t* pairs = panel + 2 * c * width;
    _tile_loadd(4, block.rows[0] + 2 * c, kMostRowBytes);
    _tile_loadd(6, pairs, 4 * width);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (N == 2) {
      _tile_loadd(7, pairs + kTileBytes, 4 * width);
      _tile_dpbf16ps(1, 4, 7);
    }
  }
  if (c < channels) {
    const uint8_t* pairs = panel + 2 * c * width;
    _tile_loadd(5, block.rows[0] + 2 * c, kMostRowBytes);
    _tile_loadd(2, pairs, 4 * width);
    _tile_dpbf16ps(0, 5, 2);
    if constexpr (N == 2) {
      _tile_loadd(3, pairs + kTileBytes, 4 * width);
      _tile_dpbf16ps(1, 5, 3);
    }
  }
  _tile_stored(0, block.floats[0], kTileBytes);
  if constexpr (N == 2) _tile_stored(1, block.floats[1], kTileBytes);
  settle_memory();
}

/// What a group's products are scaled with, in N tiles of output channels from `column` on.
template <int N>
struct GroupFactors {
  Avx512::Vector scales[N], biases[N];

  [[gnu::always_inline]] GroupFactors(const PackedProduct& task, int64_t group, int64_t column) {
    const int64_t first = group * task.edges.width + column;
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      scales[n] = Avx512::load(task.scales + first + n * Avx512::kLanes);
      biases[n] = Avx512::load(task.biases + first + n * Avx512::kLanes);
    });
  }
};

/// Adds the products of `count` edges, scaled, to their sums from `column` on.
template <int Planes, int N>
void add_products(const PackedProduct& task, const TileBlock& block, int64_t count, int64_t group, int64_t column) {
  using V = Avx512;
  const GroupFactors<N> factors(task, group, column);
  for (int64_t r = 0; r < count; ++r) {
    const V::Vector row_scale = V::broadcast(block.row_scales[r]);
    const V::Vector row_sum = V::broadcast(block.row_sums[r]);
    float* sums = block.sums[r] + column;
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      V::Ints product = V::load_ints(block.integers[n] + r * kTileColumns);
      if constexpr (Planes == 2) {
        const V::Ints low = V::load_ints(block.integers[2 + n] + r * kTileColumns);
        product = _mm512_add_epi32(_mm512_slli_epi32(product, 8), low);
      }
      const V::Vector scaled =
          V::multiply_add(V::to_floats(product), factors.scales[n], V::multiply(row_sum, factors.biases[n]));
      V::store(sums + kOffset, V::multiply_add(row_scale, scaled, V::load(sums + kOffset)));
    });
  }
}

/// The same of bfloat16, which have no scale.
template <int N>
void add_bf16_products(const PackedProduct& task, const TileBlock& block, int64_t count, int64_t group,
                       int64_t column) {
  using V = Avx512;
  const GroupFactors<N> factors(task, group, column);
  for (int64_t r = 0; r < count; ++r) {
    const V::Vector row_sum = V::broadcast(block.row_sums[r]);
    float* sums = block.sums[r] + column;
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      const V::Vector biased = V::multiply_add(row_sum, factors.biases[n], V::load(sums + kOffset));
      V::store(sums + kOffset, V::multiply_add(V::load(block.floats[n] + r * kTileColumns), factors.scales[n], biased));
    });
  }
}

/// The same of bfloat16 weights.
template <int N>
void add_bf16_products(const TileBlock& block, int64_t count, int64_t column) {
  using V = Avx512;
  for (int64_t r = 0; r < count; ++r) {
    float* sums = block.sums[r] + column;
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      const V::Vector product = V::load(block.floats[n] + r * kTileColumns);
      V::store(sums + kOffset, _mm512_add_ps(V::load(sums + kOffset), product));
    });
  }
}

/// What 32 bytes at a time leave over; apart, so that where there is nothing a loop over rows stays small.
[[gnu::noinline]] inline void copy_rest(const uint8_t* from, uint8_t* to, int64_t bytes) {
  for (int64_t b = 0; b < bytes; ++b) to[b] = from[b];
}

/// `bytes` of channels of 16 edges, one below the other; where there are fewer, the first again. Rows of `x` are
/// `stride` bytes. What edges add to is found here as well, once for all columns.
inline void gather(const TapEdges& edges, int64_t first, int64_t count, const uint8_t* x, int64_t stride, int64_t bytes,
                   TileBlock& block) {
  for (int64_t r = 0; r < kTileEdges; ++r) {
    const int64_t edge = first + (r < count ? r : 0);
    const uint8_t* from = x + edges.input[edge] * stride;
    block.sums[r] = edges.sums + edges.slot[edge] * edges.sums_stride;
    int64_t b = 0;
    for (; b + 32 <= bytes; b += 32) {
      const __m256i part = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + b));
      _mm256_store_si256(reinterpret_cast<__m256i*>(block.rows[r] + b), part);
    }
    if (b < bytes) copy_rest(from + b, block.rows[r] + b, bytes - b);
  }
}

/// The same of a group, which has `bytes` in a row, with the rows' scales, where they have them, and sums.
inline void gather_group(const PackedProduct& task, int64_t first, int64_t count, int64_t group, int64_t bytes,
                         TileBlock& block) {
  const uint8_t* x = static_cast<const uint8_t*>(task.x) + group * bytes;
  gather(task.edges, first, count, x, task.groups * bytes, bytes, block);
  for (int64_t r = 0; r < count; ++r) {
    const int64_t at = task.edges.input[first + r] * task.groups + group;
    if (task.row_scales != nullptr) block.row_scales[r] = task.row_scales[at];
    block.row_sums[r] = task.row_sums[at];
  }
}

/// Calls block(first edge, number of edges) for each 16 of them.
template <typename Block>
[[gnu::always_inline]] inline void for_tile_edges(int64_t count, const Block& block) {
  for (int64_t first = 0; first < count; first += kTileEdges) {
    const int64_t left = count - first;
    block(first, left < kTileEdges ? left : kTileEdges);
  }
}

/// Calls columns(constant N, first column): N = 2 tiles of output channels while there are that many, then one.
template <typename Columns>
[[gnu::always_inline]] inline void for_tile_columns(int64_t width, const Columns& columns) {
  int64_t column = 0;
  for (; column + 2 * kTileColumns <= width; column += 2 * kTileColumns) {
    columns(std::integral_constant<int, 2>{}, column);
  }
  if (column < width) columns(std::integral_constant<int, 1>{}, column);
}

// Tiles are configured and released here, once for all edges of a tap: a thread that keeps tiles in use would have
// their 8 KiB saved and restored with it whenever another one runs.

template <int Planes>
void integer_tile_product(const PackedProduct& task) {
  const int64_t group_size = task.group_size;
  const int64_t step = group_size < kTileBytes ? group_size : kTileBytes;
  const int64_t row_bytes = group_size * Planes;
  const int64_t width = task.edges.width;
  configure_integer_tiles(step);
  TileBlock block;
  for (int64_t group = 0; group < task.groups; ++group) {
    const uint8_t* codes = static_cast<const uint8_t*>(task.codes) + group * group_size * width;
    for_tile_edges(task.edges.count, [&](int64_t first, int64_t count) {
      gather_group(task, first, count, group, row_bytes, block);
      for_tile_columns(width, [&](auto n, int64_t column) {
        multiply_tiles<Planes, n>(block, codes + 4 * column, width, group_size, step);
        add_products<Planes, n>(task, block, count, group, column);
      });
    });
  }
  _tile_release();
}

inline void bf16_tile_product(const PackedProduct& task) {
  const int64_t row_bytes = 2 * task.group_size;
  const int64_t width = task.edges.width;
  configure_bf16_tiles(0);
  TileBlock block;
  for (int64_t group = 0; group < task.groups; ++group) {
    const uint8_t* codes = static_cast<const uint8_t*>(task.codes) + group * row_bytes * width;
    for_tile_edges(task.edges.count, [&](int64_t first, int64_t count) {
      gather_group(task, first, count, group, row_bytes, block);
      for_tile_columns(width, [&](auto n, int64_t column) {
        multiply_bf16_tiles<n>(block, codes + 4 * column, width, task.group_size);
        add_bf16_products<n>(task, block, count, group, column);
      });
    });
  }
  _tile_release();
}

inline void bf16_float_tile_product(const FloatProduct& task) {
  constexpr int64_t kPassChannels = kMostRowBytes / 2;
  const int64_t width = task.edges.width;
  configure_bf16_tiles(2 * task.channels % kTileBytes);
  TileBlock block;
  for (int64_t begin = 0; begin < task.channels; begin += kPassChannels) {
    const int64_t left = task.channels - begin;
    const int64_t channels = left < kPassChannels ? left : kPassChannels;
    const uint8_t* panel = static_cast<const uint8_t*>(task.panel) + 2 * begin * width;
    for_tile_edges(task.edges.count, [&](int64_t first, int64_t count) {
      gather(task.edges, first, count, static_cast<const uint8_t*>(task.x) + 2 * begin, 2 * task.x_stride, 2 * channels,
             block);
      for_tile_columns(width, [&](auto n, int64_t column) {
        multiply_bf16_tiles<n>(block, panel + 4 * column, width, channels);
        add_bf16_products<n>(block, count, column);
      });
    });
  }
  _tile_release();
}

template <int Planes>
constexpr IntegerRoute tile_route() {
  return {.activation_bytes = Planes,
          .quantize = quantize_rows<BytePlanes<Planes>>,
          .codes = {.code_bytes = 1, .decode = decode_quads<Avx512>, .product = integer_tile_product<Planes>}};
}

constexpr Bf16Route bf16_tile_route() {
  return {.float_product = bf16_float_tile_product,
          .widen_panel = widen_panel,
          .sum_groups = sum_groups,
          .codes = {.code_bytes = 2, .decode = decode_bf16, .product = bf16_tile_product}};
}

}  // namespace
}  // namespace lattice::cpu
