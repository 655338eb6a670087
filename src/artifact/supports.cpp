#include "artifact/supports.h"

#include <limits>

#include "coord_index.h"
#include "fail.h"

namespace lattice::artifact {
namespace {

int32_t divided(int32_t value, int64_t stride, int64_t row, const Coord& at, const Triple& strides) {
  if (value % stride != 0) {
    fail(ErrorCode::invalid_argument,
         "row {} at {} is no multiple of the stride {}; pass coordinates in steps of the input lattice", row,
         to_string(at), to_string(strides));
  }
  return static_cast<int32_t>(value / stride);
}

void check_unique(const CoordSet& support) {
  if (!support.has_duplicates()) return;
  const auto& order = support.index().sorted().order;
  const auto coords = support.coords();
  for (size_t i = 1; i < order.size(); ++i) {
    const auto row = static_cast<size_t>(order[i]), earlier = static_cast<size_t>(order[i - 1]);
    if (coords[row] != coords[earlier]) continue;
    fail(ErrorCode::invalid_argument,
         "rows {} and {} both hold the logical coordinate {}; each may occur once, so merge them", earlier, row,
         to_string(coords[row]));
  }
}

bool fits(int64_t value) {
  return value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max();
}

}  // namespace

Support logical_support(const Tensor& coords, int64_t active, const Triple& stride,
                        const std::optional<Triple>& extent) {
  PooledVector<Coord> rows(static_cast<size_t>(active));
  const int32_t* from = coords.data<int32_t>();
  for (int64_t row = 0; row < active; ++row, from += 4) {
    const Coord at = {from[0], from[1], from[2], from[3]};
    rows[static_cast<size_t>(row)] = {at.batch, divided(at.x, stride.x, row, at, stride),
                                      divided(at.y, stride.y, row, at, stride),
                                      divided(at.z, stride.z, row, at, stride)};
  }
  Support support = CoordSet::make(std::move(rows), stride, extent);
  check_unique(*support);
  return support;
}

void check_physical(const CoordSet& support) {
  const Triple& stride = support.stride();
  if (stride == Triple(1)) return;
  const auto coords = support.coords();
  for (size_t row = 0; row < coords.size(); ++row) {
    const Coord& c = coords[row];
    if (fits(c.x * stride.x) && fits(c.y * stride.y) && fits(c.z * stride.z)) continue;
    fail(ErrorCode::out_of_range,
         "row {} at {} in steps of the stride {} lies outside int32 on the input lattice; move the scan to its origin",
         row, to_string(c), to_string(stride));
  }
}

Tensor physical_coords(const CoordSet& support) {
  const Triple& stride = support.stride();
  if (stride == Triple(1)) return support.tensor();
  check_physical(support);
  Tensor result = Tensor::empty(DType::i32, {support.rows(), 4});
  int32_t* to = result.mutable_data<int32_t>();
  for (const Coord& c : support.coords()) {
    *to++ = c.batch;
    *to++ = static_cast<int32_t>(c.x * stride.x);
    *to++ = static_cast<int32_t>(c.y * stride.y);
    *to++ = static_cast<int32_t>(c.z * stride.z);
  }
  return result;
}

Tensor count_of(const CoordSet& support) {
  const auto rows = static_cast<int32_t>(support.rows());
  return Tensor::from(std::span<const int32_t>(&rows, 1), {1});
}

int64_t active_rows(const Tensor& active, int64_t rows) {
  if (active.elements() != 1) {
    fail(ErrorCode::invalid_argument, "the number of active rows has shape {}, but must be (1); pass one number",
         to_string(active.shape()));
  }
  const int64_t count = active.data<int32_t>()[0];
  if (count < 0 || count > rows) {
    fail(ErrorCode::invalid_argument, "{} active rows, but must be between 0 and the {} rows that there are", count,
         rows);
  }
  return count;
}

Tensor first_rows(const Tensor& tensor, int64_t rows) {
  if (tensor.size(0) == rows) return tensor;
  Shape shape = tensor.shape();
  shape[0] = rows;
  return Tensor::view(tensor.dtype(), std::move(shape),
                      std::allocate_shared<const Tensor>(PoolAllocator<Tensor>(), tensor), tensor.raw());
}

}  // namespace lattice::artifact
