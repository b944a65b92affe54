#!/bin/sh
# Makes a Debian package of this clone, rsm_VERSION-1_ARCHITECTURE.deb: librsm and librsm_shmem, headers, pkg-config files,
# rsm-ctl, the compilers and the launcher of OpenSHMEM, manual pages, completions, guides and examples.
#
#     sh packaging/deb.sh [--output DIR] [--debug]
#
# It takes Rust, a C compiler, binutils and what every Debian has. debhelper would build with Debian's Rust, which is too old,
# and cargo-deb packages what cargo builds: here install.sh links the libraries, and rsm-ctl itself writes its pages and
# completions. ci/deb.sh installs, uses and removes what comes of this.
set -eu
umask 022

usage() {
    cat <<'END'
usage: sh packaging/deb.sh [--output DIR] [--debug]

  --output DIR    where the package is written; target/deb if not given
  --debug         build without optimization and with the checks of the library's own state

DEBFULLNAME and DEBEMAIL say who the maintainer is; without them it is who builds. CARGO, CC, OBJCOPY, AR and NM name other
programs than cargo, cc, objcopy, ar and nm. With SOURCE_DATE_EPOCH no time in the package is later than that.
END
}

fail() {
    printf 'deb.sh: %s\n' "$*" >&2
    exit 1
}

output='' debug=''
while [ $# -gt 0 ]; do
    case $1 in
    --output)
        { [ $# -ge 2 ] && [ -n "$2" ]; } || fail '--output needs a directory'
        output=$2
        shift
        ;;
    --output=?*) output=${1#*=} ;;
    --debug) debug=$1 ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        fail "no such option, or an option without its directory: $1"
        ;;
    esac
    shift
done
top=$(cd "$(dirname "$0")/.." && pwd)
output=${output:-$top/target/deb}
mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$top"

cargo=${CARGO:-cargo} cc=${CC:-cc} objcopy=${OBJCOPY:-objcopy} nm=${NM:-nm}
for program in dpkg dpkg-deb gzip md5sum "${cargo%% *}" "${cc%% *}" "${objcopy%% *}" "${nm%% *}"; do
    command -v "$program" >/dev/null 2>&1 ||
        fail "$program not found: the package is made on Debian, with Rust, a C compiler and binutils"
done
architecture=$(dpkg --print-architecture)
# shellcheck disable=SC2086  # CC may be words.
triplet=$($cc -print-multiarch 2>/dev/null) || triplet=''
[ -n "$triplet" ] || fail "$cc does not say where Debian has libraries (cc -print-multiarch)"
version=$($cargo pkgid -p rsm-capi | sed -e 's/.*[#@]//' -e 's/-/~/')
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d "${TMPDIR:-/tmp}/rsm-deb.XXXXXX") || fail 'cannot make a temporary directory'
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
root=$work/root
bin=$root/usr/bin share=$root/usr/share lib=$root/usr/lib/$triplet
doc=$share/doc/rsm man=$share/man
mkdir -m 755 -p "$root/DEBIAN" "$bin" "$doc" "$man/man1"

# Libraries, headers, what pkg-config reads, their manual, OpenSHMEM.
# shellcheck disable=SC2086  # No word, or one.
sh rsm-capi/install.sh --prefix /usr --libdir "lib/$triplet" --destdir "$root" --shmem $debug >"$work/said" || {
    cat "$work/said" >&2
    fail 'install.sh failed'
}

