#!/usr/bin/env bash
# Compares our detectors with spconv's: makes spconv's environment and networks, then runs the comparison.
#   run.sh PROGRAM FOLDER
# Where the environment or the scans cannot be had it says so and passes: the vectors of spconv_vectors_test stand in.
set -euo pipefail

program=$1
folder=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scans=${LATTICE_SHARED_DIR:-$here/../../../shared}/scans

if [ ! -e "$scans" ]; then
  echo "detectors_against_spconv: NOT RUN, no $scans"
  exit 0
fi
mkdir -p "$folder"
if ! "$here/../../bench/peers/setup.sh" "$folder" >"$folder/setup.log" 2>&1; then
  echo "detectors_against_spconv: NOT RUN, spconv's environment cannot be had:"
  tail -n 3 "$folder/setup.log"
  exit 0
fi
export PYTHONDONTWRITEBYTECODE=1
"$folder/venv/bin/python" "$here/detectors.py" "$scans/nuscenes_voxels_bxyz.i32" "$folder"
"$folder/venv/bin/python" "$here/voxels.py" "$scans/nuscenes_10_sweeps.bin" "$folder"
LATTICE_SPCONV_DETECTORS=$folder exec "$program"
