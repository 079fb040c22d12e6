# The shop of examples/shop on the three private clusters: its schemas, configurations and sagas in one
# folder, and its four processes: trothd, orders, payments, inventory. Sourced after clusters.sh.
# shellcheck shell=bash

# shop_create FOLDER: schemas, services and configurations; clusters_start was before. Exports
# PGSERVICEFILE, so that service=payments is a conninfo, and TROTH_COORDINATOR.
shop_create() {
    shop=$1
    mkdir -p "$shop/log" "$shop/run"
    cp -r "$TROTH_ROOT/examples/sagas" "$shop/sagas"
    export PGSERVICEFILE=$shop/pg_service.conf PSQLRC=/dev/null
    local name
    for name in "${clusters[@]}"; do shop_listen[$name]=$(shop_free_address); done
    shop_address "$(shop_free_address)"
    shop_services >"$PGSERVICEFILE"
    clusters_each shop_database
}

# Each service owns its database, and no more than that.
shop_services() {
    local name
    for name in "${clusters[@]}"; do
        printf '[%s]\nhost=%s\ndbname=%s\nuser=%s\n' "$name" "$(cluster_data "$name")" "$name" "$name"
    done
}

shop_database() {
    cluster_sql "$1" "create role $1 login"
    cluster_sql "$1" "alter database $1 owner to $1"
    "$TROTH_TEST_PG_BIN/psql" -q -v ON_ERROR_STOP=1 -d "service=$1" -f "$TROTH_ROOT/examples/shop/$1.sql"
}

# Where each participant listens for the others.
declare -A shop_listen=()

# An address that nobody listens on and that none of the four was given.
shop_free_address() {
    local address
    while :; do
        address=tcp://127.0.0.1:$(free_port)
        [[ " ${TROTH_COORDINATOR-} ${shop_listen[*]} " == *" $address "* ]] || break
    done
    printf '%s\n' "$address"
}

# Fills in the configurations for a coordinator at this address.
shop_address() {
    local name
    export TROTH_COORDINATOR=$1
    for name in trothd "${clusters[@]}"; do shop_configure "$name"; done
}

shop_configure() {
    sed -e "s|@ADDRESS@|$TROTH_COORDINATOR|" -e "s|@LISTEN@|${shop_listen[$1]-}|" \
        -e "s|@FOLDER@|$shop|" "$TROTH_ROOT/examples/shop/$1.yaml" >"$shop/$1.yaml"
}

shop_pid() { cat "$shop/run/$1.pid" 2>/dev/null; }
shop_running() { local pid; pid=$(shop_pid "$1") && ! process_gone "$pid"; }
shop_gone() { ! shop_running "$1"; }

# A command that the processes run under: valgrind and its options, or nothing.
shop_under=()

# shop_start NAME [CRASH_POINT]. A process of its own session: a Ctrl-C is for the script alone,
# which then ends the shop in order.
shop_start() {
    local name=$1 program=$TROTH_ROOT/build/troth-participant
    [[ $name != trothd ]] || program=$TROTH_ROOT/build/trothd
    TROTH_CRASH_AT=${2-} setsid "${shop_under[@]}" "$program" --config "$shop/$name.yaml" \
        >>"$shop/log/$name.log" 2>&1 </dev/null &
    echo "$!" >"$shop/run/$name.pid"
    disown
}

# shop_kill NAME: kill -9.
shop_kill() {
    local pid
    pid=$(shop_pid "$1") || return 0
    kill -9 "$pid" 2>/dev/null || true
    wait_until 10 process_gone "$pid"
}

# shop_stop NAME: asks it to end, and insists after a while.
shop_stop() {
    local pid
    pid=$(shop_pid "$1") || return 0
    kill "$pid" 2>/dev/null || true
    wait_until 15 process_gone "$pid" || shop_kill "$1"
}

# Whatever was started, also by who added processes of its own.
shop_stop_all() {
    local file name
    for file in "$shop"/run/*.pid; do
        [[ ! -f $file ]] || { name=${file##*/}; shop_stop "${name%.pid}"; }
    done
}

# The first starts: somebody may have taken the port since it was looked for. Then it ends; one that
# is slow is waited for.
shop_start_trothd() {
    for _ in {1..5}; do
        shop_start trothd
        wait_until 60 shop_answers_or_gone || break
        if shop_running trothd; then return; fi
        shop_address "$(shop_free_address)"
    done
    tail -n 20 "$shop/log/trothd.log" >&2
    die "trothd did not start"
}
shop_answers() { "$TROTH_ROOT/build/troth" --timeout 1s tx list >/dev/null 2>&1; }
shop_answers_or_gone() { shop_gone trothd || shop_answers; }

# trothd runs already.
shop_start_participant() {
    for _ in {1..5}; do
        shop_start "$1"
        wait_until 60 shop_ready_or_gone "$1" || break
        if shop_running "$1"; then return; fi
        shop_listen[$1]=$(shop_free_address)
        shop_configure "$1"
    done
    tail -n 20 "$shop/log/$1.log" >&2
    die "the participant $1 did not start"
}
shop_ready_or_gone() { shop_gone "$1" || grep -q 'ready: ' "$shop/log/$1.log"; }
