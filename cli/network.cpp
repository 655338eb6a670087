#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "commands.h"
#include "lattice/error.h"
#include "lattice/minkunet.h"
#include "lattice/model.h"
#include "lattice/point_file.h"
#include "lattice/quantized_weight.h"
#include "lattice/safetensors.h"
#include "measure.h"
#include "model_scan.h"
#include "model_steps.h"
#include "progress.h"
#include "run_options.h"
#include "scan_input.h"
#include "scan_picture.h"

namespace lattice::cli {
namespace {

constexpr int64_t kFloatBits = 32;
constexpr int32_t kUnlabelled = 20;  // of a dropped point in a PLY file: one beyond the network's classes

struct NetworkCommand {
  RunOptions run;
  ScanOptions scan;
  std::vector<std::string> bits = {"32"};
  std::optional<int64_t> group;
  uint64_t seed = 1;
  int64_t repeat = 5;
  bool no_error = false;
  std::string output, picture, ply, model, exported;
};

/// What a run at one precision has given.
struct NetworkResult {
  std::string precision;
  Json bits;  // of a model the mean of all that it stores
  int64_t weight_bytes = 0;
  double relations_ms = 0, network_ms = 0;
  std::optional<double> relative_error;
  Tensor logits;
};

/// What does not depend on the precision.
struct Shared {
  NetworkInput input;
  double voxelize_ms = 0, gflop = 0;
  std::vector<int64_t> levels;
};

std::vector<int64_t> precisions(const std::vector<std::string>& words) {
  std::vector<int64_t> bits;
  for (const std::string& word : words) {
    if (word == "all") {
      bits.insert(bits.end(), {32, 8, 4});
    } else {
      bits.push_back(std::stoll(word));
    }
  }
  return bits;
}

std::string precision_name(int64_t bits) {
  return bits == kFloatBits ? "float32" : fmt::format("int{}", bits);
}

/// Input, network and measurements of one command.
class NetworkBench {
 public:
  NetworkBench(const NetworkCommand& command, const PointCloud& cloud)
      : command_(command), session_(open_session(command.run)), shared_(voxelized(cloud)), network_(seeded()) {
    if (!command.model.empty()) model_ = load_model(command.model);
    const auto levels = MinkUNet18::relate(session_, shared_.input.tensor.support());
    for (const auto& level : levels) shared_.levels.push_back(level.support->rows());
    shared_.gflop = network_.gflop(levels);
    progress_.clear();
  }

  const Shared& shared() const { return shared_; }
  const Session& session() const { return session_; }

  /// `beside_others`: float32 is then what the others are compared with, and not compared itself.
  NetworkResult measure(int64_t bits, bool beside_others) {
    const MinkUNet18 network = bits == kFloatBits ? network_ : network_.quantized(bits, command_.group);
    const SparseTensor& x = shared_.input.tensor;
    NetworkResult result{.precision = precision_name(bits),
                         .bits = bits,
                         .weight_bytes = network.weight_bytes(),
                         .relative_error = {},
                         .logits = {}};
    if (model_) {
      const artifact::WeightSize& weights = model_->program().plan().weights;
      const double mean = bits_a_weight(weights);
      result.precision = fmt::format("{:.2f} bits", mean);
      result.bits = mean;
      result.weight_bytes = weights.bytes;
    }
    if (!command_.exported.empty()) network.exported().save(command_.exported);
    const auto infer = [&](const SparseTensor& input) {
      return model_ ? logits_of_model(input) : network(session_, input).features();
    };
    progress_.show(result.precision + ": warm-up");
    result.logits = infer(x);
    std::vector<double> relation_times, network_times;
    for (int64_t i = 0; i < command_.repeat; ++i) {
      progress_.show(fmt::format("{}: run {} of {}", result.precision, i + 1, command_.repeat));
      const Support support = renewed(x.support());
      relation_times.push_back(time_ms([&] { MinkUNet18::relate(session_, support); }));
      const SparseTensor input(renewed(x.support()), x.features());
      session_.clear_relations();
      network_times.push_back(time_ms([&] { infer(input); }));
    }
    result.relations_ms = median(relation_times);
    result.network_ms = median(network_times);
    if (!command_.no_error && !(bits == kFloatBits && beside_others)) {
      const bool is_exact = bits == kFloatBits && !model_;
      result.relative_error = relative_l2(result.logits, is_exact ? float64_logits() : float32_logits());
    }
    progress_.clear();
    return result;
  }

