#!/bin/sh
# Run the suites that need servers against containers instead of wheels: the images of docker-compose.yml.
# usage: scripts/test_containers.sh [pytest arguments]
set -eu
cd "$(dirname "$0")/.."
say() { printf 'containers: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
work=$(mktemp -d)
stop_docker() { :; }
trap 'stop_docker; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
. scripts/docker.sh
# The reaper of testcontainers is an image of its own; without one, a killed run leaves its containers.
docker image inspect testcontainers/ryuk:0.8.1 >/dev/null 2>&1 || export TESTCONTAINERS_RYUK_DISABLED=true
[ $# -gt 0 ] || set -- libs/chassis libs/storage services -m "not alone"
.venv/bin/pytest -q --containers --timeout 180 "$@"
