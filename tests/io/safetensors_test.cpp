#include "lattice/safetensors.h"

#include <gmock/gmock.h>

#include "io/file_bytes.h"
#include "shared_data.h"

namespace lattice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string file_of(const std::string& header, const std::string& data) {
  return bytes_of<uint64_t>({header.size()}) + header + data;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

class Safetensors : public testing::Test {
 protected:
  SafetensorsFile open(const std::string& header, const std::string& data) {
    return SafetensorsFile::open(folder_.write("weights.safetensors", file_of(header, data)));
  }
  // The message of the refusal, which must name the file.
  std::string refusal(const std::string& header, const std::string& data) {
    const std::string message = error_of(ErrorCode::corrupt_file, [&] { open(header, data); });
    EXPECT_THAT(message, HasSubstr((folder_ / "weights.safetensors").string()));
    return message;
  }

  TempFolder folder_;
};

template <typename T>
std::pair<std::string, Tensor> named(const std::string& name, const std::vector<T>& values) {
  return {name, Tensor::from(values, {static_cast<int64_t>(values.size())})};
}

TEST_F(Safetensors, EveryTypeComesBack) {
  Tensor flags = Tensor::zeros(DType::boolean, {2});
  flags.mutable_data<bool>()[1] = true;
  const std::vector<std::pair<std::string, Tensor>> tensors = {
      named<uint8_t>("u8", {0, 255}),
      named<float>("f32", {1.5f, -2.f, 3.f}),
      named<Float16>("f16", {Float16(0.5f)}),
      named<BFloat16>("bf16", {BFloat16(2.f)}),
      named<double>("f64", {1e300}),
      named<int8_t>("i8", {-128, 127, 1}),
      named<int16_t>("i16", {-32768}),
      named<uint16_t>("u16", {65535}),
      named<int32_t>("i32", {-5, 6}),
      named<uint32_t>("u32", {0xffffffffu}),
      named<int64_t>("i64", {int64_t{-1} << 62}),
      named<uint64_t>("u64", {~uint64_t{0}}),
      {"bool", flags},
      {"scalar", Tensor::from(std::vector<float>{7.f}, {})},
      {"none", Tensor::empty(DType::f32, {0, 3})},
  };
  const auto path = folder_ / "all.safetensors";
  save_safetensors(path, tensors, {{"format", "pt"}, {"note", "a \"quoted\" line\nand ü"}});
  const SafetensorsFile file = SafetensorsFile::open(path);
  EXPECT_EQ(file.names().size(), tensors.size());
  EXPECT_EQ(file.metadata().at("note"), "a \"quoted\" line\nand ü");
  EXPECT_EQ(file.metadata().size(), 2u);
  for (const auto& [name, tensor] : tensors) {
    const Tensor read = file.tensor(name);
    EXPECT_EQ(read.dtype(), tensor.dtype()) << name;
    EXPECT_EQ(read.shape(), tensor.shape()) << name;
    ASSERT_EQ(read.nbytes(), tensor.nbytes()) << name;
    EXPECT_EQ(std::memcmp(read.raw(), tensor.raw(), read.nbytes()), 0) << name;
  }
}

TEST_F(Safetensors, SavesAlignedAndTheSameEveryTime) {
  const std::vector<std::pair<std::string, Tensor>> tensors = {named<uint8_t>("byte", {1}), named<float>("b", {1.f}),
                                                               named<float>("a", {2.f}), named<double>("wide", {3.})};
  save_safetensors(folder_ / "1", tensors, {{"k", "v"}});
  save_safetensors(folder_ / "2", tensors, {{"k", "v"}});
  const std::string bytes = file_bytes(folder_ / "1");
  EXPECT_EQ(bytes, file_bytes(folder_ / "2"));
  EXPECT_EQ((bytes.size() - (8 + 4 + 4 + 1)) % 64, 0u);
  EXPECT_THAT(SafetensorsFile::open(folder_ / "1").names(), ElementsAre("wide", "b", "a", "byte"));
  EXPECT_EQ(folder_.files(), 2u);
}

TEST_F(Safetensors, AViewOutlivesItsFile) {
  save_safetensors(folder_ / "w", {named<float>("a", {4.f, 5.f})});
  const Tensor tensor = SafetensorsFile::open(folder_ / "w").tensor("a");
  std::filesystem::remove(folder_ / "w");
  EXPECT_EQ(tensor.values<float>()[1], 5.f);
  Tensor copy = tensor;
  EXPECT_THROW(copy.mutable_raw(), Error);
}

TEST_F(Safetensors, CopiesWhatIsNotAligned) {
  std::string header = "{" + entry("a", "F32", "[1]", "[1,5]") + "," + entry("b", "U8", "[1]", "[0,1]") + "}";
  for (int pad = 0; pad < 4; ++pad, header += ' ') {
    const auto file = open(header, "\x07" + bytes_of<float>({2.5f}));
    EXPECT_THAT(file.names(), ElementsAre("a", "b"));
    EXPECT_EQ(file.tensor("a").values<float>()[0], 2.5f);
    EXPECT_EQ(file.tensor("b").values<uint8_t>()[0], 7);
  }
}

TEST_F(Safetensors, NamesAndTellsWhichTensorsExist) {
  const auto file = open("{" + entry("conv.weight", "U8", "[1]", "[0,1]") + "}", "x");
  EXPECT_TRUE(file.contains("conv.weight"));
  EXPECT_FALSE(file.contains("conv.bias"));
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { file.tensor("conv.bias"); }),
              AllOf(HasSubstr("weights.safetensors"), HasSubstr("'conv.bias'"), HasSubstr("'conv.weight'")));
  const auto empty = open("{}", "");
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { empty.tensor("a"); }), HasSubstr("none"));
}

