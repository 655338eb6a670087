#include "cli/scan_sidecar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "cli/model_fixture.h"
#include "lattice/error.h"

namespace lattice {
namespace {

using ::testing::HasSubstr;

TEST_F(ModelCliTest, sidecar_is_checked) {
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
  expect_refused(R"({"voxel": 1})", "no key 'voxel'");
  expect_refused("{\"a\\nb\": 1}", "no key 'a?b'");
  expect_refused("{\"a\\nb\": 1, \"a\\nb\": 1}", "the key 'a?b' occurs twice");
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

TEST(ScanSidecar, is_read_as_it_was_written) {
  const TempFolder folder;
  const cli::ScanSidecar written = {.voxel_size = {{0.075F, 0.1F, 1e-3F}},
                                    .origin = {-54, 0.3F, 1e7F},
                                    .upper = {{54, 1, 1.1e7F}},
                                    .most_points = 10,
                                    .most_voxels = 160000,
                                    .columns = {"x", "ring"},
                                    .offset = {0.1F, 2},
                                    .scale = {1, 1 / 3.0F},
                                    .classes = {"a \"b\"", "c"},
                                    .colours = {{1, 2, 3}, {255, 0, 9}}};
  cli::write_sidecar(folder.path(), written);
  const cli::ScanSidecar read = cli::read_sidecar(folder.path());
  EXPECT_EQ(read.voxel_size, written.voxel_size);
  EXPECT_EQ(read.origin, written.origin);
  EXPECT_EQ(read.upper, written.upper);
  EXPECT_EQ(read.most_points, written.most_points);
  EXPECT_EQ(read.most_voxels, written.most_voxels);
  EXPECT_EQ(read.columns, written.columns);
  EXPECT_EQ(read.offset, written.offset);
  EXPECT_EQ(read.scale, written.scale);
  EXPECT_EQ(read.classes, written.classes);
  EXPECT_EQ(read.colours, written.colours);
  cli::write_sidecar(folder.path(), {});
  EXPECT_EQ(cli::read_sidecar(folder.path()).voxel_size, std::nullopt);
  EXPECT_EQ(cli::read_sidecar(folder.path()).upper, std::nullopt);
}

TEST(ScanSidecar, hostile_texts_are_refused) {
  // Deep nesting, numbers beyond float32 or below 0 where a byte is asked for, bytes that are not UTF-8.
  const std::string deep(1 << 18, '[');
  for (const std::string& text :
       {deep, "{\"classes\": " + deep, std::string(R"({"origin": [1e39, 0, 0]})"), std::string(R"({"voxel_size": -1})"),
        std::string(R"({"voxel_size": [1, 1, 1e-60]})"), std::string(R"({"voxel_size": NaN})"),
        std::string(R"({"columns": ["x"], "scale": [-1e400]})"), std::string(R"({"classes": [""]})"),
        std::string(R"({"classes": ["a"], "colours": [[1, 2, -1]]})"),
        std::string(R"({"classes": ["a"], "colours": [[1, 2, 18446744073709551615]]})"),
        std::string("{\"classes\": [\"\xff\"]}"), std::string("{}\0{}", 5)}) {
    try {
      cli::parse_sidecar(text, "scan.json");
      ADD_FAILURE() << text.substr(0, 40) << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt_file) << text.substr(0, 40);
    }
  }
}

TEST_F(ModelCliTest, a_sidecar_that_is_no_file_is_told) {
  std::filesystem::remove(files() / "model" / "scan.json");
  ASSERT_EQ(::mkfifo((files() / "model" / "scan.json").c_str(), 0600), 0);
  expect_failure(3, "run model scan.bin --out-dir out", "scan.json is not a regular file");
}

TEST_F(ModelCliTest, a_sidecar_beyond_its_largest_size_is_not_read) {
  write("model/scan.json", std::string((1 << 20) + 1, ' '));
  expect_failure(4, "run model scan.bin --out-dir out", "1048577 bytes are no sidecar");
}

}  // namespace
}  // namespace lattice
