// The shared vectors of an independent implementation: a folder with manifest.json, one safetensors file a case, and
// the packing alone in quantize.json and quantize.safetensors. Relations, coordinates and packed bits compare exactly;
// features within a bound that is computed for each output.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "conv_oracle.h"
#include "lattice/nn.h"
#include "lattice/safetensors.h"
#include "shared_data.h"

namespace lattice {
namespace {

using Json = nlohmann::json;

Json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return Json::parse(file);
}

Triple triple(const Json& sizes) {
  return sizes.is_number() ? Triple(sizes.get<int64_t>())
                           : Triple(sizes.at(0).get<int64_t>(), sizes.at(1).get<int64_t>(), sizes.at(2).get<int64_t>());
}

std::optional<int64_t> optional_size(const Json& size) {
  return size.is_null() ? std::nullopt : std::optional(size.get<int64_t>());
}

/// The tensor, or an undefined one where the file has none of that name.
Tensor tensor_or_none(const SafetensorsFile& file, const std::string& name) {
  return file.contains(name) ? file.tensor(name) : Tensor();
}

::testing::AssertionResult same_bits(const Tensor& found, const Tensor& expected) {
  if (found.dtype() != expected.dtype() || found.elements() != expected.elements()) {
    return ::testing::AssertionFailure() << name(found.dtype()) << " " << to_string(found.shape()) << ", not "
                                         << name(expected.dtype()) << " " << to_string(expected.shape());
  }
  const size_t size = size_of(found.dtype());
  for (size_t i = 0; i < static_cast<size_t>(found.elements()); ++i) {
    if (std::memcmp(static_cast<const char*>(found.raw()) + i * size,
                    static_cast<const char*>(expected.raw()) + i * size, size) != 0) {
      return ::testing::AssertionFailure() << "element " << i << " of " << to_string(found.shape()) << " differs";
    }
  }
  return ::testing::AssertionSuccess();
}

/// int32 or int64 coordinates, the first rows of them.
Support support(const Tensor& coords, const Triple& stride, int64_t rows) {
  const Support all = CoordSet::make(coords, stride);
  if (rows == all->rows()) return all;
  return CoordSet::make(std::vector<Coord>(all->coords().begin(), all->coords().begin() + rows), stride);
}

Tensor first_rows(const Tensor& features, int64_t rows) {
  Tensor result = Tensor::empty(features.dtype(), {rows, features.size(1)});
  std::memcpy(result.mutable_raw(), features.raw(), result.nbytes());
  return result;
}

using Module = std::function<SparseTensor(Session&, const SparseTensor&, const Support& target)>;

/// A floating module and the one that from_conv makes of it.
struct Layer {
  Module floating, quantized;
  ConvGeometry geometry;
  ConvWeight packed;
};

template <typename Conv>
Module apply(const Conv& conv) {
  return [conv](Session& session, const SparseTensor& x, const Support& target) {
    if constexpr (std::is_base_of_v<Conv3d, Conv> || std::is_base_of_v<ConvTranspose3d, Conv>) {
      return target != nullptr ? conv(session, x, target) : conv(session, x);
    } else {
      return conv(session, x);
    }
  };
}

template <typename Quantized, typename Floating>
Layer layer(const Floating& conv, std::optional<int64_t> group_size, int64_t bits) {
  const Quantized quantized = Quantized::from_conv(conv, group_size, bits);
  return {apply(conv), apply(quantized), conv.geometry(), quantized.weight()};
}

/// Of a module by its name, with its defaults where the manifest gives no value.
Layer make_layer(const Json& given, const Tensor& weight, const Tensor& bias, std::optional<int64_t> group_size,
                 int64_t bits) {
  const auto size = [&given](const char* key, Triple otherwise) {
    return given.contains(key) ? triple(given.at(key)) : otherwise;
  };
  const Triple dilation = size("dilation", 1), padding = size("padding", 0);
  const std::string module = given.at("module");
  if (module == "Conv3d") {
    const Conv3dOptions options = {
        .kernel_size = size("kernel_size", 3), .stride = size("stride", 1), .padding = padding, .dilation = dilation};
    return layer<QuantizedConv3d>(Conv3d(options, weight, bias), group_size, bits);
  }
  if (module == "SubmConv3d") {
    const SubmConv3dOptions options = {.kernel_size = size("kernel_size", 3), .dilation = dilation};
    return layer<QuantizedSubmConv3d>(SubmConv3d(options, weight, bias), group_size, bits);
  }
  if (module == "ConvTranspose3d") {
    const ConvTranspose3dOptions options = {
        .kernel_size = size("kernel_size", 2), .stride = size("stride", 2), .padding = padding, .dilation = dilation};
    return layer<QuantizedConvTranspose3d>(ConvTranspose3d(options, weight, bias), group_size, bits);
  }
  if (module == "GenerativeConvTranspose3d") {
    const GenerativeConvTranspose3dOptions options = {.kernel_size = size("kernel_size", 2),
                                                      .stride = size("stride", 2)};
    return layer<QuantizedGenerativeConvTranspose3d>(GenerativeConvTranspose3d(options, weight, bias), group_size,
                                                     bits);
  }
  throw std::runtime_error("no module is named " + module);
}

RelationKind relation_kind(const std::string& spelled) {
  for (const RelationKind kind :
       {RelationKind::submanifold, RelationKind::forward, RelationKind::regular, RelationKind::target,
        RelationKind::transposed, RelationKind::generative, RelationKind::target_transposed, RelationKind::pointwise}) {
    if (name(kind) == spelled) return kind;
  }
  throw std::runtime_error("no relation is named " + spelled);
}

void check_coords(const CoordSet& found, const Tensor& expected) {
  const Support wanted = CoordSet::make(expected);
  ASSERT_EQ(found.rows(), wanted->rows());
  for (size_t row = 0; row < found.coords().size(); ++row) {
    ASSERT_EQ(found.coords()[row], wanted->coords()[row]) << "row " << row;
  }
}

std::vector<int32_t> ints(const Tensor& tensor) {
  return {tensor.values<int32_t>().begin(), tensor.values<int32_t>().end()};
}

/// The vector's relation; of a pointwise case, which has none, row i to row i.
EdgeList golden_edges(const SafetensorsFile& file, int64_t rows) {
  if (!file.contains("rel_in_rows")) return pointwise_edges(rows);
  const std::vector<int32_t> begin = ints(file.tensor("rel_row_offsets"));
  return {ints(file.tensor("rel_in_rows")), ints(file.tensor("rel_out_rows")), ints(file.tensor("rel_kernel_ids")),
          std::vector<int64_t>(begin.begin(), begin.end())};
}

void check_offsets(const ConvGeometry& geometry, RelationKind kind, const Tensor& expected) {
  ASSERT_EQ(expected.size(0), geometry.taps());
  const bool indexed = kind == RelationKind::transposed || kind == RelationKind::generative ||
                       kind == RelationKind::target_transposed || kind == RelationKind::regular;
  for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
    const int32_t* offset = expected.data<int32_t>() + 3 * tap;
    EXPECT_EQ(indexed ? geometry.indexed_offset(tap) : geometry.centered_offset(tap),
              Triple(offset[0], offset[1], offset[2]))
        << "tap " << tap;
  }
}

