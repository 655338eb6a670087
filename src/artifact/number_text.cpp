#include "artifact/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>

namespace lattice::artifact {
namespace {

template <typename T>
using BitsOf = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

// True if a real that T cannot hold is too large for it, not too small: the exponent of its first digit that is not
// zero is positive.
bool is_large(std::string_view digits) {
  const size_t mantissa_end = std::min(digits.find_first_of("eE"), digits.size());
  const size_t dot = digits.find('.');
  const size_t first = std::min(digits.find_first_of("123456789"), mantissa_end);
  if (mantissa_end == digits.size()) return first < dot;
  std::string_view exponent = digits.substr(mantissa_end + 1);
  const bool negative = exponent.starts_with('-');
  exponent.remove_prefix(std::min(exponent.find_first_of("0123456789"), exponent.size()));
  int64_t power = 0;
  if (std::from_chars(exponent.data(), exponent.data() + exponent.size(), power).ec != std::errc{}) return !negative;
  const int64_t shift = static_cast<int64_t>(dot) - static_cast<int64_t>(first);
  return shift > (negative ? power : -power);
}

}  // namespace

std::optional<int64_t> integer_from(std::string_view digits, bool negative) {
  uint64_t magnitude = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), magnitude).ec != std::errc{}) return std::nullopt;
  const uint64_t limit = uint64_t{1} << 63;
  if (magnitude > limit || (magnitude == limit && !negative)) return std::nullopt;
  return static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
}

template <typename T>
T real_from(std::string_view digits, bool negative) {
  T value = 0;
  const std::errc error = std::from_chars(digits.data(), digits.data() + digits.size(), value).ec;
  if (error == std::errc::result_out_of_range) value = is_large(digits) ? std::numeric_limits<T>::infinity() : T{0};
  return negative ? -value : value;
}

template <typename T>
std::optional<T> real_from_bits(std::string_view hex) {
  BitsOf<T> bits = 0;
  if (std::from_chars(hex.data() + 2, hex.data() + hex.size(), bits, 16).ec != std::errc{}) return std::nullopt;
  return std::bit_cast<T>(bits);
}

template <typename T>
std::string real_text(T value) {
  if (!std::isfinite(value)) return fmt::format("0x{:0{}X}", std::bit_cast<BitsOf<T>>(value), 2 * sizeof(T));
  std::string text = fmt::format("{}", value);
  if (text.find('.') == std::string::npos) text.insert(std::min(text.find('e'), text.size()), ".0");
  return text;
}

template float real_from(std::string_view, bool);
template double real_from(std::string_view, bool);
template std::optional<float> real_from_bits(std::string_view);
template std::optional<double> real_from_bits(std::string_view);
template std::string real_text(float);
template std::string real_text(double);

}  // namespace lattice::artifact
