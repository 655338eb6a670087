#include "artifact/lexer.h"

#include <algorithm>

#include "fail.h"
#include "io/shown_text.h"

namespace lattice::artifact {
namespace {

// By hand, since the functions of <cctype> follow the locale.
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
bool is_hex(char c) {
  return hex_digit(c) >= 0;
}
bool begins_identifier(char c) {
  return is_letter(c) || c == '_';
}
bool in_identifier(char c) {
  return begins_identifier(c) || is_digit(c) || c == '$' || c == '.';
}
bool in_suffix(char c) {
  return in_identifier(c) || c == '-';
}

template <typename Accept>
size_t end_of(std::string_view text, size_t begin, Accept accept) {
  while (begin < text.size() && accept(text[begin])) ++begin;
  return begin;
}

// The length of the UTF-8 sequence at the front, or 0 where there is none: no overlong forms, surrogates or values
// beyond U+10FFFF.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xC2 && lead < 0xE0   ? 2
                        : (lead & 0xF0) == 0xE0       ? 3
                        : lead >= 0xF0 && lead < 0xF5 ? 4
                                                      : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
  if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
  return length;
}

}  // namespace

Lexer::Lexer(std::string_view text, std::string_view source_name) : text_(text), source_name_(source_name) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequence_length(text.substr(i));
    if (length == 0) {
      next_ = i;
      line_ += std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(i), '\n');
      line_start_ = i == 0 ? 0 : text.rfind('\n', i - 1) + 1;  // npos + 1 is 0
      refuse_character(i, "the text is UTF-8");
    }
    i += length;
  }
  advance();
}

void Lexer::refuse(const Place& place, std::string_view rule, std::string_view found, ErrorCode code) const {
  fail(code, "{}:{}:{}: {}; found {}", source_name_, place.line, place.column, rule, found);
}

std::string Lexer::found() const {
  return token_.kind == TokenKind::end ? "the end of the text" : shown(token_.spelling);
}

void Lexer::unexpected(std::string_view rule) const {
  // An alias, the long form !lattice<...> and one of a group of results (%r#0) have no dot.
  const bool undotted = (token_.kind == TokenKind::hash || token_.kind == TokenKind::bang) &&
                        token_.spelling.find('.') == std::string_view::npos;
  const bool legal_elsewhere = undotted || token_.is(TokenKind::identifier, "loc") ||
                               token_.kind == TokenKind::resources || token_.kind == TokenKind::hex_integer;
  refuse(token_.place, rule, found(), legal_elsewhere ? ErrorCode::unsupported : ErrorCode::corrupt_file);
}

bool Lexer::accept(std::string_view spelling) {
  if (token_.spelling != spelling || token_.kind == TokenKind::end) return false;
  advance();
  return true;
}

void Lexer::expect(std::string_view spelling, std::string_view rule) {
  if (!accept(spelling)) unexpected(rule);
}

void Lexer::refuse_character(size_t offset, std::string_view rule) const {
  std::string found = "the end of the text";
  if (offset < text_.size()) {
    const char c = text_[offset];
    found = c == '\n'              ? "the end of the line"
            : c >= ' ' && c < 0x7F ? fmt::format("'{}'", c)
                                   : fmt::format("byte 0x{:02X}", static_cast<uint8_t>(c));
  }
  refuse(place_of(offset), rule, found);
}

Place Lexer::place_of(size_t offset) const {
  return {line_, static_cast<int64_t>(offset - line_start_) + 1};
}

void Lexer::skip_space() {
  for (; next_ < text_.size(); ++next_) {
    const char c = text_[next_];
    if (c == '\n') {
      ++line_;
      line_start_ = next_ + 1;
    } else if (text_.substr(next_, 2) == "//") {
      next_ = std::min(text_.find('\n', next_), text_.size()) - 1;
    } else if (c != ' ' && c != '\t' && c != '\r') {
      return;
    }
  }
}

void Lexer::advance() {
  skip_space();
  cut();
}

void Lexer::advance_inside(size_t count) {
  next_ -= token_.spelling.size() - count;
  advance();
}

