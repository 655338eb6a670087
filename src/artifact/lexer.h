#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "artifact/graph.h"
#include "lattice/error.h"

namespace lattice::artifact {

enum class TokenKind : uint8_t {
  end,
  identifier,   // func.func, i32, x4xf32: a letter or _, then letters, digits, _ $ .
  integer,      // 007
  hex_integer,  // 0x7F800000
  real,         // 1.0e-3; the dot is mandatory
  string,       // "..."
  value,        // %name
  symbol,       // @name or @"name"
  hash,         // #name
  bang,         // !name
  caret,        // ^name
  punctuation,  // one of ( ) { } [ ] < > , : = - ? * +
  arrow,        // ->
  resources,    // {-#
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view spelling;
  Place place;  // columns count bytes

  bool is(TokenKind which, std::string_view text) const { return kind == which && spelling == text; }
};

/// Cuts MLIR text into tokens, one at a time. White space is space, tab, CR and LF; a comment runs from // to the end
/// of its line. No token spans two lines. The text must outlive the lexer and its tokens.
class Lexer {
 public:
  /// Throws corrupt_file if the text is not UTF-8 or does not begin with a token; `source_name` is for messages.
  Lexer(std::string_view text, std::string_view source_name);

  const Token& token() const { return token_; }
  /// Throws corrupt_file where no token can begin.
  void advance();
  /// Takes the first `count` characters of the token alone, and cuts the rest anew.
  void advance_inside(size_t count);
  /// True if `c` follows the token at once.
  bool touches(char c) const { return next_ < text_.size() && text_[next_] == c; }

  /// Advances over the token if it is spelled so. Not for strings.
  bool accept(std::string_view spelling);
  /// As accept, but anything else is unexpected.
  void expect(std::string_view spelling, std::string_view rule);

  /// The token, for a message.
  std::string found() const;
  /// Refuses the token: unsupported where it begins something that MLIR has and this reader leaves out, else
  /// corrupt_file.
  [[noreturn]] void unexpected(std::string_view rule) const;
  /// Throws `SOURCE:LINE:COLUMN: rule; found found`.
  [[noreturn]] void refuse(const Place& place, std::string_view rule, std::string_view found,
                           ErrorCode code = ErrorCode::corrupt_file) const;

 private:
  void skip_space();
  void cut();
  Place place_of(size_t offset) const;
  size_t end_of_number() const;
  size_t end_of_string(size_t quote) const;
  size_t end_of_prefixed() const;
  [[noreturn]] void refuse_character(size_t offset, std::string_view rule) const;

  std::string_view text_, source_name_;
  size_t next_ = 0;  // where the token ends
  int64_t line_ = 1;
  size_t line_start_ = 0;
  Token token_;
};

/// True for the names that need no quotes: a letter or _, then letters, digits, _ $ .
bool is_identifier(std::string_view text);

/// True for the names that may stand after %: digits, or a letter or _ $ . - and then those and digits.
bool is_value_name(std::string_view text);

/// What a string token, or the quoted or bare name of a symbol token, stands for.
std::string text_of(const Token& token);

}  // namespace lattice::artifact
