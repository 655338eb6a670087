#pragma once

#include <cstdint>

#include "cpu/kernels/fetch.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/packed_codes.h"
#include "cpu/kernels/rounded_rows.h"
#include "cpu/kernels/unrolled.h"
#include "cpu/kernels/x86_amx.h"
#include "cpu/kernels/x86_avx512.h"

// Packed weights on AMX with activations of 8 bits: tiles of bytes, 64 channels of 16 edges times as many of 16
// outputs.

namespace lattice::cpu {
namespace {

/// Integers, as tiles are stored.
struct alignas(kLine) ByteProducts {
  uint32_t tile[kMostColumnTiles][kTileEdges * kTileColumns];
};

/// 0 to 3 are sums, 4 activations, 5, 6 and 7 codes, in steps of so many bytes of channels.
inline void configure_byte_tiles(int64_t step) {
  const TileShape codes = weights_shape(step);
  configure_tiles({kSumsShape, kSumsShape, kSumsShape, kSumsShape, activations_shape(step), codes, codes, codes});
}

// A tile keeps its place in the processor until what it holds is stored, so that units of two tiles of sums take turns,
// 0 and 1 or 2 and 3: one is stored while the other is multiplied.

constexpr int kUnitColumns = 2;

/// Bytes of channels that one instruction takes.
constexpr int64_t step_of(int64_t group_size) {
  return group_size < kTileBytes ? group_size : kTileBytes;
}

/// Starts the products of a group with some columns, one or two tiles, whose codes begin at `codes`. Where one step
/// takes the whole group, its activations are loaded already.
template <int Set, int Columns>
[[gnu::always_inline]] inline void multiply_unit(const TileRows& x, const uint8_t* codes, int64_t width,
                                                 int64_t group_size) {
  const int64_t step = step_of(group_size);
  if constexpr (Set == 0) {
    _tile_zero(0);
    if constexpr (Columns == 2) _tile_zero(1);
  } else {
    _tile_zero(2);
    if constexpr (Columns == 2) _tile_zero(3);
  }
  for (int64_t c = 0; c < group_size; c += step) {
    if (step < group_size) _tile_loadd(4, x.rows[0] + c, kMostRowBytes);
    const uint8_t* quads = codes + c * width;
    if constexpr (Set == 0) {
      _tile_loadd(6, quads, 4 * width);
      _tile_dpbsud(0, 4, 6);
      if constexpr (Columns == 2) {
        _tile_loadd(7, quads + kTileBytes, 4 * width);
        _tile_dpbsud(1, 4, 7);
      }
    } else {
      _tile_loadd(5, quads, 4 * width);
      _tile_dpbsud(2, 4, 5);
      if constexpr (Columns == 2) {
        _tile_loadd(6, quads + kTileBytes, 4 * width);
        _tile_dpbsud(3, 4, 6);
      }
    }
  }
}

/// Stores what a unit has made, whose first tile of columns is `column`.
template <int Set, int Columns>
[[gnu::always_inline]] inline void store_unit(ByteProducts& products, int column) {
  if constexpr (Set == 0) {
    _tile_stored(0, products.tile[column], kTileBytes);
    if constexpr (Columns == 2) _tile_stored(1, products.tile[column + 1], kTileBytes);
  } else {
    _tile_stored(2, products.tile[column], kTileBytes);
    if constexpr (Columns == 2) _tile_stored(3, products.tile[column + 1], kTileBytes);
  }
  settle_memory();
}

/// Adds the products of a group with a panel of N tiles, scaled, to the sums of some of its edges. Apart, so that the
/// loop has the registers to itself.
template <int N>
[[gnu::noinline]] void add_products(const PackedProduct& task, const TileItem& item, const ByteProducts& products,
                                    int64_t begin, int64_t end) {
  using V = Avx512;
  const ColumnFactors<N> factors(task, item.group, 0);
  const auto add = [&](int64_t r, float* sums, const GroupFactors* row) __attribute__((always_inline)) {
    const V::Vector row_scale = V::broadcast(row->scale), row_sum = V::broadcast(row->sum);
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      const V::Ints product = V::load_ints(products.tile[n] + r * kTileColumns);
      const V::Vector scaled =
          V::multiply_add(V::to_floats(product), factors.scales[n], V::multiply(row_sum, factors.biases[n]));
      V::store(sums + kOffset, V::multiply_add(row_scale, scaled, V::load(sums + kOffset)));
    });
  };
  for_edges(task.edges, task.rows, task.groups, item, 0, begin, end, add);
}

