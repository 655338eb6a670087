#pragma once

#include <string_view>

#include "lattice/epilogue.h"
#include "lattice/tensor.h"

namespace lattice {

// Rules that several operations share. Each throws invalid_argument with a message that starts with `operation`.

/// `features` is (N, C) of f32, f16 or bf16, C at least 1.
void check_features(std::string_view operation, const Tensor& features);

/// `vector` is (channels) of f32, f16 or bf16; `parameter` is what the message calls it.
void check_vector(std::string_view operation, std::string_view parameter, const Tensor& vector, int64_t channels);

/// `eps` is finite and not negative.
void check_eps(std::string_view operation, float eps);

/// The activation exists, and its parameters give it a value.
void check_activation(std::string_view operation, const Activation& activation);

/// The vectors, the residual's type and channels, and the activation; the residual's rows only where `rows` is not -1,
/// as those of a derived support are known after its relation.
void check_epilogue(std::string_view operation, const Epilogue& epilogue, DType dtype, int64_t out_channels,
                    int64_t rows = -1);

}  // namespace lattice
