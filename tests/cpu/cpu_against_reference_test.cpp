// The cpu backend against the reference on random convolutions: coordinates, their order and edges exactly, features
// within a bound computed from the data.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "cpu/forced_isa.h"
#include "lattice/error.h"
#include "lattice/feature.h"
#include "quantization_step.h"
#include "random_geometry.h"

namespace lattice {
namespace {

constexpr uint64_t kShards = 20;
constexpr uint64_t kCasesPerShard = 126;  // 20 shards of 14 rounds over the 9 kinds: 2,520 cases
static_assert(kCasesPerShard % kCaseKinds.size() == 0);

std::vector<double> doubles(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::f64);
  return {wide.values<double>().begin(), wide.values<double>().end()};
}

/// Each weight and a bound of the terms that it is a sum of: |w| itself, or |scale * code| + |bias| where it is packed.
struct WeightValues {
  std::vector<double> value, magnitude;  // (K, C_in, C_out)
};

WeightValues values_of(const ConvWeight& weight) {
  const int64_t taps = weight.taps(), ins = weight.in_channels(), outs = weight.out_channels();
  const std::vector<double> dense = weight.is_packed() ? std::vector<double>() : doubles(weight.dense());
  WeightValues result;
  for (int64_t tap = 0; tap < taps; ++tap) {
    for (int64_t in = 0; in < ins; ++in) {
      for (int64_t out = 0; out < outs; ++out) {
        if (weight.is_packed()) {
          const QuantizedWeight& packed = weight.packed();
          const int64_t group = in / packed.group_size();
          const double scaled = double{packed.scale(tap, group, out)} * packed.code(tap, in, out);
          const double bias = packed.bias(tap, group, out);
          result.value.push_back(scaled + bias);
          result.magnitude.push_back(std::abs(scaled) + std::abs(bias));
        } else {
          result.value.push_back(dense[static_cast<size_t>((out * taps + tap) * ins + in)]);
          result.magnitude.push_back(std::abs(result.value.back()));
        }
      }
    }
  }
  return result;
}

/// What an output is a sum of: its value in double, the sum of the terms' magnitudes, and their number.
struct Sum {
  double value = 0, magnitude = 0;
  /// Of max |x_group| * sum |w_group|, over edges and groups: what rounding activations to integers scales with.
  double quantized = 0;
  int64_t terms = 0;

