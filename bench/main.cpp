#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "bench/commands.h"

namespace {

int run(int argc, char** argv) {
  using namespace lattice::bench;
  CLI::App app("Measurements of lattice; bench/README.md says what they mean.", "lattice_bench");
  app.require_subcommand(1);
  Action action;
  const Choose choose = [&](Action chosen) { action = std::move(chosen); };
  add_peaks(app, choose);
  add_suites(app, choose);
  add_serve(app, choose);
  CLI11_PARSE(app, argc, argv);
  action();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lattice_bench: %s\n", error.what());
    return 1;
  }
}
