#include "street_scene.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "lattice/random.h"
#include "ray_shapes.h"

// The street's frame: the sensor is the origin, x along the road, y to the left, z up. Every ray starts at the origin,
// which simplifies all intersections below. The sensor's own frame is the street's, turned by a small heading.

namespace lattice::cli {
namespace {

constexpr int kBeams = 64;
constexpr int kAzimuths = 2000;
constexpr double kLowestBeam = -24.8, kHighestBeam = 2.0;  // degrees
constexpr double kSensorHeight = 1.73, kMaxRange = 80, kRangeNoise = 0.02;

constexpr double kRoadCentre = 1.8;     // right-hand traffic: the sensor drives to the right of the centre line
constexpr double kRoadHalfWidth = 5.6;  // a lane and a parking strip on either side
constexpr double kCrossingHalfWidth = 4.2;
constexpr double kKerbHeight = 0.13;
constexpr double kFacade = 9.4;  // from the road's centre line to the nearest facades
constexpr double kStreetEnd = 84;

constexpr Surface kAsphalt{0.22, 0.97}, kMarking{0.75, 0.99}, kPaving{0.34, 0.97}, kLawn{0.45, 0.9}, kKerb{0.4, 0.98};
constexpr Surface kGlass{0.1, 0.4}, kRubber{0.08, 0.85}, kBark{0.35, 0.97}, kLeaf{0.5, 0.9}, kSteel{0.5, 0.97};
constexpr Surface kSign{0.98, 1}, kClothes{0.4, 0.96}, kWood{0.42, 0.97};

/// A place in the plane.
struct Spot {
  double x, y;
};

/// The road, and the raised blocks of pavement and lawn between the streets.
class Ground {
 public:
  Ground(Random& random, std::array<double, 2> crossings) : crossings_(crossings) {
    for (double& bump : bumps_) bump = random.uniform(-0.05, 0.05);
    level_ = -kSensorHeight - bump(0, 0);
  }

  /// Height of what one stands on.
  double height(Spot at) const { return road(at.x, at.y) + (raised(at.x, at.y) ? kKerbHeight : 0); }

  /// Where streets cross, along x; the first is ahead, the second behind.
  const std::array<double, 2>& crossings() const { return crossings_; }

  /// Distance along x to the centre of the nearest crossing.
  double to_crossing(double x) const { return std::min(std::abs(x - crossings_[0]), std::abs(x - crossings_[1])); }

  /// One block has a park instead of houses: on the left, behind the nearer crossing.
  bool park(double x, double y) const { return y > kRoadCentre + kFacade && x > crossings_[0] + 7; }

  std::optional<Hit> intersect(const Vector& ray) const {
    if (ray.z >= 0) return {};
    const double deep = meet(ray, 0), high = meet(ray, kKerbHeight);
    if (raised(high * ray.x, high * ray.y)) return top(ray, high);
    if (!raised(deep * ray.x, deep * ray.y)) return top(ray, deep);
    // Between the two heights the ray went from the road under a pavement: it met the kerb.
    double before = high, after = deep;
    for (int halving = 0; halving < 20; ++halving) {
      const double middle = (before + after) / 2;
      (raised(middle * ray.x, middle * ray.y) ? after : before) = middle;
    }
    return Hit{after, 0.8, kKerb};
  }

 private:
  static constexpr int kBumps = 64;          // the pattern of bumps repeats after so many
  static constexpr double kBumpSpacing = 6;  // metres

  bool raised(double x, double y) const {
    return std::abs(y - kRoadCentre) > kRoadHalfWidth && to_crossing(x) > kCrossingHalfWidth;
  }

  double road(double x, double y) const { return level_ + bump(x, y); }

  /// Smoothly interpolated values on a grid.
  double bump(double x, double y) const {
    const double column = std::floor(x / kBumpSpacing), row = std::floor(y / kBumpSpacing);
    const double u = smooth(x / kBumpSpacing - column), v = smooth(y / kBumpSpacing - row);
    const double near = bump_at(column, row) * (1 - u) + bump_at(column + 1, row) * u;
    const double far = bump_at(column, row + 1) * (1 - u) + bump_at(column + 1, row + 1) * u;
    return near * (1 - v) + far * v;
  }
  double bump_at(double column, double row) const {
    const auto wrap = [](double index) {
      return static_cast<size_t>(static_cast<int>(index) + 1024 * kBumps) % kBumps;
    };
    return bumps_[wrap(row) * kBumps + wrap(column)];
  }
  static double smooth(double t) { return t * t * (3 - 2 * t); }

