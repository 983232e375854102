#!/usr/bin/env bash
# The Docker engine. One that already answers is used as it is; otherwise Debian's is installed and started.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/state.sh"

# Our own pid file keeps a /var/run/docker.pid left by a killed engine out of the way.
pidfile="$state/docker.engine.pid"

up() {
    if answers; then return 0; fi
    if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
        install docker.io iptables
        # With systemd the package has started the engine by itself.
        if answers; then return 0; fi
    fi
    [ "$(id -u)" = 0 ] || fail "cannot start the Docker engine: not root" "run as root, or start an engine and see that 'docker info' works"
    wait_for_other_engine
    if ! pid_of docker "$pidfile" >/dev/null; then
        forget_dead_processes
        say "starting dockerd (log: $state/docker.log)"
        start docker dockerd --pidfile "$pidfile"
    fi
    await docker "$pidfile" 90 answers
}

down() { stop docker "$pidfile" 30; }

answers() { timeout 10 docker info >/dev/null 2>&1; }

# An engine that somebody else has just started may need a moment; a second one would fight over its data.
wait_for_other_engine() {
    local pid
    pid="$(cat /var/run/docker.pid 2>/dev/null)" || return 0
    [[ "$pid" =~ ^[0-9]+$ && "$(command_of "$pid")" == *dockerd* ]] || return 0
    say "waiting for the engine that is running already (pid $pid)"
    for ((i = 0; i < 60; i++)); do
        if answers; then exit 0; fi
        sleep 1
    done
    fail "a Docker engine is running (pid $pid) but does not answer" "look at its log, stop it, then run this again"
}

# A pid left by a killed engine may meanwhile belong to any process: the engine would then refuse to start.
forget_dead_processes() {
    local file pid
    for file in "$pidfile" /var/run/docker/containerd/containerd.pid; do
        pid="$(cat "$file" 2>/dev/null)" || continue
        case "$(command_of "$pid")" in
            *dockerd* | *containerd*) ;;
            *) rm -f "$file" ;;
        esac
    done
}

"${1:-up}"
