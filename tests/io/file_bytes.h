#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>

#include "lattice/error.h"

namespace lattice {

/// A folder of its own for one test, removed with it.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "lattice_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  /// Writes a file and returns its path.
  std::filesystem::path write(std::string_view name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path_ / name;
  }
  size_t files() const { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), {})); }

 private:
  std::filesystem::path path_;
};

inline std::string file_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The bytes of numbers, one after the other, in the byte order asked for.
template <typename T>
std::string bytes_of(std::initializer_list<T> values, std::endian order = std::endian::little) {
  std::string result;
  for (const T value : values) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    if (order != std::endian::native) std::reverse(bytes, bytes + sizeof(T));
    result.append(bytes, sizeof(T));
  }
  return result;
}

template <typename T>
void put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

/// Runs `call`, expects an Error of that code, and returns its message.
template <typename Call>
std::string error_of(ErrorCode code, Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_STREQ(name(error.code()), name(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error, expected " << name(code);
  return {};
}

/// `read`, given every beginning of `whole`, succeeds or throws corrupt_file.
template <typename Read>
void expect_prefixes_safe(std::string_view whole, Read&& read) {
  for (size_t length = 0; length < whole.size(); ++length) {
    try {
      read(whole.substr(0, length));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt_file) << length << " bytes: " << error.what();
    }
  }
}

/// `read`, given `whole` with every `step`-th of its bits flipped in turn, succeeds or throws an Error.
template <typename Read>
void expect_flips_safe(std::string_view whole, Read&& read, size_t step = 1) {
  for (size_t bit = 0; bit < whole.size() * 8; bit += step) {
    std::string flipped(whole);
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    try {
      read(std::string_view(flipped));
    } catch (const Error& error) {
      EXPECT_FALSE(std::string_view(error.what()).empty());
    }
  }
}

}  // namespace lattice
