#include "cpu/panel_weight.h"

#include <gtest/gtest.h>

#include <cstring>

#include "cpu/forced_isa.h"
#include "cpu/kernels/select.h"
#include "lattice/feature.h"
#include "lattice/random.h"
#include "lattice/session.h"

namespace lattice::cpu {
namespace {

Tensor random_dense(DType dtype, Shape shape) {
  Random random(1);
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    tensor.mutable_data<float>()[i] = static_cast<float>(random.normal());
  }
  return tensor.to(dtype);
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.nbytes() == b.nbytes() && std::memcmp(a.raw(), b.raw(), a.nbytes()) == 0;
}

TEST(PanelWeight, HoldsAFloatingWeightBitForBit) {
  for (const int64_t out_channels : {1, 5, 16, 64, 70}) {
    const Tensor dense = random_dense(DType::f32, {out_channels, 2, 1, 3, 7});
    const PanelWeight panels(ConvWeight(dense), select_kernels().kernels);
    EXPECT_TRUE(panels.is_whole());
    EXPECT_TRUE(same_bits(panels.unpacked(), dense)) << out_channels;
  }
}

TEST(PanelWeight, HoldsABf16WeightBitForBitWhereItIsMultipliedSo) {
  const ForcedIsa plain("scalar");
  for (const int64_t out_channels : {1, 5, 16, 70}) {
    for (const int64_t channels : {1, 7, 8}) {
      const Tensor dense = random_dense(DType::bf16, {out_channels, 2, 1, 3, channels});
      const PanelWeight panels(ConvWeight(dense), select_kernels().kernels);
      EXPECT_TRUE(panels.is_bf16());
      EXPECT_TRUE(panels.is_whole());
      EXPECT_TRUE(same_bits(panels.unpacked(), dense)) << out_channels << ", " << channels;
    }
  }
}

TEST(PanelWeight, DoesNotReplaceWeightsThatItWidens) {
  const Tensor dense = random_dense(DType::f16, {5, 1, 1, 1, 7});
  EXPECT_FALSE(PanelWeight(ConvWeight(dense), select_kernels().kernels).is_whole());
}

TEST(PanelWeight, ReplacesTheLayoutThatAWeightCameIn) {
  const Tensor dense = random_dense(DType::f32, {5, 1, 1, 1, 7}), x = random_dense(DType::f32, {3, 7});
  const ConvWeight weight(dense);
  Session session, reference({.backend = BackendKind::reference});
  const Tensor y = linear(session, x, weight);
  EXPECT_TRUE(same_bits(weight.dense(), dense));
  EXPECT_EQ(weight.dense().shape(), dense.shape());
  EXPECT_EQ(weight.nbytes(), static_cast<int64_t>(dense.nbytes()));
  const Tensor expected = linear(reference, x, weight);
  for (int64_t i = 0; i < y.elements(); ++i) EXPECT_NEAR(y.data<float>()[i], expected.data<float>()[i], 1e-5);
}

}  // namespace
}  // namespace lattice::cpu
