#include "lattice/dense.h"

#include <algorithm>
#include <string_view>

#include "fail.h"

namespace lattice {
namespace {

/// How far apart neighbours stand in a grid, in elements.
struct GridSteps {
  int64_t batch, channel, x, y, z;
};

struct Grid {
  Triple extent;
  int64_t batches;
};

Grid checked_grid(std::string_view operation, const SparseTensor& x, const std::optional<Triple>& extent,
                  const std::optional<int64_t>& batches) {
  if (!extent && !x.extent()) {
    fail(ErrorCode::invalid_argument, "{}: the tensor has no extent, and none was given; pass the grid's sizes",
         operation);
  }
  const Grid grid = {extent ? *extent : *x.extent(), batches.value_or(x.support()->batches())};
  if (grid.extent.x < 1 || grid.extent.y < 1 || grid.extent.z < 1) {
    fail(ErrorCode::invalid_argument, "{}: extent {} must be at least 1 on every axis", operation,
         to_string(grid.extent));
  }
  if (grid.batches < 0) {
    fail(ErrorCode::invalid_argument, "{}: batches {} must be at least 0; leave it out to take the largest batch + 1",
         operation, grid.batches);
  }
  int64_t elements = x.channels();
  bool overflow = false;
  for (const int64_t size : {grid.extent.x, grid.extent.y, grid.extent.z, std::max<int64_t>(grid.batches, 1)}) {
    overflow |= __builtin_mul_overflow(elements, size, &elements);
  }
  if (overflow) {
    fail(ErrorCode::out_of_range,
         "{}: {} batches of {} channels and extent {} are more elements than 64 bits count; pass a smaller extent",
         operation, grid.batches, x.channels(), to_string(grid.extent));
  }
  const auto coords = x.support()->coords();
  for (size_t row = 0; row < coords.size(); ++row) {
    const Coord& c = coords[row];
    if (c.batch >= grid.batches || !lies_inside(c, grid.extent)) {
      fail(ErrorCode::invalid_argument, "{}: row {} at {} lies outside {} batches of extent {}; pass a larger one",
           operation, row, to_string(c), grid.batches, to_string(grid.extent));
    }
  }
  return grid;
}

template <typename T>
void scatter(const SparseTensor& x, const GridSteps& steps, T* to) {
  const int64_t channels = x.channels();
  const T* from = static_cast<const T*>(x.features().raw());
  const auto coords = x.support()->coords();
  // Backwards, so that the first of several rows at one coordinate is what stays.
  for (auto row = static_cast<int64_t>(coords.size()) - 1; row >= 0; --row) {
    const Coord& c = coords[static_cast<size_t>(row)];
    T* cell = to + c.batch * steps.batch + c.x * steps.x + c.y * steps.y + c.z * steps.z;
    for (int64_t channel = 0; channel < channels; ++channel) {
      cell[channel * steps.channel] = from[row * channels + channel];
    }
  }
}

Tensor scattered(const SparseTensor& x, Shape shape, const GridSteps& steps) {
  Tensor grid = Tensor::zeros(x.dtype(), std::move(shape));
  if (x.dtype() == DType::f32) {
    scatter(x, steps, static_cast<float*>(grid.mutable_raw()));
  } else {  // f16 and bf16 move alike
    scatter(x, steps, static_cast<uint16_t*>(grid.mutable_raw()));
  }
  return grid;
}

}  // namespace

Tensor to_dense(const SparseTensor& x, std::optional<Triple> extent, std::optional<int64_t> batches) {
  const Grid grid = checked_grid("to_dense", x, extent, batches);
  const auto& [ex, ey, ez] = grid.extent;
  const int64_t cells = ex * ey * ez;
  return scattered(x, {grid.batches, x.channels(), ex, ey, ez},
                   {.batch = x.channels() * cells, .channel = cells, .x = ey * ez, .y = ez, .z = 1});
}

Tensor to_birds_eye(const SparseTensor& x, std::optional<Triple> extent, std::optional<int64_t> batches) {
  const Grid grid = checked_grid("to_birds_eye", x, extent, batches);
  const auto& [ex, ey, ez] = grid.extent;
  const int64_t cells = ex * ey * ez;
  return scattered(x, {grid.batches, x.channels() * ez, ey, ex},
                   {.batch = x.channels() * cells, .channel = cells, .x = 1, .y = ex, .z = ey * ex});
}

}  // namespace lattice
