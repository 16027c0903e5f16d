#!/usr/bin/env bash
# Installs strace, which the proof of "fsync before the answer" reads system calls with, when it is missing.
set -euo pipefail

command -v strace >/dev/null && exit
if [[ $EUID -eq 0 ]]; then
    as_root=()
elif command -v sudo >/dev/null; then
    as_root=(sudo -n)
else
    echo "strace is missing; install the package strace as root" >&2
    exit 1
fi
echo "installing strace" >&2
"${as_root[@]}" apt-get install --yes --no-install-recommends strace >&2 || {
    "${as_root[@]}" apt-get update >&2
    "${as_root[@]}" apt-get install --yes --no-install-recommends strace >&2
}
