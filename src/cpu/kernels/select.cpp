#include "cpu/kernels/select.h"

#include <cstdlib>
#include <string>

#include "fail.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lattice {
namespace cpu {

#define LATTICE_KERNELS(constant, isa, available) extern const Kernels constant;
#include "cpu/kernels/kernels.inc"
#undef LATTICE_KERNELS

namespace {

#if defined(__x86_64__)
// g++ 12's __builtin_cpu_supports does not know f16c, which is bit 29 of ecx in leaf 1.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 29 & 1U) != 0;
}
#endif

struct Candidate {
  const Kernels* kernels;
  std::string_view isa;
  bool available;
};

const std::vector<Candidate>& candidates() {
  static const std::vector<Candidate> list = {
#define LATTICE_KERNELS(constant, isa, available) {&constant, isa, available},
#include "cpu/kernels/kernels.inc"
#undef LATTICE_KERNELS
  };
  return list;
}

}  // namespace

const Kernels& select_kernels() {
  const char* forced = std::getenv("LATTICE_ISA");
  for (const Candidate& candidate : candidates()) {
    if (forced == nullptr ? candidate.available : candidate.isa == forced) {
      if (candidate.available) return *candidate.kernels;
      break;
    }
  }
  fail(ErrorCode::unsupported,
       "session: LATTICE_ISA is {}, but this machine and build have only {}; unset it to take the best", forced,
       fmt::join(available_isas(), ", "));
}

std::vector<std::string_view> available_isas() {
  std::vector<std::string_view> isas;
  for (const auto& candidate : candidates()) {
    if (candidate.available) isas.push_back(candidate.isa);
  }
  return isas;
}

}  // namespace cpu
}  // namespace lattice
