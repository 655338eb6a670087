#pragma once

#include <cstdlib>
#include <string>

namespace lattice::cpu {

/// LATTICE_ISA for the life of this object.
class ForcedIsa {
 public:
  explicit ForcedIsa(const std::string& isa) {
    if (const char* before = std::getenv("LATTICE_ISA")) before_ = before;
    setenv("LATTICE_ISA", isa.c_str(), 1);
  }
  ~ForcedIsa() {
    if (before_.empty()) {
      unsetenv("LATTICE_ISA");
    } else {
      setenv("LATTICE_ISA", before_.c_str(), 1);
    }
  }

 private:
  std::string before_;
};

}  // namespace lattice::cpu
