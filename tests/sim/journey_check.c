/* What must be true of journeys. A transaction that was built step by step is its beginner's to
 * commit, in the session that began it; it has all that was answered, and nothing that was not
 * asked for; a branch that was joined is handed over and there, or nothing is. */
#include <string.h>

#include "tests/sim/cluster.h"
#include "tests/sim/journey_private.h"
#include "tests/sim/order_book.h"
#include "tests/sim/registers.h"

static unsigned long long number_of(const struct journey *journey)
{
    return journey->transfer->number;
}

/* Who says that he wrote nothing is believed: nobody misses it but he. */
static uint8_t given_away(const struct journey *journey)
{
    uint8_t calls = 0;
    for (int i = 0; i < journey->step_count; i++)
        if (journey->steps[i].manner == FORGETFUL || journey->steps[i].manner == DENIES)
            calls |= journey->steps[i].calls;
    return calls;
}

static uint8_t required(const struct journey *journey)
{
    return journey->done | (journey->joined & (uint8_t)~given_away(journey));
}

static bool applied(const struct journey *journey, int call)
{
    const struct call *of = &journey->transfer->calls[call];
    return of->applied > 0 && strcmp(of->by, journey->attempt->gtrid) == 0;
}

/* NULL: all is there that has to be; else a call that is not. */
static const struct call *missing(const struct journey *journey)
{
    const struct transfer *transfer = journey->transfer;
    for (int i = 0; i < transfer->call_count; i++)
        if (transfer->calls[i].token && required(journey) & 1u << i && !applied(journey, i))
            return &transfer->calls[i];
    return NULL;
}

static bool anything(const struct journey *journey)
{
    for (int i = 0; i < journey->transfer->call_count; i++)
        if (applied(journey, i))
            return true;
    return false;
}

static bool has_written(const struct journey *journey)
{
    for (int i = 0; i < journey->transfer->call_count; i++)
        if (required(journey) & 1u << i && journey->transfer->calls[i].token)
            return true;
    return false;
}

static const struct journey *find(const struct world *world, const char *gtrid)
{
    const struct journeys *journeys = journeys_of(world);
    for (int i = 0; i < journeys->journey_count; i++)
        if (strcmp(journeys->journeys[i]->attempt->gtrid, gtrid) == 0)
            return journeys->journeys[i];
    return NULL;
}

/* It must not be committed, whoever says so. */
static void check_may_commit(const struct journey *journey, const char *how)
{
    struct world *world = journey->world;
    const struct transfer *transfer = journey->transfer;
    if (transfer_excused(transfer))
        return;
    if (!journey->rightful)
        world_violation(world, "transfer %llu: %s is %s, and its beginner has not asked for that",
                        number_of(journey), journey->attempt->gtrid, how);
    if (journey->doomed)
        world_violation(world, "transfer %llu: %s is %s, and a branch was never handed over",
                        number_of(journey), journey->attempt->gtrid, how);
    if (transfer->must_fail && !(transfer->too_much && world->workload->windfall))
        world_violation(world, "transfer %llu: %s is %s and can't be", number_of(journey),
                        journey->attempt->gtrid, how);
}

/* ---- what is told -------------------------------------------------------------------------- */

/* Another attempt with the same key was committed before, perhaps another one's. */
static void told_repeated(struct journey *journey, const Wire__Outcome *outcome)
{
    struct world *world = journey->world;
    struct transfer *transfer = journey->transfer;
    const struct journey *first = find(world, outcome->gtrid);
    if (!transfer->key[0] || !first || strcmp(first->transfer->key, transfer->key) != 0) {
        world_violation(world, "transfer %llu: %s is told, which is not of its key",
                        number_of(journey), outcome->gtrid);
        return;
    }
    check_may_commit(first, "told committed");
    if (transfer->committed[0] && strcmp(transfer->committed, outcome->gtrid) != 0)
        world_violation(world, "transfer %llu: the same key is told committed as %s and %s",
                        number_of(journey), transfer->committed, outcome->gtrid);
    strcpy(transfer->committed, first->attempt->gtrid);
    journey->told_committed = true;
}

