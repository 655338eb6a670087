#pragma once

#include <gtest/gtest.h>

#include "artifact/graph_builder.h"
#include "artifact/graph_evaluator.h"
#include "lattice/session.h"

namespace lattice::artifact {

/// |a - e| may be so many roundings of the largest value that occurs: sums of small inputs have at most some 500 terms
/// of magnitude 1, whose float32 errors stay below 64 units of the sum's own rounding; a chain of f16 operations
/// rounds a few times to 11 bits.
inline double tolerance(DType dtype, const oracle::Matrix& expected) {
  double largest = 1;
  for (const double v : expected.values) {
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  }
  return largest * (dtype == DType::f16 ? 8 * 0x1p-11 : 64 * 0x1p-24);
}

inline void expect_matrix(const std::string& what, const Tensor& found, const oracle::Matrix& expected,
                          double extra = 0) {
  ASSERT_EQ(found.size(0), expected.rows) << what;
  ASSERT_EQ(found.elements(), static_cast<int64_t>(expected.values.size())) << what;
  const std::vector<double> values = oracle::elements(found);
  const double allowed = tolerance(found.dtype(), expected) + extra;
  for (size_t i = 0; i < values.size(); ++i) {
    const double a = values[i], e = expected.values[i];
    if (a == e || (std::isnan(a) && std::isnan(e))) continue;
    ASSERT_LE(std::abs(a - e), allowed) << what << ", element " << i << ": " << a << " is not " << e;
  }
}

/// What the plan says of a step's relation is what the step asked for: the session has it already.
inline void expect_relation_known(const Step& step, const Run& run) {
  const int64_t known = run.session.relations();
  relation_of(step, run);
  EXPECT_EQ(run.session.relations(), known) << step.operation->name;
}

/// Runs a graph on both backends and compares every output, rows in the order of the page, with the evaluator.
inline void expect_as_evaluated(const GraphBuilder& graph, double extra = 0) {
  const Model model = graph.model();
  const oracle::GraphEvaluator expected(graph.graph, graph.weights, graph.inputs);
  for (const BackendKind backend : {BackendKind::cpu, BackendKind::reference}) {
    Session session({.backend = backend, .threads = 1, .numerics = Numerics::float32});
    NamedTensors results;
    model.program().run(session, graph.inputs, results, expect_relation_known);
    for (size_t i = 0; i < model.outputs().size(); ++i) {
      const std::string& name = model.outputs()[i].name;
      const oracle::Value& value = expected.result(i);
      if (!model.outputs()[i].sparse) {
        expect_matrix(name, results.at(name), value.features, extra);
        continue;
      }
      const auto rows = static_cast<int64_t>(value.coords.size());
      ASSERT_EQ(results.at(name + ".active").data<int32_t>()[0], rows) << name;
      ASSERT_EQ(results.at(name + ".coords").size(0), rows) << name;
      const int32_t* coords = results.at(name + ".coords").data<int32_t>();
      for (int64_t row = 0; row < rows; ++row) {
        for (size_t a = 0; a < 4; ++a) {
          const int64_t scale = a == 0 ? 1 : value.stride[a - 1];
          ASSERT_EQ(int64_t{coords[row * 4 + static_cast<int64_t>(a)]},
                    value.coords[static_cast<size_t>(row)][a] * scale)
              << name << ", row " << row << ", axis " << a;
        }
      }
      expect_matrix(name, results.at(name + ".features"), value.features, extra);
    }
  }
}

}  // namespace lattice::artifact
