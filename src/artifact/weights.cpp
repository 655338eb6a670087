#include "artifact/weights.h"

#include <algorithm>
#include <cstring>

#include "artifact/attributes.h"
#include "fail.h"
#include "io/shown_text.h"

namespace lattice::artifact {
namespace {

constexpr const char* kPackedParts[] = {".weight", ".scales", ".biases"};

const Packing& packing_of(const Operation& weight) {
  return attribute<Packing>(weight, "packing");
}

const std::string& key_of(const Operation& weight) {
  return attribute<std::string>(weight, "storage_key");
}

template <typename... Args>
[[noreturn]] void reject(const std::string& key, fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::corrupt_file, "weight {}: {}", shown(key), fmt::format(format, std::forward<Args>(args)...));
}

void check_channels(const std::string& key, int64_t stored, int64_t features) {
  if (features != kAnySize && stored != features) {
    reject(key, "it takes {} channels, but the features have {}; they must be equal", stored, features);
  }
}

void check_dtype(const std::string& key, DType found, DType asked) {
  if (found != asked) {
    reject(key, "it is stored as {}, but the operation computes in {}; nothing is converted, so store it so",
           name(found), name(asked));
  }
}

/// The first `count` entries of an axis of a rank 3 tensor.
Tensor first_of_axis(const Tensor& tensor, int64_t axis, int64_t count) {
  if (tensor.size(axis) == count) return tensor;
  Shape shape = tensor.shape();
  shape[static_cast<size_t>(axis)] = count;
  Tensor result = Tensor::empty(tensor.dtype(), shape);
  const int64_t outer = axis == 2 ? shape[0] * shape[1] : shape[0];
  const size_t inner = static_cast<size_t>(axis == 2 ? 1 : shape[2]) * size_of(tensor.dtype());
  const auto* from = static_cast<const std::byte*>(tensor.raw());
  auto* to = static_cast<std::byte*>(result.mutable_raw());
  for (int64_t i = 0; i < outer; ++i) {
    std::memcpy(to, from, static_cast<size_t>(count) * inner);
    from += static_cast<size_t>(tensor.size(axis)) * inner;
    to += static_cast<size_t>(count) * inner;
  }
  return result;
}

}  // namespace

bool Weights::is_packed(const Operation& weight) {
  return packing_of(weight).kind != "dense";
}

void Weights::check_present(const Operation& weight) const {
  if (!is_packed(weight)) {
    stored(key_of(weight));
    return;
  }
  for (const char* part : kPackedParts) stored(key_of(weight) + part);
}

Tensor Weights::stored(const std::string& key) const {
  std::optional<Tensor> tensor = stored_(key);
  if (!tensor) reject(key, "weights.safetensors has no tensor of this name; export the network again");
  return *std::move(tensor);
}

Tensor Weights::dense(const Operation& weight, DType dtype, std::string_view shape_rule, size_t rank) const {
  const std::string& key = key_of(weight);
  Tensor tensor = stored(key);
  const auto positive = [](int64_t size) { return size > 0; };
  if (tensor.shape().size() != rank || !std::all_of(tensor.shape().begin(), tensor.shape().end(), positive)) {
    reject(key, "it has shape {}, but must be {} with sizes above 0", to_string(tensor.shape()), shape_rule);
  }
  check_dtype(key, tensor.dtype(), dtype);
  size_ = size_ + WeightSize{tensor.elements(), static_cast<int64_t>(tensor.nbytes())};
  return tensor;
}

Tensor Weights::vector(const Operation& weight, DType dtype, int64_t channels) const {
  Tensor tensor = dense(weight, dtype, "(C)", 1);
  if (channels != kAnySize && tensor.size(0) != channels) {
    reject(key_of(weight), "it has {} values, but must have one for each of {} channels", tensor.size(0), channels);
  }
  return tensor;
}

Tensor Weights::table(const Operation& weight) const {
  return dense(weight, DType::f32, "(N, C)", 2);
}

