/* What must hold, whatever happens. Each violation names the rule and the transfer. */
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/map.h"
#include "tests/sim/database.h"
#include "tests/sim/journeys.h"
#include "tests/sim/order_book.h"
#include "tests/sim/registers.h"
#include "tests/sim/saga_book.h"
#include "tests/sim/workload.h"

void workload_free(struct workload *workload)
{
    free(workload->gids);
    free(workload);
}

bool transfer_one_phase(const struct transfer *transfer)
{
    if (transfer->stepwise)
        return false;
    for (int i = 1; i < transfer->call_count; i++)
        if (transfer->calls[i].participant != transfer->calls[0].participant)
            return false;
    return transfer->key[0] == 0;
}

bool transfer_excused(const struct transfer *transfer)
{
    return transfer->meddled || transfer->forced;
}

static unsigned long long number_of(const struct transfer *transfer)
{
    return transfer->number;
}

void workload_gid_used(struct world *world, const char *gid)
{
    struct workload *workload = world->workload;
    uint64_t hash = hash_bytes(gid, strlen(gid));
    for (int i = 0; i < workload->gid_count; i++)
        if (workload->gids[i] == hash)
            world_violation(world, "id used twice: work for %s was begun before", gid);
    if (workload->gid_count == workload->gid_room) {
        workload->gid_room = workload->gid_room ? workload->gid_room * 2 : 256;
        workload->gids = xrealloc(workload->gids, (size_t)workload->gid_room * sizeof(uint64_t));
    }
    workload->gids[workload->gid_count++] = hash;
}

static struct transfer *transfer_of(struct workload *workload, uint64_t token, struct call **call)
{
    uint64_t number = token / TRANSFER_CALLS;
    CHECK(number >= 1 && number <= (uint64_t)workload->transfer_count);
    struct transfer *transfer = &workload->transfers[number - 1];
    *call = &transfer->calls[token % TRANSFER_CALLS];
    CHECK((*call)->token == token);
    return transfer;
}

static bool told(const struct transfer *transfer, Wire__Result result, const char *gtrid)
{
    for (int i = 0; i < transfer->attempt_count; i++)
        if (transfer->attempts[i].result == result &&
            strcmp(transfer->attempts[i].gtrid, gtrid) == 0)
            return true;
    return false;
}

static bool can_not_succeed(const struct workload *workload, const struct transfer *transfer)
{
    return transfer->must_fail && !(transfer->too_much && workload->windfall);
}

void workload_applied(struct world *world, int participant, uint64_t token, const char *gtrid,
                      int change, bool expectation_failed)
{
    struct call *call;
    struct transfer *transfer = transfer_of(world->workload, token, &call);
    unsigned long long number = number_of(transfer);
    call->applied += change;
    call->taken_back = change < 0;
    if (change < 0)
        return;
    strncpy(call->by, gtrid, sizeof(call->by) - 1);
    call->applied_at = participant;
    if (call->participant != participant && !transfer_excused(transfer))
        world_violation(world, "transfer %llu: carried out at the wrong participant", number);
    if (transfer_excused(transfer)) {
        world->workload->windfall |= transfer->too_much;
        world->workload->hollow |= expectation_failed;
        return;
    }
    if (call->applied > 1)
        world_violation(world, "transfer %llu: %s carried out twice (%s)", number, call->operation,
                        gtrid);
    if (expectation_failed)
        world_violation(world, "transfer %llu: %s was committed though an expectation failed",
                        number, gtrid);
    if (can_not_succeed(world->workload, transfer))
        world_violation(world, "transfer %llu: %s was committed and can't succeed", number, gtrid);
    if (transfer->never || told(transfer, WIRE__RESULT__ABORTED, gtrid))
        world_violation(world, "transfer %llu: %s was committed after the client heard aborted",
                        number, gtrid);
    if (transfer->committed[0] && strcmp(transfer->committed, gtrid) != 0)
        world_violation(world, "transfer %llu: %s was committed, and %s before", number, gtrid,
                        transfer->committed);
}

void workload_forced(struct world *world, uint64_t token)
{
    struct call *call;
    transfer_of(world->workload, token, &call)->forced = true;
}

bool workload_told_aborted(const struct world *world, uint64_t token, const char *gtrid)
{
    struct call *call;
    return told(transfer_of(world->workload, token, &call), WIRE__RESULT__ABORTED, gtrid);
}

void workload_meddled(struct world *world, uint64_t token)
{
    struct call *call;
    transfer_of(world->workload, token, &call)->meddled = true;
}

