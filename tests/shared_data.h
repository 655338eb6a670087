#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>

namespace lattice {

/// A file or folder of the shared reference data: below $LATTICE_SHARED_DIR where that is set, else below the folder
/// `shared` beside the source tree. None where it is absent; a test then skips and says which file it missed.
inline std::optional<std::filesystem::path> shared_data(std::string_view relative) {
  const char* folder = std::getenv("LATTICE_SHARED_DIR");
  const std::filesystem::path root = folder != nullptr ? folder : LATTICE_SOURCE_DIR "/../shared";
  std::error_code ignored;
  const std::filesystem::path path = root / relative;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  return path;
}

}  // namespace lattice