TEST_F(Safetensors, ToleratesTypesOnlyUntilTheyAreUsed) {
  const auto file = open("{" + entry("a", "F8_E4M3", "[2]", "[0,2]") + "," + entry("b", "F4", "[4]", "[2,4]") + "," +
                             entry("c", "C64", "[1]", "[4,12]") + "," + entry("d", "U8", "[1]", "[12,13]") + "}",
                         std::string(13, 'x'));
  EXPECT_EQ(file.tensor("d").values<uint8_t>()[0], 'x');
  EXPECT_THAT(error_of(ErrorCode::unsupported, [&] { file.tensor("a"); }), HasSubstr("F8_E4M3"));
  EXPECT_THAT(refusal("{" + entry("a", "F5", "[1]", "[0,1]") + "}", "x"), AllOf(HasSubstr("'a'"), HasSubstr("'F5'")));
  EXPECT_THAT(refusal("{" + entry("a", "F4", "[3]", "[0,2]") + "}", "xx"), HasSubstr("no file"));
}

TEST_F(Safetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_TRUE(open("{}", "").names().empty());
  EXPECT_TRUE(open("{}  \n", "").names().empty());
  EXPECT_TRUE(open("{\"__metadata__\":{}}", "").metadata().empty());
  // Keys in another order, white space, an escaped name, and no elements.
  const auto file =
      open(R"({ "\u0061": {"data_offsets": [0, 0], "shape": [0, 9223372036854775807, 4], "dtype": "F32"} })", "");
  EXPECT_EQ(file.tensor("a").elements(), 0);
}

