#include "lattice/conv_geometry.h"

#include <limits>

#include "fail.h"

namespace lattice {
namespace {

constexpr int64_t kLargest = std::numeric_limits<int32_t>::max();

void check(std::string_view operation, std::string_view parameter, const Triple& value, int64_t least) {
  if (value.x < least || value.y < least || value.z < least) {
    fail(ErrorCode::invalid_argument, "{}: {} {} must be at least {} on every axis", operation, parameter,
         to_string(value), least);
  }
  if (value.x > kLargest || value.y > kLargest || value.z > kLargest) {
    fail(ErrorCode::out_of_range, "{}: {} {} must be at most 2^31 - 1 on every axis", operation, parameter,
         to_string(value));
  }
}

/// The product, or -1 where it leaves 2^31 - 1. The sizes are at most 2^31 - 1 themselves.
int64_t bounded_product(const Triple& sizes) {
  const int64_t plane = sizes.x * sizes.y;
  if (plane > kLargest) return -1;
  const int64_t volume = plane * sizes.z;
  return volume > kLargest ? -1 : volume;
}

}  // namespace

ConvGeometry::ConvGeometry(const ConvOptions& options, std::string_view operation) : options_(options) {
  check(operation, "kernel_size", options.kernel_size, 1);
  check(operation, "stride", options.stride, 1);
  check(operation, "padding", options.padding, 0);
  check(operation, "dilation", options.dilation, 1);
  taps_ = bounded_product(options.kernel_size);
  if (taps_ < 0) {
    fail(ErrorCode::out_of_range, "{}: kernel_size {} has more than 2^31 - 1 taps; use a smaller kernel", operation,
         to_string(options.kernel_size));
  }
}

Triple ConvGeometry::tap_position(int64_t tap) const noexcept {
  const Triple& size = options_.kernel_size;
  return {tap / (size.y * size.z), tap / size.z % size.y, tap % size.z};
}

Triple ConvGeometry::indexed_offset(int64_t tap) const noexcept {
  const Triple at = tap_position(tap);
  return {at.x * options_.dilation.x, at.y * options_.dilation.y, at.z * options_.dilation.z};
}

Triple ConvGeometry::centered_offset(int64_t tap) const noexcept {
  const Triple at = tap_position(tap);
  const auto centered = [](int64_t i, int64_t size, int64_t dilation) {
    return (i - (size % 2 != 0 ? size / 2 : 0)) * dilation;
  };
  const auto& [size, stride, padding, dilation] = options_;
  return {centered(at.x, size.x, dilation.x), centered(at.y, size.y, dilation.y), centered(at.z, size.z, dilation.z)};
}

bool ConvGeometry::is_pointwise() const noexcept {
  return taps_ == 1 && options_.stride == Triple(1) && options_.padding == Triple(0) && options_.dilation == Triple(1);
}

bool ConvGeometry::taps_never_meet() const noexcept {
  const auto apart = [](int64_t size, int64_t stride, int64_t dilation) { return stride >= dilation * (size - 1) + 1; };
  const auto& [size, stride, padding, dilation] = options_;
  return apart(size.x, stride.x, dilation.x) && apart(size.y, stride.y, dilation.y) &&
         apart(size.z, stride.z, dilation.z);
}

Triple ConvGeometry::coarser_stride(const Triple& stride_in, std::string_view operation) const {
  const Triple& by = options_.stride;
  const Triple out = {stride_in.x * by.x, stride_in.y * by.y, stride_in.z * by.z};
  if (out.x > kLargest || out.y > kLargest || out.z > kLargest || bounded_product(out) < 0) {
    fail(ErrorCode::out_of_range, "{}: the output stride {} = {} * {} has a product beyond 2^31 - 1", operation,
         to_string(out), to_string(stride_in), to_string(by));
  }
  return out;
}

Triple ConvGeometry::finer_stride(const Triple& stride_in, std::string_view operation) const {
  const Triple& by = options_.stride;
  if (stride_in.x % by.x != 0 || stride_in.y % by.y != 0 || stride_in.z % by.z != 0) {
    fail(ErrorCode::invalid_argument,
         "{}: the input's stride {} must be a multiple of the convolution's stride {} on every axis", operation,
         to_string(stride_in), to_string(by));
  }
  return {stride_in.x / by.x, stride_in.y / by.y, stride_in.z / by.z};
}

Triple ConvGeometry::regular_extent(const Triple& extent, std::string_view operation) const {
  const auto& [size, stride, padding, dilation] = options_;
  const auto sites = [](int64_t n, int64_t k, int64_t s, int64_t p, int64_t d) {
    return floor_divide(n + 2 * p - d * (k - 1) - 1, s) + 1;
  };
  const Triple out = {sites(extent.x, size.x, stride.x, padding.x, dilation.x),
                      sites(extent.y, size.y, stride.y, padding.y, dilation.y),
                      sites(extent.z, size.z, stride.z, padding.z, dilation.z)};
  if (out.x < 1 || out.y < 1 || out.z < 1) {
    fail(ErrorCode::invalid_argument,
         "{}: the extent {} becomes {} under kernel_size {}, stride {}, padding {}, dilation {}; each size must stay "
         "positive: pad more or use a smaller kernel",
         operation, to_string(extent), to_string(out), to_string(size), to_string(stride), to_string(padding),
         to_string(dilation));
  }
  if (out.x > kLargest || out.y > kLargest || out.z > kLargest) {
    fail(ErrorCode::out_of_range, "{}: the extent {} becomes {}, beyond 2^31 - 1", operation, to_string(extent),
         to_string(out));
  }
  return out;
}

bool ConvGeometry::operator==(const ConvGeometry& other) const noexcept {
  return options_.kernel_size == other.options_.kernel_size && options_.stride == other.options_.stride &&
         options_.padding == other.options_.padding && options_.dilation == other.options_.dilation;
}

}  // namespace lattice
