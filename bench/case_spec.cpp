#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bench/case.h"
#include "lattice/error.h"

namespace lattice::bench {
namespace {

std::string short_text(const Triple& triple) {
  if (triple.x == triple.y && triple.y == triple.z) return std::to_string(triple.x);
  return fmt::format("{}{}{}", triple.x, triple.y, triple.z);
}

/// "subm-k3", "regular-k3s2p1": stride and padding where they are not 1 and 0.
std::string operation_text(const CaseSpec& spec) {
  std::string text = fmt::format("{}-k{}", spec.kind, short_text(spec.kernel));
  if (spec.stride != Triple(1)) text += "s" + short_text(spec.stride);
  if (spec.padding != Triple(0)) text += "p" + short_text(spec.padding);
  return text;
}

Triple triple_from(const Json& json) {
  return Triple(json.at(0).get<int64_t>(), json.at(1).get<int64_t>(), json.at(2).get<int64_t>());
}

}  // namespace

int64_t CaseSpec::bits() const {
  const std::string weights = precision.substr(0, precision.find('-'));
  if (weights == "float32") return 32;
  if (weights == "int8") return 8;
  if (weights == "int4") return 4;
  throw Error(ErrorCode::invalid_argument, fmt::format("bench: precision {} is not float32, int8 or int4", precision));
}

std::string CaseSpec::numerics() const {
  const size_t dash = precision.find('-');
  return dash == std::string::npos ? "automatic" : precision.substr(dash + 1);
}

std::string name(const CaseSpec& spec) {
  std::string text = spec.suite == "layer" ? spec.group : spec.suite;
  text += "/" + spec.voxels;
  if (spec.suite == "layer" || spec.suite == "relation") text += "/" + operation_text(spec);
  if (spec.suite == "layer") text += fmt::format("/{}-{}", spec.in_channels, spec.out_channels);
  if (spec.suite == "layer" || spec.suite == "network") text += "/" + spec.precision;
  return text + fmt::format("/{}t", spec.threads);
}

Json to_json(const CaseSpec& spec) {
  return {{"name", name(spec)},
          {"suite", spec.suite},
          {"group", spec.group},
          {"voxels", spec.voxels},
          {"kind", spec.kind},
          {"kernel", cli::to_json(spec.kernel)},
          {"stride", cli::to_json(spec.stride)},
          {"padding", cli::to_json(spec.padding)},
          {"in_channels", spec.in_channels},
          {"out_channels", spec.out_channels},
          {"precision", spec.precision},
          {"threads", spec.threads}};
}

CaseSpec spec_from_json(const Json& json) try {
  CaseSpec spec;
  spec.suite = json.at("suite");
  spec.group = json.value("group", spec.group);
  spec.voxels = json.value("voxels", spec.voxels);
  spec.kind = json.value("kind", spec.kind);
  if (json.contains("kernel")) spec.kernel = triple_from(json["kernel"]);
  if (json.contains("stride")) spec.stride = triple_from(json["stride"]);
  if (json.contains("padding")) spec.padding = triple_from(json["padding"]);
  spec.in_channels = json.value("in_channels", spec.in_channels);
  spec.out_channels = json.value("out_channels", spec.out_channels);
  spec.precision = json.value("precision", spec.precision);
  spec.threads = json.value("threads", spec.threads);
  return spec;
} catch (const nlohmann::json::exception& error) {
  throw Error(ErrorCode::invalid_argument, fmt::format("bench: a case cannot be read: {}", error.what()));
}

}  // namespace lattice::bench
