#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "commands.h"
#include "io/output_file.h"
#include "lattice/error.h"
#include "lattice/point_file.h"
#include "progress.h"
#include "run_options.h"
#include "street_scene.h"

namespace lattice::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "a .bin scan is little-endian");

struct StreetCommand {
  RunOptions run;
  std::string path;
  uint64_t seed = 1;
};

/// KITTI's layout: rows of float32 x, y, z, intensity.
void write_bin(const std::filesystem::path& path, const PointCloud& cloud) {
  OutputFile file(path, "street");
  file.write(std::as_bytes(cloud.values.values<float>()));
  file.commit();
}

void write_scan(const std::filesystem::path& path, const PointCloud& cloud) {
  if (path.extension() == ".ply") return write_ply(path, cloud);
  if (path.extension() == ".pcd") return write_pcd(path, cloud);
  if (path.extension() == ".bin") return write_bin(path, cloud);
  throw Error(ErrorCode::invalid_argument, fmt::format("street: {} must end in .bin, .ply or .pcd", path.string()));
}

void run_street(const StreetCommand& command) {
  open_session(command.run);  // refuses a thread count or LATTICE_ISA that no other command would take
  Progress progress;
  progress.show("casting rays");
  const PointCloud cloud = street_scan(command.seed);
  progress.clear();
  write_scan(command.path, cloud);
  if (command.run.json) {
    print_json({{"points", cloud.rows()}, {"columns", cloud.columns}, {"seed", command.seed}});
  } else {
    fmt::print("wrote {}: {} points\n", command.path, cloud.rows());
  }
}

}  // namespace

Action add_street(CLI::App& app) {
  auto command = std::make_shared<StreetCommand>();
  app.add_option("OUT", command->path, "File to write: .bin (rows of float32 x, y, z, intensity), .ply or .pcd")
      ->required();
  app.add_option("--seed", command->seed, "Which street")->capture_default_str();
  add_run_options(app, command->run);
  return [command] { run_street(*command); };
}

}  // namespace lattice::cli
