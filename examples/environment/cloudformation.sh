#!/usr/bin/env bash
# A local AWS endpoint on 127.0.0.1:4666: ministack, from PyPI. Its stacks live in memory, until `down`.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/state.sh"

version=1.5.33
port=4666
venv="$state/ministack"

up() {
    need curl curl
    if pid_of cloudformation "$venv" >/dev/null; then
        await cloudformation "$venv" 60 answers
        return 0
    fi
    if taken "$port"; then
        fail "port $port is taken by another process" \
            "find it with: ss -ltnp 'sport = :$port'" \
            "if it is the endpoint of another checkout, share it: export RUNNER_ENVIRONMENT=<that checkout>/target/environment"
    fi
    fetch
    say "starting ministack on 127.0.0.1:$port (log: $state/cloudformation.log)"
    # No Docker: it would start containers of its own for some services. No data directory of another run.
    start cloudformation env BIND_HOST=127.0.0.1 GATEWAY_PORT=$port DOCKER_HOST=unix:///nonexistent \
        "$venv/bin/python" "$venv/bin/ministack"
    await cloudformation "$venv" 60 answers
}

down() { stop cloudformation "$venv" 10; }

answers() { curl -fsS -m 3 "http://127.0.0.1:$port/_ministack/ready"; }

# A virtual environment cannot be renamed once made (its scripts name their interpreter),
# so a file written last tells a whole one from a half-made one.
fetch() {
    [ ! -f "$venv/complete-$version" ] || return 0
    say "installing ministack $version from PyPI"
    rm -rf "$venv"
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3 python3-venv
    local log="$state/pip.log"
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --disable-pip-version-check "ministack==$version"; } >"$log" 2>&1; then
        fail "could not install ministack $version" "the last lines of $log:" "$(tail -n 15 "$log")"
    fi
    touch "$venv/complete-$version"
}

"${1:-up}"
