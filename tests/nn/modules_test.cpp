#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "conv_oracle.h"
#include "exact_error.h"
#include "lattice/error.h"
#include "lattice/nn.h"
#include "lattice/random.h"
#include "quantization_step.h"

namespace lattice {
namespace {

Tensor random_tensor(const Shape& shape, uint64_t seed, DType dtype = DType::f32) {
  Tensor tensor = Tensor::empty(DType::f32, shape);
  Random random(seed);
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    tensor.mutable_data<float>()[i] = static_cast<float>(random.uniform(-1, 1));
  }
  return tensor.to(dtype);
}

/// Distinct coordinates, some below zero, in two batches, on the lattice of a stride.
SparseTensor input(int64_t channels, Triple stride = 1, DType dtype = DType::f32) {
  Random random(11);
  std::vector<Coord> coords;
  for (int32_t i = 0; i < 512; ++i) {
    if (random.uniform() < 0.3) coords.push_back({i / 256, i / 64 % 4 - 2, i / 8 % 8 - 3, i % 8});
  }
  const auto rows = static_cast<int64_t>(coords.size());
  return {CoordSet::make(std::move(coords), stride), random_tensor({rows, channels}, 12, dtype)};
}

std::vector<float> floats(const Tensor& tensor) {
  const Tensor values = tensor.to(DType::f32);
  return {values.data<float>(), values.data<float>() + values.elements()};
}

/// A backend, and on the cpu how packed weights are multiplied.
struct Tested {
  BackendKind backend;
  Numerics numerics;
};

std::string name_of(const ::testing::TestParamInfo<Tested>& tested) {
  if (tested.param.backend == BackendKind::reference) return "reference";
  return "cpu_" + std::string(name(tested.param.numerics));
}

class Modules : public ::testing::TestWithParam<Tested> {
 protected:
  Session session{{.backend = GetParam().backend, .threads = 2, .numerics = GetParam().numerics}};

  /// Each output and its bound under the numerics that run.
  Oracle oracle_of(const SparseTensor& x, const EdgeList& edges, int64_t rows, const ConvWeight& weight,
                   const Tensor& bias) const {
    const OracleWeight values = weight.is_packed() ? oracle_weight(weight.packed()) : oracle_weight(weight.dense());
    return convolve_oracle(x.features(), edges, rows, values, bias, session.numerics(x.dtype()));
  }

  /// A packed module against the double-precision convolution with what its codes stand for.
  void check(const SparseTensor& y, const SparseTensor& x, const ConvModule& module, RelationKind kind,
             const Support& target = nullptr) {
    const RelatedSupport related = session.relate(kind, x.support(), module.geometry(), target);
    EXPECT_TRUE(within(y.features(), oracle_of(x, related.relation->edge_list(), related.output->rows(),
                                               module.weight(), module.bias())));
    EXPECT_EQ(y.dtype(), x.dtype());
    EXPECT_EQ(y.stride(), related.output->stride());
    ASSERT_EQ(y.rows(), related.output->rows());
    EXPECT_TRUE(
        std::equal(y.support()->coords().begin(), y.support()->coords().end(), related.output->coords().begin()));
  }

