#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/fetch.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/packed_codes.h"
#include "cpu/kernels/unrolled.h"
#include "cpu/kernels/x86_amx.h"
#include "cpu/kernels/x86_avx512.h"

// Packed weights on AMX, with float32 activations that are split into bfloat16 where they are gathered: no pass over
// the rows comes before, and what is added has no scale of its row.
//
// An item is up to 16 edges times a group of channels. While the tiles multiply it with a panel, the vectors add what
// they made before and split the rows of the next item, a share behind each column of tiles: the window in which a
// processor finds what it can do meanwhile is shorter than that. Items follow each other without a break over all taps
// of a tile of outputs. Weights, rows and products of an item stay within the first-level cache beside the rows and
// sums that come and go.

namespace lattice::cpu {
namespace {

constexpr int64_t kStepChannels = kTileBytes / 2;  // of bfloat16

// Rows so far ahead are fetched into the second-level cache; the first has no room for them.
constexpr int64_t kEdgesAhead = 2 * kTileEdges;

/// Rows of 16 edges in a group: of each step of channels the high parts, then the low ones.
template <int64_t RowBytes>
struct alignas(kLine) SplitRows {
  uint8_t bytes[kTileEdges * RowBytes];
};

/// The nearest bfloat16, as a float32 whose lower half is not yet cut off; halves go away from zero. Infinities stay
/// what they are, but a NaN may not.
[[gnu::always_inline]] inline __m512i rounded_up(__m512i floats) {
  return _mm512_add_epi32(floats, _mm512_set1_epi32(0x8000));
}
[[gnu::always_inline]] inline __m512i upper_half(__m512i floats) {
  return _mm512_and_si512(floats, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U)));
}
/// Pairs of the upper halves of `first` and `second`.
[[gnu::always_inline]] inline __m512i paired(__m512i first, __m512i second) {
  return _mm512_or_si512(_mm512_srli_epi32(first, 16), upper_half(second));
}
[[gnu::always_inline]] inline __m512i minus(__m512i a, __m512i b) {
  return _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

/// A step of channels, of which `first` are the lower 16, as sums of two bfloat16, the lower ones in another plane;
/// channel c pairs with c + 16. To 2^-16 of a value where the higher are cut off, which is quicker, and to 2^-17 where
/// they are the nearest. Of what is not finite, one of the two is not a number.
template <bool IsNearest>
[[gnu::always_inline]] inline void split_step(__m512i first, __m512i second, uint32_t* high, uint32_t* low) {
  const __m512i first_high = IsNearest ? rounded_up(first) : first;
  const __m512i second_high = IsNearest ? rounded_up(second) : second;
  Avx512::store_ints(high, paired(first_high, second_high));
  Avx512::store_ints(low, paired(rounded_up(minus(first, upper_half(first_high))),
                                 rounded_up(minus(second, upper_half(second_high)))));
}

// The numbers of tiles are part of the instructions: 0 to 3 are sums, 4 and 5 the parts of activations, 6 weights.

template <int Column>
[[gnu::always_inline]] inline void clear_sums() {
  if constexpr (Column == 0) _tile_zero(0);
  if constexpr (Column == 1) _tile_zero(1);
  if constexpr (Column == 2) _tile_zero(2);
  if constexpr (Column == 3) _tile_zero(3);
}
template <int Column>
[[gnu::always_inline]] inline void store_sums(TileProducts& products) {
  if constexpr (Column == 0) _tile_stored(0, products.tile[0], kTileBytes);
  if constexpr (Column == 1) _tile_stored(1, products.tile[1], kTileBytes);
  if constexpr (Column == 2) _tile_stored(2, products.tile[2], kTileBytes);
  if constexpr (Column == 3) _tile_stored(3, products.tile[3], kTileBytes);
}

/// Adds the products of one part of the weights with both parts of the activations.
template <int Column>
[[gnu::always_inline]] inline void multiply_part(const uint8_t* weights, int64_t stride) {
  _tile_loadd(6, weights, stride);
  if constexpr (Column == 0) _tile_dpbf16ps(0, 4, 6);
  if constexpr (Column == 1) _tile_dpbf16ps(1, 4, 6);
  if constexpr (Column == 2) _tile_dpbf16ps(2, 4, 6);
  if constexpr (Column == 3) _tile_dpbf16ps(3, 4, 6);
  if constexpr (Column == 0) _tile_dpbf16ps(0, 5, 6);
  if constexpr (Column == 1) _tile_dpbf16ps(1, 5, 6);
  if constexpr (Column == 2) _tile_dpbf16ps(2, 5, 6);
  if constexpr (Column == 3) _tile_dpbf16ps(3, 5, 6);
}

/// The items of a tile in the order in which they are multiplied: of each run so many groups at a time, of these all
/// edges, of 16 of them one group after the other. An item's count is that of all edges of the run that are left.
class SplitItems {
 public:
  SplitItems(const SplitProduct& task, int64_t groups, int64_t groups_a_pass)
      : runs_(task.runs),
        run_count_(task.run_count),
        groups_(groups),
        groups_a_pass_(groups_a_pass),
        run_edges_(task.runs[0].count),
        item_{0, run_edges_, 0} {}

  bool are_left() const { return run_ < run_count_; }
  int64_t run() const { return run_; }
  const TileItem& item() const { return item_; }

  [[gnu::always_inline]] void advance() {
    if (++item_.group < end_of_pass()) return;
    item_.group = begin_;
    item_.first += kTileEdges;
    item_.count -= kTileEdges;
    if (item_.count > 0) return;
    item_.first = run_first_;
    item_.count = run_edges_;
    begin_ += groups_a_pass_;
    item_.group = begin_;
    if (begin_ < groups_) return;
    run_first_ += run_edges_;
    ++run_;
    run_edges_ = run_ < run_count_ ? runs_[run_].count : 0;
    begin_ = 0;
    item_ = {run_first_, run_edges_, 0};
  }

 private:
  int64_t end_of_pass() const { return begin_ + groups_a_pass_ < groups_ ? begin_ + groups_a_pass_ : groups_; }

  const TapRun* runs_;
  int64_t run_count_, groups_, groups_a_pass_;
  int64_t run_ = 0, run_first_ = 0, run_edges_, begin_ = 0;
  TileItem item_;
};

/// Panels of N tiles of columns times groups of Steps * 32 channels.
template <int Parts, int Panels, int N, int Steps>
class SplitPanels {
 public:
  explicit SplitPanels(const SplitProduct& task)
      : input_(task.input),
        slot_(task.slot),
        last_input_(task.edges - 1),
        sums_(task.sums),
        sums_stride_(task.sums_stride),
        x_(task.x),
        x_stride_(task.groups * task.group_size),
        panel_bytes_(x_stride_ / kGroup * Parts * kPartBytes),
        panel_scales_(task.groups * kWidth),
        scale_shift_(task.group_size > kGroup ? 1 : 0) {}

  /// Edges of all runs.
  [[gnu::noinline]] void multiply(const SplitProduct& task) const {
    constexpr int64_t kMostWeights = 16384, kGroupBytes = Panels * Parts * kPartBytes;
    static_assert(kGroupBytes <= kMostWeights);
    const SplitPanels self = *this;  // for all that a compiler knows, stores change *this
    SplitRows<kRowBytes> rows[2];
    TileProducts products = {};
    alignas(kLine) float unused[Panels * kWidth] = {};
    float* places[2][kTileEdges];
    SplitItems items(task, self.x_stride_ / kGroup, kMostWeights / kGroupBytes);
    Unit before = {.places = places[1]};
    for (float*& place : places[1]) place = unused;
    SplitWeights weights = {};
    int64_t run = -1;  // that the weights are of
    for (int64_t r = 0; r < kTileEdges; ++r) self.split_row(items.item(), r, rows[0].bytes);
    for (int turn = 0; items.are_left(); turn ^= 1) {
      if (items.run() != run) {
        run = items.run();
        weights = task.weights(task.weights_of, run);
        if (before.scales == nullptr) before.scales = weights.scales;
      }
      const TileItem now = items.item();
      items.advance();
      const TileItem next = items.item();
      const uint8_t* const x = rows[turn].bytes;
      uint8_t* const next_x = rows[turn ^ 1].bytes;
      unrolled<Panels>([&](auto panel) __attribute__((always_inline)) {
        const auto* const codes = reinterpret_cast<const uint8_t*>(weights.panels) + panel * self.panel_bytes_ +
                                  now.group * Parts * kPartBytes;
        V::Vector scales[N];
        before.load_scales(scales);
        unrolled<N>([&](auto n) __attribute__((always_inline)) { clear_sums<n>(); });
        unrolled<Steps>([&](auto step) __attribute__((always_inline)) {
          constexpr int64_t kWeights = 2 * step * kStepChannels * kWidth;
          settle_memory();
          _tile_loadd(4, x + 2 * step * kTileBytes, kRowBytes);
          _tile_loadd(5, x + (2 * step + 1) * kTileBytes, kRowBytes);
          unrolled<N>([&](auto n) __attribute__((always_inline)) {
            multiply_part<n>(codes + kWeights + n * kTileBytes, 4 * kWidth);
            if constexpr (Parts == 2) {
              multiply_part<n>(codes + kPartBytes + kWeights + n * kTileBytes, 4 * kWidth);
            }
            // What was stored last is read last: tiles are stored and loaded through memory, and wait for it. Where
            // sums stand is found an item ahead: tiles are not loaded before all stores behind know their place.
            constexpr int64_t kShare = step * N + n, kShares = Steps * N, kAllShares = Panels * kShares;
            self.for_share<kShares == 1 ? 0 : kShare - 1, kShares - 1>([&](int64_t r) __attribute__((always_inline)) {
              self.add_row(before, r, scales, products);
            });
            if constexpr (panel == 0) {
              self.for_share<kShare, kShares>([&](int64_t r) __attribute__((always_inline)) {
                places[turn][r] = r < now.count ? self.sums_ + self.slot_[now.first + r] * self.sums_stride_ : unused;
              });
            }
            self.for_share<panel * kShares + kShare, kAllShares - 1>([&](int64_t r) __attribute__((always_inline)) {
              self.split_row(next, r, next_x);
            });
          });
        });
        settle_memory();
        unrolled<N>([&](auto n) __attribute__((always_inline)) { store_sums<n>(products); });
        settle_memory();
        before = {.places = places[turn],
                  .column = panel * kWidth,
                  .scales = weights.scales + panel * self.panel_scales_ + (now.group >> self.scale_shift_) * kWidth};
      });
    }
    V::Vector scales[N];
    before.load_scales(scales);
    for (int64_t r = 0; r < kTileEdges; ++r) self.add_row(before, r, scales, products);
  }

 private:
  using V = Avx512;
  static constexpr bool kIsScaled = Parts == 1;
  static constexpr int64_t kGroup = Steps * kStepChannels, kWidth = N * kTileColumns;
  static constexpr int64_t kRowBytes = 2 * 2 * kGroup, kPartBytes = 2 * kGroup * kWidth;

  /// What tiles have multiplied: an item with one of the panels.
  struct Unit {
    float* const* places = nullptr;  // of its edges' sums; where it has fewer than 16, of some that nobody reads
    int64_t column = 0;              // the panel's first
    const float* scales = nullptr;   // the panel's, of the item's group

    [[gnu::always_inline]] void load_scales(V::Vector (&to)[N]) const {
      if constexpr (kIsScaled) {
        unrolled<N>([&](auto n) __attribute__((always_inline)) { to[n] = V::load(scales + n * V::kLanes); });
      }
    }
  };

  /// row(r) for the rows of a share among so many; of one share, all with it.
  template <int64_t Share, int64_t Shares, typename Row>
  [[gnu::always_inline]] static void for_share(const Row& row) {
    if constexpr (Share >= 0 && (Share < Shares || Shares == 0)) {
      constexpr int64_t kShares = Shares > 0 ? Shares : 1;
      constexpr int64_t kBegin = Share * kTileEdges / kShares, kEnd = (Share + 1) * kTileEdges / kShares;
      unrolled<kEnd - kBegin>([&](auto r) __attribute__((always_inline)) { row(kBegin + r); });
    }
  }

  /// Where an item has fewer than 16 edges, the row of one behind is as good as any.
  [[gnu::always_inline]] void split_row(const TileItem& item, int64_t r, uint8_t* rows) const {
    const int64_t edge = item.first + r < last_input_ ? item.first + r : last_input_;
    const auto* const x = reinterpret_cast<const uint32_t*>(x_ + input_[edge] * x_stride_ + item.group * kGroup);
    auto* const to = reinterpret_cast<uint32_t*>(rows + r * kRowBytes);
    const int64_t ahead = item.first + r + kEdgesAhead < last_input_ ? item.first + r + kEdgesAhead : last_input_;
    const float* const later = x_ + input_[ahead] * x_stride_ + item.group * kGroup;
    unrolled<Steps>([&](auto step) __attribute__((always_inline)) {
      constexpr int64_t kChannel = step * kStepChannels;
      const V::Ints first = V::load_ints(x + kChannel), second = V::load_ints(x + kChannel + V::kLanes);
      auto* const words = to + 2 * step * V::kLanes;
      __builtin_prefetch(later + kChannel, 0, 2);
      __builtin_prefetch(later + kChannel + V::kLanes, 0, 2);
      split_step<Parts == 2>(first, second, words, words + V::kLanes);
    });
  }

  /// Adds an edge's products to its sums.
  [[gnu::always_inline]] void add_row(const Unit& unit, int64_t r, const V::Vector (&scales)[N],
                                      const TileProducts& products) const {
    float* const sums = unit.places[r] + unit.column;
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      const V::Vector product = V::load(products.tile[n] + r * kTileColumns), sum = V::load(sums + kOffset);
      V::store(sums + kOffset, kIsScaled ? V::multiply_add(product, scales[n], sum) : V::add(product, sum));
    });
  }

  const int32_t* input_;
  const uint16_t* slot_;
  int64_t last_input_;
  float* sums_;
  int64_t sums_stride_;
  const float* x_;
  int64_t x_stride_;
  int64_t panel_bytes_, panel_scales_;
  int scale_shift_;  // groups of 128 channels are taken as two
};

