#pragma once

#include "artifact/evaluator.h"

namespace lattice::artifact::oracle {

/// A graph with its weights and inputs, evaluated operation by operation.
class GraphEvaluator {
 public:
  GraphEvaluator(const Graph& graph, const NamedTensors& weights, const NamedTensors& inputs)
      : graph_(graph), weights_(weights), values_(graph.values.size()) {
    for (size_t i = 0; i < graph.arguments.size(); ++i) {
      value(graph.arguments[i]).features = matrix(inputs.at(graph.input_names[i]));
    }
    for (const Operation& operation : graph.operations) {
      operation_ = &operation;
      evaluate();
    }
  }

  const Value& result(size_t index) const { return values_[static_cast<size_t>(graph_.results[index])]; }

 private:
  Value& value(ValueId id) { return values_[static_cast<size_t>(id)]; }
  Value& operand(size_t i) { return value(operation_->operands.at(i)); }
  size_t operands() const { return operation_->operands.size(); }
  Value& result_of(size_t i = 0) { return value(operation_->results.at(i)); }
  bool is(std::string_view name) const { return operation_->name == name; }
  bool names(std::string_view part) const { return operation_->name.find(part) != std::string::npos; }
  double number(const char* name) const { return double{std::get<float>(operation_->attributes.at(name))}; }
  std::string word(const char* name) const {
    const Attribute& a = operation_->attributes.at(name);
    if (const auto* text = std::get_if<std::string>(&a); text != nullptr) return *text;
    return std::get<Keyword>(a).value;
  }
  std::vector<double> vector(size_t i) {
    return elements(weights_.at(std::get<std::string>(operand(i).weight->attributes.at("storage_key"))));
  }

  void evaluate() {
    if (is("weight")) {
      result_of().weight = operation_;
    } else if (is("sparse.make")) {
      make();
    } else if (is("sparse.decompose")) {
      const Value& x = operand(0);
      result_of(1).features = x.features;
      result_of(2).features = Matrix::filled(1, 1, static_cast<double>(x.coords.size()));
      Matrix coords = Matrix::filled(static_cast<int64_t>(x.coords.size()), 4);
      for (int64_t i = 0; i < coords.rows; ++i) {
        for (int64_t a = 0; a < 4; ++a) coords.at(i, a) = static_cast<double>(physical(x, i)[static_cast<size_t>(a)]);
      }
      result_of(0).features = coords;
    } else if (is("sparse.with_features")) {
      Value y = operand(0);
      y.features = operand(1).features;
      y.features.rows = static_cast<int64_t>(y.coords.size());
      y.features.values.resize(static_cast<size_t>(y.features.rows * y.features.columns));
      result_of() = y;
    } else if (is("sparse.bound")) {
      bound();
    } else if (is("sparse.reindex") || is("sparse.binary") || is("sparse.cat")) {
      join();
    } else if (is("global_pool")) {
      global_pool();
    } else if (is("voxelize")) {
      voxelize();
    } else if (is("devoxelize")) {
      devoxelize();
    } else if (names("conv")) {
      convolve();
    } else if (names("pool") || is("trilinear_upsample3d")) {
      pool();
    } else {
      dense();
    }
  }

  static Place physical(const Value& x, int64_t row) {
    Place place = x.coords[static_cast<size_t>(row)];
    for (size_t a = 0; a < 3; ++a) place[a + 1] *= x.stride[a];
    return place;
  }

  void make() {
    const Matrix &coords = operand(0).features, &features = operand(1).features;
    Value y = {.sparse = true, .stride = std::get<Integers>(operation_->attributes.at("stride"))};
    const auto active = static_cast<int64_t>(operand(2).features.values[0]);
    y.features = Matrix::filled(active, features.columns);
    for (int64_t i = 0; i < active; ++i) {
      Place place;
      for (size_t a = 0; a < 4; ++a) place[a] = static_cast<int64_t>(coords.at(i, static_cast<int64_t>(a)));
      for (size_t a = 0; a < 3; ++a) place[a + 1] /= y.stride[a];
      y.coords.push_back(place);
      for (int64_t c = 0; c < features.columns; ++c) y.features.at(i, c) = features.at(i, c);
    }
    result_of() = y;
  }

