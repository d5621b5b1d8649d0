"""What engines need of the machine: processes, cgroups, uids, system calls."""
