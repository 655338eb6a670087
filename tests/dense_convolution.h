#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "lattice/conv_geometry.h"

namespace lattice {

// Convolutions on a dense grid in double precision, straight from the equation. Nothing of the library takes part but
// Coord, Triple and ConvOptions: offsets, supports and sums are derived again, so that an error there shows.

/// Features on every site of a box of a few batches: zeros where a site is empty.
class DenseGrid {
 public:
  DenseGrid(int64_t batches, Triple low, Triple size, int64_t channels)
      : batches_(batches), low_(low), size_(size), channels_(channels) {
    const auto sites = static_cast<size_t>(batches * size.x * size.y * size.z);
    occupied_.assign(sites, 0);
    values_.assign(sites * static_cast<size_t>(channels), 0.0);
  }

  int64_t batches() const { return batches_; }
  int64_t channels() const { return channels_; }
  const Triple& low() const { return low_; }
  Triple last() const { return {low_.x + size_.x - 1, low_.y + size_.y - 1, low_.z + size_.z - 1}; }

  bool contains(const Triple& place) const {
    const Triple end = last();
    return place.x >= low_.x && place.x <= end.x && place.y >= low_.y && place.y <= end.y && place.z >= low_.z &&
           place.z <= end.z;
  }
  bool occupied(int64_t batch, const Triple& place) const {
    return contains(place) && occupied_[static_cast<size_t>(site(batch, place))] != 0;
  }
  void occupy(int64_t batch, const Triple& place) { occupied_[static_cast<size_t>(site(batch, place))] = 1; }
  double* values(int64_t batch, const Triple& place) { return values_.data() + site(batch, place) * channels_; }
  const double* values(int64_t batch, const Triple& place) const {
    return values_.data() + site(batch, place) * channels_;
  }

  /// Calls visit(batch, place) for each site of the box.
  template <typename Visit>
  void for_each_site(Visit visit) const {
    const Triple end = last();
    for (int64_t batch = 0; batch < batches_; ++batch) {
      for (int64_t x = low_.x; x <= end.x; ++x) {
        for (int64_t y = low_.y; y <= end.y; ++y) {
          for (int64_t z = low_.z; z <= end.z; ++z) visit(batch, Triple(x, y, z));
        }
      }
    }
  }

  std::set<Coord> occupied_coords() const {
    std::set<Coord> coords;
    for_each_site([&](int64_t batch, const Triple& p) {
      if (!occupied(batch, p)) return;
      coords.insert({static_cast<int32_t>(batch), static_cast<int32_t>(p.x), static_cast<int32_t>(p.y),
                     static_cast<int32_t>(p.z)});
    });
    return coords;
  }

 private:
  int64_t site(int64_t batch, const Triple& p) const {
    return ((batch * size_.x + p.x - low_.x) * size_.y + p.y - low_.y) * size_.z + p.z - low_.z;
  }

  int64_t batches_;
  Triple low_, size_;
  int64_t channels_;
  std::vector<char> occupied_;
  std::vector<double> values_;
};

/// A kernel with its weights W[kx][ky][kz] of (C_in, C_out), one after the other.
struct DenseKernel {
  ConvOptions options;
  bool centered = true;  ///< odd axes count from their middle
  int64_t in_channels = 0, out_channels = 0;
  std::vector<double> weights;

  static int64_t offset(int64_t i, int64_t size, int64_t dilation, bool centered) {
    const bool from_middle = centered && size % 2 == 1;
    return from_middle ? (i - (size - 1) / 2) * dilation : i * dilation;
  }

  /// Calls visit(offset, weights) for each tap.
  template <typename Visit>
  void for_each_tap(Visit visit) const {
    const auto& [size, stride, padding, dilation] = options;
    const double* tap_weights = weights.data();
    for (int64_t kx = 0; kx < size.x; ++kx) {
      for (int64_t ky = 0; ky < size.y; ++ky) {
        for (int64_t kz = 0; kz < size.z; ++kz) {
          visit(Triple(offset(kx, size.x, dilation.x, centered), offset(ky, size.y, dilation.y, centered),
                       offset(kz, size.z, dilation.z, centered)),
                tap_weights);
          tap_weights += in_channels * out_channels;
        }
      }
    }
  }

  /// y += x @ W
  void multiply(const double* x, const double* w, double* y) const {
    for (int64_t out = 0; out < out_channels; ++out) {
      for (int64_t in = 0; in < in_channels; ++in) y[out] += x[in] * w[in * out_channels + out];
    }
  }
};

/// y[o] = sum over k of x[o*stride + offset(k) - padding] @ W[k] on each site of a box; a site is occupied where some
/// tap reaches an occupied input.
inline DenseGrid dense_convolution(const DenseGrid& x, const DenseKernel& kernel, Triple low, Triple size) {
  DenseGrid y(x.batches(), low, size, kernel.out_channels);
  const Triple &stride = kernel.options.stride, &padding = kernel.options.padding;
  y.for_each_site([&](int64_t batch, const Triple& o) {
    kernel.for_each_tap([&](const Triple& offset, const double* weights) {
      const Triple from = {o.x * stride.x + offset.x - padding.x, o.y * stride.y + offset.y - padding.y,
                           o.z * stride.z + offset.z - padding.z};
      if (!x.occupied(batch, from)) return;
      kernel.multiply(x.values(batch, from), weights, y.values(batch, o));
      y.occupy(batch, o);
    });
  });
  return y;
}

/// y[i*stride + offset(k) - padding] += x[i] @ W[k] for each site of x; what falls outside the box is left out.
inline DenseGrid dense_transposed_convolution(const DenseGrid& x, const DenseKernel& kernel, Triple low, Triple size) {
  DenseGrid y(x.batches(), low, size, kernel.out_channels);
  const Triple &stride = kernel.options.stride, &padding = kernel.options.padding;
  x.for_each_site([&](int64_t batch, const Triple& i) {
    if (!x.occupied(batch, i)) return;
    kernel.for_each_tap([&](const Triple& offset, const double* weights) {
      const Triple to = {i.x * stride.x + offset.x - padding.x, i.y * stride.y + offset.y - padding.y,
                         i.z * stride.z + offset.z - padding.z};
      if (!y.contains(to)) return;
      kernel.multiply(x.values(batch, i), weights, y.values(batch, to));
      y.occupy(batch, to);
    });
  });
  return y;
}

}  // namespace lattice
