#!/bin/sh
# Builds the C library and installs it: headers, librsm.so.2, librsm.a, rsm.pc, manual pages and share/rsm/tsan.supp; and
# librsm_race.a, with which `rsm-ctl cc` links.
#
#     sh rsm-capi/install.sh --prefix DIR [--libdir DIR] [--destdir DIR] [--debug] [--shmem] [--uninstall]
#
# With --shmem also OpenSHMEM: shmem.h, librsm_shmem, rsm-shmem.pc, oshcc, oshc++, oshrun and their manual.
#
# The shared library is linked here and not by cargo: rustc passes a version script of its own when it links a cdylib,
# and a second one that names the same symbols has no effect. What cargo builds is the static library; `cc` makes
# librsm.so.2 of it, with exactly the symbols of librsm.map. The installed librsm.a is one object in which everything
# but these symbols is local, so that a program may link other libraries written in Rust beside it.
set -eu
umask 022

usage() {
    cat <<'EOF'
usage: sh rsm-capi/install.sh --prefix DIR [--libdir DIR] [--destdir DIR] [--debug] [--shmem] [--uninstall]

  --prefix DIR    where the library will be used from
  --libdir DIR    where the libraries go; PREFIX/lib if not given, below PREFIX if relative
  --destdir DIR   put before every path that is written, and into no file; $DESTDIR if not given
  --debug         build the library without optimization and with the checks of its own state
  --shmem         install OpenSHMEM too: shmem.h, librsm_shmem, oshcc, oshc++, oshrun
  --uninstall     remove what an installation with the same directories has put there

CARGO, CC, OBJCOPY, AR and NM name other programs than cargo, cc, objcopy, ar and nm.
EOF
}

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# absolute DIR: DIR without a trailing slash, below the current directory if it is relative.
absolute() {
    case $1 in
    /) ;;
    /*) printf '%s\n' "${1%/}" ;;
    *) printf '%s/%s\n' "$(pwd)" "${1%/}" ;;
    esac
}

prefix='' libdir=lib destdir=${DESTDIR-} uninstall=no profile=--release shmem=no
while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --libdir | --destdir)
        { [ $# -ge 2 ] && [ -n "$2" ]; } || fail "$1 needs a directory"
        option=${1#--} value=$2
        shift
        ;;
    --prefix=?* | --libdir=?* | --destdir=?*)
        option=${1%%=*} value=${1#*=}
        option=${option#--}
        ;;
    --uninstall) option=uninstall value=yes ;;
    --shmem) option=shmem value=yes ;;
    --debug) option=profile value='' ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        fail "no such option, or an option without its directory: $1"
        ;;
    esac
    case $option in
    prefix) prefix=$value ;;
    libdir) libdir=$value ;;
    destdir) destdir=$value ;;
    uninstall) uninstall=$value ;;
    profile) profile=$value ;;
    shmem) shmem=$value ;;
    esac
    shift
done
if [ -z "$prefix" ]; then
    usage >&2
    fail '--prefix is missing'
fi
prefix=$(absolute "$prefix")
case $libdir in
/*) libdir=$(absolute "$libdir") ;;
*) libdir=$prefix/${libdir%/} ;;
esac
[ -z "$destdir" ] || destdir=$(absolute "$destdir")
case $prefix$libdir in
*[!A-Za-z0-9/._+,:@%=~-]*) fail 'blanks and other special characters in --prefix or --libdir would break rsm.pc' ;;
esac
here=$(cd "$(dirname "$0")" && pwd) || fail 'cannot find the directory of install.sh'
cd "$here"

includedir=$prefix/include mandir=$prefix/share/man pcdir=$libdir/pkgconfig sharedir=$prefix/share/rsm

headers() {
    (cd "$here/include" && find . -name '*.h' -type f | sed 's|^\./||' | LC_ALL=C sort)
}

# Where a manual page goes: its section is the first digit of its suffix.
page_path() {
    suffix=${1##*.}
    printf '%s/man%.1s/%s\n' "$mandir" "$suffix" "$1"
}

# The other names of a page stand in its NAME section; each becomes a page of one line that leads to it.
page_aliases() {
    # shellcheck disable=SC2020  # A comma and a blank both become a new line.
    sed -n '/^\.SH NAME/,/\\-/p' "$here/man/$1" | sed -e '1d' -e 's/\\-.*//' | tr ', ' '\n\n' |
        sed -e '/^$/d' -e "s/\$/.${1##*.}/" | grep -Fvx "$1" || :
}

pages() {
    (cd "$here/man" && find . -name '*.[1-9]*' -type f | sed 's|^\./||' | LC_ALL=C sort)
}

remove() {
    if [ -e "$destdir$1" ] || [ -h "$destdir$1" ]; then
        rm -f "$destdir$1"
        printf 'removed %s\n' "$destdir$1"
    fi
}

