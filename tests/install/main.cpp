#include <lattice/nn.h>
#include <lattice/session.h>
#include <lattice/sparse_tensor.h>
#include <lattice/voxelize.h>

#include <cstdio>
#include <vector>

int main() {
  const std::vector<float> xyz = {0.01F, 0.02F, 0.0F,  0.02F, 0.01F, 0.0F, 0.07F, 0.0F,
                                  0.0F,  0.0F,  0.06F, 0.0F,  0.0F,  0.0F, 0.09F};
  const lattice::Tensor points = lattice::Tensor::from(xyz, {5, 3});

  lattice::Session session;  // all cores
  const lattice::Voxels voxels = lattice::voxelize(session, points, points, {.voxel_size = {0.05F, 0.05F, 0.05F}});

  const lattice::SubmConv3d floating({.in_channels = 3, .out_channels = 32});
  const auto packed = lattice::QuantizedSubmConv3d::from_conv(floating, 32, 4);
  const lattice::SparseTensor y = packed(session, voxels.tensor);

  std::printf("%lld voxels, %lld channels, weights of %lld bytes instead of %lld\n", static_cast<long long>(y.rows()),
              static_cast<long long>(y.channels()), static_cast<long long>(packed.weight().nbytes()),
              static_cast<long long>(floating.weight().nbytes()));
}
