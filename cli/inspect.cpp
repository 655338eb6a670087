#include <fmt/format.h>

#include <chrono>
#include <map>
#include <memory>

#include "artifact/program.h"
#include "commands.h"
#include "lattice/model.h"
#include "model_scan.h"
#include "run_options.h"

namespace lattice::cli {
namespace {

struct InspectCommand {
  RunOptions run;
  std::string model, profile;
  std::optional<int64_t> columns;
  bool plan = false;
};

/// What one step has cost in a run.
struct StepCost {
  double ms = 0;
  int64_t rows = 0, bytes_alive = 0;
};

std::string shown(const Shape& dims) {
  std::vector<std::string> sizes;
  for (const int64_t size : dims) sizes.push_back(size == kAnySize ? "?" : std::to_string(size));
  return fmt::format("{}", fmt::join(sizes, " x "));
}

/// "subm_conv3d + batch_norm + activation".
std::string step_name(const artifact::Step& step) {
  std::string name = step.operation->name;
  for (const artifact::Operation* fused : step.fused) name += " + " + fused->name;
  return name;
}

Shape result_shape(const artifact::Plan& plan, const artifact::Step& step) {
  if (step.tensor_writes.empty()) return {};
  return plan.tensors[static_cast<size_t>(step.tensor_writes.front())].dims;
}

int64_t bytes_alive(const artifact::Run& run) {
  int64_t bytes = 0;
  for (const Tensor& tensor : run.tensors) bytes += tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
  for (const Support& support : run.supports) bytes += support ? support->rows() * int64_t{sizeof(Coord)} : 0;
  return bytes;
}

/// The costs of a run's steps; `run` calls the model with the observer that it is given.
template <typename RunModel>
std::vector<StepCost> measured(const RunModel& run) {
  using Clock = std::chrono::steady_clock;
  std::vector<StepCost> costs;
  Clock::time_point last = Clock::now();
  run([&](const artifact::Step& step, const artifact::Run& values) {
    const Clock::time_point now = Clock::now();
    StepCost cost = {.ms = std::chrono::duration<double, std::milli>(now - last).count(),
                     .bytes_alive = bytes_alive(values)};
    if (!step.tensor_writes.empty()) {
      const Tensor& y = values.tensors[static_cast<size_t>(step.tensor_writes.front())];
      cost.rows = y.rank() > 0 ? y.size(0) : 0;
    }
    costs.push_back(cost);
    last = Clock::now();
  });
  return costs;
}

/// Runs twice: the first run packs the weights and warms up.
std::vector<StepCost> profile(const InspectCommand& command, const Model& model) {
  Session session = open_session(command.run);
  const NamedTensors inputs = read_model_inputs(session, model, command.model, command.profile, command.columns);
  const auto run = [&] {
    return measured([&](const artifact::Program::Observe& observe) { model.program().run(session, inputs, observe); });
  };
  run();
  session.clear_relations();
  return run();
}

Json json_of(const Model& model, const std::vector<StepCost>& costs, bool with_steps) {
  const artifact::Program& program = model.program();
  std::map<std::string, int64_t> operations;
  for (const auto& operation : program.graph().operations) ++operations[operation.name];
  size_t fused = 0;
  for (const auto& step : program.plan().steps) fused += step.fused.size();
  Json json = {{"operations", operations},
               {"weight_bytes", program.plan().weight_bytes},
               {"steps", program.plan().steps.size()},
               {"fused", fused},
               {"inputs", Json::array()},
               {"outputs", Json::array()}};
  for (const ModelInput& input : model.inputs()) {
    json["inputs"].push_back(
        {{"name", input.name}, {"role", name(input.role)}, {"dtype", name(input.dtype)}, {"shape", input.shape}});
  }
  for (const ModelOutput& output : model.outputs()) {
    json["outputs"].push_back(
        {{"name", output.name}, {"sparse", output.sparse}, {"dtype", name(output.dtype)}, {"shape", output.shape}});
  }
  if (!with_steps) return json;
  json["plan"] = Json::array();
  for (size_t i = 0; i < program.plan().steps.size(); ++i) {
    const artifact::Step& step = program.plan().steps[i];
    Json entry = {{"line", step.operation->place.line},
                  {"step", step_name(step)},
                  {"shape", result_shape(program.plan(), step)},
                  {"drops", step.tensor_drops.size()}};
    if (i < costs.size()) {
      entry["ms"] = costs[i].ms;
      entry["rows"] = costs[i].rows;
      entry["bytes_alive"] = costs[i].bytes_alive;
    }
    json["plan"].push_back(entry);
  }
  return json;
}

void print_table(const Model& model, const std::vector<StepCost>& costs, bool with_steps) {
  const artifact::Program& program = model.program();
  for (const ModelInput& input : model.inputs()) {
    fmt::print("input   {:<24}{:<6}{}\n", input.name, name(input.dtype), shown(input.shape));
  }
  for (const ModelOutput& output : model.outputs()) {
    fmt::print("output  {:<24}{:<6}{}{}\n", output.name, name(output.dtype), shown(output.shape),
               output.sparse ? " sparse" : "");
  }
  fmt::print("{} operations in {} steps, {:.2f} MiB of weights\n", program.graph().operations.size(),
             program.plan().steps.size(), static_cast<double>(program.plan().weight_bytes) / (1024 * 1024));
  if (!with_steps) return;
  fmt::print("\n{:>5}  {:<56}{:<12}{:>9}{:>11}{:>13}\n", "line", "step", "shape", "ms", "rows", "alive MiB");
  for (size_t i = 0; i < program.plan().steps.size(); ++i) {
    const artifact::Step& step = program.plan().steps[i];
    fmt::print("{:>5}  {:<56}{:<12}", step.operation->place.line, step_name(step),
               shown(result_shape(program.plan(), step)));
    if (i < costs.size()) {
      fmt::print("{:>9.3f}{:>11}{:>13.2f}", costs[i].ms, costs[i].rows,
                 static_cast<double>(costs[i].bytes_alive) / (1024 * 1024));
    }
    fmt::print("\n");
  }
}

void inspect(const InspectCommand& command) {
  const Model model = Model::load(command.model);
  const std::vector<StepCost> costs = command.profile.empty() ? std::vector<StepCost>{} : profile(command, model);
  const bool with_steps = command.plan || !costs.empty();
  if (command.run.json) return print_json(json_of(model, costs, with_steps));
  print_table(model, costs, with_steps);
}

}  // namespace

Action add_inspect(CLI::App& app) {
  auto command = std::make_shared<InspectCommand>();
  app.add_option("MODEL", command->model, "Folder with graph.mlir and weights.safetensors")->required();
  app.add_flag("--plan", command->plan, "Show the steps: what runs, what is fused, what is dropped when");
  app.add_option("--profile", command->profile,
                 "Run on a scan or on inputs (.safetensors), and show time, rows and memory of each step");
  app.add_option("--columns", command->columns, "float32 values a row of a .bin scan (default: 4; .pcd.bin: 5)");
  add_run_options(app, command->run);
  return [command] { inspect(*command); };
}

}  // namespace lattice::cli
