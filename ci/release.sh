#!/usr/bin/env bash
# What a release consists of, made and tried, with nothing published: docs/releasing.md says when.
#
#   ci/release.sh [crates] [debian] [wheel]      all of them without a word
#
#   crates    every crate that is published builds from its package alone, its dependencies from theirs
#   debian    the Debian package, optimized: installed, used and removed (ci/deb.sh)
#   wheel     the Python wheel, installed into a new environment and imported there
#
# What was made is in target/release-of/VERSION, but for the packages of crates, which cargo has in target/crates/package.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- crates debian wheel
version=$(cargo pkgid -p rsm | sed 's/.*[#@]//')
made=$PWD/target/release-of/$version
mkdir -p "$made"

# Cargo 1.90 or later finds what a package needs of the others among the packages that it has just made.
crates() {
    local manifest name part not_published=() own=${CARGO_HOME:-$HOME/.cargo}
    # In its home cargo unpacks what it has packed, known by name, version and the place of this checkout; what an earlier run has
    # left there, of other sources, it would take for that. So it gets a home without, but with what was downloaded.
    local -x CARGO_HOME=$PWD/target/crates/home
    rm -rf "$CARGO_HOME"
    mkdir -p "$CARGO_HOME/registry"
    for part in config.toml config registry/index registry/cache; do
        [ ! -e "$own/$part" ] || ln -s "$own/$part" "$CARGO_HOME/$part"
    done
    # One place to build all of them, so that what they share is built once.
    local -x CARGO_TARGET_DIR=$PWD/target/crates
    while read -r manifest; do
        name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
        # Others are of other workspaces.
        ! cargo pkgid -p "$name" >/dev/null 2>&1 || not_published+=(--exclude "$name")
    done < <(git ls-files '*Cargo.toml' | xargs grep -l '^publish = false')
    cargo package --manifest-path rsm-ntb-emu/Cargo.toml --locked
    # The emulator is published before and by itself; until then it is to be found here.
    cargo package --workspace --locked "${not_published[@]}" --config "patch.crates-io.rsm-ntb-emu.path='$PWD/rsm-ntb-emu'"
    rm -rf "$CARGO_HOME"
}

debian() { bash ci/deb.sh "$(sh packaging/deb.sh --output "$made" | tail -n 1)"; }

wheel() {
    local python=${PYTHON:-python3} trial
    "$python" -m pip wheel -q --no-deps --wheel-dir "$made" ./python
    trial=$(mktemp -d)
    # shellcheck disable=SC2064  # That directory, now.
    trap "rm -rf '$trial'" RETURN
    "$python" -m venv "$trial"
    "$trial/bin/pip" install -q --no-deps "$made"/rsmapi-"$version"-*.whl
    (cd "$trial" && bin/python -c 'import rsmapi; print(rsmapi.Cluster(2).node(1).controller())')
}

for part in "$@"; do
    case $part in
        crates | debian | wheel) ;;
        *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
done
for part in "$@"; do
    printf '\n== %s\n' "$part"
    "$part"
done
(cd "$made" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs -r sha256sum >SHA256SUMS && cat SHA256SUMS)
