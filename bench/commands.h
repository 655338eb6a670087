#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace lattice::bench {

using Action = std::function<void()>;

// Each adds subcommands and calls chosen(action) when one was parsed; an action prints to stdout and throws
// lattice::Error.
using Choose = std::function<void(Action)>;
void add_peaks(CLI::App& app, const Choose& choose);
void add_suites(CLI::App& app, const Choose& choose);
void add_serve(CLI::App& app, const Choose& choose);

}  // namespace lattice::bench
