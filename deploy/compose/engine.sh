#!/bin/sh
# The Docker engine that sandboxes have to themselves. It makes control groups below its own, so those have to be
# writable; executors (uid 10001) reach it through its socket, and share the sandboxes' folder with it.
set -eu
for mounted in /sys/fs/cgroup /sys/fs/cgroup/*; do
    ! mountpoint -q "$mounted" || mount -o remount,bind,rw "$mounted"
done
chown 10001:10001 /sandboxes
exec dind dockerd --host=unix:///run/engine/docker.sock --group=10001 --bridge=none --iptables=false --log-level=error
