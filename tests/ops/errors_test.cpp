// Every error of the values and operations: its code, its message, and that it leaves session and inputs as they were.

#include "lattice/algebra.h"
#include "lattice/conv.h"
#include "lattice/feature.h"
#include "lattice/pool.h"
#include "lattice/voxelize.h"
#include "ops/sparse_examples.h"

namespace lattice {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// A tensor that claims more rows than memory holds: whoever reads its elements crashes, whoever checks first does not.
Tensor claimed(DType dtype, Shape shape) {
  static const int64_t kNothing = 0;
  return Tensor::view(dtype, std::move(shape), nullptr, &kNothing);
}

ConvWeight weight_of(Triple size, int64_t in_channels, int64_t out_channels) {
  return ConvWeight(Tensor::zeros(DType::f32, {out_channels, size.x, size.y, size.z, in_channels}));
}

TEST(TensorErrors, Shapes) {
  expect_error(ErrorCode::out_of_range, {"tensor", "(3, -1)", "negative"}, [] { element_count({3, -1}); });
  expect_error(ErrorCode::out_of_range, {"tensor", "64 bits"}, [] { element_count({1L << 40, 1L << 40}); });
  expect_error(ErrorCode::out_of_range, {"tensor", "f64", "bytes"}, [] { Tensor::empty(DType::f64, {1L << 61}); });
  expect_error(ErrorCode::out_of_range, {"negative"}, [] { Tensor::zeros(DType::f32, {-2}); });
  expect_error(ErrorCode::invalid_argument, {"tensor", "2 values", "(3)"}, [] { f32({1, 2}, {3}); });
  const Tensor six = f32({1, 2, 3, 4, 5, 6}, {2, 3});
  expect_error(ErrorCode::invalid_argument, {"tensor", "(2, 3)", "(4, 2)"}, [&] { six.reshaped({4, 2}); });
  expect_error(ErrorCode::out_of_range, {"tensor", "axis 2", "(2, 3)"}, [&] { six.size(2); });
  expect_error(ErrorCode::out_of_range, {"tensor", "axis -1"}, [&] { six.size(-1); });
}

TEST(TensorErrors, TypesAndViews) {
  Tensor x = f32({1}, {1});
  expect_error(ErrorCode::invalid_argument, {"tensor", "f32", "i32", "to()"}, [&] { x.data<int32_t>(); });
  expect_error(ErrorCode::invalid_argument, {"tensor", "f32", "f16"}, [&] { x.mutable_data<Float16>(); });
  expect_error(ErrorCode::invalid_argument, {"tensor", "f32", "f64"}, [&] { x.values<double>(); });
  expect_error(ErrorCode::unsupported, {"tensor", "f32", "i32"}, [&] { x.to(DType::i32); });
  expect_error(ErrorCode::unsupported, {"tensor", "u8", "f32"}, [] { Tensor::zeros(DType::u8, {1}).to(DType::f32); });
  alignas(8) const char bytes[16] = {};
  expect_error(ErrorCode::invalid_argument, {"tensor", "view", "f32", "4 bytes"},
               [&] { Tensor::view(DType::f32, {1}, nullptr, bytes + 2); });
  Tensor view = Tensor::view(DType::f32, {2}, nullptr, bytes);
  expect_error(ErrorCode::invalid_argument, {"tensor", "(2)", "read-only", "copy"}, [&] { view.mutable_raw(); });
  expect_error(ErrorCode::invalid_argument, {"read-only"}, [&] { view.mutable_data<float>(); });
}

TEST(CoordErrors, Values) {
  expect_error(ErrorCode::invalid_argument, {"coord_set", "row 1", "batch -3"}, [] {
    CoordSet::make({{0, 0, 0, 0}, {-3, 0, 0, 0}});
  });
  expect_error(ErrorCode::invalid_argument, {"coord_set", "row 1", "(0, 0, 4, 0)", "(4, 4, 4)"}, [] {
    CoordSet::make({{0, 3, 3, 3}, {0, 0, 4, 0}, {0, 9, 9, 9}}, 1, Triple(4));
  });
  expect_error(ErrorCode::invalid_argument, {"row 0", "(0, -1, 0, 0)"}, [] {
    CoordSet::make({{0, -1, 0, 0}}, 1, Triple(4));
  });
  for (const Triple& bad : {Triple(0, 1, 1), Triple(1, -2, 1), Triple(1, 1, kMost + 1)}) {
    expect_error(ErrorCode::invalid_argument, {"coord_set", "stride", to_string(bad)},
                 [&] { CoordSet::make(std::vector<Coord>(), bad); });
    expect_error(ErrorCode::invalid_argument, {"coord_set", "extent", to_string(bad)},
                 [&] { CoordSet::make(std::vector<Coord>(), 1, bad); });
  }
  expect_error(ErrorCode::out_of_range, {"coord_set", "stride (2048, 1024, 1024)", "2^31 - 1"}, [] {
    CoordSet::make(std::vector<Coord>(), {2048, 1024, 1024});
  });
}

TEST(CoordErrors, Tensors) {
  expect_error(ErrorCode::invalid_argument, {"coord_set", "(2, 3)", "(N, 4)"}, [] {
    CoordSet::make(Tensor::zeros(DType::i32, {2, 3}));
  });
  expect_error(ErrorCode::invalid_argument, {"coord_set", "(4)"},
               [] { CoordSet::make(Tensor::zeros(DType::i32, {4})); });
  expect_error(ErrorCode::invalid_argument, {"coord_set", "f32", "i32 or i64"}, [] {
    CoordSet::make(Tensor::zeros(DType::f32, {1, 4}));
  });
  const Tensor wide = Tensor::from(std::vector<int64_t>{0, 0, 0, 0, 0, 0, kMost + 1, 0}, {2, 4});
  expect_error(ErrorCode::out_of_range, {"coord_set", "column 2", "row 1", "2147483648", "int32"},
               [&] { CoordSet::make(wide); });
  expect_error(ErrorCode::out_of_range, {"coord_set", "2147483648 rows"}, [] {
    CoordSet::make(claimed(DType::i32, {kMost + 1, 4}));
  });
}

TEST(GeometryErrors, Parameters) {
  const auto made = [](const ConvOptions& options) { ConvGeometry geometry(options, "test_conv"); };
  expect_error(ErrorCode::invalid_argument, {"test_conv", "kernel_size (3, 0, 3)", "at least 1"}, [&] {
    made({.kernel_size = {3, 0, 3}});
  });
  expect_error(ErrorCode::invalid_argument, {"test_conv", "stride (1, 1, -1)", "at least 1"}, [&] {
    made({.stride = {1, 1, -1}});
  });
  expect_error(ErrorCode::invalid_argument, {"test_conv", "padding (-1, 0, 0)", "at least 0"}, [&] {
    made({.padding = {-1, 0, 0}});
  });
  expect_error(ErrorCode::invalid_argument, {"test_conv", "dilation (0, 0, 0)", "at least 1"},
               [&] { made({.dilation = 0}); });
  expect_error(ErrorCode::out_of_range, {"test_conv", "kernel_size", "2^31 - 1"}, [&] {
    made({.kernel_size = {kMost + 1, 1, 1}});
  });
  expect_error(ErrorCode::out_of_range, {"test_conv", "stride", "2^31 - 1"}, [&] {
    made({.stride = {1, kMost + 1, 1}});
  });
  expect_error(ErrorCode::out_of_range, {"test_conv", "padding", "2^31 - 1"}, [&] { made({.padding = kMost + 1}); });
  expect_error(ErrorCode::out_of_range, {"test_conv", "dilation", "2^31 - 1"}, [&] { made({.dilation = kMost + 1}); });
  expect_error(ErrorCode::out_of_range, {"test_conv", "(2048, 1024, 1024)", "taps"}, [&] {
    made({.kernel_size = {2048, 1024, 1024}});
  });
  expect_error(ErrorCode::out_of_range, {"taps"}, [&] { made({.kernel_size = kMost}); });
  expect_error(ErrorCode::invalid_argument, {"conv_geometry"}, [] { ConvGeometry geometry({.stride = 0}); });
}

TEST(GeometryErrors, Mappings) {
  const ConvGeometry geometry({.kernel_size = 3, .stride = {2, 4, 8}});
  expect_error(ErrorCode::out_of_range, {"op", "(1024, 2048, 4096)", "(512, 512, 512)", "(2, 4, 8)"},
               [&] { geometry.coarser_stride(512, "op"); });
  expect_error(ErrorCode::out_of_range, {"op", "2^31 - 1"}, [&] { geometry.coarser_stride({kMost, 1, 1}, "op"); });
  expect_error(ErrorCode::invalid_argument, {"op", "(2, 4, 4)", "(2, 4, 8)"}, [&] {
    geometry.finer_stride({2, 4, 4}, "op");
  });
  expect_error(ErrorCode::invalid_argument, {"op", "extent (5, 2, 5)", "positive"}, [&] {
    geometry.regular_extent({5, 2, 5}, "op");
  });
  const ConvGeometry padded({.kernel_size = 1, .padding = 1});
  expect_error(ErrorCode::out_of_range, {"op", "extent", "2^31 - 1"}, [&] { padded.regular_extent(kMost, "op"); });
}

TEST(SparseTensorErrors, SupportAndFeatures) {
  const Support two = CoordSet::make({{0, 0, 0, 0}, {0, 1, 0, 0}});
  expect_error(ErrorCode::invalid_argument, {"sparse_tensor", "support"}, [] {
    SparseTensor(nullptr, f32({1}, {1, 1}));
  });
  expect_error(ErrorCode::invalid_argument, {"sparse_tensor", "f64", "to()"}, [&] {
    SparseTensor(two, Tensor::zeros(DType::f64, {2, 1}));
  });
  for (const Shape& bad : {Shape{3, 1}, Shape{2}, Shape{2, 0}, Shape{2, 1, 1}}) {
    expect_error(ErrorCode::invalid_argument, {"sparse_tensor", to_string(bad), "N = 2"},
                 [&] { SparseTensor(two, Tensor::zeros(DType::f32, bad)); });
  }
  const SparseTensor x(two, f32({1, 2}, {2, 1}));
  expect_error(ErrorCode::invalid_argument, {"sparse_tensor", "(1, 1)"}, [&] { x.with_features(f32({1}, {1, 1})); });
  expect_error(ErrorCode::invalid_argument, {"coord_set", "(1, 2)"}, [] {
    SparseTensor(Tensor::zeros(DType::i32, {1, 2}), f32({1}, {1, 1}));
  });
}

class OperationErrors : public ::testing::TestWithParam<BackendKind> {
 protected:
  void SetUp() override { kept_ = session_.relate(RelationKind::submanifold, x_.support(), cube_).relation; }