  void bound() {
    Value y = operand(0);
    Integers extent = std::get<Integers>(operation_->attributes.at("extent"));
    for (size_t a = 0; a < 3; ++a) {
      if (extent[a] != -1) continue;
      extent[a] = 1;
      for (const Place& c : y.coords) extent[a] = std::max(extent[a], c[a + 1] + 1);
    }
    y.extent = extent;
    result_of() = y;
  }

  static int64_t row_of(const Value& x, const Place& place) {
    for (size_t i = 0; i < x.coords.size(); ++i) {
      if (x.coords[i] == place) return static_cast<int64_t>(i);
    }
    return -1;
  }

  void join() {
    const Value &lhs = operand(0), &rhs = operand(1);
    Value y = {.sparse = true, .stride = lhs.stride};
    if (is("sparse.reindex")) {
      y = rhs;
      y.features = Matrix::filled(static_cast<int64_t>(rhs.coords.size()), lhs.features.columns, number("fill"));
      for (int64_t i = 0; i < y.features.rows; ++i) {
        const int64_t row = row_of(lhs, rhs.coords[static_cast<size_t>(i)]);
        for (int64_t c = 0; row >= 0 && c < y.features.columns; ++c) y.features.at(i, c) = lhs.features.at(row, c);
      }
      result_of() = y;
      return;
    }
    const std::string how = word("join");
    if (how == "right") {
      y.coords = rhs.coords;
    } else {
      for (const Place& c : lhs.coords) {
        if (how != "inner" || row_of(rhs, c) >= 0) y.coords.push_back(c);
      }
    }
    for (const Place& c : rhs.coords) {
      if (how == "outer") add_new(y.coords, c);
    }
    const bool cat = is("sparse.cat");
    const int64_t left = lhs.features.columns, right = rhs.features.columns;
    y.features = Matrix::filled(static_cast<int64_t>(y.coords.size()), cat ? left + right : left);
    const double lhs_fill = cat ? 0 : number("lhs_fill"), rhs_fill = cat ? 0 : number("rhs_fill");
    for (int64_t i = 0; i < y.features.rows; ++i) {
      const int64_t l = row_of(lhs, y.coords[static_cast<size_t>(i)]),
                    r = row_of(rhs, y.coords[static_cast<size_t>(i)]);
      const auto a = [&](int64_t c) { return l < 0 ? lhs_fill : lhs.features.at(l, c); };
      const auto b = [&](int64_t c) { return r < 0 ? rhs_fill : rhs.features.at(r, c); };
      for (int64_t c = 0; c < y.features.columns; ++c) {
        y.features.at(i, c) = cat ? (c < left ? a(c) : b(c - left)) : combined(word("op"), a(c), b(c));
      }
    }
    result_of() = y;
  }

  static double combined(const std::string& op, double a, double b) {
    if (op == "add") return a + b;
    if (op == "sub") return a - b;
    if (op == "mul") return a * b;
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
    return op == "maximum" ? std::max(a, b) : std::min(a, b);
  }

  /// The support, edges and stride of a convolution or pooling, as the value that results, without features.
  Value related(const Geometry& g, std::vector<Edge>& edges) {
    const Value& x = operand(0);
    const bool regular = names("regular"), up = names("transpose") || names("upsample");
    const bool subm = names("subm");
    const bool has_target = names("target") || (up && operands() > 1 && operand(1).sparse);
    Value y = {.sparse = true, .stride = x.stride};
    if (!subm) {
      for (size_t a = 0; a < 3; ++a) y.stride[a] = up ? x.stride[a] / g.stride[a] : x.stride[a] * g.stride[a];
    }
    if (has_target) {
      y.coords = operand(1).coords;
      y.extent = operand(1).extent;
    } else if (subm) {
      y.coords = x.coords;
      y.extent = x.extent;
    } else if (up) {
      y.coords = transposed_support(x.coords, g, !names("generative"));
    } else if (regular) {
      y.coords = regular_support(x, g);
      y.extent = regular_extent(x.extent, g);
    } else {
      y.coords = forward_support(x.coords, g);
    }
    edges = edges_of(x.coords, y.coords, g, up, !up && !regular);
    return y;
  }

  Kernel kernel(size_t i, int64_t taps) {
    const Operation& weight = *operand(i).weight;
    const auto& key = std::get<std::string>(weight.attributes.at("storage_key"));
    const auto& packing = std::get<Packing>(weight.attributes.at("packing"));
    return packing.kind == "dense" ? dense_kernel(weights_.at(key), taps)
                                   : packed_kernel(key, packing, taps, operand(0).features.columns);
  }

