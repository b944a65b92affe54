#!/bin/busybox sh
# The first process of a machine that ci/bridge.sh boots: one of two hosts at an emulated bridge, with Linux's own drivers or with
# rsm's. What it finds it says in lines that begin with `@@`: `@@ passed STEP`, `@@ failed STEP`, `@@ at STEP` where it
# waits for something to be done to it from outside.
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debug /sys/kernel/debug
mount -t tmpfs tmpfs /tmp

role=$(sed -n 's/.*\bhost=\([ab]\).*/\1/p' /proc/cmdline)
report() { if [ "$1" = 0 ]; then echo "@@ passed $2"; else echo "@@ failed $2"; fi; }
end() {
    sync
    poweroff -f
}

# Asks until it is so, for at most 60 seconds: eventually COMMAND..
eventually() {
    left=600
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.1
    done
}

# A function that VFIO has; its address.
given_to_vfio() {
    for module in /modules/vfio/*.ko; do insmod "$module" || { report 1 "$module is loaded" && end; }; done
    address=$(basename "$(dirname "$(grep -l 0x1957 /sys/bus/pci/devices/*/vendor)")")
    echo vfio-pci >"/sys/bus/pci/devices/$address/driver_override"
    echo "$address" >/sys/bus/pci/drivers_probe
}

# Clusters of both hosts: the programs are those of one host.
if grep -q driver=hosts /proc/cmdline; then
    given_to_vfio
    cd /hosts || end
    export LD_LIBRARY_PATH=/hosts HOME=/tmp
    # What this machine says of its bridge.
    ./rsm-ctl doctor >/tmp/doctor 2>&1
    grep -q "$address, driver vfio-pci" /tmp/doctor
    report $? 'doctor knows the function'
    # A cluster of so many nodes, of which the first half is on the first host. Agents with other numbers of nodes are another
    # cluster's: they do not meet one that is on its way out.
    both() {
        nodes=$1 half=$(($1 / 2)) name=$2
        shift 2
        if [ "$role" = a ]; then here=1-$half; else here=$((half + 1))-$nodes; fi
        ./rsm-ctl run -n "$nodes" --here "$here" --name "$name" --bridge "shm0=vfio:$address" --timeout 80s -- "$@" \
            >"/tmp/$name" 2>&1
        code=$?
        sed "s/^/$name: /" "/tmp/$name"
        report $code "$name"
    }
    both 4 hello ./hello
    test "$(grep -c 'was told: hello' /tmp/hello)" = 2
    report $? 'hello says what it was told'
    both 2 rsmtest sh -c 'if [ $RSM_NODE_ID = 1 ]; then ./rsmtest -e -n 2; else ./rsmtest -i -n 1; fi'
    both 4 sort ./sort text -o /tmp/sorted
    if [ "$role" = a ]; then
        LC_ALL=C sort text >/tmp/expected
        cmp /tmp/expected /tmp/sorted
        report $? 'what was sorted on two hosts is what sort says'
    fi
    # One machine dies in the middle, and the cluster of the other host goes on. What waits there is hello.
    bridge=shm0=vfio:$address
    if [ "$role" = b ]; then
        ./rsm-ctl run -n 3 --here 3 --bridge "$bridge" -- ./hello
        end
    fi
    ./rsm-ctl up -n 3 --here 1-2 --name left --bridge "$bridge" >/tmp/up 2>&1 || cat /tmp/up
    eventually sh -c './rsm-ctl nodes --cluster left | grep -q "^3 *yes"'
    report $? "the other host's node is there"
    echo '@@ at death'
    eventually sh -c './rsm-ctl bridge --cluster left | grep -q "^peer: *not there"'
    report $? "the other machine's death is told"
    ./rsm-ctl nodes --cluster left | grep -q '^3 *no'
    report $? 'its nodes have left'
    ./rsm-ctl exec --cluster left --node 1 -- true
    report $? 'this host goes on'
    ./rsm-ctl down left
    report $? 'and ends in order'
    echo '@@ done'
    end
fi

