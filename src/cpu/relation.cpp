#include "cpu/relation.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "coord_index.h"

// How edges are found. Sorted by place, the outputs of a tile ask for inputs in sorted order too, since o*stride +
// offset - padding grows with o; so looking them all up is one merge of two sorted runs, without a hash. For the kinds
// that go from an output to its inputs by a multiplication, one merge serves all taps of a kernel column (same x and
// y): the inputs that a column reaches are neighbours in the sorted order.

namespace lattice::cpu {
namespace {

using Tiles = TiledRelation::Tiles;

/// An edge found: `group` is what runs are made of within one search, the z tap of a column or the copy of an input.
struct Found {
  int32_t group, slot, input;
};

/// Appends to a piece of the relation; collects the edges of one search and sorts them into runs.
class TileWriter {
 public:
  explicit TileWriter(Tiles& tiles) : tiles_(tiles) {}

  void begin_search(int64_t groups) { counts_.assign(static_cast<size_t>(groups), 0); }
  void add(int64_t group, int64_t slot, int32_t input) {
    if (static_cast<size_t>(group) >= counts_.size()) counts_.resize(static_cast<size_t>(group) + 1, 0);
    ++counts_[static_cast<size_t>(group)];
    found_.push_back({static_cast<int32_t>(group), static_cast<int32_t>(slot), input});
  }
  /// Group g's edges become a run of tap first_tap + g * tap_step.
  void end_search(int64_t first_tap, int64_t tap_step) {
    if (found_.empty()) return;
    size_t end = tiles_.input.size();
    tiles_.input.resize(end + found_.size());
    tiles_.slot.resize(end + found_.size());
    for (size_t group = 0; group < counts_.size(); ++group) {
      if (counts_[group] == 0) continue;
      tiles_.runs.push_back({static_cast<int32_t>(first_tap + static_cast<int64_t>(group) * tap_step),
                             static_cast<int32_t>(counts_[group])});
      end += std::exchange(counts_[group], end);
    }
    for (const Found& edge : found_) {
      const size_t at = counts_[static_cast<size_t>(edge.group)]++;
      tiles_.input[at] = edge.input;
      tiles_.slot[at] = edge.slot;
    }
    found_.clear();
  }
  void end_tile() {
    tiles_.run_begin.push_back(static_cast<int64_t>(tiles_.runs.size()));
    tiles_.edge_begin.push_back(static_cast<int64_t>(tiles_.input.size()));
  }

 private:
  Tiles& tiles_;
  std::vector<size_t> counts_;
  std::vector<Found> found_;
};

/// Where a sequence of growing keys stands in the sorted keys of the source.
template <typename Key>
class Cursor {
 public:
  size_t advance(const std::vector<Key>& keys, Key wanted) {
    if (!started_) {
      at_ = static_cast<size_t>(std::lower_bound(keys.begin(), keys.end() - 1, wanted) - keys.begin());
      started_ = true;
    }
    while (keys[at_] < wanted) ++at_;
    return at_;
  }

 private:
  size_t at_ = 0;
  bool started_ = false;
};

/// Edges of the kinds where input = output*stride + offset - padding: submanifold, forward, regular, target.
template <typename Key>
class ColumnSearch {
 public:
  ColumnSearch(const SortedKeys<Key>& sorted, std::span<const int32_t> source_order, const ConvGeometry& geometry,
               bool centered)
      : sorted_(sorted), source_order_(source_order), geometry_(geometry), centered_(centered) {}

  /// One thread's work on consecutive tiles.
  auto start() const {
    const Triple& size = geometry_.kernel_size();
    return std::vector<Cursor<Key>>(static_cast<size_t>(size.x * size.y));
  }

  void search(std::vector<Cursor<Key>>& cursors, std::span<const Coord> outputs, TileWriter& writer) const {
    const int64_t column_taps = geometry_.kernel_size().z;
    for (size_t column = 0; column < cursors.size(); ++column) {
      const int64_t first_tap = static_cast<int64_t>(column) * column_taps;
      writer.begin_search(column_taps);
      search_column(cursors[column], first_tap, outputs, writer);
      writer.end_search(first_tap, 1);
    }
  }

