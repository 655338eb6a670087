#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "cpu/cpu_backend.h"
#include "cpu/finisher.h"
#include "cpu/panel_weight.h"
#include "cpu/relation.h"

// Output-stationary: a task owns a tile of output rows and a block of output channels, keeps their sums in a buffer
// that the second-level cache holds, adds one tap after the other, and stores each output once, through the epilogue.
// Nothing is scattered, no two tasks write the same place, and the order of an output's additions is fixed by the
// relation.

namespace lattice::cpu {
namespace {

// Output channels a task, see kTileRows.
constexpr int64_t kBlockChannels = 64;

// Values of a task's input where a matrix product makes whole rows: 128 KiB, which the second-level cache holds for one
// panel after the other.
constexpr int64_t kDenseValuesATask = int64_t{1} << 15;

/// A thread's memory for one task.
struct TaskScratch {
  Scratch sums, exact_sums, floats, codes, finish;
  RowScratch rounded;
  PooledVector<int32_t> taken_input, exact_input;
  PooledVector<uint16_t> taken_slot, exact_slot;
};

TaskScratch& task_scratch() {
  static thread_local TaskScratch scratch;
  return scratch;
}

/// The panels of any weight in float32, (channels, width).
class FloatPanels {
 public:
  /// Where there is `ahead`, a small packed weight is decoded to it at once; else whoever asks for a panel has it
  /// decoded, tile by tile.
  FloatPanels(const PanelWeight& weight, const Kernels& kernels, Scratch* ahead) : weight_(weight), kernels_(kernels) {
    constexpr int64_t kMostFloats = int64_t{1} << 16;  // 256 KiB, which a second-level cache holds beside the sums
    if (ahead == nullptr || !weight.is_packed()) return;
    tap_floats_ = rows() * weight.padded_out();
    if (weight.taps() * tap_floats_ > kMostFloats) return;
    decoded_ = ahead->take<float>(weight.taps() * tap_floats_);
    for (int64_t tap = 0; tap < weight.taps(); ++tap) {
      for (const Panel& panel : weight.panels()) kernels.decode_floats(weight.codes(tap, panel), place(tap, panel));
    }
  }

  const float* of(int64_t tap, const Panel& panel, Scratch& scratch) const {
    if (decoded_ != nullptr) return place(tap, panel);
    if (weight_.is_packed()) {
      auto* decoded = scratch.take<float>(rows() * panel.width);
      kernels_.decode_floats(weight_.codes(tap, panel), decoded);
      return decoded;
    }
    if (weight_.is_bf16()) {
      auto* wide = scratch.take<float>(weight_.padded_channels() * panel.width);
      kernels_.bf16.widen_panel({.from = weight_.bf16_pairs(tap, panel),
                                 .pairs = weight_.padded_channels() / 2,
                                 .width = panel.width,
                                 .to = wide});
      return wide;
    }
    return weight_.floats(tap, panel);
  }

 private:
  int64_t rows() const { return weight_.groups() * weight_.group_size(); }
  float* place(int64_t tap, const Panel& panel) const { return decoded_ + tap * tap_floats_ + rows() * panel.first; }

  const PanelWeight& weight_;
  const Kernels& kernels_;
  float* decoded_ = nullptr;
  int64_t tap_floats_ = 0;
};

/// Rows of so many channels and a panel, which is decoded to memory of `scratch`.
CodeOperands code_operands(const PackedRows& rows, int64_t channels, const PanelCodes& panel, Scratch& scratch) {
  auto* decoded = scratch.take<uint8_t>(panel.groups * panel.group_size * panel.width * rows.codes->code_bytes);
  return {.x = rows.x,
          .rows = rows.factors,
          .codes = rows.codes->decode(panel, decoded),
          .scales = panel.scales,
          .biases = rows.codes->centres && panel.is_centred ? nullptr : panel.biases,
          .groups = panel.groups,
          .group_size = panel.group_size,
          .channels = channels};
}

/// One layer's products: the edges of a tile times the panels of a block, by whichever route.
class LayerProduct {
 public:
  LayerProduct(const LayerInput& input, int64_t channels, const PanelWeight& weight, const FloatPanels& floats,
               const Kernels& kernels)
      : input_(input), channels_(channels), weight_(weight), floats_(floats), kernels_(kernels) {}

