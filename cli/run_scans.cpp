#include "run_scans.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <new>
#include <thread>

#include "io/point_formats.h"
#include "lattice/error.h"
#include "lattice/point_file.h"
#include "measure.h"
#include "model_scan.h"
#include "progress.h"
#include "scan_picture.h"

namespace lattice::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kNoClass = 0;  // of SemanticKITTI: unlabelled

/// Where each scan's result goes; two scans never share one.
std::vector<fs::path> result_paths(const ScanBatch& batch) {
  std::vector<fs::path> paths;
  std::map<fs::path, std::string> owners;
  for (const std::string& scan : batch.scans) {
    paths.push_back(fs::path(batch.out_dir) / (fs::path(scan).stem().string() + "." + batch.format));
    std::error_code ignored;  // of what is not there
    if (fs::equivalent(paths.back(), scan, ignored)) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("run: the result of {} would replace it; name another --out-dir", scan));
    }
    const auto [owner, added] = owners.emplace(paths.back(), scan);
    if (added) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("run: {} and {} would both be written to {}; run them into folders of their own",
                            owner->second, scan, paths.back().string()));
  }
  return paths;
}

std::vector<Rgb> colours_of(const ScanSidecar& sidecar, const std::vector<int32_t>& classes) {
  if (sidecar.colours.empty()) return colours_by_class(classes);
  constexpr Rgb kGrey = {120, 120, 120};
  std::vector<Rgb> colours;
  for (const int32_t id : classes) {
    const bool known = id >= 0 && static_cast<size_t>(id) < sidecar.colours.size();
    colours.push_back(known ? sidecar.colours[static_cast<size_t>(id)] : kGrey);
  }
  return colours;
}

/// Whether results of a format are tensors; of others they are classes of points.
bool holds_tensors(const std::string& format) {
  return format == "safetensors" || format == "npy";
}

void write_result(const ModelScan& scan, const ScanSidecar& sidecar, const PointCloud& cloud,
                  const NamedTensors& results, const std::string& format, const fs::path& path) {
  if (holds_tensors(format)) return write_tensors(path, results);
  const std::vector<int32_t> classes = scan.point_classes(results, cloud);
  std::vector<uint32_t> labels;
  for (const int32_t id : classes) labels.push_back(id < 0 ? kNoClass : static_cast<uint32_t>(id));
  if (format == "label") return write_labels(path, labels);
  const std::vector<Rgb> colours = colours_of(sidecar, classes);
  if (format == "ply") return write_ply(path, cloud, colours, labels);
  write_png(path, draw_scan(cloud, colours));
}

/// A grid goes into formats for tensors, and is all that .npy can hold.
void check_grid(const Model& model, const ScanBatch& batch) {
  check_dense(model, batch.dense);
  const bool has_grid = !batch.dense.output.empty();
  if (batch.format == "npy" && !has_grid) {
    throw Error(ErrorCode::invalid_argument, "run: --format npy holds one grid; name its output by --dense");
  }
  if (has_grid && !holds_tensors(batch.format)) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("run: --format {} shows classes of points; --dense goes with safetensors or npy", batch.format));
  }
}

/// What would else be told of each scan.
void check_numbers(const ScanBatch& batch) {
  if (batch.jobs < 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--jobs {} must be at least 0; 0 takes as many as there are threads", batch.jobs));
  }
  if (batch.columns) check_raw_columns("run: --columns", *batch.columns);
}

/// The scans of one batch, handed out to workers.
class Batch {
 public:
  Batch(const Model& model, const ScanSidecar& sidecar, const ScanBatch& batch)
      : model_(model),
        scan_(model, sidecar),
        sidecar_(sidecar),
        batch_(batch),
        paths_(result_paths(batch)),
        reasons_(batch.scans.size()) {
    if (!holds_tensors(batch.format)) scan_.check_point_classes();
  }

