#include "artifact/conformance.h"

#include <gtest/gtest.h>

#include "lattice/session.h"
#include "shared_data.h"

// Whole networks with results that another implementation computed.

namespace lattice {
namespace {

class Conformance : public ::testing::TestWithParam<std::string> {};

TEST_P(Conformance, results_are_within_the_tolerance) {
  const auto folder = shared_data("conformance/" + GetParam());
  if (!folder) GTEST_SKIP() << "no shared data: conformance/" << GetParam();
  const Model model = Model::load(*folder);
  const NamedTensors inputs = read_tensors(*folder / "inputs.safetensors");
  const Tolerance tolerance = tolerance_of(GetParam());
  for (const BackendKind backend : {BackendKind::cpu, BackendKind::reference}) {
    Session session({.backend = backend, .threads = 1});
    expect_close(model.run(session, inputs), read_tensors(*folder / "expected.safetensors"), tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Conformance,
                         ::testing::Values("sparse_classifier", "point_voxel", "quantized_classifier_int4",
                                           "transpose_convolution", "generative_transpose_convolution",
                                           "normalized_convolution", "canonical_kernel_layout",
                                           "target_transpose_convolution", "trilinear_upsample"),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace lattice
