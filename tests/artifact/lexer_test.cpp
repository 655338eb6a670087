#include "artifact/lexer.h"

#include <gmock/gmock.h>

#include <vector>

namespace lattice::artifact {
namespace {

using testing::ElementsAre;

std::vector<std::string> spellings(std::string_view text) {
  std::vector<std::string> result;
  for (Lexer lexer(text, "t"); lexer.token().kind != TokenKind::end; lexer.advance()) {
    result.emplace_back(lexer.token().spelling);
  }
  return result;
}

Token only(std::string_view text) {
  Lexer lexer(text, "t");
  const Token token = lexer.token();
  lexer.advance();
  EXPECT_EQ(lexer.token().kind, TokenKind::end) << text;
  return token;
}

std::string refusal(std::string_view text) {
  try {
    spellings(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_file);
    return error.what();
  }
  return "accepted";
}

TEST(Lexer, TellsTheKindsOfTokens) {
  const std::vector<std::pair<std::string_view, TokenKind>> cases = {
      {"func.func", TokenKind::identifier},
      {"_a$1.b", TokenKind::identifier},
      {"x4xf32", TokenKind::identifier},
      {"007", TokenKind::integer},
      {"0x7F800000", TokenKind::hex_integer},
      {"1.", TokenKind::real},
      {"00.50", TokenKind::real},
      {"1.5e-07", TokenKind::real},
      {"1.5E+7", TokenKind::real},
      {"\"a b\"", TokenKind::string},
      {"%0", TokenKind::value},
      {"%-a.b$", TokenKind::value},
      {"@forward", TokenKind::symbol},
      {"@\"a b\"", TokenKind::symbol},
      {"#lattice.coord", TokenKind::hash},
      {"!lattice.weight", TokenKind::bang},
      {"^bb0", TokenKind::caret},
      {"->", TokenKind::arrow},
      {"{-#", TokenKind::resources},
      {"?", TokenKind::punctuation},
      {"-", TokenKind::punctuation},
  };
  for (const auto& [text, kind] : cases) {
    const Token token = only(text);
    EXPECT_EQ(token.kind, kind) << text;
    EXPECT_EQ(token.spelling, text);
  }
}

TEST(Lexer, PartsNeighboursWithoutWhiteSpace) {
  EXPECT_THAT(spellings("tensor<?x4xi32>"), ElementsAre("tensor", "<", "?", "x4xi32", ">"));
  EXPECT_THAT(spellings("0x4xi32"), ElementsAre("0x4", "xi32"));
  EXPECT_THAT(spellings("0xg 12ab"), ElementsAre("0", "xg", "12", "ab"));
  EXPECT_THAT(spellings("1e5 1.0e 1.0e+ 1.x"), ElementsAre("1", "e5", "1.0", "e", "1.0", "e", "+", "1.", "x"));
}

TEST(Lexer, SkipsWhiteSpaceAndComments) {
  EXPECT_THAT(spellings(" \t\r\na//b \"\nc // d"), ElementsAre("a", "c"));
  EXPECT_THAT(spellings("//"), ElementsAre());
  EXPECT_THAT(spellings(""), ElementsAre());
  EXPECT_THAT(spellings("// \xC3\xA9\n\"\xE2\x82\xAC\""), ElementsAre("\"\xE2\x82\xAC\""));
}

TEST(Lexer, CountsLinesAndColumns) {
  Lexer lexer("a\n  // x\n\t%b", "t");
  EXPECT_EQ(lexer.token().place.line, 1);
  EXPECT_EQ(lexer.token().place.column, 1);
  lexer.advance();
  EXPECT_EQ(lexer.token().place.line, 3);
  EXPECT_EQ(lexer.token().place.column, 2);
  lexer.advance();
  EXPECT_EQ(lexer.token().place.column, 4) << "the end";
}

TEST(Lexer, CutsTheRestOfATokenAnew) {
  Lexer lexer("x4x0x2 b", "t");
  lexer.advance_inside(1);
  EXPECT_EQ(lexer.token().spelling, "4");
  EXPECT_EQ(lexer.token().place.column, 2);
  lexer.advance();
  lexer.advance_inside(1);
  EXPECT_EQ(lexer.token().spelling, "0x2");
  lexer.advance_inside(1);
  EXPECT_EQ(lexer.token().spelling, "x2");
  lexer.advance();
  EXPECT_EQ(lexer.token().spelling, "b");
}

TEST(Lexer, KnowsWhatTouchesAToken) {
  Lexer lexer("#a<b #a <", "t");
  EXPECT_TRUE(lexer.touches('<'));
  lexer.advance();
  lexer.advance();
  lexer.advance();
  EXPECT_FALSE(lexer.touches('<'));
}

TEST(Lexer, DecodesStrings) {
  EXPECT_EQ(text_of(only(R"("a\"\\\n\t\41\c3\A9.")")), "a\"\\\n\tA\xC3\xA9.");
  EXPECT_EQ(text_of(only(R"(@"a b\22")")), "a b\"");
  EXPECT_EQ(text_of(only("@any.name")), "any.name");
  EXPECT_EQ(text_of(only(R"("")")), "");
}

TEST(Lexer, RefusesWhatIsNoToken) {
  const std::string begins = "a token of MLIR begins here; found ";
  EXPECT_EQ(refusal("a;"), "t:1:2: " + begins + "';'");
  EXPECT_EQ(refusal("a\n\f"), "t:2:1: " + begins + "byte 0x0C");
  EXPECT_EQ(refusal("\xEF\xBB\xBFmodule"), "t:1:1: " + begins + "byte 0xEF") << "byte-order mark";
  EXPECT_EQ(refusal("/* a */"), "t:1:1: " + begins + "'/'");
  EXPECT_EQ(refusal(std::string_view("a\0", 2)), "t:1:2: " + begins + "byte 0x00");
  EXPECT_EQ(refusal(".5"), "t:1:1: " + begins + "'.'");
  EXPECT_EQ(refusal("'a'"), "t:1:1: " + begins + "'''");
}

TEST(Lexer, RefusesBrokenStrings) {
  const std::string ends = "a string ends in '\"' on its own line; found ";
  EXPECT_EQ(refusal("\"a"), "t:1:3: " + ends + "the end of the text");
  EXPECT_EQ(refusal("\"a\n\""), "t:1:3: " + ends + "the end of the line");
  EXPECT_EQ(refusal("\"\\"),
            "t:1:3: an escape in a string is \\\" \\\\ \\n \\t or two hexadecimal digits; found the end "
            "of the text");
  for (const char* text : {"\"\\r\"", "\"\\4\"", "\"\\4g\"", "\"\\\n\"", "\"\\x41\"", "\"\\u0041\""}) {
    EXPECT_THAT(refusal(text), testing::HasSubstr("t:1:3: an escape in a string is")) << text;
  }
}

TEST(Lexer, RefusesNamesThatAreNone) {
  EXPECT_THAT(refusal("% a"), testing::HasSubstr("t:1:2: % is followed by"));
  EXPECT_THAT(refusal("@1"), testing::HasSubstr("t:1:2: @ is followed by"));
  EXPECT_THAT(refusal("#<"), testing::HasSubstr("t:1:2: # is followed by"));
  EXPECT_THAT(refusal("!"), testing::HasSubstr("t:1:2: ! is followed by"));
}

TEST(Lexer, RefusesWhatIsNotUtf8) {
  const std::string rule = "the text is UTF-8; found byte 0x";
  EXPECT_EQ(refusal("a\n// \xE9"), "t:2:4: " + rule + "E9");
  for (const char* text : {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3",
                           "\xE2\x82", "\x80", "\xF0\x80\x80\x80", "\xC3("}) {
    EXPECT_THAT(refusal(text), testing::HasSubstr("t:1:1: " + rule)) << text;
  }
  EXPECT_THAT(spellings("//\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF\xEF\xBF\xBF\xED\x9F\xBF"), ElementsAre());
}

}  // namespace
}  // namespace lattice::artifact
