#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lattice/tensor.h"

namespace lattice {

class MappedFile;

/// A safetensors file, mapped read-only: u64 little-endian header length, JSON header, raw little-endian row-major
/// data.
///
/// `open` checks the whole header against the file before any tensor is handed out: duplicate names, offsets that are
/// no integers or out of range, sizes that differ from shape x dtype, overlaps, holes and trailing bytes are refused.
/// A file is a handle: copies share the mapping. All const functions may be called from any number of threads. Whoever
/// truncates the file while it is mapped makes later reads fault, so copy what must outlive such a change.
class SafetensorsFile {
 public:
  /// Throws io (cannot open or map) or corrupt_file (naming the file, the tensor, what was found and the rule).
  static SafetensorsFile open(const std::filesystem::path& path);
  /// The same, read into memory instead of mapped: no later change of the file is seen.
  static SafetensorsFile read(const std::filesystem::path& path);

  /// The tensors' names in the header's order.
  const std::vector<std::string>& names() const noexcept { return names_; }
  bool contains(std::string_view name) const { return entries_.find(name) != entries_.end(); }
  /// The header's `__metadata__`; empty where there is none.
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

  /// A read-only view into the mapping, which it keeps alive; a copy where the data are not aligned to the element's
  /// size. Throws invalid_argument (no such name), unsupported (F8, F6, F4 and complex types, which no Tensor holds)
  /// and corrupt_file (a BOOL byte that is neither 0 nor 1).
  Tensor tensor(std::string_view name) const;

 private:
  struct Entry {
    size_t type = 0;  // row of the table of element types
    Shape shape;
    size_t begin = 0;  // bytes from the start of the data
    size_t end = 0;
  };
  class HeaderReader;

  static SafetensorsFile parse(const std::filesystem::path& path, std::shared_ptr<const MappedFile> file);
  void check_entry(const std::string& name, const Entry& entry, size_t data_bytes) const;
  void check_coverage(size_t data_bytes) const;

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  size_t data_start_ = 0;
  std::vector<std::string> names_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::map<std::string, std::string> metadata_;
};

/// Writes tensors and metadata. Data start on a 64-byte boundary and every tensor on a boundary of its element's size:
/// the tensors stand in the order given, but those of larger elements first. The same input gives the same bytes. The
/// file appears whole or not at all; an older file of that name stays until then. Throws invalid_argument before
/// anything is written (duplicate name, name `__metadata__`, text that is not UTF-8) and io (cannot write).
void save_safetensors(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace lattice
