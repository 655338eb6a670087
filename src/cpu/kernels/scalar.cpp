#include "cpu/kernels/tile_gemm.h"
#include "lattice/dtype.h"

// Plain C++, four floats side by side, for every machine. No fused multiply-add is asked for.

namespace lattice::cpu {
namespace {

struct Scalar {
  static constexpr int kLanes = 4;
  static constexpr int kVectors = 2;
  static constexpr int kRows = 4;
  struct Vector {
    float lane[kLanes];
  };
  struct Codes {
    uint32_t lane[kLanes];
  };

  static Vector load(const float* from) { return {from[0], from[1], from[2], from[3]}; }
  static void store(float* to, Vector v) {
    for (int i = 0; i < kLanes; ++i) to[i] = v.lane[i];
  }
  static Vector broadcast(float value) { return {value, value, value, value}; }
  static Vector multiply_add(Vector a, Vector b, Vector c) {
    for (int i = 0; i < kLanes; ++i) c.lane[i] += a.lane[i] * b.lane[i];
    return c;
  }
  static Codes load_codes(const uint32_t* from) { return {from[0], from[1], from[2], from[3]}; }
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

extern const Kernels kScalar;
const Kernels kScalar = kernels_of<Scalar>("scalar");

}  // namespace lattice::cpu
