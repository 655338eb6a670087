#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "dense_output.h"
#include "lattice/error.h"
#include "lattice/model.h"
#include "measure.h"
#include "model_scan.h"
#include "run_options.h"
#include "run_scans.h"

namespace lattice::cli {
namespace {

struct RunCommand {
  RunOptions run;
  std::string model, inputs, output;
  ScanBatch batch;
};

void run_on_tensors(const RunCommand& command) {
  const Model model = load_model(command.model);
  const DenseOptions& dense = command.batch.dense;
  check_dense(model, dense);
  Session session = open_session(command.run);
  const NamedTensors inputs = tensors_of(command.inputs);
  NamedTensors results;
  const double run_ms = time_ms([&] { results = model.run(session, inputs); });
  if (!dense.output.empty()) results = dense_output(model, results, dense);
  write_tensors(command.output, results);
  if (command.run.json) {
    Json shapes = Json::object();
    for (const auto& [output, tensor] : results) shapes[output] = tensor.shape();
    return print_json({{"outputs", shapes},
                       {"run_ms", run_ms},
                       {"isa", session.isa()},
                       {"numerics", name(session.numerics(activations_of(model)))},
                       {"threads", session.threads()}});
  }
  for (const auto& [name, tensor] : results) {
    fmt::print("{:<23} {:<5} {}\n", name, lattice::name(tensor.dtype()), to_string(tensor.shape()));
  }
  fmt::print("wrote {} ({:.1f} ms)\n", command.output, run_ms);
}

void print_summary(const RunCommand& command, const BatchSummary& summary) {
  if (command.run.json) {
    Json failed = Json::array();
    for (const auto& [scan, reason] : summary.failed) failed.push_back({{"scan", scan}, {"reason", reason}});
    return print_json({{"scans", command.batch.scans.size()},
                       {"done", summary.done},
                       {"skipped", summary.skipped},
                       {"failed", failed},
                       {"seconds", summary.seconds},
                       {"isa", summary.isa},
                       {"numerics", name(summary.numerics)},
                       {"threads", summary.threads},
                       {"jobs", summary.jobs}});
  }
  for (const auto& [scan, reason] : summary.failed) fmt::print("failed: {}: {}\n", scan, reason);
  fmt::print("{} scans: {} done, {} there already, {} failed; {:.2f} s\n", command.batch.scans.size(), summary.done,
             summary.skipped, summary.failed.size(), summary.seconds);
}

void run_on_scans(const RunCommand& command) {
  const Model model = load_model(command.model);
  const ScanSidecar sidecar = read_sidecar(command.model);
  const BatchSummary summary = run_scans(model, sidecar, command.batch, command.run);
  print_summary(command, summary);
  if (summary.failed.empty()) return;
  throw ScansFailed(fmt::format("run: {} of {} scans failed; first {}: {}", summary.failed.size(),
                                command.batch.scans.size(), summary.failed[0].scan, summary.failed[0].reason));
}

/// Tensors in one file, or scans in many: never both, never half of either.
void run(const RunCommand& command) {
  const bool scans = !command.batch.scans.empty() || !command.batch.out_dir.empty();
  const bool tensors = !command.inputs.empty() || !command.output.empty();
  if (tensors && !scans && !command.inputs.empty() && !command.output.empty()) return run_on_tensors(command);
  if (scans && !tensors && !command.batch.scans.empty() && !command.batch.out_dir.empty()) return run_on_scans(command);
  throw Error(ErrorCode::invalid_argument,
              "run: give --inputs with --output, or SCANs with --out-dir; the one runs tensors, the other scans");
}

}  // namespace

Action add_run(CLI::App& app) {
  auto command = std::make_shared<RunCommand>();
  ScanBatch& batch = command->batch;
  app.add_option("MODEL", command->model, "Folder with graph.mlir, weights.safetensors and perhaps scan.json")
      ->required();
  app.add_option("SCAN", batch.scans, "Scans (.bin, .pcd, .ply, .las) of a model that takes points or voxels");
  app.add_option("--inputs", command->inputs, "safetensors file with the inputs by name");
  app.add_option("--output", command->output,
                 "safetensors file to write: NAME where dense, NAME.coords, NAME.features, NAME.active where sparse; a "
                 "single tensor also as .npy");
  app.add_option("--out-dir", batch.out_dir, "Folder for one result a scan, named after it");
  app.add_option(
         "--format", batch.format,
         "safetensors: all outputs, or the grid of --dense; npy: that grid; label (SemanticKITTI), ply, png: the "
         "class of each point")
      ->check(CLI::IsMember({"safetensors", "npy", "label", "ply", "png"}))
      ->capture_default_str();
  add_dense_options(app, batch.dense);
  app.add_option("--columns", batch.columns, "float32 values a row of a .bin file (default: 4; .pcd.bin: 5)");
  app.add_option("--jobs", batch.jobs, "Scans at a time, at most as many as threads; 0: as many")
      ->capture_default_str();
  app.add_flag("--overwrite", batch.overwrite, "Write results anew that are there already");
  add_run_options(app, command->run);
  return [command] { run(*command); };
}

}  // namespace lattice::cli
