#include "lattice/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>

#include "fail.h"
#include "io/byte_order.h"
#include "io/mapped_file.h"
#include "io/output_file.h"
#include "io/shown_text.h"

namespace lattice {
namespace {

constexpr size_t kLengthBytes = sizeof(uint64_t);
constexpr std::string_view kMetadataKey = "__metadata__";

struct ElementType {
  std::string_view name;
  size_t bits;
  std::optional<DType> dtype;  // none: the format knows the type, a Tensor does not
};

constexpr ElementType kElementTypes[] = {
    {"F32", 32, DType::f32},
    {"F16", 16, DType::f16},
    {"BF16", 16, DType::bf16},
    {"F64", 64, DType::f64},
    {"I8", 8, DType::i8},
    {"U8", 8, DType::u8},
    {"I16", 16, DType::i16},
    {"U16", 16, DType::u16},
    {"I32", 32, DType::i32},
    {"U32", 32, DType::u32},
    {"I64", 64, DType::i64},
    {"U64", 64, DType::u64},
    {"BOOL", 8, DType::boolean},
    {"F8_E4M3", 8, std::nullopt},
    {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},
    {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},
    {"C64", 64, std::nullopt},
};

std::optional<size_t> find_type(std::string_view name) {
  for (size_t i = 0; i < std::size(kElementTypes); ++i) {
    if (kElementTypes[i].name == name) return i;
  }
  return std::nullopt;
}

std::string_view spelling(DType dtype) {
  for (const ElementType& type : kElementTypes) {
    if (type.dtype == dtype) return type.name;
  }
  fail(ErrorCode::unsupported, "save_safetensors: the format has no type for {}", name(dtype));
}

// Bytes of a tensor, or nothing where they cannot be counted or are no whole number.
std::optional<size_t> stored_bytes(const Shape& shape, size_t bits) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  size_t total = bits;
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(total, static_cast<size_t>(size), &total)) return std::nullopt;
  }
  // Bits below 2^64 leave bytes below 2^61, more than any file holds.
  if (total % 8 != 0) return std::nullopt;
  return total / 8;
}

}  // namespace

// Fills a SafetensorsFile from the header's events. A plain parse would keep the last of two equal keys and turn large
// integers into floating point, both of which are to be refused.
class SafetensorsFile::HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(SafetensorsFile& file) : file_(file) {}

  bool null() override { wrong("null"); }
  bool boolean(bool value) override { wrong(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { wrong(fmt::format("the integer {}", value)); }
  bool number_float(number_float_t, const string_t& text) override {
    wrong(fmt::format("the number {}, no integer below 2^63", shown(text)));
  }
  bool binary(binary_t&) override { wrong("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::shape && place_ != Place::offsets) wrong(fmt::format("the integer {}", value));
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      wrong(fmt::format("the number {}, no integer below 2^63", value));
    }
    if (place_ == Place::shape) {
      entry_.shape.push_back(static_cast<int64_t>(value));
    } else {
      offsets_.push_back(static_cast<size_t>(value));
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      file_.metadata_.emplace(key_, std::move(value));
    } else if (place_ == Place::entry && key_ == "dtype") {
      const auto type = find_type(value);
      if (!type) corrupt(fmt::format("dtype {} is not one that the format knows", shown(value)));
      entry_.type = *type;
    } else {
      wrong(fmt::format("the string {}", shown(value)));
    }
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::header;
    } else if (place_ == Place::header) {
      place_ = name_ == kMetadataKey ? Place::metadata : Place::entry;
      entry_ = {};
      offsets_.clear();
      keys_.clear();
    } else {
      wrong("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    if (place_ == Place::header) {
      name_ = value;
      if (!names_.insert(value).second) corrupt("the name is there twice; names are unique");
      return true;
    }
    if (!keys_.insert(value).second) corrupt(fmt::format("the key {} is there twice; keys are unique", shown(value)));
    if (place_ == Place::entry && value != "dtype" && value != "shape" && value != "data_offsets") {
      corrupt(fmt::format("unknown key {}; an entry has dtype, shape and data_offsets", shown(value)));
    }
    key_ = std::move(value);
    return true;
  }

  bool end_object() override {
    if (place_ == Place::entry) finish_entry();
    place_ = place_ == Place::header ? Place::outside : Place::header;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::entry || key_ == "dtype") wrong("an array");
    place_ = key_ == "shape" ? Place::shape : Place::offsets;
    return true;
  }

  bool end_array() override {
    place_ = Place::entry;
    return true;
  }

  bool parse_error(size_t position, const std::string& token, const nlohmann::detail::exception&) override {
    fail(ErrorCode::corrupt_file, "safetensors: {}: the header is not valid JSON at byte {}, near {}", file_.path_,
         position + kLengthBytes, shown(token));
  }

 private:
  enum class Place { outside, header, metadata, entry, shape, offsets };

  void finish_entry() {
    if (keys_.size() != 3) corrupt("an entry has dtype, shape and data_offsets, but one is missing");
    if (offsets_.size() != 2) corrupt(fmt::format("data_offsets holds {} numbers; the rule is two", offsets_.size()));
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    file_.names_.push_back(name_);
    file_.entries_.emplace(name_, std::move(entry_));
  }

  [[noreturn]] void wrong(const std::string& found) const {
    switch (place_) {
      case Place::outside:
        corrupt(fmt::format("the header is {}; the rule is one object", found));
      case Place::header:
        corrupt(fmt::format("the entry is {}; the rule is an object", found));
      case Place::metadata:
        corrupt(fmt::format("key {} holds {}; the rule is a string", shown(key_), found));
      case Place::entry:
        corrupt(fmt::format("{} is {}; the rule is {}", key_, found, key_ == "dtype" ? "a string" : "an array"));
      case Place::shape:
        corrupt(fmt::format("shape holds {}; the rule is integers from 0", found));
      case Place::offsets:
        corrupt(fmt::format("data_offsets holds {}; the rule is integers from 0", found));
    }
    corrupt(found);
  }

  [[noreturn]] void corrupt(const std::string& message) const {
    if (place_ == Place::outside) fail(ErrorCode::corrupt_file, "safetensors: {}: {}", file_.path_, message);
    fail(ErrorCode::corrupt_file, "safetensors: {}: tensor {}: {}", file_.path_, shown(name_), message);
  }

  SafetensorsFile& file_;
  Place place_ = Place::outside;
  std::set<std::string> names_;  // with __metadata__
  std::set<std::string> keys_;   // of the object that is being read
  std::string name_;
  std::string key_;
  Entry entry_;
  std::vector<size_t> offsets_;
};

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  return parse(path, MappedFile::open(path, "safetensors"));
}

