#include "lattice/model.h"

#include <fmt/ranges.h>

#include <cstring>

#include "artifact/program.h"
#include "artifact/supports.h"
#include "artifact/text_reader.h"
#include "artifact/verifier.h"
#include "fail.h"
#include "io/mapped_file.h"
#include "lattice/safetensors.h"

namespace lattice {
namespace {

/// In memory of its own, so that the rest of the file need not be kept.
Tensor copied(const Tensor& tensor) {
  Tensor copy = Tensor::empty(tensor.dtype(), tensor.shape());
  if (tensor.nbytes() > 0) std::memcpy(copy.mutable_raw(), tensor.raw(), tensor.nbytes());
  return copy;
}

}  // namespace

std::string_view name(ModelRole role) noexcept {
  switch (role) {
    case ModelRole::tensor:
      return "tensor";
    case ModelRole::sparse_coords:
      return "sparse_coords";
    case ModelRole::sparse_features:
      return "sparse_features";
    case ModelRole::sparse_active:
      return "sparse_active";
    case ModelRole::sparse_tensor:
      return "sparse_tensor";
  }
  return "unknown";
}

Model Model::load(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(directory, ignored)) {
    fail(ErrorCode::io, "model: {} is no folder; pass the one that holds graph.mlir and weights.safetensors",
         directory.string());
  }
  const auto text = MappedFile::read(directory / "graph.mlir", "model");
  const auto bytes = text->bytes();
  artifact::Graph graph =
      artifact::read_graph({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "graph.mlir");
  artifact::verify(graph, "graph.mlir");
  const SafetensorsFile weights = SafetensorsFile::read(directory / "weights.safetensors");
  return artifact::make_model(std::move(graph), [&](const std::string& key) -> std::optional<Tensor> {
    if (!weights.contains(key)) return std::nullopt;
    return copied(weights.tensor(key));
  });
}

const std::vector<ModelInput>& Model::inputs() const noexcept {
  return program_->inputs();
}

const std::vector<ModelOutput>& Model::outputs() const noexcept {
  return program_->outputs();
}

SparseTensor Model::sparse_output(const NamedTensors& results, std::string_view name) const {
  std::vector<std::string_view> sparse;
  const ModelOutput* output = nullptr;
  for (const ModelOutput& each : outputs()) {
    if (!each.sparse) continue;
    sparse.push_back(each.name);
    if (each.name == name) output = &each;
  }
  if (output == nullptr) {
    fail(ErrorCode::invalid_argument, "model: there is no sparse output {}; it has {}", name,
         sparse.empty() ? "none" : fmt::format("{}", fmt::join(sparse, ", ")));
  }
  const auto part = [&](const char* suffix) -> const Tensor& {
    const auto found = results.find(output->name + suffix);
    if (found != results.end()) return found->second;
    fail(ErrorCode::invalid_argument, "model: the results have no {}{}; pass those of this model's run", name, suffix);
  };
  const Tensor& coords = part(".coords");
  if (coords.dtype() != DType::i32 || coords.rank() != 2 || coords.size(1) != 4) {
    fail(ErrorCode::invalid_argument,
         "model: {}.coords is {} {}, but must be i32 (N, 4); pass what this model's run gave", name,
         lattice::name(coords.dtype()), to_string(coords.shape()));
  }
  return {artifact::logical_support(coords, coords.size(0), output->stride, output->extent), part(".features")};
}

NamedTensors Model::run(Session& session, const NamedTensors& inputs) const {
  NamedTensors results;
  run(session, inputs, results);
  return results;
}

void Model::run(Session& session, const NamedTensors& inputs, NamedTensors& results) const {
  program_->run(session, inputs, results);
}

}  // namespace lattice