  /// After every error: the one relation of before is still the only one, and the inputs are what they were.
  template <typename Call>
  void refuses(ErrorCode code, const std::vector<std::string>& parts, Call&& call) {
    expect_error(code, parts, std::forward<Call>(call));
    EXPECT_EQ(session_.relations(), 1);
    EXPECT_EQ(session_.relate(RelationKind::submanifold, x_.support(), cube_).relation, kept_);
    EXPECT_THAT(numbers(x_.features()), ::testing::ElementsAre(1, 2, 3, 4));
  }
  template <typename Call>
  void refuses(const std::vector<std::string>& parts, Call&& call) {
    refuses(ErrorCode::invalid_argument, parts, std::forward<Call>(call));
  }

  /// Each way in which an epilogue for f32 rows of 3 channels can be wrong, but for the number of the residual's rows.
  template <typename Call>
  void refuses_bad_epilogues(const std::string& operation, Call&& call) {
    const auto with = [](auto&& set) {
      Epilogue epilogue;
      set(epilogue);
      return epilogue;
    };
    const Tensor short_vector = f32({1, 2}, {2}), matrix = f32({1, 2, 3}, {1, 3});
    const Tensor wide = Tensor::zeros(DType::f64, {3});
    refuses({operation, "bias", "(2)", "(3)"}, [&] { call(with([&](Epilogue& e) { e.bias = short_vector; })); });
    refuses({operation, "scale", "(1, 3)", "(3)"}, [&] { call(with([&](Epilogue& e) { e.scale = matrix; })); });
    refuses({operation, "shift", "(2)", "(3)"}, [&] { call(with([&](Epilogue& e) { e.shift = short_vector; })); });
    refuses({operation, "bias", "f64"}, [&] { call(with([&](Epilogue& e) { e.bias = wide; })); });
    refuses({operation, "scale", "f64"}, [&] { call(with([&](Epilogue& e) { e.scale = wide; })); });
    refuses({operation, "shift", "f64"}, [&] { call(with([&](Epilogue& e) { e.shift = wide; })); });
    refuses({operation, "residual", "f16", "f32"}, [&] {
      call(with([](Epilogue& e) { e.residual = Tensor::zeros(DType::f16, {2, 3}); }));
    });
    refuses({operation, "residual", "(2, 4)", "C = 3"}, [&] {
      call(with([](Epilogue& e) { e.residual = Tensor::zeros(DType::f32, {2, 4}); }));
    });
    refuses({operation, "residual", "(6)"},
            [&] { call(with([](Epilogue& e) { e.residual = Tensor::zeros(DType::f32, {6}); })); });
    Tensor cat;
    refuses({operation, "3 columns from 2 on", "the 4"}, [&] { call({.columns = {&cat, 2, 4}}); });
    refuses({operation, "3 columns from -1 on"}, [&] { call({.columns = {&cat, -1, 4}}); });
    EXPECT_FALSE(cat.defined());
    refuses({operation, "softplus", "beta", "0"},
            [&] { call(with([](Epilogue& e) { e.activation = {.kind = ActivationKind::softplus, .beta = 0}; })); });
  }