  static Kernel dense_kernel(const Tensor& stored, int64_t taps) {
    const int64_t outs = stored.size(0), ins = stored.size(stored.rank() - 1);
    const std::vector<double> from = elements(stored);
    Kernel kernel = {taps, ins, outs, {}};
    for (int64_t k = 0; k < taps; ++k) {
      for (int64_t in = 0; in < ins; ++in) {
        for (int64_t out = 0; out < outs; ++out) {
          kernel.values.push_back(from[static_cast<size_t>((out * taps + k) * ins + in)]);
        }
      }
    }
    return kernel;
  }

  Kernel packed_kernel(const std::string& key, const Packing& packing, int64_t taps, int64_t ins) {
    const Tensor &words = weights_.at(key + ".weight"), &scales = weights_.at(key + ".scales");
    const std::vector<double> scale = elements(scales), bias = elements(weights_.at(key + ".biases"));
    const int64_t bits = packing.kind == "int4" ? 4 : 8;
    const bool pointwise = taps == 1;
    const int64_t outs = words.size(pointwise ? 1 : 2);
    const auto at = [&](const Tensor& tensor, int64_t k, int64_t i, int64_t out) {
      const int64_t row = pointwise ? out : i, column = pointwise ? i : out;
      return static_cast<size_t>((k * tensor.size(1) + row) * tensor.size(2) + column);
    };
    Kernel kernel = {taps, ins, outs, {}};
    for (int64_t k = 0; k < taps; ++k) {
      for (int64_t in = 0; in < ins; ++in) {
        for (int64_t out = 0; out < outs; ++out) {
          const uint32_t word = words.data<uint32_t>()[at(words, k, in * bits / 32, out)];
          const uint32_t code = word >> (in * bits % 32) & ((1U << bits) - 1);
          const size_t group = at(scales, k, in / packing.group_size, out);
          kernel.values.push_back(scale[group] * code + bias[group]);
        }
      }
    }
    return kernel;
  }

  void convolve() {
    const Geometry g = geometry_of(*operation_);
    std::vector<Edge> edges;
    Value y = related(g, edges);
    const size_t at = names("target") ? 2 : 1;
    const Kernel w = kernel(at, g.taps());
    const Matrix& x = operand(0).features;
    y.features = Matrix::filled(static_cast<int64_t>(y.coords.size()), w.outs);
    Matrix squares = y.features;
    for (const Edge& e : edges) {
      for (int64_t in = 0; in < w.ins; ++in) {
        for (int64_t out = 0; out < w.outs; ++out) {
          y.features.at(e.output, out) += x.at(e.input, in) * w.at(e.tap, in, out);
          squares.at(e.output, out) += w.at(e.tap, in, out) * w.at(e.tap, in, out);
        }
      }
    }
    const bool plain = is("normalized_subm_conv3d") && g.size == Integers{1, 1, 1} && g.dilation == Integers{1, 1, 1};
    if (names("normalized") && !plain) {
      for (size_t i = 0; i < squares.values.size(); ++i) {
        y.features.values[i] /= std::sqrt(squares.values[i] + number("eps"));
      }
    }
    if (operands() > at + 1) add_rows(y.features, vector(at + 1));
    result_of() = y;
  }

  static void add_rows(Matrix& matrix, const std::vector<double>& row) {
    for (int64_t i = 0; i < matrix.rows; ++i) {
      for (int64_t c = 0; c < matrix.columns; ++c) matrix.at(i, c) += row[static_cast<size_t>(c)];
    }
  }