  void add(double term, double size) {
    value += term;
    magnitude += size;
    ++terms;
  }
};

std::vector<Sum> products(const RandomCase& random, const EdgeList& edges, int64_t output_rows) {
  const int64_t ins = random.weight.in_channels(), outs = random.weight.out_channels();
  const std::vector<double> x = doubles(random.x.features());
  const WeightValues weights = values_of(random.weight);
  std::vector<Sum> sums(static_cast<size_t>(output_rows * outs));
  const int64_t group_size = random.weight.is_packed() ? random.weight.packed().group_size() : ins;
  const auto largest_of_group = [&](int64_t row, int64_t in) {
    const int64_t first = in / group_size * group_size;
    double largest = 0;
    for (int64_t c = first; c < std::min(first + group_size, ins); ++c) {
      largest = std::max(largest, std::abs(x[static_cast<size_t>(row * ins + c)]));
    }
    return largest;
  };
  for (size_t edge = 0; edge < edges.input_row.size(); ++edge) {
    for (int64_t in = 0; in < ins; ++in) {
      const double value = x[static_cast<size_t>(edges.input_row[edge] * ins + in)];
      const auto w = static_cast<size_t>((edges.tap[edge] * ins + in) * outs);
      const auto y = static_cast<size_t>(edges.output_row[edge] * outs);
      for (size_t out = 0; out < static_cast<size_t>(outs); ++out) {
        sums[y + out].add(value * weights.value[w + out], std::abs(value) * weights.magnitude[w + out]);
        sums[y + out].quantized += largest_of_group(edges.input_row[edge], in) * std::abs(weights.value[w + out]);
      }
    }
  }
  return sums;
}

/// y = activation((sum + bias) * scale + shift + residual), with the activations that never widen a difference.
void finish(std::vector<Sum>& sums, const Epilogue& epilogue, size_t channels) {
  const auto value_or = [](const Tensor& tensor) { return tensor.defined() ? doubles(tensor) : std::vector<double>(); };
  const std::vector<double> bias = value_or(epilogue.bias), scale = value_or(epilogue.scale),
                            shift = value_or(epilogue.shift), residual = value_or(epilogue.residual);
  for (size_t i = 0; i < sums.size(); ++i) {
    const size_t channel = i % channels;
    if (!bias.empty()) sums[i].add(bias[channel], std::abs(bias[channel]));
    if (!scale.empty()) {
      sums[i].value *= scale[channel];
      sums[i].magnitude *= std::abs(scale[channel]);
      sums[i].quantized *= std::abs(scale[channel]);
      ++sums[i].terms;  // the product rounds as a sum does
      sums[i].add(shift[channel], std::abs(shift[channel]));
    }
    if (!residual.empty()) sums[i].add(residual[i], std::abs(residual[i]));
    if (epilogue.activation.kind == ActivationKind::relu) sums[i].value = std::max(sums[i].value, 0.0);
  }
}

/// Half the distance of neighbours in a type of `digits` significant bits, at a value rounded to that type. Below
/// 2^lowest the values are evenly spaced (subnormal).
double half_unit(double rounded, int digits, int lowest) {
  const int exponent = rounded == 0 ? lowest : std::max(std::ilogb(rounded), lowest);
  return std::ldexp(1.0, exponent - digits);
}

double half_unit(double rounded, DType dtype) {
  switch (dtype) {
    case DType::f16:
      return half_unit(rounded, 11, -14);  // at the subnormals' step of 2^-24: 2^-25
    case DType::bf16:
      return half_unit(rounded, 8, -126);
    default:
      return half_unit(rounded, 24, -126);
  }
}

/// The error of a sum of n products in any order with unit roundoff u: each product and each addition rounds by at most
/// u, which compounds to (n + 4) u |x||w| (Higham, Accuracy and Stability, chapter 3), the 4 for the second-order terms
/// and for the weight's own scale * code + bias.
double sum_bound(const Sum& sum, double roundoff) {
  return static_cast<double>(sum.terms + 4) * roundoff * sum.magnitude;
}

/// float32 accumulators, of which 16-bit outputs are rounded once more; activations that were rounded to integers.
double cpu_bound(const Sum& sum, double y, DType dtype, double step) {
  return sum_bound(sum, 0x1p-24) + step * sum.quantized + (dtype == DType::f32 ? 0.0 : half_unit(y, dtype));
}

double reference_bound(const Sum& sum, double y, DType dtype) {
  return sum_bound(sum, 0x1p-53) + half_unit(y, dtype);
}

void expect_same_edges(const EdgeList& expected, const EdgeList& found) {
  EXPECT_EQ(expected.input_row, found.input_row);
  EXPECT_EQ(expected.output_row, found.output_row);
  EXPECT_EQ(expected.tap, found.tap);
  EXPECT_EQ(expected.output_begin, found.output_begin);
}

bool same_coords(const CoordSet& a, const CoordSet& b) {
  return std::equal(a.coords().begin(), a.coords().end(), b.coords().begin(), b.coords().end());
}

struct Tally {
  int64_t cases = 0, refused = 0, outputs = 0, nonzero = 0;
  /// Outputs whose bound is below their own size: there a wrong sum could not pass.
  int64_t decided = 0;
};

/// Runs a case; the error's code where it is refused.
struct Outcome {
  std::optional<SparseTensor> y;
  std::optional<ErrorCode> refused;
};

Outcome outcome(const RandomCase& random, Session& session) {
  try {
    return {.y = random.run(session), .refused = std::nullopt};
  } catch (const Error& error) {
    return {.y = std::nullopt, .refused = error.code()};
  }
}

void check_features(const std::vector<Sum>& sums, const Tensor& reference, const Tensor& cpu, double step,
                    Tally& tally) {
  ASSERT_EQ(reference.shape(), cpu.shape());
  ASSERT_EQ(reference.dtype(), cpu.dtype());
  const std::vector<double> specified = doubles(reference), computed = doubles(cpu);
  ASSERT_EQ(sums.size(), computed.size());
  for (size_t i = 0; i < sums.size(); ++i) {
    const double y64 = sums[i].value;
    const double bound = cpu_bound(sums[i], computed[i], cpu.dtype(), step);
    ASSERT_LE(std::abs(specified[i] - y64), reference_bound(sums[i], specified[i], cpu.dtype()))
        << "reference, element " << i;
    ASSERT_LE(std::abs(computed[i] - y64), bound) << "cpu, element " << i << ": " << computed[i] << " for " << y64;
    ++tally.outputs;
    tally.nonzero += computed[i] != 0 ? 1 : 0;
    tally.decided += bound < std::abs(y64) ? 1 : 0;
  }
}

void check_case(const RandomCase& random, Session& reference, Session& cpu, Tally& tally) {
  ++tally.cases;
  const Outcome specified = outcome(random, reference), computed = outcome(random, cpu);
  ASSERT_EQ(specified.refused, computed.refused);
  if (specified.refused) {
    EXPECT_EQ(*specified.refused, ErrorCode::out_of_range);  // only the ends of int32 are refused
    ++tally.refused;
    return;
  }
  const CoordSet& expected = *specified.y->support();
  const CoordSet& found = *computed.y->support();
  ASSERT_TRUE(same_coords(expected, found));
  EXPECT_EQ(expected.stride(), found.stride());
  EXPECT_EQ(expected.extent(), found.extent());
  EXPECT_EQ(specified.y->support() == random.x.support(), computed.y->support() == random.x.support());

  const EdgeList edges = random.relate(reference).relation->edge_list();
  const RelatedSupport related = random.relate(cpu);
  expect_same_edges(edges, related.relation->edge_list());
  EXPECT_EQ(static_cast<int64_t>(edges.tap.size()), related.relation->edges());

  std::vector<Sum> sums = products(random, edges, found.rows());
  finish(sums, random.full_epilogue(found.rows()), static_cast<size_t>(random.weight.out_channels()));
  const Numerics numerics = cpu.numerics(random.x.features().dtype());
  const double step = random.weight.is_packed() ? quantization_step(numerics) : 0;
  check_features(sums, specified.y->features(), computed.y->features(), step, tally);
}

/// On the machine's instruction set; for bfloat16, which not every one has, on the plain one.
Session session_with(Numerics numerics, int threads) {
  std::optional<cpu::ForcedIsa> plain;
  if (numerics == Numerics::bfloat16) plain.emplace("scalar");
  return Session({.backend = BackendKind::cpu, .threads = threads, .numerics = numerics});
}

class CpuAgainstReference : public testing::TestWithParam<uint64_t> {};

TEST_P(CpuAgainstReference, AgreesOnRandomConvolutions) {
  Session reference({.backend = BackendKind::reference});
  std::vector<Session> cpus;
  for (const Numerics numerics : {Numerics::float32, Numerics::int16, Numerics::int8, Numerics::bfloat16}) {
    cpus.push_back(session_with(numerics, 1));
  }
  Tally tally;
  for (uint64_t number = 0; number < kCasesPerShard; ++number) {
    Session& cpu = cpus[number / kCaseKinds.size() % cpus.size()];
    const CaseKind kind = kCaseKinds[number % kCaseKinds.size()];
    const RandomCase random = RandomCase::make(kind, GetParam() * kCasesPerShard + number);
    SCOPED_TRACE(random.description());
    ASSERT_NO_FATAL_FAILURE(check_case(random, reference, cpu, tally));
  }
  RecordProperty("refused", static_cast<int>(tally.refused));
  RecordProperty("outputs", std::to_string(tally.outputs));
  EXPECT_EQ(tally.cases, static_cast<int64_t>(kCasesPerShard));
  // The test means something where outputs exist, are not zero, and lie far from zero for their bound.
  EXPECT_LT(tally.refused * 4, tally.cases);
  EXPECT_GT(tally.nonzero * 2, tally.outputs);
  EXPECT_GT(tally.decided * 2, tally.outputs);
}

INSTANTIATE_TEST_SUITE_P(Shards, CpuAgainstReference, testing::Range(uint64_t{0}, kShards));

class CpuThreads : public testing::TestWithParam<Numerics> {};

TEST_P(CpuThreads, GiveTheSameBitsWhateverTheirNumber) {
  Session one = session_with(GetParam(), 1);
  constexpr uint64_t kFirstSeed = 100000, kCases = 54;
  constexpr int64_t kMostRows = 4000;  // enough for every thread to have work
  int64_t compared = 0;
  for (const int threads : {2, 3, 7}) {
    Session many = session_with(GetParam(), threads);
    for (uint64_t number = 0; number < kCases; ++number) {
      const RandomCase random =
          RandomCase::make(kCaseKinds[number % kCaseKinds.size()], kFirstSeed + number, kMostRows);
      SCOPED_TRACE(random.description() + ", threads " + std::to_string(threads));
      const Outcome expected = outcome(random, one), found = outcome(random, many);
      ASSERT_EQ(expected.refused, found.refused);
      if (expected.refused) continue;
      ASSERT_TRUE(same_coords(*expected.y->support(), *found.y->support()));
      const Tensor &a = expected.y->features(), &b = found.y->features();
      ASSERT_EQ(a.nbytes(), b.nbytes());
      EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.nbytes()), 0);
      compared += a.elements();
    }
  }
  EXPECT_GT(compared, 0);
}

