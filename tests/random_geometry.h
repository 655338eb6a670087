#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lattice/conv.h"
#include "lattice/random.h"
#include "lattice/session.h"

namespace lattice {

/// What a random case convolves with, and which support it leads to.
enum class CaseKind {
  pointwise,
  submanifold,
  forward,
  regular,
  target,
  own_target,  // the input's own coordinates as the explicit target
  transposed,
  target_transposed,
  generative,
};
inline constexpr std::array kCaseKinds = {
    CaseKind::pointwise,  CaseKind::submanifold, CaseKind::forward,           CaseKind::regular,   CaseKind::target,
    CaseKind::own_target, CaseKind::transposed,  CaseKind::target_transposed, CaseKind::generative};

inline const char* name(CaseKind kind) {
  constexpr std::array kNames = {"pointwise",  "submanifold", "forward",           "regular",   "target",
                                 "own_target", "transposed",  "target_transposed", "generative"};
  return kNames.at(static_cast<size_t>(kind));
}

inline RelationKind relation_kind(CaseKind kind) {
  switch (kind) {
    case CaseKind::pointwise:
      return RelationKind::pointwise;
    case CaseKind::submanifold:
      return RelationKind::submanifold;
    case CaseKind::forward:
      return RelationKind::forward;
    case CaseKind::regular:
      return RelationKind::regular;
    case CaseKind::target:
    case CaseKind::own_target:
      return RelationKind::target;
    case CaseKind::transposed:
      return RelationKind::transposed;
    case CaseKind::target_transposed:
      return RelationKind::target_transposed;
    case CaseKind::generative:
      return RelationKind::generative;
  }
  return RelationKind::forward;
}

/// Draws integers and choices from `Random`.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}

  /// In [low, high], both included.
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_.next() % static_cast<uint64_t>(high - low + 1));
  }
  bool one_in(int64_t n) { return integer(1, n) == 1; }
  template <typename T, size_t kCount>
  T one_of(const T (&choices)[kCount]) {
    return choices[integer(0, kCount - 1)];
  }
  Triple triple(int64_t low, int64_t high) {
    if (one_in(3)) return integer(low, high);  // isotropic, as most layers are
    const int64_t x = integer(low, high), y = integer(low, high), z = integer(low, high);
    return {x, y, z};
  }
  double real(double low, double high) { return random_.uniform(low, high); }

 private:
  Random random_;
};

/// Values of [-size, size) with some exact zeros among them, in one of the three feature types.
inline Tensor random_tensor(Draw& draw, DType dtype, Shape shape, double size) {
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (float& value : values) value = draw.one_in(16) ? 0.0F : static_cast<float>(draw.real(-size, size));
  return Tensor::from(values, std::move(shape)).to(dtype);
}

/// One convolution, the same on every machine for one (kind, seed): it can be run on any number of sessions.
struct RandomCase {
  CaseKind kind = CaseKind::forward;
  uint64_t seed = 0;
  ConvGeometry geometry{ConvOptions{}};
  SparseTensor x;
  ConvWeight weight;
  Epilogue epilogue;  ///< without the residual, which needs the output's rows
  bool with_residual = false;
  Support target;  ///< null where the kind derives its support

  /// With at most `most_rows` input rows.
  static RandomCase make(CaseKind kind, uint64_t seed, int64_t most_rows = 300);

  RelatedSupport relate(Session& session) const {
    // A convolution whose kernel turns out as a single tap without stride is a matrix product.
    const bool derives = kind == CaseKind::forward || kind == CaseKind::regular;
    const RelationKind related = derives && geometry.is_pointwise() ? RelationKind::pointwise : relation_kind(kind);
    return session.relate(related, x.support(), geometry, target, "random_case");
  }
  /// The epilogue for an output of `rows` rows.
  Epilogue full_epilogue(int64_t rows) const;
  SparseTensor run(Session& session) const;
  std::string description() const;
};

