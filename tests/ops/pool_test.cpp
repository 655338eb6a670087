#include "lattice/pool.h"

#include "ops/sparse_examples.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class PoolTest : public ::testing::TestWithParam<BackendKind> {
 protected:
  Session session_{SessionOptions{.backend = GetParam(), .threads = 2}};
  const ConvGeometry halve_{ConvOptions{.kernel_size = 2, .stride = 2}};
};
INSTANTIATE_TEST_SUITE_P(Backends, PoolTest, both_backends(), backend_name);

TEST_P(PoolTest, ReducesWhatIsThere) {
  // Cells 0 and 1 fall into output 0, cell -1 into output -1; the other batch is apart.
  const SparseTensor x = sparse({{0, 0, 0, 0}, {0, 1, 1, 0}, {1, 0, 0, 0}, {0, -1, 0, 0}}, {1, -2, 3, 5, 7, 8, -4, 2});
  const SparseTensor sum = pool3d(session_, x, PoolMode::sum, halve_);
  EXPECT_THAT(coords_of(sum.support()), ElementsAre(Coord{0, 0, 0, 0}, Coord{1, 0, 0, 0}, Coord{0, -1, 0, 0}));
  EXPECT_EQ(sum.stride(), Triple(2));
  EXPECT_THAT(numbers(sum.features()), ElementsAre(4, 3, 7, 8, -4, 2));
  EXPECT_THAT(numbers(pool3d(session_, x, PoolMode::average, halve_).features()), ElementsAre(2, 1.5, 7, 8, -4, 2));
  EXPECT_THAT(numbers(pool3d(session_, x, PoolMode::max, halve_).features()), ElementsAre(3, 5, 7, 8, -4, 2));
  EXPECT_EQ(session_.relations(), 1);
}

TEST_P(PoolTest, ARowWithoutAnEdgeIsNeutral) {
  // Kernel 1 at stride 2 reads even places only; 1 leads to output 0, whose source 0 is absent.
  const SparseTensor x = sparse({{0, 1, 0, 0}}, {5});
  const ConvGeometry skip({.kernel_size = 1, .stride = 2});
  EXPECT_THAT(numbers(pool3d(session_, x, PoolMode::sum, skip).features()), ElementsAre(0));
  EXPECT_THAT(numbers(pool3d(session_, x, PoolMode::average, skip).features()), ElementsAre(0));
  EXPECT_THAT(numbers(pool3d(session_, x, PoolMode::max, skip).features()), ElementsAre(-kInf));
}

TEST_P(PoolTest, RegularSupportKeepsTheGrid) {
  const SparseTensor x = sparse({{0, 1, 1, 1}}, {5}, 1, Triple(4));
  const ConvGeometry geometry({.kernel_size = 3, .stride = 2, .padding = 1});
  const SparseTensor y = pool3d(session_, x, PoolMode::max, geometry, SupportRule::regular);
  EXPECT_EQ(y.extent(), Triple(2));
  EXPECT_EQ(y.rows(), 8);  // 1 + 1 - offset is 2 or 0 on every axis, so outputs 0 and 1
  EXPECT_THAT(numbers(y.features()), ::testing::Each(5));
}

TEST_P(PoolTest, MaximumHandsANanOn) {
  const SparseTensor x = sparse({{0, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}, {1, kNan, 3});
  EXPECT_TRUE(std::isnan(numbers(pool3d(session_, x, PoolMode::max, halve_).features())[0]));
  EXPECT_TRUE(std::isnan(numbers(global_pool(session_, x, PoolMode::max))[0]));
}

TEST_P(PoolTest, EmptyInput) {
  const SparseTensor x(CoordSet::make(std::vector<Coord>()), Tensor::zeros(DType::f16, {0, 3}));
  for (const PoolMode mode : {PoolMode::sum, PoolMode::max, PoolMode::average}) {
    const SparseTensor y = pool3d(session_, x, mode, halve_);
    EXPECT_EQ(y.features().shape(), (Shape{0, 3}));
    EXPECT_EQ(y.dtype(), DType::f16);
    EXPECT_EQ(global_pool(session_, x, mode).shape(), (Shape{0, 3}));
  }
}

TEST_P(PoolTest, GlobalPoolGivesOneRowABatch) {
  const SparseTensor x = sparse({{2, 0, 0, 0}, {0, 5, 5, 5}, {2, 1, 0, 0}}, {1, 10, 2, 20, 3, -30});
  EXPECT_THAT(numbers(global_pool(session_, x, PoolMode::sum)), ElementsAre(2, 20, 0, 0, 4, -20));
  EXPECT_THAT(numbers(global_pool(session_, x, PoolMode::average, 4)), ElementsAre(2, 20, 0, 0, 2, -10, 0, 0));
  EXPECT_THAT(numbers(global_pool(session_, x, PoolMode::max, 1)), ElementsAre(2, 20));
  EXPECT_EQ(global_pool(session_, x, PoolMode::sum, 0).shape(), (Shape{0, 2}));
  expect_error(ErrorCode::invalid_argument, {"global_pool", "batch 1"},
               [&] { global_pool(session_, x, PoolMode::max); });
}

TEST(PoolNames, AreTheirSpelling) {
  EXPECT_EQ(name(PoolMode::sum), "sum");
  EXPECT_EQ(name(PoolMode::max), "max");
  EXPECT_EQ(name(PoolMode::average), "average");
}

class PoolComparison : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, PoolComparison, ::testing::Values(DType::f32, DType::f16, DType::bf16),
                         [](const auto& tested) { return std::string(name(tested.param)); });

