# What the machines of ci/bridge.sh have: archives, of which a machine is given several, one after the other. ci/bridge.sh has said
# where there is room (`work`), and how archives are made (`of_tools`).

# Executables that cargo has built with these words, one a line.
built() {
    "${CARGO:-cargo}" build --locked --message-format json-render-diagnostics "$@" | sed -nE 's/.*"executable":"([^"]*)".*/\1/p'
}
# Copies without names that nothing needs to run, which a machine would have to unpack: bare FILE TO
bare() { ${strip:-strip} -o "$2" "$1" 2>/dev/null || cp "$1" "$2"; }
# Puts libraries that programs need into a tree, but for those from below a directory: libraries TREE BUT PROGRAM..
libraries() {
    local tree=$1 but=$2 library
    shift 2
    LD_LIBRARY_PATH=$but ldd "$@" | awk '$2 == "=>" && $3 ~ "^/" { print $3 } $1 ~ "^/.*ld-linux" { print $1 }' | grep -v "^$but" |
        sort -u | while read -r library; do
        mkdir -p "$tree$(dirname "$library")"
        cp -L "$library" "$tree$library"
    done
}
pack() { (cd "$work/$1" && find . -mindepth 1 | of_tools "$at/usr/bin/cpio" -o -H newc -R 0:0 --quiet >"$work/$1.cpio"); }

# What all have: a shell, and what it does first.
lay_out_root() {
    local tree=$work/root
    mkdir -p "$tree"/{bin,dev,proc,sys,tmp}
    cp ci/bridge/guest.sh "$tree/init"
    chmod 755 "$tree/init"
    cp "$cache/busybox-amd64/bin/busybox" "$tree/bin/busybox"
    pack root
}
# What looks at a bridge by VFIO.
lay_out_rsm() {
    local tree=$work/rsm
    mkdir -p "$tree"
    bare "$(built -p rsm-ntb --example two_hosts)" "$tree/two_hosts"
    libraries "$tree" /none "$tree/two_hosts"
    pack rsm
}
# Clusters.
lay_out_clusters() {
    local tree=$work/clusters to=$work/clusters/hosts
    mkdir -p "$to"
    bare "$(built -p rsm-ctl --bins | grep '/rsm-ctl$')" "$to/rsm-ctl"
    bare "$(sh rsm-capi/tests/library.sh --locked)" "$to/librsm.so.2"
    ln -s librsm.so.2 "$to/librsm.so"
    libraries "$tree" "$to" "$to/rsm-ctl" "$to/librsm.so.2"
    pack clusters
}
# A program in C, against the library of clusters: c_program SOURCE TO
c_program() {
    ${CC:-cc} -std=gnu11 -O1 -Wall -Wextra -pthread -Irsm-capi/include -o "$2" "$1" -L "$work/clusters/hosts" -lrsm
}
# Programs that know nothing of hosts.
lay_out_hosts() {
    local tree=$work/hosts to=$work/hosts/hosts name programs
    mkdir -p "$to"
    programs=$(built -p rsm-examples --examples)
    for name in hello sort; do bare "$(grep "/$name\$" <<<"$programs" | tail -n 1)" "$to/$name"; done
    c_program examples/c/rsmtest.c "$to/rsmtest"
    cat README.md ARCHITECTURE.md >"$to/text"
    libraries "$tree" "$work/clusters/hosts" "$to"/{hello,sort,rsmtest}
    pack hosts
}
# What looks at the ends of connections and at what goes over the bridge; and the library once more, whose verdicts do not load the seal of what was granted.
lay_out_faults() {
    local to=$work/faults/hosts
    mkdir -p "$to/wrong"
    c_program ci/bridge/bounds.c "$to/bounds"
    c_program ci/bridge/counts.c "$to/counts"
    bare "$(RUSTFLAGS='--cfg rsm_no_read_back' CARGO_TARGET_DIR=$PWD/target/no-read-back sh rsm-capi/tests/library.sh --locked)" "$to/wrong/librsm.so.2"
    pack faults
}
# Drivers of a kernel, found before.
lay_out_modules() {
    mkdir -p "$work/modules-$version"
    cp -r "$modules" "$work/modules-$version/modules"
    pack "modules-$version"
}
