#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "artifact/program.h"
#include "commands.h"
#include "lattice/error.h"
#include "lattice/model.h"
#include "measure.h"
#include "model_scan.h"
#include "run_options.h"

namespace lattice::cli {
namespace {

struct CompareCommand {
  RunOptions run;
  std::string first, second, inputs;
  std::optional<int64_t> columns;
  int64_t repeat = 5;
};

/// One model's results and what they cost.
struct Outcome {
  NamedTensors results;
  double ms = 0;
  int64_t weight_bytes = 0;
};

/// How a floating output of both models differs.
struct Difference {
  std::string name;
  double relative_error = 0, same_label = 0;  // L2; share of rows whose largest channel is the same
};

Outcome run_model(const CompareCommand& command, const std::string& folder) {
  const Model model = Model::load(folder);
  Session session = open_session(command.run);
  const NamedTensors inputs = read_model_inputs(session, model, folder, command.inputs, command.columns);
  Outcome outcome = {.results = model.run(session, inputs), .weight_bytes = model.program().plan().weight_bytes};
  std::vector<double> times;
  for (int64_t i = 0; i < command.repeat; ++i) {
    session.clear_relations();
    times.push_back(time_ms([&] { model.run(session, inputs); }));
  }
  outcome.ms = median(times);
  return outcome;
}

int64_t largest_channel(const Tensor& scores, int64_t row) {
  const float* first = scores.data<float>() + row * scores.size(1);
  return std::max_element(first, first + scores.size(1)) - first;
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

void compare(const CompareCommand& command) {
  check_repeat(command.repeat);
  const Outcome first = run_model(command, command.first), second = run_model(command, command.second);
  const std::vector<Difference> found = differences(first, second);
  if (command.run.json) {
    Json outputs = Json::object();
    for (const Difference& d : found) {
      outputs[d.name] = {{"relative_error", d.relative_error}, {"same_label", d.same_label}};
    }
    return print_json({{"outputs", outputs},
                       {"ms", {first.ms, second.ms}},
                       {"weight_bytes", {first.weight_bytes, second.weight_bytes}}});
  }
  fmt::print("{:<24}{:>16}{:>14}\n", "output", "relative error", "same label");
  for (const Difference& d : found)
    fmt::print("{:<24}{:>16.3g}{:>13.2f}%\n", d.name, d.relative_error, 100 * d.same_label);
  fmt::print("{:<24}{:>13.2f} ms{:>11.2f} ms\n", "time", first.ms, second.ms);
  const auto mebibytes = [](int64_t bytes) { return static_cast<double>(bytes) / (1024 * 1024); };
  fmt::print("{:<24}{:>12.2f} MiB{:>10.2f} MiB\n", "weights", mebibytes(first.weight_bytes),
             mebibytes(second.weight_bytes));
}

}  // namespace

Action add_compare(CLI::App& app) {
  auto command = std::make_shared<CompareCommand>();
  app.add_option("A", command->first, "Folder of the model that errors are relative to")->required();
  app.add_option("B", command->second, "Folder of the other model")->required();
  app.add_option("INPUTS", command->inputs, "Inputs (.safetensors) or a scan for both")->required();
  app.add_option("--columns", command->columns, "float32 values a row of a .bin scan (default: 4; .pcd.bin: 5)");
  app.add_option("--repeat", command->repeat, "Measurements, whose medians are shown")->capture_default_str();
  add_run_options(app, command->run);
  return [command] { compare(*command); };
}

}  // namespace lattice::cli
