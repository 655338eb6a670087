#include "lattice/quantized_weight.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "fail.h"
#include "weight_rules.h"

namespace lattice {
namespace {

constexpr std::string_view kOperation = "quantized_weight";
constexpr int64_t kWordBits = 32;
constexpr int64_t kMaxChannels = std::numeric_limits<int32_t>::max();

/// Where the codes, scales and biases of one (tap, output channel) lie: `first + step * i` for word or group i.
struct Lane {
  int64_t first, step;

  int64_t at(int64_t i) const noexcept { return first + step * i; }
};

/// Spatial arrays are (K, count, C_out), pointwise ones (1, C_out, count).
Lane lane(int64_t taps, int64_t tap, int64_t count, int64_t out_channel, int64_t out_channels) noexcept {
  if (taps == 1) return {out_channel * count, 1};
  return {tap * count * out_channels + out_channel, out_channels};
}

Shape array_shape(int64_t taps, int64_t count, int64_t out_channels) {
  return taps == 1 ? Shape{1, out_channels, count} : Shape{taps, count, out_channels};
}

struct Affine {
  float scale, bias;
};

/// The scale and bias of one group, as specified; every operation is rounded to float32.
Affine fit(std::span<const float> group, float levels) {
  const auto [least, greatest] = std::minmax_element(group.begin(), group.end());
  const float low = *least, high = *greatest;
  const bool low_is_edge = std::fabs(low) > std::fabs(high);
  float scale = std::max((high - low) / levels, 1e-7F);
  if (!low_is_edge) scale = -scale;
  const float edge = low_is_edge ? low : high;
  const float edge_code = std::rint(edge / scale);
  if (edge_code == 0) return {scale, 0};
  return {edge / edge_code, edge};
}

uint32_t encode(float weight, const Affine& affine, float levels) {
  const float code = std::rint((weight - affine.bias) / affine.scale);
  // Written so that a NaN becomes 0: a constant group so large that edge / 1e-7 overflows has scale 0, and its bias
  // alone is then the weight.
  return code > 0 ? static_cast<uint32_t>(std::min(code, levels)) : 0;
}

void store(Tensor& tensor, int64_t at, float value) {
  if (tensor.dtype() == DType::f16) {
    tensor.mutable_data<Float16>()[at] = Float16(value);
  } else {
    tensor.mutable_data<float>()[at] = value;
  }
}

float load(const Tensor& tensor, int64_t at) noexcept {
  if (tensor.dtype() == DType::f16) return static_cast<float>(static_cast<const Float16*>(tensor.raw())[at]);
  return static_cast<const float*>(tensor.raw())[at];
}

void check_finite(const Tensor& weight) {
  const auto check = [&weight](const auto* values) {
    for (int64_t i = 0; i < weight.elements(); ++i) {
      const auto value = static_cast<float>(values[i]);
      if (!std::isfinite(value)) {
        fail(ErrorCode::invalid_argument,
             "{}: element {} of the weight of shape {} is {}, but every weight must be finite; repair the checkpoint",
             kOperation, i, to_string(weight.shape()), value);
      }
    }
  };
  switch (weight.dtype()) {
    case DType::f16:
      return check(weight.data<Float16>());
    case DType::bf16:
      return check(weight.data<BFloat16>());
    default:
      return check(weight.data<float>());
  }
}

/// One input row of the weight, (output channel, tap), as float32 with zeros behind it.
void read_row(const Tensor& weight, int64_t row, int64_t channels, std::vector<float>& values) {
  const auto read = [&](const auto* source) {
    for (int64_t c = 0; c < channels; ++c)
      values[static_cast<size_t>(c)] = static_cast<float>(source[row * channels + c]);
  };
  switch (weight.dtype()) {
    case DType::f16:
      return read(weight.data<Float16>());
    case DType::bf16:
      return read(weight.data<BFloat16>());
    default:
      return read(weight.data<float>());
  }
}

/// The number of taps; throws where a size is not positive or the product leaves int32.
int64_t checked_taps(const Triple& kernel_size) {
  int64_t taps = 1;
  for (const int64_t size : {kernel_size.x, kernel_size.y, kernel_size.z}) {
    if (size < 1 || size > std::numeric_limits<int32_t>::max() / taps) {
      fail(ErrorCode::invalid_argument,
           "{}: kernel_size {} must be positive with a product of at most 2^31 - 1; pass the layer's kernel size",
           kOperation, to_string(kernel_size));
    }
    taps *= size;
  }
  return taps;
}

void check_array(const Tensor& array, std::string_view what, const Shape& expected) {
  if (array.shape() == expected) return;
  fail(ErrorCode::invalid_argument,
       "{}: {} have shape {}, but bits, group_size, kernel_size and channels make it {}; check these", kOperation, what,
       to_string(array.shape()), to_string(expected));
}

template <typename T>
void dequantize_row(const QuantizedWeight& weight, int64_t tap, int64_t out_channel, T* row) {
  for (int64_t c = 0; c < weight.in_channels(); ++c) {
    const int64_t group = c / weight.group_size();
    const auto code = static_cast<float>(weight.code(tap, c, out_channel));
    // Two roundings to T. For f16 the product of 11 and 8 bits is exact in float32, and rounding the sum to 24 bits
    // first cannot change its rounding to 11 (24 >= 2*11 + 2).
    const T product(weight.scale(tap, group, out_channel) * code);
    row[c] = T(static_cast<float>(product) + weight.bias(tap, group, out_channel));
  }
}

}  // namespace

QuantizedWeight QuantizedWeight::pack(const Tensor& weight, const PackingOptions& options) {
  check_packing(options, kOperation);
  check_weight(weight, kOperation);
  check_finite(weight);

  QuantizedWeight result;
  result.bits_ = options.bits;
  result.out_channels_ = weight.size(0);
  result.in_channels_ = weight.size(weight.rank() - 1);
  result.kernel_size_ = weight.rank() == 2 ? Triple(1) : Triple(weight.size(1), weight.size(2), weight.size(3));
  result.group_size_ = options.group_size.value_or(default_group_size(result.in_channels_));

  const int64_t taps = checked_taps(result.kernel_size_), outs = result.out_channels_, groups = result.groups();
  const int64_t codes_per_word = kWordBits / result.bits_, words = result.padded_in_channels() / codes_per_word;
  const DType stored = weight.dtype() == DType::f16 ? DType::f16 : DType::f32;
  result.words_ = Tensor::empty(DType::u32, array_shape(taps, words, outs));
  result.scales_ = Tensor::empty(stored, array_shape(taps, groups, outs));
  result.biases_ = Tensor::empty(stored, array_shape(taps, groups, outs));

  const auto levels = static_cast<float>((1 << result.bits_) - 1);
  const int64_t words_per_group = result.group_size_ / codes_per_word;
  uint32_t* const stored_words = result.words_.mutable_data<uint32_t>();
  std::vector<float> row(static_cast<size_t>(result.padded_in_channels()), 0.0F);
  for (int64_t out = 0; out < outs; ++out) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      read_row(weight, out * taps + tap, result.in_channels_, row);
      const Lane word_lane = lane(taps, tap, words, out, outs), group_lane = lane(taps, tap, groups, out, outs);
      for (int64_t g = 0; g < groups; ++g) {
        const float* values = row.data() + g * result.group_size_;
        const Affine affine = fit({values, static_cast<size_t>(result.group_size_)}, levels);
        if (!std::isfinite(affine.scale)) {
          fail(ErrorCode::invalid_argument,
               "{}: channels {} to {} of output channel {}, tap {} span more than float32 holds; scale the weight down",
               kOperation, g * result.group_size_, (g + 1) * result.group_size_ - 1, out, tap);
        }
        store(result.scales_, group_lane.at(g), affine.scale);
        store(result.biases_, group_lane.at(g), affine.bias);
        for (int64_t w = 0; w < words_per_group; ++w) {
          uint32_t word = 0;
          for (int64_t i = 0; i < codes_per_word; ++i) {
            word |= encode(values[w * codes_per_word + i], affine, levels) << (i * result.bits_);
          }
          stored_words[word_lane.at(g * words_per_group + w)] = word;
        }
      }
    }
  }
  return result;
}

