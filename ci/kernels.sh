#!/usr/bin/env bash
# The project on other kernels: boots kernels of Debian in an emulated machine (QEMU, without KVM), with the binaries of
# this checkout in its only file system, and tells kernel by kernel what passed, failed and was skipped. Needs no root and
# installs nothing: packages come from the mirror that this machine's apt names, and are unpacked into a cache.
#
#   ci/kernels.sh [--arch ARCH] [--processors N] [--limit SECONDS] [--fast] [KERNEL..] [-- SUITE[:TEST]..]
#
#   ARCH         this machine's, or aarch64 beside x86-64, for which ci/cross.sh says what it takes
#   KERNEL       5.10, 6.1, 6.12 or newest, from 6.12 on also with -16k on aarch64, for pages of 16 KiB; a suite of Debian
#                (sid); a package (a file .deb) or the directory it was unpacked in. Where none is named all four, and on
#                aarch64 6.1, 6.12 and 6.12-16k
#   SUITE        doctor, hello, sort, rsmtest, conformance, api, processes, hostile, model; with `:TEXT` only the tests whose
#                names contain it
#   --fast       a part of the suites, for a minute on each kernel
#   --limit      for one machine; an hour where it is not given, ten minutes with --fast before it
#
# RSM_KERNELS_CACHE    where packages are kept, ~/.cache/rsm-kernels where it is not set. What is there is not looked up again:
#                      without it, `newest` is the newest of today
#
# Ends with 0 when nothing failed, 77 when nothing could be run. target/kernels has what the machines printed.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$0")/.."
guest=ci/kernels/guest.sh
cache=${RSM_KERNELS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rsm-kernels}
arch=$(uname -m) processors=2 limit=3600 fast=''
kernels=() suites=()
while [ $# -gt 0 ]; do
    case $1 in
        --arch) arch=$2 && shift ;;
        --processors) processors=$2 && shift ;;
        --limit) limit=$2 && shift ;;
        --fast) fast=1 limit=600 ;;
        --) shift && suites=("$@") && break ;;
        -*) sed -n '2,20s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
        *) kernels+=("$1") ;;
    esac
    shift
done
if [ ${#kernels[@]} -eq 0 ]; then
    case $arch in
        aarch64) kernels=(6.1 6.12 6.12-16k) ;;
        *) kernels=(5.10 6.1 6.12 newest) ;;
    esac
fi
if [ ${#suites[@]} -eq 0 ]; then
    if [ -n "$fast" ]; then
        suites=(doctor hello sort rsmtest conformance:A-051 api:memory api:signals hostile:attacks::keep)
    else
        # Of the model what asks the library, and not what asks the model.
        suites=(doctor hello sort rsmtest conformance api model:the_ processes hostile)
    fi
fi
. ci/packages.sh

# What differs from one architecture to the next.
case $arch in
    x86_64)
        debian=amd64
        emulator=qemu-system-x86_64 emulator_packages=(qemu-system-x86 seabios)
        machine=(-M q35 -cpu max -append "console=ttyS0 quiet panic=-1 no_timer_check random.trust_cpu=on")
        ;;
    aarch64)
        debian=arm64
        emulator=qemu-system-aarch64 emulator_packages=(qemu-system-arm)
        # It has atomic instructions and pages of 16 KiB, and no authentication of pointers, which takes long to emulate.
        machine=(-M virt -cpu neoverse-n1 -append "console=ttyAMA0 quiet panic=-1 random.trust_cpu=on")
        ;;
    *) skip kernels "no machine of the architecture $arch is described" && exit 77 ;;
esac
# Those with the suffix -16k have pages of 16 KiB.
kernel_package() {
    case $debian-$1 in
        arm64-*-16k) echo linux-image-arm64-16k ;;
        arm64-*) echo linux-image-arm64 ;;
        *) echo "linux-image-cloud-$debian" ;;
    esac
}
suite_of_kernel() {
    case ${1%-16k} in
        5.10) echo bullseye ;;
        6.1) echo bookworm ;;
        6.12) echo trixie ;;
        newest) echo trixie-backports ;;
        *) echo "${1%-16k}" ;;
    esac
}
# Another architecture's programs are built by another compiler, and find their libraries elsewhere.
cross=''
if [ "$arch" != "$(uname -m)" ]; then
    cross=$(bash ci/cross.sh "$arch" --env) || { echo "${cross:--- skipped: kernels: nothing can be built for $arch here}" && exit 77; }
    eval "$cross"
fi

### Packages

# The emulator and cpio, as `emulate` and `pack`: this machine's own where it has them.
tools() {
    if command -v "$emulator" >/dev/null && command -v cpio >/dev/null; then
        emulate=("$emulator") pack=(cpio)
        return 0
    fi
    local host needed at=$cache/tools-for-$debian
    host=$(dpkg --print-architecture)
    if [ ! -e "$at/.whole" ]; then
        needed=$(apt_of "$own_suite" "$host" simulate --no-install-recommends "${emulator_packages[@]}" cpio) || return 1
        # shellcheck disable=SC2046
        unpacked "$at" "$own_suite" "$host" $(awk '/^Inst/ { print $2 }' <<<"$needed") || return 1
    fi
    local with=(env LD_LIBRARY_PATH="$at/usr/lib/$(uname -m)-linux-gnu:$at/lib/$(uname -m)-linux-gnu")
    emulate=("${with[@]}" "$at/usr/bin/$emulator" -L "$at/usr/share/qemu" -L "$at/usr/share/seabios")
    pack=("${with[@]}" "$(find "$at/bin" "$at/usr/bin" -name cpio 2>/dev/null | head -n 1)")
}