  /// Range at which a falling ray meets the road's surface, lifted. The bumps are flatter than any ray within range,
  /// so that the fixed point is found by iteration.
  double meet(const Vector& ray, double lift) const {
    double range = (-kSensorHeight + lift) / ray.z;
    for (int step = 0; step < 6; ++step) {
      range = std::min((road(range * ray.x, range * ray.y) + lift) / ray.z, 2 * kMaxRange);
    }
    return range;
  }

  Hit top(const Vector& ray, double range) const { return {range, -ray.z, surface(range * ray.x, range * ray.y)}; }

  Surface surface(double x, double y) const {
    if (park(x, y)) return kLawn;
    if (raised(x, y)) return kPaving;
    const double offset = std::abs(y - kRoadCentre);
    const double phase = x / 6 - std::floor(x / 6);
    const bool crossing = to_crossing(x) < kCrossingHalfWidth + 3.5;
    if (!crossing && offset < 0.07 && phase < 0.5) return kMarking;   // centre line
    if (!crossing && std::abs(offset - 3.5) < 0.06) return kMarking;  // parking strips
    const double bar = offset - std::floor(offset);
    if (std::abs(to_crossing(x) - kCrossingHalfWidth - 1.7) < 1.2 && bar < 0.5) return kMarking;  // zebra crossings
    return kAsphalt;
  }

  std::array<double, 2> crossings_;
  std::array<double, kBumps * kBumps> bumps_{};
  double level_ = 0;
};

/// A shape and the circle in the plane that holds it.
struct Object {
  double x, y, radius;
  std::variant<Cylinder, Ball, Solid, Building> shape;
};

/// Sets houses, vehicles, trees and people on a ground.
///
/// The order of the random draws is part of the result, and C++ leaves the order of a call's arguments open: two draws
/// share a call only within one braced list, such as a Spot's.
class Street {
 public:
  explicit Street(Random& random)
      : random_(random), ground_(random, {random.uniform(19, 30), random.uniform(-48, -36)}) {
    for (double side : {-1.0, 1.0}) {
      add_houses(side);
      add_parked_cars(side);
      add_trees_and_poles(side);
      add_walkers(side);
    }
    add_side_streets();
    add_park();
    add_traffic();
  }

  const Ground& ground() const { return ground_; }
  const std::vector<Object>& objects() const { return objects_; }

 private:
  bool chance(double probability) { return random_.uniform() < probability; }
  Surface paint() { return {random_.uniform(0.15, 0.7), 0.96}; }

  void add(const Cylinder& cylinder) { objects_.push_back({cylinder.x, cylinder.y, cylinder.radius, cylinder}); }
  void add(const Ball& ball) { objects_.push_back({ball.centre.x, ball.centre.y, ball.radius, ball}); }

  void add_building(double x0, double x1, double y0, double y1) {
    const double x = (x0 + x1) / 2, y = (y0 + y1) / 2;
    const double bottom = ground_.height({x, y});
    const double width = random_.uniform(1.0, 1.5);
    const Building building{.low = {x0, y0},
                            .high = {x1, y1},
                            .bottom = bottom,
                            .top = bottom + random_.uniform(7, 17),
                            .pitch = width + random_.uniform(0.9, 1.6),
                            .window_width = width,
                            .sill = random_.uniform(0.7, 1.1),
                            .head = random_.uniform(2.2, 2.5),
                            .door_column = static_cast<int>(random_.uniform(0, 4)),
                            .wall = {random_.uniform(0.3, 0.65), 0.97},
                            .pane = kGlass,
                            .door = kWood};
    const double dx = (x1 - x0) / 2, dy = (y1 - y0) / 2;
    objects_.push_back({x, y, std::sqrt(dx * dx + dy * dy), building});
  }

  /// A body given in its own frame (x forward), set down with its zero height at `z`.
  void add_solid(Spot at, double z, Turn heading, double radius, std::vector<Face> faces) {
    for (Face& face : faces) {
      const Turn turned = Turn{face.normal.x, face.normal.y} * heading;
      const double length = std::sqrt(dot(face.normal, face.normal));
      face.normal = {turned.c / length, turned.s / length, face.normal.z / length};
      face.offset = face.offset / length + dot(face.normal, {at.x, at.y, z});
    }
    objects_.push_back({at.x, at.y, radius, Solid{std::move(faces)}});
  }