  /// Panels a task: of kBlockChannels, and of those that are multiplied at once.
  int64_t block_panels() const {
    return std::max<int64_t>(splits_rows() && weight_.is_centred() ? 2 : 1, kBlockChannels / kernels_.panel_width);
  }

  /// Writes the sums of a tile's outputs, `width` floats a row. `panels` stand side by side, and fill it.
  void sum(const TiledRelation::Tile& tile, std::span<const Panel> panels, float* sums, int64_t width,
           TaskScratch& scratch) const {
    const auto count = static_cast<int64_t>(tile.order.size()) * width;
    std::fill_n(sums, count, 0.0F);
    const TileSums into = {.sums = sums, .stride = width, .first = panels.front().first};
    if (!splits_rows()) {
      for_products(tile, panels, into, [&](int64_t tap, const Panel& panel, const TapEdges& edges) {
        multiply(tap, panel, edges, scratch);
      });
      return;
    }
    for (auto left = panels; !left.empty();) {
      const bool are_two = weight_.is_centred() && left.size() > 1 && left[1].width == kernels_.panel_width;
      const size_t at_once = are_two ? 2 : 1;
      multiply_split(tile, left.first(at_once), into, scratch);
      left = left.subspan(at_once);
    }
    if (!kernels_.split.all_finite(sums, count)) replace_odd_sums(tile, panels, into, scratch);
  }

 private:
  /// Where a tile's sums stand: `stride` floats a row, from output channel `first` on.
  struct TileSums {
    float* sums;
    int64_t stride;
    int64_t first;

    float* of(const Panel& panel) const { return sums + (panel.first - first); }
  };

  bool splits_rows() const { return input_.split_rows() != nullptr; }

  /// product(tap, panel, edges) for each run of a tile and each panel.
  template <typename Product>
  void for_products(const TiledRelation::Tile& tile, std::span<const Panel> panels, const TileSums& into,
                    const Product& product) const {
    // What the product after that of a run and a panel reads; nothing behind the last.
    const auto next_weights = [&](size_t r, size_t p) -> std::span<const std::byte> {
      if (p + 1 < panels.size()) return weight_.stored(tile.runs[r].tap, panels[p + 1]);
      if (r + 1 < tile.runs.size()) return weight_.stored(tile.runs[r + 1].tap, panels[0]);
      return {};
    };
    int64_t edge = 0;
    for (size_t r = 0; r < tile.runs.size(); ++r) {
      const auto& [tap, count] = tile.runs[r];
      for (size_t p = 0; p < panels.size(); ++p) {
        const std::span<const std::byte> next = next_weights(r, p);
        product(tap, panels[p],
                TapEdges{.input = tile.input + edge,
                         .slot = tile.slot + edge,
                         .count = count,
                         .width = panels[p].width,
                         .outputs = panels[p].outputs,
                         .sums = into.of(panels[p]),
                         .sums_stride = into.stride,
                         .following = tile.edges - edge - count,
                         .next = next.data(),
                         .next_bytes = static_cast<int64_t>(next.size())});
      }
      edge += count;
    }
  }

  /// Outputs with a sum that is not finite, since a row could not be split or since it should not be, take float32.
  void replace_odd_sums(const TiledRelation::Tile& tile, std::span<const Panel> panels, const TileSums& into,
                        TaskScratch& scratch) const {
    const auto rows = static_cast<int64_t>(tile.order.size());
    auto* exact = scratch.exact_sums.take<float>(rows * into.stride);
    std::fill_n(exact, rows * into.stride, 0.0F);
    for_products(
        tile, panels, {.sums = exact, .stride = into.stride, .first = into.first},
        [&](int64_t tap, const Panel& panel, const TapEdges& edges) { multiply_floats(tap, panel, edges, scratch); });
    for (int64_t row = 0; row < rows; ++row) {
      float* const sums = into.sums + row * into.stride;
      const bool is_odd = std::any_of(sums, sums + into.stride, [](float sum) { return !std::isfinite(sum); });
      if (is_odd) std::copy_n(exact + row * into.stride, into.stride, sums);
    }
  }

