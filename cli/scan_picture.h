#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "lattice/picture.h"
#include "lattice/points.h"

namespace lattice::cli {

/// A class' name and the colour that its points are drawn in.
struct ClassColour {
  std::string_view name;
  Rgb colour;
};

/// SemanticKITTI's 19 classes in training order, with the data set's own colours (`semantic-kitti.yaml` of the
/// semantic-kitti-api, there as BGR), then 19: unlabelled.
inline constexpr std::array<ClassColour, 20> kClassColours = {
    {{"car", {100, 150, 245}},      {"bicycle", {100, 230, 245}},      {"motorcycle", {30, 60, 150}},
     {"truck", {80, 30, 180}},      {"other-vehicle", {100, 80, 250}}, {"person", {155, 30, 30}},
     {"bicyclist", {255, 40, 200}}, {"motorcyclist", {150, 30, 90}},   {"road", {255, 0, 255}},
     {"parking", {255, 150, 255}},  {"sidewalk", {75, 0, 75}},         {"other-ground", {175, 0, 75}},
     {"building", {255, 200, 0}},   {"fence", {255, 120, 50}},         {"vegetation", {0, 175, 0}},
     {"trunk", {135, 60, 0}},       {"terrain", {150, 240, 80}},       {"pole", {255, 240, 150}},
     {"traffic-sign", {255, 0, 0}}, {"unlabelled", {120, 120, 120}}}};

/// The colour of each class id: a row of kClassColours, the last one for every id outside 0..18.
std::vector<Rgb> colours_by_class(std::span<const int32_t> classes);

/// One colour a point, from blue over green and yellow to red with rising z. The scale's ends are the 1st and 99th
/// percentile, so that single stray points do not use it up; non-finite points get the colour of the lower end.
std::vector<Rgb> colours_by_height(const PointCloud& points);

/// The scan in perspective on a dark background, row by row from the top left.
///
/// The camera looks along +x, downwards, from behind and above; its place follows from the percentiles of x, y and z
/// and from what it then sees, so that a room fills the picture as a street does. Points are discs that hide what is
/// behind them and shrink with distance; edges where depth jumps are darkened (eye-dome lighting: Boucheny 2009), and
/// colours fade a little into the distance. Points that are not finite, or beyond 1e12, are skipped; without any point
/// the background alone remains.
///
/// `colours` holds one colour a row of `points`. Throws invalid_argument where its size is another, and where width or
/// height is not in 1..8192.
Picture draw_scan(const PointCloud& points, std::span<const Rgb> colours, int width = 1600, int height = 900);

}  // namespace lattice::cli
