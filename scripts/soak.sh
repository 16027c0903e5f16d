#!/usr/bin/env bash
# Plays the stories that draw their faults by chance again and again, each time from another seed, for SOAK_MINUTES (10).
# LEADWIRE_TEST_SEED plays one seed alone.
set -euo pipefail
cd "$(dirname "$0")/.."

stories=(crash::a_killed_bridge crash::a_stop_in_any_state disk:: clock::a_clock_that_jumps cluster::of_three_bridges cluster::a_bridge_that_is_paused failpoints::)
cargo test --locked --test bridge --no-run

play() {
    echo "=== round $1, seed $2" >&2
    LEADWIRE_TEST_SEED=$2 cargo test --quiet --locked --test bridge -- "${stories[@]}" || {
        echo "=== round $1 FAILED; play it again with: LEADWIRE_TEST_SEED=$2 make soak" >&2
        exit 1
    }
}

if [[ -n ${LEADWIRE_TEST_SEED:-} ]]; then
    play 1 "$LEADWIRE_TEST_SEED"
    exit
fi
end=$((SECONDS + 60 * ${SOAK_MINUTES:-10})) round=0
while ((SECONDS < end)); do
    round=$((round + 1))
    play "$round" "$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')"
done
echo "=== $round rounds, all fine" >&2
