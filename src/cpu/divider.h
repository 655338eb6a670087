#pragma once

#include <cstdint>

namespace lattice::cpu {

/// Floor division by a number known once, 1 .. 2^31 - 1; most strides are powers of two, which need no division.
class Divider {
 public:
  explicit Divider(int64_t divisor) : divisor_(divisor) {
    while ((int64_t{1} << shift_) < divisor) ++shift_;
    is_power_ = (int64_t{1} << shift_) == divisor;
  }
  int64_t floor(int64_t value) const noexcept {
    if (is_power_) return value >> shift_;
    const int64_t quotient = value / divisor_;
    return quotient - (quotient * divisor_ > value ? 1 : 0);
  }
  /// Whether the divisor divides exactly; then `quotient` is set.
  bool divides(int64_t value, int64_t& quotient) const noexcept {
    quotient = floor(value);
    return quotient * divisor_ == value;
  }

 private:
  int64_t divisor_;
  int shift_ = 0;
  bool is_power_ = false;
};

}  // namespace lattice::cpu
