"""The lines of shell before every command: they set the limits that a process sets on itself."""

from collections.abc import Sequence

from synthbench.sandbox.spec import SandboxLimits


def limit_lines(limits: SandboxLimits, *, memory: bool, pids: bool) -> list[str]:
    """Shell that lowers rlimits, without a word where it cannot.

    Args:
        limits: what may be used.
        memory: hold memory by address space, where no cgroup does; coarse, but it stops the worst.
        pids: hold the number of processes, where no cgroup does and the uid is the sandbox's own.
    """
    lines = [f"ulimit -n {limits.files}", f"ulimit -f {limits.disk_mb * 2048}", "ulimit -c 0"]
    if memory:
        lines.append(f"ulimit -v {limits.memory_mb * 1024 * 2}")
    if pids:  # dash says -p, bash says -u
        lines.append(f"{{ ulimit -u {limits.pids} || ulimit -p {limits.pids}; }}")
    return [f"{line} 2>/dev/null" for line in lines]


def limited(limits: SandboxLimits, argv: Sequence[str], *, memory: bool, pids: bool) -> list[str]:
    """Become `argv` under rlimits, found on PATH; 127 where there is no such command, as a shell says it."""
    script = "; ".join(limit_lines(limits, memory=memory, pids=pids))
    return ["/bin/sh", "-c", f'{script}; exec "$@"', "sh", *argv]
