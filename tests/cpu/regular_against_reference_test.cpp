// spconv's regular convolution on random geometry, the cpu backend against the reference: coordinates and edges
// exactly, features of convolutions, packed ones, poolings and the inverse within bounds computed from the data.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lattice/error.h"
#include "lattice/nn.h"
#include "lattice/pool.h"
#include "random_geometry.h"

namespace lattice {
namespace {

constexpr uint64_t kShards = 8, kCasesPerShard = 100;

struct Case {
  ConvOptions options;
  SparseTensor x;
  int64_t out_channels = 1;
  int32_t skipped_batch = -1;  // of those below the largest, one without a row
};

Case make_case(uint64_t seed) {
  Draw draw(seed);
  ConvOptions options;
  options.kernel_size = draw.triple(1, draw.one_in(3) ? 5 : 3);
  options.stride = draw.one_in(4) ? Triple(1) : draw.triple(1, draw.one_in(3) ? 6 : 3);
  options.padding = draw.one_in(3) ? Triple(0) : draw.triple(0, 2);
  options.dilation = draw.one_in(2) ? Triple(1) : draw.triple(1, 2);
  // A single tap without stride or padding is a matrix product, whatever the rule.
  if (ConvGeometry(options).is_pointwise()) options.stride.z = 2;
  const Triple size = draw.triple(1, 11);
  const bool has_extent = !draw.one_in(3);
  random_case::Box box = {.low = 0, .size = size, .batches = draw.integer(1, 4)};
  if (!has_extent) box.low = {-size.x / 2, -size.y, -size.z / 2 - 3};
  const bool repeats = draw.one_in(4);
  std::vector<Coord> coords =
      random_case::random_coords(draw, box, draw.one_in(20) ? 0 : draw.integer(1, 120), repeats);
  const int32_t skipped = box.batches > 2 ? 1 : -1;
  std::erase_if(coords, [&](const Coord& c) { return c.batch == skipped; });
  // Often just the coordinates' box, in which kernels and strides leave planes out or find no room at all.
  const std::optional<Triple> extent =
      !has_extent ? std::nullopt
                  : std::optional(draw.one_in(2) ? size : random_case::random_extent(draw, box, options));
  const int64_t channels = draw.integer(1, draw.one_in(3) ? 40 : 9);
  const auto rows = static_cast<int64_t>(coords.size());
  Tensor features = random_tensor(draw, DType::f32, {rows, channels}, 1);
  return {.options = options,
          .x = {CoordSet::make(std::move(coords), draw.triple(1, 2), extent), std::move(features)},
          .out_channels = draw.integer(1, 9),
          .skipped_batch = skipped};
}

void expect_same_edges(const RelatedSupport& found, const RelatedSupport& expected) {
  const auto coords = found.output->coords(), specified = expected.output->coords();
  ASSERT_TRUE(std::equal(coords.begin(), coords.end(), specified.begin(), specified.end()));
  EXPECT_EQ(found.output->extent(), expected.output->extent());
  EXPECT_EQ(found.output->stride(), expected.output->stride());
  const EdgeList a = found.relation->edge_list(), b = expected.relation->edge_list();
  EXPECT_EQ(a.input_row, b.input_row);
  EXPECT_EQ(a.output_row, b.output_row);
  EXPECT_EQ(a.tap, b.tap);
}

/// max|x| of each row and sum |x| of each row.
struct Sizes {
  std::vector<double> largest, sum;
};
Sizes sizes_of(const Tensor& features) {
  Sizes sizes;
  const int64_t channels = features.size(1);
  for (int64_t row = 0; row < features.size(0); ++row) {
    double largest = 0, sum = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const double size = std::abs(features.data<float>()[row * channels + c]);
      largest = std::max(largest, size);
      sum += size;
    }
    sizes.largest.push_back(largest);
    sizes.sum.push_back(sum);
  }
  return sizes;
}

double largest_of(const Tensor& tensor) {
  double largest = 0;
  for (const float value : tensor.values<float>()) largest = std::max(largest, std::abs(double{value}));
  return largest;
}

/// Two results whose sums differ in order, and, of packed weights, in activations rounded to `activation_bits`.
/// `weight` is the largest factor: each term is at most twice that of the codes and that of the bias. Without one, as
/// in the largest of values, both are equal.
void expect_close(const SparseTensor& found, const SparseTensor& expected, const EdgeList& edges, const Tensor& inputs,
                  double weight, int activation_bits = 0) {
  ASSERT_EQ(found.features().shape(), expected.features().shape());
  const Sizes sizes = sizes_of(inputs);
  const auto channels = static_cast<double>(inputs.size(1));
  std::vector<double> sum(static_cast<size_t>(found.rows())), rounded(sum.size()), terms(sum.size());
  for (size_t edge = 0; edge < edges.input_row.size(); ++edge) {
    const auto in = static_cast<size_t>(edges.input_row[edge]), out = static_cast<size_t>(edges.output_row[edge]);
    sum[out] += 4 * weight * sizes.sum[in];
    rounded[out] += weight * channels * sizes.largest[in];
    terms[out] += channels;
  }
  const double step = activation_bits == 0 ? 0 : std::ldexp(1.01, -activation_bits);
  for (int64_t i = 0; i < found.features().elements(); ++i) {
    const auto row = static_cast<size_t>(i / found.channels());
    const double bound = std::ldexp(terms[row] + 4, -24) * (sum[row] + weight) + step * rounded[row];
    ASSERT_NEAR(found.features().data<float>()[i], expected.features().data<float>()[i], bound) << "row " << row;
  }
}

/// The message with which `call` fails; empty where it does not.
template <typename Call>
std::string failure_of(const Call& call) {
  try {
    call();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

class RegularAgainstReference : public ::testing::TestWithParam<uint64_t> {
 protected:
  void check(const Case& c, Session& cpu) {
    const ConvGeometry geometry(c.options);
    const auto related = [&](Session& session) {
      return session.relate(RelationKind::regular, c.x.support(), geometry, nullptr, "regular");
    };
    const std::string failure = failure_of([&] { related(reference_); });
    EXPECT_EQ(failure_of([&] { related(cpu); }), failure);
    if (!failure.empty()) {
      EXPECT_NE(failure.find("each size must stay positive"), std::string::npos) << failure;
      ++seen_["extents without room"];
      return;
    }
    const RelatedSupport expected = related(reference_);
    expect_same_edges(related(cpu), expected);
    const EdgeList edges = expected.relation->edge_list();
    check_pooling(c, cpu, geometry, edges);
    check_convolutions(c, cpu, geometry, edges);
    count(c, edges);
  }

  void check_pooling(const Case& c, Session& cpu, const ConvGeometry& geometry, const EdgeList& edges) {
    for (const PoolMode mode : {PoolMode::sum, PoolMode::max, PoolMode::average}) {
      const auto pooled = [&](Session& session) { return pool3d(session, c.x, mode, geometry, SupportRule::regular); };
      expect_close(pooled(cpu), pooled(reference_), edges, c.x.features(), mode == PoolMode::max ? 0 : 1);
    }
  }

  void check_convolutions(const Case& c, Session& cpu, const ConvGeometry& geometry, const EdgeList& edges) {
    const Conv3d conv({.in_channels = c.x.channels(),
                       .out_channels = c.out_channels,
                       .kernel_size = c.options.kernel_size,
                       .stride = c.options.stride,
                       .padding = c.options.padding,
                       .dilation = c.options.dilation,
                       .support = SupportRule::regular,
                       .seed = 7});
    const double weight = largest_of(conv.weight().dense());
    const SparseTensor y = conv(reference_, c.x);
    expect_close(conv(cpu, c.x), y, edges, c.x.features(), weight);
    for (const int64_t bits : {8, 4}) {
      const QuantizedConv3d packed = QuantizedConv3d::from_conv(conv, 32, bits);
      const SparseTensor specified = packed(reference_, c.x);
      expect_close(packed(exact_, c.x), specified, edges, c.x.features(), weight);
      expect_close(packed(integer_, c.x), specified, edges, c.x.features(), 2 * weight, 16);
    }
    // Back onto the input's own coordinates, by the edges of the relation above turned round.
    const ConvTranspose3d inverse({.in_channels = c.out_channels,
                                   .out_channels = 3,
                                   .kernel_size = c.options.kernel_size,
                                   .stride = c.options.stride,
                                   .padding = c.options.padding,
                                   .dilation = c.options.dilation,
                                   .seed = 8});
    const auto turned = [&](Session& session) {
      return session.relate(RelationKind::target_transposed, y.support(), geometry, c.x.support(), "inverse");
    };
    const RelatedSupport back = turned(reference_);
    const SparseTensor fine = inverse(reference_, y, c.x.support());
    EXPECT_EQ(fine.support(), c.x.support());
    const RelatedSupport down = cpu.relate(RelationKind::regular, c.x.support(), geometry, nullptr, "regular");
    const SparseTensor coarse(down.output, y.features());
    expect_same_edges(cpu.relate(RelationKind::target_transposed, down.output, geometry, c.x.support(), "inverse"),
                      back);
    expect_same_edges(turned(cpu), back);  // searched, as nothing is known of these rows
    expect_close(inverse(cpu, coarse, c.x.support()), fine, back.relation->edge_list(), y.features(),
                 largest_of(inverse.weight().dense()));
  }

  void count(const Case& c, const EdgeList& edges) {
    const auto coords = c.x.support()->coords();
    const auto any = [&](const auto& holds) { return std::any_of(coords.begin(), coords.end(), holds); };
    const Triple &kernel = c.options.kernel_size, &stride = c.options.stride;
    std::vector<bool> is_read(coords.size());
    for (const int32_t row : edges.input_row) is_read[static_cast<size_t>(row)] = true;
    ++seen_["relations"];
    seen_["extents"] += c.x.extent().has_value();
    seen_["no extents"] += !c.x.extent().has_value();
    seen_["negative coordinates"] += any([](const Coord& each) { return std::min({each.x, each.y, each.z}) < 0; });
    seen_["empty batches"] +=
        c.skipped_batch > 0 && any([&](const Coord& each) { return each.batch > c.skipped_batch; });
    seen_["several batches"] += c.x.support()->batches() > 1;
    seen_["no rows"] += coords.empty();
    seen_["repeated coordinates"] += c.x.support()->has_duplicates();
    seen_["rows that nothing reads"] += std::find(is_read.begin(), is_read.end(), false) != is_read.end();
    seen_["no outputs"] += !coords.empty() && edges.input_row.empty();
    seen_["even kernels"] += kernel.x % 2 == 0 || kernel.y % 2 == 0 || kernel.z % 2 == 0;
    seen_["kernels of five"] += std::max({kernel.x, kernel.y, kernel.z}) == 5;
    seen_["strides above the kernel"] += stride.x > kernel.x || stride.y > kernel.y || stride.z > kernel.z;
  }

  Session reference_{{.backend = BackendKind::reference, .threads = 1}};
  Session exact_{{.threads = 1, .numerics = Numerics::float32}}, integer_{{.threads = 1, .numerics = Numerics::int16}};
  std::map<std::string, int> seen_;
};

TEST_P(RegularAgainstReference, Agrees) {
  Session one({.threads = 1}), three({.threads = 3});
  for (uint64_t number = 0; number < kCasesPerShard; ++number) {
    const uint64_t seed = GetParam() * kCasesPerShard + number;
    const Case c = make_case(seed);
    SCOPED_TRACE("seed " + std::to_string(seed) + ": kernel " + to_string(c.options.kernel_size) + " stride " +
                 to_string(c.options.stride) + " padding " + to_string(c.options.padding) + " dilation " +
                 to_string(c.options.dilation) + ", " + std::to_string(c.x.rows()) + " rows");
    check(c, number % 2 == 0 ? one : three);
    for (Session* session : {&one, &three, &reference_, &exact_, &integer_}) session->clear_relations();
    if (HasFailure()) return;
  }
  // Of what the cases are there for, each shard has some.
  EXPECT_GE(seen_["relations"], 84);
  for (const char* what : {"extents", "no extents", "negative coordinates", "empty batches", "several batches",
                           "no rows", "repeated coordinates", "rows that nothing reads", "no outputs", "even kernels",
                           "kernels of five", "strides above the kernel", "extents without room"}) {
    EXPECT_GE(seen_[what], 1) << what;
  }
}

INSTANTIATE_TEST_SUITE_P(Shards, RegularAgainstReference, ::testing::Range(uint64_t{0}, kShards));

}  // namespace
}  // namespace lattice
