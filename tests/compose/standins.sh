#!/bin/sh
# Local stand-ins for the public images that docker-compose.yml and deploy/Dockerfile name, for machines without an image
# registry. Each holds only the program that the public image has, from the wheels and packages of this machine.
# usage: tests/compose/standins.sh [node]  (root, Debian, Docker engine running, .venv set up; node is for `make images`)
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
have() { docker image inspect "$1" >/dev/null 2>&1; }

if ! have synth-bench-standin-base; then
    echo "standins: making a base image with mmdebstrap"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip bookworm "$work/base.tar" >/dev/null 2>"$work/log" \
        || { tail -3 "$work/log"; exit 1; }
    docker import "$work/base.tar" synth-bench-standin-base >/dev/null
fi

build() { # image, folder
    docker build --quiet -t "$1" "$2" >/dev/null
    echo "standins: $1"
}

# python: this machine's way to its package index goes into the stand-in, never into a file of ours.
mkdir "$work/python"
touch "$work/python/pip.conf"
for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
    [ -f "$file" ] && cat "$file" >"$work/python/pip.conf"
done
cp /etc/ssl/certs/ca-certificates.crt "$work/python/bundle.crt"
cat >"$work/python/Dockerfile" <<'D'
FROM synth-bench-standin-base
COPY pip.conf /etc/pip.conf
COPY bundle.crt /etc/ssl/certs/ca-certificates.crt
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
RUN ln -sf python3 /usr/bin/python
CMD ["python3"]
D
build python:3.11-slim-bookworm "$work/python"

if [ "${1:-}" = node ]; then # Debian's own, older than the public image's
    mkdir "$work/node"
    cat >"$work/node/Dockerfile" <<'D'
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends nodejs && cp /usr/bin/node /usr/local/bin/node
CMD ["node"]
D
    build node:22-bookworm-slim "$work/node"
fi

mkdir "$work/nats"
cp .venv/bin/nats-server "$work/nats/"
printf 'FROM synth-bench-standin-base\nCOPY nats-server /usr/local/bin/nats-server\nENTRYPOINT ["/usr/local/bin/nats-server"]\n' >"$work/nats/Dockerfile"
build nats:2.12-alpine "$work/nats"

mkdir "$work/seaweedfs"
cp .venv/bin/weed "$work/seaweedfs/"
printf 'FROM synth-bench-standin-base\nCOPY weed /usr/bin/weed\nRUN chmod 755 /usr/bin/weed\nENTRYPOINT ["/usr/bin/weed"]\n' >"$work/seaweedfs/Dockerfile"
build chrislusf/seaweedfs:4.48 "$work/seaweedfs"

mkdir -p "$work/postgres/opt"
binaries=$(.venv/bin/python -c 'from synthbench.embedded.postgres import find_binaries; print(find_binaries())')
package=$(dirname "$(dirname "$binaries")")
cp -r "$package" "$work/postgres/opt/"
[ -d "$package.libs" ] && cp -r "$package.libs" "$work/postgres/opt/"
cp tests/compose/postgres-entrypoint.sh "$work/postgres/"
cat >"$work/postgres/Dockerfile" <<D
FROM synth-bench-standin-base
COPY opt /opt
COPY postgres-entrypoint.sh /entrypoint.sh
RUN useradd --system --uid 70 postgres && ln -s /opt/$(basename "$package")/$(basename "$(dirname "$binaries")")/bin /pgbin && chmod 755 /entrypoint.sh
ENV PATH=/pgbin:/usr/bin:/bin
ENTRYPOINT ["/entrypoint.sh"]
D
build postgres:18-alpine "$work/postgres"

mkdir "$work/jaeger"
cp tests/compose/otlp_sink.py "$work/jaeger/"
printf 'FROM synth-bench-standin-base\nCOPY otlp_sink.py /otlp_sink.py\nENTRYPOINT ["python3", "/otlp_sink.py"]\n' >"$work/jaeger/Dockerfile"
build jaegertracing/jaeger:2.11.0 "$work/jaeger"

# Docker in Docker: this machine's engine, and the libraries that the base lacks.
mkdir -p "$work/engine/bin" "$work/engine/lib"
for program in dockerd containerd containerd-shim-runc-v2 runc docker docker-init; do
    cp "$(readlink -f "$(command -v "$program")")" "$work/engine/bin/$program"
    ldd "$work/engine/bin/$program" 2>/dev/null | awk '/libdevmapper|libseccomp/ {print $3}' | xargs -r cp -L -t "$work/engine/lib"
done
printf '#!/bin/sh\nexec "$@"\n' >"$work/engine/bin/dind"
chmod 755 "$work/engine/bin/"*
cat >"$work/engine/Dockerfile" <<'D'
FROM synth-bench-standin-base
COPY bin /usr/local/bin
COPY lib /usr/lib
RUN ldconfig
CMD ["dockerd"]
D
build docker:28-dind "$work/engine"
