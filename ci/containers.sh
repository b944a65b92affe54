#!/usr/bin/env bash
# docs/containers.md on container engines: its Dockerfile, commands and pod as the page gives them, and what it says of
# them. On each engine that answers here (docker, podman), or on those that are named. Ends with 77 where none does;
# ci/engines.sh has some where there are none.
#
#   ci/containers.sh [docker|podman ..]
#
# Nothing is downloaded: the page's image begins with one made of this machine's own shell and libraries.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
skip() {
    printf -- '-- skipped: containers: %s\n' "$1"
    exit 77
}
answers() { timeout 20 "$1" info >/dev/null 2>&1; }
engines=()
if [ $# -gt 0 ]; then
    for engine in "$@"; do
        answers "$engine" || { echo "$engine does not answer" && exit 1; }
        engines+=("$engine")
    done
else
    for engine in docker podman; do
        command -v "$engine" >/dev/null && answers "$engine" || continue
        # What an ordinary user's podman lets containers do depends on more than the page says.
        [ "$engine" = docker ] || [ "$(podman info --format '{{.Host.Security.Rootless}}')" = false ] || continue
        engines+=("$engine")
    done
fi
[ ${#engines[@]} -gt 0 ] || skip 'no engine answers (docker info, podman info as root)'

work=$(mktemp -d "${TMPDIR:-/var/tmp}/rsm-containers.XXXXXX")
tag=rsm-guide-$$
# Every container has a name of this run.
clean_up() {
    local code=$? engine id
    for engine in "${engines[@]}"; do
        "$engine" pod rm -f "$tag" >/dev/null 2>&1 || true
        for id in $("$engine" ps -aq --filter "name=$tag" 2>/dev/null); do
            [ "$code" = 0 ] || { "$engine" logs "$id" 2>&1 | tail -n 20 || true; }
            "$engine" rm -f "$id" >/dev/null 2>&1 || true
        done
        "$engine" rmi -f "$tag" "$tag-base" >/dev/null 2>&1 || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
: >"$work/why"

fail() {
    printf '%s: %s\n' "$engine" "$1"
    exit 1
}
# The n-th block of the page in that language.
block() {
    awk -v want="\`\`\`$1" -v number="$2" '
        $0 == want { if (++found == number) { inside = 1; next } }
        /^```/ { inside = 0 }
        inside' docs/containers.md
}
# At most a minute for a condition: until CODE, WHAT it is.
until_true() {
    local end=$((SECONDS + 60))
    until eval "$1"; do
        [ $SECONDS -lt $end ] || fail "not within a minute: $2"
        sleep 0.05
    done
}
# The engine, with what the page calls image and first named so that nothing of anybody else's is meant.
call() { timeout 120 "$engine" "$@"; }
# What a container says and its code, in said and code.
say() {
    code=0
    said=$(call run --rm --name "$tag-one" "$@" 2>&1) || code=$?
}
greeted() {
    [ "$code" = 0 ] && [ "$(grep -c '^node [1-4] was told: hello' <<<"$said")" = "$1" ] || fail "$2: code $code: $said"
}

# What the page's Dockerfile copies: this project's own command and first example.
CARGO_TARGET_DIR=$top/target cargo build -q --locked -p rsm-ctl
CARGO_TARGET_DIR=$top/target cargo build -q --locked --example hello
mkdir "$work/image"
for pair in rsm-ctl:rsm-ctl examples/hello:app; do
    strip -o "$work/image/${pair#*:}" "target/debug/${pair%:*}" 2>/dev/null ||
        cp "target/debug/${pair%:*}" "$work/image/${pair#*:}"
done
block dockerfile 1 | sed "s|^FROM .*|FROM $tag-base|" >"$work/image/Dockerfile"
programs=(/bin/sh)
for program in cat env id mv sleep touch; do programs+=("$(command -v "$program")"); done
mapfile -t libraries < <(ldd "${programs[@]}" "$work/image/rsm-ctl" "$work/image/app" | grep -o '/[^ :]*\.so[^ ]*' | sort -u)
tar -chf "$work/base.tar" -C / "${programs[@]#/}" "${libraries[@]#/}"

# The page's own words, with the image and the containers of this run for its.
page() { sed -E "s/\bimage\b/$tag/g; s/\bfirst\b/$tag-first/g; s/\bdocker\b/call/g" <<<"$1"; }

# Whether the engine runs containers, and here: a volume is a directory of where the engine is.
works() {
    call import "$work/base.tar" "$tag-base" >/dev/null 2>&1 &&
        call run --rm --volume "$work:/probe" "$tag-base" touch "/probe/$engine" >"$work/why" 2>&1 &&
        [ -e "$work/$engine" ]
}

one_container() {
    local commands line
    mapfile -t commands < <(block sh 1)
    [ ${#commands[@]} -ge 3 ] || fail 'the page has lost the commands for one container'
    for line in "${commands[@]}"; do
        code=0
        said=$(cd "$work/image" && eval "$(page "$line")" 2>&1) || code=$?
        case $line in
            'docker build'*) [ "$code" = 0 ] || fail "$line: $said" ;;
            *) greeted 4 "$line" ;;
        esac
    done
    say --init --read-only --network none "$tag"
    greeted 4 'without a network'
    say --read-only --user 12345:12345 --cap-drop ALL --security-opt no-new-privileges "$tag"
    greeted 4 'an ordinary user without anything, and no --init'
    say --read-only --tmpfs /dev/shm:size=1k "$tag"
    greeted 4 'no /dev/shm to speak of'
}

# What doctor misses, a line for each; outside of a container, without a filter, it is the kernel's fault.
missing() { awk '$1 == "missing" || $1 == "MISSING" { print $2 }' <<<"$1" | sort; }

doctor() {
    local outside
    outside=$(missing "$("$work/image/rsm-ctl" doctor)")
    say --read-only --entrypoint rsm-ctl "$tag" doctor
    [ "$code" = 0 ] || fail "doctor: code $code: $said"
    printf '%s: with its filter doctor misses: %s\n' "$engine" "$(missing "$said" | tr '\n' ' ')"
    say --read-only --security-opt seccomp=unconfined --entrypoint rsm-ctl "$tag" doctor
    [ "$code" = 0 ] || fail "doctor, without a filter: code $code: $said"
    local more
    more=$(comm -13 <(echo "$outside") <(missing "$said") | grep -v '^wp-kernel$' || true)
    [ -z "$more" ] || fail "without a filter doctor still misses $more"
}

ends() {
    mkdir -p "$work/out"
    rm -f "$work/out/report.xml"
    code=0
    local report
    report=$(page "$(block sh 2)")
    said=$(cd "$work" && eval "$report" 2>&1) || code=$?
    greeted 4 'a run with a report'
    grep -q '<testsuite.* tests="4"' "$work/out/report.xml" || fail "no report of 4 nodes: $(cat "$work/out/report.xml")"
    say --read-only --volume "$work/out:/out" --entrypoint rsm-ctl "$tag" \
        run -n 2 --junit /out/report.xml --node 1 -- sh -c 'exit 7' --node 2 -- sh -c 'exit 0'
    [ "$code" = 7 ] || fail "exit code 7 came out as $code: $said"
    grep -q '<failure' "$work/out/report.xml" || fail 'the report has no failure'
    # By the init of an engine, and as the first process.
    local init signal want
    for init in --init --read-only; do
        for signal in INT:130 TERM:143; do
            want=${signal#*:}
            call run -d --name "$tag-int" "$init" --entrypoint rsm-ctl "$tag" \
                run -n 2 -- sh -c 'echo runs; exec sleep 600' >/dev/null
            until_true '[ "$(call logs "$tag-int" 2>/dev/null | grep -c runs)" = 2 ]' 'both nodes run'
            call kill --signal "${signal%:*}" "$tag-int" >/dev/null
            code=$(call wait "$tag-int")
            [ "$code" = "$want" ] || fail "SIG${signal%:*} ($init) ended it with $code"
            call rm "$tag-int" >/dev/null
        done
    done
}

# What delays, kills and looks into processes, under the engine's filter.
disturbed() {
    say --read-only --entrypoint rsm-ctl "$tag" run -n 3 --chaos 7 --model sci -- app
    [ "$code" = 0 ] && [ "$(grep -c '^node [1-3] was told: hello' <<<"$said")" = 3 ] || fail "--chaos: code $code: $said"
    say --read-only --entrypoint rsm-ctl "$tag" run -n 2 --race -- app
    [ "$code" = 0 ] && grep -q 'no races found' <<<"$said" || fail "--race: code $code: $said"
    say --read-only --entrypoint rsm-ctl "$tag" \
        run -n 2 --timeout 1s --on-timeout stacks -- sh -c 'exec sleep 600'
    [ "$code" = 124 ] && [ "$(grep -c '^rsm-ctl: where node [12] is' <<<"$said")" = 2 ] || fail "stacks: code $code: $said"
    say --read-only --entrypoint rsm-ctl "$tag" explore -n 2 --kill 2 --allow 1 --timeout 5s --at 1 -- app
    grep -q 'node 2 before call 1' <<<"$said" || fail "explore: code $code: $said"
}

memory() {
    say --memory 128m --entrypoint rsm-ctl "$tag" perf --op put --sizes 256M --time 1ms --no-pin
    if grep -qi 'limitation\|not support\|cgroup.*not mounted' <<<"$said"; then
        printf -- '-- skipped: %s, a limit of memory: %s\n' "$engine" "$(head -n 1 <<<"$said")"
        return
    fi
    { [ "$code" != 0 ] && grep -q 'in the control group .*INSUFFICIENT_MEM' <<<"$said"; } ||
        fail "an export beyond the limit: code $code: $said"
}

# Two nodes, each of which the other one greeted.
neighbours() {
    [ "$code" = 0 ] && grep -q '^node 1 was told: hello, node 1, this is node 2$' <<<"$said" &&
        grep -q '^node 2 was told: hello, node 2, this is node 1$' <<<"$said" || fail "$1: code $code: $said"
}

# Containers that share a network namespace, as the page gives it.
several() {
    code=0
    said=$(eval "$(page "$(block sh 3)")" 2>&1) || code=$?
    neighbours 'several containers'
    code=0
    said=$(eval "$(page "$(block sh 4)")" 2>&1) || code=$?
    greeted 4 'two clusters at a bridge'
}

# The pod, where the engine takes one.
pod() {
    [ "$engine" = podman ] || return 0
    { block yaml 1 | sed "s|image: image|image: localhost/$tag|; s|name: demo |name: $tag |"; } >"$work/pod.yaml"
    call kube play "$work/pod.yaml" >"$work/played" 2>&1 || fail "kube play: $(cat "$work/played")"
    local name
    for name in first second; do
        code=$(call wait "$tag-$name")
        [ "$code" = 0 ] || fail "container $name of the pod ended with $code"
    done
    said=$(call logs "$tag-first" 2>&1 && call logs "$tag-second" 2>&1)
    neighbours 'the pod'
    call kube down "$work/pod.yaml" >/dev/null
}

tried=''
for engine in "${engines[@]}"; do
    began=$SECONDS
    version=$(call version --format '{{.Client.Version}} with {{.Server.Version}}' 2>/dev/null) || version=$(call --version)
    printf '== %s %s\n' "$engine" "$version"
    if ! works; then
        printf -- '-- skipped: %s runs no containers here, or is on another machine: %s\n' "$engine" "$(tail -n 1 "$work/why")"
        continue
    fi
    one_container
    doctor
    ends
    disturbed
    memory
    several
    pod
    printf -- '-- %s: ok, %s s\n' "$engine" $((SECONDS - began))
    tried=1
done
[ -n "$tried" ] || exit 77
