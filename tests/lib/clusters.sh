# Three private PostgreSQL clusters, one a service: orders, payments, inventory. They live in one
# folder and listen on Unix sockets in it only, so that no port is taken, no other user of the
# machine can connect, and any number of runs go side by side. Sourced after common.sh.
#
# For each service, e.g. payments, the environment then has
#   TROTH_TEST_PG_PAYMENTS        conninfo of its database, as the superuser postgres
#   TROTH_TEST_PG_PAYMENTS_DATA   its data directory
# and TROTH_TEST_PG_BIN for PostgreSQL's programs. Nothing else is needed: a test that a script
# started can source this file again and call cluster_kill or cluster_restart.
# shellcheck shell=bash

clusters=(orders payments inventory)

# The newest server that is installed; Debian keeps its programs out of PATH.
clusters_find_bin() {
    local folder newest=
    while read -r folder; do
        [[ -x $folder/initdb && -x $folder/postgres ]] && newest=$folder
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V)
    if [[ -z $newest ]] && have initdb; then
        newest=$(dirname "$(command -v initdb)")
    fi
    [[ $newest ]] || die "PostgreSQL's server programs were not found" \
        "Install the package postgresql."
    export TROTH_TEST_PG_BIN=$newest
}

# PostgreSQL refuses to run as root, so then its programs run as the user postgres.
as_postgres() {
    if ((EUID == 0)); then
        setpriv --reuid postgres --regid postgres --init-groups -- "$@"
    else
        "$@"
    fi
}

cluster_conninfo() { local name=TROTH_TEST_PG_${1^^}; printf '%s\n' "${!name}"; }
cluster_data() { local name=TROTH_TEST_PG_${1^^}_DATA; printf '%s\n' "${!name}"; }

# clusters_use FOLDER: from here on the three of that folder are meant.
clusters_use() {
    local folder=$1/postgresql name
    clusters_find_bin
    for name in "${clusters[@]}"; do
        export "TROTH_TEST_PG_${name^^}_DATA=$folder/$name"
        export "TROTH_TEST_PG_${name^^}=host=$folder/$name dbname=$name user=postgres"
    done
}

# clusters_start FOLDER: makes, configures and starts all three, and uses them.
clusters_start() {
    local folder=$1/postgresql
    clusters_use "$1"
    mkdir -m 700 "$folder"
    ((EUID != 0)) || chown postgres: "$folder"
    clusters_template "$folder/template"
    clusters_each cluster_create
    rm -rf "$folder/template"
}

# One initdb, copied, is faster than three.
clusters_template() {
    as_postgres "$TROTH_TEST_PG_BIN/initdb" -D "$1" -U postgres --auth=trust --no-sync \
        --encoding=UTF8 --locale=C.UTF-8 >"${1%/*}/initdb.log" 2>&1 </dev/null ||
        { cat "${1%/*}/initdb.log" >&2; die "initdb failed"; }
    # Everything durable, as in life, but small: these run beside compilers.
    cat >>"$1/postgresql.conf" <<'CONF'
listen_addresses = ''
max_prepared_transactions = 200
max_connections = 60
shared_buffers = 16MB
max_wal_size = 128MB
log_line_prefix = '%m [%p] %a '
CONF
}

cluster_create() {
    local data
    data=$(cluster_data "$1")
    as_postgres cp -a --reflink=auto "${data%/*}/template" "$data"
    echo "unix_socket_directories = '$data'" >>"$data/postgresql.conf"
    cluster_start "$1"
    as_postgres "$TROTH_TEST_PG_BIN/createdb" -h "$data" -U postgres "$1"
}

# clusters_each COMMAND: for all of them at once.
clusters_each() {
    local name pid pids=() failed=0
    for name in "${clusters[@]}"; do
        "$1" "$name" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    ((!failed)) || die "$1 failed"
}

cluster_start() {
    local data
    data=$(cluster_data "$1")
    as_postgres "$TROTH_TEST_PG_BIN/pg_ctl" -s -w -t 60 -D "$data" -l "$data/log" start \
        >/dev/null </dev/null || { tail -n 20 "$data/log" >&2; die "PostgreSQL of $1 did not start"; }
}

cluster_stop() {
    local data
    data=$(cluster_data "$1")
    [[ -f $data/postmaster.pid ]] || return 0
    as_postgres "$TROTH_TEST_PG_BIN/pg_ctl" -s -w -m immediate -D "$data" stop >/dev/null 2>&1 \
        </dev/null || cluster_kill "$1"
}

cluster_restart() {
    cluster_stop "$1"
    cluster_start "$1"
}

# kill -9 of the postmaster and of all its processes, and waits until none is left: as a machine
# that loses its power, except that the disk's cache survives. Its lock files go too: where nobody reaps
# orphans, as in some containers, the dead postmaster stays a zombie, which PostgreSQL would take for
# a running one.
cluster_kill() {
    local data pid pids
    data=$(cluster_data "$1")
    [[ -f $data/postmaster.pid ]] || return 0
    read -r pid <"$data/postmaster.pid"
    mapfile -t pids < <(process_children "$pid")
    kill -9 "$pid" "${pids[@]}" 2>/dev/null || true
    for pid in "$pid" "${pids[@]}"; do wait_until 20 process_gone "$pid"; done
    rm -f "$data/postmaster.pid" "$data"/.s.PGSQL.*
}

# A base backup of a stopped cluster, and going back to it: what was committed since is gone.
cluster_save() {
    local data
    data=$(cluster_data "$1")
    cluster_stop "$1"
    rm -rf "$data.saved"
    as_postgres cp -a --reflink=auto "$data" "$data.saved"
    cluster_start "$1"
}

cluster_go_back() {
    local data
    data=$(cluster_data "$1")
    cluster_stop "$1"
    rm -rf "$data"
    as_postgres mv "$data.saved" "$data"
    cluster_start "$1"
}

# A cluster that follows this one, by the name NAME_standby, whose data directory is to be in
# TROTH_TEST_PG_NAME_STANDBY_DATA; it is told there as the standby of that name.
cluster_make_standby() {
    local from to
    from=$(cluster_data "$1")
    to=$(cluster_data "$1_standby")
    rm -rf "$to"
    as_postgres "$TROTH_TEST_PG_BIN/pg_basebackup" -h "$from" -U postgres -D "$to" -R -c fast \
        --no-sync 2>/dev/null </dev/null
    rm -f "$to"/.s.PGSQL.*
    printf "%s = '%s'\n" unix_socket_directories "$to" cluster_name "$1_standby" >>"$to/postgresql.conf"
    cluster_start "$1_standby"
}

clusters_stop() { clusters_each cluster_stop; }

# cluster_sql NAME SQL: bare values, one row a line, columns with | between.
cluster_sql() {
    "$TROTH_TEST_PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$(cluster_conninfo "$1")" -c "$2" \
        </dev/null
}
