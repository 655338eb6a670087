#include "artifact/verifier.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "artifact/all_operations.h"
#include "artifact/text_reader.h"

namespace lattice::artifact {
namespace {

using testing::HasSubstr;

std::string verdict(const std::string& text) {
  const Graph graph = read_graph(text, "g");
  return refusal_of([&] { verify(graph, "g"); });
}

TEST(Verifier, AcceptsEveryOperation) {
  EXPECT_EQ(verdict(all_operations_text()), "");
}

// An attribute of another kind.
Attribute of_other_kind(const Attribute& attribute) {
  if (std::holds_alternative<int64_t>(attribute)) return 1.0f;
  return int64_t{1};
}

struct Change {
  std::string_view line;      // begins so
  std::string_view from, to;  // the first `from` in it becomes `to`
  std::string_view message;   // after the place and the operation
};

void expect_refused(const Change& change) {
  SCOPED_TRACE(testing::Message() << change.line << " " << change.to);
  std::string text = all_operations_text();
  const size_t line = text.find("\n" + std::string(change.line)) + 1;
  ASSERT_NE(line, 0u);
  const size_t at = text.find(change.from, line);
  ASSERT_LT(at, text.find('\n', line));
  text.replace(at, change.from.size(), change.to);
  const auto number = 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(line), '\n');
  const std::string found = verdict(text);
  EXPECT_THAT(found, HasSubstr(" g:" + std::to_string(number) + ":"));
  EXPECT_THAT(found, HasSubstr(": " + std::string(change.message)));
}

TEST(Verifier, RulesOfAttributes) {
  const Change changes[] = {
      // Every attribute is required.
      {"%conv =", ", accumulation = \"canonical_f32\"", "",
       "lattice.conv3d %conv: it has the attribute accumulation; found none"},
      {"%act =", "approximate = #lattice.gelu_approx<tanh>, ", "", "it has the attribute approximate; found none"},
      // Triples.
      {"%conv =", "kernel_size = array<i64: 2", "kernel_size = array<i64: 0",
       "kernel_size is positive on every axis; found array<i64: 0, 2, 2>"},
      {"%conv =", "stride = array<i64: 2, 2, 2", "stride = array<i64: 2, 2, -1", "stride is positive on every axis"},
      {"%conv =", "dilation = array<i64: 1, 1", "dilation = array<i64: 1, 0", "dilation is positive on every axis"},
      {"%conv =", "padding = array<i64: 0", "padding = array<i64: -1", "padding is not negative on any axis"},
      {"%make =", "array<i64: 1", "array<i64: 0", "stride is positive on every axis"},
      {"%vox =", "stride = array<i64: 1", "stride = array<i64: 0", "stride is positive on every axis"},
      {"%tri =", "array<i64: 2", "array<i64: 0", "stride is positive on every axis"},
      {"%pool =", "kernel_size = array<i64: 2", "kernel_size = array<i64: -9", "kernel_size is positive on every axis"},
      {"%unpool =", "padding = array<i64: 0", "padding = array<i64: -1", "padding is not negative on any axis"},
      {"%rconv =", "padding = array<i64: 1", "padding = array<i64: -1", "padding is not negative on any axis"},
      {"%rpool =", "stride = array<i64: 2", "stride = array<i64: 0", "stride is positive on every axis"},
      // Kernels.
      {"%subm =", "array<i64: 3, 3, 3>", "array<i64: 3, 2, 3>",
       "kernel_size is odd on every axis; found array<i64: 3, 2, 3>"},
      {"%nsubm =", "array<i64: 3, 3, 3>", "array<i64: 4, 3, 3>", "kernel_size is odd on every axis"},
      {"%gen =", "kernel_size = array<i64: 2, 1", "kernel_size = array<i64: 2, 3",
       "kernel_size is at most the stride on every axis"},
      {"%ngen =", "kernel_size = array<i64: 2, 1", "kernel_size = array<i64: 3, 1",
       "kernel_size is at most the stride on every axis"},
      {"%tconv =", "canonical_f32", "f16", "accumulation is \"canonical_f32\"; found \"f16\""},
      {"%gen =", "canonical_f32", "", "accumulation is \"canonical_f32\"; found \"\""},
      {"%rconv =", "canonical_f32", "other", "accumulation is \"canonical_f32\"; found \"other\""},
      // eps, and NaN, which fails every comparison.
      {"%nsubm =", "eps = 1.0e-8", "eps = 0.0", "eps is positive; found 0.0 : f32"},
      {"%tnup =", "eps = 1.0e-8", "eps = -1.0", "eps is positive; found -1.0 : f32"},
      {"%ngen =", "eps = 1.0e-8", "eps = 0x7FC00000", "eps is positive; found 0x7FC00000 : f32"},
      {"%bn =", "eps = 1.0e-05", "eps = 0.000000000000", "eps is positive"},
      {"%ln =", "eps = 1.0e-05", "eps = -0.0", "eps is positive"},
      {"%rms =", "eps = 1.0e-05", "eps = 0x7FC00000", "eps is positive"},
      {"%act =", "alpha = 0.01", "alpha = -0.5", "alpha is not negative; found -0.5"},
      {"%act =", "alpha = 0.01", "alpha = 0x7FC00000", "alpha is not negative; found nan"},
      {"%act =", "beta = 1.0", "beta = 0.0", "beta is positive; found 0"},
      {"%act =", "beta = 1.0", "beta = 0x7FC00000", "beta is positive; found nan"},
      {"%vox =", "voxel_size = array<f64: 0.1", "voxel_size = array<f64: 0.0", "voxel_size is positive on every axis"},
      {"%devox =", "voxel_size = array<f64: 0.1", "voxel_size = array<f64: 0x7FF8000000000000",
       "voxel_size is positive on every axis"},
      // The rest.
      {"%global =", "-1", "-2", "batch_size is a number of batches, or -1; found -2"},
      {"%elem =", "\"exp\"", "\"log\"", "kind is \"exp\" or \"round\"; found \"log\""},
      {"%soft =", "axis = -1", "axis = 0", "axis is -1 or 1; found 0"},
      {"%bound =", "-1, 9", "-2, 9", "extent is positive or -1 on every axis"},
      {"%bound =", "-1, 9", "-1, 0", "extent is positive or -1 on every axis"},
      // Weights.
      {"%w =", "storage_key = \"w\"", "storage_key = \"\"", "lattice.weight %w: storage_key is not empty"},
      {"%w =", "conv3d_o_xyz_i", "linear_o_i", "the layout of conv3d is conv3d_o_xyz_i; found linear_o_i"},
      {"%v =", "bias_c", "channel_c", "the layout of bias is bias_c; found channel_c"},
      {"%e =", "embedding_n_c", "bias_c", "the layout of embedding is embedding_n_c; found bias_c"},
      {"%e =", "packing<dense>", "packing<int8, group_size = 32, scale_dtype = f16, mode = affine>",
       "the packing of embedding is dense; found int8"},
      {"%k =", "packing<dense>", "packing<int4, group_size = 32, scale_dtype = f16, mode = affine>",
       "the packing of channel is dense; found int4"},
      {"%v =", "packing<dense>", "packing<int4, group_size = 32, scale_dtype = f16, mode = affine>",
       "the packing of bias is dense; found int4"},
      {"%q =", "group_size = 32", "group_size = 0", "group_size is positive; found 0"},
      {"%q =", "scale_dtype = f16", "scale_dtype = bf16", "scale_dtype is f16 or f32; found bf16"},
      {"%q =", "mode = affine", "mode = symmetric", "mode is affine; found symmetric"},
      // Families.
      {"%lin =", "%q, %v : (tensor<?x8xf32>, !lattice.weight<linear, f32>",
       "%e, %v : (tensor<?x8xf32>, !lattice.weight<embedding, f32>", "weight is a weight of the family linear; found"},
      {"%emb =", "%e : (tensor<?xi32>, !lattice.weight<embedding", "%q : (tensor<?xi32>, !lattice.weight<linear",
       "weight is a weight of the family embedding"},
      {"%rms =", "%k {eps = 1.0e-05 : f32} : (tensor<?x8xf32>, !lattice.weight<channel",
       "%v {eps = 1.0e-05 : f32} : (tensor<?x8xf32>, !lattice.weight<bias", "scale is a weight of the family channel"},
      // Counts and kinds.
      {"%soft =", "%elem {axis = -1} : (tensor<?x8xf32>)",
       "%elem, %elem {axis = -1} : (tensor<?x8xf32>, tensor<?x8xf32>)", "it has 1 operands; found 2"},
      {"%rms =", "%ln, %k {eps = 1.0e-05 : f32} : (tensor<?x8xf32>, !lattice.weight<channel, f32>)",
       "%ln {eps = 1.0e-05 : f32} : (tensor<?x8xf32>)", "it has 2 operands; found 1"},
      {"%emb =", "%b, %e : (tensor<?xi32>, !lattice.weight<embedding, f32>)", "%b, %b : (tensor<?xi32>, tensor<?xi32>)",
       "weight is a weight; found tensor<?xi32>"},
      {"%elem =", "%lin {kind = \"exp\"} : (tensor<?x8xf32>)", "%q {kind = \"exp\"} : (!lattice.weight<linear, f32>)",
       "input is a tensor; found !lattice.weight"},
  };
  for (const Change& change : changes) expect_refused(change);
}

// What is asked of every operation alike, tried on each.
TEST(Verifier, RulesOfEveryOperation) {
  const Graph right = read_graph(all_operations_text(), "g");
  for (size_t i = 0; i < right.operations.size(); ++i) {
    Graph graph = right;
    Operation& operation = graph.operations[i];
    SCOPED_TRACE(operation.name);
    const auto refused_with = [&](std::string_view rule) {
      EXPECT_THAT(refusal_of([&] { verify(graph, "g"); }), HasSubstr(rule));
      operation = right.operations[i];
    };
    for (const auto& [name, attribute] : right.operations[i].attributes) {
      operation.attributes.erase(name);
      refused_with("it has the attribute " + name + "; found none");
      operation.attributes[name] = of_other_kind(attribute);
      refused_with(name + " is of the kind ");
    }
    for (const char* name : {"kernel_size", "stride", "dilation"}) {
      if (!operation.attributes.contains(name)) continue;
      for (size_t axis = 0; axis < 3; ++axis) {
        std::get<Integers>(operation.attributes.at(name))[axis] = 0;
        refused_with(std::string(name) + " is positive on every axis");
      }
    }
    for (ValueId& operand : operation.operands) {
      if (!std::holds_alternative<WeightType>(graph.values[static_cast<size_t>(operand)].type)) continue;
      const ValueId embedding = right.operations[3].results[0];
      operand = operand == embedding ? right.operations[0].results[0] : embedding;
      refused_with(" is a weight of the family ");
    }
    operation.operands.resize(7, 0);
    refused_with("operands; found 7");
    operation.attributes["surplus"] = int64_t{1};
    refused_with("an attribute is one of the operation's; found 'surplus'");
  }
}

struct Case {
  std::string_view arguments, body, result;  // the body defines %y, of type `result`
  std::string_view message;                  // empty: accepted
};

std::string text_of(const Case& each) {
  return module_text(
      each.arguments, each.result,
      std::string(each.body) + " -> " + std::string(each.result) + "\nreturn %y : " + std::string(each.result) + "\n");
}

void expect_verdicts(std::initializer_list<Case> cases) {
  for (const Case& each : cases) {
    SCOPED_TRACE(text_of(each));
    const std::string found = verdict(text_of(each));
    if (each.message.empty()) {
      EXPECT_EQ(found, "");
    } else {
      EXPECT_THAT(found, HasSubstr(": " + std::string(each.message)));
    }
  }
}

TEST(Verifier, TypesOfMake) {
  constexpr std::string_view kMake =
      "%y = lattice.sparse.make %c, %f, %n {stride = array<i64: 1, 1, 1>, coord_order = #lattice.coord<batch_x_y_z>} "
      ": ";
  const auto make = [&](std::string_view c, std::string_view f, std::string_view n, std::string_view result,
                        std::string_view message) {
    const std::string arguments = fmt::format("%c: {}, %f: {}, %n: {}", c, f, n);
    const std::string body = fmt::format("{}({}, {}, {})", kMake, c, f, n);
    expect_verdicts({{arguments, body, result, message}});
  };
  make("$C", "$T", "$N", "$S", "");
  make("$C", "$U", "$N", "$H", "");
  make("tensor<5x4xi32>", "tensor<?x2xf32>", "$N", "$S", "");
  make("tensor<?x4xi64>", "$T", "$N", "$S", "coords has elements i32; found tensor<?x4xi64>");
  make("$C", "$T", "tensor<1xi64>", "$S", "active has elements i32");
  make("$I", "$T", "$N", "$S", "coords has rank 2");
  make("tensor<?x3xi32>", "$T", "$N", "$S", "coords has 4 along axis 1");
  make("tensor<?x?xi32>", "$T", "$N", "$S", "coords has 4 along axis 1");
  make("$C", "tensor<?xf32>", "$N", "$S", "features has rank 2");
  make("$C", "$T", "tensor<i32>", "$S", "active has rank 1");
  make("$C", "$T", "$I", "$S", "active has 1 along axis 0");
  make("$C", "$T", "tensor<2xi32>", "$S", "active has 1 along axis 0");
  make("tensor<5x4xi32>", "tensor<6x2xf32>", "$N", "$S", "coords and features have as many rows; found 5 and 6");
  make("$C", "$U", "$N", "$S", "result's dtype is that of features, f16; found f32");
}

// Sparse values come from operations; this one stands for all of them.
constexpr std::string_view kMakes =
    "%s = lattice.sparse.make %c, %f, %n {stride = array<i64: 1, 1, 1>, coord_order = #lattice.coord<batch_x_y_z>} : "
    "($C, $T, $N) -> $S\n"
    "%h = lattice.sparse.make %c, %g, %n {stride = array<i64: 1, 1, 1>, coord_order = #lattice.coord<batch_x_y_z>} : "
    "($C, $U, $N) -> $H\n";

void expect_sparse(std::string_view operation, std::string_view result, std::string_view message,
                   std::string_view more_arguments = "") {
  const std::string body = std::string(kMakes) + "%y = " + std::string(operation);
  const std::string arguments = "%c: $C, %f: $T, %g: $U, %n: $N" + std::string(more_arguments);
  expect_verdicts({{arguments, body, result, message}});
}

TEST(Verifier, TypesOfSparseOperations) {
  expect_sparse("lattice.sparse.with_features %s, %g : ($S, $U)", "$H", "");
  expect_sparse("lattice.sparse.with_features %s, %g : ($S, $U)", "$S",
                "result's dtype is that of features, f16; found f32");
  expect_sparse("lattice.sparse.with_features %s, %x : ($S, $I)", "$S", "features has rank 2", ", %x: $I");
  expect_sparse("lattice.sparse.with_features %f, %s : ($T, $S)", "$S",
                "input is a sparse tensor; found tensor<?x8xf32>");
  expect_sparse("lattice.sparse.reindex %s, %h {fill = 0.0 : f32} : ($S, $H)", "$S", "");
  expect_sparse("lattice.sparse.reindex %s, %h {fill = 0.0 : f32} : ($S, $H)", "$H",
                "result's dtype is that of input, f32; found f16");
  expect_sparse("lattice.sparse.cat %s, %s {join = #lattice.join<left>} : ($S, $S)", "$S", "");
  expect_sparse("lattice.sparse.cat %s, %h {join = #lattice.join<left>} : ($S, $H)", "$S",
                "rhs's dtype is that of lhs, f32; found f16");
  expect_sparse("lattice.sparse.cat %h, %h {join = #lattice.join<left>} : ($H, $H)", "$S",
                "result's dtype is that of lhs, f16; found f32");
  constexpr std::string_view kBinary =
      "lattice.sparse.binary %s, %h {op = #lattice.binary_op<sub>, join = #lattice.join<right>, lhs_fill = 0.0 : f32, "
      "rhs_fill = 0.0 : f32} : ($S, $H)";
  expect_sparse(kBinary, "$H", "");
  expect_sparse("lattice.global_pool %h {mode = #lattice.pool_mode<sum>, batch_size = 0} : ($H)", "$U", "");
  expect_sparse("lattice.global_pool %h {mode = #lattice.pool_mode<sum>, batch_size = 0} : ($H)", "$T",
                "result has elements f16; found tensor<?x8xf32>");
  expect_sparse("lattice.global_pool %s {mode = #lattice.pool_mode<sum>, batch_size = 0} : ($S)", "tensor<8xf32>",
                "result has rank 2");
  expect_sparse("lattice.global_pool %s {mode = #lattice.pool_mode<sum>, batch_size = 0} : ($S)", "$S",
                "result is a tensor; found !lattice.sparse_tensor");
  expect_sparse("lattice.trilinear_upsample3d %s {stride = array<i64: 2, 2, 2>} : ($S)", "$S", "");
  expect_sparse("lattice.trilinear_upsample3d %s, %s, %s {stride = array<i64: 2, 2, 2>} : ($S, $S, $S)", "$S",
                "it has 1 to 2 operands; found 3");
}

TEST(Verifier, TypesOfDecompose) {
  const auto decompose = [](std::string_view results, std::string_view type, std::string_view message) {
    const std::string text = module_text(
        "%c: $C, %f: $T, %g: $U, %n: $N", type,
        std::string(kMakes) +
            fmt::format("%a, %y, %b = lattice.sparse.decompose %s : $S -> {}\nreturn %y : {}\n", results, type));
    SCOPED_TRACE(text);
    const std::string found = verdict(text);
    EXPECT_TRUE(message.empty() ? found.empty() : found.find(message) != found.npos) << found;
  };
  decompose("($C, $T, $N)", "$T", "");
  decompose("($I, $T, tensor<i32>)", "$T", "");  // ranks are unchecked
  decompose("(tensor<?x4xi64>, $T, $N)", "$T", "coords has elements i32");
  decompose("($C, $T, tensor<1xi64>)", "$T", "active has elements i32");
}

TEST(Verifier, ConventionsOfSparseTypes) {
  const auto with = [](std::string_view from, std::string_view to) {
    return verdict(replaced(all_operations_text(), from, to));
  };
  EXPECT_THAT(with("rank = 3", "rank = 2"), HasSubstr("g:8:1: '%make': the rank is 3; found 2"));
  EXPECT_THAT(with("coord = batch_x_y_z,", "coord = batch_z_y_x,"),
              HasSubstr("coord is one of batch_x_y_z; found 'batch_z_y_x'"));
  EXPECT_THAT(with("feature = row_channel", "feature = \"x y\""),
              HasSubstr("feature_layout is one of row_channel; found 'x y'"));
}

void expect_dense(std::string_view operation, std::string_view input, std::string_view result, std::string_view message,
                  std::string_view family = "") {
  std::string body;
  std::string types(input);
  if (!family.empty()) {
    body = fmt::format(
        "%w = lattice.weight @w {{storage_key = \"w\", layout = #lattice.weight_layout<{}>, packing = "
        "#lattice.packing<dense>}} : $W{{{}}}$\n",
        family == "linear"    ? "linear_o_i"
        : family == "channel" ? "channel_c"
                              : "embedding_n_c",
        family);
    types += fmt::format(", $W{{{}}}$", family);
  }
  body += fmt::format("%y = {} : ({})", operation, types);
  const std::string arguments = "%x: " + std::string(input);
  expect_verdicts({{arguments, body, result, message}});
}

TEST(Verifier, TypesOfDenseOperations) {
  expect_dense("lattice.linear %x, %w", "$U", "$U", "", "linear");
  expect_dense("lattice.linear %x, %w", "$I", "$T", "input has rank 2", "linear");
  expect_dense("lattice.linear %x, %w", "$T", "tensor<f32>", "result has rank 2", "linear");
  expect_dense("lattice.linear %x, %w", "$T", "$U", "result has elements f32; found tensor<?x8xf16>", "linear");
  expect_dense("lattice.embedding_lookup %x, %w", "$I", "$T", "", "embedding");
  expect_dense("lattice.embedding_lookup %x, %w", "tensor<?xi64>", "$T", "input has elements i32", "embedding");
  expect_dense("lattice.embedding_lookup %x, %w", "$C", "$T", "input has rank 1", "embedding");
  expect_dense("lattice.embedding_lookup %x, %w", "$I", "$U", "result has elements f32", "embedding");
  expect_dense("lattice.embedding_lookup %x, %w", "$I", "tensor<?xf32>", "result has rank 2", "embedding");
  for (const char* operation : {"lattice.elementwise %x {kind = \"round\"}", "lattice.softmax %x {axis = 1}"}) {
    expect_dense(operation, "$T", "$T", "");
    expect_dense(operation, "$U", "$U", "input has elements f32");
    expect_dense(operation, "$T", "$U", "result has elements f32");
    expect_dense(operation, "tensor<?xf32>", "$T", "input has rank 2");
    expect_dense(operation, "$T", "tensor<?xf32>", "result has rank 2");
  }
  constexpr std::string_view kActivation =
      "lattice.activation %x {kind = #lattice.activation<relu>, approximate = #lattice.gelu_approx<none>, "
      "alpha = 0.0 : f32, beta = 1.0 : f32, threshold = -20.0 : f32}";
  expect_dense(kActivation, "$U", "$U", "");
  expect_dense(kActivation, "$U", "$T", "result has elements f16");
  expect_dense(kActivation, "$I", "$I", "input has rank 2");
  expect_dense("lattice.rms_norm %x, %w {eps = 1.0 : f32}", "$U", "$U", "", "channel");
  expect_dense("lattice.rms_norm %x, %w {eps = 1.0 : f32}", "$T", "$U", "result has elements f32", "channel");
  expect_dense("lattice.rms_norm %x, %w {eps = 1.0 : f32}", "tensor<?x?x?xf32>", "$T", "input has rank 2", "channel");
}

TEST(Verifier, TypesOfPointOperations) {
  const auto voxelize = [](std::string_view p, std::string_view f, std::string_view b, std::string_view n,
                           std::string_view result, std::string_view message) {
    expect_verdicts(
        {{fmt::format("%p: {}, %f: {}, %b: {}, %n: {}", p, f, b, n),
          fmt::format(
              "%y = lattice.voxelize %p, %f, %b, %n {{voxel_size = array<f64: 1.0, 1.0, 1.0>, origin = array<f64: 0.0, "
              "0.0, 0.0>, reduction = #lattice.voxel_reduction<sum>, stride = array<i64: 1, 1, 1>}} : ({}, {}, {}, {})",
              p, f, b, n),
          result, message}});
  };
  voxelize("$P", "$T", "$I", "$N", "$S", "");
  voxelize("tensor<?x?xf32>", "$T", "$I", "$I", "$S", "");
  voxelize("tensor<?x3xf16>", "$T", "$I", "$N", "$S", "points has elements f32");
  voxelize("tensor<?xf32>", "$T", "$I", "$N", "$S", "points has rank 2");
  voxelize("tensor<?x4xf32>", "$T", "$I", "$N", "$S", "points has 3 along axis 1");
  voxelize("$P", "$U", "$I", "$N", "$H", "features has elements f32");
  voxelize("$P", "tensor<?xf32>", "$I", "$N", "$S", "features has rank 2");
  voxelize("tensor<5x3xf32>", "tensor<4x8xf32>", "$I", "$N", "$S",
           "points and features have as many rows; found 5 and 4");
  voxelize("tensor<5x3xf32>", "$T", "tensor<4xi32>", "$N", "$S",
           "points and batch_indices have as many rows; found 5 and 4");
  voxelize("$P", "$T", "tensor<?xi64>", "$N", "$S", "batch_indices has elements i32");
  voxelize("$P", "$T", "$C", "$N", "$S", "batch_indices has rank 1");
  voxelize("$P", "$T", "$I", "tensor<1xi64>", "$S", "active_rows has elements i32");
  voxelize("$P", "$T", "$I", "tensor<i32>", "$S", "active_rows has rank 1");
  voxelize("$P", "$T", "$I", "tensor<2xi32>", "$S", "active_rows has 1 along axis 0");
  voxelize("$P", "$T", "$I", "$N", "$H", "result's dtype is that of features, f32; found f16");

  const auto devoxelize = [](std::string_view p, std::string_view voxels, std::string_view result,
                             std::string_view message) {
    expect_sparse(
        fmt::format(
            "lattice.devoxelize %p, {}, %b, %n {{voxel_size = array<f64: 1.0, 1.0, 1.0>, origin = "
            "array<f64: 0.0, 0.0, 0.0>, interpolation = #lattice.point_interpolation<nearest>}} : ({}, {}, $I, $N)",
            voxels == "$S" ? "%s" : "%h", p, voxels),
        result, message, fmt::format(", %p: {}, %b: $I", p));
  };
  devoxelize("$P", "$S", "$T", "");
  devoxelize("$P", "$H", "$U", "");
  devoxelize("$P", "$H", "$T", "result has elements f16");
  devoxelize("$P", "$S", "tensor<?xf32>", "result has rank 2");
  devoxelize("tensor<?x2xf32>", "$S", "$T", "points has 3 along axis 1");
}

TEST(Verifier, RulesOfTheModule) {
  const auto with = [](std::string_view from, std::string_view to) {
    const std::string text = all_operations_text();
    EXPECT_NE(text.find(from), text.npos) << from;
    return verdict(replaced(text, from, to));
  };
  EXPECT_THAT(with("\"in0\", ", ""), HasSubstr("g:1:1: module: lattice.input_names has 6 names; found 5"));
  EXPECT_THAT(with("[\"out0\", \"out1\"]", "[]"), HasSubstr("module: lattice.output_names has 2 names; found 0"));
  EXPECT_THAT(with("\"in0\"", "\"\""), HasSubstr("a name in lattice.input_names is not empty; found"));
  EXPECT_THAT(with("\"in0\"", "\"in1\""), HasSubstr("a name in lattice.input_names is unique; found 'in1'"));
  EXPECT_THAT(with("\"out0\"", "\"out1\""), HasSubstr("a name in lattice.output_names is unique; found 'out1'"));
  EXPECT_EQ(with("\"out0\"", "\"in0\""), "") << "inputs and outputs are named apart";
  EXPECT_THAT(with("output_roles = [\"tensor\", ", "output_roles = ["),
              HasSubstr("lattice.output_roles has 2 roles; found 1"));
  EXPECT_THAT(with("output_roles = [\"tensor\"", "output_roles = [\"sparse_coords\""),
              HasSubstr("an output's role is tensor or sparse_tensor; found sparse_coords"));
  EXPECT_THAT(
      with("input_roles = [\"tensor\"", "input_roles = [\"sparse_tensor\""),
      HasSubstr("an input's role is tensor, sparse_coords, sparse_features or sparse_active; found sparse_tensor"));
  EXPECT_THAT(with("input_roles = [\"tensor\", ", "input_roles = ["),
              HasSubstr("lattice.input_roles has 6 roles; found 5"));
  // %cat, a sparse tensor, is stored as out1.coords, out1.features and out1.active.
  for (const char* name : {"out1.coords", "out1.features", "out1.active"}) {
    EXPECT_THAT(with("\"out0\"", "\"" + std::string(name) + "\""),
                HasSubstr("outputs are stored under different keys; found '" + std::string(name) + "' twice"));
  }
  EXPECT_EQ(with("\"out0\"", "\"out1.colour\""), "");
  EXPECT_THAT(with(", lattice.extensions = [\"regular\"]", ""),
              HasSubstr("lattice.sparse.bound %bound: the module names the extension in lattice.extensions = "
                        "[\"regular\"]; found none"));
  EXPECT_THAT(with("[\"regular\"]", "[\"regular\", \"regular\"]"), HasSubstr("an extension is named once"));
}

TEST(Verifier, ArgumentsAndResults) {
  EXPECT_THAT(verdict(module_text("%x: $S", "$S", "return %x : $S")),
              HasSubstr("g:2:20: '%x': an argument is a tensor; found !lattice"));
  EXPECT_THAT(verdict(module_text("%x: $W{bias}$", "$W{bias}$", "return %x : $W{bias}$")),
              HasSubstr("an argument is a tensor"));
  EXPECT_EQ(verdict(module_text("%x: $T", "$T", "return %x : $T")), "");
  EXPECT_EQ(verdict(module_text("%x: $T", "($T, $T)", "return %x, %x : $T, $T", 2)), "");
  EXPECT_THAT(
      verdict(module_text("", "$W{bias}$",
                          "%w = lattice.weight @w {storage_key = \"w\", layout = #lattice.weight_layout<bias_c>, "
                          "packing = #lattice.packing<dense>} : $W{bias}$\nreturn %w : $W{bias}$")),
      HasSubstr("a result is a tensor or a sparse tensor"));
  EXPECT_THAT(
      verdict(module_text("%x: $T", "$T",
                          "%w = lattice.weight @w {storage_key = \"w\", layout = #lattice.weight_layout<bias_c>, "
                          "packing = #lattice.packing<dense>} : $W{norm}$\nreturn %x : $T")),
      HasSubstr("the family is conv3d, linear, embedding, channel or bias; found 'norm'"));
}

// What text cannot say, but a graph that was built can.
TEST(Verifier, RulesOfBuiltGraphs) {
  const Graph right = [] {
    Graph graph = read_graph(
        module_text("%x: $T", "$T", "%y = lattice.softmax %x {axis = 1} : ($T) -> $T\nreturn %y : $T\n"), "g");
    graph.operations[0].place = {};
    return graph;
  }();
  const auto refusal = [&](auto change) {
    Graph graph = right;
    change(graph);
    return refusal_of([&] { verify(graph); });
  };
  EXPECT_EQ(refusal([](Graph&) {}), "");
  EXPECT_THAT(refusal([](Graph& g) { g.operations[0].name = "hardmax"; }),
              HasSubstr("corrupt_file graph: lattice.'hardmax': the operation is one of the schema"));
  EXPECT_THAT(refusal([](Graph& g) { g.operations[0].attributes["axis"] = 1.0f; }),
              HasSubstr("corrupt_file graph: lattice.softmax %y: axis is of the kind i64; found 1.0 : f32"));
  EXPECT_THAT(refusal([](Graph& g) { g.operations[0].attributes["axes"] = int64_t{1}; }),
              HasSubstr("an attribute is one of the operation's; found 'axes'"));
  EXPECT_THAT(refusal([](Graph& g) { g.operations[0].operands[0] = 1; }),
              HasSubstr("a value is defined before its use; found '%y'"));
  EXPECT_THAT(refusal([](Graph& g) { g.operations[0].operands[0] = 2; }),
              HasSubstr("a value is one of the graph's; found 2"));
  EXPECT_THAT(refusal([](Graph& g) { g.operations[0].operands[0] = -1; }),
              HasSubstr("a value is one of the graph's; found -1"));
  EXPECT_THAT(refusal([](Graph& g) { g.operations[0].results[0] = 0; }),
              HasSubstr("a value is defined once; found '%x'"));
  EXPECT_THAT(refusal([](Graph& g) { g.operations[0].results.clear(); }), HasSubstr("it has 1 results; found 0"));
  EXPECT_THAT(refusal([](Graph& g) { g.operations.clear(); }),
              HasSubstr("a value is defined before its use; found '%y'"));
  EXPECT_THAT(refusal([](Graph& g) { g.results.clear(); }), HasSubstr("the function has a result; found none"));
  EXPECT_THAT(refusal([](Graph& g) { g.values[1].name = "x"; }),
              HasSubstr("a value is defined once; found two of one name"));
  EXPECT_THAT(refusal([](Graph& g) { g.values[1].name = "a b"; }),
              HasSubstr("'%a b': a value's name is digits, or letters"));
  EXPECT_THAT(refusal([](Graph& g) {
                g.values.push_back({"z", TensorType{}});
              }),
              HasSubstr("a value is an argument or an operation's result; found '%z'"));
  EXPECT_THAT(refusal([](Graph& g) { std::get<TensorType>(g.values[0].type).dims[0] = -2; }),
              HasSubstr("a dimension is a number or ?"));
  EXPECT_THAT(refusal([](Graph& g) { g.extensions = {"odd"}; }),
              HasSubstr("unsupported graph:1:1: module: an extension is \"regular\"; found 'odd'"));

  Graph graph = read_graph(all_operations_text(), "g");
  const auto weight = [&](Attribute packing) {
    graph.operations[0].attributes["packing"] = std::move(packing);
    return refusal_of([&] { verify(graph); });
  };
  EXPECT_THAT(weight(Packing{"int2", 32, ElementType::f16, "affine"}),
              HasSubstr("packing is one of dense, int4, int8; found 'int2'"));
  EXPECT_THAT(weight(Packing{"dense", 32, ElementType::f32, ""}), HasSubstr("dense packing has no group_size"));
  EXPECT_THAT(weight(Keyword{"packing", "dense"}), HasSubstr("packing is of the kind packing"));
  graph = read_graph(all_operations_text(), "g");
  graph.operations[5].attributes["coord_order"] = Keyword{"coord", "batch_z_y_x"};
  EXPECT_THAT(refusal_of([&] { verify(graph); }), HasSubstr("coord is one of batch_x_y_z; found 'batch_z_y_x'"));
}

}  // namespace
}  // namespace lattice::artifact
