#include "io/scan_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "io/byte_order.h"
#include "io/shown_text.h"

namespace lattice {
namespace {

// From here on neighbouring float32 values are more than a millimetre apart (2^13 / 2^23 m).
constexpr double kFarthestExact = 8192;

constexpr std::string_view kWhite = " \t\r\n";

template <typename T>
std::optional<T> parse_as(std::string_view token) {
  if (token.size() > 1 && token.front() == '+' && token[1] != '-') token.remove_prefix(1);
  T value = 0;
  const auto result = std::from_chars(token.data(), token.data() + token.size(), value);
  if (result.ec != std::errc() || result.ptr != token.data() + token.size()) return std::nullopt;
  return value;
}

// A column of the cloud: a field, or one byte of a packed colour.
struct Column {
  std::string name;
  size_t field = 0;
  int shift = -1;  // of the byte in the packed colour; -1 for a plain field
};

std::string lower(std::string text) {
  for (char& letter : text) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return text;
}

std::vector<Column> columns_of(const ScanFile& file, const std::vector<ScanField>& fields) {
  std::vector<Column> columns;
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::string name = lower(fields[i].name);
    if (!fields[i].packed_colour) {
      columns.push_back({name, i});
      continue;
    }
    columns.push_back({"r", i, 16});
    columns.push_back({"g", i, 8});
    columns.push_back({"b", i, 0});
    if (name == "rgba") columns.push_back({"alpha", i, 24});
  }
  size_t front = 0;
  for (const std::string_view axis : {"x", "y", "z"}) {
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const Column& c) { return c.name == axis; });
    if (found == columns.end()) file.corrupt("there is no field {}; a scan needs x, y and z", axis);
    std::rotate(columns.begin() + static_cast<std::ptrdiff_t>(front++), found, found + 1);
  }
  std::set<std::string_view> names;
  for (const Column& column : columns) {
    if (!names.insert(column.name).second)
      file.corrupt("two columns are named {}; names are unique", shown(column.name));
  }
  return columns;
}

// What to subtract from one axis.
double axis_origin(const ScanField& field, size_t index, int64_t rows, const ValueAt& value_at) {
  if (field.type != DType::f64) return 0;
  double smallest = std::numeric_limits<double>::infinity();
  double farthest = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const double value = value_at(row, index);
    if (!std::isfinite(value)) continue;
    smallest = std::min(smallest, value);
    farthest = std::max(farthest, std::abs(value));
  }
  return farthest < kFarthestExact ? 0 : std::floor(smallest);
}

}  // namespace

double load_number(DType type, const std::byte* from, std::endian order) {
  switch (type) {
    case DType::i8:
      return load<int8_t>(from, order);
    case DType::u8:
      return load<uint8_t>(from, order);
    case DType::i16:
      return load<int16_t>(from, order);
    case DType::u16:
      return load<uint16_t>(from, order);
    case DType::i32:
      return load<int32_t>(from, order);
    case DType::u32:
      return load<uint32_t>(from, order);
    case DType::i64:
      return static_cast<double>(load<int64_t>(from, order));
    case DType::u64:
      return static_cast<double>(load<uint64_t>(from, order));
    case DType::f32:
      return load<float>(from, order);
    default:
      return load<double>(from, order);
  }
}

std::optional<double> parse_number(DType type, std::string_view token) {
  if (type == DType::f32) {
    // Rounded once, from the text. What is beyond float32 goes through double, to infinity or zero.
    if (const auto value = parse_as<float>(token)) return static_cast<double>(*value);
  }
  return parse_as<double>(token);
}

std::optional<int64_t> parse_count(std::string_view token) {
  const auto value = parse_as<int64_t>(token);
  return value && *value >= 0 ? value : std::nullopt;
}

std::string_view next_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kWhite), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(kWhite));
  text.remove_prefix(word.size());
  return word;
}

std::string_view next_line(std::string_view& text) {
  std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) words.push_back(word);
  return words;
}

PointCloud assemble_points(const ScanFile& file, const std::vector<ScanField>& fields, int64_t rows,
                           const ValueAt& value_at) {
  const std::vector<Column> columns = columns_of(file, fields);
  PointCloud cloud;
  cloud.values = Tensor::empty(DType::f32, {rows, static_cast<int64_t>(columns.size())});
  cloud.columns.clear();
  for (const Column& column : columns) cloud.columns.push_back(column.name);
  for (size_t axis = 0; axis < 3; ++axis) {
    const size_t field = columns[axis].field;
    cloud.origin[axis] = axis_origin(fields[field], field, rows, value_at);
  }
  float* to = cloud.values.mutable_data<float>();
  for (int64_t row = 0; row < rows; ++row) {
    for (size_t c = 0; c < columns.size(); ++c) {
      double value = value_at(row, columns[c].field);
      if (c < 3) value -= cloud.origin[c];
      if (columns[c].shift >= 0) value = (static_cast<uint32_t>(value) >> columns[c].shift) & 0xff;
      *to++ = static_cast<float>(value);
    }
  }
  return cloud;
}

}  // namespace lattice
