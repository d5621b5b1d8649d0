#!/bin/sh
# Builds the base images of deploy/images on the engine that answers, and looks whether each does what it is for.
# usage: scripts/images.sh [python|node|multi ...]        (all of them by default)
set -eu
cd "$(dirname "$0")/.."
VERSION=0.1.0
say() { printf 'images: %s\n' "$*" >&2; }
docker info >/dev/null 2>&1 || { say "no Docker engine answers; start one, or set DOCKER_HOST"; exit 1; }

tried() { # image, command: as sandboxes run it
    docker run --rm --network none --read-only --user 12345:12345 --cap-drop ALL --security-opt no-new-privileges \
        --tmpfs /tmp "$1" sh -c "$2" >/dev/null || { say "$1 does not do its work: $2"; exit 1; }
}

tools='bash -c true && git --version && tmux -V && rg --version && cc --version && python3 -c "import ssl, sqlite3"'
for name in ${*:-python node multi}; do
    image="synth-bench/$name:$VERSION"
    say "building $image"
    docker build --quiet --tag "$image" "deploy/images/$name" >/dev/null
    tried "$image" "$tools"
    case $name in
        python) tried "$image" 'python3 -m pytest --version' ;;
        node) tried "$image" 'node -e "process.exit(0)"' ;;
        multi) tried "$image" 'node -e "process.exit(0)" && go version && rustc --version && javac --version' ;;
    esac
    say "$image is $(docker image inspect --format '{{.Size}}' "$image" | awk '{printf "%d MB", $1 / 1e6}')"
done
