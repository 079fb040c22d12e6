# The chapter of examples/run in which the three sample services do the shop's work. Sourced after
# story.sh and the functions of examples/run.
# shellcheck shell=bash

declare -A service_address=()
services=(order-service payment-service inventory-service)

# The participants that two of the services are: they take the place of the agents of those names.
service_config() { # SERVICE PARTICIPANT
    sed -e "s|@ADDRESS@|$TROTH_COORDINATOR|" -e "s|@LISTEN@|${shop_listen[$2]}|" \
        "$TROTH_ROOT/examples/services/$1.yaml" >"$shop/$1.yaml"
}

# Sets command.
service_command() { # SERVICE
    command=("$1" --listen "${service_address[$1]}")
    case $1 in
    order-service) command+=(--postgres service=orders --payments "${service_address[payment-service]}"
        --inventory "${service_address[inventory-service]}") ;;
    payment-service) command+=(--postgres service=payments --config payment-service.yaml) ;;
    inventory-service) command+=(--postgres service=inventory --config inventory-service.yaml) ;;
    esac
}

service_start() { # SERVICE
    local command
    service_command "$1"
    setsid "${command[@]}" >>"log/$1.log" 2>&1 </dev/null &
    echo "$!" >"run/$1.pid"
    disown
}

# Shows what it says. Sets status and output.
place_order() { # BY ID CUSTOMER SKU QUANTITY AMOUNT
    run_as "place-order --at ${service_address[order-service]} --by $(typed "$1" --id "${@:2}")" \
        place-order --at "${service_address[order-service]}" --by "$1" --id "${@:2}"
}
place_order_quietly() { # BY ID CUSTOMER SKU QUANTITY AMOUNT
    place-order --at "${service_address[order-service]}" --timeout 30 --by "$1" --id "${@:2}" >/dev/null 2>&1
}

# ---- a moment to strike -----------------------------------------------------------------------

# Holds Eve's account, so that an order of hers stops halfway: payments is the last to be asked.
hold_account() {
    psql -q service=payments -c "begin; select from account where customer = 'eve' for update; select pg_sleep(30)" >/dev/null 2>&1 &
    check "somebody holds Eve's account" soon account_is_held
}
account_is_held() { is "$(value payments "select count(*) from pg_stat_activity where wait_event = 'PgSleep'")" 1; }
release_account() {
    value payments "select count(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'PgSleep'" >/dev/null
}

# An order of Eve's, from another window; `order` is its process.
begin_order() { # BY ID
    show_command "place-order --at ${service_address[order-service]} --by $1 --id $2 eve lamp 1 5 &"
    place_order_quietly "$1" "$2" eve lamp 1 5 &
    order=$!
    check "it waits for the account" soon somebody_is_blocked
}
order_placed() { # ID
    status=0
    wait "$order" || status=$?
    check "place-order has asked again until it was placed" is "$status" 0
    check "the order is in all three databases" order_count_is "$1" 3
    check "and nothing is left prepared" soon prepared_count_is 0
}

prepared_in_is() { is "$(value "$1" "select count(*) from pg_prepared_xacts")" "$2"; }

strike_service() { # SERVICE
    show_command "kill -9 $(shop_pid "$1")    # $1"
    shop_kill "$1"
}
bring_back() { # SERVICE
    show_command "$1 ... &"
    service_start "$1"
}

# ---- the chapter ------------------------------------------------------------------------------

services_take_over() {
    local name service command
    tell "An operation need not be SQL in a YAML file. Here payments and inventory are C programs: each is" \
        "a server, which order-service asks over nanomsg to take part in its transaction, and also the" \
        "participant of its name, with C functions as operations. This is how payment-service takes part:"
    stop payments
    stop inventory
    run_as "sed -n '/^static bool take_part/,/^}/p' payment-service.c" \
        sed -n '/^static bool take_part/,/^}/p' "$TROTH_ROOT/examples/services/payment-service.c"
    service_config payment-service payments
    service_config inventory-service inventory
    for service in "${services[@]}"; do service_address[$service]=$(service_free_address); done
    for service in "${services[@]}"; do
        service_command "$service"
        show_command "${command[*]} &"
        service_start "$service"
    done
    check "all three participants are connected" soon all_ready
}
service_free_address() {
    local address
    address=$(shop_free_address)
    while [[ " ${service_address[*]} " == *" $address "* ]]; do address=$(shop_free_address); done
    printf '%s\n' "$address"
}

