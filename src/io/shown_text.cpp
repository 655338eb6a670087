#include "io/shown_text.h"

namespace lattice {

std::string shown(std::string_view text) {
  constexpr size_t kLongest = 80;
  std::string result = "'";
  for (const char letter : text.substr(0, kLongest)) {
    const auto code = static_cast<unsigned char>(letter);
    result += code < 0x20 || code == 0x7f ? '?' : letter;
  }
  return result + (text.size() > kLongest ? "...'" : "'");
}

}  // namespace lattice
