#!/usr/bin/env bash
# Makes a Debian package of a binary that was built: scripts/package.sh BINARY [FOLDER]. It goes to FOLDER (target/dist), and its path is
# printed. Needs dpkg-deb and binutils. The same binary and commit give the same package, byte for byte.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:?which binary? scripts/package.sh BINARY [FOLDER]}")
folder=$(realpath -m "${2:-target/dist}")

# The time of everything in the package; of the last commit unless it is given.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
# Whoever only looks at the package need not wait for xz.
compression=${DEB_COMPRESSION:-xz}
version="$("$binary" --version | cut -d ' ' -f 2)-1"
architecture=$(dpkg --print-architecture)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"
documents=$root/usr/share/doc/leadwire

put() { # MODE FROM TO: a file, with the folders above it
    install -D -m "$1" "$2" "$root/$3"
}

put_made() { # TO: standard input, as a file
    mkdir -p "$(dirname "$root/$1")"
    cat >"$root/$1"
    chmod 0644 "$root/$1"
}

put_program() {
    put 0755 "$binary" usr/bin/leadwire
    strip --strip-unneeded "$root/usr/bin/leadwire"
    sed 's,/usr/local/,/usr/,' deploy/leadwire.service | put_made usr/lib/systemd/system/leadwire.service
    # Commands are run in any folder, and find the same store as the service.
    sed 's,"sqlite:data/,"sqlite:/var/lib/leadwire/data/,; s,^directory = "drop",directory = "/var/lib/leadwire/drop",' config/leadwire.toml |
        put_made etc/leadwire/leadwire.toml
    chmod 0640 "$root/etc/leadwire/leadwire.toml"
    chmod 0750 "$root/etc/leadwire"
}

put_manual() {
    "$binary" man "$root/usr/share/man/man1"
    gzip -9n "$root"/usr/share/man/man1/*.1
    "$binary" completions bash | put_made usr/share/bash-completion/completions/leadwire
    "$binary" completions zsh | put_made usr/share/zsh/vendor-completions/_leadwire
    "$binary" completions fish | put_made usr/share/fish/vendor_completions.d/leadwire.fish
}

put_documents() {
    local file
    for file in docs/*.md; do
        put 0644 "$file" "usr/share/doc/leadwire/$(basename "$file")"
    done
    for file in config/examples/*; do
        put 0644 "$file" "usr/share/doc/leadwire/examples/$(basename "$file")"
    done
    python3 scripts/sbom.py | put_made usr/share/doc/leadwire/sbom.cdx.json
    gzip -9n <CHANGELOG.md | put_made usr/share/doc/leadwire/changelog.gz
    debian_changelog | gzip -9n | put_made usr/share/doc/leadwire/changelog.Debian.gz
    { cat deploy/debian/copyright; licences; } | put_made usr/share/doc/leadwire/copyright
}

debian_changelog() {
    printf 'leadwire (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n' "$version"
    printf ' -- %s  %s\n' "$(sed -n 's/^Maintainer: //p' deploy/debian/control)" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

# The texts, as the format wants them: each line begins with a space, and empty ones have a point.
licences() {
    echo 'License: Expat'
    sed 's/^$/./; s/^/ /' LICENSE-MIT
    printf '\nLicense: Apache-2.0\n On Debian systems, its text is in /usr/share/common-licenses/Apache-2.0.\n'
}

# The oldest libc that has all that the binary asks for; a static one asks for nothing.
dependencies() {
    local libc
    libc=$(objdump -T "$root/usr/bin/leadwire" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1 | cut -d _ -f 2 || true)
    echo "adduser${libc:+, libc6 (>= $libc), libgcc-s1}"
}

put_control() {
    local size script
    size=$(du -k -s --apparent-size "$root" | cut -f 1)
    mkdir "$root/DEBIAN"
    sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@DEPENDS@/$(dependencies)/" deploy/debian/control \
        >"$root/DEBIAN/control"
    for script in postinst prerm postrm; do
        install -m 0755 "deploy/debian/$script" "$root/DEBIAN/$script"
    done
    echo /etc/leadwire/leadwire.toml >"$root/DEBIAN/conffiles"
    (cd "$root" && find etc usr -type f ! -path etc/leadwire/leadwire.toml -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
}

umask 022
put_program
put_manual
mkdir -p "$documents"
put_documents
put_control
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$folder"
dpkg-deb --root-owner-group "-Z$compression" --build "$root" "$folder/leadwire_${version}_$architecture.deb" >&2
echo "$folder/leadwire_${version}_$architecture.deb"