 private:
  void search_column(Cursor<Key>& cursor, int64_t first_tap, std::span<const Coord> outputs, TileWriter& writer) const {
    const KeyFrame<Key>& frame = sorted_.frame;
    const std::vector<Key>& keys = sorted_.keys;
    const Triple offset = centered_ ? geometry_.centered_offset(first_tap) : geometry_.indexed_offset(first_tap);
    const Triple& stride = geometry_.stride();
    const Triple shift = {offset.x - geometry_.padding().x, offset.y - geometry_.padding().y,
                          offset.z - geometry_.padding().z};
    const int64_t step = geometry_.dilation().z;
    const int64_t reach = (geometry_.kernel_size().z - 1) * step;
    for (size_t slot = 0; slot < outputs.size(); ++slot) {
      const Coord& o = outputs[slot];
      const int64_t x = o.x * stride.x + shift.x;
      const int64_t y = o.y * stride.y + shift.y;
      const int64_t first_z = o.z * stride.z + shift.z;
      const int64_t low_z = std::max<int64_t>(first_z, frame.lo.z);
      const int64_t high_z = std::min<int64_t>(first_z + reach, frame.hi.z);
      if (!frame.holds_column(o.batch, x, y) || low_z > high_z) continue;
      const Key low = frame.key(o.batch, x, y, low_z);
      const Key high = low + static_cast<Key>(high_z - low_z);
      for (size_t at = cursor.advance(keys, low); keys[at] <= high; ++at) {
        const int64_t distance = static_cast<int64_t>(keys[at] - low) + (low_z - first_z);
        const bool first_copy = at == 0 || keys[at] != keys[at - 1];
        if (!first_copy || (step != 1 && distance % step != 0)) continue;
        writer.add(step == 1 ? distance : distance / step, static_cast<int64_t>(slot), source_order_[at]);
      }
    }
  }

  const SortedKeys<Key>& sorted_;
  std::span<const int32_t> source_order_;
  const ConvGeometry& geometry_;
  bool centered_;
};

/// Floor division by a number known once; most strides are powers of two, which need no division.
class Divider {
 public:
  explicit Divider(int64_t divisor) : divisor_(divisor) {
    while ((int64_t{1} << shift_) < divisor) ++shift_;
    is_power_ = (int64_t{1} << shift_) == divisor;
  }
  /// Whether the divisor divides exactly; then `quotient` is set.
  bool divides(int64_t value, int64_t& quotient) const noexcept {
    if (is_power_) {
      quotient = value >> shift_;
      return (value & (divisor_ - 1)) == 0;
    }
    quotient = value / divisor_;
    return quotient * divisor_ == value;
  }

 private:
  int64_t divisor_;
  int shift_ = 0;
  bool is_power_ = false;
};

/// Edges of the kinds where input = (output + padding - offset) / stride, where that divides: target_transposed, and
/// transposed where outputs merge. There every copy of an input counts, elsewhere the first.
template <typename Key>
class TapSearch {
 public:
  TapSearch(const SortedKeys<Key>& sorted, std::span<const int32_t> source_order, const ConvGeometry& geometry,
            bool all_copies)
      : sorted_(sorted),
        source_order_(source_order),
        geometry_(geometry),
        all_copies_(all_copies),
        divide_x_(geometry.stride().x),
        divide_y_(geometry.stride().y),
        divide_z_(geometry.stride().z) {}

  auto start() const { return std::vector<Cursor<Key>>(static_cast<size_t>(geometry_.taps())); }

  void search(std::vector<Cursor<Key>>& cursors, std::span<const Coord> outputs, TileWriter& writer) const {
    const Triple& size = geometry_.kernel_size();
    for (int64_t tap = 0; tap < geometry_.taps(); ++tap) {
      const Triple offset = geometry_.indexed_offset(tap);
      if (tap % (size.y * size.z) == 0) keep_divisible(outputs, offset.x);
      if (tap % size.z == 0) keep_divisible_rows(outputs, offset.y);
      writer.begin_search(1);
      search_tap(cursors[static_cast<size_t>(tap)], offset.z, outputs, writer);
      writer.end_search(tap, 0);
    }
  }

 private:
  struct Candidate {
    int32_t slot;
    int64_t x, y;
  };
  // The outputs of the tile at hand for which x divides, and those among them for which y does too: found once for all
  // taps of a plane and of a column. One object serves one thread, see build_pieces.
  mutable std::vector<Candidate> plane_, column_;

  void keep_divisible(std::span<const Coord> outputs, int64_t offset) const {
    plane_.clear();
    for (size_t slot = 0; slot < outputs.size(); ++slot) {
      int64_t x = 0;
      if (divide_x_.divides(outputs[slot].x + geometry_.padding().x - offset, x)) {
        plane_.push_back({static_cast<int32_t>(slot), x, 0});
      }
    }
  }

  void keep_divisible_rows(std::span<const Coord> outputs, int64_t offset) const {
    column_.clear();
    for (Candidate candidate : plane_) {
      const Coord& o = outputs[static_cast<size_t>(candidate.slot)];
      if (divide_y_.divides(o.y + geometry_.padding().y - offset, candidate.y) &&
          sorted_.frame.holds_column(o.batch, candidate.x, candidate.y)) {
        column_.push_back(candidate);
      }
    }
  }

