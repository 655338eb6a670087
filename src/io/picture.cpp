#include "lattice/picture.h"

#include <png.h>

#include <cstddef>
#include <span>

#include "fail.h"
#include "io/output_file.h"

namespace lattice {

static_assert(sizeof(Rgb) == 3, "libpng reads the pixels as packed bytes");

void write_png(const std::filesystem::path& path, const Picture& picture) {
  if (picture.width <= 0 || picture.height <= 0) {
    fail(ErrorCode::invalid_argument, "write_png: {}: a picture of {} x {} pixels has none to write", path.string(),
         picture.width, picture.height);
  }
  const size_t pixels = static_cast<size_t>(picture.width) * static_cast<size_t>(picture.height);
  if (picture.pixels.size() != pixels) {
    fail(ErrorCode::invalid_argument, "write_png: {}: {} pixels do not fill {} x {}", path.string(),
         picture.pixels.size(), picture.width, picture.height);
  }
  // libpng's simplified interface keeps its long jumps to itself and reports errors in `message`.
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  std::vector<std::byte> encoded(PNG_IMAGE_PNG_SIZE_MAX(image));
  png_alloc_size_t size = encoded.size();
  if (png_image_write_to_memory(&image, encoded.data(), &size, 0, picture.pixels.data(), 0, nullptr) == 0) {
    fail(ErrorCode::invalid_argument, "write_png: {}: {} x {} pixels cannot be encoded: {}", path.string(),
         picture.width, picture.height, static_cast<const char*>(image.message));
  }
  OutputFile file(path, "write_png");
  file.write(std::span(encoded).first(size));
  file.commit();
}

}  // namespace lattice
