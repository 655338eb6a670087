#include "lattice/feature.h"

#include "ops/sparse_examples.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;

constexpr double kUnit = 0x1p-24;  // float32's unit roundoff

constexpr ActivationKind kActivations[] = {ActivationKind::none,     ActivationKind::relu, ActivationKind::sigmoid,
                                           ActivationKind::tanh,     ActivationKind::silu, ActivationKind::leaky_relu,
                                           ActivationKind::softplus, ActivationKind::gelu, ActivationKind::gelu_tanh,
                                           ActivationKind::gelu_fast};

/// The formulas of epilogue.h once more, in double.
double activated(const Activation& a, double x) {
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const double beta = a.beta, pi = 3.14159265358979323846;
  switch (a.kind) {
    case ActivationKind::none:
      return x;
    case ActivationKind::relu:
      return std::max(x, 0.0);
    case ActivationKind::sigmoid:
      return sigmoid(x);
    case ActivationKind::tanh:
      return std::tanh(x);
    case ActivationKind::silu:
      return x * sigmoid(x);
    case ActivationKind::leaky_relu:
      return x >= 0 ? x : double{a.alpha} * x;
    case ActivationKind::softplus:
      return beta * x > double{a.threshold} ? x : std::log(1 + std::exp(beta * x)) / beta;
    case ActivationKind::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case ActivationKind::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    case ActivationKind::gelu_fast:
      return x * sigmoid(1.702 * x);
  }
  return 0;
}

/// Each formula takes at most ten float32 operations whose results, and whose derivatives along the way, are at most
/// max(1, |x|); the two elementary functions of one are allowed three roundings each.
double activation_error(double x) {
  return 16 * kUnit * std::max(1.0, std::abs(x));
}

class FeatureTest : public ::testing::TestWithParam<BackendKind> {
 protected:
  Session session_{SessionOptions{.backend = GetParam(), .threads = 2}};
};
INSTANTIATE_TEST_SUITE_P(Backends, FeatureTest, both_backends(), backend_name);

TEST_P(FeatureTest, LinearIsAMatrixProduct) {
  const Tensor x = f32({1, 2, 3, 4, 5, 6}, {3, 2});
  const ConvWeight weight(f32({1, 0, 2, -1}, {2, 2}));  // y = (x0, 2 x0 - x1)
  EXPECT_THAT(numbers(linear(session_, x, weight)), ElementsAre(1, 0, 3, 2, 5, 4));
  const Epilogue epilogue = {.bias = f32({1, 1}, {2}),
                             .scale = f32({2, -1}, {2}),
                             .shift = f32({0, 10}, {2}),
                             .residual = f32({-10, 0, 0, 0, 0, -9}, {3, 2}),
                             .activation = {.kind = ActivationKind::relu}};
  EXPECT_THAT(numbers(linear(session_, x, weight, epilogue)), ElementsAre(0, 9, 8, 7, 12, 0));
}

TEST_P(FeatureTest, OutputsStandInColumns) {
  const Tensor x = f32({1, 2, 3, 4}, {2, 2});
  const ConvWeight weight(f32({1, 0, 2, -1}, {2, 2}));
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    Tensor wide;
    Epilogue epilogue = {.residual = f32({10, 20, 30, 40}, {2, 2}).to(dtype), .columns = {&wide, 3, 5}};
    linear(session_, x.to(dtype), weight, epilogue);
    epilogue.columns.first = 1;
    epilogue.residual = {};
    const Tensor y = linear(session_, x.to(dtype), weight, epilogue);
    EXPECT_EQ(y.raw(), wide.raw());
    ASSERT_EQ(wide.shape(), (Shape{2, 5}));
    const Tensor values = wide.to(DType::f32);
    for (const int64_t row : {0, 1}) {
      const float* at = values.data<float>() + row * 5;
      EXPECT_THAT(std::vector<float>(at + 1, at + 5), row == 0 ? ElementsAre(1, 0, 11, 20) : ElementsAre(3, 2, 33, 42));
    }
    expect_error(ErrorCode::invalid_argument, {"linear", "columns", "(2, 5)", "(2, 6)"}, [&] {
      linear(session_, x.to(dtype), weight, {.columns = {&wide, 0, 6}});
    });
  }
}

TEST_P(FeatureTest, ActivationsFollowTheirFormulas) {
  std::vector<float> values;
  for (int i = -80; i <= 80; ++i) values.push_back(static_cast<float>(i) / 8);
  values.insert(values.end(), {0.0F, 19.5F, 20.5F, 21.0F, 60.0F, -60.0F});
  const auto count = static_cast<int64_t>(values.size());
  for (const ActivationKind kind : kActivations) {
    for (const float beta : {1.0F, 2.0F}) {
      const Activation activation = {.kind = kind, .alpha = 0.125F, .beta = beta, .threshold = 20.0F};
      const std::vector<double> got = numbers(activate(session_, f32(values, {count, 1}), activation));
      for (size_t i = 0; i < values.size(); ++i) {
        const double wanted = activated(activation, values[i]);
        EXPECT_LE(std::abs(got[i] - wanted), activation_error(values[i]))
            << name(kind) << " of " << values[i] << ": " << got[i] << " for " << wanted;
      }
    }
  }
}

