#include "artifact/op_table.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "artifact/sha256.h"

namespace lattice::artifact {
namespace {

using Json = nlohmann::json;  // sorts the keys of every object

std::string type_name(OperandKind kind) {
  switch (kind) {
    case OperandKind::symbol:
      return "symbol";
    case OperandKind::sparse:
      return "sparse_tensor";
    case OperandKind::tensor:
      return "tensor";
    case OperandKind::weight:
      return "weight";
  }
  return {};
}

Json parameters(const std::vector<std::pair<std::string, std::string>>& named) {
  Json list = Json::array();
  for (const auto& [name, kind] : named) list.push_back({{"name", name}, {"kind", kind}});
  return list;
}

Json types_schema() {
  const Json sparse = parameters({{"rank", "unsigned"}, {"coord", "string"}, {"feature", "string"}, {"dtype", "type"}});
  const Json weight = parameters({{"family", "string"}, {"dtype", "type"}});
  return Json::array({{{"name", "SparseTensor"}, {"mnemonic", "sparse_tensor"}, {"parameters", sparse}},
                      {{"name", "Weight"}, {"mnemonic", "weight"}, {"parameters", weight}}});
}

std::string camel_case(std::string_view mnemonic) {
  std::string name;
  bool upper = true;
  for (const char c : mnemonic) {
    if (c != '_') name += upper ? static_cast<char>(std::toupper(c)) : c;
    upper = c == '_';
  }
  return name;
}

Json keyword_schema(const KeywordInfo& keyword) {
  const Json own =
      keyword.mnemonic != "packing"
          ? parameters({{"value", "string"}})
          : parameters({{"kind", "string"}, {"group_size", "unsigned"}, {"scale_dtype", "type"}, {"mode", "string"}});
  return {{"name", camel_case(keyword.mnemonic)},
          {"mnemonic", keyword.mnemonic},
          {"parameters", own},
          {"values", keyword.values}};
}

Json operation_schema(const OperationInfo& info) {
  Json operands = Json::array(), results = Json::array(), attributes = Json::array();
  for (const OperandInfo& operand : info.operands) {
    operands.push_back({{"name", operand.name},
                        {"type", type_name(operand.kind)},
                        {"kind", operand.kind == OperandKind::symbol ? "symbol" : "ssa"},
                        {"optional", operand.optional}});
  }
  for (const OperandInfo& result : info.results) {
    results.push_back({{"name", result.name}, {"type", type_name(result.kind)}});
  }
  for (const AttributeInfo& attribute : info.attributes) {
    attributes.push_back({{"name", attribute.name}, {"kind", attribute.kind}, {"required", true}});
  }
  std::string python_name(info.name);
  for (char& c : python_name) c = c == '.' ? '_' : c;
  const char* assembly[] = {"functional", "weight", "decompose"};
  return {{"name", info.name},        {"python_name", python_name},
          {"operands", operands},     {"results", results},
          {"attributes", attributes}, {"assembly", assembly[static_cast<size_t>(info.assembly)]}};
}

TEST(OpTable, Sha256KnowsItsStandardsExamples) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(OpTable, SpellsTheSchemaOfItsDigest) {
  Json attrs = Json::array(), ops = Json::array();
  for (const KeywordInfo& keyword : keywords()) attrs.push_back(keyword_schema(keyword));
  for (const OperationInfo& info : operations()) {
    if (info.extension.empty()) ops.push_back(operation_schema(info));
  }
  EXPECT_EQ(ops.size(), 31u);
  const std::string schema =
      Json{{"namespace", "lattice"}, {"types", types_schema()}, {"attrs", attrs}, {"ops", ops}}.dump();
  EXPECT_EQ(schema.size(), 16760u);
  EXPECT_EQ(sha256(schema), kSchemaDigest);
}

TEST(OpTable, FindsByName) {
  ASSERT_NE(find_operation("sparse.make"), nullptr);
  EXPECT_EQ(find_operation("sparse.make")->find_attribute("stride")->kind, "i64_triple");
  EXPECT_EQ(find_operation("sparse.make")->find_attribute("fill"), nullptr);
  EXPECT_EQ(find_operation("quantized_conv3d"), nullptr);
  EXPECT_EQ(find_operation("weight")->max_operands(), 0u);
  EXPECT_EQ(find_operation("conv3d")->min_operands(), 2u);
  EXPECT_EQ(find_operation("conv3d")->max_operands(), 3u);
  EXPECT_EQ(find_operation("regular_pool3d")->extension, "regular");
  EXPECT_TRUE(is_extension("regular"));
  EXPECT_FALSE(is_extension(""));
  EXPECT_FALSE(is_extension("irregular"));
}

}  // namespace
}  // namespace lattice::artifact
