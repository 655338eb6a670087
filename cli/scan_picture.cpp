#include "scan_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "lattice/error.h"

namespace lattice::cli {
namespace {

constexpr int kLargestSide = 8192;
constexpr int kSamples = 2;  // the picture is drawn so many times finer on each axis, then averaged
constexpr float kFarthest = 1e12f;
constexpr float kNothing = std::numeric_limits<float>::infinity();

struct Point {
  float x, y, z;
  size_t row;
};

/// The points that can be drawn. Squares of their coordinates stay within float.
std::vector<Point> finite_points(const PointCloud& cloud) {
  std::vector<Point> points;
  const auto columns = static_cast<size_t>(cloud.values.size(1));
  const auto values = cloud.values.values<float>();
  points.reserve(static_cast<size_t>(cloud.rows()));
  for (size_t row = 0; row < static_cast<size_t>(cloud.rows()); ++row) {
    const float* p = values.data() + row * columns;
    if (std::all_of(p, p + 3, [](float value) { return std::abs(value) < kFarthest; }))
      points.push_back({p[0], p[1], p[2], row});
  }
  return points;
}

/// The value that `share` of the values lie below. Reorders them; there must be one.
float percentile(std::vector<float>& values, double share) {
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

struct Interval {
  float low, high;
  float middle() const { return (low + high) / 2; }
  float length() const { return high - low; }
};

template <typename Axis>
Interval extent(const std::vector<Point>& points, double share, Axis axis) {
  std::vector<float> values;
  values.reserve(points.size());
  for (const Point& point : points) values.push_back(axis(point));
  return {percentile(values, share), percentile(values, 1 - share)};
}

/// A pinhole camera that looks along +x and downwards. Its axes: right = -y, down the picture, and forward.
class Camera {
 public:
  Camera(const std::vector<Point>& points, int width, int height) : width_(width), height_(height) {
    const Interval x = extent(points, 0.03, [](const Point& p) { return p.x; });
    const Interval y = extent(points, 0.03, [](const Point& p) { return p.y; });
    const Interval z = extent(points, 0.03, [](const Point& p) { return p.z; });
    const float across = std::max({x.length(), y.length(), 1e-3f});
    // A street is flat, looks best from low, and thins out into stray points, some of which may fall outside. Into a
    // room one has to look over its walls, and all of it belongs into the picture.
    const float room = std::clamp((z.length() / across - 0.1f) / 0.2f, 0.f, 1.f);
    const float pitch = radians(24 + 24 * room);
    trim_ = 0.045 - 0.04 * room;
    cosine_ = std::cos(pitch);
    sine_ = std::sin(pitch);
    focal_ = static_cast<float>(width) / (2 * std::tan(radians(27)));
    target_ = {x.middle(), y.middle(), z.middle(), 0};
    distance_ = across;
    for (int round = 0; round < 6; ++round) fit(points);
  }

  struct Projection {
    float column, row, depth;
  };
  Projection project(const Point& point) const {
    const float x = point.x - target_.x, y = point.y - target_.y, z = point.z - target_.z;
    const float depth = x * cosine_ - z * sine_ + distance_;
    const float scale = focal_ / depth;
    const float middle_column = 0.5f * static_cast<float>(width_), middle_row = 0.5f * static_cast<float>(height_);
    return {middle_column - y * scale, middle_row - (x * sine_ + z * cosine_) * scale, depth};
  }
  /// Whether a point falls into the picture; nothing very near is drawn.
  bool shows(const Projection& seen) const {
    return seen.depth > nearest() && seen.column >= 0 && seen.row >= 0 && seen.column < static_cast<float>(width_) &&
           seen.row < static_cast<float>(height_);
  }

 private:
  float nearest() const { return 0.05f * distance_; }
  static float radians(float degrees) { return degrees * std::numbers::pi_v<float> / 180; }

  /// Moves towards a place from which most points just fill the picture. Seen directions are tangents, and do not
  /// depend on the distance alone; a few rounds settle.
  void fit(const std::vector<Point>& points) {
    std::vector<float> columns, rows;
    for (const Point& point : points) {
      const Projection seen = project(point);
      if (seen.depth <= nearest()) continue;
      columns.push_back(seen.column);
      rows.push_back(seen.row);
    }
    if (columns.empty()) return;
    const auto w = static_cast<float>(width_), h = static_cast<float>(height_);
    const Interval across{percentile(columns, trim_), percentile(columns, 1 - trim_)};
    const Interval down{percentile(rows, trim_ / 6), percentile(rows, 1 - trim_ / 2)};
    const float metres = distance_ / focal_;
    target_.y -= (across.middle() - w / 2) * metres;
    const float raise = (h / 2 - down.middle()) * metres;  // along the picture's upward axis
    target_.x += raise * sine_;
    target_.z += raise * cosine_;
    const float fill = std::max({across.length() / (0.94f * w), down.length() / (0.9f * h), 1e-3f});
    distance_ *= std::clamp(fill, 0.5f, 2.f);
    distance_ = std::max(distance_, 1e-2f);
  }

  int width_, height_;
  double trim_ = 0;  // share of the points that may fall outside on each side
  float cosine_ = 1, sine_ = 0, focal_ = 1, distance_ = 1;
  Point target_{};
};

/// For every sample of the picture, the nearest point and its depth.
struct Buffer {
  int width, height;
  std::vector<float> depth;
  std::vector<uint32_t> row;

  Buffer(int w, int h)
      : width(w), height(h), depth(static_cast<size_t>(w) * static_cast<size_t>(h), kNothing), row(depth.size()) {}
  size_t index(int x, int y) const {
    return static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x);
  }
  float depth_at(int x, int y) const {
    return x < 0 || y < 0 || x >= width || y >= height ? kNothing : depth[index(x, y)];
  }

  /// Draws a disc that hides what is behind it.
  void splat(const Camera::Projection& seen, float diameter, size_t point) {
    const float radius = diameter / 2;
    const auto first = [&](float centre) { return std::max(0, static_cast<int>(std::ceil(centre - radius - 0.5f))); };
    const auto end = [&](float centre, int size) {
      return std::min(size, static_cast<int>(std::floor(centre + radius - 0.5f)) + 1);
    };
    for (int y = first(seen.row); y < end(seen.row, height); ++y) {
      for (int x = first(seen.column); x < end(seen.column, width); ++x) {
        const float dx = static_cast<float>(x) + 0.5f - seen.column, dy = static_cast<float>(y) + 0.5f - seen.row;
        const size_t at = index(x, y);
        if (dx * dx + dy * dy > radius * radius || seen.depth >= depth[at]) continue;
        depth[at] = seen.depth;
        row[at] = static_cast<uint32_t>(point);
      }
    }
  }
};

/// Finds how closely points lie in the picture, by a grid over it.
class Spacing {
 public:
  /// Every point must lie inside the picture. Distances beyond `reach` are not told apart.
  Spacing(const std::vector<Camera::Projection>& seen, int width, int height, float reach)
      : seen_(seen),
        reach_(reach),
        columns_(cell(static_cast<float>(width)) + 1),
        rows_(cell(static_cast<float>(height)) + 1),
        starts_(static_cast<size_t>(columns_) * static_cast<size_t>(rows_) + 1) {
    for (const Camera::Projection& point : seen) ++starts_[cell_of(point) + 1];
    for (size_t k = 1; k < starts_.size(); ++k) starts_[k] += starts_[k - 1];
    members_.resize(starts_.back());
    std::vector<uint32_t> next(starts_.begin(), starts_.end() - 1);
    for (size_t k = 0; k < seen.size(); ++k) {
      members_[next[cell_of(seen[k])]++] = static_cast<uint32_t>(k);
    }
  }