# Where a kernel's files are: kernel NAME
kernel() {
    local name=$1 suite package to
    if [ -d "$name" ]; then
        echo "$name"
    elif [ -f "$name" ]; then
        to=$work/$(basename "$name")
        mkdir -p "$to" && dpkg-deb -x "$name" "$to" && echo "$to"
    else
        suite=$(suite_of_kernel "$name")
        to=$cache/kernel-$suite-$debian
        case $name in *-16k) to+=-16k ;; esac
        if [ ! -e "$to/.whole" ]; then
            package=$(kernel_image "$suite" "$debian" "$(kernel_package "$name")")
            unpacked "$to" "$suite" "$debian" "$package" || return 1
            # Nothing is loaded later.
            find "$to" -type f ! -name 'vmlinuz*' ! -name .whole -delete
        fi
        echo "$to"
    fi
}

### The file system

# Builds what the suites are, and prints `name path` of each program.
programs() {
    local tests=()
    local test
    for test in api processes hostile model conformance; do tests+=(--test "$test"); done
    "${CARGO:-cargo}" build --locked --workspace --lib --bins --examples "${tests[@]}" --message-format json-render-diagnostics |
        sed -nE 's/.*"executable":"([^"]*)".*/\1/p' | while read -r path; do
        echo "$(basename "$path" | sed -E 's/-[0-9a-f]{16}$//') $path"
    done
}

