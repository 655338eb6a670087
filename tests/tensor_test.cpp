#include "lattice/tensor.h"

#include "ops/sparse_examples.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;

TEST(Tensor, TheDefaultIsUndefined) {
  const Tensor none;
  EXPECT_FALSE(none.defined());
  EXPECT_EQ(none.shape(), (Shape{0}));
  EXPECT_EQ(none.elements(), 0);
  EXPECT_EQ(none.nbytes(), 0U);
}

TEST(Tensor, AnEmptyOneIsDefined) {
  const Tensor none = Tensor::empty(DType::f16, {0, 7});
  EXPECT_TRUE(none.defined());
  EXPECT_EQ(none.size(1), 7);
  EXPECT_EQ(none.elements(), 0);
  EXPECT_TRUE(Tensor::from(std::vector<float>(), {0}).defined());
}

TEST(Tensor, StartsOnACacheLine) {
  for (const int64_t count : {1, 3, 64, 1000}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(Tensor::empty(DType::u8, {count}).raw()) % 64, 0U);
  }
}

TEST(Tensor, ZerosAreZero) {
  EXPECT_THAT(Tensor::zeros(DType::i32, {2, 2}).values<int32_t>(), ElementsAre(0, 0, 0, 0));
}

TEST(Tensor, CopiesShareTheElements) {
  Tensor one = Tensor::from(std::vector<int64_t>{1, 2}, {2});
  const Tensor other = one;
  one.mutable_data<int64_t>()[0] = 9;
  EXPECT_THAT(other.values<int64_t>(), ElementsAre(9, 2));
  EXPECT_EQ(one.nbytes(), 16U);
}

TEST(Tensor, OneThatWasMovedFromIsUndefined) {
  Tensor from = f32({1, 2}, {2});
  const Tensor to = std::move(from);
  EXPECT_FALSE(from.defined());  // NOLINT(bugprone-use-after-move): what is asked
  EXPECT_EQ(from.raw(), nullptr);
  EXPECT_THAT(to.values<float>(), ElementsAre(1, 2));
}

TEST(Tensor, ReshapedSharesToo) {
  const Tensor flat = f32({1, 2, 3, 4, 5, 6}, {6});
  const Tensor grid = flat.reshaped({2, 3});
  EXPECT_EQ(grid.raw(), flat.raw());
  EXPECT_EQ(grid.shape(), (Shape{2, 3}));
  EXPECT_EQ(grid.rank(), 2);
}

TEST(Tensor, AViewKeepsItsOwner) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  const std::weak_ptr<std::vector<float>> watched = owner;
  const float* const data = owner->data();
  {
    const Tensor view = Tensor::view(DType::f32, {3}, std::move(owner), data);
    EXPECT_EQ(view.raw(), data);
    EXPECT_FALSE(watched.expired());
    EXPECT_THAT(view.values<float>(), ElementsAre(1, 2, 3));
  }
  EXPECT_TRUE(watched.expired());
}

TEST(Tensor, ConvertsAmongFloatingTypes) {
  const Tensor x = f32({1, 1.0F / 3, 70000, -0.0F}, {4});
  EXPECT_EQ(x.to(DType::f32).raw(), x.raw());
  EXPECT_THAT(numbers(x.to(DType::f16)), ElementsAre(1, 0.333251953125, std::numeric_limits<double>::infinity(), 0));
  EXPECT_THAT(numbers(x.to(DType::bf16)), ElementsAre(1, 0.333984375, 70144, 0));
  EXPECT_THAT(numbers(x), ElementsAre(1, static_cast<double>(1.0F / 3), 70000, 0));
  const Tensor wide = Tensor::from(std::vector<double>{0.1}, {1});
  EXPECT_EQ(wide.to(DType::f32).data<float>()[0], 0.1F);
  EXPECT_EQ(Tensor::zeros(DType::f16, {0, 3}).to(DType::f32).shape(), (Shape{0, 3}));
}

TEST(Tensor, CountsElements) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 3, 4}), 24);
  EXPECT_EQ(element_count({int64_t{1} << 40, 0, int64_t{1} << 40}), 0);
  EXPECT_EQ(to_string(Shape{2, 3}), "(2, 3)");
  EXPECT_EQ(to_string(Shape{}), "()");
}

}  // namespace
}  // namespace lattice
