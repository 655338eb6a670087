// PCD 0.7, the Point Cloud Library's format: a text header, then rows as text, as records, or, compressed with LZF,
// field by field. https://pointclouds.org/documentation/tutorials/pcd_file_format.html
#include <lzf.h>

#include "io/byte_order.h"
#include "io/scan_fields.h"
#include "io/shown_text.h"

namespace lattice {
namespace {

// LZF's longest match is 264 bytes, which takes 3: no block expands further.
constexpr uint64_t kMaxExpansion = 264 / 3;

struct PcdHeader {
  std::vector<std::string_view> names, sizes, types, counts;
  std::optional<int64_t> width, height, points;
  std::string_view data;
};

// One scalar of a row, and where it is kept.
struct PcdScalar {
  ScanField field;
  size_t offset = 0;       // bytes from the start of a record
  size_t block_start = 0;  // offset of the field that it belongs to, and that field's bytes
  size_t block_bytes = 0;
  size_t word = 0;  // place in a row of text
};

struct PcdLayout {
  std::vector<PcdScalar> scalars;  // without padding
  size_t row_bytes = 0;
  size_t row_words = 0;
};

int64_t header_count(const ScanFile& file, std::string_view key, std::string_view word) {
  const auto value = parse_count(word);
  if (!value) file.corrupt("{} is {}; the rule is an integer from 0", key, shown(word));
  return *value;
}

PcdHeader read_header(const ScanFile& file, std::string_view& text) {
  PcdHeader header;
  while (header.data.empty()) {
    if (text.empty()) file.corrupt("the header ends without DATA");
    const std::string_view line = next_line(text);
    std::vector<std::string_view> words = words_of(line);
    if (words.empty() || words[0].front() == '#') continue;
    const std::string_view key = words[0];
    words.erase(words.begin());
    const auto one = [&]() -> std::string_view {
      if (words.size() != 1) file.corrupt("{} has {} values; the rule is one", key, words.size());
      return words[0];
    };
    if (key == "FIELDS" || key == "COLUMNS")
      header.names = words;
    else if (key == "SIZE")
      header.sizes = words;
    else if (key == "TYPE")
      header.types = words;
    else if (key == "COUNT")
      header.counts = words;
    else if (key == "WIDTH")
      header.width = header_count(file, key, one());
    else if (key == "HEIGHT")
      header.height = header_count(file, key, one());
    else if (key == "POINTS")
      header.points = header_count(file, key, one());
    else if (key == "DATA")
      header.data = one();
    else if (key != "VERSION" && key != "VIEWPOINT")
      file.corrupt("unknown header line {}", shown(line));
  }
  return header;
}

int64_t row_count(const ScanFile& file, const PcdHeader& header) {
  if (!header.width || !header.height) file.corrupt("the header has no WIDTH or no HEIGHT");
  int64_t rows = 0;
  if (__builtin_mul_overflow(*header.width, *header.height, &rows)) {
    file.corrupt("WIDTH {} x HEIGHT {} are more points than 64 bits count", *header.width, *header.height);
  }
  if (header.points && *header.points != rows) {
    file.corrupt("POINTS is {}, but WIDTH {} x HEIGHT {} is {}", *header.points, *header.width, *header.height, rows);
  }
  return rows;
}

DType field_type(const ScanFile& file, std::string_view type, std::string_view size) {
  struct Row {
    std::string_view type, size;
    DType dtype;
  };
  static constexpr Row kTypes[] = {
      {"F", "4", DType::f32}, {"F", "8", DType::f64}, {"I", "1", DType::i8}, {"I", "2", DType::i16},
      {"I", "4", DType::i32}, {"I", "8", DType::i64}, {"U", "1", DType::u8}, {"U", "2", DType::u16},
      {"U", "4", DType::u32}, {"U", "8", DType::u64},
  };
  for (const Row& row : kTypes) {
    if (row.type == type && row.size == size) return row.dtype;
  }
  file.corrupt("a field has TYPE {} and SIZE {}; the rule is F of 4 or 8, I or U of 1, 2, 4 or 8", shown(type),
               shown(size));
}

PcdLayout layout_of(const ScanFile& file, const PcdHeader& header) {
  const size_t fields = header.names.size();
  if (header.sizes.size() != fields || header.types.size() != fields ||
      (!header.counts.empty() && header.counts.size() != fields)) {
    file.corrupt("FIELDS, SIZE, TYPE and COUNT have {}, {}, {} and {} values; the rule is one for each field", fields,
                 header.sizes.size(), header.types.size(), header.counts.size());
  }
  PcdLayout layout;
  for (size_t i = 0; i < fields; ++i) {
    const DType type = field_type(file, header.types[i], header.sizes[i]);
    const int64_t count = header.counts.empty() ? 1 : header_count(file, "COUNT", header.counts[i]);
    if (count > kMaxFields - static_cast<int64_t>(layout.row_words)) {
      file.corrupt("COUNT {} of field {} makes a row longer than {} values", count, shown(header.names[i]), kMaxFields);
    }
    const size_t block_start = layout.row_bytes;
    const size_t block_bytes = static_cast<size_t>(count) * size_of(type);
    for (size_t k = 0; k < static_cast<size_t>(count); ++k) {
      PcdScalar scalar{
          {std::string(header.names[i]), type}, layout.row_bytes, block_start, block_bytes, layout.row_words};
      layout.row_bytes += size_of(type);
      ++layout.row_words;
      if (scalar.field.name == "_") continue;
      if (count > 1) scalar.field.name += fmt::format("_{}", k);
      const bool colour = scalar.field.name == "rgb" || scalar.field.name == "rgba";
      scalar.field.packed_colour = colour && size_of(type) == 4;
      layout.scalars.push_back(std::move(scalar));
    }
  }
  return layout;
}

std::vector<ScanField> fields_of(const PcdLayout& layout) {
  std::vector<ScanField> fields;
  for (const PcdScalar& scalar : layout.scalars) fields.push_back(scalar.field);
  return fields;
}

// A packed colour is kept in the bits of a float as often as in an integer; either way it is read as one.
double load_scalar(const PcdScalar& scalar, const std::byte* from) {
  return load_number(scalar.field.packed_colour ? DType::u32 : scalar.field.type, from, std::endian::little);
}

std::optional<double> parse_scalar(const PcdScalar& scalar, std::string_view word) {
  const auto value = parse_number(scalar.field.type, word);
  if (!value || !scalar.field.packed_colour) return value;
  if (scalar.field.type == DType::f32) return std::bit_cast<uint32_t>(static_cast<float>(*value));
  // As an int32, an opaque colour is negative.
  constexpr double kWrap = 4294967296.0;
  const double wrapped = *value < 0 ? *value + kWrap : *value;
  return wrapped >= 0 && wrapped < kWrap ? std::optional(wrapped) : std::nullopt;
}

PointCloud read_text(const ScanFile& file, const PcdLayout& layout, int64_t rows, std::string_view text) {
  // Every value takes a digit and a separator, but the last.
  if (layout.row_words > 0 && static_cast<uint64_t>(rows) > (text.size() + 1) / (2 * layout.row_words)) {
    file.corrupt("{} points of {} values do not fit the {} bytes after the header", rows, layout.row_words,
                 text.size());
  }
  const size_t columns = layout.scalars.size();
  std::vector<double> table;
  table.reserve(static_cast<size_t>(rows) * columns);
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<std::string_view> words;
    while (words.empty() && !text.empty()) words = words_of(next_line(text));
    if (words.size() != layout.row_words) {
      file.corrupt("point {} has {} values; the rule is {}", row, words.size(), layout.row_words);
    }
    for (const PcdScalar& scalar : layout.scalars) {
      const auto value = parse_scalar(scalar, words[scalar.word]);
      if (!value) {
        file.corrupt("point {}: {} is no number for field {}", row, shown(words[scalar.word]),
                     shown(scalar.field.name));
      }
      table.push_back(*value);
    }
  }
  return assemble_points(file, fields_of(layout), rows,
                         [&](int64_t row, size_t field) { return table[static_cast<size_t>(row) * columns + field]; });
}

void check_records(const ScanFile& file, const PcdLayout& layout, int64_t rows, size_t available) {
  if (layout.row_bytes > 0 && static_cast<uint64_t>(rows) > available / layout.row_bytes) {
    file.corrupt("{} points of {} bytes do not fit the {} bytes of data", rows, layout.row_bytes, available);
  }
}

PointCloud read_records(const ScanFile& file, const PcdLayout& layout, int64_t rows, std::string_view data) {
  check_records(file, layout, rows, data.size());
  const auto* start = reinterpret_cast<const std::byte*>(data.data());
  return assemble_points(file, fields_of(layout), rows, [&](int64_t row, size_t field) {
    const PcdScalar& scalar = layout.scalars[field];
    return load_scalar(scalar, start + static_cast<size_t>(row) * layout.row_bytes + scalar.offset);
  });
}

// Two uint32, the sizes with and without compression, then the block.
std::vector<std::byte> decompress(const ScanFile& file, std::string_view data) {
  constexpr size_t kSizes = 2 * sizeof(uint32_t);
  if (data.size() < kSizes) file.corrupt("{} bytes of data cannot hold the sizes of the compressed block", data.size());
  const auto* start = reinterpret_cast<const std::byte*>(data.data());
  const uint32_t compressed = load<uint32_t>(start);
  const uint32_t expanded = load<uint32_t>(start + sizeof(uint32_t));
  if (compressed > data.size() - kSizes) {
    file.corrupt("a compressed block of {} bytes does not fit the {} bytes left", compressed, data.size() - kSizes);
  }
  if (expanded > kMaxExpansion * compressed) {
    file.corrupt("{} compressed bytes cannot expand to {}; LZF reaches {} times the size", compressed, expanded,
                 kMaxExpansion);
  }
  std::vector<std::byte> result(expanded);
  if (expanded == 0) return result;
  if (lzf_decompress(start + kSizes, compressed, result.data(), expanded) != expanded) {
    file.corrupt("the LZF block does not expand to the {} bytes that it claims", expanded);
  }
  return result;
}

PointCloud read_compressed(const ScanFile& file, const PcdLayout& layout, int64_t rows, std::string_view data) {
  const std::vector<std::byte> block = decompress(file, data);
  check_records(file, layout, rows, block.size());
  return assemble_points(file, fields_of(layout), rows, [&](int64_t row, size_t field) {
    const PcdScalar& scalar = layout.scalars[field];
    const size_t within = scalar.offset - scalar.block_start;
    const size_t before =
        scalar.block_start * static_cast<size_t>(rows) + static_cast<size_t>(row) * scalar.block_bytes;
    return load_scalar(scalar, block.data() + before + within);
  });
}

}  // namespace

PointCloud read_pcd(const ScanFile& file, const PointReadOptions&) {
  std::string_view text = file.text();
  const PcdHeader header = read_header(file, text);
  const int64_t rows = row_count(file, header);
  const PcdLayout layout = layout_of(file, header);
  if (layout.scalars.empty()) file.corrupt("there is no field; a scan needs x, y and z");
  if (header.data == "ascii") return read_text(file, layout, rows, text);
  if (header.data == "binary") return read_records(file, layout, rows, text);
  if (header.data == "binary_compressed") return read_compressed(file, layout, rows, text);
  file.corrupt("DATA is {}; the rule is ascii, binary or binary_compressed", shown(header.data));
}

}  // namespace lattice
