#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.h"
#include "io/shown_text.h"
#include "lattice/error.h"
#include "lattice/quantized_weight.h"
#include "lattice/safetensors.h"
#include "measure.h"
#include "progress.h"
#include "run_options.h"

namespace lattice::cli {
namespace {

struct QuantizeCommand {
  RunOptions run;
  std::string input, output;
  int64_t bits = 4;
  std::optional<int64_t> group;
  std::vector<std::string> keep;
};

/// One tensor of the input, and what became of it.
struct TensorReport {
  std::string name;
  Shape shape;
  int64_t bytes_before = 0, bytes_after = 0;
  std::optional<double> bits_per_weight, relative_error;  ///< of packed tensors
};

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

bool is_weight(const std::string& name, const Tensor& tensor) {
  const bool floating = is_feature_type(tensor.dtype()) || tensor.dtype() == DType::f64;
  if (!floating || tensor.elements() == 0) return false;
  if (tensor.rank() == 5) return true;
  constexpr std::string_view kEnding = "weight";
  return tensor.rank() == 2 && name.size() >= kEnding.size() &&
         name.compare(name.size() - kEnding.size(), kEnding.size(), kEnding) == 0;
}

/// The error that packing makes, over the real weights.
double packing_error(const Tensor& weight, const QuantizedWeight& packed) {
  return relative_l2(packed.dequantize().reshaped(weight.shape()), weight);
}

/// What the arrays alone do not tell a reader.
std::string packing_note(const QuantizedWeight& packed) {
  const Json note = {{"bits", packed.bits()},
                     {"group_size", packed.group_size()},
                     {"kernel_size", to_json(packed.kernel_size())},
                     {"in_channels", packed.in_channels()}};
  return note.dump();
}

class Packer {
 public:
  explicit Packer(const QuantizeCommand& command) : command_(command) {}

  void add(const std::string& name, const Tensor& tensor) {
    const auto bytes = static_cast<int64_t>(tensor.nbytes());
    const bool kept = std::find(command_.keep.begin(), command_.keep.end(), name) != command_.keep.end();
    if (kept || !is_weight(name, tensor)) {
      tensors.emplace_back(name, tensor);
      reports.push_back({name, tensor.shape(), bytes, bytes, std::nullopt, std::nullopt});
      return;
    }
    const QuantizedWeight packed = pack(name, tensor);
    tensors.emplace_back(name + ".weight", packed.words());
    tensors.emplace_back(name + ".scales", packed.scales());
    tensors.emplace_back(name + ".biases", packed.biases());
    metadata[name + ".packing"] = packing_note(packed);
    reports.push_back(
        {name, tensor.shape(), bytes, packed.nbytes(), packed.bits_per_weight(), packing_error(tensor, packed)});
  }

  NamedTensors tensors;
  std::map<std::string, std::string> metadata;
  std::vector<TensorReport> reports;

 private:
  QuantizedWeight pack(const std::string& name, const Tensor& tensor) const {
    try {
      const Tensor& weight = tensor.dtype() == DType::f64 ? tensor.to(DType::f32) : tensor;
      return QuantizedWeight::pack(weight, {.bits = command_.bits, .group_size = command_.group});
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", shown(name), error.what()));  // which of the file's tensors
    }
  }

  const QuantizeCommand& command_;
};

void check_kept_names(const QuantizeCommand& command, const SafetensorsFile& file) {
  for (const std::string& name : command.keep) {
    if (!file.contains(name)) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("quantize: --keep {} names no tensor of {}", name, command.input));
    }
  }
}

void print_table(const std::vector<TensorReport>& reports) {
  size_t width = 6, shape_width = 5;
  for (const TensorReport& report : reports) {
    width = std::max(width, report.name.size());
    shape_width = std::max(shape_width, to_string(report.shape).size());
  }
  fmt::print("{:<{}}  {:<{}}{:>14}{:>14}{:>13}{:>16}\n", "tensor", width, "shape", shape_width, "bytes before",
             "bytes after", "bits/weight", "relative error");
  for (const TensorReport& report : reports) {
    const bool packed = report.bits_per_weight.has_value();
    fmt::print("{:<{}}  {:<{}}{:>14}{:>14}{:>13}{:>16}\n", report.name, width, to_string(report.shape), shape_width,
               report.bytes_before, report.bytes_after, packed ? fmt::format("{:.2f}", *report.bits_per_weight) : "-",
               packed ? fmt::format("{:.4g}", *report.relative_error) : "-");
  }
}

Json json_of(const TensorReport& report) {
  Json json = {{"name", report.name},
               {"shape", report.shape},
               {"packed", report.bits_per_weight.has_value()},
               {"bytes_before", report.bytes_before},
               {"bytes_after", report.bytes_after}};
  if (report.bits_per_weight) {
    json["bits_per_weight"] = *report.bits_per_weight;
    json["relative_error"] = *report.relative_error;
  }
  return json;
}

void print_report(const QuantizeCommand& command, const std::vector<TensorReport>& reports) {
  int64_t before = 0, after = 0, packed = 0;
  for (const TensorReport& report : reports) {
    before += report.bytes_before;
    after += report.bytes_after;
    packed += report.bits_per_weight.has_value();
  }
  if (!command.run.json) {
    print_table(reports);
    fmt::print("\n{} of {} tensors packed to int{}: {} -> {} bytes\nwrote {}\n", packed, reports.size(), command.bits,
               before, after, command.output);
    return;
  }
  Json json = {{"bits", command.bits}, {"packed", packed}, {"bytes_before", before}, {"bytes_after", after}};
  json["tensors"] = Json::array();
  for (const TensorReport& report : reports) json["tensors"].push_back(json_of(report));
  print_json(json);
}

void run_quantize(const QuantizeCommand& command) {
  open_session(command.run);  // refuses a thread count or LATTICE_ISA that no other command would take
  const SafetensorsFile file = SafetensorsFile::read(command.input);
  check_kept_names(command, file);
  Packer packer(command);
  packer.metadata = file.metadata();
  Progress progress;
  for (const std::string& name : file.names()) {
    progress.show("packing " + shown(name));
    packer.add(name, file.tensor(name));
  }
  progress.clear();
  save_safetensors(command.output, packer.tensors, packer.metadata);
  print_report(command, packer.reports);
}

}  // namespace

Action add_quantize(CLI::App& app) {
  auto command = std::make_shared<QuantizeCommand>();
  app.add_option("IN", command->input,
                 "safetensors file; floating tensors of rank 5 (C_out, Kx, Ky, Kz, C_in), and those of rank 2 (C_out, "
                 "C_in) whose names end in `weight`, are packed, others copied")
      ->required();
  app.add_option("OUT", command->output,
                 "safetensors file to write: NAME.weight, NAME.scales, NAME.biases for each packed NAME")
      ->required();
  app.add_option("--bits", command->bits, "Bits a weight")->check(CLI::IsMember({8, 4}))->capture_default_str();
  app.add_option("--group", command->group,
                 "Input channels a scale: 32, 64 or 128 (default: 64, below 64 channels 32)");
  app.add_option("--keep", command->keep, "Name of a tensor to copy, not to pack (an embedding); several may be given")
      ->allow_extra_args(false);
  add_run_options(app, command->run);
  return [command] { run_quantize(*command); };
}

}  // namespace lattice::cli
