#!/bin/sh
# Make .venv with everything pinned, then our own packages (editable, without dependencies).
# usage: scripts/setup.sh [runtime|dev]      needs python3 >= 3.11 and nothing else
set -eu
cd "$(dirname "$0")/.."
what=${1:-runtime}
lock=requirements.lock
[ "$what" = dev ] && lock=requirements-dev.lock

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11 or newer found; install one, or name it: make setup PYTHON=/path/to/python3"
}

python=$(find_python)
wanted=$(cat requirements.lock requirements-dev.lock pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml scripts/setup.sh | cksum)
stamp=.venv/.setup-$what
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

if [ ! -x .venv/bin/python ]; then
    say "setup: making .venv with $("$python" -V)"
    if ! "$python" -m venv .venv >/tmp/synth-bench-venv.$$ 2>&1; then
        rm -rf .venv
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            say "setup: python3-venv is missing; installing it with apt-get"
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
            "$python" -m venv .venv || die "python -m venv failed even with python3-venv installed"
        else
            cat /tmp/synth-bench-venv.$$ >&2
            rm -f /tmp/synth-bench-venv.$$
            die "python -m venv failed; on Debian or Ubuntu: sudo apt-get install python3-venv"
        fi
    fi
    rm -f /tmp/synth-bench-venv.$$
fi
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8' \
    || die "pip could not install uv; is the package index reachable?"
# The machine's own certificates, as pip takes them: company networks have their own.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
say "setup: installing pinned packages ($lock)"
.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r "$lock"
# shellcheck disable=SC2046 # a word for each package
.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --no-deps \
    $(for p in libs/*/ services/*/ ./; do printf -- '-e %s ' "$p"; done)
.venv/bin/python -m compileall -q -x '/library/' libs services || true
rm -f .venv/.setup-*
printf '%s' "$wanted" >"$stamp"
[ "$what" = dev ] && printf '%s' "$wanted" >.venv/.setup-runtime
say "setup: done"
