#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

// The operations of an artifact, IR v2, as one table: reader, verifier and writer know an operation by its row alone.

namespace lattice::artifact {

class OperationCheck;

/// SHA-256 of the schema that the table's first rows spell; an artifact names it.
inline constexpr std::string_view kSchemaDigest = "1380f1e819fc0eb1af587202ecec3c14ec2c981d249333c5061f0263f82072ad";

enum class OperandKind : uint8_t { symbol, sparse, tensor, weight };

struct OperandInfo {
  std::string_view name;
  OperandKind kind = OperandKind::tensor;
  bool optional = false;
};

struct AttributeInfo {
  std::string_view name;
  std::string_view kind;  // "str", "i64", "f32", "i64_triple", "f64_triple", or the mnemonic of #lattice.mnemonic<...>
};

/// How an operation is written: `%o : (T) -> T`, `@SYM : T` or `%o : T -> (T, T, T)`.
enum class Assembly : uint8_t { functional, weight, decompose };

struct OperationInfo {
  std::string_view name;  // without the prefix lattice.
  std::vector<OperandInfo> operands, results;
  std::vector<AttributeInfo> attributes;  // all of them required
  Assembly assembly = Assembly::functional;
  std::string_view extension;  // the extension that it belongs to; empty for the 31 of the schema
  /// The rules of this operation alone; null where there are none. Called once counts, kinds and keywords have been
  /// checked against the row.
  void (*verify)(const OperationCheck&) = nullptr;

  size_t min_operands() const;  // SSA operands: the symbol of a weight is none
  size_t max_operands() const;
  const AttributeInfo* find_attribute(std::string_view attribute) const;
};

struct KeywordInfo {
  std::string_view mnemonic;
  std::vector<std::string_view> values;
};

/// In the schema's order, then those of extensions.
const std::vector<OperationInfo>& operations();

/// The keyword attributes, in the schema's order.
const std::vector<KeywordInfo>& keywords();

/// Null where there is none of that name.
const OperationInfo* find_operation(std::string_view name);
const KeywordInfo* find_keyword(std::string_view mnemonic);

/// True for an extension that we know.
bool is_extension(std::string_view name);

}  // namespace lattice::artifact
