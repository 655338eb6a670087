#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/bf16_rows.h"
#include "cpu/kernels/fetch.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/packed_codes.h"
#include "cpu/kernels/unrolled.h"
#include "cpu/kernels/x86_avx512.h"

// Products of bfloat16 on AMX. A tile holds 16 rows of 64 bytes; one instruction multiplies a tile of 16 edges x 32
// channels with one of as many channels x 16 output channels, and sums in float32, from two sums of every other
// channel.

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

constexpr int kMostColumnTiles = 4;  // of a panel

/// The products of 16 edges with a panel, as tiles are stored.
struct alignas(64) TileProducts {
  float tile[kMostColumnTiles][kTileEdges * kTileColumns];
};

/// Up to 16 edges, of which a group of channels is multiplied.
struct TileItem {
  int64_t first = 0, count = 0;  // edges
  int64_t group = 0;
};

/// Channels of 16 edges, gathered.
struct alignas(64) TileRows {
  uint8_t rows[kTileEdges][kMostRowBytes];
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

/// 0 and 1 are sums, 4 activations, 6 and 7 weights; 5, 2 and 3 are those of the `rest` bytes that no whole step takes.
inline void configure_bf16_tiles(int64_t rest) {
  const TileShape weights = weights_shape(kTileBytes), rest_weights = weights_shape(rest);
  configure_tiles({kSumsShape, kSumsShape, rest_weights, rest_weights, activations_shape(kTileBytes),
                   activations_shape(rest), weights, weights});
}

/// The products of `channels` channels of bfloat16; `panel` holds their pairs of `width` columns.
template <int N>
void multiply_bf16_tiles(const TileRows& x, const uint8_t* panel, int64_t width, int64_t channels,
                         TileProducts& products) {
  constexpr int64_t kStep = kTileBytes / 2;
  _tile_zero(0);
  if constexpr (N == 2) _tile_zero(1);
  settle_memory();
  int64_t c = 0;
  for (; c + kStep <= channels; c += kStep) {
    const uint8_t* pairs = panel + 2 * c * width;
    _tile_loadd(4, x.rows[0] + 2 * c, kMostRowBytes);
    _tile_loadd(6, pairs, 4 * width);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (N == 2) {
      _tile_loadd(7, pairs + kTileBytes, 4 * width);
      _tile_dpbf16ps(1, 4, 7);
    }
  }
  if (c < channels) {
    const uint8_t* pairs = panel + 2 * c * width;
    _tile_loadd(5, x.rows[0] + 2 * c, kMostRowBytes);
    _tile_loadd(2, pairs, 4 * width);
    _tile_dpbf16ps(0, 5, 2);
    if constexpr (N == 2) {
      _tile_loadd(3, pairs + kTileBytes, 4 * width);
      _tile_dpbf16ps(1, 5, 3);
    }
  }
  _tile_stored(0, products.tile[0], kTileBytes);
  if constexpr (N == 2) _tile_stored(1, products.tile[1], kTileBytes);
  settle_memory();
}

/// What a group's products are scaled with, in N tiles of output channels from `column` on.
template <int N>
struct ColumnFactors {
  Avx512::Vector scales[N], biases[N];

  [[gnu::always_inline]] ColumnFactors(const PackedProduct& task, int64_t group, int64_t column) {
    const int64_t first = group * task.edges.width + column;
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      scales[n] = Avx512::load(task.scales + first + n * Avx512::kLanes);
      biases[n] = Avx512::load(task.biases + first + n * Avx512::kLanes);
    });
  }
};

/// add(number among the 16, its sums from `column` on, its factors of the group where there are `rows` of such) for the
/// edges of an item from `begin` to `end`. What is read for each of them is copied first: for all that a compiler
/// knows, adding changes it.
template <typename Add>
[[gnu::always_inline]] inline void for_edges(const TapEdges& edges, const GroupFactors* rows, int64_t groups,
                                             const TileItem& item, int64_t column, int64_t begin, int64_t end,
                                             const Add& add) {
  const int32_t* const input = edges.input + item.first;
  const uint16_t* const slot = edges.slot + item.first;
  float* const sums = edges.sums + column;
  const GroupFactors* const factors = rows + item.group;
  const int64_t stride = edges.sums_stride, last = end < item.count ? end : item.count;
  for (int64_t r = begin; r < last; ++r) add(r, sums + slot[r] * stride, factors + input[r] * groups);
}

/// Adds the products of a group, scaled, to the sums of an item's edges, with N tiles from `column` on.
template <int N>
void add_bf16_products(const PackedProduct& task, const TileItem& item, const TileProducts& products, int64_t column) {
  using V = Avx512;
  const ColumnFactors<N> factors(task, item.group, column);
  const auto add = [&](int64_t r, float* sums, const GroupFactors* row) __attribute__((always_inline)) {
    const V::Vector row_sum = V::broadcast(row->sum);
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      const V::Vector biased = V::multiply_add(row_sum, factors.biases[n], V::load(sums + kOffset));
      V::store(sums + kOffset,
               V::multiply_add(V::load(products.tile[n] + r * kTileColumns), factors.scales[n], biased));
    });
  };
  for_edges(task.edges, task.rows, task.groups, item, column, 0, kTileEdges, add);
}

