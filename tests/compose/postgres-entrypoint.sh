#!/bin/sh
# What the public image's entrypoint does with POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD, and no more.
set -eu
data=/var/lib/postgresql/18/docker
mkdir -p "$data"
chown -R postgres /var/lib/postgresql
run() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
if [ ! -f "$data/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
    chown postgres /tmp/password
    run initdb -D "$data" -U "$POSTGRES_USER" -A scram-sha-256 --pwfile=/tmp/password -E UTF8 --locale=C --no-instructions
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    run pg_ctl -D "$data" -o "-c listen_addresses=''" -w start
    [ "$POSTGRES_DB" = postgres ] || PGPASSWORD=$POSTGRES_PASSWORD run psql -h /tmp -U "$POSTGRES_USER" -d postgres -c "create database \"$POSTGRES_DB\""
    run pg_ctl -D "$data" -w stop
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
