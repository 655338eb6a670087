#include "lattice/session.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <functional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "backend.h"
#include "cpu/kernels/select.h"
#include "fail.h"
#include "lattice/memory_pool.h"

namespace lattice {
namespace {

constexpr int kMostThreads = 1024;  // far below what a system refuses to start

/// The processors that this process may run on, which containers and batch systems set below those of the machine.
int usable_processors() {
#ifdef __linux__
  // The kernel refuses a mask shorter than its own, so the mask grows until it is accepted: 1024 processors a step.
  for (size_t steps = 1; steps <= 64; steps *= 2) {
    std::vector<cpu_set_t> mask(steps);
    const size_t bytes = steps * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) == 0) return std::max(1, CPU_COUNT_S(bytes, mask.data()));
  }
#endif
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

SessionOptions resolved(SessionOptions options) {
  if (options.threads < 0) {
    fail(ErrorCode::invalid_argument, "session: threads {} must be at least 0; 0 takes all that the process may run on",
         options.threads);
  }
  if (options.threads > kMostThreads) {
    fail(ErrorCode::invalid_argument, "session: threads {} must be at most {}; 0 takes all that the process may run on",
         options.threads, kMostThreads);
  }
  if (options.threads == 0) options.threads = std::min(usable_processors(), kMostThreads);
  return options;
}

std::unique_ptr<Backend> make_backend(const SessionOptions& options) {
  switch (options.backend) {
    case BackendKind::cpu:
      return make_cpu_backend(options.threads, options.numerics);
    case BackendKind::reference:
      return make_reference_backend();
  }
  fail(ErrorCode::invalid_argument, "session: there is no backend of kind {}", static_cast<int>(options.backend));
}

bool takes_target(RelationKind kind) {
  return kind == RelationKind::target || kind == RelationKind::target_transposed;
}

/// Whether the output is the source itself, with its identity.
bool keeps_support(RelationKind kind) {
  return kind == RelationKind::submanifold || kind == RelationKind::pointwise;
}

void check_supports(RelationKind kind, const Support& source, const Support& target, std::string_view operation) {
  if (source == nullptr) fail(ErrorCode::invalid_argument, "{}: a source support is required, found none", operation);
  if (takes_target(kind) && target == nullptr) {
    fail(ErrorCode::invalid_argument, "{}: a relation of kind {} needs a target support, found none", operation,
         name(kind));
  }
  if (!takes_target(kind) && target != nullptr) {
    fail(ErrorCode::invalid_argument,
         "{}: a relation of kind {} makes its own output support; pass no target, or ask for target or "
         "target_transposed",
         operation, name(kind));
  }
}

void check_submanifold(const ConvGeometry& geometry, std::string_view operation) {
  const Triple& size = geometry.kernel_size();
  if (size.x % 2 == 0 || size.y % 2 == 0 || size.z % 2 == 0) {
    fail(ErrorCode::invalid_argument, "{}: kernel_size {} must be odd on every axis; use conv3d for even kernels",
         operation, to_string(size));
  }
  if (!geometry.has_unit_stride()) {
    fail(ErrorCode::invalid_argument, "{}: stride {} must be 1 on every axis; use conv3d for strided convolutions",
         operation, to_string(geometry.stride()));
  }
  if (geometry.padding() != Triple(0)) {
    fail(ErrorCode::invalid_argument,
         "{}: padding {} must be 0 on every axis, since offsets are centered already; leave it out", operation,
         to_string(geometry.padding()));
  }
}

void check_generative(const ConvGeometry& geometry, std::string_view operation) {
  if (geometry.padding() != Triple(0)) {
    fail(ErrorCode::invalid_argument, "{}: padding {} must be 0 on every axis; use conv_transpose3d for padding",
         operation, to_string(geometry.padding()));
  }
  if (geometry.dilation() != Triple(1)) {
    fail(ErrorCode::invalid_argument, "{}: dilation {} must be 1 on every axis; use conv_transpose3d for dilation",
         operation, to_string(geometry.dilation()));
  }
}

void check_geometry(RelationKind kind, const ConvGeometry& geometry, std::string_view operation) {
  if (kind == RelationKind::submanifold) check_submanifold(geometry, operation);
  if (kind == RelationKind::generative) check_generative(geometry, operation);
  if (kind == RelationKind::pointwise && !geometry.is_pointwise()) {
    const auto& [size, stride, padding, dilation] = geometry.options();
    fail(ErrorCode::invalid_argument,
         "{}: kernel_size {}, stride {}, padding {}, dilation {} is not pointwise, which takes 1, 1, 0, 1; use a "
         "forward "
         "relation",
         operation, to_string(size), to_string(stride), to_string(padding), to_string(dilation));
  }
}

/// Transposed and generative relations visit one site for each row and tap, which 32-bit rows must be able to count.
void check_sites(RelationKind kind, int64_t rows, int64_t taps, std::string_view operation) {
  if (kind != RelationKind::transposed && kind != RelationKind::generative) return;
  if (rows * taps > CoordSet::kMostRows) {  // cannot overflow: both are at most 2^31 - 1
    fail(ErrorCode::out_of_range, "{}: {} rows times {} taps are more than 2^31 - 1 output rows; split the batch",
         operation, rows, taps);
  }
}

Triple output_stride(RelationKind kind, const Triple& stride, const ConvGeometry& geometry,
                     std::string_view operation) {
  switch (kind) {
    case RelationKind::submanifold:
    case RelationKind::pointwise:
      return stride;
    case RelationKind::forward:
    case RelationKind::regular:
    case RelationKind::target:
      return geometry.coarser_stride(stride, operation);
    case RelationKind::transposed:
    case RelationKind::generative:
    case RelationKind::target_transposed:
      return geometry.finer_stride(stride, operation);
  }
  fail(ErrorCode::invalid_argument, "{}: there is no relation of kind {}", operation, static_cast<int>(kind));
}

void check_target_stride(const Support& target, const Triple& stride, std::string_view operation) {
  if (target != nullptr && target->stride() != stride) {
    fail(ErrorCode::invalid_argument,
         "{}: the target's stride {} must be the output stride {}; pass a support on that lattice", operation,
         to_string(target->stride()), to_string(stride));
  }
}

/// Only the regular kind maps a grid to a grid; the other derived kinds drop the extent.
std::optional<Triple> derived_extent(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
                                     std::string_view operation) {
  if (kind != RelationKind::regular || !source.extent()) return std::nullopt;
  return geometry.regular_extent(*source.extent(), operation);
}

struct RelationKey {
  uint64_t source = 0;
  std::optional<uint64_t> target;  // of an explicit target only: the other kinds' outputs follow from the source
  RelationKind kind = RelationKind::forward;
  ConvGeometry geometry;