QuantizedWeight QuantizedWeight::from_arrays(Tensor words, Tensor scales, Tensor biases, int64_t bits,
                                             int64_t group_size, Triple kernel_size, int64_t in_channels) {
  check_packing({.bits = bits, .group_size = group_size}, kOperation);
  const int64_t taps = checked_taps(kernel_size);
  if (in_channels < 1 || in_channels > kMaxChannels) {
    fail(ErrorCode::invalid_argument, "{}: in_channels {} must be from 1 to 2^31 - 1; pass the layer's input channels",
         kOperation, in_channels);
  }
  if (words.dtype() != DType::u32) {
    fail(ErrorCode::invalid_argument, "{}: words are {}, but must be u32; store the codes in 32-bit words", kOperation,
         name(words.dtype()));
  }
  for (const Tensor* array : {&scales, &biases}) {
    if ((array->dtype() != DType::f32 && array->dtype() != DType::f16) || array->dtype() != scales.dtype()) {
      fail(ErrorCode::invalid_argument,
           "{}: scales are {} and biases {}, but both must be f32 or both f16; convert them with to()", kOperation,
           name(scales.dtype()), name(biases.dtype()));
    }
  }
  if (words.rank() != 3 || words.size(taps == 1 ? 1 : 2) < 1) {
    fail(ErrorCode::invalid_argument,
         "{}: words have shape {}, but must be (K, padded C_in * bits / 32, C_out), or (1, C_out, padded C_in * bits / "
         "32) for "
         "kernel size 1, with C_out at least 1; check the export",
         kOperation, to_string(words.shape()));
  }

  QuantizedWeight result;
  result.bits_ = bits;
  result.group_size_ = group_size;
  result.kernel_size_ = kernel_size;
  result.in_channels_ = in_channels;
  result.out_channels_ = words.size(taps == 1 ? 1 : 2);
  check_array(words, "words", array_shape(taps, result.padded_in_channels() * bits / kWordBits, result.out_channels_));
  check_array(scales, "scales", array_shape(taps, result.groups(), result.out_channels_));
  check_array(biases, "biases", array_shape(taps, result.groups(), result.out_channels_));
  result.words_ = std::move(words);
  result.scales_ = std::move(scales);
  result.biases_ = std::move(biases);
  return result;
}

