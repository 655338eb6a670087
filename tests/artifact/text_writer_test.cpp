#include "artifact/text_writer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
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

// Replaces what the verifier leaves free: strings by any bytes, reals by any bits, sizes, names.
Graph shaken(Graph graph, std::mt19937_64& random) {
  const auto bytes = [&] {
    std::string text(1 + random() % 12, ' ');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  };
  for (size_t i = 0; i < graph.values.size(); ++i) {
    constexpr std::string_view kLetters = "abz_$.-0189";
    std::string& name = graph.values[i].name;
    name = std::to_string(i);
    if (random() % 2 == 0) name = std::string(1, kLetters[random() % 7]) + kLetters[random() % kLetters.size()] + name;
  }
  for (std::string& name : graph.input_names) name = bytes() + std::to_string(&name - graph.input_names.data());
  for (std::string& name : graph.output_names) name = bytes() + std::to_string(&name - graph.output_names.data());
  for (Operation& operation : graph.operations) {
    if (operation.name == "weight") {
      operation.symbol = bytes();
      operation.attributes["storage_key"] = bytes();
    }
    for (auto& [name, attribute] : operation.attributes) {
      if (name == "threshold" || name == "fill" || name == "lhs_fill") {
        attribute = std::bit_cast<float>(static_cast<uint32_t>(random()));
      } else if (name == "origin") {
        for (double& value : std::get<Reals>(attribute)) value = std::bit_cast<double>(uint64_t{random()});
      } else if (name == "padding" || name == "dilation") {
        for (int64_t& value : std::get<Integers>(attribute))
          value = 1 + static_cast<int64_t>(random() >> (1 + random() % 60));
      } else if (name == "batch_size") {
        attribute = static_cast<int64_t>(random() >> 1);
      } else if (auto* packing = std::get_if<Packing>(&attribute); packing != nullptr && packing->kind != "dense") {
        packing->group_size = 1 + static_cast<int64_t>(random() >> 2);
      }
    }
  }
  return graph;
}

TEST(TextWriter, RoundTripsAnyStringsAndNumbers) {
  const Graph graph = read_graph(all_operations_text(), "all");
  std::mt19937_64 random(5);
  for (int i = 0; i < 50; ++i) {
    const Graph other = shaken(graph, random);
    verify(other);
    expect_same(read_graph(write_graph(other), "written"), other);
    expect_round_trip(write_graph(other));
  }
}

TEST(TextWriter, WritesTheSchemasOrderAndNoNeedlessExtension) {
  Graph graph = read_graph(
      module_text("%x: $T", "$T",
                  "%y = lattice.activation %x {threshold = 20.0 : f32, alpha = 1.0e-2 : f32, kind = "
                  "#lattice.activation<\"relu\">, beta = 0x3F800000 : f32, approximate = #lattice.gelu_approx<none>} : "
                  "($T) -> ($T)\nreturn %y : $T\n"),
      "g");
  graph.extensions = {"regular"};
  const std::string text = write_graph(graph);
  EXPECT_NE(text.find("    %y = lattice.activation %x {kind = #lattice.activation<relu>, approximate = "
                      "#lattice.gelu_approx<none>, alpha = 0.01 : f32, beta = 1.0 : f32, threshold = 20.0 : f32} : "
                      "(tensor<?x8xf32>) -> tensor<?x8xf32>\n    return %y : tensor<?x8xf32>\n  }\n}\n"),
            text.npos)
      << text;
  EXPECT_EQ(text.find("extensions"), text.npos);
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