  void search_tap(Cursor<Key>& cursor, int64_t offset, std::span<const Coord> outputs, TileWriter& writer) const {
    for (const Candidate& candidate : column_) {
      const Coord& o = outputs[static_cast<size_t>(candidate.slot)];
      int64_t z = 0;
      if (!divide_z_.divides(o.z + geometry_.padding().z - offset, z) || !sorted_.frame.holds_z(z)) continue;
      const Key wanted = sorted_.frame.key(o.batch, candidate.x, candidate.y, z);
      const size_t first = cursor.advance(sorted_.keys, wanted);
      for (size_t at = first; sorted_.keys[at] == wanted && (all_copies_ || at == first); ++at) {
        writer.add(static_cast<int64_t>(at - first), candidate.slot, source_order_[at]);
      }
    }
  }

  const SortedKeys<Key>& sorted_;
  std::span<const int32_t> source_order_;
  const ConvGeometry& geometry_;
  bool all_copies_;
  Divider divide_x_, divide_y_, divide_z_;
};

int64_t tiles_of(int64_t rows) {
  return (rows + kTileRows - 1) / kTileRows;
}

/// Puts the pieces, each of consecutive tiles, one after the other.
void join_pieces(std::vector<Tiles>& pieces, Tiles& whole, Workers& workers) {
  const size_t count = pieces.size();
  std::vector<size_t> runs(count + 1, 0), edges(count + 1, 0);
  whole.run_begin = {0};
  whole.edge_begin = {0};
  for (size_t i = 0; i < count; ++i) {
    for (const int64_t end : pieces[i].run_begin) whole.run_begin.push_back(static_cast<int64_t>(runs[i]) + end);
    for (const int64_t end : pieces[i].edge_begin) whole.edge_begin.push_back(static_cast<int64_t>(edges[i]) + end);
    runs[i + 1] = runs[i] + pieces[i].runs.size();
    edges[i + 1] = edges[i] + pieces[i].input.size();
  }
  whole.runs.resize(runs[count]);
  whole.input.resize(edges[count]);
  whole.slot.resize(edges[count]);
  workers.for_each(static_cast<int64_t>(count), [&](int64_t index) {
    const auto i = static_cast<size_t>(index);
    const auto after = [](auto& to, size_t offset) { return to.begin() + static_cast<std::ptrdiff_t>(offset); };
    std::copy(pieces[i].runs.begin(), pieces[i].runs.end(), after(whole.runs, runs[i]));
    std::copy(pieces[i].input.begin(), pieces[i].input.end(), after(whole.input, edges[i]));
    std::copy(pieces[i].slot.begin(), pieces[i].slot.end(), after(whole.slot, edges[i]));
    pieces[i] = {};
  });
}

/// Tiles that one task searches: enough to pay for the binary searches with which its cursors start, few enough that a
/// scan gives every thread several tasks. The pieces do not show in the result.
constexpr int64_t kTilesAPiece = 4;

template <typename Search>
Tiles search_tiles(const CoordSet& target, const Search& search, Workers& workers) {
  Tiles tiles;
  const std::span<const int32_t> order = target.index().order();
  tiles.order.assign(order.begin(), order.end());
  const int64_t tile_count = tiles_of(target.rows());
  std::vector<Tiles> pieces(static_cast<size_t>((tile_count + kTilesAPiece - 1) / kTilesAPiece));
  workers.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t piece) {
    const Search mine = search;  // with scratch of its own
    auto cursors = mine.start();
    TileWriter writer(pieces[static_cast<size_t>(piece)]);
    std::array<Coord, kTileRows> outputs;
    const int64_t last_tile = std::min(tile_count, (piece + 1) * kTilesAPiece);
    for (int64_t tile = piece * kTilesAPiece; tile < last_tile; ++tile) {
      const int64_t first = tile * kTileRows;
      const int64_t rows = std::min(kTileRows, target.rows() - first);
      for (int64_t slot = 0; slot < rows; ++slot) {
        outputs[static_cast<size_t>(slot)] =
            target.coords()[static_cast<size_t>(order[static_cast<size_t>(first + slot)])];
      }
      mine.search(cursors, std::span<const Coord>(outputs.data(), static_cast<size_t>(rows)), writer);
      writer.end_tile();
    }
  });
  join_pieces(pieces, tiles, workers);
  return tiles;
}

