#!/usr/bin/env bash
# The emulated bridge between two machines of Debian (QEMU, without KVM), each with a function of rsm-ntb-emu. First with
# Linux's own drivers: `ntb_hw_epf` and `ntb_tool` pass traffic, the cable is pulled, one machine is killed. Then with those of
# rsm, by VFIO: memory is attached and taken back, a process that drives a function is killed, and another takes over. At last
# with clusters that have nodes on both: `hello`, `rsmtest.c` and `sort`, unchanged, while stores take 3 ms to arrive; and one
# machine is killed.
# Needs no root and installs nothing: packages come from the mirror that this machine's apt names, and are unpacked into a
# cache.
#
#   ci/bridge.sh [--limit SECONDS] [linux|rsm|hosts]..
#
#   --limit      for each pair of machines; 180 where it is not given
#
# RSM_KERNELS_CACHE    where packages are kept, as for ci/kernels.sh. At first some 250 MB are downloaded: an emulator that speaks
#                      vfio-user (QEMU 10.1), headers and sources of the kernel, whose packages have no drivers of bridges
#
# Ends with 0 when nothing failed, 77 when nothing could be run. target/bridge has what the machines printed, what went over
# the bridge and what the emulator said.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$0")/.."
cache=${RSM_KERNELS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rsm-kernels}
limit=180
drivers=()
while [ $# -gt 0 ]; do
    case $1 in
        --limit) limit=$2 && shift ;;
        linux | rsm | hosts) drivers+=("$1") ;;
        *) sed -n '2,20s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#drivers[@]} -gt 0 ] || drivers=(linux rsm hosts)
. ci/packages.sh
no() { skip 'two hosts at a bridge' "$1" && exit 77; }
[ "$(uname -m)" = x86_64 ] || no "the machines are of x86-64, and this is $(uname -m)"
for command in apt-get apt-cache dpkg-deb make; do
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

### The kernel and its drivers of bridges

# The one that this project's other scripts boot, of a suite whose compiler many machines have.
suite=bookworm
kernel=$cache/kernel-$suite-amd64
if [ ! -e "$kernel/.whole" ]; then
    package=$(kernel_image $suite amd64 linux-image-cloud-amd64 2>"$work/why") && [ -n "$package" ] &&
        unpacked "$kernel" $suite amd64 "$package" 2>"$work/why" || no "the kernel is not to be had: $(tail -n 1 "$work/why")"
    find "$kernel" -type f ! -name 'vmlinuz*' ! -name .whole -delete
fi
image=$(find "$kernel" -name 'vmlinuz*' -type f | sort -V | tail -n 1)
version=${image##*/vmlinuz-}
series=$(cut -d . -f 1,2 <<<"$version")
modules=$cache/bridge-modules-$version
build_modules() {
    local at=$work/build headers
    unpacked "$at" $suite amd64 "linux-headers-$version" "linux-headers-${version%-cloud-amd64}-common" "linux-kbuild-$series" \
        "linux-source-$series" "linux-image-$version" || return 1
    tar -C "$at" -xJf "$at/usr/src/linux-source-$series.tar.xz" --wildcards '*/drivers/ntb/*' || return 1
    headers=$at/usr/src/linux-headers-$version
    # They name each other by where they would be installed.
    sed -i "s,/usr/src/,$at/usr/src/," "$headers/Makefile"
    mkdir "$at/modules"
    (cd "$at/linux-source-$series/drivers/ntb" && cp core.c hw/epf/ntb_hw_epf.c test/ntb_tool.c "$at/modules") || return 1
    printf 'obj-m := ntb.o ntb_hw_epf.o ntb_tool.o\nntb-y := core.o\n' >"$at/modules/Kbuild"
    make -C "$headers" M="$at/modules" CC="$compiler" modules >&2 || return 1
    mkdir -p "$modules/vfio"
    cp "$at"/modules/*.ko "$modules"
    # In the order in which they are loaded.
    local order=0 name file
    for name in virt/lib/irqbypass drivers/vfio/vfio drivers/vfio/vfio_virqfd drivers/vfio/vfio_iommu_type1 \
        drivers/vfio/pci/vfio-pci-core drivers/vfio/pci/vfio-pci; do
        file=$at/lib/modules/$version/kernel/$name.ko
        [ -e "$file" ] || { echo "the kernel has no $name.ko" && return 1; }
        order=$((order + 1))
        cp "$file" "$modules/vfio/$order-${name##*/}.ko"
    done
    rm -rf "$at"
    touch "$modules/.whole"
}
[ -e "$modules/.whole" ] || build_modules 2>"$work/why" || no "the drivers cannot be built: $(tail -n 1 "$work/why")"

