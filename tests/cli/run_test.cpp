#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/conformance.h"
#include "artifact/small_network.h"
#include "cli/cli_fixture.h"
#include "cli/scan_sidecar.h"
#include "lattice/error.h"
#include "lattice/point_file.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RunTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    artifact::write_artifact(artifact::SmallNetwork(4).graph(), files() / "model");
    write("model/scan.json", R"({"voxel_size": 0.2, "columns": ["x", "z", "intensity"], "offset": [0, 0, 0.5],
                                 "scale": [1, 2, 2], "classes": ["a", "b", "c", "d"],
                                 "colours": [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]})");
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
  EXPECT_THAT(file_names(), ElementsAre("model", "scan.bin", "second.bin"));
}

TEST_F(RunTest, wrong_inputs_leave_no_output) {
  save_safetensors(files() / "in", {{"x_coords", Tensor::zeros(DType::i32, {1, 4})}});
  expect_failure(2, "run model --inputs in --output out", "x_features is missing");
  write("bad", "not tensors");
  expect_failure(4, "run model --inputs bad --output out", "safetensors");
  write("model/graph.mlir", "module {");
  expect_failure(4, "run model --inputs in --output out", "graph.mlir:1:");
  EXPECT_FALSE(std::filesystem::exists(files() / "out"));
}

TEST_F(RunTest, scans_one_result_each_and_again_only_what_is_missing) {
  auto summary = run_json("run model scan.bin second.bin --out-dir out");
  EXPECT_EQ(summary["done"], 2);
  EXPECT_EQ(summary["skipped"], 0);
  const NamedTensors results = read_tensors(files() / "out" / "scan.safetensors");
  EXPECT_EQ(results.at("y.features").size(0), results.at("scan.voxel_coords").size(0));
  EXPECT_EQ(results.at("scan.point_row").size(0), 900);
  std::filesystem::remove(files() / "out" / "second.safetensors");
  summary = run_json("run model scan.bin second.bin --out-dir out --jobs 2");
  EXPECT_EQ(summary["done"], 1);
  EXPECT_EQ(summary["skipped"], 1);
  EXPECT_EQ(run_json("run model scan.bin second.bin --out-dir out --overwrite")["done"], 2);
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
  std::filesystem::create_directory(files() / "a");
  write_scan("a/scan.bin");
  expect_failure(2, "run model scan.bin a/scan.bin --out-dir out", "would both be written");
}

TEST_F(RunTest, inspect_shows_steps_and_their_costs) {
  auto shown = run_json("inspect model");
  EXPECT_EQ(shown["steps"], 9);
  EXPECT_EQ(shown["fused"], 10);
  EXPECT_EQ(shown["operations"]["batch_norm"], 5);
  EXPECT_EQ(shown["outputs"][0]["name"], "y");
  EXPECT_FALSE(shown.contains("plan"));
  shown = run_json("inspect model --profile scan.bin");
  ASSERT_EQ(shown["plan"].size(), 9U);
  EXPECT_EQ(shown["plan"][1]["step"], "subm_conv3d + batch_norm + activation");
  EXPECT_GT(shown["plan"][1]["rows"], 0);
  EXPECT_THAT(run("inspect model --plan").out, HasSubstr("conv3d + batch_norm + activation"));
}

TEST_F(RunTest, compare_tells_how_far_two_models_differ) {
  const auto same = run_json("compare model model scan.bin --repeat 1");
  EXPECT_EQ(same["outputs"]["y.features"]["relative_error"], 0.0);
  EXPECT_EQ(same["outputs"]["y.features"]["same_label"], 1.0);
  EXPECT_EQ(same["weight_bytes"][0], same["weight_bytes"][1]);
  artifact::write_artifact(artifact::SmallNetwork(5).graph(), files() / "other");
  std::filesystem::copy_file(files() / "model" / "scan.json", files() / "other" / "scan.json");
  expect_failure(2, "compare model other scan.bin", "outputs must match");
}

TEST_F(RunTest, sidecar_is_checked) {
  const auto expect_refused = [](const std::string& text, const std::string& part) {
    try {
      cli::parse_sidecar(text, "scan.json");
      ADD_FAILURE() << text << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt_file);
      EXPECT_THAT(error.what(), HasSubstr(part)) << text;
    }
  };
  expect_refused("", "valid JSON");
  expect_refused("[]", "one object");
  expect_refused(R"({"voxel": 1})", "no key voxel");
  expect_refused(R"({"voxel_size": 1, "voxel_size": 2})", "twice");
  expect_refused(R"({"voxel_size": 0})", "above 0");
  expect_refused(R"({"voxel_size": [1, 2]})", "one number or three");
  expect_refused(R"({"voxel_size": "1"})", "voxel_size");
  expect_refused(R"({"voxel_size": 1e99})", "beyond float32");
  expect_refused(R"({"columns": [1]})", "strings");
  expect_refused(R"({"columns": ["x"], "scale": [1, 2]})", "scale has 2");
  expect_refused(R"({"classes": ["a"], "colours": [[1, 2]]})", "[r, g, b]");
  expect_refused(R"({"classes": ["a"], "colours": [[1, 2, 256]]})", "0 to 255");
  expect_refused(R"({"colours": [[1, 2, 3]]})", "colours has 1");
  expect_refused(R"({"upper": 1})", "needs a voxel_size");
  expect_refused(R"({"voxel_size": 1, "upper": [1, 1, 0]})", "above origin");
  expect_refused(R"({"voxel_size": 1, "upper": [1, 1, 3e9]})", "above origin");
  expect_refused(R"({"voxel_size": 1, "upper": [1, 1]})", "one number or three");
  expect_refused(R"({"most_points": 0})", "most_points must be a whole number from 1");
  expect_refused(R"({"most_voxels": 1.5})", "most_voxels must be a whole number from 1");
  expect_refused(R"({"most_voxels": 3000000000})", "to 2^31 - 1");
  EXPECT_EQ(cli::parse_sidecar(R"({"voxel_size": [1, 2, 3]})", "scan.json").voxel_size->at(2), 3.0F);
  write("model/scan.json", "{}");
  expect_failure(2, "run model scan.bin --out-dir out", "voxel_size");
  write("model/scan.json", R"({"voxel_size": 1, "columns": ["x"]})");
  expect_failure(2, "run model scan.bin --out-dir out", "3 channels");
}

}  // namespace
}  // namespace lattice
