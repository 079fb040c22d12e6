/* What must be true of errands. A transaction that was built step by step is its beginner's to
 * commit, in the session that began it; it has all that was answered, and nothing that was not
 * asked for; a branch that was joined is handed over and there, or nothing is. */
#include <string.h>

#include "tests/sim/cluster.h"
#include "tests/sim/errand_private.h"
#include "tests/sim/order_book.h"
#include "tests/sim/registers.h"

static unsigned long long number_of(const struct errand *errand)
{
    return errand->transfer->number;
}

/* Who says that he wrote nothing is believed: nobody misses it but he. */
static uint8_t given_away(const struct errand *errand)
{
    uint8_t calls = 0;
    for (int i = 0; i < errand->step_count; i++)
        if (errand->steps[i].manner == FORGETFUL || errand->steps[i].manner == DENIES)
            calls |= errand->steps[i].calls;
    return calls;
}

static uint8_t required(const struct errand *errand)
{
    return errand->done | (errand->joined & (uint8_t)~given_away(errand));
}

static bool applied(const struct errand *errand, int call)
{
    const struct call *of = &errand->transfer->calls[call];
    return of->applied > 0 && strcmp(of->by, errand->attempt->gtrid) == 0;
}

/* NULL: all is there that has to be; else a call that is not. */
static const struct call *missing(const struct errand *errand)
{
    const struct transfer *transfer = errand->transfer;
    for (int i = 0; i < transfer->call_count; i++)
        if (transfer->calls[i].token && required(errand) & 1u << i && !applied(errand, i))
            return &transfer->calls[i];
    return NULL;
}

static bool anything(const struct errand *errand)
{
    for (int i = 0; i < errand->transfer->call_count; i++)
        if (applied(errand, i))
            return true;
    return false;
}

static bool has_written(const struct errand *errand)
{
    for (int i = 0; i < errand->transfer->call_count; i++)
        if (required(errand) & 1u << i && errand->transfer->calls[i].token)
            return true;
    return false;
}

static const struct errand *find(const struct world *world, const char *gtrid)
{
    const struct errands *errands = errands_of(world);
    for (int i = 0; i < errands->errand_count; i++)
        if (strcmp(errands->errands[i]->attempt->gtrid, gtrid) == 0)
            return errands->errands[i];
    return NULL;
}

/* It must not be committed, whoever says so. */
static void check_may_commit(const struct errand *errand, const char *how)
{
    struct world *world = errand->world;
    const struct transfer *transfer = errand->transfer;
    if (transfer_excused(transfer))
        return;
    if (!errand->rightful)
        world_violation(world, "transfer %llu: %s is %s, and its beginner has not asked for that",
                        number_of(errand), errand->attempt->gtrid, how);
    if (errand->doomed)
        world_violation(world, "transfer %llu: %s is %s, and a branch was never handed over",
                        number_of(errand), errand->attempt->gtrid, how);
    if (transfer->must_fail && !(transfer->too_much && world->workload->windfall))
        world_violation(world, "transfer %llu: %s is %s and can't be", number_of(errand),
                        errand->attempt->gtrid, how);
}

/* ---- what is told -------------------------------------------------------------------------- */

/* Another attempt with the same key was committed before, perhaps another one's. */
static void told_repeated(struct errand *errand, const Wire__Outcome *outcome)
{
    struct world *world = errand->world;
    struct transfer *transfer = errand->transfer;
    const struct errand *first = find(world, outcome->gtrid);
    if (!transfer->key[0] || !first || strcmp(first->transfer->key, transfer->key) != 0) {
        world_violation(world, "transfer %llu: %s is told, which is not of its key",
                        number_of(errand), outcome->gtrid);
        return;
    }
    check_may_commit(first, "told committed");
    if (transfer->committed[0] && strcmp(transfer->committed, outcome->gtrid) != 0)
        world_violation(world, "transfer %llu: the same key is told committed as %s and %s",
                        number_of(errand), transfer->committed, outcome->gtrid);
    strcpy(transfer->committed, first->attempt->gtrid);
    errand->told_committed = true;
}

