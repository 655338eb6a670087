#pragma once

#include <bit>
#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "lattice/dtype.h"

// The vector policy in plain C++, for any number of lanes: what machines without a better set run, and
// what the tests take to run the generic body in the shape of a set that the machine at hand lacks.

namespace lattice::cpu {
namespace {

template <int Lanes, int Vectors, int Rows>
struct PlainVector {
  static constexpr int kLanes = Lanes;
  static constexpr int kVectors = Vectors;
  static constexpr int rows(int) { return Rows; }
  static constexpr int kFloatLoads = 0, kIntegerLoads = 0;  // see Avx512
  static constexpr int kNarrowVectors = 0;                  // see Avx512
  static constexpr int kHeldWeights = 0;

  struct Vector {
    float lane[kLanes];
  };
  static Vector load(const float* from) {
    return filled<Vector>([&](int i) { return from[i]; });
  }
  static void store(float* to, const Vector& v) {
    for (int i = 0; i < kLanes; ++i) to[i] = v.lane[i];
  }
  /// The lanes below `count`; others are zero, or stay as they are.
  using Mask = int64_t;
  static Mask first_lanes(int64_t count) { return count; }
  static Vector load(const float* from, Mask lanes) {
    return filled<Vector>([&](int i) { return i < lanes ? from[i] : 0.0F; });
  }
  static void store(float* to, const Vector& v, Mask lanes) {
    for (Mask i = 0; i < lanes; ++i) to[i] = v.lane[i];
  }
  static Vector broadcast(float value) {
    return filled<Vector>([&](int) { return value; });
  }
  static Vector add(const Vector& a, const Vector& b) {
    return filled<Vector>([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  /// Zero for what is below it; NaN stays.
  static Vector zero_below(const Vector& v) {
    return filled<Vector>([&](int i) { return v.lane[i] < 0 ? 0.0F : v.lane[i]; });
  }
  static Vector multiply(const Vector& a, const Vector& b) {
    return filled<Vector>([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static float total(const Vector& v) {
    float sum = v.lane[0];
    for (int i = 1; i < kLanes; ++i) sum += v.lane[i];
    return sum;
  }
  static Vector multiply_add(const Vector& a, const Vector& b, const Vector& c) {
    return filled<Vector>([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
  }

  struct Ints {
    uint32_t lane[kLanes];
  };
  static Ints zero_ints() {
    return filled<Ints>([](int) { return 0U; });
  }
  static Ints load_ints(const uint32_t* from) {
    return filled<Ints>([&](int i) { return from[i]; });
  }
  static void store_ints(uint32_t* to, const Ints& v) {
    for (int i = 0; i < kLanes; ++i) to[i] = v.lane[i];
  }
  template <typename Register>
  static void keep_in_register(const Register&) {}
  static Ints broadcast_int(uint32_t value) {
    return filled<Ints>([&](int) { return value; });
  }
  template <int Shift>
  static Ints shift_right(const Ints& v) {
    return filled<Ints>([&](int i) { return v.lane[i] >> Shift; });
  }
  static Ints mask(const Ints& v, uint32_t bits) {
    return filled<Ints>([&](int i) { return v.lane[i] & bits; });
  }
  static Vector to_floats(const Ints& v) {
    return filled<Vector>([&](int i) { return static_cast<float>(static_cast<int32_t>(v.lane[i])); });
  }
  /// Of 16 bits.
  static Ints add_words(const Ints& a, const Ints& b) {
    return filled<Ints>([&](int i) {
      constexpr uint32_t kUpper = 0xFFFF0000U;
      return ((a.lane[i] & kUpper) + (b.lane[i] & kUpper)) | ((a.lane[i] + b.lane[i]) & ~kUpper);
    });
  }
  static Ints dot_pairs(const Ints& acc, const Ints& values, const Ints& codes) {
    return filled<Ints>([&](int i) {
      const auto half = [&](const Ints& v, int shift) { return static_cast<int16_t>(v.lane[i] >> shift); };
      return acc.lane[i] + static_cast<uint32_t>(half(values, 0) * half(codes, 0)) +
             static_cast<uint32_t>(half(values, 16) * half(codes, 16));
    });
  }
  static Ints dot_quads(const Ints& acc, const Ints& values, const Ints& codes) {
    return filled<Ints>([&](int i) {
      uint32_t sum = acc.lane[i];
      for (int shift = 0; shift < 32; shift += 8) {
        const int value = static_cast<int8_t>(values.lane[i] >> shift);
        sum += static_cast<uint32_t>(value * static_cast<int>(codes.lane[i] >> shift & 0xFFU));
      }
      return sum;
    });
  }
  static Vector dot_bf16(const Vector& acc, const Ints& values, const Ints& weights) {
    return filled<Vector>([&](int i) {
      const auto product = [&](uint32_t value, uint32_t weight) {
        return std::bit_cast<float>(value) * std::bit_cast<float>(weight);
      };
      constexpr uint32_t kUpperHalf = 0xFFFF0000U;
      return acc.lane[i] + product(values.lane[i] & kUpperHalf, weights.lane[i] & kUpperHalf) +
             product(values.lane[i] << 16, weights.lane[i] << 16);
    });
  }

  static void widen_f16(const Widening& task) {
    for (int64_t i = 0; i < task.count; ++i) task.to[i] = static_cast<float>(Float16::from_bits(task.from[i]));
  }
  static void widen_bf16(const Widening& task) {
    for (int64_t i = 0; i < task.count; ++i) task.to[i] = static_cast<float>(BFloat16::from_bits(task.from[i]));
  }

 private:
  template <typename Lanewise, typename Value>
  [[gnu::always_inline]] static inline Lanewise filled(const Value& value) {
    Lanewise v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = value(i);
    return v;
  }
};

}  // namespace
}  // namespace lattice::cpu
