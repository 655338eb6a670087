#include "scan_sidecar.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "io/mapped_file.h"
#include "io/output_file.h"
#include "io/shown_text.h"
#include "lattice/error.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

constexpr const char* kFileName = "scan.json";
constexpr uintmax_t kMostBytes = 1 << 20;  // more is no sidecar

/// Reads one sidecar; messages name the file and the key.
class SidecarReader {
 public:
  explicit SidecarReader(const std::string& source) : source_(source) {}

  ScanSidecar read(const std::string& text) {
    const Json json = parsed(text);
    if (!json.is_object()) reject("it must be one object");
    ScanSidecar sidecar;
    for (const auto& [key, value] : json.items()) read_key(key, value, sidecar);
    check_lengths(sidecar);
    check_range(sidecar);
    return sidecar;
  }

 private:
  template <typename... Args>
  [[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: {}", source_, fmt::format(format, std::forward<Args>(args)...)));
  }

  /// JSON whose keys are unique: the parser alone would take the last of them.
  Json parsed(const std::string& text) const {
    // To the JSON parser a zero byte is the end of the text, and would hide what follows it.
    if (text.find('\0') != std::string::npos) reject("it is not valid JSON: it holds a zero byte");
    std::vector<std::set<std::string>> keys;
    const auto check = [&](int, Json::parse_event_t event, const Json& value) {
      if (event == Json::parse_event_t::object_start) keys.emplace_back();
      if (event == Json::parse_event_t::object_end) keys.pop_back();
      if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
        reject("the key {} occurs twice", shown(value.get<std::string>()));
      }
      return true;
    };
    try {
      return Json::parse(text, check);
    } catch (const Json::exception& error) {
      reject("it is not valid JSON: {}", error.what());
    }
  }

  void read_key(const std::string& key, const Json& value, ScanSidecar& sidecar) const {
    if (key == "voxel_size") {
      sidecar.voxel_size = triple(key, value);
      for (const float size : *sidecar.voxel_size) {
        if (!(size > 0)) reject("voxel_size must be above 0 on every axis");
      }
    } else if (key == "origin") {
      sidecar.origin = triple(key, value);
    } else if (key == "upper") {
      sidecar.upper = triple(key, value);
    } else if (key == "most_points") {
      sidecar.most_points = limit(key, value);
    } else if (key == "most_voxels") {
      sidecar.most_voxels = limit(key, value);
    } else if (key == "columns") {
      sidecar.columns = words(key, value);
    } else if (key == "offset") {
      sidecar.offset = numbers(key, value);
    } else if (key == "scale") {
      sidecar.scale = numbers(key, value);
    } else if (key == "classes") {
      sidecar.classes = words(key, value);
    } else if (key == "colours") {
      sidecar.colours = colours(value);
    } else {
      reject(
          "there is no key {}; voxel_size, origin, upper, most_points, most_voxels, columns, offset, scale, classes "
          "and colours are known",
          shown(key));
    }
  }

  float number(const std::string& key, const Json& value) const {
    if (!value.is_number()) reject("{} must hold numbers, found {}", key, value.type_name());
    const auto result = value.get<float>();
    if (!std::isfinite(result)) reject("{} holds a number beyond float32", key);
    return result;
  }

  int64_t limit(const std::string& key, const Json& value) const {
    if (!value.is_number_integer() || value < 1 || value > std::numeric_limits<int32_t>::max()) {
      reject("{} must be a whole number from 1 to 2^31 - 1", key);
    }
    return value.get<int64_t>();
  }

  std::vector<float> numbers(const std::string& key, const Json& value) const {
    if (!value.is_array()) reject("{} must be an array of numbers, found {}", key, value.type_name());
    std::vector<float> result;
    for (const Json& entry : value) result.push_back(number(key, entry));
    return result;
  }

  std::array<float, 3> triple(const std::string& key, const Json& value) const {
    if (value.is_number()) {
      const float all = number(key, value);
      return {all, all, all};
    }
    const std::vector<float> each = numbers(key, value);
    if (each.size() != 3) reject("{} must be one number or three, found {}", key, each.size());
    return {each[0], each[1], each[2]};
  }

  std::vector<std::string> words(const std::string& key, const Json& value) const {
    if (!value.is_array()) reject("{} must be an array of strings, found {}", key, value.type_name());
    std::vector<std::string> result;
    for (const Json& entry : value) {
      if (!entry.is_string() || entry.get<std::string>().empty()) {
        reject("{} must hold strings that are not empty, found {}", key, entry.type_name());
      }
      result.push_back(entry.get<std::string>());
    }
    return result;
  }

