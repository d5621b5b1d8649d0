#!/bin/sh
# For plain Harbor. synth-bench itself runs the same tests from a second sandbox, see docs/tasks.md.
here=$(dirname "$0")
exec python3 -I "$here/synthbench_verify.py" --tests "$here" --workspace "$PWD"
