# What every script of the repository starts with: where it is, how it speaks, how it waits, and how
# it leaves nothing behind. Sourced, never run.
# shellcheck shell=bash

export LC_ALL=C.UTF-8
# psql and libpq take these from whoever starts us; our clusters are named in full.
unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS

# shellcheck disable=SC2034 # for those who source this
TROTH_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s\n' "$*" >&2; }

# A factual first line, then what to do about it.
die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    shift
    local line
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# wait_until SECONDS COMMAND...: true as soon as the command is, false when the time is over.
wait_until() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS <= limit)) || return 1
        sleep 0.05
    done
}

# ---- leaving ----------------------------------------------------------------------------------

# Commands for the end, run last in, first out, whatever ends the script but kill -9. Each runs in a
# shell of its own, so that one that fails does not keep the others from running; the script's own
# status is in at_exit_status.
at_exit_commands=()
at_exit() { at_exit_commands+=("$1"); }

at_exit_run() {
    at_exit_status=$?
    local i
    trap '' INT TERM HUP
    set +e
    for ((i = ${#at_exit_commands[@]} - 1; i >= 0; i--)); do
        (eval "${at_exit_commands[i]}")
    done
    exit "$at_exit_status"
}
# Somebody wanted the script to end: Ctrl-C, kill, a terminal that was closed.
at_exit_interrupted() { ((at_exit_status == 129 || at_exit_status == 130 || at_exit_status == 143)); }
at_exit_setup() {
    trap at_exit_run EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# A private folder, short enough for the path of a Unix socket in it (107 bytes), which others may
# pass through but not list: as root, PostgreSQL runs as another user.
temporary_folder() {
    local base=${TMPDIR:-/tmp} folder
    ((${#base} <= 40)) && [[ -w $base ]] || base=/tmp
    folder=$(mktemp -d "$base/troth-$1.XXXXXX")
    chmod 711 "$folder"
    printf '%s\n' "$folder"
}

# ---- processes --------------------------------------------------------------------------------

# Dead, or a zombie that only waits for its parent to look: with all its threads, as the last one
# closes what they have open.
process_gone() {
    local stat threads
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    stat=${stat##*) }
    threads=("/proc/$1/task"/*)
    [[ ${stat%% *} == [ZX] ]] && ((${#threads[@]} <= 1))
}

# The direct children of a process, without ps, which a bare system does not have.
process_children() {
    local file stat
    for file in /proc/[0-9]*/stat; do
        { read -r stat <"$file"; } 2>/dev/null || continue
        local pid=${stat%% *} rest=${stat##*) }
        read -r _ rest _ <<<"$rest"
        [[ $rest == "$1" ]] && printf '%s\n' "$pid"
    done
    return 0
}

# Ends a process of ours and what it has started.
process_end_tree() {
    local child
    for child in $(process_children "$1"); do process_end_tree "$child"; done
    kill "$1" 2>/dev/null || true
}

# A TCP port of the loopback address that nobody listens on, below the kernel's own range so that no
# outgoing connection takes it either.
free_port() {
    local port
    for _ in {1..100}; do
        port=$((26000 + RANDOM % 6000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free TCP port between 26000 and 32000 on 127.0.0.1"
}
