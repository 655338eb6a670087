#include "lattice/npy.h"

#include <fmt/ranges.h>

#include <string>

#include "fail.h"
#include "io/byte_order.h"
#include "io/output_file.h"

namespace lattice {
namespace {

constexpr std::string_view kOperation = "save_npy";
constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);  // and version 1.0

/// NumPy's name of an element type; a type of one byte has no byte order.
std::string_view descriptor_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "<f4";
    case DType::f16:
      return "<f2";
    case DType::f64:
      return "<f8";
    case DType::i8:
      return "|i1";
    case DType::u8:
      return "|u1";
    case DType::i16:
      return "<i2";
    case DType::u16:
      return "<u2";
    case DType::i32:
      return "<i4";
    case DType::u32:
      return "<u4";
    case DType::i64:
      return "<i8";
    case DType::u64:
      return "<u8";
    case DType::boolean:
      return "|b1";
    case DType::bf16:
      break;
  }
  fail(ErrorCode::unsupported, "{}: NumPy has no type {}; convert the tensor with to(), or save it as safetensors",
       kOperation, name(dtype));
}

/// A Python tuple; of one number with a comma behind it.
std::string tuple_of(const Shape& shape) {
  return fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
}

/// Padded with spaces so that data start on a cache line, as the format asks for.
std::string header_text(const Tensor& tensor) {
  constexpr size_t kAlignment = 64, kBefore = kMagic.size() + sizeof(uint16_t);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
                                   descriptor_of(tensor.dtype()), tuple_of(tensor.shape()));
  header.append((2 * kAlignment - 1 - (kBefore + header.size()) % kAlignment) % kAlignment, ' ');
  header += '\n';
  return header;
}

}  // namespace

void save_npy(const std::filesystem::path& path, const Tensor& tensor) {
  const std::string header = header_text(tensor);
  if (header.size() > UINT16_MAX) {
    fail(ErrorCode::invalid_argument, "{}: {}: a shape of {} axes is too long for the header; save it as safetensors",
         kOperation, path.string(), tensor.rank());
  }
  OutputFile file(path, kOperation);
  file.write(kMagic);
  std::byte length[sizeof(uint16_t)];
  store<uint16_t>(length, static_cast<uint16_t>(header.size()));
  file.write(length);
  file.write(header);
  file.write({static_cast<const std::byte*>(tensor.raw()), tensor.nbytes()});
  file.commit();
}

}  // namespace lattice
