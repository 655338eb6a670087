#include "top_view.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace lattice::cli {
namespace {

constexpr Rgb kBackground = {16, 18, 22};

// Ten colours that tell classes apart on a dark ground.
constexpr std::array<Rgb, 10> kBoxColours = {{{78, 205, 196},
                                              {255, 107, 107},
                                              {255, 230, 109},
                                              {162, 155, 254},
                                              {253, 150, 68},
                                              {129, 236, 236},
                                              {250, 130, 200},
                                              {186, 220, 88},
                                              {116, 185, 255},
                                              {223, 230, 233}}};

struct Pixel {
  double x, y;
};

class Canvas {
 public:
  Canvas(const TopViewRange& range, int side)
      : range_(range), picture_{side, side, std::vector<Rgb>(static_cast<size_t>(side) * side, kBackground)} {}

  /// Metres to pixels.
  Pixel at(float x, float y) const {
    const double scale = picture_.width / static_cast<double>(range_.size);
    return {(static_cast<double>(x) - range_.x) * scale, picture_.height - (static_cast<double>(y) - range_.y) * scale};
  }

  void brighten(Pixel p) {
    if (Rgb* pixel = find(p)) {
      const auto raise = [](uint8_t value) { return static_cast<uint8_t>(std::min(value + 60, 200)); };
      *pixel = {raise(pixel->r), raise(pixel->g), raise(pixel->b)};
    }
  }

  void line(Pixel from, Pixel to, Rgb colour) {
    const double length = std::hypot(to.x - from.x, to.y - from.y);
    if (!(length < 4.0 * picture_.width)) return;  // not finite, or a box that no picture holds
    const int steps = static_cast<int>(std::ceil(length)) + 1;
    for (int i = 0; i <= steps; ++i) {
      const double t = static_cast<double>(i) / steps;
      if (Rgb* pixel = find({from.x + (to.x - from.x) * t, from.y + (to.y - from.y) * t})) *pixel = colour;
    }
  }

  Picture take() { return std::move(picture_); }

 private:
  Rgb* find(Pixel p) {
    if (!(p.x >= 0 && p.x < picture_.width && p.y >= 0 && p.y < picture_.height)) return nullptr;
    return &picture_.pixels[static_cast<size_t>(p.y) * static_cast<size_t>(picture_.width) + static_cast<size_t>(p.x)];
  }

  TopViewRange range_;
  Picture picture_;
};

void draw_box(Canvas& canvas, const Box& box) {
  const Rgb colour = kBoxColours[static_cast<size_t>(box.label) % kBoxColours.size()];
  const float along_x = std::cos(box.heading), along_y = std::sin(box.heading);
  const auto corner = [&](float length, float width) {
    return canvas.at(box.x + along_x * length - along_y * width, box.y + along_y * length + along_x * width);
  };
  const float l = box.length / 2, w = box.width / 2;
  canvas.line(corner(l, w), corner(l, -w), colour);
  canvas.line(corner(l, -w), corner(-l, -w), colour);
  canvas.line(corner(-l, -w), corner(-l, w), colour);
  canvas.line(corner(-l, w), corner(l, w), colour);
  canvas.line(corner(0, 0), corner(l, 0), colour);
}

}  // namespace

Picture draw_top_view(const PointCloud& points, std::span<const Box> boxes, const TopViewRange& range, int side) {
  Canvas canvas(range, side);
  const int64_t columns = points.values.size(1);
  for (int64_t row = 0; row < points.rows(); ++row) {
    const float* point = points.values.data<float>() + row * columns;
    canvas.brighten(canvas.at(point[0], point[1]));
  }
  for (const Box& box : boxes) draw_box(canvas, box);
  return canvas.take();
}

}  // namespace lattice::cli
