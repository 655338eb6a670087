#include "artifact/text_reader.h"

#include <fmt/format.h>

#include <optional>
#include <unordered_map>
#include <utility>

#include "artifact/lexer.h"
#include "artifact/literal_reader.h"
#include "artifact/op_table.h"
#include "artifact/spelling.h"
#include "fail.h"
#include "io/shown_text.h"

namespace lattice::artifact {
namespace {

// Values are counted in 32 bits, and each takes several bytes of text.
constexpr size_t kLongestText = size_t{1} << 30;

constexpr std::string_view kPrefix = "lattice.";

class GraphReader {
 public:
  GraphReader(std::string_view text, std::string_view source_name) : lexer_(text, source_name) {}

  Graph read();

 private:
  struct NamedValue {
    std::string name;
    Place place;
  };

  // Module.
  void read_module_start();
  void read_module_attributes();
  void read_module_attribute(const std::string& name, const Place& place);
  void check_text(const std::string& name, std::string_view wanted, ErrorCode code);
  std::vector<Role> read_roles(std::string_view rule);
  void read_extensions(std::string_view rule);
  void read_module_body();

  // Entry function.
  void read_function();
  void read_arguments();
  void read_signature_results();
  void read_body();
  void read_return();

  // Operations.
  void read_statement();
  std::vector<NamedValue> read_result_names();
  void read_operation(const std::vector<NamedValue>& result_names);
  void read_attributes(const OperationInfo& info, Operation& operation);
  std::vector<Type> read_operation_types(const OperationInfo& info, const Operation& operation);
  void read_operand_types(const std::vector<ValueId>& operands, std::string_view close, std::string_view rule);
  std::vector<Type> read_type_list(std::string_view rule);

  // Values.
  NamedValue read_value_name(std::string_view rule);
  ValueId define(NamedValue named, Type type);
  ValueId read_use();

  Lexer lexer_;
  Graph graph_;
  std::unordered_map<std::string, ValueId> ids_;
  std::vector<std::string> module_names_;  // of the attributes that were read
  std::vector<Type> result_types_;         // of the signature
};

Graph GraphReader::read() {
  read_module_start();
  read_module_attributes();
  read_module_body();
  if (lexer_.token().kind != TokenKind::end) lexer_.unexpected("the text holds one module and no more");
  return std::move(graph_);
}

GraphReader::NamedValue GraphReader::read_value_name(std::string_view rule) {
  const Token token = lexer_.token();
  if (token.kind != TokenKind::value) lexer_.unexpected(rule);
  lexer_.advance();
  return {std::string(token.spelling.substr(1)), token.place};
}

ValueId GraphReader::define(NamedValue named, Type type) {
  const auto id = static_cast<ValueId>(graph_.values.size());
  if (!ids_.emplace(named.name, id).second) {
    lexer_.refuse(named.place, "a value is defined once", fmt::format("{} again", shown('%' + named.name)));
  }
  graph_.values.push_back({std::move(named.name), std::move(type), named.place});
  return id;
}

ValueId GraphReader::read_use() {
  const NamedValue named = read_value_name("an operand is a value, %name");
  if (lexer_.token().kind == TokenKind::hash) lexer_.unexpected("results are not grouped");
  const auto known = ids_.find(named.name);
  if (known == ids_.end()) {
    lexer_.refuse(named.place, "a value is defined before its use", fmt::format("{}", shown('%' + named.name)));
  }
  return known->second;
}

}  // namespace

Graph read_graph(std::string_view text, std::string_view source_name) {
  if (text.size() > kLongestText) {
    fail(ErrorCode::unsupported, "{}: a graph's text has at most {} bytes; found {}", source_name, kLongestText,
         text.size());
  }
  if (text.starts_with("ML\xEFR")) {
    fail(ErrorCode::unsupported, "{}:1:1: a graph is MLIR text; found MLIR bytecode", source_name);
  }
  return GraphReader(text, source_name).read();
}

}  // namespace lattice::artifact