# The ends of connections between the two: `bounds` keeps memory on the first host, and writes on the other.
if grep -q driver=faults /proc/cmdline; then
    given_to_vfio
    cd /hosts || end
    export HOME=/tmp
    nodes=2 library=/hosts program=bounds
    # Starts a run of this host's nodes: begin NAME WORDS-OF-PROGRAM.. Its front is `front`.
    begin() {
        name=$1
        shift
        rm -f /tmp/there
        if [ "$role" = b ]; then here=$nodes; else here=1-$((nodes - 1)); fi
        LD_LIBRARY_PATH=$library ./rsm-ctl run -n "$nodes" --here "$here" --name "$name" --bridge "shm0=vfio:$address" \
            --timeout 80s -- "./$program" "$@" >"/tmp/$name" 2>&1 &
        front=$!
    }
    # Waits for its end, shows what it said, and gives its code.
    finish() {
        wait "$front"
        code=$?
        sed "/^@@/!s/^/$name: /" "/tmp/$name"
        return $code
    }
    # Kills its agent in the middle, and by that the nodes of this host: with nothing said or closed.
    kill_agent() {
        eventually test -e /tmp/there
        report $? "$1 is in the middle"
        for stat in /proc/[0-9]*/stat; do
            read -r pid _ _ parent _ <"$stat" || continue
            [ "$parent" != "$front" ] || kill -9 "$pid"
        done
        ! finish
        report $? "$1 was killed"
    }
    # Another agent in its place. The kernel takes a moment to take back what the dead one had.
    successor() {
        left=100
        until begin "$@" && finish; do
            left=$((left - 1))
            [ $left -gt 0 ] && grep -q 'is busy' "/tmp/$name" || return 1
        done
    }
    # A course of both hosts: course NAME EVENT ROUNDS. One cluster after the other has another number of nodes, or it would meet one
    # that is on its way out.
    course() {
        nodes=$((5 - nodes))
        if [ "$role" = a ]; then begin "$1" keep "$2" "$3" "$1"; else begin "$1" write "$1"; fi
    }
    # What operations bring over the bridge is counted there.
    program=counts
    if [ "$role" = a ]; then begin counts have; else begin counts use; fi
    finish
    report $? 'operations are made for the bridge to count'
    program=bounds
    course unpublish unpublish 5 && finish
    report $? 'memory is taken back under a writer'
    library=/hosts/wrong
    course no-read-back unpublish 10 && finish
    code=$? library=/hosts
    if [ "$role" = a ]; then
        [ $code = 7 ]
        report $? 'who does not load the seal is vouched for what was lost, and found out'
    else
        report $code 'who does not load the seal goes on'
    fi
    course flap flap 3 && finish
    report $? 'the cable is pulled and put in under a writer'
    course operator operator 1
    if [ "$role" = a ]; then
        eventually test -e /tmp/there
        ./rsm-ctl link down 1 $nodes --cluster operator && ./rsm-ctl link up 1 $nodes --cluster operator
        report $? 'a link is taken down and brought up'
    fi
    finish
    report $? 'the writer goes on when its link is up again'
    course importer agent 1
    if [ "$role" = b ]; then
        kill_agent "the importer's agent"
        successor importer write importer
    else
        finish
    fi
    report $? "the successor of the importer's agent meets the survivor"
    course exporter stay 1
    if [ "$role" = a ]; then
        kill_agent "the exporter's agent"
        successor exporter keep stay 0 exporter
    else
        finish
    fi
    report $? "the successor of the exporter's agent meets the survivor"
    course host host 1 && finish
    report $? "the other machine's death is told"
    echo '@@ done'
    end
fi

# With rsm's drivers: one host goes on while a process of the other one's is killed and another takes the function over.
if grep -q driver=rsm /proc/cmdline; then
    given_to_vfio
    if [ "$role" = a ]; then
        /two_hosts "vfio:$address" a
        end
    fi
    /two_hosts "vfio:$address" b >/tmp/said &
    process=$!
    eventually grep -q '@@ at death' /tmp/said
    report $? 'the process that is to die has come there'
    /two_hosts "vfio:$address" successor >/tmp/refused
    grep -q 'another process has PCI function' /tmp/refused
    report $? 'a function is had by one process'
    kill -9 $process
    wait $process
    grep -v '@@ at' /tmp/said
    # The kernel takes a moment to take back what it had.
    eventually sh -c "! /two_hosts vfio:$address successor >/tmp/said; ! grep -q 'is busy' /tmp/said"
    cat /tmp/said
    end
fi

for module in ntb ntb_hw_epf ntb_tool; do insmod /modules/$module.ko || report 1 "$module is loaded"; done
tool=$(echo /sys/kernel/debug/ntb_tool/*)
peer=$tool/peer0
[ -d "$peer" ]
report $? 'ntb_hw_epf and ntb_tool drive the function' || end

is() { [ "$(cat "$1")" = "$2" ]; }
# The first bytes of the other host's memory, through the window.
far() { head -c "$1" "$peer/peer_mw0"; }
# For each step a scratchpad at the other host says that this one has come there.
reach() { echo 1 >"$peer/spad$1"; }
other_reached() { eventually is "$tool/spad$1" 0x1; }

echo Y >"$tool/link"
eventually is "$peer/link" Y
report $? 'the link comes up'
# The driver knows no windows before.
echo 4096 >"$peer/mw_trans0"
report $? 'a window is translated'
echo 0:4096 >"$peer/peer_mw_trans0"
reach 1
other_reached 1
report $? 'scratchpads pass'

# Both store, ring, and look at what came.
text="from $role through the window"
# Of an odd length: words and bytes.
printf %s "$text" | dd of="$peer/peer_mw0" bs=64 count=1 2>/dev/null
[ "$(far ${#text})" = "$text" ]
report $? 'what was stored is loaded'
echo 's 2' >"$tool/peer_db"
reach 2
other_reached 2
report $? 'the other host goes on'
want="from $(echo $role | tr ab ba) through the window"
[ "$(head -c ${#want} "$peer/mw0")" = "$want" ]
report $? 'what the other host stored is here'
# Doorbell 2 is vector 3: the driver reports the last vector plus one.
eventually is "$tool/db" 0x4
report $? 'the doorbell rings'
reach 3
other_reached 3

echo '@@ at down'
eventually is "$peer/link" N
report $? 'a pulled cable is told'
[ "$(far 8 | od -An -tx1 | tr -d ' \n')" = ffffffffffffffff ]
report $? 'loads yield all-ones then'
printf lost | dd of="$peer/peer_mw0" bs=4 count=1 2>/dev/null
echo '@@ at up'
eventually is "$peer/link" Y
report $? 'the cable is put in'
[ "$(far ${#text})" = "$text" ]
report $? 'what was stored meanwhile is lost, and what was stored before is there'
reach 4
other_reached 4

# One is killed; the other sees it, and goes on.
echo '@@ at death'
if [ "$role" = b ]; then
    sleep 600
    end
fi
eventually is "$peer/link" N
report $? "the other machine's death is told"
[ "$(far 8 | od -An -tx1 | tr -d ' \n')" = ffffffffffffffff ]
report $? 'loads yield all-ones after it'
echo N >"$tool/link"
report $? 'the function answers after it'
echo '@@ done'
end
