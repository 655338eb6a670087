#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "commands.h"
#include "run_options.h"

namespace lattice::cli {
namespace {

/// The processor's name as Linux tells it, or "unknown".
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

void run_info(const RunOptions& options) {
  const Session session = open_session(options);
  const auto available = available_isas();
  if (!options.json) {
    fmt::print("lattice    {}\nprocessor  {} ({} threads)\nisa        {}, of {}\nthreads    {}\n", LATTICE_VERSION,
               processor_name(), std::thread::hardware_concurrency(), session.isa(), fmt::join(available, " "),
               session.threads());
    return;
  }
  Json json = {{"version", LATTICE_VERSION}, {"cpu", processor_name()}, {"isa", session.isa()}};
  json["available"] = Json::array();
  for (const auto& isa : available) json["available"].push_back(isa);
  json["threads"] = session.threads();
  print_json(json);
}

}  // namespace

Action add_info(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
  add_run_options(app, *options);
  return [options] { run_info(*options); };
}

}  // namespace lattice::cli
