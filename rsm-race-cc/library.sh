#!/bin/sh
# Makes librsm_race.a: sh library.sh FILE [CARGO'S ARGUMENTS, such as --release]. install.sh does, and so do tests.
#
# It is one object in which everything is local but what programs call, so that it goes with other libraries written in Rust.
# CARGO, CC, OBJCOPY, AR and NM name other programs than cargo, cc, objcopy, ar and nm.
set -eu
case $1 in /*) file=$1 ;; *) file=$PWD/$1 ;; esac
shift
case ${TMPDIR:-/} in /*) ;; *) TMPDIR=$PWD/$TMPDIR && export TMPDIR ;; esac
cd "$(dirname "$0")"
work=$(mktemp -d "${TMPDIR:-/tmp}/rsm-race.XXXXXX")
trap 'rm -rf "$work"' EXIT
# In one unit: what the C library calls before main goes with the rest.
built=$(${CARGO:-cargo} rustc -q -p rsm-race-cc --lib --crate-type staticlib --message-format=json-render-diagnostics "$@" -- \
    -C target-feature=-crt-static -C codegen-units=1)
archive=$(printf '%s\n' "$built" | sed -n 's/.*"filenames":\["\([^"]*\.a\)".*/\1/p' | tail -n 1)
${NM:-nm} -g --defined-only "$archive" 2>/dev/null | awk 'NF == 3 { print $3 }' |
    grep -E '^(__tsan_|__sanitizer_cov_|__wrap_|__rsm_race_)' |
    LC_ALL=C sort -u >"$work/names"
[ -s "$work/names" ] || { echo "library.sh: $archive has no function that programs call" >&2; exit 1; }
sed 's/^/-Wl,-u,/' "$work/names" >"$work/wanted"
make_object() { ${CC:-cc} -r -nostdlib -o "$work/rsm_race.o" "$@" "@$work/wanted" "$archive"; }
make_object -Wl,--gc-sections 2>/dev/null || make_object
# As in install.sh: groups do not survive their symbols becoming local, nor is bitcode of any use.
${OBJCOPY:-objcopy} --keep-global-symbols="$work/names" --strip-unneeded \
    --remove-section=.group --remove-section=.llvmbc --remove-section=.llvmcmd "$work/rsm_race.o"
# In another process's sight only when it is whole.
${AR:-ar} -rc "$file.$$" "$work/rsm_race.o"
mv -f "$file.$$" "$file"