Tensor QuantizedWeight::dequantize() const {
  Tensor result =
      Tensor::empty(scales_.dtype(), {out_channels_, kernel_size_.x, kernel_size_.y, kernel_size_.z, in_channels_});
  for (int64_t out = 0; out < out_channels_; ++out) {
    for (int64_t tap = 0; tap < taps(); ++tap) {
      const int64_t first = (out * taps() + tap) * in_channels_;
      if (scales_.dtype() == DType::f16) {
        dequantize_row(*this, tap, out, result.mutable_data<Float16>() + first);
      } else {
        dequantize_row(*this, tap, out, result.mutable_data<float>() + first);
      }
    }
  }
  return result;
}

uint32_t QuantizedWeight::code(int64_t tap, int64_t in_channel, int64_t out_channel) const noexcept {
  const int64_t codes_per_word = kWordBits / bits_;
  const Lane words = lane(taps(), tap, padded_in_channels() / codes_per_word, out_channel, out_channels_);
  const uint32_t word = static_cast<const uint32_t*>(words_.raw())[words.at(in_channel / codes_per_word)];
  return (word >> (in_channel % codes_per_word * bits_)) & ((1u << bits_) - 1u);
}

float QuantizedWeight::scale(int64_t tap, int64_t group, int64_t out_channel) const noexcept {
  return load(scales_, lane(taps(), tap, groups(), out_channel, out_channels_).at(group));
}

float QuantizedWeight::bias(int64_t tap, int64_t group, int64_t out_channel) const noexcept {
  return load(biases_, lane(taps(), tap, groups(), out_channel, out_channels_).at(group));
}

int64_t QuantizedWeight::nbytes() const noexcept {
  return static_cast<int64_t>(words_.nbytes() + scales_.nbytes() + biases_.nbytes());
}

double QuantizedWeight::bits_per_weight() const noexcept {
  const double weights =
      static_cast<double>(out_channels_) * static_cast<double>(taps()) * static_cast<double>(in_channels_);
  return 8.0 * static_cast<double>(nbytes()) / weights;
}

}  // namespace lattice
