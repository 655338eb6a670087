// write_ply and write_pcd: both formats hold the same packed little-endian records behind a header of their own.
#include <algorithm>
#include <set>

#include "fail.h"
#include "io/byte_order.h"
#include "io/output_file.h"
#include "io/shown_text.h"
#include "lattice/point_file.h"

namespace lattice {
namespace {

// What goes into a record, in this order: positions, further columns, colour, label.
struct RecordPlan {
  const PointCloud& cloud;
  bool wide = false;            // positions as double
  std::vector<size_t> columns;  // those kept, beyond x, y, z
};

void check_name(std::string_view operation, const std::filesystem::path& path, const std::string& name) {
  const auto printable = [](char letter) { return letter > ' ' && letter < 0x7f; };
  if (name.empty() || !std::all_of(name.begin(), name.end(), printable)) {
    fail(ErrorCode::invalid_argument, "{}: {}: column {} must be named in printable ASCII without white space",
         operation, path.string(), shown(name));
  }
}

RecordPlan plan_record(std::string_view operation, const std::filesystem::path& path, const PointCloud& cloud,
                       const std::set<std::string_view>& replaced) {
  const auto& names = cloud.columns;
  const bool positions = names.size() >= 3 && names[0] == "x" && names[1] == "y" && names[2] == "z";
  if (cloud.values.dtype() != DType::f32 || cloud.values.rank() != 2 || !positions ||
      cloud.values.size(1) != static_cast<int64_t>(names.size())) {
    fail(ErrorCode::invalid_argument,
         "{}: {}: values {} of {} with {} column names; the rule is (N, C) f32 with C names, x, y, "
         "z first",
         operation, path.string(), to_string(cloud.values.shape()), name(cloud.values.dtype()), names.size());
  }
  RecordPlan plan{cloud, cloud.origin != std::array<double, 3>{0, 0, 0}, {}};
  std::set<std::string_view> seen = {"x", "y", "z"};
  for (size_t i = 3; i < names.size(); ++i) {
    check_name(operation, path, names[i]);
    if (!seen.insert(names[i]).second) {
      fail(ErrorCode::invalid_argument, "{}: {}: two columns are named {}; names are unique", operation, path.string(),
           shown(names[i]));
    }
    if (!replaced.contains(names[i])) plan.columns.push_back(i);
  }
  return plan;
}

void check_count(std::string_view operation, const std::filesystem::path& path, const PointCloud& cloud, size_t count,
                 std::string_view what) {
  if (count != 0 && count != static_cast<size_t>(cloud.rows())) {
    fail(ErrorCode::invalid_argument, "{}: {}: {} {} for {} points; the rule is none or one for each", operation,
         path.string(), count, what, cloud.rows());
  }
}

std::byte* store_columns(std::byte* to, const RecordPlan& plan, size_t row) {
  const PointCloud& cloud = plan.cloud;
  const float* values = cloud.values.data<float>() + row * cloud.columns.size();
  for (size_t axis = 0; axis < 3; ++axis) {
    to = plan.wide ? store(to, cloud.origin[axis] + static_cast<double>(values[axis])) : store(to, values[axis]);
  }
  for (const size_t column : plan.columns) to = store(to, values[column]);
  return to;
}

size_t columns_bytes(const RecordPlan& plan) {
  return 3 * (plan.wide ? sizeof(double) : sizeof(float)) + plan.columns.size() * sizeof(float);
}

}  // namespace

void write_ply(const std::filesystem::path& path, const PointCloud& cloud, std::span<const Rgb> colours,
               std::span<const uint32_t> labels) {
  std::set<std::string_view> replaced;
  if (!colours.empty()) replaced.insert({"r", "g", "b", "red", "green", "blue"});
  if (!labels.empty()) replaced.insert("label");
  const RecordPlan plan = plan_record("write_ply", path, cloud, replaced);
  check_count("write_ply", path, cloud, colours.size(), "colours");
  check_count("write_ply", path, cloud, labels.size(), "labels");

  std::string header = fmt::format("ply\nformat binary_little_endian 1.0\nelement vertex {}\n", cloud.rows());
  for (const char axis : {'x', 'y', 'z'})
    header += fmt::format("property {} {}\n", plan.wide ? "double" : "float", axis);
  for (const size_t column : plan.columns) header += fmt::format("property float {}\n", cloud.columns[column]);
  if (!colours.empty()) header += "property uchar red\nproperty uchar green\nproperty uchar blue\n";
  if (!labels.empty()) header += "property uint label\n";

  OutputFile file(path, "write_ply");
  file.write(header + "end_header\n");
  std::vector<std::byte> record(columns_bytes(plan) + (colours.empty() ? 0 : sizeof(Rgb)) +
                                (labels.empty() ? 0 : sizeof(uint32_t)));
  for (size_t row = 0; row < static_cast<size_t>(cloud.rows()); ++row) {
    std::byte* to = store_columns(record.data(), plan, row);
    if (!colours.empty()) to = store(store(store(to, colours[row].r), colours[row].g), colours[row].b);
    if (!labels.empty()) store(to, labels[row]);
    file.write(record);
  }
  file.commit();
}

void write_pcd(const std::filesystem::path& path, const PointCloud& cloud, std::span<const Rgb> colours) {
  std::set<std::string_view> replaced;
  if (!colours.empty()) replaced.insert({"r", "g", "b", "rgb"});
  const RecordPlan plan = plan_record("write_pcd", path, cloud, replaced);
  check_count("write_pcd", path, cloud, colours.size(), "colours");

  std::string names = "x y z";
  std::string sizes = plan.wide ? "8 8 8" : "4 4 4";
  std::string types = "F F F";
  std::string counts = "1 1 1";
  const auto add_field = [&](std::string_view name, char type) {
    names += fmt::format(" {}", name);
    sizes += " 4";
    types += fmt::format(" {}", type);
    counts += " 1";
  };
  for (const size_t column : plan.columns) add_field(cloud.columns[column], 'F');
  if (!colours.empty()) add_field("rgb", 'U');

  OutputFile file(path, "write_pcd");
  file.write(
      fmt::format("# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS {}\nSIZE {}\nTYPE {}\nCOUNT {}\n"
                  "WIDTH {}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {}\nDATA binary\n",
                  names, sizes, types, counts, cloud.rows(), cloud.rows()));
  std::vector<std::byte> record(columns_bytes(plan) + (colours.empty() ? 0 : sizeof(uint32_t)));
  for (size_t row = 0; row < static_cast<size_t>(cloud.rows()); ++row) {
    std::byte* to = store_columns(record.data(), plan, row);
    if (!colours.empty()) {
      const Rgb colour = colours[row];
      store(to, uint32_t{colour.r} << 16 | uint32_t{colour.g} << 8 | uint32_t{colour.b});
    }
    file.write(record);
  }
  file.commit();
}

}  // namespace lattice
