#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lattice {

/// One colour, 8 bits a channel (sRGB).
struct Rgb {
  uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Rgb&) const = default;
};

/// A picture: `pixels` holds height x width colours, row-major, the top row first.
struct Picture {
  int width = 0;
  int height = 0;
  std::vector<Rgb> pixels;
};

/// Writes an 8-bit RGB PNG. The file appears whole or not at all; an older file of that name stays until then.
/// Throws invalid_argument where a size is not positive, differs from the number of pixels or exceeds what PNG holds,
/// io where the file cannot be written. Safe to call from several threads on different paths.
void write_png(const std::filesystem::path& path, const Picture& picture);

}  // namespace lattice
