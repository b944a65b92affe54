#!/bin/sh
# Builds librsm_shmem.so and librsm_shmem.a for tests, and says where they are; shmem.h is beside them. Arguments are cargo's,
# such as --release. Those for use are made by install.sh.
#
#     sh rsm-shmem/tests/library.sh DIRECTORY [CARGO'S ARGUMENTS]
set -eu
directory=$1
shift
cd "$(dirname "$0")/.."
# With the same words as install.sh, so that it is compiled once for both.
said=$(${CARGO:-cargo} rustc -q -p rsm-shmem --lib --crate-type staticlib --message-format=json-render-diagnostics "$@" -- \
    -C target-feature=-crt-static --print=native-static-libs)
archive=$(printf '%s\n' "$said" | sed -n 's/.*"filenames":\["\([^"]*librsm_shmem[^"]*\.a\)".*/\1/p' | tail -n 1)
made=$(printf '%s\n' "$said" | sed -n '/"build-script-executed"/{/rsm-shmem/s/.*"out_dir":"\([^"]*\)".*/\1/p;}' | tail -n 1)
${CC:-cc} -shared -o "$directory/librsm_shmem.so.1" -Wl,-soname,librsm_shmem.so.1 \
    -Wl,--version-script="$made/librsm_shmem.map" -Wl,-Bsymbolic-functions -Wl,-z,nodelete -Wl,-z,defs -Wl,--gc-sections \
    -Wl,--whole-archive "$archive" -Wl,--no-whole-archive -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
ln -sf librsm_shmem.so.1 "$directory/librsm_shmem.so"
cp "$made/shmem.h" "$made/names" "$made/race_names" "$made/rsm_shmem.7" "$directory/"
