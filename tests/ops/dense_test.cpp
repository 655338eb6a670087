#include "lattice/dense.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exact_error.h"
#include "lattice/random.h"

namespace lattice {
namespace {

SparseTensor random_tensor(DType dtype) {
  Random random(3);
  std::vector<Coord> coords;
  for (int32_t i = 0; i < 40; ++i) {
    const auto below = [&](uint64_t limit) { return static_cast<int32_t>(random.next() % limit); };
    coords.push_back({below(3), below(5), below(4), below(3)});
  }
  coords.push_back(coords.front());  // a duplicate, whose first row counts
  Tensor features = Tensor::empty(DType::f32, {static_cast<int64_t>(coords.size()), 6});
  for (int64_t i = 0; i < features.elements(); ++i) features.mutable_data<float>()[i] = static_cast<float>(i + 1);
  return {CoordSet::make(coords, 1, Triple(5, 4, 3)), features.to(dtype)};
}

/// The value that a cell must have: that of the first row there, else 0.
float expected_at(const SparseTensor& x, const Tensor& features, Coord place, int64_t channel) {
  const auto coords = x.support()->coords();
  for (size_t row = 0; row < coords.size(); ++row) {
    if (coords[row] == place) return features.data<float>()[static_cast<int64_t>(row) * x.channels() + channel];
  }
  return 0;
}

TEST(Dense, HoldsEveryCellInBothOrders) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const SparseTensor x = random_tensor(dtype);
    const Tensor features = x.features().to(DType::f32);
    const Tensor dense = to_dense(x, std::nullopt, 4), view = to_birds_eye(x, std::nullopt, 4);
    ASSERT_EQ(dense.dtype(), dtype);
    ASSERT_EQ(dense.shape(), (Shape{4, 6, 5, 4, 3}));
    ASSERT_EQ(view.shape(), (Shape{4, 6 * 3, 4, 5}));
    const Tensor dense_values = dense.to(DType::f32), view_values = view.to(DType::f32);
    for (int32_t b = 0; b < 4; ++b) {
      for (int64_t c = 0; c < 6; ++c) {
        for (int32_t i = 0; i < 5; ++i) {
          for (int32_t j = 0; j < 4; ++j) {
            for (int32_t k = 0; k < 3; ++k) {
              const float expected = expected_at(x, features, {b, i, j, k}, c);
              ASSERT_EQ(dense_values.data<float>()[(((b * 6 + c) * 5 + i) * 4 + j) * 3 + k], expected);
              ASSERT_EQ(view_values.data<float>()[((b * 18 + c * 3 + k) * 4 + j) * 5 + i], expected);
            }
          }
        }
      }
    }
  }
}

TEST(Dense, TakesTheLargestBatchAndAnEmptyTensor) {
  EXPECT_EQ(to_dense(random_tensor(DType::f32)).size(0), 3);
  const SparseTensor empty(CoordSet::make(std::vector<Coord>(), 1, Triple(2)), Tensor::zeros(DType::f32, {0, 3}));
  EXPECT_EQ(to_dense(empty).shape(), (Shape{0, 3, 2, 2, 2}));
  EXPECT_EQ(to_birds_eye(empty, std::nullopt, 1).shape(), (Shape{1, 6, 2, 2}));
}

TEST(Dense, RefusesWhatHasNoGrid) {
  const SparseTensor unbounded(CoordSet::make(std::vector<Coord>{{0, 1, 2, 3}, {1, -1, 0, 0}}),
                               Tensor::zeros(DType::f32, {2, 1}));
  expect_error([&] { to_dense(unbounded); },
               "to_dense: the tensor has no extent, and none was given; pass the grid's sizes");
  expect_error([&] { to_birds_eye(unbounded, Triple(4, 4, 0)); },
               "to_birds_eye: extent (4, 4, 0) must be at least 1 on every axis");
  expect_error([&] { to_dense(unbounded, Triple(4), -1); },
               "to_dense: batches -1 must be at least 0; leave it out to take the largest batch + 1");
  expect_error([&] { to_dense(unbounded, Triple(4)); },
               "to_dense: row 1 at (1, -1, 0, 0) lies outside 2 batches of extent (4, 4, 4); pass a larger one");
  expect_error([&] { to_dense(unbounded, Triple(4), 1); },
               "to_dense: row 1 at (1, -1, 0, 0) lies outside 1 batches of extent (4, 4, 4); pass a larger one");
  const SparseTensor small(CoordSet::make(std::vector<Coord>{{0, 0, 0, 0}}), Tensor::zeros(DType::f32, {1, 1}));
  const std::string too_many =
      "1 batches of 1 channels and extent (1099511627776, 1099511627776, 1099511627776) are "
      "more elements than 64 bits count; pass a smaller extent";
  const Triple huge(int64_t{1} << 40);
  expect_error([&] { to_dense(small, huge); }, "to_dense: " + too_many, ErrorCode::out_of_range);
  expect_error([&] { to_birds_eye(small, huge); }, "to_birds_eye: " + too_many, ErrorCode::out_of_range);
  const SparseTensor empty(CoordSet::make(std::vector<Coord>()), Tensor::zeros(DType::f32, {0, 1}));
  EXPECT_THROW(to_dense(empty, huge), Error);
}

}  // namespace
}  // namespace lattice
