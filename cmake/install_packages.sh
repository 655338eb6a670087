#!/usr/bin/env bash
# Installs the Debian packages that building and testing take, those that are missing; for demo.sh and test.sh.
# With --arm also what runs the kernels of 64-bit ARM in tests: a cross compiler and an emulator.
# With --fuzz also clang and its run-time library, which the fuzzers take.
# Needs apt-get, and sudo only where something is missing and the caller is not root.
set -euo pipefail
export LC_ALL=C

packages=(
  g++ cmake ninja-build pkg-config                                       # tools
  libfmt-dev libtbb-dev nlohmann-json3-dev libpng-dev liblzf-dev         # the library
  libcli11-dev                                                           # the command
  libgtest-dev libgmock-dev libsimde-dev python3-numpy                   # the tests
)
for option in "$@"; do
  case $option in
    --arm) packages+=(g++-aarch64-linux-gnu qemu-user-static googletest) ;;
    --fuzz) packages+=(clang libclang-rt-dev) ;;
    *) echo "install_packages.sh: there is no option $option; --arm and --fuzz are known" >&2; exit 2 ;;
  esac
done

is_installed() { dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

missing=()
for package in "${packages[@]}"; do
  is_installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "install_packages.sh: needs apt-get (Debian, Ubuntu) to install: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
echo "Installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
