#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "lattice/backend_kind.h"
#include "lattice/coords.h"
#include "lattice/session.h"

namespace CLI {
class App;
}

namespace lattice::cli {

/// JSON whose fields keep the order in which they were set.
using Json = nlohmann::ordered_json;

/// Options that every subcommand has.
struct RunOptions {
  bool json = false;
  int threads = 0;
  Numerics numerics = Numerics::automatic;
  BackendKind backend = BackendKind::cpu;  // --backend, which only comparisons have
};

void add_run_options(CLI::App& app, RunOptions& options);

/// The options of two runs that are compared: --numerics and --backend take one value for both, or one each.
struct PairOptions {
  RunOptions both;
  std::vector<Numerics> numerics = {Numerics::automatic};
  std::vector<BackendKind> backends = {BackendKind::cpu};
};

void add_pair_options(CLI::App& app, PairOptions& options);

/// Those of the first run (side 0) or of the second (1); invalid_argument where an option has more than two values.
RunOptions side_of(const PairOptions& options, size_t side);

/// A session on the backend and with the threads asked for.
Session open_session(const RunOptions& options);

/// One line on stdout. A number that is not finite becomes null; bytes that are not UTF-8 become U+FFFD.
void print_json(const Json& json);

/// One number for all axes, or three; invalid_argument, naming `option`, for another count.
Triple to_triple(const char* option, const std::vector<int64_t>& numbers);
Json to_json(const Triple& triple);

}  // namespace lattice::cli