uint32_t workload_participants(struct world *world, uint64_t token)
{
    struct call *call;
    const struct transfer *transfer = transfer_of(world->workload, token, &call);
    uint32_t participants = 0;
    if (transfer->stepwise)
        return 0; /* who takes part turns out while it is built */
    for (int i = 0; i < transfer->call_count; i++)
        if (transfer->calls[i].participant >= 0)
            participants |= 1u << transfer->calls[i].participant;
    return participants;
}

/* Every call that writes is visible, under this id. NULL: so it is; else the one that is not. */
static const struct call *missing(const struct transfer *transfer, const char *gtrid)
{
    for (int i = 0; i < transfer->call_count; i++) {
        const struct call *call = &transfer->calls[i];
        if (call->token && (call->applied == 0 || strcmp(call->by, gtrid) != 0))
            return call;
    }
    return NULL;
}

static bool anything(const struct transfer *transfer, const char *gtrid)
{
    for (int i = 0; i < transfer->call_count; i++) {
        const struct call *call = &transfer->calls[i];
        if (call->applied && (gtrid == NULL || strcmp(call->by, gtrid) == 0))
            return true;
    }
    return false;
}

static void check_results(struct workload *workload, const struct transfer *transfer,
                          const Wire__Outcome *outcome)
{
    if (outcome->results_dropped)
        return;
    unsigned long long number = number_of(transfer);
    if (outcome->n_results != (size_t)transfer->call_count) {
        world_violation(workload->world, "transfer %llu: %zu results for %d calls", number,
                        outcome->n_results, transfer->call_count);
        return;
    }
    for (int i = 0; i < transfer->call_count; i++) {
        uint64_t token = transfer->calls[i].token;
        const char *colon = strchr(outcome->results[i], ':');
        /* A commit in one phase that was proved by its barrier row has lost its results. */
        if (!colon && transfer_one_phase(transfer))
            continue;
        if (token && (!colon || strtoull(colon + 1, NULL, 10) != token))
            world_violation(workload->world, "transfer %llu: call %d has the result %s", number, i,
                            outcome->results[i]);
    }
}

static void told_committed(struct workload *workload, struct transfer *transfer,
                           const Wire__Outcome *outcome)
{
    struct world *world = workload->world;
    unsigned long long number = number_of(transfer);
    const char *gtrid = outcome->gtrid;
    workload->committed++;
    if (can_not_succeed(workload, transfer) && !transfer_excused(transfer))
        world_violation(world, "transfer %llu: committed and can't succeed", number);
    if (told(transfer, WIRE__RESULT__ABORTED, gtrid))
        world_violation(world, "transfer %llu: %s is told committed, and aborted before", number,
                        gtrid);
    if (transfer->committed[0] && strcmp(transfer->committed, gtrid) != 0)
        world_violation(world, "transfer %llu: the same key is told committed as %s and %s", number,
                        transfer->committed, gtrid);
    strncpy(transfer->committed, gtrid, sizeof(transfer->committed) - 1);
    if (transfer->three_phase && !transfer_excused(transfer))
        registers_told(world->registers, gtrid, true);
    const struct call *call = missing(transfer, gtrid);
    /* Who forgets it has set it right by hand. */
    bool mended = order_book_forgotten(world, gtrid);
    if (outcome->applied && call && !call->taken_back && !mended)
        world_violation(world, "transfer %llu: %s is told applied, but %s at p%d is not", number,
                        gtrid, call->operation, call->participant);
    if (!outcome->applied && transfer->wait == WIRE__WAIT__APPLIED && outcome->n_unapplied == 0 &&
        !outcome->problem)
        world_complaint(world, "transfer %llu: not applied, without a word why", number);
    check_results(workload, transfer, outcome);
}

static void told_aborted(struct workload *workload, struct transfer *transfer,
                         const Wire__Outcome *outcome, bool rejected)
{
    struct world *world = workload->world;
    unsigned long long number = number_of(transfer);
    bool keyed = transfer->key[0] != 0;
    if (!outcome->problem || !outcome->problem->code[0] || !outcome->problem->message[0])
        world_complaint(world, "transfer %llu: refused or aborted without a word why", number);
    if (!keyed)
        transfer->never = true;
    if (!transfer_excused(transfer) && anything(transfer, keyed ? outcome->gtrid : NULL))
        world_violation(world, "transfer %llu: told %s, but it is visible", number,
                        rejected ? "rejected" : "aborted");
    if (!rejected && transfer->committed[0] && strcmp(transfer->committed, outcome->gtrid) == 0)
        world_violation(world, "transfer %llu: %s is told aborted, and committed before", number,
                        outcome->gtrid);
    if (transfer->three_phase && !rejected && !transfer_excused(transfer))
        registers_told(world->registers, outcome->gtrid, false);
    if (transfer->must_commit)
        world_complaint(world, "transfer %llu: aborted in a healed world: %s", number,
                        outcome->problem ? outcome->problem->message : "");
}

