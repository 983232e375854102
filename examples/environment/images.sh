#!/usr/bin/env bash
# The base images of the examples. Where Docker Hub does not answer they are made from Debian's packages.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/state.sh"

debian=debian:12-slim
postgres=postgres:15
mirror=http://deb.debian.org

up() {
    docker info >/dev/null 2>&1 || fail "the Docker engine does not answer" "start it with: $here/up docker"
    if ! present "$debian"; then pulled "$debian" || make_debian; fi
    if ! present "$postgres"; then pulled "$postgres" || make_postgres; fi
}

# Images are kept: they cost time to make and hurt nobody.
down() { echo "images: kept"; }

present() { docker image inspect "$1" >/dev/null 2>&1; }

pulled() {
    hub_answers || return 1
    say "pulling $1"
    timeout 600 docker pull --quiet "$1" >/dev/null || return 1
}

# Asked once; without a network the answer must not take longer than a few seconds.
hub_answers() {
    if [ -z "${hub:-}" ]; then
        need curl curl
        hub=no
        if curl -sS -m 4 -o /dev/null https://registry-1.docker.io/v2/ 2>/dev/null; then hub=yes; fi
        [ "$hub" = yes ] || say "Docker Hub cannot be reached: making the images from Debian packages"
    fi
    [ "$hub" = yes ]
}

# The same packages and apt settings as the official slim image.
make_debian() {
    local tar="$state/debian-12.tar" log="$state/mmdebstrap.log"
    if [ ! -f "$tar" ]; then
        need mmdebstrap mmdebstrap
        say "making $debian (half a minute)"
        rm -f "$tar.new"
        # shellcheck disable=SC2016 # $1 in the hook is for mmdebstrap's shell, not for ours
        if ! mmdebstrap --mode=root --variant=minbase --format=tar \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
            --dpkgopt='path-include=/usr/share/doc/*/copyright' \
            --aptopt='Acquire::Languages "none"' \
            --customize-hook='echo "APT::Keep-Downloaded-Packages \"false\";" >"$1/etc/apt/apt.conf.d/docker-clean"' \
            bookworm "$tar.new" \
            "deb $mirror/debian bookworm main" \
            "deb $mirror/debian bookworm-updates main" \
            "deb $mirror/debian-security bookworm-security main" >"$log" 2>&1 </dev/null; then
            fail "mmdebstrap could not make the base image" "the last lines of $log:" "$(tail -n 15 "$log")"
        fi
        mv "$tar.new" "$tar"
    fi
    docker import --change 'CMD ["bash"]' "$tar" "$debian" >/dev/null
}

make_postgres() {
    local log="$state/postgres-image.log"
    say "making $postgres (half a minute)"
    if ! docker build --force-rm --tag "$postgres" "$here/postgres" >"$log" 2>&1; then
        fail "could not build $postgres from Debian packages" "the last lines of $log:" "$(tail -n 15 "$log")"
    fi
}

"${1:-up}"