  /// A box around a spot, between two heights above the ground there.
  void add_box(Spot at, double length, double width, double bottom, double top, Surface surface) {
    const double radius = std::sqrt(length * length + width * width) / 2;
    add_solid(at, ground_.height(at), {1, 0}, radius,
              {{{1, 0, 0}, length / 2, surface},
               {{-1, 0, 0}, length / 2, surface},
               {{0, 1, 0}, width / 2, surface},
               {{0, -1, 0}, width / 2, surface},
               {{0, 0, 1}, top, surface},
               {{0, 0, -1}, -bottom, surface}});
  }

  /// A disc that stands upright, as an octagon's prism.
  void add_wheel(Spot at, double z, Turn heading, double radius, double width) {
    std::vector<Face> faces{{{0, 1, 0}, width / 2, kRubber}, {{0, -1, 0}, width / 2, kRubber}};
    const double r = 0.7071067811865476;
    for (const auto& [u, w] :
         std::array<std::array<double, 2>, 8>{{{1, 0}, {r, r}, {0, 1}, {-r, r}, {-1, 0}, {-r, -r}, {0, -1}, {r, -r}}}) {
      faces.push_back({{u, 0, w}, radius, kRubber});
    }
    add_solid(at, z + radius, heading, radius + width, std::move(faces));
  }

  void add_car(Spot at, Turn heading) {
    const bool van = chance(0.15);
    const double length = van ? random_.uniform(4.8, 5.6) : random_.uniform(3.8, 4.8);
    const double half = random_.uniform(0.86, 0.93);
    const double belt = van ? 1.05 : random_.uniform(0.82, 0.92);  // height of the windows' lower edge
    const double roof = van ? random_.uniform(2.0, 2.4) : random_.uniform(1.42, 1.6);
    const double nose = length * (van ? 0.36 : 0.24), tail = length * (van ? 0.49 : 0.46);  // ends of the cabin
    const double z = ground_.height(at);
    const Surface body = paint();
    const Surface pane = van ? body : kGlass;
    add_solid(at, z, heading, length / 2 + 0.3,
              {{{1, 0, 0.12}, length / 2 + 0.06, body},
               {{-1, 0, 0.1}, length / 2 + 0.05, body},
               {{0, 1, 0.08}, half + 0.05, body},
               {{0, -1, 0.08}, half + 0.05, body},
               {{0.08, 0, 1}, belt + 0.02 * length, body},
               {{0, 0, -1}, -0.24, body}});
    add_solid(at, z, heading, length / 2,
              {{{1, 0, van ? 0.5 : 1.3}, nose + (van ? 0.5 : 1.3) * belt, kGlass},
               {{-1, 0, van ? 0.05 : 0.6}, tail + (van ? 0.05 : 0.6) * belt, pane},
               {{0, 1, van ? 0.05 : 0.3}, half + (van ? 0.05 : 0.3) * belt, pane},
               {{0, -1, van ? 0.05 : 0.3}, half + (van ? 0.05 : 0.3) * belt, pane},
               {{0, 0, 1}, roof, body},
               {{0, 0, -1}, -belt + 0.1, body}});
    for (double along : {-0.3 * length, 0.3 * length}) {
      for (double across : {0.12 - half, half - 0.12}) {
        const Turn place = Turn{along, across} * heading;
        add_wheel({at.x + place.c, at.y + place.s}, z, heading, 0.32, 0.22);
      }
    }
  }

  void add_person(Spot at, double lift = 0) {
    const double z = ground_.height(at) + lift;
    const double size = random_.uniform(0.9, 1.08), stride = random_.uniform(0.06, 0.2);
    const Surface coat{random_.uniform(0.15, 0.7), 0.96};
    for (double leg : {-1.0, 1.0})
      add({at.x + leg * stride, at.y + leg * 0.05, 0.075 * size, z, z + 0.85 * size, kClothes});
    add({at.x, at.y, 0.19 * size, z + 0.8 * size, z + 1.45 * size, coat});
    for (double arm : {-1.0, 1.0})
      add({at.x + arm * 0.05, at.y + arm * 0.24, 0.05, z + 0.75 * size, z + 1.4 * size, coat});
    add(Ball{{at.x, at.y, z + 1.6 * size}, 0.12 * size, kClothes, 0});
  }

