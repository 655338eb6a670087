#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/file_bytes.h"
#include "lattice/random.h"

namespace lattice {

/// What a run of the command left: its exit code and what it printed.
struct Outcome {
  int code = -1;
  std::string out, err;
};

class CliTest : public ::testing::Test {
 protected:
  /// `environment`: settings before the command, as in "LATTICE_ISA=scalar".
  Outcome run(const std::string& arguments, const std::string& environment = "") const {
    const std::string out = (folder_ / "stdout").string(), err = (folder_ / "stderr").string();
    const std::string line = fmt::format("cd '{}' && {} '{}' {} >'{}' 2>'{}'", files().string(), environment,
                                         LATTICE_CLI_PATH, arguments, out, err);
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, file_bytes(out), file_bytes(err)};
  }

  nlohmann::json run_json(const std::string& arguments) const {
    const Outcome outcome = run(arguments + " --json");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
    return nlohmann::json::parse(outcome.out);
  }

  void expect_failure(int code, const std::string& arguments, const std::string& message,
                      const std::string& environment = "") const {
    const Outcome outcome = run(arguments, environment);
    EXPECT_EQ(outcome.code, code) << arguments << ": " << outcome.err;
    EXPECT_EQ(outcome.out, "") << arguments;
    EXPECT_THAT(outcome.err, ::testing::HasSubstr(message)) << arguments;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << arguments << ": " << outcome.err;
  }

  /// A bumpy floor of 900 points, 3 m x 3 m, whose last point is not a number.
  void write_scan(const std::string& name, int64_t columns = 4) const {
    Random random(5);
    std::vector<float> values;
    for (int point = 0; point < 900; ++point) {
      values.insert(values.end(), {static_cast<float>(random.uniform(-1, 2)), static_cast<float>(random.uniform(-1, 2)),
                                   static_cast<float>(random.uniform(0, 0.2))});
      for (int64_t column = 3; column < columns; ++column) values.push_back(static_cast<float>(random.uniform()));
    }
    values[values.size() - static_cast<size_t>(columns)] = std::numeric_limits<float>::quiet_NaN();
    write(name, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  }

  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream(files() / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  /// The folder in which the command runs; what it prints is kept outside.
  std::filesystem::path files() const { return folder_ / "files"; }
  std::vector<std::string> file_names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(files())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  void SetUp() override {
    std::filesystem::create_directory(files());
    write_scan("scan.bin");
  }

 private:
  TempFolder folder_;
};

}  // namespace lattice