/* Without faults an answer is there within its deadline: little more than the 4 s that no
 * coordinator here exceeds, when the submit names none. */
static void check_time(struct workload *workload, const struct transfer *transfer,
                       const struct attempt *attempt)
{
    uint64_t took_us = workload->world->now_us - attempt->submitted_us;
    uint64_t most_us =
        (transfer->timeout_ms ? transfer->timeout_ms : 4000) * MILLISECOND_US + SECOND_US / 2;
    if (workload->calm && took_us > most_us)
        world_complaint(workload->world, "transfer %llu: the answer took %llu ms",
                        number_of(transfer), (unsigned long long)(took_us / 1000));
}

static void check_calm(struct workload *workload, const struct transfer *transfer,
                       const Wire__Outcome *outcome)
{
    static const char *const faults[] = {"session_lost", "not_connected", "database_down",
                                         "hazard",       "busy",          "draining"};
    if (!workload->calm || !outcome->problem)
        return;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (strcmp(outcome->problem->code, faults[i]) == 0)
            world_complaint(workload->world, "transfer %llu: %s in a world without faults: %s",
                            number_of(transfer), faults[i], outcome->problem->message);
}

void workload_outcome(struct workload *workload, struct transfer *transfer, struct attempt *attempt,
                      const Wire__Outcome *outcome)
{
    struct world *world = workload->world;
    unsigned long long number = number_of(transfer);
    attempt->open = false;
    bool patient;
    switch (outcome->result) {
    case WIRE__RESULT__COMMITTED:
        told_committed(workload, transfer, outcome);
        break;
    case WIRE__RESULT__ABORTED:
        workload->aborted++;
        told_aborted(workload, transfer, outcome, false);
        break;
    case WIRE__RESULT__REJECTED:
        workload->rejected++;
        told_aborted(workload, transfer, outcome, true);
        break;
    case WIRE__RESULT__UNKNOWN:
        workload->unknown++;
        /* Behind those that stay open it can wait longer for a connection than it has time. */
        patient =
            transfer->timeout_ms >= 10000 || (transfer->timeout_ms == 0 && journeys_none(world));
        if ((!transfer_one_phase(transfer) && !transfer->three_phase) ||
            (workload->calm && patient) || transfer->must_commit || workload->asked_again)
            world_complaint(world, "transfer %llu: told unknown without a reason", number);
        break;
    case WIRE__RESULT__HAZARD:
        workload->hazards++;
        if (!transfer_excused(transfer))
            world_complaint(world, "transfer %llu: told hazard without a reason", number);
        break;
    default:
        world_violation(world, "transfer %llu: an outcome of no known kind", number);
    }
    check_calm(workload, transfer, outcome);
    check_time(workload, transfer, attempt);
    attempt->result = outcome->result;
    strncpy(attempt->gtrid, outcome->gtrid, sizeof(attempt->gtrid) - 1);
}

bool workload_held(const struct workload *workload, const char *gid)
{
    uint64_t hash = hash_bytes(gid, strlen(gid));
    for (int i = 0; i < workload->held_count; i++)
        if (workload->held[i] == hash)
            return true;
    return false;
}

bool workload_verdict(const struct workload *workload, const char *gtrid)
{
    for (int i = 0; i < workload->transfer_count; i++) {
        const struct transfer *transfer = &workload->transfers[i];
        if (strcmp(transfer->committed, gtrid) == 0 || anything(transfer, gtrid))
            return true;
    }
    return false;
}

/* ---- at the end ---- */

/* A decision that a person's hand contradicted is torn for good; somebody must be able to see it.
 */
static void check_noticed(struct workload *workload, const struct transfer *transfer)
{
    const struct call *call = transfer->committed[0] && !transfer->stepwise
                                  ? missing(transfer, transfer->committed)
                                  : NULL;
    if (call && !call->taken_back && !workload->forgetful &&
        !order_book_forgotten(workload->world, transfer->committed) &&
        workload->hazards_shown[transfer->coordinator] == 0)
        world_violation(workload->world,
                        "transfer %llu: %s at p%d was undone, and no hazard is shown",
                        number_of(transfer), call->operation, call->participant);
}

