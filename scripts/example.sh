#!/usr/bin/env bash
# Builds and tests the connector in examples/custom-connector, which is no part of the workspace, against the crates beside it.
# It takes the workspace's lock file, profile and target folder, so that dependencies are neither fetched nor built a second time.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p target
awk '/^\[/ { wanted = /^\[profile\.dev/ } wanted' Cargo.toml >target/example-profile.toml
cp Cargo.lock examples/custom-connector/Cargo.lock

manifest=examples/custom-connector/Cargo.toml
export CARGO_TARGET_DIR=$PWD/target
cargo fmt --manifest-path "$manifest" --check
cargo --config target/example-profile.toml test --manifest-path "$manifest" --offline --test '*' "$@"
