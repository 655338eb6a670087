#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "artifact/graph.h"
#include "artifact/weights.h"
#include "lattice/conv_geometry.h"
#include "lattice/epilogue.h"
#include "lattice/model.h"
#include "lattice/relation.h"
#include "lattice/sparse_tensor.h"

// A graph as a list of steps over slots. A sparse value is two slots, its support and its features, so that decompose
// and with_features are no work at all: they only say which slots belong together.

namespace lattice::artifact {

/// Index of a tensor or of a support.
using Slot = int32_t;
inline constexpr Slot kNoSlot = -1;

/// The slots of a value; `support` is kNoSlot for a dense one.
struct Slots {
  Slot tensor = kNoSlot, support = kNoSlot;
};

/// What is known of a tensor before any run. Tensors whose row i belongs to row i of the same support, or of another
/// with the same rows, are of one row class.
struct TensorFacts {
  DType dtype = DType::f32;
  Shape dims;  // kAnySize where it is not known
  int32_t row_class = 0;
  int64_t channels() const { return dims.size() == 2 ? dims[1] : kAnySize; }
};

struct SupportFacts {
  Triple stride = 1;
  std::optional<Triple> extent;  // none where there is none, or only a run tells it
  int32_t row_class = 0;
};

/// The values of one run. Cut down step by step: what no later step reads is dropped.
struct Run {
  Session& session;
  PooledVector<Tensor> tensors;
  PooledVector<Support> supports;
  PooledVector<int64_t> capacities;  // of each support made by sparse.make: its rows with padding

  SparseTensor sparse(const Slots& slots) const {
    return {supports[static_cast<size_t>(slots.support)], tensors[static_cast<size_t>(slots.tensor)]};
  }
  Tensor& tensor(Slot slot) { return tensors[static_cast<size_t>(slot)]; }
  Support& support(Slot slot) { return supports[static_cast<size_t>(slot)]; }
  void store(const Slots& slots, const SparseTensor& value) {
    support(slots.support) = value.support();
    tensor(slots.tensor) = value.features();
  }
};

using Execute = std::function<void(Run&)>;

/// The columns of a concatenation that a step writes, instead of a tensor of its own.
struct Placement {
  Slot cat = kNoSlot;
  int64_t first = 0, total = 0;
};

/// The epilogue of a step that has one: what planning knows of it, where its residual is found, and where the result
/// goes. Fusion appends to it.
struct FusedEpilogue {
  Epilogue constant;
  Slot residual = kNoSlot;
  Slot result = kNoSlot;
  std::optional<Placement> placement;

  /// The slot whose tensor holds the result.
  Slot stored_in() const { return placement ? placement->cat : result; }
};

/// A concatenation of tensors of the same rows and type, whose channels are known.
struct Concatenation {
  struct Side {
    Slots value;
    int64_t first = 0;      // column
    bool in_place = false;  // written by its own step
  };
  std::array<Side, 2> sides;
  Slot result = kNoSlot;
  int64_t channels = 0;
};

/// What a step is when it follows a step with an epilogue: nothing that would fit, a frozen norm, an activation, or a
/// sum of two tensors of the same rows.
struct NormPart {
  Tensor scale, shift;
};
struct SumPart {
  Slot lhs, rhs;
};
using EpiloguePart = std::variant<std::monostate, NormPart, SumPart, Activation>;

/// From where a convolution or pooling gathers: the relation that it asks the session for.
struct Reach {
  RelationKind kind = RelationKind::pointwise;
  ConvGeometry geometry;
  Slots input;
  Slot target = kNoSlot;  // of the kinds that take one
};

struct Step {
  const Operation* operation = nullptr;
  Execute execute;
  std::vector<Slot> tensor_reads, support_reads, tensor_writes, support_writes;
  std::vector<Slot> tensor_drops, support_drops;  // not needed after this step
  std::shared_ptr<FusedEpilogue> epilogue;        // of steps that have one
  std::shared_ptr<Concatenation> cat;             // of those that can be written in place
  EpiloguePart part;                              // what this step would be in the epilogue of the one before
  std::vector<const Operation*> fused;            // operations that run within this step
  std::optional<Reach> reach;                     // of convolutions and poolings
  int64_t macs = 0;                               // multiplications an edge; of a linear layer, a row
  WeightSize weights;                             // a weight that several steps share counts at the first
};

/// A sparse or dense output, its slots, and the names of its parts where it is sparse.
struct OutputSlots {
  std::string name;
  Slots slots;
  std::string coords_name = name + ".coords", features_name = name + ".features", active_name = name + ".active";
};

struct Plan {
  std::vector<TensorFacts> tensors;
  std::vector<SupportFacts> supports;
  std::vector<Slot> arguments;  // of the entry function's arguments
  std::vector<OutputSlots> outputs;
  std::vector<Step> steps;
  WeightSize weights;
};

/// Moves norms, sums and activations into the epilogue of the step that makes their only operand.
void fuse(Plan& plan);
/// Lets steps with an epilogue write what only a concatenation reads straight into its columns; follows fuse().
void place_in_cats(Plan& plan);
/// Notes for every slot the last step that reads it.
void find_lifetimes(Plan& plan);

/// The one step that reads a tensor, and reads it once; -1 where there are others, or where it is an output.
ptrdiff_t only_reader(const Plan& plan, Slot tensor);

}  // namespace lattice::artifact