  static Epilogue residual_of(int64_t rows) {
    Epilogue epilogue;
    epilogue.residual = Tensor::zeros(DType::f32, {rows, 3});
    return epilogue;
  }

  Session session_{SessionOptions{.backend = GetParam(), .threads = 2}};
  const SparseTensor x_ = sparse({{0, 0, 0, 0}, {0, 1, 0, 0}}, {1, 2, 3, 4}, 2);
  const ConvGeometry cube_{ConvOptions{.kernel_size = 3}};
  const ConvGeometry halve_{ConvOptions{.kernel_size = 2, .stride = 2}};
  const ConvGeometry one_{ConvOptions{.kernel_size = 1}};
  const ConvWeight w_cube_ = weight_of(3, 2, 3), w_halve_ = weight_of(2, 2, 3), w_one_ = weight_of(1, 2, 3);
  std::shared_ptr<const Relation> kept_;
};
INSTANTIATE_TEST_SUITE_P(Backends, OperationErrors, both_backends(), backend_name);

TEST_P(OperationErrors, Relate) {
  const Support source = x_.support(), coarse = CoordSet::make(std::vector<Coord>(), 4);
  refuses({"relate", "source"}, [&] { session_.relate(RelationKind::forward, nullptr, halve_); });
  for (const RelationKind kind : {RelationKind::target, RelationKind::target_transposed}) {
    refuses({"my_op", std::string(name(kind)), "target"},
            [&] { session_.relate(kind, source, halve_, nullptr, "my_op"); });
  }
  for (const RelationKind kind : {RelationKind::submanifold, RelationKind::forward, RelationKind::regular,
                                  RelationKind::transposed, RelationKind::generative, RelationKind::pointwise}) {
    refuses({"my_op", std::string(name(kind)), "target"},
            [&] { session_.relate(kind, source, one_, coarse, "my_op"); });
  }
  refuses({"relate", "target's stride (4, 4, 4)", "output stride (2, 2, 2)"},
          [&] { session_.relate(RelationKind::target, source, cube_, coarse); });
  refuses({"relate", "target's stride (4, 4, 4)", "output stride (1, 1, 1)"},
          [&] { session_.relate(RelationKind::target_transposed, source, halve_, coarse); });
  refuses({"relate", "kernel_size (3, 3, 3)", "pointwise"},
          [&] { session_.relate(RelationKind::pointwise, source, cube_); });
  refuses({"relate", "kind 99"}, [&] { session_.relate(static_cast<RelationKind>(99), source, cube_); });
}

TEST_P(OperationErrors, RelateBeyondInt32) {
  const ConvGeometry huge({.kernel_size = 1290});
  for (const RelationKind kind : {RelationKind::transposed, RelationKind::generative}) {
    refuses(ErrorCode::out_of_range, {"relate", "2 rows", "2146689000 taps"},
            [&] { session_.relate(kind, x_.support(), huge); });
  }
  const ConvGeometry far({.kernel_size = 1, .stride = 1 << 30});
  for (const RelationKind kind : {RelationKind::forward, RelationKind::regular}) {
    refuses(ErrorCode::out_of_range, {"relate", "stride", "2^31 - 1"},
            [&] { session_.relate(kind, x_.support(), far); });
  }
  const Support edge = CoordSet::make({{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 1 << 30, 0, 0}}, 2);
  for (const RelationKind kind : {RelationKind::transposed, RelationKind::generative}) {
    refuses(ErrorCode::out_of_range, {"relate", "row"}, [&] { session_.relate(kind, edge, halve_); });
  }
  const Support last = CoordSet::make({{0, std::numeric_limits<int32_t>::max(), 0, 0}});
  refuses(ErrorCode::out_of_range, {"relate", "row 0"},
          [&] { session_.relate(RelationKind::regular, last, ConvGeometry({.kernel_size = 1, .padding = 1})); });
}

TEST_P(OperationErrors, Conv3d) {
  refuses({"conv3d", "(3, 3, 3)", "(2, 2, 2)"}, [&] { conv3d(session_, x_, w_cube_, halve_); });
  refuses({"conv3d", "(2, 2, 2)", "(1, 1, 1)"}, [&] { conv3d(session_, x_, w_halve_, one_); });
  refuses({"conv3d", "2 channels", "takes 5"}, [&] { conv3d(session_, x_, weight_of(2, 5, 3), halve_); });
  refuses({"conv3d", "2 channels", "takes 5"}, [&] { conv3d(session_, x_, weight_of(1, 5, 3), one_); });
  refuses({"conv3d", "target's stride (2, 2, 2)", "output stride (4, 4, 4)"},
          [&] { conv3d(session_, x_, w_halve_, halve_, x_.support()); });
  refuses_bad_epilogues("conv3d", [&](const Epilogue& e) { conv3d(session_, x_, w_halve_, halve_, nullptr, e); });
  refuses_bad_epilogues("conv3d", [&](const Epilogue& e) { conv3d(session_, x_, w_one_, one_, nullptr, e); });
  refuses({"conv3d", "residual", "5 rows", "the output 2"},
          [&] { conv3d(session_, x_, w_cube_, cube_, x_.support(), residual_of(5)); });
  refuses({"conv3d", "residual", "5 rows", "the output 2"},
          [&] { conv3d(session_, x_, w_one_, one_, nullptr, residual_of(5)); });
  const SparseTensor small = sparse({{0, 0, 0, 0}}, {1, 2}, 1, Triple(2));
  refuses({"conv3d", "extent (2, 2, 2)", "positive"},
          [&] { conv3d(session_, small, w_cube_, ConvGeometry({}), nullptr, {}, SupportRule::regular); });
}

TEST_P(OperationErrors, AResidualOnADerivedSupportIsComparedWithTheRelation) {
  // Its rows are known only after the relation was built, which is right and stays; the input is untouched.
  expect_error(ErrorCode::invalid_argument, {"conv3d", "residual", "5 rows", "the output 1"},
               [&] { conv3d(session_, x_, w_halve_, halve_, nullptr, residual_of(5)); });
  expect_error(ErrorCode::invalid_argument, {"conv_transpose3d", "residual", "5 rows", "the output 16"},
               [&] { conv_transpose3d(session_, x_, w_halve_, halve_, nullptr, residual_of(5)); });
  EXPECT_EQ(session_.relations(), 3);
  EXPECT_THAT(numbers(x_.features()), ::testing::ElementsAre(1, 2, 3, 4));
}

TEST_P(OperationErrors, SubmConv3d) {
  const ConvGeometry even({.kernel_size = {2, 3, 3}}), strided({.stride = {1, 2, 1}}), padded({.padding = {0, 0, 1}});
  refuses({"subm_conv3d: kernel_size (2, 3, 3) must be odd on every axis; use conv3d for even kernels"}, [&] {
    subm_conv3d(session_, x_, weight_of({2, 3, 3}, 2, 3), even);
  });
  refuses({"subm_conv3d", "stride (1, 2, 1)", "conv3d"}, [&] { subm_conv3d(session_, x_, w_cube_, strided); });
  refuses({"subm_conv3d", "padding (0, 0, 1)", "0 on every axis"}, [&] { subm_conv3d(session_, x_, w_cube_, padded); });
  refuses({"subm_conv3d", "(3, 3, 3)", "(1, 1, 1)"}, [&] { subm_conv3d(session_, x_, w_cube_, one_); });
  refuses({"subm_conv3d", "2 channels", "takes 4"}, [&] { subm_conv3d(session_, x_, weight_of(3, 4, 3), cube_); });
  refuses_bad_epilogues("subm_conv3d", [&](const Epilogue& e) { subm_conv3d(session_, x_, w_cube_, cube_, e); });
  refuses({"subm_conv3d", "residual", "5 rows", "the output 2"},
          [&] { subm_conv3d(session_, x_, w_cube_, cube_, residual_of(5)); });
}

TEST_P(OperationErrors, ConvTranspose3d) {
  const SparseTensor fine = sparse({{0, 0, 0, 0}}, {1, 2}, {2, 1, 2});
  refuses({"conv_transpose3d", "(2, 1, 2)", "(2, 2, 2)"}, [&] { conv_transpose3d(session_, fine, w_halve_, halve_); });
  refuses({"conv_transpose3d", "target's stride (2, 2, 2)", "output stride (1, 1, 1)"},
          [&] { conv_transpose3d(session_, x_, w_halve_, halve_, x_.support()); });
  refuses({"conv_transpose3d", "(3, 3, 3)", "(2, 2, 2)"}, [&] { conv_transpose3d(session_, x_, w_cube_, halve_); });
  refuses({"conv_transpose3d", "2 channels", "takes 1"},
          [&] { conv_transpose3d(session_, x_, weight_of(2, 1, 3), halve_); });
  refuses_bad_epilogues("conv_transpose3d",
                        [&](const Epilogue& e) { conv_transpose3d(session_, x_, w_halve_, halve_, nullptr, e); });
  const Support target = CoordSet::make({{0, 0, 0, 0}});
  refuses({"conv_transpose3d", "residual", "5 rows", "the output 1"},
          [&] { conv_transpose3d(session_, x_, w_halve_, halve_, target, residual_of(5)); });
  const SparseTensor edge = sparse({{0, 1 << 30, 0, 0}}, {1, 2}, 2);
  refuses(ErrorCode::out_of_range, {"conv_transpose3d", "row 0"},
          [&] { conv_transpose3d(session_, edge, w_halve_, halve_); });
}

TEST_P(OperationErrors, GenerativeConvTranspose3d) {
  const std::string operation = "generative_conv_transpose3d";
  const auto apply = [&](const SparseTensor& x, const ConvWeight& weight, const ConvOptions& options,
                         const Epilogue& epilogue = {}) {
    generative_conv_transpose3d(session_, x, weight, ConvGeometry(options), epilogue);
  };
  const ConvOptions plain = {.kernel_size = 2, .stride = 2};
  refuses({operation, "padding (1, 1, 1)", "conv_transpose3d"},
          [&] { apply(x_, w_halve_, {.kernel_size = 2, .stride = 2, .padding = 1}); });
  refuses({operation, "dilation (2, 2, 2)", "conv_transpose3d"},
          [&] { apply(x_, w_halve_, {.kernel_size = 2, .stride = 2, .dilation = 2}); });
  refuses({operation, "(2, 2, 2)", "(4, 4, 4)"}, [&] { apply(x_, w_halve_, {.kernel_size = 2, .stride = 4}); });
  refuses({operation, "(3, 3, 3)", "(2, 2, 2)"}, [&] { apply(x_, w_cube_, plain); });
  refuses({operation, "2 channels", "takes 1"}, [&] { apply(x_, weight_of(2, 1, 3), plain); });
  refuses_bad_epilogues(operation, [&](const Epilogue& e) { apply(x_, w_halve_, plain, e); });
  refuses({operation, "residual", "5 rows", "the output 16"}, [&] { apply(x_, w_halve_, plain, residual_of(5)); });
  const SparseTensor edge = sparse({{0, 0, 0, -(1 << 30) - 1}}, {1, 2}, 2);
  refuses(ErrorCode::out_of_range, {operation, "row 0"}, [&] { apply(edge, w_halve_, plain); });
}

TEST_P(OperationErrors, Pool) {
  const SparseTensor coarse = sparse({{0, 0, 0, 0}}, {1, 2}, 1 << 10);
  refuses(ErrorCode::out_of_range, {"pool3d", "stride", "2^31 - 1"},
          [&] { pool3d(session_, coarse, PoolMode::sum, halve_); });
  const SparseTensor small = sparse({{0, 0, 0, 0}}, {1, 2}, 1, Triple(2));
  refuses({"pool3d", "extent (2, 2, 2)", "positive"},
          [&] { pool3d(session_, small, PoolMode::max, cube_, SupportRule::regular); });
  refuses({"global_pool", "batches -1", "at least 0"}, [&] { global_pool(session_, x_, PoolMode::sum, -1); });
  refuses(ErrorCode::out_of_range, {"global_pool", "2147483648", "2^31 - 1"},
          [&] { global_pool(session_, x_, PoolMode::sum, kMost + 1); });
  refuses({"global_pool", "batch 1"}, [&] { global_pool(session_, x_, PoolMode::max, 2); });
}

TEST_P(OperationErrors, Algebra) {
  const SparseTensor finer = sparse({{0, 0, 0, 0}}, {1, 2}), narrow = sparse({{0, 0, 0, 0}}, {1}, 2);
  const SparseTensor half(x_.support(), x_.features().to(DType::f16));
  refuses({"add", "(2, 2, 2)", "(1, 1, 1)", "equal"}, [&] { add(session_, x_, finer); });
  refuses({"cat", "(2, 2, 2)", "(1, 1, 1)", "equal"}, [&] { cat(session_, x_, finer); });
  refuses({"add", "f32", "f16", "to()"}, [&] { add(session_, x_, half); });
  refuses({"cat", "f32", "f16", "to()"}, [&] { cat(session_, x_, half); });
  refuses({"add", "channels 2 and 1", "cat"}, [&] { add(session_, x_, narrow); });
}

TEST_P(OperationErrors, Linear) {
  const Tensor x = x_.features();
  refuses({"linear", "i32", "f32, f16 or bf16"}, [&] { linear(session_, Tensor::zeros(DType::i32, {2, 2}), w_one_); });
  refuses({"linear", "(4)", "(N, C)"}, [&] { linear(session_, x.reshaped({4}), w_one_); });
  refuses({"linear", "(2, 0)", "C >= 1"}, [&] { linear(session_, Tensor::zeros(DType::f32, {2, 0}), w_one_); });
  refuses({"linear", "kernel_size (2, 2, 2)", "conv3d"}, [&] { linear(session_, x, w_halve_); });
  refuses({"linear", "2 channels", "takes 7"}, [&] { linear(session_, x, weight_of(1, 7, 3)); });
  refuses(ErrorCode::out_of_range, {"linear", "2147483648 rows", "2^31 - 1"}, [&] {
    linear(session_, claimed(DType::f32, {kMost + 1, 2}), w_one_);
  });
  refuses_bad_epilogues("linear", [&](const Epilogue& e) { linear(session_, x, w_one_, e); });
  refuses({"linear", "residual", "5 rows", "the output 2"}, [&] { linear(session_, x, w_one_, residual_of(5)); });
}

TEST_P(OperationErrors, Activate) {
  const Activation relu = {.kind = ActivationKind::relu};
  refuses({"activate", "f64"}, [&] { activate(session_, Tensor::zeros(DType::f64, {2, 2}), relu); });
  refuses({"activate", "(0)"}, [&] { activate(session_, Tensor(), relu); });
  refuses({"activate", "kind 77"},
          [&] { activate(session_, x_.features(), {.kind = static_cast<ActivationKind>(77)}); });
  for (const float beta : {0.0F, kInf, kNan}) {
    refuses({"activate", "softplus", "beta"},
            [&] { activate(session_, x_.features(), {.kind = ActivationKind::softplus, .beta = beta}); });
  }
}

TEST_P(OperationErrors, Norms) {
  const Tensor x = x_.features(), good = f32({1, 1}, {2}), bad = f32({1, 1, 1}, {3}),
               whole = Tensor::zeros(DType::i64, {2});
  refuses({"batch_norm", "u8"}, [&] {
    batch_norm(session_, Tensor::zeros(DType::u8, {2, 2}), good, good, good, good);
  });
  refuses({"batch_norm", "(4)"}, [&] { batch_norm(session_, x.reshaped({4}), good, good, good, good); });
  refuses({"layer_norm", "u8"}, [&] { layer_norm(session_, Tensor::zeros(DType::u8, {2, 2}), good, good); });
  refuses({"layer_norm", "(4)"}, [&] { layer_norm(session_, x.reshaped({4}), good, good); });
  const char* const vectors[] = {"scale", "shift", "mean", "variance"};
  for (int wrong = 0; wrong < 4; ++wrong) {
    for (const Tensor& odd : {bad, whole, Tensor()}) {
      const auto pick = [&](int at) { return at == wrong ? odd : good; };
      const std::string shown = odd.dtype() == DType::i64 ? "i64" : to_string(odd.shape());
      refuses({"batch_norm", vectors[wrong], shown},
              [&] { batch_norm(session_, x, pick(0), pick(1), pick(2), pick(3)); });
      if (wrong < 2) refuses({"layer_norm", vectors[wrong], shown}, [&] { layer_norm(session_, x, pick(0), pick(1)); });
    }
  }
  for (const float eps : {-1.0F, kInf, kNan}) {
    refuses({"batch_norm", "eps", "at least 0"}, [&] { batch_norm(session_, x, good, good, good, good, eps); });
    refuses({"layer_norm", "eps", "at least 0"}, [&] { layer_norm(session_, x, good, good, eps); });
    refuses({"fold_batch_norm", "eps", "at least 0"}, [&] { fold_batch_norm(good, good, good, good, eps); });
  }
}

TEST_P(OperationErrors, FoldBatchNorm) {
  const Tensor good = f32({1, 1}, {2}), bad = f32({1, 1, 1}, {3}), matrix = f32({1, 1}, {1, 2});
  const char* const vectors[] = {"scale", "shift", "mean", "variance"};
  for (int wrong = 0; wrong < 4; ++wrong) {
    const auto with = [&](const Tensor& odd) {
      const auto pick = [&](int at) { return at == wrong ? odd : good; };
      fold_batch_norm(pick(0), pick(1), pick(2), pick(3));
    };
    refuses({"fold_batch_norm", vectors[wrong], "(1, 2)"}, [&] { with(matrix); });
    refuses({"fold_batch_norm", vectors[wrong], "u8"}, [&] { with(Tensor::zeros(DType::u8, {2})); });
    // The scale's length is the rule, so that a wrong one shows in the next vector.
    refuses({"fold_batch_norm", wrong == 0 ? "shift" : vectors[wrong]}, [&] { with(bad); });
  }
}

TEST_P(OperationErrors, VoxelizeAndDevoxelize) {
  const Tensor points = Tensor::zeros(DType::f32, {2, 3}), features = Tensor::zeros(DType::f32, {2, 1});
  const auto both = [&](ErrorCode code, std::vector<std::string> parts, const Tensor& at,
                        const VoxelizeOptions& options, const Tensor& batch = {}) {
    parts.insert(parts.begin(), "voxelize");
    const Tensor of = at.rank() == 2 && at.size(0) != 2 ? claimed(DType::f32, {at.size(0), 1}) : features;
    refuses(code, parts, [&] { voxelize(session_, at, of, options, batch); });
    parts[0] = "devoxelize";
    refuses(code, parts, [&] { devoxelize(session_, x_, at, options, Interpolation::linear, batch); });
  };
  const ErrorCode invalid = ErrorCode::invalid_argument;
  for (const float size : {0.0F, -1.0F, kInf, kNan})
    both(invalid, {"voxel_size", "above 0"}, points, {.voxel_size = {1, 1, size}});
  for (const float at : {kInf, kNan}) both(invalid, {"origin", "finite"}, points, {.origin = {0, at, 0}});
  both(invalid, {"points", "f64"}, Tensor::zeros(DType::f64, {2, 3}), {});
  both(invalid, {"points", "(2, 4)", "(N, 3)"}, Tensor::zeros(DType::f32, {2, 4}), {});
  both(invalid, {"points", "(6)"}, points.reshaped({6}), {});
  both(ErrorCode::out_of_range, {"2147483648 points", "2^31 - 1"}, claimed(DType::f32, {kMost + 1, 3}), {});
  both(invalid, {"batch", "i64", "i32"}, points, {}, Tensor::zeros(DType::i64, {2}));
  both(invalid, {"batch", "(3)", "(2)"}, points, {}, Tensor::zeros(DType::i32, {3}));
  both(invalid, {"batch", "(2, 1)"}, points, {}, Tensor::zeros(DType::i32, {2, 1}));
  refuses({"voxelize", "batch -5", "point 1"}, [&] {
    voxelize(session_, points, features, {}, Tensor::from(std::vector<int32_t>{0, -5}, {2}));
  });
  refuses({"voxelize", "features", "f16"}, [&] { voxelize(session_, points, features.to(DType::f16), {}); });
  for (const Shape& bad : {Shape{3, 1}, Shape{2}, Shape{2, 0}}) {
    refuses({"voxelize", "features", to_string(bad), "N = 2"},
            [&] { voxelize(session_, points, Tensor::zeros(DType::f32, bad), {}); });
  }
}

TEST(GatherErrors, ShapeAndRows) {
  const Tensor features = f32({1, 2, 3, 4}, {2, 2});
  const auto gather = [](const Tensor& from, const std::vector<int32_t>& rows) { gather_rows(from, rows); };
  expect_error(ErrorCode::invalid_argument, {"gather_rows", "(4)", "(N, C)"},
               [&] { gather(features.reshaped({4}), {0}); });
  expect_error(ErrorCode::out_of_range, {"gather_rows", "rows[1]", "is 2", "2 rows"}, [&] {
    gather(features, {0, 2});
  });
  expect_error(ErrorCode::out_of_range, {"gather_rows", "rows[0]", "is -2"}, [&] { gather(features, {-2}); });
}

}  // namespace
}  // namespace lattice
