#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lattice/dtype.h"
#include "lattice/memory_pool.h"
#include "lattice/sparse_tensor.h"
#include "lattice/tensor.h"

namespace lattice {

class Session;
namespace artifact {
class Program;
}

/// Tensors by name.
using NamedTensors = std::map<std::string, Tensor, std::less<>, PoolAllocator<std::pair<const std::string, Tensor>>>;

/// What an input or output of a model is for. An output's role tells nothing about its form: see ModelOutput::sparse.
enum class ModelRole : uint8_t { tensor, sparse_coords, sparse_features, sparse_active, sparse_tensor };
std::string_view name(ModelRole role) noexcept;

/// A size that the model leaves open.
inline constexpr int64_t kAnySize = -1;

struct ModelInput {
  std::string name;
  ModelRole role = ModelRole::tensor;
  DType dtype = DType::f32;
  Shape shape;  ///< kAnySize where any size will do
};

struct ModelOutput {
  std::string name;
  ModelRole role = ModelRole::tensor;
  bool sparse = false;
  DType dtype = DType::f32;  ///< of the features, where it is sparse
  Shape shape;               ///< of the features, where it is sparse
  Triple stride = 1;         ///< of a sparse output: its coordinates are multiples of it
  /// Of a sparse output: the grid's sizes in steps of the stride, where the graph tells them before any run.
  std::optional<Triple> extent = {};
};

/// A network read from an artifact: a folder with `graph.mlir` and `weights.safetensors`, as docs/artifact.md
/// describes.
///
/// A handle to immutable data: copies share it, and any number of threads may run it at once, each with a session
/// of its own. Results do not depend on that, bit for bit.
class Model {
 public:
  /// Reads, checks and plans a model. Nothing of the files is needed or looked at afterwards.
  ///
  /// Throws io (no such folder or file), corrupt_file (text, types, attributes, weights or their combination break a
  /// rule of the format: names file, line and rule), unsupported and out_of_range (a well-formed network that cannot
  /// run here).
  static Model load(const std::filesystem::path& directory);

  explicit Model(std::shared_ptr<const artifact::Program> program) : program_(std::move(program)) {}

  /// In the order of the entry function's arguments and results.
  const std::vector<ModelInput>& inputs() const noexcept;
  const std::vector<ModelOutput>& outputs() const noexcept;

  /// Runs the network. `inputs` holds exactly one tensor for each of inputs(), of its type and shape. A sparse input
  /// is three of them: coordinates (N, 4) i32, columns batch, x, y, z, multiples of the value's stride; features (N,
  /// C); and the number of rows in use (1) i32, behind which everything is padding. N may be 0, and differ from run to
  /// run.
  ///
  /// A dense output NAME is one tensor; a sparse one is `NAME.coords` (n, 4) i32, multiples of its stride,
  /// `NAME.features` (n, C) and `NAME.active` (1) i32 = n, without padding. Results are the caller's own and may share
  /// memory with inputs.
  ///
  /// Throws invalid_argument (missing, unknown or unfit inputs, repeated coordinates, rows in use beyond N: naming the
  /// operation, its line and the value) and out_of_range (coordinates or sizes that leave their type).
  ///
  /// On the cpu backend a session that has run scans of such sizes allocates nothing any more: what a run needs, its
  /// results included, comes from the pool (lattice/memory_pool.h) and returns to it. Only names of more than 15
  /// characters are strings on the heap. The second form uses those in `results` again, where it leaves exactly this
  /// run's tensors; after an error, which may come halfway, they are of no use.
  NamedTensors run(Session& session, const NamedTensors& inputs) const;
  void run(Session& session, const NamedTensors& inputs, NamedTensors& results) const;

  /// The sparse output `name` of a run's results as a tensor again: coordinates in steps of its stride, with its
  /// extent. Throws invalid_argument where the model has no sparse output of that name, or the results lack it.
  SparseTensor sparse_output(const NamedTensors& results, std::string_view name) const;

  /// For the library's own tools.
  const artifact::Program& program() const noexcept { return *program_; }

 private:
  std::shared_ptr<const artifact::Program> program_;
};

}  // namespace lattice
