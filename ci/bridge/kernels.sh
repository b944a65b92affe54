# Kernels of Debian and their modules for the machines of ci/bridge.sh, which has said where the cache is (`cache`) and where there
# is room (`work`).

# Modules that VFIO is made of, in the order in which they are loaded; kernels differ in which of them they have.
vfio=(virt/lib/irqbypass drivers/vfio/vfio drivers/vfio/vfio_virqfd drivers/vfio/vfio_iommu_type1
    drivers/vfio/pci/vfio-pci-core drivers/vfio/pci/vfio-pci)

# Puts modules of VFIO from below one directory into another: vfio_of FROM TO
vfio_of() {
    local order=0 name file
    mkdir -p "$2"
    for name in "${vfio[@]}"; do
        file=$1/kernel/$name.ko
        order=$((order + 1))
        if [ -e "$file" ]; then
            cp "$file" "$2/$order-${name##*/}.ko"
        elif [ -e "$file.xz" ]; then
            xz -dc "$file.xz" >"$2/$order-${name##*/}.ko"
        fi
    done
    [ -e "$2/$order-vfio-pci.ko" ] || { echo "the kernel has no vfio-pci.ko" && return 1; }
}

# Packages of kernels have no drivers of bridges: they are built, which takes headers, sources, and the compiler of the suite.
build_modules() {
    local at=$work/build headers
    unpacked "$at" "$suite" amd64 "linux-headers-$version" "linux-headers-${version%-cloud-amd64}-common" "linux-kbuild-$series" \
        "linux-source-$series" "linux-image-$version" || return 1
    tar -C "$at" -xJf "$at/usr/src/linux-source-$series.tar.xz" --wildcards '*/drivers/ntb/*' || return 1
    headers=$at/usr/src/linux-headers-$version
    # They name each other by where they would be installed.
    sed -i "s,/usr/src/,$at/usr/src/," "$headers/Makefile"
    mkdir "$at/modules"
    (cd "$at/linux-source-$series/drivers/ntb" && cp core.c hw/epf/ntb_hw_epf.c test/ntb_tool.c "$at/modules") || return 1
    printf 'obj-m := ntb.o ntb_hw_epf.o ntb_tool.o\nntb-y := core.o\n' >"$at/modules/Kbuild"
    make -C "$headers" M="$at/modules" CC="$compiler" modules >&2 || return 1
    mkdir -p "$modules"
    cp "$at"/modules/*.ko "$modules"
    vfio_of "$at/lib/modules/$version" "$modules/vfio" || return 1
    rm -rf "$at"
    touch "$modules/.whole"
}

# Those of a kernel that has its modules in a package of their own.
unpack_modules() {
    local at=$work/modules-$version
    unpacked "$at" "$suite" amd64 "linux-modules-$version" || return 1
    vfio_of "$at/usr/lib/modules/$version" "$modules/vfio" || return 1
    rm -rf "$at"
    touch "$modules/.whole"
}

# Finds a kernel, 6.1 or newest: its file (`image`), `version`, `series`, where its `modules` are, and whether there are drivers of
# bridges among them (`has_drivers`). Says why not.
find_kernel() {
    local package at find=build_modules
    # The first is one that this project's other scripts boot too, of a suite whose compiler many machines have.
    case $1 in 6.1) suite=bookworm has_drivers=1 ;; *) suite=trixie-backports has_drivers='' find=unpack_modules ;; esac
    at=$cache/kernel-$suite-amd64
    if [ ! -e "$at/.whole" ]; then
        package=$(kernel_image "$suite" amd64 linux-image-cloud-amd64 2>"$work/why") && [ -n "$package" ] &&
            unpacked "$at" "$suite" amd64 "$package" 2>"$work/why" ||
            { echo "it is not to be had: $(tail -n 1 "$work/why")" && return 1; }
        find "$at" -type f ! -name 'vmlinuz*' ! -name .whole -delete
    fi
    image=$(find "$at" -name 'vmlinuz*' -type f | sort -V | tail -n 1)
    # Its file is called so, or its directory.
    version=${image##*/vmlinuz-}
    [ "$version" != "$image" ] || version=$(basename "$(dirname "$image")")
    series=$(cut -d . -f 1,2 <<<"$version")
    modules=$cache/bridge-modules-$version
    [ -e "$modules/.whole" ] || "$find" 2>"$work/why" >&2 ||
        { echo "its modules are not to be had: $(tail -n 1 "$work/why")" && return 1; }
}
