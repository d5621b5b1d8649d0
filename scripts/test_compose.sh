#!/bin/sh
# Bring docker-compose.yml up, publish a task to its bus, follow it to a curated trajectory, and leave nothing behind.
set -eu
cd "$(dirname "$0")/.."
say() { printf 'compose: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
work=$(mktemp -d)
project=synth-bench-test-$$

cleanup() {
    code=$?
    trap - EXIT INT TERM
    if [ -f "$work/env" ]; then
        [ $code = 0 ] || compose logs --tail 15 2>&1 | tail -60 >&2 || true
        compose down --volumes --timeout 20 >/dev/null 2>&1 || true
    fi
    stop_docker
    rm -rf "$work"
    exit $code
}
stop_docker() { :; }
trap cleanup EXIT INT TERM

compose() { docker compose --project-name "$project" --env-file "$work/env" "$@"; }

. scripts/docker.sh

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
say "the sandboxes' engine gets its image"
compose up --wait --wait-timeout 60 engine >"$work/up.log" 2>&1 || { tail -5 "$work/up.log" >&2; die "the engine does not start"; }
docker save python:3.11-slim-bookworm | compose exec -T engine docker load >/dev/null
say "up, with two executors"
compose up --wait --wait-timeout 150 --scale executor=2 >"$work/up.log" 2>&1 || { tail -5 "$work/up.log" >&2; die "it does not get healthy"; }
compose ps --format '{{.Service}}: {{.Status}}' >&2

say "publishing a task"
NATS_URL=nats://127.0.0.1:$NATS_PORT NATS_USER=client NATS_PASSWORD=$NATS_PASSWORD_CLIENT \
    timeout 120 .venv/bin/python docs/examples/publish_task.py simple-task-001 sim/expert >"$work/events" || { cat "$work/events" >&2; die "no curated trajectory"; }
tail -1 "$work/events" >&2
found=$(curl -fsS -H "authorization: Bearer $SYNTHBENCH_API_TOKEN" "http://127.0.0.1:$COLLECTOR_PORT/v1/trajectories?filter=outcome:solved%20counted:true")
case $found in *'"verdict":"accept"'*) ;; *) die "the catalogue says: $found" ;; esac

say "down"
compose down --volumes --timeout 30 >/dev/null 2>&1
left=$(docker ps -aq --filter "label=com.docker.compose.project=$project"; docker volume ls -q --filter "label=com.docker.compose.project=$project"; docker network ls -q --filter "label=com.docker.compose.project=$project")
[ -z "$left" ] || die "left behind: $left"
rm "$work/env"
say "ok: healthy, one task curated, nothing left"
