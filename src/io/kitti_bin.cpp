// Rows of float32 without a header: KITTI and SemanticKITTI .bin, nuScenes .pcd.bin, and what others keep that way.
#include <strings.h>

#include <cstring>

#include "io/byte_order.h"
#include "io/point_formats.h"
#include "io/scan_fields.h"

namespace lattice {
namespace {

std::vector<std::string> column_names(int64_t columns) {
  std::vector<std::string> names = {"x", "y", "z"};
  if (columns == 4 || columns == 5) names.push_back("intensity");
  if (columns == 5) names.push_back("ring");
  if (columns == 6) names.insert(names.end(), {"r", "g", "b"});
  while (static_cast<int64_t>(names.size()) < columns) names.push_back(fmt::format("c{}", names.size()));
  return names;
}

/// In small letters or capitals.
bool is_of_nuscenes(const std::string& path) {
  constexpr std::string_view kEnding = ".pcd.bin";
  return path.size() >= kEnding.size() && ::strcasecmp(&path[path.size() - kEnding.size()], kEnding.data()) == 0;
}

}  // namespace

void check_raw_columns(std::string_view heading, int64_t columns) {
  if (columns < 3 || columns > kMaxFields) {
    fail(ErrorCode::invalid_argument, "{}: {} columns; a raw file has from 3 to {}", heading, columns, kMaxFields);
  }
}

PointCloud read_raw_rows(const ScanFile& file, const PointReadOptions& options) {
  const int64_t columns = options.columns.value_or(is_of_nuscenes(file.path) ? 5 : 4);
  check_raw_columns("read_points: " + file.path, columns);
  const size_t row_bytes = static_cast<size_t>(columns) * sizeof(float);
  if (file.bytes.size() % row_bytes != 0) {
    file.corrupt("{} bytes are no whole number of rows of {} float32; give the file's number of columns",
                 file.bytes.size(), columns);
  }
  PointCloud cloud;
  cloud.columns = column_names(columns);
  cloud.values = Tensor::empty(DType::f32, {static_cast<int64_t>(file.bytes.size() / row_bytes), columns});
  if (!file.bytes.empty()) std::memcpy(cloud.values.mutable_raw(), file.bytes.data(), file.bytes.size());
  return cloud;
}

}  // namespace lattice
