#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "fail.h"
#include "lattice/point_file.h"

namespace lattice {

/// A scan file's bytes and its name for messages.
struct ScanFile {
  std::string path;
  std::span<const std::byte> bytes;

  std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

  template <typename... Args>
  [[noreturn]] void corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::corrupt_file, "read_points: {}: {}", path, fmt::format(format, std::forward<Args>(args)...));
  }
};

/// Throws invalid_argument, its message after `heading`, where no raw file has so many columns.
void check_raw_columns(std::string_view heading, int64_t columns);

/// One reader a format; point_file.cpp registers them.
PointCloud read_raw_rows(const ScanFile& file, const PointReadOptions& options);
PointCloud read_pcd(const ScanFile& file, const PointReadOptions& options);
PointCloud read_ply(const ScanFile& file, const PointReadOptions& options);
PointCloud read_las(const ScanFile& file, const PointReadOptions& options);

}  // namespace lattice