  /// The packed module against the floating one that holds the dequantized weight: the same sums, so at most both
  /// bounds, the floating one's being that of decoded weights.
  void check_equal(const SparseTensor& packed, const SparseTensor& floating, const SparseTensor& x,
                   const ConvModule& module, RelationKind kind) {
    ASSERT_EQ(packed.support(), floating.support());
    const RelatedSupport related = session.relate(kind, x.support(), module.geometry());
    const EdgeList edges = related.relation->edge_list();
    const Oracle own = oracle_of(x, edges, related.output->rows(), module.weight(), module.bias());
    const Oracle decoded = convolve_oracle(x.features(), edges, related.output->rows(),
                                           oracle_weight(module.weight().packed()), module.bias(), Numerics::float32);
    EXPECT_TRUE(within(packed.features(), widened(own, decoded), floating.features()));
  }
};

INSTANTIATE_TEST_SUITE_P(backends, Modules,
                         ::testing::Values(Tested{BackendKind::cpu, Numerics::automatic},
                                           Tested{BackendKind::cpu, Numerics::float32},
                                           Tested{BackendKind::cpu, Numerics::int16},
                                           Tested{BackendKind::cpu, Numerics::int8},
                                           Tested{BackendKind::reference, Numerics::automatic}),
                         name_of);

TEST(modules, have_the_specified_defaults) {
  const Conv3d conv({.in_channels = 4, .out_channels = 6});
  EXPECT_EQ(conv.geometry(), ConvGeometry({.kernel_size = 3, .stride = 1, .padding = 0, .dilation = 1}));
  EXPECT_EQ(conv.support(), SupportRule::forward);
  EXPECT_EQ(conv.weight().dense().shape(), (Shape{6, 3, 3, 3, 4}));
  EXPECT_EQ(conv.bias().shape(), Shape{6});
  EXPECT_EQ(conv.nbytes(), 4 * (6 * 27 * 4 + 6));
  const SubmConv3d subm({.in_channels = 4, .out_channels = 6});
  EXPECT_EQ(subm.geometry(), conv.geometry());
  const ConvTranspose3d transposed({.in_channels = 4, .out_channels = 6});
  EXPECT_EQ(transposed.geometry(), ConvGeometry({.kernel_size = 2, .stride = 2, .padding = 0, .dilation = 1}));
  const GenerativeConvTranspose3d generative({.in_channels = 4, .out_channels = 6});
  EXPECT_EQ(generative.geometry(), transposed.geometry());

  const QuantizedSubmConv3d packed({.in_channels = 4, .out_channels = 6});
  EXPECT_EQ(packed.weight().packed().bits(), 4);
  EXPECT_EQ(packed.weight().packed().group_size(), 32);
  EXPECT_EQ(packed.geometry(), conv.geometry());
  EXPECT_EQ(packed.bias().shape(), Shape{6});
  EXPECT_EQ(QuantizedConv3d({.in_channels = 64, .out_channels = 2, .bias = false}).weight().packed().group_size(), 64);
  EXPECT_EQ(QuantizedConvTranspose3d({.in_channels = 4, .out_channels = 6}).geometry(), transposed.geometry());
  EXPECT_EQ(QuantizedGenerativeConvTranspose3d({.in_channels = 4, .out_channels = 6}).geometry(),
            transposed.geometry());
  EXPECT_EQ(QuantizedLinear({.in_channels = 4, .out_channels = 6}).weight().packed().taps(), 1);
}

TEST(modules, draw_their_weights_uniformly_from_the_seed) {
  const Conv3dOptions options = {.in_channels = 16, .out_channels = 32, .seed = 5};
  const std::vector<float> weight = floats(Conv3d(options).weight().dense());
  EXPECT_EQ(weight, floats(Conv3d(options).weight().dense()));
  EXPECT_NE(weight, floats(Conv3d({.in_channels = 16, .out_channels = 32, .seed = 6}).weight().dense()));
  const double bound = std::sqrt(1.0 / (16 * 27));
  double largest = 0, sum = 0, square = 0;
  for (const double value : weight) {
    largest = std::max(largest, std::fabs(value));
    sum += value / bound;
    square += value * value / (bound * bound);
  }
  const auto count = static_cast<double>(weight.size());
  EXPECT_LE(largest, bound * (1 + 0x1p-24));  // rounded to float32 once
  EXPECT_GT(largest, bound * 0.99);
  // Uniform on +-1: variance 1/3 and, of the square, 4/45; five standard deviations of the means.
  EXPECT_LT(std::fabs(sum / count), 5 * std::sqrt(1 / (3 * count)));
  EXPECT_LT(std::fabs(square / count - 1.0 / 3), 5 * std::sqrt(4 / (45 * count)));
  for (const float value : floats(Conv3d(options).bias())) EXPECT_EQ(value, 0.0F);
}

TEST(modules, pack_the_same_initial_weights) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const SubmConv3dOptions options = {.in_channels = 40, .out_channels = 3, .dtype = dtype, .seed = 2};
    const QuantizedSubmConv3d packed(options, {.bits = 8, .group_size = 128});
    const auto from_conv = QuantizedSubmConv3d::from_conv(SubmConv3d(options), 128, 8);
    EXPECT_EQ(packed.weight().packed().group_size(), 128);
    EXPECT_EQ(floats(packed.weight().packed().dequantize()), floats(from_conv.weight().packed().dequantize()));
    EXPECT_EQ(packed.bias().dtype(), dtype);
    EXPECT_EQ(SubmConv3d(options).weight().dense().dtype(), dtype);
  }
}

