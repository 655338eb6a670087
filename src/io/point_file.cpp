#include "lattice/point_file.h"

#include <algorithm>
#include <cstring>

#include "io/byte_order.h"
#include "io/mapped_file.h"
#include "io/output_file.h"
#include "io/point_formats.h"

namespace lattice {
namespace {

struct PointFormat {
  std::string_view name;
  std::string_view endings;  // of file names, lower case, separated by spaces
  std::string_view magic;    // how the content begins; empty where any content is one
  PointCloud (*read)(const ScanFile& file, const PointReadOptions& options);
};

// The first ending that fits decides, so `.pcd.bin` is a .bin.
constexpr PointFormat kFormats[] = {
    {"bin", ".bin", "", read_raw_rows},
    {"pcd", ".pcd", "# .PCD", read_pcd},
    {"ply", ".ply", "ply", read_ply},
    {"las", ".las .laz", "LASF", read_las},
};

bool has_ending(std::string name, std::string_view endings) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  while (!endings.empty()) {
    const std::string_view ending = endings.substr(0, endings.find(' '));
    if (name.ends_with(ending)) return true;
    endings.remove_prefix(std::min(ending.size() + 1, endings.size()));
  }
  return false;
}

const PointFormat& choose_format(const ScanFile& file, const std::string& asked) {
  for (const PointFormat& format : kFormats) {
    if (asked.empty() ? has_ending(file.path, format.endings) : format.name == asked) return format;
  }
  if (!asked.empty()) {
    fail(ErrorCode::invalid_argument, "read_points: {}: unknown format '{}'; the rule is bin, pcd, ply or las",
         file.path, asked);
  }
  for (const PointFormat& format : kFormats) {
    if (!format.magic.empty() && file.text().starts_with(format.magic)) return format;
  }
  fail(ErrorCode::invalid_argument,
       "read_points: {}: neither name nor content tells the format; give it as bin, pcd, ply or las", file.path);
}

}  // namespace

PointCloud read_points(const std::filesystem::path& path, const PointReadOptions& options) {
  const auto mapping = MappedFile::read(path, "read_points");
  const ScanFile file{path.string(), mapping->bytes()};
  const PointFormat& format = choose_format(file, options.format);
  if (options.columns && format.read != read_raw_rows) {
    fail(ErrorCode::invalid_argument,
         "read_points: {}: {} columns were given, but a {} file names its own; only bin needs them", file.path,
         *options.columns, format.name);
  }
  return format.read(file, options);
}

std::vector<uint32_t> read_labels(const std::filesystem::path& path) {
  const auto mapping = MappedFile::read(path, "read_labels");
  const auto bytes = mapping->bytes();
  if (bytes.size() % sizeof(uint32_t) != 0) {
    fail(ErrorCode::corrupt_file, "read_labels: {}: {} bytes are no whole number of uint32", path.string(),
         bytes.size());
  }
  std::vector<uint32_t> labels(bytes.size() / sizeof(uint32_t));
  if (!bytes.empty()) std::memcpy(labels.data(), bytes.data(), bytes.size());
  return labels;
}

void write_labels(const std::filesystem::path& path, std::span<const uint32_t> labels) {
  OutputFile file(path, "write_labels");
  file.write(std::as_bytes(labels));
  file.commit();
}

}  // namespace lattice
