#pragma once

#include <cstdint>

namespace lattice {

/// Seeded random numbers that are the same, bit for bit, on every machine and with every standard library (the engines
/// of <random> are pinned by the standard, but its distributions are not). Not for secrets. Not thread safe.
///
/// The algorithm is SplitMix64: a counter with an odd increment behind a bijective mixing function; period 2^64.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with the mixing
/// constants of Stafford's variant 13; known answers from the authors' public-domain code are in tests/random_test.cpp.
class Random {
 public:
  explicit Random(uint64_t seed) noexcept : state_(seed) {}

  /// The next 64 bits.
  uint64_t next() noexcept {
    uint64_t mixed = state_ += 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
  }

  /// In [0, 1): the upper 53 bits, so that every value is exact in a double.
  double uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// In [low, high), up to rounding.
  double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }

  /// Mean 0, variance 1, nearly normal: the sum of twelve uniform values (each of variance 1/12) less its mean of 6.
  /// It takes additions only, where the usual methods call logarithms whose last bits differ between C libraries. The
  /// price is its tails: nothing beyond 6, and an excess kurtosis of -0.1.
  double normal() noexcept {
    double sum = -6;
    for (int term = 0; term < 12; ++term) sum += uniform();
    return sum;
  }

 private:
  uint64_t state_;
};

}  // namespace lattice
