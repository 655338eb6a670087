#include "io/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>

#include "fail.h"

namespace lattice {
namespace {

// Large enough that a system call's cost vanishes beside its copy.
constexpr size_t kBufferBytes = size_t{1} << 18;

// File systems allow 255 bytes a name; the rest is for the process, the number and the ending.
constexpr size_t kLongestStem = 200;

std::filesystem::path next_partial(const std::filesystem::path& target) {
  static std::atomic<uint64_t> number = 0;
  const std::string stem = target.filename().string().substr(0, kLongestStem);
  return target.parent_path() / fmt::format("{}.{}-{}.partial", stem, ::getpid(), number++);
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path path, std::string_view operation)
    : path_(std::move(path)), operation_(operation) {
  std::error_code ignored;
  // Renaming onto a link would replace the link, and onto a device the device.
  if (std::filesystem::is_symlink(path_, ignored) && std::filesystem::exists(path_, ignored)) {
    const auto target = std::filesystem::canonical(path_, ignored);
    if (!ignored) path_ = target;
  }
  if (std::filesystem::exists(path_, ignored) && !std::filesystem::is_regular_file(path_, ignored)) {
    fail(ErrorCode::io, "{}: cannot write {}: it exists and is not a regular file", operation_, path_.string());
  }
  buffer_.reserve(kBufferBytes);
  // A number may be taken by a process that died, or by one of another machine on a shared disk.
  do {
    partial_ = next_partial(path_);
    descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail_with_errno("create");
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!partial_.empty()) ::unlink(partial_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() > kBufferBytes) return write_through(bytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void OutputFile::commit() {
  flush();
  if (::fsync(descriptor_) != 0) fail_with_errno("write");
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_with_errno("write");
  if (::rename(partial_.c_str(), path_.c_str()) != 0) fail_with_errno("replace");
  partial_.clear();
}

void OutputFile::flush() {
  write_through(buffer_);
  buffer_.clear();
}

void OutputFile::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with_errno("write");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void OutputFile::fail_with_errno(std::string_view action) const {
  fail(ErrorCode::io, "{}: cannot {} {}: {}", operation_, action, path_.string(), std::strerror(errno));
}

}  // namespace lattice
