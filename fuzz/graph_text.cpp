// Any text is refused with an Error or read; what is read and verified is written, and reads back as it was.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "artifact/text_reader.h"
#include "artifact/text_writer.h"
#include "artifact/verifier.h"
#include "lattice/error.h"

using lattice::artifact::Graph;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Graph graph;
  try {
    graph = lattice::artifact::read_graph({reinterpret_cast<const char*>(data), size}, "fuzz");
    lattice::artifact::verify(graph, "fuzz");
  } catch (const lattice::Error&) {
    return 0;
  }
  // From here on every exception is a finding.
  const std::string written = lattice::artifact::write_graph(graph);
  const Graph again = lattice::artifact::read_graph(written, "written");
  lattice::artifact::verify(again, "written");
  if (lattice::artifact::write_graph(again) != written) std::abort();
  return 0;
}
