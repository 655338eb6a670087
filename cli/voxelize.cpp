#include "lattice/voxelize.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "lattice/safetensors.h"
#include "measure.h"
#include "run_options.h"
#include "scan_input.h"

namespace lattice::cli {
namespace {

struct VoxelizeCommand {
  RunOptions run;
  ScanOptions scan;
  std::string output;
};

void run_voxelize(const VoxelizeCommand& command) {
  const VoxelizeOptions options = voxelize_options(command.scan);
  check_files_differ({command.scan.path, command.output});
  Session session = open_session(command.run);
  const PointCloud cloud = read_scan(command.scan);
  const Tensor points = columns_of(cloud, 0, 3);
  std::optional<Voxels> voxels;
  const double milliseconds = time_ms([&] { voxels = voxelize(session, points, cloud.values, options); });
  if (!command.output.empty()) {
    save_safetensors(command.output, {{"coords", voxels->tensor.support()->tensor()},
                                      {"features", voxels->tensor.features()},
                                      {"counts", Tensor::from(voxels->counts, {voxels->tensor.rows()})},
                                      {"point_row", Tensor::from(voxels->point_row, {cloud.rows()})},
                                      {"origin", origin_of(cloud)}});
  }
  if (command.run.json) {
    print_json({{"points", cloud.rows()},
                {"rows", voxels->tensor.rows()},
                {"dropped", voxels->dropped},
                {"voxelize_ms", milliseconds},
                {"columns", cloud.columns},
                {"origin", cloud.origin},
                {"threads", session.threads()}});
    return;
  }
  fmt::print("{} points in {} voxels, {} dropped, {:.2f} ms\n", cloud.rows(), voxels->tensor.rows(), voxels->dropped,
             milliseconds);
  if (cloud.origin != std::array<double, 3>{0, 0, 0}) {
    fmt::print("coordinates count from ({}) m of the file\n", fmt::join(cloud.origin, ", "));
  }
  if (!command.output.empty()) fmt::print("wrote {}\n", command.output);
}

}  // namespace

Action add_voxelize(CLI::App& app) {
  auto command = std::make_shared<VoxelizeCommand>();
  add_scan_options(app, command->scan);
  app.add_option(
      "--output", command->output,
      "safetensors file to write: coords int32 (N, 4) as they fall, features (means of all columns), counts, "
      "point_row, and the origin that coords and features count from");
  add_run_options(app, command->run);
  return [command] { run_voxelize(*command); };
}

}  // namespace lattice::cli
