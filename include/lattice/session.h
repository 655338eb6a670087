#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "lattice/backend_kind.h"
#include "lattice/conv_geometry.h"
#include "lattice/coords.h"
#include "lattice/dtype.h"
#include "lattice/numerics.h"
#include "lattice/relation.h"

namespace lattice {

class Backend;

struct SessionOptions {
  BackendKind backend = BackendKind::cpu;
  int threads = 0;  ///< At most 1024; 0: as many as the process may run on. Results do not depend on it, bit for bit.
  Numerics numerics = Numerics::automatic;  ///< Of products on the cpu backend; the reference has float64 alone.
};

/// The instruction sets that this machine can run, best first; the last is "scalar".
std::vector<std::string_view> available_isas();

/// An output support and the relation that leads to it.
struct RelatedSupport {
  Support output;
  std::shared_ptr<const Relation> relation;
};

/// A caller's run state: backend, threads, relation cache.
///
/// One thread at a time may use a session; any number of sessions may share tensors, supports and modules. Relations
/// are built once for each (source support, target support, geometry, kind), and, once one of these supports is gone,
/// dropped when the next relation is built.
class Session {
 public:
  /// Throws invalid_argument for a thread count below 0 or above 1024, out_of_range where the system does not start
  /// as many threads, and, where the environment's LATTICE_ISA names an instruction set that is unknown or that the
  /// machine lacks, unsupported.
  explicit Session(const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  BackendKind backend_kind() const noexcept { return options_.backend; }
  int threads() const noexcept { return options_.threads; }
  /// How packed weights are multiplied with activations of a type: what automatic chose, which takes float32 for narrow
  /// layers all the same; float32 on the reference backend, which has no choice.
  Numerics numerics(DType activations = DType::f32) const noexcept;
  /// The instruction set whose kernels run, such as "avx2"; "scalar" on the reference backend.
  std::string_view isa() const noexcept;

  /// The relation of a kind from `source`, with its output support; `target` is required for target and
  /// target_transposed and must be null elsewhere. Built on first use, then kept. Throws invalid_argument and
  /// out_of_range as docs/semantics.md says, naming `operation`.
  RelatedSupport relate(RelationKind kind, const Support& source, const ConvGeometry& geometry,
                        const Support& target = nullptr, std::string_view operation = "relate");

  /// Number and bytes of the relations held.
  int64_t relations() const noexcept;
  int64_t relation_bytes() const noexcept;
  /// Forgets them all; they are built again when needed.
  void clear_relations();

  /// For the library's own operations.
  Backend& backend() noexcept { return *backend_; }

 private:
  struct RelationCache;

  SessionOptions options_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<RelationCache> cache_;
};

}  // namespace lattice