TEST_P(Modules, from_conv_convolves_with_the_dequantized_weight) {
  const Tensor bias = random_tensor({5}, 3);
  for (const int64_t bits : {4, 8}) {
    const SparseTensor x = input(20), coarse = input(20, 2);
    const Tensor spatial = random_tensor({5, 3, 3, 3, 20}, 4);

    const Conv3dOptions conv_options = {.kernel_size = 3, .stride = 2, .padding = 1};
    const auto conv = QuantizedConv3d::from_conv(Conv3d(conv_options, spatial, bias), 32, bits);
    const SparseTensor y = conv(session, x);
    check(y, x, conv, RelationKind::forward);
    check_equal(y, Conv3d(conv_options, conv.weight().packed().dequantize(), bias)(session, x), x, conv,
                RelationKind::forward);

    const auto subm = QuantizedSubmConv3d::from_conv(SubmConv3d({.dilation = 2}, spatial, bias), 64, bits);
    EXPECT_EQ(subm.geometry().dilation(), Triple(2));
    EXPECT_EQ(subm.weight().packed().group_size(), 64);
    const SparseTensor z = subm(session, x);
    EXPECT_EQ(z.support(), x.support()) << "the identity is kept";
    check(z, x, subm, RelationKind::submanifold);
    check_equal(z, SubmConv3d({.dilation = 2}, subm.weight().packed().dequantize(), bias)(session, x), x, subm,
                RelationKind::submanifold);

    const ConvTranspose3dOptions up_options = {.kernel_size = 3, .stride = 2, .padding = 1};
    const auto up = QuantizedConvTranspose3d::from_conv(ConvTranspose3d(up_options, spatial, bias), {}, bits);
    const SparseTensor fine = up(session, coarse);
    check(fine, coarse, up, RelationKind::transposed);
    check_equal(fine, ConvTranspose3d(up_options, up.weight().packed().dequantize(), bias)(session, coarse), coarse, up,
                RelationKind::transposed);

    const GenerativeConvTranspose3dOptions generative_options = {.kernel_size = 3};
    const auto generative = QuantizedGenerativeConvTranspose3d::from_conv(
        GenerativeConvTranspose3d(generative_options, spatial, bias), {}, bits);
    const SparseTensor many = generative(session, coarse);
    EXPECT_EQ(many.rows(), 27 * coarse.rows());
    check(many, coarse, generative, RelationKind::generative);
    check_equal(
        many,
        GenerativeConvTranspose3d(generative_options, generative.weight().packed().dequantize(), bias)(session, coarse),
        coarse, generative, RelationKind::generative);
  }
}

TEST_P(Modules, from_conv_keeps_support_rule_and_missing_bias) {
  const SparseTensor x = input(4);
  const Conv3dOptions options = {
      .in_channels = 4, .out_channels = 3, .stride = 2, .padding = 1, .bias = false, .support = SupportRule::regular};
  const auto packed = QuantizedConv3d::from_conv(Conv3d(options));
  EXPECT_EQ(packed.support(), SupportRule::regular);
  EXPECT_FALSE(packed.bias().defined());
  check(packed(session, x), x, packed, RelationKind::regular);
}

TEST_P(Modules, stay_near_their_source) {
  // Each weight is off by at most a step (see quantized_weight_test), so an output by sum |x| * step, and by how far
  // integers are off activations of at most 1, times sum |w|.
  const SparseTensor x = input(20);
  const SubmConv3d source({.in_channels = 20, .out_channels = 5});
  const auto packed = QuantizedSubmConv3d::from_conv(source, std::nullopt, 8);
  const SparseTensor y = source(session, x), z = packed(session, x);
  const double largest = std::sqrt(1.0 / (20 * 27)), step = 2 * largest / 255 * (1 + 0x1p-10);
  const double off = step + quantization_step(session.numerics()) * (largest + step);
  for (int64_t i = 0; i < y.rows() * 5; ++i) {
    EXPECT_NEAR(y.features().data<float>()[i], z.features().data<float>()[i], 20 * 27 * off);
  }
}

