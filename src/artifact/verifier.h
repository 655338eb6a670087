#pragma once

#include <string_view>

#include "artifact/graph.h"

namespace lattice::artifact {

/// Checks a graph, read or built, against every rule that can be told without weights and inputs: names, roles and
/// types of the entry function; values defined once and before their use; counts, kinds and attributes of each
/// operation; and the operation's own rules. What writes or runs a graph relies on all of it.
///
/// Throws corrupt_file, and unsupported for what is legal but refused by us: `SOURCE:LINE:COLUMN: what: rule; found
/// what was there`, without the numbers where the graph does not come from text.
void verify(const Graph& graph, std::string_view source_name = "graph");

}  // namespace lattice::artifact
