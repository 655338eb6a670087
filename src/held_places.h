#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "lattice/memory_pool.h"

namespace lattice {

/// Places that hold something, and the number of each.
class HeldPlaces {
 public:
  static constexpr uint64_t kWord = 64;  // places of a word

  explicit HeldPlaces(uint64_t places) : held_((places / kWord / kWordsAtOnce + 1) * kWordsAtOnce, 0) {}

  uint64_t* bits() noexcept { return held_.data(); }
  static void add(uint64_t* bits, uint32_t place) noexcept { bits[place >> 6] |= uint64_t{1} << (place & 63); }

  /// Numbers the places, of which at most `most` hold something; those, in their order. `few` is what most words hold
  /// at most: how many a word does is not foreseen, so that so many are written in any case.
  template <int Few>
  PooledVector<uint32_t> number(size_t most) {
    before_.resize(held_.size());
    PooledVector<uint32_t> places(most + Few);
    uint32_t* next = places.data();
    for (size_t first = 0; first < held_.size(); first += kWordsAtOnce) {
      const uint64_t* const words = &held_[first];
      uint64_t any = 0;
      for (size_t i = 0; i < kWordsAtOnce; ++i) any |= words[i];
      if (any == 0) continue;
      for (size_t i = 0; i < kWordsAtOnce; ++i) {
        if (words[i] == 0) continue;
        before_[first + i] = static_cast<uint32_t>(next - places.data());
        next = list<Few>(words[i], static_cast<uint32_t>((first + i) * kWord), next);
      }
    }
    places.resize(static_cast<size_t>(next - places.data()));
    return places;
  }
  /// Of a place that holds something.
  uint32_t number_of(uint32_t place) const noexcept {
    const uint64_t below = held_[place >> 6] & ((uint64_t{1} << (place & 63)) - 1);
    return before_[place >> 6] + static_cast<uint32_t>(std::popcount(below));
  }

 private:
  static constexpr size_t kWordsAtOnce = 8;

  template <int Few>
  static uint32_t* list(uint64_t word, uint32_t first, uint32_t* to) {
    constexpr uint64_t kLast = uint64_t{1} << 63;  // so that there is one
    const int count = std::popcount(word);
    uint64_t rest = word;
    for (int i = 0; i < Few; ++i, rest &= rest - 1)
      to[i] = first + static_cast<uint32_t>(std::countr_zero(rest | kLast));
    for (int i = Few; i < count; ++i, rest &= rest - 1) to[i] = first + static_cast<uint32_t>(std::countr_zero(rest));
    return to + count;
  }

  PooledVector<uint64_t> held_;
  PooledVector<uint32_t> before_;  // by word that holds something: how many places before it do
};

}  // namespace lattice