void check_relation(Session& session, const SparseTensor& x, const Layer& tested, const Support& target,
                    const Json& given, const SafetensorsFile& file, const EdgeList& expected) {
  const RelationKind kind = relation_kind(given.at("relation"));
  const RelatedSupport related = session.relate(kind, x.support(), tested.geometry, target);
  check_coords(*related.output, file.tensor("out_coords"));
  EXPECT_EQ(related.output->stride(), triple(given.at("out_stride")));
  EXPECT_EQ(related.relation->edges(), given.at("kernel_map_pairs").get<int64_t>());
  const EdgeList found = related.relation->edge_list();
  EXPECT_EQ(found.input_row, expected.input_row);
  EXPECT_EQ(found.output_row, expected.output_row);
  EXPECT_EQ(found.tap, expected.tap);
  EXPECT_EQ(found.output_begin, expected.output_begin);
  if (file.contains("kernel_offsets")) check_offsets(tested.geometry, kind, file.tensor("kernel_offsets"));
}

void check_packing(const QuantizedWeight& packed, const SafetensorsFile& file, const std::string& prefix = "") {
  EXPECT_EQ(packed.words().shape(), file.tensor(prefix + "q_weight").shape());
  EXPECT_TRUE(same_bits(packed.words(), file.tensor(prefix + "q_weight"))) << "words";
  EXPECT_TRUE(same_bits(packed.scales(), file.tensor(prefix + "q_scales"))) << "scales";
  EXPECT_TRUE(same_bits(packed.biases(), file.tensor(prefix + "q_biases"))) << "biases";
  if (file.contains(prefix + "w_deq")) {
    EXPECT_TRUE(same_bits(packed.dequantize(), file.tensor(prefix + "w_deq"))) << "w_deq";
  }
}