  void pool() {
    Geometry g = geometry_of(*operation_);
    const bool trilinear = is("trilinear_upsample3d");
    if (trilinear) {
      for (size_t a = 0; a < 3; ++a) {
        g.size[a] = 2 * g.stride[a] - 1;
        g.padding[a] = g.stride[a] - 1;
      }
    }
    const std::string mode = names("pool3d") && !names("transpose") ? word("mode") : "avg";
    std::vector<Edge> edges;
    Value y = related(g, edges);
    const Matrix& x = operand(0).features;
    const auto rows = static_cast<int64_t>(y.coords.size());
    y.features = Matrix::filled(rows, x.columns, mode == "max" ? -std::numeric_limits<double>::infinity() : 0);
    std::vector<double> weights(static_cast<size_t>(rows), 0);
    for (const Edge& e : edges) {
      double weight = 1;
      for (size_t a = 0; trilinear && a < 3; ++a) {
        const auto r = static_cast<double>(g.stride[a]);
        weight *= 1 - std::abs(static_cast<double>(g.position(e.tap)[a]) - (r - 1)) / r;
      }
      weights[static_cast<size_t>(e.output)] += weight;
      for (int64_t c = 0; c < x.columns; ++c) {
        double& into = y.features.at(e.output, c);
        into = mode == "max" ? std::max(into, x.at(e.input, c)) : into + weight * x.at(e.input, c);
      }
    }
    for (int64_t i = 0; mode == "avg" && i < rows; ++i) {
      const double weight = weights[static_cast<size_t>(i)];
      for (int64_t c = 0; weight > 0 && c < x.columns; ++c) y.features.at(i, c) /= weight;
    }
    result_of() = y;
  }

  void global_pool() {
    const Value& x = operand(0);
    const std::string mode = word("mode");
    int64_t batches = std::get<int64_t>(operation_->attributes.at("batch_size"));
    if (batches == -1) {
      batches = 0;
      for (const Place& c : x.coords) batches = std::max(batches, c[0] + 1);
    }
    const int64_t channels = x.features.columns;
    Matrix y = Matrix::filled(batches, channels, mode == "max" ? -std::numeric_limits<double>::infinity() : 0);
    std::vector<double> counts(static_cast<size_t>(batches), 0);
    for (size_t i = 0; i < x.coords.size(); ++i) {
      const int64_t b = x.coords[i][0];
      if (b >= batches) continue;
      ++counts[static_cast<size_t>(b)];
      for (int64_t c = 0; c < channels; ++c) {
        const double v = x.features.at(static_cast<int64_t>(i), c);
        y.at(b, c) = mode == "max" ? std::max(y.at(b, c), v) : y.at(b, c) + v;
      }
    }
    for (int64_t b = 0; mode == "avg" && b < batches; ++b) {
      const double count = counts[static_cast<size_t>(b)];
      for (int64_t c = 0; count > 0 && c < channels; ++c) y.at(b, c) /= count;
    }
    result_of().features = y;
  }

  /// (p - origin) / voxel_size in float32, as the page asks.
  float step(const Matrix& points, int64_t row, size_t axis) const {
    const auto size = static_cast<float>(std::get<Reals>(operation_->attributes.at("voxel_size"))[axis]);
    const auto origin = static_cast<float>(std::get<Reals>(operation_->attributes.at("origin"))[axis]);
    return (static_cast<float>(points.at(row, static_cast<int64_t>(axis))) - origin) / size;
  }

  void voxelize() {
    const Matrix &points = operand(0).features, &features = operand(1).features, &batches = operand(2).features;
    const auto active = static_cast<int64_t>(operand(3).features.values[0]);
    Value y = {.sparse = true, .stride = std::get<Integers>(operation_->attributes.at("stride"))};
    std::vector<std::vector<int64_t>> members;
    for (int64_t i = 0; i < active; ++i) {
      Place place = {static_cast<int64_t>(batches.at(i, 0)), 0, 0, 0};
      for (size_t a = 0; a < 3; ++a) place[a + 1] = static_cast<int64_t>(std::floor(step(points, i, a)));
      add_new(y.coords, place);
      members.resize(y.coords.size());
      members[static_cast<size_t>(row_of(y, place))].push_back(i);
    }
    y.features = Matrix::filled(static_cast<int64_t>(y.coords.size()), features.columns);
    for (int64_t row = 0; row < y.features.rows; ++row) {
      const auto& rows = members[static_cast<size_t>(row)];
      for (int64_t c = 0; c < features.columns; ++c) {
        for (const int64_t i : rows) y.features.at(row, c) += features.at(i, c);
        if (word("reduction") == "mean") y.features.at(row, c) /= static_cast<double>(rows.size());
      }
    }
    result_of() = y;
  }

