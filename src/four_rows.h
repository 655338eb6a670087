#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <span>
#include <type_traits>

#include "lattice/coords.h"
#include "transpose.h"

namespace lattice {

/// Four rows, by axis.
struct FourRows {
  Four batch, x, y, z;

  static FourRows at(const Coord* rows) noexcept {
    const auto lanes = [rows](int row) { return std::bit_cast<Four>(rows[row]); };
    const auto [batch, x, y, z] = transposed(lanes(0), lanes(1), lanes(2), lanes(3));
    return {batch, x, y, z};
  }
};

/// Calls visit(first row, count, rows) for four rows after the other, a count that a compiler knows; the last ones may
/// be less, and repeated.
template <typename Visit>
void for_fours(std::span<const Coord> coords, const Visit& visit) {
  size_t row = 0;
  for (; row + 4 <= coords.size(); row += 4) {
    visit(row, std::integral_constant<size_t, 4>(), FourRows::at(&coords[row]));
  }
  if (row == coords.size()) return;
  std::array<Coord, 4> rest;
  rest.fill(coords.back());
  std::copy(coords.begin() + static_cast<std::ptrdiff_t>(row), coords.end(), rest.begin());
  visit(row, coords.size() - row, FourRows::at(rest.data()));
}

}  // namespace lattice
