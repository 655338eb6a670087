#include "artifact/text_reader.h"

#include <fmt/format.h>

#include <algorithm>
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
constexpr size_t kLongestText = size_t{1} << 28;

constexpr std::string_view kPrefix = "lattice.";

size_t index(ValueId id) {
  return static_cast<size_t>(id);
}

std::string attribute_rule(const OperationInfo& info) {
  if (info.attributes.empty()) return fmt::format("lattice.{} has no attributes", info.name);
  return fmt::format("the attributes of lattice.{} are {}", info.name,
                     spell_list(info.attributes, [](const AttributeInfo& attribute) { return attribute.name; }));
}

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
  void check_text(std::string_view rule, std::string_view wanted, ErrorCode code);
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
  void read_operation(std::vector<NamedValue> result_names);
  void read_attributes(const OperationInfo& info, Operation& operation);
  std::vector<Type> read_operation_types(const OperationInfo& info, const Operation& operation);

  // Values.
  NamedValue read_value_name(std::string_view rule);
  ValueId define(NamedValue named, Type type);
  ValueId read_use();
  std::vector<ValueId> read_uses();  // at least one
  void read_type_of(ValueId id);
  void check_type(const Place& place, std::string_view whose, const Type& wanted, const Type& found);

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

void GraphReader::read_module_start() {
  const Token token = lexer_.token();
  graph_.place = token.place;
  if (!lexer_.accept("module") && !lexer_.accept("builtin.module")) {
    constexpr std::string_view kRule = "the text begins with module";
    if (token.kind != TokenKind::string && token.spelling != "func.func") lexer_.unexpected(kRule);
    lexer_.refuse(token.place, kRule, lexer_.found(), ErrorCode::unsupported);  // the generic form, or no module
  }
  if (lexer_.token().kind == TokenKind::symbol) {
    lexer_.refuse(lexer_.token().place, "the module has no name", lexer_.found(), ErrorCode::unsupported);
  }
}

void GraphReader::read_module_attributes() {
  if (lexer_.accept("attributes")) {
    read_dictionary(lexer_, [this](const std::string& name, const Place& place) {
      module_names_.push_back(name);
      read_module_attribute(name, place);
    });
  }
  for (const std::string_view required :
       {"lattice.ir_version", "lattice.schema_digest", "lattice.input_names", "lattice.input_roles",
        "lattice.output_names", "lattice.output_roles", "lattice.weight_file"}) {
    if (std::find(module_names_.begin(), module_names_.end(), required) == module_names_.end()) {
      lexer_.refuse(graph_.place, fmt::format("the module has the attribute {}", required), "none");
    }
  }
}

void GraphReader::read_module_attribute(const std::string& name, const Place& place) {
  const auto value_of = [&](std::string_view form) {
    std::string rule = fmt::format("{} is {}", name, form);
    lexer_.expect("=", rule);
    return rule;
  };
  if (name == "lattice.ir_version") {
    const std::string rule = value_of("the integer 2");
    const int64_t version = read_any_integer(lexer_, rule);
    if (version != 2) lexer_.refuse(place, rule, fmt::format("{}", version), ErrorCode::unsupported);
  } else if (name == "lattice.schema_digest") {
    check_text(value_of(fmt::format("\"{}\"", kSchemaDigest)), kSchemaDigest, ErrorCode::unsupported);
  } else if (name == "lattice.weight_file") {
    check_text(value_of("\"weights.safetensors\""), "weights.safetensors", ErrorCode::corrupt_file);
  } else if (name == "lattice.input_names") {
    graph_.input_names = read_strings(lexer_, value_of("an array of strings"));
  } else if (name == "lattice.output_names") {
    graph_.output_names = read_strings(lexer_, value_of("an array of strings"));
  } else if (name == "lattice.input_roles") {
    graph_.input_roles = read_roles(
        value_of("an array of the strings \"tensor\", \"sparse_coords\", \"sparse_features\", \"sparse_active\""));
  } else if (name == "lattice.output_roles") {
    graph_.output_roles = read_roles(value_of("an array of the strings \"tensor\", \"sparse_tensor\""));
  } else if (name == "lattice.extensions") {
    read_extensions(value_of("an array of the names of extensions"));
  } else if (lexer_.accept("=")) {
    skip_attribute(lexer_);
  }
}

void GraphReader::check_text(std::string_view rule, std::string_view wanted, ErrorCode code) {
  const Place place = lexer_.token().place;
  const std::string text = read_string(lexer_, rule);
  if (text != wanted) lexer_.refuse(place, rule, shown(text), code);
}