 private:
  Shared voxelized(const PointCloud& cloud) {
    progress_.show("voxelizing");
    std::optional<NetworkInput> input;
    std::vector<double> times;
    for (int64_t i = 0; i <= command_.repeat; ++i) {  // the first warms up
      const double time = time_ms([&] { input = network_input(session_, cloud, command_.scan); });
      if (i > 0) times.push_back(time);
    }
    return {.input = std::move(*input), .voxelize_ms = median(times), .levels = {}};
  }

  Tensor logits_of_model(const SparseTensor& x) {
    const NamedTensors results =
        model_->run(session_, {{"x_coords", x.support()->tensor()},
                               {"x_features", x.features()},
                               {"x_active", Tensor::from(std::vector<int32_t>{static_cast<int32_t>(x.rows())}, {1})}});
    const auto logits = results.find("logits.features");
    if (logits == results.end()) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("--model {} has no sparse output `logits`; --export writes such a model", command_.model));
    }
    return logits->second;
  }

  MinkUNet18 seeded() {
    progress_.show("drawing and scaling weights");
    return MinkUNet18::seeded(session_, shared_.input.tensor, command_.seed);
  }

  const Tensor& float32_logits() {
    if (!float32_logits_.defined()) {
      progress_.show("float32 network, to compare with");
      float32_logits_ = network_(session_, shared_.input.tensor).features();
    }
    return float32_logits_;
  }

  Tensor float64_logits() {
    progress_.show("float64 reference, to compare with (takes long)");
    Session reference({.backend = BackendKind::reference, .threads = command_.run.threads});
    return network_(reference, shared_.input.tensor).features();
  }

  const NetworkCommand& command_;
  Progress progress_;
  Session session_;
  Shared shared_;
  MinkUNet18 network_;
  std::optional<Model> model_;
  Tensor float32_logits_;
};

Json json_of(const NetworkCommand& command, const NetworkBench& bench, const NetworkResult& result) {
  const Shared& shared = bench.shared();
  return {{"bits", result.bits},
          {"rows", shared.input.tensor.rows()},
          {"levels", shared.levels},
          {"gflop", shared.gflop},
          {"voxelize_ms", shared.voxelize_ms},
          {"relations_ms", result.relations_ms},
          {"network_ms", result.network_ms},
          {"weight_bytes", result.weight_bytes},
          {"peak_rss_bytes", peak_rss_bytes()},
          {"isa", bench.session().isa()},
          {"threads", bench.session().threads()},
          {"repeat", command.repeat},
          {"numerics", name(bench.session().numerics())},
          {"weights", command.model.empty() ? "seeded" : "artifact"},
          {"seed", command.seed},
          {"dropped", shared.input.dropped},
          {"relative_error", result.relative_error ? Json(*result.relative_error) : Json(nullptr)}};
}

void print_head(const NetworkCommand& command, const NetworkBench& bench, int64_t points) {
  const Shared& shared = bench.shared();
  fmt::print("MinkUNet18 on {}: {} points, {} voxels of {} m\n", command.scan.path, points, shared.input.tensor.rows(),
             fmt::join(command.scan.voxel, " x "));
  fmt::print("levels {}, {:.1f} GFLOP; {}, {} threads; medians of {} runs\n", fmt::join(shared.levels, "/"),
             shared.gflop, bench.session().isa(), bench.session().threads(), command.repeat);
  if (command.model.empty()) {
    fmt::print("The weights are seeded, not trained: speed, size and error are real, the classes mean nothing.\n");
  }
  fmt::print("\n");
  fmt::print("{:<10}{:>13}{:>14}{:>15}{:>13}{:>17}\n", "precision", "weights MiB", "voxelize ms", "relations ms",
             "network ms", "relative error");
}

void print_row(const Shared& shared, const NetworkResult& result) {
  const std::string error = result.relative_error ? fmt::format("{:.3g}", *result.relative_error) : "-";
  fmt::print("{:<10}{:>13.2f}{:>14.2f}{:>15.2f}{:>13.1f}{:>17}\n", result.precision, mebibytes(result.weight_bytes),
             shared.voxelize_ms, result.relations_ms, result.network_ms, error);
}

/// The class of the largest logit of each point's voxel, -1 for a dropped point.
std::vector<int32_t> point_classes(const Tensor& logits, std::span<const int32_t> point_row) {
  std::vector<int32_t> result;
  result.reserve(point_row.size());
  for (const int32_t row : point_row) result.push_back(row < 0 ? -1 : largest_channel(logits, row));
  return result;
}

