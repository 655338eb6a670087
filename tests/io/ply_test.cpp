#include <gmock/gmock.h>

#include <cmath>

#include "io/file_bytes.h"
#include "io/point_formats.h"
#include "lattice/point_file.h"

namespace lattice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kXyz = "property float x\nproperty float y\nproperty float z\n";

std::string ply(const std::string& format, const std::string& elements, const std::string& body) {
  return "ply\nformat " + format + " 1.0\ncomment made by hand\nobj_info none\n" + elements + "end_header\n" + body;
}

class Ply : public testing::Test {
 protected:
  PointCloud read(const std::string& bytes) { return read_points(folder_.write("scan.ply", bytes)); }
  std::vector<float> values(const std::string& bytes) {
    const PointCloud cloud = read(bytes);
    return {cloud.values.values<float>().begin(), cloud.values.values<float>().end()};
  }
  std::string refusal(const std::string& bytes) {
    const std::string message = error_of(ErrorCode::corrupt_file, [&] { read(bytes); });
    EXPECT_THAT(message, HasSubstr((folder_ / "scan.ply").string()));
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message;
  }

  TempFolder folder_;
};

// Faces before the vertices, a list within the vertices, every type under both its names.
const std::string kMixed =
    "element face 2\nproperty list uchar int vertex_indices\nproperty uint8 flags\nelement empty 3\n"
    "element vertex 2\nproperty char a\nproperty int8 a2\nproperty uchar red\nproperty uint8 green\n"
    "property short c\nproperty int16 c2\nproperty list ushort double weights\nproperty ushort d\nproperty uint16 d2\n"
    "property int e\nproperty int32 e2\nproperty uint f\nproperty uint32 f2\nproperty double z\nproperty float64 y\n"
    "property float x\nproperty float32 Blue\nelement tail 1\nproperty float t\n";

std::string mixed_body(std::endian order) {
  std::string body = bytes_of<uint8_t>({3}, order) + bytes_of<int32_t>({0, 1, 2}, order) +
                     bytes_of<uint8_t>({9}, order) + bytes_of<uint8_t>({0, 9}, order);
  for (int k = 0; k < 2; ++k) {
    body += bytes_of<int8_t>({-100, -101}, order) + bytes_of<uint8_t>({200, 201}, order) +
            bytes_of<int16_t>({-30000, -30001}, order);
    body += k == 0 ? bytes_of<uint16_t>({0}, order) : bytes_of<uint16_t>({2}, order) + bytes_of<double>({1, 2}, order);
    body += bytes_of<uint16_t>({60000, 60001}, order) + bytes_of<int32_t>({-70000, -70001}, order) +
            bytes_of<uint32_t>({3000000000u, 4000000000u}, order) + bytes_of<double>({3.5, 2.5}, order) +
            bytes_of<float>({1.5f + static_cast<float>(k), 0.5f}, order);
  }
  return body + bytes_of<float>({1}, order);
}

void expect_mixed(const PointCloud& cloud) {
  EXPECT_THAT(cloud.columns,
              ElementsAre("x", "y", "z", "a", "a2", "r", "g", "c", "c2", "d", "d2", "e", "e2", "f", "f2", "blue"));
  ASSERT_EQ(cloud.rows(), 2);
  const auto all = cloud.values.values<float>();
  EXPECT_THAT(std::vector<float>(all.begin(), all.begin() + 16),
              ElementsAre(1.5f, 2.5f, 3.5f, -100, -101, 200, 201, -30000, -30001, 60000, 60001, -70000, -70001, 3e9f,
                          4e9f, 0.5f));
  EXPECT_EQ(all[16], 2.5f);
  EXPECT_EQ(all[31], 0.5f);
}

TEST_F(Ply, BinaryOfEitherOrder) {
  expect_mixed(read(ply("binary_little_endian", kMixed, mixed_body(std::endian::little))));
  expect_mixed(read(ply("binary_big_endian", kMixed, mixed_body(std::endian::big))));
}

TEST_F(Ply, Text) {
  const std::string rest = " 60000 60001 -70000 -70001 3000000000 4000000000 3.5 2.5 ";
  expect_mixed(read(ply("ascii", kMixed,
                        "3 0 1 2 9\n0 9\n-100 -101 200 201 -30000 -30001 0" + rest +
                            "1.5 .5\r\n-100 -101 200 201 -30000 -30001 2 1 2" + rest + "2.5 5e-1\n1\n")));
}

TEST_F(Ply, ColoursAndNaN) {
  const std::string elements =
      "element vertex 1\n" + kXyz + "property uchar red\nproperty uchar green\nproperty uchar blue\n";
  EXPECT_THAT(read(ply("ascii", elements, "1 2 3 4 5 6")).columns, ElementsAre("x", "y", "z", "r", "g", "b"));
  EXPECT_TRUE(std::isnan(values(ply("ascii", elements, "nan 2 3 4 5 6"))[0]));
}

TEST_F(Ply, KeepsPrecisionOfMaps) {
  const std::string elements = "element vertex 2\nproperty double x\nproperty double y\nproperty double z\n";
  const PointCloud cloud =
      read(ply("binary_little_endian", elements, bytes_of<double>({691000.125, 5335000.5, 510, 691010, 5335001, 511})));
  EXPECT_THAT(cloud.origin, ElementsAre(691000, 5335000, 0));
  EXPECT_EQ(cloud.values.values<float>()[0], 0.125f);
  EXPECT_EQ(cloud.values.values<float>()[1], 0.5f);
  EXPECT_EQ(cloud.values.values<float>()[5], 511.f);
}