/// N is the number of tiles in a panel. While the tiles multiply an item, the next one is gathered and the products of
/// the one before are added, a share with each unit: the window in which a processor finds what it can do meanwhile is
/// shorter than an item.
template <int N>
[[gnu::noinline]] void multiply_panel(const PackedProduct& task) {
  constexpr int kUnits = (N + kUnitColumns - 1) / kUnitColumns;
  constexpr int kLastColumns = N - (kUnits - 1) * kUnitColumns, kLastSet = (kUnits - 1) % 2;
  constexpr int64_t kShares = kUnits > 1 ? kUnits - 1 : 1, kShare = (kTileEdges + kShares - 1) / kShares;
  const int64_t width = N * kTileColumns, group_size = task.group_size;
  const auto* const codes = static_cast<const uint8_t*>(task.codes);
  TileRows rows[2];
  ByteProducts products[2];
  TileItem before, now = item_at(task.edges, 0, 0);
  NextWeights next_weights(task.edges, (task.edges.count + kTileEdges - 1) / kTileEdges * task.groups);
  gather_group(task, now, group_size, rows[0]);
  int turn = 0;
  for (; now.count > 0; turn ^= 1) {
    const bool is_last_group = now.group + 1 == task.groups;
    const TileItem next =
        item_at(task.edges, is_last_group ? now.first + kTileEdges : now.first, is_last_group ? 0 : now.group + 1);
    const TileRows& x = rows[turn];
    ByteProducts &made = products[turn], &to_add = products[turn ^ 1];
    const uint8_t* const group_codes = codes + now.group * group_size * width;
    const auto store_before = [&]() __attribute__((always_inline)) {
      if (before.count > 0) store_unit<kLastSet, kLastColumns>(to_add, N - kLastColumns);
    };
    if constexpr (kLastSet == 0) store_before();  // its set is the one that comes now
    if (step_of(group_size) == group_size) _tile_loadd(4, x.rows[0], kMostRowBytes);
    unrolled<kUnits>([&](auto unit) __attribute__((always_inline)) {
      constexpr int kColumn = unit * kUnitColumns, kNow = unit + 1 == kUnits ? kLastColumns : kUnitColumns;
      multiply_unit<unit % 2, kNow>(x, group_codes + kColumn * kTileBytes, width, group_size);
      if constexpr (unit == 0) {
        next_weights.fetch_share();
        if (next.count > 0) gather_group(task, next, group_size, rows[turn ^ 1]);
        if constexpr (kLastSet != 0) store_before();
      }
      if constexpr (unit > 0 || kUnits == 1) {
        constexpr int64_t kBegin = unit > 0 ? (unit - 1) * kShare : 0;
        add_products<N>(task, before, to_add, kBegin, kBegin + kShare);
      }
      if constexpr (unit > 0) store_unit<(unit - 1) % 2, kUnitColumns>(made, kColumn - kUnitColumns);
    });
    before = now;
    now = next;
  }
  ByteProducts& left = products[turn ^ 1];  // of the last item
  store_unit<kLastSet, kLastColumns>(left, N - kLastColumns);
  add_products<N>(task, before, left, 0, kTileEdges);
}

inline void byte_tile_product(const PackedProduct& task) {
  if (task.edges.count == 0) return;
  configure_byte_tiles(step_of(task.group_size));
  unrolled<kMostColumnTiles>([&](auto n) __attribute__((always_inline)) {
    if (task.edges.width == (n + 1) * kTileColumns) multiply_panel<n + 1>(task);
  });
  _tile_release();
}

constexpr IntegerRoute byte_tile_route() {
  return {.activation_bytes = 1,
          .quantize = quantize_rows<Avx512, BytePlanes<1>>,
          .codes = {.code_bytes = 1, .decode = decode_quads<Avx512>, .product = byte_tile_product}};
}

}  // namespace
}  // namespace lattice::cpu
