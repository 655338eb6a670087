#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "lattice/memory_pool.h"

namespace lattice {

/// Places that hold something, and the number of each.
class HeldPlaces {
 public:
  explicit HeldPlaces(uint64_t places) : held_((places / 64 / kWordsAtOnce + 1) * kWordsAtOnce, 0) {}

  uint64_t* bits() noexcept { return held_.data(); }
  static void add(uint64_t* bits, uint32_t place) noexcept { bits[place >> 6] |= uint64_t{1} << (place & 63); }

  /// Numbers the places, and calls visit(place) for each, in their order.
  template <typename Visit>
  void number(const Visit& visit) {
    before_.resize(held_.size());
    uint32_t count = 0;
    for (size_t first = 0; first < held_.size(); first += kWordsAtOnce) {
      const uint64_t* const words = &held_[first];
      if ((words[0] | words[1] | words[2] | words[3]) == 0) continue;  // as most are
      for (size_t word = first; word < first + kWordsAtOnce; ++word) {
        before_[word] = count;
        for (uint64_t rest = held_[word]; rest != 0; rest &= rest - 1) {
          visit(word * 64 + static_cast<uint64_t>(std::countr_zero(rest)));
          ++count;
        }
      }
    }
  }
  /// Of a place that holds something.
  uint32_t number_of(uint32_t place) const noexcept {
    const uint64_t below = held_[place >> 6] & ((uint64_t{1} << (place & 63)) - 1);
    return before_[place >> 6] + static_cast<uint32_t>(std::popcount(below));
  }

 private:
  static constexpr size_t kWordsAtOnce = 4;
  PooledVector<uint64_t> held_;
  PooledVector<uint32_t> before_;  // by word that holds something
};

}  // namespace lattice
