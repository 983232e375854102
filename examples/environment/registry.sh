#!/usr/bin/env bash
# A container registry on 127.0.0.1:5050: the binary of Debian's docker-registry package, without its service.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/state.sh"

port=5050
config="$state/registry.yml"
binary="$state/registry/usr/bin/docker-registry"

up() {
    need curl curl
    if pid_of registry "$config" >/dev/null; then
        await registry "$config" 30 answers
        return 0
    fi
    if taken "$port"; then
        fail "port $port is taken by another process" \
            "find it with: ss -ltnp 'sport = :$port'" \
            "if it is the registry of another checkout, share it: export RUNNER_ENVIRONMENT=<that checkout>/target/environment"
    fi
    fetch
    configure
    say "starting the registry on 127.0.0.1:$port (log: $state/registry.log)"
    start registry "$binary" serve "$config"
    await registry "$config" 30 answers
}

down() { stop registry "$config" 10; }

answers() { curl -fsS -m 3 "http://127.0.0.1:$port/v2/"; }

# Unpacked instead of installed: the package would bring a system service on a port of its own.
fetch() {
    [ ! -x "$binary" ] || return 0
    say "fetching Debian's docker-registry"
    local new="$state/registry.new"
    rm -rf "$new"
    mkdir -p "$new"
    # apt's own download user may not enter our directory; that is only a notice, not a failure.
    if ! (cd "$new" && { apt-get download docker-registry || { apt-get update && apt-get download docker-registry; }; }) >"$state/apt.log" 2>&1; then
        fail "could not download Debian's docker-registry package" "the last lines of $state/apt.log:" "$(tail -n 15 "$state/apt.log")"
    fi
    dpkg-deb -x "$new"/*.deb "$new"
    rm -rf "$new"/*.deb "$state/registry"
    mv "$new" "$state/registry"
}

configure() {
    mkdir -p "$state/registry-data"
    cat >"$config" <<YAML
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: $state/registry-data}
  delete: {enabled: true}
http:
  addr: 127.0.0.1:$port
YAML
}

"${1:-up}"
