#pragma once

#include <filesystem>

#include "lattice/tensor.h"

namespace lattice {

/// Writes one tensor as NumPy's .npy, version 1.0: little-endian, in C order, data on a 64-byte boundary. The same
/// tensor gives the same bytes. The file appears whole or not at all; an older file of that name stays until then.
/// Throws unsupported (bf16, which NumPy lacks), invalid_argument (a shape too long for the header) and io.
void save_npy(const std::filesystem::path& path, const Tensor& tensor);

}  // namespace lattice
