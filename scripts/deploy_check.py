#!/usr/bin/env python3
"""Holds what is under deploy/ to what docs and users count on. Prints every breach and exits with 1 when there is one.

  deploy_check.py kubernetes FILE     rendered manifests: their schema, and the promises below
  deploy_check.py compose FILE        a compose file
  deploy_check.py package FILE        a Debian package
  deploy_check.py sbom FILE           a bill of materials
  deploy_check.py versions            one version everywhere

Needs scripts/tools.sh deploy, and dpkg-deb for packages.
"""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
from io import BytesIO
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
# A stop takes [server] shutdown_timeout, 30 s by default, 12 s for tokens, 5 s for a last note in the store and 3 s for traces.
STOP_SECONDS = 50
# The oldest Kubernetes that the chart says it runs on, and the newest that the schemas know.
KUBERNETES = ["1.27", "1.37"]

breaches = []


def expect(holds, rule):
    if not holds:
        breaches.append(rule)


def kubernetes(path):
    import kubernetes_validate

    objects = [found for found in yaml.safe_load_all(path.read_text()) if found]
    for found in objects:
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(found, version, strict=True)
            except Exception as error:  # the library has many
                breaches.append(f"{found['kind']} {found['metadata']['name']} is nothing that Kubernetes {version} takes: {error}")
    kinds = {}
    for found in objects:
        kinds.setdefault(found["kind"], []).append(found)
    for kind in ["StatefulSet", "PodDisruptionBudget", "NetworkPolicy", "Ingress", "ConfigMap", "Secret"]:
        expect(len(kinds.get(kind, [])) == 1, f"there is one {kind}")
    if not breaches:
        bridges(kinds)


def bridges(kinds):
    workload, pods = kinds["StatefulSet"][0], kinds["StatefulSet"][0]["spec"]["template"]
    labels, container = pods["metadata"]["labels"], pods["spec"]["containers"][0]
    selectors = [found["spec"]["selector"] for found in kinds["Service"]]
    selectors += [found["spec"]["selector"]["matchLabels"] for found in [workload, kinds["PodDisruptionBudget"][0]]]
    selectors += [kinds["NetworkPolicy"][0]["spec"]["podSelector"]["matchLabels"]]
    for selector in selectors:
        expect(selector and selector.items() <= labels.items(), f"the selector {selector} finds the bridges, whose labels are {labels}")

    expect(workload["spec"]["replicas"] == 3, "three bridges")
    expect(workload["spec"]["serviceName"] in [found["metadata"]["name"] for found in kinds["Service"]], "the StatefulSet's Service exists")
    paths = {name: container[name]["httpGet"]["path"] for name in ["startupProbe", "livenessProbe", "readinessProbe"]}
    expect(paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}, f"a restart mends no store: {paths}")
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = pods["spec"]["terminationGracePeriodSeconds"]
    expect(grace >= pause + STOP_SECONDS, f"{grace} s are enough for a pause of {pause} s and a stop of {STOP_SECONDS} s")
    hardened(pods["spec"], container)
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    made = {volume["name"] for volume in pods["spec"]["volumes"] + [claim["metadata"] for claim in workload["spec"]["volumeClaimTemplates"]]}
    expect(mounted == made, f"each volume is mounted: {mounted ^ made}")
    routed = [path["path"] for rule in kinds["Ingress"][0]["spec"]["rules"] for path in rule["http"]["paths"]]
    expect(routed == ["/hooks/"], f"strangers reach webhooks and nothing else: {routed}")
    configured(kinds, pods)


def hardened(pod, container):
    identity, security = pod["securityContext"], container["securityContext"]
    expect(identity["runAsNonRoot"] and identity["runAsUser"] == image_user(), "runs as the user of the image, who is not root")
    expect(identity["seccompProfile"]["type"] == "RuntimeDefault", "system calls are filtered")
    expect(security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], "nothing of the image can be changed")
    expect(security["capabilities"] == {"drop": ["ALL"]}, "no capability is left")
    expect(pod["automountServiceAccountToken"] is False, "the bridge has no way into the cluster")


def configured(kinds, pods):
    named = [volume["configMap"]["name"] for volume in pods["spec"]["volumes"] if "configMap" in volume]
    expect(named == [kinds["ConfigMap"][0]["metadata"]["name"]], "the configuration is the one that is mounted")
    configuration = kinds["ConfigMap"][0]["data"]["leadwire.toml"]
    tomllib.loads(configuration)
    expect('password' not in configuration and "postgres://" not in configuration, "no secret is in a ConfigMap")


