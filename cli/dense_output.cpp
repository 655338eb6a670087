#include "dense_output.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "lattice/dense.h"
#include "lattice/error.h"
#include "lattice/npy.h"
#include "lattice/safetensors.h"
#include "run_options.h"

namespace lattice::cli {
namespace {

constexpr const char* kGrid = "grid";
constexpr const char* kBirdsEye = "birds_eye";

std::optional<Triple> asked_extent(const DenseOptions& options) {
  if (options.extent.empty()) return std::nullopt;
  return to_triple("--extent", options.extent);
}

}  // namespace

void add_dense_options(CLI::App& app, DenseOptions& options) {
  CLI::Option* dense =
      app.add_option("--dense", options.output, "Sparse output to write as a dense grid, in place of all outputs");
  app.add_option("--dense-layout", options.layout,
                 "grid: (batches, C, X, Y, Z); birds_eye: (batches, C * Z, Y, X), as OpenPCDet folds it")
      ->needs(dense)
      ->check(CLI::IsMember({kGrid, kBirdsEye}))
      ->capture_default_str();
  app.add_option("--extent", options.extent,
                 "Sizes of that grid in steps of the output's stride; one number or x,y,z (default: what the model "
                 "tells)")
      ->needs(dense)
      ->delimiter(',')
      ->allow_extra_args(false);  // or it would take a SCAN behind it for a second number
}

void check_dense(const Model& model, const DenseOptions& options) {
  if (options.output.empty()) return;
  const auto& outputs = model.outputs();
  const auto found = std::find_if(outputs.begin(), outputs.end(), [&](const ModelOutput& output) {
    return output.sparse && output.name == options.output;
  });
  if (found == outputs.end()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("run: --dense {} is no sparse output of the model; `lattice inspect` lists its outputs",
                            options.output));
  }
  const std::optional<Triple> extent = asked_extent(options);
  if (extent && (extent->x < 1 || extent->y < 1 || extent->z < 1)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("run: --extent {} must be at least 1 on every axis", to_string(*extent)));
  }
  if (!extent && !found->extent) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("run: the model does not tell the extent of {}; give it by --extent x,y,z, in steps of the "
                            "output's stride {}",
                            options.output, to_string(found->stride)));
  }
}

NamedTensors dense_output(const Model& model, const NamedTensors& results, const DenseOptions& options,
                          std::optional<int64_t> batches) {
  const SparseTensor x = model.sparse_output(results, options.output);
  const std::optional<Triple> extent = asked_extent(options);
  return {{options.output, options.layout == kGrid ? to_dense(x, extent, batches) : to_birds_eye(x, extent, batches)}};
}

void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  if (path.extension() != ".npy") return save_safetensors(path, {tensors.begin(), tensors.end()});
  if (tensors.size() != 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("run: {} would hold one tensor, and there are {}; name one by --dense, or write a "
                            ".safetensors file",
                            path.string(), tensors.size()));
  }
  save_npy(path, tensors.begin()->second);
}

}  // namespace lattice::cli
