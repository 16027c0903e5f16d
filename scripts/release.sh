#!/usr/bin/env bash
# Makes what a release is, in target/dist: a binary for any Linux of this architecture, a Debian package of it, a bill of materials and
# their checksums. docs/releasing.md says what is needed, and how two people make the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
machine=$(uname -m)
target=${TARGET:-$machine-unknown-linux-musl}
dist=$PWD/target/dist

if ! git diff --quiet HEAD; then
    echo "the tree has changes that are not committed: a release is of a commit" >&2
    exit 1
fi
if ! rustup target list --installed | grep -qx "$target"; then
    echo "Rust cannot build for $target yet: rustup target add $target; or set TARGET to one of: $(rustup target list --installed | xargs)" >&2
    exit 1
fi
if [[ $target == *-musl ]] && ! command -v musl-gcc >/dev/null; then
    echo "musl-gcc is missing, which builds SQLite for $target: apt-get install musl-tools" >&2
    exit 1
fi

# Where it was built is no business of the binary, and would differ from one machine to the next.
home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="--remap-path-prefix=$PWD=. --remap-path-prefix=$home=cargo"
export CFLAGS="-ffile-prefix-map=$PWD=. -ffile-prefix-map=$home=cargo"
cargo build --release --locked --target "$target" --bin leadwire
binary=target/$target/release/leadwire
version=$("$binary" --version | cut -d ' ' -f 2)
name=leadwire-$version-$target

rm -rf "$dist"
mkdir -p "$dist"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/$name"/{completions,config}
install -m 0755 "$binary" "$folder/$name/leadwire"
install -m 0644 README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE deploy/leadwire.service "$folder/$name/"
cp -r config/leadwire.toml config/examples "$folder/$name/config/"
"$binary" man "$folder/$name/man"
for shell in bash zsh fish; do
    "$binary" completions "$shell" >"$folder/$name/completions/leadwire.$shell"
done
chmod -R u=rwX,go=rX "$folder/$name"
tar --create --directory "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" "$name" |
    gzip -9n >"$dist/$name.tar.gz"

scripts/sbom.py --target "$target" >"$dist/$name.cdx.json"
CARGO_BUILD_TARGET=$target scripts/package.sh "$binary" "$dist" >&2
(cd "$dist" && sha256sum -- * >SHA256SUMS)
cat "$dist/SHA256SUMS"
