// read_points by name and content, raw rows, labels, and the writers.
#include "lattice/point_file.h"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "io/file_bytes.h"
#include "shared_data.h"

namespace lattice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<float> values_of(const PointCloud& cloud) {
  const auto values = cloud.values.values<float>();
  return {values.begin(), values.end()};
}

PointCloud cloud_of(const std::vector<std::string>& columns, const std::vector<float>& values) {
  PointCloud cloud;
  const auto width = static_cast<int64_t>(columns.size());
  cloud.values = Tensor::from(values, {static_cast<int64_t>(values.size()) / width, width});
  cloud.columns = columns;
  return cloud;
}

TEST(RawRows, NamesColumnsByTheirNumber) {
  const TempFolder folder;
  const std::string sixty = bytes_of<float>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
  const auto read = [&](std::string_view name, PointReadOptions options = {}) {
    return read_points(folder.write(name, sixty), options);
  };
  EXPECT_THAT(read("a.pcd.bin").columns, ElementsAre("x", "y", "z", "intensity", "ring"));
  EXPECT_EQ(read("a.pcd.bin").rows(), 3);
  EXPECT_EQ(read("A.PCD.BIN").rows(), 3);
  EXPECT_THAT(read("a.bin", {3, ""}).columns, ElementsAre("x", "y", "z"));
  EXPECT_THAT(values_of(read("a.bin", {5, ""})), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  EXPECT_EQ(read("a.dat", {3, "bin"}).rows(), 5);
  const std::string fiftysix = bytes_of<float>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14});
  EXPECT_THAT(read_points(folder.write("b.bin", fiftysix), {7, ""}).columns,
              ElementsAre("x", "y", "z", "c3", "c4", "c5", "c6"));
  const std::string six = bytes_of<float>({1, 2, 3, 4, 5, 6});
  EXPECT_THAT(read_points(folder.write("b.bin", six), {6, ""}).columns, ElementsAre("x", "y", "z", "r", "g", "b"));
}

TEST(RawRows, EmptyFileHasNoPoints) {
  const TempFolder folder;
  const PointCloud cloud = read_points(folder.write("a.bin", ""));
  EXPECT_EQ(cloud.rows(), 0);
  EXPECT_THAT(cloud.columns, ElementsAre("x", "y", "z", "intensity"));
}

TEST(RawRows, EveryPrefixIsRowsOrCorrupt) {
  const TempFolder folder;
  const std::string whole = bytes_of<float>({1, 2, 3, 4, 5, 6, 7, 8});
  for (size_t length = 0; length <= whole.size(); ++length) {
    const auto path = folder.write("a.bin", whole.substr(0, length));
    if (length % 16 == 0) {
      EXPECT_EQ(read_points(path).rows(), static_cast<int64_t>(length / 16));
    } else {
      EXPECT_THAT(error_of(ErrorCode::corrupt_file, [&] { read_points(path); }),
                  AllOf(HasSubstr(path.string()), HasSubstr("no whole number of rows of 4 float32")));
    }
  }
}

TEST(RawRows, RefusesImpossibleColumns) {
  const TempFolder folder;
  const auto path = folder.write("a.bin", "");
  for (const int64_t columns : {int64_t{0}, int64_t{2}, int64_t{-4}, int64_t{1} << 62}) {
    EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { read_points(path, {columns, ""}); }), HasSubstr("columns"));
  }
}

TEST(RawRows, RealScans) {
  const auto kitti = shared_data("scans/kitti_000008.bin");
  const auto nuscenes = shared_data("scans/nuscenes_lidar_top.bin");
  const auto scannet = shared_data("scans/scannet_scene0000.bin");
  if (!kitti || !nuscenes || !scannet) GTEST_SKIP() << "scans/ is absent";
  const PointCloud cloud = read_points(*kitti);
  EXPECT_EQ(cloud.rows(), 17238);
  EXPECT_EQ(cloud.column("intensity"), 3);
  EXPECT_EQ(read_points(*nuscenes, {5, ""}).rows(), 34688);
  const PointCloud room = read_points(*scannet, {6, ""});
  EXPECT_EQ(room.rows(), 40684);
  EXPECT_EQ(room.column("b"), 5);
}

