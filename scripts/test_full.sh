#!/usr/bin/env bash
# The full forms of all tests: what CI has no time for. Hours; goes on where a part fails, and says at the end which did.
# usage: scripts/test_full.sh [part ...]   (default: all parts)
#   FULL_MINUTES=10   how long each property test, or each suite of them, runs
#   ENGINE=docker     sandbox engine of the kill suite (default: bubblewrap where it works)
#   SWE_AGENT=folder  a checkout of SWE-agent, which is on no package index
set -uo pipefail
cd "$(dirname "$0")/.."
all="long properties sandbox gateway chaos kills agents benches containers"
parts="${*:-$all}"
minutes=${FULL_MINUTES:-10}
logs=$(mktemp -d "${TMPDIR:-/tmp}/synth-bench-full-XXXXXX")
export FULL=1 FULL_MINUTES=$minutes
pytest="${PYTEST:-.venv/bin/pytest}"
say() { printf 'full: %s\n' "$*" >&2; }
trap 'say "interrupted; the logs are in $logs"; exit 130' INT TERM

# Suites with `fuzz` count their minutes themselves, test by test; the others begin again with new examples.
properties() {
    local failed=0 suite end
    for suite in $(git ls-files '*test_*.py' | xargs grep -lE '^from (hypothesis|fuzzing) import'); do
        if grep -q '^from fuzzing import.*fuzz' "$suite"; then
            $pytest -v "$suite" || failed=1
            continue
        fi
        say "properties: $suite for $minutes minutes"
        end=$(($(date +%s) + $(awk "BEGIN { printf \"%d\", $minutes * 60 }")))
        while :; do
            $pytest -q --timeout 900 "$suite" || { failed=1; break; }
            [ "$(date +%s)" -lt "$end" ] || break
        done
    done
    return $failed
}
# Tests that have a full form and belong to no other part.
long() { $pytest -v tests/readme tests/e2e/test_compare.py tests/e2e/test_openapi.py; }
sandbox() { $pytest -v libs/sandbox/tests/channel libs/sandbox/tests/contract libs/sandbox/tests/tree; }
gateway() { $pytest -v services/llm_gateway/tests; }
chaos() { $pytest -v tests/chaos; }
kills() {
    SYNTHBENCH_TEST_ENGINE=${ENGINE:-} $pytest -v tests/e2e/test_kills.py tests/e2e/test_outages.py tests/e2e/test_resume.py
}
agents() {
    SYNTHBENCH_TEST_SWE_AGENT=${SWE_AGENT:-} $pytest -v tests/e2e/test_agents.py services/executor/tests/test_mini.py
}
benches() { $pytest -v tests/e2e/test_bench.py; }
containers() {
    if ! docker info >/dev/null 2>&1; then
        say "containers: no Docker engine answers; this part needs one"
        return 1
    fi
    scripts/test_containers.sh
}

for part in $parts; do
    case " $all " in *" $part "*) ;; *) say "there is no part $part; there are: $all"; exit 2 ;; esac
done
count=0 total=$(echo "$parts" | wc -w) failed="" summary=""
for part in $parts; do
    count=$((count + 1)) begun=$(date +%s)
    say "[$count/$total] $part begins at $(date +%H:%M); its log is $logs/$part.log"
    if "$part" 2>&1 | tee "$logs/$part.log"; then result=passed; else result=FAILED failed="$failed $part"; fi
    took=$((($(date +%s) - begun) / 60))
    summary="$summary$(printf '  %-12s %-7s %4s min' "$part" "$result" "$took")
"
    say "[$count/$total] $part $result after $took min"
done
printf '\nfull: what became of each part\n%s' "$summary" >&2
if [ -n "$failed" ]; then
    say "failed:$failed; logs in $logs"
    exit 1
fi
say "all passed"
rm -rf "$logs"
