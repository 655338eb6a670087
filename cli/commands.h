#pragma once

#include <functional>
#include <stdexcept>

namespace CLI {
class App;
}

namespace lattice::cli {

/// What a subcommand does once its options are parsed.
using Action = std::function<void()>;

// Each declares the options of a subcommand on `app` and returns its action, which prints to stdout and throws
// lattice::Error. Rows of the table in main.cpp.
Action add_info(CLI::App& app);
Action add_street(CLI::App& app);
Action add_voxelize(CLI::App& app);
Action add_network(CLI::App& app);
Action add_quantize(CLI::App& app);
Action add_detect(CLI::App& app);
Action add_bench_conv(CLI::App& app);
Action add_run(CLI::App& app);
Action add_inspect(CLI::App& app);
Action add_compare(CLI::App& app);

/// Some scans of many could not be run: the others are done, and what there was to print is printed.
class ScansFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace lattice::cli
