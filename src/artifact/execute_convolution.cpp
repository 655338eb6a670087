#include <cmath>
#include <cstring>
#include <optional>

#include "artifact/execute.h"
#include "artifact/supports.h"
#include "lattice/conv.h"

namespace lattice::artifact {
namespace {

/// Which support and edges a convolution has.
enum class Form : uint8_t { forward, regular, submanifold, transposed, generative };

struct Kind {
  Form form;
  bool has_target = false;
};

constexpr std::pair<std::string_view, Kind> kKinds[] = {
    {"conv3d", {Form::forward}},
    {"regular_conv3d", {Form::regular}},
    {"subm_conv3d", {Form::submanifold}},
    {"normalized_subm_conv3d", {Form::submanifold}},
    {"target_conv3d", {Form::forward, true}},
    {"conv_transpose3d", {Form::transposed}},
    {"normalized_conv_transpose3d", {Form::transposed}},
    {"target_conv_transpose3d", {Form::transposed, true}},
    {"target_normalized_conv_transpose3d", {Form::transposed, true}},
    {"generative_conv_transpose3d", {Form::generative}},
    {"normalized_generative_conv_transpose3d", {Form::generative}},
};

ConvGeometry geometry_of(const Operation& operation, Form form) {
  ConvOptions options = {.kernel_size = triple(operation, "kernel_size")};
  if (form != Form::submanifold) options.stride = triple(operation, "stride");
  if (form != Form::generative) options.dilation = triple(operation, "dilation");
  if (form != Form::submanifold && form != Form::generative) options.padding = triple(operation, "padding");
  return ConvGeometry(options, operation.name);
}

void check_generative(const ConvGeometry& geometry) {
  const Triple &size = geometry.kernel_size(), &stride = geometry.stride();
  if (size.x <= stride.x && size.y <= stride.y && size.z <= stride.z) return;
  fail(ErrorCode::unsupported,
       "kernel_size {} exceeds the stride {}, so that outputs would repeat coordinates; use conv_transpose3d, which "
       "merges them",
       to_string(size), to_string(stride));
}

/// The relation that the operation's function asks for.
RelationKind relation_kind(const Kind& kind, const ConvGeometry& geometry) {
  switch (kind.form) {
    case Form::forward:
    case Form::regular:
      if (kind.has_target) return RelationKind::target;
      if (geometry.is_pointwise()) return RelationKind::pointwise;
      return kind.form == Form::regular ? RelationKind::regular : RelationKind::forward;
    case Form::submanifold:
      return RelationKind::submanifold;
    case Form::transposed:
      return kind.has_target ? RelationKind::target_transposed : RelationKind::transposed;
    case Form::generative:
      break;
  }
  return RelationKind::generative;
}

Triple output_stride(Form form, const ConvGeometry& geometry, const Triple& stride, std::string_view operation) {
  if (form == Form::submanifold) return stride;
  const bool coarser = form == Form::forward || form == Form::regular;
  return coarser ? geometry.coarser_stride(stride, operation) : geometry.finer_stride(stride, operation);
}

/// A convolution's geometry and where its values are.
struct Call {
  Form form;
  Reach reach;
  Slots result;
  bool derives_support = false;

  SparseTensor operator()(Run& run, const SparseTensor& x, const ConvWeight& weight, const Epilogue& epilogue) const {
    const ConvGeometry& geometry = reach.geometry;
    const Support given = reach.target == kNoSlot ? nullptr : run.support(reach.target);
    switch (form) {
      case Form::forward:
        return conv3d(run.session, x, weight, geometry, given, epilogue);
      case Form::regular:
        return conv3d(run.session, x, weight, geometry, given, epilogue, SupportRule::regular);
      case Form::submanifold:
        return subm_conv3d(run.session, x, weight, geometry, epilogue);
      case Form::transposed:
        return conv_transpose3d(run.session, x, weight, geometry, given, epilogue);
      case Form::generative:
        break;
    }
    return generative_conv_transpose3d(run.session, x, weight, geometry, epilogue);
  }

