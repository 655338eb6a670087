#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "artifact/graph.h"

// How the values of a graph are spelled in its text.

namespace lattice::artifact {

std::string_view name(ElementType element);
std::string_view name(Role role);
std::optional<ElementType> element_named(std::string_view name);
std::optional<Role> role_named(std::string_view name);

/// `text` in quotes, with \" \\ and \HH for what is not printable ASCII.
std::string quoted(std::string_view text);

/// A keyword: bare where it is an identifier, else quoted.
std::string keyword(std::string_view text);

std::string spell(const Type& type);
std::string spell(const Attribute& attribute);

/// Each with its own text, parted by `, `.
template <typename List, typename Spell>
std::string spell_list(const List& list, Spell spell_one) {
  std::string result;
  for (const auto& each : list) {
    if (!result.empty()) result += ", ";
    result += spell_one(each);
  }
  return result;
}

}  // namespace lattice::artifact
