#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <vector>

#include "lattice/coords.h"
#include "lattice/session.h"

namespace lattice::cli {

/// JSON whose fields keep the order in which they were set.
using Json = nlohmann::ordered_json;

/// Options that every subcommand has.
struct RunOptions {
  bool json = false;
  int threads = 0;
  Numerics numerics = Numerics::automatic;
};

void add_run_options(CLI::App& app, RunOptions& options);

/// A session on the cpu backend with the threads asked for.
Session open_session(const RunOptions& options);

/// One line on stdout. A number that is not finite becomes null; bytes that are not UTF-8 become U+FFFD.
void print_json(const Json& json);

/// One number for all axes, or three; invalid_argument, naming `option`, for another count.
Triple to_triple(const char* option, const std::vector<int64_t>& numbers);
Json to_json(const Triple& triple);

}  // namespace lattice::cli