# What gdb shows of their insides is of no use without their sources; Debian's rules for libraries.
for library in "$lib"/*.so.*; do
    $objcopy --strip-unneeded --remove-section=.comment "$library"
    chmod 644 "$library"
done
for library in "$lib"/*.a; do $objcopy --remove-section=.comment "$library"; done

# The command, with its pages and completions.
profile=--release
[ -z "$debug" ] || profile='--profile dev'
# shellcheck disable=SC2086
$cargo build -p rsm-ctl --bin rsm-ctl --locked $profile --message-format=json-render-diagnostics >"$work/artifacts" ||
    fail 'cargo did not build rsm-ctl'
ctl=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$work/artifacts" | tail -n 1)
[ -x "$ctl" ] || fail 'cargo built no rsm-ctl'
$objcopy --strip-all --remove-section=.comment "$ctl" "$bin/rsm-ctl"
"$ctl" man --dir "$man/man1"
completion() {
    mkdir -p "$share/$2"
    "$ctl" completions "$1" >"$share/$2/$3"
}
completion bash bash-completion/completions rsm-ctl
completion zsh zsh/vendor-completions _rsm-ctl
completion fish fish/vendor_completions.d rsm-ctl.fish

# Other OpenSHMEMs have programs of the same names, Debian's Open MPI for one. Ours have one more, and take the plain one
# where nobody else has it: deb/postinst.
for program in oshcc oshc++ oshrun; do mv "$bin/$program" "$bin/$program.rsm"; done
mv "$man/man1/oshrun.1" "$man/man1/oshrun.rsm.1"
rm "$man/man1/oshcc.1" "$man/man1/oshc++.1"
for program in oshcc oshc++; do ln -s oshrun.rsm.1.gz "$man/man1/$program.rsm.1.gz"; done

# Pages are compressed here; one that only leads to another is a link to it.
find "$man" -type f | while read -r page; do
    leads=$(sed -n '1s/^\.so man[0-9]*\///p' "$page")
    if [ -n "$leads" ]; then
        ln -s "$leads.gz" "$page.gz"
        rm "$page"
    else
        gzip -9n "$page"
    fi
done

# Links from one guide to another, to an example or a source that is not here, are as in the clone.
cp README.md "$doc/"
mkdir "$doc/docs"
cp docs/*.md "$doc/docs/"
cp -R docs/schema "$doc/docs/"
mkdir -p "$doc/examples/c" "$doc/examples/halo"
cp examples/c/*.c "$doc/examples/c/"
cp examples/halo/halo.c "$doc/examples/halo/"
cp -R examples/testing examples/cluster.toml examples/faults.txt "$doc/examples/"
# Of the clone, whose workspace is not here.
rm "$doc/examples/testing/Cargo.toml"
gzip -9nc CHANGELOG.md >"$doc/changelog.gz"

# Whoever is not told who they are is who builds, as with Debian's own tools.
full=${DEBFULLNAME:-$(getent passwd "$(id -u)" | cut -d : -f 5 | cut -d , -f 1)}
maintainer="${full:-$(id -un)} <${DEBEMAIL:-$(id -un)@$(uname -n)}>"
gzip -9nc >"$doc/changelog.Debian.gz" <<END
rsm ($version-1) unstable; urgency=medium

  * As released; what is new is in changelog.gz.

 -- $maintainer  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
END

# Everything of Rust is linked into what is packaged, and its licences ask to be named.
packages='-p rsm-ctl -p rsm-capi -p rsm-shmem'
# shellcheck disable=SC2086
$cargo tree --locked $packages --edges normal --prefix none --format '{p}' | sed -n 's/^\([^ ]*\) v\([^ ]*\)$/\1-\2/p' |
    LC_ALL=C sort -u >"$work/crates"
[ -s "$work/crates" ] || fail 'cargo names no crates that rsm-ctl is made of'
$cargo metadata --locked --format-version 1 | tr ',' '\n' | sed -n 's|^"manifest_path":"\(.*\)/Cargo.toml"$|\1|p' >"$work/folders"
while read -r crate; do
    folder=$(grep "/$crate\$" "$work/folders" | head -n 1) || fail "cargo does not say where $crate is"
    # shellcheck disable=SC2016
    printf '== %s: %s\n' "$crate" "$(sed -n '/^\[package\]/,/^\[[^p]/s/^license = "\(.*\)"/\1/p' "$folder/Cargo.toml" | head -n 1)"
    find "$folder" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'copyright*' \) |
        LC_ALL=C sort | while read -r file; do
        sum=$(md5sum <"$file")
        before=$(sed -n "s/^$sum //p" "$work/texts" 2>/dev/null | head -n 1)
        if [ -n "$before" ]; then
            printf -- '-- %s: as of %s\n' "${file##*/}" "$before"
        else
            printf '%s %s\n' "$sum" "$crate" >>"$work/texts"
            printf -- '-- %s\n' "${file##*/}"
            cat "$file"
        fi
    done
    echo
done <"$work/crates" >"$work/licences"
gzip -9nc "$work/licences" >"$doc/crates.gz"
cat packaging/deb/copyright - >"$doc/copyright" <<END

License: MIT
$(sed -e '1,4d' -e 's/^$/./' -e 's/^/ /' LICENSE-MIT)
END

mkdir -p "$share/lintian/overrides"
cp packaging/deb/lintian-overrides "$share/lintian/overrides/rsm"

# What it needs of others: the C library of these symbols, at the least.
libc=$(for file in "$bin/rsm-ctl" "$lib"/*.so.*; do $nm -D --undefined-only "$file"; done |
    sed -n 's/.*@GLIBC_\([0-9.]*\)$/\1/p' | sort -Vu | tail -n 1)
[ -n "$libc" ] || fail 'no program here needs the C library: is this a Debian with another one?'
size=$(find "$root/usr" -type f -exec wc -c {} + | awk '$2 != "total" { kib += int(($1 + 1023) / 1024) } END { print kib }')
cat >"$root/DEBIAN/control" <<END
Package: rsm
Version: $version-1
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $size
Depends: libc6 (>= $libc), libgcc-s1
Recommends: gcc | c-compiler, libc6-dev | libc-dev, pkg-config
Suggests: gdb, valgrind
Section: devel
Priority: optional
Description: Remote Shared Memory API (RSMAPI): clusters on one machine or two
 Programs that were written to Sun's RSMAPI for a cluster of nodes, which
 read and write each other's memory, run as processes on one machine, or
 on two at a PCIe bridge. Barriers, withdrawal, links that fail and nodes
 that die behave as on an interconnect, and on demand stores arrive as
 late and as disordered as there.
 .
 Here are librsm for C and C++, OpenSHMEM 1.5 (librsm_shmem), their
 headers and manual, and rsm-ctl, which starts, looks at, disturbs and
 explores clusters.
END
printf 'librsm 2 rsm (>= %s)\nlibrsm_shmem 1 rsm (>= %s)\n' "$version" "$version" >"$root/DEBIAN/shlibs"
printf 'activate-noawait ldconfig\n' >"$root/DEBIAN/triggers"
for script in postinst prerm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find usr -type f | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"

package=$output/rsm_$version-1_$architecture.deb
# An optimized build is compressed as far as it goes; one to try is soon made.
dpkg-deb --root-owner-group ${debug:+-Zgzip -z1} --build "$root" "$package" >/dev/null
printf '%s\n' "$package"
