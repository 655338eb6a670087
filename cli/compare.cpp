#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "compare_steps.h"
#include "lattice/error.h"
#include "lattice/model.h"
#include "measure.h"
#include "model_scan.h"
#include "run_options.h"

namespace lattice::cli {
namespace {

struct CompareCommand {
  PairOptions runs;
  std::array<std::string, 2> folders;
  std::string inputs;
  std::optional<int64_t> columns;
  int64_t repeat = 5;
};

/// What one side's results have cost, and what computed them.
struct Outcome {
  NamedTensors results;
  double ms = 0;
  artifact::WeightSize weights;
  std::string backend, isa, numerics;
};

/// How a floating output of both models differs.
struct Difference {
  std::string name;
  double relative_error = 0, same_label = 0;  // L2; share of rows whose largest channel is the same
};

/// A model with a session of its own and what it runs on.
struct Side {
  Model model;
  Session session;
  NamedTensors inputs;
};

Side open_side(const CompareCommand& command, size_t side) {
  const std::string& folder = command.folders[side];
  Model model = load_model(folder);
  Session session = open_session(side_of(command.runs, side));
  NamedTensors inputs = read_model_inputs(session, model, folder, command.inputs, command.columns);
  return {std::move(model), std::move(session), std::move(inputs)};
}

Outcome measure(const CompareCommand& command, Side& side) {
  Session& session = side.session;
  Outcome outcome = {.results = side.model.run(session, side.inputs),
                     .weights = side.model.program().plan().weights,
                     .backend = session.backend_kind() == BackendKind::cpu ? "cpu" : "reference",
                     .isa = std::string(session.isa()),
                     .numerics = std::string(name(session.numerics(activations_of(side.model))))};
  std::vector<double> times;
  for (int64_t i = 0; i < command.repeat; ++i) {
    session.clear_relations();
    times.push_back(time_ms([&] { side.model.run(session, side.inputs); }));
  }
  outcome.ms = median(times);
  return outcome;
}

Difference difference(const std::string& name, const Tensor& first, const Tensor& second) {
  const Tensor a = first.to(DType::f32), b = second.to(DType::f32);
  Difference result = {.name = name, .relative_error = relative_l2(b, a)};
  if (a.rank() != 2 || a.elements() == 0) return result;
  int64_t same = 0;
  for (int64_t row = 0; row < a.size(0); ++row) same += largest_channel(a, row) == largest_channel(b, row) ? 1 : 0;
  result.same_label = static_cast<double>(same) / static_cast<double>(a.size(0));
  return result;
}

/// Of the outputs that both have; rows must be in one order, which the rules of the format fix.
std::vector<Difference> differences(const Outcome& first, const Outcome& second) {
  std::vector<Difference> result;
  for (const auto& [name, a] : first.results) {
    const auto found = second.results.find(name);
    if (found == second.results.end() || !is_feature_type(a.dtype())) continue;
    if (a.shape() != found->second.shape()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("compare: {} has shape {} in one model, but {} in the other; outputs must match", name,
                              to_string(a.shape()), to_string(found->second.shape())));
    }
    result.push_back(difference(name, a, found->second));
  }
  if (result.empty()) {
    throw Error(ErrorCode::invalid_argument, "compare: the models have no floating output of one name in common");
  }
  return result;
}

void print(const std::array<Outcome, 2>& outcomes, const std::vector<Difference>& found, const StepErrors& steps) {
  const auto row = [&](const char* what, const auto& text_of) {
    fmt::print("{:<40} {:>15} {:>15}\n", what, text_of(outcomes[0]), text_of(outcomes[1]));
  };
  row("", [&](const Outcome& o) { return &o == outcomes.data() ? "A" : "B"; });
  row("backend", [](const Outcome& o) { return o.backend + " " + o.isa; });
  row("numerics", [](const Outcome& o) { return o.numerics; });
  row("time", [](const Outcome& o) { return fmt::format("{:.2f} ms", o.ms); });
  row("parameters", [](const Outcome& o) { return std::to_string(o.weights.parameters); });
  row("weights", [](const Outcome& o) { return fmt::format("{:.2f} MiB", mebibytes(o.weights.bytes)); });
  fmt::print("\n{:<40} {:>15} {:>15}\n", "output", "relative error", "same label");
  for (const Difference& d : found) {
    fmt::print("{:<40} {:>15.3g} {:>14.2f}%\n", d.name, d.relative_error, 100 * d.same_label);
  }
  fmt::print("\n{:<44} {:>15} {:>11} {:>11}   {}\n", "step of A", "relative error", "A ms", "B ms", "value");
  for (const StepError& step : steps.matched) {
    fmt::print("{:<44} {:>15.3g} {:>11.3f} {:>11.3f}   {}\n", step.step, step.relative_error, step.ms[0], step.ms[1],
               step.value);
  }
  fmt::print("{} values have one name, shape and coordinates in both, of {} steps in A and {} in B\n",
             steps.matched.size(), steps.steps[0], steps.steps[1]);
}

Json json_of(const std::array<Outcome, 2>& outcomes, const std::vector<Difference>& found, const StepErrors& steps) {
  const auto pair = [&](const auto& value_of) { return Json::array({value_of(outcomes[0]), value_of(outcomes[1])}); };
  Json outputs = Json::object(), layers = Json::array();
  for (const Difference& d : found) {
    outputs[d.name] = {{"relative_error", d.relative_error}, {"same_label", d.same_label}};
  }
  for (const StepError& step : steps.matched) {
    layers.push_back(
        {{"value", step.value}, {"step", step.step}, {"relative_error", step.relative_error}, {"ms", step.ms}});
  }
  return {{"outputs", std::move(outputs)},
          {"ms", pair([](const Outcome& o) { return o.ms; })},
          {"weight_bytes", pair([](const Outcome& o) { return o.weights.bytes; })},
          {"parameters", pair([](const Outcome& o) { return o.weights.parameters; })},
          {"backend", pair([](const Outcome& o) { return o.backend; })},
          {"isa", pair([](const Outcome& o) { return o.isa; })},
          {"numerics", pair([](const Outcome& o) { return o.numerics; })},
          {"steps", steps.steps},
          {"layers", std::move(layers)}};
}

void compare(const CompareCommand& command) {
  check_repeat(command.repeat);
  std::array<Side, 2> sides = {open_side(command, 0), open_side(command, 1)};
  const std::array<Outcome, 2> outcomes = {measure(command, sides[0]), measure(command, sides[1])};
  const std::vector<Difference> found = differences(outcomes[0], outcomes[1]);
  const StepErrors steps = compare_steps({sides[0].model, sides[0].session, sides[0].inputs},
                                         {sides[1].model, sides[1].session, sides[1].inputs});
  if (command.runs.both.json) return print_json(json_of(outcomes, found, steps));
  print(outcomes, found, steps);
}

}  // namespace

Action add_compare(CLI::App& app) {
  auto command = std::make_shared<CompareCommand>();
  app.add_option("A", command->folders[0], "Folder of the model that errors are relative to")->required();
  app.add_option("B", command->folders[1], "Folder of the other model, or the same one to compare two runs of it")
      ->required();
  app.add_option("INPUTS", command->inputs, "Inputs (.safetensors) or a scan for both")->required();
  app.add_option("--columns", command->columns, "float32 values a row of a .bin scan (default: 4; .pcd.bin: 5)");
  app.add_option("--repeat", command->repeat, "Measurements, whose medians are shown")->capture_default_str();
  add_pair_options(app, command->runs);
  return [command] { compare(*command); };
}

}  // namespace lattice::cli
