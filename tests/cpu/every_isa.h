#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "cpu/forced_isa.h"
#include "cpu/kernel_models/kernel_models.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/select.h"
#include "lattice/random.h"

// What the tests of kernels share: each runs on every instruction set of the machine, and on every model of one.

namespace lattice::cpu {
namespace {

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const auto isa : available_isas()) names.emplace_back(isa);
  return names;
}

std::vector<std::string> models() {
  std::vector<std::string> names;
  for (const Kernels* model : kernel_models()) names.emplace_back(model->isa);
  return names;
}

const Kernels& kernels_named(const std::string& isa) {
  for (const Kernels* model : kernel_models()) {
    if (model->isa == isa) return *model;
  }
  const ForcedIsa forced(isa);
  return select_kernels().kernels;
}

std::vector<std::string> with_bf16(std::vector<std::string> names) {
  std::erase_if(names, [](const std::string& isa) { return !kernels_named(isa).bf16.exists(); });
  return names;
}

class EveryIsa : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return kernels_named(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Models, EveryIsa, testing::ValuesIn(models()), [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsa, testing::ValuesIn(isas()), [](const auto& isa) { return isa.param; });

class EveryIsaWithBf16 : public EveryIsa {};

INSTANTIATE_TEST_SUITE_P(Models, EveryIsaWithBf16, testing::ValuesIn(with_bf16(models())),
                         [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsaWithBf16, testing::ValuesIn(with_bf16(isas())),
                         [](const auto& isa) { return isa.param; });

/// Memory at the boundary of a line.
template <typename T>
struct AtLine {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* block, size_t) noexcept { ::operator delete(block, kLine); }
  bool operator==(const AtLine&) const noexcept { return true; }
};
using LineVector = std::vector<float, AtLine<float>>;

/// A copy of values that end where a page does: who reads behind them is stopped.
template <typename T>
class AtPageEnd {
 public:
  explicit AtPageEnd(const std::vector<T>& values) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = values.size() * sizeof(T);
    const size_t readable = (bytes + page - 1) / page * page;
    size_ = readable + page;
    block_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block_ == MAP_FAILED) std::abort();
    auto* const behind = static_cast<std::byte*>(block_) + readable;
    if (mprotect(behind, page, PROT_NONE) != 0) std::abort();
    values_ = reinterpret_cast<T*>(behind - bytes);
    std::copy(values.begin(), values.end(), values_);
  }
  AtPageEnd(const AtPageEnd&) = delete;
  AtPageEnd& operator=(const AtPageEnd&) = delete;
  ~AtPageEnd() { munmap(block_, size_); }

  const T* data() const { return values_; }

 private:
  void* block_;
  size_t size_;
  T* values_;
};

/// Edges of one tap with distinct slots, and what their kernels add to.
struct RandomEdges {
  std::vector<int32_t> input;
  std::vector<uint16_t> slot;
  std::vector<float> sums;
  int64_t width, outputs, stride;
  std::shared_ptr<const AtPageEnd<int32_t>> shown_input = {};
  std::shared_ptr<const AtPageEnd<uint16_t>> shown_slot = {};

  RandomEdges(Random& random, int64_t count, int64_t rows, int64_t columns)
      : width(columns), outputs(columns), stride(columns + 4) {
    for (int64_t e = 0; e < count; ++e) {
      input.push_back(static_cast<int32_t>(random.next() % static_cast<uint64_t>(rows)));
      slot.push_back(static_cast<uint16_t>(count - 1 - e));
    }
    for (int64_t i = 0; i < count * stride; ++i) sums.push_back(static_cast<float>(random.next() % 16));
  }
  /// There until the next view; a few edges of another product follow.
  TapEdges view() {
    const auto count = static_cast<int64_t>(input.size()), following = count % 11;
    const auto shown = [&]<typename T>(std::vector<T> values) {
      for (int64_t i = 0; i < following; ++i) values.push_back(values[static_cast<size_t>(i)]);
      return std::make_shared<const AtPageEnd<T>>(values);
    };
    shown_input = shown(input);
    shown_slot = shown(slot);
    return {.input = shown_input->data(),
            .slot = shown_slot->data(),
            .count = count,
            .width = width,
            .outputs = outputs,
            .sums = sums.data(),
            .sums_stride = stride,
            .following = following};
  }
  float& sum(int64_t edge, int64_t column) {
    return sums[static_cast<size_t>(slot[static_cast<size_t>(edge)] * stride + column)];
  }
};

constexpr int64_t kMostRows = 2 * 12 + 1;  // two blocks of the largest kernel, and one row more

}  // namespace
}  // namespace lattice::cpu