/// The same of bfloat16 weights.
template <int N>
void add_bf16_products(const TapEdges& edges, const TileItem& item, const TileProducts& products, int64_t column) {
  using V = Avx512;
  const auto add = [&](int64_t r, float* sums, const GroupFactors*) __attribute__((always_inline)) {
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      V::store(sums + kOffset, _mm512_add_ps(V::load(sums + kOffset), V::load(products.tile[n] + r * kTileColumns)));
    });
  };
  for_edges(edges, nullptr, 0, item, column, 0, kTileEdges, add);
}

/// What whole vectors leave over; apart, so that where there is nothing a loop over rows stays small.
[[gnu::noinline]] inline void copy_rest(const uint8_t* from, uint8_t* to, int64_t bytes) {
  for (int64_t b = 0; b < bytes; ++b) to[b] = from[b];
}

/// `bytes` of channels of an item's edges, one below the other; where there are fewer than 16, the first again. Rows of
/// `x` are `stride` bytes. Those of the 16 edges behind are fetched.
inline void gather(const TapEdges& edges, const TileItem& item, const uint8_t* x, int64_t stride, int64_t bytes,
                   TileRows& to) {
  const int64_t last = edges.count + edges.following - 1;
  const uint8_t *from[kTileEdges], *next[kTileEdges];
  for (int64_t r = 0; r < kTileEdges; ++r) {
    const int64_t edge = item.first + (r < item.count ? r : 0);
    from[r] = x + edges.input[edge] * stride;
    next[r] = x + edges.input[edge + kTileEdges < last ? edge + kTileEdges : last] * stride;
  }
  int64_t b = 0;
  for (; b + kTileBytes <= bytes; b += kTileBytes) {
    unrolled<kTileEdges>([&](auto r) __attribute__((always_inline)) {
      Avx512::store_ints(reinterpret_cast<uint32_t*>(to.rows[r] + b),
                         Avx512::load_ints(reinterpret_cast<const uint32_t*>(from[r] + b)));
      __builtin_prefetch(next[r] + b);
    });
  }
  if (b == bytes) return;
  for (int64_t r = 0; r < kTileEdges; ++r) copy_rest(from[r] + b, to.rows[r] + b, bytes - b);
}

/// The same of a group, which has `bytes` in a row.
inline void gather_group(const PackedProduct& task, const TileItem& item, int64_t bytes, TileRows& to) {
  gather(task.edges, item, static_cast<const uint8_t*>(task.x) + item.group * bytes, task.groups * bytes, bytes, to);
}

/// An item of the edges from `first` on.
inline TileItem item_at(const TapEdges& edges, int64_t first, int64_t group) {
  const int64_t left = edges.count - first;
  return {.first = first, .count = left < kTileEdges ? left : kTileEdges, .group = group};
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

inline void bf16_tile_product(const PackedProduct& task) {
  const int64_t row_bytes = 2 * task.group_size;
  const int64_t width = task.edges.width;
  configure_bf16_tiles(0);
  TileRows rows;
  TileProducts products;
  for (int64_t group = 0; group < task.groups; ++group) {
    const uint8_t* codes = static_cast<const uint8_t*>(task.codes) + group * row_bytes * width;
    for (int64_t first = 0; first < task.edges.count; first += kTileEdges) {
      const TileItem item = item_at(task.edges, first, group);
      gather_group(task, item, row_bytes, rows);
      for_tile_columns(width, [&](auto n, int64_t column) {
        multiply_bf16_tiles<n>(rows, codes + 4 * column, width, task.group_size, products);
        add_bf16_products<n>(task, item, products, column);
      });
    }
  }
  _tile_release();
}

inline void bf16_float_tile_product(const FloatProduct& task) {
  constexpr int64_t kPassChannels = kMostRowBytes / 2;
  const int64_t width = task.edges.width;
  configure_bf16_tiles(2 * task.channels % kTileBytes);
  TileRows rows;
  TileProducts products;
  for (int64_t begin = 0; begin < task.channels; begin += kPassChannels) {
    const int64_t left = task.channels - begin;
    const int64_t channels = left < kPassChannels ? left : kPassChannels;
    const uint8_t* panel = static_cast<const uint8_t*>(task.panel) + 2 * begin * width;
    for (int64_t first = 0; first < task.edges.count; first += kTileEdges) {
      const TileItem item = item_at(task.edges, first, 0);
      gather(task.edges, item, static_cast<const uint8_t*>(task.x) + 2 * begin, 2 * task.x_stride, 2 * channels, rows);
      for_tile_columns(width, [&](auto n, int64_t column) {
        multiply_bf16_tiles<n>(rows, panel + 4 * column, width, channels, products);
        add_bf16_products<n>(task.edges, item, products, column);
      });
    }
  }
  _tile_release();
}

constexpr Bf16Route bf16_tile_route() {
  return {.float_product = bf16_float_tile_product,
          .widen_panel = widen_panel,
          .sum_groups = sum_groups,
          .codes = {.code_bytes = 2, .decode = decode_bf16, .product = bf16_tile_product}};
}

}  // namespace
}  // namespace lattice::cpu
