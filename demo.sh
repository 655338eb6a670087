#!/usr/bin/env bash
# Builds the project and runs MinkUNet18 with float32, int8 and int4 weights on a LiDAR scan: a table of speed, size and
# error, a picture and a point cloud.
#   ./demo.sh [SCAN] [OPTION...]     SCAN: .bin, .pcd, .ply or .las; without one, a street that the project generates
# Options go to `lattice network`: --columns 5, --voxel 0.1, --threads 2, --repeat 3, ... Files go to ./demo-output.
set -euo pipefail
export LC_ALL=C

project=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=$PWD/demo-output
scan=
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
  scan=$(realpath -- "$1")
  shift
fi

"$project/cmake/install_packages.sh"
echo "Building (some minutes the first time)"
log=$project/build/demo-build.log
mkdir -p "$project/build" "$output"
if ! (cd "$project" && cmake --preset release && cmake --build --preset release --target lattice_cli) >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "demo.sh: the build failed; all of its output is in $log" >&2
  exit 1
fi
lattice=$project/build/release/lattice

if [ -z "$scan" ]; then
  scan=$output/street.bin
  "$lattice" street "$scan"
fi
"$lattice" network "$scan" --bits all --picture "$output/scan.png" --ply "$output/scan.ply" "$@"