  bool operator==(const RelationKey&) const = default;
};

/// Of the identities alone: few geometries share a pair of supports, and equality tells them apart.
struct RelationKeyHash {
  size_t operator()(const RelationKey& key) const noexcept {
    constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio: spreads consecutive identities
    const uint64_t mixed = (key.source * kOdd) ^ (key.target.value_or(0) * kOdd >> 7) ^ static_cast<uint64_t>(key.kind);
    return std::hash<uint64_t>()(mixed);
  }
};

/// Whether a relation of `kind` reaches, from an output, the same inputs as the target transposed one does the other
/// way: then one holds the other's edges turned round. For centered offsets that takes a kernel without a centre.
bool inverts_transposed(RelationKind kind, const ConvGeometry& geometry) {
  if (kind == RelationKind::regular) return true;
  return (kind == RelationKind::forward || kind == RelationKind::target) && geometry.centered_offset(0) == Triple(0);
}

struct CachedRelation {
  std::weak_ptr<const CoordSet> source;
  std::weak_ptr<const CoordSet> target;  // explicit targets only
  Support derived;                       // what the source led to; held, so that the next layer finds the same identity
  std::shared_ptr<const Relation> relation;
};

}  // namespace

std::vector<std::string_view> available_isas() {
  return cpu::available_isas();
}