TEST_P(FeatureTest, ActivationsMeetTheirLimits) {
  const auto of = [&](ActivationKind kind, float x) {
    return numbers(activate(session_, f32({x}, {1, 1}), {.kind = kind}))[0];
  };
  EXPECT_EQ(of(ActivationKind::sigmoid, -1000), 0);
  EXPECT_EQ(of(ActivationKind::sigmoid, 1000), 1);
  EXPECT_EQ(of(ActivationKind::tanh, -1000), -1);
  EXPECT_EQ(of(ActivationKind::softplus, 1000), 1000);
  EXPECT_EQ(of(ActivationKind::softplus, -1000), 0);
  EXPECT_EQ(of(ActivationKind::silu, 1000), 1000);
  for (const ActivationKind kind :
       {ActivationKind::none, ActivationKind::sigmoid, ActivationKind::tanh, ActivationKind::gelu}) {
    EXPECT_TRUE(std::isnan(of(kind, std::numeric_limits<float>::quiet_NaN()))) << name(kind);
  }
}

TEST_P(FeatureTest, BatchNorm) {
  const Tensor x = f32({1, 10, 3, 18}, {2, 2});
  const Tensor scale = f32({2, 1}, {2}), shift = f32({0, 1}, {2}), mean = f32({1, 10}, {2}),
               variance = f32({4, 16}, {2});
  EXPECT_THAT(numbers(batch_norm(session_, x, scale, shift, mean, variance, 0)), ElementsAre(0, 1, 2, 3));
}

TEST_P(FeatureTest, LayerNorm) {
  const Tensor x = f32({1, 3, 7, 7}, {2, 2});  // means 2 and 7, variances 1 and 0
  const Tensor scale = f32({2, 3}, {2}), shift = f32({0, 1}, {2});
  EXPECT_THAT(numbers(layer_norm(session_, x.reshaped({2, 2}), scale, shift, 3)), ElementsAre(-1, 2.5, 0, 1));
}

TEST_P(FeatureTest, EmptyInput) {
  const Tensor x = Tensor::zeros(DType::bf16, {0, 2}), two = f32({1, 1}, {2});
  EXPECT_EQ(linear(session_, x, ConvWeight(f32({1, 1, 1, 1, 1, 1}, {3, 2}))).shape(), (Shape{0, 3}));
  EXPECT_EQ(activate(session_, x, {.kind = ActivationKind::gelu}).shape(), (Shape{0, 2}));
  EXPECT_EQ(batch_norm(session_, x, two, two, two, two).dtype(), DType::bf16);
  EXPECT_EQ(layer_norm(session_, x, two, two).shape(), (Shape{0, 2}));
}

TEST(FoldBatchNorm, IsOneScaleAndShift) {
  const ScaleShift folded =
      fold_batch_norm(f32({2, 1}, {2}), f32({0, 1}, {2}), f32({1, 10}, {2}), f32({4, 25}, {2}), 0);
  EXPECT_THAT(numbers(folded.scale), ElementsAre(1, static_cast<double>(0.2F)));
  EXPECT_THAT(numbers(folded.shift), ElementsAre(-1, -1));
  EXPECT_EQ(folded.scale.dtype(), DType::f32);
}

TEST(FoldBatchNorm, TakesSixteenBitVectors) {
  const Tensor one = f32({1}, {1}), half = f32({0.5F}, {1});
  const ScaleShift folded = fold_batch_norm(one.to(DType::f16), half.to(DType::bf16), half, one.to(DType::bf16), 0);
  EXPECT_THAT(numbers(folded.scale), ElementsAre(1));
  EXPECT_THAT(numbers(folded.shift), ElementsAre(0));
}

TEST(FoldBatchNorm, IsRoundedOnceFromDouble) {
  // With mean = 3 and scale = 1/3 of a float, the shift cancels to what a product rounded to float would have lost.
  const float third = 1.0F / 3.0F;
  const ScaleShift folded = fold_batch_norm(f32({third}, {1}), f32({1}, {1}), f32({3}, {1}), f32({1}, {1}), 0);
  EXPECT_EQ(numbers(folded.shift)[0], 1 - 3 * static_cast<double>(third));
}

class FeatureComparison : public ::testing::TestWithParam<DType> {
 protected:
  Session cpu_{SessionOptions{.backend = BackendKind::cpu, .threads = 2}};
  Session reference_{SessionOptions{.backend = BackendKind::reference}};
  Random random_{31};
};
INSTANTIATE_TEST_SUITE_P(Types, FeatureComparison, ::testing::Values(DType::f32, DType::f16, DType::bf16),
                         [](const auto& tested) { return std::string(name(tested.param)); });