// Whether a role fits an input or an output is for the verifier.
std::vector<Role> GraphReader::read_roles(std::string_view rule) {
  std::vector<Role> roles;
  lexer_.expect("[", rule);
  read_list(lexer_, "]", rule, [&] {
    const Place place = lexer_.token().place;
    const std::string name = read_string(lexer_, rule);
    const std::optional<Role> role = role_named(name);
    if (!role) lexer_.refuse(place, rule, shown(name));
    roles.push_back(*role);
  });
  return roles;
}

void GraphReader::read_extensions(std::string_view rule) {
  const Place place = lexer_.token().place;
  graph_.extensions = read_strings(lexer_, rule);
  for (const std::string& extension : graph_.extensions) {
    if (is_extension(extension)) continue;
    lexer_.refuse(place, "an extension is \"regular\"", shown(extension), ErrorCode::unsupported);
  }
}

void GraphReader::read_module_body() {
  lexer_.expect("{", "the module has a body");
  bool found = false;
  while (!lexer_.accept("}")) {
    const Token token = lexer_.token();
    if (token.kind == TokenKind::string) {
      lexer_.refuse(token.place, "operations are not in generic form", lexer_.found(), ErrorCode::unsupported);
    }
    if (found) lexer_.unexpected("the module holds one func.func and no more");
    lexer_.expect("func.func", "the module holds one func.func");
    read_function();
    found = true;
  }
  if (!found) lexer_.refuse(graph_.place, "the module holds one func.func", "none");
}

void GraphReader::read_function() {
  if (!lexer_.accept("public")) lexer_.accept("private");
  const Token name = lexer_.token();
  if (name.kind != TokenKind::symbol) lexer_.unexpected("func.func is followed by @forward");
  if (text_of(name) != "forward") lexer_.refuse(name.place, "the function's name is @forward", lexer_.found());
  lexer_.advance();
  read_arguments();
  read_signature_results();
  if (lexer_.accept("attributes")) skip_dictionary(lexer_);
  lexer_.expect("{", "the function has a body");
  read_body();
}

void GraphReader::read_arguments() {
  constexpr std::string_view kRule = "arguments are (%name: TYPE, ...)";
  lexer_.expect("(", kRule);
  read_list(lexer_, ")", kRule, [&] {
    if (lexer_.token().kind != TokenKind::value) lexer_.unexpected("the function has a body, with named arguments");
    NamedValue named = read_value_name(kRule);
    lexer_.expect(":", kRule);
    Type type = read_type(lexer_);
    skip_dictionary(lexer_);
    graph_.arguments.push_back(define(std::move(named), std::move(type)));
  });
}

void GraphReader::read_signature_results() {
  constexpr std::string_view kRule = "results are -> TYPE or -> (TYPE, ...)";
  const Place place = lexer_.token().place;
  if (lexer_.accept("->")) {
    if (lexer_.accept("(")) {
      read_list(lexer_, ")", kRule, [&] {
        result_types_.push_back(read_type(lexer_));
        skip_dictionary(lexer_);
      });
    } else {
      result_types_.push_back(read_type(lexer_));
    }
  }
  if (result_types_.empty()) lexer_.refuse(place, "the function has a result", "none");
}

void GraphReader::read_body() {
  if (lexer_.token().spelling == "}") lexer_.unexpected("the function has a body that ends in return");
  if (lexer_.token().kind == TokenKind::caret) {
    lexer_.refuse(lexer_.token().place, "the body is one block without a label", lexer_.found(),
                  ErrorCode::unsupported);
  }
  while (!lexer_.accept("return") && !lexer_.accept("func.return")) read_statement();
  read_return();
  lexer_.expect("}", "return is the last operation, in the only block");
}

void GraphReader::read_return() {
  const Place place = lexer_.token().place;
  skip_dictionary(lexer_);
  if (lexer_.token().kind == TokenKind::value) graph_.results = read_uses();
  if (graph_.results.size() != result_types_.size()) {
    lexer_.refuse(place, fmt::format("return has as many values as the signature, {}", result_types_.size()),
                  fmt::format("{}", graph_.results.size()));
  }
  lexer_.expect(":", "return's values are followed by their types");
  for (size_t i = 0; i < graph_.results.size(); ++i) {
    if (i > 0) lexer_.expect(",", "return names the type of every value");
    const Place type_place = lexer_.token().place;
    read_type_of(graph_.results[i]);
    check_type(type_place, "the signature", result_types_[i], graph_.values[index(graph_.results[i])].type);
  }
}

