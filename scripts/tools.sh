#!/usr/bin/env bash
# Installs the tools that the checks need into .tools/, when they are missing. Names of tools as arguments; none means all.
set -euo pipefail
cd "$(dirname "$0")/.."

install() {
    local name=$1 version=$2
    shift 2
    if [[ "$(".tools/bin/$name" --version 2>/dev/null)" == *" $version."* ]]; then
        return
    fi
    echo "installing $name $version into .tools (once; it takes some minutes)" >&2
    # A build folder of its own, so that the checks themselves are not built anew; it is not needed afterwards.
    cargo install "$name" --version "^$version" --locked --root .tools --target-dir .tools/target "$@"
    rm -rf .tools/target
}

for tool in "${@:-cargo-deny}"; do
    case $tool in
        cargo-deny) install cargo-deny 0.20 ;;
        *)
            echo "scripts/tools.sh does not know the tool $tool; it knows: cargo-deny" >&2
            exit 64
            ;;
    esac
done