  void add_cyclist(Spot at, Turn heading) {
    const double z = ground_.height(at);
    for (double wheel : {-0.52, 0.52})
      add_wheel({at.x + wheel * heading.c, at.y + wheel * heading.s}, z, heading, 0.34, 0.05);
    add_person(at, 0.25);
  }

  /// Leaves in an ellipsoid, denser towards its skin.
  void add_foliage(const Vector& centre, double radius, double height, int leaves, double pass) {
    for (int leaf = 0; leaf < leaves;) {
      const Vector p{random_.uniform(-1, 1), random_.uniform(-1, 1), random_.uniform(-1, 1)};
      const double square = dot(p, p);
      if (square > 1 || !chance(0.25 + 0.75 * square)) continue;
      const double size = random_.uniform(0.04, 0.15);
      add(Ball{{centre.x + radius * p.x, centre.y + radius * p.y, centre.z + height * p.z}, size, kLeaf, pass});
      ++leaf;
    }
  }

  void add_tree(Spot at) {
    const double z = ground_.height(at);
    const bool young = chance(0.45);  // low enough for the upmost beams to see the crown from near
    const double crown = young ? random_.uniform(0.9, 1.4) : random_.uniform(1.4, 2.3);
    const double middle = young ? random_.uniform(2.0, 2.5) : random_.uniform(2.9, 3.8);
    const double clear = young ? random_.uniform(0.8, 1.2) : random_.uniform(1.3, 1.8);  // under the lowest leaves
    add({at.x, at.y, young ? 0.07 : random_.uniform(0.12, 0.22), z, z + middle, kBark});
    add_foliage({at.x, at.y, z + middle}, crown, middle - clear, young ? 450 : 800, 0.35);
  }

  void add_bush(Spot at) {
    const double radius = random_.uniform(0.4, 0.8);
    add_foliage({at.x, at.y, ground_.height(at) + 0.6 * radius}, radius, radius, 70, 0.2);
  }

  void add_hedge(double x0, double x1, double y) {
    for (double x = x0; x < x1; x += 0.45) {
      const double z = ground_.height({x, y});
      add_foliage({x, y, z + 0.6}, 0.45, 0.65, 30, 0.1);
    }
  }

  /// Slats on posts.
  void add_fence(double x0, double x1, double y) {
    for (double x = x0; x < x1; x += 2) add_box({x, y}, 0.1, 0.1, 0, 1.15, kWood);
    for (double slat : {0.2, 0.5, 0.8}) add_box({(x0 + x1) / 2, y}, x1 - x0, 0.03, slat, slat + 0.16, kWood);
  }

  void add_houses(double side) {
    for (double x = -kStreetEnd; x < kStreetEnd;) {
      const double width = random_.uniform(8, 16), depth = random_.uniform(9, 12), setback = random_.uniform(0, 0.4);
      const bool garden = chance(0.3);
      const double start = x, middle = x + width / 2, end = x + width;
      x = end + (chance(0.35) ? random_.uniform(2, 5) : 0);
      if (std::min(ground_.to_crossing(start), ground_.to_crossing(end)) < 7.2 || ground_.to_crossing(middle) < 7.2) {
        x = start + 1;  // the corner houses stand as near to the crossing as they may
        continue;
      }
      if (ground_.park(middle, side * 40)) continue;
      const double fence = kRoadCentre + side * (kFacade + 0.3);
      const double front = kFacade + setback + (garden ? 4 : 0);
      const double a = kRoadCentre + side * front, b = kRoadCentre + side * (front + depth);
      add_building(start, end, std::min(a, b), std::max(a, b));
      if (!garden) continue;
      chance(0.5) ? add_hedge(start, end - 1.2, fence) : add_fence(start, end - 1.2, fence);
      for (int bush = 0; bush < 3; ++bush) {
        add_bush({random_.uniform(start + 1, end - 1), fence + side * random_.uniform(1, 3)});
      }
    }
  }