/// Row i*K + k comes from input i through tap k and nothing else. Outputs stand tap by tap, so that nearly every tile
/// has a single run.
Tiles one_edge_a_row(int64_t input_rows, int64_t taps, Workers& workers) {
  const int64_t rows = input_rows * taps;
  const int64_t tile_count = tiles_of(rows);
  Tiles tiles;
  tiles.order.resize(static_cast<size_t>(rows));
  tiles.input.resize(static_cast<size_t>(rows));
  tiles.slot.resize(static_cast<size_t>(rows));
  workers.for_blocks(rows, int64_t{1} << 16, [&](int64_t first, int64_t last) {
    for (int64_t position = first; position < last; ++position) {
      const int64_t tap = position / input_rows;
      const int64_t input = position % input_rows;
      tiles.order[static_cast<size_t>(position)] = static_cast<int32_t>(input * taps + tap);
      tiles.input[static_cast<size_t>(position)] = static_cast<int32_t>(input);
      tiles.slot[static_cast<size_t>(position)] = static_cast<int32_t>(position % kTileRows);
    }
  });
  tiles.run_begin = {0};
  tiles.edge_begin = {0};
  for (int64_t tile = 0; tile < tile_count; ++tile) {
    const int64_t last = std::min(rows, (tile + 1) * kTileRows);
    for (int64_t position = tile * kTileRows; position < last;) {
      const int64_t tap = position / input_rows;
      const int64_t end = std::min(last, (tap + 1) * input_rows);
      tiles.runs.push_back({static_cast<int32_t>(tap), static_cast<int32_t>(end - position)});
      position = end;
    }
    tiles.run_begin.push_back(static_cast<int64_t>(tiles.runs.size()));
    tiles.edge_begin.push_back(last);
  }
  return tiles;
}

}  // namespace

TiledRelation::TiledRelation(RelationKind kind, int64_t input_rows, int64_t taps, Tiles tiles)
    : Relation(kind, input_rows, static_cast<int64_t>(tiles.order.size()), taps), tiles_(std::move(tiles)) {}

EdgeList TiledRelation::edge_list() const {
  EdgeList list;
  const auto edge_count = static_cast<size_t>(edges());
  list.input_row.resize(edge_count);
  list.output_row.resize(edge_count);
  list.tap.resize(edge_count);
  list.output_begin.assign(static_cast<size_t>(output_rows()) + 1, 0);
  const auto for_edges = [this](const auto& visit) {
    size_t edge = 0;
    for (int64_t tile = 0; tile < tile_count(); ++tile) {
      for (auto run = tiles_.run_begin[static_cast<size_t>(tile)];
           run < tiles_.run_begin[static_cast<size_t>(tile) + 1]; ++run) {
        const Run& r = tiles_.runs[static_cast<size_t>(run)];
        for (int32_t i = 0; i < r.count; ++i, ++edge) {
          visit(edge, tiles_.order[static_cast<size_t>(tile * kTileRows + tiles_.slot[edge])], r.tap);
        }
      }
    }
  };
  for_edges([&](size_t, int32_t output, int32_t) { ++list.output_begin[static_cast<size_t>(output) + 1]; });
  std::partial_sum(list.output_begin.begin(), list.output_begin.end(), list.output_begin.begin());
  std::vector<int64_t> next(list.output_begin.begin(), list.output_begin.end() - 1);
  // Runs stand in the order of taps, and copies of an input in row order: filling keeps (output, tap, input) sorted.
  for_edges([&](size_t edge, int32_t output, int32_t tap) {
    const auto at = static_cast<size_t>(next[static_cast<size_t>(output)]++);
    list.input_row[at] = tiles_.input[edge];
    list.output_row[at] = output;
    list.tap[at] = tap;
  });
  return list;
}

int64_t TiledRelation::nbytes() const {
  const auto bytes = [](const auto& vector) { return static_cast<int64_t>(vector.size() * sizeof(vector[0])); };
  return bytes(tiles_.order) + bytes(tiles_.runs) + bytes(tiles_.input) + bytes(tiles_.slot) + bytes(tiles_.run_begin) +
         bytes(tiles_.edge_begin);
}

std::unique_ptr<const TiledRelation> build_relation(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                                    const ConvGeometry& geometry, Workers& workers) {
  const int64_t taps = geometry.taps();
  const bool merges = kind == RelationKind::transposed && !geometry.taps_never_meet();
  Tiles tiles;
  if (kind == RelationKind::pointwise || kind == RelationKind::generative ||
      (kind == RelationKind::transposed && !merges)) {
    tiles = one_edge_a_row(source.rows(), taps, workers);
  } else {
    const CoordIndex& index = source.index();
    std::visit(
        [&](const auto& sorted) {
          if (merges || kind == RelationKind::target_transposed) {
            tiles = search_tiles(target, TapSearch(sorted, index.order(), geometry, merges), workers);
          } else {
            const bool centered = kind != RelationKind::regular;
            tiles = search_tiles(target, ColumnSearch(sorted, index.order(), geometry, centered), workers);
          }
        },
        index.sorted());
  }
  return std::make_unique<const TiledRelation>(kind, source.rows(), taps, std::move(tiles));
}

}  // namespace lattice::cpu
