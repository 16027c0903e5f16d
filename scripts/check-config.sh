#!/usr/bin/env bash
# Runs `leadwire check` on every file under config/ and deploy/, or in the folders that are named, with a dummy for every environment
# variable that a file names.
set -euo pipefail
cd "$(dirname "$0")/.."
leadwire=${LEADWIRE:-target/debug/leadwire}
[ $# -gt 0 ] || set -- config deploy

# A secret of its own for each name: a URL where the name says so, otherwise in the form of a Standard Webhooks key.
while IFS= read -r name; do
    case $name in
    DATABASE_URL) export "$name=postgres://leadwire:secret@db.example.com/leadwire" ;;
    *_URL) export "$name=https://example.com/$name" ;;
    *) export "$name=whsec_$(printf '%-32.32s' "$name" | base64)" ;;
    esac
done < <(grep -rhoE 'env = "[A-Z0-9_]+"' "$@" | cut -d '"' -f 2 | sort -u)

failed=0
while IFS= read -r file; do
    "$leadwire" check --config "$file" || failed=1
done < <(find "$@" -name '*.toml' | sort)
exit $failed
