#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/conformance.h"
#include "cli/model_fixture.h"
#include "lattice/model_builder.h"
#include "lattice/point_file.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RunTest : public ModelCliTest {
 protected:
  void SetUp() override {
    ModelCliTest::SetUp();
    write_scan("second.bin");
  }
};

TEST_F(RunTest, a_conformance_case_from_file_to_file) {
  const auto folder = shared_data("conformance/transpose_convolution");
  if (!folder) GTEST_SKIP() << "no shared data: conformance/transpose_convolution";
  const Outcome outcome = run(fmt::format("run '{}' --inputs '{}' --output out.safetensors", folder->string(),
                                          (*folder / "inputs.safetensors").string()));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_close(read_tensors(files() / "out.safetensors"), read_tensors(*folder / "expected.safetensors"),
               tolerance_of("transpose_convolution"));
}

TEST_F(RunTest, tensors_or_scans_but_whole) {
  expect_failure(2, "run", "MODEL");
  expect_failure(2, "run model", "--inputs with --output");
  expect_failure(2, "run model --inputs x", "--inputs with --output");
  expect_failure(2, "run model scan.bin", "--out-dir");
  expect_failure(2, "run model scan.bin --out-dir out --inputs x --output y", "--inputs with --output");
  expect_failure(2, "run model scan.bin --out-dir out --format jpg", "--format");
  expect_failure(3, "run nothing scan.bin --out-dir out", "nothing is no folder");
  expect_failure(3, "run model --inputs missing --output y", "missing");
  EXPECT_THAT(file_names(), ElementsAre("line.safetensors", "model", "scan.bin", "second.bin"));
}

TEST_F(RunTest, wrong_inputs_leave_no_output) {
  save_safetensors(files() / "in", {{"x_coords", Tensor::zeros(DType::i32, {1, 4})}});
  expect_failure(2, "run model --inputs in --output out", "'x_features' is missing");
  write("bad", "not tensors");
  expect_failure(4, "run model --inputs bad --output out", "safetensors");
  write("model/graph.mlir", "module {");
  expect_failure(4, "run model --inputs in --output out", "model/graph.mlir:1:");
  EXPECT_FALSE(std::filesystem::exists(files() / "out"));
}

TEST_F(RunTest, scans_one_result_each_and_again_only_what_is_missing) {
  auto summary = run_json("run model scan.bin second.bin --out-dir out");
  EXPECT_EQ(summary["done"], 2);
  EXPECT_EQ(summary["skipped"], 0);
  const NamedTensors results = read_tensors(files() / "out" / "scan.safetensors");
  EXPECT_EQ(results.at("y.features").size(0), results.at("scan.voxel_coords").size(0));
  EXPECT_EQ(results.at("scan.point_row").size(0), 900);
  EXPECT_EQ(results.at("scan.origin").data<double>()[0], 0);
  std::filesystem::remove(files() / "out" / "second.safetensors");
  summary = run_json("run model scan.bin second.bin --out-dir out --jobs 2");
  EXPECT_EQ(summary["done"], 1);
  EXPECT_EQ(summary["skipped"], 1);
  EXPECT_EQ(run_json("run model scan.bin second.bin --out-dir out --overwrite")["done"], 2);
}

TEST_F(RunTest, tells_what_ran_and_takes_no_more_jobs_than_threads) {
  const auto summary = run_json("run model scan.bin second.bin --out-dir out --jobs 2 --threads 1 --numerics float32");
  EXPECT_EQ(summary["jobs"], 1);
  EXPECT_EQ(summary["threads"], 1);
  EXPECT_EQ(summary["numerics"], "float32");
  EXPECT_EQ(summary["isa"], run_json("info")["isa"]);
  const auto report = run_json("run model --inputs line.safetensors --output y.safetensors --numerics int8");
  EXPECT_EQ(report["numerics"], "int8");
}

