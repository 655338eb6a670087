#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "lattice/dtype.h"

// The vector policy of tile_gemm.h in plain C++, for any number of lanes: what machines without a better set run, and
// what the tests take to run the generic body in the shape of a set that the machine at hand lacks.

namespace lattice::cpu {
namespace {

template <int Lanes, int Vectors, int Rows>
struct PlainVector {
  static constexpr int kLanes = Lanes;
  static constexpr int kVectors = Vectors;
  static constexpr int kRows = Rows;
  struct Vector {
    float lane[kLanes];
  };
  struct Codes {
    uint32_t lane[kLanes];
  };

  static Vector load(const float* from) {
    Vector v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = from[i];
    return v;
  }
  static void store(float* to, Vector v) {
    for (int i = 0; i < kLanes; ++i) to[i] = v.lane[i];
  }
  static Vector broadcast(float value) {
    Vector v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = value;
    return v;
  }
  static Vector multiply_add(Vector a, Vector b, Vector c) {
    for (int i = 0; i < kLanes; ++i) c.lane[i] += a.lane[i] * b.lane[i];
    return c;
  }
  static Codes load_codes(const uint32_t* from) {
    Codes codes;
    for (int i = 0; i < kLanes; ++i) codes.lane[i] = from[i];
    return codes;
  }
  template <int Bits>
  static Vector low_code(Codes codes) {
    Vector v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = static_cast<float>(codes.lane[i] & ((1U << Bits) - 1));
    return v;
  }
  template <int Bits>
  static Codes drop_code(Codes codes) {
    for (int i = 0; i < kLanes; ++i) codes.lane[i] >>= Bits;
    return codes;
  }
  static void widen_f16(const Widening& task) {
    for (int64_t i = 0; i < task.count; ++i) task.to[i] = static_cast<float>(Float16::from_bits(task.from[i]));
  }
  static void widen_bf16(const Widening& task) {
    for (int64_t i = 0; i < task.count; ++i) task.to[i] = static_cast<float>(BFloat16::from_bits(task.from[i]));
  }
};

}  // namespace
}  // namespace lattice::cpu