  /// Houses along the streets that cross, seen through the gaps.
  void add_side_streets() {
    for (double crossing : ground_.crossings()) {
      for (double side : {-1.0, 1.0}) {
        for (double corner : {-1.0, 1.0}) {
          for (double y = 26; y < 76; y += 12.5) {
            const double x = crossing + corner * (kCrossingHalfWidth + 8.5), far = y + random_.uniform(10, 12.5);
            if (!ground_.park(x, side * y))
              add_building(x - 5, x + 5, std::min(side * y, side * far), std::max(side * y, side * far));
          }
        }
      }
    }
  }

  void add_park() {
    const double x = ground_.crossings()[0] + 8, y = kRoadCentre + kFacade;
    add_fence(x, x + 16, y + 0.2);
    add_hedge(x + 18, x + 40, y + 0.3);
    for (int tree = 0; tree < 14; ++tree) add_tree({x + random_.uniform(1, 45), y + random_.uniform(3, 35)});
    for (int bush = 0; bush < 20; ++bush) add_bush({x + random_.uniform(1, 40), y + random_.uniform(2, 30)});
    for (int walker = 0; walker < 3; ++walker) add_person({x + random_.uniform(2, 20), y + random_.uniform(2, 12)});
  }

  void add_parked_cars(double side) {
    for (double x = -70 + random_.uniform(0, 5); x < 70; x += random_.uniform(5.7, 6.8)) {
      if (ground_.to_crossing(x) < 11 || std::abs(x) < 5 || chance(0.42)) continue;
      const Turn slant = turn(random_.uniform(-0.03, 0.03));
      add_car({x, kRoadCentre + side * (kRoadHalfWidth - 1.1)}, slant * Turn{-side, 0});
    }
  }

  void add_traffic() {
    add_car({random_.uniform(12, 17), random_.uniform(-0.2, 0.2)}, {1, 0});
    add_car({random_.uniform(-22, -13), random_.uniform(-0.2, 0.2)}, {1, 0});
    for (double x = random_.uniform(5, 10); x < 70; x += random_.uniform(11, 26)) {
      if (ground_.to_crossing(x) > 7) add_car({x, 2 * kRoadCentre + random_.uniform(-0.3, 0.3)}, {-1, 0});
    }
    for (double x = random_.uniform(-20, -8); x > -70; x -= random_.uniform(12, 30)) {
      if (ground_.to_crossing(x) > 7) add_car({x, 2 * kRoadCentre + random_.uniform(-0.3, 0.3)}, {-1, 0});
    }
    for (double side : {-1.0, 1.0}) {  // waiting in the side streets
      add_car({ground_.crossings()[0] + side * 1.9, kRoadCentre + side * random_.uniform(13, 16)}, {0, -side});
    }
    add_cyclist({random_.uniform(6, 11), kRoadCentre - random_.uniform(2.9, 3.2)}, {1, 0});
    add_cyclist({-random_.uniform(6, 12), kRoadCentre + random_.uniform(2.9, 3.2)}, {-1, 0});
  }

  void add_trees_and_poles(double side) {
    for (double x = -68 + random_.uniform(0, 6); x < 68; x += random_.uniform(7.5, 11)) {
      if (ground_.to_crossing(x) > 9) add_tree({x, kRoadCentre + side * (kRoadHalfWidth + 1)});
    }
    for (double x = -70 + random_.uniform(0, 20); x < 70; x += random_.uniform(20, 26)) {
      if (ground_.to_crossing(x) > 5) add_pole({x, kRoadCentre + side * (kRoadHalfWidth + 0.5)}, 0.08, 7);
    }
    for (double crossing : ground_.crossings()) {
      add_sign({crossing - side * 6.5, kRoadCentre + side * (kRoadHalfWidth + 0.5)});
      add_sign({crossing + side * 18, kRoadCentre + side * (kRoadHalfWidth + 0.5)});
      for (double x : {-6.0, -5.2, 5.2, 6.0})
        add_pole({crossing + x, kRoadCentre + side * (kRoadHalfWidth + 0.3)}, 0.06, 0.9);
    }
  }

  void add_pole(Spot at, double radius, double height) {
    const double z = ground_.height(at);
    add({at.x, at.y, radius, z, z + height, kSteel});
  }

  void add_sign(Spot at) {
    add_pole(at, 0.035, 2.6);
    add_box({at.x - 0.06, at.y}, 0.02, 0.6, 1.8, 2.5, kSign);
  }

