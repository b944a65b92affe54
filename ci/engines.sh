#!/usr/bin/env bash
# Container engines, where there are none: docker and podman of this Debian (about 90 MB), installed in an overlay of this
# machine's root of which nothing stays, in namespaces of their own (mounts, processes, network), so that they change
# nothing of the machine's. Runs ci/containers.sh there, or COMMAND. Ends with 77 where that cannot be.
#
#   ci/engines.sh [COMMAND..]
set -euo pipefail
self=$(realpath "$0")
skip() {
    printf -- '-- skipped: container engines: %s\n' "$1"
    exit 77
}

# In new mount and process namespaces, with the machine's network: the new root, and packages.
furnish() {
    mount --make-rprivate /
    # An overlay cannot lie on one, and so not what an engine makes of its images.
    mkdir "$work/upper" "$work/work" "$work/root" "$work/docker" "$work/containers"
    mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" overlay "$work/root" || return 77
    cd "$work/root"
    local place
    for place in dev sys; do mount --rbind "/$place" "$place"; done
    mount -t proc proc proc
    mount -t tmpfs -o mode=1777 tmp tmp
    mount -t tmpfs -o mode=755 run run
    mkdir -p var/lib/docker var/lib/containers "./$top"
    mount --bind "$work/docker" var/lib/docker
    mount --bind "$work/containers" var/lib/containers
    mount --bind "$top" "./$top"
    # Nothing that is installed is started.
    printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
    chmod 755 usr/sbin/policy-rc.d
    export DEBIAN_FRONTEND=noninteractive
    chroot . apt-get update -qq && chroot . apt-get install -y -qq --no-install-recommends \
        docker.io podman catatonit runc containernetworking-plugins iptables || return 77
    mkdir before
    pivot_root . before
    umount -l before
    rmdir before
    cd /
    ENGINES_INSIDE=2 unshare --net bash "$self" "$@"
}

# What an engine needs: a network, and a daemon.
serve() {
    ip link set lo up
    (containerd >/var/log/containerd.log 2>&1 &)
    (dockerd --containerd /run/containerd/containerd.sock >/var/log/dockerd.log 2>&1 &)
    local end=$((SECONDS + 60))
    until docker info >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            tail -n 20 /var/log/dockerd.log
            break
        fi
        sleep 0.2
    done
    cd "$top"
    "$@"
}

case ${ENGINES_INSIDE-} in
    # Not as conditions: there a function goes on behind a command of it that fails.
    1)
        furnish "$@"
        exit
        ;;
    2)
        serve "$@"
        exit
        ;;
esac

cd "$(dirname "$0")/.."
top=$PWD
[ "$(id -u)" = 0 ] || skip 'only root can install them'
command -v apt-get >/dev/null || skip 'there is no apt-get'
spaces=(--mount --pid --fork --kill-child)
why=$(unshare "${spaces[@]}" true 2>&1) || skip "namespaces are not to be had here: $why"
[ $# -gt 0 ] || set -- bash ci/containers.sh
work=$(mktemp -d /var/tmp/rsm-engines.XXXXXX)
# Control groups that the engines leave when the processes in them are gone.
groups() { find /sys/fs/cgroup -mindepth 1 -type d 2>/dev/null | sort; }
groups >"$work/groups"
clean_up() {
    local group
    groups | comm -13 "$work/groups" - | grep -E '/(docker|libpod_parent|machine\.slice)(/|$)' | sort -r |
        while read -r group; do rmdir "$group" 2>/dev/null || true; done || true
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT
export work top ENGINES_INSIDE=1
# unshare itself takes no notice of being interrupted, and nor does the first process of a namespace.
unshare "${spaces[@]}" bash "$self" "$@" <&0 &
room=$!
trap 'kill -KILL "$room" 2>/dev/null || true' INT TERM
code=0
wait "$room" || code=$?
wait "$room" 2>/dev/null || true
[ "$code" != 77 ] || skip 'an overlay cannot be mounted here, or the packages cannot be had'
exit "$code"
