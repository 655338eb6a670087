#include "coord_index.h"

#include <array>
#include <bit>
#include <limits>

#include "fail.h"

namespace lattice {
namespace {

struct Range {
  Coord lo, hi;
};

Range range_of(std::span<const Coord> coords) {
  if (coords.empty()) return {{0, 0, 0, 0}, {-1, -1, -1, -1}};
  Range range = {coords[0], coords[0]};
  for (const Coord& c : coords) {
    range.lo = {std::min(range.lo.batch, c.batch), std::min(range.lo.x, c.x), std::min(range.lo.y, c.y),
                std::min(range.lo.z, c.z)};
    range.hi = {std::max(range.hi.batch, c.batch), std::max(range.hi.x, c.x), std::max(range.hi.y, c.y),
                std::max(range.hi.z, c.z)};
  }
  return range;
}

int bits_for(int32_t lo, int32_t hi) {
  return lo > hi ? 0 : static_cast<int>(std::bit_width(static_cast<uint64_t>(int64_t{hi} - lo)));
}

template <typename Key>
struct Keyed {
  Key key;
  int32_t row;
};

// 2048 counters of 4 bytes fit the first-level cache beside the heads of the buckets; a LiDAR scan's 30 to 40 bits take
// three or four passes.
constexpr int kDigitBits = 11;

/// Stable least-significant-digit radix sort; `bits` is how many low bits of the keys differ.
template <typename Key>
void radix_sort(std::vector<Keyed<Key>>& items, int bits) {
  std::vector<Keyed<Key>> other(items.size());
  for (int shift = 0; shift < bits; shift += kDigitBits) {
    std::array<uint32_t, 1 << kDigitBits> start = {};
    const auto digit = [shift](Key key) { return static_cast<uint32_t>(key >> shift) & ((1U << kDigitBits) - 1); };
    for (const auto& item : items) ++start[digit(item.key)];
    uint32_t sum = 0;
    for (uint32_t& count : start) sum += std::exchange(count, sum);
    for (const auto& item : items) other[start[digit(item.key)]++] = item;
    items.swap(other);
  }
}

template <typename Key>
SortedKeys<Key> sort_keys(std::span<const Coord> coords, const KeyFrame<Key>& frame, int bits,
                          std::vector<int32_t>& order) {
  std::vector<Keyed<Key>> items(coords.size());
  for (size_t i = 0; i < coords.size(); ++i) {
    const Coord& c = coords[i];
    items[i] = {frame.key(c.batch, c.x, c.y, c.z), static_cast<int32_t>(i)};
  }
  // Below this a comparison sort is quicker than clearing the counters of the passes.
  constexpr size_t kFewItems = 256;
  if (items.size() < kFewItems) {
    std::sort(items.begin(), items.end(),
              [](const auto& a, const auto& b) { return a.key != b.key ? a.key < b.key : a.row < b.row; });
  } else {
    radix_sort(items, bits);
  }
  SortedKeys<Key> sorted{frame, std::vector<Key>(items.size() + 1)};
  order.resize(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    sorted.keys[i] = items[i].key;
    order[i] = items[i].row;
  }
  sorted.keys.back() = ~Key{0};
  return sorted;
}

template <typename Key>
bool repeats(const std::vector<Key>& keys) {
  for (size_t i = 1; i + 1 < keys.size(); ++i) {
    if (keys[i] == keys[i - 1]) return true;
  }
  return false;
}

}  // namespace

CoordIndex::CoordIndex(std::span<const Coord> coords) {
  const auto [lo, hi] = range_of(coords);
  const int y_shift = bits_for(lo.z, hi.z);
  const int x_shift = y_shift + bits_for(lo.y, hi.y);
  const int batch_shift = x_shift + bits_for(lo.x, hi.x);
  const int bits = batch_shift + bits_for(lo.batch, hi.batch);
  // One bit stays free, so that the key at the end is larger than any other, and so that no shift reaches the width.
  if (bits < 64) {
    sorted_ = sort_keys<Key64>(coords, {lo, hi, y_shift, x_shift, batch_shift}, bits, order_);
  } else {
    sorted_ = sort_keys<Key128>(coords, {lo, hi, y_shift, x_shift, batch_shift}, bits, order_);
  }
  has_duplicates_ = std::visit([](const auto& sorted) { return repeats(sorted.keys); }, sorted_);
}

int32_t CoordIndex::find(int64_t batch, int64_t x, int64_t y, int64_t z) const noexcept {
  return std::visit(
      [&](const auto& sorted) -> int32_t {
        if (!sorted.frame.holds_column(batch, x, y) || !sorted.frame.holds_z(z)) return -1;
        const auto key = sorted.frame.key(batch, x, y, z);
        const auto at = std::lower_bound(sorted.keys.begin(), sorted.keys.end(), key);
        return *at == key ? order_[static_cast<size_t>(at - sorted.keys.begin())] : -1;
      },
      sorted_);
}

DistinctCoords::DistinctCoords(int64_t expected) {
  // A scan repeats most of what is added: a table for a quarter of it seldom has to grow more than once.
  constexpr uint64_t kLeastSlots = 64;
  resize(static_cast<int>(std::bit_width(std::max(kLeastSlots, static_cast<uint64_t>(expected) / 2))));
}

int32_t DistinctCoords::insert(const Coord& coord, size_t slot) {
  if (coords_.size() >= static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail(ErrorCode::out_of_range, "coord_set: more than 2^31 - 1 distinct coordinates; split the scan");
  }
  const auto place = static_cast<int32_t>(coords_.size());
  coords_.push_back(coord);
  table_[slot] = place;
  if (coords_.size() * 2 > table_.size()) resize(64 - shift_ + 1);
  return place;
}

void DistinctCoords::resize(int bits) {
  shift_ = 64 - bits;
  table_.assign(size_t{1} << bits, -1);
  for (size_t place = 0; place < coords_.size(); ++place) {
    size_t slot = start(coords_[place]);
    while (table_[slot] >= 0) slot = (slot + 1) & (table_.size() - 1);
    table_[slot] = static_cast<int32_t>(place);
  }
}

}  // namespace lattice