struct Session::RelationCache {
  std::unordered_map<RelationKey, CachedRelation, RelationKeyHash, std::equal_to<>,
                     PoolAllocator<std::pair<const RelationKey, CachedRelation>>>
      entries;

  /// A relation with the edges of the target transposed one from `source` to `target`, turned round, or null.
  const Relation* find_inverse(const CoordSet& source, const CoordSet& target, const ConvGeometry& geometry) const {
    for (const RelationKind kind : {RelationKind::regular, RelationKind::forward, RelationKind::target}) {
      if (!inverts_transposed(kind, geometry)) continue;
      RelationKey key = {.source = target.id(), .target = std::nullopt, .kind = kind, .geometry = geometry};
      if (takes_target(kind)) key.target = source.id();
      const auto found = entries.find(key);
      if (found == entries.end()) continue;
      const Support& derived = found->second.derived;
      if (derived != nullptr && derived->id() != source.id()) continue;
      // A look-up finds first copies only, so that with repeated coordinates either way has edges of its own.
      return source.has_duplicates() || target.has_duplicates() ? nullptr : found->second.relation.get();
    }
    return nullptr;
  }

  /// Drops the relations whose supports are gone. A dropped entry may hold the last reference to the support that
  /// another one starts from, hence the repetition.
  void purge() {
    const auto dead = [](const auto& item) {
      const auto& [key, entry] = item;
      return entry.source.expired() || (key.target && entry.target.expired());
    };
    while (std::erase_if(entries, dead) > 0) {
    }
  }
};

Session::Session(const SessionOptions& options)
    : options_(resolved(options)), backend_(make_backend(options_)), cache_(std::make_unique<RelationCache>()) {}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Numerics Session::numerics(DType activations) const noexcept {
  return backend_->numerics(activations);
}

std::string_view Session::isa() const noexcept {
  return backend_->isa();
}

RelatedSupport Session::relate(RelationKind kind, const Support& source, const ConvGeometry& geometry,
                               const Support& target, std::string_view operation) {
  check_supports(kind, source, target, operation);
  check_geometry(kind, geometry, operation);
  const Triple stride = output_stride(kind, source->stride(), geometry, operation);
  check_target_stride(target, stride, operation);
  check_sites(kind, source->rows(), geometry.taps(), operation);
  const std::optional<Triple> extent = derived_extent(kind, *source, geometry, operation);

  Support output = keeps_support(kind) ? source : target;
  const RelationKey key = {.source = source->id(),
                           .target = target != nullptr ? std::optional(target->id()) : std::nullopt,
                           .kind = kind,
                           .geometry = geometry};
  if (const auto found = cache_->entries.find(key); found != cache_->entries.end()) {
    const CachedRelation& entry = found->second;
    return {output != nullptr ? std::move(output) : entry.derived, entry.relation};
  }

  cache_->purge();
  Support derived;
  if (output == nullptr) {
    derived = CoordSet::make(backend_->output_coords(kind, *source, geometry, extent, operation), stride, extent);
    output = derived;
  }
  const Relation* const inverse =
      kind == RelationKind::target_transposed ? cache_->find_inverse(*source, *output, geometry) : nullptr;
  std::shared_ptr<const Relation> relation = backend_->relate(kind, *source, *output, geometry, inverse);
  cache_->entries.emplace(
      key, CachedRelation{.source = source, .target = target, .derived = std::move(derived), .relation = relation});
  return {std::move(output), std::move(relation)};
}

int64_t Session::relations() const noexcept {
  return static_cast<int64_t>(cache_->entries.size());
}

int64_t Session::relation_bytes() const noexcept {
  int64_t bytes = 0;
  for (const auto& [key, entry] : cache_->entries) bytes += entry.relation->nbytes();
  return bytes;
}

void Session::clear_relations() {
  cache_->entries.clear();
}

}  // namespace lattice
