#!/usr/bin/env bash
# Plays the stories that draw their faults by chance again and again, each time from another seed, for SOAK_MINUTES (10), and beside
# them, once, outages of the database of SOAK_OUTAGES seconds (60,600). LEADWIRE_TEST_SEED plays one seed alone.
set -euo pipefail
cd "$(dirname "$0")/.."

stories=(crash::a_killed_bridge crash::a_stop_in_any_state disk:: clock::a_clock_that_jumps cluster::of_three_bridges cluster::a_bridge_that_is_paused failpoints:: outage::a_failover)
outages=(outage::three_bridges_resume outage::with_spools)
outage_seconds=${SOAK_OUTAGES:-60,600}
cargo test --features s3,otlp --locked --test bridge --no-run

play() {
    echo "=== round $1, seed $2" >&2
    LEADWIRE_TEST_SEED=$2 cargo test --features s3,otlp --quiet --locked --test bridge -- "${stories[@]}" || {
        echo "=== round $1 FAILED; play it again with: LEADWIRE_TEST_SEED=$2 make soak" >&2
        exit 1
    }
}

play_outages() {
    echo "=== outages of $outage_seconds s, seed $1" >&2
    LEADWIRE_TEST_OUTAGES=$outage_seconds LEADWIRE_TEST_SEED=$1 cargo test --features s3,otlp --quiet --locked --test bridge -- "${outages[@]}" || {
        echo "=== the outages FAILED; play them again with: LEADWIRE_TEST_SEED=$1 SOAK_OUTAGES=$outage_seconds make soak" >&2
        exit 1
    }
}

draw_seed() { od -An -N6 -tu8 /dev/urandom | tr -d ' '; }

# A group of processes of their own, so that a round that fails can end them, too.
set -m
play_outages "${LEADWIRE_TEST_SEED:-$(draw_seed)}" &
outage_job=$!
set +m
trap 'kill -- "-$outage_job" 2>/dev/null || true' EXIT
if [[ -n ${LEADWIRE_TEST_SEED:-} ]]; then
    play 1 "$LEADWIRE_TEST_SEED"
    wait "$outage_job"
    exit
fi
end=$((SECONDS + 60 * ${SOAK_MINUTES:-10})) round=0
while ((SECONDS < end)); do
    round=$((round + 1))
    play "$round" "$(draw_seed)"
done
wait "$outage_job"
echo "=== $round rounds and the outages, all fine" >&2
