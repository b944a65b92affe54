#!/usr/bin/env bash
# Builds for another target: the workspace without a warning, its tests, and the C library as install.sh makes it.
#
#   ci/cross.sh aarch64     for aarch64-unknown-linux-gnu; looks at the instructions of the barriers
#   ci/cross.sh musl        for x86_64-unknown-linux-musl; runs rsm-ctl, the examples, which are static, and C programs
#
#   --env                   says in words of the shell what a build needs, and builds nothing
#
# CARGO names another program than cargo. Rust's standard library for the target comes from `rustup target add`. The C
# compiler is the installed one, or comes from packages of this Debian, unpacked below target/cross (nothing is
# installed). What cannot be had is said, and ends with 77.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$0")/.."
top=$PWD
only_env='' which=''
while [ $# -gt 0 ]; do
    case $1 in
        --env) only_env=1 ;;
        aarch64 | musl) which=$1 ;;
        *) sed -n '2,11s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
    esac
    shift
done
skip() {
    echo "-- skipped: $target: $1"
    exit 77
}

case $which in
    aarch64) target=aarch64-unknown-linux-gnu cc=aarch64-linux-gnu-gcc tools=aarch64-linux-gnu- packages='gcc-aarch64-linux-gnu libc6-dev-arm64-cross' ;;
    musl) target=x86_64-unknown-linux-musl cc=musl-gcc tools='' packages=musl-tools ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
esac
libdir=$(rustc --print target-libdir --target "$target" 2>/dev/null) && ls "$libdir"/libstd-*.rlib >/dev/null 2>&1 ||
    skip "Rust has no standard library for it here: rustup target add $target"

