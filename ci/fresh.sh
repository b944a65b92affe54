#!/usr/bin/env bash
# The project as a fresh machine sees it: a clean clone of HEAD, new namespaces (ipc, pid, net, mount, uts), empty
# /dev/shm and /tmp, a home without files, nothing of the environment but where Rust is. Runs the two commands that
# README.md begins with, or COMMAND.
#
#   ci/fresh.sh [VARIANT..] [-- COMMAND..]
#
#   --here                this checkout with what is built there, not a clean clone
#   --user                as an ordinary user, also when started by root
#   --read-only           nothing but the clone, /tmp and /dev/shm can be written
#   --without CALLS       these system calls (a comma between two) do not exist: --without userfaultfd
#   --no-proc             no /proc for what was built; cargo needs it. COMMAND, or rsm-ctl on the example
#   --files N, --file-size KIB, --one-processor     limits for what was built
#
# Crates are fetched before, with the machine's own configuration: inside there is no network. Without the right to make
# namespaces it says so and ends with 77. RSM_FRESH_DIR is where the clone and what is built there are kept meanwhile
# (default: /var/tmp).
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$0")/.."
top=$PWD
# Inside they come from outside.
[ "${FRESH_INSIDE-}" = 1 ] || here='' user='' read_only='' without='' no_proc='' files='' file_size='' one=''
while [ $# -gt 0 ]; do
    case $1 in
        --here) here=1 ;;
        --user) user=1 ;;
        --read-only) read_only=1 ;;
        --no-proc) no_proc=1 ;;
        --one-processor) one=1 ;;
        --without) without=$2 && shift ;;
        --files) files=$2 && shift ;;
        --file-size) file_size=$2 && shift ;;
        --) shift && break ;;
        *) sed -n '2,18s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
    esac
    shift
done

# The first block of commands of the README, a line each.
readme_commands() { awk '/^```sh/ { inside = 1; next } /^```/ { if (inside) exit } inside' README.md; }

# Puts an empty directory over the first one above a place that not everybody may enter.
cover() {
    local at='' part
    while read -r part; do
        at=$at/$part
        case $(stat -c %A "$at" 2>/dev/null) in
            *x | *t) ;;
            '') return 0 ;;
            *) mount -t tmpfs -o mode=755 fresh "$at" && return 0 ;;
        esac
    done < <(tr / '\n' <<<"${1#/}")
}

unmount_all() { while umount -l "$1" 2>/dev/null; do :; done; }