TEST_F(Ply, WindowsLineEnds) {
  EXPECT_THAT(
      values("ply\r\nformat binary_little_endian 1.0\r\nelement vertex 1\r\nproperty float x\r\nproperty float y\r\n"
             "property float z\r\nend_header\r\n" +
             bytes_of<float>({1, 2, 3})),
      ElementsAre(1, 2, 3));
}

TEST_F(Ply, NoVertices) {
  EXPECT_EQ(read(ply("ascii", "element vertex 0\n" + kXyz, "")).rows(), 0);
  EXPECT_EQ(read(ply("binary_little_endian", "element vertex 0\n" + kXyz, "")).rows(), 0);
}

TEST_F(Ply, RefusesHostileSizes) {
  const std::string data(64, ' ');
  for (const char* format : {"ascii", "binary_little_endian", "binary_big_endian"}) {
    for (const char* count : {"1152921504606846976", "9223372036854775807", "7"}) {
      EXPECT_THAT(refusal(ply(format, std::string("element vertex ") + count + "\n" + kXyz, data)), testing::Not(""))
          << count;
    }
    for (const char* count : {"-1", "1.5", "nan", "99999999999999999999", ""}) {
      EXPECT_THAT(refusal(ply(format, std::string("element vertex ") + count + "\n" + kXyz, data)),
                  HasSubstr("count from 0"));
    }
    // An element without properties takes no room, however many of it there are, and ends at once.
    EXPECT_EQ(read(ply(format, "element none 9223372036854775807\nelement vertex 0\n" + kXyz, data)).rows(), 0);
    EXPECT_THAT(refusal(ply(format, "element vertex 9223372036854775807\n", data)), HasSubstr("no field x"));
  }
}

TEST_F(Ply, RefusesHostileLists) {
  const std::string elements = "element face 1\nproperty list int double v\nelement vertex 0\n" + kXyz;
  EXPECT_THAT(refusal(ply("binary_little_endian", elements, bytes_of<int32_t>({-1, 0, 0, 0}))),
              HasSubstr("a list of 'v'"));
  EXPECT_THAT(refusal(ply("binary_little_endian", elements, bytes_of<int32_t>({2000000000, 0}))),
              HasSubstr("a list of 'v'"));
  EXPECT_THAT(refusal(ply("binary_little_endian", elements, bytes_of<int32_t>({3, 0, 0}))), HasSubstr("too early"));
  EXPECT_THAT(refusal(ply("ascii", elements, "-1 0")), HasSubstr("a list of 'v'"));
  EXPECT_THAT(refusal(ply("ascii", elements, "nan 0")), HasSubstr("a list of 'v'"));
  EXPECT_THAT(refusal(ply("ascii", elements, "1e300 0")), HasSubstr("a list of 'v'"));
  EXPECT_THAT(refusal(ply("ascii", elements, "3 0 0   ")), HasSubstr("too early"));
}

TEST_F(Ply, RefusesBadHeaders) {
  const std::string vertex = "element vertex 1\n" + kXyz;
  EXPECT_THAT(refusal("plyx\n"), HasSubstr("not `ply`"));
  EXPECT_THAT(refusal("ply\nformat ascii 1.0\n"), HasSubstr("without end_header"));
  EXPECT_THAT(refusal("ply\n" + vertex + "end_header\n1 2 3"), HasSubstr("no format"));
  EXPECT_THAT(refusal(ply("binary", vertex, "")), HasSubstr("the format is not"));
  EXPECT_THAT(refusal(ply("ascii", "property float x\n", "")), HasSubstr("unexpected header line 'property float x'"));
  EXPECT_THAT(refusal(ply("ascii", "element vertex 1\nproperty half x\n", "")), HasSubstr("'half' is no type"));
  EXPECT_THAT(refusal(ply("ascii", "element vertex 1\nproperty float\n", "")), HasSubstr("2 words"));
  EXPECT_THAT(refusal(ply("ascii", "element vertex 1\nproperty list float int v\n", "")), HasSubstr("not an integer"));
  EXPECT_THAT(refusal(ply("ascii", "element vertex 1\nproperty float x\nproperty float y\n", "1 2")),
              HasSubstr("no field z"));
  EXPECT_THAT(refusal(ply("ascii", vertex + "property float x\n", "1 2 3 4")), HasSubstr("unique"));
  EXPECT_THAT(refusal(ply("ascii", "element point 1\n" + kXyz, "1 2 3")), HasSubstr("no element vertex"));
  EXPECT_THAT(refusal(ply("ascii", vertex, "1 2 three")), HasSubstr("'three' is no number"));
}

TEST_F(Ply, NoPrefixOrFlippedBitCrashes) {
  const auto read_bytes = [](std::string_view text) {
    // In memory of its very size, so that a sanitizer sees a read beyond the end.
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    const std::vector<std::byte> exact(bytes.begin(), bytes.end());
    read_ply(ScanFile{"scan", exact}, {});
  };
  const std::string elements =
      "element face 1\nproperty list uchar int v\nelement vertex 2\n" + kXyz + "property uchar red\n";
  const auto body = [](std::endian order) {
    return bytes_of<uint8_t>({2}) + bytes_of<int32_t>({0, 1}, order) + bytes_of<float>({1, 2, 3}, order) + "r" +
           bytes_of<float>({4, 5, 6}, order) + "r";
  };
  for (const std::string& whole : {ply("binary_little_endian", elements, body(std::endian::little)),
                                   ply("binary_big_endian", elements, body(std::endian::big)),
                                   ply("ascii", elements, "2 0 1\n1 2 3 4\n-5 6.5e2 nan 9\n")}) {
    read_bytes(whole);
    expect_prefixes_safe(whole, read_bytes);
    expect_flips_safe(whole, read_bytes);
  }
}

}  // namespace
}  // namespace lattice
