#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "artifact/graph.h"
#include "lattice/conv_weight.h"

namespace lattice::artifact {

/// Weights by count, and by the bytes that they take as stored.
struct WeightSize {
  int64_t parameters = 0, bytes = 0;
  WeightSize operator+(const WeightSize& more) const { return {parameters + more.parameters, bytes + more.bytes}; }
  WeightSize operator-(const WeightSize& less) const { return {parameters - less.parameters, bytes - less.bytes}; }
};

/// The stored tensor of a key, in memory of its own; nothing where there is none.
using StoredTensors = std::function<std::optional<Tensor>(const std::string& key)>;

/// The weights of a graph, bound to their stored tensors by the rules of the format. Everything throws corrupt_file,
/// naming the key, what was found and what is asked for.
class Weights {
 public:
  explicit Weights(StoredTensors stored) : stored_(std::move(stored)) {}

  /// Every key that a `weight` operation stands for is there.
  void check_present(const Operation& weight) const;

  /// A convolution's weight for a kernel. `in_channels`: those of the features, kAnySize where they are not known: a
  /// packed weight then takes all channels that it stores.
  ConvWeight convolution(const Operation& weight, const Triple& kernel_size, DType features, int64_t in_channels);
  ConvWeight linear(const Operation& weight, DType features, int64_t in_channels);
  /// (C), for `channels` or any number of them.
  Tensor vector(const Operation& weight, DType dtype, int64_t channels) const;
  /// (N, C) f32.
  Tensor table(const Operation& weight) const;

  static bool is_packed(const Operation& weight);

  /// Of what was bound so far; what several operations use alike counts once.
  const WeightSize& size() const noexcept { return size_; }

 private:
  Tensor stored(const std::string& key) const;
  Tensor dense(const Operation& weight, DType dtype, std::string_view shape_rule, size_t rank) const;
  QuantizedWeight packed(const Operation& weight, const Triple& kernel_size, int64_t in_channels) const;
  ConvWeight shared(const Operation& weight, const Triple& kernel_size, DType features, int64_t in_channels,
                    const std::function<ConvWeight()>& make);

  StoredTensors stored_;
  // Two operations that use one weight alike share its panels.
  using Use = std::tuple<const Operation*, int64_t, int64_t, int64_t, DType, int64_t>;
  std::map<Use, ConvWeight> made_;
  mutable WeightSize size_;
};

}  // namespace lattice::artifact
