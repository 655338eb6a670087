#include "lattice/relation.h"

namespace lattice {

std::string_view name(RelationKind kind) noexcept {
  switch (kind) {
    case RelationKind::submanifold:
      return "submanifold";
    case RelationKind::forward:
      return "forward";
    case RelationKind::regular:
      return "regular";
    case RelationKind::target:
      return "target";
    case RelationKind::transposed:
      return "transposed";
    case RelationKind::generative:
      return "generative";
    case RelationKind::target_transposed:
      return "target_transposed";
    case RelationKind::pointwise:
      return "pointwise";
  }
  return "unknown";
}

}  // namespace lattice
