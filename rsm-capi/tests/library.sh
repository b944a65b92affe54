#!/bin/sh
# Builds librsm.so as rustc links it, for tests and benchmarks, and says where it is. Arguments are cargo's, such as
# --release. The one for use is linked by install.sh, which says why.
#
# It stays loaded once it is: its threads cannot be taken back.
set -eu
cd "$(dirname "$0")/.."
built=$(${CARGO:-cargo} rustc -q -p rsm-capi --lib --crate-type cdylib --message-format=json-render-diagnostics "$@" -- \
    -C link-arg=-Wl,-soname,librsm.so.2 -C link-arg=-Wl,-z,nodelete)
printf '%s\n' "$built" | sed -n 's/.*"filenames":\["\([^"]*\.so\)".*/\1/p' | tail -n 1
