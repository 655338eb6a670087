#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "artifact/attributes.h"
#include "artifact/plan.h"
#include "artifact/weights.h"
#include "lattice/conv_geometry.h"
#include "lattice/session.h"

namespace lattice::artifact {

/// Makes the plan of a verified graph, operation by operation: each one's function checks what is known before any run,
/// asks for the slots of its operands, makes those of its results and adds the step that fills them. What the step
/// reads and writes is noted on the way. Errors are corrupt_file (the graph contradicts itself or its weights),
/// unsupported or out_of_range.
class Planner {
 public:
  Planner(const Graph& graph, Weights weights);

  Plan plan() &&;

  const Operation& operation() const noexcept { return *operation_; }
  size_t operands() const noexcept { return operation_->operands.size(); }

  /// The slots of an operand, which the step will read. A support alone: a target, whose features are not.
  Slot dense(size_t operand);
  Slots sparse(size_t operand);
  Slot support_of(size_t operand);
  /// The operation that names a weight operand.
  const Operation& weight(size_t operand) const;
  Weights& weights() noexcept { return weights_; }

  const TensorFacts& facts(Slot tensor) const { return plan_.tensors[static_cast<size_t>(tensor)]; }
  const SupportFacts& support_facts(Slot support) const { return plan_.supports[static_cast<size_t>(support)]; }
  int64_t channels(const Slots& value) const { return facts(value.tensor).channels(); }
  DType dtype(const Slots& value) const { return facts(value.tensor).dtype; }
  const Triple& stride(const Slots& value) const { return support_facts(value.support).stride; }
  const std::optional<Triple>& extent(const Slots& value) const { return support_facts(value.support).extent; }

  /// New slots, which the step will write. A tensor without a row class gets one of its own.
  Slot make_tensor(DType dtype, Shape dims, int32_t row_class = kNewRows);
  Slot make_support(const Triple& stride, std::optional<Triple> extent = {}, int32_t row_class = kNewRows);
  /// Features (rows of the support, channels) on a support.
  Slots make_features(Slot support, DType dtype, int64_t channels);

  /// Says which slots a result is; compares them with the declared type.
  void define(size_t result, const Slots& slots);
  bool is_used(size_t result) const;

  /// Ends the step; `leave` does so where the results are there already.
  Step& add(Execute execute);
  void leave() { step_ = {}; }

  /// The support of an earlier sparse.make of the same rows, or kNoSlot.
  Slot made_support(Slot coords, Slot active, const Triple& stride) const;
  void remember_support(Slot coords, Slot active, const Triple& stride, Slot support);

  static constexpr int32_t kNewRows = -1;

 private:
  const Slots& slots_of(size_t operand) const;
  void bind(const Operation& operation);
  void declare(const Value& value, const Slots& slots);
  void bind_arguments();
  void bind_results();

  const Graph& graph_;
  Weights weights_;
  Plan plan_;
  std::vector<Slots> values_;                        // by ValueId
  std::vector<const Operation*> weight_operations_;  // by ValueId
  std::vector<int32_t> uses_;                        // by ValueId
  std::map<std::tuple<Slot, Slot, int64_t, int64_t, int64_t>, Slot> made_supports_;
  const Operation* operation_ = nullptr;
  Step step_;
  int32_t row_classes_ = 0;
};

/// "graph.mlir:12: %y = conv3d", which heads messages.
std::string title(const Graph& graph, const Operation& operation);

/// The planning function of an operation, from the one table that lists them.
using Bind = void (*)(Planner&);
Bind bind_of(std::string_view operation);

}  // namespace lattice::artifact
