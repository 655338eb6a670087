#include <fmt/format.h>

#include <array>
#include <optional>

#include "bench/case.h"
#include "bench/voxel_sets.h"
#include "cli/conv_case.h"
#include "cli/scan_input.h"
#include "lattice/detectors.h"
#include "lattice/error.h"
#include "lattice/minkunet.h"

namespace lattice::bench {
namespace {

constexpr uint64_t kSeed = 1;

Numerics numerics_named(const std::string& text) {
  for (const Numerics numerics :
       {Numerics::automatic, Numerics::float32, Numerics::int16, Numerics::int8, Numerics::bfloat16}) {
    if (lattice::name(numerics) == text) return numerics;
  }
  throw Error(ErrorCode::invalid_argument, fmt::format("bench: no numerics are named {}", text));
}

Session open_session(const CaseSpec& spec) {
  return Session({.backend = BackendKind::cpu, .threads = spec.threads, .numerics = numerics_named(spec.numerics())});
}

cli::ConvCase conv_case(Session& session, const CaseSpec& spec, const ConvGeometry& geometry) {
  const auto kind = cli::conv_kinds().find(spec.kind);
  if (kind == cli::conv_kinds().end()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("bench: no kind is named {}", spec.kind));
  }
  return cli::ConvCase(session, kind->second, geometry, voxel_set(session, spec.voxels));
}

ConvGeometry geometry_of(const CaseSpec& spec) {
  return ConvGeometry({.kernel_size = spec.kernel, .stride = spec.stride, .padding = spec.padding}, "bench");
}

/// A convolution whose relation is there already.
class LayerCase : public Case {
 public:
  explicit LayerCase(const CaseSpec& spec)
      : session_(open_session(spec)),
        random_(kSeed),
        conv_(conv_case(session_, spec, geometry_of(spec))),
        weight_(cli::random_weight(random_, geometry_of(spec), spec.in_channels, spec.out_channels, spec.bits())),
        x_(conv_.source(), cli::normal_tensor(random_, {conv_.source()->rows(), spec.in_channels})) {
    const RelatedSupport related = conv_.relate(session_);
    const int64_t edges = related.relation->edges();
    work_ = {cli::conv_flop(edges, weight_), x_.rows(), related.output->rows(), edges};
  }

  Elapsed run() override {
    std::optional<SparseTensor> y;  // freed after the clock has stopped
    return elapsed([&] { y = conv_.run(session_, x_, weight_); });
  }
  Work work() const override { return work_; }

 private:
  Session session_;
  Random random_;
  cli::ConvCase conv_;
  ConvWeight weight_;
  SparseTensor x_;
  Work work_;
};

/// Frames that runs are on in turn: a processor learns the branches of a single one by heart, and runs on that may take
/// a quarter less time than a user's.
template <typename Frame>
class Stream {
 public:
  template <typename MakeFrame>
  Stream(const std::string& voxels, const MakeFrame& make_frame) {
    for (int frame = 0; frame < kFrames; ++frame) frames_.push_back(make_frame(frame_name(voxels, frame)));
  }
  const Frame& first() const { return frames_.front(); }
  const Frame& next() { return frames_[at_++ % frames_.size()]; }

 private:
  std::vector<Frame> frames_;
  size_t at_ = 0;
};

/// A relation between coordinate sets of which nothing is known yet: sorting them is part of it.
class RelationCase : public Case {
 public:
  explicit RelationCase(const CaseSpec& spec)
      : session_(open_session(spec)), stream_(spec.voxels, [&](const std::string& voxels) {
          CaseSpec of_frame = spec;
          of_frame.voxels = voxels;
          return conv_case(session_, of_frame, geometry_of(spec));
        }) {
    const RelatedSupport related = stream_.first().relate(session_);
    work_ = {0, stream_.first().source()->rows(), related.output->rows(), related.relation->edges()};
  }

  Elapsed run() override {
    const cli::ConvCase fresh = stream_.next().renewed();
    session_.clear_relations();
    return elapsed([&] { fresh.relate(session_); });
  }
  Work work() const override { return work_; }

