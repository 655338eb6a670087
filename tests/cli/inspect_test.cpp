#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "cli/model_fixture.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class InspectTest : public ModelCliTest {
 protected:
  static std::vector<int64_t> column(const Json& plan, const char* key) {
    std::vector<int64_t> values;
    for (const auto& step : plan) values.push_back(step[key]);
    return values;
  }
};

TEST_F(InspectTest, what_a_model_holds) {
  const Json shown = run_json("inspect model");
  EXPECT_EQ(shown["steps"], 9);
  EXPECT_EQ(shown["fused"], 10);
  EXPECT_EQ(shown["operations"]["batch_norm"], 5);
  EXPECT_EQ(shown["outputs"][0]["name"], "y");
  EXPECT_EQ(shown["outputs"][0]["receptive_field"], Json({8, 8, 8}));
  EXPECT_EQ(shown["outputs"][1]["receptive_field"], Json({nullptr, nullptr, nullptr}));
  // Kernels 27 * 3 * 4, 8 * 4 * 4, 27 * 4 * 4, 8 * 4 * 4, 8 * 4; five biases, five norms of four vectors, each of 4.
  EXPECT_EQ(shown["parameters"], 324 + 128 + 432 + 128 + 32 + 5 * 5 * 4);
  EXPECT_EQ(shown["weight_bytes"], 4 * shown["parameters"].get<int64_t>());
  EXPECT_EQ(shown["bits"], 32.0);
  EXPECT_FALSE(shown.contains("plan"));
  EXPECT_FALSE(shown.contains("profile"));
  EXPECT_THAT(run("inspect model").out, HasSubstr("sparse, sees 8 x 8 x 8 voxels"));
}

TEST_F(InspectTest, the_plan_tells_what_is_fused_and_what_each_step_holds) {
  const Json plan = run_json("inspect model --plan")["plan"];
  ASSERT_EQ(plan.size(), 9U);
  EXPECT_EQ(plan[1]["step"], "subm_conv3d + batch_norm + activation");
  EXPECT_EQ(plan[1]["shape"], Json({-1, 4}));
  EXPECT_THAT(column(plan, "parameters"), ElementsAre(0, 344, 148, 452, 0, 148, 0, 52, 0));
  std::vector<Json> fields;
  for (const auto& step : plan) fields.push_back(step["receptive_field"][0]);
  EXPECT_THAT(fields, ElementsAre(1, 3, 4, 8, 8, 8, 8, 8, nullptr));
  EXPECT_FALSE(plan[1].contains("ms"));
  EXPECT_EQ(plan[5]["placement"], "into cat %" + plan[6]["value"].get<std::string>() + " columns 0..4");
  EXPECT_FALSE(plan[1].contains("placement"));
  EXPECT_THAT(run("inspect model --plan").out, HasSubstr("conv3d + batch_norm + activation"));
  // Longer than its column, and still apart from the next.
  EXPECT_THAT(run("inspect model --plan").out, HasSubstr("target_conv_transpose3d + batch_norm + activation ? x 4"));
}

TEST_F(InspectTest, the_profile_counts_rows_edges_and_operations) {
  const Json shown = run_json("inspect model --profile line.safetensors --repeat 3");
  const Json& plan = shown["plan"];
  ASSERT_EQ(plan.size(), 9U);
  EXPECT_THAT(column(plan, "rows"), ElementsAre(5, 5, 3, 3, 3, 5, 5, 5, 2));
  // Five in a row have 3 * 5 - 2 neighbours, three 3 * 3 - 2; each fine voxel has one coarse one, and itself.
  EXPECT_THAT(column(plan, "edges"), ElementsAre(0, 13, 5, 7, 0, 5, 0, 5, 0));
  const auto flop = [&](size_t step) {
    return plan[step]["gflops"].get<double>() * plan[step]["ms"].get<double>() * 1e6;
  };
  EXPECT_NEAR(flop(1), 2 * 13 * 3 * 4, 1e-6);
  EXPECT_NEAR(flop(3), 2 * 7 * 4 * 4, 1e-6);
  EXPECT_NEAR(flop(7), 2 * 5 * 8 * 4, 1e-6);
  EXPECT_NEAR(shown["profile"]["gflop"].get<double>() * 1e9, 2 * (13 * 12 + 5 * 16 + 7 * 16 + 5 * 16 + 5 * 32), 1e-6);
  // After sparse.make: five coordinates and, of inputs and results, five rows of 4 and 3 + 3 numbers.
  EXPECT_GE(plan[0]["bytes_alive"], 5 * (16 + 12));
  EXPECT_EQ(plan[0]["relation_bytes"], 0);
  EXPECT_GT(plan[1]["relation_bytes"], 0);
  EXPECT_GT(plan[1]["relation_ms"], 0.0);
  EXPECT_EQ(plan[7]["relation_ms"], 0.0);
  EXPECT_GE(shown["profile"]["peak_bytes"], plan[8]["bytes_alive"].get<int64_t>());
  EXPECT_THAT(run("inspect model --profile scan.bin --repeat 1").out, HasSubstr("GFLOP/s"));
}