QuantizedWeight Weights::packed(const Operation& weight, const Triple& kernel_size, int64_t in_channels) const {
  const std::string& key = key_of(weight);
  const Packing& packing = packing_of(weight);
  const Tensor words = stored(key + ".weight"), scales = stored(key + ".scales"), biases = stored(key + ".biases");
  if (words.rank() != 3 || words.dtype() != DType::u32 || words.elements() == 0) {
    reject(key, "its words have shape {} of {}, but must be of rank 3 and u32, and not empty", to_string(words.shape()),
           name(words.dtype()));
  }
  if (scales.rank() != 3 || scales.shape() != biases.shape() || scales.dtype() != biases.dtype()) {
    reject(key, "its scales {} of {} and biases {} of {} must have one type and one shape of rank 3",
           to_string(scales.shape()), name(scales.dtype()), to_string(biases.shape()), name(biases.dtype()));
  }
  check_dtype(key + ".scales", scales.dtype(), dtype_of_element(packing.scale_dtype));

  const int64_t taps = kernel_size.x * kernel_size.y * kernel_size.z;
  const int64_t channel_axis = taps == 1 ? 2 : 1, out_axis = taps == 1 ? 1 : 2;
  const int64_t bits = packing.kind == "int4" ? 4 : 8, codes_per_word = 32 / bits;
  const int64_t stored_channels = words.size(channel_axis) * codes_per_word, group_size = packing.group_size;
  if (group_size != 32 && group_size != 64 && group_size != 128) {
    reject(key, "its group_size {} must be 32, 64 or 128", group_size);
  }
  if (words.size(0) != taps || scales.size(0) != taps) {
    reject(key, "its words {} and scales {} must begin with the kernel's {} taps", to_string(words.shape()),
           to_string(scales.shape()), taps);
  }
  if (words.size(out_axis) < 1 || words.size(out_axis) != scales.size(out_axis)) {
    reject(key, "its words {} and scales {} must have one number of output channels, at least 1, in axis {}",
           to_string(words.shape()), to_string(scales.shape()), out_axis);
  }
  if (stored_channels % group_size != 0 || scales.size(channel_axis) != stored_channels / group_size) {
    reject(key, "its words {} hold {} input channels, which must be groups of {} with a scale each; scales are {}",
           to_string(words.shape()), stored_channels, group_size, to_string(scales.shape()));
  }
  const int64_t channels = in_channels == kAnySize ? stored_channels : in_channels;
  if (channels < 1 || stored_channels < channels) {
    reject(key, "it stores {} input channels, but the features have {}; at least as many are needed", stored_channels,
           channels);
  }
  const int64_t groups = (channels + group_size - 1) / group_size;  // groups of padding alone are cut away
  size_ = size_ + WeightSize{taps * words.size(out_axis) * channels,
                             static_cast<int64_t>(words.nbytes() + scales.nbytes() + biases.nbytes())};
  return QuantizedWeight::from_arrays(first_of_axis(words, channel_axis, groups * group_size / codes_per_word),
                                      first_of_axis(scales, channel_axis, groups),
                                      first_of_axis(biases, channel_axis, groups), bits, group_size, kernel_size,
                                      channels);
}

ConvWeight Weights::shared(const Operation& weight, const Triple& kernel_size, DType features, int64_t in_channels,
                           const std::function<ConvWeight()>& make) {
  const Use key(&weight, kernel_size.x, kernel_size.y, kernel_size.z, features, in_channels);
  const auto found = made_.find(key);
  return found != made_.end() ? found->second : made_.emplace(key, make()).first->second;
}

ConvWeight Weights::convolution(const Operation& weight, const Triple& kernel_size, DType features,
                                int64_t in_channels) {
  return shared(weight, kernel_size, features, in_channels, [&] {
    if (is_packed(weight)) return ConvWeight(packed(weight, kernel_size, in_channels));
    Tensor tensor = dense(weight, features, "(C_out, Kx, Ky, Kz, C_in)", 5);
    if (Triple(tensor.size(1), tensor.size(2), tensor.size(3)) != kernel_size) {
      reject(key_of(weight), "it has shape {}, but (C_out, Kx, Ky, Kz, C_in) must hold the kernel_size {}",
             to_string(tensor.shape()), to_string(kernel_size));
    }
    check_channels(key_of(weight), tensor.size(4), in_channels);
    return ConvWeight(std::move(tensor));
  });
}

ConvWeight Weights::linear(const Operation& weight, DType features, int64_t in_channels) {
  return shared(weight, 1, features, in_channels, [&] {
    if (is_packed(weight)) return ConvWeight(packed(weight, 1, in_channels));
    Tensor tensor = dense(weight, features, "(C_out, C_in)", 2);
    check_channels(key_of(weight), tensor.size(1), in_channels);
    return ConvWeight(std::move(tensor));
  });
}

}  // namespace lattice::artifact