  void devoxelize() {
    const Matrix &points = operand(0).features, &batches = operand(2).features;
    const Value& voxels = operand(1);
    const auto active = static_cast<int64_t>(operand(3).features.values[0]);
    Matrix y = Matrix::filled(points.rows, voxels.features.columns);
    const bool linear = word("interpolation") == "linear";
    for (int64_t i = 0; i < active; ++i) {
      for (int corner = 0; corner < (linear ? 8 : 1); ++corner) {
        Place place = {static_cast<int64_t>(batches.at(i, 0)), 0, 0, 0};
        double weight = 1;
        for (size_t a = 0; a < 3; ++a) {
          const float p = step(points, i, a);
          const int64_t bit = corner >> a & 1;
          place[a + 1] = static_cast<int64_t>(std::floor(linear ? p : p + 0.5F)) + bit;
          const double part = double{p} - std::floor(double{p});
          if (linear) weight *= bit == 1 ? part : 1 - part;
        }
        const int64_t row = row_of(voxels, place);
        for (int64_t c = 0; row >= 0 && c < y.columns; ++c) y.at(i, c) += weight * voxels.features.at(row, c);
      }
    }
    result_of().features = y;
  }

  void dense() {
    const Matrix& x = operand(0).features;
    Matrix y = x;
    if (is("linear")) {
      const Kernel w = kernel(1, 1);
      y = Matrix::filled(x.rows, w.outs);
      for (int64_t i = 0; i < x.rows; ++i) {
        for (int64_t out = 0; out < w.outs; ++out) {
          for (int64_t in = 0; in < w.ins; ++in) y.at(i, out) += x.at(i, in) * w.at(0, in, out);
        }
      }
      if (operands() > 2) add_rows(y, vector(2));
    } else if (is("embedding_lookup")) {
      const Matrix table = matrix(weights_.at(std::get<std::string>(operand(1).weight->attributes.at("storage_key"))));
      y = Matrix::filled(x.rows, table.columns);
      for (int64_t i = 0; i < x.rows; ++i) {
        const auto index = static_cast<int64_t>(x.at(i, 0));
        for (int64_t c = 0; c < y.columns; ++c) y.at(i, c) = table.at(index < 0 ? index + table.rows : index, c);
      }
    } else {
      for (int64_t i = 0; i < x.rows; ++i) row_function(x, y, i);
    }
    result_of().features = y;
  }

  void row_function(const Matrix& x, Matrix& y, int64_t i) {
    const int64_t n = x.columns;
    double mean = 0, squares = 0, variance = 0, largest = x.at(i, 0), powers = 0;
    for (int64_t c = 0; c < n; ++c) {
      mean += x.at(i, c) / static_cast<double>(n);
      squares += x.at(i, c) * x.at(i, c) / static_cast<double>(n);
      largest = std::max(largest, x.at(i, c));
    }
    for (int64_t c = 0; c < n; ++c) {
      variance += (x.at(i, c) - mean) * (x.at(i, c) - mean) / static_cast<double>(n);
      powers += std::exp(x.at(i, c) - largest);
    }
    for (int64_t c = 0; c < n; ++c) {
      const double v = x.at(i, c);
      const auto p = [&](size_t at) { return vector(at)[static_cast<size_t>(c)]; };
      double& out = y.at(i, c);
      if (is("elementwise")) out = word("kind") == "exp" ? std::exp(v) : std::nearbyint(v);
      if (is("softmax")) out = std::exp(v - largest) / powers;
      if (is("activation")) out = activated(v);
      if (is("batch_norm")) out = (v - p(3)) / std::sqrt(p(4) + number("eps")) * p(1) + p(2);
      if (is("layer_norm")) out = (v - mean) / std::sqrt(variance + number("eps")) * p(1) + p(2);
      if (is("rms_norm")) out = v / std::sqrt(squares + number("eps")) * p(1);
    }
  }

  double activated(double x) const {
    const std::string kind = word("kind"), form = word("approximate");
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    if (kind == "relu") return std::max(x, 0.0);
    if (kind == "sigmoid") return sigmoid(x);
    if (kind == "tanh") return std::tanh(x);
    if (kind == "silu") return x * sigmoid(x);
    if (kind == "leaky_relu") return x >= 0 ? x : x * number("alpha");
    if (kind == "softplus") {
      const double u = number("beta") * x;
      return u > number("threshold") ? x : std::log(1 + std::exp(u)) / number("beta");
    }
    if (form == "tanh") return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    if (form == "fast") return x * sigmoid(1.702 * x);
    return 0.5 * x * (1 + std::erf(x * 0.7071067811865476));
  }

  const Graph& graph_;
  const NamedTensors& weights_;
  std::vector<Value> values_;
  const Operation* operation_ = nullptr;
};

}  // namespace lattice::artifact::oracle
