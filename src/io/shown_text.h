#pragma once

#include <string>
#include <string_view>

namespace lattice {

/// Text from a file as a message may show it: cut short and kept on one line, whatever the file holds.
std::string shown(std::string_view text);

}  // namespace lattice