TEST_F(RunTest, what_no_scan_can_have_is_refused_before_the_first) {
  expect_failure(2, "run model scan.bin --out-dir out --columns 2", "--columns: 2 columns; a raw file has from 3");
  expect_failure(2, "run model scan.bin --out-dir out --jobs -1", "--jobs -1 must be at least 0");
  EXPECT_FALSE(std::filesystem::exists(files() / "out"));
}

TEST_F(RunTest, classes_come_from_the_lattice_of_the_voxels) {
  const auto write_model = [&](const std::string& name, bool coarse, bool fine) {
    ModelBuilder builder;
    const auto x = builder.sparse_input("x", 4);
    const ConvGeometry halves({.kernel_size = 2, .stride = 2});
    if (coarse) builder.output("coarse", builder.pool(PoolMode::max, halves, x));
    if (fine) builder.output("fine", x);
    builder.save(files() / name);
    write(name + "/scan.json", R"({"voxel_size": 0.2})");
  };
  write_model("coarse", true, false);
  write_model("fine", false, true);
  write_model("both", true, true);
  for (const char* format : {"label", "ply", "png"}) {
    expect_failure(5, fmt::format("run coarse scan.bin --out-dir out --format {}", format),
                   "coarse has stride (2, 2, 2); take --format safetensors");
  }
  EXPECT_FALSE(std::filesystem::exists(files() / "out"));
  EXPECT_EQ(run_json("run fine scan.bin --out-dir fine_out --format label")["done"], 1);
  EXPECT_EQ(run_json("run both scan.bin --out-dir both_out --format label")["done"], 1);
  const auto labels = read_labels(files() / "both_out" / "scan.label");
  EXPECT_EQ(labels, read_labels(files() / "fine_out" / "scan.label"));
  EXPECT_GT(*std::max_element(labels.begin(), labels.end()), 0U);
}

TEST_F(RunTest, labels_ply_and_pictures) {
  for (const char* format : {"label", "ply", "png"}) {
    EXPECT_EQ(run_json(fmt::format("run model scan.bin --out-dir out --format {}", format))["done"], 1);
  }
  const auto labels = read_labels(files() / "out" / "scan.label");
  ASSERT_EQ(labels.size(), 900U);
  EXPECT_LT(*std::max_element(labels.begin(), labels.end()), 4U);
  EXPECT_EQ(read_points(files() / "out" / "scan.ply").rows(), 900);
  EXPECT_TRUE(std::filesystem::exists(files() / "out" / "scan.png"));
}

TEST_F(RunTest, a_bad_scan_is_skipped_and_told) {
  write("odd.bin", "abc");
  const Outcome outcome = run("run model scan.bin odd.bin second.bin --out-dir out --json");
  EXPECT_EQ(outcome.code, 7) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("1 of 3 scans failed; first odd.bin"));
  const auto summary = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(summary["done"], 2);
  EXPECT_EQ(summary["failed"][0]["scan"], "odd.bin");
  // Its result's name is longer than any file's: told like any other scan that fails.
  const std::string longest = std::string(250, 's') + ".bin";
  write_scan(longest);
  const Outcome unnamed = run("run model " + longest + " scan.bin --out-dir out --overwrite --jobs 2");
  EXPECT_EQ(unnamed.code, 7) << unnamed.err;
  EXPECT_THAT(unnamed.err, HasSubstr("1 of 2 scans failed"));
  // A folder where a result belongs is no result.
  std::filesystem::create_directories(files() / "out" / "second.ply");
  const Outcome blocked = run("run model scan.bin second.bin --out-dir out --format ply");
  EXPECT_EQ(blocked.code, 7) << blocked.err;
  EXPECT_THAT(blocked.err, HasSubstr("out/second.ply is there, but is no regular file"));
  std::filesystem::create_directory(files() / "a");
  write_scan("a/scan.bin");
  expect_failure(2, "run model scan.bin a/scan.bin --out-dir out", "would both be written");
  run_json("run model scan.bin --out-dir out --format ply");
  expect_failure(2, "run model out/scan.ply --out-dir out --format ply --overwrite", "would replace it");
}

}  // namespace
}  // namespace lattice
