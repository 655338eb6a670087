#include "artifact/verifier.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "artifact/lexer.h"
#include "artifact/op_check.h"
#include "artifact/op_table.h"
#include "artifact/spelling.h"
#include "io/shown_text.h"

namespace lattice::artifact {
namespace {

size_t index(ValueId id) {
  return static_cast<size_t>(id);
}

bool fits(const Type& type, OperandKind kind) {
  return kind == OperandKind::sparse   ? std::holds_alternative<SparseType>(type)
         : kind == OperandKind::tensor ? std::holds_alternative<TensorType>(type)
         : kind == OperandKind::weight ? std::holds_alternative<WeightType>(type)
                                       : false;
}

std::string_view form_of(OperandKind kind) {
  return kind == OperandKind::sparse ? "a sparse tensor" : kind == OperandKind::tensor ? "a tensor" : "a weight";
}

// Rules of attributes that hold wherever an attribute of that name and type occurs.
void check_shared_rules(const Subject& subject, std::string_view name, const Attribute& attribute) {
  const auto every_axis = [&](const auto& values, auto holds, std::string_view rule) {
    subject.require(std::all_of(values.begin(), values.end(), holds), fmt::format("{} {}", name, rule),
                    spell(attribute));
  };
  constexpr std::string_view kPositive = "is positive on every axis";
  if (name == "kernel_size" || name == "stride" || name == "dilation") {
    every_axis(
        std::get<Integers>(attribute), [](int64_t each) { return each > 0; }, kPositive);
  } else if (name == "padding") {
    every_axis(
        std::get<Integers>(attribute), [](int64_t each) { return each >= 0; }, "is not negative on any axis");
  } else if (name == "voxel_size") {
    every_axis(
        std::get<Reals>(attribute), [](double each) { return each > 0; }, kPositive);
  } else if (name == "eps") {
    subject.require(std::get<float>(attribute) > 0, "eps is positive", spell(attribute));
  } else if (name == "accumulation") {
    subject.require(std::get<std::string>(attribute) == "canonical_f32", "accumulation is \"canonical_f32\"",
                    spell(attribute));
  }
}

bool has_kind(const Attribute& attribute, std::string_view kind) {
  if (kind == "str") return std::holds_alternative<std::string>(attribute);
  if (kind == "i64") return std::holds_alternative<int64_t>(attribute);
  if (kind == "f32") return std::holds_alternative<float>(attribute);
  if (kind == "i64_triple") return std::holds_alternative<Integers>(attribute);
  if (kind == "f64_triple") return std::holds_alternative<Reals>(attribute);
  if (kind == "packing") return std::holds_alternative<Packing>(attribute);
  return std::holds_alternative<Keyword>(attribute) && std::get<Keyword>(attribute).mnemonic == kind;
}

void check_keyword(const Subject& subject, std::string_view mnemonic, const std::string& value) {
  const std::vector<std::string_view>& values = find_keyword(mnemonic)->values;
  subject.require(std::find(values.begin(), values.end(), value) != values.end(),
                  fmt::format("{} is one of {}", mnemonic, fmt::join(values, ", ")), shown(value));
}

class GraphVerifier {
 public:
  GraphVerifier(const Graph& graph, std::string_view source_name)
      : graph_(graph), source_name_(source_name), module_{source_name, graph.place, "module"} {}

  void run() {
    check_extensions();
    check_values();
    check_arguments();
    for (const Operation& operation : graph_.operations) check_operation(operation);
    check_results();
    check_output_keys();
    check_all_defined();
  }

 private:
  void check_extensions();
  void check_values();
  void check_arguments();
  void check_results();
  void check_names(std::string_view which, const std::vector<std::string>& names, size_t roles, size_t count);
  void check_output_keys();
  void check_all_defined();
  void check_operation(const Operation& operation);
  void check_operand_counts(const Subject& subject, const Operation& operation, const OperationInfo& info);
  void check_attributes(const Subject& subject, const Operation& operation, const OperationInfo& info);
  void check_shared_families(const OperationCheck& op);
  void define(const Subject& subject, ValueId id);
  void check_use(const Subject& subject, ValueId id);