# A compiler that was unpacked and not installed finds its own parts, but not the libraries it needs itself, nor, in musl's
# case, its directory.
unpacked=$top/target/cross/$which
root=$unpacked/root
if ! command -v "$cc" >/dev/null; then
    if [ ! -e "$unpacked/done" ]; then
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
            skip "no C compiler for it ($cc), and no packages of Debian to take one from"
        rm -rf "$unpacked" && mkdir -p "$unpacked/packages" "$unpacked/root"
        # What would be installed beside them, and is not installed yet.
        # shellcheck disable=SC2086
        needed=$(apt-get install -s --no-install-recommends $packages 2>/dev/null | awk '/^Inst/ { print $2 }')
        # shellcheck disable=SC2086
        { [ -n "$needed" ] && (cd "$unpacked/packages" && apt-get download $needed) >"$unpacked/said" 2>&1; } ||
            skip "no C compiler for it ($cc), and its packages cannot be had ($packages)"
        for package in "$unpacked"/packages/*.deb; do dpkg-deb -x "$package" "$unpacked/root"; done
        touch "$unpacked/done"
    fi
    mkdir -p "$unpacked/bin"
    case $which in
        aarch64)
            for tool in gcc-12 gcc ar nm objcopy objdump strip; do
                [ -e "$root/usr/bin/$tools$tool" ] || continue
                flags=''
                case $tool in gcc*) flags="--sysroot=$root" ;; esac
                printf '#!/bin/sh\nPATH="%s:$PATH" LD_LIBRARY_PATH="%s" exec "%s" %s "$@"\n' "$root/usr/bin" \
                    "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/$tools$tool" "$flags" >"$unpacked/bin/$tools$tool"
                chmod +x "$unpacked/bin/$tools$tool"
            done
            ;;
        musl)
            # Where /lib is /usr/lib they are in one place.
            ln -sf "$root/lib/x86_64-linux-musl/libc.so" "$root/usr/lib/x86_64-linux-musl/libc.so"
            sed "s|/usr/|$root/usr/|g" "$root/usr/lib/x86_64-linux-musl/musl-gcc.specs" >"$unpacked/musl-gcc.specs"
            printf '#!/bin/sh\nexec cc -specs "%s" "$@"\n' "$unpacked/musl-gcc.specs" >"$unpacked/bin/$cc"
            chmod +x "$unpacked/bin/$cc"
            ;;
    esac
    PATH=$unpacked/bin:$PATH
fi
cc=$(command -v "$cc")
lower=${target//-/_}
variables=(CARGO_BUILD_TARGET="$target" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$top/target/$which}" "CC_$lower=$cc")
# Rust brings what it needs to link for musl.
[ "$which" = musl ] || variables+=("CARGO_TARGET_${lower^^}_LINKER=$cc")
# For emulated machines: no symbols, which are most of a binary, and a little faster.
variables+=(CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1)
if [ -n "$only_env" ]; then
    printf 'export %q\n' "${variables[@]}" "PATH=$PATH"
    printf '%q\n' "CC=$cc" "strip=${tools}strip"
    exit
fi
export "${variables[@]}"
out=$CARGO_TARGET_DIR/$target
mkdir -p "$CARGO_TARGET_DIR/cross"
cargo=${CARGO:-cargo}

case $which in
    aarch64)
        $cargo clippy -q --workspace --all-targets --locked -- -D warnings
        $cargo test -q --workspace --locked --no-run
        $cargo build -q --workspace --bins --examples --locked
        ;;
    musl)
        # Without librsm, which install.sh builds: a shared library cannot be static, as Rust's programs are here.
        $cargo clippy -q --workspace --exclude rsm-capi --lib --bins --examples --locked -- -D warnings
        $cargo build -q --workspace --exclude rsm-capi --bins --examples --locked
        ;;
esac
echo "$target: everything builds, without a warning"

installed=$CARGO_TARGET_DIR/cross/installed
rm -rf "$installed"
# Optimized where its instructions are looked at.
profile=''
[ "$which" = aarch64 ] || profile=--debug
# shellcheck disable=SC2086
CC=$cc OBJCOPY=${tools}objcopy AR=${tools}ar NM=${tools}nm \
    sh rsm-capi/install.sh --prefix "$installed" $profile >"$CARGO_TARGET_DIR/cross/install.log" 2>&1 ||
    { cat "$CARGO_TARGET_DIR/cross/install.log" && exit 1; }
"$cc" -o "$CARGO_TARGET_DIR/cross/rsmtest" -I "$installed/include" examples/c/rsmtest.c -L "$installed/lib" -lrsm -lpthread
echo "$target: the C library has the names of rsm-capi/librsm.map, and a program links with it"

### aarch64: what the data path is made of

# The instructions of a function of the library, one a line; of a call, what is called.
instructions() {
    awk -v name="<$1>:" '
        $2 == name { inside = 1; next }
        /^$/ { inside = 0 }
        inside { $1 = ""; if ($2 == "bl") $0 = " bl " substr($NF, 2, length($NF) - 2); print substr($0, 2) }' "$disassembled"
}
# has FUNCTION INSTRUCTION..: they are there, in this order. One that is a word alone is any with that name; of others every word
# counts, or `dmb ishld` would pass for `dmb ish`.
has() {
    local function=$1
    shift
    instructions "$function" | awk -v wanted="$(printf '%s|' "$@")" '
        BEGIN { n = split(wanted, w, "|") - 1; at = 1 }
        at <= n && (w[at] ~ / / ? $0 == w[at] : $1 == w[at]) { at++ }
        END { exit at <= n }' || { echo "$function lacks, in this order: $*" && instructions "$function" && exit 1; }
}
# The table of docs/ordering.md. Up to the first return, behind which stands what is seldom done.
look() {
    disassembled=$CARGO_TARGET_DIR/cross/librsm.dis
    ${tools}objdump -d --no-show-raw-insn "$installed/lib/librsm.so.2" >"$disassembled"
    has rsm_memseg_import_open_barrier ldr 'dmb ishld' ret
    has rsm_memseg_import_order_barrier 'dmb ish' ret
    has rsm_memseg_import_close_barrier 'dmb ish' ldr ldr ret
    has rsm_memseg_import_put64 ldr 'dmb ishld' str 'dmb ish' ldr ldr ret
    has rsm_memseg_import_get64 ldr 'dmb ishld' ldr 'dmb ishld' ldr ldr ret
    has rsm_intr_signal_post ldr 'dmb ishld' ldr 'bl __aarch64_cas8_rel' 'dmb ish' ldr ret
    has rsm_intr_signal_wait ldr 'bl __aarch64_cas8_acq' 'dmb ish' ldr ret
    echo "$target: barriers, transfers and signals have their fences"
    # The loop of rsm-shm/src/memory/neon.rs, which says so, wherever it was compiled in.
    local loops
    loops=$(awk '/ldp\tq0, q1, \[x[0-9]+\], #128/ { counting = 1; n = 0 }
        counting { n++ }
        counting && /\tb\.(cc|lo)\t/ { print n; counting = 0 }' "$disassembled" | sort -u | tr '\n' ' ')
    [ "$loops" = '10 ' ] || { echo "copies of 128 bytes take other than 10 instructions: ${loops:-there are none}" && exit 1; }
    echo "$target: copies take 10 instructions for 128 bytes"
}

### musl: what was built is run

run() {
    local ctl=$out/debug/rsm-ctl example=$out/debug/examples
    if readelf -l "$ctl" "$example/hello" | grep -q INTERP; then
        echo "not static" && exit 1
    fi
    "$ctl" doctor >"$CARGO_TARGET_DIR/cross/doctor"
    "$ctl" run -n 2 -- "$example/hello"
    "$ctl" run -n 3 -- "$example/ring" 2>&1 | tail -n 1
    "$ctl" run -n 3 -- "$example/sort" README.md -o "$CARGO_TARGET_DIR/cross/sorted"
    LC_ALL=C sort README.md | cmp - "$CARGO_TARGET_DIR/cross/sorted"
    # C programs, too: with musl's libc and the library beside them, and with both in them.
    local loader=/lib/ld-musl-x86_64.so.1
    [ -e "$loader" ] || loader=$root/lib/x86_64-linux-musl/libc.so
    local shared=("$loader" --library-path "$installed/lib" "$CARGO_TARGET_DIR/cross/rsmtest")
    readelf -d "$installed/lib/librsm.so.2" | grep -q 'NEEDED.*\[libc.so\]'
    "$ctl" run -n 2 --node 1 -- "${shared[@]}" -e -n 2 --node 2 -- "${shared[@]}" -i -n 1
    local static=$CARGO_TARGET_DIR/cross/rsmtest-static
    # shellcheck disable=SC2046
    "$cc" -static -o "$static" -I "$installed/include" examples/c/rsmtest.c "$installed/lib/librsm.a" \
        $(sed -n 's/^Libs.private: //p' "$installed/lib/pkgconfig/rsm.pc") -lpthread
    "$ctl" run -n 2 --node 1 -- "$static" -e -n 2 --node 2 -- "$static" -i -n 1
    echo "$target: programs run"
}

if [ "$which" = aarch64 ]; then look; else run; fi
