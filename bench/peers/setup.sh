#!/usr/bin/env bash
# Makes the throw-away environment of the peers in a folder: Debian bookworm's torch and OpenBLAS (the OpenMP flavour:
# with the pthread one, two thread pools fight), spconv's CPU wheel from PyPI in a virtual environment that sees them.
#   bench/peers/setup.sh DIR [--minkowski]
# DIR/venv/bin/python then runs the drivers of this folder. What is there already is left as it is. --minkowski adds
# MinkowskiEngine, which has no wheel: its sources compile for eight minutes on one core.
set -euo pipefail
export LC_ALL=C

if [ $# -lt 1 ] || [ $# -gt 2 ] || [ "${2:---minkowski}" != --minkowski ]; then
  echo "usage: bench/peers/setup.sh DIR [--minkowski]" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
environment=$(cd "$1" && pwd)/venv
packages=(python3 python3-venv python3-numpy python3-torch libopenblas0-openmp)
if [ $# -eq 2 ]; then
  # Not libopenblas-dev, which brings the pthread flavour.
  packages+=(g++ python3-dev libtorch-dev pybind11-dev libopenblas-openmp-dev)
fi

is_installed() { dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

missing=()
for package in "${packages[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if [ ! -x "$environment/bin/python" ]; then
  /usr/bin/python3 -m venv --system-site-packages "$environment"
fi
if ! "$environment/bin/python" -c 'import spconv; assert spconv.__version__ == "2.3.8"' 2>/dev/null; then
  "$environment/bin/pip" install --quiet --no-input --disable-pip-version-check spconv==2.3.8
fi
if [ $# -eq 2 ] && ! "$environment/bin/python" -c 'import MinkowskiEngine' 2>/dev/null; then
  modules=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  if [ ! -d "$modules/MinkowskiEngine" ]; then
    # Its setup.py calls pip by name, and does not know where Debian keeps torch's C++ headers.
    env PATH="$environment/bin:$PATH" CPATH=/usr/include/torch/csrc/api/include MAX_JOBS="${MAX_JOBS:-$(nproc)}" \
      "$environment/bin/pip" install --quiet --no-input --disable-pip-version-check --no-deps --no-build-isolation \
      --no-binary MinkowskiEngine --global-option=--cpu_only --global-option=--blas=openblas MinkowskiEngine==0.5.4
  fi
  # Since Python 3.10 `Sequence` is elsewhere.
  find "$modules/MinkowskiEngine" -name '*.py' -exec sed -i \
    -e 's/^from collections import Sequence$/from collections.abc import Sequence/' \
    -e 's/^from collections import Sequence, /from collections.abc import Sequence; from collections import /' {} +
  "$environment/bin/python" -W ignore -c 'import MinkowskiEngine'
fi

# A BLAS that does not know the processor makes a peer look two to three times slower than it is.
"$environment/bin/python" "$here/blas.py"
