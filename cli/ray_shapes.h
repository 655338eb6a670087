#pragma once

#include <array>
#include <numbers>
#include <optional>
#include <vector>

// The bodies that a street scene is made of, and where rays meet them. Metres; z is up. Every ray starts at the origin
// and has a direction of length 1. Only + - * / sqrt and floor are used, so that results are the same everywhere.

namespace lattice::cli {

/// How a material answers a pulse: its share of light sent back at normal incidence, and its chance to return any.
struct Surface {
  double reflectance, returns;
};

struct Vector {
  double x, y, z;
};
inline double dot(const Vector& a, const Vector& b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}

/// A direction in the plane: (cosine, sine) of an angle.
struct Turn {
  double c, s;
};
inline Turn operator*(Turn a, Turn b) {
  return {a.c * b.c - a.s * b.s, a.s * b.c + a.c * b.s};
}

/// By its power series, since the C library's sine may differ in the last bit between machines; within 1e-13 for
/// |angle| <= pi.
Turn turn(double angle);

constexpr double radians(double degrees) {
  return degrees * (std::numbers::pi / 180);
}

/// Where a ray meets a body.
struct Hit {
  double range;
  double cosine;  // of the angle of incidence
  Surface surface;
};

/// A vertical cylinder without lids: poles, trunks, limbs.
struct Cylinder {
  double x, y, radius, bottom, top;
  Surface surface;
};

/// A sphere: a head, or a leaf.
struct Ball {
  Vector centre;
  double radius;
  Surface surface;
  double pass;  // the chance that a ray goes through: what stands for foliage is mostly gaps
};

/// The half space normal . p <= offset.
struct Face {
  Vector normal;
  double offset;
  Surface surface;
};

/// A convex body as the intersection of half spaces.
struct Solid {
  std::vector<Face> faces;
};

/// A block along the axes, whose walls have rows of recessed windows and doors.
struct Building {
  std::array<double, 2> low, high;  // x and y
  double bottom, top;
  double pitch, window_width;  // of the columns of windows
  double sill, head;           // above each storey's floor
  int door_column;             // every fourth column from this one has a door
  Surface wall, pane, door;
};

/// The nearest point in front of the origin, if the ray meets the body from outside.
std::optional<Hit> intersect(const Cylinder& cylinder, const Vector& ray);
std::optional<Hit> intersect(const Ball& ball, const Vector& ray);
std::optional<Hit> intersect(const Solid& solid, const Vector& ray);
std::optional<Hit> intersect(const Building& building, const Vector& ray);

}  // namespace lattice::cli