# As root of the new namespaces: what a fresh machine has, then the rest as whoever it is to be.
inside() {
    mount --make-rprivate /
    # What lies below directories that are to be empty, or that the user may not enter, comes back to where it was: elsewhere
    # cargo would build everything anew.
    local kept=("$CARGO_HOME" "$RUSTUP_HOME") place number
    [ -z "$here" ] || kept+=("$top")
    for number in "${!kept[@]}"; do
        mkdir -p "$work/bound/$number"
        mount --bind "${kept[number]}" "$work/bound/$number"
    done
    mount -t tmpfs -o mode=1777 fresh /dev/shm
    mount -t tmpfs -o mode=1777 fresh /tmp
    if [ -n "$user" ]; then
        for place in "${kept[@]}"; do cover "$place"; done
    fi
    for number in "${!kept[@]}"; do
        place=${kept[number]}
        [ ! -d "$place" ] || continue
        mkdir -p "$place"
        mount --bind "$work/bound/$number" "$place"
    done
    if [ -n "$read_only" ]; then
        mount --bind "$work" "$work"
        [ -z "$here" ] || mount --bind "$top/target" "$top/target"
        findmnt -rno TARGET | sort -r | while read -r at; do
            case $at in
                "$work"* | "$top/target"* | /proc* | /sys* | /dev* | /tmp) ;;
                *) mount -o remount,bind,ro "$at" 2>/dev/null || true ;;
            esac
        done
    fi
    ip link set lo up 2>/dev/null || true
    hostname fresh 2>/dev/null || true
    local as=() limits=()
    if [ -n "$user" ] && [ "$root" = 1 ]; then
        chown -R 61234:61234 "$work/home" "$work/rsm" 2>/dev/null || true
        as=(setpriv --reuid 61234 --regid 61234 --clear-groups --no-new-privs)
    elif [ -n "$user" ]; then
        # Root of the namespaces was who started this: in another one it has its own number again, and no rights.
        as=(unshare --user --map-user="$owner" --map-group="$group" setpriv --no-new-privs)
    fi
    local clean=(env -i PATH="$CARGO_HOME/bin:$PATH" HOME="$work/home" LANG=C.UTF-8 TERM=dumb
        CARGO_HOME="$CARGO_HOME" RUSTUP_HOME="$RUSTUP_HOME" CARGO_NET_OFFLINE=true CARGO_TERM_COLOR=never)
    [ -z "$files" ] || limits+=("ulimit -n $files;")
    [ -z "$file_size" ] || limits+=("ulimit -f $file_size;")
    local wrap=()
    [ -z "$one" ] || wrap+=(taskset -c 0)
    [ -z "$without" ] || wrap+=("$work/without" "$without")
    local line features
    if [ -n "$no_proc$files$file_size$one$without" ]; then
        # Built without the limits, which are for users and not for compilers.
        for line in "${commands[@]}"; do
            case $line in
                'cargo test '*) [ -n "$no_proc" ] || (cd "$tree" && "${as[@]}" "${clean[@]}" bash -c "${line%% -- *} --no-run") ;;
                cargo*)
                    features=''
                    case $line in *' --no-default-features '*) features=--no-default-features ;; esac
                    (cd "$tree" && "${as[@]}" "${clean[@]}" bash -c "cargo build -p rsm-ctl $features && cargo build --examples")
                    ;;
            esac
        done
    fi
    for line in "${commands[@]}"; do
        printf '\n== %s\n' "$line"
        if [ -n "$no_proc" ]; then
            line=$(sed -E 's/^cargo run -p rsm-ctl (--no-default-features )?-- /target\/debug\/rsm-ctl /; s/--example ([a-z]+) --/-- target\/debug\/examples\/\1/' <<<"$line")
            case $line in cargo*) echo "-- skipped: cargo needs /proc" && continue ;; esac
        fi
        (cd "$tree" && ${no_proc:+unmount_all /proc} && "${as[@]}" "${clean[@]}" ${wrap[@]+"${wrap[@]}"} bash -c "${limits[*]} $line")
    done
}

if [ "${FRESH_INSIDE-}" = 1 ]; then
    mapfile -t commands <"$work/commands"
    unset FRESH_INSIDE
    inside
    exit
fi

root=0 && [ "$(id -u)" != 0 ] || root=1
owner=$(id -u) group=$(id -g)
spaces=(--ipc --pid --net --mount --uts --fork --mount-proc --kill-child)
[ "$root" = 1 ] || spaces+=(--user --map-root-user)
if ! why=$(unshare "${spaces[@]}" true 2>&1); then
    echo "-- skipped: a fresh machine: namespaces are not to be had here: $why"
    exit 77
fi

export CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}"
if [ -n "$here" ] && [ -n "$user" ] && [ "$root" = 1 ]; then
    echo "what is built here belongs to root, and an ordinary user cannot go on with it: --user without --here" >&2
    exit 2
fi
if [ -n "$no_proc" ] && [ -n "$user" ] && [ "$root" = 0 ]; then
    echo "who is to be an ordinary user again is made so by way of /proc: --no-proc without --user, or both as root" >&2
    exit 2
fi
work=$(mktemp -d "${RSM_FRESH_DIR:-/var/tmp}/rsm-fresh.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 755 "$work"
mkdir "$work/home"
if [ $# -gt 0 ]; then printf '%q ' "$@"; else readme_commands; fi >"$work/commands"
if [ -n "$here" ]; then
    tree=$top
else
    tree=$work/rsm
    git clone -q --no-hardlinks "$top" "$tree"
    cargo fetch -q --locked --manifest-path "$tree/Cargo.toml"
fi
[ -z "$without" ] || cc -O1 -o "$work/without" ci/without.c
export work tree top root owner group here user read_only without no_proc files file_size one FRESH_INSIDE=1
unshare "${spaces[@]}" bash "$self"
