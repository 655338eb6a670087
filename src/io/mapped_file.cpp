#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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
  int value() const { return value_; }

 private:
  int value_;
};

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path, std::string_view operation) {
  // O_NONBLOCK: opening a pipe must report that it is no file rather than wait for a writer.
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.value() < 0) {
    fail(ErrorCode::io, "{}: cannot open {}: {}", operation, path.string(), std::strerror(errno));
  }
  struct stat status = {};
  if (::fstat(descriptor.value(), &status) != 0) {
    fail(ErrorCode::io, "{}: cannot read the size of {}: {}", operation, path.string(), std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) fail(ErrorCode::io, "{}: {} is not a regular file", operation, path.string());
  // mmap refuses a length of zero.
  if (status.st_size == 0) return std::shared_ptr<const MappedFile>(new MappedFile({}));
  const auto size = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.value(), 0);
  if (data == MAP_FAILED) {
    fail(ErrorCode::io, "{}: cannot map {}: {}", operation, path.string(), std::strerror(errno));
  }
  return std::shared_ptr<const MappedFile>(new MappedFile({static_cast<const std::byte*>(data), size}));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace lattice
