#!/bin/sh
# Everything that can be judged without running the product. All checks run; the exit code tells if one failed.
set -u
cd "$(dirname "$0")/.."
bin=.venv/bin
failed=""

step() {
    name=$1
    shift
    printf '== %s\n' "$name"
    "$@" || failed="$failed $name"
}

no_namespace_init() {
    found=$(find libs services -path '*/src/synthbench/__init__.py')
    [ -z "$found" ] || { echo "a namespace package has no __init__.py, remove: $found"; return 1; }
}

fresh_docs() {
    # What is generated must be what the code says.
    $bin/python scripts/asyncapi.py --check && $bin/python scripts/compose_files.py --check
}

step ruff-check $bin/ruff check --quiet .
step ruff-format $bin/ruff format --check --quiet .
step namespace no_namespace_init
step import-linter $bin/lint-imports --no-cache
step dependencies $bin/python scripts/dependencies.py
step buf-lint sh -c "cd proto && ../$bin/buf lint"
step buf-breaking sh -c "cd proto && ../$bin/buf breaking --against baseline"
step generated-docs fresh_docs
step pyright $bin/pyright

if [ -n "$failed" ]; then
    printf 'FAILED:%s\n' "$failed"
    exit 1
fi
echo "all checks passed"
