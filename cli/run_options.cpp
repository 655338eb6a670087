#include "run_options.h"

#include <fmt/core.h>

#include <map>
#include <string>

#include "lattice/error.h"

namespace lattice::cli {
namespace {

const std::map<std::string, Numerics> kNumerics = {{"automatic", Numerics::automatic},
                                                   {"float32", Numerics::float32},
                                                   {"int16", Numerics::int16},
                                                   {"int8", Numerics::int8}};

}  // namespace

void add_run_options(CLI::App& app, RunOptions& options) {
  app.add_flag("--json", options.json, "Print JSON, for machines");
  app.add_option("--threads", options.threads,
                 "Threads; 0: as many as the process may run on. Results do not depend on it")
      ->capture_default_str();
  app.add_option("--numerics", options.numerics,
                 "How packed weights are multiplied: the fastest within the bound of "
                 "int16 (automatic), or as named")
      ->transform(CLI::CheckedTransformer(kNumerics))
      ->option_text("automatic, float32, int16 or int8");
}

Session open_session(const RunOptions& options) {
  return Session({.backend = BackendKind::cpu, .threads = options.threads, .numerics = options.numerics});
}

void print_json(const Json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Triple to_triple(const char* option, const std::vector<int64_t>& numbers) {
  if (numbers.size() == 1) return Triple(numbers[0]);
  if (numbers.size() == 3) return Triple(numbers[0], numbers[1], numbers[2]);
  throw Error(ErrorCode::invalid_argument, fmt::format("{} takes one number or three, not {}", option, numbers.size()));
}

Json to_json(const Triple& triple) {
  return Json::array({triple.x, triple.y, triple.z});
}

}  // namespace lattice::cli
