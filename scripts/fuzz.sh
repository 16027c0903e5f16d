#!/usr/bin/env bash
# Runs the fuzz targets that are named, or all of them, for FUZZ_SECONDS (60) each. New inputs are kept in target/fuzz/corpus; what breaks a
# target is put into target/fuzz/artifacts, and told with the command that shows it again. FUZZ_SANITIZER=address watches memory, too, and
# needs the nightly toolchain; the code itself has no `unsafe`. Building takes two cores ten minutes and more, so that CI has the same targets
# run by `cargo test --test fuzz` alone.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
sanitizer=${FUZZ_SANITIZER:-none}
toolchain=()
[[ $sanitizer == none ]] || toolchain=(+nightly)

mkdir -p target/fuzz
not_here() {
    echo "THE FUZZER DID NOT RUN: $1" >&2
    echo "scripts/fuzz.sh: the same checks over the corpus and mutations of it ran with the tests: cargo test --test fuzz" >&2
    exit 1
}

scripts/tools.sh cargo-fuzz || not_here "cargo-fuzz cannot be installed"
command -v c++ >/dev/null || not_here "there is no C++ compiler for libFuzzer; Debian's package is g++"
[[ ${#toolchain[@]} == 0 ]] || cargo "${toolchain[@]}" --version >/dev/null 2>&1 || not_here "there is no nightly toolchain; rustup toolchain install nightly"
export PATH=$PWD/.tools/bin:$PATH

# Versions are those of the workspace, as far as it has them.
cp Cargo.lock fuzz/Cargo.lock
options=(--sanitizer "$sanitizer" --target-dir "target/fuzz/$sanitizer")
cargo "${toolchain[@]}" fetch --manifest-path fuzz/Cargo.toml || not_here "libfuzzer-sys cannot be fetched"
cargo "${toolchain[@]}" fuzz build "${options[@]}"

mapfile -t targets < <(if (($#)); then printf '%s\n' "$@"; else basename -s .rs fuzz/fuzz_targets/*.rs; fi)
failed=()
for target in "${targets[@]}"; do
    kept=target/fuzz/corpus/$target artifacts=target/fuzz/artifacts/$target log=target/fuzz/$target.log
    mkdir -p "$kept" "$artifacts"
    flags=(-max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$artifacts/")
    [[ -f fuzz/dictionaries/$target.dict ]] && flags+=(-dict="fuzz/dictionaries/$target.dict")
    binary=target/fuzz/$sanitizer/$(rustc -vV | sed -n 's/^host: //p')/release/$target
    # The first folder takes what is new.
    if "$binary" "${flags[@]}" "$kept" "fuzz/corpus/$target" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        seen=$(grep -Eo 'cov: [0-9]+ ft: [0-9]+ corp: [0-9]+' "$log" | tail -1)
        echo "$target: $runs executions, $seen"
    else
        failed+=("$target")
        tail -n 40 "$log"
        echo "$target: FAILED; the whole of it is in $log, and the input in $artifacts/. Show it again: $binary $artifacts/NAME"
        echo "$target: put the input into fuzz/corpus/$target/ under a name that says what it is, so that cargo test --test fuzz has it"
    fi
done
if ((${#failed[@]})); then
    echo "scripts/fuzz.sh: broken: ${failed[*]}" >&2
    exit 1
fi
