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

using Piece = TiledRelation::Piece;

/// An edge found: `group` is what runs are made of within one search, the z tap of a column or the copy of an input.
struct Found {
  int32_t group;
  uint16_t slot;
  int32_t input;
};

/// Writes one piece of a relation: collects the edges of one search at a time and sorts them into runs.
class PieceWriter {
 public:
  PieceWriter() {
    piece_.run_begin.push_back(0);
    piece_.edge_begin.push_back(0);
  }

  void begin_search(int64_t groups) { counts_.assign(static_cast<size_t>(groups), 0); }
  void add(int64_t group, int64_t slot, int32_t input) {
    if (static_cast<size_t>(group) >= counts_.size()) counts_.resize(static_cast<size_t>(group) + 1, 0);
    ++counts_[static_cast<size_t>(group)];
    found_.push_back({static_cast<int32_t>(group), static_cast<uint16_t>(slot), input});
  }
  /// Group g's edges become a run of tap first_tap + g * tap_step.
  void end_search(int64_t first_tap, int64_t tap_step) {
    if (found_.empty()) return;
    size_t end = piece_.input.size();
    piece_.input.resize(end + found_.size());
    piece_.slot.resize(end + found_.size());
    for (size_t group = 0; group < counts_.size(); ++group) {
      if (counts_[group] == 0) continue;
      piece_.runs.push_back({static_cast<int32_t>(first_tap + static_cast<int64_t>(group) * tap_step),
                             static_cast<int32_t>(counts_[group])});
      end += std::exchange(counts_[group], end);
    }
    for (const Found& edge : found_) {
      const size_t at = counts_[static_cast<size_t>(edge.group)]++;
      piece_.input[at] = edge.input;
      piece_.slot[at] = edge.slot;
    }
    found_.clear();
  }
  void end_tile() {
    piece_.run_begin.push_back(static_cast<int64_t>(piece_.runs.size()));
    piece_.edge_begin.push_back(static_cast<int64_t>(piece_.input.size()));
  }
  /// The piece, without the room that its arrays grew into.
  Piece take() {
    piece_.runs.shrink_to_fit();
    piece_.input.shrink_to_fit();
    piece_.slot.shrink_to_fit();
    return std::move(piece_);
  }

 private:
  Piece piece_;
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

  void search(std::vector<Cursor<Key>>& cursors, std::span<const Coord> outputs, PieceWriter& writer) const {
    const int64_t column_taps = geometry_.kernel_size().z;
    for (size_t column = 0; column < cursors.size(); ++column) {
      const int64_t first_tap = static_cast<int64_t>(column) * column_taps;
      writer.begin_search(column_taps);
      search_column(cursors[column], first_tap, outputs, writer);
      writer.end_search(first_tap, 1);
    }
  }

 private:
  void search_column(Cursor<Key>& cursor, int64_t first_tap, std::span<const Coord> outputs,
                     PieceWriter& writer) const {
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

  void search(std::vector<Cursor<Key>>& cursors, std::span<const Coord> outputs, PieceWriter& writer) {
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
  // taps of a plane and of a column. One object serves one thread, see search_tiles.
  std::vector<Candidate> plane_, column_;

  void keep_divisible(std::span<const Coord> outputs, int64_t offset) {
    plane_.clear();
    for (size_t slot = 0; slot < outputs.size(); ++slot) {
      int64_t x = 0;
      if (divide_x_.divides(outputs[slot].x + geometry_.padding().x - offset, x)) {
        plane_.push_back({static_cast<int32_t>(slot), x, 0});
      }
    }
  }

  void keep_divisible_rows(std::span<const Coord> outputs, int64_t offset) {
    column_.clear();
    for (Candidate candidate : plane_) {
      const Coord& o = outputs[static_cast<size_t>(candidate.slot)];
      if (divide_y_.divides(o.y + geometry_.padding().y - offset, candidate.y) &&
          sorted_.frame.holds_column(o.batch, candidate.x, candidate.y)) {
        column_.push_back(candidate);
      }
    }
  }

  void search_tap(Cursor<Key>& cursor, int64_t offset, std::span<const Coord> outputs, PieceWriter& writer) {
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

std::vector<Piece> pieces_for(int64_t rows) {
  return std::vector<Piece>(static_cast<size_t>((tiles_of(rows) + kTilesAPiece - 1) / kTilesAPiece));
}

template <typename Search>
std::vector<Piece> search_tiles(const CoordSet& target, const Search& search, Workers& workers) {
  const std::span<const int32_t> order = target.index().order();
  std::vector<Piece> pieces = pieces_for(target.rows());
  workers.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index) {
    Search mine = search;  // with scratch of its own
    auto cursors = mine.start();
    PieceWriter writer;
    std::array<Coord, kTileRows> outputs;
    const int64_t last_tile = std::min(tiles_of(target.rows()), (index + 1) * kTilesAPiece);
    for (int64_t tile = index * kTilesAPiece; tile < last_tile; ++tile) {
      const int64_t first = tile * kTileRows;
      const int64_t rows = std::min(kTileRows, target.rows() - first);
      for (int64_t slot = 0; slot < rows; ++slot) {
        const int32_t row = order[static_cast<size_t>(first + slot)];
        outputs[static_cast<size_t>(slot)] = target.coords()[static_cast<size_t>(row)];
      }
      mine.search(cursors, std::span<const Coord>(outputs.data(), static_cast<size_t>(rows)), writer);
      writer.end_tile();
    }
    pieces[static_cast<size_t>(index)] = writer.take();
  });
  return pieces;
}

/// Row i*K + k comes from input i through tap k and nothing else. Outputs stand tap by tap, so that nearly every tile
/// has a single run: position p holds the edge of tap p / N and input p % N.
std::vector<Piece> one_edge_a_row(int64_t input_rows, int64_t taps, std::vector<int32_t>& order, Workers& workers) {
  const int64_t rows = input_rows * taps;
  order.resize(static_cast<size_t>(rows));
  std::vector<Piece> pieces = pieces_for(rows);
  workers.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index) {
    PieceWriter writer;
    const int64_t last_tile = std::min(tiles_of(rows), (index + 1) * kTilesAPiece);
    for (int64_t tile = index * kTilesAPiece; tile < last_tile; ++tile) {
      const int64_t last = std::min(rows, (tile + 1) * kTileRows);
      for (int64_t position = tile * kTileRows; position < last;) {
        const int64_t tap = position / input_rows;
        const int64_t end = std::min(last, (tap + 1) * input_rows);
        writer.begin_search(1);
        for (; position < end; ++position) {
          const int64_t input = position - tap * input_rows;
          order[static_cast<size_t>(position)] = static_cast<int32_t>(input * taps + tap);
          writer.add(0, position - tile * kTileRows, static_cast<int32_t>(input));
        }
        writer.end_search(tap, 0);
      }
      writer.end_tile();
    }
    pieces[static_cast<size_t>(index)] = writer.take();
  });
  return pieces;
}

}  // namespace

