#include "artifact/literal_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "artifact/number_text.h"
#include "artifact/spelling.h"
#include "io/shown_text.h"

namespace lattice::artifact {
namespace {

constexpr std::string_view kElementRule = "an element type is i4, i8, i32, i64, f16, bf16, f32 or f64";
constexpr std::string_view kTypeRule = "a type is tensor<...>, !lattice.sparse_tensor<...> or !lattice.weight<...>";
constexpr std::string_view kSparseRule =
    "a sparse tensor is !lattice.sparse_tensor<rank = 3, coord = batch_x_y_z, feature = row_channel, dtype = TYPE>";
constexpr std::string_view kPackingRule =
    "packing is #lattice.packing<dense> or #lattice.packing<KIND, group_size = N, scale_dtype = TYPE, mode = MODE>";

// Deep enough for any text that is meant, far from the end of the stack.
constexpr int kDeepest = 64;

ElementType read_element(Lexer& lexer) {
  const std::optional<ElementType> element = element_named(lexer.token().spelling);
  if (!element) lexer.unexpected(kElementRule);
  lexer.advance();
  return *element;
}

int64_t read_digits(Lexer& lexer, bool negative, std::string_view rule) {
  const Token token = lexer.token();
  if (token.kind != TokenKind::integer) lexer.unexpected(rule);
  const std::optional<int64_t> value = integer_from(token.spelling, negative);
  if (!value) lexer.unexpected(fmt::format("{}, in 64 bits", rule));
  lexer.advance();
  return *value;
}

int64_t read_integer(Lexer& lexer, std::string_view rule) {
  const bool negative = lexer.accept("-");
  return read_digits(lexer, negative, rule);
}

template <typename T>
T read_real(Lexer& lexer, std::string_view rule) {
  const bool negative = lexer.accept("-");
  const Token token = lexer.token();
  std::optional<T> value;
  if (token.kind == TokenKind::real) value = real_from<T>(token.spelling, negative);
  if (token.kind == TokenKind::hex_integer && !negative) value = real_from_bits<T>(token.spelling);
  if (!value) {
    lexer.refuse(token.place, fmt::format("{}; a real has a dot, or is the {} bits of its value", rule, 8 * sizeof(T)),
                 lexer.found());
  }
  lexer.advance();
  return *value;
}

std::string read_keyword(Lexer& lexer, std::string_view rule) {
  const Token token = lexer.token();
  if (token.kind != TokenKind::identifier && token.kind != TokenKind::string) lexer.unexpected(rule);
  lexer.advance();
  return text_of(token);
}

// `#lattice.x<` or `!lattice.x<`.
void open(Lexer& lexer, std::string_view spelling, std::string_view rule) {
  if (lexer.token().spelling != spelling || !lexer.touches('<')) lexer.unexpected(rule);
  lexer.advance();
  lexer.advance();
}

void read_field(Lexer& lexer, std::string_view field, std::string_view rule) {
  lexer.expect(field, rule);
  lexer.expect("=", rule);
}

// The dimensions and the element type of a tensor: `?x4xi32`. The lexer cuts `x4xi32` into one identifier, from which
// the x is taken alone, as it cuts `0x4` into one number.
TensorType read_shape(Lexer& lexer) {
  constexpr std::string_view kRule = "a tensor has dimensions, each a number or ?, and an element type, parted by x";
  TensorType type;
  while (lexer.token().kind != TokenKind::identifier) {
    if (lexer.accept("?")) {
      type.dims.push_back(kAnySize);
    } else if (lexer.token().kind == TokenKind::hex_integer) {
      type.dims.push_back(0);
      lexer.advance_inside(1);
    } else {
      type.dims.push_back(read_digits(lexer, false, kRule));
    }
    if (!lexer.token().spelling.starts_with('x')) lexer.unexpected(kRule);
    lexer.advance_inside(1);
  }
  type.element = read_element(lexer);
  return type;
}

TensorType read_tensor(Lexer& lexer) {
  lexer.advance();
  lexer.expect("<", kTypeRule);
  if (lexer.token().spelling == "*") lexer.unexpected("a tensor has a rank");
  TensorType type = read_shape(lexer);
  if (lexer.token().spelling == ",") {
    lexer.refuse(lexer.token().place, "a tensor has no encoding", "','", ErrorCode::unsupported);
  }
  lexer.expect(">", "a tensor's type ends in >");
  return type;
}

SparseType read_sparse(Lexer& lexer) {
  open(lexer, "!lattice.sparse_tensor", kSparseRule);
  SparseType type;
  read_field(lexer, "rank", kSparseRule);
  type.rank = read_digits(lexer, false, kSparseRule);
  lexer.expect(",", kSparseRule);
  read_field(lexer, "coord", kSparseRule);
  type.coord = read_keyword(lexer, kSparseRule);
  lexer.expect(",", kSparseRule);
  read_field(lexer, "feature", kSparseRule);
  type.feature = read_keyword(lexer, kSparseRule);
  lexer.expect(",", kSparseRule);
  read_field(lexer, "dtype", kSparseRule);
  type.dtype = read_element(lexer);
  lexer.expect(">", kSparseRule);
  return type;
}

WeightType read_weight(Lexer& lexer) {
  constexpr std::string_view kRule = "a weight is !lattice.weight<FAMILY, TYPE>";
  open(lexer, "!lattice.weight", kRule);
  WeightType type;
  type.family = read_keyword(lexer, kRule);
  lexer.expect(",", kRule);
  type.dtype = read_element(lexer);
  lexer.expect(">", kRule);
  return type;
}

std::string read_value(Lexer& lexer, std::string_view mnemonic, std::string_view rule) {
  const KeywordInfo& info = *find_keyword(mnemonic);
  const Token token = lexer.token();
  std::string value = read_keyword(lexer, rule);
  if (std::find(info.values.begin(), info.values.end(), value) == info.values.end()) {
    lexer.refuse(token.place, fmt::format("{} is one of {}", mnemonic, fmt::join(info.values, ", ")), shown(value));
  }
  return value;
}

Packing read_packing(Lexer& lexer) {
  open(lexer, "#lattice.packing", kPackingRule);
  Packing packing;
  packing.kind = read_value(lexer, "packing", kPackingRule);
  if (packing.kind != "dense") {
    lexer.expect(",", kPackingRule);
    read_field(lexer, "group_size", kPackingRule);
    packing.group_size = read_digits(lexer, false, kPackingRule);
    lexer.expect(",", kPackingRule);
    read_field(lexer, "scale_dtype", kPackingRule);
    packing.scale_dtype = read_element(lexer);
    lexer.expect(",", kPackingRule);
    read_field(lexer, "mode", kPackingRule);
    packing.mode = read_keyword(lexer, kPackingRule);
  }
  lexer.expect(">", kPackingRule);
  return packing;
}

// `array<TYPE: read(), read(), read()>`
template <typename T, typename Read>
std::array<T, 3> read_triple(Lexer& lexer, std::string_view type, const std::string& rule, Read read) {
  const Place place = lexer.token().place;
  lexer.expect("array", rule);
  lexer.expect("<", rule);
  lexer.expect(type, rule);
  std::array<T, 3> values{};
  size_t count = 0;
  const auto read_one = [&] {
    const T value = read(lexer, rule);
    if (count < values.size()) values[count] = value;
    ++count;
  };
  if (lexer.accept(":")) {
    do {
      read_one();
    } while (lexer.accept(","));
  }
  lexer.expect(">", rule);
  if (count != values.size()) lexer.refuse(place, rule, fmt::format("{} numbers", count));
  return values;
}

// i, si or ui and a width, or index.
bool is_integer_type(std::string_view text) {
  if (text == "index") return true;
  if (text.starts_with('s') || text.starts_with('u')) text.remove_prefix(1);
  if (!text.starts_with('i') || text.size() < 2) return false;
  return text.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

void skip_integer_type(Lexer& lexer, std::string_view rule) {
  if (!is_integer_type(lexer.token().spelling)) lexer.unexpected(rule);
  lexer.advance();
}

void skip_one(Lexer& lexer, int depth);

void skip_number(Lexer& lexer) {
  constexpr std::string_view kRule = "a number may have a type";
  lexer.accept("-");
  const TokenKind kind = lexer.token().kind;
  if (kind == TokenKind::real) {
    lexer.advance();
    if (lexer.accept(":")) read_element(lexer);
  } else if (kind == TokenKind::hex_integer) {  // an integer, or the bits of a real
    lexer.advance();
    if (lexer.accept(":") && !lexer.accept("f32") && !lexer.accept("f64")) skip_integer_type(lexer, kRule);
  } else {
    read_digits(lexer, false, "an attribute is a number");
    if (lexer.accept(":")) skip_integer_type(lexer, kRule);
  }
}

// `array<TYPE>` or `array<TYPE: number, ...>`
void skip_numbers(Lexer& lexer) {
  constexpr std::string_view kRule = "an array of numbers is array<TYPE: a, b, ...>";
  lexer.advance();
  lexer.expect("<", kRule);
  if (lexer.token().kind != TokenKind::identifier) lexer.unexpected(kRule);
  lexer.advance();
  if (!lexer.accept(":")) return lexer.expect(">", kRule);
  read_list(lexer, ">", kRule, [&] {
    if (!lexer.accept("true") && !lexer.accept("false")) skip_number(lexer);
  });
}

// `#lattice.x<...>`
void skip_keyword(Lexer& lexer) {
  const std::string_view spelling = lexer.token().spelling;
  constexpr std::string_view kPrefix = "#lattice.";
  const KeywordInfo* info = spelling.starts_with(kPrefix) ? find_keyword(spelling.substr(kPrefix.size())) : nullptr;
  if (info == nullptr) lexer.unexpected("an attribute of a dialect is one of lattice's");
  read_attribute(lexer, {"an attribute", info->mnemonic});
}

void skip_one(Lexer& lexer, int depth) {
  constexpr std::string_view kRule = "an attribute is a number, string, array, dictionary, type or keyword";
  const Token token = lexer.token();
  if (depth > kDeepest) {
    lexer.refuse(token.place, fmt::format("attributes are nested at most {} deep", kDeepest), "more",
                 ErrorCode::unsupported);
  }
  if (token.kind == TokenKind::string || token.kind == TokenKind::symbol || token.is(TokenKind::identifier, "true") ||
      token.is(TokenKind::identifier, "false") || token.is(TokenKind::identifier, "unit")) {
    lexer.advance();
  } else if (lexer.accept("[")) {
    read_list(lexer, "]", kRule, [&] { skip_one(lexer, depth + 1); });
  } else if (token.spelling == "{") {
    read_dictionary(lexer, [&](const std::string&, const Place&) {
      if (lexer.accept("=")) skip_one(lexer, depth + 1);
    });
  } else if (token.is(TokenKind::identifier, "array")) {
    skip_numbers(lexer);
  } else if (token.kind == TokenKind::hash) {
    skip_keyword(lexer);
  } else if (token.kind == TokenKind::bang || token.is(TokenKind::identifier, "tensor")) {
    read_type(lexer);
  } else if (element_named(token.spelling) || is_integer_type(token.spelling)) {
    lexer.advance();
  } else if (token.kind == TokenKind::identifier) {
    lexer.refuse(token.place, kRule, lexer.found(), ErrorCode::unsupported);
  } else {
    skip_number(lexer);
  }
}

}  // namespace

Type read_type(Lexer& lexer) {
  const Token& token = lexer.token();
  if (token.is(TokenKind::identifier, "tensor")) return read_tensor(lexer);
  if (token.spelling == "!lattice.sparse_tensor") return read_sparse(lexer);
  if (token.spelling == "!lattice.weight") return read_weight(lexer);
  lexer.unexpected(kTypeRule);
}

Attribute read_attribute(Lexer& lexer, const AttributeInfo& info) {
  const auto rule = [&](std::string_view form) { return fmt::format("{} is {}", info.name, form); };
  if (info.kind == "str") return read_string(lexer, rule("a string"));
  if (info.kind == "packing") return read_packing(lexer);
  if (info.kind == "i64_triple") {
    return read_triple<int64_t>(lexer, "i64", rule("array<i64: a, b, c>"), read_integer);
  }
  if (info.kind == "f64_triple") {
    return read_triple<double>(lexer, "f64", rule("array<f64: a, b, c>"), read_real<double>);
  }
  if (info.kind == "i64") {
    const std::string form = rule("an integer of 64 bits");
    const int64_t value = read_integer(lexer, form);
    if (lexer.accept(":")) lexer.expect("i64", form);
    return value;
  }
  if (info.kind == "f32") {
    const std::string form = rule("a real with the suffix : f32");
    const float value = read_real<float>(lexer, form);
    lexer.expect(":", form);
    lexer.expect("f32", form);
    return value;
  }
  const std::string form = rule(fmt::format("#lattice.{}<...>", info.kind));
  open(lexer, fmt::format("#lattice.{}", info.kind), form);
  Keyword keyword{std::string(info.kind), read_value(lexer, info.kind, form)};
  lexer.expect(">", form);
  return keyword;
}

int64_t read_any_integer(Lexer& lexer, std::string_view rule) {
  const int64_t value = read_integer(lexer, rule);
  if (lexer.accept(":")) skip_integer_type(lexer, rule);
  return value;
}

std::string read_string(Lexer& lexer, std::string_view rule) {
  if (lexer.token().kind != TokenKind::string) lexer.unexpected(rule);
  std::string text = text_of(lexer.token());
  lexer.advance();
  return text;
}

std::vector<std::string> read_strings(Lexer& lexer, std::string_view rule) {
  std::vector<std::string> strings;
  lexer.expect("[", rule);
  read_list(lexer, "]", rule, [&] { strings.push_back(read_string(lexer, rule)); });
  return strings;
}

void read_dictionary(Lexer& lexer, const std::function<void(const std::string&, const Place&)>& entry) {
  constexpr std::string_view kRule = "attributes are {name = value, ...}";
  std::set<std::string> names;
  lexer.expect("{", kRule);
  read_list(lexer, "}", kRule, [&] {
    const Place place = lexer.token().place;
    const std::string name = read_keyword(lexer, kRule);
    if (!names.insert(name).second) lexer.refuse(place, "an attribute is given once", fmt::format("{} again", name));
    entry(name, place);
  });
}

void skip_dictionary(Lexer& lexer) {
  if (lexer.token().spelling == "{") skip_one(lexer, 0);
}

void skip_attribute(Lexer& lexer) {
  skip_one(lexer, 0);
}

}  // namespace lattice::artifact