void GraphReader::read_statement() {
  if (lexer_.token().kind == TokenKind::caret) lexer_.unexpected("the body is one block");
  const std::vector<NamedValue> results = read_result_names();
  const Token token = lexer_.token();
  if (token.kind == TokenKind::string) {
    lexer_.refuse(token.place, "operations are not in generic form", lexer_.found(), ErrorCode::unsupported);
  }
  if (token.kind != TokenKind::identifier || !token.spelling.starts_with(kPrefix)) {
    lexer_.unexpected("the body holds operations of the dialect lattice, then return");
  }
  if (results.empty()) {
    lexer_.refuse(token.place, "the results of an operation are named", "no %name =", ErrorCode::unsupported);
  }
  read_operation(results);
}

// `%a, %b =`, or nothing.
std::vector<GraphReader::NamedValue> GraphReader::read_result_names() {
  std::vector<NamedValue> names;
  if (lexer_.token().kind != TokenKind::value) return names;
  do {
    names.push_back(read_value_name("results are %name, ... ="));
    if (lexer_.token().spelling == ":") {
      lexer_.refuse(lexer_.token().place, "results are not grouped", "':'", ErrorCode::unsupported);
    }
  } while (lexer_.accept(","));
  lexer_.expect("=", "results are followed by =");
  return names;
}

void GraphReader::read_operation(std::vector<NamedValue> result_names) {
  const Token token = lexer_.token();
  Operation operation;
  operation.name = token.spelling.substr(kPrefix.size());
  operation.place = token.place;
  const OperationInfo* info = find_operation(operation.name);
  if (info == nullptr) lexer_.unexpected("the operation is one of the schema or of an extension");
  lexer_.advance();

  if (info->assembly == Assembly::weight) {
    if (lexer_.token().kind != TokenKind::symbol) lexer_.unexpected("lattice.weight is followed by @name");
    operation.symbol = text_of(lexer_.token());
    lexer_.advance();
  } else {
    operation.operands = read_uses();
  }
  if (lexer_.token().spelling == "{") read_attributes(*info, operation);
  std::vector<Type> types = read_operation_types(*info, operation);
  if (types.size() != result_names.size()) {
    lexer_.refuse(result_names.front().place,
                  fmt::format("every result has a name and a type; {} names", result_names.size()),
                  fmt::format("{} types", types.size()));
  }
  for (size_t i = 0; i < types.size(); ++i) {
    operation.results.push_back(define(std::move(result_names[i]), std::move(types[i])));
  }
  graph_.operations.push_back(std::move(operation));
}

void GraphReader::read_attributes(const OperationInfo& info, Operation& operation) {
  read_dictionary(lexer_, [&](const std::string& name, const Place& place) {
    const AttributeInfo* attribute = info.find_attribute(name);
    if (attribute == nullptr) {
      lexer_.refuse(place, attribute_rule(info), shown(name));
    }
    lexer_.expect("=", fmt::format("{} has a value", name));
    operation.attributes.emplace(name, read_attribute(lexer_, *attribute));
  });
}

// The types after the colon; gives those of the results.
std::vector<Type> GraphReader::read_operation_types(const OperationInfo& info, const Operation& operation) {
  constexpr std::string_view kRule = "operands and attributes are followed by : (TYPE, ...) -> TYPE";
  lexer_.expect(":", kRule);
  if (info.assembly == Assembly::weight) return {read_type(lexer_)};
  const bool decompose = info.assembly == Assembly::decompose;
  if (!decompose) lexer_.expect("(", kRule);
  for (size_t i = 0; i < operation.operands.size(); ++i) {
    if (i > 0) lexer_.expect(",", "every operand has a type");
    read_type_of(operation.operands[i]);
  }
  if (!decompose) lexer_.expect(")", "every type belongs to an operand");
  lexer_.expect("->", kRule);
  if (lexer_.token().spelling != "(" && !decompose) return {read_type(lexer_)};
  lexer_.expect("(", kRule);
  std::vector<Type> types;
  read_list(lexer_, ")", kRule, [&] { types.push_back(read_type(lexer_)); });
  return types;
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
    lexer_.refuse(named.place, "a value is defined before its use", shown('%' + named.name));
  }
  return known->second;
}

std::vector<ValueId> GraphReader::read_uses() {
  std::vector<ValueId> ids;
  do {
    ids.push_back(read_use());
  } while (lexer_.accept(","));
  return ids;
}

// A use repeats the type of its definition.
void GraphReader::read_type_of(ValueId id) {
  const Place place = lexer_.token().place;
  const Value& value = graph_.values[index(id)];
  check_type(place, "the definition of %" + value.name, value.type, read_type(lexer_));
}

void GraphReader::check_type(const Place& place, std::string_view whose, const Type& wanted, const Type& found) {
  if (wanted == found) return;
  lexer_.refuse(place, fmt::format("the type is that of {}, {}", whose, spell(wanted)), spell(found));
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
