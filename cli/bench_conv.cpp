#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.h"
#include "conv_case.h"
#include "lattice/error.h"
#include "measure.h"
#include "progress.h"
#include "run_options.h"
#include "scan_input.h"

namespace lattice::cli {
namespace {

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

struct BenchResult {
  int64_t rows = 0, input_rows = 0, edges = 0;
  double relation_ms = 0, conv_ms = 0, gflops = 0;
  std::optional<double> relative_error;
};

BenchResult measure_conv(Session& session, const BenchConvCommand& command, const ConvGeometry& geometry,
                         const Support& voxels, const ConvWeight& weight, Random& random) {
  Progress progress;
  const ConvCase conv(session, conv_kinds().at(command.kind), geometry, voxels);
  std::vector<double> relation_times, conv_times;
  for (int64_t i = 0; i < command.repeat; ++i) {
    progress.show(fmt::format("relation, {} of {}", i + 1, command.repeat));
    const ConvCase fresh = conv.renewed();
    session.clear_relations();
    relation_times.push_back(time_ms([&] { fresh.relate(session); }));
  }
  BenchResult result{.input_rows = conv.source()->rows(), .relative_error = {}};
  result.edges = conv.relate(session).relation->edges();
  const SparseTensor x(conv.source(), normal_tensor(random, {result.input_rows, weight.in_channels()}));
  const SparseTensor y = conv.run(session, x, weight);  // packs the panels and warms the caches
  result.rows = y.rows();
  for (int64_t i = 0; i < command.repeat; ++i) {
    progress.show(fmt::format("convolution, {} of {}", i + 1, command.repeat));
    conv_times.push_back(time_ms([&] { conv.run(session, x, weight); }));
  }
  result.relation_ms = median(relation_times);
  result.conv_ms = median(conv_times);
  result.gflops = conv_flop(result.edges, weight) / (result.conv_ms * 1e6);
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
  const ConvWeight weight =
      random_weight(random, geometry, command.channels.front(), command.channels.back(), command.bits, command.group);
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
  for (const auto& [name, kind] : conv_kinds()) kinds.push_back(name);
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