  /// Distance to the second nearest point, at most reach: along a scan line that is the line's spacing.
  float around(size_t of) const {
    const Camera::Projection& centre = seen_[of];
    float first = reach_ * reach_, second = first;
    const int column = cell(centre.column), row = cell(centre.row);
    for (int y = std::max(0, row - 1); y <= std::min(rows_ - 1, row + 1); ++y) {
      for (int x = std::max(0, column - 1); x <= std::min(columns_ - 1, column + 1); ++x) {
        const size_t at = static_cast<size_t>(y) * static_cast<size_t>(columns_) + static_cast<size_t>(x);
        for (uint32_t k = starts_[at]; k < std::min(starts_[at + 1], starts_[at] + kCrowd); ++k) {
          if (members_[k] == of) continue;
          const float dx = seen_[members_[k]].column - centre.column, dy = seen_[members_[k]].row - centre.row;
          const float square = dx * dx + dy * dy;
          second = std::min(second, std::max(square, first));
          first = std::min(first, square);
        }
      }
    }
    return std::sqrt(second);
  }

 private:
  static constexpr uint32_t kCrowd = 64;  // so many points of a cell are enough to call it dense

  int cell(float place) const { return static_cast<int>(place / reach_); }
  size_t cell_of(const Camera::Projection& point) const {
    return static_cast<size_t>(cell(point.row)) * static_cast<size_t>(columns_) +
           static_cast<size_t>(cell(point.column));
  }

