#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "commands.h"
#include "lattice/conv.h"
#include "lattice/error.h"
#include "lattice/random.h"
#include "measure.h"
#include "progress.h"
#include "run_options.h"
#include "scan_input.h"

namespace lattice::cli {
namespace {

enum class BenchKind : uint8_t { subm, forward, regular, transposed, generative, inverse };

const std::map<std::string, BenchKind> kBenchKinds = {{"subm", BenchKind::subm},
                                                      {"forward", BenchKind::forward},
                                                      {"regular", BenchKind::regular},
                                                      {"transposed", BenchKind::transposed},
                                                      {"generative", BenchKind::generative},
                                                      {"inverse", BenchKind::inverse}};

struct BenchConvCommand {
  RunOptions run;
  ScanOptions scan;
  std::string kind = "subm";
  std::vector<int64_t> kernel = {3}, stride = {1}, padding = {0}, dilation = {1}, channels = {64};
  int64_t bits = 32;
  std::optional<int64_t> group;
  uint64_t seed = 1;
  int64_t repeat = 10;
  bool no_error = false;
};

Tensor normal_tensor(Random& random, Shape shape, double deviation) {
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  float* values = tensor.mutable_data<float>();
  for (int64_t i = 0; i < tensor.elements(); ++i) values[i] = static_cast<float>(random.normal() * deviation);
  return tensor;
}

ConvWeight random_weight(const BenchConvCommand& command, const ConvGeometry& geometry, Random& random) {
  const int64_t in_channels = command.channels.front(), out_channels = command.channels.back();
  const Triple& kernel = geometry.kernel_size();
  const double deviation = 1 / std::sqrt(static_cast<double>(in_channels) * static_cast<double>(geometry.taps()));
  Tensor weight = normal_tensor(random, {out_channels, kernel.x, kernel.y, kernel.z, in_channels}, deviation);
  if (command.bits == 32) return ConvWeight(std::move(weight));
  return ConvWeight(QuantizedWeight::pack(weight, {.bits = command.bits, .group_size = command.group}));
}

/// One convolution: what `kind` relates, and how.
class BenchConv {
 public:
  BenchConv(Session& session, BenchKind kind, const ConvGeometry& geometry, const Support& voxels)
      : kind_(kind), geometry_(geometry), source_(voxels) {
    const bool upwards = kind == BenchKind::transposed || kind == BenchKind::generative;
    if (upwards) {
      const auto coords = voxels->coords();
      source_ = CoordSet::make(std::vector<Coord>(coords.begin(), coords.end()), geometry.stride());
    } else if (kind == BenchKind::inverse) {
      target_ = voxels;
      source_ = session.relate(RelationKind::forward, voxels, geometry, nullptr, "bench conv").output;
    }
  }

  const Support& source() const { return source_; }

  RelatedSupport relate(Session& session) const {
    return session.relate(relation_kind(), source_, geometry_, target_, "bench conv");
  }

  SparseTensor run(Session& session, const SparseTensor& x, const ConvWeight& weight) const {
    switch (kind_) {
      case BenchKind::subm:
        return subm_conv3d(session, x, weight, geometry_);
      case BenchKind::generative:
        return generative_conv_transpose3d(session, x, weight, geometry_);
      case BenchKind::transposed:
      case BenchKind::inverse:
        return conv_transpose3d(session, x, weight, geometry_, target_);
      case BenchKind::regular:
        return conv3d(session, x, weight, geometry_, nullptr, {}, SupportRule::regular);
      case BenchKind::forward:
        break;
    }
    return conv3d(session, x, weight, geometry_);
  }

 private:
  RelationKind relation_kind() const {
    switch (kind_) {
      case BenchKind::subm:
        return RelationKind::submanifold;
      case BenchKind::transposed:
        return RelationKind::transposed;
      case BenchKind::generative:
        return RelationKind::generative;
      case BenchKind::inverse:
        return RelationKind::target_transposed;
      case BenchKind::regular:
        return geometry_.is_pointwise() ? RelationKind::pointwise : RelationKind::regular;
      case BenchKind::forward:
        break;
    }
    return geometry_.is_pointwise() ? RelationKind::pointwise : RelationKind::forward;
  }

