#!/usr/bin/env bash
# Compares our detectors with spconv's: makes spconv's environment and networks, then runs the comparison.
#   run.sh PROGRAM FOLDER
# Where the environment or the voxels cannot be had it says so and passes: the vectors of spconv_vectors_test stand in.
set -euo pipefail

program=$1
folder=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
voxels=${LATTICE_SHARED_DIR:-$here/../../../shared}/scans/nuscenes_voxels_bxyz.i32

if [ ! -e "$voxels" ]; then
  echo "detectors_against_spconv: NOT RUN, no $voxels"
  exit 0
fi
mkdir -p "$folder"
if ! "$here/../../bench/peers/setup.sh" "$folder" >"$folder/setup.log" 2>&1; then
  echo "detectors_against_spconv: NOT RUN, spconv's environment cannot be had:"
  tail -n 3 "$folder/setup.log"
  exit 0
fi
if [ ! -e "$folder/voxelnext.safetensors" ]; then
  "$folder/venv/bin/python" "$here/detectors.py" "$voxels" "$folder"
fi
LATTICE_SPCONV_DETECTORS=$folder exec "$program"
