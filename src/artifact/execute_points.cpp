#include <cmath>
#include <cstring>

#include "artifact/execute.h"
#include "artifact/supports.h"
#include "lattice/voxelize.h"

namespace lattice::artifact {
namespace {

constexpr std::pair<std::string_view, Reduction> kReductions[] = {{"mean", Reduction::mean}, {"sum", Reduction::sum}};
constexpr std::pair<std::string_view, Interpolation> kInterpolations[] = {{"nearest", Interpolation::nearest},
                                                                          {"linear", Interpolation::linear}};

VoxelizeOptions grid_of(const Operation& operation) {
  VoxelizeOptions options;
  const auto &size = attribute<Reals>(operation, "voxel_size"), &origin = attribute<Reals>(operation, "origin");
  for (size_t axis = 0; axis < 3; ++axis) {
    options.voxel_size[axis] = static_cast<float>(size[axis]);
    options.origin[axis] = static_cast<float>(origin[axis]);
    if (!std::isfinite(options.voxel_size[axis]) || !(options.voxel_size[axis] > 0)) {
      fail(ErrorCode::corrupt_file, "voxel_size {} must be finite and above 0 in float32", size[axis]);
    }
    if (!std::isfinite(options.origin[axis])) {
      fail(ErrorCode::corrupt_file, "origin {} must be finite in float32", origin[axis]);
    }
  }
  return options;
}

void check_f32(DType dtype) {
  if (dtype == DType::f32) return;
  fail(ErrorCode::unsupported, "features are {}, but points and voxels are computed in f32 alone", name(dtype));
}

void check_point_rows(int64_t points, int64_t others, std::string_view what) {
  if (points != others) {
    fail(ErrorCode::invalid_argument, "{} points, but {} rows of {}; there must be as many", points, others, what);
  }
}

/// Points beyond those in use are zeros.
Tensor with_rows(const Tensor& tensor, int64_t rows) {
  if (tensor.size(0) == rows) return tensor;
  Tensor result = Tensor::zeros(tensor.dtype(), {rows, tensor.size(1)});
  if (tensor.nbytes() > 0) std::memcpy(result.mutable_raw(), tensor.raw(), tensor.nbytes());
  return result;
}

}  // namespace

void bind_voxelize(Planner& planner) {
  const Operation& operation = planner.operation();
  const Slot points = planner.dense(0), features = planner.dense(1), batches = planner.dense(2),
             active = planner.dense(3);
  check_f32(planner.facts(features).dtype);
  VoxelizeOptions options = grid_of(operation);
  options.reduction = keyword(operation, "reduction", kReductions);
  const Triple stride = value_stride(operation);
  const Slots result =
      planner.make_features(planner.make_support(stride), DType::f32, planner.facts(features).channels());
  planner.define(0, result);
  planner.add([=](Run& run) {
    const int64_t count = run.tensor(points).size(0);
    check_point_rows(count, run.tensor(features).size(0), "features");
    check_point_rows(count, run.tensor(batches).size(0), "batch_indices");
    const int64_t rows = active_rows(run.tensor(active), count);
    SparseTensor voxels =
        voxelize(run.session, first_rows(run.tensor(points), rows), first_rows(run.tensor(features), rows), options,
                 first_rows(run.tensor(batches), rows))
            .tensor;
    if (stride != Triple(1)) {  // a label alone: the coordinates stay what they are
      const auto coords = voxels.support()->coords();
      voxels = {CoordSet::make(PooledVector<Coord>(coords.begin(), coords.end()), stride), voxels.features()};
      check_physical(*voxels.support());
    }
    run.store(result, voxels);
  });
}

void bind_devoxelize(Planner& planner) {
  const Operation& operation = planner.operation();
  const Slot points = planner.dense(0);
  const Slots voxels = planner.sparse(1);
  const Slot batches = planner.dense(2), active = planner.dense(3);
  check_f32(planner.dtype(voxels));
  const VoxelizeOptions options = grid_of(operation);
  const auto interpolation = keyword(operation, "interpolation", kInterpolations);
  const TensorFacts facts = planner.facts(points);
  const Slot result = planner.make_tensor(DType::f32, {facts.dims.at(0), planner.channels(voxels)}, facts.row_class);
  planner.define(0, {result, kNoSlot});
  planner.add([=](Run& run) {
    const int64_t count = run.tensor(points).size(0);
    check_point_rows(count, run.tensor(batches).size(0), "batch_indices");
    const int64_t rows = active_rows(run.tensor(active), count);
    const Tensor sampled = devoxelize(run.session, run.sparse(voxels), first_rows(run.tensor(points), rows), options,
                                      interpolation, first_rows(run.tensor(batches), rows));
    run.tensor(result) = with_rows(sampled, count);
  });
}

}  // namespace lattice::artifact