SafetensorsFile SafetensorsFile::read(const std::filesystem::path& path) {
  return parse(path, MappedFile::read(path, "safetensors"));
}

SafetensorsFile SafetensorsFile::parse(const std::filesystem::path& path, std::shared_ptr<const MappedFile> file) {
  SafetensorsFile result;
  result.path_ = path.string();
  result.file_ = std::move(file);
  const auto bytes = result.file_->bytes();
  if (bytes.size() < kLengthBytes) {
    fail(ErrorCode::corrupt_file, "safetensors: {}: {} bytes cannot hold the header's length, which takes 8",
         result.path_, bytes.size());
  }
  const uint64_t length = load<uint64_t>(bytes.data());
  if (length > bytes.size() - kLengthBytes) {
    fail(ErrorCode::corrupt_file, "safetensors: {}: a header of {} bytes does not fit a file of {}", result.path_,
         length, bytes.size());
  }
  const auto* header = reinterpret_cast<const char*>(bytes.data()) + kLengthBytes;
  if (length == 0 || *header != '{') {
    fail(ErrorCode::corrupt_file, "safetensors: {}: the header does not begin with '{{'", result.path_);
  }
  // To the JSON parser a zero byte is the end of the text, and would hide what follows it.
  if (std::memchr(header, 0, length) != nullptr) {
    fail(ErrorCode::corrupt_file, "safetensors: {}: the header is not valid JSON: it holds a zero byte", result.path_);
  }
  HeaderReader reader(result);
  nlohmann::json::sax_parse(header, header + length, &reader);
  result.data_start_ = kLengthBytes + static_cast<size_t>(length);
  const size_t data_bytes = bytes.size() - result.data_start_;
  for (const auto& [name, entry] : result.entries_) result.check_entry(name, entry, data_bytes);
  result.check_coverage(data_bytes);
  return result;
}

void SafetensorsFile::check_entry(const std::string& name, const Entry& entry, size_t data_bytes) const {
  if (entry.begin > entry.end || entry.end > data_bytes) {
    fail(ErrorCode::corrupt_file,
         "safetensors: {}: tensor {}: data_offsets [{}, {}] must not fall, and must end within the {} bytes of data",
         path_, shown(name), entry.begin, entry.end, data_bytes);
  }
  const ElementType& type = kElementTypes[entry.type];
  const auto expected = stored_bytes(entry.shape, type.bits);
  if (!expected || *expected != entry.end - entry.begin) {
    fail(ErrorCode::corrupt_file, "safetensors: {}: tensor {}: {} bytes of data, but shape {} of {} needs {}", path_,
         shown(name), entry.end - entry.begin, shown(to_string(entry.shape)), type.name,
         expected ? std::to_string(*expected) : "a number of bytes that no file has");
  }
}

