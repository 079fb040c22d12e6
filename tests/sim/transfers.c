/* Makes the transfers: what a real service would ask for, and what it should not. */
#include <stdio.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/database.h"
#include "tests/sim/order_book.h"
#include "tests/sim/workload.h"

struct workload *workload_new(struct world *world)
{
    struct workload *workload = xcalloc(1, sizeof(*workload));
    workload->world = world;
    return workload;
}

static struct call *add(struct transfer *transfer, int participant, const char *operation)
{
    CHECK(transfer->call_count < TRANSFER_CALLS);
    struct call *call = &transfer->calls[transfer->call_count++];
    *call = (struct call){.participant = participant, .operation = operation};
    return call;
}

static uint64_t token_of(const struct transfer *transfer)
{
    return transfer->number * TRANSFER_CALLS + (uint64_t)transfer->call_count - 1;
}

static void add_change(struct transfer *transfer, int participant, int account, int64_t change)
{
    struct call *call = add(transfer, participant, change < 0 ? "charge" : "credit");
    call->token = token_of(transfer);
    call->change = change;
    snprintf(call->arguments, sizeof(call->arguments),
             "{\"account\":%d,\"amount\":%lld,\"token\":%llu}", account,
             (long long)(change < 0 ? -change : change), (unsigned long long)call->token);
}

static void add_record(struct transfer *transfer, int participant, const char *operation)
{
    struct call *call = add(transfer, participant, operation);
    call->token = token_of(transfer);
    snprintf(call->arguments, sizeof(call->arguments), "{\"token\":%llu}",
             (unsigned long long)call->token);
}

static void add_read(struct transfer *transfer, int participant, const char *operation, int account)
{
    struct call *call = add(transfer, participant, operation);
    snprintf(call->arguments, sizeof(call->arguments), "{\"account\":%d}", account);
}

static int any_account(struct world *world)
{
    return (int)world_between(world, 0, ACCOUNTS - 1);
}

static int any_participant(struct world *world)
{
    return (int)world_between(world, 0, (uint64_t)world->participant_count - 1);
}

/* Money goes from one account to one or more others, in other databases or in the same. */
static void fill(struct world *world, struct transfer *transfer, bool too_much, bool nobody)
{
    int places = (int)world_between(world, 1, 4);
    if (places > world->participant_count)
        places = world->participant_count;
    int first = any_participant(world);
    int credits = places == 1 ? 1 : places - 1;
    int64_t amount = (int64_t)world_between(world, 1, 40);
    int64_t sum = amount * credits;
    /* A credit before it could make the charge possible. */
    bool charge_last = world_chance(world, PPM / 2) && !too_much;
    transfer->too_much = too_much;
    if (too_much)
        amount = 1000 * 1000, sum = amount * credits;
    if (!charge_last)
        add_change(transfer, first, any_account(world), -sum);
    for (int i = 0; i < credits; i++) {
        int account = nobody && i == 0 ? ACCOUNTS + 3 : any_account(world);
        add_change(transfer, places == 1 ? first : (first + 1 + i) % world->participant_count,
                   account, amount);
    }
    if (charge_last)
        add_change(transfer, first, any_account(world), -sum);
}

static void spoil(struct world *world, struct transfer *transfer)
{
    transfer->must_fail = true;
    switch (world_between(world, 0, 6)) {
    case 0:
    case 1:
        fill(world, transfer, true, false);
        break;
    case 2:
        fill(world, transfer, false, true);
        break;
    case 3:
        fill(world, transfer, false, false);
        add_record(transfer, any_participant(world), "fail");
        break;
    case 4:
        fill(world, transfer, false, false);
        add_record(transfer, any_participant(world), "no_such_operation");
        break;
    case 5:
        fill(world, transfer, false, false);
        add_record(transfer, -1, "record");
        break;
    default:
        fill(world, transfer, false, false);
        add_read(transfer, any_participant(world), "record", 1);
        break;
    }
}

static struct transfer *next(struct workload *workload, int coordinator)
{
    if (workload->transfer_count == TRANSFERS)
        return NULL;
    struct transfer *transfer = &workload->transfers[workload->transfer_count];
    *transfer = (struct transfer){.coordinator = coordinator};
    transfer->number = (uint64_t)++workload->transfer_count;
    struct world *world = workload->world;
    transfer->three_phase = world->protocols == PROTOCOLS_THREE_PHASE ||
                            (world->protocols == PROTOCOLS_BOTH && world_chance(world, PPM / 2));
    return transfer;
}

/* Its own key, or, seldom, the one of another transfer: at most one of the two may ever happen. */
static void give_key(struct workload *workload, struct transfer *transfer)
{
    struct world *world = workload->world;
    snprintf(transfer->key, sizeof(transfer->key), "key-%llu",
             (unsigned long long)transfer->number);
    const struct transfer *other =
        &workload->transfers[world_between(world, 0, (uint64_t)workload->transfer_count - 1)];
    if (other != transfer && other->coordinator == transfer->coordinator && other->key[0] &&
        world_chance(world, PPM / 8))
        memcpy(transfer->key, other->key, sizeof(transfer->key));
}

struct transfer *workload_make(struct workload *workload, int coordinator)
{
    struct world *world = workload->world;
    struct transfer *transfer = next(workload, coordinator);
    if (!transfer)
        return NULL;
    uint64_t kind = world_between(world, 0, 15);
    if (kind == 0)
        for (uint64_t i = world_between(world, 1, 3); i > 0; i--)
            add_read(transfer, any_participant(world), "balance", any_account(world));
    else if (kind <= 2)
        spoil(world, transfer);
    else
        fill(world, transfer, false, false);
    if (kind == 4)
        add_read(transfer, any_participant(world), "balance", any_account(world));
    if (kind == 5)
        add_read(transfer, any_participant(world), "probe", any_account(world));
    if (kind == 6)
        add_record(transfer, any_participant(world), "record");
    transfer->wait = world_chance(world, PPM / 3) ? WIRE__WAIT__DECIDED : WIRE__WAIT__APPLIED;
    uint64_t haste = world_between(world, 0, 9);
    transfer->timeout_ms = haste == 0   ? (uint32_t)world_between(world, 1, 60)
                           : haste <= 2 ? (uint32_t)world_between(world, 60, 1500)
                           : haste == 3 ? 10000
                                        : 0;
    /* A key is forgotten with the journal; nothing can be asked of it then. */
    if (!workload->forgetful && world_chance(world, PPM * 2 / 5))
        give_key(workload, transfer);
    return transfer;
}

struct transfer *workload_make_probe(struct workload *workload, int client, int coordinator)
{
    struct world *world = workload->world;
    struct transfer *transfer = next(workload, coordinator);
    if (!transfer)
        return NULL;
    transfer->must_commit = true;
    transfer->three_phase &= !cluster_deaf();
    transfer->timeout_ms = 8000;
    for (int i = 0; i < world->participant_count; i++) {
        add_record(transfer, i, "record");
        /* What operators have torn may have left nothing there to take. */
        if (i < 2 && !order_book_forced_any(world))
            add_change(transfer, i, client, i == 0 ? 1 : -1);
    }
    if (client % 2 == 0)
        snprintf(transfer->key, sizeof(transfer->key), "probe-%d", client);
    return transfer;
}
