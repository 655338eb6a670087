#include "lattice/epilogue.h"

namespace lattice {

std::string_view name(ActivationKind kind) noexcept {
  switch (kind) {
    case ActivationKind::none:
      return "none";
    case ActivationKind::relu:
      return "relu";
    case ActivationKind::sigmoid:
      return "sigmoid";
    case ActivationKind::tanh:
      return "tanh";
    case ActivationKind::silu:
      return "silu";
    case ActivationKind::leaky_relu:
      return "leaky_relu";
    case ActivationKind::softplus:
      return "softplus";
    case ActivationKind::gelu:
      return "gelu";
    case ActivationKind::gelu_tanh:
      return "gelu_tanh";
    case ActivationKind::gelu_fast:
      return "gelu_fast";
  }
  return "unknown";
}

}  // namespace lattice