### The file system

"${CARGO:-cargo}" build -q --locked --manifest-path rsm-ntb-emu/Cargo.toml
bridge=$("${CARGO:-cargo}" metadata -q --locked --no-deps --format-version 1 --manifest-path rsm-ntb-emu/Cargo.toml |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/rsm-ntb-emu
two_hosts=$("${CARGO:-cargo}" build --locked -p rsm-ntb --example two_hosts --message-format json-render-diagnostics |
    sed -nE 's/.*"executable":"([^"]*)".*/\1/p')
root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp}
cp ci/bridge/guest.sh "$root/init"
chmod 755 "$root/init"
cp "$cache/busybox-amd64/bin/busybox" "$root/bin/busybox"
cp -r "$modules" "$root/modules"
${strip:-strip} --strip-debug -o "$root/two_hosts" "$two_hosts" 2>/dev/null || cp "$two_hosts" "$root/two_hosts"
ldd "$root/two_hosts" | awk '$2 == "=>" && $3 ~ "^/" { print $3 } $1 ~ "^/.*ld-linux" { print $1 }' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
pack() { (cd "$root" && find . -mindepth 1 | of_tools "$at/usr/bin/cpio" -o -H newc -R 0:0 --quiet >"$work/$1.cpio"); }
pack root
# What the clusters need beside that, and the others do not have to unpack.
lay_out_hosts() {
    local to=$root/hosts name built
    mkdir -p "$to"
    built=$("${CARGO:-cargo}" build --locked -p rsm-ctl --bins -p rsm-examples --examples --message-format json-render-diagnostics |
        sed -nE 's/.*"executable":"([^"]*)".*/\1/p')
    for name in rsm-ctl hello sort; do cp "$(grep "/$name\$" <<<"$built" | tail -n 1)" "$to"; done
    cp "$(sh rsm-capi/tests/library.sh --locked)" "$to/librsm.so.2"
    ln -s librsm.so.2 "$to/librsm.so"
    ${CC:-cc} -std=gnu11 -O1 -pthread -Irsm-capi/include -o "$to/rsmtest" examples/c/rsmtest.c -L "$to" -lrsm
    for name in rsm-ctl hello sort librsm.so.2; do ${strip:-strip} --strip-debug "$to/$name" 2>/dev/null || true; done
    cat README.md ARCHITECTURE.md >"$to/text"
    LD_LIBRARY_PATH=$to ldd "$to"/{rsm-ctl,hello,sort,rsmtest} | awk '$2 == "=>" && $3 ~ "^/" { print $3 }' | grep -v "^$to" |
        sort -u | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -Lu "$library" "$root$library"
    done
}
case " ${drivers[*]} " in *' hosts '*) lay_out_hosts && pack hosts ;; esac

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
        rsm)
            said 'done' a b &&
                if ! grep -q "by the window's file" "$results/a.log" || ! grep -q "by the function's descriptor" "$results/b.log"; then
                    echo '-- the window was not reached in the one way and in the other' && return 1
                fi
            ;;
    esac
}
# Boots two machines with the drivers of `linux` or `rsm`, or as `hosts` of clusters, and tells what came out.
two_machines() {
    local drivers=$1 code=0 host bridge_process
    local results=target/bridge/$drivers
    began=$SECONDS
    mkdir -p "$results"
    rm -f "$results"/* "$work/ready"
    local late=() disk=root
    [ "$drivers" != hosts ] || late=(--delay 3ms) disk=hosts
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
        "${emulator[@]}" -nodefaults -no-user-config -display none -no-reboot -accel tcg,thread=multi -m 256M \
            -object memory-backend-memfd,id=ram,size=256M,share=on -M q35,memory-backend=ram,kernel-irqchip=off \
            -device intel-iommu,intremap=on,caching-mode=on \
            -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"'"$work/$host.sock"'"}}' \
            -kernel "$image" -initrd "$work/$disk.cpio" -serial file:"$results/$host.log" \
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

    for host in a b; do sed -n "s/\r\$//; s/^@@ passed /$drivers, $host: /p" "$results/$host.log"; done
    if grep -H '^@@ failed' "$results"/[ab].log; then code=1; fi
    echo "-- $drivers: two hosts with Linux $version, $((SECONDS - began)) s; $(sed -n 's/^\([ab].\(stores\|loads\|doorbells\) [0-9]*\)$/\1/p' "$results/stats" | paste -sd, | sed 's/,/, /g')"
    [ "$code" = 0 ] || tail -n 40 "$results"/[ab].log "$results"/[ab].emulator
    return "$code"
}
code=0
for each in "${drivers[@]}"; do
    two_machines "$each" || code=1
done
exit "$code"
