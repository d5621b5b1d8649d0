# A shell that stays: `shell.sh SLOT`. Reads names of scripts from SLOT.words, runs each in itself, and tells on SLOT.cwd
# how it ended: the code, the folder, the processes still running in the background, one a line, and a dot.
exec 8<"$1.words" 9>"$1.cwd"
shift
[ -z "$BASH_VERSION" ] || set -m # a group for each job, to be killed whole
trap 'return 143' USR1           # whose time is over
while read -r __run <&8; do
    . "$__run" 8<&- 9>&- </dev/null
    __code=$?
    {
        echo "$__code"
        pwd -P 2>/dev/null || echo
        jobs -p
        echo .
    } >&9
done
