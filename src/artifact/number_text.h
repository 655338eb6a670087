#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lattice::artifact {

/// Decimal digits as a 64-bit integer, negated on demand; none where it does not fit.
std::optional<int64_t> integer_from(std::string_view digits, bool negative);

/// A real token rounded once to T (float or double), infinite beyond T's range.
template <typename T>
T real_from(std::string_view digits, bool negative);

/// A hexadecimal token as the bits of a T; none where it has more bits than T.
template <typename T>
std::optional<T> real_from_bits(std::string_view hex);

/// The shortest text from which real_from or real_from_bits gives the same bits, sign included: decimal with a dot, or
/// hexadecimal where the value is infinite or not a number.
template <typename T>
std::string real_text(T value);

}  // namespace lattice::artifact