  const std::vector<Camera::Projection>& seen_;
  float reach_;
  int columns_, rows_;
  std::vector<uint32_t> starts_, members_;  // the points of cell k: members_[starts_[k] .. starts_[k + 1]]
};

/// Draws each point as a disc that closes the gaps to its neighbours, within bounds that follow from how closely the
/// points of this picture usually lie, and fall with distance.
Buffer splat_all(const std::vector<Point>& points, const Camera& camera, int width, int height) {
  std::vector<Camera::Projection> seen;
  std::vector<size_t> rows;
  for (const Point& point : points) {
    const Camera::Projection projection = camera.project(point);
    if (!camera.shows(projection)) continue;
    seen.push_back(projection);
    rows.push_back(point.row);
  }
  Buffer buffer(width, height);
  if (seen.empty()) return buffer;

  const float smallest = static_cast<float>(height) / 500, largest = static_cast<float>(height) / 80;
  const Spacing spacing(seen, width, height, largest);
  std::vector<float> gaps, depths;
  for (size_t k = 0; k < seen.size(); ++k) {
    gaps.push_back(spacing.around(k));
    depths.push_back(seen[k].depth);
  }
  std::vector<float> sorted = gaps;
  const float usual = percentile(sorted, 0.5), middle = percentile(depths, 0.5);
  for (size_t k = 0; k < seen.size(); ++k) {
    const float scale = usual * std::clamp(middle / seen[k].depth, 0.6f, 1.7f);
    const float diameter = std::clamp(2.8f * gaps[k], 1.6f * scale, 4 * scale);
    buffer.splat(seen[k], std::clamp(diameter, smallest, largest), rows[k]);
  }
  return buffer;
}

/// Eye-dome lighting: a sample is darkened by how far it lies behind its neighbours, in octaves of depth, so that the
/// outlines of nearer things stand out. One in the open, or in front, keeps its colour.
float eye_dome(const Buffer& buffer, int x, int y, int reach) {
  constexpr float kStrength = 9, kDarkest = 0.3f;
  const float depth = buffer.depth[buffer.index(x, y)];
  float behind = 0;
  for (const auto& [dx, dy] : {std::pair{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {1, 1}, {-1, 1}, {1, -1}}) {
    const float other = buffer.depth_at(x + reach * dx, y + reach * dy);
    if (other < depth) behind += std::min((depth - other) / depth, 0.1f);
  }
  return std::max(kDarkest, std::exp(-kStrength * behind / 8));
}

struct Light {
  float r = 0, g = 0, b = 0;
  void add(float share, Rgb colour) {
    r += share * colour.r;
    g += share * colour.g;
    b += share * colour.b;
  }
  Rgb rounded() const {
    const auto byte = [](float value) { return static_cast<uint8_t>(std::clamp(value + 0.5f, 0.f, 255.f)); };
    return {byte(r), byte(g), byte(b)};
  }
};

/// The background, a little lighter towards the top.
Rgb background(int y, int height) {
  const float share = static_cast<float>(y) / static_cast<float>(height);
  Light light;
  light.add(1 - share, {26, 29, 36});
  light.add(share, {13, 14, 18});
  return light.rounded();
}

/// How much of its colour a sample keeps in the haze: all of it up to the nearer quarter of the points.
class Haze {
 public:
  explicit Haze(const Buffer& buffer) {
    std::vector<float> depths;
    for (size_t k = 0; k < buffer.depth.size(); k += 7) {
      if (buffer.depth[k] < kNothing) depths.push_back(buffer.depth[k]);
    }
    if (depths.empty()) return;
    start_ = percentile(depths, 0.25);
    end_ = std::max(percentile(depths, 0.999), start_ * 1.5f);
  }
  float kept(float depth) const { return 1 - 0.45f * std::clamp((depth - start_) / (end_ - start_), 0.f, 1.f); }

 private:
  float start_ = 1, end_ = 2;
};

Picture shade(const Buffer& buffer, std::span<const Rgb> colours, int width, int height) {
  Picture picture;
  picture.width = width;
  picture.height = height;
  picture.pixels.reserve(static_cast<size_t>(width) * static_cast<size_t>(height));
  const Haze haze(buffer);
  const int reach = std::max(1, height * kSamples / 900);
  constexpr float kShare = 1.f / (kSamples * kSamples);
  for (int y = 0; y < height; ++y) {
    const Rgb behind = background(y, height);
    for (int x = 0; x < width; ++x) {
      Light light;
      for (int sample = 0; sample < kSamples * kSamples; ++sample) {
        const int u = x * kSamples + sample % kSamples, v = y * kSamples + sample / kSamples;
        const size_t at = buffer.index(u, v);
        if (buffer.depth[at] == kNothing) {
          light.add(kShare, behind);
          continue;
        }
        const float kept = haze.kept(buffer.depth[at]);
        light.add(kShare * kept * eye_dome(buffer, u, v, reach), colours[buffer.row[at]]);
        light.add(kShare * (1 - kept), behind);
      }
      picture.pixels.push_back(light.rounded());
    }
  }
  return picture;
}

/// A colour of the height scale; `share` is clamped to 0..1.
Rgb height_colour(float share) {
  static constexpr std::array<Rgb, 7> kScale = {
      {{70, 98, 172}, {54, 148, 204}, {64, 192, 166}, {148, 214, 102}, {238, 212, 80}, {247, 152, 62}, {224, 78, 62}}};
  const float place = std::clamp(share, 0.f, 1.f) * static_cast<float>(kScale.size() - 1);
  const size_t lower = std::min(static_cast<size_t>(place), kScale.size() - 2);
  const float rest = place - static_cast<float>(lower);
  Light light;
  light.add(1 - rest, kScale[lower]);
  light.add(rest, kScale[lower + 1]);
  return light.rounded();
}

}  // namespace

std::vector<Rgb> colours_by_class(std::span<const int32_t> classes) {
  std::vector<Rgb> colours;
  colours.reserve(classes.size());
  const auto unlabelled = static_cast<int32_t>(kClassColours.size()) - 1;
  for (int32_t id : classes) {
    colours.push_back(kClassColours[static_cast<size_t>(id < 0 || id > unlabelled ? unlabelled : id)].colour);
  }
  return colours;
}

std::vector<Rgb> colours_by_height(const PointCloud& points) {
  std::vector<Rgb> colours(static_cast<size_t>(points.rows()), height_colour(0));
  const std::vector<Point> finite = finite_points(points);
  if (finite.empty()) return colours;
  const Interval z = extent(finite, 0.01, [](const Point& point) { return point.z; });
  const float length = std::max(z.length(), 1e-6f);
  for (const Point& point : finite) colours[point.row] = height_colour((point.z - z.low) / length);
  return colours;
}

Picture draw_scan(const PointCloud& points, std::span<const Rgb> colours, int width, int height) {
  if (static_cast<int64_t>(colours.size()) != points.rows()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("draw_scan: {} colours for {} points; give one colour a point",
                                                         colours.size(), points.rows()));
  }
  if (width < 1 || height < 1 || width > kLargestSide || height > kLargestSide) {
    throw Error(ErrorCode::invalid_argument, fmt::format("draw_scan: size {} x {} must be within 1 x 1 and {} x {}",
                                                         width, height, kLargestSide, kLargestSide));
  }
  const int fine_width = width * kSamples, fine_height = height * kSamples;
  const std::vector<Point> finite = finite_points(points);
  if (finite.empty()) return shade(Buffer(fine_width, fine_height), colours, width, height);
  return shade(splat_all(finite, Camera(finite, fine_width, fine_height), fine_width, fine_height), colours, width,
               height);
}

}  // namespace lattice::cli