// Sets token_ to what begins at next_, and next_ to its end.
void Lexer::cut() {
  const size_t begin = next_;
  token_ = {TokenKind::end, text_.substr(begin, 0), place_of(begin)};
  if (begin == text_.size()) return;
  const char c = text_[begin];
  if (begins_identifier(c)) {
    token_.kind = TokenKind::identifier;
    next_ = end_of(text_, begin, in_identifier);
  } else if (is_digit(c)) {
    next_ = end_of_number();
    const std::string_view number = text_.substr(begin, next_ - begin);
    token_.kind = number.find('x') != number.npos   ? TokenKind::hex_integer
                  : number.find('.') != number.npos ? TokenKind::real
                                                    : TokenKind::integer;
  } else if (c == '"') {
    token_.kind = TokenKind::string;
    next_ = end_of_string(begin);
  } else if (std::string_view("%@#!^").find(c) != std::string_view::npos) {
    token_.kind = c == '%'   ? TokenKind::value
                  : c == '@' ? TokenKind::symbol
                  : c == '#' ? TokenKind::hash
                  : c == '!' ? TokenKind::bang
                             : TokenKind::caret;
    next_ = end_of_prefixed();
  } else if (text_.substr(begin, 2) == "->") {
    token_.kind = TokenKind::arrow;
    next_ += 2;
  } else if (text_.substr(begin, 3) == "{-#") {
    token_.kind = TokenKind::resources;
    next_ += 3;
  } else if (std::string_view("(){}[]<>,:=-?*+").find(c) != std::string_view::npos) {
    token_.kind = TokenKind::punctuation;
    ++next_;
  } else {
    refuse_character(begin, "a token of MLIR begins here");
  }
  token_.spelling = text_.substr(begin, next_ - begin);
}

size_t Lexer::end_of_number() const {
  if (text_[next_] == '0' && next_ + 2 < text_.size() && text_[next_ + 1] == 'x' && is_hex(text_[next_ + 2])) {
    return end_of(text_, next_ + 2, is_hex);
  }
  size_t end = end_of(text_, next_, is_digit);
  if (end == text_.size() || text_[end] != '.') return end;
  end = end_of(text_, end + 1, is_digit);
  if (end == text_.size() || (text_[end] != 'e' && text_[end] != 'E')) return end;
  size_t exponent = end + 1;
  if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) ++exponent;
  return exponent < text_.size() && is_digit(text_[exponent]) ? end_of(text_, exponent, is_digit) : end;
}

size_t Lexer::end_of_string(size_t quote) const {
  for (size_t i = quote + 1;; ++i) {
    if (i >= text_.size() || text_[i] == '\n' || text_[i] == '\v' || text_[i] == '\f') {
      refuse_character(i, "a string ends in '\"' on its own line");
    }
    if (text_[i] == '"') return i + 1;
    if (text_[i] != '\\') continue;
    ++i;
    if (i < text_.size() && std::string_view("\"\\nt").find(text_[i]) != std::string_view::npos) continue;
    if (i + 1 < text_.size() && is_hex(text_[i]) && is_hex(text_[i + 1])) {
      ++i;
      continue;
    }
    refuse_character(i, "an escape in a string is \\\" \\\\ \\n \\t or two hexadecimal digits");
  }
}

// The end of %name, @name, #name, !name or ^name.
size_t Lexer::end_of_prefixed() const {
  const size_t begin = next_ + 1;
  const char first = begin < text_.size() ? text_[begin] : '\0';
  if (text_[next_] == '@') {
    if (first == '"') return end_of_string(begin);
    if (begins_identifier(first)) return end_of(text_, begin, in_identifier);
    refuse_character(begin, "@ is followed by a name (a letter or _, then letters, digits, _ $ .) or by a string");
  }
  if (is_digit(first)) return end_of(text_, begin, is_digit);
  if (in_suffix(first)) return end_of(text_, begin, in_suffix);
  refuse_character(begin,
                   fmt::format("{} is followed by digits or by a name (letters, digits, _ $ . -)", text_[next_]));
}

bool is_identifier(std::string_view text) {
  return !text.empty() && begins_identifier(text[0]) && end_of(text, 0, in_identifier) == text.size();
}

bool is_value_name(std::string_view text) {
  return !text.empty() && end_of(text, 0, is_digit(text[0]) ? is_digit : in_suffix) == text.size();
}

std::string text_of(const Token& token) {
  std::string_view rest = token.spelling;
  if (token.kind == TokenKind::symbol) rest.remove_prefix(1);
  if (!rest.starts_with('"')) return std::string(rest);
  rest = rest.substr(1, rest.size() - 2);
  std::string text;
  text.reserve(rest.size());
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] != '\\') {
      text += rest[i];
      continue;
    }
    const char escaped = rest[++i];
    if (escaped == '"' || escaped == '\\') {
      text += escaped;
    } else if (escaped == 'n' || escaped == 't') {
      text += escaped == 'n' ? '\n' : '\t';
    } else {
      text += static_cast<char>(hex_digit(escaped) * 16 + hex_digit(rest[++i]));
    }
  }
  return text;
}

}  // namespace lattice::artifact
