#!/bin/sh
# All tests: the parallel ones side by side, then those that measure or need the machine for themselves.
# usage: scripts/test.sh [pytest arguments]
set -eu
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then
    exec .venv/bin/pytest "$@"
fi
workers=${SYNTHBENCH_TEST_WORKERS:-$(.venv/bin/python -c 'import os; print(max(2, min(8, os.cpu_count() or 2)))')}
.venv/bin/pytest -q -n "$workers" --dist loadscope -m "not alone"
.venv/bin/pytest -q -m alone
