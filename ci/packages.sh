# Packages of Debian, for the scripts beside this one: downloaded from the mirror that this machine's apt names, unpacked into
# a cache, never installed. Whoever includes it has said where the cache is (`cache`).

skip() { printf -- '-- skipped: %s: %s\n' "$1" "$2"; }

own_suite=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
# The archive that this machine's own packages come from.
archive() {
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -v suite="$own_suite" '$1 == suite { print $2; exit }'
}

# Runs a command of apt for a suite and an architecture, with a state of its own: apt_of SUITE DEBIAN-ARCHITECTURE WORDS
# A suite of backports, written BASE+BACKPORTS, is one beside the other, and what the latter has comes from there. Beside
# apt's there are the commands `simulate`, an installation on this machine, and `plan`, one on a machine that has nothing.
apt_of() {
    local suite=$1 of=$2 state=$cache/apt/$1-$2 command=$3
    shift 3
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    if [ ! -e "$state/updated" ]; then
        local address
        address=$(archive)
        [ -n "$address" ] && [ -e "$keyring" ] || { echo "this machine's apt has no archive of Debian" >&2 && return 1; }
        mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
        local each
        for each in ${suite//+/ }; do echo "deb [arch=$of signed-by=$keyring] $address $each main"; done >"$state/sources.list"
        : >"$state/status"
    fi
    local status=$state/status
    case $command in
        simulate) status=/var/lib/dpkg/status && command=install && set -- -s "$@" ;;
        plan) command=install && set -- -s "$@" ;;
    esac
    local options=(-qq -o APT::Architecture="$of" -o APT::Architectures="$of" -o APT::Sandbox::User=""
        -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null
        -o Dir::Etc::PreferencesParts=/dev/null -o Dir::State::Lists="$state/lists" -o Dir::Cache="$state/cache"
        -o Dir::State::Status="$status" -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false)
    case $suite in *+*) options+=(-o APT::Default-Release="${suite#*+}") ;; esac
    if [ ! -e "$state/updated" ]; then
        apt-get "${options[@]}" update >&2 && touch "$state/updated"
    fi
    case $command in
        depends) apt-cache "${options[@]}" depends "$@" ;;
        *) apt-get "${options[@]}" "$command" "$@" ;;
    esac
}

# Puts what packages contain into a directory: unpacked DIRECTORY SUITE DEBIAN-ARCHITECTURE PACKAGE..
unpacked() {
    local to=$1 suite=$2 of=$3 package
    shift 3
    [ ! -e "$to/.whole" ] || return 0
    rm -rf "$to"
    mkdir -p "$to/.packages"
    (cd "$to/.packages" && apt_of "$suite" "$of" download "$@" >&2) || return 1
    for package in "$to"/.packages/*.deb; do dpkg-deb -x "$package" "$to"; done
    rm -r "$to/.packages"
    touch "$to/.whole"
}

# The first package that one depends on and that is called like this: depends SUITE DEBIAN-ARCHITECTURE PACKAGE PATTERN
depends() { apt_of "$1" "$2" depends "$3" | awk -v pattern="^$4\$" '$2 ~ pattern { print $2; exit }'; }

# The package with a kernel for emulated machines, of a suite and an architecture, by its name; of late the image is in a package
# of its own: kernel_image SUITE DEBIAN-ARCHITECTURE META-PACKAGE
kernel_image() {
    local package
    package=$(depends "$1" "$2" "$3" 'linux-image-[0-9].*')
    depends "$1" "$2" "$package" 'linux-binary-.*' | grep . || echo "$package"
}
