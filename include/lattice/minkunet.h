#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "lattice/model_builder.h"
#include "lattice/relation.h"
#include "lattice/session.h"
#include "lattice/sparse_tensor.h"

namespace lattice {

/// MinkUNet18, a sparse U-Net for semantic segmentation, built from the public modules: an example of a whole network,
/// and what the command `lattice network` runs.
///
///   stem     submanifold k3 to 32
///   encoder  4 x: convolution k2 s2 keeping channels; two residual blocks to 32, 64, 128, 256
///   decoder  4 x: transposed convolution k2 s2 onto the skip's own coordinates to 256, 128, 96, 96; concatenation with
///            the skip (128, 64, 32, 32 channels); two residual blocks of that width
///   head     1x1x1 to the classes
///
/// A residual block is relu(conv(relu(conv(x))) + shortcut(x)) of two submanifold k3 convolutions, with a 1x1x1
/// shortcut where channels change. ReLU after the stem and after each convolution down or up; every convolution has a
/// bias, and batch norms are folded. After Choy, Gwak, Savarese, "4D Spatio-Temporal ConvNets", CVPR 2019.
///
/// A handle to immutable layers: copies share them, and any thread may run one, each with a session of its own.
class MinkUNet18 {
 public:
  /// One resolution of the U-Net for an input: its rows and its relations, all kept by the session too.
  struct Level {
    Support support;
    std::shared_ptr<const Relation> within;  ///< submanifold k3
    std::shared_ptr<const Relation> down;    ///< to the next coarser level; null at the coarsest
    std::shared_ptr<const Relation> up;      ///< from the next coarser level; null at the coarsest
  };

  /// Seeded weights, not trained ones: normal (lattice/random.h), then scaled layer by layer so that each convolution's
  /// own output, before shortcut and ReLU, has unit variance on `calibration`, whose channels the network takes. The
  /// scales are part of weights and biases; a layer whose output does not vary is left as drawn. Scales are rounded to
  /// 10 bits, so that the last bits of an instruction set's sums do not show in the weights. Throws invalid_argument
  /// where `classes` is not positive.
  static MinkUNet18 seeded(Session& session, const SparseTensor& calibration, uint64_t seed, int64_t classes = 20);

  /// The same network with every convolution packed, stem and head too. Throws invalid_argument (bits, group size, a
  /// network that is packed already).
  MinkUNet18 quantized(int64_t bits, std::optional<int64_t> group_size = std::nullopt) const;

  /// Logits (N, classes) on x's support, in x's type. Throws invalid_argument where x has other channels.
  SparseTensor operator()(Session& session, const SparseTensor& x) const;

  /// Builds, in the session, every relation that a run on `support` needs, finest level first.
  static std::vector<Level> relate(Session& session, const Support& support);

  /// Multiplications and additions of a run in units of 1e9: the sum over layers of 2 * edges * C_in * C_out / 1e9,
  /// with one edge a row in 1x1x1 layers. Biases, activations and relations are not counted.
  double gflop(const std::vector<Level>& levels) const;

  /// The network as an artifact (see model_builder.h): input `x`, output `logits`. Packed layers stay packed, but for
  /// the transposed convolutions, whose packed form the format lacks.
  ModelBuilder exported() const;

  /// Bytes of all weights and biases as stored.
  int64_t weight_bytes() const;
  int64_t in_channels() const;
  int64_t classes() const;

 private:
  struct Layers;
  explicit MinkUNet18(std::shared_ptr<const Layers> layers) : layers_(std::move(layers)) {}

  std::shared_ptr<const Layers> layers_;
};

}  // namespace lattice