template <int Parts, int Steps>
void split_product(const SplitProduct& task) {
  if (task.edges == 0) return;
  const TileShape whole = activations_shape(kTileBytes);
  configure_tiles({whole, whole, whole, whole, whole, whole, whole, whole});
  if constexpr (Parts == 1) {
    if (task.panel_count == 2) SplitPanels<Parts, 2, kMostColumnTiles, Steps>(task).multiply(task);
  }
  if (task.panel_count == 1) {
    unrolled<kMostColumnTiles>([&](auto n) __attribute__((always_inline)) {
      if (task.width == (n + 1) * kTileColumns) SplitPanels<Parts, 1, n + 1, Steps>(task).multiply(task);
    });
  }
  _tile_release();
}

/// Those of 128 channels are taken as two.
constexpr int64_t kMostSplitGroup = 64;

template <int Parts>
void split_product_of_groups(const SplitProduct& task) {
  task.group_size < kMostSplitGroup ? split_product<Parts, 1>(task) : split_product<Parts, 2>(task);
}

inline void split_product_of_weights(const SplitProduct& task) {
  task.is_centred ? split_product_of_groups<1>(task) : split_product_of_groups<2>(task);
}

/// pair(codes of channels c, codes of c + 16, row of pairs, column) for vectors of 16 columns, over a group.
template <int Bits, typename Pair>
[[gnu::always_inline]] inline void for_code_pairs(const PanelCodes& panel, int64_t group, const Pair& pair) {
  using V = Avx512;
  constexpr int kCodes = 32 / Bits, kWords = V::kLanes / kCodes;  // words of half a step
  const int64_t steps = panel.group_size / kStepChannels, width = panel.width;
  const uint32_t* words = panel.words + group * steps * 2 * kWords * width;
  for (int64_t step = 0; step < steps; ++step, words += 2 * kWords * width) {
    for (int64_t word = 0; word < kWords; ++word) {
      for (int64_t column = 0; column < width; column += V::kLanes) {
        const V::Ints low = V::load_ints(words + word * width + column);
        const V::Ints high = V::load_ints(words + (kWords + word) * width + column);
        unrolled<kCodes>([&](auto i) __attribute__((always_inline)) {
          const auto codes = [&](V::Ints all) __attribute__((always_inline)) {
            return V::to_floats(V::mask(V::shift_right<code_shift(i)>(all), (1U << Bits) - 1));
          };
          pair(codes(low), codes(high), step * V::kLanes + word * kCodes + i, column);
        });
      }
    }
  }
}

