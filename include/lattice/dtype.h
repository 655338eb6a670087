#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lattice {

/// Element types of a Tensor. Activations and floating weights are f32, f16 or bf16; packed codes are u32 words.
enum class DType : uint8_t { f32, f16, bf16, f64, i8, u8, i16, u16, i32, u32, i64, u64, boolean };

/// Bytes of one element.
size_t size_of(DType dtype) noexcept;

/// The type's own spelling: "f32", "bf16", ...
std::string_view name(DType dtype) noexcept;

/// True for f32, f16 and bf16, the types that features and floating weights may have.
bool is_feature_type(DType dtype) noexcept;

/// IEEE 754 binary16. Conversion from float rounds to nearest, ties to even; values beyond 65504 become infinite, and
/// a NaN stays a NaN. Conversion to float is exact.
struct Float16 {
  uint16_t bits = 0;

  Float16() = default;
  explicit Float16(float value) noexcept;
  explicit operator float() const noexcept;
  static Float16 from_bits(uint16_t bits) noexcept {
    Float16 half;
    half.bits = bits;
    return half;
  }
};

/// The upper half of a binary32. Conversion from float rounds to nearest, ties to even; a NaN stays a NaN.
struct BFloat16 {
  uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) noexcept;
  explicit operator float() const noexcept { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
  static BFloat16 from_bits(uint16_t bits) noexcept {
    BFloat16 half;
    half.bits = bits;
    return half;
  }
};

static_assert(sizeof(Float16) == 2 && sizeof(BFloat16) == 2);

/// The value as an element of f16 or bf16 holds it; itself for every other type.
float rounded_to(float value, DType dtype) noexcept;

/// dtype_of<T>: the DType that stores a T.
template <typename T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0, "no DType stores this type");
  return DType::f32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<Float16> = DType::f16;
template <>
inline constexpr DType dtype_of<BFloat16> = DType::bf16;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<int8_t> = DType::i8;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::u8;
template <>
inline constexpr DType dtype_of<int16_t> = DType::i16;
template <>
inline constexpr DType dtype_of<uint16_t> = DType::u16;
template <>
inline constexpr DType dtype_of<int32_t> = DType::i32;
template <>
inline constexpr DType dtype_of<uint32_t> = DType::u32;
template <>
inline constexpr DType dtype_of<int64_t> = DType::i64;
template <>
inline constexpr DType dtype_of<uint64_t> = DType::u64;
template <>
inline constexpr DType dtype_of<bool> = DType::boolean;

}  // namespace lattice
