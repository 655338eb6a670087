#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "fail.h"
#include "lattice/nn.h"
#include "nn/initial_weight.h"
#include "ops/checks.h"
#include "weight_rules.h"

namespace lattice {
namespace {

Tensor drawn_weight(std::string_view operation, const LinearOptions& options) {
  check_layer(operation, {options.in_channels, options.out_channels, options.dtype});
  return initial_weight({options.out_channels, options.in_channels}, options.in_channels, options.dtype, options.seed);
}

QuantizedWeight drawn_weight(std::string_view operation, const LinearOptions& options, const PackingOptions& packing) {
  check_packing(packing, operation);
  return QuantizedWeight::pack(drawn_weight(operation, options), packing);
}

/// A vector of one value, for a norm that starts as the identity.
Tensor constant(std::string_view operation, int64_t channels, float value) {
  check_channel_count(operation, "channels", channels);
  return Tensor::from(std::vector<float>(static_cast<size_t>(channels), value), {channels});
}

/// A norm's vectors are as long as its first one, which has at least one value.
void check_vectors(std::string_view operation,
                   std::initializer_list<std::pair<std::string_view, const Tensor*>> vectors) {
  const int64_t channels = std::max<int64_t>(1, vectors.begin()->second->elements());
  for (const auto& [parameter, vector] : vectors) check_vector(operation, parameter, *vector, channels);
}

}  // namespace

Linear::Linear(const LinearOptions& options)
    : Linear("linear", ConvWeight(drawn_weight("linear", options)), initial_bias("linear", options)) {}

Linear::Linear(Tensor weight, Tensor bias)
    : Linear("linear", given_weight("linear", std::move(weight)), std::move(bias)) {}

Linear::Linear(std::string_view operation, ConvWeight weight, Tensor bias)
    : weight_(std::move(weight)), bias_(std::move(bias)) {
  if (weight_.kernel_size() != Triple(1)) {
    fail(ErrorCode::invalid_argument, "{}: the weight's kernel_size {} must be 1 on every axis; use conv3d for kernels",
         operation, to_string(weight_.kernel_size()));
  }
  if (bias_.defined()) check_vector(operation, "bias", bias_, weight_.out_channels());
}

Tensor Linear::operator()(Session& session, const Tensor& x) const {
  Epilogue epilogue;
  epilogue.bias = bias_;
  return linear(session, x, weight_, epilogue);
}

SparseTensor Linear::operator()(Session& session, const SparseTensor& x) const {
  return x.with_features((*this)(session, x.features()));
}

QuantizedLinear::QuantizedLinear(const LinearOptions& options, const PackingOptions& packing)
    : QuantizedLinear(drawn_weight("quantized_linear", options, packing), initial_bias("quantized_linear", options)) {}

QuantizedLinear::QuantizedLinear(QuantizedWeight weight, Tensor bias)
    : Linear("quantized_linear", ConvWeight(std::move(weight)), std::move(bias)) {}

QuantizedLinear QuantizedLinear::from_linear(const Linear& source, std::optional<int64_t> group_size, int64_t bits) {
  const PackingOptions packing = {.bits = bits, .group_size = group_size};
  check_packing(packing, "quantized_linear");
  if (source.weight().is_packed()) {
    fail(
        ErrorCode::invalid_argument,
        "quantized_linear: the source has packed weights of {} bits already; call from_linear with the floating module",
        source.weight().packed().bits());
  }
  return QuantizedLinear(QuantizedWeight::pack(source.weight().dense(), packing), source.bias());
}

BatchNorm::BatchNorm(Tensor scale, Tensor shift, Tensor mean, Tensor variance, float eps)
    : scale_(std::move(scale)),
      shift_(std::move(shift)),
      mean_(std::move(mean)),
      variance_(std::move(variance)),
      eps_(eps) {
  check_vectors("batch_norm", {{"scale", &scale_}, {"shift", &shift_}, {"mean", &mean_}, {"variance", &variance_}});
  check_eps("batch_norm", eps_);
}

BatchNorm::BatchNorm(int64_t channels, float eps)
    : BatchNorm(constant("batch_norm", channels, 1), constant("batch_norm", channels, 0),
                constant("batch_norm", channels, 0), constant("batch_norm", channels, 1), eps) {}

SparseTensor BatchNorm::operator()(Session& session, const SparseTensor& x) const {
  return x.with_features(batch_norm(session, x.features(), scale_, shift_, mean_, variance_, eps_));
}

LayerNorm::LayerNorm(Tensor scale, Tensor shift, float eps)
    : scale_(std::move(scale)), shift_(std::move(shift)), eps_(eps) {
  check_vectors("layer_norm", {{"scale", &scale_}, {"shift", &shift_}});
  check_eps("layer_norm", eps_);
}

LayerNorm::LayerNorm(int64_t channels, float eps)
    : LayerNorm(constant("layer_norm", channels, 1), constant("layer_norm", channels, 0), eps) {}

SparseTensor LayerNorm::operator()(Session& session, const SparseTensor& x) const {
  return x.with_features(layer_norm(session, x.features(), scale_, shift_, eps_));
}

SparseTensor ActivationModule::operator()(Session& session, const SparseTensor& x) const {
  return x.with_features(activate(session, x.features(), activation_));
}

}  // namespace lattice
