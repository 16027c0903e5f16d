#!/usr/bin/env python3
"""Holds the tree to the rules of docs/architecture.md. Prints every breach with its place and exits with 1 when there is one."""

import json
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# Another folder with files of this one may be named; what needs all of them is not looked at there.
ROOT = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPOSITORY

# The floors of the house, from the top. A module uses what is on floors below its own, never its neighbours.
FLOORS = [
    ["cli"],
    ["app"],
    ["console"],
    ["inspect", "alerts"],
    ["receive", "deliver", "simulate"],
    ["config", "normalize", "notify", "telemetry"],
    ["route", "store", "verify", "connectors", "bucket"],
    ["door", "failpoint", "figures"],
    ["swap"],
]

# The bridge names no CRM, but for the registry. The folders in connectors/ add their own names.
REGISTRY = "src/connectors.rs"
CRMS = ["hubspot", "gohighlevel", "highlevel", "leadconnector", "salesforce", "pipedrive", "zoho", "freshsales", "activecampaign", "airtable"]
NEUTRAL = {"sdk", "json", "csv", "process"}

DATABASES = r"\b(rusqlite|libsqlite3_sys|tokio_postgres|deadpool_postgres|sqlx|diesel)\b"
SQL = r"\b(SELECT\b.+\bFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(CREATE|DROP|ALTER)\s+(TABLE|INDEX)|PRAGMA\s+\w+)\b"
HTTP = r"\b(actix_\w+|reqwest|hyper|awc)\b"

# Where strangers show what only we know, and the one way to compare it: `==` takes longer the more of a guess is right.
SHOWN_IN = ["src/verify", "src/receive", "src/console"]
COMPARED_IN = ["src/verify/mod.rs", "src/console/access/users.rs", "src/console/access/guard.rs", "src/console/access/session.rs"]
COMPARISON = "src/verify/same.rs"
OTHER_COMPARISONS = r"\b(ct_eq|ct_ne|ConstantTimeEq|verify_slice|verify_truncated_\w+)\b"
SECRET = r"\b(?:\w+_)?(?:signatures?|macs?|digests?|tokens?|passwords?|secrets?)\b"
PLAINLY = rf"{SECRET}(?:\.(?:as_bytes|as_str|as_slice|as_ref|as_deref|expose)\(\))*\)?\s*(?:[=!]=(?!=)|\.(?:eq|ne|cmp)\()|[=!]=\s*[&*(]*(?:\w+(?:\(\))?\.)*{SECRET}(?!\s*[.(\[:])|{SECRET}\.contains\(&"

# Packages that a connector must not bring along: the bridge's web server and its store.
NOT_IN_THE_SDK = r"^(actix.*|rusqlite|libsqlite3-sys|tokio-postgres|deadpool-postgres|sqlx.*|diesel.*)$"
SDK = "leadwire-connector"

breaches = []


def breach(place, rule):
    breaches.append(f"{place}: {rule}")


def code(path):
    """The lines of a file with their numbers, without comments."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        yield number, re.sub(r"(^|\s)//.*", "", line)


def forbid(files, pattern, rule, flags=0):
    for path in files:
        for number, line in code(path):
            if found := re.search(pattern, line, flags):
                breach(f"{path.relative_to(ROOT)}:{number}", f"`{found.group()}`: {rule}")


def sources(folder, without=()):
    excluded = [ROOT / path for path in without]
    return sorted(path for path in (ROOT / folder).rglob("*.rs") if not any(path.is_relative_to(other) for other in excluded))


def check_packages():
    """What the packages depend on, by cargo's own account."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    members = [packages[member] for member in metadata["workspace_members"]]

    sdk = next(package["id"] for package in members if package["name"] == SDK)
    nodes = {node["id"]: node["deps"] for node in metadata["resolve"]["nodes"]}
    brought_by, queue = {sdk: None}, [sdk]
    while queue:
        user = queue.pop()
        for dependency in nodes[user]:
            is_normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_normal and dependency["pkg"] not in brought_by:
                brought_by[dependency["pkg"]] = user
                queue.append(dependency["pkg"])
    for package, user in brought_by.items():
        if re.match(NOT_IN_THE_SDK, packages[package]["name"]):
            breach("connectors/sdk/Cargo.toml", f"{packages[user]['name']} brings {packages[package]['name']}: a connector needs neither web server nor store")

    for package in members:
        manifest = Path(package["manifest_path"]).relative_to(ROOT)
        if not manifest.is_relative_to("connectors"):
            continue
        allowed = {SDK} if package["name"] != SDK else set()
        for dependency in package["dependencies"]:
            if dependency["name"].startswith("leadwire") and dependency["name"] not in allowed:
                breach(manifest, f"depends on {dependency['name']}: of Leadwire, a connector knows the SDK alone")