static void told_committed(struct errand *errand, const Wire__Outcome *outcome)
{
    struct world *world = errand->world;
    struct transfer *transfer = errand->transfer;
    const char *gtrid = errand->attempt->gtrid;
    world->workload->committed += !errand->told_committed;
    if (strcmp(outcome->gtrid, gtrid) != 0) {
        told_repeated(errand, outcome);
        return;
    }
    check_may_commit(errand, "told committed");
    if (errand->told_aborted && has_written(errand))
        world_violation(world, "transfer %llu: %s is told committed, and aborted before",
                        number_of(errand), gtrid);
    if (transfer->committed[0] && strcmp(transfer->committed, gtrid) != 0)
        world_violation(world, "transfer %llu: the same key is told committed as %s and %s",
                        number_of(errand), transfer->committed, gtrid);
    strcpy(transfer->committed, gtrid);
    errand->told_committed = true;
    errand->attempt->result = WIRE__RESULT__COMMITTED;
    if (transfer->three_phase && !transfer_excused(transfer))
        registers_told(world->registers, gtrid, true);
    const struct call *call = missing(errand);
    if (outcome->applied && call && !call->taken_back && !order_book_forgotten(world, gtrid) &&
        !transfer_excused(transfer))
        world_violation(world, "transfer %llu: %s is told applied, but %s at p%d is not",
                        number_of(errand), gtrid, call->operation, call->participant);
}

static void told_aborted(struct errand *errand, const Wire__Outcome *outcome)
{
    struct world *world = errand->world;
    struct transfer *transfer = errand->transfer;
    const char *gtrid = errand->attempt->gtrid;
    world->workload->aborted += !errand->told_aborted;
    if (!outcome->problem || !outcome->problem->code[0] || !outcome->problem->message[0])
        world_complaint(world, "transfer %llu: aborted without a word why", number_of(errand));
    if (transfer->must_commit)
        world_complaint(world, "transfer %llu: aborted in a healed world: %s", number_of(errand),
                        outcome->problem ? outcome->problem->message : "");
    if (!gtrid[0])
        return; /* another one's with the same key, and it says nothing of this */
    if (strcmp(outcome->gtrid, gtrid) != 0)
        world_violation(world, "transfer %llu: %s is told, and it is %s", number_of(errand),
                        outcome->gtrid, gtrid);
    if (!transfer_excused(transfer) && anything(errand))
        world_violation(world, "transfer %llu: told aborted, but it is visible", number_of(errand));
    if (errand->told_committed && has_written(errand) && !transfer_excused(transfer))
        world_violation(world, "transfer %llu: %s is told aborted, and committed before",
                        number_of(errand), gtrid);
    errand->told_aborted = true;
    if (!errand->told_committed)
        errand->attempt->result = WIRE__RESULT__ABORTED;
    if (transfer->three_phase && !transfer_excused(transfer))
        registers_told(world->registers, gtrid, false);
}

/* It is over for who wants to take part: perhaps committed, so that must have been asked for. */
static void told_rejected(struct errand *errand, const struct ask *ask,
                          const Wire__Outcome *outcome)
{
    struct world *world = errand->world;
    const char *code = outcome->problem ? outcome->problem->code : "";
    world->workload->rejected += ask->kind == ASK_BEGIN;
    if (!code[0] || !outcome->problem->message[0])
        world_complaint(world, "transfer %llu: refused without a word why", number_of(errand));
    if (errand->transfer->must_commit)
        world_complaint(world, "transfer %llu: refused in a healed world: %s", number_of(errand),
                        outcome->problem ? outcome->problem->message : "");
    if (ask->kind == ASK_BEGIN)
        return;
    if (strcmp(code, "over") != 0 || ask->kind == ASK_COMMIT || ask->kind == ASK_ABORT)
        world_violation(world, "transfer %llu: rejected in its middle: %s", number_of(errand),
                        code);
    else if (!errand->rightful)
        world_violation(world, "transfer %llu: told over, and nobody asked for its commit",
                        number_of(errand));
}

