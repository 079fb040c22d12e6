# Debian packages: what is missing is installed, and nothing is asked of the network when all is
# there. Sourced after common.sh.
# shellcheck shell=bash disable=SC2034

packages_to_build=(gcc libc6-dev cmake ninja-build pkg-config libpq-dev libnanomsg-dev libyaml-dev
    libuv1-dev libprotobuf-c-dev protobuf-c-compiler libjq-dev libsodium-dev libmicrohttpd-dev)
packages_to_run=(postgresql)
packages_to_test=(libcmocka-dev groff-base mandoc perl clang-format shellcheck valgrind spin iproute2 make)

packages_missing() {
    local name
    for name in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$name"
    done
}

# packages_need NAME...
packages_need() {
    local missing
    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]})) || return 0
    have apt-get || die "these packages are missing: ${missing[*]}" \
        "This is not a Debian system (no apt-get): install them by its own means."
    local root=()
    if ((EUID != 0)); then
        { have sudo && sudo true; } || die "these packages are missing: ${missing[*]}" \
            "You are not root, and sudo is not there or not for you. As root:" \
            "apt-get install --no-install-recommends ${missing[*]}"
        root=(sudo)
    fi
    say "Installing with apt: ${missing[*]}"
    packages_install "${missing[@]}"
    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]} == 0)) || die "apt-get has not installed: ${missing[*]}"
}

# Uses the caller's `root`: the command that makes us root, or nothing.
packages_install() {
    local log status=0
    log=$(mktemp)
    packages_forbid_cluster
    # The lists of a fresh system are empty and those of an old one stale: only then are new ones
    # fetched.
    packages_apt install "$@" >"$log" 2>&1 ||
        { packages_apt update >>"$log" 2>&1 && packages_apt install "$@" >>"$log" 2>&1; } ||
        status=$?
    packages_allow_cluster
    if ((status)); then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "apt-get could not install: $*" "Its last words are above."
    fi
    rm -f "$log"
}

packages_apt() {
    local command=(apt-get -q -y -o DPkg::Lock::Timeout=300)
    [[ $1 == install ]] && command+=(--no-install-recommends)
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive "${command[@]}" "$@" </dev/null
}

# Debian makes and starts a cluster when the server is installed. We need the programs only, so for
# the length of our own installation it is told not to; clusters that exist are not touched.
packages_no_cluster=/etc/postgresql-common/createcluster.d/troth-none.conf
packages_forbid_cluster() {
    "${root[@]}" mkdir -p "${packages_no_cluster%/*}"
    echo 'create_main_cluster = false' | "${root[@]}" tee "$packages_no_cluster" >/dev/null
}
packages_allow_cluster() {
    "${root[@]}" rm -f "$packages_no_cluster"
}
