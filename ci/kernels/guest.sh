#!/bin/busybox sh
# The first process of a machine that ci/kernels.sh boots: makes the places that programs expect, runs what /suites/plan
# names, tells what came out, and switches off. Lines that begin with `@@` are for ci/kernels.sh:
#
#   @@ kernel RELEASE
#   @@ suite SUITE                                            begins
#   @@ test SUITE|TEST|passed, failed or skipped|SECONDS|why it was skipped
#   @@ done SUITE
now() { cut -d ' ' -f 1 /proc/uptime; }

# Runs a command that is to end with 0 within some seconds: piece SUITE NAME SECONDS COMMAND..
piece() {
    suite=$1 name=$2 seconds=$3 out=/tmp/out.$$
    shift 3
    began=$(now)
    timeout -s KILL "$seconds" "$@" </dev/null >$out 2>&1
    code=$?
    why=
    verdict=passed
    if [ "$code" != 0 ]; then
        verdict=failed
        [ "$code" != 137 ] || echo "not finished within $seconds s" >>$out
    elif grep -q '^test result: ok. 0 passed; 0 failed; 0 ignored' $out; then
        verdict=failed
        echo "nothing ran" >>$out
    else
        # Tests say why on a line of their own, or through their runner.
        why=$(sed -n 's/.*\(skipped\|ignored\)\( in part\)\{0,1\}\(: \|, \| (\)//p' $out | head -n 1)
        [ -z "$why" ] && ! grep -q '^test result: ok. 0 passed' $out || verdict=skipped
    fi
    # What several print at the same time comes one after the other.
    until mkdir /tmp/printing 2>/dev/null; do sleep 0.1; done
    [ $verdict != failed ] || sed 's/^@@/ @@/' $out | tail -n 400
    echo "@@ test $suite|$name|$verdict|$(echo "$(now) $began" | awk '{ printf "%.1f", $1 - $2 }')|$why"
    rmdir /tmp/printing
}

# Each test of a test program by itself, on each processor one.
one_by_one() {
    suite=$1 wanted=$2 seconds=$3
    "/suites/$suite" --list 2>/dev/null | sed -n 's/: test$//p' | grep -F -- "$wanted" |
        xargs -r -P "$(nproc)" -I TEST /init piece "$suite" TEST "$seconds" "/suites/$suite" --exact TEST --nocapture
}

# Its runner has a limit for each of its tests, of which there are a thousand.
conformance() {
    RSM_CONFORMANCE=/suites/c timeout -s KILL 3000 /suites/conformance ${1:+"$1"} </dev/null 2>&1 | tee /tmp/out | awk '
        /^test .* \.\.\. / {
            name = $0; sub(/^test /, "", name); said = name; sub(/ *\.\.\. .*/, "", name); sub(/.* \.\.\. /, "", said)
            why = said; sub(/^ignored,? ?/, "", why)
            print "@@ test conformance|" name "|" (said == "ok" ? "passed|0|" : said == "FAILED" ? "failed|0|" : "skipped|0|" why)
        }'
    sed -n '/^failures:/,$p' /tmp/out | head -n 2000
    grep -q '^test result' /tmp/out || { tail -n 20 /tmp/out && echo "@@ test conformance|all of it|failed|0|"; }
}

run() {
    suite=${1%%:*} wanted=
    [ "$suite" = "$1" ] || wanted=${1#*:}
    echo "@@ suite $suite"
    case $suite in
        doctor) piece doctor doctor 60 /suites/rsm-ctl doctor && cat $out ;;
        hello)
            piece hello hello 60 /suites/rsm-ctl run -n 3 -- /suites/hello
            piece hello "hello of an ordinary user" 60 su -s /bin/sh nobody -c '/suites/rsm-ctl run -n 3 -- /suites/hello'
            ;;
        sort) piece sort sort 120 /bin/sh -c '/suites/rsm-ctl run -n 4 -- /suites/sort /suites/text -o /tmp/sorted && cmp /tmp/sorted /suites/sorted' ;;
        rsmtest) LD_LIBRARY_PATH=/suites/c piece rsmtest rsmtest 60 /suites/rsm-ctl run -n 2 -- \
            sh -c 'if [ $RSM_NODE_ID = 1 ]; then /suites/c/rsmtest -e -n 2; else /suites/c/rsmtest -i -n 1; fi' ;;
        conformance) conformance "$wanted" ;;
        *) one_by_one "$suite" "$wanted" 600 ;;
    esac
    echo "@@ done $suite"
}

# For `xargs`.
if [ "$1" = piece ]; then
    shift
    piece "$@"
    rm "$out"
    exit
fi

/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root RUST_BACKTRACE=1 RSM_TEST_PATIENCE=6
mkdir -p /dev/shm /dev/pts
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t devpts devpts /dev/pts
if mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null; then
    for controller in cpu memory pids; do echo +$controller >/sys/fs/cgroup/cgroup.subtree_control; done
fi
ln -s /proc/self/fd /dev/fd
ip link set lo up
# As on an installed system.
ulimit -Hn 524288
hostname machine
echo "@@ kernel $(uname -r)"

# Not in this process, which cannot be killed and is the parent of whoever has none.
(while read -r what <&4; do run "$what"; done 4</suites/plan)
sync
poweroff -f
