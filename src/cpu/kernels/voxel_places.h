#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "cpu/kernels/kernels.h"

// The voxels of points, a vector of points at a time, for any number of lanes that is a multiple of four.

namespace lattice::cpu {
namespace {

template <int Lanes>
struct PointVectors {
  // g++ drops the size from an alias that depends on a parameter, and keeps it in a typedef.
  typedef float Floats __attribute__((vector_size(Lanes * 4)));  // NOLINT
  typedef int32_t Ints __attribute__((vector_size(Lanes * 4)));  // NOLINT

  /// The coordinates along an axis of points that stand as x, y, z.
  template <int Axis, int... I>
  static Floats axis(Floats line0, Floats line1, Floats line2, std::integer_sequence<int, I...>) {
    const Floats first_two = __builtin_shufflevector(line0, line1, (3 * I + Axis < 2 * Lanes ? 3 * I + Axis : -1)...);
    return __builtin_shufflevector(first_two, line2,
                                   (3 * I + Axis < 2 * Lanes ? I : 3 * I + Axis - 2 * Lanes + Lanes)...);
  }

  /// Stores coordinates as batch, x, y, z.
  template <int... I>
  static void store_coords(int32_t* to, Ints batch, Ints x, Ints y, Ints z, std::integer_sequence<int, I...>) {
    const auto store = [&]<int Fourth>(std::integral_constant<int, Fourth>) {
      constexpr int kFirst = Fourth * Lanes / 4;
      const Ints bx = __builtin_shufflevector(batch, x, (I % 4 < 2 ? I % 2 * Lanes + kFirst + I / 4 : -1)...);
      const Ints yz = __builtin_shufflevector(y, z, (I % 4 < 2 ? -1 : I % 2 * Lanes + kFirst + I / 4)...);
      const Ints coords = __builtin_shufflevector(bx, yz, (I % 4 < 2 ? I : I + Lanes)...);
      std::memcpy(to + Fourth * Lanes, &coords, sizeof(coords));
    };
    store(std::integral_constant<int, 0>());
    store(std::integral_constant<int, 1>());
    store(std::integral_constant<int, 2>());
    store(std::integral_constant<int, 3>());
  }
};

/// Where points lie along an axis.
template <int Lanes>
struct PointAxis {
  using Floats = typename PointVectors<Lanes>::Floats;
  using Ints = typename PointVectors<Lanes>::Ints;

  Floats origin = {}, voxel_size = {};
  Ints last = {};

  static PointAxis of(const VoxelSearch& search, int axis) {
    return {.origin = Floats{} + search.origin[axis],
            .voxel_size = Floats{} + search.voxel_size[axis],
            .last = Ints{} + search.last[axis]};
  }
  /// Clears the lanes of `fits` that are not finite or leave int32; of these the voxel is 0.
  Ints voxels_of(Floats points, Ints& fits) const {
    constexpr float kLimit = 2147483648.0F;  // 2^31; rounding down leads nothing across it
    // A true division: a reciprocal would put points on a border into other voxels.
    const Floats place = (points - origin) / voxel_size;
    const Ints fits_here = (place >= -kLimit) & (place < kLimit);
    fits &= fits_here;
    const Floats fitting = std::bit_cast<Floats>(std::bit_cast<Ints>(place) & fits_here);
    const Ints truncated = __builtin_convertvector(fitting, Ints);
    return truncated + (__builtin_convertvector(truncated, Floats) > fitting);  // true is -1
  }
  Ints in_range(Ints voxels) const { return (voxels >= 0) & (voxels <= last); }
};

template <int Lanes, typename Ints>
int32_t sum(Ints lanes) {
  int32_t result = 0;
  for (int i = 0; i < Lanes; ++i) result += lanes[i];
  return result;
}

template <int Lanes, bool HasRange>
FoundVoxels find_voxels_in(const VoxelSearch& search) {
  using Vectors = PointVectors<Lanes>;
  using Floats = typename Vectors::Floats;
  using Ints = typename Vectors::Ints;
  constexpr auto kAllLanes = std::make_integer_sequence<int, Lanes>();
  const float* const points = search.points;
  const bool has_batches = search.batches != nullptr;
  const auto x = PointAxis<Lanes>::of(search, 0), y = PointAxis<Lanes>::of(search, 1),
             z = PointAxis<Lanes>::of(search, 2);
  Ints dropped = {}, out_of_range = {};  // below 0
  float rest[3 * Lanes] = {};
  int32_t rest_batches[Lanes] = {}, rest_voxels[4 * Lanes];
  const int64_t count = search.count;
  for (int64_t point = 0; point < count; point += Lanes) {
    const float* from = points + point * 3;
    const int32_t* batches_from = has_batches ? search.batches + point : nullptr;
    int32_t* to = search.voxels + point * 4;
    Ints counts = ~Ints{};
    const int64_t left = count - point;
    if (left < Lanes) {
      std::memcpy(rest, from, static_cast<size_t>(left) * 3 * sizeof(float));
      if (has_batches) std::memcpy(rest_batches, batches_from, static_cast<size_t>(left) * sizeof(int32_t));
      from = rest;
      batches_from = rest_batches;
      to = rest_voxels;
      int32_t first_lanes[Lanes];
      for (int i = 0; i < Lanes; ++i) first_lanes[i] = i < left ? -1 : 0;
      std::memcpy(&counts, first_lanes, sizeof(counts));
    }
    Floats line0, line1, line2;
    std::memcpy(&line0, from, sizeof(line0));
    std::memcpy(&line1, from + Lanes, sizeof(line1));
    std::memcpy(&line2, from + 2 * Lanes, sizeof(line2));
    Ints batches = {};
    if (has_batches) std::memcpy(&batches, batches_from, sizeof(batches));
    Ints fits = counts;
    const Ints at_x = x.voxels_of(Vectors::template axis<0>(line0, line1, line2, kAllLanes), fits),
               at_y = y.voxels_of(Vectors::template axis<1>(line0, line1, line2, kAllLanes), fits),
               at_z = z.voxels_of(Vectors::template axis<2>(line0, line1, line2, kAllLanes), fits);
    Ints found = fits;
    if (HasRange) found &= x.in_range(at_x) & y.in_range(at_y) & z.in_range(at_z);
    dropped += counts & ~fits;
    out_of_range += fits & ~found;
    Vectors::store_coords(to, batches | ~found, at_x, at_y, at_z, kAllLanes);  // true is -1
    if (left < Lanes) std::memcpy(search.voxels + point * 4, to, static_cast<size_t>(left) * 4 * sizeof(int32_t));
  }
  return {.dropped = -sum<Lanes>(dropped), .out_of_range = -sum<Lanes>(out_of_range)};
}

template <int Lanes>
FoundVoxels find_voxels(const VoxelSearch& search) {
  return search.has_range ? find_voxels_in<Lanes, true>(search) : find_voxels_in<Lanes, false>(search);
}

}  // namespace
}  // namespace lattice::cpu