TEST(PointFile, TellsTheFormatByNameThenContent) {
  const TempFolder folder;
  const std::string ply =
      "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
      "end_header\n1 2 3\n";
  for (const char* name : {"a.ply", "a.PLY", "a", "a.txt"}) EXPECT_EQ(read_points(folder.write(name, ply)).rows(), 1);
  EXPECT_EQ(read_points(folder.write("a.pcd", ply), {{}, "ply"}).rows(), 1);
  EXPECT_THAT(error_of(ErrorCode::corrupt_file, [&] { read_points(folder.write("a.pcd", ply)); }), HasSubstr("a.pcd"));
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { read_points(folder.write("a.xyz", "1 2 3")); }),
              HasSubstr("neither name nor content"));
  EXPECT_THAT(error_of(ErrorCode::invalid_argument,
                       [&] {
                         read_points(folder / "a.ply", {{}, "obj"});
                       }),
              HasSubstr("unknown format 'obj'"));
  EXPECT_THAT(error_of(ErrorCode::invalid_argument,
                       [&] {
                         read_points(folder / "a.ply", {4, ""});
                       }),
              HasSubstr("only bin needs them"));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { read_points(folder / "absent.ply"); }), HasSubstr("absent.ply"));
}

// Another process truncates the file meanwhile: there are fewer points or an error, but no fault.
TEST(PointFile, AFileThatShrinksIsAnErrorAtMost) {
  const TempFolder folder;
  constexpr size_t kBytes = size_t{4} << 20;
  const auto path = folder.write("scan.bin", std::string(kBytes, '\0'));
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) {
      std::filesystem::resize_file(path, 16);
      std::filesystem::resize_file(path, kBytes);
    }
  });
  int64_t errors = 0;
  for (int i = 0; i < 100; ++i) {
    try {
      const int64_t points = read_points(path).rows();
      EXPECT_TRUE(points == 1 || points == kBytes / 16) << points;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::io) << error.what();
      ++errors;
    }
  }
  done = true;
  other.join();
  EXPECT_LT(errors, 100);
}

TEST(Labels, ComeBack) {
  const TempFolder folder;
  const std::vector<uint32_t> labels = {0, 40, 0x00050000u | 10u, 0xffffffffu};
  write_labels(folder / "a.label", labels);
  EXPECT_EQ(file_bytes(folder / "a.label"), bytes_of<uint32_t>({0, 40, 0x0005000au, 0xffffffffu}));
  EXPECT_EQ(read_labels(folder / "a.label"), labels);
  write_labels(folder / "a.label", {});
  EXPECT_TRUE(read_labels(folder / "a.label").empty());
  EXPECT_THAT(error_of(ErrorCode::corrupt_file, [&] { read_labels(folder.write("b.label", "12345")); }),
              AllOf(HasSubstr("b.label"), HasSubstr("5 bytes")));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { write_labels(folder / "absent/a.label", labels); }), HasSubstr("absent"));
}

const std::vector<Rgb> kColours = {{255, 0, 7}, {1, 2, 3}};

TEST(WritePly, HasTheBytesOfTheFormat) {
  const TempFolder folder;
  write_ply(folder / "a.ply", cloud_of({"x", "y", "z", "intensity"}, {1, 2, 3, 0.5f}), std::vector<Rgb>{{9, 8, 7}},
            std::vector<uint32_t>{40});
  const std::string header =
      "ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
      "property float z\nproperty float intensity\nproperty uchar red\nproperty uchar green\n"
      "property uchar blue\nproperty uint label\nend_header\n";
  EXPECT_EQ(file_bytes(folder / "a.ply"),
            header + bytes_of<float>({1, 2, 3, 0.5f}) + bytes_of<uint8_t>({9, 8, 7}) + bytes_of<uint32_t>({40}));
}

TEST(WritePly, ComesBack) {
  const TempFolder folder;
  const PointCloud cloud = cloud_of({"x", "y", "z", "ring", "r"}, {1, 2, 3, 4, 200, -5, 6, 7.25f, 8, 100});
  write_ply(folder / "a.ply", cloud);
  const PointCloud same = read_points(folder / "a.ply");
  EXPECT_EQ(same.columns, cloud.columns);
  EXPECT_EQ(values_of(same), values_of(cloud));
  EXPECT_EQ(same.origin, cloud.origin);
  // Colours replace the column r.
  write_ply(folder / "a.ply", cloud, kColours, std::vector<uint32_t>{7, 8});
  const PointCloud painted = read_points(folder / "a.ply");
  EXPECT_THAT(painted.columns, ElementsAre("x", "y", "z", "ring", "r", "g", "b", "label"));
  EXPECT_THAT(values_of(painted), ElementsAre(1, 2, 3, 4, 255, 0, 7, 7, -5, 6, 7.25f, 8, 1, 2, 3, 8));
  EXPECT_EQ(folder.files(), 1u);
}

