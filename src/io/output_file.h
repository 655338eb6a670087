#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lattice {

/// A file that appears whole or not at all: bytes go to a `.partial` file beside the target, and `commit` renames it.
/// Without a commit the destructor removes it, and an older target stays as it was. One thread at a time.
class OutputFile {
 public:
  /// `operation` heads the messages. Throws io where the folder cannot be written or the target is no regular file.
  OutputFile(std::filesystem::path path, std::string_view operation);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// Appends. Throws io.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Writes what is buffered, waits until the disk has it, and renames. Throws io, and then the target is unchanged.
  void commit();

 private:
  void flush();
  void write_through(std::span<const std::byte> bytes);
  [[noreturn]] void fail_with_errno(std::string_view action) const;

  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::string operation_;
  std::vector<std::byte> buffer_;
  int descriptor_ = -1;
};

}  // namespace lattice
