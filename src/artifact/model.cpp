#include "lattice/model.h"

#include "artifact/program.h"

namespace lattice {

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

const std::vector<ModelInput>& Model::inputs() const noexcept {
  return program_->inputs();
}

const std::vector<ModelOutput>& Model::outputs() const noexcept {
  return program_->outputs();
}

NamedTensors Model::run(Session& session, const NamedTensors& inputs) const {
  return program_->run(session, inputs);
}

}  // namespace lattice