 private:
  Session session_;
  Stream<cli::ConvCase> stream_;
  Work work_;
};

/// Points to voxels, with the means of four columns.
class VoxelizeCase : public Case {
 public:
  explicit VoxelizeCase(const CaseSpec& spec)
      : session_(open_session(spec)), stream_(spec.voxels, [](const std::string& scan) {
          const PointCloud cloud = scan_points(scan);
          return Points{cli::columns_of(cloud, 0, 3), cli::columns_of(cloud, 0, 4)};
        }) {
    const float size = scan_voxel_size(spec.voxels);
    options_ = {.voxel_size = {size, size, size}};
    work_ = {0, stream_.first().places.size(0), voxelized(stream_.first()).tensor.rows(), 0};
  }

  Elapsed run() override {
    const Points& points = stream_.next();
    std::optional<Voxels> voxels;
    return elapsed([&] { voxels = voxelized(points); });
  }
  Work work() const override { return work_; }

 private:
  struct Points {
    Tensor places, features;
  };
  Voxels voxelized(const Points& points) { return voxelize(session_, points.places, points.features, options_); }

  Session session_;
  Stream<Points> stream_;
  VoxelizeOptions options_;
  Work work_;
};

/// MinkUNet18 from voxels to logits, relations included, on new coordinates every time.
class NetworkCase : public Case {
 public:
  explicit NetworkCase(const CaseSpec& spec)
      : session_(open_session(spec)),
        x_(network_voxels(session_, spec.voxels)),
        network_(MinkUNet18::seeded(session_, x_, kSeed)) {
    if (spec.bits() != 32) network_ = network_.quantized(spec.bits());
    work_ = {network_.gflop(MinkUNet18::relate(session_, x_.support())) * 1e9, x_.rows(), x_.rows(), 0};
  }

  Elapsed run() override {
    const SparseTensor fresh(cli::renewed(x_.support()), x_.features());
    session_.clear_relations();
    std::optional<SparseTensor> y;
    return elapsed([&] { y = network_(session_, fresh); });
  }
  Work work() const override { return work_; }

 private:
  Session session_;
  SparseTensor x_;
  MinkUNet18 network_;
  Work work_;
};

/// CenterPoint's encoder on its detector's voxels, relations included, on new coordinates every time.
class EncoderCase : public Case {
 public:
  explicit EncoderCase(const CaseSpec& spec)
      : session_(open_session(spec)),
        x_(encoder_input(session_, spec.voxels)),
        network_(CenterPointEncoder::seeded(session_, x_, kSeed)) {
    if (spec.bits() != 32) network_ = network_.quantized(spec.bits());
    const int64_t output_rows = network_(session_, x_).out.rows();
    work_ = {network_.gflop(session_, x_.support()) * 1e9, x_.rows(), output_rows, 0};
  }

  Elapsed run() override {
    const SparseTensor fresh(cli::renewed(x_.support()), x_.features());
    session_.clear_relations();
    std::optional<CenterPointEncoder::Stages> y;
    return elapsed([&] { y = network_(session_, fresh); });
  }
  Work work() const override { return work_; }

 private:
  static SparseTensor encoder_input(Session& session, const std::string& voxels) {
    constexpr int64_t kChannels = 5;  // x, y, z, intensity, time
    Random random(kSeed);
    const Support support = voxel_set(session, voxels);
    return SparseTensor(support, cli::normal_tensor(random, {support->rows(), kChannels}));
  }

  Session session_;
  SparseTensor x_;
  CenterPointEncoder network_;
  Work work_;
};

}  // namespace

std::unique_ptr<Case> make_case(const CaseSpec& spec) {
  if (spec.suite == "layer") return std::make_unique<LayerCase>(spec);
  if (spec.suite == "relation") return std::make_unique<RelationCase>(spec);
  if (spec.suite == "voxelize") return std::make_unique<VoxelizeCase>(spec);
  if (spec.suite == "network" && spec.voxels == "centerpoint") return std::make_unique<EncoderCase>(spec);
  if (spec.suite == "network") return std::make_unique<NetworkCase>(spec);
  throw Error(ErrorCode::invalid_argument, fmt::format("bench: no suite is named {}", spec.suite));
}

}  // namespace lattice::bench
