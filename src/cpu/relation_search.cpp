#include "cpu/relation_search.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "cpu/relation_boxes.h"
#include "cpu/relation_corners.h"
#include "cpu/relation_mirror.h"
#include "cpu/relation_partition.h"
#include "cpu/relation_sort.h"

// How edges are found. A set is kept as blocks of 4x4x4 cells, one bit a cell, and tells in a few loads which blocks
// stand around a place (see coord_index.h). The outputs of a block read inputs from a box of few blocks, which one of
// two searches looks through, one for every machine (relation_boxes.h) and one for vectors (relation_corners.h).
// Kernels that reach further than the box are searched place by place instead. Those that part the inputs among the
// outputs need no search (relation_partition.h).

namespace lattice::cpu {
namespace {

using TileEdges = TiledRelation::TileEdges;

/// Calls enter(column) and search(group) for the columns and groups of the positions first .. last-1.
template <typename Enter, typename Search>
void for_groups(const CoordIndex& target, int64_t first, int64_t last, const Enter& enter, const Search& search) {
  const std::span<const int32_t> ranks = target.block_first();
  const SortedRows& rows = target.sorted();
  const std::span<const BlockColumn> columns = target.columns();
  const auto begins_after = [&](int64_t position, int32_t rank) { return position < rows.position(rank); };
  auto block =
      static_cast<size_t>(std::upper_bound(ranks.begin(), ranks.end(), first, begins_after) - ranks.begin()) - 1;
  const auto starts_after = [](size_t at, const BlockColumn& column) {
    return at < static_cast<size_t>(column.first_block);
  };
  auto column =
      static_cast<size_t>(std::upper_bound(columns.begin(), columns.end(), block, starts_after) - columns.begin()) - 1;
  for (; first < last; ++column) {
    enter(columns[column]);
    const auto next_column = static_cast<size_t>(columns[column + 1].first_block);
    for (; block < next_column && first < last; ++block) {
      const int64_t end = std::min(last, rows.position(ranks[block + 1]));
      search(OutputGroup{target.block_heights()[block], first, end});
      first = end;
    }
  }
}

/// The number that `value` times it leaves 1 when divided by `modulus`; they have no divisor in common.
int64_t inverse(int64_t value, int64_t modulus) noexcept {
  int64_t rest = modulus, next = value % modulus, factor = 0, next_factor = 1;
  while (next != 0) {
    const int64_t quotient = rest / next;
    rest = std::exchange(next, rest - quotient * next);
    factor = std::exchange(next_factor, factor - quotient * next_factor);
  }
  return factor < 0 ? factor + modulus : factor;
}

/// An axis of a rule whose inputs lie between two places: which taps can lead an output to one. Of a kernel far larger
/// than its source or its stride those are few.
class SearchedAxis {
 public:
  struct Taps {
    int64_t first, end, step;
  };

  SearchedAxis(bool divides, int64_t size, int64_t stride, int64_t shift, int64_t dilation, int32_t lowest_block,
               int32_t highest_block)
      : divides_(divides),
        size_(size),
        shift_(shift),
        dilation_(dilation),
        lowest_(int64_t{lowest_block} * Block::kSide),
        highest_(int64_t{highest_block} * Block::kSide + (Block::kSide - 1)),
        stride_(stride),
        divide_(stride),
        common_(divides ? std::gcd(stride, dilation) : 1),
        step_(divides ? stride / common_ : 1),
        inverse_(inverse(dilation / common_, step_)) {}

  Taps taps(int64_t output) const noexcept {
    const int64_t start = divides_ ? output + shift_ : output * stride_ + shift_;
    const int64_t nearest = divides_ ? start - highest_ * stride_ : lowest_ - start;
    const int64_t farthest = divides_ ? start - lowest_ * stride_ : highest_ - start;
    Taps taps = {.first = nearest <= 0 ? 0 : (nearest + dilation_ - 1) / dilation_,
                 .end = farthest < 0 ? 0 : std::min(size_, farthest / dilation_ + 1),
                 .step = step_};
    if (step_ == 1 && common_ == 1) return taps;
    // Those that divide: tap * dilation = start, but for multiples of the stride.
    const int64_t remainder = start - divide_.floor(start) * stride_;
    if (remainder % common_ != 0) return {.first = 0, .end = 0, .step = 1};
    const int64_t dividing = remainder / common_ * inverse_ % step_;
    taps.first += (dividing - taps.first % step_ + step_) % step_;
    return taps;
  }
  int64_t place(int64_t output, int64_t tap) const noexcept {
    return divides_ ? divide_.floor(output + shift_ - tap * dilation_) : output * stride_ + shift_ + tap * dilation_;
  }

