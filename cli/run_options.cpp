#include "run_options.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "lattice/error.h"

namespace lattice::cli {
namespace {

const std::map<std::string, Numerics> kNumerics = {{"automatic", Numerics::automatic},
                                                   {"float32", Numerics::float32},
                                                   {"int16", Numerics::int16},
                                                   {"int8", Numerics::int8},
                                                   {"bfloat16", Numerics::bfloat16}};

const std::map<std::string, BackendKind> kBackends = {{"cpu", BackendKind::cpu}, {"reference", BackendKind::reference}};

constexpr const char* kNumericsChoices = "automatic, float32, int16, int8 or bfloat16";
constexpr const char* kNumericsHelp =
    "How packed weights are multiplied: the fastest within the bound of int16 (automatic), or as named";

void add_common_options(CLI::App& app, RunOptions& options) {
  app.add_flag("--json", options.json, "Print JSON, for machines");
  app.add_option("--threads", options.threads,
                 "Threads; 0: as many as the process may run on. Results do not depend on it")
      ->capture_default_str();
}

template <typename T>
void add_pair_option(CLI::App& app, const char* name, std::vector<T>& values, const std::map<std::string, T>& words,
                     const std::string& help, const char* choices) {
  const auto set = [&values, &words](const std::vector<std::string>& given) {
    values.clear();
    for (const std::string& word : given) values.push_back(words.at(word));
  };
  app.add_option_function<std::vector<std::string>>(name, set, help + "; one for both runs, or one each, as A,B")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember(words))
      ->option_text(choices);
}

template <typename T>
T value_of(const char* option, const std::vector<T>& values, size_t side) {
  if (values.empty() || values.size() > 2) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} takes one value for both runs or two, not {}", option, values.size()));
  }
  return values[std::min(side, values.size() - 1)];
}

}  // namespace

void add_run_options(CLI::App& app, RunOptions& options) {
  add_common_options(app, options);
  const auto set = [&options](const std::string& word) { options.numerics = kNumerics.at(word); };
  app.add_option_function<std::string>("--numerics", set, kNumericsHelp)
      ->check(CLI::IsMember(kNumerics))
      ->option_text(kNumericsChoices);
}

void add_pair_options(CLI::App& app, PairOptions& options) {
  add_common_options(app, options.both);
  add_pair_option(app, "--numerics", options.numerics, kNumerics, kNumericsHelp, kNumericsChoices);
  add_pair_option(app, "--backend", options.backends, kBackends,
                  "What runs the model; reference is slow and sums in double", "cpu or reference");
}

RunOptions side_of(const PairOptions& options, size_t side) {
  RunOptions result = options.both;
  result.numerics = value_of("--numerics", options.numerics, side);
  result.backend = value_of("--backend", options.backends, side);
  return result;
}

Session open_session(const RunOptions& options) {
  // The reference has no instruction sets: one that is not there would be refused by every other session alone.
  if (options.backend == BackendKind::reference) Session({.threads = options.threads});
  return Session({.backend = options.backend, .threads = options.threads, .numerics = options.numerics});
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
