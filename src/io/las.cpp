// LAS 1.2 to 1.4, the ASPRS exchange format of airborne and mapping lasers.
// https://www.asprs.org/wp-content/uploads/2019/07/LAS_1_4_r15.pdf (tables 3 and 6 to 19)
#include <algorithm>
#include <cmath>
#include <limits>

#include "io/byte_order.h"
#include "io/point_formats.h"
#include "io/shown_text.h"

namespace lattice {
namespace {

// Offsets in the public header block.
constexpr size_t kVersion = 24, kDataStart = 96, kPointFormat = 104, kRecordLength = 105, kLegacyCount = 107,
                 kScale = 131, kOffset = 155, kCount = 247;
constexpr size_t kHeaderBytes = 227, kHeaderBytes14 = 375;

// Offsets in a point record: 0..11 x, y, z.
constexpr size_t kIntensity = 12;

struct PointFormat {
  size_t bytes;           // the shortest record
  size_t classification;  // one byte; formats 0 to 5 keep flags in its high three bits
  uint8_t class_mask;
  size_t colour;  // three uint16; 0 where there are none
};

constexpr PointFormat kFormats[] = {
    {20, 15, 31, 0},  {28, 15, 31, 0},   {26, 15, 31, 20},  {34, 15, 31, 28}, {57, 15, 31, 0},   {63, 15, 31, 28},
    {30, 16, 255, 0}, {36, 16, 255, 30}, {38, 16, 255, 30}, {59, 16, 255, 0}, {67, 16, 255, 30},
};

struct LasHeader {
  PointFormat format = {};
  const std::byte* points = nullptr;
  size_t record_bytes = 0;
  int64_t count = 0;
  double scale[3] = {};
  double offset[3] = {};

  const std::byte* point(int64_t row) const { return points + static_cast<size_t>(row) * record_bytes; }
  double position(int64_t row, size_t axis) const {
    return load<int32_t>(point(row) + axis * sizeof(int32_t)) * scale[axis] + offset[axis];
  }
  uint16_t colour(int64_t row, size_t channel) const {
    return load<uint16_t>(point(row) + format.colour + channel * sizeof(uint16_t));
  }
};

PointFormat point_format(const ScanFile& file, uint8_t id) {
  // LASzip marks its files with the highest bit, and earlier with the one below it.
  if ((id & 0xc0) != 0) {
    fail(ErrorCode::unsupported,
         "read_points: {}: the points are LAZ compressed; convert first, as with `laszip -i in.laz -o "
         "out.las`",
         file.path);
  }
  if (id >= std::size(kFormats)) file.corrupt("point format {}; the rule is 0 to {}", id, std::size(kFormats) - 1);
  return kFormats[id];
}

uint64_t point_count(const ScanFile& file, uint8_t minor) {
  if (minor < 4) return load<uint32_t>(file.bytes.data() + kLegacyCount);
  if (file.bytes.size() < kHeaderBytes14) {
    file.corrupt("{} bytes cannot hold the header of LAS 1.4, which takes {}", file.bytes.size(), kHeaderBytes14);
  }
  return load<uint64_t>(file.bytes.data() + kCount);
}

LasHeader read_header(const ScanFile& file) {
  const auto bytes = file.bytes;
  if (!file.text().starts_with("LASF")) file.corrupt("the file does not begin with LASF");
  if (bytes.size() < kHeaderBytes)
    file.corrupt("{} bytes cannot hold the header, which takes {}", bytes.size(), kHeaderBytes);
  const auto major = load<uint8_t>(bytes.data() + kVersion);
  const auto minor = load<uint8_t>(bytes.data() + kVersion + 1);
  if (major != 1 || minor < 2 || minor > 4) {
    fail(ErrorCode::unsupported, "read_points: {}: LAS {}.{}; versions 1.2 to 1.4 are read", file.path, major, minor);
  }
  LasHeader header;
  header.format = point_format(file, load<uint8_t>(bytes.data() + kPointFormat));
  header.record_bytes = load<uint16_t>(bytes.data() + kRecordLength);
  if (header.record_bytes < header.format.bytes) {
    file.corrupt("point records of {} bytes; the point format needs at least {}", header.record_bytes,
                 header.format.bytes);
  }
  const size_t start = load<uint32_t>(bytes.data() + kDataStart);
  if (start < kHeaderBytes || start > bytes.size()) {
    file.corrupt("the points start at byte {}, but the header takes {} and the file ends at {}", start, kHeaderBytes,
                 bytes.size());
  }
  const uint64_t count = point_count(file, minor);
  if (count > (bytes.size() - start) / header.record_bytes) {
    file.corrupt("{} points of {} bytes do not fit the {} bytes after the header", count, header.record_bytes,
                 bytes.size() - start);
  }
  header.points = bytes.data() + start;
  header.count = static_cast<int64_t>(count);
  for (size_t axis = 0; axis < 3; ++axis) {
    header.scale[axis] = load<double>(bytes.data() + kScale + axis * sizeof(double));
    header.offset[axis] = load<double>(bytes.data() + kOffset + axis * sizeof(double));
    if (!std::isfinite(header.scale[axis]) || header.scale[axis] == 0 || !std::isfinite(header.offset[axis])) {
      file.corrupt("scale {} and offset {} of axis {} must be finite, and the scale not zero", header.scale[axis],
                   header.offset[axis], axis);
    }
  }
  return header;
}

// The points themselves are asked rather than the header's min, which many writers leave wrong: a false one would cost
// the precision that the origin is there to keep.
double axis_origin(const ScanFile& file, const LasHeader& header, size_t axis) {
  if (header.count == 0) return 0;
  double smallest = std::numeric_limits<double>::infinity();
  for (int64_t row = 0; row < header.count; ++row) smallest = std::min(smallest, header.position(row, axis));
  if (!std::isfinite(smallest)) file.corrupt("scale and offset of axis {} take points out of float64", axis);
  return std::floor(smallest);
}

// 1 where every colour fits 8 bits, as some writers leave them; the format's own are 16 bits wide.
uint16_t colour_divisor(const LasHeader& header) {
  for (int64_t row = 0; row < header.count; ++row) {
    for (size_t channel = 0; channel < 3; ++channel) {
      if (header.colour(row, channel) > 255) return 256;
    }
  }
  return 1;
}

}  // namespace

PointCloud read_las(const ScanFile& file, const PointReadOptions&) {
  const LasHeader header = read_header(file);
  const bool coloured = header.format.colour != 0;
  PointCloud cloud;
  cloud.columns = {"x", "y", "z", "intensity", "classification"};
  if (coloured) cloud.columns.insert(cloud.columns.end(), {"r", "g", "b"});
  for (size_t axis = 0; axis < 3; ++axis) cloud.origin[axis] = axis_origin(file, header, axis);
  const int divisor = coloured ? colour_divisor(header) : 1;
  cloud.values = Tensor::empty(DType::f32, {header.count, static_cast<int64_t>(cloud.columns.size())});
  float* to = cloud.values.mutable_data<float>();
  for (int64_t row = 0; row < header.count; ++row) {
    const std::byte* point = header.point(row);
    for (size_t axis = 0; axis < 3; ++axis) *to++ = static_cast<float>(header.position(row, axis) - cloud.origin[axis]);
    *to++ = load<uint16_t>(point + kIntensity);
    *to++ = static_cast<float>(load<uint8_t>(point + header.format.classification) & header.format.class_mask);
    if (!coloured) continue;
    for (size_t channel = 0; channel < 3; ++channel) *to++ = static_cast<float>(header.colour(row, channel) / divisor);
  }
  return cloud;
}

}  // namespace lattice