 private:
  bool divides_;
  int64_t size_, shift_, dilation_, lowest_, highest_, stride_;
  Divider divide_;
  int64_t common_, step_, inverse_;
};

/// Edges of any kernel, output by output: a look-up for each kernel column, then a walk over its blocks.
class PlaceSearch {
 public:
  /// `bounds`: of the source's columns.
  PlaceSearch(const TapRule& rule, const CoordIndex& source, const CoordBounds& bounds, const CoordIndex& target)
      : rule_(rule),
        source_(source),
        lookup_(source.lookup()),
        cells_(target.sorted().cells),
        x_(rule.divides, rule.size.x, rule.stride.x, rule.shift.x, rule.dilation.x, bounds.low.x, bounds.high.x),
        y_(rule.divides, rule.size.y, rule.stride.y, rule.shift.y, rule.dilation.y, bounds.low.y, bounds.high.y),
        divide_z_(rule.stride.z) {}

  void enter_column(const BlockColumn& column) noexcept { column_ = column; }
  void search(const OutputGroup& group, int64_t tile_first, EdgeSink& sink) const {
    for (int64_t position = group.first; position < group.last; ++position) {
      const unsigned cell = cells_[static_cast<size_t>(position)];
      const int64_t slot = position - tile_first;
      const Triple output = {int64_t{column_.x} * Block::kSide + (cell >> 4),
                             int64_t{column_.y} * Block::kSide + (cell >> 2 & 3), group.z * Block::kSide + (cell & 3)};
      const SearchedAxis::Taps x_taps = x_.taps(output.x), y_taps = y_.taps(output.y);
      for (int64_t ix = x_taps.first; ix < x_taps.end; ix += x_taps.step) {
        const int64_t x = x_.place(output.x, ix);
        for (int64_t iy = y_taps.first; iy < y_taps.end; iy += y_taps.step) {
          const int64_t y = y_.place(output.y, iy);
          const auto column = static_cast<size_t>(lookup_.column_at(column_.batch, Block::of(x), Block::of(y)));
          if (column + 1 == source_.columns().size()) continue;
          search_column(column, x, y, output.z, (ix * rule_.size.y + iy) * rule_.size.z, slot, sink);
        }
      }
    }
  }

  void end_tile(EdgeSink&) const noexcept {}

 private:
  void search_column(size_t column, int64_t x, int64_t y, int64_t output_z, int64_t first_tap, int64_t slot,
                     EdgeSink& sink) const {
    const int64_t reach = (rule_.size.z - 1) * rule_.dilation.z;
    const int64_t first = rule_.divides ? output_z + rule_.shift.z - reach : output_z * rule_.stride.z + rule_.shift.z;
    const int64_t lowest = rule_.divides ? divide_z_.floor(first) : first;
    const int64_t highest = rule_.divides ? divide_z_.floor(first + reach) : first + reach;
    const auto heights = source_.block_heights().begin();
    const auto begin = heights + source_.columns()[column].first_block;
    const auto end = heights + source_.columns()[column + 1].first_block;
    for (auto at = std::lower_bound(begin, end, Block::of(lowest)); at != end && *at <= Block::of(highest); ++at) {
      const Block block = source_.block(static_cast<size_t>(at - heights));
      for (int cell = Block::cell(x, y, 0), last = cell + Block::kSide; cell < last; ++cell) {
        if (!block.holds(cell)) continue;
        const int64_t z = int64_t{block.z} * Block::kSide + cell % Block::kSide;
        // How far tap 0 is, in steps of the finer lattice.
        const int64_t distance = rule_.divides ? output_z + rule_.shift.z - z * rule_.stride.z : z - first;
        if (distance < 0 || distance > reach || distance % rule_.dilation.z != 0) continue;
        sink.add(static_cast<int32_t>(first_tap + distance / rule_.dilation.z), slot, block.rank(cell));
      }
    }
  }

