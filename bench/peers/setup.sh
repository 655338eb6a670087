#!/usr/bin/env bash
# Makes the throw-away environment of the peers in a folder: Debian bookworm's torch and OpenBLAS (the OpenMP flavour:
# with the pthread one, two thread pools fight), spconv's CPU wheel from PyPI in a virtual environment that sees them.
#   bench/peers/setup.sh DIR
# DIR/venv/bin/python then runs the drivers of this folder. What is there already is left as it is.
set -euo pipefail
export LC_ALL=C

if [ $# -ne 1 ]; then
  echo "usage: bench/peers/setup.sh DIR" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
environment=$(cd "$1" && pwd)/venv
packages=(python3 python3-venv python3-numpy python3-torch libopenblas0-openmp)

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

# A BLAS that does not know the processor makes a peer look two to three times slower than it is.
"$environment/bin/python" "$here/blas.py"
