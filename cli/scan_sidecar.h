#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lattice/picture.h"
#include "lattice/voxelize.h"

namespace lattice::cli {

/// `scan.json` in a model's folder: how a scan becomes the model's input, and what its classes are. Everything is
/// optional; docs/cli.md lists the keys.
struct ScanSidecar {
  std::optional<std::array<float, 3>> voxel_size;  ///< metres
  std::array<float, 3> origin = {0, 0, 0};         ///< metres
  std::optional<std::array<float, 3>> upper;       ///< metres; as VoxelizeOptions has it, and the limits too
  std::optional<int64_t> most_points, most_voxels;
  std::vector<std::string> columns;  ///< of the scan, one a feature channel; empty: the first ones
  std::vector<float> offset, scale;  ///< (value - offset) * scale a column; empty: as it is
  std::vector<std::string> classes;
  std::vector<Rgb> colours;  ///< one a class
};

/// The sidecar of a model's folder, the defaults where it has none. Throws io, and corrupt_file: no JSON, an unknown or
/// repeated key, a value of another kind or outside its range, lists whose lengths contradict each other.
ScanSidecar read_sidecar(const std::filesystem::path& model);

/// The same from text; `source` is for messages.
ScanSidecar parse_sidecar(const std::string& text, const std::string& source);

/// Writes scan.json into a model's folder, so that read_sidecar gives the same again. Throws io.
void write_sidecar(const std::filesystem::path& model, const ScanSidecar& sidecar);

/// How a scan becomes voxels; `sidecar` has a voxel_size.
VoxelizeOptions voxelize_options(const ScanSidecar& sidecar);

}  // namespace lattice::cli
