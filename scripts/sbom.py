#!/usr/bin/env python3
"""Prints what the binary is made of: a bill of materials in CycloneDX 1.5 (JSON), by cargo's own account of the locked dependencies.

Only what is linked into the program, or makes it: no test dependencies. `--features LIST` as for cargo build. The same lock file and commit give the
same text: the time is SOURCE_DATE_EPOCH, else that of the last commit, and the serial number is made of what is listed.
"""

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "leadwire"


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def metadata(features, target):
    more = ["--features", features] if features else []
    return json.loads(run("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target, *more))


def reached(nodes, root):
    """The packages that `root` needs to be built, with what each of them needs."""
    found, queue = {}, [root]
    while queue:
        package = queue.pop()
        if package in found:
            continue
        needed = [dep["pkg"] for dep in nodes[package]["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        found[package] = needed
        queue.extend(needed)
    return found


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums):
    kind = "application" if package["name"] == NAME else "library"
    found = {"type": kind, "bom-ref": purl(package), "name": package["name"], "version": package["version"], "purl": purl(package)}
    if package["license"]:
        # Cargo once allowed a slash between licences.
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ").replace("  ", " ")}]
    if package["description"]:
        found["description"] = " ".join(package["description"].split())
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    if checksum := checksums.get((package["name"], package["version"])):
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def bill(features, target):
    data = metadata(features, target)
    packages = {package["id"]: package for package in data["packages"]}
    root = next(id for id in data["workspace_members"] if packages[id]["name"] == NAME)
    needs = reached({node["id"]: node for node in data["resolve"]["nodes"]}, root)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    components = sorted((component(packages[id], checksums) for id in needs if id != root), key=lambda found: found["bom-ref"])
    dependencies = [{"ref": purl(packages[id]), "dependsOn": sorted({purl(packages[other]) for other in needs[id]})} for id in needs]
    listed = json.dumps([components, target]).encode()
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid.UUID(bytes=hashlib.sha256(listed).digest()[:16], version=4).urn,
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(packages[root], checksums),
            "properties": [{"name": "leadwire:target", "value": target}],
        },
        "components": components,
        "dependencies": sorted(dependencies, key=lambda found: found["ref"]),
    }


def host():
    lines = run("rustc", "--version", "--verbose").splitlines()
    return next(line.removeprefix("host: ") for line in lines if line.startswith("host: "))


def main():
    parser = argparse.ArgumentParser(description="A bill of materials of the binary, CycloneDX JSON.")
    parser.add_argument("--features", default="", help="as for cargo build")
    parser.add_argument("--target", default=os.environ.get("CARGO_BUILD_TARGET") or host(), help="as for cargo build")
    arguments = parser.parse_args()
    print(json.dumps(bill(arguments.features, arguments.target), indent=1))


if __name__ == "__main__":
    main()