static void check_transfer(struct workload *workload, const struct transfer *transfer)
{
    struct world *world = workload->world;
    unsigned long long number = number_of(transfer);
    int writes = 0, applied = 0;
    const char *gtrid = NULL;
    for (int i = 0; i < transfer->call_count; i++) {
        const struct call *call = &transfer->calls[i];
        writes += call->token != 0;
        applied += call->applied;
        if (call->applied && gtrid && strcmp(gtrid, call->by) != 0 && !transfer_excused(transfer))
            world_violation(world, "transfer %llu: torn between %s and %s", number, gtrid,
                            call->by);
        if (call->applied)
            gtrid = call->by;
    }
    if (transfer->meddled && !transfer->forced)
        check_noticed(workload, transfer);
    if (transfer_excused(transfer))
        return;
    if (transfer->stepwise)
        journeys_check(world, transfer);
    else if (applied != 0 && applied != writes)
        world_violation(world, "transfer %llu: half a transaction: %d of %d calls of %s", number,
                        applied, writes, gtrid);
    if (!transfer->stepwise && transfer->committed[0] && missing(transfer, transfer->committed))
        world_violation(world, "transfer %llu: %s was told committed and is not there", number,
                        transfer->committed);
    if (transfer->must_commit && !transfer->committed[0])
        world_complaint(world, "transfer %llu: no commit in a healed world", number);
}

/* Transfers that share a key: one of them at most. */
static void check_keys(struct workload *workload)
{
    for (int i = 0; i < workload->transfer_count; i++)
        for (int k = 0; k < i; k++) {
            const struct transfer *a = &workload->transfers[i], *b = &workload->transfers[k];
            if (a->key[0] && a->coordinator == b->coordinator && strcmp(a->key, b->key) == 0 &&
                anything(a, NULL) && anything(b, NULL) && !transfer_excused(a) &&
                !transfer_excused(b))
                world_violation(workload->world,
                                "transfers %llu and %llu share %s and both happened", number_of(a),
                                number_of(b), a->key);
        }
}

static void check_money(struct workload *workload)
{
    struct world *world = workload->world;
    int64_t expected[MAX_PARTICIPANTS], sum = 0;
    int64_t opening = (int64_t)ACCOUNTS * OPENING_BALANCE * world->participant_count;
    bool meddled = workload->hollow, torn = false;
    for (int i = 0; i < world->participant_count; i++) {
        /* Sagas move money in and out of the books. */
        expected[i] = (int64_t)ACCOUNTS * OPENING_BALANCE + saga_book_change(world->book, i);
        opening += saga_book_change(world->book, i);
    }
    for (int i = 0; i < workload->transfer_count; i++) {
        const struct transfer *transfer = &workload->transfers[i];
        meddled |= transfer->meddled;
        torn |= transfer->forced;
        for (int k = 0; k < transfer->call_count; k++)
            if (transfer->stepwise) /* its client may have left out the rest */
                opening += transfer->calls[k].change * transfer->calls[k].applied;
        for (int k = 0; k < transfer->call_count; k++)
            if (transfer->calls[k].applied)
                expected[transfer->calls[k].applied_at] +=
                    transfer->calls[k].change * transfer->calls[k].applied;
    }
    for (int i = 0; i < world->participant_count; i++) {
        int64_t money = database_money(world->databases[i]);
        sum += money;
        if (money != expected[i] && !meddled)
            world_violation(world, "p%d holds %lld, its transfers make %lld", i, (long long)money,
                            (long long)expected[i]);
    }
    if (sum != opening && !meddled && !torn)
        world_violation(world, "the books hold %lld, and held %lld", (long long)sum,
                        (long long)opening);
}

void workload_check(struct workload *workload)
{
    struct world *world = workload->world;
    for (int i = 0; i < workload->transfer_count; i++)
        check_transfer(workload, &workload->transfers[i]);
    check_keys(workload);
    check_money(workload);
    for (int i = 0; i < world->participant_count; i++) {
        int ours = database_prepared_ours(world->databases[i]);
        if (ours > 0)
            world_complaint(world, "p%d: %d prepared transactions are left", i, ours);
        if (database_locked(world->databases[i]))
            world_complaint(world, "p%d: rows are still locked", i);
    }
}
