#!/usr/bin/env python3
"""Counts the instructions of the small parts (benches/micro/parts.rs) with callgrind and compares them with benches/instructions.json.

    scripts/instructions.py            fails when a part takes over 10 % more, or less, than is written there
    scripts/instructions.py --write    writes the counts of now
    scripts/instructions.py --runs 5   counts each part several times, and shows how far the counts are apart

Times differ from run to run on a busy machine; instructions do not. They do differ with the compiler and with the instructions that the
processor has, so the file says with which they were counted.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTS = ROOT / "benches/instructions.json"
TOLERANCE = 0.10
# The part that shows, each time, that the check notices what it is there for.
PROOF = "canonical_json"


def install_valgrind():
    if shutil.which("valgrind"):
        return
    print("installing Debian's valgrind (once)", file=sys.stderr)
    apt = ["apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=300"]
    apt = apt if os.geteuid() == 0 else ["sudo", "-n", *apt]
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in ([*apt, "update"], [*apt, "install", "--no-install-recommends", "valgrind"]):
        try:
            subprocess.run(command, check=True, stdout=sys.stderr, env=environment)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"scripts/instructions.py needs valgrind, and it cannot be installed ({error}); Debian: apt-get install valgrind")


def build():
    """The program that runs one part, in a profile without what makes a release slow to build."""
    command = ["cargo", "--config", "benches/instructions.toml", "bench", "--locked", "--profile", "instructions", "--bench", "instructions"]
    command += ["--no-run", "--message-format", "json-render-diagnostics"]
    told = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    programs = [message["executable"] for message in map(json.loads, told.splitlines()) if message.get("executable")]
    return programs[-1]


def count(program, part, *more):
    """Instructions of one run of the part."""
    with tempfile.TemporaryDirectory() as folder:
        callgrind = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*measured*", f"--callgrind-out-file={folder}/out"]
        ran = subprocess.run([*callgrind, program, part, *more], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode or not found or not int(found.group(1)):
        sys.exit(f"{part} cannot be counted:\n{ran.stdout}{ran.stderr}")
    return round(int(found.group(1)) / int(ran.stdout))


def surroundings():
    compiler = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return {"rustc": compiler, "machine": os.uname().machine + (" with AVX2" if re.search(r"\bavx2\b", flags) else "")}


def change(counted, known):
    return counted / known - 1


def compare(counts, known):
    """The parts that are off, each with a sentence."""
    off = {}
    for part, counted in counts.items():
        if part not in known:
            off[part] = "is not written in benches/instructions.json yet"
        elif abs(change(counted, known[part])) > TOLERANCE:
            off[part] = f"takes {counted:,} instructions, {change(counted, known[part]):+.1%} of {known[part]:,}"
    off.update({part: "is written in benches/instructions.json, and is no part any more" for part in known if part not in counts})
    return off


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the counts of now to benches/instructions.json")
    parser.add_argument("--runs", type=int, default=1, help="count each part so often, and show how far the counts are apart")
    arguments = parser.parse_args()
    install_valgrind()
    program = build()
    parts = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    file = json.loads(COUNTS.read_text()) if COUNTS.exists() else {"instructions": {}}
    known, counts = file["instructions"], {}
    for part in parts:
        runs = [count(program, part) for _ in range(arguments.runs)]
        counts[part] = sorted(runs)[len(runs) // 2]
        spread = f", spread {max(runs) / min(runs) - 1:.2%} of {len(runs)} runs" if len(runs) > 1 else ""
        against = f" ({change(counts[part], known[part]):+.1%})" if part in known else ""
        print(f"{part:20} {counts[part]:>12,}{against}{spread}", flush=True)
    # Run twice, the part must be told: else the check checks nothing.
    if PROOF not in compare({**counts, PROOF: count(program, PROOF, "twice")}, {**known, PROOF: counts[PROOF]}):
        sys.exit(f"{PROOF} ran twice, and the check did not notice")
    if arguments.write:
        COUNTS.write_text(json.dumps({**surroundings(), "instructions": counts}, indent=2) + "\n")
        return
    off = compare(counts, known)
    for part, what in off.items():
        print(f"{part} {what}", file=sys.stderr)
    if off:
        for what, now in surroundings().items():
            if file.get(what) != now:
                print(f"the counts were taken with {file.get(what)}, and this is {now}: the difference may come from there", file=sys.stderr)
        sys.exit("if it is meant, also when it is for the better: scripts/instructions.py --write, and commit benches/instructions.json with the reason")
    print(f"every part is within {TOLERANCE:.0%} of benches/instructions.json")


main()
