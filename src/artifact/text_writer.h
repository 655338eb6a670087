#pragma once

#include <string>

#include "artifact/graph.h"

namespace lattice::artifact {

/// The text of a graph that the verifier accepts. read_graph gives the same graph from it: names, types, attributes to
/// the bit, extensions; only places differ. The same graph gives the same text.
std::string write_graph(const Graph& graph);

}  // namespace lattice::artifact
