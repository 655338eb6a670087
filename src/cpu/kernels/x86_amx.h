#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/bf16_rows.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/packed_rows.h"
#include "cpu/kernels/products.h"
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

constexpr int kMostColumnTiles = 4;  // of a panel

/// The products of 16 edges with a panel, as tiles are stored: integers of each plane, or floats in the first.
struct alignas(64) TileProducts {
  uint32_t tile[2][kMostColumnTiles][kTileEdges * kTileColumns];
  const float* floats(int64_t n, int64_t edge) const {
    return reinterpret_cast<const float*>(tile[0][n]) + edge * kTileColumns;
  }
};

/// Some channels of up to 16 edges, gathered.
struct alignas(64) TileRows {
  uint8_t rows[kTileEdges][kMostRowBytes];
  int64_t first, count;  // edges
  int64_t group;
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

/// 0 to 3 are sums: of two planes in two tiles of columns, the first plane's before those of the low bytes, or of one
/// plane in four. 4 and 5 are the planes' activations, or 5 codes as well; 6 and 7 codes.
template <int Planes>
void configure_integer_tiles(int64_t step) {
  const TileShape activations = activations_shape(step), codes = weights_shape(step);
  configure_tiles(
      {kSumsShape, kSumsShape, kSumsShape, kSumsShape, activations, Planes == 2 ? activations : codes, codes, codes});
}

/// 0 and 1 are sums, 4 activations, 6 and 7 weights; 5, 2 and 3 are those of the `rest` bytes that no whole step takes.
inline void configure_bf16_tiles(int64_t rest) {
  const TileShape weights = weights_shape(kTileBytes), rest_weights = weights_shape(rest);
  configure_tiles({kSumsShape, kSumsShape, rest_weights, rest_weights, activations_shape(kTileBytes),
                   activations_shape(rest), weights, weights});
}

/// How many tiles of columns are multiplied at once: as many as there are sums for.
template <int Planes>
inline constexpr int kColumnTiles = 4 / Planes;

/// Starts the products of one group with N tiles of columns.
template <int Planes, int N>
[[gnu::always_inline]] inline void multiply_tiles(const TileRows& x, const uint8_t* codes, int64_t width,
                                                  int64_t group_size, int64_t step) {
  _tile_zero(0);
  if constexpr (N > 1) _tile_zero(1);
  if constexpr (Planes == 2 || N > 2) _tile_zero(2);
  if constexpr (Planes * N > 3) _tile_zero(3);
  settle_memory();
  for (int64_t c = 0; c < group_size; c += step) {
    const uint8_t* quads = codes + c * width;
    _tile_loadd(4, x.rows[0] + c, kMostRowBytes);
    _tile_loadd(6, quads, 4 * width);
    _tile_dpbsud(0, 4, 6);
    if constexpr (N > 1) {
      _tile_loadd(7, quads + kTileBytes, 4 * width);
      _tile_dpbsud(1, 4, 7);
    }
    if constexpr (Planes == 2) {
      _tile_loadd(5, x.rows[0] + group_size + c, kMostRowBytes);
      _tile_dpbuud(2, 5, 6);
      if constexpr (N > 1) _tile_dpbuud(3, 5, 7);
    } else {
      if constexpr (N > 2) {
        _tile_loadd(5, quads + 2 * kTileBytes, 4 * width);
        _tile_dpbsud(2, 4, 5);
      }
      if constexpr (N > 3) {
        _tile_loadd(6, quads + 3 * kTileBytes, 4 * width);
        _tile_dpbsud(3, 4, 6);
      }
    }
  }
}

/// Ends them; `first` is the number of the first tile.
template <int Planes, int N>
[[gnu::always_inline]] inline void store_tiles(TileProducts& products, int64_t first) {
  auto* const high = products.tile[0] + first;
  auto* const low = products.tile[1] + first;
  _tile_stored(0, high[0], kTileBytes);
  if constexpr (N > 1) _tile_stored(1, high[1], kTileBytes);
  if constexpr (Planes == 2) {
    _tile_stored(2, low[0], kTileBytes);
    if constexpr (N > 1) _tile_stored(3, low[1], kTileBytes);
  } else {
    if constexpr (N > 2) _tile_stored(2, high[2], kTileBytes);
    if constexpr (N > 3) _tile_stored(3, high[3], kTileBytes);
  }
  settle_memory();
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
  _tile_stored(0, products.tile[0][0], kTileBytes);
  if constexpr (N == 2) _tile_stored(1, products.tile[0][1], kTileBytes);
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

/// add(number among the 16, its sums from `column` on, its factors of the group where there are `rows` of such) for all
/// edges of `x`. What is read for each of them is copied first: for all that a compiler knows, adding changes it.
template <typename Add>
[[gnu::always_inline]] inline void for_edges(const TapEdges& edges, const GroupFactors* rows, int64_t groups,
                                             const TileRows& x, int64_t column, const Add& add) {
  const int32_t* const input = edges.input + x.first;
  const uint16_t* const slot = edges.slot + x.first;
  float* const sums = edges.sums + column;
  const GroupFactors* const factors = rows + x.group;
  const int64_t count = x.count, stride = edges.sums_stride;
  for (int64_t r = 0; r < count; ++r) add(r, sums + slot[r] * stride, factors + input[r] * groups);
}

/// Adds the products of a group with a panel of N tiles, scaled, to their edges' sums.
template <int Planes, int N>
[[gnu::always_inline]] inline void add_products(const PackedProduct& task, const TileRows& x,
                                                const TileProducts& products) {
  using V = Avx512;
  const ColumnFactors<N> factors(task, x.group, 0);
  const auto add = [&](int64_t r, float* sums, const GroupFactors* row) __attribute__((always_inline)) {
    const V::Vector row_scale = V::broadcast(row->scale), row_sum = V::broadcast(row->sum);
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      V::Ints product = V::load_ints(products.tile[0][n] + r * kTileColumns);
      if constexpr (Planes == 2) {
        const V::Ints low = V::load_ints(products.tile[1][n] + r * kTileColumns);
        product = _mm512_add_epi32(_mm512_slli_epi32(product, 8), low);
      }
      const V::Vector scaled =
          V::multiply_add(V::to_floats(product), factors.scales[n], V::multiply(row_sum, factors.biases[n]));
      V::store(sums + kOffset, V::multiply_add(row_scale, scaled, V::load(sums + kOffset)));
    });
  };
  for_edges(task.edges, task.rows, task.groups, x, 0, add);
}

