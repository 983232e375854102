#!/usr/bin/env bash
# Makes the cluster when the data directory is empty, then becomes the server, as the user postgres.
set -euo pipefail

main() {
    [ "${1:0:1}" != - ] || set -- postgres "$@"
    if [ "$1" = postgres ]; then
        if [ "$(id -u)" = 0 ]; then
            mkdir -p "$PGDATA"
            chown -R postgres:postgres "$PGDATA" /var/run/postgresql
            chmod 700 "$PGDATA"
            exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
        fi
        [ -s "$PGDATA/PG_VERSION" ] || make_cluster
    fi
    exec "$@"
}

make_cluster() {
    local user="${POSTGRES_USER:-postgres}" method="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}"
    local database="${POSTGRES_DB:-$user}"
    if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
        echo "error: POSTGRES_PASSWORD is empty; set it, or set POSTGRES_HOST_AUTH_METHOD=trust" >&2
        exit 1
    fi
    if [ -n "${POSTGRES_PASSWORD:-}" ]; then
        initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --no-sync
    else
        initdb --username="$user" --no-sync
    fi
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

    # On the socket only: nobody may take the server for ready before the scripts have run.
    pg_ctl start -w -o "-c listen_addresses=''"
    [ "$database" = postgres ] || createdb --username="$user" --owner="$user" "$database"
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) bash "$file" ;;
            *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc --username="$user" --dbname="$database" --file="$file" ;;
            *.sql.gz) gunzip -c "$file" | psql -v ON_ERROR_STOP=1 --no-psqlrc --username="$user" --dbname="$database" ;;
        esac
    done
    pg_ctl stop -w -m fast
}

main "$@"
