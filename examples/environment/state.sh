# shellcheck shell=bash
# Sourced by every part: where the environment keeps its files, and the life of its background processes.
# A pid file is only a hint: a pid counts as ours when the command line behind it names our own files.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
state="${RUNNER_ENVIRONMENT:-$(dirname "$(dirname "$here")")/target/environment}"
mkdir -p "$state"
state="$(cd "$state" && pwd)"

say() { printf '    %s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

# install PACKAGE...: Debian packages, quietly; everything apt said is shown when it fails.
install() {
    [ "$(id -u)" = 0 ] || fail "cannot install $*: not root" "run as root, or install by hand: apt-get install $*"
    local log="$state/apt.log"
    say "installing $*"
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        fail "apt-get could not install $*" "the last lines of $log:" "$(tail -n 15 "$log")"
    fi
}

# need COMMAND PACKAGE: installs PACKAGE when COMMAND is not there.
need() { command -v "$1" >/dev/null || install "$2"; }

# command_of PID: its command line, words separated by spaces; empty when there is no such process.
command_of() { { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null || true; }

# pid_of NAME MARK: the pid in NAME.pid, when its process is alive and has MARK in its command line.
pid_of() {
    local pid
    pid="$(cat "$state/$1.pid" 2>/dev/null)" || return 1
    [[ "$pid" =~ ^[0-9]+$ ]] && [[ "$(command_of "$pid")" == *"$2"* ]] && printf '%s' "$pid"
}

# start NAME COMMAND...: in the background, in its own session, with NAME.log and NAME.pid.
start() {
    local name="$1"
    shift
    [ ! -f "$state/$name.log" ] || mv -f "$state/$name.log" "$state/$name.log.1"
    # The lock of `up` (descriptor 9) must not live on in the service.
    setsid "$@" >"$state/$name.log" 2>&1 </dev/null 9>&- &
    echo $! >"$state/$name.pid"
}

# stop NAME MARK SECONDS: asks the process to end, and ends it after SECONDS.
stop() {
    local pid
    if pid="$(pid_of "$1" "$2")"; then
        kill -TERM "$pid" 2>/dev/null || true
        for ((i = 0; i < $3 * 5; i++)); do
            pid_of "$1" "$2" >/dev/null || break
            sleep 0.2
        done
        if pid_of "$1" "$2" >/dev/null; then kill -KILL "$pid" 2>/dev/null || true; fi
        echo "$1: stopped"
    else
        echo "$1: not started here"
    fi
    rm -f "$state/$1.pid"
}

# await NAME MARK SECONDS CHECK...: until CHECK succeeds; fails as soon as the process has died.
await() {
    local name="$1" mark="$2" seconds="$3" told=10
    shift 3
    for ((i = 0; i < seconds * 5; i++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        pid_of "$name" "$mark" >/dev/null || break
        if ((i >= told * 5)); then
            say "still waiting for $name (${told} s of at most ${seconds} s)"
            told=$((told * 2))
        fi
        sleep 0.2
    done
    local why="did not get ready in $seconds s"
    pid_of "$name" "$mark" >/dev/null || why="ended before it was ready"
    fail "$name $why" "the last lines of $state/$name.log:" "$(tail -n 15 "$state/$name.log")"
}

# taken PORT: whether something listens on 127.0.0.1:PORT.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
