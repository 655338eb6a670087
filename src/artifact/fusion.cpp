#include <algorithm>
#include <iterator>

#include "artifact/plan.h"

namespace lattice::artifact {
namespace {

bool contains(const std::vector<Slot>& slots, Slot slot) {
  return std::find(slots.begin(), slots.end(), slot) != slots.end();
}

bool meets(const std::vector<Slot>& a, const std::vector<Slot>& b) {
  return std::any_of(a.begin(), a.end(), [&](Slot slot) { return contains(b, slot); });
}

/// y = activation((sum + bias) * scale + shift + residual): a part fits where nothing behind it is taken yet.
bool fits(const FusedEpilogue& epilogue, const EpiloguePart& part) {
  const Epilogue& taken = epilogue.constant;
  const bool activates = taken.activation.kind != ActivationKind::none, sums = epilogue.residual != kNoSlot;
  if (std::holds_alternative<Activation>(part)) return !activates;
  if (std::holds_alternative<SumPart>(part)) return !activates && !sums;
  return std::holds_alternative<NormPart>(part) && !activates && !sums && !taken.scale.defined();
}

void append(FusedEpilogue& epilogue, const EpiloguePart& part) {
  if (const auto* norm = std::get_if<NormPart>(&part); norm != nullptr) {
    epilogue.constant.scale = norm->scale;
    epilogue.constant.shift = norm->shift;
  } else if (const auto* sum = std::get_if<SumPart>(&part); sum != nullptr) {
    epilogue.residual = sum->lhs == epilogue.result ? sum->rhs : sum->lhs;
  } else if (const auto* activation = std::get_if<Activation>(&part); activation != nullptr) {
    epilogue.constant.activation = *activation;
  }
}

/// Where both steps can run as one: at the first's place if the second needs nothing that is made in between, at the
/// second's if nothing in between needs the first; else -1.
ptrdiff_t common_place(const Plan& plan, size_t first, size_t second) {
  const Step &made = plan.steps[first], &reader = plan.steps[second];
  bool at_first = true, at_second = true;
  for (size_t i = first + 1; i < second; ++i) {
    const Step& between = plan.steps[i];
    at_first = at_first && !meets(between.tensor_writes, reader.tensor_reads) &&
               !meets(between.support_writes, reader.support_reads);
    at_second = at_second && !meets(made.support_writes, between.support_reads);
  }
  if (at_first) return static_cast<ptrdiff_t>(first);
  return at_second ? static_cast<ptrdiff_t>(second) : -1;
}

void extend(std::vector<Slot>& slots, const std::vector<Slot>& more) {
  slots.insert(slots.end(), more.begin(), more.end());
}

/// The step `first` with what `second` does; it then writes what the second wrote.
Step joined(Step first, const Step& second) {
  FusedEpilogue& epilogue = *first.epilogue;
  append(epilogue, second.part);
  extend(first.tensor_reads, second.tensor_reads);
  std::erase(first.tensor_reads, epilogue.result);
  epilogue.result = second.tensor_writes.front();
  first.tensor_writes = second.tensor_writes;
  extend(first.support_reads, second.support_reads);
  // What this very step writes is not to be there before.
  std::erase_if(first.support_reads, [&](Slot slot) { return contains(first.support_writes, slot); });
  first.fused.push_back(second.operation);
  first.weights = first.weights + second.weights;
  return first;
}

}  // namespace

ptrdiff_t only_reader(const Plan& plan, Slot tensor) {
  for (const OutputSlots& output : plan.outputs) {
    if (output.slots.tensor == tensor) return -1;
  }
  ptrdiff_t reader = -1;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto& reads = plan.steps[i].tensor_reads;
    const auto count = std::count(reads.begin(), reads.end(), tensor);
    if (count > 1 || (count == 1 && reader >= 0)) return -1;
    if (count == 1) reader = static_cast<ptrdiff_t>(i);
  }
  return reader;
}

void fuse(Plan& plan) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    while (plan.steps[i].epilogue != nullptr) {
      const FusedEpilogue& epilogue = *plan.steps[i].epilogue;
      const ptrdiff_t reader = only_reader(plan, epilogue.result);
      if (reader < 0 || !fits(epilogue, plan.steps[static_cast<size_t>(reader)].part)) break;
      const auto second = static_cast<size_t>(reader);
      const ptrdiff_t place = common_place(plan, i, second);
      if (place < 0) break;
      Step step = joined(std::move(plan.steps[i]), plan.steps[second]);
      plan.steps[static_cast<size_t>(place)] = std::move(step);
      // The other place goes. Where that is the first, step i is now the next one, and the joined step is met later.
      plan.steps.erase(plan.steps.begin() + (place == reader ? static_cast<ptrdiff_t>(i) : reader));
    }
  }
}

void find_lifetimes(Plan& plan) {
  std::vector<bool> tensor_kept(plan.tensors.size()), support_kept(plan.supports.size());
  for (const OutputSlots& output : plan.outputs) {
    tensor_kept[static_cast<size_t>(output.slots.tensor)] = true;
    if (output.slots.support != kNoSlot) support_kept[static_cast<size_t>(output.slots.support)] = true;
  }
  const auto note = [](std::vector<bool>& kept, const std::vector<Slot>& slots, std::vector<Slot>& drops) {
    for (const Slot slot : slots) {
      if (kept[static_cast<size_t>(slot)]) continue;
      kept[static_cast<size_t>(slot)] = true;
      drops.push_back(slot);
    }
  };
  // From the end: the first sight of a slot is its last use.
  for (auto step = plan.steps.rbegin(); step != plan.steps.rend(); ++step) {
    note(tensor_kept, step->tensor_reads, step->tensor_drops);
    note(tensor_kept, step->tensor_writes, step->tensor_drops);
    note(support_kept, step->support_reads, step->support_drops);
    note(support_kept, step->support_writes, step->support_drops);
  }
}

}  // namespace lattice::artifact
