#!/bin/sh
# Bring docker-compose.yml up, publish a task to its bus, follow it to a curated trajectory, and leave nothing behind.
# Where no public image can be had, local stand-ins are built that hold only the programs of the images (tests/compose).
# Brings the Docker engine and Compose v2 where it is root on Debian; elsewhere it says what is missing.
set -eu
cd "$(dirname "$0")/.."
say() { printf 'compose: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
work=$(mktemp -d)
project=synth-bench-test-$$
engine=""

installable() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && grep -q '^ID=debian' /etc/os-release; }

cleanup() {
    code=$?
    trap - EXIT INT TERM
    if [ -f "$work/env" ]; then
        [ $code = 0 ] || compose logs --tail 15 2>&1 | tail -60 >&2 || true
        compose down --volumes --timeout 20 >/dev/null 2>&1 || true
    fi
    [ -z "$engine" ] || kill "$engine" 2>/dev/null || true
    rm -rf "$work"
    exit $code
}
trap cleanup EXIT INT TERM

compose() { docker compose --project-name "$project" --env-file "$work/env" "$@"; }

if ! docker info >/dev/null 2>&1; then
    if ! command -v dockerd >/dev/null 2>&1; then
        installable || die "no Docker engine answers; install one, and start it"
        say "installing docker.io"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io >/dev/null
    fi
    [ "$(id -u)" = 0 ] || die "no Docker engine answers; start it"
    say "starting dockerd"
    dockerd >"$work/dockerd.log" 2>&1 &
    engine=$!
    for _ in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
    docker info >/dev/null 2>&1 || { tail -3 "$work/dockerd.log" >&2; die "dockerd does not start"; }
fi

if ! docker compose version >/dev/null 2>&1; then
    installable || die "Compose v2 is missing; install the plugin docker-compose-plugin"
    say "fetching Compose v2 and buildx from Debian trixie, as plugins only"
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/etc"
    sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1 >"$work/uri"
    [ -s "$work/uri" ] || awk '/^deb .* bookworm main/ {print $2; exit}' /etc/apt/sources.list >"$work/uri"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(cat "$work/uri") trixie main" >"$work/apt/etc/sources.list"
    private="-o Dir::Etc::sourcelist=$work/apt/etc/sources.list -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists=$work/apt/lists -o Dir::Cache=$work/apt/cache -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086
    (cd "$work" && apt-get $private update -qq && apt-get $private download -qq docker-compose docker-buildx)
    for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/plugins"; done
    mkdir -p "$HOME/.docker/cli-plugins"
    find "$work/plugins" -path '*cli-plugins*' -type f -exec cp {} "$HOME/.docker/cli-plugins/" \;
    docker compose version >/dev/null
fi

for image in python:3.11-slim-bookworm nats:2.12-alpine postgres:18-alpine chrislusf/seaweedfs:4.48 jaegertracing/jaeger:2.11.0; do
    docker image inspect "$image" >/dev/null 2>&1 || timeout 120 docker pull --quiet "$image" >/dev/null 2>&1 || missing=$image
done
if [ -n "${missing:-}" ]; then
    say "no $missing here: building local stand-ins"
    command -v mmdebstrap >/dev/null 2>&1 || { installable || die "mmdebstrap is missing"; apt-get install -y -qq mmdebstrap >/dev/null; }
    tests/compose/standins.sh
fi

.venv/bin/python scripts/compose_files.py --env "$work/env" >/dev/null
.venv/bin/python - >>"$work/env" <<'P'
import socket
names = ("NATS_PORT", "S3_PORT", "JAEGER_PORT", "SCHEDULER_PORT", "COLLECTOR_PORT")
sockets = [socket.socket() for _ in names]
for one in sockets: one.bind(("127.0.0.1", 0))
for name, one in zip(names, sockets): print(f"{name}={one.getsockname()[1]}")
P
. "$work/env"
say "building the image"
docker build --quiet -f deploy/Dockerfile -t synth-bench:0.1.0 . >/dev/null
say "up, with two executors"
compose up --wait --wait-timeout 150 --scale executor=2 >"$work/up.log" 2>&1 || { tail -5 "$work/up.log" >&2; die "it does not get healthy"; }
compose ps --format '{{.Service}}: {{.Status}}' >&2

say "publishing a task"
NATS_URL=nats://127.0.0.1:$NATS_PORT NATS_USER=client NATS_PASSWORD=$NATS_PASSWORD_CLIENT \
    timeout 120 .venv/bin/python docs/examples/publish_task.py simple-task-001 sim/expert >"$work/events" || { cat "$work/events" >&2; die "no curated trajectory"; }
tail -1 "$work/events" >&2
found=$(curl -fsS -H "authorization: Bearer $SYNTHBENCH_API_TOKEN" "http://127.0.0.1:$COLLECTOR_PORT/v1/trajectories?outcome=solved&counted=true")
case $found in *'"verdict":"accept"'*) ;; *) die "the catalogue says: $found" ;; esac

say "down"
compose down --volumes --timeout 30 >/dev/null 2>&1
left=$(docker ps -aq --filter "label=com.docker.compose.project=$project"; docker volume ls -q --filter "label=com.docker.compose.project=$project"; docker network ls -q --filter "label=com.docker.compose.project=$project")
[ -z "$left" ] || die "left behind: $left"
rm "$work/env"
say "ok: healthy, one task curated, nothing left"