TEST_F(Safetensors, RefusesBadHeaders) {
  EXPECT_THAT(refusal("", ""), HasSubstr("does not begin"));
  EXPECT_THAT(refusal(" {}", ""), HasSubstr("does not begin"));
  EXPECT_THAT(refusal("[]", ""), HasSubstr("does not begin"));
  EXPECT_THAT(refusal("{", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("{}x", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(std::string("{}\0", 3), ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("{\"\xff\":1}", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("{\"a\":1}", ""), HasSubstr("the rule is an object"));
  EXPECT_THAT(refusal("{\"a\":null}", ""), HasSubstr("the rule is an object"));
  EXPECT_THAT(refusal("{\"a\":" + std::string(100000, '['), ""), HasSubstr("the rule is an object"));
  EXPECT_THAT(refusal("{\"__metadata__\":{\"k\":1}}", ""), HasSubstr("the rule is a string"));
  EXPECT_THAT(refusal("{\"__metadata__\":{\"k\":{}}}", ""), HasSubstr("the rule is a string"));
  EXPECT_THAT(refusal("{\"a\":{}}", ""), HasSubstr("missing"));
  EXPECT_THAT(refusal("{\"a\":{\"dtype\":[1]}}", ""), HasSubstr("the rule is a string"));
  EXPECT_THAT(refusal("{\"a\":{\"shape\":7}}", ""), HasSubstr("the rule is an array"));
  EXPECT_THAT(refusal("{\"a\":{\"kind\":7}}", ""), HasSubstr("unknown key 'kind'"));
  for (const uint64_t length : {uint64_t{3}, uint64_t{1} << 40, ~uint64_t{0}}) {
    const auto path = folder_.write("w", bytes_of<uint64_t>({length}) + "{}");
    EXPECT_THAT(error_of(ErrorCode::corrupt_file, [&] { SafetensorsFile::open(path); }), HasSubstr("does not fit"));
  }
}

TEST_F(Safetensors, RefusesDuplicates) {
  const std::string a = entry("a", "U8", "[0]", "[0,0]");
  EXPECT_THAT(refusal("{" + a + "," + a + "}", ""), AllOf(HasSubstr("'a'"), HasSubstr("unique")));
  EXPECT_THAT(refusal("{" + a + ",\"\\u0061\":{}}", ""), HasSubstr("unique"));
  EXPECT_THAT(refusal("{\"__metadata__\":{},\"__metadata__\":{}}", ""), HasSubstr("unique"));
  EXPECT_THAT(refusal("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", ""), HasSubstr("unique"));
  EXPECT_THAT(refusal("{\"a\":{\"shape\":[],\"shape\":[]}}", ""), HasSubstr("unique"));
}

TEST_F(Safetensors, RefusesNumbersThatAreNoOffsets) {
  const std::string data = "abcd";
  for (const char* offsets : {"[0.0,4]", "[-0.5,4]", "[0,4e0]", "[-1,4]", "[0,9223372036854775808]", "[0,1e30]",
                              "[0,99999999999999999999]", "[\"0\",4]", "[null,4]", "[true,4]", "[[0],4]", "[{},4]"}) {
    EXPECT_THAT(refusal("{" + entry("a", "U8", "[4]", offsets) + "}", data), HasSubstr("the rule is integers from 0"))
        << offsets;
  }
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[4.0]", "[0,4]") + "}", data), HasSubstr("shape holds"));
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[-4]", "[0,4]") + "}", data), HasSubstr("shape holds"));
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[4]", "[0]") + "}", data), HasSubstr("the rule is two"));
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[4]", "[0,1,4]") + "}", data), HasSubstr("the rule is two"));
}

TEST_F(Safetensors, RefusesRangesThatDoNotFit) {
  const std::string data = "abcdefgh";
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[9]", "[0,9]") + "}", data), HasSubstr("within the 8 bytes"));
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[0]", "[8,0]") + "}", data), HasSubstr("must not fall"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[3]", "[0,8]") + "}", data), HasSubstr("'(3)' of F32 needs 12"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[4611686018427387904,4]", "[0,8]") + "}", data), HasSubstr("no file"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[2]", "[0,8]") + "}", data + "!"), HasSubstr("no rest"));
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[4]", "[4,8]") + "}", data), HasSubstr("no hole"));
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[3]", "[0,3]") + "," + entry("b", "U8", "[4]", "[4,8]") + "}", data),
              AllOf(HasSubstr("'b'"), HasSubstr("no hole")));
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[5]", "[0,5]") + "," + entry("b", "U8", "[4]", "[4,8]") + "}", data),
              HasSubstr("overlap"));
  EXPECT_THAT(refusal("{" + entry("a", "U8", "[8]", "[0,8]") + "," + entry("b", "U8", "[8]", "[0,8]") + "}", data),
              HasSubstr("overlap"));
  EXPECT_THAT(refusal("{}", data), HasSubstr("no rest"));
}