namespace random_case {

inline ConvOptions random_options(Draw& draw, CaseKind kind) {
  ConvOptions options;
  if (kind == CaseKind::pointwise) return {.kernel_size = 1};
  options.kernel_size = draw.triple(1, draw.one_in(3) ? 5 : 3);
  options.stride = draw.one_in(3) ? Triple(1) : draw.triple(1, draw.one_in(4) ? 4 : 2);
  options.padding = draw.one_in(2) ? Triple(0) : draw.triple(0, 3);
  options.dilation = draw.one_in(2) ? Triple(1) : draw.triple(1, 3);
  if (kind == CaseKind::submanifold) {
    const auto odd = [](int64_t size) { return size - (size % 2 == 0 ? 1 : 0); };
    const Triple size = options.kernel_size;
    options = {.kernel_size = {odd(size.x), odd(size.y), odd(size.z)}, .dilation = options.dilation};
  }
  if (kind == CaseKind::generative) options = {.kernel_size = options.kernel_size, .stride = options.stride};
  if (kind == CaseKind::own_target) options.stride = 1;  // else the target's stride would not be the output's
  return options;
}

/// Few rows, many, one or none; small kernels and narrow layers are more frequent, so that thousands of cases are
/// quick.
inline int64_t random_rows(Draw& draw, int64_t most) {
  if (draw.one_in(24)) return 0;
  if (draw.one_in(24)) return 1;
  return draw.integer(2, draw.one_in(3) ? most : most / 4);
}

inline int64_t random_channels(Draw& draw, int64_t taps) {
  if (taps > 64) return draw.integer(1, 12);
  return draw.integer(1, draw.one_in(2) ? 70 : 16);
}

/// Where the coordinates of a case lie: a small box, so that neighbours meet, at the origin or far from it.
struct Box {
  Triple low, size;
  int64_t batches = 1;
};

inline Box random_box(Draw& draw, CaseKind kind, bool with_extent) {
  Box box;
  box.size = draw.triple(1, draw.one_in(2) ? 12 : 6);
  box.batches = draw.one_in(2) ? 1 : draw.integer(2, 4);
  if (with_extent) return box;
  box.low = {-box.size.x / 2, -box.size.y / 2, -box.size.z / 2};
  // At the ends of int32 look-ups leave it, and derived outputs may: then both backends must throw the same.
  constexpr int64_t kLowest = std::numeric_limits<int32_t>::min(), kLargest = std::numeric_limits<int32_t>::max();
  if (kind != CaseKind::pointwise && draw.one_in(12)) box.low.x = draw.one_in(2) ? kLowest : kLargest - box.size.x + 1;
  if (kind != CaseKind::pointwise && draw.one_in(12)) box.low.z = draw.one_in(2) ? kLowest : kLargest - box.size.z + 1;
  return box;
}

inline std::vector<Coord> random_coords(Draw& draw, const Box& box, int64_t rows, bool duplicates) {
  std::vector<Coord> coords;
  std::set<Coord> seen;
  const auto on_axis = [&](int64_t low, int64_t size) {
    return static_cast<int32_t>(draw.integer(low, low + size - 1));
  };
  for (int64_t row = 0; row < rows; ++row) {
    Coord coord;
    coord.batch = static_cast<int32_t>(draw.integer(0, box.batches - 1));
    coord.x = on_axis(box.low.x, box.size.x);
    coord.y = on_axis(box.low.y, box.size.y);
    coord.z = on_axis(box.low.z, box.size.z);
    if (seen.insert(coord).second || duplicates) coords.push_back(coord);
  }
  return coords;
}

/// The output lattice's box: coarser, or finer for transposed kinds.
inline Box target_box(const Box& box, CaseKind kind, const Triple& stride) {
  Box target = box;
  constexpr int64_t kLowest = std::numeric_limits<int32_t>::min(), kLargest = std::numeric_limits<int32_t>::max();
  const auto map_axis = [&](int64_t& low, int64_t& size, int64_t step) {
    const bool finer = kind == CaseKind::target_transposed;
    const int64_t first = finer ? low * step : floor_divide(low, step);
    const int64_t last = finer ? (low + size) * step : floor_divide(low + size - 1, step);
    low = std::clamp(first, kLowest, kLargest);
    size = std::clamp(last, kLowest, kLargest) - low + 1;
  };
  map_axis(target.low.x, target.size.x, stride.x);
  map_axis(target.low.y, target.size.y, stride.y);
  map_axis(target.low.z, target.size.z, stride.z);
  return target;
}

inline Triple product(const Triple& a, const Triple& b) {
  return {a.x * b.x, a.y * b.y, a.z * b.z};
}

/// Large enough for the kernel, so that the output's extent is positive, and for the coordinates' box.
inline Triple random_extent(Draw& draw, const Box& box, const ConvOptions& options) {
  const auto on_axis = [&](int64_t size, int64_t kernel, int64_t dilation) {
    return std::max(size, dilation * (kernel - 1) + 1) + draw.integer(0, 2);
  };
  const auto& [kernel, stride, padding, dilation] = options;
  const int64_t x = on_axis(box.size.x, kernel.x, dilation.x), y = on_axis(box.size.y, kernel.y, dilation.y),
                z = on_axis(box.size.z, kernel.z, dilation.z);
  return {x, y, z};
}

inline ConvWeight random_weight(Draw& draw, const Triple& kernel, int64_t in_channels, int64_t out_channels) {
  const int64_t taps = kernel.x * kernel.y * kernel.z;
  const double size = std::sqrt(1.0 / static_cast<double>(in_channels * taps));
  const DType dtype = draw.one_of({DType::f32, DType::f16, DType::bf16});
  Tensor dense = random_tensor(draw, dtype, {out_channels, kernel.x, kernel.y, kernel.z, in_channels}, size);
  if (draw.one_in(3)) return ConvWeight(std::move(dense));
  PackingOptions packing;
  packing.bits = draw.one_of({int64_t{4}, int64_t{8}});
  if (!draw.one_in(4)) packing.group_size = draw.one_of({int64_t{32}, int64_t{64}, int64_t{128}});
  return ConvWeight(QuantizedWeight::pack(dense, packing));
}

inline Epilogue random_epilogue(Draw& draw, int64_t channels) {
  constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16};
  Epilogue epilogue;
  if (!draw.one_in(3)) epilogue.bias = random_tensor(draw, draw.one_of(kTypes), {channels}, 1);
  if (draw.one_in(4)) {
    epilogue.scale = random_tensor(draw, draw.one_of(kTypes), {channels}, 2);
    epilogue.shift = random_tensor(draw, draw.one_of(kTypes), {channels}, 1);
  }
  if (draw.one_in(5)) epilogue.activation.kind = ActivationKind::relu;
  return epilogue;
}

}  // namespace random_case