  /// One worker: takes scans until none is left.
  void work(Session& session) {
    for (size_t i = next_++; i < paths_.size(); i = next_++) {
      try {
        if (!run_one(session, i)) ++skipped_;
      } catch (const Error& error) {
        reasons_[i] = error.what();
      } catch (const std::bad_alloc&) {
        reasons_[i] = "out of memory";
      } catch (const std::exception& error) {
        reasons_[i] = error.what();
      }
      session.clear_relations();
      const std::scoped_lock lock(mutex_);
      progress_.show(fmt::format("{} of {} scans", ++finished_, paths_.size()));
    }
  }

  BatchSummary summary() const {
    BatchSummary summary{.skipped = skipped_, .failed = {}, .isa = {}};
    for (size_t i = 0; i < reasons_.size(); ++i) {
      if (!reasons_[i].empty()) summary.failed.push_back({batch_.scans[i], reasons_[i]});
    }
    const auto all = static_cast<int64_t>(paths_.size());
    summary.done = all - summary.skipped - static_cast<int64_t>(summary.failed.size());
    return summary;
  }

 private:
  /// False where the result is there already.
  bool run_one(Session& session, size_t i) const {
    std::error_code error;
    const fs::file_status status = fs::status(paths_[i], error);
    if (!fs::status_known(status)) {
      throw Error(ErrorCode::io, fmt::format("run: cannot look for {}: {}", paths_[i].string(), error.message()));
    }
    if (fs::exists(status) && !fs::is_regular_file(status)) {
      throw Error(ErrorCode::io,
                  fmt::format("run: {} is there, but is no regular file; remove it, or name another --out-dir",
                              paths_[i].string()));
    }
    if (fs::exists(status) && !batch_.overwrite) return false;
    const PointCloud cloud = read_points(batch_.scans[i], {.columns = batch_.columns, .format = {}});
    NamedTensors results = scan_.run(session, cloud);
    if (!batch_.dense.output.empty()) results = dense_output(model_, results, batch_.dense, 1);
    write_result(scan_, sidecar_, cloud, results, batch_.format, paths_[i]);
    return true;
  }

  const Model& model_;
  ModelScan scan_;
  const ScanSidecar& sidecar_;
  const ScanBatch& batch_;
  std::vector<fs::path> paths_;
  std::vector<std::string> reasons_;  // each written by the one worker that took the scan
  std::atomic<size_t> next_{0};
  std::atomic<int64_t> skipped_{0};
  std::mutex mutex_;  // guards what follows
  int64_t finished_ = 0;
  Progress progress_;
};

}  // namespace

BatchSummary run_scans(const Model& model, const ScanSidecar& sidecar, const ScanBatch& batch,
                       const RunOptions& options) {
  check_numbers(batch);
  check_grid(model, batch);
  Batch scans(model, sidecar, batch);
  std::error_code error;
  fs::create_directories(batch.out_dir, error);
  if (error) throw Error(ErrorCode::io, fmt::format("run: cannot make {}: {}", batch.out_dir, error.message()));
  SessionOptions session = {.backend = BackendKind::cpu, .threads = options.threads, .numerics = options.numerics};
  const int threads = Session(session).threads();  // checked, and resolved where it is 0
  const int most_jobs = static_cast<int>(std::min(static_cast<size_t>(threads), batch.scans.size()));
  const int jobs = batch.jobs == 0 ? most_jobs : std::min(batch.jobs, most_jobs);
  session.threads = std::max(1, threads / jobs);
  std::vector<Session> sessions;  // made here: what that throws would end a worker's thread, and the process
  for (int job = 0; job < jobs; ++job) sessions.emplace_back(session);
  const double milliseconds = time_ms([&] {
    std::vector<std::jthread> workers;  // joined however this ends
    for (size_t job = 1; job < sessions.size(); ++job) {
      workers.emplace_back([&scans, &own = sessions[job]] { scans.work(own); });
    }
    scans.work(sessions.front());
  });
  BatchSummary summary = scans.summary();
  summary.seconds = milliseconds / 1000;
  summary.isa = sessions.front().isa();
  summary.numerics = sessions.front().numerics(activations_of(model));
  summary.threads = threads;
  summary.jobs = jobs;
  return summary;
}

}  // namespace lattice::cli
