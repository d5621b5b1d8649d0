# PID 1 of a sandbox: starts commands that the host asks for, by `/bin/sh init.sh`. POSIX sh, nothing else needed.
# Its folder holds two pipes: `ask` (words from the host, a line each) and `told` (ours). Nobody writes to `ask` any more,
# or says nothing for two looks: the host's process is dead or hangs, and so we end, and everything inside with us.
#   run N SLOT IN  start SLOT.command with the streams of SLOT; told: `began N PID`, then
#                  `exit N CODE STRAYS OOMS FORKS`: how many others are still there, what the kernel counted
#   look N SLOT PID  told: `exit N lost` where its keeper was killed, and it has ended, too
#   end N PID      kill PID and its group; told: `swept N OOMS FORKS`
#   stop N PID JOB…  tell a shell that its script's time is over, and kill its children but those jobs
#   sweep N        kill all but ourselves; told: the same
#   beat           nothing but a sign of life
cd "${0%/*}" || exit 1
own='' beaten=1 silent=0 woken='' watch='' looked=0
command -v setsid >/dev/null 2>&1 && own=setsid
for group in /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events; do [ -r $group ] && memory=$group; done
for group in /sys/fs/cgroup/pids/pids.events /sys/fs/cgroup/pids.events; do [ -r $group ] && pids=$group; done
count() { # of the word $1 in a file that the kernel keeps for our group
    while read -r name value; do [ "$name" = "$1" ] && counted=$value && return; done
    counted=0
}
count_all() {
    counted=0
    [ "$memory" ] && count oom_kill <"$memory"
    ooms=$counted counted=0
    [ "$pids" ] && count max <"$pids"
}
now() { read -r time _ </proc/uptime && time=${time%.*}; }
watch() { # a child by whose end we look whether the host still speaks: not every sh reads with a timeout
    now
    looked=$time
    sleep 15 3<&- 4>&- &
    watch=$!
}
look() {
    woken=
    jobs >/dev/null # the dead of those whose parents died are ours to bury
    [ -z "$watch" ] || kill -0 "$watch" 2>/dev/null && return
    now
    if [ $((time - looked)) -ge 14 ]; then
        [ "$beaten" ] && silent=0 || silent=$((silent + 1))
        beaten=
        [ $silent -ge 2 ] && echo silent >&4 && exit 0
    fi
    watch
}
trap 'woken=1' CHLD
command -v sleep >/dev/null 2>&1 && watch
exec 3<ask 4>told # waits for the host's ends; where it died just now, the end of the child above ends the wait, and us
echo ready >&4
while :; do
    [ "$woken" ] && look
    if ! read -r word n more in <&3; then
        [ "$woken" ] && continue
        exit 0
    fi
    case $word in
        run)
            (
                exec 3<&-
                (
                    exec 4>&-
                    . "./$more.command"
                ) <"$in" >"$more.out" 2>"$more.err" &
                echo "began $n $!" >&4
                wait $!
                code=$?
                kill -0 "$watch" 2>/dev/null && ours=3 || ours=2
                set -- /proc/[0-9]*
                count_all
                echo "exit $n $code $(($# - ours)) $ooms $counted" >&4
            ) &
            eval "keeper$more=$!"
            ;;
        look)
            eval "pid=\$keeper$more"
            state=Z
            [ -r "/proc/$pid/stat" ] && read -r line <"/proc/$pid/stat" && state=${line##*) } && state=${state%% *}
            # a command that kills all others, as a fork server does, kills its keeper, and lives
            [ "$state" = Z ] && ! kill -0 "$in" 2>/dev/null && echo "exit $n lost" >&4
            ;;
        end)
            kill -9 "$more" 2>/dev/null # first: it may not have its group yet
            kill -s KILL -- "-$more" 2>/dev/null # dash takes no -- behind -9
            tries=0
            while [ $tries -lt 200 ] && kill -s 0 -- "-$more" 2>/dev/null; do jobs >/dev/null && tries=$((tries + 1)); done
            count_all
            echo "swept $n $ooms $counted" >&4
            ;;
        stop)
            kill -USR1 "$more" 2>/dev/null
            for stat in /proc/[0-9]*/stat; do
                read -r line 2>/dev/null <"$stat" || continue
                child=${line%% *}
                line=${line##*) }
                line=${line#* }
                [ "${line%% *}" = "$more" ] || continue
                case " $in " in *" $child "*) continue ;; esac
                kill -s KILL -- "-$child" 2>/dev/null
                kill -9 "$child" 2>/dev/null
            done
            ;;
        sweep)
            kill -9 -1 2>/dev/null
            until wait; do :; done # a death interrupts it
            count_all
            echo "swept $n $ooms $counted" >&4
            ;;
        beat) beaten=1 ;;
    esac
done