  std::vector<Rgb> colours(const Json& value) const {
    if (!value.is_array()) reject("colours must be an array of [r, g, b], found {}", value.type_name());
    std::vector<Rgb> result;
    for (const Json& entry : value) {
      std::array<uint8_t, 3> rgb{};
      if (!entry.is_array() || entry.size() != rgb.size()) reject("a colour must be [r, g, b]");
      for (size_t i = 0; i < rgb.size(); ++i) {
        if (!entry[i].is_number_integer() || entry[i] < 0 || entry[i] > 255) {
          reject("a colour's channel must be a whole number from 0 to 255");
        }
        rgb[i] = entry[i].get<uint8_t>();
      }
      result.push_back({rgb[0], rgb[1], rgb[2]});
    }
    return result;
  }

  /// That the grid has a voxel on every axis, and can be counted.
  void check_range(const ScanSidecar& sidecar) const {
    if (!sidecar.upper) return;
    if (!sidecar.voxel_size) reject("upper needs a voxel_size beside it");
    for (size_t axis = 0; axis < 3; ++axis) {
      const float voxels = ((*sidecar.upper)[axis] - sidecar.origin[axis]) / (*sidecar.voxel_size)[axis];
      if (voxels >= 0.5F && voxels < 0x1p31F) continue;
      reject("upper must lie 1 to 2^31 - 1 voxels above origin on every axis");
    }
  }

  void check_lengths(const ScanSidecar& sidecar) const {
    for (const auto& [key, list] : {std::pair("offset", &sidecar.offset), std::pair("scale", &sidecar.scale)}) {
      if (!list->empty() && list->size() != sidecar.columns.size()) {
        reject("{} has {} numbers, but columns {} names; there must be as many", key, list->size(),
               sidecar.columns.size());
      }
    }
    if (!sidecar.colours.empty() && sidecar.colours.size() != sidecar.classes.size()) {
      reject("colours has {} entries, but classes {}; there must be as many", sidecar.colours.size(),
             sidecar.classes.size());
    }
  }

  const std::string& source_;
};

/// The double of a float's shortest spelling, so that 0.1 stays 0.1 in a text.
double spelled(float value) {
  return std::stod(fmt::format("{}", value));
}

template <typename Numbers>
Json array_of(const Numbers& numbers) {
  Json array = Json::array();
  for (const float number : numbers) array.push_back(spelled(number));
  return array;
}

}  // namespace

void write_sidecar(const std::filesystem::path& model, const ScanSidecar& sidecar) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (sidecar.voxel_size) json["voxel_size"] = array_of(*sidecar.voxel_size);
  json["origin"] = array_of(sidecar.origin);
  if (sidecar.upper) json["upper"] = array_of(*sidecar.upper);
  if (sidecar.most_points) json["most_points"] = *sidecar.most_points;
  if (sidecar.most_voxels) json["most_voxels"] = *sidecar.most_voxels;
  if (!sidecar.columns.empty()) json["columns"] = sidecar.columns;
  if (!sidecar.offset.empty()) json["offset"] = array_of(sidecar.offset);
  if (!sidecar.scale.empty()) json["scale"] = array_of(sidecar.scale);
  if (!sidecar.classes.empty()) json["classes"] = sidecar.classes;
  for (const Rgb& colour : sidecar.colours) json["colours"].push_back({colour.r, colour.g, colour.b});
  OutputFile file(model / kFileName, kFileName);
  file.write(json.dump(2) + "\n");
  file.commit();
}

VoxelizeOptions voxelize_options(const ScanSidecar& sidecar) {
  return {.voxel_size = *sidecar.voxel_size,
          .origin = sidecar.origin,
          .upper = sidecar.upper,
          .most_points = sidecar.most_points,
          .most_voxels = sidecar.most_voxels};
}

ScanSidecar parse_sidecar(const std::string& text, const std::string& source) {
  return SidecarReader(source).read(text);
}

ScanSidecar read_sidecar(const std::filesystem::path& model) {
  const std::filesystem::path path = model / kFileName;
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return {};
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (!error && bytes > kMostBytes) {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {} bytes are no sidecar", path.string(), bytes));
  }
  const auto file = MappedFile::read(path, kFileName);  // tells what is no file
  return parse_sidecar({reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()}, path.string());
}

}  // namespace lattice::cli