TiledRelation::TiledRelation(RelationKind kind, int64_t input_rows, int64_t taps, std::vector<int32_t> order,
                             std::vector<Piece> pieces)
    : Relation(kind, input_rows, static_cast<int64_t>(order.size()), taps),
      order_(std::move(order)),
      pieces_(std::move(pieces)) {
  for (const Piece& piece : pieces_) edges_ += piece.edge_begin.back();
}

TiledRelation::Tile TiledRelation::tile(int64_t index) const noexcept {
  const Piece& piece = pieces_[static_cast<size_t>(index / kTilesAPiece)];
  const auto at = static_cast<size_t>(index % kTilesAPiece);
  const int64_t first = index * kTileRows;
  return {.order = {order_.data() + first, static_cast<size_t>(std::min(kTileRows, output_rows() - first))},
          .runs = {piece.runs.data() + piece.run_begin[at], piece.runs.data() + piece.run_begin[at + 1]},
          .input = piece.input.data() + piece.edge_begin[at],
          .slot = piece.slot.data() + piece.edge_begin[at]};
}

EdgeList TiledRelation::edge_list() const {
  EdgeList list;
  list.input_row.resize(static_cast<size_t>(edges()));
  list.output_row.resize(static_cast<size_t>(edges()));
  list.tap.resize(static_cast<size_t>(edges()));
  list.output_begin.assign(static_cast<size_t>(output_rows()) + 1, 0);
  const auto for_edges = [this](const auto& visit) {
    for (int64_t index = 0; index < tile_count(); ++index) {
      const Tile at = tile(index);
      size_t edge = 0;
      for (const Run& run : at.runs) {
        for (int32_t i = 0; i < run.count; ++i, ++edge) visit(at.input[edge], at.order[at.slot[edge]], run.tap);
      }
    }
  };
  for_edges([&](int32_t, int32_t output, int32_t) { ++list.output_begin[static_cast<size_t>(output) + 1]; });
  std::partial_sum(list.output_begin.begin(), list.output_begin.end(), list.output_begin.begin());
  std::vector<int64_t> next(list.output_begin.begin(), list.output_begin.end() - 1);
  // Runs stand in the order of taps, and copies of an input in row order: filling keeps (output, tap, input) sorted.
  for_edges([&](int32_t input, int32_t output, int32_t tap) {
    const auto at = static_cast<size_t>(next[static_cast<size_t>(output)]++);
    list.input_row[at] = input;
    list.output_row[at] = output;
    list.tap[at] = tap;
  });
  return list;
}

int64_t TiledRelation::nbytes() const {
  const auto bytes = [](const auto& vector) { return static_cast<int64_t>(vector.size() * sizeof(vector[0])); };
  int64_t sum = bytes(order_);
  for (const Piece& piece : pieces_) {
    sum +=
        bytes(piece.runs) + bytes(piece.input) + bytes(piece.slot) + bytes(piece.run_begin) + bytes(piece.edge_begin);
  }
  return sum;
}

std::unique_ptr<const TiledRelation> build_relation(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                                    const ConvGeometry& geometry, Workers& workers) {
  const bool merges = kind == RelationKind::transposed && !geometry.taps_never_meet();
  const bool one_edge = kind == RelationKind::pointwise || kind == RelationKind::generative ||
                        (kind == RelationKind::transposed && !merges);
  std::vector<int32_t> order;
  std::vector<Piece> pieces;
  if (one_edge) {
    pieces = one_edge_a_row(source.rows(), geometry.taps(), order, workers);
  } else {
    const std::span<const int32_t> sorted_rows = target.index().order();
    order.assign(sorted_rows.begin(), sorted_rows.end());
    const CoordIndex& index = source.index();
    pieces = std::visit(
        [&](const auto& sorted) {
          if (merges || kind == RelationKind::target_transposed) {
            return search_tiles(target, TapSearch(sorted, index.order(), geometry, merges), workers);
          }
          const bool centered = kind != RelationKind::regular;
          return search_tiles(target, ColumnSearch(sorted, index.order(), geometry, centered), workers);
        },
        index.sorted());
  }
  return std::make_unique<const TiledRelation>(kind, source.rows(), geometry.taps(), std::move(order),
                                               std::move(pieces));
}

}  // namespace lattice::cpu
