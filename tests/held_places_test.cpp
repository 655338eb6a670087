#include "held_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "lattice/random.h"

namespace lattice {
namespace {

template <int Few>
void expect_numbers(uint64_t places, const std::set<uint32_t>& held) {
  HeldPlaces bits(places);
  for (const uint32_t place : held) HeldPlaces::add(bits.bits(), place);
  EXPECT_THAT(bits.number<Few>(held.size()), testing::ElementsAreArray(held)) << places;
  uint32_t number = 0;
  for (const uint32_t place : held) EXPECT_EQ(bits.number_of(place), number++) << places;
}

// Words without any, with few and with all of their places; and the last place of all.
TEST(HeldPlaces, AreNumberedInTheirOrder) {
  Random random(3);
  for (const uint64_t places : {uint64_t{1}, uint64_t{64}, uint64_t{65}, uint64_t{512}, uint64_t{20000}}) {
    for (const uint64_t among : {uint64_t{1}, uint64_t{3}, uint64_t{30}, uint64_t{1000}}) {
      std::set<uint32_t> held = {static_cast<uint32_t>(places - 1)};
      for (uint64_t place = 0; place < places; ++place) {
        if (random.next() % among == 0) held.insert(static_cast<uint32_t>(place));
      }
      expect_numbers<2>(places, held);
      expect_numbers<8>(places, held);
    }
    expect_numbers<4>(places, {});
  }
}

}  // namespace
}  // namespace lattice
