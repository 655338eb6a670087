#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dense_output.h"
#include "lattice/model.h"
#include "run_options.h"
#include "scan_sidecar.h"

namespace lattice::cli {

/// Scans to be run through a model, one result file each.
struct ScanBatch {
  std::vector<std::string> scans;
  std::string out_dir;
  std::string format = "safetensors";  ///< also the ending of the results: npy, label, ply, png
  DenseOptions dense;
  std::optional<int64_t> columns;
  int jobs = 0;  ///< scans at a time, at most as many as there are threads; 0: as many
  bool overwrite = false;
};

struct FailedScan {
  std::string scan, reason;
};

struct BatchSummary {
  int64_t done = 0, skipped = 0;
  double seconds = 0;
  std::vector<FailedScan> failed;  ///< in the order given
  std::string isa;
  Numerics numerics = Numerics::automatic;  ///< of the model's activations
  int threads = 0, jobs = 0;                ///< of all jobs together; as many as ran at a time
};

/// Runs them in parallel. A result that is there already is skipped unless `overwrite`; a scan that cannot be run is
/// noted, and the others go on. Throws before the first scan: io (the folder cannot be made), invalid_argument (jobs
/// below 0, columns that no .bin file has; two scans would have one result; a model that takes neither points nor
/// voxels; a grid that the model or the format cannot give), unsupported (no output of the model can tell the classes
/// of points, which the format shows).
BatchSummary run_scans(const Model& model, const ScanSidecar& sidecar, const ScanBatch& batch,
                       const RunOptions& options);

}  // namespace lattice::cli
