#include <gmock/gmock.h>

#include <cmath>

#include "io/file_bytes.h"
#include "io/point_formats.h"
#include "lattice/point_file.h"

namespace lattice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Per point format: bytes of a record and the offset of its colours, from the specification's tables.
struct FormatRow {
  uint8_t id;
  size_t bytes;
  size_t colour;
};
constexpr FormatRow kFormats[] = {{0, 20, 0}, {1, 28, 0},  {2, 26, 20}, {3, 34, 28}, {4, 57, 0},  {5, 63, 28},
                                  {6, 30, 0}, {7, 36, 30}, {8, 38, 30}, {9, 59, 0},  {10, 67, 30}};

struct LasFile {
  uint8_t minor = 2;
  FormatRow format = kFormats[0];
  size_t extra = 0;  // bytes behind each record
  std::vector<std::array<int32_t, 3>> points = {{0, -50, 1000}, {12345, 0, -1000}};
  uint16_t brightest = 65535;

  size_t header_bytes() const { return minor == 4 ? 375u : 227u; }

  std::string bytes() const {
    std::string file(header_bytes(), '\0');
    file.replace(0, 4, "LASF");
    put<uint8_t>(file, 24, 1);
    put<uint8_t>(file, 25, minor);
    put<uint16_t>(file, 94, static_cast<uint16_t>(header_bytes()));
    put<uint32_t>(file, 96, static_cast<uint32_t>(header_bytes() + 2));
    put<uint8_t>(file, 104, format.id);
    put<uint16_t>(file, 105, static_cast<uint16_t>(format.bytes + extra));
    if (minor < 4) put<uint32_t>(file, 107, static_cast<uint32_t>(points.size()));
    if (minor == 4) put<uint64_t>(file, 247, points.size());
    for (size_t axis = 0; axis < 3; ++axis) {
      put<double>(file, 131 + 8 * axis, 0.01);
      put<double>(file, 155 + 8 * axis, axis == 0 ? 500000.5 : axis == 1 ? 5400000.0 : 100.0);
    }
    file += "\xcc\xdd";  // something between header and points
    for (const auto& point : points) file += record(point);
    return file;
  }

  std::string record(const std::array<int32_t, 3>& point) const {
    std::string bytes(format.bytes + extra, '\x7f');
    for (size_t axis = 0; axis < 3; ++axis) put<int32_t>(bytes, 4 * axis, point[axis]);
    put<uint16_t>(bytes, 12, 40000);
    // Formats 0 to 5 share the byte with three flags.
    if (format.id < 6) put<uint8_t>(bytes, 15, 0xe0 | 17);
    if (format.id >= 6) put<uint8_t>(bytes, 16, 200);
    for (size_t channel = 0; format.colour != 0 && channel < 3; ++channel) {
      put<uint16_t>(bytes, format.colour + 2 * channel, channel == 0 ? brightest : channel == 1 ? 255 : 0);
    }
    return bytes;
  }
};

class Las : public testing::Test {
 protected:
  PointCloud read(const std::string& bytes) { return read_points(folder_.write("tile.las", bytes)); }
  std::string refusal(const std::string& bytes, ErrorCode code = ErrorCode::corrupt_file) {
    const std::string message = error_of(code, [&] { read(bytes); });
    EXPECT_THAT(message, HasSubstr((folder_ / "tile.las").string()));
    return message;
  }

  TempFolder folder_;
};

TEST_F(Las, EveryPointFormat) {
  for (const uint8_t minor : std::initializer_list<uint8_t>{2, 3, 4}) {
    for (const FormatRow& format : kFormats) {
      const PointCloud cloud = read(LasFile{minor, format, size_t{format.id} % 3}.bytes());
      ASSERT_EQ(cloud.rows(), 2);
      EXPECT_THAT(cloud.origin, ElementsAre(500000, 5399999, 90));
      const auto all = cloud.values.values<float>();
      const float label = format.id < 6 ? 17.f : 200.f;
      if (format.colour == 0) {
        EXPECT_THAT(cloud.columns, ElementsAre("x", "y", "z", "intensity", "classification"));
        EXPECT_THAT(std::vector<float>(all.begin(), all.begin() + 5), ElementsAre(0.5f, 0.5f, 20, 40000, label));
      } else {
        EXPECT_THAT(cloud.columns, ElementsAre("x", "y", "z", "intensity", "classification", "r", "g", "b"));
        EXPECT_THAT(std::vector<float>(all.begin(), all.begin() + 8),
                    ElementsAre(0.5f, 0.5f, 20, 40000, label, 255, 0, 0));
      }
      const size_t second = cloud.columns.size();
      EXPECT_NEAR(all[second], 123.95, 1e-5);  // half a unit of float32 at 124
      EXPECT_EQ(all[second + 1], 1.f);
    }
  }
}