TEST_P(Modules, packed_pointwise_convolutions_take_stride_target_and_transpose) {
  const SparseTensor x = input(40), coarse = input(40, 2);
  const Tensor weight = random_tensor({5, 1, 1, 1, 40}, 4), bias = random_tensor({5}, 3);

  const auto plain = QuantizedConv3d::from_conv(Conv3d({.kernel_size = 1}, weight, bias));
  const SparseTensor y = plain(session, x);
  EXPECT_EQ(y.support(), x.support()) << "a matrix product keeps the identity";
  check(y, x, plain, RelationKind::pointwise);

  const auto subm = QuantizedSubmConv3d::from_conv(SubmConv3d({.kernel_size = 1}, weight, bias));
  const SparseTensor z = subm(session, x);
  EXPECT_EQ(z.support(), x.support());
  check(z, x, subm, RelationKind::submanifold);

  const auto strided = QuantizedConv3d::from_conv(Conv3d({.kernel_size = 1, .stride = 2}, weight, bias), 64, 8);
  check(strided(session, x), x, strided, RelationKind::forward);

  const Support target = CoordSet::make({{0, 1, 1, 1}, {1, -2, 0, 3}, {0, 100, 0, 0}, {1, 0, 2, 2}});
  check(plain(session, x, target), x, plain, RelationKind::target, target);
  EXPECT_EQ(plain(session, x, target).support(), target);

  const auto up = QuantizedConvTranspose3d::from_conv(ConvTranspose3d({.kernel_size = 1}, weight, bias));
  check(up(session, coarse), coarse, up, RelationKind::transposed);
  const Support fine = CoordSet::make({{0, 0, 0, 0}, {1, -4, -6, 2}, {0, 1, 1, 1}, {0, 2, 2, 2}});
  check(up(session, coarse, fine), coarse, up, RelationKind::target_transposed, fine);
}

TEST_P(Modules, take_empty_inputs) {
  const SparseTensor x(CoordSet::make(std::vector<Coord>{}, 2), Tensor::zeros(DType::f32, {0, 4}));
  EXPECT_EQ(QuantizedConv3d({.in_channels = 4, .out_channels = 3})(session, x).rows(), 0);
  EXPECT_EQ(QuantizedConv3d({.in_channels = 4, .out_channels = 3, .kernel_size = 1})(session, x).rows(), 0);
  EXPECT_EQ(QuantizedSubmConv3d({.in_channels = 4, .out_channels = 3})(session, x).channels(), 3);
  EXPECT_EQ(QuantizedConvTranspose3d({.in_channels = 4, .out_channels = 3})(session, x).rows(), 0);
  EXPECT_EQ(QuantizedGenerativeConvTranspose3d({.in_channels = 4, .out_channels = 3})(session, x).rows(), 0);
}

TEST_P(Modules, apply_the_callers_epilogue_after_their_bias) {
  const SparseTensor x = input(4);
  const QuantizedSubmConv3d conv({.in_channels = 4, .out_channels = 3},
                                 QuantizedWeight::pack(random_tensor({3, 3, 3, 3, 4}, 1)),
                                 Tensor::from(std::vector<float>{-1, 0, 1}, {3}));
  Epilogue relu;
  relu.activation.kind = ActivationKind::relu;
  const std::vector<float> plain = floats(conv(session, x).features()),
                           active = floats(conv(session, x, relu).features());
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(active[i], std::max(plain[i], 0.0F));

  Epilogue biased;
  biased.bias = Tensor::zeros(DType::f32, {3});
  expect_error([&] { (void)conv(session, x, biased); },
               "conv_module: the epilogue has a bias of shape (3), but the module has its own; leave one of them out");
}

TEST_P(Modules, linear_is_a_matrix_product_on_features) {
  const SparseTensor x = input(40);
  const Tensor weight = random_tensor({5, 40}, 4), bias = random_tensor({5}, 3);
  const Linear floating(weight, bias);
  const QuantizedLinear packed = QuantizedLinear::from_linear(floating, 64, 8);
  EXPECT_EQ(packed.weight().packed().group_size(), 64);
  const EdgeList edges = pointwise_edges(x.rows());
  EXPECT_TRUE(within(floating(session, x.features()), oracle_of(x, edges, x.rows(), ConvWeight(weight), bias)));
  const SparseTensor y = packed(session, x);
  EXPECT_EQ(y.support(), x.support());
  EXPECT_TRUE(within(y.features(), oracle_of(x, edges, x.rows(), packed.weight(), bias)));
}

