#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lattice/picture.h"
#include "lattice/points.h"

namespace lattice {

/// What a scan file's name and content do not say.
struct PointReadOptions {
  /// float32 values a row, for raw .bin only (at least 3). Default: 5 where the name ends in `.pcd.bin` (nuScenes),
  /// else 4 (KITTI).
  std::optional<int64_t> columns;
  /// "bin", "pcd", "ply" or "las"; empty: by the ending of the name, else by the content.
  std::string format;
};

/// Reads a scan. Columns are x, y, z, then the file's other scalars in the file's order, names in lower case.
///
/// - bin: rows of little-endian float32: x, y, z; 4: intensity; 5: intensity, ring; 6: r, g, b; others c3, c4, ...
/// - pcd: 0.7 ascii, binary, binary_compressed; `rgb` becomes r, g, b and `rgba` r, g, b, alpha; an element of a field
///   with COUNT n is `name_0`..; fields named `_` are padding; VIEWPOINT is not applied.
/// - ply: ascii, binary of either byte order; element `vertex`; `red green blue` become r, g, b; lists are skipped.
/// - las: 1.2 to 1.4, point formats 0 to 10: intensity, classification, and r, g, b where the format has them.
///
/// Every number becomes float32. LAS positions are relative to `origin`, the smallest x, y and z of the file's points
/// (the header's min, where that is true) rounded down to whole metres. A float64 axis of PCD and PLY that reaches
/// 8192 m, where float32 no longer resolves a millimetre, is treated so too; otherwise origin is zero. LAS colours with
/// a value beyond 255 are 16 bits wide and are divided by 256, rounded down.
///
/// Throws io (cannot open), corrupt_file (content contradicts the format; nothing of a claimed size is allocated before
/// it was compared with the file's size), unsupported (LAZ, LAS of other versions), invalid_argument (options; a format
/// that neither name nor content tells). Thread safe; the file is read once,
/// and one that shrinks meanwhile is an io error.
PointCloud read_points(const std::filesystem::path& path, const PointReadOptions& options = {});

/// Writes binary little-endian PLY. Element `vertex`: x, y, z (float; double origin + (x, y, z) where origin is not
/// zero), the cloud's other columns as float, then `uchar red green blue` from `colours` and `uint label` from
/// `labels`, each empty or one a row. Colours replace columns named r, g, b, red, green, blue, and labels a column
/// named label.
///
/// Like all writers here: the file appears whole or not at all, and an older file of that name stays until then.
/// Throws invalid_argument (sizes, names), io (cannot write).
void write_ply(const std::filesystem::path& path, const PointCloud& cloud, std::span<const Rgb> colours = {},
               std::span<const uint32_t> labels = {});

/// Writes binary PCD 0.7. Fields: x, y, z (float32; float64 origin + (x, y, z) where origin is not zero), the cloud's
/// other columns as float32, then `rgb` packed in a uint32 from `colours` (empty or one a row), which replaces columns
/// named r, g, b, rgb. Throws as write_ply.
void write_pcd(const std::filesystem::path& path, const PointCloud& cloud, std::span<const Rgb> colours = {});

/// Reads SemanticKITTI labels, one little-endian uint32 a point: low 16 bits class, high 16 bits instance.
/// Throws io, and corrupt_file where the size is no multiple of 4.
std::vector<uint32_t> read_labels(const std::filesystem::path& path);

/// Writes SemanticKITTI labels, as read_labels reads them. Throws io.
void write_labels(const std::filesystem::path& path, std::span<const uint32_t> labels);

}  // namespace lattice
