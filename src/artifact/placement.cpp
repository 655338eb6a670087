#include <algorithm>

#include "artifact/plan.h"

namespace lattice::artifact {
namespace {

/// The step whose epilogue stores a tensor that `cat`, a step before which it stands, alone reads; -1 where there is
/// none.
ptrdiff_t writer(const Plan& plan, Slot tensor, size_t cat) {
  if (only_reader(plan, tensor) != static_cast<ptrdiff_t>(cat)) return -1;
  // Rows that are declared are checked when the step is done, on a tensor of its own.
  if (plan.tensors[static_cast<size_t>(tensor)].dims.front() != kAnySize) return -1;
  for (size_t i = 0; i < cat; ++i) {
    const auto& epilogue = plan.steps[i].epilogue;
    if (epilogue != nullptr && epilogue->result == tensor) return static_cast<ptrdiff_t>(i);
  }
  return -1;
}

/// Whether all that is made between two steps has rows of the class. The columns of both sides are held from the first
/// one's writer on: over the levels of a network below a skip connection, that were more memory than a copy takes.
bool stays_on(const Plan& plan, int32_t row_class, ptrdiff_t first, ptrdiff_t last) {
  return std::all_of(plan.steps.begin() + first, plan.steps.begin() + last, [&](const Step& step) {
    return std::all_of(step.tensor_writes.begin(), step.tensor_writes.end(),
                       [&](Slot slot) { return plan.tensors[static_cast<size_t>(slot)].row_class == row_class; });
  });
}

}  // namespace

void place_in_cats(Plan& plan) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    if (plan.steps[i].cat == nullptr) continue;
    Concatenation& cat = *plan.steps[i].cat;
    std::array<ptrdiff_t, 2> writers = {writer(plan, cat.sides[0].value.tensor, i),
                                        writer(plan, cat.sides[1].value.tensor, i)};
    const auto [earlier, later] = std::minmax(writers[0], writers[1]);
    const int32_t row_class = plan.tensors[static_cast<size_t>(cat.result)].row_class;
    const bool both = earlier >= 0 && stays_on(plan, row_class, earlier, later);
    for (size_t side = 0; side < writers.size(); ++side) {
      if (writers[side] < 0 || (!both && writers[side] != later)) continue;
      cat.sides[side].in_place = true;
      plan.steps[static_cast<size_t>(writers[side])].epilogue->placement = {
          .cat = cat.result, .first = cat.sides[side].first, .total = cat.channels};
    }
  }
}

}  // namespace lattice::artifact