orders_are_placed() {
    local by before
    for by in 2pc 3pc saga; do
        place_order "$by" "service-$by" eve lamp 1 10
        check "placed" is "$status" 0
        check "the order is in all three databases" order_count_is "service-$by" 3
    done
    check "the saga has shipped it, and charged the fee" \
        order_parts_are service-saga 'order confirmed,paid 10.20,shipped 1'
    place_order 3pc service-3pc eve lamp 1 10
    check "the same request again: the same answer" is "$status" 0
    place_order 3pc service-3pc eve lamp 2 10
    check "the same id for another order is refused" contains "$output" another_order
    check "nobody is charged twice" is "$(value payments "select count(*) from charge where order_id = 'service-3pc'")" 1
    before=$(everything)
    for by in 2pc 3pc; do
        place_order "$by" "service-bob-$by" bob lamp 2 80
        check "Bob has no 80: refused" is "$status" 1
        check "the reason is payment-service's" contains "$output" insufficient_funds
    done
    check "nothing is left of it anywhere" is "$(everything)" "$before"
    check "nor prepared" soon prepared_count_is 0
    place_order saga service-bob-saga bob lamp 2 80
    check "nor can he by a saga, which cancels his order" order_parts_are service-bob-saga 'order cancelled'
}

services_are_killed() {
    local by
    tell "" "kill -9 of payment-service between its PREPARE and its answer: the coordinator is stopped for" \
        "that moment, so that it stays at the door."
    hold_account
    begin_order 2pc service-killed-1
    kill -STOP "$(shop_pid trothd)"
    release_account
    check "payments has prepared its part" soon prepared_in_is payments 1
    strike_service payment-service
    kill -CONT "$(shop_pid trothd)"
    bring_back payment-service
    order_placed service-killed-1

    tell "" "kill -9 of payment-service in the middle of its part. nanomsg asks the next one the same again:" \
        "that one can't know what became of the first, so only a new transaction places the order."
    for by in 2pc 3pc; do
        hold_account
        begin_order "$by" "service-asked-twice-$by"
        strike_service payment-service
        bring_back payment-service
        check "it is back" soon all_ready
        release_account
        order_placed "service-asked-twice-$by"
    done

    tell "" "kill -9 of inventory-service, when it has answered that its part is done."
    hold_account
    begin_order 3pc service-killed-2
    check "inventory has prepared its part" prepared_in_is inventory 1
    strike_service inventory-service
    bring_back inventory-service
    release_account
    order_placed service-killed-2

    tell "" "kill -9 of order-service in the middle of a transaction. It keeps nothing: the transaction is" \
        "aborted, and the next try of the same request begins anew."
    hold_account
    begin_order 2pc service-killed-3
    strike_service order-service
    release_account
    bring_back order-service
    order_placed service-killed-3
}

# Orders, one after the other, until the rush is over; then how many were placed.
customer_of_services() { # BY
    local n=0
    until [[ -e services-rush/over ]]; do
        place_order_quietly "$1" "service-rush-$1-$((n + 1))" eve lamp 1 5 || return
        n=$((n + 1))
    done
    echo "$n" >"services-rush/$1"
}

rush_of_services() { value orders "select count(*) from purchase where order_id like 'service-rush-%'"; }
rush_of_services_has() { (($(rush_of_services) >= $1)); }

services_are_busy() {
    local by service customer placed
    tell "" "Three customers at once, and each service is killed while they order."
    mkdir services-rush
    for by in 2pc 3pc saga; do
        customer_of_services "$by" &
        shoppers+=("$!")
    done
    for service in "${services[@]}"; do
        check "orders go on" soon rush_of_services_has "$(($(rush_of_services) + 2))"
        strike_service "$service"
        bring_back "$service"
    done
    check "orders go on" soon rush_of_services_has "$(($(rush_of_services) + 2))"
    touch services-rush/over
    for customer in "${shoppers[@]}"; do
        status=0
        wait "$customer" || status=$?
        check "all orders of a customer were placed" is "$status" 0
    done
    shoppers=()
    placed=$(($(cat services-rush/2pc) + $(cat services-rush/3pc) + $(cat services-rush/saga)))
    check "all $placed orders are there" is "$(rush_of_services)" "$placed"
    check "... payments" is "$(value payments "select count(*) from charge where order_id like 'service-rush-%'")" "$placed"
    check "... reservations" is "$(value inventory "select count(*) from reservation where order_id like 'service-rush-%'")" "$placed"
    check "and nothing is left prepared" soon prepared_count_is 0
}

services_of_your_own() {
    local service name
    chapter "Services of your own"
    services_take_over
    orders_are_placed
    services_are_killed
    services_are_busy
    for service in "${services[@]}"; do stop "$service"; done
    for name in payments inventory; do start "$name"; done
    check "the agents of payments and inventory are back" soon all_ready
}