/// Centred codes are integers up to 256, so that they are exact: (channels / 2, width, 2). Others are scaled, and two
/// such panels a group, of their high and their low parts.
template <int Bits>
int64_t decode_split_of(const PanelCodes& panel, uint32_t* to) {
  using V = Avx512;
  const int64_t part = panel.group_size / 2 * panel.width;
  const int64_t group_rows = (panel.group_size < kMostSplitGroup ? panel.group_size : kMostSplitGroup) / 2;
  if (panel.is_centred) {
    for (int64_t group = 0; group < panel.groups; ++group) {
      float zeros[kMostColumnTiles * V::kLanes];
      for (int64_t column = 0; column < panel.width; ++column) {
        zeros[column] = zero_of(panel, group * panel.width + column);
      }
      for_code_pairs<Bits>(
          panel,
          group, [&](V::Vector first, V::Vector second, int64_t row, int64_t column) __attribute__((always_inline)) {
            const V::Vector zero = V::load(zeros + column);
            V::store_ints(to + row * panel.width + column,
                          paired(_mm512_castps_si512(V::add(first, zero)), _mm512_castps_si512(V::add(second, zero))));
          });
      to += part;
    }
    return panel.groups * part;
  }
  for (int64_t group = 0; group < panel.groups; ++group, to += 2 * part) {
    for_code_pairs<Bits>(
        panel,
        group, [&](V::Vector first, V::Vector second, int64_t row, int64_t column) __attribute__((always_inline)) {
          const V::Vector scale = V::load(panel.scales + group * panel.width + column);
          const V::Vector bias = V::load(panel.biases + group * panel.width + column);
          const int64_t low = group_rows * panel.width;
          uint32_t* const at = to + (row / group_rows * group_rows + row) * panel.width + column;
          split_step<true>(_mm512_castps_si512(V::multiply_add(first, scale, bias)),
                           _mm512_castps_si512(V::multiply_add(second, scale, bias)), at, at + low);
        });
  }
  return panel.groups * 2 * part;
}

