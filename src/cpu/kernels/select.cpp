#include "cpu/kernels/select.h"

#include <fmt/ranges.h>

#include <cstdlib>
#include <string>

#include "fail.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lattice {
namespace cpu {

#define LATTICE_KERNELS(constant, isa, available, is_chosen, integers_pay) extern const Kernels constant;
#include "cpu/kernels/kernels.inc"
#undef LATTICE_KERNELS

namespace {

#if defined(__x86_64__)
// What g++ 12's __builtin_cpu_supports does not know: f16c is bit 29 of ecx in leaf 1, avx_vnni bit 4 and avx512_bf16
// bit 5 of eax in leaf 7.1.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 29 & 1U) != 0;
}
bool has_leaf_7_1(int bit) {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> bit & 1U) != 0;
}
bool has_avx_vnni() {
  return has_leaf_7_1(4);
}
bool has_avx512_bf16() {
  return has_leaf_7_1(5);
}
bool is_slow_at_bf16() {
  return __builtin_cpu_is("intel") && !__builtin_cpu_is("cooperlake");
}
/// Linux gives a process its tiles, in all of its threads, on request.
bool is_granted_tiles() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
/// Bits 22 (bfloat16), 24 (tiles) and 25 (int8) of edx in leaf 7, which every processor with tiles sets.
bool has_amx() {
  constexpr unsigned kBits = 1U << 22 | 1U << 24 | 1U << 25;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kBits) == kBits && is_granted_tiles();
}
bool is_zen_1_or_2() {
  return __builtin_cpu_is("znver1") || __builtin_cpu_is("znver2");
}
/// What all of the library is compiled for (see cmake/library.cmake), apart from its kernels.
bool has_x86_64_v2() {
  return __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.2");
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && has_f16c();
}
bool has_avx512_vnni() {
  return has_avx512() && __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__) && defined(__linux__)
bool has_bf16() {
  return (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
}
bool has_dotprod() {
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}
#elif defined(__aarch64__)  // other systems are not asked: what every such processor has
bool has_bf16() {
  return false;
}
bool has_dotprod() {
  return false;
}
#endif

struct Candidate {
  Kernels kernels;
  std::string_view isa;
  bool available;
  bool is_chosen;  // unless another is forced
  bool integers_pay;
};

const std::vector<Candidate>& candidates() {
  static const std::vector<Candidate> list = {
#define LATTICE_KERNELS(constant, isa, available, is_chosen, integers_pay) \
  {completed(constant), isa, available, is_chosen, integers_pay},
#include "cpu/kernels/kernels.inc"
#undef LATTICE_KERNELS
  };
  return list;
}

}  // namespace

Kernels completed(const Kernels& set) {
  if (set.base == nullptr) return set;
  Kernels all = completed(*set.base);
  all.isa = set.isa;
  all.base = set.base;
  if (set.wide.exists()) all.wide = set.wide;
  if (set.narrow.exists()) all.narrow = set.narrow;
  if (set.bf16.exists()) all.bf16 = set.bf16;
  if (set.split.exists()) all.split = set.split;
  return all;
}

SelectedKernels select_kernels() {
#if defined(__x86_64__)
  if (!has_x86_64_v2()) {
    fail(ErrorCode::unsupported,
         "session: this processor lacks SSE4.2 or POPCNT; lattice is compiled for x86-64-v2, processors since 2009");
  }
#endif
  const char* forced = std::getenv("LATTICE_ISA");
  for (const Candidate& candidate : candidates()) {
    if (forced == nullptr ? candidate.available && candidate.is_chosen : candidate.isa == forced) {
      if (candidate.available) return {candidate.kernels, candidate.integers_pay};
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