INSTANTIATE_TEST_SUITE_P(Numerics, CpuThreads, testing::Values(Numerics::int16, Numerics::bfloat16),
                         [](const auto& numerics) { return std::string(name(numerics.param)); });

/// A pointwise layer, so that each row's result is its own: those of odd rows are float32's, bit for bit.
class CpuNumerics : public testing::Test {
 protected:
  static constexpr int64_t kRows = 700, kChannels = 40, kOutputs = 24;

  static bool is_odd(int64_t row) { return row % 50 == 3; }

  /// Normal values, and in each odd row one that is none.
  Tensor features(DType dtype) {
    Tensor x = random_normal({kRows, kChannels});
    for (int64_t row = 0; row < kRows; ++row) {
      const float odd = row % 100 == 3 ? std::numeric_limits<float>::infinity() : std::nanf("");
      if (is_odd(row)) x.mutable_data<float>()[row * kChannels + row % kChannels] = odd;
    }
    return x.to(dtype);
  }
  Tensor random_normal(Shape shape) {
    Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      tensor.mutable_data<float>()[i] = static_cast<float>(random_.normal());
    }
    return tensor;
  }
  Tensor weight() { return random_normal({kOutputs, 1, 1, 1, kChannels}); }

  static bool same_bits(const Tensor& a, const Tensor& b, int64_t row) {
    const size_t bytes = a.nbytes() / kRows, at = static_cast<size_t>(row) * bytes;
    return std::memcmp(static_cast<const char*>(a.raw()) + at, static_cast<const char*>(b.raw()) + at, bytes) == 0;
  }

 private:
  Random random_{7};
};