TEST_F(Safetensors, RefusesABoolThatIsNone) {
  const auto file = open("{" + entry("a", "BOOL", "[2]", "[0,2]") + "}", "\x01\x02");
  EXPECT_THAT(error_of(ErrorCode::corrupt_file, [&] { file.tensor("a"); }), HasSubstr("neither 0 nor 1"));
}

TEST_F(Safetensors, MessagesStayOnOneLine) {
  const std::string name = "a\\nb" + std::string(500, 'c');
  const std::string message = refusal("{" + entry(name, "U8", "[1]", "[0,0]") + "}", "");
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_LT(message.size(), 400u);
}

TEST_F(Safetensors, NoPrefixOrFlippedBitCrashes) {
  const std::string whole = file_of("{\"__metadata__\":{\"k\":\"v\"}," + entry("a", "I16", "[2,1]", "[0,4]") + "," +
                                        entry("b", "BOOL", "[2]", "[4,6]") + "}",
                                    std::string("abcd\0\1", 6));
  const auto read = [&](std::string_view bytes) {
    const SafetensorsFile file = SafetensorsFile::open(folder_.write("w", bytes));
    for (const std::string& name : file.names()) file.tensor(name);
  };
  read(whole);
  expect_prefixes_safe(whole, read);
  expect_flips_safe(whole, read, 3);  // a file each takes its time; 3 meets all places within a byte
}

TEST_F(Safetensors, SavingRefusesBeforeItWrites) {
  const auto path = folder_.write("w", "old");
  const auto one = named<float>("a", {1.f});
  const auto message = [&](const std::vector<std::pair<std::string, Tensor>>& tensors) {
    return error_of(ErrorCode::invalid_argument, [&] { save_safetensors(path, tensors); });
  };
  EXPECT_THAT(message({one, one}), AllOf(HasSubstr("'a'"), HasSubstr("unique")));
  EXPECT_THAT(message({{"__metadata__", one.second}}), HasSubstr("__metadata__"));
  EXPECT_THAT(message({{"\xff", one.second}}), HasSubstr("UTF-8"));
  EXPECT_THAT(error_of(ErrorCode::invalid_argument,
                       [&] {
                         save_safetensors(path, {one}, {{"k", "\xc0"}});
                       }),
              HasSubstr("UTF-8"));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { save_safetensors(folder_ / "absent/w", {one}); }), HasSubstr("absent/w"));
  EXPECT_EQ(file_bytes(path), "old");
  EXPECT_EQ(folder_.files(), 1u);
}

TEST_F(Safetensors, AbsentFile) {
  EXPECT_THAT(error_of(ErrorCode::io, [&] { SafetensorsFile::open(folder_ / "absent"); }),
              AllOf(HasSubstr("absent"), HasSubstr("No such file")));
  EXPECT_THAT(error_of(ErrorCode::corrupt_file, [&] { SafetensorsFile::open(folder_.write("empty", "")); }),
              HasSubstr("0 bytes"));
}

TEST_F(Safetensors, ReadsGoldenFiles) {
  const auto golden = shared_data("golden/quantize.safetensors");
  if (!golden) GTEST_SKIP() << "golden/quantize.safetensors is absent";
  const SafetensorsFile file = SafetensorsFile::open(*golden);
  EXPECT_EQ(file.names().size() % 5, 0u);  // five tensors a case
  EXPECT_TRUE(file.metadata().contains("cases"));
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const std::string& name : file.names()) tensors.emplace_back(name, file.tensor(name));
  save_safetensors(folder_ / "copy", tensors, file.metadata());
  const SafetensorsFile copy = SafetensorsFile::open(folder_ / "copy");
  EXPECT_EQ(copy.metadata(), file.metadata());
  for (const auto& [name, tensor] : tensors) {
    const Tensor read = copy.tensor(name);
    ASSERT_EQ(read.shape(), tensor.shape()) << name;
    ASSERT_EQ(std::memcmp(read.raw(), tensor.raw(), tensor.nbytes()), 0) << name;
  }
}

}  // namespace
}  // namespace lattice
