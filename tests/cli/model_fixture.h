#pragma once

#include "artifact/small_network.h"
#include "cli/cli_fixture.h"

namespace lattice {

/// The command beside `model`, the small network of four channels with a sidecar for scans, and `line.safetensors`, an
/// input of five voxels in a row along x.
class ModelCliTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    artifact::write_artifact(artifact::SmallNetwork(4).graph(), files() / "model");
    write("model/scan.json", R"({"voxel_size": 0.2, "columns": ["x", "z", "intensity"], "offset": [0, 0, 0.5],
                                 "scale": [1, 2, 2], "classes": ["a", "b", "c", "d"],
                                 "colours": [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]})");
    artifact::GraphBuilder line;
    Random random(3);
    line.sparse_input("x", {{0, 0, 0, 0}, {0, 1, 0, 0}, {0, 2, 0, 0}, {0, 3, 0, 0}, {0, 4, 0, 0}},
                      artifact::random_tensor(random, {5, 3}));
    save_safetensors(files() / "line.safetensors", {line.inputs.begin(), line.inputs.end()});
  }
};

}  // namespace lattice