TEST_F(CpuNumerics, RowsThatCannotBeQuantizedTakeFloat32) {
  const Tensor x = features(DType::f32);
  const ConvWeight packed(QuantizedWeight::pack(weight(), {.bits = 8, .group_size = 32}));
  Session float32 = session_with(Numerics::float32, 2), int16 = session_with(Numerics::int16, 2);
  EXPECT_EQ(float32.numerics(), Numerics::float32);
  EXPECT_EQ(int16.numerics(), Numerics::int16);
  const Tensor exact = linear(float32, x, packed), quantized = linear(int16, x, packed);
  for (int64_t row = 0; row < kRows; ++row) {
    EXPECT_EQ(same_bits(exact, quantized, row), is_odd(row)) << row;
    EXPECT_EQ(std::isfinite(quantized.data<float>()[row * kOutputs]), !is_odd(row)) << row;
  }
}

// Beside rows as small: integers times a bias would overflow, although the output is nothing special.
TEST_F(CpuNumerics, WeightsThatIntegersWouldOverflowTakeFloat32) {
  const auto scaled = [](Tensor tensor, float factor) {
    for (float& value : std::span(tensor.mutable_data<float>(), static_cast<size_t>(tensor.elements())))
      value *= factor;
    return tensor;
  };
  for (const float power : {0x1p100F, 0x1p110F, 0x1p118F}) {
    const Tensor x = scaled(random_normal({kRows, kChannels}), 1 / power);
    const ConvWeight packed(QuantizedWeight::pack(scaled(weight(), power), {.bits = 8, .group_size = 32}));
    Session float32 = session_with(Numerics::float32, 2);
    const Tensor exact = linear(float32, x, packed);
    for (const Numerics numerics : {Numerics::int16, Numerics::int8}) {
      Session integers = session_with(numerics, 2);
      const Tensor y = linear(integers, x, packed);
      for (int64_t i = 0; i < y.elements(); ++i) EXPECT_NEAR(y.data<float>()[i], exact.data<float>()[i], 0.5) << i;
      const bool are_same = std::memcmp(y.raw(), exact.raw(), y.nbytes()) == 0;
      EXPECT_EQ(are_same, power > 0x1p104F) << power;
    }
  }
}