  const Graph& graph_;
  std::string_view source_name_;
  Subject module_;
  std::vector<bool> defined_;
};

void GraphVerifier::check_extensions() {
  std::set<std::string_view> known;
  for (const std::string& each : graph_.extensions) {
    if (!is_extension(each)) module_.refuse("an extension is \"regular\"", shown(each), ErrorCode::unsupported);
    module_.require(known.insert(each).second, "an extension is named once", shown(each) + " again");
  }
}

// What holds for every value, wherever it is used.
void GraphVerifier::check_values() {
  defined_.assign(graph_.values.size(), false);
  std::set<std::string_view> names;
  for (const Value& value : graph_.values) {
    const Subject subject{source_name_, value.place, shown('%' + value.name)};
    subject.require(is_value_name(value.name), "a value's name is digits, or letters, digits, _ $ . -", "another");
    subject.require(names.insert(value.name).second, "a value is defined once", "two of one name");
    if (const auto* sparse = std::get_if<SparseType>(&value.type)) {
      subject.require(sparse->rank == 3, "the rank is 3", sparse->rank);
      check_keyword(subject, "coord", sparse->coord);
      check_keyword(subject, "feature_layout", sparse->feature);
    } else if (const auto* tensor = std::get_if<TensorType>(&value.type)) {
      subject.require(
          std::all_of(tensor->dims.begin(), tensor->dims.end(), [](int64_t dim) { return dim >= kAnySize; }),
          "a dimension is a number or ?", "a negative one");
    }
  }
}

void GraphVerifier::define(const Subject& subject, ValueId id) {
  subject.require(id >= 0 && index(id) < defined_.size(), "a value is one of the graph's", id);
  subject.require(!defined_[index(id)], "a value is defined once", shown('%' + graph_.values[index(id)].name));
  defined_[index(id)] = true;
}

void GraphVerifier::check_use(const Subject& subject, ValueId id) {
  subject.require(id >= 0 && index(id) < defined_.size(), "a value is one of the graph's", id);
  subject.require(defined_[index(id)], "a value is defined before its use", shown('%' + graph_.values[index(id)].name));
}

void GraphVerifier::check_names(std::string_view which, const std::vector<std::string>& names, size_t roles,
                                size_t count) {
  module_.require(names.size() == count, fmt::format("lattice.{}_names has {} names", which, count), names.size());
  module_.require(roles == count, fmt::format("lattice.{}_roles has {} roles", which, count), roles);
  std::set<std::string_view> known;
  for (const std::string& each : names) {
    module_.require(!each.empty(), fmt::format("a name in lattice.{}_names is not empty", which), "\"\"");
    module_.require(known.insert(each).second, fmt::format("a name in lattice.{}_names is unique", which), shown(each));
  }
}

void GraphVerifier::check_arguments() {
  check_names("input", graph_.input_names, graph_.input_roles.size(), graph_.arguments.size());
  for (const Role role : graph_.input_roles) {
    module_.require(role != Role::sparse_tensor,
                    "an input's role is tensor, sparse_coords, sparse_features or sparse_active", name(role));
  }
  for (const ValueId id : graph_.arguments) {
    define(module_, id);
    const Value& value = graph_.values[index(id)];
    const Subject subject{source_name_, value.place, shown('%' + value.name)};
    subject.require(std::holds_alternative<TensorType>(value.type), "an argument is a tensor", spell(value.type));
  }
}

void GraphVerifier::check_results() {
  module_.require(!graph_.results.empty(), "the function has a result", "none");
  check_names("output", graph_.output_names, graph_.output_roles.size(), graph_.results.size());
  for (const Role role : graph_.output_roles) {
    module_.require(role == Role::tensor || role == Role::sparse_tensor, "an output's role is tensor or sparse_tensor",
                    name(role));
  }
  for (const ValueId id : graph_.results) {
    check_use(module_, id);
    const Type& type = graph_.values[index(id)].type;
    module_.require(!std::holds_alternative<WeightType>(type), "a result is a tensor or a sparse tensor", spell(type));
  }
}

void GraphVerifier::check_all_defined() {
  for (size_t i = 0; i < defined_.size(); ++i) {
    module_.require(defined_[i], "a value is an argument or an operation's result", shown('%' + graph_.values[i].name));
  }
}

// Outputs are stored as NAME, or as NAME.coords and so on where they are sparse.
void GraphVerifier::check_output_keys() {
  std::set<std::string> keys;
  for (size_t i = 0; i < graph_.results.size(); ++i) {
    const bool sparse = std::holds_alternative<SparseType>(graph_.values[index(graph_.results[i])].type);
    const std::vector<std::string_view> endings =
        sparse ? std::vector<std::string_view>{".coords", ".features", ".active"} : std::vector<std::string_view>{""};
    for (const std::string_view ending : endings) {
      const std::string key = graph_.output_names[i] + std::string(ending);
      module_.require(keys.insert(key).second, "outputs are stored under different keys", shown(key) + " twice");
    }
  }
}

void GraphVerifier::check_operation(const Operation& operation) {
  const Subject unknown{source_name_, operation.place, "lattice." + shown(operation.name)};
  const OperationInfo* info = find_operation(operation.name);
  if (info == nullptr) unknown.refuse("the operation is one of the schema or of an extension", shown(operation.name));
  for (const ValueId id : operation.operands) check_use(unknown, id);
  for (const ValueId id : operation.results) define(unknown, id);

  const OperationCheck op(graph_, operation, *info, source_name_);
  const Subject& subject = op.subject();
  const auto& extensions = graph_.extensions;
  subject.require(
      info->extension.empty() || std::find(extensions.begin(), extensions.end(), info->extension) != extensions.end(),
      fmt::format("the module names the extension in lattice.extensions = [\"{}\"]", info->extension),
      extensions.empty() ? "none" : "others");
  check_operand_counts(subject, operation, *info);
  check_attributes(subject, operation, *info);
  check_shared_families(op);
  if (info->verify != nullptr) info->verify(op);
}

void GraphVerifier::check_operand_counts(const Subject& subject, const Operation& operation,
                                         const OperationInfo& info) {
  const size_t least = info.min_operands();
  const size_t most = info.max_operands();
  subject.require(
      operation.operands.size() >= least && operation.operands.size() <= most,
      least == most ? fmt::format("it has {} operands", most) : fmt::format("it has {} to {} operands", least, most),
      operation.operands.size());
  subject.require(operation.results.size() == info.results.size(),
                  fmt::format("it has {} results", info.results.size()), operation.results.size());
  const auto check_kinds = [&](const std::vector<OperandInfo>& infos, const std::vector<ValueId>& ids) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const Type& type = graph_.values[index(ids[i])].type;
      subject.require(fits(type, infos[i].kind), fmt::format("{} is {}", infos[i].name, form_of(infos[i].kind)),
                      spell(type));
    }
  };
  check_kinds(info.operands, operation.operands);
  check_kinds(info.results, operation.results);
}