static void told_committed(struct journey *journey, const Wire__Outcome *outcome)
{
    struct world *world = journey->world;
    struct transfer *transfer = journey->transfer;
    const char *gtrid = journey->attempt->gtrid;
    world->workload->committed += !journey->told_committed;
    if (strcmp(outcome->gtrid, gtrid) != 0) {
        told_repeated(journey, outcome);
        return;
    }
    check_may_commit(journey, "told committed");
    if (journey->told_aborted && has_written(journey))
        world_violation(world, "transfer %llu: %s is told committed, and aborted before",
                        number_of(journey), gtrid);
    if (transfer->committed[0] && strcmp(transfer->committed, gtrid) != 0)
        world_violation(world, "transfer %llu: the same key is told committed as %s and %s",
                        number_of(journey), transfer->committed, gtrid);
    strcpy(transfer->committed, gtrid);
    journey->told_committed = true;
    journey->attempt->result = WIRE__RESULT__COMMITTED;
    if (transfer->three_phase && !transfer_excused(transfer))
        registers_told(world->registers, gtrid, true);
    const struct call *call = missing(journey);
    if (outcome->applied && call && !call->taken_back && !order_book_forgotten(world, gtrid) &&
        !transfer_excused(transfer))
        world_violation(world, "transfer %llu: %s is told applied, but %s at p%d is not",
                        number_of(journey), gtrid, call->operation, call->participant);
}

static void told_aborted(struct journey *journey, const Wire__Outcome *outcome)
{
    struct world *world = journey->world;
    struct transfer *transfer = journey->transfer;
    const char *gtrid = journey->attempt->gtrid;
    world->workload->aborted += !journey->told_aborted;
    if (!outcome->problem || !outcome->problem->code[0] || !outcome->problem->message[0])
        world_complaint(world, "transfer %llu: aborted without a word why", number_of(journey));
    if (transfer->must_commit)
        world_complaint(world, "transfer %llu: aborted in a healed world: %s", number_of(journey),
                        outcome->problem ? outcome->problem->message : "");
    if (!gtrid[0])
        return; /* another one's with the same key, and it says nothing of this */
    if (strcmp(outcome->gtrid, gtrid) != 0)
        world_violation(world, "transfer %llu: %s is told, and it is %s", number_of(journey),
                        outcome->gtrid, gtrid);
    if (!transfer_excused(transfer) && anything(journey))
        world_violation(world, "transfer %llu: told aborted, but it is visible",
                        number_of(journey));
    if (journey->told_committed && has_written(journey) && !transfer_excused(transfer))
        world_violation(world, "transfer %llu: %s is told aborted, and committed before",
                        number_of(journey), gtrid);
    journey->told_aborted = true;
    if (!journey->told_committed)
        journey->attempt->result = WIRE__RESULT__ABORTED;
    if (transfer->three_phase && !transfer_excused(transfer))
        registers_told(world->registers, gtrid, false);
}

/* It is over for who wants to take part: perhaps committed, so that must have been asked for. */
static void told_rejected(struct journey *journey, const struct ask *ask,
                          const Wire__Outcome *outcome)
{
    struct world *world = journey->world;
    const char *code = outcome->problem ? outcome->problem->code : "";
    world->workload->rejected += ask->kind == ASK_BEGIN;
    if (!code[0] || !outcome->problem->message[0])
        world_complaint(world, "transfer %llu: refused without a word why", number_of(journey));
    if (journey->transfer->must_commit)
        world_complaint(world, "transfer %llu: refused in a healed world: %s", number_of(journey),
                        outcome->problem ? outcome->problem->message : "");
    if (ask->kind == ASK_BEGIN)
        return;
    if (strcmp(code, "over") != 0 || ask->kind == ASK_COMMIT || ask->kind == ASK_ABORT)
        world_violation(world, "transfer %llu: rejected in its middle: %s", number_of(journey),
                        code);
    else if (!journey->rightful)
        world_violation(world, "transfer %llu: told over, and nobody asked for its commit",
                        number_of(journey));
}

