#include "fail.h"
#include "lattice/nn.h"
#include "nn/initial_weight.h"
#include "ops/checks.h"
#include "weight_rules.h"

namespace lattice {
namespace {

// The geometry that each module's options stand for, checked as far as the module itself knows more than ConvGeometry.

ConvOptions geometry_options(std::string_view, const Conv3dOptions& options) {
  return {options.kernel_size, options.stride, options.padding, options.dilation};
}

ConvOptions geometry_options(std::string_view operation, const SubmConv3dOptions& options) {
  const Triple& size = options.kernel_size;
  if (size.x % 2 == 0 || size.y % 2 == 0 || size.z % 2 == 0) {
    fail(ErrorCode::invalid_argument, "{}: kernel_size {} must be odd on every axis; use conv3d for even kernels",
         operation, to_string(size));
  }
  return {.kernel_size = size, .dilation = options.dilation};
}

ConvOptions geometry_options(std::string_view, const ConvTranspose3dOptions& options) {
  return {options.kernel_size, options.stride, options.padding, options.dilation};
}

ConvOptions geometry_options(std::string_view, const GenerativeConvTranspose3dOptions& options) {
  return {.kernel_size = options.kernel_size, .stride = options.stride};
}

/// The initial weight of a floating module.
template <typename Options>
Tensor drawn_weight(std::string_view operation, const Options& options) {
  check_layer(operation, {options.in_channels, options.out_channels, options.dtype});
  const ConvGeometry geometry(geometry_options(operation, options), operation);
  const Triple& size = geometry.kernel_size();
  // The fan-in cannot overflow: both factors are below 2^31.
  return initial_weight({options.out_channels, size.x, size.y, size.z, options.in_channels},
                        options.in_channels * geometry.taps(), options.dtype, options.seed);
}

/// The same, packed.
template <typename Options>
QuantizedWeight drawn_weight(std::string_view operation, const Options& options, const PackingOptions& packing) {
  check_packing(packing, operation);
  return QuantizedWeight::pack(drawn_weight(operation, options), packing);
}

void check_channels(std::string_view operation, std::string_view parameter, int64_t asked, int64_t found) {
  if (asked == 0 || asked == found) return;
  fail(ErrorCode::invalid_argument, "{}: {} {} must be the weight's {}; leave it 0 where a weight is given", operation,
       parameter, asked, found);
}

template <typename Options>
void check_channels(std::string_view operation, const Options& options, const ConvModule& module) {
  check_channels(operation, "in_channels", options.in_channels, module.in_channels());
  check_channels(operation, "out_channels", options.out_channels, module.out_channels());
}

/// The source's weight, packed.
QuantizedWeight packed(std::string_view operation, const ConvModule& source, std::optional<int64_t> group_size,
                       int64_t bits) {
  const PackingOptions packing = {.bits = bits, .group_size = group_size};
  check_packing(packing, operation);
  if (source.weight().is_packed()) {
    fail(ErrorCode::invalid_argument,
         "{}: the source has packed weights of {} bits already; call from_conv with the floating module", operation,
         source.weight().packed().bits());
  }
  return QuantizedWeight::pack(source.weight().dense(), packing);
}

}  // namespace

ConvModule::ConvModule(std::string_view operation, const ConvOptions& options, ConvWeight weight, Tensor bias)
    : geometry_(options, operation), weight_(std::move(weight)), bias_(std::move(bias)) {
  if (weight_.kernel_size() != geometry_.kernel_size()) {
    fail(ErrorCode::invalid_argument, "{}: kernel_size {} must be the weight's {}; set it in the options", operation,
         to_string(geometry_.kernel_size()), to_string(weight_.kernel_size()));
  }
  if (bias_.defined()) check_vector(operation, "bias", bias_, out_channels());
}

Epilogue ConvModule::with_bias(const Epilogue& epilogue) const {
  if (!bias_.defined()) return epilogue;
  if (epilogue.bias.defined()) {
    fail(ErrorCode::invalid_argument,
         "conv_module: the epilogue has a bias of shape {}, but the module has its own; leave one of them out",
         to_string(epilogue.bias.shape()));
  }
  Epilogue result = epilogue;
  result.bias = bias_;
  return result;
}

// Convolution.

Conv3d::Conv3d(const Conv3dOptions& options)
    : Conv3d("conv3d", options, ConvWeight(drawn_weight("conv3d", options)), initial_bias("conv3d", options)) {}

Conv3d::Conv3d(const Conv3dOptions& options, Tensor weight, Tensor bias)
    : Conv3d("conv3d", options, given_weight("conv3d", std::move(weight)), std::move(bias)) {}

Conv3d::Conv3d(std::string_view operation, const Conv3dOptions& options, ConvWeight weight, Tensor bias)
    : ConvModule(operation, geometry_options(operation, options), std::move(weight), std::move(bias)),
      support_(options.support) {
  check_channels(operation, options, *this);
}

SparseTensor Conv3d::operator()(Session& session, const SparseTensor& x, const Epilogue& epilogue) const {
  return conv3d(session, x, weight(), geometry(), nullptr, with_bias(epilogue), support_);
}

SparseTensor Conv3d::operator()(Session& session, const SparseTensor& x, const Support& target,
                                const Epilogue& epilogue) const {
  return conv3d(session, x, weight(), geometry(), target, with_bias(epilogue), support_);
}

QuantizedConv3d::QuantizedConv3d(const Conv3dOptions& options, const PackingOptions& packing)
    : QuantizedConv3d(options, drawn_weight("quantized_conv3d", options, packing),
                      initial_bias("quantized_conv3d", options)) {}

QuantizedConv3d::QuantizedConv3d(const Conv3dOptions& options, QuantizedWeight weight, Tensor bias)
    : Conv3d("quantized_conv3d", options, ConvWeight(std::move(weight)), std::move(bias)) {}

QuantizedConv3d QuantizedConv3d::from_conv(const Conv3d& source, std::optional<int64_t> group_size, int64_t bits) {
  const ConvGeometry& geometry = source.geometry();
  const Conv3dOptions options = {.kernel_size = geometry.kernel_size(),
                                 .stride = geometry.stride(),
                                 .padding = geometry.padding(),
                                 .dilation = geometry.dilation(),
                                 .support = source.support()};
  return QuantizedConv3d(options, packed("quantized_conv3d", source, group_size, bits), source.bias());
}

// Submanifold convolution.

SubmConv3d::SubmConv3d(const SubmConv3dOptions& options)
    : SubmConv3d("subm_conv3d", options, ConvWeight(drawn_weight("subm_conv3d", options)),
                 initial_bias("subm_conv3d", options)) {}

SubmConv3d::SubmConv3d(const SubmConv3dOptions& options, Tensor weight, Tensor bias)
    : SubmConv3d("subm_conv3d", options, given_weight("subm_conv3d", std::move(weight)), std::move(bias)) {}

SubmConv3d::SubmConv3d(std::string_view operation, const SubmConv3dOptions& options, ConvWeight weight, Tensor bias)
    : ConvModule(operation, geometry_options(operation, options), std::move(weight), std::move(bias)) {
  check_channels(operation, options, *this);
}

SparseTensor SubmConv3d::operator()(Session& session, const SparseTensor& x, const Epilogue& epilogue) const {
  return subm_conv3d(session, x, weight(), geometry(), with_bias(epilogue));
}

QuantizedSubmConv3d::QuantizedSubmConv3d(const SubmConv3dOptions& options, const PackingOptions& packing)
    : QuantizedSubmConv3d(options, drawn_weight("quantized_subm_conv3d", options, packing),
                          initial_bias("quantized_subm_conv3d", options)) {}

QuantizedSubmConv3d::QuantizedSubmConv3d(const SubmConv3dOptions& options, QuantizedWeight weight, Tensor bias)
    : SubmConv3d("quantized_subm_conv3d", options, ConvWeight(std::move(weight)), std::move(bias)) {}

QuantizedSubmConv3d QuantizedSubmConv3d::from_conv(const SubmConv3d& source, std::optional<int64_t> group_size,
                                                   int64_t bits) {
  const ConvGeometry& geometry = source.geometry();
  const SubmConv3dOptions options = {.kernel_size = geometry.kernel_size(), .dilation = geometry.dilation()};
  return QuantizedSubmConv3d(options, packed("quantized_subm_conv3d", source, group_size, bits), source.bias());
}

// Transposed convolution.

ConvTranspose3d::ConvTranspose3d(const ConvTranspose3dOptions& options)
    : ConvTranspose3d("conv_transpose3d", options, ConvWeight(drawn_weight("conv_transpose3d", options)),
                      initial_bias("conv_transpose3d", options)) {}

ConvTranspose3d::ConvTranspose3d(const ConvTranspose3dOptions& options, Tensor weight, Tensor bias)
    : ConvTranspose3d("conv_transpose3d", options, given_weight("conv_transpose3d", std::move(weight)),
                      std::move(bias)) {}

ConvTranspose3d::ConvTranspose3d(std::string_view operation, const ConvTranspose3dOptions& options, ConvWeight weight,
                                 Tensor bias)
    : ConvModule(operation, geometry_options(operation, options), std::move(weight), std::move(bias)) {
  check_channels(operation, options, *this);
}

SparseTensor ConvTranspose3d::operator()(Session& session, const SparseTensor& x, const Epilogue& epilogue) const {
  return conv_transpose3d(session, x, weight(), geometry(), nullptr, with_bias(epilogue));
}

SparseTensor ConvTranspose3d::operator()(Session& session, const SparseTensor& x, const Support& target,
                                         const Epilogue& epilogue) const {
  return conv_transpose3d(session, x, weight(), geometry(), target, with_bias(epilogue));
}

QuantizedConvTranspose3d::QuantizedConvTranspose3d(const ConvTranspose3dOptions& options, const PackingOptions& packing)
    : QuantizedConvTranspose3d(options, drawn_weight("quantized_conv_transpose3d", options, packing),
                               initial_bias("quantized_conv_transpose3d", options)) {}

QuantizedConvTranspose3d::QuantizedConvTranspose3d(const ConvTranspose3dOptions& options, QuantizedWeight weight,
                                                   Tensor bias)
    : ConvTranspose3d("quantized_conv_transpose3d", options, ConvWeight(std::move(weight)), std::move(bias)) {}

QuantizedConvTranspose3d QuantizedConvTranspose3d::from_conv(const ConvTranspose3d& source,
                                                             std::optional<int64_t> group_size, int64_t bits) {
  const ConvGeometry& geometry = source.geometry();
  const ConvTranspose3dOptions options = {.kernel_size = geometry.kernel_size(),
                                          .stride = geometry.stride(),
                                          .padding = geometry.padding(),
                                          .dilation = geometry.dilation()};
  return QuantizedConvTranspose3d(options, packed("quantized_conv_transpose3d", source, group_size, bits),
                                  source.bias());
}

// Generative transposed convolution.

GenerativeConvTranspose3d::GenerativeConvTranspose3d(const GenerativeConvTranspose3dOptions& options)
    : GenerativeConvTranspose3d("generative_conv_transpose3d", options,
                                ConvWeight(drawn_weight("generative_conv_transpose3d", options)),
                                initial_bias("generative_conv_transpose3d", options)) {}

GenerativeConvTranspose3d::GenerativeConvTranspose3d(const GenerativeConvTranspose3dOptions& options, Tensor weight,
                                                     Tensor bias)
    : GenerativeConvTranspose3d("generative_conv_transpose3d", options,
                                given_weight("generative_conv_transpose3d", std::move(weight)), std::move(bias)) {}

GenerativeConvTranspose3d::GenerativeConvTranspose3d(std::string_view operation,
                                                     const GenerativeConvTranspose3dOptions& options, ConvWeight weight,
                                                     Tensor bias)
    : ConvModule(operation, geometry_options(operation, options), std::move(weight), std::move(bias)) {
  check_channels(operation, options, *this);
}

SparseTensor GenerativeConvTranspose3d::operator()(Session& session, const SparseTensor& x,
                                                   const Epilogue& epilogue) const {
  return generative_conv_transpose3d(session, x, weight(), geometry(), with_bias(epilogue));
}

QuantizedGenerativeConvTranspose3d::QuantizedGenerativeConvTranspose3d(const GenerativeConvTranspose3dOptions& options,
                                                                       const PackingOptions& packing)
    : QuantizedGenerativeConvTranspose3d(options,
                                         drawn_weight("quantized_generative_conv_transpose3d", options, packing),
                                         initial_bias("quantized_generative_conv_transpose3d", options)) {}

QuantizedGenerativeConvTranspose3d::QuantizedGenerativeConvTranspose3d(const GenerativeConvTranspose3dOptions& options,
                                                                       QuantizedWeight weight, Tensor bias)
    : GenerativeConvTranspose3d("quantized_generative_conv_transpose3d", options, ConvWeight(std::move(weight)),
                                std::move(bias)) {}

QuantizedGenerativeConvTranspose3d QuantizedGenerativeConvTranspose3d::from_conv(
    const GenerativeConvTranspose3d& source, std::optional<int64_t> group_size, int64_t bits) {
  const ConvGeometry& geometry = source.geometry();
  const GenerativeConvTranspose3dOptions options = {.kernel_size = geometry.kernel_size(), .stride = geometry.stride()};
  return QuantizedGenerativeConvTranspose3d(
      options, packed("quantized_generative_conv_transpose3d", source, group_size, bits), source.bias());
}

}  // namespace lattice