/// Ours against the oracle, and, where the generator has one, against its vector: it is off the oracle by `its_error`.
void check_features(const SparseTensor& found, const Oracle& oracle, const Tensor& vector, double its_error) {
  EXPECT_TRUE(within(found.features(), oracle)) << "against the oracle";
  if (!vector.defined()) return;
  EXPECT_TRUE(within(found.features(), oracle, vector, its_error)) << "against the vector";
}

/// The largest distance between two oracles: the generator convolves with the weight rounded to float16, which we
/// don't.
double distance(const Oracle& a, const Oracle& b) {
  double largest = 0;
  for (size_t i = 0; i < a.value.size(); ++i) largest = std::max(largest, std::fabs(a.value[i] - b.value[i]));
  return largest;
}

double error_of(const Json& given, const char* key) {
  return given.contains(key) ? given.at(key).get<double>() : 0;
}

/// What each case runs on: the plain loops, and every way to multiply packed weights, each within its own bound. What
/// automatic takes depends on the machine; the others are those of every machine.
std::vector<SessionOptions> tested_sessions() {
  std::vector<SessionOptions> tested = {{.backend = BackendKind::reference}};
  for (const Numerics numerics : {Numerics::float32, Numerics::int16, Numerics::int8, Numerics::automatic}) {
    tested.push_back({.backend = BackendKind::cpu, .numerics = numerics});
  }
  return tested;
}

std::string description(const SessionOptions& options) {
  if (options.backend == BackendKind::reference) return "reference";
  return "cpu, " + std::string(name(options.numerics));
}

