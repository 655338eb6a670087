#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <thread>

#include "artifact/small_network.h"
#include "lattice/error.h"
#include "lattice/session.h"

// One model, many threads, each with a session of its own: what a server does.

namespace lattice::artifact {
namespace {

constexpr int kThreads = 8;
constexpr uint64_t kDistinct = 100;  // requests that differ

/// Every fifth request is wrong in one of three ways.
bool is_bad(uint64_t request) {
  return request % 5 == 3;
}

NamedTensors request_of(uint64_t request) {
  NamedTensors inputs = SmallNetwork::request(request % kDistinct);
  if (!is_bad(request)) return inputs;
  switch (request / 5 % 3) {
    case 0:
      inputs["x_active"] = Tensor::from(std::vector<int32_t>{-7}, {1});
      break;
    case 1:
      inputs.erase("x_features");
      break;
    default:
      inputs["x_coords"] = Tensor::from(std::vector<int32_t>{0, 1, 1, 1, 0, 1, 1, 1}, {2, 4});
      inputs["x_features"] = Tensor::zeros(DType::f32, {2, 3});
      inputs["x_active"] = Tensor::from(std::vector<int32_t>{2}, {1});
  }
  return inputs;
}

bool same_bits(const NamedTensors& a, const NamedTensors& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.shape() != tensor.shape()) return false;
    if (tensor.nbytes() > 0 && std::memcmp(tensor.raw(), other->second.raw(), tensor.nbytes()) != 0) return false;
  }
  return true;
}

/// How many requests of one thread were answered wrongly.
struct Tally {
  int64_t wrong = 0, unnoticed = 0, answered = 0, refused = 0, relations_left = 0;
};

Tally serve(const Model& model, const std::vector<NamedTensors>& expected, uint64_t first, uint64_t requests) {
  Tally tally;
  Session session({.threads = 1});
  for (uint64_t request = first; request < requests; request += kThreads) {
    try {
      const NamedTensors answer = model.run(session, request_of(request));
      if (is_bad(request)) ++tally.unnoticed;
      if (!is_bad(request) && !same_bits(answer, expected[request % kDistinct])) ++tally.wrong;
      ++tally.answered;
    } catch (const Error&) {
      if (!is_bad(request)) ++tally.wrong;
      ++tally.refused;
    }
  }
  tally.relations_left = session.relations();
  return tally;
}

void expect_served(uint64_t requests) {
  const Model model = SmallNetwork().model();
  std::vector<NamedTensors> expected;
  Session alone({.threads = 1});
  for (uint64_t seed = 0; seed < kDistinct; ++seed) {
    expected.push_back(model.run(alone, SmallNetwork::request(seed)));
  }
  std::vector<Tally> tallies(kThreads);
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] { tallies[thread] = serve(model, expected, thread, requests); });
  }
  for (std::thread& thread : threads) thread.join();
  Tally all;
  for (const Tally& tally : tallies) {
    EXPECT_EQ(tally.wrong, 0);
    EXPECT_EQ(tally.unnoticed, 0);
    EXPECT_LE(tally.relations_left, 10) << "relations of earlier requests are kept";
    all.answered += tally.answered;
    all.refused += tally.refused;
  }
  EXPECT_EQ(all.refused, static_cast<int64_t>(requests / 5));
  EXPECT_EQ(all.answered, static_cast<int64_t>(requests - requests / 5));
}

TEST(Server, two_thousand_requests) {
  expect_served(2000);
}

TEST(Server, DISABLED_twenty_thousand_requests) {
  expect_served(20000);
}

}  // namespace
}  // namespace lattice::artifact
