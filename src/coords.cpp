#include "lattice/coords.h"

#include <atomic>
#include <limits>

#include "coord_index.h"
#include "fail.h"

namespace lattice {
namespace {

constexpr int64_t kLargest = std::numeric_limits<int32_t>::max();

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

bool in_range(const Triple& sizes) {
  const auto fits = [](int64_t size) { return size >= 1 && size <= kLargest; };
  return fits(sizes.x) && fits(sizes.y) && fits(sizes.z);
}

void check_sizes(const Triple& stride, const std::optional<Triple>& extent) {
  if (!in_range(stride)) {
    fail(ErrorCode::invalid_argument, "coord_set: stride {} must be between 1 and 2^31 - 1 on every axis",
         to_string(stride));
  }
  if (stride.x * stride.y > kLargest || stride.x * stride.y * stride.z > kLargest) {
    fail(ErrorCode::out_of_range, "coord_set: stride {} has a product beyond 2^31 - 1", to_string(stride));
  }
  if (extent && !in_range(*extent)) {
    fail(ErrorCode::invalid_argument, "coord_set: extent {} must be between 1 and 2^31 - 1 on every axis",
         to_string(*extent));
  }
}

bool are_legal(const CoordBounds& bounds, const std::optional<Triple>& extent) {
  return bounds.low.batch >= 0 && (!extent || (lies_inside(bounds.low, *extent) && lies_inside(bounds.high, *extent)));
}

/// Refuses the first row that is not legal.
void check_rows(std::span<const Coord> coords, const std::optional<Triple>& extent) {
  for (size_t row = 0; row < coords.size(); ++row) {
    const Coord& c = coords[row];
    if (c.batch < 0) {
      fail(ErrorCode::invalid_argument, "coord_set: row {} has the batch {}; a batch must be at least 0", row, c.batch);
    }
    if (extent && !lies_inside(c, *extent)) {
      fail(ErrorCode::invalid_argument,
           "coord_set: row {} at {} lies outside the extent {}; each axis must be at least 0 and below the extent", row,
           to_string(c), to_string(*extent));
    }
  }
}

template <typename T>
PooledVector<Coord> narrowed(const T* values, int64_t rows) {
  PooledVector<Coord> coords(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    int32_t narrow[4];
    for (int64_t column = 0; column < 4; ++column) {
      const auto value = static_cast<int64_t>(values[row * 4 + column]);
      narrow[column] = static_cast<int32_t>(value);
      if (narrow[column] != value) {
        fail(ErrorCode::out_of_range,
             "coord_set: column {} of row {} is {}, which does not fit int32; subtract an origin first", column, row,
             value);
      }
    }
    coords[static_cast<size_t>(row)] = {narrow[0], narrow[1], narrow[2], narrow[3]};
  }
  return coords;
}

}  // namespace

std::string to_string(const Triple& triple) {
  return fmt::format("({}, {}, {})", triple.x, triple.y, triple.z);
}

std::string to_string(const Coord& coord) {
  return fmt::format("({}, {}, {}, {})", coord.batch, coord.x, coord.y, coord.z);
}

Support CoordSet::make(PooledVector<Coord> coords, Triple stride, std::optional<Triple> extent) {
  check_sizes(stride, extent);
  if (coords.size() > static_cast<size_t>(kMostRows)) {
    fail(ErrorCode::out_of_range, "coord_set: {} rows; a set holds at most 2^31 - 1", coords.size());
  }
  const CoordBounds bounds = CoordBounds::of(coords);
  if (!are_legal(bounds, extent)) check_rows(coords, extent);
  return std::allocate_shared<const CoordSet>(PoolAllocator<CoordSet>(), Key(), std::move(coords), bounds, stride,
                                              extent);
}

Support CoordSet::make(NumberedCoords coords, Triple stride, std::optional<Triple> extent) {
  if (coords.blocks.of_row.empty()) return make(std::move(coords.coords), stride, extent);
  check_sizes(stride, extent);
  const CoordBounds bounds = coords.blocks.bounds();
  if (!are_legal(bounds, extent)) check_rows(coords.coords, extent);
  const auto set = std::allocate_shared<const CoordSet>(PoolAllocator<CoordSet>(), Key(), std::move(coords.coords),
                                                        bounds, stride, extent);
  set->known_ = std::allocate_shared<BlockNumbers>(PoolAllocator<BlockNumbers>(), std::move(coords.blocks));
  return set;
}

Support CoordSet::make(const Tensor& coords, Triple stride, std::optional<Triple> extent) {
  if (coords.rank() != 2 || coords.size(1) != 4) {
    fail(ErrorCode::invalid_argument, "coord_set: coordinates have shape {}, but must be (N, 4): batch, x, y, z",
         to_string(coords.shape()));
  }
  if (coords.size(0) > kMostRows) {
    fail(ErrorCode::out_of_range, "coord_set: {} rows; a set holds at most 2^31 - 1", coords.size(0));
  }
  if (coords.dtype() == DType::i32) return make(narrowed(coords.data<int32_t>(), coords.size(0)), stride, extent);
  if (coords.dtype() == DType::i64) return make(narrowed(coords.data<int64_t>(), coords.size(0)), stride, extent);
  fail(ErrorCode::invalid_argument, "coord_set: coordinates are {}, but must be i32 or i64", name(coords.dtype()));
}

CoordSet::CoordSet(Key, PooledVector<Coord> coords, const CoordBounds& bounds, Triple stride,
                   std::optional<Triple> extent)
    : coords_(std::move(coords)),
      stride_(stride),
      extent_(extent),
      low_(bounds.low),
      high_(bounds.high),
      id_(next_id()) {}

const CoordIndex& CoordSet::index() const {
  std::call_once(index_once_, [this] {
    BlockNumbers numbers = known_ != nullptr ? std::move(*known_) : BlockNumbers::of(coords_, {low_, high_});
    known_ = nullptr;
    index_ = std::allocate_shared<const CoordIndex>(PoolAllocator<CoordIndex>(), std::move(numbers));
  });
  return *index_;
}

bool CoordSet::has_duplicates() const {
  return index().has_duplicates();
}

Tensor CoordSet::tensor() const {
  static_assert(sizeof(Coord) == 4 * sizeof(int32_t));
  return Tensor::from(std::span<const int32_t>(reinterpret_cast<const int32_t*>(coords_.data()), coords_.size() * 4),
                      {rows(), 4});
}

}  // namespace lattice
