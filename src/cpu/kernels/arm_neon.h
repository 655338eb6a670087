#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "cpu/kernels/kernels.h"

// The vector policy of NEON, as every 64-bit ARM has it.

namespace lattice::cpu {
namespace {

struct Neon {
  static constexpr int kLanes = 4;
  static constexpr int kVectors = 4;
  /// 6 rows x 4 vectors are 24 accumulators, which with 4 weights and a broadcast fill 29 of the 32 registers, and take
  /// 10 loads for 24 multiply-adds: cores do two or three loads, and two or four multiply-adds, a cycle.
  static constexpr int rows(int vectors) { return vectors == 1 ? 12 : vectors == 4 ? 6 : 8; }
  static constexpr int kFloatLoads = 0, kIntegerLoads = 0;  // see Avx512
  static constexpr int kNarrowVectors = 0;                  // see Avx512
  static constexpr int kHeldWeights = 0;

  using Vector = float32x4_t;
  static Vector load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, Vector v) { vst1q_f32(to, v); }
  /// The lanes below `count`; others are zero, or stay as they are.
  using Mask = int64_t;
  static Mask first_lanes(int64_t count) { return count; }
  static Vector load(const float* from, Mask lanes) {
    float all[kLanes] = {};
    for (Mask i = 0; i < lanes; ++i) all[i] = from[i];
    return vld1q_f32(all);
  }
  static void store(float* to, Vector v, Mask lanes) {
    if (lanes == kLanes) return vst1q_f32(to, v);
    float all[kLanes];
    vst1q_f32(all, v);
    for (Mask i = 0; i < lanes; ++i) to[i] = all[i];
  }
  static Vector broadcast(float value) { return vdupq_n_f32(value); }
  static Vector add(Vector a, Vector b) { return vaddq_f32(a, b); }
  static Vector multiply(Vector a, Vector b) { return vmulq_f32(a, b); }
  /// Zero for what is below it; NaN stays.
  static Vector zero_below(Vector v) { return vbslq_f32(vcltzq_f32(v), vdupq_n_f32(0), v); }
  static float total(Vector v) { return vaddvq_f32(v); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }

  using Ints = uint32x4_t;
  static Ints zero_ints() { return vdupq_n_u32(0); }
  static Ints load_ints(const uint32_t* from) { return vld1q_u32(from); }
  static void store_ints(uint32_t* to, Ints v) { vst1q_u32(to, v); }
  static Ints broadcast_int(uint32_t value) { return vdupq_n_u32(value); }
  static void keep_in_register(Ints& v) { asm("" : "+w"(v)); }
  template <int Shift>
  static Ints shift_right(Ints v) {
    if constexpr (Shift == 0) return v;  // which vshrq does not take
    return vshrq_n_u32(v, Shift > 0 ? Shift : 1);
  }
  static Ints mask(Ints v, uint32_t bits) { return vandq_u32(v, vdupq_n_u32(bits)); }
  static Vector to_floats(Ints v) { return vcvtq_f32_s32(vreinterpretq_s32_u32(v)); }
  /// Of 16 bits.
  static Ints add_words(Ints a, Ints b) {
    return vreinterpretq_u32_u16(vaddq_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b)));
  }

  /// Four instructions for 8 products: not faster than the two multiply-adds of floats, but there for whoever asks.
  static Ints dot_pairs(Ints acc, Ints values, Ints codes) {
    const int16x8_t a = vreinterpretq_s16_u32(values), b = vreinterpretq_s16_u32(codes);
    const int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
    return vaddq_u32(acc, vreinterpretq_u32_s32(vpaddq_s32(low, vmull_high_s16(a, b))));
  }

  static void widen_f16(const Widening& task) {
    widen(task, [](uint16x4_t halves) { return vcvt_f32_f16(vreinterpret_f16_u16(halves)); });
  }
  static void widen_bf16(const Widening& task) {
    widen(task, [](uint16x4_t halves) { return vreinterpretq_f32_u32(vshll_n_u16(halves, 16)); });
  }

 private:
  template <typename Convert>
  static void widen(const Widening& task, const Convert& convert) {
    int64_t i = 0;
    for (; i + kLanes <= task.count; i += kLanes) store(task.to + i, convert(vld1_u16(task.from + i)));
    for (; i < task.count; ++i) task.to[i] = vgetq_lane_f32(convert(vdup_n_u16(task.from[i])), 0);
  }
};

}  // namespace
}  // namespace lattice::cpu
