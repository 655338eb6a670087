#include "artifact/text_reader.h"

#include <gmock/gmock.h>

#include <limits>

#include "artifact/graph_text.h"

namespace lattice::artifact {
namespace {

using testing::ElementsAre;
using testing::StartsWith;

// A graph with one operation, whose operand %x and result have the types named.
std::string text_of(std::string_view operation, std::string_view argument = "$T", std::string_view result = "$T") {
  return module_text("%x: " + std::string(argument), result,
                     "%y = " + std::string(operation) + "\nreturn %y : " + std::string(result) + "\n");
}

Operation operation_of(std::string_view operation, std::string_view argument = "$T", std::string_view result = "$T") {
  return read_graph(text_of(operation, argument, result), "g").operations.at(0);
}

Type type_of(std::string_view type) {
  const Graph graph =
      read_graph(module_text("%x: " + std::string(type), type, "return %x : " + std::string(type)), "g");
  return graph.values.at(0).type;
}

std::string type_refusal(std::string_view type) {
  return refusal_of([&] { type_of(type); });
}

// An attribute of the operation that has one of each kind.
Attribute attribute_of(std::string_view operation, std::string_view attribute, std::string_view value) {
  const std::string text = "lattice." + std::string(operation) + " %x {" + std::string(attribute) + " = " +
                           std::string(value) + "} : ($T) -> $T";
  return operation_of(text).attributes.at(std::string(attribute));
}

float f32_of(std::string_view value) {
  return std::get<float>(attribute_of("rms_norm", "eps", value));
}
int64_t i64_of(std::string_view value) {
  return std::get<int64_t>(attribute_of("softmax", "axis", value));
}
Integers i3_of(std::string_view value) {
  return std::get<Integers>(attribute_of("pool3d", "stride", value));
}
Reals f3_of(std::string_view value) {
  return std::get<Reals>(attribute_of("voxelize", "origin", value));
}
Keyword mode_of(std::string_view value) {
  return std::get<Keyword>(attribute_of("pool3d", "mode", value));
}
std::string str_of(std::string_view value) {
  return std::get<std::string>(attribute_of("elementwise", "kind", value));
}
Packing packing_of(std::string_view value) {
  return std::get<Packing>(
      operation_of("lattice.weight @w {packing = " + std::string(value) + "} : $W{linear}$", "$T", "$W{linear}$")
          .attributes.at("packing"));
}

template <typename Read>
std::string refused(Read read, std::string_view value) {
  return refusal_of([&] { read(value); });
}

TEST(TextReader, ReadsAWholeGraph) {
  const Graph graph = read_graph(
      "// a comment\n" + module_text("%c: $C, %f: $T, %n: $N", "($S, $T)",
                                     "%s = lattice.sparse.make %c, %f, %n {stride = array<i64: 2, 2, 2>, coord_order = "
                                     "#lattice.coord<batch_x_y_z>} : ($C, $T, $N) -> $S\n"
                                     "%0, %1, %2 = lattice.sparse.decompose %s : $S -> ($C, $T, $N)\n"
                                     "return %s, %1 : $S, $T\n",
                                     2),
      "g");
  EXPECT_THAT(graph.input_names, ElementsAre("in0", "in1", "in2"));
  EXPECT_THAT(graph.output_names, ElementsAre("out0", "out1"));
  EXPECT_THAT(graph.input_roles, testing::Each(Role::tensor));
  EXPECT_THAT(graph.arguments, ElementsAre(0, 1, 2));
  EXPECT_THAT(graph.results, ElementsAre(3, 5));
  ASSERT_EQ(graph.operations.size(), 2u);
  EXPECT_EQ(graph.operations[0].name, "sparse.make");
  EXPECT_THAT(graph.operations[0].operands, ElementsAre(0, 1, 2));
  EXPECT_EQ(graph.operations[0].place.line, 4);
  EXPECT_EQ(graph.operations[0].place.column, 6);
  EXPECT_THAT(graph.operations[1].results, ElementsAre(4, 5, 6));
  EXPECT_EQ(graph.values[5].name, "1");
  EXPECT_EQ(graph.values[3].type, Type(SparseType{}));
  EXPECT_EQ(graph.place.line, 2);
  EXPECT_TRUE(graph.extensions.empty());
}

TEST(TextReader, ReadsTypes) {
  EXPECT_EQ(type_of("tensor<?x4xi32>"), Type(TensorType{ElementType::i32, {kAnySize, 4}}));
  EXPECT_EQ(type_of("tensor< ? x 4 x i32 >"), type_of("tensor<?x4xi32>"));
  EXPECT_EQ(type_of("tensor<0x4x0x08xbf16>"), Type(TensorType{ElementType::bf16, {0, 4, 0, 8}}));
  EXPECT_EQ(type_of("tensor<f64>"), Type(TensorType{ElementType::f64, {}}));
  EXPECT_EQ(type_of("tensor<9223372036854775807xi4>"), Type(TensorType{ElementType::i4, {9223372036854775807}}));
  for (const char* element : {"i4", "i8", "i32", "i64", "f16", "bf16", "f32", "f64"}) {
    EXPECT_EQ(type_refusal("tensor<?x" + std::string(element) + ">"), "");
  }
  EXPECT_EQ(type_of("!lattice.sparse_tensor<rank=3,coord=\"batch_x_y_z\", feature = row_channel ,dtype = f32>"),
            Type(SparseType{}));
  EXPECT_EQ(type_of("!lattice.weight<\"linear\", i4>"), Type(WeightType{"linear", ElementType::i4}));
}

TEST(TextReader, RefusesOtherTypes) {
  EXPECT_THAT(type_refusal("tensor<*xf32>"), StartsWith("corrupt_file g:2:31: a tensor has a rank; found '*'"));
  EXPECT_THAT(type_refusal("tensor<?xindex>"), StartsWith("corrupt_file g:2:33: an element type is i4, i8"));
  EXPECT_THAT(type_refusal("tensor<-1xf32>"), StartsWith("corrupt_file g:2:31: a tensor has dimensions"));
  EXPECT_THAT(type_refusal("tensor<4f32>"), StartsWith("corrupt_file g:2:32: a tensor has dimensions"));
  EXPECT_THAT(type_refusal("tensor<99999999999999999999xf32>"), StartsWith("corrupt_file g:2:31: a tensor has"));
  EXPECT_THAT(type_refusal("tensor<4xf32, \"a\">"), StartsWith("unsupported g:2:36: a tensor has no encoding"));
  EXPECT_THAT(type_refusal("memref<4xf32>"), StartsWith("corrupt_file g:2:24: a type is tensor<...>"));
  EXPECT_THAT(type_refusal("f32"), StartsWith("corrupt_file g:2:24: a type is"));
  EXPECT_THAT(type_refusal("!t"), StartsWith("unsupported g:2:24: a type is")) << "an alias";
  EXPECT_THAT(type_refusal("!lattice<weight<linear, f32>>"), StartsWith("unsupported g:2:24: a type is"));
  EXPECT_THAT(type_refusal("!lattice.other<f32>"), StartsWith("corrupt_file g:2:24: a type is"));
  EXPECT_THAT(type_refusal("!lattice.weight <linear, f32>"), StartsWith("corrupt_file g:2:24: a weight is"));
  EXPECT_THAT(type_refusal("!lattice.weight<linear>"), StartsWith("corrupt_file g:2:46: a weight is"));
  EXPECT_THAT(type_refusal("!lattice.sparse_tensor<coord = batch_x_y_z, rank = 3, feature = row_channel, dtype = f32>"),
              StartsWith("corrupt_file g:2:47: a sparse tensor is"));
  EXPECT_THAT(
      type_refusal("!lattice.sparse_tensor<rank = -3, coord = batch_x_y_z, feature = row_channel, dtype = f32>"),
      StartsWith("corrupt_file g:2:54: a sparse tensor is"));
}

TEST(TextReader, ReadsIntegers) {
  EXPECT_EQ(i64_of("2"), 2);
  EXPECT_EQ(i64_of("-1"), -1);
  EXPECT_EQ(i64_of("2 : i64"), 2);
  EXPECT_EQ(i64_of("007"), 7);
  EXPECT_EQ(i64_of("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  EXPECT_THAT(refused(i64_of, "2 : i32"),
              StartsWith("corrupt_file g:3:37: axis is an integer of 64 bits; found 'i32'"));
  EXPECT_THAT(refused(i64_of, "9223372036854775808"), StartsWith("corrupt_file g:3:33: axis is an integer of 64 bits"));
  EXPECT_THAT(refused(i64_of, "0x2"), StartsWith("unsupported g:3:33: axis is an integer"));
  EXPECT_THAT(refused(i64_of, "2.0"), StartsWith("corrupt_file g:3:33: axis is an integer"));
  EXPECT_THAT(refused(i64_of, "+2"), StartsWith("corrupt_file g:3:33: axis is an integer"));
  EXPECT_THAT(refused(i64_of, "\"2\""), StartsWith("corrupt_file g:3:33: axis is an integer"));
  EXPECT_THAT(refused(i64_of, "#a"), StartsWith("unsupported g:3:33: axis is an integer")) << "an alias";
  EXPECT_EQ(
      read_graph(replaced(text_of("lattice.softmax %x : ($T) -> $T"), "ir_version = 2", "ir_version = 2 : i8"), "g")
          .operations.size(),
      1u);
}

TEST(TextReader, ReadsReals) {
  EXPECT_EQ(f32_of("0.01 : f32"), 0.01f);
  EXPECT_EQ(f32_of("1.000000e-02 : f32"), 0.01f);
  EXPECT_EQ(f32_of("-1. : f32"), -1.0f);
  EXPECT_EQ(f32_of("007.5E+1 : f32"), 75.0f);
  EXPECT_EQ(f32_of("0x7F800000 : f32"), std::numeric_limits<float>::infinity());
  EXPECT_EQ(f32_of("0x3f800000 : f32"), 1.0f);
  const std::string rule = "eps is a real with the suffix : f32";
  EXPECT_THAT(refused(f32_of, "0.01"), StartsWith("corrupt_file g:3:37: " + rule));
  EXPECT_THAT(refused(f32_of, "0.01 : f64"), StartsWith("corrupt_file g:3:40: " + rule));
  EXPECT_THAT(refused(f32_of, "1 : f32"), StartsWith("corrupt_file g:3:33: " + rule + "; a real has a dot"));
  EXPECT_THAT(refused(f32_of, "1e-5 : f32"), StartsWith("corrupt_file g:3:33: " + rule));
  EXPECT_THAT(refused(f32_of, "1.0e : f32"), StartsWith("corrupt_file g:3:36: " + rule));
  EXPECT_THAT(refused(f32_of, "-0x3F800000 : f32"), StartsWith("corrupt_file g:3:34: " + rule));
  EXPECT_THAT(refused(f32_of, "0x3FF0000000000000 : f32"), StartsWith("corrupt_file g:3:33: " + rule));
  EXPECT_THAT(refused(f32_of, "inf : f32"), StartsWith("corrupt_file g:3:33: " + rule));
}

TEST(TextReader, ReadsTriples) {
  EXPECT_EQ(i3_of("array<i64: 1, -2, 03>"), (Integers{1, -2, 3}));
  EXPECT_EQ(f3_of("array<f64: 1.0, 2.0e-1, -0.5>"), (Reals{1, 0.2, -0.5}));
  EXPECT_EQ(f3_of("array<f64:0x3FF8000000000000,0x0,1.>"), (Reals{1.5, 0, 1}));
  const std::string rule = "stride is array<i64: a, b, c>; found ";
  EXPECT_THAT(refused(i3_of, "array<i64: 1, 2>"), StartsWith("corrupt_file g:3:34: " + rule + "2 numbers"));
  EXPECT_THAT(refused(i3_of, "array<i64: 1, 2, 3, 4>"), StartsWith("corrupt_file g:3:34: " + rule + "4 numbers"));
  EXPECT_THAT(refused(i3_of, "array<i64>"), StartsWith("corrupt_file g:3:34: " + rule + "0 numbers"));
  EXPECT_THAT(refused(i3_of, "array<i32: 1, 2, 3>"), StartsWith("corrupt_file g:3:40: " + rule + "'i32'"));
  EXPECT_THAT(refused(i3_of, "[1, 2, 3]"), StartsWith("corrupt_file g:3:34: " + rule + "'['"));
  EXPECT_THAT(refused(i3_of, "array<i64: 1, 2, 3.0>"), StartsWith("corrupt_file g:3:51: " + rule + "'3.0'"));
  EXPECT_THAT(refused(f3_of, "array<f64: 1.0, 1e-07, 1.0>"), StartsWith("corrupt_file g:3:52: origin is array<f64"));
  EXPECT_THAT(refused(f3_of, "array<f64: 1.0, 1, 1.0>"), StartsWith("corrupt_file g:3:52: origin is array<f64"));
  EXPECT_THAT(refused(f3_of, "array<f64: 1.0, -0x0, 1.0>"), StartsWith("corrupt_file g:3:53: origin is array<f64"));
}

TEST(TextReader, ReadsKeywordsAndStrings) {
  EXPECT_EQ(mode_of("#lattice.pool_mode<max>"), (Keyword{"pool_mode", "max"}));
  EXPECT_EQ(mode_of("#lattice.pool_mode< \"sum\" >"), (Keyword{"pool_mode", "sum"}));
  EXPECT_EQ(str_of("\"a\\22\\n\""), "a\"\n");
  EXPECT_THAT(refused(mode_of, "#lattice.pool_mode<min>"),
              StartsWith("corrupt_file g:3:51: pool_mode is one of sum, max, avg; found 'min'"));
  const std::string rule = "mode is #lattice.pool_mode<...>; found ";
  EXPECT_THAT(refused(mode_of, "#lattice.join<inner>"), StartsWith("corrupt_file g:3:32: " + rule + "'#lattice.join'"));
  EXPECT_THAT(refused(mode_of, "#lattice.pool_mode <max>"), StartsWith("corrupt_file g:3:32: " + rule));
  EXPECT_THAT(refused(mode_of, "#lattice.pool_mode<max, max>"), StartsWith("corrupt_file g:3:54: " + rule + "','"));
  EXPECT_THAT(refused(mode_of, "#lattice.pool_mode<>"), StartsWith("corrupt_file g:3:51: " + rule + "'>'"));
  EXPECT_THAT(refused(mode_of, "\"max\""), StartsWith("corrupt_file g:3:32: " + rule));
  EXPECT_THAT(refused(mode_of, "#m"), StartsWith("unsupported g:3:32: " + rule));
  EXPECT_THAT(refused(str_of, "exp"), StartsWith("corrupt_file g:3:37: kind is a string; found 'exp'"));
}

TEST(TextReader, ReadsPackings) {
  EXPECT_EQ(packing_of("#lattice.packing<dense>"), Packing{});
  EXPECT_EQ(packing_of("#lattice.packing<int8, group_size = 064, scale_dtype = f16, mode = \"affine\">"),
            (Packing{"int8", 64, ElementType::f16, "affine"}));
  const std::string rule = "packing is #lattice.packing<dense> or ";
  EXPECT_THAT(refused(packing_of, "#lattice.packing<dense, group_size = 64>"),
              StartsWith("corrupt_file g:3:57: " + rule));
  EXPECT_THAT(refused(packing_of, "#lattice.packing<int8>"), StartsWith("corrupt_file g:3:56: " + rule));
  EXPECT_THAT(refused(packing_of, "#lattice.packing<int8, scale_dtype = f16, group_size = 64, mode = affine>"),
              StartsWith("corrupt_file g:3:58: " + rule));
  EXPECT_THAT(refused(packing_of, "#lattice.packing<int8, group_size = -1, scale_dtype = f16, mode = affine>"),
              StartsWith("corrupt_file g:3:71: " + rule));
  EXPECT_THAT(refused(packing_of, "#lattice.packing<int2>"),
              StartsWith("corrupt_file g:3:52: packing is one of dense, int4, int8; found 'int2'"));
}

TEST(TextReader, RefusesAttributesThatTheOperationLacks) {
  const auto refuse = [](std::string_view attributes) {
    return refusal_of([&] { operation_of("lattice.softmax %x " + std::string(attributes) + " : ($T) -> $T"); });
  };
  EXPECT_THAT(refuse("{axes = 1}"),
              StartsWith("corrupt_file g:3:26: the attributes of lattice.softmax are axis; found"));
  EXPECT_THAT(refuse("{axis = 1, axis = 1}"), StartsWith("corrupt_file g:3:36: an attribute is given once; found"));
  EXPECT_THAT(refuse("{axis = 1, \"axis\" = 1}"), StartsWith("corrupt_file g:3:36: an attribute is given once"));
  EXPECT_THAT(refuse("{axis}"), StartsWith("corrupt_file g:3:30: axis has a value; found '}'"));
  EXPECT_THAT(refuse("{axis = 1,}"), StartsWith("corrupt_file g:3:35: attributes are {name = value, ...}"));
  EXPECT_THAT(refusal_of([] { operation_of("lattice.linear %x {a = 1} : ($T) -> $T"); }),
              StartsWith("corrupt_file g:3:25: lattice.linear has no attributes; found 'a'"));
}

TEST(TextReader, AcceptsWhatMlirAccepts) {
  const std::string plain = text_of("lattice.elementwise %x {kind = \"exp\"} : ($T) -> $T");
  const Graph graph = read_graph(plain, "g");
  const auto same = [&](std::string_view from, std::string_view to) {
    SCOPED_TRACE(to);
    ASSERT_NE(plain.find(from), plain.npos);
    expect_same(read_graph(replaced(plain, from, expanded(std::string(to))), "g"), graph);
  };
  same("-> tensor<?x8xf32>", "-> ($T)");
  same("@forward", "@\"forward\"");
  same("@forward", "public @forward");
  same("func.func @forward", "func.func private @forward");
  same("kind =", "\"kind\" =");
  same("return", "func.return");
  same("return", "return {}");
  same("module", "builtin.module");
  same(" {\nfunc", "\r\n\t{func");
  same("f32> {", "f32> attributes {a = 1, b} {");
  same("f32> {", "f32> attributes {a = 0x7F800000 : f32, b = 0xFF : i64} {");
  same("(%x: tensor<?x8xf32>)", "(%x: $T {a.b = [1, {c = \"d\"}], e})");
  same(" {kind", "// {\n{kind");
  for (const char* value : {"",
                            "= 1",
                            "= -1 : i8",
                            "= 1.0e3",
                            "= 1.5 : f64",
                            "= true",
                            "= unit",
                            "= \"s\"",
                            "= []",
                            "= [1, [], {}]",
                            "= {a, b = 2}",
                            "= array<i64>",
                            "= array<i32: 1, -2>",
                            "= array<f32: 1.0>",
                            "= array<i1: true, false>",
                            "= @forward",
                            "= #lattice.join<inner>",
                            "= #lattice.packing<dense>",
                            "= tensor<?xf32>",
                            "= f32",
                            "= si8",
                            "= index",
                            "= !lattice.weight<linear, f32>"}) {
    same("lattice.ir_version", "other.name " + std::string(value) + ", \"quoted name\", lattice.ir_version");
  }
}

TEST(TextReader, AcceptsEmptyAttributesAndTwoSpaces) {
  EXPECT_TRUE(operation_of("lattice.linear %x {} : ($T) -> ($T)").attributes.empty());
  EXPECT_TRUE(operation_of("lattice.linear %x  : ($T) -> $T").attributes.empty());
  EXPECT_TRUE(operation_of("lattice.sparse.decompose %x {} : $S -> ($T)", "$S").attributes.empty());
}

TEST(TextReader, ReadsSymbolsOfWeights) {
  const auto symbol = [](std::string_view name) {
    return operation_of("lattice.weight " + std::string(name) + " : $W{bias}$", "$T", "$W{bias}$").symbol;
  };
  EXPECT_EQ(symbol("@any.name$1_"), "any.name$1_");
  EXPECT_EQ(symbol("@\"1 a-b\""), "1 a-b");
  EXPECT_THAT(refused(symbol, "w"), StartsWith("corrupt_file g:3:21: lattice.weight is followed by @name; found 'w'"));
  EXPECT_THAT(refused(symbol, "@w-x"), StartsWith("corrupt_file g:3:23: operands and attributes are followed by"));
}

TEST(TextReader, ReadsValueNames) {
  for (const char* name : {"%0", "%007", "%a", "%_", "%$", "%.", "%a-b.c$1", "%-"}) {
    const std::string text = replaced(text_of("lattice.linear %x : ($T) -> $T"), "%y", name);
    EXPECT_EQ(read_graph(text, "g").values.at(1).name, std::string_view(name).substr(1));
  }
}

TEST(TextReader, HasNoLimitOfDepthOrLengthButMemory) {
  const std::string deep = std::string(1000000, '[');
  EXPECT_THAT(refusal_of([&] { read_graph("module attributes {a = " + deep, "g"); }),
              StartsWith("unsupported g:1:89: "));
  const std::string braces = replaced(std::string(100000, 'x'), "x", "{a=");
  EXPECT_THAT(refusal_of([&] { read_graph("module attributes {a = " + braces, "g"); }), StartsWith("unsupported g:1:"));
  EXPECT_EQ(
      std::get<TensorType>(type_of("tensor<" + replaced(std::string(100000, '?'), "?", "?x") + "f32>")).dims.size(),
      100000u);
}

TEST(TextReader, ZeroArgumentsAreLegal) {
  const Graph graph =
      read_graph(module_text("", "$W{bias}$", "%w = lattice.weight @w : $W{bias}$\nreturn %w : $W{bias}$\n"), "g");
  EXPECT_TRUE(graph.arguments.empty());
  EXPECT_TRUE(graph.input_names.empty());
}

TEST(TextReader, ReadsRolesAndExtensions) {
  std::string text = text_of("lattice.linear %x : ($T) -> $T");
  text = replaced(text, "input_roles = [\"tensor\"]", "input_roles = [\"sparse_features\"]");
  text = replaced(text, "output_roles = [\"tensor\"]", "output_roles = [\"sparse_tensor\"]");
  text = replaced(text, "lattice.ir_version", "lattice.extensions = [\"regular\"], lattice.ir_version");
  const Graph graph = read_graph(text, "g");
  EXPECT_THAT(graph.input_roles, ElementsAre(Role::sparse_features));
  EXPECT_THAT(graph.output_roles, ElementsAre(Role::sparse_tensor));
  EXPECT_THAT(graph.extensions, ElementsAre("regular"));
}

}  // namespace
}  // namespace lattice::artifact
