#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "artifact/graph.h"
#include "lattice/model.h"

// The format's page as plain loops in float64, for small inputs: what the executor is compared with. It shares nothing
// with the library but the graph and the tensors at its border.

namespace lattice::artifact::oracle {

using Place = std::array<int64_t, 4>;  // batch, x, y, z

/// A matrix; a tensor of another rank is one row or one column.
struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<double> values;
  double& at(int64_t row, int64_t column) { return values[static_cast<size_t>(row * columns + column)]; }
  double at(int64_t row, int64_t column) const { return values[static_cast<size_t>(row * columns + column)]; }
  static Matrix filled(int64_t rows, int64_t columns, double value = 0) {
    return {rows, columns, std::vector<double>(static_cast<size_t>(rows * columns), value)};
  }
};

struct Value {
  Matrix features = {};
  bool sparse = false;
  std::vector<Place> coords = {};  // logical
  Integers stride = {1, 1, 1};
  std::optional<Integers> extent = {};
  int64_t capacity = -1;
  const Operation* weight = nullptr;
};

inline std::vector<double> elements(const Tensor& tensor) {
  std::vector<double> values;
  const auto add = [&](auto span) {
    for (const auto v : span) values.push_back(static_cast<double>(static_cast<float>(v)));
  };
  if (tensor.dtype() == DType::i32) {
    for (const int32_t v : tensor.values<int32_t>()) values.push_back(v);
  } else if (tensor.dtype() == DType::f16) {
    add(tensor.values<Float16>());
  } else {
    add(tensor.values<float>());
  }
  return values;
}

inline Matrix matrix(const Tensor& tensor) {
  const int64_t columns = tensor.rank() == 2 ? tensor.size(1) : 1;
  return {tensor.size(0), columns, elements(tensor)};
}

/// A kernel: W[tap][ci][co].
struct Kernel {
  int64_t taps = 0, ins = 0, outs = 0;
  std::vector<double> values;
  double at(int64_t tap, int64_t in, int64_t out) const {
    return values[static_cast<size_t>((tap * ins + in) * outs + out)];
  }
};

struct Edge {
  int64_t output, tap, input;
};

struct Geometry {
  Integers size = {1, 1, 1}, stride = {1, 1, 1}, padding = {0, 0, 0}, dilation = {1, 1, 1};

  int64_t taps() const { return size[0] * size[1] * size[2]; }
  std::array<int64_t, 3> position(int64_t tap) const {
    return {tap / (size[1] * size[2]), tap / size[2] % size[1], tap % size[2]};
  }
  int64_t offset(int64_t tap, size_t axis, bool centred) const {
    const int64_t middle = centred && size[axis] % 2 == 1 ? size[axis] / 2 : 0;
    return (position(tap)[axis] - middle) * dilation[axis];
  }
};

inline Geometry geometry_of(const Operation& operation) {
  Geometry geometry;
  const auto read = [&](const char* name, Integers& into) {
    const auto found = operation.attributes.find(name);
    if (found != operation.attributes.end()) into = std::get<Integers>(found->second);
  };
  read("kernel_size", geometry.size);
  read("stride", geometry.stride);
  read("padding", geometry.padding);
  read("dilation", geometry.dilation);
  return geometry;
}

inline int64_t floor_of(int64_t a, int64_t b) {
  return static_cast<int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b)));
}

inline void add_new(std::vector<Place>& places, const Place& place) {
  for (const Place& known : places) {
    if (known == place) return;
  }
  places.push_back(place);
}

inline std::vector<Place> forward_support(const std::vector<Place>& coords, const Geometry& g) {
  if (g.stride == Integers{1, 1, 1} && g.padding == Integers{0, 0, 0}) return coords;
  std::vector<Place> result;
  for (const Place& c : coords) {
    add_new(result, {c[0], floor_of(c[1], g.stride[0]), floor_of(c[2], g.stride[1]), floor_of(c[3], g.stride[2])});
  }
  return result;
}

inline std::vector<Place> transposed_support(const std::vector<Place>& coords, const Geometry& g, bool merged) {
  std::vector<Place> result;
  for (const Place& c : coords) {
    for (int64_t k = 0; k < g.taps(); ++k) {
      Place t = c;
      for (size_t a = 0; a < 3; ++a) t[a + 1] = c[a + 1] * g.stride[a] + g.offset(k, a, false) - g.padding[a];
      if (merged) {
        add_new(result, t);
      } else {
        result.push_back(t);
      }
    }
  }
  return result;
}

inline std::optional<Integers> regular_extent(const std::optional<Integers>& extent, const Geometry& g) {
  if (!extent) return std::nullopt;
  Integers result;
  for (size_t a = 0; a < 3; ++a) {
    result[a] = ((*extent)[a] + 2 * g.padding[a] - g.dilation[a] * (g.size[a] - 1) - 1) / g.stride[a] + 1;
  }
  return result;
}

inline std::vector<Place> regular_support(const Value& x, const Geometry& g) {
  const std::optional<Integers> extent = regular_extent(x.extent, g);
  std::vector<Place> result;
  for (const Place& c : x.coords) {
    for (int64_t k = 0; k < g.taps(); ++k) {
      Place o = c;
      bool reached = true;
      for (size_t a = 0; a < 3; ++a) {
        const int64_t scaled = c[a + 1] + g.padding[a] - g.offset(k, a, false);
        reached = reached && scaled % g.stride[a] == 0;
        o[a + 1] = scaled / g.stride[a];
        reached = reached && (!extent || (o[a + 1] >= 0 && o[a + 1] < (*extent)[a]));
      }
      if (reached) add_new(result, o);
    }
  }
  return result;
}

/// Every output, tap and input are tried: slow, and plainly the definition. Edges ordered by output, then tap.
inline std::vector<Edge> edges_of(const std::vector<Place>& inputs, const std::vector<Place>& outputs,
                                  const Geometry& g, bool transposed, bool centred) {
  std::vector<Edge> edges;
  for (size_t o = 0; o < outputs.size(); ++o) {
    for (int64_t k = 0; k < g.taps(); ++k) {
      for (size_t i = 0; i < inputs.size(); ++i) {
        bool meets = inputs[i][0] == outputs[o][0];
        for (size_t a = 0; a < 3; ++a) {
          const int64_t offset = g.offset(k, a, centred) - g.padding[a];
          const int64_t fine = transposed ? outputs[o][a + 1] : inputs[i][a + 1];
          const int64_t coarse = transposed ? inputs[i][a + 1] : outputs[o][a + 1];
          meets = meets && coarse * g.stride[a] + offset == fine;
        }
        if (meets) edges.push_back({static_cast<int64_t>(o), k, static_cast<int64_t>(i)});
      }
    }
  }
  return edges;
}

}  // namespace lattice::artifact::oracle
