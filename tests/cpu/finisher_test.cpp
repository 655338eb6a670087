// Outputs that are too large for a cache are stored past it; to their values that makes no difference.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "lattice/conv.h"
#include "lattice/random.h"
#include "lattice/session.h"

namespace lattice {
namespace {

constexpr int64_t kInputs = 16, kOutputs = 96;
constexpr int64_t kRows = 256;  // of a batch

Tensor random_tensor(Random& random, Shape shape) {
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  float* const values = tensor.mutable_data<float>();
  for (int64_t i = 0; i < tensor.elements(); ++i) values[i] = static_cast<float>(random.normal());
  return tensor;
}

/// Every second place of a cube of 8x8x8, in so many batches, which are all alike.
SparseTensor cubes(int64_t batches) {
  Random random(1);
  const Tensor features = random_tensor(random, {kRows, kInputs});
  std::vector<Coord> coords;
  Tensor all = Tensor::empty(DType::f32, {kRows * batches, kInputs});
  for (int64_t batch = 0; batch < batches; ++batch) {
    for (int32_t at = 0; at < 2 * kRows; at += 2) {
      coords.push_back({static_cast<int32_t>(batch), at >> 6, at >> 3 & 7, (at & 7) + (at >> 3 & 1)});
    }
    std::copy_n(features.data<float>(), features.elements(), all.mutable_data<float>() + batch * features.elements());
  }
  return {CoordSet::make(coords, 2), all};
}

/// Compares the outputs of one batch, 96 KiB or eight times as many bytes, with those of 60.
void expect_many_like_one(const std::function<SparseTensor(Session&, const SparseTensor&)>& layer) {
  constexpr int64_t kBatches = 60;
  Session session({.threads = 1});
  const SparseTensor one = layer(session, cubes(1));
  const auto count = one.features().elements();
  for (const int threads : {1, 3}) {
    Session other({.threads = threads});
    const SparseTensor many = layer(other, cubes(kBatches));
    ASSERT_EQ(many.features().elements(), kBatches * count);
    ASSERT_GT(many.features().nbytes(), size_t{5} << 20);
    for (int64_t batch = 0; batch < kBatches; ++batch) {
      const float* const values = many.features().data<float>() + batch * count;
      EXPECT_TRUE(std::equal(values, values + count, one.features().data<float>())) << "batch " << batch;
    }
  }
}

class LargeOutputs : public testing::TestWithParam<ActivationKind> {
 protected:
  Epilogue epilogue() { return {.bias = random_tensor(random_, {kOutputs}), .activation = {.kind = GetParam()}}; }
  ConvWeight weight(Shape shape) { return ConvWeight(random_tensor(random_, std::move(shape))); }

 private:
  Random random_ = Random(2);
};

INSTANTIATE_TEST_SUITE_P(, LargeOutputs,
                         testing::Values(ActivationKind::none, ActivationKind::relu, ActivationKind::leaky_relu,
                                         ActivationKind::sigmoid),
                         [](const auto& kind) { return std::to_string(static_cast<int>(kind.param)); });

TEST_P(LargeOutputs, OfSums) {
  const ConvWeight weight = this->weight({kOutputs, 3, 3, 3, kInputs});
  const Epilogue epilogue = this->epilogue();
  expect_many_like_one([&](Session& session, const SparseTensor& x) {
    return subm_conv3d(session, x, weight, ConvGeometry({.kernel_size = 3}), epilogue);
  });
}

TEST_P(LargeOutputs, OfWholeRows) {
  const ConvWeight weight = this->weight({kOutputs, kInputs});
  const Epilogue epilogue = this->epilogue();
  expect_many_like_one([&](Session& session, const SparseTensor& x) {
    return conv3d(session, x, weight, ConvGeometry({.kernel_size = 1}), nullptr, epilogue);
  });
}

TEST_P(LargeOutputs, OfWholeRowsOfEdges) {
  const ConvWeight weight = this->weight({kOutputs, 2, 2, 2, kInputs});
  const Epilogue epilogue = this->epilogue();
  expect_many_like_one([&](Session& session, const SparseTensor& x) {
    return conv_transpose3d(session, x, weight, ConvGeometry({.kernel_size = 2, .stride = 2}), nullptr, epilogue);
  });
}

}  // namespace
}  // namespace lattice