TEST_P(Modules, norms_start_as_the_identity_up_to_eps) {
  const SparseTensor x = input(6);
  const SparseTensor same = BatchNorm(6, 0.0F)(session, x);
  EXPECT_EQ(same.support(), x.support());
  EXPECT_EQ(floats(same.features()), floats(x.features()));
  const ScaleShift folded = BatchNorm(6, 0.0F).folded();
  EXPECT_EQ(floats(folded.scale), std::vector<float>(6, 1.0F));
  EXPECT_EQ(floats(folded.shift), std::vector<float>(6, 0.0F));

  const SparseTensor normed = LayerNorm(6)(session, x);
  EXPECT_EQ(normed.support(), x.support());
  for (int64_t row = 0; row < x.rows(); ++row) {
    double sum = 0, magnitude = 0;
    for (int64_t c = 0; c < 6; ++c) {
      sum += normed.features().data<float>()[row * 6 + c];
      magnitude += 1 + std::fabs(normed.features().data<float>()[row * 6 + c]);
    }
    // The mean of six values of at most 1 is off by 6 u, which the division by a standard deviation enlarges.
    EXPECT_LE(std::fabs(sum), 16 * 0x1p-24 * magnitude / 0.05) << "a row's mean is zero";
  }

  const std::vector<float> values = floats(x.features()), active = floats(ReLU()(session, x).features());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(active[i], std::max(values[i], 0.0F));
}

TEST(modules, refuse_bad_channels_types_and_geometry) {
  expect_error([] { Conv3d conv({.in_channels = 0, .out_channels = 3}); },
               "conv3d: in_channels 0 must be from 1 to 2^31 - 1; give the layer's channels");
  expect_error([] { SubmConv3d conv({.in_channels = 4, .out_channels = -1}); },
               "subm_conv3d: out_channels -1 must be from 1 to 2^31 - 1; give the layer's channels");
  expect_error(
      [] { QuantizedGenerativeConvTranspose3d conv({.in_channels = 4, .out_channels = 3, .dtype = DType::i8}); },
      "quantized_generative_conv_transpose3d: dtype i8 must be f32, f16 or bf16; packing makes codes out of these");
  expect_error(
      [] {
        QuantizedSubmConv3d conv({.in_channels = 4, .out_channels = 3, .kernel_size = {2, 3, 3}});
      },
      "quantized_subm_conv3d: kernel_size (2, 3, 3) must be odd on every axis; use conv3d for even kernels");
  expect_error([] { QuantizedConv3d conv({.in_channels = 4, .out_channels = 3}, {.bits = 2, .group_size = 32}); },
               "quantized_conv3d: bits 2 must be 4 or 8; take 8 where 4 loses too much");
  expect_error(
      [] { QuantizedConvTranspose3d conv({.in_channels = 4, .out_channels = 3}, {.bits = 4, .group_size = 20}); },
      "quantized_conv_transpose3d: group_size 20 must be 32, 64 or 128; leave it unset for the default");
  expect_error([] { QuantizedLinear conv({.in_channels = 4, .out_channels = 3}, {.bits = 3, .group_size = 32}); },
               "quantized_linear: bits 3 must be 4 or 8; take 8 where 4 loses too much");
  expect_error([] { Linear linear({.in_channels = 4, .out_channels = 0}); },
               "linear: out_channels 0 must be from 1 to 2^31 - 1; give the layer's channels");
  for (const Triple& stride : {Triple(0), Triple(1, -1, 1)}) {
    EXPECT_THROW(Conv3d({.in_channels = 4, .out_channels = 3, .stride = stride}), Error);
    EXPECT_THROW(QuantizedConvTranspose3d({.in_channels = 4, .out_channels = 3, .stride = stride}), Error);
    EXPECT_THROW(GenerativeConvTranspose3d({.in_channels = 4, .out_channels = 3, .stride = stride}), Error);
  }
}

