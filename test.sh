#!/usr/bin/env bash
# Installs what the tests need, builds, and runs all of them.
#   ./test.sh            the whole suite: release build, then the sanitizers
#   ./test.sh --quick    the release build alone
# Vectors and scans are read from ../shared (or $LATTICE_SHARED_DIR) where that exists; tests that need them are skipped
# by name elsewhere, and may not be skipped where it does.
set -euo pipefail
export LC_ALL=C

project=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$project"
cmake/install_packages.sh --arm
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

run release '.'
if [ "${1:-}" != --quick ]; then
  run asan '.'
  # Threads matter in the cpu backend alone: its tests against the reference, and those of sessions, modules and workers.
  run tsan 'CpuAgainstReference|CpuThreads|SessionTest|Modules|Workers' \
    --target cpu_against_reference_test session_test modules_test workers_test
fi
