#pragma once

#include <optional>

#include "lattice/conv.h"
#include "lattice/feature.h"
#include "lattice/session.h"

namespace lattice {

// Modules: a weight, its geometry and its bias, applied to a sparse tensor in a session. Modules are immutable once
// made; any number of threads may apply one, each with a session of its own.

/// Arguments of a convolution module. `bias` tells whether it has one. A new floating module draws its weight uniformly
/// from +-sqrt(1 / (C_in * K)), from `seed`, and has a bias of zeros.
struct Conv3dOptions {
  int64_t in_channels = 0, out_channels = 0;
  Triple kernel_size = 3, stride = 1, padding = 0, dilation = 1;
  bool bias = true;
  SupportRule support = SupportRule::forward;
  DType dtype = DType::f32;
  uint64_t seed = 0;
};

struct SubmConv3dOptions {
  int64_t in_channels = 0, out_channels = 0;
  Triple kernel_size = 3, dilation = 1;
  bool bias = true;
  DType dtype = DType::f32;
  uint64_t seed = 0;
};

struct ConvTranspose3dOptions {
  int64_t in_channels = 0, out_channels = 0;
  Triple kernel_size = 2, stride = 2, padding = 0, dilation = 1;
  bool bias = true;
  DType dtype = DType::f32;
  uint64_t seed = 0;
};

struct GenerativeConvTranspose3dOptions {
  int64_t in_channels = 0, out_channels = 0;
  Triple kernel_size = 2, stride = 2;
  bool bias = true;
  DType dtype = DType::f32;
  uint64_t seed = 0;
};

/// What the eight convolution modules share: a validated geometry, a weight, a bias or none.
class ConvModule {
 public:
  const ConvGeometry& geometry() const noexcept { return geometry_; }
  const ConvWeight& weight() const noexcept { return weight_; }
  /// (C_out), undefined where the module has none.
  const Tensor& bias() const noexcept { return bias_; }
  int64_t in_channels() const noexcept { return weight_.in_channels(); }
  int64_t out_channels() const noexcept { return weight_.out_channels(); }
  /// Bytes of weight and bias as stored.
  int64_t nbytes() const noexcept {
    return weight_.nbytes() + static_cast<int64_t>(bias_.defined() ? bias_.nbytes() : 0);
  }

 protected:
  /// Throws invalid_argument, naming `operation`: weight and geometry disagree; bias not (C_out) of f32, f16 or bf16.
  ConvModule(std::string_view operation, const ConvOptions& options, ConvWeight weight, Tensor bias);

  /// The caller's epilogue with the module's bias in it; a bias in both is invalid_argument.
  Epilogue with_bias(const Epilogue& epilogue) const;

 private:
  ConvGeometry geometry_;
  ConvWeight weight_;
  Tensor bias_;
};

/// Convolution onto the forward support, the regular one, or an explicit target (see conv3d).
class Conv3d : public ConvModule {
 public:
  explicit Conv3d(const Conv3dOptions& options);
  /// With a given weight (C_out, Kx, Ky, Kz, C_in) and bias (C_out; undefined for none); the options' channels may be
  /// left 0, their dtype, seed and bias are not looked at.
  Conv3d(const Conv3dOptions& options, Tensor weight, Tensor bias = {});

  SupportRule support() const noexcept { return support_; }
  SparseTensor operator()(Session& session, const SparseTensor& x, const Epilogue& epilogue = {}) const;
  SparseTensor operator()(Session& session, const SparseTensor& x, const Support& target,
                          const Epilogue& epilogue = {}) const;

 protected:
  Conv3d(std::string_view operation, const Conv3dOptions& options, ConvWeight weight, Tensor bias);

 private:
  SupportRule support_;
};

/// Submanifold convolution on the input's identity (see subm_conv3d).
class SubmConv3d : public ConvModule {
 public:
  explicit SubmConv3d(const SubmConv3dOptions& options);
  SubmConv3d(const SubmConv3dOptions& options, Tensor weight, Tensor bias = {});

  SparseTensor operator()(Session& session, const SparseTensor& x, const Epilogue& epilogue = {}) const;

 protected:
  SubmConv3d(std::string_view operation, const SubmConv3dOptions& options, ConvWeight weight, Tensor bias);
};

/// Transposed convolution onto its own support or an explicit target (see conv_transpose3d).
class ConvTranspose3d : public ConvModule {
 public:
  explicit ConvTranspose3d(const ConvTranspose3dOptions& options);
  ConvTranspose3d(const ConvTranspose3dOptions& options, Tensor weight, Tensor bias = {});

  SparseTensor operator()(Session& session, const SparseTensor& x, const Epilogue& epilogue = {}) const;
  SparseTensor operator()(Session& session, const SparseTensor& x, const Support& target,
                          const Epilogue& epilogue = {}) const;

 protected:
  ConvTranspose3d(std::string_view operation, const ConvTranspose3dOptions& options, ConvWeight weight, Tensor bias);
};

/// Generative transposed convolution: N * K rows, duplicates kept (see generative_conv_transpose3d).
class GenerativeConvTranspose3d : public ConvModule {
 public:
  explicit GenerativeConvTranspose3d(const GenerativeConvTranspose3dOptions& options);
  GenerativeConvTranspose3d(const GenerativeConvTranspose3dOptions& options, Tensor weight, Tensor bias = {});