def image_user():
    return int(re.search(r"^USER (\d+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE).group(1))


def compose(path):
    from compose_spec import PyCompose

    text = path.read_text()
    # What stands in for a variable need not be a port or a number.
    PyCompose.from_yaml(re.sub(r"\$\{\w+:?[-?]([^}]*)\}", "x", text))
    services = yaml.safe_load(text)["services"]
    bridge = services["bridge"]
    expect(bridge["read_only"] and bridge["cap_drop"] == ["ALL"], "the bridge can change nothing of its image")
    expect(int(bridge["stop_grace_period"].removesuffix("s")) >= STOP_SECONDS, "the bridge has the time to stop in order")
    expect(bridge["depends_on"]["postgres"]["condition"] == "service_healthy", "the database is there first")
    expect([name for name, service in services.items() if "ports" in service] == ["caddy"], "only Caddy is reached from outside")
    for name, service in services.items():
        expect("no-new-privileges:true" in service["security_opt"], f"{name} gains no privileges")
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            expect(not source.startswith("./") or (path.parent / source).is_file(), f"{name} mounts {source}, which exists")


def package(path):
    control = tarfile.open(fileobj=BytesIO(subprocess.run(["dpkg-deb", "--ctrl-tarfile", path], check=True, stdout=subprocess.PIPE).stdout))
    files = tarfile.open(fileobj=BytesIO(subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, stdout=subprocess.PIPE).stdout))
    members = {member.name.removeprefix("./"): member for member in files.getmembers()}
    expect(all(member.uid == member.gid == 0 for member in members.values()), "all files are root's")
    modes = {
        "usr/bin/leadwire": 0o755,
        "etc/leadwire": 0o750,
        "etc/leadwire/leadwire.toml": 0o640,
        "usr/lib/systemd/system/leadwire.service": 0o644,
        "usr/share/man/man1/leadwire.1.gz": 0o644,
        "usr/share/man/man1/leadwire-run.1.gz": 0o644,
        "usr/share/bash-completion/completions/leadwire": 0o644,
        "usr/share/zsh/vendor-completions/_leadwire": 0o644,
        "usr/share/fish/vendor_completions.d/leadwire.fish": 0o644,
        "usr/share/doc/leadwire/copyright": 0o644,
        "usr/share/doc/leadwire/changelog.gz": 0o644,
        "usr/share/doc/leadwire/sbom.cdx.json": 0o644,
    }
    for name, mode in modes.items():
        found = members.get(name)
        expect(found is not None and found.mode == mode, f"{name} has the mode {mode:o}, not {found.mode if found else 0:o}")
    writable = [name for name, member in members.items() if member.mode & 0o022 and not member.issym()]
    expect(not writable, f"nobody but root can write {writable}")
    held = {member.name.removeprefix("./"): member for member in control.getmembers()}
    expect(control.extractfile(held["conffiles"]).read().split() == [b"/etc/leadwire/leadwire.toml"], "the configuration is kept on upgrade and removal")
    expect(all(held[name].mode == 0o755 for name in ["postinst", "prerm", "postrm"]), "its scripts can be run")
    unit = files.extractfile(members["usr/lib/systemd/system/leadwire.service"]).read().decode()
    expect("ExecStart=/usr/bin/leadwire run" in unit and "/usr/local/" not in unit, "the unit starts the program of the package")


def sbom(path):
    bill = json.loads(path.read_text())
    expect(bill["bomFormat"] == "CycloneDX" and bill["specVersion"] == "1.5", "it is CycloneDX 1.5")
    names = {found["name"]: found for found in bill["components"]}
    for name in ["rustls", "actix-web", "libsqlite3-sys", "tokio-postgres"]:
        expect(name in names, f"{name} is in the binary and on the list")
    for name in ["proptest", "insta", "rcgen"]:
        expect(name not in names, f"{name} is for tests, and not in the binary")
    for found in bill["components"]:
        expect(found.get("licenses"), f"{found['name']} has a licence")
        expect("hashes" in found or found["name"].startswith("leadwire"), f"{found['name']} has a checksum")
    known = {bill["metadata"]["component"]["bom-ref"]} | {found["bom-ref"] for found in bill["components"]}
    expect({found["ref"] for found in bill["dependencies"]} == known, "everything has its dependencies listed")


def versions():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    chart = yaml.safe_load((ROOT / "deploy/helm/leadwire/Chart.yaml").read_text())
    images = yaml.safe_load((ROOT / "deploy/kubernetes/kustomization.yaml").read_text())["images"]
    expect(chart["appVersion"] == version, f"the chart's appVersion is {version}, not {chart['appVersion']}")
    expect(str(images[0]["newTag"]) == version, f"the image of deploy/kubernetes is {version}, not {images[0]['newTag']}")
    rust = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    expect(f"FROM rust:{rust}-" in (ROOT / "deploy/Dockerfile").read_text(), f"the image is built with Rust {rust}")


def main():
    checks = {check.__name__: check for check in [kubernetes, compose, package, sbom, versions]}
    name, *paths = sys.argv[1:] or [""]
    if name not in checks:
        sys.exit(__doc__)
    checks[name](*map(Path, paths))
    for rule in breaches:
        print(f"{' '.join(sys.argv[1:])}: does not hold: {rule}", file=sys.stderr)
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
