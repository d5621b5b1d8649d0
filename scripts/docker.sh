# Sourced: brings the Docker engine, Compose v2 and the images of docker-compose.yml where it is root on Debian; elsewhere
# it says what is missing. Where no public image can be had, local stand-ins are built that hold only the programs of the
# images (tests/compose). Wants `say`, `die` and a folder $work; whoever sources it calls stop_docker at the end.
stop_docker() { [ ! -f "$work/dockerd.pid" ] || kill "$(cat "$work/dockerd.pid")" 2>/dev/null || true; }
installable() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && grep -q '^ID=debian' /etc/os-release; }

if ! docker info >/dev/null 2>&1; then
    if ! command -v dockerd >/dev/null 2>&1; then
        installable || die "no Docker engine answers; install one, and start it"
        say "installing docker.io"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io >/dev/null
    fi
    [ "$(id -u)" = 0 ] || die "no Docker engine answers; start it"
    say "starting dockerd"
    dockerd >"$work/dockerd.log" 2>&1 &
    echo $! >"$work/dockerd.pid"
    for _ in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
    docker info >/dev/null 2>&1 || { tail -3 "$work/dockerd.log" >&2; die "dockerd does not start"; }
fi

if ! docker compose version >/dev/null 2>&1; then
    installable || die "Compose v2 is missing; install the plugin docker-compose-plugin"
    say "fetching Compose v2 and buildx from Debian trixie, as plugins only"
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/etc"
    sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1 >"$work/uri"
    [ -s "$work/uri" ] || awk '/^deb .* bookworm main/ {print $2; exit}' /etc/apt/sources.list >"$work/uri"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(cat "$work/uri") trixie main" >"$work/apt/etc/sources.list"
    private="-o Dir::Etc::sourcelist=$work/apt/etc/sources.list -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists=$work/apt/lists -o Dir::Cache=$work/apt/cache -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086 # several options in one variable
    (cd "$work" && apt-get $private update -qq && apt-get $private download -qq docker-compose docker-buildx)
    for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/plugins"; done
    mkdir -p "$HOME/.docker/cli-plugins"
    find "$work/plugins" -path '*cli-plugins*' -type f -exec cp {} "$HOME/.docker/cli-plugins/" \;
    docker compose version >/dev/null
fi

for image in python:3.11-slim-bookworm nats:2.12-alpine postgres:18-alpine chrislusf/seaweedfs:4.48 jaegertracing/jaeger:2.11.0 docker:28-dind; do
    docker image inspect "$image" >/dev/null 2>&1 || timeout 120 docker pull --quiet "$image" >/dev/null 2>&1 || missing=$image
done
if [ -n "${missing:-}" ]; then
    say "no $missing here: building local stand-ins"
    command -v mmdebstrap >/dev/null 2>&1 || { installable || die "mmdebstrap is missing"; apt-get install -y -qq mmdebstrap >/dev/null; }
    tests/compose/standins.sh
fi
