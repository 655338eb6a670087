#!/usr/bin/env bash
# Installs what the tests need, builds, and runs all of them.
#   ./test.sh            the whole suite: release build, then the sanitizers, the library by clang, and the fuzzers
#   ./test.sh --quick    the release build alone
# Vectors and scans are read from ../shared (or $LATTICE_SHARED_DIR) where that exists; tests that need them are skipped
# by name elsewhere, and may not be skipped where it does.
set -euo pipefail
export LC_ALL=C

project=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$project"
cmake/install_packages.sh --arm --fuzz
jobs=$(nproc)

# Builds a preset and runs the tests whose name matches a pattern; a test skipped although its data are at hand is a failure.
run() {
  local preset=$1 pattern=$2
  shift 2
  echo "== $preset: build"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" -j "$jobs" "$@" | tail -n 1
  echo "== $preset: test"
  local log=build/$preset/tests.log
  ctest --test-dir "build/$preset" -j "$jobs" -R "$pattern" --output-on-failure --no-tests=error >"$log" 2>&1 ||
    { grep -vE ' +Passed +[0-9.]+ sec$|^ +Start +[0-9]+:' "$log"; exit 1; }
  tail -n 6 "$log"
  if [ -d "${LATTICE_SHARED_DIR:-../shared}" ] && grep -qF '***Skipped' "$log"; then
    echo "test.sh: tests were skipped although the shared data are at hand:"
    grep -F '***Skipped' "$log"
    exit 1
  fi
}

# Builds test programs of a preset and runs each as a whole: under a sanitizer, starting a process for each test takes
# longer than the tests.
run_programs() {
  local preset=$1
  shift
  echo "== $preset: build"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" -j "$jobs" --target "$@" | tail -n 1
  echo "== $preset: test"
  local log=build/$preset/tests.log
  printf '%s\n' "$@" | xargs -P "$jobs" -I{} sh -c "build/$preset/tests/{} --gtest_brief=1 || { echo FAILED: {}; exit 255; }" \
    >"$log" 2>&1 || { cat "$log"; exit 1; }
  echo "$# programs passed"
}

run release '.'
if [ "${1:-}" != --quick ]; then
  # What reads files and text, finds edges, and computes on raw memory; the longest first.
  run_programs asan cpu_against_reference_test safetensors_test pcd_test ply_test las_test point_file_test \
    output_file_test lexer_test text_reader_test text_reader_refusal_test verifier_test program_test placement_test \
    conformance_test server_test memory_pool_test block_numbers_test coord_index_test extreme_coordinates_test \
    relation_test session_test voxelize_test panel_weight_test finisher_test quantized_weight_test
  # Threads matter in the cpu backend alone: its tests against the reference, those of sessions, modules and workers, and
  # relations of many rows.
  run tsan 'CpuAgainstReference|CpuThreads|SessionTest|Modules|Workers|Relation.(PartsMany|Mirrors)' \
    --target cpu_against_reference_test session_test modules_test workers_test relation_test
  # The other compiler that CONTRIBUTING.md names: the library alone, as quickly as it can.
  echo "== clang: build"
  cmake --preset clang >/dev/null
  cmake --build --preset clang -j "$jobs" | tail -n 1
  # Ten seconds of each fuzzer, from its seeds.
  run fuzz '^fuzz_'
fi
