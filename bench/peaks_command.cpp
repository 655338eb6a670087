#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/commands.h"
#include "bench/peaks.h"
#include "cli/run_options.h"

namespace lattice::bench {
namespace {

constexpr int kBursts = 60;

void run_peaks(const cli::RunOptions& options) {
  const int all = options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  cli::Json json = {{"threads", all}, {"loops", cli::Json::array()}};
  if (!options.json) fmt::print("{:<24}{:>12}{:>12}\n", "", "1 thread", fmt::format("{} threads", all));
  const auto show = [&](const char* name, const char* unit, double one, double several) {
    json["loops"].push_back({{"name", name}, {"unit", unit}, {"one_thread", one}, {"all_threads", several}});
    if (!options.json) fmt::print("{:<24}{:>12.1f}{:>12.1f}  {}\n", name, one, several, unit);
  };
  for (const PeakLoop& loop : peak_loops()) {
    if (!loop.is_available()) continue;
    show(loop.name, loop.unit, measure_peak(loop, 1, kBursts), measure_peak(loop, all, kBursts));
  }
  show("memory, a = b + s * c", "GB/s", measure_bandwidth(1), measure_bandwidth(all));
  if (all > 1) {
    const double ns = measure_round_trip_ns();
    json["round_trip_ns"] = ns;
    if (!options.json) fmt::print("{:<24}{:>24.1f}  ns\n", "to a core and back", ns);
  }
  if (options.json) cli::print_json(json);
}

}  // namespace

void add_peaks(CLI::App& app, const Choose& choose) {
  auto options = std::make_shared<cli::RunOptions>();
  CLI::App& command = *app.add_subcommand("peaks", "What the machine can do: arithmetic on registers, memory");
  cli::add_run_options(command, *options);
  command.callback([=] { choose([options] { run_peaks(*options); }); });
}

}  // namespace lattice::bench
