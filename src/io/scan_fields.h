#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/point_formats.h"
#include "lattice/dtype.h"

namespace lattice {

/// The number of type `type` (any but f16, bf16 and boolean) stored at `from`, which needs no alignment.
double load_number(DType type, const std::byte* from, std::endian order);

/// The number that `token` spells, rounded to float32 where `type` is f32; none where it spells no number.
std::optional<double> parse_number(DType type, std::string_view token);

/// The integer from 0 to 2^63 - 1 that `token` spells in decimal.
std::optional<int64_t> parse_count(std::string_view token);

/// Takes the next word off the front of `text`; empty at the end. White space is space, tab, CR and LF.
std::string_view next_word(std::string_view& text);
/// Takes the next line off the front of `text`, without its LF or CR LF.
std::string_view next_line(std::string_view& text);
std::vector<std::string_view> words_of(std::string_view line);

/// The longest row that a header may claim, in scalars: far more than any sensor or descriptor has.
inline constexpr int64_t kMaxFields = 4096;

/// One scalar of a row, as a header names it.
struct ScanField {
  std::string name;
  DType type = DType::f32;
  /// The value is an integer 0xAARRGGBB, to be split into r, g, b (and alpha, for a field named rgba).
  bool packed_colour = false;
};

/// The value of one field of one row; packed colours are integers below 2^32.
using ValueAt = std::function<double(int64_t row, size_t field)>;

/// Makes the cloud from fields in any order: x, y, z first, names in lower case. A float64 axis that leaves what
/// float32 resolves is made relative to `origin`. `rows` must already be known to fit the file. Throws corrupt_file
/// where x, y or z is missing, or two columns have one name.
PointCloud assemble_points(const ScanFile& file, const std::vector<ScanField>& fields, int64_t rows,
                           const ValueAt& value_at);

}  // namespace lattice