  void multiply(int64_t tap, const Panel& panel, const TapEdges& edges, TaskScratch& scratch) const {
    if (input_.bf16_rows().x != nullptr) return multiply_bf16(tap, panel, edges);
    const PackedRows& rows = input_.packed_rows();
    if (rows.codes == nullptr) return multiply_floats(tap, panel, edges, scratch);
    if (rows.exact == nullptr) return multiply_codes(tap, panel, edges, scratch);
    TapEdges taken = edges, exact = edges;
    split(edges, rows.exact, taken, exact, scratch);
    if (taken.count > 0) multiply_codes(tap, panel, taken, scratch);
    if (exact.count > 0) multiply_floats(tap, panel, exact, scratch);
  }

  void multiply_floats(int64_t tap, const Panel& panel, const TapEdges& edges, TaskScratch& scratch) const {
    kernels_.float_product({.edges = edges,
                            .x = input_.floats(),
                            .x_stride = channels_,
                            .panel = floats_.of(tap, panel, scratch.floats),
                            .channels = channels_});
  }

  void multiply_bf16(int64_t tap, const Panel& panel, const TapEdges& edges) const {
    const Bf16Rows& rows = input_.bf16_rows();
    kernels_.bf16.float_product({.edges = edges,
                                 .x = rows.x,
                                 .x_stride = rows.stride,
                                 .panel = weight_.bf16_pairs(tap, panel),
                                 .channels = rows.stride});
  }

  /// One panel or two, see SplitProduct.
  void multiply_split(const TiledRelation::Tile& tile, std::span<const Panel> panels, const TileSums& into,
                      TaskScratch& scratch) const {
    struct Weights {
      const PanelWeight& weight;
      const SplitRoute& route;
      const TiledRelation::Tile& tile;
      std::span<const Panel> panels;
      uint32_t* decoded;

      static SplitWeights of(const void* self, int64_t run) {
        const auto& [weight, route, tile, panels, decoded] = *static_cast<const Weights*>(self);
        const int64_t tap = tile.runs[static_cast<size_t>(run)].tap;
        uint32_t* to = decoded;
        for (const Panel& panel : panels) to += route.decode(weight.codes(tap, panel), to);
        return {.panels = decoded, .scales = weight.codes(tap, panels[0]).scales};
      }
    };
    const int64_t codes = weight_.groups() * weight_.group_size() * panels[0].width;
    const Weights weights = {.weight = weight_,
                             .route = kernels_.split,
                             .tile = tile,
                             .panels = panels,
                             .decoded = scratch.codes.take<uint32_t>(codes * static_cast<int64_t>(panels.size()))};
    kernels_.split.product({.runs = tile.runs.data(),
                            .run_count = static_cast<int64_t>(tile.runs.size()),
                            .input = tile.input,
                            .slot = tile.slot,
                            .edges = tile.edges,
                            .x = input_.split_rows(),
                            .groups = weight_.groups(),
                            .group_size = weight_.group_size(),
                            .weights = Weights::of,
                            .weights_of = &weights,
                            .is_centred = weight_.is_centred(),
                            .panel_count = static_cast<int64_t>(panels.size()),
                            .width = panels[0].width,
                            .sums = into.of(panels[0]),
                            .sums_stride = into.stride});
  }

  void multiply_codes(int64_t tap, const Panel& panel, const TapEdges& edges, TaskScratch& scratch) const {
    const PackedRows& rows = input_.packed_rows();
    rows.codes->product({code_operands(rows, channels_, weight_.codes(tap, panel), scratch.codes), edges});
  }