void check_layer_case(const Json& given, const SafetensorsFile& file) {
  const int64_t rows = given.at("active_rows");
  if (file.contains("in_active_rows")) {
    ASSERT_EQ(ints(file.tensor("in_active_rows")), std::vector{static_cast<int32_t>(rows)});
  }
  const SparseTensor x(support(file.tensor("in_coords"), triple(given.at("in_stride")), rows),
                       first_rows(file.tensor("in_feats"), rows));
  Support target;
  if (given.at("target")) target = CoordSet::make(file.tensor("target_coords"), triple(given.at("out_stride")));
  const Tensor weight = file.tensor("weight_fp"), bias = tensor_or_none(file, "bias");
  EXPECT_EQ(bias.defined(), given.at("bias").get<bool>());

  const Layer tested = make_layer(given, weight, bias, optional_size(given.at("group_size_arg")), given.at("bits"));
  const QuantizedWeight& packed = tested.packed.packed();
  EXPECT_EQ(packed.group_size(), given.at("group_size").get<int64_t>());
  EXPECT_EQ(packed.padded_in_channels(), given.at("storage_in_channels").get<int64_t>());
  check_packing(packed, file);

  const EdgeList edges = golden_edges(file, rows);
  const int64_t out_rows = given.at("out_rows");
  const auto oracle = [&](const OracleWeight& of, Numerics numerics) {
    return convolve_oracle(x.features(), edges, out_rows, of, bias, numerics);
  };
  const Oracle floating = oracle(oracle_weight(weight), Numerics::float32);
  const Oracle exact = oracle(oracle_weight(packed), Numerics::float32);
  const Oracle rounded = oracle(oracle_weight(packed.dequantize()), Numerics::float32);
  const double quantized_error = error_of(given, "q_max_abs_err_vs_f64_wdeq") + distance(exact, rounded);
  // The generator rounds features to the type of the scales, so that this case's vector is of another convolution.
  const bool features_rounded = x.dtype() == DType::f32 && packed.scales().dtype() == DType::f16;
  const Tensor quantized_vector = features_rounded ? Tensor() : tensor_or_none(file, "out_feats_q");

  for (const SessionOptions& options : tested_sessions()) {
    SCOPED_TRACE(description(options));
    Session session(options);
    check_relation(session, x, tested, target, given, file, edges);
    const SparseTensor y = tested.floating(session, x, target), yq = tested.quantized(session, x, target);
    for (const SparseTensor& output : {y, yq}) {
      check_coords(*output.support(), file.tensor("out_coords"));
      EXPECT_EQ(output.stride(), triple(given.at("out_stride")));
      EXPECT_EQ(output.support() == x.support(), given.at("out_coords_is_input").get<bool>());
      EXPECT_EQ(output.dtype(), x.dtype());
    }
    check_features(y, floating, tensor_or_none(file, "out_feats_fp"), error_of(given, "fp_max_abs_err_vs_f64"));
    const Oracle quantized = oracle(oracle_weight(packed), session.numerics(x.dtype()));
    check_features(yq, quantized, quantized_vector, quantized_error);
  }
}

/// One module of a chain on the vector's own input, so that only this module's rounding is between us and the vector.
/// The generator's sums are float32: it may be off the oracle by the bound of those, and so we by both bounds off it.
void check_stage_features(Session& session, const SparseTensor& x, const Module& module, const Support& target,
                          const Relation& relation, const OracleWeight& weight, const Tensor& bias,
                          const Tensor& vector) {
  const SparseTensor y = module(session, x, target);
  const auto oracle = [&](Numerics numerics) {
    return convolve_oracle(x.features(), relation.edge_list(), relation.output_rows(), weight, bias, numerics);
  };
  const Oracle ours = oracle(session.numerics(x.dtype()));
  EXPECT_TRUE(within(y.features(), ours)) << "against the oracle";
  EXPECT_TRUE(within(y.features(), widened(ours, oracle(Numerics::float32)), vector)) << "against the vector";
}

/// A small U-Net, each stage fed by the one before it; `uptarget` takes the output of `mid` and has no weight of its
/// own.
void check_chain_case(const Json& given, const SafetensorsFile& file, const SessionOptions& options) {
  SCOPED_TRACE(description(options));
  Session session(options);
  const SparseTensor input(file.tensor("in_coords"), file.tensor("in_feats"));
  SparseTensor x = input, xq = input, mid = input;
  for (const Json& stage : given.at("stages")) {
    const std::string spelled = stage.at("stage");
    SCOPED_TRACE(spelled);
    const bool floating_only = spelled == "uptarget";
    const std::string prefix = (floating_only ? "up" : spelled) + ".";
    const Tensor weight = file.tensor(prefix + "weight_fp"), bias = file.tensor(prefix + "bias");
    const Layer tested = make_layer(stage, weight, bias, std::nullopt, given.at("bits"));
    const bool transposed = stage.at("module") == "ConvTranspose3d";
    const Support target = floating_only || stage.contains("target") ? input.support() : nullptr;
    RelationKind kind = transposed ? RelationKind::transposed : RelationKind::forward;
    if (target != nullptr) kind = transposed ? RelationKind::target_transposed : RelationKind::target;
    if (stage.at("module") == "SubmConv3d") kind = RelationKind::submanifold;
    if (floating_only) x = mid;

    const RelatedSupport related = session.relate(kind, x.support(), tested.geometry, target);
    check_coords(*related.output, file.tensor(spelled + ".out_coords"));
    const Tensor vector = file.tensor(spelled + ".out_feats_fp");
    check_stage_features(session, x, tested.floating, target, *related.relation, oracle_weight(weight), bias, vector);
    x = SparseTensor(related.output, vector);
    if (spelled == "mid") mid = x;
    if (floating_only) continue;

    check_packing(tested.packed.packed(), file, prefix);
    const Tensor quantized_vector = file.tensor(spelled + ".out_feats_q");
    check_stage_features(session, xq, tested.quantized, target, *related.relation,
                         oracle_weight(tested.packed.packed()), bias, quantized_vector);
    xq = SparseTensor(related.output, quantized_vector);
  }
}

