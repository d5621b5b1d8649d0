# PID 1 of a container: starts commands that the host asks for, by `/bin/sh init.sh`. POSIX sh, nothing else needed.
# Its folder holds two pipes: `ask` (words from the host, a line each) and `told` (ours). Nobody writes to `ask` any more:
# the host's process is dead, and so are we, with everything inside.
#   run N          start N.command with the streams of N; told: `began N PID`, then `exit N CODE`
#   look N         told: `exit N lost` where its keeper was killed
#   end N PID      kill PID and its group; told: `swept N OOMS FORKS`, with what the kernel counted
#   sweep N        kill all but ourselves; told: the same
cd "${0%/*}" || exit 1
exec 3<ask 4>told
own=
command -v setsid >/dev/null 2>&1 && own=setsid
groups=/sys/fs/cgroup
count() { # of the word $1 in a file that the kernel keeps for our group
    while read -r name value; do [ "$name" = "$1" ] && counted=$value && return; done
    counted=0
}
tell_swept() {
    counted=0 ooms=0
    for file in $groups/memory/memory.oom_control $groups/memory.events; do
        [ -r $file ] && count oom_kill <$file && ooms=$counted
    done
    counted=0
    for file in $groups/pids/pids.events $groups/pids.events; do [ -r $file ] && count max <$file; done
    echo "swept $1 $ooms $counted" >&4
}
echo ready >&4
while read -r word n pid <&3; do
    case $word in
        run)
            (
                exec 3<&-
                (
                    exec 4>&-
                    . "./$n.command"
                ) <"$n.in" >"$n.out" 2>"$n.err" &
                echo "began $n $!" >&4
                wait $!
                echo "exit $n $?" >&4
            ) &
            eval "keeper$n=$!"
            ;;
        look)
            eval "pid=\$keeper$n"
            state=Z
            [ -r "/proc/$pid/stat" ] && read -r line <"/proc/$pid/stat" && state=${line##*) } && state=${state%% *}
            [ "$state" = Z ] && echo "exit $n lost" >&4
            ;;
        end)
            kill -9 "$pid" 2>/dev/null # first: it may not have its group yet
            kill -s KILL -- "-$pid" 2>/dev/null # dash takes no -- behind -9
            tell_swept "$n"
            ;;
        sweep)
            kill -9 -1 2>/dev/null
            wait
            tell_swept "$n"
            ;;
    esac
done
