#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <tuple>

#include "artifact/exported_network.h"
#include "artifact/graph_builder.h"
#include "lattice/minkunet.h"
#include "lattice/session.h"
#include "sanitizers.h"

// Counts what runs take from the heap once everything is warm: nothing. A sanitizer brings an allocator of its own, and
// the pool keeps nothing there.

#if defined(__GLIBC__) && !defined(LATTICE_ADDRESS_SANITIZER) && !defined(LATTICE_THREAD_SANITIZER)
#define COUNTS_ALLOCATIONS 1
#endif

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

#ifdef COUNTS_ALLOCATIONS
// Every way to the heap leads through these, operator new too.
extern "C" {
void* __libc_malloc(size_t);            // NOLINT: glibc's names
void* __libc_calloc(size_t, size_t);    // NOLINT
void* __libc_realloc(void*, size_t);    // NOLINT
void* __libc_memalign(size_t, size_t);  // NOLINT

void* malloc(size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) noexcept {
  ++allocations;
  return __libc_realloc(memory, size);
}
void* memalign(size_t alignment, size_t size) noexcept {
  ++allocations;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) noexcept {
  *memory = memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
}
#endif

namespace lattice::artifact {
namespace {

using Attributes = std::map<std::string, Attribute, std::less<>>;

constexpr int64_t kChannels = 32;
const Integers kOne = {1, 1, 1}, kTwo = {2, 2, 2}, kThree = {3, 3, 3}, kZero = {0, 0, 0};

/// An encoder and decoder with every kind of step that networks are made of.
class Network {
 public:
  /// `bits`: 32, or those of packed weights.
  explicit Network(int64_t bits) : bits_(bits) {
    const ValueId in = graph_.sparse_input("x", {}, Tensor::zeros(DType::f32, {0, kChannels}));
    const ValueId stem = normed("stem", convolution("subm_conv3d", "stem", {in}, kChannels, kThree, kOne));
    const ValueId down = normed("down", convolution("conv3d", "down", {stem}, kChannels, kTwo, kTwo));
    const ValueId inner = convolution("subm_conv3d", "inner", {down}, kChannels, kThree, kOne);
    const ValueId sum = graph_.sparse("sparse.binary", {inner, down}, DType::f32,
                                      {{"op", GraphBuilder::word("binary_op", "add")},
                                       {"join", GraphBuilder::word("join", "outer")},
                                       {"lhs_fill", 0.0F},
                                       {"rhs_fill", 0.0F}});
    const ValueId up = convolution("target_conv_transpose3d", "up", {sum, stem}, kChannels, kTwo, kTwo);
    const ValueId both = cat(up, stem);
    const ValueId narrow = convolution("conv3d", "narrow", {both}, 2 * kChannels, kOne, kOne);
    const ValueId wide = linear(
        "wide", cat(narrow, convolution("subm_conv3d", "a", {both}, 2 * kChannels, kThree, kOne)), 2 * kChannels);
    graph_.output("y", wide);
    graph_.output("grown", convolution("conv_transpose3d", "grown", {sum}, kChannels, kTwo, kTwo));
    graph_.output("halves", graph_.sparse("pool3d", {wide}, DType::f32,
                                          {{"mode", GraphBuilder::word("pool_mode", "max")},
                                           {"kernel_size", kTwo},
                                           {"stride", kTwo},
                                           {"padding", kZero},
                                           {"dilation", kOne}}));
    graph_.output("mean", graph_.dense("global_pool", {wide}, DType::f32, kChannels,
                                       {{"mode", GraphBuilder::word("pool_mode", "avg")}, {"batch_size", int64_t{2}}}));
  }

  Model model() const { return graph_.model(); }

  static NamedTensors request(uint64_t seed, size_t rows) {
    Random random(seed);
    GraphBuilder graph;
    graph.sparse_input("x", random_coords(random, rows, 10),
                       random_tensor(random, {static_cast<int64_t>(rows) + 2, kChannels}), kOne, 2);
    return graph.inputs;
  }

 private:
  ValueId weight(const std::string& key, const std::string& family, const std::string& layout, const Tensor& dense,
                 bool packs) {
    if (bits_ == 32 || !packs) return graph_.dense_weight(key, family, layout, dense);
    return graph_.packed_weight(key, family, layout, QuantizedWeight::pack(dense, {.bits = bits_, .group_size = 32}));
  }
  ValueId vector(const std::string& key, const std::string& family, double offset = 0) {
    Tensor values = random_tensor(random_, {kChannels});
    for (int64_t i = 0; i < kChannels; ++i) values.mutable_data<float>()[i] += static_cast<float>(offset);
    return graph_.dense_weight(key, family, family == "bias" ? "bias_c" : "channel_c", values);
  }
  ValueId convolution(const std::string& name, const std::string& key, std::vector<ValueId> operands, int64_t ins,
                      const Integers& size, const Integers& stride) {
    Attributes attributes = {{"kernel_size", size}, {"dilation", kOne}, {"accumulation", std::string("canonical_f32")}};
    if (name != "subm_conv3d") attributes.insert({{"stride", stride}, {"padding", kZero}});
    const Tensor dense = random_tensor(random_, {kChannels, size[0], size[1], size[2], ins});
    // The one operation that has no packed form.
    operands.push_back(weight(key, "conv3d", "conv3d_o_xyz_i", dense, name != "target_conv_transpose3d"));
    operands.push_back(vector(key + ".bias", "bias"));
    return graph_.sparse(name, operands, DType::f32, attributes);
  }
  ValueId cat(ValueId lhs, ValueId rhs) {
    return graph_.sparse("sparse.cat", {lhs, rhs}, DType::f32, {{"join", GraphBuilder::word("join", "inner")}});
  }
  ValueId normed(const std::string& key, ValueId x) {
    x = on_features("batch_norm", x, kChannels,
                    {vector(key + ".scale", "channel"), vector(key + ".shift", "bias"),
                     vector(key + ".mean", "channel"), vector(key + ".var", "channel", 1.5)},
                    {{"eps", 1e-3F}});
    return on_features("activation", x, kChannels, {},
                       {{"kind", GraphBuilder::word("activation", "relu")},
                        {"approximate", GraphBuilder::word("gelu_approx", "none")},
                        {"alpha", 0.01F},
                        {"beta", 1.0F},
                        {"threshold", 20.0F}});
  }
  /// A layer norm, which is a step of its own, behind the layer.
  ValueId linear(const std::string& key, ValueId x, int64_t ins) {
    x = on_features("linear", x, ins,
                    {weight(key, "linear", "linear_o_i", random_tensor(random_, {kChannels, ins}), true)}, {});
    return on_features("layer_norm", x, kChannels, {vector(key + ".scale", "channel"), vector(key + ".shift", "bias")},
                       {{"eps", 1e-3F}});
  }
  ValueId on_features(const std::string& name, ValueId x, int64_t channels, std::vector<ValueId> more,
                      const Attributes& attributes) {
    return graph_.on_features(name, x, DType::f32, channels, std::move(more), kChannels, attributes);
  }

  int64_t bits_;
  Random random_{11};
  GraphBuilder graph_;
};

/// The same values in memory of their own.
NamedTensors copied(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) {
    copies[name] = Tensor::empty(tensor.dtype(), tensor.shape());
    std::memcpy(copies[name].mutable_raw(), tensor.raw(), tensor.nbytes());
  }
  return copies;
}

int64_t taken_by(const Model& model, Session& session, const NamedTensors& inputs) {
  const int64_t before = allocations;
  { const NamedTensors results = model.run(session, inputs); }
  return allocations - before;
}

class Allocations : public testing::Test {
 protected:
  void SetUp() override {
#ifndef COUNTS_ALLOCATIONS
    GTEST_SKIP() << "a sanitizer, or another C library, has its own allocator";
#endif
  }
};

class AllocationsOf : public Allocations, public testing::WithParamInterface<std::tuple<int64_t, int>> {
 protected:
  int64_t bits() const { return std::get<0>(GetParam()); }
  int threads() const { return std::get<1>(GetParam()); }

  /// Runs all inputs in turn, some rounds to become warm; then no round takes anything. Which thread takes which task
  /// is chance, so that with several of them a block may be held that never was before, after any number of rounds,
  /// but ever more seldom: there, many rounds in a row must take nothing.
  void expect_none(const Model& model, const std::vector<NamedTensors>& inputs) const {
    Session session({.threads = threads()});
    const int quiet_rounds = threads() == 1 ? 5 : 10, most_rounds = threads() == 1 ? 3 + quiet_rounds : 500;
    int quiet = 0;
    int64_t taken = 0;
    for (int round = 0; round < most_rounds && quiet < quiet_rounds; ++round) {
      taken = 0;
      for (const NamedTensors& each : inputs) taken += taken_by(model, session, each);
      quiet = taken == 0 ? quiet + 1 : 0;
    }
    EXPECT_GE(quiet, quiet_rounds) << "the last round took " << taken << " times";
  }
};

TEST_P(AllocationsOf, none_where_the_same_inputs_come_again) {
  expect_none(Network(bits()).model(), {Network::request(1, 700)});
}

TEST_P(AllocationsOf, none_where_equal_scans_come) {
  const NamedTensors scan = Network::request(1, 700);
  expect_none(Network(bits()).model(), {scan, copied(scan), copied(scan)});
}

TEST_P(AllocationsOf, none_where_scans_of_different_sizes_alternate) {
  expect_none(Network(bits()).model(), {Network::request(1, 20), Network::request(2, 1500), Network::request(3, 300)});
}

TEST_P(AllocationsOf, none_in_a_whole_network) {
  Session session;
  Random random(4);
  const SparseTensor x(CoordSet::make(random_coords(random, 500, 12)), random_tensor(random, {500, 4}));
  MinkUNet18 network = MinkUNet18::seeded(session, x, 1, 7);
  if (bits() != 32) network = network.quantized(bits());
  expect_none(network.exported().model(), {inputs_of(x)});
}

INSTANTIATE_TEST_SUITE_P(, AllocationsOf, testing::Combine(testing::Values(32, 4), testing::Values(1, 2)),
                         [](const auto& each) {
                           return (std::get<0>(each.param) == 32 ? "float32_" : "int4_") +
                                  std::to_string(std::get<1>(each.param)) + "t";
                         });

/// Scans that were never seen, none larger than those that were, in rows or in edges.
TEST_F(Allocations, none_where_new_scans_of_like_size_come) {
  const Model model = Network(32).model();
  Session session({.threads = 1});
  // What is kept is kept by sizes: a smaller scan may take what a larger one did not, so that all sizes come first.
  for (uint64_t seed = 0; seed < 41; ++seed) taken_by(model, session, Network::request(seed, 1400 + 5 * seed));
  int64_t taken = 0;
  for (uint64_t seed = 100; seed < 200; ++seed) {
    taken += taken_by(model, session, Network::request(seed, 1400 + 5 * (seed % 20)));
  }
  EXPECT_EQ(taken, 0);
}

TEST_F(Allocations, none_for_long_names_where_results_are_used_again) {
  GraphBuilder graph;
  graph.output("an_output_of_a_very_long_name", graph.sparse_input("x", {}, Tensor::zeros(DType::f32, {0, 3})));
  Random random(2);
  GraphBuilder request;
  request.sparse_input("x", random_coords(random, 50, 4), random_tensor(random, {50, 3}));
  const Model model = graph.model();
  Session session({.threads = 1});
  NamedTensors results = {{"left by another model", Tensor::zeros(DType::f32, {1})}};
  for (int warm_up = 0; warm_up < 3; ++warm_up) model.run(session, request.inputs, results);
  EXPECT_EQ(results.size(), 3U);
  const int64_t before = allocations;
  model.run(session, request.inputs, results);
  EXPECT_EQ(allocations - before, 0);
}

}  // namespace
}  // namespace lattice::artifact
