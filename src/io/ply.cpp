// PLY 1.0, the Stanford triangle format: a text header that lists elements and their properties, then the elements as
// text or as packed records of either byte order. http://paulbourke.net/dataformats/ply/

#include "io/scan_fields.h"
#include "io/shown_text.h"

namespace lattice {
namespace {

struct PlyProperty {
  std::string name;
  DType type = DType::f32;
  std::optional<DType> list_count;  // the type of a list's length
};

struct PlyElement {
  std::string name;
  int64_t count = 0;
  std::vector<PlyProperty> properties;
};

enum class Encoding { text, little, big };

struct PlyHeader {
  Encoding encoding = Encoding::text;
  std::vector<PlyElement> elements;
};

DType property_type(const ScanFile& file, std::string_view name) {
  struct Row {
    std::string_view name, sized_name;
    DType dtype;
  };
  static constexpr Row kTypes[] = {
      {"char", "int8", DType::i8},      {"uchar", "uint8", DType::u8},     {"short", "int16", DType::i16},
      {"ushort", "uint16", DType::u16}, {"int", "int32", DType::i32},      {"uint", "uint32", DType::u32},
      {"float", "float32", DType::f32}, {"double", "float64", DType::f64},
  };
  for (const Row& row : kTypes) {
    if (row.name == name || row.sized_name == name) return row.dtype;
  }
  file.corrupt("{} is no type of a property", shown(name));
}

PlyProperty read_property(const ScanFile& file, const std::vector<std::string_view>& words) {
  if (words.size() == 3) return {std::string(words[2]), property_type(file, words[1]), {}};
  if (words.size() != 5 || words[1] != "list") {
    file.corrupt("a property line has {} words; the rule is `property TYPE NAME` or `property list TYPE TYPE NAME`",
                 words.size());
  }
  const DType count = property_type(file, words[2]);
  if (count == DType::f32 || count == DType::f64)
    file.corrupt("a list's length is {}, not an integer", shown(words[2]));
  return {std::string(words[4]), property_type(file, words[3]), count};
}

Encoding read_encoding(const ScanFile& file, const std::vector<std::string_view>& words) {
  if (words.size() == 3 && words[2] == "1.0") {
    if (words[1] == "ascii") return Encoding::text;
    if (words[1] == "binary_little_endian") return Encoding::little;
    if (words[1] == "binary_big_endian") return Encoding::big;
  }
  file.corrupt("the format is not ascii, binary_little_endian or binary_big_endian 1.0");
}

PlyElement read_element(const ScanFile& file, const std::vector<std::string_view>& words) {
  const auto count = words.size() == 3 ? parse_count(words[2]) : std::nullopt;
  if (!count) file.corrupt("an element line is not `element NAME COUNT` with a count from 0");
  return {std::string(words[1]), *count, {}};
}

PlyHeader read_header(const ScanFile& file, std::string_view& text) {
  if (next_line(text) != "ply") file.corrupt("the first line is not `ply`");
  PlyHeader header;
  bool has_format = false;
  while (true) {
    if (text.empty()) file.corrupt("the header ends without end_header");
    const std::string_view line = next_line(text);
    const std::vector<std::string_view> words = words_of(line);
    if (words.empty() || words[0] == "comment" || words[0] == "obj_info") continue;
    if (words[0] == "end_header") break;
    if (words[0] == "format") {
      header.encoding = read_encoding(file, words);
      has_format = true;
    } else if (words[0] == "element") {
      header.elements.push_back(read_element(file, words));
    } else if (words[0] == "property" && !header.elements.empty()) {
      auto& properties = header.elements.back().properties;
      properties.push_back(read_property(file, words));
      if (static_cast<int64_t>(properties.size()) > kMaxFields) file.corrupt("more than {} properties", kMaxFields);
    } else {
      file.corrupt("unexpected header line {}", shown(line));
    }
  }
  if (!has_format) file.corrupt("the header has no format line");
  return header;
}

// Hands out the numbers of the body one after the other, whatever its encoding.
class PlyBody {
 public:
  PlyBody(const ScanFile& file, Encoding encoding, std::string_view rest)
      : file_(file), encoding_(encoding), rest_(rest) {}