  /// The edges whose input the route takes, and those whose input it does not.
  static void split(const TapEdges& edges, const uint8_t* is_exact, TapEdges& taken, TapEdges& exact,
                    TaskScratch& scratch) {
    scratch.taken_input.clear(), scratch.taken_slot.clear();
    scratch.exact_input.clear(), scratch.exact_slot.clear();
    for (int64_t e = 0; e < edges.count; ++e) {
      const bool stays = is_exact[edges.input[e]] != 0;
      (stays ? scratch.exact_input : scratch.taken_input).push_back(edges.input[e]);
      (stays ? scratch.exact_slot : scratch.taken_slot).push_back(edges.slot[e]);
    }
    taken.input = scratch.taken_input.data();
    taken.slot = scratch.taken_slot.data();
    taken.count = static_cast<int64_t>(scratch.taken_input.size());
    taken.following = exact.following = 0;  // they stand behind `edges`
    exact.input = scratch.exact_input.data();
    exact.slot = scratch.exact_slot.data();
    exact.count = static_cast<int64_t>(scratch.exact_input.size());
  }

  const LayerInput& input_;
  int64_t channels_;
  const PanelWeight& weight_;
  const FloatPanels& floats_;
  const Kernels& kernels_;
};

/// `tile_at(t)` gives the edges of tile t.
template <typename TileAt>
void convolve_tiles(int64_t output_rows, const PanelWeight& weight, const LayerProduct& product,
                    const Finisher& finisher, int64_t out_channels, Workers& workers, const TileAt& tile_at) {
  const auto panel_count = static_cast<int64_t>(weight.panels().size());
  const int64_t block_panels = product.block_panels();
  const int64_t blocks = (panel_count + block_panels - 1) / block_panels;
  workers.for_each(tiles_of(output_rows) * blocks, [&](int64_t task) {
    const TiledRelation::Tile tile = tile_at(task / blocks);
    const auto rows = static_cast<int64_t>(tile.order.size());
    // Blocks of equal numbers of panels, so that none is left with a single narrow one.
    const int64_t block = task % blocks;
    const std::span<const Panel> panels(weight.panels().data() + panel_count * block / blocks,
                                        weight.panels().data() + panel_count * (block + 1) / blocks);
    const int64_t first = panels.front().first;
    const int64_t width = panels.back().first + panels.back().width - first;
    TaskScratch& scratch = task_scratch();
    auto* sums = scratch.sums.take<float>(rows * width);
    product.sum(tile, panels, sums, width, scratch);
    finisher.finish(sums, width, tile.order, first, std::min(width, out_channels - first), scratch.finish);
  });
}

}  // namespace

std::unique_ptr<const PreparedWeight> CpuBackend::prepare(const ConvWeight& weight) const {
  return std::make_unique<const PanelWeight>(weight, kernels_);
}

const PanelWeight& CpuBackend::panels_of(const ConvWeight& weight) const {
  return static_cast<const PanelWeight&>(weight.prepared(*this));
}

/// Integers pay where a row that was rounded meets enough products. Measured on a Xeon with AMX: with fewer than 32
/// input channels, which are filled up to a whole group, they take up to four times as long as float32; there, and with
/// AVX2, where rows are read but once, as in matrix products and by kernels as large as their stride, they need 64
/// output channels. On a Zen 4 with AVX-512, which rounds a group in half of the instructions, 32 are enough.
/// Weights that would overflow on the way never meet integers.
Numerics CpuBackend::layer_numerics(DType activations, const ConvWeight& weight, bool reads_once) const {
  const Numerics chosen = numerics(activations);
  const bool is_free = numerics_ == Numerics::automatic && chosen == Numerics::int16;
  const int64_t enough_outputs = kernels_.lanes == 16 && !kernels_.split.exists() ? 32 : 64;
  const bool is_narrow = weight.in_channels() < 32 || (reads_once && weight.out_channels() < enough_outputs);
  if (is_free && is_narrow) return Numerics::float32;
  const bool takes_integers = weight.is_packed() && (chosen == Numerics::int16 || chosen == Numerics::int8);
  if (takes_integers && !panels_of(weight).suits_integers()) return Numerics::float32;
  return chosen;
}

/// Whether a kernel makes whole rows of products that nothing is added to.
bool CpuBackend::makes_rows(const Tensor& x, const ConvWeight& weight, Numerics numerics) {
  return x.dtype() == DType::f32 && (!weight.is_packed() || numerics == Numerics::float32) &&
         x.size(1) <= kMostDenseChannels;
}

/// How rows are rounded whose products a kernel makes whole; empty where none does.
std::optional<Rounding> CpuBackend::row_rounding(const Tensor& x, const ConvWeight& weight, Numerics numerics) const {
  if (x.dtype() != DType::f32 || !weight.is_packed() || x.size(1) > kMostDenseChannels) return {};
  const auto rounding = Rounding::in(numerics, kernels_);
  return rounding && rounding->route->codes.dense_rows != nullptr ? rounding : std::nullopt;
}

template <typename TileAt>
Tensor CpuBackend::convolve_with(const Tensor& x, int64_t output_rows, const ConvWeight& weight, Numerics numerics,
                                 const Epilogue& epilogue, const TileAt& tile_at) {
  const PanelWeight& panels = panels_of(weight);
  input_.read(x, kernels_, numerics, panels, workers_);
  Tensor y = output_tensor(epilogue.columns, x.dtype(), output_rows, weight.out_channels());
  const FloatPanels floats(panels, kernels_, numerics == Numerics::float32 ? &decoded_ : nullptr);
  const LayerProduct product(input_, weight.in_channels(), panels, floats, kernels_);
  convolve_tiles(output_rows, panels, product, Finisher(epilogue, kernels_, weight.out_channels(), y),
                 weight.out_channels(), workers_, tile_at);
  return y;
}

/// Outputs of one edge each, whose rows a kernel makes whole; see makes_rows.
Tensor CpuBackend::convolve_edges(const Tensor& x, const TiledRelation& relation, const ConvWeight& weight,
                                  const Epilogue& epilogue) {
  const PanelWeight& weights = panels_of(weight);
  const int64_t out_channels = weight.out_channels();
  Tensor y = output_tensor(epilogue.columns, x.dtype(), relation.output_rows(), out_channels);
  const Finisher finisher(epilogue, kernels_, out_channels, y);
  const FloatPanels floats(weights, kernels_, &decoded_);
  const auto panels = static_cast<int64_t>(weights.panels().size());
  workers_.for_each(relation.tile_count() * panels, [&](int64_t task) {
    const TiledRelation::Tile tile = relation.tile(task / panels);
    const Panel& panel = weights.panels()[static_cast<size_t>(task % panels)];
    int64_t edge = 0;
    for (const auto& [tap, count] : tile.runs) {
      RowFinish finish = finisher.rows(0, count, panel.first, panel.outputs);
      finish.order = tile.order.data();
      finisher.make_rows({.x = x.data<float>(),
                          .channels = weight.in_channels(),
                          .panel = floats.of(tap, panel, task_scratch().floats),
                          .width = panel.width,
                          .input = tile.input + edge,
                          .slot = tile.slot + edge,
                          .finish = finish});
      edge += count;
    }
  });
  return y;
}

Tensor CpuBackend::convolve(const Tensor& x, const Relation& relation, const ConvWeight& weight,
                            const Epilogue& epilogue) {
  const auto& tiled = dynamic_cast<const TiledRelation&>(relation);
  const Numerics numerics = layer_numerics(x.dtype(), weight, tiled.reads_once());
  if (tiled.has_one_edge_a_row() && makes_rows(x, weight, numerics)) {
    return convolve_edges(x, tiled, weight, epilogue);
  }
  return convolve_with(x, relation.output_rows(), weight, numerics, epilogue,
                       [&](int64_t index) { return tiled.tile(index); });
}

/// A matrix product whose rows a kernel makes whole; see makes_rows.
Tensor CpuBackend::dense_linear(const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue) {
  const int64_t rows = x.size(0), channels = weight.in_channels(), out_channels = weight.out_channels();
  const PanelWeight& panels = panels_of(weight);
  Tensor y = output_tensor(epilogue.columns, x.dtype(), rows, out_channels);
  const Finisher finisher(epilogue, kernels_, out_channels, y);
  const FloatPanels floats(panels, kernels_, &decoded_);
  workers_.for_blocks(rows, kDenseValuesATask / channels, [&](int64_t first, int64_t last) {
    for (const Panel& panel : panels.panels()) {
      finisher.make_rows({.x = x.data<float>() + first * channels,
                          .channels = channels,
                          .panel = floats.of(0, panel, task_scratch().floats),
                          .width = panel.width,
                          .finish = finisher.rows(first, last - first, panel.first, panel.outputs)});
    }
  });
  return y;
}

/// The same of rows that are rounded, each task its own; see row_rounding. Rows that cannot be take float32.
Tensor CpuBackend::dense_linear_of_codes(const Tensor& x, const ConvWeight& weight, const Rounding& rounding,
                                         const Epilogue& epilogue) {
  const int64_t rows = x.size(0), channels = weight.in_channels(), out_channels = weight.out_channels();
  const PanelWeight& panels = panels_of(weight);
  Tensor y = output_tensor(epilogue.columns, x.dtype(), rows, out_channels);
  const Finisher finisher(epilogue, kernels_, out_channels, y);
  const FloatPanels floats(panels, kernels_, nullptr);
  workers_.for_blocks(rows, kDenseValuesATask / channels, [&](int64_t first, int64_t last) {
    TaskScratch& scratch = task_scratch();
    const RoundedRows rounded(rounding, panels, last - first, channels, scratch.rounded);
    rounded.round(x.data<float>() + first * channels, 0, last - first);
    const PackedRows packed = rounded.packed();
    for (const Panel& panel : panels.panels()) {
      finisher.make_rows(*packed.codes, {code_operands(packed, channels, panels.codes(0, panel), scratch.codes),
                                         panel.width, finisher.rows(first, last - first, panel.first, panel.outputs)});
      if (packed.exact == nullptr) continue;
      const float* const float_panel = floats.of(0, panel, scratch.floats);
      for (int64_t row = first; row < last; ++row) {
        if (packed.exact[row - first] == 0) continue;
        finisher.make_rows({.x = x.data<float>() + row * channels,
                            .channels = channels,
                            .panel = float_panel,
                            .width = panel.width,
                            .finish = finisher.rows(row, 1, panel.first, panel.outputs)});
      }
    }
  });
  return y;
}

Tensor CpuBackend::linear(const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue) {
  const int64_t rows = x.size(0);
  const Numerics numerics = layer_numerics(x.dtype(), weight, true);
  if (makes_rows(x, weight, numerics)) return dense_linear(x, weight, epilogue);
  if (const auto rounding = row_rounding(x, weight, numerics)) {
    return dense_linear_of_codes(x, weight, *rounding, epilogue);
  }
  // Row i meets row i: a tile is one run, its inputs are its outputs.
  PooledVector<int32_t> row_numbers(static_cast<size_t>(rows));
  std::iota(row_numbers.begin(), row_numbers.end(), 0);
  std::array<uint16_t, kTileRows> slots;
  std::iota(slots.begin(), slots.end(), uint16_t{0});
  const TiledRelation::Run whole_tile = {0, static_cast<int32_t>(kTileRows)};
  const TiledRelation::Run last_tile = {0, static_cast<int32_t>(rows % kTileRows)};
  return convolve_with(x, rows, weight, numerics, epilogue, [&](int64_t index) {
    const int64_t first = index * kTileRows;
    const int64_t count = std::min(kTileRows, rows - first);
    return TiledRelation::Tile{.order = {row_numbers.data() + first, static_cast<size_t>(count)},
                               .runs = {count == kTileRows ? &whole_tile : &last_tile, 1},
                               .input = row_numbers.data() + first,
                               .slot = slots.data(),
                               .edges = count};
  });
}

}  // namespace lattice::cpu
