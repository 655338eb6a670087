#include "cli/scan_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "lattice/error.h"

namespace lattice::cli {
namespace {

constexpr int kWidth = 160, kHeight = 90;
constexpr Rgb kRed{255, 0, 0}, kBlue{0, 0, 255};

PointCloud cloud(const std::vector<float>& xyz) {
  PointCloud points;
  points.values = Tensor::from(xyz, {static_cast<int64_t>(xyz.size() / 3), 3});
  return points;
}

Picture draw(const std::vector<float>& xyz, const std::vector<Rgb>& colours) {
  return draw_scan(cloud(xyz), colours, kWidth, kHeight);
}

/// A plate across the view, of 5 cm squares.
void add_plate(std::vector<float>& xyz, float x, float half_width, float low, float high) {
  for (float y = -half_width; y <= half_width; y += 0.05f) {
    for (float z = low; z <= high; z += 0.05f) xyz.insert(xyz.end(), {x, y, z});
  }
}

int64_t count(const Picture& picture, bool (*is)(const Rgb&)) {
  return std::count_if(picture.pixels.begin(), picture.pixels.end(), is);
}
bool reddish(const Rgb& colour) {
  return colour.r > 2 * colour.b + 40;
}
bool bluish(const Rgb& colour) {
  return colour.b > 2 * colour.r + 40;
}

std::string message_of(const PointCloud& points, const std::vector<Rgb>& colours, int width, int height) {
  try {
    draw_scan(points, colours, width, height);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(ScanPicture, NoPointsGiveTheBackground) {
  const Picture picture = draw({}, {});
  EXPECT_EQ(picture.width, kWidth);
  EXPECT_EQ(picture.height, kHeight);
  ASSERT_EQ(picture.pixels.size(), size_t{kWidth * kHeight});
  for (const Rgb& pixel : picture.pixels) ASSERT_LT(std::max({pixel.r, pixel.g, pixel.b}), 48);
}

TEST(ScanPicture, DefaultSize) {
  const Picture picture = draw_scan(cloud({}), {});
  EXPECT_EQ(picture.pixels.size(), size_t{1600 * 900});
}

TEST(ScanPicture, OnePointIsDrawnInItsColourInTheMiddle) {
  for (float place : {0.f, 5.f, -1000.f}) {
    const Picture picture = draw_scan(cloud({place, place, place}), std::vector{kRed});
    EXPECT_EQ(picture.pixels[450 * 1600 + 800], kRed) << place;
    EXPECT_LT(count(picture, reddish), 200) << place;
  }
}

TEST(ScanPicture, NonFinitePointsAreSkipped) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  const std::vector<float> xyz = {nan, 0, 0, 0, infinite, 0, 0, 0, -3e38f, 1, 2, 3};
  const Picture one = draw({1, 2, 3}, {kRed});
  EXPECT_EQ(draw(xyz, {kBlue, kBlue, kBlue, kRed}).pixels, one.pixels);
  EXPECT_EQ(draw({nan, nan, nan}, {kRed}).pixels, draw({}, {}).pixels);
}

TEST(ScanPicture, NearerPointsHideFartherOnes) {
  // From behind and above, a plate of 4 m hides a plate of 1 m that stands 0.5 m behind it, but not the other way
  // round.
  for (bool near_first : {true, false}) {
    for (float step : {0.5f, -0.5f}) {
      std::vector<float> tall, low;
      add_plate(tall, 0, 2, 0, 4);
      add_plate(low, step, 1, 0, 1);
      std::vector<float> xyz = near_first ? tall : low;
      std::vector<Rgb> colours((near_first ? tall : low).size() / 3, near_first ? kRed : kBlue);
      xyz.insert(xyz.end(), (near_first ? low : tall).begin(), (near_first ? low : tall).end());
      colours.resize(xyz.size() / 3, near_first ? kBlue : kRed);
      const Picture picture = draw(xyz, colours);
      EXPECT_GT(count(picture, reddish), 1000);
      if (step > 0) {
        EXPECT_EQ(count(picture, bluish), 0);
      } else {
        EXPECT_GT(count(picture, bluish), 100);
      }
    }
  }
}

TEST(ScanPicture, ForwardIsUpLeftIsLeft) {
  std::vector<float> xyz;
  std::vector<Rgb> colours;
  for (float x = -5; x <= 5; x += 0.1f) {
    for (float y = -5; y <= 5; y += 0.1f) {
      xyz.insert(xyz.end(), {x, y, 0});
      colours.push_back({static_cast<uint8_t>(x > 0 ? 250 : 50), static_cast<uint8_t>(y > 0 ? 250 : 50), 0});
    }
  }
  const Picture picture = draw(xyz, colours);
  // Middles of the pixels that show the half in front, and of those that show the half on the left.
  double front_row = 0, left_column = 0;
  int front = 0, left = 0;
  for (int pixel = 0; pixel < kWidth * kHeight; ++pixel) {
    const Rgb colour = picture.pixels[static_cast<size_t>(pixel)];
    if (colour.r > 100) front_row += pixel / kWidth, ++front;
    if (colour.g > 100) left_column += pixel % kWidth, ++left;
  }
  ASSERT_GT(front, 500);
  ASSERT_GT(left, 500);
  EXPECT_LT(front_row / front, 0.4 * kHeight);
  EXPECT_LT(left_column / left, 0.4 * kWidth);
}

TEST(ScanPicture, FillsThePictureAtEveryScale) {
  for (float scale : {0.01f, 1.f, 100.f}) {
    std::vector<float> xyz;
    for (float x = -5; x <= 5; x += 0.1f) {
      for (float y = -5; y <= 5; y += 0.1f) xyz.insert(xyz.end(), {scale * x, scale * y, 0});
    }
    const Picture picture = draw(xyz, std::vector<Rgb>(xyz.size() / 3, kRed));
    EXPECT_GT(count(picture, reddish), kWidth * kHeight / 4) << scale;
  }
}

TEST(ScanPicture, RefusesAnotherNumberOfColours) {
  const std::string message = message_of(cloud({0, 0, 0, 1, 1, 1}), {kRed, kRed, kRed}, kWidth, kHeight);
  EXPECT_THAT(message, testing::HasSubstr("3 colours"));
  EXPECT_THAT(message, testing::HasSubstr("2 points"));
}

TEST(ScanPicture, RefusesSizesThatAreNoPicture) {
  EXPECT_THAT(message_of(cloud({}), {}, 0, 90), testing::HasSubstr("0 x 90"));
  EXPECT_THAT(message_of(cloud({}), {}, 160, -1), testing::HasSubstr("160 x -1"));
  EXPECT_THAT(message_of(cloud({}), {}, 8193, 90), testing::HasSubstr("8193 x 90"));
  EXPECT_EQ(draw_scan(cloud({0, 0, 0}), std::vector{kRed}, 1, 1).pixels.size(), 1u);
}

TEST(ScanColours, ClassesHaveTheDataSetsColours) {
  const std::vector<int32_t> classes = {0, 8, 14, 18, 19, 20, -1, 255};
  const Rgb grey = kClassColours.back().colour;
  EXPECT_EQ(colours_by_class(classes),
            (std::vector<Rgb>{{100, 150, 245}, {255, 0, 255}, {0, 175, 0}, {255, 0, 0}, grey, grey, grey, grey}));
  EXPECT_EQ(kClassColours[0].name, "car");
  EXPECT_EQ(kClassColours[18].name, "traffic-sign");
  EXPECT_EQ(kClassColours[19].name, "unlabelled");
  EXPECT_TRUE(grey.r == grey.g && grey.g == grey.b);
}

TEST(ScanColours, HeightRunsFromBlueToRed) {
  std::vector<float> xyz;
  for (float z = 0; z < 10; z += 0.1f) xyz.insert(xyz.end(), {0, 0, z});
  xyz.insert(xyz.end(), {0, 0, std::numeric_limits<float>::quiet_NaN()});
  const std::vector<Rgb> colours = colours_by_height(cloud(xyz));
  ASSERT_EQ(colours.size(), xyz.size() / 3);
  EXPECT_GT(colours.front().b, colours.front().r);
  EXPECT_GT(colours[colours.size() / 2].g, colours[colours.size() / 2].b);
  EXPECT_GT(colours[colours.size() - 2].r, colours[colours.size() - 2].b);
  EXPECT_EQ(colours.back(), colours.front());
}

TEST(ScanColours, HeightOfAFlatOrEmptyScan) {
  EXPECT_TRUE(colours_by_height(cloud({})).empty());
  const std::vector<Rgb> flat = colours_by_height(cloud({0, 0, 1, 1, 0, 1}));
  EXPECT_EQ(flat[0], flat[1]);
}

}  // namespace
}  // namespace lattice::cli
