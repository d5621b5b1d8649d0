#!/bin/bash
mkdir -p /logs/verifier
if dpkg -s tree >/dev/null 2>&1 && python3 /tests/check.py; then
    echo 1 > /logs/verifier/reward.txt
else
    echo 0 > /logs/verifier/reward.txt
fi
exit 7 # does not count
