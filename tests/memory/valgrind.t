#!/bin/bash
# The release programs under valgrind: a few purchases, a refusal, a coordinator that is killed and
# recovers, an orderly end.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
for part in packages build clusters shop tap; do . "$TROTH_ROOT/tests/lib/$part.sh"; done

at_exit_setup
folder=$(temporary_folder valgrind)
at_exit 'rm -rf "$folder"'
clusters_start "$folder"
at_exit clusters_stop
shop_create "$folder"
at_exit shop_stop_all
shop_under=(valgrind --quiet --vgdb=no --leak-check=full --errors-for-leak-kinds=definite
    --suppressions="$TROTH_ROOT/tests/valgrind.supp" --log-file="$folder/log/valgrind.%p")

buy() { # ORDER CUSTOMER [PROTOCOL]: exit code of the submit
    local status=0
    "$TROTH_ROOT/build/troth" --timeout 20s submit --protocol "${3-2pc}" --key "$1" \
        orders.create "{\"order_id\": \"$1\", \"customer\": \"$2\", \"sku\": \"lamp\", \"quantity\": 1, \"amount\": 40}" \
        payments.charge "{\"order_id\": \"$1\", \"customer\": \"$2\", \"amount\": 40}" \
        inventory.reserve "{\"order_id\": \"$1\", \"sku\": \"lamp\", \"quantity\": 1}" || status=$?
    return "$status"
}
# Everything is slow here, so a session can be lost: that aborts, and is tried again.
commits() { wait_until 60 buy "$1" ada "${2-2pc}"; } # ORDER [PROTOCOL]
refuses() { local said; said=$(buy order-refused bob 2>&1) && return 1; [[ $said == *insufficient_funds* ]]; }
none_prepared() {
    local name
    for name in "${clusters[@]}"; do
        [[ $(cluster_sql "$name" "select count(*) from pg_prepared_xacts") == 0 ]] || return 1
    done
}
clean() { # NAME: valgrind has written nothing about any of its runs
    local log="$folder/log/valgrind.$1"
    [[ -e $log ]] || { echo "valgrind has not run pid $1"; return 1; }
    [[ ! -s $log ]] || { cat "$log"; return 1; }
}

for name in "${clusters[@]}"; do
    "$TROTH_ROOT/build/troth-participant" --config "$shop/$name.yaml" --install >>"$folder/log/install.log" 2>&1
done
shop_start_trothd
for name in "${clusters[@]}"; do shop_start "$name"; done
ok "a purchase commits" commits order-1
ok "another commits" commits order-2
ok "and one by three phases" commits order-3 3pc
ok "a refusal is told" wait_until 60 refuses
pids=("$(shop_pid trothd)")
shop_kill trothd
shop_start trothd
ok "a purchase commits after the coordinator was killed" commits order-4
ok "nothing stays prepared" wait_until 60 none_prepared
for name in trothd "${clusters[@]}"; do pids+=("$(shop_pid "$name")"); done
for name in "${clusters[@]}" trothd; do shop_stop "$name"; done
for pid in "${pids[@]}"; do ok "valgrind found nothing in process $pid" clean "$pid"; done
done_testing