// The tensors, in the order of their data, must follow each other from the first byte to the last.
void SafetensorsFile::check_coverage(size_t data_bytes) const {
  std::vector<const std::pair<const std::string, Entry>*> order;
  for (const auto& item : entries_) order.push_back(&item);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  size_t covered = 0;
  for (const auto* item : order) {
    if (item->second.begin != covered) {
      fail(ErrorCode::corrupt_file,
           "safetensors: {}: tensor {}: data begin at {}, but the tensor before ends at {}; {}", path_,
           shown(item->first), item->second.begin, covered,
           item->second.begin < covered ? "tensors must not overlap" : "there must be no hole");
    }
    covered = item->second.end;
  }
  if (covered != data_bytes) {
    fail(ErrorCode::corrupt_file, "safetensors: {}: {} bytes of data, but the tensors end at {}; there must be no rest",
         path_, data_bytes, covered);
  }
}

Tensor SafetensorsFile::tensor(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    constexpr size_t kShown = 5;
    std::string some;
    for (size_t i = 0; i < std::min(kShown, names_.size()); ++i) some += (i == 0 ? "" : ", ") + shown(names_[i]);
    if (names_.size() > kShown) some += ", ...";
    fail(ErrorCode::invalid_argument, "safetensors: {} has no tensor {}; its {} tensors: {}", path_, shown(name),
         names_.size(), some.empty() ? "none" : some);
  }
  const Entry& entry = found->second;
  const ElementType& type = kElementTypes[entry.type];
  if (!type.dtype) {
    fail(ErrorCode::unsupported, "safetensors: {}: tensor {} is {}; convert the file to F32, F16 or BF16 first", path_,
         shown(name), type.name);
  }
  const auto data = file_->bytes().subspan(data_start_ + entry.begin, entry.end - entry.begin);
  // A bool that is neither 0 nor 1 has no meaning in C++.
  if (type.dtype == DType::boolean &&
      std::any_of(data.begin(), data.end(), [](std::byte value) { return value > std::byte{1}; })) {
    fail(ErrorCode::corrupt_file, "safetensors: {}: tensor {}: a BOOL byte is neither 0 nor 1", path_, shown(name));
  }
  if (reinterpret_cast<uintptr_t>(data.data()) % size_of(*type.dtype) == 0) {
    return Tensor::view(*type.dtype, entry.shape, file_, data.data());
  }
  Tensor copy = Tensor::empty(*type.dtype, entry.shape);
  if (!data.empty()) std::memcpy(copy.mutable_raw(), data.data(), data.size());
  return copy;
}

namespace {

using NamedTensor = std::pair<std::string, Tensor>;

// Text as a JSON string; nlohmann refuses what is not UTF-8.
std::string quoted(const std::string& text, const std::filesystem::path& path) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    fail(ErrorCode::invalid_argument, "save_safetensors: {}: {} is not UTF-8", path.string(), shown(text));
  }
}

std::string header_text(const std::filesystem::path& path, const std::vector<const NamedTensor*>& order,
                        const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> items;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) pairs.push_back(quoted(key, path) + ":" + quoted(value, path));
    items.push_back(fmt::format("\"{}\":{{{}}}", kMetadataKey, fmt::join(pairs, ",")));
  }
  size_t begin = 0;
  for (const NamedTensor* item : order) {
    const Tensor& tensor = item->second;
    const size_t end = begin + tensor.nbytes();
    items.push_back(fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", quoted(item->first, path),
                                spelling(tensor.dtype()), fmt::join(tensor.shape(), ","), begin, end));
    begin = end;
  }
  std::string header = fmt::format("{{{}}}", fmt::join(items, ","));
  // Data on a cache line, the boundary that Tensor has.
  constexpr size_t kAlignment = 64;
  header.append((kAlignment - (kLengthBytes + header.size()) % kAlignment) % kAlignment, ' ');
  return header;
}

}  // namespace

void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::set<std::string_view> names;
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& item : tensors) {
    if (item.first == kMetadataKey || !names.insert(item.first).second) {
      fail(ErrorCode::invalid_argument, "save_safetensors: {}: tensor {}: names must be unique, and none is {}",
           path.string(), shown(item.first), kMetadataKey);
    }
    order.push_back(&item);
  }
  // Every size divides the larger ones, so that no tensor needs padding, which the format forbids.
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });
  const std::string header = header_text(path, order, metadata);
  OutputFile file(path, "save_safetensors");
  std::byte length[kLengthBytes];
  store<uint64_t>(length, header.size());
  file.write(length);
  file.write(header);
  for (const NamedTensor* item : order) {
    file.write({static_cast<const std::byte*>(item->second.raw()), item->second.nbytes()});
  }
  file.commit();
}

}  // namespace lattice
