# What bench/run and bench/waiting share: the databases, the processes that are measured, figures.
# Sourced after tests/lib/*.sh.
# shellcheck shell=bash disable=SC2034

bench_setup() { # PROGRAM...: builds, and starts the clusters in $folder
    at_exit_setup
    packages_need "${packages_to_build[@]}" "${packages_to_run[@]}"
    build_preset release build trothd troth-participant troth "$@"
    programs=$TROTH_ROOT/build
    folder=$(temporary_folder bench)
    at_exit 'rm -rf "$folder"'
    clusters_start "$folder"
    at_exit clusters_stop
    at_exit stop_processes
    clusters_each bench_database
    local name
    for name in "${clusters[@]}"; do conninfos+=(--conninfo "$(cluster_conninfo "$name")"); done
}

bench_database() {
    cluster_sql "$1" "alter system set max_connections = 200"
    cluster_sql "$1" "alter system set shared_buffers = '128MB'"
    cluster_restart "$1"
    cluster_sql "$1" "create table bench (id int primary key, balance bigint not null);
        insert into bench select i, 1000000 from generate_series(0, 9999) i;
        create table purchase (id bigint generated always as identity primary key,
            account int not null, amount bigint not null)"
    cluster_sql "$1" "vacuum analyze bench"
}
conninfos=()

# ---- the processes that are measured --------------------------------------------------------------

declare -A pids=() # by name
stop_processes() {
    local name
    for name in "${!pids[@]}"; do kill "${pids[$name]}" 2>/dev/null || true; done
    for name in "${!pids[@]}"; do wait_until 20 process_gone "${pids[$name]}" || kill -9 "${pids[$name]}"; done
    pids=()
}

start_process() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 </dev/null &
    pids[$name]=$!
    disown # whoever kills it says so
}

coordinator_configure() {
    rm -rf "$folder/journal"
    address=tcp://127.0.0.1:$(free_port)
    cat >"$folder/trothd.yaml" <<YAML
cluster: bench
coordinator: c1
listen: $address
journal: {store: file, directory: $folder/journal}
sagas: $TROTH_ROOT/bench/sagas
security: none
YAML
}
coordinator_run() { start_process trothd "$programs/trothd" --config "$folder/trothd.yaml"; }
coordinator_start() { coordinator_configure; coordinator_run; }

participants_start() {
    local number=0 name
    for name in "${clusters[@]}"; do
        cat >"$folder/bench$number.yaml" <<YAML
cluster: bench
participant: bench$number
coordinators: [$address]
listen: tcp://127.0.0.1:$(free_port)
postgres: {conninfo: "$(cluster_conninfo "$name")"}
operations:
  take:
    params: {amount: bigint, id: int}
    sql:
      - statement: update bench set balance = balance - :amount where id = :id
        expect: {rows: 1, else: no_such_account}
  give:
    params: {amount: bigint, id: int}
    sql:
      - statement: update bench set balance = balance + :amount where id = :id
        expect: {rows: 1, else: no_such_account}
  create:
    params: {amount: bigint, account: int}
    sql:
      - statement: insert into purchase (amount, account) values (:amount, :account) returning id
        result: row
  cancel:
    params: {id: bigint}
    sql:
      - statement: delete from purchase where id = :id
security: none
YAML
        "$programs/troth-participant" --config "$folder/bench$number.yaml" --install >>"$folder/install.log" 2>&1
        start_process "bench$number" "$programs/troth-participant" --config "$folder/bench$number.yaml"
        number=$((number + 1))
    done
}

participants_ready() {
    "$programs/troth" --coordinator "$address" --timeout 2s \
        submit bench0.take '{"amount": 0, "id": 1}' bench1.take '{"amount": 0, "id": 1}' \
        bench2.take '{"amount": 0, "id": 1}' >"$folder/ready.log" 2>&1
}

# Everything, ready to be measured.
troth_start() {
    coordinator_start
    participants_start
    wait_until 30 participants_ready || { cat "$folder"/*.log >&2; die "Troth did not become ready"; }
}

# ---- load -----------------------------------------------------------------------------------------

# mix PROTOCOL DATABASES SECONDS: what `troth bench` reads. 0 seconds: its --count tells when it ends.
# Two under way on the same row would wait for each other, in two databases in opposite orders even
# for ever: so the accounts take turns.
mix() {
    local database
    [[ $3 == 0 ]] || printf 'duration: %s\nwarm_up: %s\n' "$(duration "$3" 1000)" "$(duration "$3" 200)"
    printf '%s\n' 'values: {account: "${ cycle(0, 9999) }"}' 'mix:'
    case $1 in
    saga) printf '  - {saga: order, input: {amount: 1, account: "${ account }"}}\n' ;;
    waiting) printf '  - {saga: refund, wait: started, input: {amount: 1, account: "${ account }"}}\n' ;;
    *)
        printf '  - protocol: %s\n    branches:\n' "$1"
        for ((database = 0; database < $2; database++)); do
            printf '      - {call: bench%d.take, with: {amount: 1, id: "${ account }"}}\n' "$database"
        done
        ;;
    esac
}
duration() { awk -v s="$1" -v by="$2" 'BEGIN {printf "%dms", s * by}'; } # SECONDS THOUSANDTHS

# load FILE PROTOCOL DATABASES SECONDS OPTION...: the figures of `troth bench` of such a mix. What
# fails is in them; none done, or an unknown end, fails this.
load() {
    local file=$1
    mix "$2" "$3" "$4" >"$folder/mix.yaml"
    shift 4
    measure "$file" "$programs/troth" --coordinator "$address" bench "$folder/mix.yaml" --json "$@"
}

# ---- figures --------------------------------------------------------------------------------------

measure() { # FILE COMMAND...: appends its line
    local file=$1
    shift
    "$@" >>"$file" 2>"$folder/measure.err" || { cat "$folder"/*.log "$folder/measure.err" >&2; die "failed: $*"; }
}

# What a mix has several times is last of all of it.
field() { sed -E "s/.*\"$1\":([0-9.]+).*/\1/" "$2"; }
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
failures() { field not_done "$1" | awk '{sum += $1} END {print sum + 0}'; }

milliseconds() { field "$1" "$2" | median | awk '{print $1 / 1000}'; }

# CPU time that processes have used up, in microseconds.
cpu_us() { # PID...
    local pid stat sum=0 tick
    tick=$((1000000 / $(getconf CLK_TCK)))
    for pid in "$@"; do
        read -r stat <"/proc/$pid/stat"
        read -r -a stat <<<"${stat##*) }"
        sum=$((sum + (stat[11] + stat[12]) * tick))
    done
    printf '%d\n' "$sum"
}
