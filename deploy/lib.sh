# Shared by deploy/quickstart and tests/run: what a bare Debian 12 needs before Berth can be built and tried.
# Sourced, not run. Everything here may be repeated; the second time it finds its work done.

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# need_packages FILE…: installs what the lists name and the machine does not have.
need_packages() {
    local missing=() package
    for package in $(cat "$@"); do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" = 0 ] || die "these packages are missing and only root can install them: ${missing[*]}"
    say "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # A package may try to start its service; what is started here is started on purpose, further below.
    local log
    log=$(mktemp)
    if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "apt-get could not install the packages above; see its words"
    fi
    rm -f "$log"
}

engine_socket=/var/run/docker.sock
engine_answers() {
    docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# need_engine LOG PIDFILE: starts the Docker Engine when none answers; PIDFILE is written only in that case.
need_engine() {
    engine_answers && return 0
    [ "$(id -u)" = 0 ] || die "no Docker Engine answers, and only root can start one"
    say "starting the Docker Engine"
    rm -f /var/run/docker.pid
    setsid dockerd >"$1" 2>&1 </dev/null &
    echo $! >"$2"
    local tries
    for tries in $(seq 150); do
        engine_answers && return 0
        kill -0 "$(cat "$2")" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$1" >&2
    die "the Docker Engine did not come up; its last words are above, all of them in $1"
}

have_image() {
    docker image inspect "$1" >/dev/null 2>&1
}

# make_busybox_image TAG: a small image from the machine's own busybox (package busybox-static).
make_busybox_image() {
    have_image "$1" && return 0
    local root applet
    root=$(mktemp -d)
    mkdir -p "$root"/{bin,etc,root,tmp,home/user}
    chmod 1777 "$root/tmp"
    cp /bin/busybox "$root/bin/"
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nuser:x:1000:\n' >"$root/etc/group"
    chown -R 1000:1000 "$root/home/user"
    tar -C "$root" -c . | docker import --change 'ENV PATH=/bin' - "$1" >/dev/null
    rm -rf "$root"
}

# make_debian_image TAG: Debian 12 from its packages, for where no registry is reachable.
make_debian_image() {
    have_image "$1" && return 0
    if timeout 20 docker pull -q "$1" >/dev/null 2>&1; then
        return 0
    fi
    say "no registry answers: making $1 from Debian's packages"
    local root mirror
    root=$(mktemp -d)
    mirror=$(sed -n 's/^URIs: *\(http[^ ]*\/debian\)\/\{0,1\}$/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*\/debian\)\/\{0,1\} bookworm .*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
    debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 ||
        { tail -n 20 "$root.log" >&2; die "debootstrap failed; see above"; }
    tar -C "$root" --exclude=./var/cache/apt/archives/* --exclude=./var/lib/apt/lists/* -c . | docker import --change 'CMD ["bash"]' - "$1" >/dev/null
    rm -rf "$root" "$root.log"
}
