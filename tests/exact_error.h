#pragma once

#include <gtest/gtest.h>

#include <string>

#include "lattice/error.h"

namespace lattice {

/// The call must throw an Error of this message, to the letter, and of this code.
template <typename Function>
void expect_error(Function function, const std::string& message, ErrorCode code = ErrorCode::invalid_argument) {
  try {
    function();
    ADD_FAILURE() << "no error; expected: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), message);
    EXPECT_EQ(error.code(), code);
  }
}

}  // namespace lattice