def check_names():
    folders = {path.parent.name for path in ROOT.glob("connectors/*/Cargo.toml")} - NEUTRAL
    pattern = "|".join(sorted(set(CRMS) | folders))
    files = [path for path in (ROOT / "src").rglob("*") if path.is_file() and path != ROOT / REGISTRY]
    for path in sorted(files):
        # Comments and pages count too: whoever reads them learns to think of one CRM.
        for number, line in enumerate(path.read_text().splitlines(), 1):
            # The name of a feature decides what is built, and knows nothing of a CRM.
            if found := re.search(pattern, re.sub(r'feature = "[\w-]+"', "", line), re.IGNORECASE):
                breach(f"{path.relative_to(ROOT)}:{number}", f"`{found.group()}`: only {REGISTRY} names a CRM")


def check_borders():
    elsewhere = sources("src", without=["src/store"]) + sources("connectors")
    forbid(elsewhere, DATABASES, "only src/store knows a database")
    forbid(elsewhere, SQL, "only src/store speaks SQL")
    forbid(sources("src/store"), HTTP, "the store knows no HTTP")
    forbid(sources("connectors"), r"\bactix_\w+\b|\bleadwire::", "connectors know the SDK, not the bridge")


def check_comparisons():
    """Of secrets, before the tests of each file."""
    forbid(sources("src", without=[COMPARISON]), OTHER_COMPARISONS, f"what is secret is compared by verify::same, in {COMPARISON}, alone")
    for path in [path for folder in SHOWN_IN for path in sources(folder)]:
        if path.name.endswith("tests.rs"):
            continue
        for number, line in code(path):
            if line.startswith("#[cfg(test)]"):
                break
            if found := re.search(PLAINLY, line):
                breach(f"{path.relative_to(ROOT)}:{number}", f"`{found.group().strip()}` takes longer the more of a guess is right; use verify::same")
    for name in COMPARED_IN:
        path = ROOT / name
        if not path.exists() or not any(re.search(r"\bsame\(", line) for _, line in code(path)):
            breach(name, "nothing is compared by verify::same here any more; where strangers are recognised now, put that file into COMPARED_IN")


def uses(path, home):
    """The modules at the top of the crate that a file names, with line numbers. `home` is where the file is, such as [deliver, lane]."""
    text = "\n".join(line for _, line in code(path))
    tests = text.find("#[cfg(test)]\nmod tests {")
    for found in re.finditer(r"\bcrate::(\w+)", text):
        yield text.count("\n", 0, found.start()) + 1, found.group(1)
    for found in re.finditer(r"\bcrate::\{([^;]*)\}\s*;", text):
        flat = found.group(1)
        while re.search(r"\{[^{}]*\}", flat):
            flat = re.sub(r"\{[^{}]*\}", "", flat)
        for name in flat.split(","):
            yield text.count("\n", 0, found.start()) + 1, name.strip().split("::")[0].split(" ")[0]
    for found in re.finditer(r"\b((?:super::)+)(\w+)", text):
        ups = found.group(1).count("super")
        depth = len(home) + (1 if 0 <= tests < found.start() else 0)
        if ups >= depth:
            yield text.count("\n", 0, found.start()) + 1, found.group(2)


def check_floors():
    floor = {module: number for number, modules in enumerate(FLOORS) for module in modules}
    declared = set(re.findall(r"^(?:pub )?mod (\w+);", (ROOT / "src/lib.rs").read_text(), re.MULTILINE))
    for module in sorted(declared - floor.keys()):
        breach("src/lib.rs", f"the module {module} is on no floor; give it one in scripts/architecture.py and in docs/architecture.md")
    for module in sorted(floor.keys() - declared):
        breach("scripts/architecture.py", f"the module {module} is on a floor, and src/lib.rs has no such module")
    for path in sources("src"):
        home = list(path.relative_to(ROOT / "src").with_suffix("").parts)
        if home[-1] == "mod":
            home.pop()
        if home[0] not in floor:
            continue
        for number, used in uses(path, home):
            if used in floor and used != home[0] and floor[used] <= floor[home[0]]:
                breach(f"src/{path.relative_to(ROOT / 'src')}:{number}", f"{home[0]} uses {used}, which is not on a floor below it")


def main():
    for check in (check_packages, check_names, check_borders, check_floors) if ROOT == REPOSITORY else ():
        check()
    check_comparisons()
    for line in breaches:
        print(line, file=sys.stderr)
    if breaches:
        sys.exit(f"{len(breaches)} breaches of the architecture; docs/architecture.md says what holds and why")
    print("the architecture holds")


main()
