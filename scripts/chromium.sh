#!/usr/bin/env bash
# Prints where Chromium and ChromeDriver are, a line each. Installs Debian's packages when one of them is missing.
set -euo pipefail

find_programs() {
    command -v chromium && command -v chromedriver
}

fail() {
    echo "scripts/chromium.sh: the stories of the console need Chromium and ChromeDriver, and they are not installed: $1" >&2
    echo "Install them (Debian: apt-get install chromium chromium-driver), or put programs of these names on PATH." >&2
    exit 1
}

install() {
    local as_root=()
    command -v apt-get >/dev/null || fail "this system has no apt-get to install them with"
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || fail "only root can install them, and sudo asks for a password"
        as_root=(sudo -n)
    fi
    echo "scripts/chromium.sh: installing Debian's chromium and chromium-driver (once)" >&2
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update >&2 || fail "apt-get update failed, see above"
    # Text in all scripts needs a font of its own; without one, nothing can be told of how a page looks.
    "${apt[@]}" install --no-install-recommends chromium chromium-driver fonts-dejavu-core >&2 || fail "apt-get install failed, see above"
}

if ! found=$(find_programs); then
    # Several test programs may start at once.
    exec 9>"${TMPDIR:-/tmp}/leadwire-chromium-install.lock.$(id -u)"
    flock 9
    if ! found=$(find_programs); then
        install
        found=$(find_programs) || fail "the packages brought no chromium or no chromedriver"
    fi
fi
echo "$found"
