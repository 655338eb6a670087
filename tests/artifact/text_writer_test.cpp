#include "artifact/text_writer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "artifact/all_operations.h"
#include "artifact/op_table.h"
#include "artifact/text_reader.h"
#include "artifact/verifier.h"
#include "shared_data.h"

namespace lattice::artifact {
namespace {

void expect_round_trip(const std::string& text) {
  const Graph graph = read_graph(text, "first");
  verify(graph, "first");
  const std::string written = write_graph(graph);
  const Graph again = read_graph(written, "second");
  verify(again, "second");
  expect_same(graph, again);
  EXPECT_EQ(write_graph(again), written);
}

TEST(TextWriter, RoundTripsEveryOperation) {
  const std::string text = all_operations_text();
  std::set<std::string> used;
  for (const Operation& operation : read_graph(text, "all").operations) used.insert(operation.name);
  EXPECT_EQ(used.size(), operations().size());
  expect_round_trip(text);
}

TEST(TextWriter, RoundTripsTheConformanceGraphs) {
  const auto folder = shared_data("conformance");
  if (!folder) GTEST_SKIP() << "conformance";
  int graphs = 0;
  for (const auto& each : std::filesystem::directory_iterator(*folder)) {
    if (!each.is_directory()) continue;
    SCOPED_TRACE(each.path().filename());
    std::ifstream file(each.path() / "graph.mlir", std::ios::binary);
    expect_round_trip({std::istreambuf_iterator<char>(file), {}});
    ++graphs;
  }
  EXPECT_EQ(graphs, 9);
}

}  // namespace
}  // namespace lattice::artifact