# Builds what is written in C beside the library.
lay_out_c() {
    local to=$1
    cp "$(sh rsm-capi/tests/library.sh --locked)" "$to/librsm.so.2"
    ln -s librsm.so.2 "$to/librsm.so"
    # The names that the header declares, as the suite's own runner makes them.
    tr -s ' \t*' '\n' <rsm-capi/include/rsmapi.h | sed -n 's/^\(rsm_[a-z0-9_]*\)(.*/    "\1",/p' | sort -u >"$work/functions.h"
    local cc=(${CC:-cc} -std=gnu11 -O1 -pthread -Irsm-capi/include -I "$work") with=(-L "$to" -lrsm)
    local also=()
    if [ -z "$cross" ]; then
        ${CXX:-c++} -std=c++17 -Irsm-capi/include -c -o "$work/cxx.o" rsm-capi/tests/conformance/cxx.cpp
        also=(-DCONFORMANCE_CXX "$work/cxx.o")
    fi
    "${cc[@]}" -o "$to/conformance" rsm-capi/tests/conformance/*.c ${also[@]+"${also[@]}"} "${with[@]}"
    "${cc[@]}" -o "$to/rsmtest" examples/c/rsmtest.c "${with[@]}"
}

# Lays out the root directory of the machine.
lay_out() {
    local root=$1 name path library
    mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,root,suites/c,var/tmp}
    cp "$guest" "$root/init"
    chmod 755 "$root/init"
    cp "$cache/busybox-$debian/bin/busybox" "$root/bin/busybox"
    printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    programs >"$work/programs"
    # What unpacking takes in a machine is most of what a short run takes.
    while read -r name path; do
        case " rsm-ctl ${suites[*]%%:*} " in *" $name "*) ;; *) continue ;; esac
        ${strip:-strip} --strip-debug -o "$root/suites/$name" "$path" 2>/dev/null || cp "$path" "$root/suites/$name"
    done <"$work/programs"
    case " ${suites[*]}" in *' conformance'* | *' rsmtest'*) lay_out_c "$root/suites/c" ;; esac
    # A real text, and what it is when sorted.
    git ls-files -z -- '*.rs' '*.md' '*.c' | xargs -0 cat >"$root/suites/text"
    LC_ALL=C sort "$root/suites/text" >"$root/suites/sorted"
    printf '%s\n' "${suites[@]}" >"$root/suites/plan"
    if [ -n "$cross" ]; then
        local libraries=$cache/libraries-$debian
        unpacked "$libraries" "$own_suite" "$debian" libc6 libgcc-s1
        (cd "$libraries" && find . ! -type d -name '*.so*' ! -path '*/gconv/*' ! -path '*/audit/*' | xargs cp -P --parents -t "$root")
        [ -e "$root/lib" ] || ln -s usr/lib "$root/lib"
        return
    fi
    find "$root/suites" -maxdepth 2 -type f -perm /100 | xargs ldd 2>/dev/null |
        awk '$2 == "=>" && $3 ~ "^/" { print $3 } $1 ~ "^/.*ld-linux" { print $1 }' | grep -v "^$root" | sort -u |
        while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            cp -L "$library" "$root$library"
        done
}

### Machines

# Boots a kernel: boot NAME LOG
boot() {
    local files image
    files=$(kernel "$1" 2>"$work/why") || { skip "$1" "$(tail -n 1 "$work/why")" && return 1; }
    image=$(find "$files" -name 'vmlinuz*' -type f | sort -V | tail -n 1)
    [ -n "$image" ] || { skip "$1" "there is no kernel in it" && return 1; }
    local began=$SECONDS code=0
    # In the background: a signal that ends this script then ends the machine.
    timeout -k 5 "$limit" "${emulate[@]}" -nodefaults -no-user-config -display none -no-reboot \
        -accel tcg,thread=multi -smp "$processors" -m 3G "${machine[@]}" -kernel "$image" -initrd "$work/root.cpio" \
        -serial file:"$2" </dev/null 2>"$work/emulator" &
    machine_process=$!
    wait "$machine_process" || code=$?
    machine_process=''
    [ "$code" = 0 ] || echo "-- $1: the machine ended with $code: $(tail -n 1 "$work/emulator")"
    echo "-- $1: $(sed -n 's/\r$//; s/^@@ kernel //p' "$2"), $((SECONDS - began)) s"
}

mkdir -p "$cache"
cache=$(realpath "$cache")
work=$(mktemp -d "${TMPDIR:-/tmp}/rsm-kernels.XXXXXX")
machine_process=''
end() {
    [ -z "$machine_process" ] || { kill "$machine_process" && wait "$machine_process" || true; } 2>/dev/null
    rm -rf --one-file-system "$work"
}
trap end EXIT
trap 'exit 1' INT TERM HUP
for command in apt-get dpkg-deb; do
    command -v "$command" >/dev/null || { skip kernels "there is no $command" && exit 77; }
done
tools 2>"$work/why" || { skip kernels "the emulator is not to be had: $(tail -n 1 "$work/why")" && exit 77; }
unpacked "$cache/busybox-$debian" "$own_suite" "$debian" busybox-static 2>"$work/why" ||
    { skip kernels "busybox is not to be had: $(tail -n 1 "$work/why")" && exit 77; }
lay_out "$work/root"
(cd "$work/root" && find . -mindepth 1 | "${pack[@]}" -o -H newc -R 0:0 --quiet >"$work/root.cpio")
results=target/kernels
mkdir -p "$results"
booted=()
for name in "${kernels[@]}"; do
    log=$results/$arch-$(basename "$name").log
    rm -f "$log"
    boot "$name" "$log" && booted+=("$(basename "$name")")
done
[ ${#booted[@]} -gt 0 ] || exit 77

### What came out

tests=$results/$arch.tests
for name in "${booted[@]}"; do
    awk -v kernel="$name" -v plan="${suites[*]}" -F '|' '
        { sub(/\r$/, "") }
        /^@@ suite / { begun[substr($0, 10)] = 1 }
        /^@@ done / { ended[substr($0, 9)] = 1 }
        /^@@ test / { sub(/^@@ test /, ""); printf "%s|%s\n", kernel, $0 }
        END {
            n = split(plan, wanted, " ")
            for (i = 1; i <= n; i++) {
                suite = wanted[i]
                sub(/:.*/, "", suite)
                if (!ended[suite]) printf "%s|%s|%s|failed|0|\n", kernel, suite, begun[suite] ? "(the machine ended)" : "(was not begun)"
            }
        }' "$results/$arch-$name.log"
done >"$tests"
# Passed, failed and skipped tests of each suite on each kernel; then the names of the latter two.
awk -F '|' -v plan="${suites[*]}" -v kernels="${booted[*]}" '
    { count[$1, $2, $4]++ }
    $4 == "failed" { bad[++failures] = $1 ": " $2 ": " $3 }
    $4 == "skipped" {
        why = $2 ", " $6
        if (!(why in on)) order[++reasons] = why
        if (index(on[why] " ", " " $1 " ") == 0) on[why] = on[why] " " $1
        skipped[why]++
    }
    END {
        suites = split(plan, suite, " ")
        lines = split(kernels, kernel, " ")
        printf "\n%-21s", "passed/failed/skipped"
        columns = 0
        for (s = 1; s <= suites; s++) {
            sub(/:.*/, "", suite[s])
            if (!shown[suite[s]]++) { suite[++columns] = suite[s]; printf " %12s", suite[s] }
        }
        suites = columns
        print ""
        for (k = 1; k <= lines; k++) {
            printf "%-21s", kernel[k]
            for (s = 1; s <= suites; s++) {
                cell = ""
                for (v = split("passed failed skipped", verdict, " "); v >= 1; v--) cell = "/" count[kernel[k], suite[s], verdict[v]] + 0 cell
                printf " %12s", substr(cell, 2)
            }
            print ""
        }
        for (r = 1; r <= reasons; r++) printf "skipped %d times on%s: %s\n", skipped[order[r]], on[order[r]], order[r]
        for (f = 1; f <= failures; f++) printf "FAILED: %s\n", bad[f]
        exit failures > 0
    }' "$tests"
