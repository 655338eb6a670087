#include "lattice/npy.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "exact_error.h"
#include "io/file_bytes.h"

namespace lattice {
namespace {

std::string padded(const std::string& text, size_t size) {
  return text + std::string(size - 1 - text.size(), ' ') + "\n";
}

TEST(Npy, WritesHeaderAndDataByteForByte) {
  const TempFolder folder;
  save_npy(folder / "a.npy", Tensor::from(std::vector<float>{1, -2, 0.5F, 4, 5, 6}, {1, 2, 3}));
  const std::string header = padded("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }", 118);
  const std::string data("\0\0\x80\x3f\0\0\0\xc0\0\0\0\x3f\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40", 24);
  EXPECT_EQ(file_bytes(folder / "a.npy"), std::string("\x93NUMPY\x01\0\x76\0", 10) + header + data);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);  // nothing written aside is left
}

TEST(Npy, WritesEveryShapeAndTypeThatNumPyHas) {
  const TempFolder folder;
  const auto written = [&](const Tensor& tensor) {
    save_npy(folder / "a.npy", tensor);
    const std::string bytes = file_bytes(folder / "a.npy");
    const size_t header =
        10 + static_cast<uint8_t>(bytes[8]) + 256 * static_cast<size_t>(static_cast<uint8_t>(bytes[9]));
    EXPECT_EQ(header % 64, 0U);
    EXPECT_EQ(bytes[header - 1], '\n');
    EXPECT_EQ(bytes.size() - header, tensor.nbytes());
    const std::string text = bytes.substr(10, header - 10);
    return text.substr(0, text.find('}') + 1);
  };
  EXPECT_EQ(written(Tensor::zeros(DType::i32, {7})), "{'descr': '<i4', 'fortran_order': False, 'shape': (7,), }");
  EXPECT_EQ(written(Tensor::zeros(DType::f64, {})), "{'descr': '<f8', 'fortran_order': False, 'shape': (), }");
  EXPECT_EQ(written(Tensor::zeros(DType::f16, {0, 4})), "{'descr': '<f2', 'fortran_order': False, 'shape': (0, 4), }");
  EXPECT_EQ(written(Tensor::zeros(DType::u8, {1})), "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }");
  EXPECT_EQ(written(Tensor::zeros(DType::boolean, {1})), "{'descr': '|b1', 'fortran_order': False, 'shape': (1,), }");
  EXPECT_EQ(written(Tensor::zeros(DType::u64, {1})), "{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }");
  for (int64_t axes = 1; axes < 40; ++axes) written(Tensor::zeros(DType::i16, Shape(static_cast<size_t>(axes), 1)));
}

TEST(Npy, RefusesWhatNumPyLacksAndKeepsTheOlderFile) {
  const TempFolder folder;
  save_npy(folder / "a.npy", Tensor::zeros(DType::i8, {1}));
  const std::string before = file_bytes(folder / "a.npy");
  expect_error([&] { save_npy(folder / "a.npy", Tensor::zeros(DType::bf16, {1})); },
               "save_npy: NumPy has no type bf16; convert the tensor with to(), or save it as safetensors",
               ErrorCode::unsupported);
  EXPECT_EQ(file_bytes(folder / "a.npy"), before);
  error_of(ErrorCode::io, [&] { save_npy(folder / "none" / "a.npy", Tensor::zeros(DType::i8, {1})); });
}

TEST(Npy, NumPyReadsItBack) {
  const std::string python = "/usr/bin/python3 -c ";  // Debian's, whatever stands before it on the path
  if (std::system((python + "'import numpy' 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "needs python3-numpy";
  const TempFolder folder;
  std::vector<float> values(2 * 3 * 4);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 8;
  save_npy(folder / "a.npy", Tensor::from(values, {2, 3, 4}));
  save_npy(folder / "half.npy", Tensor::from(values, {24}).to(DType::f16));
  const std::string script =
      "import numpy as n; e = n.arange(24, dtype='float32') / 8; a = n.load('a.npy'); "
      "h = n.load('half.npy'); assert a.dtype == 'float32' and a.flags.c_contiguous; "
      "assert (a == e.reshape(2, 3, 4)).all() and h.dtype == 'float16' and (h == e).all()";
  EXPECT_EQ(std::system(("cd '" + folder.path().string() + "' && " + python + "\"" + script + "\"").c_str()), 0);
}

}  // namespace
}  // namespace lattice
