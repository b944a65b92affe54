#!/usr/bin/env bash
# The Debian package: made (packaging/deb.sh), installed, used and removed, in an overlay of this machine's root of which
# nothing stays. With a file it is that package, else one without optimization. Ends with 77 where it cannot be made or
# installed.
#
#   ci/deb.sh [PACKAGE]
set -euo pipefail
self=$(realpath "$0")
skip() {
    printf -- '-- skipped: a Debian package: %s\n' "$1"
    exit 77
}

# What is in the upper layer and not the books, caches and logs of dpkg, ldconfig and man.
left() {
    (cd "$1" && find . ! -type d) | sed 's/^\.//' | LC_ALL=C sort |
        grep -Ev '^/(var/lib/dpkg|var/log|var/cache/(man|ldconfig|debconf)|tmp|root)/|^/etc/ld\.so\.cache$' || true
}

# As root of the new root: what somebody does with the package.
use() {
    cd /tmp/use
    mount -t proc proc /proc
    export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/tmp/use
    unset RSM_CLUSTER RSM_NODE_ID RSM_NODE_COUNT RSM_NODE_KEY PKG_CONFIG_PATH LD_LIBRARY_PATH MANPATH CC CXX
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    dpkg --install rsm.deb
    dpkg --verify rsm
    [ "$(dpkg-query -W -f '${Status}' rsm)" = 'install ok installed' ]
    ldconfig -p >libraries
    grep 'librsm\.so\.2 ' libraries
    grep 'librsm_shmem\.so\.1 ' libraries
    local osh=oshcc run=oshrun
    # Another OpenSHMEM of the machine's keeps the names that it has.
    if dpkg-query --search /usr/bin/oshcc; then osh=oshcc.rsm run=oshrun.rsm; fi

    printf '== programs with %s\n' "$osh"
    cc -Wall -Wextra -Werror -o rsmtest rsmtest.c $(pkg-config --cflags --libs rsm)
    c++ -Wall -Wextra -Werror -x c++ -o extension - $(pkg-config --cflags --libs rsm) <<'END'
#include <rsmapi.h>
#include <rsm_ext.h>
#include <cstdio>
int main() { return std::puts(rsm_ext_strerror(RSMERR_CONN_ABORTED)) < 0; }
END
    ./extension
    cc -static-libgcc -o static rsmtest.c /usr/lib/*/librsm.a $(pkg-config --static --libs-only-l rsm | sed 's/-lrsm//')
    local program
    for program in rsmtest static; do
        rsm-ctl run -n 2 --timeout 60s --node 1 -- "./$program" -e -n 2 --node 2 -- "./$program" -i -n 1
    done
    "$osh" -Wall -Werror -x c -o pes - <<'END'
#include <shmem.h>
#include <stdio.h>
int main(void)
{
    static long from;
    shmem_init();
    shmem_long_p(&from, shmem_my_pe() + 1, (shmem_my_pe() + 1) % shmem_n_pes());
    shmem_barrier_all();
    printf("PE %d of %d, neighbour %ld\n", shmem_my_pe(), shmem_n_pes(), from);
    shmem_finalize();
    return 0;
}
END
    "$run" -n 3 --timeout 60s ./pes | sort | tee said
    [ "$(grep -c '^PE [012] of 3, neighbour [123]$' said)" = 3 ]

    echo '== manual and completions'
    local page
    # Small systems leave pages out, and have a `man` that says so.
    if [ -e /usr/share/man/man1/rsm-ctl.1.gz ] && command -v man >/dev/null; then
        for page in '3rsm rsm_memseg_import_put64' '3 rsm' '7 rsm_shmem' '1 rsm-ctl-run' "1 $run" "1 $osh"; do
            man -w $page
        done
    fi
    bash -c '. /usr/share/bash-completion/completions/rsm-ctl && complete -p rsm-ctl'
    [ -s /usr/share/zsh/vendor-completions/_rsm-ctl ]
    [ -s /usr/share/fish/vendor_completions.d/rsm-ctl.fish ]

    dpkg --install rsm.deb
    dpkg --purge rsm
    ldconfig -p >libraries
    if dpkg-query -s rsm 2>/dev/null || grep librsm libraries; then
        echo 'the package is still there'
        exit 1
    fi
}

if [ "${DEB_INSIDE-}" = 1 ]; then
    mount --make-rprivate /
    space=$work/space
    mount -t tmpfs -o mode=755 upper "$space"
    mkdir "$space/upper" "$space/work" "$space/root"
    mount -t overlay -o "lowerdir=/,upperdir=$space/upper,workdir=$space/work" overlay "$space/root" || exit 77
    for place in dev sys; do mount --rbind "/$place" "$space/root/$place"; done
    for without in '' 1; do
        mount -t tmpfs -o mode=1777 tmp "$space/root/tmp"
        mkdir "$space/root/tmp/use"
        cp "$package" "$space/root/tmp/use/rsm.deb"
        cp "$top/examples/c/rsmtest.c" "$space/root/tmp/use/"
        cp "$self" "$space/root/tmp/use/deb.sh"
        # Once more as on a machine with no other OpenSHMEM.
        if [ -n "$without" ]; then
            (cd "$space/root" && dpkg-query --admindir=var/lib/dpkg --search /usr/bin/oshcc >/dev/null 2>&1) || break
            chroot "$space/root" dpkg --force-depends --remove $(dpkg-query --search /usr/bin/oshcc | cut -d : -f 1) >/dev/null
        fi
        left "$space/upper" >"$space/before"
        DEB_INSIDE=2 chroot "$space/root" bash /tmp/use/deb.sh
        left "$space/upper" >"$space/after"
        diff "$space/before" "$space/after" || { echo 'that is left when the package is gone' && exit 1; }
        umount "$space/root/tmp"
    done
    exit
elif [ "${DEB_INSIDE-}" = 2 ]; then
    use
    exit
fi

cd "$(dirname "$0")/.."
top=$PWD
command -v dpkg-deb >/dev/null || skip 'there is no dpkg-deb'
[ -n "$(cc -print-multiarch 2>/dev/null)" ] || skip 'this is no Debian: cc -print-multiarch says nothing'
spaces=(--mount --pid --fork --kill-child)
[ "$(id -u)" = 0 ] || spaces+=(--user --map-root-user)
why=$(unshare "${spaces[@]}" true 2>&1) || skip "namespaces are not to be had here: $why"
work=$(mktemp -d /var/tmp/rsm-deb.XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT
mkdir "$work/space"
if [ $# -gt 0 ]; then
    package=$(realpath "$1")
else
    package=$(sh packaging/deb.sh --debug --output "$work" | tail -n 1)
fi
dpkg-deb --info "$package"
# What has to be in it.
contents=$(dpkg-deb --contents "$package" | awk '{ print $6 }')
for file in usr/bin/rsm-ctl 'usr/lib/[^/]*/librsm.so.2' 'usr/lib/[^/]*/librsm.a' 'usr/lib/[^/]*/librsm_shmem.so.1' \
    'usr/lib/[^/]*/pkgconfig/rsm.pc' 'usr/lib/[^/]*/pkgconfig/rsm-shmem.pc' usr/include/rsmapi.h usr/include/rsm_ext.h \
    usr/include/shmem.h usr/bin/oshcc.rsm usr/bin/oshrun.rsm usr/share/rsm/tsan.supp usr/share/man/man3/rsm.3.gz \
    usr/share/man/man1/rsm-ctl-run.1.gz usr/share/bash-completion/completions/rsm-ctl usr/share/doc/rsm/copyright; do
    grep -q "^\./$file\$" <<<"$contents" || { echo "the package has no $file" && exit 1; }
done
export work package top self DEB_INSIDE=1
unshare "${spaces[@]}" bash "$self" || { code=$? && [ "$code" != 77 ] || skip 'an overlay cannot be mounted here' && exit "$code"; }
