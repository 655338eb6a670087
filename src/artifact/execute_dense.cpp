#include "artifact/execute.h"
#include "lattice/feature.h"
#include "lattice/voxelize.h"

namespace lattice::artifact {
namespace {

constexpr std::pair<std::string_view, ElementwiseKind> kElementwise[] = {{"exp", ElementwiseKind::exp},
                                                                         {"round", ElementwiseKind::round}};
constexpr std::pair<std::string_view, ActivationKind> kActivations[] = {
    {"relu", ActivationKind::relu},        {"sigmoid", ActivationKind::sigmoid},       {"gelu", ActivationKind::gelu},
    {"silu", ActivationKind::silu},        {"leaky_relu", ActivationKind::leaky_relu}, {"tanh", ActivationKind::tanh},
    {"softplus", ActivationKind::softplus}};
constexpr std::pair<std::string_view, ActivationKind> kGeluForms[] = {{"none", ActivationKind::gelu},
                                                                      {"precise", ActivationKind::gelu},
                                                                      {"tanh", ActivationKind::gelu_tanh},
                                                                      {"fast", ActivationKind::gelu_fast}};

Activation activation_of(const Operation& operation) {
  Activation activation = {.kind = keyword(operation, "kind", kActivations),
                           .alpha = attribute<float>(operation, "alpha"),
                           .beta = attribute<float>(operation, "beta"),
                           .threshold = attribute<float>(operation, "threshold")};
  const auto gelu_form = keyword(operation, "approximate", kGeluForms);
  if (activation.kind == ActivationKind::gelu) activation.kind = gelu_form;
  return activation;
}

/// A step from the rows of operand 0 to rows of the same kind and, unless said otherwise, as many channels.
template <typename Compute>
Step& add_rowwise(Planner& planner, Slot input, const Compute& compute) {
  const TensorFacts facts = planner.facts(input);
  check_sparse_type(facts.dtype);
  const Slot result = planner.make_tensor(facts.dtype, facts.dims, facts.row_class);
  planner.define(0, {result, kNoSlot});
  return planner.add([=](Run& run) { run.tensor(result) = compute(run, run.tensor(input)); });
}

Tensor vector(Planner& planner, size_t operand, Slot input) {
  const TensorFacts& facts = planner.facts(input);
  return planner.weights().vector(planner.weight(operand), facts.dtype, facts.channels());
}

/// Row numbers of a table of `rows` rows; those below 0 count from its end.
PooledVector<int32_t> wrapped(const Tensor& indices, int64_t rows) {
  const auto values = indices.values<int32_t>();
  PooledVector<int32_t> result(values.begin(), values.end());
  for (size_t i = 0; i < result.size(); ++i) {
    if (result[i] < 0) result[i] = static_cast<int32_t>(result[i] + rows);
    if (result[i] < 0 || result[i] >= rows) {
      fail(ErrorCode::out_of_range, "index {} at {} must be at least {} and below {}, the rows of the table", values[i],
           i, -rows, rows);
    }
  }
  return result;
}

}  // namespace

void bind_linear(Planner& planner) {
  const Slot input = planner.dense(0);
  const TensorFacts facts = planner.facts(input);
  check_sparse_type(facts.dtype);
  const int64_t channels = facts.channels();
  const ConvWeight weight = planner.weights().linear(planner.weight(1), facts.dtype, channels);
  const bool open = weight.is_packed() && channels == kAnySize;
  auto epilogue = std::make_shared<FusedEpilogue>();
  if (planner.operands() > 2) {
    epilogue->constant.bias = planner.weights().vector(planner.weight(2), facts.dtype, weight.out_channels());
  }
  epilogue->result = planner.make_tensor(facts.dtype, {facts.dims.at(0), weight.out_channels()}, facts.row_class);
  planner.define(0, {epilogue->result, kNoSlot});
  Step& step = planner.add([=](Run& run) {
    const Tensor& given = run.tensor(input);
    const bool extend = open && given.size(1) < weight.in_channels();
    const Tensor x = extend ? zero_extended(given, weight.in_channels()) : given;
    run.tensor(epilogue->stored_in()) =
        with_epilogue(run, *epilogue, [&](const Epilogue& e) { return linear(run.session, x, weight, e); });
  });
  step.epilogue = std::move(epilogue);
  step.macs = weight.in_channels() * weight.out_channels();
}

void bind_embedding(Planner& planner) {
  const Slot indices = planner.dense(0);
  const Tensor table = planner.weights().table(planner.weight(1));
  const TensorFacts facts = planner.facts(indices);
  const Slot result = planner.make_tensor(DType::f32, {facts.dims.at(0), table.size(1)}, facts.row_class);
  planner.define(0, {result, kNoSlot});
  planner.add([=](Run& run) { run.tensor(result) = gather_rows(table, wrapped(run.tensor(indices), table.size(0))); });
}

void bind_elementwise(Planner& planner) {
  const auto kind = meaning(kElementwise, attribute<std::string>(planner.operation(), "kind"), "kind");
  add_rowwise(planner, planner.dense(0), [=](Run& run, const Tensor& x) { return elementwise(run.session, x, kind); });
}

void bind_softmax(Planner& planner) {
  add_rowwise(planner, planner.dense(0), [](Run& run, const Tensor& x) { return softmax(run.session, x); });
}

void bind_activation(Planner& planner) {
  const Activation activation = activation_of(planner.operation());
  add_rowwise(planner, planner.dense(0), [=](Run& run, const Tensor& x) {
    return activate(run.session, x, activation);
  }).part = activation;
}

void bind_batch_norm(Planner& planner) {
  const Slot input = planner.dense(0);
  const Tensor scale = vector(planner, 1, input), shift = vector(planner, 2, input), mean = vector(planner, 3, input),
               variance = vector(planner, 4, input);
  const auto eps = attribute<float>(planner.operation(), "eps");
  const ScaleShift folded = fold_batch_norm(scale, shift, mean, variance, eps);
  add_rowwise(planner, input, [=](Run& run, const Tensor& x) {
    return batch_norm(run.session, x, scale, shift, mean, variance, eps);
  }).part = NormPart{folded.scale, folded.shift};
}

void bind_layer_norm(Planner& planner) {
  const Slot input = planner.dense(0);
  const Tensor scale = vector(planner, 1, input), shift = vector(planner, 2, input);
  const auto eps = attribute<float>(planner.operation(), "eps");
  add_rowwise(planner, input, [=](Run& run, const Tensor& x) { return layer_norm(run.session, x, scale, shift, eps); });
}

void bind_rms_norm(Planner& planner) {
  const Slot input = planner.dense(0);
  const Tensor scale = vector(planner, 1, input);
  const auto eps = attribute<float>(planner.operation(), "eps");
  add_rowwise(planner, input, [=](Run& run, const Tensor& x) { return rms_norm(run.session, x, scale, eps); });
}

}  // namespace lattice::artifact
