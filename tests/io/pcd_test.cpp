#include <gmock/gmock.h>

#include <cmath>

#include "io/file_bytes.h"
#include "io/point_formats.h"
#include "lattice/point_file.h"

namespace lattice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

struct Fields {
  std::string names = "x y z";
  std::string sizes = "4 4 4";
  std::string types = "F F F";
  std::string counts = "1 1 1";
};

std::string pcd(const Fields& fields, const std::string& width, const std::string& data_kind, const std::string& data) {
  return "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS " + fields.names + "\nSIZE " + fields.sizes +
         "\nTYPE " + fields.types + "\nCOUNT " + fields.counts + "\nWIDTH " + width + "\nHEIGHT 1\n" +
         "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS " + width + "\nDATA " + data_kind + "\n" + data;
}

// An LZF block of literals alone: runs of up to 32 bytes, each behind its length less one.
std::string lzf_literals(std::string_view bytes) {
  std::string block;
  for (size_t i = 0; i < bytes.size(); i += 32) {
    const std::string_view run = bytes.substr(i, 32);
    block += static_cast<char>(run.size() - 1);
    block += run;
  }
  return block;
}

std::string compressed(std::string_view expanded) {
  const std::string block = lzf_literals(expanded);
  return bytes_of<uint32_t>({static_cast<uint32_t>(block.size()), static_cast<uint32_t>(expanded.size())}) + block;
}

class Pcd : public testing::Test {
 protected:
  PointCloud read(const std::string& bytes) { return read_points(folder_.write("scan.pcd", bytes)); }
  std::vector<float> values(const std::string& bytes) {
    const PointCloud cloud = read(bytes);
    return {cloud.values.values<float>().begin(), cloud.values.values<float>().end()};
  }
  std::string refusal(const std::string& bytes) {
    const std::string message = error_of(ErrorCode::corrupt_file, [&] { read(bytes); });
    EXPECT_THAT(message, HasSubstr((folder_ / "scan.pcd").string()));
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message;
  }

  TempFolder folder_;
};

// Every type, padding, a field of several elements, positions last; two points.
const Fields kMixed = {"A _ i8 i16 i32 i64 u16 u32 u64 h x y z", "1 2 1 2 4 8 2 4 8 4 8 4 4",
                       "U U I I I I U U U F F F F", "1 1 1 1 1 1 1 1 1 2 1 1 1"};

std::vector<std::string> mixed_fields(int k) {
  return {bytes_of<uint8_t>({static_cast<uint8_t>(200 + k)}),
          bytes_of<uint16_t>({0xdead}),
          bytes_of<int8_t>({-100}),
          bytes_of<int16_t>({-30000}),
          bytes_of<int32_t>({-70000}),
          bytes_of<int64_t>({-5000000000}),
          bytes_of<uint16_t>({60000}),
          bytes_of<uint32_t>({4000000000u}),
          bytes_of<uint64_t>({uint64_t{1} << 63}),
          bytes_of<float>({0.5f, 0.25f}),
          bytes_of<double>({1.5 + k}),
          bytes_of<float>({2.5f}),
          bytes_of<float>({3.5f})};
}

void expect_mixed(const PointCloud& cloud) {
  EXPECT_THAT(cloud.columns,
              ElementsAre("x", "y", "z", "a", "i8", "i16", "i32", "i64", "u16", "u32", "u64", "h_0", "h_1"));
  ASSERT_EQ(cloud.rows(), 2);
  const auto all = cloud.values.values<float>();
  EXPECT_THAT(
      std::vector<float>(all.begin(), all.begin() + 13),
      ElementsAre(1.5f, 2.5f, 3.5f, 200, -100, -30000, -70000, -5e9f, 60000, 4e9f, 9223372036854775808.f, 0.5f, 0.25f));
  EXPECT_EQ(all[13], 2.5f);
  EXPECT_EQ(all[16], 201);
}

TEST_F(Pcd, BinaryOfEveryType) {
  std::string data;
  for (int k = 0; k < 2; ++k) {
    for (const std::string& field : mixed_fields(k)) data += field;
  }
  expect_mixed(read(pcd(kMixed, "2", "binary", data)));
}

TEST_F(Pcd, CompressedOfEveryType) {
  std::string data;
  for (size_t f = 0; f < 13; ++f) data += mixed_fields(0)[f] + mixed_fields(1)[f];
  expect_mixed(read(pcd(kMixed, "2", "binary_compressed", compressed(data))));
}

TEST_F(Pcd, TextOfEveryType) {
  const std::string rest = " 57005 -100 -30000 -70000 -5000000000 60000 4000000000 9223372036854775808 .5 2.5e-1 ";
  expect_mixed(read(pcd(kMixed, "2", "ascii", "200" + rest + "1.5 2.5 +3.5\n\n 201" + rest + "2.5\t2.5 3.5\r\n")));
}