void GraphVerifier::check_attributes(const Subject& subject, const Operation& operation, const OperationInfo& info) {
  for (const auto& [attribute_name, attribute] : operation.attributes) {
    subject.require(info.find_attribute(attribute_name) != nullptr, "an attribute is one of the operation's",
                    shown(attribute_name));
  }
  for (const AttributeInfo& each : info.attributes) {
    const auto found = operation.attributes.find(each.name);
    subject.require(found != operation.attributes.end(), fmt::format("it has the attribute {}", each.name), "none");
    const Attribute& attribute = found->second;
    subject.require(has_kind(attribute, each.kind), fmt::format("{} is of the kind {}", each.name, each.kind),
                    spell(attribute));
    if (const auto* word = std::get_if<Keyword>(&attribute)) check_keyword(subject, word->mnemonic, word->value);
    if (const auto* packing = std::get_if<Packing>(&attribute)) check_keyword(subject, "packing", packing->kind);
    check_shared_rules(subject, each.name, attribute);
  }
}

// The families of weights that are the same wherever an operand of that name occurs.
void GraphVerifier::check_shared_families(const OperationCheck& op) {
  for (const OperandInfo& operand : op.info().operands) {
    if (operand.kind != OperandKind::weight || op.find_type(operand.name) == nullptr) continue;
    if (operand.name == "bias") op.require_family("bias", "bias");
    if (operand.name == "scale" || operand.name == "mean" || operand.name == "var") {
      op.require_family(operand.name, "channel");
    }
  }
}

}  // namespace

void verify(const Graph& graph, std::string_view source_name) {
  GraphVerifier(graph, source_name).run();
}

}  // namespace lattice::artifact