TEST_F(CpuNumerics, Bf16RowsThatCannotBeMultipliedAsTheyAreTakeFloat32) {
  const Tensor x = features(DType::bf16);
  const ConvWeight packed(QuantizedWeight::pack(weight(), {.bits = 8, .group_size = 32}));
  const cpu::ForcedIsa plain("scalar");
  Session float32 = session_with(Numerics::float32, 2), bfloat16 = session_with(Numerics::bfloat16, 2);
  const Tensor exact = linear(float32, x, packed), direct = linear(bfloat16, x, packed);
  for (int64_t row = 0; row < kRows; ++row) {
    if (is_odd(row)) {
      EXPECT_TRUE(same_bits(exact, direct, row)) << row;
    }
    const BFloat16 y = direct.data<BFloat16>()[row * kOutputs];
    EXPECT_EQ(std::isfinite(static_cast<float>(y)), !is_odd(row)) << row;
  }
}

TEST_F(CpuNumerics, AreChosenByTheActivations) {
  const cpu::ForcedIsa plain("scalar");
  Session automatic, float32({.numerics = Numerics::float32}), int16({.numerics = Numerics::int16}),
      bfloat16({.numerics = Numerics::bfloat16});
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const bool is_bf16 = dtype == DType::bf16;
    EXPECT_EQ(automatic.numerics(dtype), is_bf16 ? Numerics::bfloat16 : Numerics::float32);
    EXPECT_EQ(bfloat16.numerics(dtype), is_bf16 ? Numerics::bfloat16 : Numerics::float32);
    EXPECT_EQ(float32.numerics(dtype), Numerics::float32);
    EXPECT_EQ(int16.numerics(dtype), Numerics::int16);
  }
}

// Where automatic takes integers: with too few channels they would not pay. What is asked for by name is done.
TEST_F(CpuNumerics, AutomaticLeavesNarrowLayersToFloat32) {
  Session automatic = session_with(Numerics::automatic, 2), float32 = session_with(Numerics::float32, 2),
          int16 = session_with(Numerics::int16, 2);
  const auto same = [](const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.nbytes()) == 0;
  };
  const int64_t enough = automatic.isa().starts_with("avx512") ? 32 : 64;  // where rows are read but once
  struct Layer {
    int64_t ins, outs;
    bool is_narrow;
  };
  for (const Layer& layer : {Layer{31, enough, true}, Layer{32, enough - 1, true}, Layer{32, enough, false}}) {
    const Tensor x = random_normal({kRows, layer.ins});
    const ConvWeight packed(
        QuantizedWeight::pack(random_normal({layer.outs, 1, 1, 1, layer.ins}), {.bits = 8, .group_size = 32}));
    const Tensor exact = linear(float32, x, packed), quantized = linear(int16, x, packed);
    EXPECT_FALSE(same(exact, quantized)) << layer.ins;
    const bool takes_integers = automatic.numerics() == Numerics::int16 && !layer.is_narrow;
    EXPECT_TRUE(same(linear(automatic, x, packed), takes_integers ? quantized : exact)) << layer.ins;
  }

  // Convolutions too, if they read each row once: pairs of neighbours along a line, parted among outputs or read by
  // all.
  std::vector<Coord> coords;
  for (int32_t row = 0; row < kRows; ++row) coords.push_back({0, row, 0, 0});
  const SparseTensor x(CoordSet::make(coords), random_normal({kRows, 32}));
  const ConvGeometry parts({.kernel_size = {2, 1, 1}, .stride = {2, 1, 1}}), pairs({.kernel_size = {2, 1, 1}});
  struct Convolution {
    const ConvGeometry& geometry;
    int64_t outs;
    bool is_narrow;
  };
  for (const auto& [geometry, outs, is_narrow] :
       {Convolution{parts, enough - 1, true}, Convolution{parts, enough, false}, Convolution{pairs, 31, false}}) {
    const ConvWeight packed(QuantizedWeight::pack(random_normal({outs, 2, 1, 1, 32}), {.bits = 8, .group_size = 32}));
    const auto convolved = [&, &geometry = geometry](Session& session) {
      return conv3d(session, x, packed, geometry).features();
    };
    const Tensor exact = convolved(float32), quantized = convolved(int16);
    EXPECT_FALSE(same(exact, quantized)) << outs;
    const bool takes_integers = automatic.numerics() == Numerics::int16 && !is_narrow;
    EXPECT_TRUE(same(convolved(automatic), takes_integers ? quantized : exact)) << outs;
  }
}