static void told_unknown(struct errand *errand, const struct ask *ask)
{
    const struct workload *workload = errand->world->workload;
    const struct transfer *transfer = errand->transfer;
    if (ask->stray)
        return;
    errand->world->workload->unknown++;
    bool may = workload->forgetful || (transfer->three_phase && !workload->asked_again);
    if (!may || transfer->must_commit)
        world_complaint(errand->world, "transfer %llu: told unknown without a reason",
                        number_of(errand));
}

static void told_hazard(struct errand *errand, const Wire__Outcome *outcome)
{
    struct world *world = errand->world;
    const struct errand *of = find(world, outcome->gtrid); /* or another one's, of the same key */
    world->workload->hazards++;
    if (!of || !transfer_excused(of->transfer))
        world_complaint(world, "transfer %llu: told hazard without a reason", number_of(errand));
}

static void check_calm(const struct errand *errand, const struct ask *ask,
                       const Wire__Outcome *outcome)
{
    static const char *const faults[] = {"session_lost", "not_connected", "database_down", "hazard",
                                         "draining"};
    const struct transfer *transfer = errand->transfer;
    struct world *world = errand->world;
    uint64_t most_us =
        (transfer->timeout_ms ? transfer->timeout_ms : 4000) * MILLISECOND_US + SECOND_US / 2;
    if (!world->workload->calm)
        return;
    for (size_t i = 0; outcome->problem && i < sizeof(faults) / sizeof(faults[0]); i++)
        if (strcmp(outcome->problem->code, faults[i]) == 0)
            world_complaint(world, "transfer %llu: %s in a world without faults: %s",
                            number_of(errand), faults[i], outcome->problem->message);
    if (world->now_us - ask->asked_us > most_us)
        world_complaint(world, "transfer %llu: the answer took %llu ms", number_of(errand),
                        (unsigned long long)((world->now_us - ask->asked_us) / 1000));
}

void errand_told(struct errand *errand, const struct ask *ask, const Wire__Outcome *outcome)
{
    struct world *world = errand->world;
    switch (outcome->result) {
    case WIRE__RESULT__COMMITTED:
        told_committed(errand, outcome);
        break;
    case WIRE__RESULT__ABORTED:
        told_aborted(errand, outcome);
        break;
    case WIRE__RESULT__REJECTED:
        told_rejected(errand, ask, outcome);
        break;
    case WIRE__RESULT__UNKNOWN:
        told_unknown(errand, ask);
        break;
    case WIRE__RESULT__HAZARD:
        told_hazard(errand, outcome);
        break;
    default:
        world_violation(world, "transfer %llu: an outcome of no known kind", number_of(errand));
    }
    check_calm(errand, ask, outcome);
}

/* ---- at the end ---------------------------------------------------------------------------- */

static void check_errand(const struct errand *errand)
{
    struct world *world = errand->world;
    const struct transfer *transfer = errand->transfer;
    bool known = errand->told_committed || errand->told_aborted;
    if (world->workload->asked_again && errand->commit_asked && errand->attempt->gtrid[0] &&
        !known && !world->workload->forgetful && !cluster_gone(world, transfer->coordinator))
        world_complaint(world, "transfer %llu: nobody was told how %s ended", number_of(errand),
                        errand->attempt->gtrid);
    bool visible = anything(errand);
    const struct call *gap = missing(errand);
    if (visible)
        check_may_commit(errand, "committed");
    if (visible && gap)
        world_violation(world, "transfer %llu: half a transaction: %s has no %s at p%d",
                        number_of(errand), errand->attempt->gtrid, gap->operation,
                        gap->participant);
    if (errand->attempt->result == WIRE__RESULT__COMMITTED && gap)
        world_violation(world, "transfer %llu: %s was told committed and is not there",
                        number_of(errand), errand->attempt->gtrid);
    for (int i = 0; visible && i < transfer->call_count; i++)
        if (applied(errand, i) && !(errand->asked & 1u << i))
            world_violation(world, "transfer %llu: %s has done call %d, which nobody asked for",
                            number_of(errand), errand->attempt->gtrid, i);
}

void errands_check(const struct world *world, const struct transfer *transfer)
{
    const struct errands *errands = errands_of(world);
    for (int i = 0; i < errands->errand_count; i++)
        if (errands->errands[i]->transfer == transfer)
            check_errand(errands->errands[i]);
}
