#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "artifact/program.h"
#include "artifact/receptive_field.h"
#include "commands.h"
#include "lattice/error.h"
#include "lattice/model.h"
#include "measure.h"
#include "model_scan.h"
#include "model_steps.h"
#include "run_options.h"
#include "step_trace.h"

namespace lattice::cli {
namespace {

struct InspectCommand {
  RunOptions run;
  std::string model, profile, trace;
  std::optional<int64_t> columns;
  int64_t repeat = 5;
  bool plan = false;
};

/// The costs of a model's steps, and what computed them.
struct Profile {
  std::vector<StepCost> costs;
  std::string isa, numerics;
  int threads = 0;

  int64_t peak_bytes() const {
    int64_t peak = 0;
    for (const StepCost& cost : costs) peak = std::max(peak, cost.bytes_alive + cost.relation_bytes);
    return peak;
  }
  double gflop() const {
    double flop = 0;
    for (const StepCost& cost : costs) flop += static_cast<double>(cost.flop);
    return flop / 1e9;
  }
};

/// A model as it is shown.
struct Shown {
  const Model& model;
  const artifact::Plan& plan;
  std::vector<artifact::ReceptiveField> fields;  // by slot
  bool with_plan = false;
  std::optional<Profile> profile;

  const std::vector<artifact::Step>& steps() const { return plan.steps; }
  const Shape& shape(const artifact::Step& step) const {
    return plan.tensors[static_cast<size_t>(result_slot(step))].dims;
  }
  const artifact::ReceptiveField& field(const artifact::Step& step) const {
    return fields[static_cast<size_t>(result_slot(step))];
  }
  const artifact::ReceptiveField& output_field(size_t output) const {
    return fields[static_cast<size_t>(plan.outputs[output].slots.tensor)];
  }
  std::map<std::string, int64_t> operations() const {
    std::map<std::string, int64_t> counts;
    for (const auto& operation : model.program().graph().operations) ++counts[operation.name];
    return counts;
  }
  size_t fused() const {
    size_t count = 0;
    for (const artifact::Step& step : steps()) count += step.fused.size();
    return count;
  }
};

/// The run of the median total time, after one that packs the weights. Each builds its relations anew.
Profile profile(const InspectCommand& command, const Model& model) {
  Session session = open_session(command.run);
  const NamedTensors inputs = read_model_inputs(session, model, command.model, command.profile, command.columns);
  measure_steps(model, session, inputs);
  std::vector<std::vector<StepCost>> runs;
  for (int64_t i = 0; i < command.repeat; ++i) {
    session.clear_relations();
    runs.push_back(measure_steps(model, session, inputs));
  }
  const auto middle = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2);
  std::nth_element(runs.begin(), middle, runs.end(),
                   [](const auto& a, const auto& b) { return total_ms(a) < total_ms(b); });
  const Numerics numerics = session.numerics(activations_of(model));
  return {std::move(*middle), std::string(session.isa()), std::string(name(numerics)), session.threads()};
}

/// null for an axis on which the whole scan is seen.
Json json_of(const artifact::ReceptiveField& field) {
  Json json = Json::array();
  for (const double size : field) json.push_back(std::isfinite(size) ? Json(std::llround(size)) : Json());
  return json;
}

Json json_of(const Shown& shown, size_t index) {
  const artifact::Step& step = shown.steps()[index];
  Json json = {{"line", step.operation->place.line},
               {"value", value_name(shown.model.program().graph(), step)},
               {"step", step_name(step)},
               {"shape", shown.shape(step)},
               {"receptive_field", json_of(shown.field(step))},
               {"parameters", step.weights.parameters},
               {"weight_bytes", step.weights.bytes},
               {"bits", bits_a_weight(step.weights)},
               {"drops", step.tensor_drops.size()}};
  if (const std::string placement = placement_text(shown.model.program(), step); !placement.empty()) {
    json["placement"] = placement;
  }
  if (!shown.profile) return json;
  const StepCost& cost = shown.profile->costs[index];
  json.update({{"ms", cost.ms},
               {"relation_ms", cost.relation_ms},
               {"gflops", cost.gflops()},
               {"rows", cost.rows},
               {"edges", cost.edges},
               {"bytes_alive", cost.bytes_alive},
               {"relation_bytes", cost.relation_bytes}});
  return json;
}

Json json_of(const Shown& shown) {
  const artifact::WeightSize& weights = shown.plan.weights;
  Json json = {{"operations", shown.operations()}, {"parameters", weights.parameters}, {"weight_bytes", weights.bytes},
               {"bits", bits_a_weight(weights)},   {"steps", shown.steps().size()},    {"fused", shown.fused()},
               {"inputs", Json::array()},          {"outputs", Json::array()}};
  for (const ModelInput& input : shown.model.inputs()) {
    json["inputs"].push_back(
        {{"name", input.name}, {"role", name(input.role)}, {"dtype", name(input.dtype)}, {"shape", input.shape}});
  }
  for (size_t i = 0; i < shown.model.outputs().size(); ++i) {
    const ModelOutput& output = shown.model.outputs()[i];
    json["outputs"].push_back({{"name", output.name},
                               {"sparse", output.sparse},
                               {"dtype", name(output.dtype)},
                               {"shape", output.shape},
                               {"receptive_field", json_of(shown.output_field(i))}});
  }
  if (shown.profile) {
    const Profile& profile = *shown.profile;
    json["profile"] = {{"ms", total_ms(profile.costs)},      {"gflop", profile.gflop()},
                       {"peak_bytes", profile.peak_bytes()}, {"isa", profile.isa},
                       {"numerics", profile.numerics},       {"threads", profile.threads}};
  }
  if (!shown.with_plan && !shown.profile) return json;
  json["plan"] = Json::array();
  for (size_t i = 0; i < shown.steps().size(); ++i) json["plan"].push_back(json_of(shown, i));
  return json;
}

std::string text_of(const Shape& dims) {
  std::vector<std::string> sizes;
  for (const int64_t size : dims) sizes.push_back(size == kAnySize ? "?" : std::to_string(size));
  return fmt::format("{}", fmt::join(sizes, " x "));
}

std::string text_of(const artifact::ReceptiveField& field) {
  if (!std::isfinite(field[0])) return "all";
  return fmt::format("{} x {} x {}", field[0], field[1], field[2]);
}

void print_head(const Shown& shown) {
  for (const ModelInput& input : shown.model.inputs()) {
    fmt::print("input   {:<23} {:<5} {}\n", input.name, name(input.dtype), text_of(input.shape));
  }
  for (size_t i = 0; i < shown.model.outputs().size(); ++i) {
    const ModelOutput& output = shown.model.outputs()[i];
    fmt::print("output  {:<23} {:<5} {}{}, sees {} voxels\n", output.name, name(output.dtype), text_of(output.shape),
               output.sparse ? " sparse" : "", text_of(shown.output_field(i)));
  }
  size_t operations = 0;
  std::vector<std::string> counts;
  for (const auto& [name, count] : shown.operations()) {
    operations += static_cast<size_t>(count);
    counts.push_back(fmt::format("{} {}", count, name));
  }
  fmt::print("{} operations in {} steps, {} of them within a step before\n  {}\n", operations, shown.steps().size(),
             shown.fused(), fmt::join(counts, ", "));
  const artifact::WeightSize& weights = shown.plan.weights;
  fmt::print("{} parameters of {:.2f} bits, {:.2f} MiB\n", weights.parameters, bits_a_weight(weights),
             mebibytes(weights.bytes));
}

void print_plan(const Shown& shown) {
  fmt::print("\n{:>5}  {:<44} {:<11} {:>17} {:>11} {:>7}   {}\n", "line", "step", "shape", "receptive field",
             "parameters", "bits", "value");
  for (const artifact::Step& step : shown.steps()) {
    const std::string placement = placement_text(shown.model.program(), step);
    fmt::print("{:>5}  {:<44} {:<11} {:>17} {:>11} {:>7.2f}   {}{}{}\n", step.operation->place.line, step_name(step),
               text_of(shown.shape(step)), text_of(shown.field(step)), step.weights.parameters,
               bits_a_weight(step.weights), value_name(shown.model.program().graph(), step),
               placement.empty() ? "" : " ", placement);
  }
}

void print_profile(const Shown& shown) {
  const Profile& profile = *shown.profile;
  fmt::print("\n{:>5}  {:<44} {:>9} {:>12} {:>8} {:>9} {:>11} {:>10} {:>13}\n", "line", "step", "ms", "relation ms",
             "GFLOP/s", "rows", "edges", "alive MiB", "relations MiB");
  for (size_t i = 0; i < profile.costs.size(); ++i) {
    const artifact::Step& step = shown.steps()[i];
    const StepCost& cost = profile.costs[i];
    fmt::print("{:>5}  {:<44} {:>9.3f} {:>12.3f} {:>8.2f} {:>9} {:>11} {:>10.2f} {:>13.2f}\n",
               step.operation->place.line, step_name(step), cost.ms, cost.relation_ms, cost.gflops(), cost.rows,
               cost.edges, mebibytes(cost.bytes_alive), mebibytes(cost.relation_bytes));
  }
  fmt::print("{:.3f} ms, {:.3f} GFLOP, at most {:.2f} MiB beside the weights; {}, {}, {} threads\n",
             total_ms(profile.costs), profile.gflop(), mebibytes(profile.peak_bytes()), profile.isa, profile.numerics,
             profile.threads);
}

void inspect(const InspectCommand& command) {
  open_session(command.run);  // refuses a thread count or LATTICE_ISA that no other command would take
  check_repeat(command.repeat);
  if (!command.trace.empty() && command.profile.empty()) {
    throw Error(ErrorCode::invalid_argument, "inspect: --trace shows a run; give --profile SCAN or INPUTS.safetensors");
  }
  const Model model = load_model(command.model);
  const artifact::Plan& plan = model.program().plan();
  Shown shown = {.model = model,
                 .plan = plan,
                 .fields = artifact::receptive_fields(plan),
                 .with_plan = command.plan,
                 .profile = std::nullopt};
  if (!command.profile.empty()) shown.profile = profile(command, model);
  if (!command.trace.empty()) write_step_trace(command.trace, model.program(), shown.profile->costs);
  if (command.run.json) return print_json(json_of(shown));
  print_head(shown);
  if (shown.with_plan) print_plan(shown);
  if (shown.profile) print_profile(shown);
}

}  // namespace

Action add_inspect(CLI::App& app) {
  auto command = std::make_shared<InspectCommand>();
  app.add_option("MODEL", command->model, "Folder with graph.mlir and weights.safetensors")->required();
  app.add_flag("--plan", command->plan, "Show the steps: what is fused, shapes, receptive fields, weights");
  app.add_option("--profile", command->profile,
                 "Run on a scan or on inputs (.safetensors), and show time, GFLOP/s, edges and memory of each step");
  app.add_option("--trace", command->trace, "JSON file to write the profile to, for chrome://tracing or Perfetto");
  app.add_option("--columns", command->columns, "float32 values a row of a .bin scan (default: 4; .pcd.bin: 5)");
  app.add_option("--repeat", command->repeat, "Measurements, of which the one of the median time is shown")
      ->capture_default_str();
  add_run_options(app, command->run);
  return [command] { inspect(*command); };
}

}  // namespace lattice::cli
