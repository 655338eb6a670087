#pragma once

#include <functional>
#include <string>
#include <vector>

#include "artifact/graph.h"
#include "artifact/lexer.h"
#include "artifact/op_table.h"

// Types and attributes of graph text. Each function takes its tokens from the lexer and throws as Lexer does.

namespace lattice::artifact {

Type read_type(Lexer& lexer);

/// The value of an attribute of an operation, in the form that the attribute's kind asks for.
Attribute read_attribute(Lexer& lexer, const AttributeInfo& info);

/// An integer with any width, such as `2` or `2 : i32`.
int64_t read_any_integer(Lexer& lexer, std::string_view rule);

std::string read_string(Lexer& lexer, std::string_view rule);

/// `["a", "b"]`
std::vector<std::string> read_strings(Lexer& lexer, std::string_view rule);

/// Any attribute that we have no use for.
void skip_attribute(Lexer& lexer);

/// `{key = value, key, ...}`: calls `entry` with each key and its place. It finds the lexer at `= value`, or at what
/// follows a key that stands alone, and takes the former.
void read_dictionary(Lexer& lexer, const std::function<void(const std::string&, const Place&)>& entry);

/// A dictionary that we have no use for, where there is one.
void skip_dictionary(Lexer& lexer);

/// `read()` for each item of a list that is parted by commas and ends in `close`; the list may be empty.
template <typename Read>
void read_list(Lexer& lexer, std::string_view close, std::string_view rule, Read read) {
  if (lexer.accept(close)) return;
  do {
    read();
  } while (lexer.accept(","));
  lexer.expect(close, rule);
}

}  // namespace lattice::artifact