  BenchKind kind_;
  ConvGeometry geometry_;
  Support source_, target_;
};

struct BenchResult {
  int64_t rows = 0, input_rows = 0, edges = 0;
  double relation_ms = 0, conv_ms = 0, gflops = 0;
  std::optional<double> relative_error;
};

/// The time to build the relation of a new set of the same voxels.
double relation_time(Session& session, BenchKind kind, const ConvGeometry& geometry, const Support& voxels) {
  const BenchConv conv(session, kind, geometry, renewed(voxels));
  session.clear_relations();
  return time_ms([&] { conv.relate(session); });
}

BenchResult measure_conv(Session& session, const BenchConvCommand& command, const ConvGeometry& geometry,
                         const Support& voxels, const ConvWeight& weight, Random& random) {
  Progress progress;
  const BenchKind kind = kBenchKinds.at(command.kind);
  std::vector<double> relation_times, conv_times;
  for (int64_t i = 0; i < command.repeat; ++i) {
    progress.show(fmt::format("relation, {} of {}", i + 1, command.repeat));
    relation_times.push_back(relation_time(session, kind, geometry, voxels));
  }
  const BenchConv conv(session, kind, geometry, voxels);
  BenchResult result{.input_rows = conv.source()->rows(), .relative_error = {}};
  result.edges = conv.relate(session).relation->edges();
  const SparseTensor x(conv.source(), normal_tensor(random, {result.input_rows, weight.in_channels()}, 1));
  const SparseTensor y = conv.run(session, x, weight);  // packs the panels and warms the caches
  result.rows = y.rows();
  for (int64_t i = 0; i < command.repeat; ++i) {
    progress.show(fmt::format("convolution, {} of {}", i + 1, command.repeat));
    conv_times.push_back(time_ms([&] { conv.run(session, x, weight); }));
  }
  result.relation_ms = median(relation_times);
  result.conv_ms = median(conv_times);
  result.gflops = 2.0 * static_cast<double>(result.edges) * static_cast<double>(weight.in_channels()) *
                  static_cast<double>(weight.out_channels()) / (result.conv_ms * 1e6);
  if (!command.no_error) {
    progress.show("float64 reference");
    Session reference({.backend = BackendKind::reference, .threads = 1});
    result.relative_error = relative_l2(y.features(), conv.run(reference, x, weight).features());
  }
  return result;
}

Json report_of(const BenchConvCommand& command, const ConvGeometry& geometry, const ConvWeight& weight) {
  Json json = {{"kind", command.kind},
               {"kernel", to_json(geometry.kernel_size())},
               {"stride", to_json(geometry.stride())},
               {"padding", to_json(geometry.padding())},
               {"dilation", to_json(geometry.dilation())},
               {"in_channels", weight.in_channels()},
               {"out_channels", weight.out_channels()},
               {"bits", command.bits}};
  if (weight.is_packed()) json["group"] = weight.packed().group_size();
  json["weight_bytes"] = weight.nbytes();
  return json;
}

void check(const BenchConvCommand& command) {
  check_repeat(command.repeat);
  const auto& channels = command.channels;
  if (channels.size() > 2 || *std::min_element(channels.begin(), channels.end()) < 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--channels {} must be one number or in,out, each at least 1", fmt::join(channels, ",")));
  }
}

void run_bench_conv(const BenchConvCommand& command) {
  check(command);
  const ConvGeometry geometry({.kernel_size = to_triple("--kernel", command.kernel),
                               .stride = to_triple("--stride", command.stride),
                               .padding = to_triple("--padding", command.padding),
                               .dilation = to_triple("--dilation", command.dilation)},
                              "bench conv");
  Session session = open_session(command.run);
  const PointCloud cloud = read_scan(command.scan);
  const Tensor points = columns_of(cloud, 0, 3);
  const SparseTensor voxels = shifted_to_zero(voxelize(session, points, points, voxelize_options(command.scan)).tensor);
  Random random(command.seed);
  const ConvWeight weight = random_weight(command, geometry, random);
  const BenchResult result = measure_conv(session, command, geometry, voxels.support(), weight, random);
  if (command.run.json) {
    Json json = report_of(command, geometry, weight);
    json["rows"] = result.rows;
    json["input_rows"] = result.input_rows;
    json["edges"] = result.edges;
    json["relation_ms"] = result.relation_ms;
    json["conv_ms"] = result.conv_ms;
    json["gflops"] = result.gflops;
    json["isa"] = session.isa();
    json["numerics"] = name(session.numerics());
    json["threads"] = session.threads();
    json["repeat"] = command.repeat;
    json["relative_error"] = result.relative_error ? Json(*result.relative_error) : Json(nullptr);
    print_json(json);
    return;
  }
  fmt::print("{} kernel {} stride {}, {} -> {} channels, {} bits, {} threads, {}\n", command.kind,
             to_string(geometry.kernel_size()), to_string(geometry.stride()), weight.in_channels(),
             weight.out_channels(), command.bits, session.threads(), session.isa());
  fmt::print("{} rows -> {} rows, {} edges\nrelation {:.3f} ms, convolution {:.3f} ms, {:.2f} GFLOP/s\n",
             result.input_rows, result.rows, result.edges, result.relation_ms, result.conv_ms, result.gflops);
  if (result.relative_error) fmt::print("relative error against float64 {:.3g}\n", *result.relative_error);
}

}  // namespace

Action add_bench_conv(CLI::App& app) {
  auto command = std::make_shared<BenchConvCommand>();
  add_scan_options(app, command->scan);
  std::vector<std::string> kinds;
  for (const auto& [name, kind] : kBenchKinds) kinds.push_back(name);
  app.add_option("--kind", command->kind,
                 "subm; forward; regular; transposed and generative (the voxels, as a tensor of stride --stride, to "
                 "stride 1); inverse (the forward support back onto the voxels)")
      ->check(CLI::IsMember(kinds))
      ->capture_default_str();
  const auto add_numbers = [&](const char* name, std::vector<int64_t>& numbers, const char* text) {
    app.add_option(name, numbers, text)->delimiter(',')->allow_extra_args(false)->capture_default_str();
  };
  add_numbers("--kernel", command->kernel, "Kernel size; one number or x,y,z");
  add_numbers("--stride", command->stride, "Stride; one number or x,y,z");
  add_numbers("--padding", command->padding, "Padding; one number or x,y,z");
  add_numbers("--dilation", command->dilation, "Dilation; one number or x,y,z");
  add_numbers("--channels", command->channels, "Channels; one number or in,out");
  app.add_option("--bits", command->bits, "Bits a weight; 32: floating")
      ->check(CLI::IsMember({32, 8, 4}))
      ->capture_default_str();
  app.add_option("--group", command->group,
                 "Input channels a scale: 32, 64 or 128 (default: 64, below 64 channels 32)");
  app.add_option("--seed", command->seed, "Seed of weights and features")->capture_default_str();
  app.add_option("--repeat", command->repeat, "Measurements, whose medians are shown")->capture_default_str();
  app.add_flag("--no-error", command->no_error, "Leave out the comparison with the float64 reference");
  add_run_options(app, command->run);
  return [command] { run_bench_conv(*command); };
}

}  // namespace lattice::cli