  // Before anything of an element's claimed size is allocated or looped over: its shortest rows must fit what is left.
  void check_room(const PlyElement& element) const {
    size_t row = 0;
    for (const PlyProperty& property : element.properties) row += smallest(property.list_count.value_or(property.type));
    const size_t room = rest_.size() + (encoding_ == Encoding::text ? 1 : 0);
    if (row > 0 && static_cast<uint64_t>(element.count) > room / row) {
      file_.corrupt("{} elements {} of at least {} bytes do not fit the {} bytes left", element.count,
                    shown(element.name), row, rest_.size());
    }
  }

  double next(DType type) {
    if (encoding_ != Encoding::text) {
      const auto* from = reinterpret_cast<const std::byte*>(take(size_of(type)));
      return load_number(type, from, encoding_ == Encoding::big ? std::endian::big : std::endian::little);
    }
    const std::string_view word = next_word(rest_);
    const auto value = parse_number(type, word);
    if (!value) file_.corrupt("{} is no number{}", shown(word), word.empty() ? "; the file ends too early" : "");
    return *value;
  }

  void skip_list(const PlyProperty& property) {
    const double length = next(*property.list_count);
    // Also false for a NaN; a file's size is far below 2^53, so the comparison is exact.
    if (!(length >= 0 && length <= static_cast<double>(rest_.size()))) {
      file_.corrupt("a list of {} holds {} values, which the {} bytes left cannot", shown(property.name), length,
                    rest_.size());
    }
    const auto count = static_cast<size_t>(length);
    if (encoding_ != Encoding::text) {
      take(count * size_of(property.type));
    } else {
      for (size_t i = 0; i < count; ++i) next(property.type);
    }
  }

 private:
  // A number of text takes a digit and a separator.
  size_t smallest(DType type) const { return encoding_ == Encoding::text ? 2 : size_of(type); }

  const char* take(size_t bytes) {
    if (bytes > rest_.size()) file_.corrupt("the file ends too early: {} bytes left, {} needed", rest_.size(), bytes);
    const char* from = rest_.data();
    rest_.remove_prefix(bytes);
    return from;
  }

  const ScanFile& file_;
  Encoding encoding_;
  std::string_view rest_;
};

// Reads one element's rows and keeps its scalars, row-major; lists are passed over.
std::vector<double> read_scalars(PlyBody& body, const PlyElement& element) {
  body.check_room(element);
  std::vector<double> table;
  if (element.properties.empty()) return table;
  for (int64_t row = 0; row < element.count; ++row) {
    for (const PlyProperty& property : element.properties) {
      if (property.list_count) {
        body.skip_list(property);
      } else {
        table.push_back(body.next(property.type));
      }
    }
  }
  return table;
}

std::string column_name(const std::string& property) {
  if (property == "red") return "r";
  if (property == "green") return "g";
  if (property == "blue") return "b";
  return property;
}

}  // namespace

PointCloud read_ply(const ScanFile& file, const PointReadOptions&) {
  std::string_view text = file.text();
  const PlyHeader header = read_header(file, text);
  PlyBody body(file, header.encoding, text);
  for (const PlyElement& element : header.elements) {
    const std::vector<double> table = read_scalars(body, element);
    if (element.name != "vertex") continue;
    std::vector<ScanField> fields;
    for (const PlyProperty& property : element.properties) {
      if (!property.list_count) fields.push_back({column_name(property.name), property.type});
    }
    return assemble_points(file, fields, element.count, [&](int64_t row, size_t field) {
      return table[static_cast<size_t>(row) * fields.size() + field];
    });
  }
  file.corrupt("there is no element vertex");
}

}  // namespace lattice
