"""The services of the machine that engines use: processes, cgroups, uids, system calls."""
