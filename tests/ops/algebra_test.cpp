#include "lattice/algebra.h"

#include "ops/sparse_examples.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;

constexpr Join kJoins[] = {Join::inner, Join::left, Join::right, Join::outer};

class AlgebraTest : public ::testing::TestWithParam<BackendKind> {
 protected:
  Session session_{SessionOptions{.backend = GetParam(), .threads = 2}};
  const Coord a_{0, 0, 0, 0}, b_{0, 1, 0, 0}, c_{0, 0, -2, 0}, d_{1, 0, 0, 0};
  const SparseTensor lhs_ = sparse({a_, b_, c_}, {1, 2, 3});
  const SparseTensor rhs_ = sparse({d_, c_, a_}, {10, 20, 30});
};
INSTANTIATE_TEST_SUITE_P(Backends, AlgebraTest, both_backends(), backend_name);

TEST_P(AlgebraTest, AddsOverEachJoin) {
  const SparseTensor inner = add(session_, lhs_, rhs_, Join::inner);
  EXPECT_THAT(coords_of(inner.support()), ElementsAre(a_, c_));
  EXPECT_THAT(numbers(inner.features()), ElementsAre(31, 23));
  const SparseTensor left = add(session_, lhs_, rhs_, Join::left);
  EXPECT_THAT(coords_of(left.support()), ElementsAre(a_, b_, c_));
  EXPECT_THAT(numbers(left.features()), ElementsAre(31, 2, 23));
  const SparseTensor right = add(session_, lhs_, rhs_, Join::right);
  EXPECT_THAT(coords_of(right.support()), ElementsAre(d_, c_, a_));
  EXPECT_THAT(numbers(right.features()), ElementsAre(10, 23, 31));
  const SparseTensor outer = add(session_, lhs_, rhs_);
  EXPECT_THAT(coords_of(outer.support()), ElementsAre(a_, b_, c_, d_));
  EXPECT_THAT(numbers(outer.features()), ElementsAre(31, 2, 23, 10));
}

TEST_P(AlgebraTest, CatsOverEachJoin) {
  const SparseTensor wide = sparse({d_, c_, a_}, {10, 11, 20, 21, 30, 31});
  EXPECT_THAT(numbers(cat(session_, lhs_, wide, Join::inner).features()), ElementsAre(1, 30, 31, 3, 20, 21));
  EXPECT_THAT(numbers(cat(session_, lhs_, wide, Join::left).features()), ElementsAre(1, 30, 31, 2, 0, 0, 3, 20, 21));
  EXPECT_THAT(numbers(cat(session_, lhs_, wide, Join::right).features()), ElementsAre(0, 10, 11, 3, 20, 21, 1, 30, 31));
  EXPECT_THAT(numbers(cat(session_, lhs_, wide).features()), ElementsAre(1, 30, 31, 2, 0, 0, 3, 20, 21, 0, 10, 11));
}

TEST_P(AlgebraTest, OneIdentityIsKept) {
  const SparseTensor other = lhs_.with_features(f32({5, 6, 7}, {3, 1}));
  for (const Join join : kJoins) {
    const SparseTensor sum = add(session_, lhs_, other, join);
    EXPECT_EQ(sum.support(), lhs_.support());
    EXPECT_THAT(numbers(sum.features()), ElementsAre(6, 8, 10));
    const SparseTensor both = cat(session_, lhs_, other, join);
    EXPECT_EQ(both.support(), lhs_.support());
    EXPECT_THAT(numbers(both.features()), ElementsAre(1, 5, 2, 6, 3, 7));
  }
  EXPECT_EQ(session_.relations(), 0);
}

TEST_P(AlgebraTest, ExtentsFollowTheJoin) {
  const SparseTensor small = sparse({a_}, {1}, 2, Triple(4)), large = sparse({b_}, {1}, 2, Triple(9));
  const SparseTensor small_too = sparse({b_}, {1}, 2, Triple(4));
  for (const Join join : kJoins) EXPECT_EQ(add(session_, small, large, join).stride(), Triple(2));
  EXPECT_EQ(add(session_, small, large, Join::inner).extent(), Triple(4));
  EXPECT_EQ(add(session_, small, large, Join::left).extent(), Triple(4));
  EXPECT_EQ(add(session_, small, large, Join::right).extent(), Triple(9));
  EXPECT_EQ(add(session_, small, large, Join::outer).extent(), std::nullopt);
  EXPECT_EQ(add(session_, small, small_too, Join::outer).extent(), Triple(4));
}

TEST_P(AlgebraTest, EmptySides) {
  const SparseTensor none(CoordSet::make(std::vector<Coord>()), Tensor::zeros(DType::f32, {0, 1}));
  const SparseTensor none_too(CoordSet::make(std::vector<Coord>()), Tensor::zeros(DType::f32, {0, 1}));
  EXPECT_EQ(add(session_, none, none_too).rows(), 0);
  EXPECT_EQ(add(session_, lhs_, none, Join::inner).rows(), 0);
  EXPECT_EQ(add(session_, none, lhs_, Join::left).rows(), 0);
  EXPECT_THAT(numbers(add(session_, none, lhs_).features()), ElementsAre(1, 2, 3));
  EXPECT_THAT(numbers(cat(session_, lhs_, none).features()), ElementsAre(1, 0, 2, 0, 3, 0));
}

TEST(JoinNames, AreTheirSpelling) {
  EXPECT_EQ(name(Join::inner), "inner");
  EXPECT_EQ(name(Join::left), "left");
  EXPECT_EQ(name(Join::right), "right");
  EXPECT_EQ(name(Join::outer), "outer");
}

TEST(AlgebraComparison, CpuAgreesWithReferenceExactly) {
  // The sum of two values of p bits, formed in q >= 2p + 2 bits and rounded to p, is as if it had been rounded once:
  // float32 holds this for f16 and bf16, and float64 for f32. So both backends give the same bits.
  Session cpu({.backend = BackendKind::cpu, .threads = 2}), reference({.backend = BackendKind::reference});
  Random random(21);
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const int64_t channels : {1, 6, 17}) {
      const SparseTensor lhs(CoordSet::make(random_coords(random, 400, 8)),
                             random_tensor(random, {400, channels}, dtype));
      const SparseTensor rhs(CoordSet::make(random_coords(random, 300, 8)),
                             random_tensor(random, {300, channels}, dtype));
      for (const Join join : kJoins) {
        const SparseTensor sum = add(cpu, lhs, rhs, join), expected = add(reference, lhs, rhs, join);
        EXPECT_EQ(coords_of(sum.support()), coords_of(expected.support()));
        expect_same(sum.features(), expected.features());
        expect_same(cat(cpu, lhs, rhs, join).features(), cat(reference, lhs, rhs, join).features());
      }
    }
  }
}

}  // namespace
}  // namespace lattice