/// The same of bfloat16, which have no scale.
template <int N>
void add_bf16_products(const PackedProduct& task, const TileRows& x, const TileProducts& products, int64_t column) {
  using V = Avx512;
  const ColumnFactors<N> factors(task, x.group, column);
  const auto add = [&](int64_t r, float* sums, const GroupFactors* row) __attribute__((always_inline)) {
    const V::Vector row_sum = V::broadcast(row->sum);
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      const V::Vector biased = V::multiply_add(row_sum, factors.biases[n], V::load(sums + kOffset));
      V::store(sums + kOffset, V::multiply_add(V::load(products.floats(n, r)), factors.scales[n], biased));
    });
  };
  for_edges(task.edges, task.rows, task.groups, x, column, add);
}

/// The same of bfloat16 weights.
template <int N>
void add_bf16_products(const TapEdges& edges, const TileRows& x, const TileProducts& products, int64_t column) {
  using V = Avx512;
  const auto add = [&](int64_t r, float* sums, const GroupFactors*) __attribute__((always_inline)) {
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      V::store(sums + kOffset, _mm512_add_ps(V::load(sums + kOffset), V::load(products.floats(n, r))));
    });
  };
  for_edges(edges, nullptr, 0, x, column, add);
}

/// What whole vectors leave over; apart, so that where there is nothing a loop over rows stays small.
[[gnu::noinline]] inline void copy_rest(const uint8_t* from, uint8_t* to, int64_t bytes) {
  for (int64_t b = 0; b < bytes; ++b) to[b] = from[b];
}

/// `bytes` of channels of up to 16 edges from `first` on, one below the other; where there are fewer, the first again.
/// Rows of `x` are `stride` bytes. Those of the 16 edges behind are fetched.
inline void gather(const TapEdges& edges, int64_t first, const uint8_t* x, int64_t stride, int64_t bytes,
                   TileRows& to) {
  const int64_t left = edges.count - first;
  to.first = first;
  to.group = 0;
  to.count = left < kTileEdges ? left : kTileEdges;
  const int64_t last = edges.count + edges.following - 1;
  const uint8_t *from[kTileEdges], *next[kTileEdges];
  for (int64_t r = 0; r < kTileEdges; ++r) {
    const int64_t edge = first + (r < to.count ? r : 0);
    from[r] = x + edges.input[edge] * stride;
    next[r] = x + edges.input[edge + kTileEdges < last ? edge + kTileEdges : last] * stride;
  }
  // All loads before all stores: a load waits for a store before it whose address is the same modulo 4 KiB.
  int64_t b = 0;
  for (; b + kTileBytes <= bytes; b += kTileBytes) {
    Avx512::Ints part[kTileEdges];
    unrolled<kTileEdges>([&](auto r) __attribute__((always_inline)) {
      part[r] = Avx512::load_ints(reinterpret_cast<const uint32_t*>(from[r] + b));
    });
    unrolled<kTileEdges>([&](auto r) __attribute__((always_inline)) {
      Avx512::store_ints(reinterpret_cast<uint32_t*>(to.rows[r] + b), part[r]);
      __builtin_prefetch(next[r] + b);
    });
  }
  if (b == bytes) return;
  for (int64_t r = 0; r < kTileEdges; ++r) copy_rest(from[r] + b, to.rows[r] + b, bytes - b);
}

