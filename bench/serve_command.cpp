#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "bench/commands.h"
#include "bench/peaks.h"
#include "bench/timing.h"
#include "cli/measure.h"
#include "lattice/session.h"

namespace lattice::bench {
namespace {

/// Answers requests, one line of JSON each (README.md has the protocol), so that another program can measure two of us,
/// or us and a peer, in turn.
class Server {
 public:
  Json answer(const Json& request) {
    if (request.contains("case")) {
      return run(spec_from_json(request["case"]), {.repeat = request.value("runs", 1),
                                                   .budget_ms = 0,
                                                   .warm_up = request.value("warm_up", true),
                                                   .clock = clocks().at(request.value("clock", "wall"))});
    }
    if (request.contains("peak")) {
      return {{"gflops", peak_.gflops(request["peak"].get<int>())}, {"loop", float32_peak_loop().name}};
    }
    return {{"program", "lattice"}, {"isa", Session({.threads = 1}).isa()}};
  }

 private:
  Json run(const CaseSpec& spec, const Effort& effort) {
    if (!spec_ || !(*spec_ == spec)) {
      spec_.reset();
      case_.reset();  // before the next is made, so that memory holds one
      case_ = make_case(spec);
      spec_ = spec;
    }
    const Timing timing = measure(*case_, spec.threads, effort);
    const Work work = case_->work();
    return {{"us", timing.us},
            {"flop", work.flop},
            {"items", work.items},
            {"output_rows", work.output_rows},
            {"edges", work.edges},
            {"preempted", timing.preempted},
            {"start_rss_bytes", start_rss_bytes_},
            {"peak_rss_bytes", cli::peak_rss_bytes()}};
  }

  const int64_t start_rss_bytes_ = cli::peak_rss_bytes();
  Float32Peak peak_;
  std::optional<CaseSpec> spec_;
  std::unique_ptr<Case> case_;
};

void serve() {
  Server server;
  for (std::string line; std::getline(std::cin, line);) {
    Json answer;
    try {
      answer = server.answer(Json::parse(line));
    } catch (const std::exception& error) {
      answer = {{"error", error.what()}};
    }
    cli::print_json(answer);
    std::fflush(stdout);
  }
}

}  // namespace

void add_serve(CLI::App& app, const Choose& choose) {
  CLI::App& command = *app.add_subcommand("serve", "Measure what requests on stdin ask for, a line of JSON each");
  command.callback([=] { choose(serve); });
}

}  // namespace lattice::bench
