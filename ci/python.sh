#!/usr/bin/env bash
# The Python wheel: built, installed and tested in an environment of its own, target/python/venv. Ends with 77 where there
# is no Python, or nothing can be installed for it.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() {
    printf -- '-- skipped: python: %s\n' "$1"
    exit 77
}
python=${PYTHON:-python3}
command -v "$python" >/dev/null || skip "there is no $python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || skip "$("$python" --version) is older than 3.9"
venv=$PWD/target/python/venv
needed=('maturin>=1.14,<2' 'pytest>=7' numpy)
if ! "$venv/bin/python" -c 'import maturin, numpy, pytest' 2>/dev/null; then
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null 2>&1 || skip "$python makes no virtual environments (python3-venv is missing)"
    "$venv/bin/python" -m pip install -q "${needed[@]}" >/dev/null 2>&1 || skip 'maturin, pytest or numpy cannot be had'
fi
# It has Perfetto's schema, by which one test reads a trace, and says that it is skipped where that cannot be had.
"$venv/bin/python" -c 'import perfetto' 2>/dev/null || "$venv/bin/python" -m pip install -q 'perfetto>=0.16' >/dev/null 2>&1 ||
    printf -- '-- skipped: a trace by the schema of Perfetto: the package perfetto cannot be had\n'

# Programs are traced by it: the one of these sources, where none is given, whatever lies there.
if [ -z "${RSM_CTL:-}" ]; then
    CARGO_TARGET_DIR=$PWD/target cargo build -q --locked -p rsm-ctl
    RSM_CTL=$PWD/target/debug/rsm-ctl
fi
export RSM_CTL
export CARGO_TARGET_DIR=$PWD/target/python PATH=$venv/bin:$PATH
(cd python && cargo fmt --check && cargo clippy --all-targets --locked -- -D warnings)
# As it is installed for use, but for the profile, and with what is there already.
MATURIN_PEP517_ARGS='--profile dev' pip install -q --no-build-isolation --no-deps --force-reinstall ./python
pytest -q -p no:cacheprovider python/tests