# In the sources of the workspace; a package of rsm-capi has it not.
shmem_part=$here/../rsm-shmem/install.inc.sh
# shellcheck source=../rsm-shmem/install.inc.sh
if [ -e "$shmem_part" ]; then . "$shmem_part"; fi
# Likewise.
race_part=$here/../rsm-race-cc/library.sh
[ $shmem = no ] || [ -e "$shmem_part" ] || fail "--shmem needs the sources of rsm-shmem beside $here"

if [ "$uninstall" = yes ]; then
    [ ! -e "$shmem_part" ] || shmem_remove
    for header in $(headers); do remove "$includedir/$header"; done
    for file in "$libdir/librsm.so" "$libdir/librsm.so.2" "$libdir/librsm.a" "$libdir/librsm_race.a" \
        "$pcdir/rsm.pc" "$sharedir/tsan.supp"; do remove "$file"; done
    for page in $(pages); do
        remove "$(page_path "$page")"
        for alias in $(page_aliases "$page"); do remove "$(page_path "$alias")"; done
    done
    # Directories that others may use too go only when nothing is left in them.
    for directory in sys/rsm sys rsm; do rmdir "$destdir$includedir/$directory" 2>/dev/null || :; done
    rmdir "$destdir$sharedir" 2>/dev/null || :
    exit 0
fi

# program VARIABLE DEFAULT WHY: the program to use, after making sure that it is there.
program() {
    named=$(eval "printf '%s\n' \"\${$1:-$2}\"")
    command -v "${named%% *}" >/dev/null 2>&1 || fail "${named%% *} not found: $3 (set $1 if it has another name)"
}
program CARGO cargo 'Rust builds the library (https://rustup.rs, 1.88 or later; with sudo, keep your PATH)'
cargo=$named
program CC cc 'a C compiler links the library (Debian: gcc; Fedora: gcc)'
cc=$named
program OBJCOPY objcopy 'it hides what is not API in librsm.a (Debian, Fedora: binutils)'
objcopy=$named
program AR ar 'it makes librsm.a (Debian, Fedora: binutils)'
ar=$named
program NM nm 'it checks what is exported (Debian, Fedora: binutils)'
nm=$named
[ -n "$(headers)" ] || fail "no headers in $here/include"

work=$(mktemp -d "${TMPDIR:-/tmp}/rsm-install.XXXXXX") || fail 'cannot make a temporary directory'
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

sed -n 's/^ *\(rsm_[a-z0-9_]*\);$/\1/p' librsm.map | LC_ALL=C sort >"$work/names"

echo 'building the library, which may take minutes the first time'
# One run of cargo gives the archive and, among what rustc says, the system libraries that it needs. Where Rust links
# statically unless told otherwise (musl), no libc goes into it: the program that it is linked with has one.
# shellcheck disable=SC2086  # No word at all, or one.
$cargo rustc -p rsm-capi --lib $profile --locked --crate-type staticlib --message-format=json-render-diagnostics -- \
    -C target-feature=-crt-static --print=native-static-libs >"$work/artifacts" 2>"$work/said" || {
    cat "$work/said" >&2
    fail 'cargo did not build rsm-capi'
}
archive=$(sed -n 's/.*"filenames":\["\([^"]*\.a\)".*/\1/p' "$work/artifacts" | tail -n 1)
[ -n "$archive" ] || fail 'cargo built no static library'
version=$($cargo pkgid -p rsm-capi | sed 's/.*[#@]//')
# cc adds libgcc_s and libc itself, the right ones for a static program as well.
libs=$(sed -n 's/.*native-static-libs: *//p' "$work/said" | tail -n 1 | tr -s ' ' '\n' |
    awk '$0 != "" && $0 != "-lc" && $0 != "-lgcc_s" && !seen[$0]++' | tr '\n' ' ' | sed 's/ *$//')

# The shared library. It stays loaded once it is: its threads cannot be taken back.
# shellcheck disable=SC2086  # CC and the libraries are lists of words.
make_shared() {
    $cc -shared -o "$work/librsm.so.2" -Wl,-soname,librsm.so.2 -Wl,--version-script=librsm.map -Wl,-z,nodelete \
        -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,--gc-sections -Wl,--strip-debug \
        -Wl,--whole-archive "$archive" -Wl,--no-whole-archive -Wl,--as-needed $unwinder $libs
}
# A compiler for glibc that was told to use musl has the unwinder of glibc, which does not link with musl. Rust brings one
# that does; it becomes part of the library.
# shellcheck disable=SC2086
bring_unwinder() {
    unwinder=$($cargo rustc -q -p rsm-capi --lib $profile --locked --crate-type staticlib -- --print=target-libdir) &&
        unwinder=$unwinder/self-contained/libunwind.a && [ -e "$unwinder" ]
}
unwinder=''
make_shared 2>"$work/said" || { bring_unwinder && make_shared; } || {
    cat "$work/said" >&2
    fail "$cc did not link librsm.so.2"
}
# What needs nothing from outside has a libc in it, beside which its user has another one: two allocators, two errnos.
shared=yes
if [ -z "$($nm -D --undefined-only "$work/librsm.so.2")" ]; then
    shared=no
    echo "$cc has no shared libc: librsm.so.2 is left out, and programs are linked with librsm.a" >&2