/// The bound of a sum of n values in float32: (n - 1) roundings, each of a partial sum of at most the absolute sum, and
/// one more for the division of an average.
double sum_error(int64_t terms, double absolute_sum) {
  return static_cast<double>(terms) * 0x1p-24 * absolute_sum * 1.001;
}

TEST_P(PoolComparison, CpuAgreesWithReference) {
  Session cpu({.backend = BackendKind::cpu, .threads = 2}), reference({.backend = BackendKind::reference});
  const std::vector<ConvGeometry> geometries = {ConvGeometry({.kernel_size = 2, .stride = 2}),
                                                ConvGeometry({.kernel_size = 3, .stride = 2, .padding = 1}),
                                                ConvGeometry({.kernel_size = {3, 1, 2}, .stride = {1, 2, 3}})};
  Random random(11);
  for (const int64_t channels : {1, 5, 16, 33}) {
    const Support support = CoordSet::make(random_coords(random, 300, 9));
    const SparseTensor x(support, random_tensor(random, {300, channels}, GetParam()));
    const std::vector<double> in = numbers(x.features());
    for (const ConvGeometry& geometry : geometries) {
      for (const SupportRule rule : {SupportRule::forward, SupportRule::regular}) {
        const RelationKind kind = rule == SupportRule::forward ? RelationKind::forward : RelationKind::regular;
        const RelatedSupport related = reference.relate(kind, support, geometry);
        const EdgeList edges = related.relation->edge_list();
        std::vector<double> absolute(static_cast<size_t>(related.output->rows() * channels));
        for (size_t e = 0; e < edges.tap.size(); ++e) {
          for (int64_t c = 0; c < channels; ++c) {
            absolute[static_cast<size_t>(edges.output_row[e] * channels + c)] +=
                std::abs(in[static_cast<size_t>(edges.input_row[e] * channels + c)]);
          }
        }
        for (const PoolMode mode : {PoolMode::sum, PoolMode::average, PoolMode::max}) {
          const SparseTensor expected = pool3d(reference, x, mode, geometry, rule);
          const SparseTensor actual = pool3d(cpu, x, mode, geometry, rule);
          EXPECT_EQ(coords_of(actual.support()), coords_of(expected.support()));
          if (mode == PoolMode::max) {
            expect_same(actual.features(), expected.features());
            continue;
          }
          const std::vector<double> out = numbers(expected.features());
          std::vector<double> bound(out.size());
          for (size_t i = 0; i < out.size(); ++i) {
            const size_t row = i / static_cast<size_t>(channels);
            const int64_t terms = edges.output_begin[row + 1] - edges.output_begin[row];
            const double divisor = mode == PoolMode::average ? static_cast<double>(std::max<int64_t>(terms, 1)) : 1.0;
            bound[i] = stored_difference(GetParam(), out[i], sum_error(terms, absolute[i]) / divisor);
          }
          expect_within(actual.features(), expected.features(), bound);
        }
      }
    }
  }
}

TEST_P(PoolComparison, GlobalPoolAgreesToo) {
  Session cpu({.backend = BackendKind::cpu, .threads = 2}), reference({.backend = BackendKind::reference});
  Random random(12);
  const SparseTensor x(CoordSet::make(random_coords(random, 2000, 30, 3)),
                       random_tensor(random, {2000, 7}, GetParam(), 0, 1));
  for (const PoolMode mode : {PoolMode::sum, PoolMode::average, PoolMode::max}) {
    const Tensor expected = global_pool(reference, x, mode), actual = global_pool(cpu, x, mode);
    const std::vector<double> out = numbers(expected);
    std::vector<double> bound(out.size());
    for (size_t i = 0; i < out.size(); ++i) {
      // The values are positive, so that the sum (or, divided, the average) is the absolute one; at most 2000 terms.
      const double error = mode == PoolMode::max ? 0 : sum_error(2000, out[i] * (1 + roundoff(GetParam())));
      bound[i] = mode == PoolMode::max ? 0 : stored_difference(GetParam(), out[i], error);
    }
    expect_within(actual, expected, bound);
  }
}

}  // namespace
}  // namespace lattice
