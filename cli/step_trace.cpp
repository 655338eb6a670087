#include "step_trace.h"

#include <nlohmann/json.hpp>

#include "io/output_file.h"
#include "run_options.h"

namespace lattice::cli {
namespace {

constexpr double kMicroseconds = 1000;  // a millisecond

Json event(const std::string& name, const char* category, double start_ms, double ms, Json arguments) {
  return {{"name", name},
          {"cat", category},
          {"ph", "X"},
          {"ts", start_ms * kMicroseconds},
          {"dur", ms * kMicroseconds},
          {"pid", 1},
          {"tid", 1},
          {"args", std::move(arguments)}};
}

}  // namespace

void write_step_trace(const std::filesystem::path& path, const artifact::Program& program,
                      const std::vector<StepCost>& costs) {
  Json events = Json::array();
  for (size_t i = 0; i < costs.size(); ++i) {
    const StepCost& cost = costs[i];
    const artifact::Step& step = program.plan().steps[i];
    if (cost.relation_ms > 0) {
      events.push_back(event("relation", "relation", cost.start_ms, cost.relation_ms,
                             {{"edges", cost.edges}, {"relation_bytes", cost.relation_bytes}}));
    }
    events.push_back(event(step_name(step), "step", cost.start_ms + cost.relation_ms, cost.ms,
                           {{"value", value_name(program.graph(), step)},
                            {"line", step.operation->place.line},
                            {"rows", cost.rows},
                            {"edges", cost.edges},
                            {"gflops", cost.gflops()},
                            {"bytes_alive", cost.bytes_alive}}));
  }
  OutputFile file(path, "inspect");
  file.write(Json{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}}.dump(1, ' ', false,
                                                                                      Json::error_handler_t::replace) +
             "\n");
  file.commit();
}

}  // namespace lattice::cli