/// The same of a group, which has `bytes` in a row.
inline void gather_group(const PackedProduct& task, int64_t first, int64_t group, int64_t bytes, TileRows& to) {
  gather(task.edges, first, static_cast<const uint8_t*>(task.x) + group * bytes, task.groups * bytes, bytes, to);
  to.group = group;
}

/// Calls columns(constant N, first column): N = Most tiles of output channels while there are that many, then fewer.
template <int Most, typename Columns>
[[gnu::always_inline]] inline void for_tile_columns(int64_t width, const Columns& columns) {
  int64_t column = 0;
  for (; column + Most * kTileColumns <= width; column += Most * kTileColumns) {
    columns(std::integral_constant<int, Most>{}, column);
  }
  const auto rest = static_cast<int>((width - column) / kTileColumns);
  unrolled<Most - 1>([&](auto n) __attribute__((always_inline)) {
    if (rest == n + 1) columns(std::integral_constant<int, n + 1>{}, column);
  });
}

// Tiles are configured and released here, once for all edges of a tap: a thread that keeps tiles in use would have
// their 8 KiB saved and restored with it whenever another one runs.

/// N is the number of tiles in a panel. While the tiles multiply some rows, the products of those before are added and
/// those behind are gathered.
template <int Planes, int N>
[[gnu::noinline]] void multiply_panel(const PackedProduct& task) {
  constexpr int kAtOnce = kColumnTiles<Planes>;
  constexpr int kRing = 3;  // rows to be added, multiplied, and multiplied next
  const int64_t width = N * kTileColumns;
  const int64_t group_size = task.group_size;
  const int64_t step = group_size < kTileBytes ? group_size : kTileBytes;
  const auto* codes = static_cast<const uint8_t*>(task.codes);
  TileRows ring[kRing];
  TileProducts products[2];
  int64_t next_first = 0, next_group = 0;
  const auto gather_next = [&](TileRows & to) __attribute__((always_inline)) {
    if (next_first >= task.edges.count) return;
    gather_group(task, next_first, next_group, group_size * Planes, to);
    if (++next_group == task.groups) next_group = 0, next_first += kTileEdges;
  };
  const int64_t items = (task.edges.count + kTileEdges - 1) / kTileEdges * task.groups;
  NextWeights next_weights(task.edges, items);
  gather_next(ring[0]);
  for (int64_t item = 0; item < items; ++item) {
    const TileRows& x = ring[item % kRing];
    const uint8_t* const group_codes = codes + x.group * group_size * width;
    unrolled<(N + kAtOnce - 1) / kAtOnce>([&](auto i) __attribute__((always_inline)) {
      constexpr int kFirst = i * kAtOnce;
      constexpr int kTilesNow = N - kFirst < kAtOnce ? N - kFirst : kAtOnce;
      multiply_tiles<Planes, kTilesNow>(x, group_codes + kFirst * kTileBytes, width, group_size, step);
      if constexpr (kFirst == 0) {
        next_weights.fetch_share();
        gather_next(ring[(item + 1) % kRing]);
        if (item > 0) add_products<Planes, N>(task, ring[(item - 1) % kRing], products[(item - 1) % 2]);
      }
      store_tiles<Planes, kTilesNow>(products[item % 2], kFirst);
    });
  }
  add_products<Planes, N>(task, ring[(items - 1) % kRing], products[(items - 1) % 2]);
}

template <int Planes>
void integer_tile_product(const PackedProduct& task) {
  if (task.edges.count == 0) return;
  const int64_t step = task.group_size < kTileBytes ? task.group_size : kTileBytes;
  configure_integer_tiles<Planes>(step);
  unrolled<kMostColumnTiles>([&](auto n) __attribute__((always_inline)) {
    if (task.edges.width == (n + 1) * kTileColumns) multiply_panel<Planes, n + 1>(task);
  });
  _tile_release();
}

inline void bf16_tile_product(const PackedProduct& task) {
  const int64_t row_bytes = 2 * task.group_size;
  const int64_t width = task.edges.width;
  configure_bf16_tiles(0);
  TileRows rows;
  TileProducts products;
  for (int64_t group = 0; group < task.groups; ++group) {
    const uint8_t* codes = static_cast<const uint8_t*>(task.codes) + group * row_bytes * width;
    for (int64_t first = 0; first < task.edges.count; first += kTileEdges) {
      gather_group(task, first, group, row_bytes, rows);
      for_tile_columns<2>(width, [&](auto n, int64_t column) {
        multiply_bf16_tiles<n>(rows, codes + 4 * column, width, task.group_size, products);
        add_bf16_products<n>(task, rows, products, column);
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
      gather(task.edges, first, static_cast<const uint8_t*>(task.x) + 2 * begin, 2 * task.x_stride, 2 * channels, rows);
      for_tile_columns<2>(width, [&](auto n, int64_t column) {
        multiply_bf16_tiles<n>(rows, panel + 4 * column, width, channels, products);
        add_bf16_products<n>(task.edges, rows, products, column);
      });
    }
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