int check_cases(const std::filesystem::path& folder) {
  int checked = 0;
  const Json manifest = read_json(folder / "manifest.json");
  for (const Json& given : manifest.at("cases")) {
    const std::string spelled = given.at("name");
    SCOPED_TRACE(spelled);
    const std::filesystem::path path = folder / given.at("file").get<std::string>();
    if (!std::filesystem::exists(path)) {
      fmt::print("left out, since its file is absent: {}\n", spelled);
      continue;
    }
    const SafetensorsFile file = SafetensorsFile::open(path);
    if (given.at("op") == "chain") {
      for (const SessionOptions& options : tested_sessions()) check_chain_case(given, file, options);
    } else {
      check_layer_case(given, file);
    }
    ++checked;
  }
  return checked;
}

int check_packing_cases(const std::filesystem::path& folder) {
  int checked = 0;
  const SafetensorsFile file = SafetensorsFile::open(folder / "quantize.safetensors");
  const Json listed = read_json(folder / "quantize.json");
  for (const Json& given : listed.at("cases")) {
    const std::string spelled = given.at("name");
    SCOPED_TRACE(spelled);
    const QuantizedWeight packed = QuantizedWeight::pack(
        file.tensor(spelled + ".w"), {.bits = given.at("bits"), .group_size = given.at("group_size").get<int64_t>()});
    EXPECT_TRUE(same_bits(packed.words(), file.tensor(spelled + ".packed"))) << "words";
    EXPECT_TRUE(same_bits(packed.scales(), file.tensor(spelled + ".scales"))) << "scales";
    EXPECT_TRUE(same_bits(packed.biases(), file.tensor(spelled + ".biases"))) << "biases";
    EXPECT_TRUE(same_bits(packed.dequantize(), file.tensor(spelled + ".deq"))) << "deq";
    ++checked;
  }
  return checked;
}

/// Checks what a folder holds, and prints how much that was, if it is to be.
void check_folder(const std::filesystem::path& folder, bool print) {
  const int cases = check_cases(folder);
  if (print) fmt::print("{} cases\n", cases);
  EXPECT_GT(cases, 0) << "no case in " << folder;
  if (!std::filesystem::exists(folder / "quantize.json")) return;
  const int packing_cases = check_packing_cases(folder);
  if (print) fmt::print("{} packing cases\n", packing_cases);
  EXPECT_GT(packing_cases, 0) << "no packing case in " << folder;
}

// Kept in the project, so that it is tested on its own.
TEST(golden, small_subset) {
  check_folder(LATTICE_SOURCE_DIR "/tests/data/golden", false);
}

TEST(golden, all_vectors) {
  if (const char* folder = std::getenv("LATTICE_GOLDEN_DIR")) return check_folder(folder, true);
  const std::optional<std::filesystem::path> folder = shared_data("golden");
  if (!folder) GTEST_SKIP() << "no folder golden in the shared data, and LATTICE_GOLDEN_DIR is not set";
  check_folder(*folder, true);
}

}  // namespace
}  // namespace lattice
