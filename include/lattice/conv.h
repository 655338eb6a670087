#pragma once

#include "lattice/conv_geometry.h"
#include "lattice/conv_weight.h"
#include "lattice/epilogue.h"
#include "lattice/sparse_tensor.h"

namespace lattice {

class Session;

/// Which outputs a convolution or pooling without an explicit target has.
enum class SupportRule : uint8_t {
  forward,  ///< floor(c / stride): MinkowskiEngine, mlx-lattice
  regular,  ///< every site that some tap reaches: spconv's SparseConv3d
};

// y[o] = epilogue(sum over edges (i, o, k) of x[i] @ W[k]), accumulated in float32 (float64 on the reference backend)
// and rounded once to x's type. An output row without an edge is the epilogue of zero; an empty input gives an empty
// output. `geometry.kernel_size()` must be the weight's, x.channels() its in_channels; else invalid_argument. Relations
// come from the session's cache.

/// Convolution onto the forward (or regular) support, stride x.stride() * stride; or onto `target`, whose stride must
/// be that one (a target's edges have centered offsets, whatever `support` says). With kernel 1, stride 1, padding 0,
/// dilation 1 and no target it is a matrix product that keeps x's support.
SparseTensor conv3d(Session& session, const SparseTensor& x, const ConvWeight& weight, const ConvGeometry& geometry,
                    const Support& target = nullptr, const Epilogue& epilogue = {},
                    SupportRule support = SupportRule::forward);

/// Submanifold convolution: outputs are x's rows, with x's identity. Odd kernel sizes, stride 1, padding 0.
SparseTensor subm_conv3d(Session& session, const SparseTensor& x, const ConvWeight& weight,
                         const ConvGeometry& geometry, const Epilogue& epilogue = {});

/// Transposed convolution onto input*stride + offset - padding, merged (where stride >= the kernel's extent on every
/// axis no two taps can meet: row i*K + k then, also for repeated inputs); or onto `target`. Output stride x.stride() /
/// stride, which must divide.
SparseTensor conv_transpose3d(Session& session, const SparseTensor& x, const ConvWeight& weight,
                              const ConvGeometry& geometry, const Support& target = nullptr,
                              const Epilogue& epilogue = {});

/// Generative transposed convolution: N * K rows, row i*K + k at input*stride + offset, duplicates kept. Padding 0,
/// dilation 1.
SparseTensor generative_conv_transpose3d(Session& session, const SparseTensor& x, const ConvWeight& weight,
                                         const ConvGeometry& geometry, const Epilogue& epilogue = {});

}  // namespace lattice