inline int64_t decode_split(const PanelCodes& panel, uint32_t* pairs) {
  return panel.bits == 4 ? decode_split_of<4>(panel, pairs) : decode_split_of<8>(panel, pairs);
}

/// The sum of numbers of which one is not finite is not finite either.
inline bool all_finite(const float* values, int64_t count) {
  using V = Avx512;
  V::Vector sums[4];
  unrolled<4>([&](auto i) __attribute__((always_inline)) { sums[i] = _mm512_setzero_ps(); });
  int64_t at = 0;
  for (; at + 4 * V::kLanes <= count; at += 4 * V::kLanes) {
    unrolled<4>([&](auto i) __attribute__((always_inline)) {
      sums[i] = V::add(sums[i], V::load(values + at + i * V::kLanes));
    });
  }
  for (; at < count; at += V::kLanes) sums[0] = V::add(sums[0], V::load(values + at));
  float lanes[V::kLanes];
  V::store(lanes, V::add(V::add(sums[0], sums[1]), V::add(sums[2], sums[3])));
  float total = 0;
  for (const float lane : lanes) total += lane;
  return total - total == 0;
}

constexpr SplitRoute split_tile_route() {
  return {.decode = decode_split, .product = split_product_of_weights, .all_finite = all_finite};
}

}  // namespace
}  // namespace lattice::cpu