TEST(modules, refuse_weights_and_biases_that_do_not_fit) {
  const Tensor weight = random_tensor({5, 3, 3, 3, 4}, 1);
  expect_error([&] { Conv3d conv({.kernel_size = 1}, weight); },
               "conv3d: kernel_size (1, 1, 1) must be the weight's (3, 3, 3); set it in the options");
  expect_error(
      [&] { QuantizedConvTranspose3d conv({}, QuantizedWeight::pack(weight)); },
      "quantized_conv_transpose3d: kernel_size (2, 2, 2) must be the weight's (3, 3, 3); set it in the options");
  expect_error([&] { SubmConv3d conv({}, weight, random_tensor({4}, 1)); },
               "subm_conv3d: bias has shape (4), but must be (5), one value a channel");
  expect_error([&] { GenerativeConvTranspose3d conv({.kernel_size = 3}, weight, Tensor::zeros(DType::i32, {5})); },
               "generative_conv_transpose3d: bias is i32, but must be f32, f16 or bf16; convert it with to()");
  expect_error([&] { Conv3d conv({.in_channels = 8}, weight); },
               "conv3d: in_channels 8 must be the weight's 4; leave it 0 where a weight is given");
  expect_error([&] { ConvTranspose3d conv({.out_channels = 8, .kernel_size = 3}, weight); },
               "conv_transpose3d: out_channels 8 must be the weight's 5; leave it 0 where a weight is given");
  expect_error(
      [&] {
        SubmConv3d conv({}, weight.reshaped({5, 27, 4}));
      },
      "subm_conv3d: the weight has shape (5, 27, 4), but must be (C_out, Kx, Ky, Kz, C_in), or (C_out, C_in) for "
      "kernel "
      "size 1; permute or reshape it");
  expect_error([&] { Linear linear(weight); },
               "linear: the weight's kernel_size (3, 3, 3) must be 1 on every axis; use conv3d for kernels");
  expect_error([&] { QuantizedLinear linear(QuantizedWeight::pack(weight)); },
               "quantized_linear: the weight's kernel_size (3, 3, 3) must be 1 on every axis; use conv3d for kernels");
  expect_error(
      [&] {
        Linear linear(random_tensor({5, 4}, 1), random_tensor({4}, 1));
      },
      "linear: bias has shape (4), but must be (5), one value a channel");
}

TEST(modules, refuse_to_pack_twice) {
  const QuantizedConv3d packed({.in_channels = 4, .out_channels = 3});
  expect_error(
      [&] { (void)QuantizedConv3d::from_conv(packed); },
      "quantized_conv3d: the source has packed weights of 4 bits already; call from_conv with the floating module");
  expect_error([] { (void)QuantizedSubmConv3d::from_conv(SubmConv3d({.in_channels = 4, .out_channels = 3}), 32, 6); },
               "quantized_subm_conv3d: bits 6 must be 4 or 8; take 8 where 4 loses too much");
  const QuantizedLinear linear({.in_channels = 4, .out_channels = 3});
  expect_error(
      [&] { (void)QuantizedLinear::from_linear(linear); },
      "quantized_linear: the source has packed weights of 4 bits already; call from_linear with the floating module");
}

TEST(modules, norms_refuse_vectors_that_do_not_fit) {
  const Tensor four = random_tensor({4}, 1), five = random_tensor({5}, 1);
  expect_error([&] { BatchNorm norm(four, four, five, four); },
               "batch_norm: mean has shape (5), but must be (4), one value a channel");
  expect_error(
      [&] {
        LayerNorm norm(four, random_tensor({2, 2}, 1));
      },
      "layer_norm: shift has shape (2, 2), but must be (4), one value a channel");
  expect_error([&] { LayerNorm norm(four, four, -1.0F); },
               "layer_norm: eps -1 must be finite and at least 0; 1e-5 is usual");
  EXPECT_THROW(BatchNorm(four, four, four, four, std::nanf("")), Error);
  expect_error([] { BatchNorm norm(0); },
               "batch_norm: channels 0 must be from 1 to 2^31 - 1; give the layer's channels");
  EXPECT_THROW(LayerNorm(Tensor(), Tensor()), Error);
}

}  // namespace
}  // namespace lattice