TEST_F(Pcd, CompressedWithAMatch) {
  // x = y = z = 1.0f for two points: four literal bytes, then a match of 20 bytes at distance 4.
  const std::string block = std::string("\x03\0\0\x80\x3f", 5) + std::string("\xe0\x0b\x03", 3);
  const std::string data = bytes_of<uint32_t>({static_cast<uint32_t>(block.size()), 24}) + block;
  EXPECT_THAT(values(pcd({}, "2", "binary_compressed", data)), ElementsAre(1, 1, 1, 1, 1, 1));
}

TEST_F(Pcd, SplitsPackedColours) {
  const std::string xyz = bytes_of<float>({1, 2, 3});
  const Fields as_float = {"x y z rgb", "4 4 4 4", "F F F F", "1 1 1 1"};
  const Fields as_uint = {"rgba x y z", "4 4 4 4", "U F F F", "1 1 1 1"};
  // With alpha 255 the bits are those of a NaN, and must come through all the same.
  const std::string opaque = bytes_of<uint32_t>({0xff112233u});
  EXPECT_THAT(values(pcd(as_float, "1", "binary", xyz + opaque)), ElementsAre(1, 2, 3, 0x11, 0x22, 0x33));
  const std::string data = pcd(as_uint, "1", "binary", opaque + xyz);
  EXPECT_THAT(read(data).columns, ElementsAre("x", "y", "z", "r", "g", "b", "alpha"));
  EXPECT_THAT(values(data), ElementsAre(1, 2, 3, 0x11, 0x22, 0x33, 255));
  // 4.2108e+06 is the tutorial's text of such a float; -1 is white as int32.
  const uint32_t bits = std::bit_cast<uint32_t>(4.2108e+06f);
  EXPECT_THAT(values(pcd(as_float, "1", "ascii", "1 2 3 4.2108e+06\n")),
              ElementsAre(1, 2, 3, static_cast<float>(bits >> 16 & 255), static_cast<float>(bits >> 8 & 255),
                          static_cast<float>(bits & 255)));
  EXPECT_THAT(values(pcd(as_uint, "1", "ascii", "4279312947 1 2 3\n")), ElementsAre(1, 2, 3, 0x11, 0x22, 0x33, 255));
  EXPECT_THAT(values(pcd(as_uint, "1", "ascii", "-1 1 2 3\n")), ElementsAre(1, 2, 3, 255, 255, 255, 255));
  EXPECT_THAT(refusal(pcd(as_uint, "1", "ascii", "4294967296 1 2 3\n")), HasSubstr("no number"));
  EXPECT_THAT(refusal(pcd(as_uint, "1", "ascii", "nan 1 2 3\n")), HasSubstr("no number"));
}

TEST_F(Pcd, KeepsNaN) {
  const auto text = values(pcd({}, "1", "ascii", "nan -inf 1e39\n"));
  EXPECT_TRUE(std::isnan(text[0]));
  EXPECT_EQ(text[1], -INFINITY);
  EXPECT_EQ(text[2], INFINITY);
}

TEST_F(Pcd, KeepsPrecisionOfMaps) {
  const Fields wide = {"x y z", "8 8 8", "F F F", "1 1 1"};
  const std::string data = bytes_of<double>({500000.25, -9000.75, 8191.5, 500001.125, NAN, -8191.5});
  const PointCloud cloud = read(pcd(wide, "2", "binary", data));
  EXPECT_THAT(cloud.origin, ElementsAre(500000, -9001, 0));
  EXPECT_EQ(cloud.values.values<float>()[0], 0.25f);
  EXPECT_EQ(cloud.values.values<float>()[1], 0.25f);
  EXPECT_EQ(cloud.values.values<float>()[2], 8191.5f);
  EXPECT_EQ(cloud.values.values<float>()[3], 1.125f);
}

TEST_F(Pcd, OrganizedAndOldHeaders) {
  EXPECT_EQ(read("VERSION .7\r\nCOLUMNS x y z\r\nSIZE 4 4 4\r\nTYPE F F F\r\nWIDTH 2\r\nHEIGHT 2\r\nDATA ascii\r\n"
                 "1 2 3\r\n4 5 6\r\n7 8 9\r\n1 1 1")
                .rows(),
            4);
  EXPECT_EQ(read(pcd({}, "0", "binary", "")).rows(), 0);
  EXPECT_EQ(read(pcd({}, "0", "ascii", "")).rows(), 0);
  EXPECT_EQ(read(pcd({}, "0", "binary_compressed", bytes_of<uint32_t>({0, 0}))).rows(), 0);
}