inline RandomCase RandomCase::make(CaseKind kind, uint64_t seed, int64_t most_rows) {
  Draw draw(seed * kCaseKinds.size() + static_cast<uint64_t>(kind));
  const ConvOptions options = random_case::random_options(draw, kind);
  const ConvGeometry geometry(options, "random_case");
  const bool with_extent = kind == CaseKind::regular && !draw.one_in(3);
  const random_case::Box box = random_case::random_box(draw, kind, with_extent);
  const int64_t rows = random_case::random_rows(draw, most_rows);
  std::vector<Coord> coords = random_case::random_coords(draw, box, rows, draw.one_in(3));

  const bool transposes =
      kind == CaseKind::transposed || kind == CaseKind::target_transposed || kind == CaseKind::generative;
  const Triple own_stride = draw.one_in(2) ? Triple(1) : draw.triple(1, 4);
  const Triple stride = transposes ? random_case::product(own_stride, options.stride) : own_stride;
  const std::optional<Triple> extent =
      with_extent ? std::optional(random_case::random_extent(draw, box, options)) : std::nullopt;
  const Support support = CoordSet::make(std::move(coords), stride, extent);

  Support target;
  if (kind == CaseKind::own_target) target = support;
  if (kind == CaseKind::target || kind == CaseKind::target_transposed) {
    const random_case::Box outputs = random_case::target_box(box, kind, options.stride);
    const int64_t target_rows = random_case::random_rows(draw, most_rows);
    target = CoordSet::make(random_case::random_coords(draw, outputs, target_rows, draw.one_in(3)),
                            transposes ? own_stride : random_case::product(own_stride, options.stride));
  }

  const int64_t in_channels = random_case::random_channels(draw, geometry.taps());
  const int64_t out_channels = random_case::random_channels(draw, geometry.taps());
  // 2^-9 brings outputs in half precision down to its subnormals and near them.
  const double size = draw.one_of({1.0, 1.0, 8.0, 0x1p-9});
  const DType dtype = draw.one_of({DType::f32, DType::f16, DType::bf16});
  Tensor features = random_tensor(draw, dtype, {support->rows(), in_channels}, size);
  ConvWeight weight = random_case::random_weight(draw, options.kernel_size, in_channels, out_channels);
  Epilogue epilogue = random_case::random_epilogue(draw, out_channels);
  return {.kind = kind,
          .seed = seed,
          .geometry = geometry,
          .x = SparseTensor(support, std::move(features)),
          .weight = std::move(weight),
          .epilogue = std::move(epilogue),
          .with_residual = draw.one_in(5),
          .target = std::move(target)};
}