  void store(Run& run, const SparseTensor& y, Slot tensor) const {
    if (derives_support) check_physical(*y.support());
    run.store({tensor, result.support}, y);
  }
};

Call call_of(Planner& planner, const Kind& kind) {
  const Operation& operation = planner.operation();
  Call call = {.form = kind.form, .reach = {.geometry = geometry_of(operation, kind.form), .input = {}}, .result = {}};
  Reach& reach = call.reach;
  if (kind.form == Form::generative) check_generative(reach.geometry);
  reach.kind = relation_kind(kind, reach.geometry);
  reach.input = planner.sparse(0);
  check_feature_type(planner.dtype(reach.input));
  const Triple stride = output_stride(kind.form, reach.geometry, planner.stride(reach.input), operation.name);
  if (kind.has_target) {
    reach.target = planner.support_of(1);
    const Triple& given = planner.support_facts(reach.target).stride;
    if (given != stride) {
      fail(ErrorCode::corrupt_file, "the target's stride {} must be the output's {}; pass a value of that lattice",
           to_string(given), to_string(stride));
    }
  }
  Slot support = kind.has_target ? reach.target : reach.input.support;
  if (!kind.has_target && reach.kind != RelationKind::submanifold && reach.kind != RelationKind::pointwise) {
    std::optional<Triple> extent;
    if (kind.form == Form::regular && planner.extent(reach.input)) {
      extent = reach.geometry.regular_extent(*planner.extent(reach.input), operation.name);
    }
    support = planner.make_support(stride, extent);
    call.derives_support = true;
  }
  call.result.support = support;
  return call;
}

size_t weight_operand(const Kind& kind) {
  return kind.has_target ? 2 : 1;
}

Tensor bias_of(Planner& planner, const Kind& kind, DType dtype, int64_t channels) {
  const size_t operand = weight_operand(kind) + 1;
  if (planner.operands() <= operand) return {};
  return planner.weights().vector(planner.weight(operand), dtype, channels);
}

void refuse_packed(Planner& planner, const Operation& weight) {
  if (!Weights::is_packed(weight)) return;
  fail(ErrorCode::unsupported, "packed weights do not run in {}; export this layer with dense ones",
       planner.operation().name);
}

/// x with zero channels behind its own, where a packed weight takes more than the features turned out to have.
SparseTensor extended(const SparseTensor& x, int64_t channels, bool open) {
  return open && x.channels() < channels ? x.with_features(zero_extended(x.features(), channels)) : x;
}

/// Sums of squares over the input channels: (C_out, Kx, Ky, Kz, 1).
ConvWeight squared(const Tensor& weight) {
  const Shape& shape = weight.shape();
  Tensor result = Tensor::empty(DType::f32, {shape[0], shape[1], shape[2], shape[3], 1});
  const float* from = weight.data<float>();
  float* to = result.mutable_data<float>();
  for (int64_t i = 0; i < result.elements(); ++i, from += shape[4]) {
    double sum = 0;
    for (int64_t c = 0; c < shape[4]; ++c) sum += double{from[c]} * from[c];
    to[i] = static_cast<float>(sum);
  }
  return ConvWeight(std::move(result));
}

/// sums / sqrt(squares + eps) + bias, in float32.
Tensor normalized(const Tensor& sums, const Tensor& squares, float eps, const Tensor& bias) {
  Tensor result = Tensor::empty(DType::f32, sums.shape());
  const float *n = sums.data<float>(), *d = squares.data<float>();
  const float* b = bias.defined() ? bias.data<float>() : nullptr;
  float* y = result.mutable_data<float>();
  const int64_t channels = sums.size(1);
  for (int64_t i = 0; i < sums.elements(); ++i) {
    y[i] = n[i] / std::sqrt(d[i] + eps) + (b != nullptr ? b[i % channels] : 0.0F);
  }
  return result;
}

Tensor ones(int64_t rows) {
  Tensor result = Tensor::empty(DType::f32, {rows, 1});
  std::fill_n(result.mutable_data<float>(), rows, 1.0F);
  return result;
}

}  // namespace

Tensor zero_extended(const Tensor& features, int64_t channels) {
  Tensor result = Tensor::zeros(features.dtype(), {features.size(0), channels});
  const size_t element = size_of(features.dtype()), row = static_cast<size_t>(features.size(1)) * element;
  const auto* from = static_cast<const std::byte*>(features.raw());
  auto* to = static_cast<std::byte*>(result.mutable_raw());
  for (int64_t i = 0; i < features.size(0); ++i) {
    if (row > 0) std::memcpy(to, from, row);
    from += row;
    to += static_cast<size_t>(channels) * element;
  }
  return result;
}

void bind_convolution(Planner& planner) {
  const Kind kind = meaning(kKinds, planner.operation().name, "operation");
  Call call = call_of(planner, kind);
  const Operation& stored = planner.weight(weight_operand(kind));
  if (kind.form == Form::transposed && kind.has_target) refuse_packed(planner, stored);
  const DType dtype = planner.dtype(call.reach.input);
  const int64_t channels = planner.channels(call.reach.input);
  const ConvWeight weight = planner.weights().convolution(stored, call.reach.geometry.kernel_size(), dtype, channels);
  const bool open = weight.is_packed() && channels == kAnySize;
  auto epilogue = std::make_shared<FusedEpilogue>();
  epilogue->constant.bias = bias_of(planner, kind, dtype, weight.out_channels());
  call.result = planner.make_features(call.result.support, dtype, weight.out_channels());
  epilogue->result = call.result.tensor;
  planner.define(0, call.result);
  Step& step = planner.add([call, weight, open, epilogue](Run& run) {
    const SparseTensor x = extended(run.sparse(call.reach.input), weight.in_channels(), open);
    call.store(run, with_epilogue(run, *epilogue, [&](const Epilogue& e) { return call(run, x, weight, e); }),
               epilogue->stored_in());
  });
  step.epilogue = std::move(epilogue);
  step.reach = call.reach;
  step.macs = weight.in_channels() * weight.out_channels();
}

void bind_normalized(Planner& planner) {
  const Kind kind = meaning(kKinds, planner.operation().name, "operation");
  const ConvGeometry geometry = geometry_of(planner.operation(), kind.form);
  // The one kernel that does not normalize, of this operation alone.
  if (kind.form == Form::submanifold && geometry.is_pointwise()) return bind_convolution(planner);
  Call call = call_of(planner, kind);
  const Operation& stored = planner.weight(weight_operand(kind));
  refuse_packed(planner, stored);
  const DType dtype = planner.dtype(call.reach.input);
  const ConvWeight given =
      planner.weights().convolution(stored, geometry.kernel_size(), dtype, planner.channels(call.reach.input));
  const Tensor dense = given.dense().to(DType::f32);
  const ConvWeight weight = dtype == DType::f32 ? given : ConvWeight(dense), squares = squared(dense);
  const Tensor bias = bias_of(planner, kind, dtype, weight.out_channels());
  const Tensor wide_bias = bias.defined() ? bias.to(DType::f32) : bias;
  const auto eps = attribute<float>(planner.operation(), "eps");
  call.result = planner.make_features(call.result.support, dtype, weight.out_channels());
  planner.define(0, call.result);
  Step& step = planner.add([=](Run& run) {
    const SparseTensor x = run.sparse(call.reach.input);
    const SparseTensor sums = call(run, x.with_features(x.features().to(DType::f32)), weight, {});
    const SparseTensor norms = call(run, x.with_features(ones(x.rows())), squares, {});
    const Tensor y = normalized(sums.features(), norms.features(), eps, wide_bias).to(dtype);
    call.store(run, sums.with_features(y), call.result.tensor);
  });
  step.reach = call.reach;
  step.macs = (weight.in_channels() + 1) * weight.out_channels();  // the sums, and one channel of squares
}

}  // namespace lattice::artifact