/// What a file of logits tells of the network.
std::map<std::string, std::string> origin_of_logits(const NetworkCommand& command, const NetworkResult& result) {
  if (!command.model.empty()) return {{"weights", "artifact"}};
  return {{"network", "MinkUNet18"},
          {"weights", "seeded"},
          {"seed", std::to_string(command.seed)},
          {"bits", result.bits.dump()}};
}

void write_files(const NetworkCommand& command, const PointCloud& cloud, const NetworkInput& input,
                 const NetworkResult& result) {
  if (!command.output.empty()) {
    save_safetensors(command.output, {{"coords", input.tensor.support()->tensor()}, {"logits", result.logits}},
                     origin_of_logits(command, result));
  }
  if (command.picture.empty() && command.ply.empty()) return;
  const std::vector<int32_t> classes = point_classes(result.logits, input.point_row);
  const std::vector<Rgb> colours = colours_by_class(classes);
  if (!command.picture.empty()) write_png(command.picture, draw_scan(cloud, colours));
  if (!command.ply.empty()) {
    std::vector<uint32_t> labels;
    for (const int32_t id : classes) labels.push_back(static_cast<uint32_t>(id < 0 ? kUnlabelled : id));
    write_ply(command.ply, cloud, colours, labels);
  }
}

/// Refuses bits and groups that do not fit before the long work, as packing would later.
void check_packing(const NetworkCommand& command, const std::vector<int64_t>& all_bits) {
  for (const int64_t bits : all_bits) {
    if (bits == kFloatBits) continue;
    QuantizedWeight::pack(Tensor::zeros(DType::f32, {1, 1}), {.bits = bits, .group_size = command.group});
  }
}

void run_network(const NetworkCommand& command) {
  check_repeat(command.repeat);
  const std::vector<int64_t> all_bits = precisions(command.bits);
  check_packing(command, all_bits);
  if (all_bits.size() > 1 && !(command.model.empty() && command.exported.empty())) {
    throw Error(ErrorCode::invalid_argument, "--model and --export take one precision; give --bits one number");
  }
  check_files_differ({command.scan.path, command.output, command.picture, command.ply});
  const PointCloud cloud = read_scan(command.scan);
  NetworkBench bench(command, cloud);
  if (!command.run.json) print_head(command, bench, cloud.rows());
  Json reports = Json::array();
  NetworkResult result;
  for (const int64_t bits : all_bits) {
    result = bench.measure(bits, all_bits.size() > 1);
    if (command.run.json) {
      reports.push_back(json_of(command, bench, result));
    } else {
      print_row(bench.shared(), result);
    }
  }
  write_files(command, cloud, bench.shared().input, result);
  if (command.run.json) return print_json(all_bits.size() == 1 ? reports[0] : reports);
  const bool alone = all_bits.size() == 1 && all_bits[0] == kFloatBits && command.model.empty();
  fmt::print("\nrelative error: of the logits, L2, against {}\n", alone ? "the float64 reference" : "float32");
  for (const std::string* path : {&command.output, &command.picture, &command.ply}) {
    if (!path->empty()) fmt::print("wrote {} ({})\n", *path, result.precision);
  }
}

}  // namespace

Action add_network(CLI::App& app) {
  auto command = std::make_shared<NetworkCommand>();
  add_scan_options(app, command->scan);
  app.add_option("--bits", command->bits,
                 "Bits a weight: 32 (floating), 8, 4, several as 32,8,4, or all. With several, --json prints an array, "
                 "float32 is what the others are compared with, and files show the last")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"32", "8", "4", "all"}))
      ->capture_default_str();
  app.add_option("--group", command->group,
                 "Input channels a scale: 32, 64 or 128 (default: 64, below 64 channels 32)");
  app.add_option("--seed", command->seed, "Seed of the weights")->capture_default_str();
  app.add_option("--repeat", command->repeat, "Measurements, whose medians are shown")->capture_default_str();
  app.add_flag("--no-error", command->no_error,
               "Leave out relative_error (32 bits alone: the comparison with the float64 reference takes long)");
  app.add_option("--output", command->output,
                 "safetensors file to write: coords int32 (N, 4), shifted to zero, and logits float32 (N, 20)");
  app.add_option("--picture", command->picture, "PNG file to write: the scan in perspective, coloured by class");
  app.add_option("--ply", command->ply, "PLY file to write: the points with class and colour");
  CLI::Option* exported =
      app.add_option("--export", command->exported, "Folder to write the network to, as an artifact");
  app.add_option("--model", command->model,
                 "Folder of an artifact to run in place of the network, such as --export writes; relative_error then "
                 "compares it with the seeded network")
      ->excludes(exported);
  add_run_options(app, command->run);
  return [command] { run_network(*command); };
}

}  // namespace lattice::cli
