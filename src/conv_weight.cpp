#include "lattice/conv_weight.h"

#include <mutex>
#include <string>
#include <vector>

#include "backend.h"
#include "fail.h"
#include "weight_rules.h"

namespace lattice {
namespace {

constexpr std::string_view kOperation = "conv_weight";

/// (K, C_in, C_out) to (C_out, K, C_in).
template <typename T>
void transpose_kernel_major(const T* source, T* target, int64_t taps, int64_t ins, int64_t outs) {
  for (int64_t row = 0; row < taps * ins; ++row) {
    for (int64_t out = 0; out < outs; ++out) target[out * taps * ins + row] = source[row * outs + out];
  }
}

/// Whether the sizes are positive and their product is `taps`.
bool has_taps(const Triple& kernel_size, int64_t taps) {
  int64_t product = 1;
  for (const int64_t size : {kernel_size.x, kernel_size.y, kernel_size.z}) {
    if (size < 1 || __builtin_mul_overflow(product, size, &product)) return false;
  }
  return product == taps;
}

}  // namespace

struct ConvWeight::Data {
  /// A backend's form, for every backend of one kind and instruction set.
  struct Panels {
    BackendKind kind;
    std::string isa;
    std::unique_ptr<const PreparedWeight> weight;
  };

  std::variant<Tensor, QuantizedWeight> weight;
  Triple kernel_size;
  int64_t in_channels = 0, out_channels = 0;
  std::recursive_mutex mutex;  // guards panels and a floating weight; a backend that prepares asks for the weight
  std::vector<Panels> panels;
  const PreparedWeight* replacement = nullptr;  // of a floating weight that is undefined
  int64_t nbytes = 0;

  explicit Data(Tensor dense)
      : weight(dense.rank() == 2 ? dense.reshaped({dense.size(0), 1, 1, 1, dense.size(1)}) : dense) {
    const Shape& shape = std::get<Tensor>(weight).shape();
    nbytes = static_cast<int64_t>(dense.nbytes());
    kernel_size = {shape[1], shape[2], shape[3]};
    out_channels = shape[0];
    in_channels = shape[4];
  }

  explicit Data(QuantizedWeight packed) : weight(std::move(packed)) {
    const auto& quantized = std::get<QuantizedWeight>(weight);
    nbytes = quantized.nbytes();
    kernel_size = quantized.kernel_size();
    out_channels = quantized.out_channels();
    in_channels = quantized.in_channels();
  }
};

ConvWeight::ConvWeight(Tensor weight) {
  check_weight(weight, kOperation);
  data_ = std::make_shared<Data>(std::move(weight));
}

ConvWeight::ConvWeight(QuantizedWeight weight) : data_(std::make_shared<Data>(std::move(weight))) {}

ConvWeight ConvWeight::from_kernel_major(const Tensor& weight, Triple kernel_size) {
  if (!is_feature_type(weight.dtype())) {
    fail(ErrorCode::invalid_argument, "{}: the weight is {}, but must be f32, f16 or bf16; convert it with to()",
         kOperation, name(weight.dtype()));
  }
  if (weight.rank() != 3 || !has_taps(kernel_size, weight.size(0)) || weight.size(1) < 1 || weight.size(2) < 1) {
    fail(ErrorCode::invalid_argument,
         "{}: a kernel-major weight of kernel_size {} has shape {}, but must be (K, C_in, C_out) with K the product of "
         "the "
         "kernel's sizes and every size at least 1; check kernel_size",
         kOperation, to_string(kernel_size), to_string(weight.shape()));
  }
  const int64_t taps = weight.size(0), ins = weight.size(1), outs = weight.size(2);
  Tensor dense = Tensor::empty(weight.dtype(), {outs, kernel_size.x, kernel_size.y, kernel_size.z, ins});
  if (weight.dtype() == DType::f32) {
    transpose_kernel_major(weight.data<float>(), dense.mutable_data<float>(), taps, ins, outs);
  } else {  // f16 and bf16 move alike
    transpose_kernel_major(static_cast<const uint16_t*>(weight.raw()), static_cast<uint16_t*>(dense.mutable_raw()),
                           taps, ins, outs);
  }
  return ConvWeight(std::move(dense));
}

bool ConvWeight::is_packed() const noexcept {
  return std::holds_alternative<QuantizedWeight>(data_->weight);
}

Tensor ConvWeight::dense() const {
  if (is_packed()) {
    fail(ErrorCode::invalid_argument, "{}: a packed weight was asked for as a floating one; use packed().dequantize()",
         kOperation);
  }
  const std::scoped_lock lock(data_->mutex);
  if (const Tensor& dense = std::get<Tensor>(data_->weight); dense.defined()) return dense;
  const auto& size = data_->kernel_size;
  return data_->replacement->unpacked().reshaped({data_->out_channels, size.x, size.y, size.z, data_->in_channels});
}

const QuantizedWeight& ConvWeight::packed() const {
  if (!is_packed()) {
    fail(ErrorCode::invalid_argument, "{}: a floating weight was asked for as a packed one; use QuantizedWeight::pack",
         kOperation);
  }
  return std::get<QuantizedWeight>(data_->weight);
}

const Triple& ConvWeight::kernel_size() const noexcept {
  return data_->kernel_size;
}
int64_t ConvWeight::taps() const noexcept {
  return kernel_size().x * kernel_size().y * kernel_size().z;
}
int64_t ConvWeight::in_channels() const noexcept {
  return data_->in_channels;
}
int64_t ConvWeight::out_channels() const noexcept {
  return data_->out_channels;
}

int64_t ConvWeight::nbytes() const noexcept {
  return data_->nbytes;
}

const PreparedWeight& ConvWeight::prepared(const Backend& backend) const {
  // Held while packing, so that two sessions that meet here pack once. An entry never moves: it is behind a pointer.
  const std::scoped_lock lock(data_->mutex);
  for (const Data::Panels& panels : data_->panels) {
    if (panels.kind == backend.kind() && panels.isa == backend.isa()) return *panels.weight;
  }
  auto weight = backend.prepare(*this);
  data_->panels.push_back({backend.kind(), std::string(backend.isa()), std::move(weight)});
  const PreparedWeight& added = *data_->panels.back().weight;
  if (auto* dense = std::get_if<Tensor>(&data_->weight); dense != nullptr && dense->defined() && added.is_whole()) {
    data_->replacement = &added;
    *dense = {};
  }
  return added;
}

}  // namespace lattice