  SparseTensor operator()(Session& session, const SparseTensor& x, const Epilogue& epilogue = {}) const;

 protected:
  GenerativeConvTranspose3d(std::string_view operation, const GenerativeConvTranspose3dOptions& options,
                            ConvWeight weight, Tensor bias);
};

// The four quantized modules: packed affine weights, floating activations, and exactly their source's coordinate
// semantics. Made from channel counts (a floating module's initial weights, packed), from packed arrays, or by
// from_conv. Frozen.

class QuantizedConv3d : public Conv3d {
 public:
  explicit QuantizedConv3d(const Conv3dOptions& options, const PackingOptions& packing = {});
  QuantizedConv3d(const Conv3dOptions& options, QuantizedWeight weight, Tensor bias = {});
  static QuantizedConv3d from_conv(const Conv3d& source, std::optional<int64_t> group_size = std::nullopt,
                                   int64_t bits = 4);
};

class QuantizedSubmConv3d : public SubmConv3d {
 public:
  explicit QuantizedSubmConv3d(const SubmConv3dOptions& options, const PackingOptions& packing = {});
  QuantizedSubmConv3d(const SubmConv3dOptions& options, QuantizedWeight weight, Tensor bias = {});
  static QuantizedSubmConv3d from_conv(const SubmConv3d& source, std::optional<int64_t> group_size = std::nullopt,
                                       int64_t bits = 4);
};

class QuantizedConvTranspose3d : public ConvTranspose3d {
 public:
  explicit QuantizedConvTranspose3d(const ConvTranspose3dOptions& options, const PackingOptions& packing = {});
  QuantizedConvTranspose3d(const ConvTranspose3dOptions& options, QuantizedWeight weight, Tensor bias = {});
  static QuantizedConvTranspose3d from_conv(const ConvTranspose3d& source,
                                            std::optional<int64_t> group_size = std::nullopt, int64_t bits = 4);
};

class QuantizedGenerativeConvTranspose3d : public GenerativeConvTranspose3d {
 public:
  explicit QuantizedGenerativeConvTranspose3d(const GenerativeConvTranspose3dOptions& options,
                                              const PackingOptions& packing = {});
  QuantizedGenerativeConvTranspose3d(const GenerativeConvTranspose3dOptions& options, QuantizedWeight weight,
                                     Tensor bias = {});
  static QuantizedGenerativeConvTranspose3d from_conv(const GenerativeConvTranspose3d& source,
                                                      std::optional<int64_t> group_size = std::nullopt,
                                                      int64_t bits = 4);
};

struct LinearOptions {
  int64_t in_channels = 0, out_channels = 0;
  bool bias = true;
  DType dtype = DType::f32;
  uint64_t seed = 0;
};

/// x @ W^T + bias on dense features (N, C_in), or on a sparse tensor's, whose support is kept.
class Linear {
 public:
  explicit Linear(const LinearOptions& options);
  /// Weight (C_out, C_in), bias (C_out) or undefined.
  explicit Linear(Tensor weight, Tensor bias = {});

  const ConvWeight& weight() const noexcept { return weight_; }
  const Tensor& bias() const noexcept { return bias_; }
  Tensor operator()(Session& session, const Tensor& x) const;
  SparseTensor operator()(Session& session, const SparseTensor& x) const;

 protected:
  Linear(std::string_view operation, ConvWeight weight, Tensor bias);

 private:
  ConvWeight weight_;
  Tensor bias_;
};

class QuantizedLinear : public Linear {
 public:
  explicit QuantizedLinear(const LinearOptions& options, const PackingOptions& packing = {});
  explicit QuantizedLinear(QuantizedWeight weight, Tensor bias = {});
  static QuantizedLinear from_linear(const Linear& source, std::optional<int64_t> group_size = std::nullopt,
                                     int64_t bits = 4);
};

/// Frozen batch norm; each vector is (C) of f32, f16 or bf16.
class BatchNorm {
 public:
  BatchNorm(Tensor scale, Tensor shift, Tensor mean, Tensor variance, float eps = 1e-5F);
  /// The identity: scale and variance 1, shift and mean 0.
  explicit BatchNorm(int64_t channels, float eps = 1e-5F);
  SparseTensor operator()(Session& session, const SparseTensor& x) const;
  ScaleShift folded() const { return fold_batch_norm(scale_, shift_, mean_, variance_, eps_); }

 private:
  Tensor scale_, shift_, mean_, variance_;
  float eps_;
};

class LayerNorm {
 public:
  LayerNorm(Tensor scale, Tensor shift, float eps = 1e-5F);
  explicit LayerNorm(int64_t channels, float eps = 1e-5F);
  SparseTensor operator()(Session& session, const SparseTensor& x) const;

 private:
  Tensor scale_, shift_;
  float eps_;
};

/// An activation as a module: `ReLU()`, or any other kind.
class ActivationModule {
 public:
  explicit ActivationModule(Activation activation) : activation_(activation) {}
  SparseTensor operator()(Session& session, const SparseTensor& x) const;

 private:
  Activation activation_;
};

class ReLU : public ActivationModule {
 public:
  ReLU() : ActivationModule({.kind = ActivationKind::relu}) {}
};

}  // namespace lattice
