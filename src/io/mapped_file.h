#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace lattice {

/// A regular file mapped read-only for as long as this object lives. Immutable, so safe to share between threads.
class MappedFile {
 public:
  /// `operation` heads the messages. Throws io where the path is no regular file or cannot be opened or
  /// mapped, and out_of_range where it does not fit the memory.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path, std::string_view operation);

  /// The same, copied into memory: whatever happens to the file afterwards, the bytes stay. Throws io as well where the
  /// file shrinks while it is read.
  static std::shared_ptr<const MappedFile> read(const std::filesystem::path& path, std::string_view operation);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  /// Empty for an empty file.
  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace lattice
