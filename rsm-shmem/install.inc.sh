# Part of rsm-capi/install.sh, which has the functions and variables that are used here: what --shmem installs, and what
# --uninstall removes of it. librsm_shmem.so.1 and librsm_shmem.a are made as librsm's are, see there.
# shellcheck shell=sh disable=SC2086,SC2154

shmem_dir=$(cd "$here/../rsm-shmem" && pwd)
bindir=$prefix/bin

shmem_remove() {
    for file in "$includedir/shmem.h" "$includedir/mpp/shmem.h" "$libdir/librsm_shmem.so" "$libdir/librsm_shmem.so.1" "$libdir/librsm_shmem.a" \
        "$pcdir/rsm-shmem.pc" "$bindir/oshcc" "$bindir/oshc++" "$bindir/oshrun" "$mandir/man7/rsm_shmem.7" \
        "$mandir/man1/oshrun.1" "$mandir/man1/oshcc.1" "$mandir/man1/oshc++.1"; do remove "$file"; done
    rmdir "$destdir$includedir/mpp" 2>/dev/null || :
}

# fill FILE: what is installed of a file with names of places in it.
fill() {
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@LIBDIR@|$2|g" -e "s|@INCLUDEDIR@|$includedir|g" -e "s|@VERSION@|$version|g" \
        -e "s|@LIBS_PRIVATE@|$shmem_libs|g" "$shmem_dir/$1"
}

# compiler NAME LANGUAGE SUFFIX VARIABLE COMPILER
compiler() {
    fill bin/oshcc.in "$libdir" | sed -e "s|@NAME@|$1|g" -e "s|@LANGUAGE@|$2|g" -e "s|@SUFFIX@|$3|g" \
        -e "s|@VARIABLE@|$4|g" -e "s|@COMPILER@|$5|g" >"$work/compiler"
    place 755 "$work/compiler" "$bindir/$1"
}

shmem_install() {
    $cargo rustc -p rsm-shmem --lib $profile --locked --crate-type staticlib --message-format=json-render-diagnostics -- \
        -C target-feature=-crt-static --print=native-static-libs >"$work/artifacts" 2>"$work/said" || {
        cat "$work/said" >&2
        fail 'cargo did not build rsm-shmem'
    }
    archive=$(sed -n 's/.*"filenames":\["\([^"]*\.a\)".*/\1/p' "$work/artifacts" | tail -n 1)
    [ -n "$archive" ] || fail 'cargo built no static library of rsm-shmem'
    # What the build made of the table.
    made=$(sed -n '/"build-script-executed"/{/rsm-shmem/s/.*"out_dir":"\([^"]*\)".*/\1/p;}' "$work/artifacts" | tail -n 1)
    [ -e "$made/shmem.h" ] || fail 'cargo built no shmem.h'
    shmem_libs=$(sed -n 's/.*native-static-libs: *//p' "$work/said" | tail -n 1 | tr -s ' ' '\n' |
        awk '$0 != "" && $0 != "-lc" && $0 != "-lgcc_s" && !seen[$0]++' | tr '\n' ' ' | sed 's/ *$//')
    LC_ALL=C sort "$made/names" "$made/race_names" >"$work/names"
    sed 's/^/-Wl,-u,/' "$work/names" >"$work/wanted"
    # In a program that has librsm.a as well there are two of these; librsm's are taken.
    sed 's/^/--weaken-symbol=/' "$made/race_names" >"$work/weak"

    if [ $shared = yes ]; then
        # Calls from within the library go to its own functions; tools take the place of those that programs call.
        $cc -shared -o "$work/librsm_shmem.so.1" -Wl,-soname,librsm_shmem.so.1 -Wl,--version-script="$made/librsm_shmem.map" \
            -Wl,-Bsymbolic-functions -Wl,-z,nodelete -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,--gc-sections \
            -Wl,--strip-debug -Wl,--whole-archive "$archive" -Wl,--no-whole-archive -Wl,--as-needed $unwinder $shmem_libs \
            2>"$work/said" || {
            cat "$work/said" >&2
            fail "$cc did not link librsm_shmem.so.1"
        }
    fi
    shmem_static() {
        rm -f "$work/librsm_shmem.a"
        $cc -r -nostdlib -o "$work/shmem.o" "$@" "@$work/wanted" "$archive" $unwinder &&
            $objcopy --keep-global-symbols="$work/names" --strip-unneeded "@$work/weak" \
                --remove-section=.group --remove-section=.llvmbc --remove-section=.llvmcmd "$work/shmem.o" &&
            $ar -rc "$work/librsm_shmem.a" "$work/shmem.o" &&
            $cc -o "$work/main" "$work/main.c" "@$work/wanted" "$work/librsm_shmem.a" $shmem_libs
    }
    shmem_static -Wl,--gc-sections 2>/dev/null || shmem_static || fail "$cc, $objcopy and $ar did not make librsm_shmem.a"

    [ $shared = no ] || $nm -D --defined-only "$work/librsm_shmem.so.1" |
        awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort >"$work/so"
    $nm -g --defined-only "$work/librsm_shmem.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort >"$work/a"
    for library in so a; do
        [ $shared$library != noso ] || continue
        cmp -s "$work/names" "$work/$library" || fail "librsm_shmem.$library does not export the functions of the table"
    done

    place 644 "$made/shmem.h" "$includedir/shmem.h"
    # Where programs of before 1.2 look for it.
    printf '#include "../shmem.h"\n' >"$work/old.h"
    place 644 "$work/old.h" "$includedir/mpp/shmem.h"
    if [ $shared = yes ]; then
        place 755 "$work/librsm_shmem.so.1" "$libdir/librsm_shmem.so.1"
        rm -f "$destdir$libdir/librsm_shmem.so"
        ln -s librsm_shmem.so.1 "$destdir$libdir/librsm_shmem.so" || fail "cannot write $destdir$libdir/librsm_shmem.so"
        printf 'installed %s -> librsm_shmem.so.1\n' "$destdir$libdir/librsm_shmem.so"
    else
        remove "$libdir/librsm_shmem.so"
        remove "$libdir/librsm_shmem.so.1"
    fi
    place 644 "$work/librsm_shmem.a" "$libdir/librsm_shmem.a"
    fill rsm-shmem.pc.in "$libdir_of_pc" >"$work/rsm-shmem.pc"
    place 644 "$work/rsm-shmem.pc" "$pcdir/rsm-shmem.pc"
    compiler oshcc C c CC cc
    compiler oshc++ C++ cpp CXX c++
    fill bin/oshrun.in "$libdir" >"$work/oshrun"
    place 755 "$work/oshrun" "$bindir/oshrun"
    place 644 "$made/rsm_shmem.7" "$mandir/man7/rsm_shmem.7"
    place 644 "$shmem_dir/man/oshrun.1" "$mandir/man1/oshrun.1"
    for alias in oshcc oshc++; do
        printf '.so man1/oshrun.1\n' >"$work/alias"
        place 644 "$work/alias" "$mandir/man1/$alias.1"
    done
}
