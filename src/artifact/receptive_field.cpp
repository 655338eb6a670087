#include "artifact/receptive_field.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "artifact/attributes.h"

namespace lattice::artifact {
namespace {

constexpr int64_t kLongestPeriod = 256;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Places low..high relative to a row's own, in steps of the input lattice; none where low > high.
struct Range {
  double low = kInfinity, high = -kInfinity;

  void add(const Range& other, double shift = 0) {
    low = std::min(low, other.low + shift);
    high = std::max(high, other.high + shift);
  }
  double width() const { return low > high ? 0 : high - low + 1; }
};

/// What a tensor's rows see on one axis, by their own place modulo the period.
using Ranges = std::vector<Range>;

int64_t modulo(int64_t value, int64_t period) {
  return (value % period + period) % period;
}

/// The receptive fields on one axis.
class AxisFields {
 public:
  AxisFields(const Plan& plan, int64_t Triple::*axis)
      : plan_(plan), axis_(axis), period_(common_period()), fields_(plan.tensors.size()) {
    for (const Slot slot : plan.arguments) at(slot).assign(static_cast<size_t>(period_), Range{0, 0});
    for (const Step& step : plan.steps) {
      const Ranges seen = seen_by(step);
      for (const Slot slot : step.tensor_writes) at(slot) = seen;
    }
  }

  double width(Slot slot) const {
    double widest = 0;
    for (const Range& range : fields_[static_cast<size_t>(slot)]) widest = std::max(widest, range.width());
    return widest;
  }

 private:
  /// A multiple of every stride, or 1.
  int64_t common_period() const {
    int64_t period = 1;
    for (const SupportFacts& support : plan_.supports) {
      if (support.stride.*axis_ > kLongestPeriod) return 1;
      period = std::lcm(period, support.stride.*axis_);
      if (period > kLongestPeriod) return 1;
    }
    return period;
  }

  Ranges& at(Slot slot) { return fields_[static_cast<size_t>(slot)]; }
  int64_t stride(Slot support) const { return plan_.supports[static_cast<size_t>(support)].stride.*axis_; }

  Ranges seen_by(const Step& step) {
    Ranges seen(static_cast<size_t>(period_));
    if (step.operation->name == "global_pool") {
      for (Range& range : seen) range = {-kInfinity, kInfinity};
    } else if (step.reach) {
      gather(*step.reach, seen);
      if (step.epilogue != nullptr && step.epilogue->residual != kNoSlot) add(seen, at(step.epilogue->residual));
    } else {
      for (const Slot slot : step.tensor_reads) add(seen, at(slot));
      if (interpolates(*step.operation)) widen(seen, stride(step.support_reads.front()));
    }
    return seen;
  }

  static void add(Ranges& seen, const Ranges& others) {
    for (size_t place = 0; place < seen.size(); ++place) seen[place].add(others[place]);
  }

  static bool interpolates(const Operation& operation) {
    return operation.name == "devoxelize" && attribute<Keyword>(operation, "interpolation").value == "linear";
  }

  /// A point between voxels reads those on either side of it.
  static void widen(Ranges& seen, int64_t stride) {
    const Ranges own = seen;
    for (size_t place = 0; place < seen.size(); ++place) {
      seen[place].add(own[(place + static_cast<size_t>(stride)) % own.size()], static_cast<double>(stride));
    }
  }

  /// What outputs see through the taps of a kernel: forward input = output * stride + offset - padding, transposed the
  /// other way round.
  void gather(const Reach& reach, Ranges& seen) {
    const ConvGeometry& geometry = reach.geometry;
    const bool transposes = reach.kind == RelationKind::transposed || reach.kind == RelationKind::generative ||
                            reach.kind == RelationKind::target_transposed;
    const bool centers = !transposes && reach.kind != RelationKind::regular;
    const int64_t size = geometry.kernel_size().*axis_, coarse = stride(reach.input.support);
    const int64_t by = geometry.stride().*axis_, own = transposes ? coarse / by : coarse * by;
    const int64_t step = transposes ? -own : coarse;  // from one place of the finer lattice to the next
    const int64_t first = centers && size % 2 != 0 ? size / 2 : 0;
    const Ranges& input = at(reach.input.tensor);
    for (int64_t place = 0; place < period_; place += own) {
      for (int64_t tap = 0; tap < size; ++tap) {
        // Taps a period apart see the same relative places, so that only the outermost ones count.
        if (tap == period_) tap = std::max(tap, size - period_);
        const int64_t offset = (tap - first) * (geometry.dilation().*axis_) - geometry.padding().*axis_;
        const int64_t from = modulo(place + modulo(offset, period_) * modulo(step, period_), period_);
        // A transposed kernel reaches a row only from where there are coarse ones.
        if (period_ % coarse == 0 && from % coarse != 0) continue;
        seen[static_cast<size_t>(place)].add(input[static_cast<size_t>(from)],
                                             static_cast<double>(offset) * static_cast<double>(step));
      }
    }
  }

  const Plan& plan_;
  int64_t Triple::*axis_;
  int64_t period_;
  std::vector<Ranges> fields_;
};

}  // namespace

std::vector<ReceptiveField> receptive_fields(const Plan& plan) {
  const AxisFields axes[] = {{plan, &Triple::x}, {plan, &Triple::y}, {plan, &Triple::z}};
  std::vector<ReceptiveField> result(plan.tensors.size());
  for (size_t slot = 0; slot < result.size(); ++slot) {
    for (size_t axis = 0; axis < result[slot].size(); ++axis) {
      result[slot][axis] = axes[axis].width(static_cast<Slot>(slot));
    }
  }
  return result;
}

}  // namespace lattice::artifact