  TapRule rule_;
  const CoordIndex& source_;
  const BlockLookup& lookup_;
  std::span<const uint8_t> cells_;
  SearchedAxis x_, y_;
  Divider divide_z_;
  BlockColumn column_ = {};  // of output blocks, at hand
};

template <typename MakeSearch>
PooledVector<TileEdges> search_tiles(const MakeSearch& make_search, const CoordIndex& source, const CoordIndex& target,
                                     int64_t taps, bool all_copies, std::span<const int32_t> first_rows,
                                     Workers& workers) {
  const auto rows = static_cast<int64_t>(target.rows());
  PooledVector<TileEdges> tiles = tiles_for(rows);
  workers.for_each(static_cast<int64_t>(tiles.size()), [&](int64_t index) {
    auto search = make_search();
    static thread_local TileWriter::Scratch scratch;
    TileWriter writer(taps, first_rows, scratch);
    EdgeSink sink(source, all_copies, writer);
    const int64_t first = index * kTileRows, last = std::min(rows, first + kTileRows);
    for_groups(
        target, first, last, [&](const BlockColumn& column) { search.enter_column(column); },
        [&](const OutputGroup& group) { search.search(group, first, sink); });
    search.end_tile(sink);
    tiles[static_cast<size_t>(index)] = writer.take(last - first);
  });
  return tiles;
}

/// Two tasks, on two threads if they are `long_enough` for it.
template <typename First, typename Second>
void at_once(bool long_enough, const First& first, const Second& second, Workers& workers) {
  if (long_enough) return workers.both(first, second);
  first();
  second();
}

}  // namespace

PooledVector<TileEdges> search_edges(const TapRule& rule, const CoordSet& source, const CoordSet& target,
                                     bool all_copies, const Kernels& kernels, Workers& workers) {
  const CoordIndex& inputs = source.index();
  const CoordIndex& outputs = target.index();
  const int64_t taps = rule.size.x * rule.size.y * rule.size.z;
  const bool on_itself = &source == &target && !inputs.has_duplicates();
  const auto with = [&](const auto& make_search) {
    return search_tiles(make_search, inputs, outputs, taps, all_copies, inputs.sorted().first_rows(), workers);
  };
  if (!inputs.has_duplicates() && !outputs.has_duplicates() && is_worth_sorting(source.rows(), target.rows(), taps)) {
    const std::optional<Partition> partition = Partition::make(rule);
    if (partition) {
      constexpr int64_t kLeastRows = 16384;  // no other task follows that needs the threads awake
      // The caller needs the outputs' order.
      at_once(
          target.rows() >= kLeastRows, [&] { outputs.sorted(); }, [&] { outputs.lookup(); }, workers);
      if (outputs.lookup().lists_heights()) return partition->edges(inputs, outputs, workers);
    }
  }
  constexpr int64_t kLeastRows = 8192;
  at_once(
      source.rows() >= kLeastRows, [&] { outputs.sorted(); },
      [&] {
        inputs.lookup();
        if (&inputs != &outputs) inputs.sorted();
      },
      workers);
  const auto search = [&](const Stencil& stencil, const auto& run) {
    if (kernels.edges.finds() && !(all_copies && inputs.has_duplicates())) {
      if (const auto corners = CornerTable::make(stencil)) {
        const CornerSource cells(inputs);
        return run([&] { return CornerSearch(*corners, kernels.edges.find, cells, outputs); });
      }
    }
    const BoxTable table(stencil);
    const BoxSource boxes(inputs, workers);
    using NearBox = NarrowBox<3, 10, 3, 3>;
    using HalfBox = NarrowBox<0, 4, 3, 3>;
    using CoarserBox = NarrowBox<0, 7, 2, 0>;
    if (NearBox::fits(table)) return run([&] { return BoxSearch<NearBox>(table, boxes, outputs); });
    if (HalfBox::fits(table)) return run([&] { return BoxSearch<HalfBox>(table, boxes, outputs); });
    if (CoarserBox::fits(table)) return run([&] { return BoxSearch<CoarserBox>(table, boxes, outputs); });
    return run([&] { return BoxSearch<WideBox>(table, boxes, outputs); });
  };
  const auto search_places = [&] {
    const std::span<const BlockColumn> columns = inputs.columns();
    const CoordBounds bounds = CoordBounds::of_columns(columns.first(columns.size() - 1));  // the last is the end
    return with([&] { return PlaceSearch(rule, inputs, bounds, outputs); });
  };
  if (!inputs.lookup().lists_heights()) return search_places();
  if (on_itself && is_worth_sorting(source.rows(), target.rows(), taps)) {
    if (const auto half = Stencil::make(rule, Stencil::Taps::behind_own)) {
      return search(*half, [&](const auto& make_search) {
        return with_mirrored(search_tiles(make_search, inputs, outputs, taps, false, {}, workers),
                             inputs.sorted().order, taps, kernels.edges, workers);
      });
    }
  }
  const std::optional<Stencil> stencil =
      Stencil::make(rule, on_itself ? Stencil::Taps::all_but_own : Stencil::Taps::all);
  if (!stencil) return search_places();
  return search(*stencil, with);
}

}  // namespace lattice::cpu
