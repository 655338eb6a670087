#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lattice/conv_geometry.h"
#include "lattice/coords.h"

namespace lattice {

/// How output coordinates and edges follow from input coordinates; the rules are in docs/semantics.md.
enum class RelationKind : uint8_t {
  submanifold,        ///< outputs are the input's own rows
  forward,            ///< outputs floor(c / stride), or the input's rows at stride 1 and padding 0
  regular,            ///< outputs are all sites that some tap reaches (spconv's SparseConv3d)
  target,             ///< outputs are an explicit support
  transposed,         ///< all sites input*stride + offset - padding, merged; row i*K + k where no two taps can meet
  generative,         ///< the same without merging: row i*K + k
  target_transposed,  ///< the transposed edges onto an explicit support
  pointwise,          ///< row i to row i
};

std::string_view name(RelationKind kind) noexcept;

/// Edges as arrays, ordered by output row, then tap, then input row. `output_begin` has output_rows + 1 entries: the
/// edges of output o are output_begin[o] .. output_begin[o + 1] - 1.
struct EdgeList {
  std::vector<int32_t> input_row, output_row, tap;
  std::vector<int64_t> output_begin;
};

/// Which input row meets which output row through which tap (kernel row). Built once by a backend, directly in the
/// form that it executes, and reused for every layer on the same coordinate sets. Immutable; any thread may read it.
class Relation {
 public:
  virtual ~Relation() = default;

  RelationKind kind() const noexcept { return kind_; }
  int64_t input_rows() const noexcept { return input_rows_; }
  int64_t output_rows() const noexcept { return output_rows_; }
  int64_t taps() const noexcept { return taps_; }
  /// Number of edges; may exceed 2^31.
  virtual int64_t edges() const = 0;
  /// A copy of the edges in the order of EdgeList.
  virtual EdgeList edge_list() const = 0;
  /// Memory that the relation holds, in bytes.
  virtual int64_t nbytes() const = 0;

 protected:
  Relation(RelationKind kind, int64_t input_rows, int64_t output_rows, int64_t taps)
      : kind_(kind), input_rows_(input_rows), output_rows_(output_rows), taps_(taps) {}

 private:
  RelationKind kind_;
  int64_t input_rows_, output_rows_, taps_;
};

}  // namespace lattice
