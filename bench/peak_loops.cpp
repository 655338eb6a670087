#include "bench/peaks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

// The loops are assembly: a compiler that spills an accumulator, or folds two, would measure itself. A turn has one
// instruction for each accumulator: 12 on x86, where 5 cycles of latency on 2 ports need 10, and 24 on ARM, where 4
// cycles on 4 ports need 16. The bytes 0x3c are 0.0115 in float32 and bfloat16, and small positive integers.

namespace lattice::bench {
namespace {

constexpr uint32_t kBits = 0x3c3c3c3c;

#if defined(__x86_64__)

/// Whether cpuid sets a bit of register `index` (eax, ebx, ecx, edx) in leaf 7.
bool has_leaf7_bit(unsigned subleaf, int index, int bit) {
  unsigned r[4] = {0, 0, 0, 0};
  return __get_cpuid_count(7, subleaf, &r[0], &r[1], &r[2], &r[3]) != 0 && (r[index] >> bit & 1U) != 0;
}
bool always() {
  return true;
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}
bool has_avx_vnni() {
  return has_avx2() && has_leaf7_bit(1, 0, 4);
}
bool has_avx512_vnni() {
  return has_avx512() && has_leaf7_bit(0, 2, 11);
}
bool has_avx512_bf16() {
  return has_avx512() && has_leaf7_bit(1, 0, 5);
}

bool is_granted_tiles() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
bool has_amx() {
  return has_avx512() && has_leaf7_bit(0, 3, 22) && has_leaf7_bit(0, 3, 24) && has_leaf7_bit(0, 3, 25) &&
         is_granted_tiles();
}

// `step`, once for each n in 0..11, multiplies registers 12 and 13 into register n; 14 is for two-step products.
#define LATTICE_EACH(step) ".irp n,0,1,2,3,4,5,6,7,8,9,10,11\n" step "\n.endr\n"
#define LATTICE_LOOP(name, start, step, finish)                                                                   \
  void name(int64_t turns) {                                                                                      \
    asm volatile(start ".p2align 5\n1:\n" LATTICE_EACH(step) "dec %0\njnz 1b\n" finish                            \
                 : "+r"(turns)                                                                                    \
                 : "m"(kBits)                                                                                     \
                 : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
                   "xmm11", "xmm12", "xmm13", "xmm14");                                                           \
  }
#define LATTICE_START(register)                      \
  LATTICE_EACH("vpxor %%xmm\\n, %%xmm\\n, %%xmm\\n") \
  "vbroadcastss %1, %%" register "12\nvbroadcastss %1, %%" register "13\n"
#define LATTICE_YMM(name, step) LATTICE_LOOP(name, LATTICE_START("ymm"), step, "vzeroupper\n")
#define LATTICE_ZMM(name, step) LATTICE_LOOP(name, LATTICE_START("zmm"), step, "vzeroupper\n")

LATTICE_LOOP(
    mul_add_sse,
    LATTICE_EACH(
        "xorps %%xmm\\n, %%xmm\\n") "movss %1, %%xmm12\nshufps $0, %%xmm12, %%xmm12\nmovaps %%xmm12, %%xmm13\n",
    "movaps %%xmm12, %%xmm14\nmulps %%xmm13, %%xmm14\naddps %%xmm14, %%xmm\\n", "")
LATTICE_YMM(fma_ymm, "vfmadd231ps %%ymm12, %%ymm13, %%ymm\\n")
LATTICE_ZMM(fma_zmm, "vfmadd231ps %%zmm12, %%zmm13, %%zmm\\n")
LATTICE_YMM(maddwd_ymm, "vpmaddwd %%ymm12, %%ymm13, %%ymm14\nvpaddd %%ymm14, %%ymm\\n, %%ymm\\n")
LATTICE_ZMM(maddwd_zmm, "vpmaddwd %%zmm12, %%zmm13, %%zmm14\nvpaddd %%zmm14, %%zmm\\n, %%zmm\\n")
LATTICE_YMM(dpwssd_ymm, "%{vex%} vpdpwssd %%ymm12, %%ymm13, %%ymm\\n")
LATTICE_ZMM(dpwssd_zmm, "vpdpwssd %%zmm12, %%zmm13, %%zmm\\n")
LATTICE_YMM(dpbusd_ymm, "%{vex%} vpdpbusd %%ymm12, %%ymm13, %%ymm\\n")
LATTICE_ZMM(dpbusd_zmm, "vpdpbusd %%zmm12, %%zmm13, %%zmm\\n")
LATTICE_ZMM(dpbf16_zmm, "vdpbf16ps %%zmm12, %%zmm13, %%zmm\\n")

/// What ldtilecfg reads: eight tiles of 16 rows of 64 bytes.
struct alignas(64) WholeTiles {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// `step`, once for each n in 0..5, multiplies tiles 6 and 7 into tile n: more sums than the multiplier holds at once.
// Tiles are in the state of the thread alone, between what configures and what releases them.
#define LATTICE_TILES(name, step)                                                                                   \
  void name(int64_t turns) {                                                                                        \
    const WholeTiles tiles;                                                                                         \
    asm volatile("ldtilecfg %1\n.p2align 5\n1:\n.irp n,0,1,2,3,4,5\n" step "\n.endr\ndec %0\njnz 1b\ntilerelease\n" \
                 : "+r"(turns)                                                                                      \
                 : "m"(tiles)                                                                                       \
                 : "cc");                                                                                           \
  }
LATTICE_TILES(tile_bytes, "tdpbusd %%tmm7, %%tmm6, %%tmm\\n")
LATTICE_TILES(tile_bf16, "tdpbf16ps %%tmm7, %%tmm6, %%tmm\\n")

/// Of 6 products of tiles of 16 rows with as many columns, over so many channels.
constexpr double tile_operations(int channels) {
  return 6.0 * 2 * 16 * 16 * channels;
}

/// Of 12 instructions on vectors of `lanes` 32-bit sums, each of which takes `pairs` products.
constexpr double operations(int lanes, int pairs) {
  return 12.0 * 2 * lanes * pairs;
}

const std::vector<PeakLoop> kLoops = {
    {"vfmadd231ps zmm", "GFLOP/s", operations(16, 1), has_avx512, fma_zmm},
    {"vfmadd231ps ymm", "GFLOP/s", operations(8, 1), has_avx2, fma_ymm},
    {"mulps + addps xmm", "GFLOP/s", operations(4, 1), always, mul_add_sse},
    {"vpmaddwd + vpaddd zmm", "GOP/s", operations(16, 2), has_avx512, maddwd_zmm},
    {"vpmaddwd + vpaddd ymm", "GOP/s", operations(8, 2), has_avx2, maddwd_ymm},
    {"vpdpwssd zmm", "GOP/s", operations(16, 2), has_avx512_vnni, dpwssd_zmm},
    {"vpdpwssd ymm", "GOP/s", operations(8, 2), has_avx_vnni, dpwssd_ymm},
    {"vpdpbusd zmm", "GOP/s", operations(16, 4), has_avx512_vnni, dpbusd_zmm},
    {"vpdpbusd ymm", "GOP/s", operations(8, 4), has_avx_vnni, dpbusd_ymm},
    {"vdpbf16ps zmm", "GFLOP/s", operations(16, 2), has_avx512_bf16, dpbf16_zmm},
    {"tdpbusd", "GOP/s", tile_operations(64), has_amx, tile_bytes},
    {"tdpbf16ps", "GFLOP/s", tile_operations(32), has_amx, tile_bf16},
};

#elif defined(__aarch64__)

bool always() {
  return true;
}
bool has_capability([[maybe_unused]] unsigned long which, [[maybe_unused]] unsigned long bit) {
#if defined(__linux__)
  return (getauxval(which) & bit) != 0;
#else
  return false;
#endif
}
bool has_dotprod() {
  return has_capability(16 /* AT_HWCAP */, 1UL << 20 /* ASIMDDP */);
}
bool has_bf16() {
  return has_capability(26 /* AT_HWCAP2 */, 1UL << 14 /* BF16 */);
}

// `step`, once for each n in 0..23, multiplies v30 and v31 into v<n>.
#define LATTICE_EACH(step) ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n" step "\n.endr\n"
#define LATTICE_NEON(name, extension, step)                                                                          \
  void name(int64_t turns) {                                                                                         \
    asm volatile(extension LATTICE_EACH("movi v\\n\\().4s, #0") "dup v30.4s, %w1\ndup v31.4s, %w1\n"               \
                 "1:\n" LATTICE_EACH(step) "subs %0, %0, #1\nb.ne 1b\n"                                            \
                 : "+r"(turns)                                                                                     \
                 : "r"(kBits)                                                                                      \
                 : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",   \
                   "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v30", "v31"); \
  }

LATTICE_NEON(fmla, "", "fmla v\\n\\().4s, v30.4s, v31.4s")
LATTICE_NEON(smlal, "", "smlal v\\n\\().4s, v30.4h, v31.4h")
LATTICE_NEON(sdot, ".arch armv8.2-a+dotprod\n", "sdot v\\n\\().4s, v30.16b, v31.16b")
LATTICE_NEON(bfdot, ".arch armv8.2-a+bf16\n", "bfdot v\\n\\().4s, v30.8h, v31.8h")

/// Of 24 instructions on vectors of 4 sums, each of which takes `pairs` products.
constexpr double operations(int pairs) {
  return 24.0 * 2 * 4 * pairs;
}

const std::vector<PeakLoop> kLoops = {
    {"fmla", "GFLOP/s", operations(1), always, fmla},
    {"smlal", "GOP/s", operations(1), always, smlal},
    {"sdot", "GOP/s", operations(4), has_dotprod, sdot},
    {"bfdot", "GFLOP/s", operations(2), has_bf16, bfdot},
};

#else

bool always() {
  return true;
}

/// Whatever the compiler makes of it: independent chains of multiplications and additions.
void plain(int64_t turns) {
  float sums[32] = {};
  volatile float factor = 0.01F;
  const float a = factor, b = factor;
  for (int64_t turn = 0; turn < turns; ++turn) {
    for (float& sum : sums) sum = sum * a + b;
  }
  for (const float sum : sums) factor = sum;
}

const std::vector<PeakLoop> kLoops = {{"plain float32", "GFLOP/s", 64, always, plain}};

#endif

}  // namespace

const std::vector<PeakLoop>& peak_loops() {
  return kLoops;
}

}  // namespace lattice::bench
