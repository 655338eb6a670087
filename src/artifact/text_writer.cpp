#include "artifact/text_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "artifact/op_table.h"
#include "artifact/spelling.h"

namespace lattice::artifact {
namespace {

class GraphWriter {
 public:
  explicit GraphWriter(const Graph& graph) : graph_(graph) {}

  std::string write() {
    write_module_attributes();
    line("  func.func @forward({}) -> {} {{",
         spell_list(graph_.arguments, [this](ValueId id) { return fmt::format("{}: {}", name_of(id), type_of(id)); }),
         result_types(graph_.results));
    for (const Operation& operation : graph_.operations) write_operation(operation);
    line("    return {} : {}", names(graph_.results), types(graph_.results));
    line("  }}\n}}");
    return std::move(text_);
  }

 private:
  template <typename... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }

  void write_module_attributes() {
    const auto strings = [](const auto& list) {
      return fmt::format("[{}]", spell_list(list, [](const auto& text) { return quoted(text); }));
    };
    const auto roles = [](const auto& list) {
      return fmt::format("[{}]", spell_list(list, [](Role role) { return quoted(name(role)); }));
    };
    line("module attributes {{");
    line("  lattice.ir_version = 2,");
    line("  lattice.schema_digest = \"{}\",", kSchemaDigest);
    line("  lattice.input_names = {},", strings(graph_.input_names));
    line("  lattice.input_roles = {},", roles(graph_.input_roles));
    line("  lattice.output_names = {},", strings(graph_.output_names));
    line("  lattice.output_roles = {},", roles(graph_.output_roles));
    if (uses_extensions()) line("  lattice.extensions = {},", strings(graph_.extensions));
    line("  lattice.weight_file = \"weights.safetensors\"\n}} {{");
  }

  bool uses_extensions() const {
    return std::any_of(graph_.operations.begin(), graph_.operations.end(),
                       [](const Operation& operation) { return !find_operation(operation.name)->extension.empty(); });
  }

  // Attributes stand in the schema's order.
  void write_operation(const Operation& operation) {
    const OperationInfo& info = *find_operation(operation.name);
    const std::string attributes = spell_list(info.attributes, [&](const AttributeInfo& attribute) {
      return fmt::format("{} = {}", attribute.name, spell(operation.attributes.find(attribute.name)->second));
    });
    line("    {} = lattice.{} {}{} : {}", names(operation.results), info.name,
         info.assembly == Assembly::weight ? '@' + keyword(operation.symbol) : names(operation.operands),
         attributes.empty() ? "" : fmt::format(" {{{}}}", attributes), signature(info, operation));
  }

  std::string signature(const OperationInfo& info, const Operation& operation) const {
    switch (info.assembly) {
      case Assembly::weight:
        return types(operation.results);
      case Assembly::decompose:
        return fmt::format("{} -> ({})", types(operation.operands), types(operation.results));
      case Assembly::functional:
        break;
    }
    return fmt::format("({}) -> {}", types(operation.operands), result_types(operation.results));
  }

  const Value& value(ValueId id) const { return graph_.values[static_cast<size_t>(id)]; }
  std::string name_of(ValueId id) const { return '%' + value(id).name; }
  std::string type_of(ValueId id) const { return spell(value(id).type); }

  std::string names(const std::vector<ValueId>& ids) const {
    return spell_list(ids, [this](ValueId id) { return name_of(id); });
  }
  std::string types(const std::vector<ValueId>& ids) const {
    return spell_list(ids, [this](ValueId id) { return type_of(id); });
  }
  std::string result_types(const std::vector<ValueId>& ids) const {
    return ids.size() == 1 ? types(ids) : fmt::format("({})", types(ids));
  }

  const Graph& graph_;
  std::string text_;
};

}  // namespace

std::string write_graph(const Graph& graph) {
  return GraphWriter(graph).write();
}

}  // namespace lattice::artifact
