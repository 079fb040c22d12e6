#!/bin/bash
# Troth as it is installed: what C programs elsewhere need of it is there, and pkg-config is enough to
# build them. examples/transfer.c moves money between two databases; examples/services builds.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"
. "$TROTH_ROOT/tests/lib/clusters.sh"
. "$TROTH_ROOT/tests/lib/installed.sh"

banks=(north south)
declare -A cluster_of=([north]=orders [south]=payments)

# ---- two banks --------------------------------------------------------------------------------

bank_sql() { "$TROTH_TEST_PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "service=$1" -c "$2" </dev/null; }

# A database in a cluster of its own, and its participant.
bank_create() { # NAME
    cluster_sql "${cluster_of[$1]}" "create database bank_$1"
    printf '[%s]\nhost=%s\ndbname=bank_%s\nuser=postgres\n' "$1" "$(cluster_data "${cluster_of[$1]}")" "$1" >>"$PGSERVICEFILE"
    bank_sql "$1" "create table account (owner text primary key, balance numeric(12, 2) not null check (balance >= 0))"
    bank_sql "$1" "insert into account values ('ada', 100)"
    [[ $1 == north ]] || bank_sql "$1" "insert into account values ('eve', 100)"
    printf '%s\n' "cluster: banks" "participant: $1" \
        "coordinators: [$TROTH_COORDINATOR]" "postgres: {conninfo: \"service=$1\"}" \
        "operations: {}" "security: none" >"$1.yaml"
    troth-participant --config "$1.yaml" --install >/dev/null
    troth-participant --config "$1.yaml" 2>"$1.log" &
    started+=("$!")
}

banks_start() {
    local bank
    printf '%s\n' "cluster: banks" "coordinator: c1" "listen: $TROTH_COORDINATOR" \
        "journal: {store: file, directory: journal}" "security: none" >trothd.yaml
    trothd --config trothd.yaml 2>trothd.log &
    started+=("$!")
    for bank in "${banks[@]}"; do bank_create "$bank"; done
}
banks_are_ready() { wait_until 15 banks_answer || { tail -n 5 ./*.log; return 1; }; }
banks_answer() {
    local facts
    facts=$(troth --timeout 1s participant list --json 2>/dev/null) || return 1
    [[ $(grep -o '"database_up":true' <<<"$facts" | wc -l) == 2 ]]
}

leave() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait_until 15 process_gone "$pid" || kill -9 "$pid"; done
    clusters_stop
    rm -rf "$folder"
}

is() { [[ $1 == "$2" ]] || { printf 'found "%s", expected "%s"\n' "$1" "$2"; return 1; }; }
balances_are() { # IN_NORTH IN_SOUTH
    is "$(bank_sql north "select balance from account where owner = 'ada'"):$(bank_sql south "select balance from account where owner = 'ada'")" "$1:$2" &&
        is "$(bank_sql north 'select count(*) from pg_prepared_xacts where gid like $$troth.banks.%$$')" 0
}

# ---- what an engineer does --------------------------------------------------------------------

# In a folder with nothing else.
builds_with_pkg_config_alone() {
    local flags
    mkdir empty
    cp "$TROTH_ROOT/examples/transfer.c" empty
    cd empty
    read -r -a flags < <(pkg-config --cflags --libs troth)
    cc -std=c17 -Wall -Wextra -Werror -o transfer transfer.c "${flags[@]}" || return 1
    [[ $(ldd transfer) == *"$folder/troth/"*libtroth.so.0* ]] || { ldd transfer; return 1; }
}
is_under_60_lines() { (($(wc -l <"$TROTH_ROOT/examples/transfer.c") < 60)); }

transfers() { # STATUS TEXT OWNER FROM TO AMOUNT
    local said status=0
    said=$(empty/transfer "${@:3}" 2>&1) || status=$?
    [[ $status == "$1" && $said == *"$2"* ]] || { printf 'exit code %d: %s\n' "$status" "$said"; return 1; }
}

services_build() {
    cp -r "$TROTH_ROOT/examples/services" services
    make -s -C services CFLAGS='-O2 -Wall -Wextra -Werror'
}

# What else the library has is its own affair: two libraries in one program must not meet.
exports_only_its_own() {
    local names
    names=$(nm -D --defined-only "$LD_LIBRARY_PATH/libtroth.so" | awk '{print $3}')
    [[ $names == *troth_submit* ]] || { echo "nm shows no names"; return 1; }
    ! grep -v '^troth_' <<<"$names"
}

started=()
at_exit_setup
folder=$(temporary_folder installed)
at_exit leave
cd "$folder"
export PGSERVICEFILE=$folder/pg_service.conf PSQLRC=/dev/null
TROTH_COORDINATOR=tcp://127.0.0.1:$(free_port)
export TROTH_COORDINATOR
clusters_start "$folder"
installed_create "$folder/troth"

ok "the sample services build against what is installed, by pkg-config" services_build
ok "the library exports names of its own alone" exports_only_its_own
ok "a program in an empty folder builds by pkg-config" builds_with_pkg_config_alone
ok "it has under 60 lines" is_under_60_lines
banks_start
ok "two banks are there" banks_are_ready
ok "it moves money from one to the other" transfers 0 moved ada north south 25
ok "the books say so" balances_are 75.00 125.00
ok "more than there is it does not move" transfers 1 'not moved' ada north south 100
ok "nor to somebody without an account, whose money was taken already" transfers 1 'no such account' eve south north 1
ok "nothing has changed, nothing is left" balances_are 75.00 125.00
done_testing