inline Epilogue RandomCase::full_epilogue(int64_t rows) const {
  Epilogue full = epilogue;
  Draw draw(seed + 1);
  if (with_residual) full.residual = random_tensor(draw, x.dtype(), {rows, weight.out_channels()}, 1);
  return full;
}

inline SparseTensor RandomCase::run(Session& session) const {
  const Epilogue full = full_epilogue(relate(session).output->rows());
  switch (kind) {
    case CaseKind::pointwise:
    case CaseKind::forward:
      return conv3d(session, x, weight, geometry, nullptr, full);
    case CaseKind::regular:
      return conv3d(session, x, weight, geometry, nullptr, full, SupportRule::regular);
    case CaseKind::target:
    case CaseKind::own_target:
      return conv3d(session, x, weight, geometry, target, full);
    case CaseKind::submanifold:
      return subm_conv3d(session, x, weight, geometry, full);
    case CaseKind::transposed:
    case CaseKind::target_transposed:
      return conv_transpose3d(session, x, weight, geometry, target, full);
    case CaseKind::generative:
      return generative_conv_transpose3d(session, x, weight, geometry, full);
  }
  return x;
}

inline std::string RandomCase::description() const {
  const ConvOptions& options = geometry.options();
  const auto text = [](DType dtype) { return std::string(lattice::name(dtype)); };
  const std::string weights = weight.is_packed() ? std::to_string(weight.packed().bits()) + " bits in groups of " +
                                                       std::to_string(weight.packed().group_size()) + ", scales " +
                                                       text(weight.packed().scales().dtype())
                                                 : "dense " + text(weight.dense().dtype());
  return std::string(name(kind)) + " seed " + std::to_string(seed) + ": kernel " + to_string(options.kernel_size) +
         " stride " + to_string(options.stride) + " padding " + to_string(options.padding) + " dilation " +
         to_string(options.dilation) + ", " + std::to_string(x.rows()) + " rows, channels " +
         std::to_string(x.channels()) + " to " + std::to_string(weight.out_channels()) + ", features " +
         text(x.dtype()) + ", weights " + weights;
}

}  // namespace lattice
