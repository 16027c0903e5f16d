#!/usr/bin/env bash
# Looks at everything that is shipped beside the binary: package, unit, image, compose, Kubernetes, chart, manual, completions, bill of
# materials. Needs target/debug/leadwire, or another binary as LEADWIRE. Installs its linters into .tools; what cannot be checked here is
# told at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
leadwire=$(realpath "${LEADWIRE:-target/debug/leadwire}")
export LEADWIRE=$leadwire
# Their makers' servers may be away; what was not checked is told at the end, and what can be is.
scripts/tools.sh deploy || echo "the linters could not be installed"
linters=.tools/deploy/bin
export PATH=$PWD/.tools/bin:$PATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
missing=()

# NAME COMMAND…: a check by its name; its output is shown when it fails.
check() {
    local name=$1 status
    shift
    # Within an `if`, bash would not end a check at its first failure.
    set +e
    (set -e; "$@") >"$work/output" 2>&1
    status=$?
    set -e
    if [[ $status == 0 ]]; then
        echo "fine    $name"
    else
        echo "FAILED  $name"
        sed 's/^/        /' "$work/output"
        failed=1
    fi
}

# PROGRAM NAME COMMAND…: the same where the program is there.
check_with() {
    local program=$1
    shift
    if command -v "$program" >/dev/null; then
        check "$@"
        return
    fi
    missing+=("$1 (no $program)")
}

# What it looks at beyond syntax is left out without it, and told by the checks that are its own.
python() {
    [[ -x $linters/python ]] || return 0
    "$linters/python" scripts/deploy_check.py "$@"
}

# The name in the unit is where it will be, and the manual is not installed yet.
verify_unit() {
    sed "s,/usr/local/bin/leadwire,$leadwire," deploy/leadwire.service >"$work/leadwire.service"
    systemd-analyze verify --man=no "$work/leadwire.service"
}

# From 0, safe, to 10; in tenths.
harden_unit() {
    systemd-analyze security --offline=true --threshold=15 --no-pager deploy/leadwire.service
}

# The secrets of the example, in place of a person's.
kubernetes() {
    cp -r deploy/kubernetes "$work/kubernetes"
    cp "$work/kubernetes/secret.example.env" "$work/kubernetes/secret.env"
    kubectl kustomize "$work/kubernetes" >"$work/kubernetes.yaml"
    python kubernetes "$work/kubernetes.yaml"
}

chart() {
    helm lint --strict deploy/helm/leadwire
    helm template production deploy/helm/leadwire --set secrets.DATABASE_URL=x >"$work/chart.yaml"
    python kubernetes "$work/chart.yaml"
    # Another name, and what can be left out.
    helm template leadwire deploy/helm/leadwire --set existingSecret=own,ingress.enabled=false,networkPolicy.enabled=false,volume.storageClass=fast \
        --set-json 'extraEnv=[{"name":"A","value":"b"}]' >"$work/bare.yaml"
    if grep -qE '^kind: (Secret|Ingress|NetworkPolicy)' "$work/bare.yaml" || ! grep -q 'name: own' "$work/bare.yaml"; then
        echo "the chart makes what was left out"
        return 1
    fi
    if helm template leadwire deploy/helm/leadwire --set replicas=0 >/dev/null 2>&1; then
        echo "the chart takes no bridges for a number of bridges"
        return 1
    fi
}

# The configuration in the chart's values, as a file.
configurations() {
    "$linters/python" -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["config"])' deploy/helm/leadwire/values.yaml >"$work/values.toml"
    scripts/check-config.sh deploy "$work/values.toml"
}

package() {
    local first second
    DEB_COMPRESSION=none scripts/package.sh "$leadwire" "$work/first"
    python package "$work"/first/*.deb
    DEB_COMPRESSION=none scripts/package.sh "$leadwire" "$work/second"
    first=$(sha256sum <"$(echo "$work"/first/*.deb)") second=$(sha256sum <"$(echo "$work"/second/*.deb)")
    [[ $first == "$second" ]] || { echo "the same binary gave two packages"; return 1; }
}

sbom() {
    scripts/sbom.py >"$work/sbom.json"
    python sbom "$work/sbom.json"
}

completions() {
    "$leadwire" completions "$1" >"$work/completions"
    "$1" -n "$work/completions"
}

manual() {
    "$leadwire" man "$work/man"
    mandoc -T lint -W error "$work"/man/*.1
}

caddyfile() {
    LEADWIRE_HOST=leads.example.com CONSOLE_HOST=console.example.com HOME=$work \
        caddy validate --adapter caddyfile --config deploy/compose/Caddyfile
    caddy fmt deploy/compose/Caddyfile | diff deploy/compose/Caddyfile -
}

check_with "$linters/shellcheck" "scripts" "$linters/shellcheck" --severity=warning scripts/*.sh .ci/run deploy/debian/postinst deploy/debian/prerm deploy/debian/postrm
check_with "$linters/python" "versions" python versions
check_with "$linters/python" "configurations" configurations
check_with "$linters/hadolint" "Dockerfile" "$linters/hadolint" deploy/Dockerfile
check_with "$linters/python" "compose.yaml" python compose deploy/compose/compose.yaml
check_with caddy "Caddyfile" caddyfile
check_with systemd-analyze "unit" verify_unit
check_with systemd-analyze "unit's hardening" harden_unit
check_with kubectl "kubernetes" kubernetes
check_with helm "chart" chart
check_with "$linters/python" "bill of materials" sbom
check_with dpkg-deb "package" package
check_with lintian "package's manners" lintian --allow-root --fail-on error --suppress-tags uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball "$work"/first/*.deb
check_with bash "completions of bash" completions bash
check_with zsh "completions of zsh" completions zsh
check_with fish "completions of fish" completions fish
check_with mandoc "manual" manual
for name in "${missing[@]}"; do
    echo "NOT CHECKED HERE: $name"
done
exit $failed
