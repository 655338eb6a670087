#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/cli_fixture.h"
#include "lattice/point_file.h"
#include "lattice/quantized_weight.h"
#include "lattice/random.h"
#include "lattice/safetensors.h"

namespace lattice {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

TEST_F(CliTest, every_subcommand_has_help) {
  for (const char* name :
       {"", "info", "voxelize", "network", "quantize", "run", "inspect", "compare", "street", "bench", "bench conv"}) {
    const Outcome outcome = run(std::string(name) + " --help");
    EXPECT_EQ(outcome.code, 0) << name;
    EXPECT_EQ(outcome.err, "") << name;
    EXPECT_THAT(outcome.out, HasSubstr("Usage: lattice")) << name;
  }
  for (const char* name :
       {"info", "voxelize", "network", "quantize", "run", "inspect", "compare", "street", "bench conv"}) {
    const std::string help = run(std::string(name) + " --help").out;
    EXPECT_THAT(help, HasSubstr("--json")) << name;
    EXPECT_THAT(help, HasSubstr("--threads")) << name;
  }
}

TEST_F(CliTest, usage_errors_are_one_line_and_2) {
  expect_failure(2, "", "subcommand");
  expect_failure(2, "nothing", "nothing");
  expect_failure(2, "bench", "subcommand");
  expect_failure(2, "network", "SCAN");
  expect_failure(2, "network scan.bin --bits 5", "--bits");
  expect_failure(2, "network scan.bin --repeat 0", "--repeat 0");
  expect_failure(2, "network scan.bin --group 48 --bits 4", "48");
  expect_failure(2, "network scan.bin --voxel 0", "voxel");
  expect_failure(2, "network scan.bin --voxel 1,2", "--voxel");
  expect_failure(2, "network scan.bin --threads few", "--threads");
  expect_failure(2, "network scan.bin --threads -1", "-1");
  expect_failure(2, "network scan.bin --columns 2", "2");
  expect_failure(2, "network scan.bin --format xyz", "xyz");
  expect_failure(2, "voxelize scan.bin --unknown", "--unknown");
  expect_failure(2, "bench conv scan.bin --kind other", "--kind");
  expect_failure(2, "bench conv scan.bin --kernel 2", "odd");
  expect_failure(2, "bench conv scan.bin --kernel 3,3", "--kernel");
  expect_failure(2, "bench conv scan.bin --channels 32,0", "--channels 32,0");
  expect_failure(2, "bench conv scan.bin --kind generative --padding 1", "padding");
  expect_failure(2, "street out.xyz", ".xyz");
  EXPECT_THAT(file_names(), ElementsAre("scan.bin"));
}

TEST_F(CliTest, numbers_are_taken_whole_or_not_at_all) {
  const std::string network = "network scan.bin ";
  for (const char* word : {"''", "010", "0x10", "+5", "true", "1.5", "-1"}) {
    expect_failure(2, network + "--seed " + word, "--seed: ");
  }
  expect_failure(2, network + "--seed 18446744073709551616", "18446744073709551616 is beyond 64 bits");
  expect_failure(2, network + "--repeat 9223372036854775808", "9223372036854775808 is beyond 64 bits");
  expect_failure(2, network + "--columns ''", "'' is no whole number");
  for (const char* word : {"nan", "inf", "1e99", "''", "0.1m"}) {
    expect_failure(2, network + "--voxel " + word, "--voxel: ");
  }
}

TEST_F(CliTest, choices_are_words) {
  expect_failure(2, "info --numerics int5", "int5 not in {automatic,bfloat16,float32,int16,int8}");
  expect_failure(2, "info --numerics 1", "1 not in {automatic,bfloat16,float32,int16,int8}");
}

TEST_F(CliTest, no_file_is_written_twice) {
  for (const char* options : {"--picture a.png --ply ./a.png", "--output a --picture b --ply a", "--ply scan.bin"}) {
    expect_failure(2, std::string("network scan.bin ") + options, "named for two files");
  }
  expect_failure(2, "voxelize scan.bin --output ./scan.bin", "named for two files");
  EXPECT_THAT(file_names(), ElementsAre("scan.bin"));
}

TEST_F(CliTest, help_that_cannot_be_written_is_an_error_of_output) {
  EXPECT_EQ(run("voxelize --help >/dev/full 2>/dev/null; echo $?").out, "3\n");
}

TEST_F(CliTest, a_message_is_one_line_without_controls) {
  expect_failure(2, "\"$(printf 'a\\nb\\033c')\"", "no subcommand is named a b c");
}

TEST_F(CliTest, each_class_of_error_has_its_exit_code) {
  for (const char* command : {"voxelize absent.bin", "network absent.bin", "bench conv absent.bin",
                              "quantize absent.safetensors out.safetensors"}) {
    expect_failure(3, command, "absent");
  }
  write("odd.bin", "seven b");
  write("broken.safetensors", "not a header");
  expect_failure(4, "voxelize odd.bin", "odd.bin");
  expect_failure(4, "voxelize scan.bin --columns 7", "scan.bin");
  expect_failure(4, "quantize broken.safetensors out.safetensors", "broken.safetensors");
  expect_failure(5, "info", "quantum", "LATTICE_ISA=quantum");
  expect_failure(5, "street street.bin", "quantum", "LATTICE_ISA=quantum");
  expect_failure(5, "inspect model", "quantum", "LATTICE_ISA=quantum");
  // Two points 6e9 voxels apart: both coordinates fit int32, their difference does not.
  const std::vector<float> far = {-1.5e9F, 0, 0, 0, 1.5e9F, 0, 0, 0};
  write("far.bin", {reinterpret_cast<const char*>(far.data()), far.size() * sizeof(float)});
  expect_failure(6, "bench conv far.bin --voxel 1", "apart");
}

TEST_F(CliTest, a_failure_leaves_no_output_behind) {
  expect_failure(3, "voxelize scan.bin --output absent/voxels.safetensors", "absent");
  expect_failure(3, "street absent/street.bin", "absent");
  write("broken.safetensors", "not a header");
  expect_failure(4, "quantize broken.safetensors out.safetensors", "broken");
  EXPECT_THAT(file_names(), ElementsAre("broken.safetensors", "scan.bin"));
}

TEST_F(CliTest, info_lists_the_chosen_instruction_set_among_the_available) {
  const Json info = run_json("info --threads 2");
  EXPECT_THAT(info.at("available").get<std::vector<std::string>>(), Contains(info.at("isa").get<std::string>()));
  EXPECT_THAT(info.at("available").get<std::vector<std::string>>(), Contains("scalar"));
  EXPECT_EQ(info.at("threads"), 2);
  EXPECT_FALSE(info.at("version").get<std::string>().empty());
  const Outcome forced = run("info --json", "LATTICE_ISA=scalar");
  EXPECT_EQ(Json::parse(forced.out).at("isa"), "scalar");
}

TEST_F(CliTest, voxelize_counts_and_writes) {
  const Json report = run_json("voxelize scan.bin --voxel 0.1 --output voxels.safetensors");
  EXPECT_EQ(report.at("points"), 900);
  EXPECT_EQ(report.at("dropped"), 1);
  const auto file = SafetensorsFile::open(files() / "voxels.safetensors");
  EXPECT_EQ(file.tensor("coords").shape(), Shape({report.at("rows").get<int64_t>(), 4}));
  EXPECT_EQ(file.tensor("features").shape(), Shape({report.at("rows").get<int64_t>(), 4}));
  const auto counts = file.tensor("counts");
  int64_t points = 0;
  for (const int32_t count : counts.values<int32_t>()) points += count;
  EXPECT_EQ(points, 899);
  EXPECT_EQ(report.at("origin"), (Json{0, 0, 0}));
  const Json coarse = run_json("voxelize scan.bin --voxel 10,10,0.01");
  EXPECT_GT(coarse.at("rows"), 4);
}

TEST_F(CliTest, voxels_of_a_map_come_with_its_origin) {
  PointCloud cloud;
  cloud.values = Tensor::from(std::vector<float>{1.5F, 2.5F, 3, 4.5F, 2, 1}, {2, 3});
  cloud.origin = {500000, 5400000, 0};
  write_ply(files() / "map.ply", cloud);
  const Json report = run_json("voxelize map.ply --voxel 1 --output voxels.safetensors");
  EXPECT_EQ(report.at("origin"), (Json{500001, 5400002, 0}));
  const Tensor origin = SafetensorsFile::open(files() / "voxels.safetensors").tensor("origin");
  const auto values = origin.values<double>();
  EXPECT_THAT(std::vector<double>(values.begin(), values.end()), ElementsAre(500001, 5400002, 0));
  EXPECT_THAT(run("voxelize map.ply --voxel 1").out, HasSubstr("5400002"));
}

TEST_F(CliTest, a_network_from_a_folder_is_told_by_its_own_weights) {
  const std::string network = "network scan.bin --voxel 0.2 --repeat 1 --no-error ";
  EXPECT_EQ(run_json(network + "--bits 4 --export small").at("bits"), 4);
  const Json report = run_json(network + "--model small"), held = run_json("inspect small");
  EXPECT_EQ(report.at("bits"), held.at("bits"));
  EXPECT_EQ(report.at("weight_bytes"), held.at("weight_bytes"));
  EXPECT_THAT(run(network + "--model small").out, HasSubstr(fmt::format("{:.2f} bits", held.at("bits").get<double>())));
  expect_failure(2, network + "--model small --bits 8,4", "one precision");
}

TEST_F(CliTest, network_reports_what_the_page_promises) {
  const Json report = run_json("network scan.bin --columns 4 --voxel 0.1 --bits 4 --repeat 1 --threads 2");
  for (const char* field : {"voxelize_ms", "relations_ms", "network_ms", "gflop", "peak_rss_bytes", "relative_error"}) {
    EXPECT_GT(report.at(field).get<double>(), 0) << field;
  }
  const auto levels = report.at("levels").get<std::vector<int64_t>>();
  ASSERT_EQ(levels.size(), 5u);
  EXPECT_EQ(levels[0], report.at("rows"));
  EXPECT_TRUE(std::is_sorted(levels.rbegin(), levels.rend()));
  EXPECT_LT(report.at("relations_ms"), report.at("network_ms"));
  EXPECT_LT(report.at("relative_error"), 1);
  EXPECT_EQ(report.at("threads"), 2);
  EXPECT_EQ(report.at("isa"), run_json("info").at("isa"));
}

TEST_F(CliTest, float32_is_compared_with_the_float64_reference) {
  const Json report = run_json("network scan.bin --voxel 0.2 --repeat 1");
  EXPECT_GT(report.at("relative_error"), 0);
  EXPECT_LT(report.at("relative_error"), 1e-3);
  EXPECT_TRUE(run_json("network scan.bin --voxel 0.2 --repeat 1 --no-error").at("relative_error").is_null());
}

TEST_F(CliTest, network_writes_the_same_bytes_for_any_number_of_threads) {
  for (const int threads : {1, 2, 3}) {
    run_json(fmt::format(
        "network scan.bin --voxel 0.1 --bits 8 --repeat 1 --no-error --threads {0} --output {0}.safetensors", threads));
  }
  const std::string bytes = file_bytes(files() / "1.safetensors");
  EXPECT_FALSE(bytes.empty());
  EXPECT_EQ(bytes, file_bytes(files() / "2.safetensors"));
  EXPECT_EQ(bytes, file_bytes(files() / "3.safetensors"));

  const auto file = SafetensorsFile::open(files() / "1.safetensors");
  const Tensor coords = file.tensor("coords"), logits = file.tensor("logits");
  EXPECT_EQ(logits.shape(), Shape({coords.size(0), 20}));
  EXPECT_EQ(logits.dtype(), DType::f32);
  for (int64_t axis = 0; axis < 4; ++axis) {
    int32_t smallest = std::numeric_limits<int32_t>::max();
    for (int64_t row = 0; row < coords.size(0); ++row) {
      smallest = std::min(smallest, coords.data<int32_t>()[row * 4 + axis]);
    }
    EXPECT_EQ(smallest, 0) << "axis " << axis;
  }
}

TEST_F(CliTest, network_prints_a_table_and_draws) {
  write_scan("three.bin", 3);
  const Outcome outcome =
      run("network three.bin --columns 3 --voxel 0.2 --bits all --repeat 1 --picture scan.png --ply scan.ply");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");  // no progress where stderr is no terminal
  for (const char* text :
       {"seeded, not trained", "float32", "int8", "int4", "relative error", "scan.png", "scan.ply"}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
  EXPECT_EQ(file_bytes(files() / "scan.png").substr(1, 3), "PNG");
  const PointCloud cloud = read_points(files() / "scan.ply");
  EXPECT_EQ(cloud.rows(), 900);
  EXPECT_THAT(cloud.columns, Contains("label"));
}

TEST_F(CliTest, bench_conv_knows_every_kind) {
  const auto bench = [&](const std::string& options) {
    return run_json("bench conv scan.bin --voxel 0.1 --channels 32 --repeat 2 --threads 1 " + options);
  };
  const Json subm = bench("--kind subm --kernel 3");
  EXPECT_EQ(subm.at("rows"), subm.at("input_rows"));
  EXPECT_GE(subm.at("edges"), subm.at("rows"));
  const Json forward = bench("--kind forward --kernel 2 --stride 2");
  EXPECT_LT(forward.at("rows"), forward.at("input_rows"));
  EXPECT_EQ(forward.at("edges"), forward.at("input_rows"));
  const Json regular = bench("--kind regular --kernel 3 --stride 2 --padding 1");
  EXPECT_GT(regular.at("rows"), forward.at("rows"));
  const Json generative = bench("--kind generative --kernel 2 --stride 2");
  EXPECT_EQ(generative.at("rows").get<int64_t>(), generative.at("input_rows").get<int64_t>() * 8);
  const Json transposed = bench("--kind transposed --kernel 3 --stride 2");
  EXPECT_EQ(transposed.at("edges").get<int64_t>(), transposed.at("input_rows").get<int64_t>() * 27);
  EXPECT_LT(transposed.at("rows"), transposed.at("edges"));
  const Json inverse = bench("--kind inverse --kernel 2 --stride 2");
  EXPECT_EQ(inverse.at("rows"), forward.at("input_rows"));
  EXPECT_EQ(inverse.at("input_rows"), forward.at("rows"));
  for (const Json& report : {subm, forward, regular, generative, transposed, inverse}) {
    EXPECT_GE(report.at("relation_ms"), 0);
    EXPECT_EQ(report.at("threads"), 1);
    EXPECT_LT(report.at("relative_error"), 1e-5);
    const double seconds = report.at("conv_ms").get<double>() / 1e3;
    const double operations = 2 * 32 * 32 * report.at("edges").get<double>();
    EXPECT_DOUBLE_EQ(report.at("gflops").get<double>(), operations / seconds / 1e9);
  }
}

/// Above what docs/numerics.md gives for packed weights: 4e-7 and 2.3e-5.
double largest_packed_error(const std::string& numerics) {
  return numerics == "int16" ? 1e-4 : 1e-6;
}

TEST_F(CliTest, bench_conv_takes_packed_weights_and_two_channel_counts) {
  const std::string packed = "bench conv scan.bin --voxel 0.1 --channels 96,20 --bits 4 --group 32 --kernel 1,3,5";
  const Json report = run_json(packed);
  EXPECT_EQ(report.at("in_channels"), 96);
  EXPECT_EQ(report.at("out_channels"), 20);
  EXPECT_EQ(report.at("weight_bytes"), 15 * 20 * (96 / 2 + 3 * 8));
  EXPECT_LT(report.at("relative_error"), largest_packed_error(report.at("numerics")));  // of the machine's choice
  for (const char* numerics : {"float32", "int16"}) {
    const Json named = run_json(packed + " --numerics " + numerics);
    EXPECT_EQ(named.at("numerics"), numerics);
    EXPECT_LT(named.at("relative_error"), largest_packed_error(numerics));
  }
  EXPECT_TRUE(run_json("bench conv scan.bin --repeat 1 --no-error").at("relative_error").is_null());
}

TEST_F(CliTest, quantize_packs_weights_and_copies_the_rest) {
  Random random(3);
  const auto normal = [&](Shape shape) {
    Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
    for (int64_t i = 0; i < tensor.elements(); ++i)
      tensor.mutable_data<float>()[i] = static_cast<float>(random.normal());
    return tensor;
  };
  const Tensor conv = normal({8, 3, 3, 3, 40}), head = normal({5, 64}), bias = normal({8}), table = normal({9, 64});
  const auto input = files() / "in.safetensors", output = files() / "out.safetensors";
  save_safetensors(input, {{"stem", conv}, {"head.weight", head}, {"stem.bias", bias}, {"embedding.weight", table}},
                   {{"author", "test"}});
  const Json report = run_json("quantize in.safetensors out.safetensors --bits 8 --keep embedding.weight");
  EXPECT_EQ(report.at("packed"), 2);
  ASSERT_EQ(report.at("tensors").size(), 4u);
  for (const Json& row : report.at("tensors")) {
    EXPECT_EQ(row.contains("relative_error"), row.at("packed").get<bool>());
    EXPECT_LT(row.value("relative_error", 0.0), 0.01);
  }

  const SafetensorsFile file = SafetensorsFile::open(output);
  EXPECT_EQ(file.names().size(), 8u);
  const QuantizedWeight expected = QuantizedWeight::pack(conv, {.bits = 8, .group_size = std::nullopt});
  const Json note = Json::parse(file.metadata().at("stem.packing"));
  const QuantizedWeight found = QuantizedWeight::from_arrays(
      file.tensor("stem.weight"), file.tensor("stem.scales"), file.tensor("stem.biases"), note.at("bits"),
      note.at("group_size"), Triple(note.at("kernel_size")[0], note.at("kernel_size")[1], note.at("kernel_size")[2]),
      note.at("in_channels"));
  const Tensor a = expected.dequantize(), b = found.dequantize();
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_TRUE(std::equal(a.values<float>().begin(), a.values<float>().end(), b.values<float>().begin()));
  EXPECT_EQ(file.tensor("head.weight.weight").shape(), Shape({1, 5, 16}));
  EXPECT_EQ(file.tensor("embedding.weight").shape(), Shape({9, 64}));
  EXPECT_EQ(file.metadata().at("author"), "test");

  expect_failure(2, "quantize in.safetensors out.safetensors --keep absent", "absent");
  expect_failure(2, "quantize in.safetensors out.safetensors --group 7", "7");
  const Outcome onto_itself = run("quantize in.safetensors in.safetensors");
  EXPECT_EQ(onto_itself.code, 0) << onto_itself.err;
  EXPECT_THAT(onto_itself.out, HasSubstr("bits/weight"));
  EXPECT_TRUE(SafetensorsFile::open(input).contains("stem.scales"));
}

TEST_F(CliTest, quantize_packs_float64_and_shows_names_on_one_line) {
  save_safetensors(files() / "in.safetensors", {{"head.weight", Tensor::zeros(DType::f64, {5, 64})}});
  const Json report = run_json("quantize in.safetensors out.safetensors");
  EXPECT_EQ(report.at("packed"), 1);
  EXPECT_EQ(report.at("bytes_before"), 5 * 64 * 8);
  const float infinite = std::numeric_limits<float>::infinity();
  save_safetensors(files() / "in.safetensors", {{"a\nweight", Tensor::from(std::vector<float>{infinite}, {1, 1})}});
  expect_failure(2, "quantize in.safetensors out.safetensors", "'a?weight': ");
}

TEST_F(CliTest, street_writes_the_same_scan_in_every_format) {
  const Json report = run_json("street street.bin --seed 3");
  run_json("street street.ply --seed 3");
  const PointCloud bin = read_points(files() / "street.bin"), ply = read_points(files() / "street.ply");
  EXPECT_EQ(report.at("points"), bin.rows());
  ASSERT_EQ(bin.values.shape(), ply.values.shape());
  const auto values = bin.values.values<float>();
  EXPECT_TRUE(std::equal(values.begin(), values.end(), ply.values.values<float>().begin()));
}

TEST_F(CliTest, street_replaces_files_alone) {
  std::filesystem::create_directory(files() / "street.bin");
  expect_failure(3, "street street.bin", "street.bin: it exists and is not a regular file");
  std::filesystem::create_symlink("linked.bin", files() / "link.bin");
  write("linked.bin", "old");
  run_json("street link.bin");
  EXPECT_TRUE(std::filesystem::is_symlink(files() / "link.bin"));
  EXPECT_GT(read_points(files() / "linked.bin").rows(), 0);
}

}  // namespace
}  // namespace lattice
