#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fail.h"

namespace lattice {
namespace {

// Closes the descriptor on every way out; a mapping stays valid without it.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  int value() const { return value_; }

 private:
  int value_;
};

Descriptor opened(const std::filesystem::path& path, std::string_view operation) {
  // O_NONBLOCK: opening a pipe must report that it is no file rather than wait for a writer.
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.value() < 0) {
    fail(ErrorCode::io, "{}: cannot open {}: {}", operation, path.string(), std::strerror(errno));
  }
  return descriptor;
}

size_t size_of_file(const Descriptor& descriptor, const std::filesystem::path& path, std::string_view operation) {
  struct stat status = {};
  if (::fstat(descriptor.value(), &status) != 0) {
    fail(ErrorCode::io, "{}: cannot read the size of {}: {}", operation, path.string(), std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) fail(ErrorCode::io, "{}: {} is not a regular file", operation, path.string());
  return static_cast<size_t>(status.st_size);
}

constexpr int kNoFile = -1;

/// A read-only mapping of a file, or writable memory where there is none.
std::span<const std::byte> mapped(size_t size, int descriptor, const std::filesystem::path& path,
                                  std::string_view operation) {
  if (size == 0) return {};  // mmap refuses a length of zero
  const bool file = descriptor != kNoFile;
  void* data = ::mmap(nullptr, size, file ? PROT_READ : PROT_READ | PROT_WRITE,
                      file ? MAP_PRIVATE : MAP_PRIVATE | MAP_ANONYMOUS, descriptor, 0);
  if (data == MAP_FAILED && errno == ENOMEM) {
    fail(ErrorCode::out_of_range, "{}: no memory for the {} bytes of {}", operation, size, path.string());
  }
  if (data == MAP_FAILED) {
    fail(ErrorCode::io, "{}: cannot map {}: {}", operation, path.string(), std::strerror(errno));
  }
  return {static_cast<const std::byte*>(data), size};
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path, std::string_view operation) {
  const Descriptor descriptor = opened(path, operation);
  const size_t size = size_of_file(descriptor, path, operation);
  return std::shared_ptr<const MappedFile>(new MappedFile(mapped(size, descriptor.value(), path, operation)));
}

std::shared_ptr<const MappedFile> MappedFile::read(const std::filesystem::path& path, std::string_view operation) {
  const Descriptor descriptor = opened(path, operation);
  const size_t size = size_of_file(descriptor, path, operation);
  const auto bytes = mapped(size, kNoFile, path, operation);
  std::shared_ptr<const MappedFile> file(new MappedFile(bytes));
  auto* to = const_cast<std::byte*>(bytes.data());
  for (size_t done = 0; done < size;) {
    const ssize_t count = ::read(descriptor.value(), to + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(ErrorCode::io, "{}: cannot read {}: {}", operation, path.string(), std::strerror(errno));
    if (count == 0) {
      fail(ErrorCode::io, "{}: {} shrank from {} to {} bytes while it was read; replace a file by renaming another",
           operation, path.string(), size, done);
    }
    done += static_cast<size_t>(count);
  }
  return file;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace lattice