TEST_P(FeatureComparison, Activations) {
  const Tensor x = random_tensor(random_, {150, 13}, GetParam(), -12, 12);
  const std::vector<double> in = numbers(x);
  for (const ActivationKind kind : kActivations) {
    const Tensor expected = activate(reference_, x, {.kind = kind});
    const std::vector<double> out = numbers(expected);
    std::vector<double> bound(out.size());
    for (size_t i = 0; i < out.size(); ++i) bound[i] = stored_difference(GetParam(), out[i], activation_error(in[i]));
    expect_within(activate(cpu_, x, {.kind = kind}), expected, bound);
  }
}

TEST_P(FeatureComparison, Linear) {
  for (const auto& [rows, in_channels, out_channels] :
       {std::array{1, 3, 2}, std::array{70, 33, 19}, std::array{40, 64, 32}}) {
    const Tensor x = random_tensor(random_, {rows, in_channels}, GetParam());
    const Tensor w = random_tensor(random_, {out_channels, in_channels}, GetParam());
    Epilogue epilogue;
    epilogue.bias = random_tensor(random_, {out_channels});
    epilogue.residual = random_tensor(random_, {rows, out_channels}, GetParam());
    const Tensor expected = linear(reference_, x, ConvWeight(w), epilogue);
    const std::vector<double> a = numbers(x), b = numbers(w), out = numbers(expected), bias = numbers(epilogue.bias),
                              residual = numbers(epilogue.residual);
    std::vector<double> bound(out.size());
    for (size_t i = 0; i < out.size(); ++i) {
      const size_t depth = static_cast<size_t>(in_channels), row = i / static_cast<size_t>(out_channels),
                   column = i % static_cast<size_t>(out_channels);
      double absolute = std::abs(bias[column]) + std::abs(residual[i]);
      for (size_t k = 0; k < depth; ++k) absolute += std::abs(a[row * depth + k] * b[column * depth + k]);
      // A product is rounded once and goes through at most depth + 2 additions, whatever their order.
      bound[i] = stored_difference(GetParam(), out[i], (in_channels + 3) * kUnit * absolute * 1.001);
    }
    expect_within(linear(cpu_, x, ConvWeight(w), epilogue), expected, bound);
  }
}

TEST_P(FeatureComparison, BatchNorm) {
  const int64_t channels = 21;
  const Tensor x = random_tensor(random_, {90, channels}, GetParam());
  const Tensor scale = random_tensor(random_, {channels}), shift = random_tensor(random_, {channels}),
               mean = random_tensor(random_, {channels}),
               variance = random_tensor(random_, {channels}, DType::f32, 0.01, 3);
  const Tensor expected = batch_norm(reference_, x, scale, shift, mean, variance);
  const std::vector<double> in = numbers(x), out = numbers(expected), s = numbers(scale), t = numbers(shift),
                            m = numbers(mean), v = numbers(variance);
  std::vector<double> bound(out.size());
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t c = i % static_cast<size_t>(channels);
    const double factor = std::abs(s[c]) / std::sqrt(v[c] + 1e-5);
    // At most eight roundings on the way of each of x * factor, mean * factor and shift, folded beforehand or not.
    bound[i] = stored_difference(GetParam(), out[i],
                                 8 * kUnit * ((std::abs(in[i]) + std::abs(m[c])) * factor + std::abs(t[c])));
  }
  expect_within(batch_norm(cpu_, x, scale, shift, mean, variance), expected, bound);
}

TEST_P(FeatureComparison, LayerNorm) {
  const int64_t rows = 60, channels = 45;
  const Tensor x = random_tensor(random_, {rows, channels}, GetParam(), -1, 3);
  const Tensor scale = random_tensor(random_, {channels}), shift = random_tensor(random_, {channels});
  const Tensor expected = layer_norm(reference_, x, scale, shift);
  const std::vector<double> in = numbers(x), out = numbers(expected), s = numbers(scale), t = numbers(shift);
  std::vector<double> bound(out.size());
  const auto n = static_cast<double>(channels);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    const double* const values = in.data() + row * static_cast<size_t>(channels);
    double mean = 0, absolute = 0, variance = 0;
    for (int64_t c = 0; c < channels; ++c) mean += values[c] / n, absolute += std::abs(values[c]) / n;
    for (int64_t c = 0; c < channels; ++c) variance += (values[c] - mean) * (values[c] - mean) / n;
    const double deviation = std::sqrt(variance + 1e-5);
    const double mean_error = (n + 1) * kUnit * absolute;                     // n - 1 additions, a division
    const double deviation_error = mean_error + (n + 6) * kUnit * deviation;  // triangle inequality, then its own sum
    for (int64_t c = 0; c < channels; ++c) {
      const double distance = std::abs(values[c] - mean), unit = std::abs(s[static_cast<size_t>(c)]) / deviation;
      const double error = unit * (mean_error + distance * (deviation_error / deviation + 5 * kUnit)) +
                           kUnit * std::abs(t[static_cast<size_t>(c)]);
      const size_t i = row * static_cast<size_t>(channels) + static_cast<size_t>(c);
      bound[i] = stored_difference(GetParam(), out[i], 1.01 * error);
    }
  }
  expect_within(layer_norm(cpu_, x, scale, shift), expected, bound);
}

}  // namespace
}  // namespace lattice