// Rows that are made whole, of few outputs and of others: a layer's sums do not hang on what is done to them.
TEST_F(CpuNumerics, ActivationsAreTheSameFusedOrNot) {
  constexpr std::array kKinds = {ActivationKind::none,     ActivationKind::relu, ActivationKind::sigmoid,
                                 ActivationKind::tanh,     ActivationKind::silu, ActivationKind::leaky_relu,
                                 ActivationKind::softplus, ActivationKind::gelu, ActivationKind::gelu_tanh,
                                 ActivationKind::gelu_fast};
  constexpr int64_t kIns = 40;
  const Tensor x = random_normal({kRows, kIns});
  std::vector<Coord> coords;
  for (int32_t row = 0; row < kRows; ++row) coords.push_back({0, row, row % 7, 0});
  const SparseTensor voxels(CoordSet::make(coords, 2), x);
  const ConvGeometry geometry({.kernel_size = {1, 1, 2}, .stride = {1, 1, 2}});
  Session session = session_with(Numerics::float32, 2);
  const auto same = [](const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.nbytes()) == 0;
  };
  for (const int64_t outs : {1, 3, 5, 20, 40}) {
    const Tensor narrow = random_normal({outs, 1, 1, 1, kIns}), pair = random_normal({outs, 1, 1, 2, kIns});
    for (const bool is_packed : {false, true}) {
      const auto of = [&](const Tensor& dense) {
        return is_packed ? ConvWeight(QuantizedWeight::pack(dense, {.bits = 4, .group_size = 32})) : ConvWeight(dense);
      };
      const ConvWeight one = of(narrow), two = of(pair);
      for (const ActivationKind kind : kKinds) {
        Epilogue epilogue;
        epilogue.activation.kind = kind;
        const Activation& activation = epilogue.activation;
        EXPECT_TRUE(same(linear(session, x, one, epilogue), activate(session, linear(session, x, one), activation)))
            << outs << " outputs, activation " << static_cast<int>(kind);
        EXPECT_TRUE(
            same(generative_conv_transpose3d(session, voxels, two, geometry, epilogue).features(),
                 activate(session, generative_conv_transpose3d(session, voxels, two, geometry).features(), activation)))
            << outs << " outputs, activation " << static_cast<int>(kind);
      }
    }
  }
}

// A weight that is kept in bfloat16 serves all of them: its values are the same.
TEST_F(CpuNumerics, Bf16WeightsMeetEveryActivation) {
  const cpu::ForcedIsa plain("scalar");
  const Tensor bf16 = weight().to(DType::bf16);
  const ConvWeight kept(bf16), wide(bf16.to(DType::f32));
  const Tensor x = random_normal({kRows, kChannels});
  for (const Numerics numerics : {Numerics::float32, Numerics::bfloat16}) {
    Session session = session_with(numerics, 2);
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      const Tensor a = linear(session, x.to(dtype), kept), b = linear(session, x.to(dtype), wide);
      if (session.numerics(dtype) == Numerics::bfloat16) continue;  // pairs are added in another order
      for (int64_t row = 0; row < kRows; ++row) EXPECT_TRUE(same_bits(a, b, row)) << row;
    }
  }
  EXPECT_EQ(kept.nbytes(), static_cast<int64_t>(bf16.nbytes()));
}

}  // namespace
}  // namespace lattice