  void add_walkers(double side) {
    for (int walker = 0; walker < 7; ++walker) {
      const double x = random_.uniform(-25, 40);
      if (ground_.to_crossing(x) < 5) continue;
      add_person({x, kRoadCentre + side * random_.uniform(kRoadHalfWidth + 1.8, kFacade - 0.6)});
    }
    const double zebra = ground_.crossings()[0] - kCrossingHalfWidth - random_.uniform(1.0, 2.4);
    add_person({zebra, kRoadCentre + side * random_.uniform(2.8, 5)});
    for (double x = -40 + random_.uniform(0, 12); x < 50; x += random_.uniform(14, 30)) {  // bins
      if (ground_.to_crossing(x) > 8) add_box({x, kRoadCentre + side * (kFacade - 0.5)}, 0.6, 0.7, 0, 1.05, kRubber);
    }
  }

  Random& random_;
  Ground ground_;
  std::vector<Object> objects_;
};

/// The sensor's turn through a street.
class Scan {
 public:
  explicit Scan(uint64_t seed) : random_(seed), street_(random_), heading_(turn(random_.uniform(-0.07, 0.07))) {}

  std::vector<float> run() {
    std::array<Turn, kBeams> beams;
    for (int beam = 0; beam < kBeams; ++beam) {
      const double share = static_cast<double>(beam) / (kBeams - 1);
      beams[static_cast<size_t>(beam)] = turn(radians(kLowestBeam + share * (kHighestBeam - kLowestBeam)));
    }
    for (int step = 0; step < kAzimuths; ++step) {
      const Turn azimuth = turn(std::numbers::pi * (1 - 2.0 * step / kAzimuths));
      gather(azimuth * heading_);
      for (Turn beam : beams) fire(azimuth, beam);
    }
    return std::move(rows_);
  }

 private:
  /// Keeps the objects that the vertical half plane of one azimuth can touch.
  void gather(Turn direction) {
    near_.clear();
    for (const Object& object : street_.objects()) {
      const double along = direction.c * object.x + direction.s * object.y;
      const double across = direction.c * object.y - direction.s * object.x;
      const double reach = object.radius;
      if (along > -reach && along < kMaxRange + reach && std::abs(across) <= reach) near_.push_back(&object);
    }
  }

  /// Whether foliage lets this ray through.
  bool passes(const Object& object) {
    const Ball* ball = std::get_if<Ball>(&object.shape);
    return ball && ball->pass > 0 && random_.uniform() < ball->pass;
  }

  std::optional<Hit> nearest(const Vector& ray) {
    std::optional<Hit> best = street_.ground().intersect(ray);
    for (const Object* object : near_) {
      const auto hit = std::visit([&](const auto& shape) { return intersect(shape, ray); }, object->shape);
      if (hit && (!best || hit->range < best->range) && !passes(*object)) best = hit;
    }
    return best;
  }

  void fire(Turn azimuth, Turn beam) {
    const Turn flat = azimuth * heading_;
    const auto hit = nearest({beam.c * flat.c, beam.c * flat.s, beam.s});
    if (!hit) return;
    const double range = hit->range + kRangeNoise * random_.normal();
    // Fewer returns from far and from grazing rays, whose light mostly leaves forwards.
    const double strength = std::min(1.0, 0.6 + 8 * hit->cosine) * (1 - 0.2 * range / kMaxRange);
    if (range > kMaxRange || random_.uniform() > hit->surface.returns * strength) return;
    const double light = hit->surface.reflectance * (0.35 + 0.65 * hit->cosine) + 0.03 * random_.normal();
    for (double value :
         {range * beam.c * azimuth.c, range * beam.c * azimuth.s, range * beam.s, std::clamp(light, 0.0, 1.0)}) {
      rows_.push_back(static_cast<float>(value));
    }
  }

  Random random_;
  Street street_;
  Turn heading_;
  std::vector<const Object*> near_;
  std::vector<float> rows_;
};

}  // namespace

PointCloud street_scan(uint64_t seed) {
  const std::vector<float> rows = Scan(seed).run();
  PointCloud scan;
  scan.values = Tensor::from(rows, {static_cast<int64_t>(rows.size() / 4), 4});
  scan.columns = {"x", "y", "z", "intensity"};
  return scan;
}

}  // namespace lattice::cli
