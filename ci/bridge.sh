#!/usr/bin/env bash
# The emulated bridge between two machines of Debian (QEMU, without KVM), each with a function of rsm-ntb-emu:
#
#   linux    with Linux's own drivers: `ntb_hw_epf` and `ntb_tool` pass traffic, the cable is pulled, one machine is killed
#   rsm      with those of rsm, by VFIO: memory is attached and taken back, a process that drives a function is killed, and another
#            takes over
#   hosts    clusters that have nodes on both: `hello`, `rsmtest.c` and `sort`, unchanged, while stores take 3 ms to arrive; and
#            one machine is killed
#   faults   what a put, a span, a signal and a get bring over the bridge; and the ends of connections between two hosts: memory is
#            taken back under a writer, the cable is pulled and put in, either agent is killed and a successor meets the other, one
#            machine is killed. What was vouched for is there each time; but not with a library that does not load the seal for a
#            verdict, which has to be found out
#
# Needs no root and installs nothing: packages come from the mirror that this machine's apt names, and are unpacked into a
# cache.
#
#   ci/bridge.sh [--limit SECONDS] [--all SECONDS] [--kernel 6.1|newest].. [linux|rsm|hosts|faults]..
#
#   --limit      for each pair of machines; 180 where it is not given
#   --all        for all of them: no pair is begun any more after so long, and those that were not are named; 180 where neither this nor
#                what to run is given
#   --kernel     which the machines have, one after the other; without it all is run with 6.1, and hosts and faults also with newest,
#                where programs are given another descriptor to reach the window by
#
# RSM_KERNELS_CACHE    where packages are kept, as for ci/kernels.sh. At first some 280 MB are downloaded: an emulator that speaks
#                      vfio-user (QEMU 10.1), headers and sources of the kernel, whose packages have no drivers of bridges
#
# Ends with 0 when nothing failed, 77 when nothing could be run. target/bridge has what the machines printed, what went over
# the bridge and what the emulator said.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$0")/.."
cache=${RSM_KERNELS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rsm-kernels}
limit=180 all=''
drivers=()
kernels=()
while [ $# -gt 0 ]; do
    case $1 in
        --limit) limit=$2 && shift ;;
        --all) all=$2 && shift ;;
        --kernel) case ${2-} in 6.1 | newest) kernels+=("$2") && shift ;; *) echo "--kernel is 6.1 or newest" >&2 && exit 2 ;; esac ;;
        linux | rsm | hosts | faults) drivers+=("$1") ;;
        *) sed -n '2,35s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#drivers[@]} -gt 0 ] || { drivers=(linux rsm hosts faults) && all=${all:-180}; }
# Which drivers with which kernel.
plan=()
for kernel in "${kernels[@]:-6.1}"; do for each in "${drivers[@]}"; do plan+=("$kernel $each"); done; done
if [ ${#kernels[@]} = 0 ]; then
    for each in "${drivers[@]}"; do case $each in hosts | faults) plan+=("newest $each") ;; esac; done
fi
. ci/packages.sh
. ci/bridge/kernels.sh
. ci/bridge/disks.sh
no() { skip 'two hosts at a bridge' "$1" && exit 77; }
[ "$(uname -m)" = x86_64 ] || no "the machines are of x86-64, and this is $(uname -m)"
for command in apt-get apt-cache dpkg-deb make xz; do
    command -v "$command" >/dev/null || no "there is no $command"
done
compiler=$(command -v gcc-12 || command -v gcc) || no 'there is no gcc, with which kernels are built'
mkdir -p "$cache"
cache=$(realpath "$cache")
work=$(mktemp -d "${TMPDIR:-/tmp}/rsm-bridge.XXXXXX")
processes=()
end() {
    for process in ${processes[@]+"${processes[@]}"}; do kill -KILL "$process" 2>/dev/null || true; done
    wait
    rm -rf --one-file-system "$work"
}
trap end EXIT
trap 'exit 1' INT TERM HUP

### The emulator, cpio, a shell

at=$cache/bridge-tools
if [ ! -e "$at/.whole" ]; then
    backports=trixie+trixie-backports
    needed=$(apt_of $backports amd64 plan --no-install-recommends qemu-system-x86 cpio 2>"$work/why") ||
        no "the emulator is not to be had: $(tail -n 1 "$work/why")"
    # shellcheck disable=SC2046
    unpacked "$at" $backports amd64 $(awk '/^Inst/ { print $2 }' <<<"$needed") 2>"$work/why" ||
        no "the emulator is not to be had: $(tail -n 1 "$work/why")"
fi
# With a C library of its own, which this machine's may be older than.
libraries=$at/usr/lib/x86_64-linux-gnu
of_tools() { "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$@"; }
emulator=("$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$at/usr/bin/qemu-system-x86_64"
    -L "$at/usr/share/qemu" -L "$at/usr/share/seabios")
"${emulator[@]}" -device help 2>/dev/null | grep -q '"vfio-user-pci"' || no 'the emulator does not speak vfio-user'
unpacked "$cache/busybox-amd64" "$own_suite" amd64 busybox-static 2>"$work/why" ||
    no "busybox is not to be had: $(tail -n 1 "$work/why")"

### The kernels

wanted() { case " ${plan[*]} " in *" $1 "*) ;; *) return 1 ;; esac; }
images=()
for kernel in 6.1 newest; do
    wanted "$kernel" || continue
    if find_kernel "$kernel" >"$work/no"; then
        lay_out_modules
        images+=("$kernel $version $image ${has_drivers:-no}")
    else
        skip "two hosts with Linux $kernel" "$(tail -n 1 "$work/no")"
    fi
