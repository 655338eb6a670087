#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/relation.h"
#include "fail.h"
#include "trilinear.h"

namespace lattice::cpu {
namespace {

/// The larger of two, a NaN where either is one.
float larger(float a, float b) {
  return a > b || std::isnan(a) ? a : b;
}

// Of a size that all tiles share: what the pool keeps of one tile then serves every other.
constexpr auto kMostSlots = static_cast<size_t>(kTileRows);

float start_of(PoolMode mode) {
  return mode == PoolMode::max ? -std::numeric_limits<float>::infinity() : 0.0F;
}

/// y[o] = accumulated over o's edges, divided. For each tile, accumulate(tile, sums) fills `sums`, a row of float32 a
/// slot that begins as `start`, and returns divisor(slot).
template <typename T, typename Accumulate>
void pool_tiles(const TiledRelation& relation, int64_t channels, float start, Workers& workers, T* y,
                const Accumulate& accumulate) {
  workers.for_each(relation.tile_count(), [&](int64_t index) {
    const TiledRelation::Tile tile = relation.tile(index);
    const auto rows = static_cast<int64_t>(tile.order.size());
    PooledVector<float> sums(static_cast<size_t>(rows * channels), start);
    const auto divisor_of = accumulate(tile, sums.data());
    for (int64_t slot = 0; slot < rows; ++slot) {
      const float divisor = divisor_of(static_cast<size_t>(slot));
      T* out = y + tile.order[static_cast<size_t>(slot)] * channels;
      const float* in = sums.data() + slot * channels;
      for (int64_t c = 0; c < channels; ++c) out[c] = static_cast<T>(in[c] / divisor);
    }
  });
}

}  // namespace

Tensor CpuBackend::pool(const Tensor& x, const Relation& relation, PoolMode mode) {
  const auto& tiled = dynamic_cast<const TiledRelation&>(relation);
  const int64_t channels = x.size(1);
  Tensor y = Tensor::empty(x.dtype(), {relation.output_rows(), channels});
  with_feature_type(x.dtype(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* from = x.data<T>();
    const auto accumulate = [&](const TiledRelation::Tile& tile, float* pooled) {
      PooledVector<int32_t> sources(kMostSlots, 0);
      int64_t edges = 0;
      for (const auto& [tap, count] : tile.runs) edges += count;
      for (int64_t edge = 0; edge < edges; ++edge) {
        const T* row = from + tile.input[edge] * channels;
        float* into = pooled + tile.slot[edge] * channels;
        ++sources[tile.slot[edge]];
        for (int64_t c = 0; c < channels; ++c) {
          const auto value = static_cast<float>(row[c]);
          into[c] = mode == PoolMode::max ? larger(into[c], value) : into[c] + value;
        }
      }
      return [mode, counts = std::move(sources)](size_t slot) {
        return mode == PoolMode::average && counts[slot] > 0 ? static_cast<float>(counts[slot]) : 1.0F;
      };
    };
    pool_tiles(tiled, channels, start_of(mode), workers_, y.mutable_data<T>(), accumulate);
  });
  return y;
}

Tensor CpuBackend::upsample(const Tensor& x, const Relation& relation, const Triple& stride) {
  const auto& tiled = dynamic_cast<const TiledRelation&>(relation);
  const int64_t channels = x.size(1);
  Tensor y = Tensor::empty(x.dtype(), {relation.output_rows(), channels});
  with_feature_type(x.dtype(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* from = x.data<T>();
    const auto accumulate = [&](const TiledRelation::Tile& tile, float* sums) {
      PooledVector<float> weights(kMostSlots, 0.0F);
      int64_t edge = 0;
      for (const auto& [tap, count] : tile.runs) {
        const auto weight = static_cast<float>(trilinear_weight(stride, tap));
        for (const int64_t end = edge + count; edge < end; ++edge) {
          const T* row = from + tile.input[edge] * channels;
          float* into = sums + tile.slot[edge] * channels;
          weights[tile.slot[edge]] += weight;
          for (int64_t c = 0; c < channels; ++c) into[c] += weight * static_cast<float>(row[c]);
        }
      }
      return [total = std::move(weights)](size_t slot) {
        return total[slot] > 0 ? std::max(total[slot], static_cast<float>(kLeastWeight)) : 1.0F;
      };
    };
    pool_tiles(tiled, channels, 0.0F, workers_, y.mutable_data<T>(), accumulate);
  });
  return y;
}

Tensor CpuBackend::global_pool(const Tensor& x, const CoordSet& coords, PoolMode mode, int64_t batches) {
  const int64_t channels = x.size(1);
  // A scan has 100,000 rows and more: summed in double precision, so that the error does not grow with them.
  PooledVector<double> pooled(static_cast<size_t>(batches * channels), start_of(mode));
  PooledVector<int64_t> rows(static_cast<size_t>(batches), 0);
  Tensor y = Tensor::empty(x.dtype(), {batches, channels});
  with_feature_type(x.dtype(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* from = x.data<T>();
    for (int64_t row = 0; row < coords.rows(); ++row, from += channels) {
      const int64_t batch = coords.coords()[static_cast<size_t>(row)].batch;
      if (batch >= batches) continue;
      ++rows[static_cast<size_t>(batch)];
      double* into = pooled.data() + batch * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const auto value = static_cast<float>(from[c]);
        into[c] = mode == PoolMode::max ? larger(static_cast<float>(into[c]), value) : into[c] + value;
      }
    }
    T* to = y.mutable_data<T>();
    for (int64_t batch = 0; batch < batches; ++batch) {
      const int64_t count = rows[static_cast<size_t>(batch)];
      if (count == 0 && mode == PoolMode::max) {
        fail(ErrorCode::invalid_argument,
             "global_pool: batch {} of {} is empty and has no maximum; give every batch a row, or pool by sum or "
             "average",
             batch, batches);
      }
      const double divisor = mode == PoolMode::average && count > 0 ? static_cast<double>(count) : 1.0;
      for (int64_t c = 0; c < channels; ++c) {
        to[batch * channels + c] =
            static_cast<T>(static_cast<float>(pooled[static_cast<size_t>(batch * channels + c)] / divisor));
      }
    }
  });
  return y;
}

}  // namespace lattice::cpu
