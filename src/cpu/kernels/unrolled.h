#pragma once

#include <utility>

namespace lattice::cpu {
namespace {

/// body(integral_constant 0), ..., body(integral_constant Count-1), written out one after the other.
///
/// Accumulators that are indexed by such constants are registers from the first pass of every compiler on. Under a
/// plain loop g++ keeps them in memory until it has unrolled, and copies them out and in around the inner loop.
template <int Count, typename Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, Count>{});
}

}  // namespace
}  // namespace lattice::cpu
