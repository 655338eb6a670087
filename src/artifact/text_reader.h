#pragma once

#include <string_view>

#include "artifact/graph.h"

namespace lattice::artifact {

/// Reads `graph.mlir`. Checks all that concerns the text and its module: grammar, module attributes, names of
/// operations and attributes, SSA names, and that every use has the type of its definition; the verifier checks what
/// the operations mean. `source_name` is for messages.
///
/// Throws corrupt_file, and unsupported for another IR version or schema, unknown extensions, and MLIR that no producer
/// of artifacts writes (generic form, aliases, grouped results, locations). Messages are
/// `SOURCE:LINE:COLUMN: rule; found what was there`. Takes memory in proportion to the text, whatever it says.
Graph read_graph(std::string_view text, std::string_view source_name);

}  // namespace lattice::artifact
