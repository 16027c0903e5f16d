#!/usr/bin/env bash
# Installs a Debian package for real, uses it, upgrades, removes and purges it: scripts/package-check.sh FILE.deb. As root, on a machine
# that is for this (a container, a build machine): it refuses where Leadwire is installed or has a folder or a user.
set -euo pipefail
package=$(realpath "${1:?which package? scripts/package-check.sh FILE.deb}")
state=/var/lib/leadwire
export DEBIAN_FRONTEND=noninteractive

if [[ $(id -u) != 0 ]]; then
    echo "only root can install a package" >&2
    exit 64
fi
if dpkg-query --show leadwire >/dev/null 2>&1 || [[ -e $state || -e /etc/leadwire ]] || getent passwd leadwire >/dev/null; then
    echo "this machine has a Leadwire, which is left alone: use another one, such as a container" >&2
    exit 1
fi

expect() { # WHAT COMMAND…
    local what=$1
    shift
    "$@" || { echo "does not hold: $what" >&2; exit 1; }
    echo "fine: $what"
}

is() { # EXPECTED COMMAND…: its output
    local expected=$1
    shift
    [[ $("$@") == "$expected" ]]
}

# What the unit runs, without systemd: as its user, in its folder.
as_service() {
    (cd "$state" && runuser -u leadwire -- "$@")
}

serves() {
    local pid well=1
    as_service leadwire run --config /etc/leadwire/leadwire.toml 2>/dev/null &
    for _ in $(seq 100); do
        if as_service leadwire health --config /etc/leadwire/leadwire.toml >/dev/null 2>&1; then
            as_service leadwire send --config /etc/leadwire/leadwire.toml --source demo >/dev/null && well=0
            break
        fi
        sleep 0.1
    done
    pid=$(pgrep -u leadwire -x leadwire)
    kill -TERM "$pid"
    wait
    return $well
}

trap 'dpkg --purge leadwire >/dev/null 2>&1 || true' EXIT
dpkg --install "$package"
expect "the configuration is the service's to read and nobody else's" is "640 root leadwire" stat -c '%a %U %G' /etc/leadwire/leadwire.toml
expect "so is its folder" is "750 root leadwire" stat -c '%a %U %G' /etc/leadwire
expect "the leads are the service's alone" is "750 leadwire leadwire" stat -c '%a %U %G' "$state"
expect "the user cannot log in" is /usr/sbin/nologin sh -c 'getent passwd leadwire | cut -d : -f 7'
expect "the manual is there" test -s /usr/share/man/man1/leadwire.1.gz
expect "a lead is taken and kept" serves
expect "the store is where the service's is" test -s "$state/data/leadwire.db"

echo "# mine" >>/etc/leadwire/leadwire.toml
dpkg --install "$package"
expect "an upgrade keeps the configuration" grep -q '^# mine' /etc/leadwire/leadwire.toml
expect "and its owner" is "640 root leadwire" stat -c '%a %U %G' /etc/leadwire/leadwire.toml

dpkg --remove leadwire
expect "a removal takes the program" test ! -e /usr/bin/leadwire
expect "and leaves the configuration" grep -q '^# mine' /etc/leadwire/leadwire.toml
expect "and the leads" test -s "$state/data/leadwire.db"

dpkg --purge leadwire
expect "a purge takes the configuration" test ! -e /etc/leadwire
expect "and leaves the leads" test -s "$state/data/leadwire.db"
expect "with the user they belong to" getent passwd leadwire

dpkg --install "$package"
expect "a new installation finds them" serves
rm -rf "$state"
dpkg --purge leadwire
expect "without leads, a purge takes the user too" sh -c '! getent passwd leadwire'
expect "and nothing is left" test ! -e "$state"