TEST_F(Las, ColoursOf8BitsStay) {
  LasFile file;
  file.format = kFormats[2];
  file.brightest = 254;
  const PointCloud cloud = read(file.bytes());
  EXPECT_EQ(cloud.values.values<float>()[5], 254);
  EXPECT_EQ(cloud.values.values<float>()[6], 255);
}

TEST_F(Las, NoPoints) {
  LasFile file;
  file.points.clear();
  const PointCloud cloud = read(file.bytes());
  EXPECT_EQ(cloud.rows(), 0);
  EXPECT_THAT(cloud.origin, ElementsAre(0, 0, 0));
}

TEST_F(Las, CompressedNamesTheRemedy) {
  std::string bytes = LasFile{}.bytes();
  for (const uint8_t format : std::initializer_list<uint8_t>{0x80, 0x83, 0x46}) {
    put<uint8_t>(bytes, 104, format);
    EXPECT_THAT(refusal(bytes, ErrorCode::unsupported), HasSubstr("laszip"));
    EXPECT_THAT(error_of(ErrorCode::unsupported, [&] { read_points(folder_.write("tile.laz", bytes)); }),
                HasSubstr("LAZ"));
  }
}

TEST_F(Las, OtherVersions) {
  for (const uint8_t minor : std::initializer_list<uint8_t>{0, 1, 5}) {
    std::string bytes = LasFile{}.bytes();
    put<uint8_t>(bytes, 25, minor);
    EXPECT_THAT(refusal(bytes, ErrorCode::unsupported), HasSubstr("1.2 to 1.4"));
  }
}

TEST_F(Las, RefusesBadHeaders) {
  const auto with = [&](uint8_t minor, size_t at, auto value) {
    LasFile file;
    file.minor = minor;
    std::string bytes = file.bytes();
    put(bytes, at, value);
    return refusal(bytes);
  };
  EXPECT_THAT(with(2, 0, 'X'), HasSubstr("LASF"));
  EXPECT_THAT(with(2, 104, uint8_t{11}), HasSubstr("point format 11"));
  EXPECT_THAT(with(2, 105, uint16_t{19}), HasSubstr("records of 19 bytes"));
  EXPECT_THAT(with(2, 105, uint16_t{0}), HasSubstr("records of 0 bytes"));
  EXPECT_THAT(with(2, 96, uint32_t{100}), HasSubstr("start at byte 100"));
  EXPECT_THAT(with(2, 96, ~uint32_t{0}), HasSubstr("start at byte"));
  EXPECT_THAT(with(2, 107, uint32_t{3}), HasSubstr("3 points of 20 bytes do not fit the 40 bytes"));
  EXPECT_THAT(with(2, 107, ~uint32_t{0}), HasSubstr("do not fit"));
  EXPECT_THAT(with(4, 247, uint64_t{1} << 60), HasSubstr("do not fit"));
  EXPECT_THAT(with(4, 247, ~uint64_t{0}), HasSubstr("do not fit"));
  for (const double bad : {std::nan(""), double{INFINITY}, 0.0}) EXPECT_THAT(with(2, 131, bad), HasSubstr("finite"));
  EXPECT_THAT(with(2, 155, std::nan("")), HasSubstr("finite"));
  EXPECT_THAT(with(2, 131, -1e308), HasSubstr("out of float64"));
}

TEST_F(Las, NoPrefixOrFlippedBitCrashes) {
  const auto read_bytes = [](std::string_view text) {
    // In memory of its very size, so that a sanitizer sees a read beyond the end.
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    const std::vector<std::byte> exact(bytes.begin(), bytes.end());
    read_las(ScanFile{"scan", exact}, {});
  };
  for (const uint8_t minor : std::initializer_list<uint8_t>{2, 4}) {
    LasFile file;
    file.minor = minor;
    file.format = kFormats[7];
    const std::string whole = file.bytes();
    expect_prefixes_safe(whole, read_bytes);
    expect_flips_safe(whole, read_bytes);
  }
}

}  // namespace
}  // namespace lattice
