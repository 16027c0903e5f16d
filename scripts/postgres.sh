#!/usr/bin/env bash
# Prints the folder of PostgreSQL's programs. Installs Debian's package when there is none, without a cluster of the system's own.
set -euo pipefail

find_programs() {
    local folder
    for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort --reverse); do
        [[ -x $folder/initdb && -x $folder/postgres && -x $folder/psql ]] && echo "$folder" && return
    done
    # Elsewhere, such as from another package manager.
    folder=$(dirname "$(command -v initdb)") && [[ -x $folder/postgres && -x $folder/psql ]] && echo "$folder"
}

fail() {
    echo "scripts/postgres.sh: the tests need PostgreSQL (13 or newer), and it is not installed: $1" >&2
    echo "Install it (Debian, Ubuntu: apt-get install postgresql), or put the folder of initdb and postgres on PATH." >&2
    exit 1
}

install() {
    local as_root=()
    command -v apt-get >/dev/null || fail "this system has no apt-get to install it with"
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || fail "only root can install it, and sudo asks for a password"
        as_root=(sudo -n)
    fi
    echo "scripts/postgres.sh: installing Debian's postgresql (once)" >&2
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes)
    "${apt[@]}" update >&2 || fail "apt-get update failed, see above"
    "${apt[@]}" install --no-install-recommends postgresql-common >&2 || fail "apt-get install failed, see above"
    # The package would make and start a cluster of its own.
    "${as_root[@]}" sed --in-place --regexp-extended 's/^#?create_main_cluster.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf
    "${apt[@]}" install --no-install-recommends postgresql >&2 || fail "apt-get install failed, see above"
}

if ! find_programs; then
    # Several test programs may start at once.
    exec 9>"${TMPDIR:-/tmp}/leadwire-postgres-install.lock.$(id -u)"
    flock 9
    find_programs && exit
    install
    find_programs || fail "the package brought no initdb"
fi
