#pragma once

#include <fmt/format.h>

#include <utility>

#include "lattice/error.h"

namespace lattice {

/// Throws an Error with a formatted message: `fail(ErrorCode::io, "save: cannot write {}", path)`.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace lattice
