#!/bin/sh
# All tests: most of them side by side, then those that need Docker, then those that kill and look at the machine.
# What is left out are further ends of real agents (`-m agents`: make test-agents) and long tests (make test-full).
# In CI the Docker engine and the images of the later suites are made ready beside the parallel tests.
# A phase that fails does not keep the later ones from running: one run shows all that is wrong.
# usage: scripts/test.sh [pytest arguments]
set -eu
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then
    exec .venv/bin/pytest "$@"
fi
# Files with a mark: to collect all others takes a process 13 s.
marked() { grep -rlE "mark\.$1\b" --include='test_*.py' tests libs services; }
say() { printf 'test: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
work=$(mktemp -d)
stop_docker() { [ ! -f "$work/dockerd.pid" ] || kill "$(cat "$work/dockerd.pid")" 2>/dev/null || true; }
trap 'stop_docker; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failed="" preparing="" first="not alone and not agents and not long"
if [ "${CI:-}" = true ]; then
    # What an earlier run that was killed left, with nobody to reap it; a group that is in use stays.
    find /sys/fs/cgroup -depth -type d -name 'synthbench-*' -exec rmdir {} + 2>/dev/null || true
    (. scripts/docker.sh && docker build --quiet -f deploy/Dockerfile -t synth-bench:0.1.0 .) >"$work/docker.log" 2>&1 &
    preparing=$! first="$first and not docker"
    # Only the program: installing the package would start a Prometheus.
    if ! command -v promtool >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
        [ "$(id -u)" != 0 ] || apt-get update -qq
        (cd "$work" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb prometheus) || say "no promtool"
        export PATH="$work/prometheus/usr/bin:$PATH"
    fi
fi
# What mostly waits does so beside all of the first phase, and so does what asks one stack, one test after the other.
.venv/bin/pytest -q -m waits $(marked waits) >"$work/waits.log" 2>&1 &
waiting=$!
.venv/bin/pytest -q --durations 12 -m "one_stack and $first" $(marked one_stack) >"$work/one_stack.log" 2>&1 &
asking=$!
# One more than there are cores: much of a test is waiting for servers.
workers=${SYNTHBENCH_TEST_WORKERS:-$(.venv/bin/python -c 'import os; print(min(8, 1 + (os.cpu_count() or 2)))')}
.venv/bin/pytest -q -n "$workers" --dist loadscope --no-loadscope-reorder --durations 12 -m "$first and not waits and not one_stack" \
    tests libs services \
    || failed="$failed parallel"
wait "$asking" || failed="$failed one-stack"
cat "$work/one_stack.log"
if wait "$waiting"; then tail -1 "$work/waits.log"; else cat "$work/waits.log"; failed="$failed waits"; fi
if [ -n "$preparing" ]; then
    wait "$preparing" || { tail -20 "$work/docker.log" >&2; die "Docker could not be made ready"; }
    # In this order: the longest single tests, compose and Harbor's package, begin first.
    .venv/bin/pytest -q -n "$workers" --dist loadscope --no-loadscope-reorder --durations 12 \
        -m "docker and not alone and not agents and not long" \
        tests/compose tests/e2e tests/security libs/sandbox services/executor services/cli || failed="$failed docker"
fi
# These look at the machine, and none minds the others: what has a living owner is nobody's remains.
.venv/bin/pytest -q -n 2 --dist loadfile --durations 12 -m "alone and not agents and not long" $(marked alone) \
    || failed="$failed alone"
[ -z "$failed" ] || die "failed:$failed"
