#include "lattice/picture.h"

#include <gmock/gmock.h>
#include <png.h>

#include "io/file_bytes.h"

namespace lattice {
namespace {

using testing::HasSubstr;

Picture decoded(const std::string& bytes) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()), 0) << image.message;
  EXPECT_EQ(image.format, static_cast<png_uint_32>(PNG_FORMAT_RGB));
  image.format = PNG_FORMAT_RGB;
  Picture picture{static_cast<int>(image.width), static_cast<int>(image.height), {}};
  picture.pixels.resize(size_t{image.width} * image.height);
  EXPECT_NE(png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr), 0) << image.message;
  return picture;
}

TEST(Picture, ComesBackPixelForPixel) {
  const TempFolder folder;
  for (const auto& [width, height] : {std::pair(1, 1), std::pair(3, 2), std::pair(257, 31)}) {
    Picture picture{width, height, {}};
    for (int i = 0; i < width * height; ++i) {
      picture.pixels.push_back({static_cast<uint8_t>(i), static_cast<uint8_t>(i * 7), static_cast<uint8_t>(i / 5)});
    }
    write_png(folder / "picture.png", picture);
    const Picture read = decoded(file_bytes(folder / "picture.png"));
    EXPECT_EQ(read.width, width);
    EXPECT_EQ(read.height, height);
    EXPECT_EQ(read.pixels, picture.pixels);
  }
  EXPECT_EQ(folder.files(), 1u);
}

TEST(Picture, RefusesSizesThatDoNotFit) {
  const TempFolder folder;
  const auto path = folder / "picture.png";
  const auto message = [&](const Picture& picture) {
    return error_of(ErrorCode::invalid_argument, [&] { write_png(path, picture); });
  };
  EXPECT_THAT(message({0, 4, {}}), HasSubstr("0 x 4"));
  EXPECT_THAT(message({-1, -1, {Rgb{}}}), HasSubstr("-1 x -1"));
  EXPECT_THAT(message({2, 2, std::vector<Rgb>(3)}), HasSubstr("3 pixels do not fill 2 x 2"));
  EXPECT_THAT(message({2, 2, std::vector<Rgb>(3)}), HasSubstr(path.string()));
  // libpng's own limit of a million columns, reported instead of jumped over.
  EXPECT_THAT(message({1000001, 1, std::vector<Rgb>(1000001)}), HasSubstr("cannot be encoded"));
  EXPECT_EQ(folder.files(), 0u);
}

TEST(Picture, ReportsWhatCannotBeWritten) {
  const TempFolder folder;
  const Picture picture{1, 1, {Rgb{1, 2, 3}}};
  EXPECT_THAT(error_of(ErrorCode::io, [&] { write_png(folder / "absent/picture.png", picture); }),
              HasSubstr("write_png: cannot create"));
}

}  // namespace
}  // namespace lattice
