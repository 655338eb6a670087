#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "lattice/algebra.h"
#include "lattice/model.h"
#include "lattice/nn.h"
#include "lattice/pool.h"

namespace lattice {

/// Writes a network that was built in C++ as an artifact: layer by layer, in the order in which they run.
///
///   ModelBuilder builder;
///   auto x = builder.sparse_input("scan", 4);
///   x = builder.activate({.kind = ActivationKind::relu}, builder.layer("stem", stem, x));
///   builder.output("y", x);
///   builder.save("folder");
///
/// Everything throws invalid_argument for names that are empty or taken, and for values of another builder. Operations
/// of the extension `regular` make the artifact use it: regular convolutions and pooling, and `bound`. One thread at a
/// time.
class ModelBuilder {
 public:
  /// A sparse value of the network; a number that only its builder understands.
  class Value {
    friend class ModelBuilder;
    int32_t id = -1;
    int64_t channels = 0;
    const void* builder = nullptr;
  };

  ModelBuilder();
  ~ModelBuilder();
  ModelBuilder(ModelBuilder&&) noexcept;
  ModelBuilder& operator=(ModelBuilder&&) noexcept;

  /// An input of float32 features, given as NAME_coords, NAME_features and NAME_active (see Model::run).
  Value sparse_input(const std::string& name, int64_t channels, const Triple& stride = 1);

  // A layer with the weights of a module, floating (f32) or packed, stored under NAME.weight and NAME.bias. A
  // transposed convolution onto a target is stored unpacked, as the format has no packed form of it.
  Value layer(const std::string& name, const SubmConv3d& conv, Value x);
  Value layer(const std::string& name, const Conv3d& conv, Value x);
  Value layer(const std::string& name, const Conv3d& conv, Value x, Value target);
  Value layer(const std::string& name, const ConvTranspose3d& conv, Value x);
  Value layer(const std::string& name, const ConvTranspose3d& conv, Value x, Value target);
  Value layer(const std::string& name, const GenerativeConvTranspose3d& conv, Value x);

  /// A folded batch norm, stored as one whose folding gives the same scale and shift: under NAME.scale, NAME.shift,
  /// NAME.mean and NAME.variance. Throws invalid_argument where scale and shift are not x's channels.
  Value norm(const std::string& name, const ScaleShift& folded, Value x);
  /// Throws unsupported for an activation that the format lacks.
  Value activate(const Activation& activation, Value x);
  Value add(Value lhs, Value rhs, Join join = Join::outer);
  Value cat(Value lhs, Value rhs, Join join = Join::outer);
  Value pool(PoolMode mode, const ConvGeometry& geometry, Value x, SupportRule support = SupportRule::forward);

  /// x with an extent in its own steps: each size above 0, or -1 for the largest coordinate + 1 of a run. Throws
  /// invalid_argument for other sizes.
  Value bound(Value x, const Triple& extent);
  /// The same rows at the same places, counted in steps of another stride, which each place must be a multiple of: a
  /// value at stride 16 joins one at stride 8 so. The result has no extent.
  Value on_lattice(Value x, const Triple& stride);

  void output(const std::string& name, Value value);

  /// The network as it would be loaded again.
  Model model() const;
  /// Writes graph.mlir and weights.safetensors into a folder, which is made where it is not there. Throws io.
  void save(const std::filesystem::path& directory) const;

 private:
  struct Parts;

  Value made(int32_t id, int64_t channels) const;
  int32_t id_of(Value value) const;

  std::unique_ptr<Parts> parts_;
};

}  // namespace lattice