TEST_F(InspectTest, a_step_that_makes_coordinates_alone_shows_its_operand) {
  artifact::GraphBuilder graph;
  const auto x = graph.sparse_input("x", {}, Tensor::zeros(DType::f32, {0, 3}));
  const auto bound = graph.sparse("sparse.bound", {x}, DType::f32, {{"extent", artifact::Integers{-1, 1, 1}}});
  graph.output("y", graph.sparse("regular_pool3d", {bound}, DType::f32,
                                 {{"mode", artifact::GraphBuilder::word("pool_mode", "max")},
                                  {"kernel_size", artifact::Integers{3, 1, 1}},
                                  {"stride", artifact::Integers{2, 1, 1}},
                                  {"padding", artifact::Integers{1, 0, 0}},
                                  {"dilation", artifact::Integers{1, 1, 1}}}));
  artifact::write_artifact(graph, files() / "bounded");
  const Json plan = run_json("inspect bounded --profile line.safetensors --repeat 1")["plan"];
  EXPECT_THAT(column(plan, "rows"), ElementsAre(5, 5, 3));
  EXPECT_THAT(column(plan, "edges"), ElementsAre(0, 0, 7));  // the grid's ends have one neighbour outside
  EXPECT_EQ(plan[1]["step"], "sparse.bound");
  EXPECT_EQ(plan[1]["shape"], Json({-1, 3}));
  EXPECT_EQ(plan[2]["receptive_field"], Json({3, 1, 1}));
  EXPECT_EQ(plan[2]["gflops"], 0.0);
  EXPECT_EQ(run_json("compare bounded bounded line.safetensors --repeat 1")["layers"].size(), 3U);
}

TEST_F(InspectTest, the_trace_has_an_event_a_step_and_one_a_relation_built) {
  const Json plan = run_json("inspect model --profile line.safetensors --trace trace.json --repeat 1")["plan"];
  const Json trace = Json::parse(file_bytes(files() / "trace.json"));
  std::map<std::string, size_t> categories;
  double end = 0;
  for (const Json& event : trace["traceEvents"]) {
    ++categories[event["cat"]];
    EXPECT_EQ(event["ph"], "X");
    EXPECT_GE(event["ts"].get<double>(), end - 1e-6);  // one after the other, in microseconds
    end = event["ts"].get<double>() + event["dur"].get<double>();
  }
  EXPECT_EQ(categories["step"], plan.size());
  EXPECT_EQ(categories["relation"], 4U);  // the stem's, down, inner, up; nothing else searches
  const Json& stem = trace["traceEvents"][2];
  EXPECT_EQ(stem["name"], plan[1]["step"]);
  EXPECT_NEAR(stem["dur"].get<double>(), 1000 * plan[1]["ms"].get<double>(), 1e-9);
  EXPECT_EQ(stem["args"]["edges"], 13);
}

TEST_F(InspectTest, what_cannot_be_shown_is_told) {
  expect_failure(2, "inspect model --trace trace.json", "give --profile");
  expect_failure(2, "inspect model --profile line.safetensors --repeat 0", "--repeat 0");
  expect_failure(3, "inspect model --profile missing.safetensors", "missing.safetensors");
  expect_failure(3, "inspect model --profile line.safetensors --trace none/trace.json", "none/trace.json");
  expect_failure(3, "inspect nothing", "nothing is no folder");
  EXPECT_THAT(file_names(), ElementsAre("line.safetensors", "model", "scan.bin"));
}

}  // namespace
}  // namespace lattice
