#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lattice/model.h"

namespace CLI {
class App;
}

namespace lattice::cli {

/// A sparse output of a model to be written as a grid, in place of all outputs.
struct DenseOptions {
  std::string output;  ///< its name; empty: none
  std::string layout = "grid";
  std::vector<int64_t> extent;  ///< in steps of the output's stride; empty: what the model tells
};

void add_dense_options(CLI::App& app, DenseOptions& options);

/// Refuses, before anything runs, an output that the model lacks, and one whose extent nothing tells.
void check_dense(const Model& model, const DenseOptions& options);

/// The grid among a run's results, by its output's name: (batches, C, X, Y, Z), or (batches, C * Z, Y, X) seen from
/// above; `batches`, or the largest batch + 1. Throws invalid_argument for a row outside the extent.
NamedTensors dense_output(const Model& model, const NamedTensors& results, const DenseOptions& options,
                          std::optional<int64_t> batches = std::nullopt);

/// Writes tensors as a .safetensors file, or the only one as .npy, where the path ends so.
void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors);

}  // namespace lattice::cli