done
[ ${#images[@]} -gt 0 ] || exit 77

### The file system

"${CARGO:-cargo}" build -q --locked --manifest-path rsm-ntb-emu/Cargo.toml
bridge=$("${CARGO:-cargo}" metadata -q --locked --no-deps --format-version 1 --manifest-path rsm-ntb-emu/Cargo.toml |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/rsm-ntb-emu
lay_out_root
! wanted rsm || lay_out_rsm
if wanted hosts || wanted faults; then lay_out_clusters; fi
! wanted hosts || lay_out_hosts
! wanted faults || lay_out_faults
# What machines with these drivers unpack.
archives_of() {
    case $1 in
        linux) echo root ;;
        rsm) echo root rsm ;;
        *) echo root clusters "$1" ;;
    esac
}

### Two hosts

declare -A machine
# Waits until machines have said something: said TEXT HOST..
said() {
    local text=$1 host
    shift
    for host in "$@"; do
        until grep -q "^@@ $text" "$results/$host.log" 2>/dev/null; do
            kill -0 "${machine[$host]}" 2>/dev/null || { echo "-- $host ended before it said \"$text\"" && return 1; }
            [ $((SECONDS - began)) -lt "$limit" ] || { echo "-- $host has not said \"$text\" within $limit s" && return 1; }
            sleep 0.1
        done
    done
}
tell() { "$bridge" tell "$work/c.sock" "$@"; }
# What is done to the machines from outside.
course() {
    case $1 in
        linux)
            said 'at down' a b && tell down >/dev/null && said 'at up' a b && tell up >/dev/null && said 'at death' a b &&
                kill -KILL "${machine[b]}" && { wait "${machine[b]}" 2>/dev/null || true; } && said 'done' a
            ;;
        hosts)
            said 'at death' a && kill -KILL "${machine[b]}" && { wait "${machine[b]}" 2>/dev/null || true; } && said 'done' a
            ;;
        faults)
            # For a moment, for longer than the agents need to notice, and for longer than they need to meet again.
            local round=0 time
            for time in 20 300 2000; do
                round=$((round + 1))
                said "at flap $round" a && tell flap "$time" >/dev/null || return 1
            done
            said 'at host 1' a && kill -KILL "${machine[b]}" && { wait "${machine[b]}" 2>/dev/null || true; } && said 'done' a
            ;;
        rsm)
            said 'done' a b || return 1
            # With kernels of late both reach the window by the function's descriptor.
            [ "$kernel" = 6.1 ] || return 0
            if ! grep -q "by the window's file" "$results/a.log" || ! grep -q "by the function's descriptor" "$results/b.log"; then
                echo '-- the window was not reached in the one way and in the other' && return 1
            fi
            ;;
    esac
}
# Boots two machines with a kernel (`kernel`, `version`, `image`) and drivers, and tells what came out.
two_machines() {
    local drivers=$1 code=0 host bridge_process archive
    local results=target/bridge/$drivers-$kernel
    began=$SECONDS
    mkdir -p "$results"
    rm -f "$results"/* "$work/ready"
    local late=()
    case $drivers in hosts | faults) late=(--delay 3ms) ;; esac
    for archive in $(archives_of "$drivers") "modules-$version"; do cat "$work/$archive.cpio"; done >"$work/disk"
    "$bridge" "$work/a.sock" "$work/b.sock" --control "$work/c.sock" --trace "$results/trace" ${late[@]+"${late[@]}"} >"$work/ready" 2>"$results/bridge" &
    bridge_process=$!
    processes+=("$bridge_process")
    until [ -s "$work/ready" ]; do
        kill -0 "$bridge_process" 2>/dev/null || { cat "$results/bridge" && return 1; }
        sleep 0.1
    done
    # One of the two keeps the kernel's file of a window to itself, as newer kernels do with a function that VFIO drives.
    local -A also=([a]= [b]=)
    [ "$drivers" = linux ] || also[b]='lockdown=integrity'
    for host in a b; do
        "${emulator[@]}" -nodefaults -no-user-config -display none -no-reboot -accel tcg,thread=multi -m 512M \
            -object memory-backend-memfd,id=ram,size=512M,share=on -M q35,memory-backend=ram,kernel-irqchip=off \
            -device intel-iommu,intremap=on,caching-mode=on \
            -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"'"$work/$host.sock"'"}}' \
            -kernel "$image" -initrd "$work/disk" -serial file:"$results/$host.log" \
            -append "console=ttyS0 quiet panic=-1 no_timer_check random.trust_cpu=on intel_iommu=on host=$host driver=$drivers ${also[$host]}" \
            </dev/null 2>"$results/$host.emulator" &
        machine[$host]=$!
        processes+=($!)
    done
    course "$drivers" || code=1
    tell stats >"$results/stats" || { echo '-- the bridge is gone' && code=1; }
    for host in a b; do kill "${machine[$host]}" 2>/dev/null && { wait "${machine[$host]}" 2>/dev/null || true; }; done
    kill "$bridge_process" 2>/dev/null && wait "$bridge_process" || { echo "-- the bridge failed: $(cat "$results/bridge")" && code=1; }
    processes=()

    if [ "$drivers" = faults ]; then
        awk -f ci/bridge/counts.awk "$results/trace" >"$work/counts" || code=1
        sed "s/^/$drivers, counted: /" "$work/counts"
    fi
    for host in a b; do
        sed -n "s/\r\$//; s/^@@ passed /$drivers, $host: /p; s/^@@ measured /$drivers, $host, measured: /p" "$results/$host.log"
    done
    if grep -H '^@@ failed' "$results"/[ab].log; then code=1; fi
    echo "-- $drivers: two hosts with Linux $version, $((SECONDS - began)) s; $(sed -n 's/^\([ab].\(stores\|loads\|doorbells\) [0-9]*\)$/\1/p' "$results/stats" | paste -sd, | sed 's/,/, /g')"
    [ "$code" = 0 ] || tail -n 40 "$results"/[ab].log "$results"/[ab].emulator
    return "$code"
}
code=0 all_began=$SECONDS ran=0
for each in "${plan[@]}"; do
    read -r kernel drivers_of <<<"$each"
    if [ -n "$all" ] && [ $((SECONDS - all_began)) -ge "$all" ]; then
        skip "$drivers_of with kernel $kernel" "$all s are over: bash ci/bridge.sh --kernel $kernel $drivers_of"
        continue
    fi
    version=''
    for known in "${images[@]}"; do case $known in "$kernel "*) read -r _ version image has <<<"$known" ;; esac; done
    if [ -z "$version" ]; then
        continue
    elif [ "$drivers_of" = linux ] && [ "$has" = no ]; then
        skip "linux with Linux $version" 'its drivers of bridges are not in packages, and are built for 6.1 alone'
    else
        ran=1
        two_machines "$drivers_of" || code=1
    fi
done
[ "$ran" = 1 ] || exit 77
exit "$code"