fi

# The static library: one object of what the names reach, or of everything if this linker cannot tell. Two things do not
# survive their symbols becoming local: section groups, which the linker would discard in favour of another library's
# group of the same name, and the LLVM bitcode in Rust's standard library, which plugins of another LLVM choke on.
wanted=$(sed 's/^/-Wl,-u,/' "$work/names")
printf 'int main(void) { return 0; }\n' >"$work/main.c"
# shellcheck disable=SC2086
make_static() {
    rm -f "$work/librsm.a"
    $cc -r -nostdlib -o "$work/rsm.o" "$@" $wanted "$archive" $unwinder &&
        $objcopy --keep-global-symbols="$work/names" --strip-unneeded \
            --remove-section=.group --remove-section=.llvmbc --remove-section=.llvmcmd "$work/rsm.o" &&
        $ar -rc "$work/librsm.a" "$work/rsm.o" &&
        $cc -o "$work/main" "$work/main.c" $wanted "$work/librsm.a" $libs
}
make_static -Wl,--gc-sections 2>/dev/null || make_static || fail "$cc, $objcopy and $ar did not make librsm.a"

# What programs built by rsm-ctl cc call.
if [ -e "$race_part" ]; then
    # shellcheck disable=SC2086  # No word at all, or one.
    CARGO=$cargo CC=$cc OBJCOPY=$objcopy AR=$ar NM=$nm sh "$race_part" "$work/librsm_race.a" --locked $profile ||
        fail 'librsm_race.a cannot be made'
fi

# What is exported is the contract: nothing more, nothing less.
[ $shared = no ] || $nm -D --defined-only "$work/librsm.so.2" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort >"$work/so"
$nm -g --defined-only "$work/librsm.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort >"$work/a"
for library in so a; do
    [ $shared$library != noso ] || continue
    if ! cmp -s "$work/names" "$work/$library"; then
        LC_ALL=C comm -23 "$work/names" "$work/$library" | sed 's/^/  lacks /' >&2
        LC_ALL=C comm -13 "$work/names" "$work/$library" | sed 's/^/  has also /' >&2
        fail "librsm.$library does not export the names of librsm.map"
    fi
done

# PREFIX stands in rsm.pc once, so that it can be overridden there.
case $libdir in
"$prefix"/*) libdir_of_pc="\${prefix}${libdir#"$prefix"}" ;;
*) libdir_of_pc=$libdir ;;
esac
sed -e "s|@PREFIX@|$prefix|" -e "s|@LIBDIR@|$libdir_of_pc|" -e "s|@VERSION@|$version|" -e "s|@LIBS_PRIVATE@|$libs|" \
    rsm.pc.in >"$work/rsm.pc"

# place MODE FILE PATH: by way of a new name, so that a program that runs with the old file goes on with it.
place() {
    if ! { mkdir -p "$destdir${3%/*}" && cp "$2" "$destdir$3.new" && chmod "$1" "$destdir$3.new" &&
        mv -f "$destdir$3.new" "$destdir$3"; }; then
        rm -f "$destdir$3.new"
        fail "cannot write $destdir$3"
    fi
    printf 'installed %s\n' "$destdir$3"
}

for header in $(headers); do place 644 "include/$header" "$includedir/$header"; done
if [ $shared = yes ]; then
    place 755 "$work/librsm.so.2" "$libdir/librsm.so.2"
    rm -f "$destdir$libdir/librsm.so"
    ln -s librsm.so.2 "$destdir$libdir/librsm.so" || fail "cannot write $destdir$libdir/librsm.so"
    printf 'installed %s -> librsm.so.2\n' "$destdir$libdir/librsm.so"
else
    # One of before would be taken instead.
    remove "$libdir/librsm.so"
    remove "$libdir/librsm.so.2"
fi
place 644 "$work/librsm.a" "$libdir/librsm.a"
[ ! -e "$race_part" ] || place 644 "$work/librsm_race.a" "$libdir/librsm_race.a"
place 644 "$work/rsm.pc" "$pcdir/rsm.pc"
place 644 share/tsan.supp "$sharedir/tsan.supp"
for page in $(pages); do
    place 644 "man/$page" "$(page_path "$page")"
    for alias in $(page_aliases "$page"); do
        path=$(page_path "$page")
        printf '.so man%.1s/%s\n' "${page##*.}" "$page" >"$work/alias"
        place 644 "$work/alias" "${path%/*}/$alias"
    done
done
[ $shmem = no ] || shmem_install

cat <<EOF

rsm $version is in $prefix. To build a program with it:
    PKG_CONFIG_PATH=$pcdir; export PKG_CONFIG_PATH
    cc prog.c \$(pkg-config --cflags --libs rsm) -Wl,-rpath,$libdir
EOF
[ $shmem = no ] || printf 'OpenSHMEM: %s/oshcc -o program program.c; %s/oshrun -n 4 ./program\n' "$bindir" "$bindir"