static void told_unknown(struct journey *journey, const struct ask *ask)
{
    const struct workload *workload = journey->world->workload;
    const struct transfer *transfer = journey->transfer;
    if (ask->stray)
        return;
    journey->world->workload->unknown++;
    bool may = workload->forgetful || (transfer->three_phase && !workload->asked_again);
    if (!may || transfer->must_commit)
        world_complaint(journey->world, "transfer %llu: told unknown without a reason",
                        number_of(journey));
}

static void told_hazard(struct journey *journey, const Wire__Outcome *outcome)
{
    struct world *world = journey->world;
    const struct journey *of = find(world, outcome->gtrid); /* or another one's, of the same key */
    world->workload->hazards++;
    if (!of || !transfer_excused(of->transfer))
        world_complaint(world, "transfer %llu: told hazard without a reason", number_of(journey));
}

static void check_calm(const struct journey *journey, const struct ask *ask,
                       const Wire__Outcome *outcome)
{
    static const char *const faults[] = {"session_lost", "not_connected", "database_down", "hazard",
                                         "draining"};
    const struct transfer *transfer = journey->transfer;
    struct world *world = journey->world;
    uint64_t most_us =
        (transfer->timeout_ms ? transfer->timeout_ms : 4000) * MILLISECOND_US + SECOND_US / 2;
    if (!world->workload->calm)
        return;
    for (size_t i = 0; outcome->problem && i < sizeof(faults) / sizeof(faults[0]); i++)
        if (strcmp(outcome->problem->code, faults[i]) == 0)
            world_complaint(world, "transfer %llu: %s in a world without faults: %s",
                            number_of(journey), faults[i], outcome->problem->message);
    if (world->now_us - ask->asked_us > most_us)
        world_complaint(world, "transfer %llu: the answer took %llu ms", number_of(journey),
                        (unsigned long long)((world->now_us - ask->asked_us) / 1000));
}

void journey_told(struct journey *journey, const struct ask *ask, const Wire__Outcome *outcome)
{
    struct world *world = journey->world;
    switch (outcome->result) {
    case WIRE__RESULT__COMMITTED:
        told_committed(journey, outcome);
        break;
    case WIRE__RESULT__ABORTED:
        told_aborted(journey, outcome);
        break;
    case WIRE__RESULT__REJECTED:
        told_rejected(journey, ask, outcome);
        break;
    case WIRE__RESULT__UNKNOWN:
        told_unknown(journey, ask);
        break;
    case WIRE__RESULT__HAZARD:
        told_hazard(journey, outcome);
        break;
    default:
        world_violation(world, "transfer %llu: an outcome of no known kind", number_of(journey));
    }
    check_calm(journey, ask, outcome);
}

/* ---- at the end ---------------------------------------------------------------------------- */

static void check_journey(const struct journey *journey)
{
    struct world *world = journey->world;
    const struct transfer *transfer = journey->transfer;
    bool known = journey->told_committed || journey->told_aborted;
    if (world->workload->asked_again && journey->commit_asked && journey->attempt->gtrid[0] &&
        !known && !world->workload->forgetful && !cluster_gone(world, transfer->coordinator))
        world_complaint(world, "transfer %llu: nobody was told how %s ended", number_of(journey),
                        journey->attempt->gtrid);
    bool visible = anything(journey);
    const struct call *gap = missing(journey);
    if (visible)
        check_may_commit(journey, "committed");
    if (visible && gap)
        world_violation(world, "transfer %llu: half a transaction: %s has no %s at p%d",
                        number_of(journey), journey->attempt->gtrid, gap->operation,
                        gap->participant);
    if (journey->attempt->result == WIRE__RESULT__COMMITTED && gap)
        world_violation(world, "transfer %llu: %s was told committed and is not there",
                        number_of(journey), journey->attempt->gtrid);
    for (int i = 0; visible && i < transfer->call_count; i++)
        if (applied(journey, i) && !(journey->asked & 1u << i))
            world_violation(world, "transfer %llu: %s has done call %d, which nobody asked for",
                            number_of(journey), journey->attempt->gtrid, i);
}

void journeys_check(const struct world *world, const struct transfer *transfer)
{
    const struct journeys *journeys = journeys_of(world);
    for (int i = 0; i < journeys->journey_count; i++)
        if (journeys->journeys[i]->transfer == transfer)
            check_journey(journeys->journeys[i]);
}
