#!/bin/bash
# docs/tutorial.md, as it stands: its files are written, its commands are typed in one shell with an
# installed Troth and an empty folder, and each must say what the document shows.
#
# In the document a block ```console has commands after `$ ` and what they print; a block whose first
# line names a file after the language is that file. What differs from run to run (ids, times) is not
# compared.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"
. "$TROTH_ROOT/tests/lib/clusters.sh"
. "$TROTH_ROOT/tests/lib/installed.sh"

document=$TROTH_ROOT/docs/tutorial.md

# ---- the stage --------------------------------------------------------------------------------

# PostgreSQL does not run as root: there its programs become another user's, by their usual names. And
# a cluster that lives for seconds need not reach the disk before it starts.
postgres_programs() {
    local user=()
    mkdir "$folder/postgres"
    if ((EUID == 0)); then
        chmod 777 "$folder/empty"
        user=(setpriv --reuid postgres --regid postgres --init-groups --)
    fi
    printf '#!/bin/bash\nexec %s %q --no-sync "$@"\n' "${user[*]}" "$TROTH_TEST_PG_BIN/initdb" >"$folder/postgres/initdb"
    printf '#!/bin/bash\nexec %s %q "$@"\n' "${user[*]}" "$TROTH_TEST_PG_BIN/pg_ctl" >"$folder/postgres/pg_ctl"
    chmod +x "$folder/postgres"/*
}

# Everything that the page has started, also when a command of it failed.
leave() {
    local pid
    for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    [[ ! -f $folder/empty/postgresql/postmaster.pid ]] ||
        as_postgres "$TROTH_TEST_PG_BIN/pg_ctl" -s -m immediate -D "$folder/empty/postgresql" stop
    rm -rf "$folder"
}

# The ports of the page may be taken: each is another one here.
choose_ports() {
    local port chosen
    for port in $(grep -oE '127\.0\.0\.1:[0-9]+' "$document" | sort -u | sed 's/.*://'); do
        chosen=$(free_port)
        while [[ " ${port_of[*]} " == *" $chosen "* ]]; do chosen=$(free_port); done
        port_of[$port]=$chosen
    done
}
with_ports() { # TEXT
    local text=$1 port
    for port in "${!port_of[@]}"; do
        text=${text//127.0.0.1:$port/127.0.0.1:${port_of[$port]}}
    done
    printf '%s' "$text"
}

# ---- comparing --------------------------------------------------------------------------------

# Without what differs from run to run.
normal() {
    sed -E 's/tutorial\.c1\.[0-9]+\.[0-9]+/ID/g; s/\b[0-9.]+ ?(us|ms|s|m|h)\b/TIME/g; s/127\.0\.0\.1:[0-9]+/ADDRESS/g; s/ +/ /g; s/ $//'
}

# Commands that only look may be asked again until what was begun before them is done.
looks_only() { [[ $1 =~ ^(troth (participant|saga list|tx)|psql -At|grep) ]]; }

# ---- the page ---------------------------------------------------------------------------------

# A process that was left in the background. The shell is not to say how it ended: that would stand in
# what another command says.
remember_job() {
    [[ ${!-} && " ${started[*]} " != *" ${!-} "* ]] || return 0
    started+=("$!")
    disown -a
}

# A person is slower than a process that ends.
wait_for_killed() { # COMMAND
    local word words
    [[ $1 == kill\ * ]] || return 0
    read -r -a words < <(eval "echo ${1#kill}")
    for word in "${words[@]}"; do [[ $word == -* ]] || wait_until 10 process_gone "$word"; done
}

# Types one command. Its output is compared with what the document has after it.
type_command() { # COMMAND EXPECTED
    local limit=$((SECONDS + 10)) found expected
    expected=$(normal <<<"$2")
    while :; do
        # In this shell, as its variables and jobs are for the commands after it. A command may fail
        # (a purchase that is refused): what it says is what counts.
        eval "$1" >"$folder/said" 2>&1 </dev/null || true
        remember_job
        wait_for_killed "$1"
        found=$(normal <"$folder/said")
        if [[ $found == "$expected" ]]; then break; fi
        if ! looks_only "$1" || ((SECONDS > limit)); then
            failures+=("$(printf '$ %s\nthe document has:\n%s\nit says:\n%s' "$1" "$2" "$(cat "$folder/said")")")
            return 0
        fi
        sleep 0.05
    done
}

type_commands() { # a block
    local line command='' expected=''
    while IFS= read -r line; do
        if [[ $line == '$ '* ]]; then
            [[ -z $command ]] || type_command "$command" "$expected"
            command=${line#\$ } expected=
            command_count=$((command_count + 1))
        else
            expected+=${expected:+$'\n'}$line
        fi
    done <<<"$1"
    [[ -z $command ]] || type_command "$command" "$expected"
}

# Reads the document and does what it says, block by block.
follow() {
    local line block='' kind='' file
    while IFS= read -r line; do
        case $kind,$line in
        ,'```'*) kind=${line#\`\`\`} block= ;;
        ,*) ;;
        *,'```')
            file=${kind#* }
            if [[ $kind == console ]]; then
                type_commands "$block"
            elif [[ $file != "$kind" ]]; then
                with_ports "$block" >"$file"
                file_count=$((file_count + 1))
            fi
            kind=
            ;;
        *) block+=$line$'\n' ;;
        esac
    done <"$document"
}

# The page has no wrong turns: nothing but what it shows was said.
says_what_it_shows() {
    ((${#failures[@]} == 0)) || { printf '%s\n\n' "${failures[@]}"; tail -n 5 ./*.log; return 1; }
}
is_a_tutorial() {
    echo "$command_count commands, $file_count files"
    ((command_count >= 30 && file_count >= 6))
}
has_left_nothing() {
    local pid
    for pid in "${started[@]}"; do process_gone "$pid" || { echo "$pid still runs"; return 1; }; done
}

declare -A port_of=()
started=() failures=() command_count=0 file_count=0
at_exit_setup
folder=$(temporary_folder tutorial)
at_exit leave
clusters_find_bin
mkdir "$folder/empty"
installed_create "$folder/troth"
postgres_programs
choose_ports
export PATH=$folder/postgres:$PATH TROTH_COORDINATOR=tcp://127.0.0.1:${port_of[7400]} PSQLRC=/dev/null
cd "$folder/empty"
follow
ok "every command says what the page shows" says_what_it_shows
ok "it has files and commands" is_a_tutorial
ok "at its end nothing runs any more" has_left_nothing
cd /
done_testing
