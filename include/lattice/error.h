#pragma once

#include <stdexcept>
#include <string>

namespace lattice {

/// The classes of error; the command line maps each to an exit code of its own.
enum class ErrorCode {
  invalid_argument,  ///< an argument breaks a rule of the operation
  unsupported,       ///< well formed, but not something this build or backend can do
  corrupt_file,      ///< a file's content contradicts its format
  io,                ///< the operating system refused to open, read, map or write
  out_of_range,      ///< an index, coordinate or size leaves what its type or container holds
};

/// The one exception of the library, beside std::bad_alloc where memory ends. Its message names the operation, the offending value, the rule and the remedy:
/// `subm_conv3d: kernel_size (2, 3, 3) must be odd on every axis; use conv3d for even kernels`.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// The code's own spelling, such as `invalid_argument`.
const char* name(ErrorCode code) noexcept;

}  // namespace lattice
