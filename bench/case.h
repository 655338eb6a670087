#pragma once

#include <memory>
#include <string>

#include "bench/stopwatch.h"
#include "cli/run_options.h"
#include "lattice/coords.h"

namespace lattice::bench {

using cli::Json;

/// What is measured: plain data, that a program in another language can read and do as well (docs in README.md).
struct CaseSpec {
  std::string suite;             ///< layer, relation, voxelize or network
  std::string group = "sweep";   ///< the network that a layer comes from
  std::string voxels = "kitti";  ///< a name that voxel_sets.h explains
  std::string kind = "subm";     ///< one of cli::conv_kinds()
  Triple kernel = 3, stride = 1, padding = 0;
  int64_t in_channels = 0, out_channels = 0;
  std::string precision = "float32";  ///< float32, int8, int4; int4-float32, int4-int16, int8-int8, ..: with numerics
  int threads = 1;

  /// The parts of `precision`.
  int64_t bits() const;
  std::string numerics() const;

  bool operator==(const CaseSpec&) const = default;
};

/// "sweep/kitti/subm-k3/64-64/int4/1t": what patterns on the command line are matched with, and what tables show.
std::string name(const CaseSpec& spec);
Json to_json(const CaseSpec& spec);
/// Fields that are absent keep their defaults. Throws invalid_argument.
CaseSpec spec_from_json(const Json& json);

/// What one run of a case does.
struct Work {
  double flop = 0;    ///< multiplications and additions; 0 where that is not what limits it
  int64_t items = 0;  ///< what the time is also given by: points of voxelize, else input rows
  int64_t output_rows = 0, edges = 0;
};

/// A case made ready: data read, weights drawn. One thread at a time.
class Case {
 public:
  virtual ~Case() = default;

  /// Does the work once more; what has to be made anew for it is not counted.
  virtual Elapsed run() = 0;
  virtual Work work() const = 0;
};

/// Reads and draws all that a case needs. Throws invalid_argument, and io where a scan is missing.
std::unique_ptr<Case> make_case(const CaseSpec& spec);

}  // namespace lattice::bench
