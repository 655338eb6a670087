#include "ray_shapes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace lattice::cli {
namespace {

constexpr double kStorey = 3.0, kRecess = 0.22;  // metres

/// Follows a ray that met a wall at `range` (on the wall across `axis`) into a window, if there is one.
Hit enter_wall(const Building& building, const std::array<double, 3>& ray, double range, size_t axis) {
  const size_t side = 1 - axis;
  const Hit wall{range, std::abs(ray[axis]), building.wall};
  const double length = building.high[side] - building.low[side];
  const double columns = std::floor(length / building.pitch);
  const double first = building.low[side] + (length - columns * building.pitch) / 2;
  const double column = std::floor((range * ray[side] - first) / building.pitch);
  const double storey = std::floor((range * ray[2] - building.bottom) / kStorey);
  if (column < 0 || column >= columns || storey < 0) return wall;

  const bool door = storey == 0 && (static_cast<int>(column) + building.door_column) % 4 == 0;
  const double middle = first + (column + 0.5) * building.pitch;
  const double floor = building.bottom + storey * kStorey;
  const std::array<double, 2> low{middle - building.window_width / 2, floor + (door ? 0.02 : building.sill)};
  const std::array<double, 2> high{middle + building.window_width / 2, floor + building.head};
  const std::array<double, 2> direction{ray[side], ray[2]};

  Hit hit{range + kRecess / std::abs(ray[axis]), wall.cosine, door ? building.door : building.pane};
  for (size_t k = 0; k < 2; ++k) {
    const double start = range * direction[k];
    if (start < low[k] || start > high[k]) return wall;
    const double end = hit.range * direction[k];
    if (end < low[k] || end > high[k]) {  // the ray meets the reveal before it gets to the pane
      hit = {(end < low[k] ? low[k] : high[k]) / direction[k], std::abs(direction[k]), building.wall};
    }
  }
  return hit;
}

}  // namespace

Turn turn(double angle) {
  Turn sum{1, 0};
  double term = 1;
  for (int order = 1; order < 32; ++order) {
    term *= angle / order;
    (order % 2 ? sum.s : sum.c) += order % 4 < 2 ? term : -term;
  }
  return sum;
}

std::optional<Hit> intersect(const Cylinder& cylinder, const Vector& ray) {
  const double a = ray.x * ray.x + ray.y * ray.y;
  const double b = ray.x * cylinder.x + ray.y * cylinder.y;
  const double c = cylinder.x * cylinder.x + cylinder.y * cylinder.y - cylinder.radius * cylinder.radius;
  const double discriminant = b * b - a * c;
  if (discriminant <= 0) return {};
  const double root = std::sqrt(discriminant);
  const double range = (b - root) / a;
  const double z = range * ray.z;
  if (range <= 0 || z < cylinder.bottom || z > cylinder.top) return {};
  return Hit{range, root / cylinder.radius, cylinder.surface};
}

std::optional<Hit> intersect(const Ball& ball, const Vector& ray) {
  const double along = dot(ray, ball.centre);
  const double discriminant = along * along - dot(ball.centre, ball.centre) + ball.radius * ball.radius;
  if (discriminant <= 0 || along <= 0) return {};
  const double root = std::sqrt(discriminant);
  return Hit{along - root, root / ball.radius, ball.surface};
}

std::optional<Hit> intersect(const Solid& solid, const Vector& ray) {
  double enter = 0, leave = std::numeric_limits<double>::infinity();
  const Face* entered = nullptr;
  double cosine = 0;
  for (const Face& face : solid.faces) {
    const double approach = dot(face.normal, ray);
    if (approach == 0) {
      if (face.offset < 0) return {};
      continue;
    }
    const double range = face.offset / approach;
    if (approach < 0 && range > enter) {
      enter = range;
      entered = &face;
      cosine = -approach;
    } else if (approach > 0) {
      leave = std::min(leave, range);
    }
  }
  if (!entered || enter > leave) return {};
  return Hit{enter, cosine, entered->surface};
}

std::optional<Hit> intersect(const Building& building, const Vector& ray) {
  const std::array<double, 3> direction{ray.x, ray.y, ray.z};
  double enter = 0, leave = std::numeric_limits<double>::infinity();
  size_t entered = 2;
  for (size_t axis = 0; axis < 2; ++axis) {
    if (direction[axis] == 0) {
      if (building.low[axis] > 0 || building.high[axis] < 0) return {};
      continue;
    }
    double nearer = building.low[axis] / direction[axis], farther = building.high[axis] / direction[axis];
    if (nearer > farther) std::swap(nearer, farther);
    leave = std::min(leave, farther);
    if (nearer > enter) {
      enter = nearer;
      entered = axis;
    }
  }
  const double z = enter * ray.z;
  if (entered == 2 || enter > leave || z < building.bottom || z > building.top) return {};
  return enter_wall(building, direction, enter, entered);
}

}  // namespace lattice::cli
