#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "lattice/conv_weight.h"
#include "lattice/random.h"
#include "lattice/session.h"
#include "lattice/sparse_tensor.h"

namespace lattice::cli {

/// What a measured convolution relates.
enum class ConvKind : uint8_t {
  subm,        ///< the voxels with themselves
  forward,     ///< the voxels with floor(c / stride)
  regular,     ///< the voxels with every site that some tap reaches
  transposed,  ///< the voxels, as a tensor of the geometry's stride, with the merged sites of stride 1
  generative,  ///< the same without merging
  inverse,     ///< the forward support with the voxels that it came from
};

/// By the names that the command line takes.
const std::map<std::string, ConvKind>& conv_kinds();

/// One convolution to measure: a kind, a geometry, and the coordinates that it goes from and to.
class ConvCase {
 public:
  ConvCase(Session& session, ConvKind kind, const ConvGeometry& geometry, const Support& voxels);

  /// The same coordinates as new sets, of which nothing is known yet.
  ConvCase renewed() const;

  const Support& source() const { return source_; }
  RelatedSupport relate(Session& session) const;
  SparseTensor run(Session& session, const SparseTensor& x, const ConvWeight& weight) const;

 private:
  RelationKind relation_kind() const;

  ConvKind kind_;
  ConvGeometry geometry_;
  Support source_, target_;
};

Tensor normal_tensor(Random& random, Shape shape, double deviation = 1);

/// A weight that keeps the variance of a layer all of whose taps meet an input; floating for 32 bits, else packed.
ConvWeight random_weight(Random& random, const ConvGeometry& geometry, int64_t in_channels, int64_t out_channels,
                         int64_t bits, std::optional<int64_t> group_size = std::nullopt);

/// Multiplications and additions of one run.
double conv_flop(int64_t edges, const ConvWeight& weight);

}  // namespace lattice::cli
