#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include "bench/commands.h"
#include "bench/peaks.h"
#include "bench/suites.h"
#include "bench/timing.h"
#include "cli/measure.h"
#include "cli/progress.h"
#include "lattice/error.h"
#include "lattice/session.h"

namespace lattice::bench {
namespace {

struct Suite {
  const char* command;
  const char* suite;
  const char* description;
};

constexpr std::array kSuites = {
    Suite{"layers", "layer", "Convolutions whose relations are there"},
    Suite{"relations", "relation", "Relations of new coordinate sets, sorting included"},
    Suite{"voxelize", "voxelize", "Points to voxels"},
    Suite{"networks", "network", "MinkUNet18, and CenterPoint's encoder, from voxels on, relations included"},
};

struct SuiteCommand {
  std::string suite;
  std::vector<std::string> patterns, precisions = {"float32", "int8", "int4"};
  std::vector<int> threads;
  Effort effort;
  bool json = false, list = false;
};

std::vector<CaseSpec> selected(const SuiteCommand& command) {
  std::vector<CaseSpec> cases = suite_cases(command.suite, command.precisions, command.threads);
  for (const std::string& pattern : command.patterns) {
    try {
      const std::regex regex(pattern);
      std::erase_if(cases, [&](const CaseSpec& spec) { return !std::regex_search(name(spec), regex); });
    } catch (const std::regex_error& error) {
      throw Error(ErrorCode::invalid_argument, fmt::format("{} is no regular expression: {}", pattern, error.what()));
    }
  }
  if (cases.empty()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: no case has a name that matches {}; leave the patterns out and add --list to see all",
                            command.suite, fmt::join(command.patterns, " and ")));
  }
  return cases;
}

Json report(const CaseSpec& spec, const Work& work, const Timing& timing, double peak_gflops) {
  Json json = to_json(spec);
  json["items"] = work.items;
  json["output_rows"] = work.output_rows;
  json["edges"] = work.edges;
  json["runs"] = timing.us.size();
  json["median_us"] = timing.median_us;
  json["best_us"] = timing.best_us;
  json["spread"] = timing.spread;
  json["preempted"] = timing.preempted;
  json["ns_per_item"] = timing.median_us * 1000 / static_cast<double>(work.items);
  if (work.flop > 0) {
    json["gflops"] = work.flop / (timing.median_us * 1000);
    json["peak_gflops"] = peak_gflops;
    json["fraction_of_peak"] = json["gflops"].get<double>() / peak_gflops;
  }
  json["peak_rss_bytes"] = cli::peak_rss_bytes();
  return json;
}

void print_head(const SuiteCommand& command) {
  fmt::print("{}; float32 peak by {}; us: median, best, spread (half the distance of the quartiles)\n",
             Session({.threads = 1}).isa(), float32_peak_loop().name);
  fmt::print("{:<52}{:>9}{:>11}{:>11}{:>7}{:>9}{:>9}{:>9}\n", command.suite, "rows", "us", "best", "+-", "ns a row",
             "GFLOP/s", "of peak");
}

void print_row(const Json& row) {
  fmt::print("{:<52}{:>9}{:>11.1f}{:>11.1f}{:>6.1f}%{:>9.1f}", row["name"].get<std::string>(),
             row["items"].get<int64_t>(), row["median_us"].get<double>(), row["best_us"].get<double>(),
             100 * row["spread"].get<double>(), row["ns_per_item"].get<double>());
  if (row.contains("gflops")) {
    fmt::print("{:>9.1f}{:>8.1f}%", row["gflops"].get<double>(), 100 * row["fraction_of_peak"].get<double>());
  }
  if (row.contains("round_trip_ns")) {
    fmt::print("{:>{}.0f} ns apart", row["round_trip_ns"].get<double>(), row.contains("gflops") ? 6 : 24);
  }
  fmt::print("\n");
  std::fflush(stdout);
}

void run_suite(const SuiteCommand& command) {
  cli::check_repeat(command.effort.repeat);
  const std::vector<CaseSpec> cases = selected(command);
  if (command.list) {
    for (size_t i = 0; i < cases.size(); ++i) fmt::print("{}{}\n", i == 0 ? '[' : ',', to_json(cases[i]).dump());
    return fmt::print("]\n");
  }
  Json rows = Json::array();
  if (!command.json) print_head(command);
  cli::Progress progress;
  Float32Peak peak;
  for (const CaseSpec& spec : cases) {
    progress.show(name(spec));
    const auto ready = make_case(spec);
    const double peak_gflops = peak.gflops(spec.threads);
    const Timing timing = measure(*ready, spec.threads, command.effort);
    rows.push_back(report(spec, ready->work(), timing, peak_gflops));
    if (spec.threads > 1) rows.back()["round_trip_ns"] = measure_round_trip_ns();
    progress.clear();
    if (!command.json) print_row(rows.back());
  }
  if (command.json) cli::print_json(rows);
}

std::vector<int> one_and_all() {
  const int all = static_cast<int>(std::thread::hardware_concurrency());
  return all > 1 ? std::vector<int>{1, all} : std::vector<int>{1};
}

}  // namespace

void add_suites(CLI::App& app, const Choose& choose) {
  for (const Suite& suite : kSuites) {
    auto command = std::make_shared<SuiteCommand>();
    command->suite = suite.suite;
    command->threads = one_and_all();
    CLI::App& sub = *app.add_subcommand(suite.command, suite.description);
    sub.add_option("PATTERN", command->patterns, "Regular expressions: a case runs whose name (--list) contains all");
    sub.add_option("--threads", command->threads, "Thread counts to run each case with")->delimiter(',');
    sub.add_option("--precision", command->precisions,
                   "float32, int8, int4; int4-float32, int4-int16, int8-int8, ... force the numerics of packed weights")
        ->delimiter(',')
        ->capture_default_str();
    sub.add_option("--repeat", command->effort.repeat, "Least number of runs")->capture_default_str();
    sub.add_option("--budget-ms", command->effort.budget_ms, "Go on until so much time was measured")
        ->capture_default_str();
    sub.add_option("--clock", command->effort.clock,
                   "wall; or cpu, the process's own time: for one thread on a machine that others use")
        ->transform(CLI::CheckedTransformer(clocks()));
    sub.add_flag("--json", command->json, "Print JSON, for machines");
    sub.add_flag("--list", command->list, "Print the cases as JSON, for `serve`, and measure nothing");
    sub.callback([=] { choose([command] { run_suite(*command); }); });
  }
}

}  // namespace lattice::bench