TEST(WritePcd, ComesBack) {
  const TempFolder folder;
  const PointCloud cloud = cloud_of({"x", "y", "z", "intensity", "g"}, {1, 2, 3, 4, 200, -5, 6, 7.25f, 8, 100});
  write_pcd(folder / "a.pcd", cloud);
  EXPECT_EQ(read_points(folder / "a.pcd").columns, cloud.columns);
  EXPECT_EQ(values_of(read_points(folder / "a.pcd")), values_of(cloud));
  write_pcd(folder / "a.pcd", cloud, kColours);
  const PointCloud painted = read_points(folder / "a.pcd");
  EXPECT_THAT(painted.columns, ElementsAre("x", "y", "z", "intensity", "r", "g", "b"));
  EXPECT_THAT(values_of(painted), ElementsAre(1, 2, 3, 4, 255, 0, 7, -5, 6, 7.25f, 8, 1, 2, 3));
}

TEST(Writers, KeepMapCoordinates) {
  const TempFolder folder;
  PointCloud cloud = cloud_of({"x", "y", "z"}, {0, 0.5f, 1.25f, 3.75f, 0, 2});
  cloud.origin = {500000, 5412345, 0};
  write_ply(folder / "a.ply", cloud);
  write_pcd(folder / "a.pcd", cloud);
  for (const char* name : {"a.ply", "a.pcd"}) {
    const PointCloud read = read_points(folder / name);
    EXPECT_EQ(read.origin, cloud.origin) << name;
    EXPECT_EQ(values_of(read), values_of(cloud)) << name;
  }
}

TEST(Writers, WriteEmptyClouds) {
  const TempFolder folder;
  write_ply(folder / "a.ply", PointCloud());
  write_pcd(folder / "a.pcd", PointCloud());
  for (const char* name : {"a.ply", "a.pcd"}) {
    EXPECT_EQ(read_points(folder / name).rows(), 0);
    EXPECT_THAT(read_points(folder / name).columns, ElementsAre("x", "y", "z"));
  }
}

TEST(Writers, RefuseBeforeTheyWrite) {
  const TempFolder folder;
  const auto path = folder.write("a", "old");
  const auto refused = [&](const PointCloud& cloud, std::span<const Rgb> colours = {}) {
    const std::string pcd = error_of(ErrorCode::invalid_argument, [&] { write_pcd(path, cloud, colours); });
    EXPECT_THAT(pcd, HasSubstr(path.string()));
    return error_of(ErrorCode::invalid_argument, [&] { write_ply(path, cloud, colours); });
  };
  const PointCloud good = cloud_of({"x", "y", "z", "a"}, {1, 2, 3, 4});
  EXPECT_THAT(refused(good, kColours), HasSubstr("2 colours for 1 points"));
  EXPECT_THAT(refused(cloud_of({"x", "y", "z", "a b"}, {1, 2, 3, 4})), HasSubstr("white space"));
  EXPECT_THAT(refused(cloud_of({"x", "y", "z", ""}, {1, 2, 3, 4})), HasSubstr("white space"));
  EXPECT_THAT(refused(cloud_of({"x", "y", "z", "z"}, {1, 2, 3, 4})), HasSubstr("unique"));
  EXPECT_THAT(refused(cloud_of({"x", "z", "y"}, {1, 2, 3})), HasSubstr("x, y, z first"));
  PointCloud torn = good;
  torn.columns.pop_back();
  EXPECT_THAT(refused(torn), HasSubstr("(1, 4)"));
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { write_ply(path, good, {}, std::vector<uint32_t>(3)); }),
              HasSubstr("3 labels for 1 points"));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { write_ply(folder / "absent/a.ply", good); }), HasSubstr("absent/a.ply"));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { write_pcd(folder / "absent/a.pcd", good); }), HasSubstr("absent/a.pcd"));
  EXPECT_EQ(file_bytes(path), "old");
  EXPECT_EQ(folder.files(), 1u);
}

}  // namespace
}  // namespace lattice