TEST_F(Pcd, RefusesHostileSizes) {
  const std::string data(64, 'x');
  for (const char* kind : {"ascii", "binary", "binary_compressed"}) {
    for (const char* width :
         {"1152921504606846976", "9223372036854775807", "-1", "1.5", "nan", "99999999999999999999"}) {
      EXPECT_THAT(refusal(pcd({}, width, kind, data)), testing::Not("")) << kind << " " << width;
    }
  }
  EXPECT_THAT(refusal(pcd({}, "1152921504606846976", "binary", data)), HasSubstr("do not fit the 64 bytes"));
  EXPECT_THAT(refusal("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 9223372036854775807\nHEIGHT 3\nDATA binary\n"),
              HasSubstr("64 bits"));
  Fields long_row;
  long_row.counts = "1 1 4611686018427387904";
  EXPECT_THAT(refusal(pcd(long_row, "0", "binary", "")), HasSubstr("longer than 4096"));
  long_row.counts = "1 1 -1";
  EXPECT_THAT(refusal(pcd(long_row, "0", "binary", "")), HasSubstr("COUNT is '-1'"));
}

TEST_F(Pcd, RefusesHostileBlocks) {
  const std::string good = compressed(bytes_of<float>({1, 2, 3}));
  EXPECT_THAT(values(pcd({}, "1", "binary_compressed", good)), ElementsAre(1, 2, 3));
  const auto with = [&](size_t at, uint32_t value) {
    std::string block = good;
    put(block, at, value);
    return refusal(pcd({}, "1", "binary_compressed", block));
  };
  EXPECT_THAT(with(0, 0xffffffffu), HasSubstr("does not fit the 13 bytes"));
  EXPECT_THAT(with(4, 0xffffffffu), HasSubstr("LZF reaches 88 times"));
  EXPECT_THAT(with(4, 13), HasSubstr("does not expand"));
  EXPECT_THAT(with(4, 11), HasSubstr("does not expand"));
  EXPECT_THAT(refusal(pcd({}, "2", "binary_compressed", good)), HasSubstr("do not fit the 12 bytes"));
}

TEST_F(Pcd, RefusesBadHeaders) {
  EXPECT_THAT(refusal(""), HasSubstr("without DATA"));
  EXPECT_THAT(refusal("POINTZ 3\n"), HasSubstr("unknown header line 'POINTZ 3'"));
  EXPECT_THAT(refusal("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nDATA ascii\n"), HasSubstr("no WIDTH"));
  EXPECT_THAT(refusal("WIDTH 1\nHEIGHT 1\nDATA ascii\n"), HasSubstr("no field"));
  EXPECT_THAT(refusal("WIDTH 1 2\nHEIGHT 1\nDATA ascii\n"), HasSubstr("the rule is one"));
  EXPECT_THAT(refusal("WIDTH 2\nHEIGHT 1\nPOINTS 3\nDATA ascii\n"), HasSubstr("POINTS is 3"));
  EXPECT_THAT(refusal(pcd({"x y z", "4 4", "F F F", "1 1 1"}, "0", "ascii", "")), HasSubstr("one for each field"));
  EXPECT_THAT(refusal(pcd({"x y z", "4 4 2", "F F F", "1 1 1"}, "0", "ascii", "")), HasSubstr("TYPE 'F' and SIZE '2'"));
  EXPECT_THAT(refusal(pcd({"x y w", "4 4 4", "F F F", "1 1 1"}, "0", "ascii", "")), HasSubstr("no field z"));
  EXPECT_THAT(refusal(pcd({"x y z X", "4 4 4 4", "F F F F", "1 1 1 1"}, "0", "ascii", "")), HasSubstr("unique"));
  EXPECT_THAT(refusal(pcd({}, "0", "zip", "")), HasSubstr("DATA is 'zip'"));
  EXPECT_THAT(refusal(pcd({}, "1", "ascii", "1 2 three\n")), HasSubstr("'three' is no number for field 'z'"));
  EXPECT_THAT(refusal(pcd({}, "1", "ascii", "1 2 3 4\n")), HasSubstr("point 0 has 4 values"));
  EXPECT_THAT(refusal(pcd({}, "2", "ascii", "1 2 3\n4 5      \n")), HasSubstr("point 1 has 2 values"));
}

TEST_F(Pcd, NoPrefixOrFlippedBitCrashes) {
  const auto read_bytes = [](std::string_view text) {
    // In memory of its very size, so that a sanitizer sees a read beyond the end.
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    const std::vector<std::byte> exact(bytes.begin(), bytes.end());
    read_pcd(ScanFile{"scan", exact}, {});
  };
  const Fields fields = {"x y z rgb _", "4 4 4 4 1", "F F F U U", "1 1 1 1 2"};
  const std::string row = bytes_of<float>({1, 2, 3}) + bytes_of<uint32_t>({0xff0000}) + "__";
  for (const std::string& whole :
       {pcd(fields, "2", "binary", row + row), pcd(fields, "1", "binary_compressed", compressed(row)),
        pcd(fields, "2", "ascii", "1 2 3 4 0 0\n-5 6.5e2 nan 9 0 0\n")}) {
    read_bytes(whole);
    expect_prefixes_safe(whole, read_bytes);
    expect_flips_safe(whole, read_bytes);
  }
}

}  // namespace
}  // namespace lattice
