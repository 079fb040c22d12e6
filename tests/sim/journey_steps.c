/* What is done in a journey: operations that agents perform, and what services do on connections
 * of their own: they join, work, prepare and hand over; or not quite. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/journey_private.h"
#include "tests/sim/order_book.h"

enum { GRACE_US = 1000 * 1000 }; /* after the deadline the server gives up an idle session */

static struct call *call_of(const struct step *step, int call)
{
    return &step->journey->transfer->calls[call];
}

/* ---- who does what, and how ---- */

static int coordinator_of(const struct node *node)
{
    return node->index % node->world->coordinator_count;
}

static struct node *choose_process(struct journey *journey)
{
    struct world *world = journey->world;
    struct node *node = world->clients[world_between(world, 0, (uint64_t)world->client_count - 1)];
    bool same = coordinator_of(node) == coordinator_of(journey->beginner);
    return same && world_chance(world, PPM * 2 / 3) ? node : journey->beginner;
}

static bool writes(const struct step *step)
{
    for (int i = 0; i < step->journey->transfer->call_count; i++)
        if (step->calls & 1u << i && call_of(step, i)->token)
            return true;
    return false;
}

/* In three phases a participant has one branch: what is done there later goes with it, mostly. */
static void gather(struct step *step, int first)
{
    struct journey *journey = step->journey;
    struct world *world = journey->world;
    const struct transfer *transfer = journey->transfer;
    uint32_t ppm = !transfer->three_phase ? PPM / 2 : transfer->must_commit ? PPM : PPM * 15 / 16;
    for (int i = first + 1; step->joins && i < transfer->call_count; i++)
        if (transfer->calls[i].participant == step->participant && world_chance(world, ppm))
            step->calls |= (uint8_t)(1u << i);
}

static bool works_there(const struct journey *journey, int participant)
{
    for (int i = 0; i < journey->step_count; i++)
        if (journey->steps[i].participant == participant && !journey->steps[i].joins)
            return true;
    return false;
}

static enum manner draw_manner(struct step *step)
{
    struct world *world = step->journey->world;
    struct transfer *transfer = step->journey->transfer;
    static const enum manner lies[] = {EARLY,  EARLY,      SILENT,    FORGETFUL,
                                       DENIES, UNPREPARED, WRONG_XID, WRONG_PLACE};
    if (transfer->must_commit || !writes(step))
        return HONEST;
    if (!world_chance(world, journeys_of(world)->lies_ppm))
        return world_chance(world, PPM / 6) ? HASTY : HONEST;
    enum manner manner = lies[world_between(world, 0, sizeof(lies) / sizeof(lies[0]) - 1)];
    /* The same key may be tried again, with honest services. */
    if (transfer->key[0] == 0 &&
        (manner == UNPREPARED || manner == WRONG_XID || manner == WRONG_PLACE || manner == SILENT))
        transfer->must_fail = true;
    return manner;
}

void journey_draw_steps(struct journey *journey)
{
    struct world *world = journey->world;
    const struct transfer *transfer = journey->transfer;
    uint8_t taken = 0;
    for (int i = 0; i < transfer->call_count; i++) {
        if (taken & 1u << i)
            continue;
        struct step *step = &journey->steps[journey->step_count];
        int participant = transfer->calls[i].participant;
        bool bound = transfer->three_phase && works_there(journey, participant);
        *step = (struct step){.journey = journey,
                              .number = journey->step_count,
                              .calls = (uint8_t)(1u << i),
                              .participant = participant,
                              .by = choose_process(journey)};
        step->joins = !bound && world_chance(world, journeys_of(world)->joins_ppm);
        gather(step, i);
        step->calls &= (uint8_t)~taken;
        taken |= step->calls;
        step->manner = step->joins ? draw_manner(step) : HONEST;
        journeys_of(world)->count.lies += step->manner > EARLY;
        journey->step_count++;
    }
}

/* ---- operations that an agent performs, and joins ---- */

static void fill_call(const struct step *step, int call, char name[24], Wire__Call *out)
{
    snprintf(name, 24, step->participant < 0 ? "nobody" : "p%d", step->participant);
    wire__call__init(out);
    out->participant = name;
    out->operation = (char *)call_of(step, call)->operation;
    out->arguments = call_of(step, call)->arguments;
}

static int first_call(const struct step *step)
{
    return __builtin_ctz(step->calls);
}

static void perform(struct step *step)
{
    struct journey *journey = step->journey;
    Wire__Perform perform = WIRE__PERFORM__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Call call;
    char name[24];
    fill_call(step, first_call(step), name, &call);
    perform.gtrid = journey->attempt->gtrid;
    perform.call = &call;
    message.body_case = WIRE__MESSAGE__BODY_PERFORM;
    message.perform = &perform;
    if (journey_ask(journey, ASK_PERFORM, step, step->by, &message))
        journey->asked |= step->calls;
    else
        step_report(step, false);
}

static void join(struct step *step)
{
    struct journey *journey = step->journey;
    Wire__Join join = WIRE__JOIN__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char name[24];
    Wire__Call call;
    fill_call(step, first_call(step), name, &call);
    join.gtrid = journey->attempt->gtrid;
    join.participant = name;
    message.body_case = WIRE__MESSAGE__BODY_JOIN;
    message.join = &join;
    if (!journey_ask(journey, ASK_JOIN, step, step->by, &message))
        step_report(step, false);
}

void step_begin(struct step *step)
{
    step->boot = step->by->boot;
    if (step->joins)
        join(step);
    else
        perform(step);
    journey_moment(step->journey, step->by);
}

/* ---- on a connection of its own ---- */

static void hand_over(struct step *step, uint64_t xid, const char *problem)
{
    struct journey *journey = step->journey;
    Wire__HandOver hand_over = WIRE__HAND_OVER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Problem why = WIRE__PROBLEM__INIT;
    step->handing_over = true;
    step->told_xid = xid;
    step->failed = problem != NULL;
    hand_over.gtrid = journey->attempt->gtrid;
    hand_over.branch = (uint32_t)step->branch;
    hand_over.xid = xid;
    if (problem) {
        why.code = (char *)"refused";
        why.message = (char *)problem;
        hand_over.problem = &why;
    }
    message.body_case = WIRE__MESSAGE__BODY_HAND_OVER;
    message.hand_over = &hand_over;
    /* Not sent: in the next session (step_hand_over_again). */
    if (journey_ask(journey, ASK_HAND_OVER, step, step->by, &message) && journey_whim(journey))
        journey_stray(journey, step->by);
    journey_moment(journey, step->by);
}

void step_hand_over_again(struct step *step)
{
    if (!step->handing_over || step->answered || step->ended)
        return;
    if (journey_whim(step->journey))
        step_report(step, false);
    else
        hand_over(step, step->told_xid, step->failed ? "it failed" : NULL);
}

/* There was something. */
static void deny(struct step *step)
{
    order_book_denied(step->journey->world, step->own->gid);
    hand_over(step, 0, NULL);
}

static void worked(struct step *step)
{
    struct own_connection *own = step->own;
    journey_moment(step->journey, step->by);
    switch (step->manner) {
    case SILENT:
        if (world_chance(step->journey->world, PPM / 2))
            own_connection_prepare(own);
        step_report(step, true);
        break;
    case FORGETFUL:
        step->journey->asked &= (uint8_t)~step->calls;
        own_connection_rollback(own);
        deny(step);
        break;
    case UNPREPARED:
        own_connection_rollback(own);
        hand_over(step, own->xid, NULL);
        break;
    case EARLY:
        own_connection_prepare(own);
        hand_over(step, own->xid, NULL);
        break;
    default:
        own_connection_prepare(own);
    }
}

static void says_it_again(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number, (void)data;
    struct step *step = subject;
    if (!step->ended)
        hand_over(step, step->told_xid, NULL);
}

static void hurry(struct step *step)
{
    struct world *world = step->journey->world;
    hand_over(step, step->own->xid, NULL);
    step_report(step, true);
    world_deliver(world, world_latency(world, SECOND_US), step->by, step->boot, says_it_again, step,
                  0, NULL);
}

static void prepared(struct step *step)
{
    step->prepared = true;
    journey_moment(step->journey, step->by);
    if (step->undoes)
        own_connection_undo(step->own);
    else if (step->manner == HASTY)
        hurry(step);
    else if (step->manner == DENIES)
        deny(step);
    else if (step->manner == WRONG_XID)
        hand_over(step, step->own->xid + 1, NULL);
    else if (step->manner != EARLY && step->manner != SILENT)
        hand_over(step, step->own->xid, NULL);
}

static void work_next(struct step *step)
{
    Wire__Call call;
    char name[24];
    do
        step->doing++;
    while (step->doing < TRANSFER_CALLS && !(step->calls & 1u << step->doing));
    if (step->doing == TRANSFER_CALLS) {
        worked(step);
        return;
    }
    fill_call(step, step->doing, name, &call);
    if (own_connection_work(step->own, &call, step->timeout_us + GRACE_US))
        return;
    own_connection_rollback(step->own);
    hand_over(step, 0, "it can't be done");
}

static void own_told(struct own_connection *own, enum db_outcome outcome, const char *reason)
{
    struct step *step = own->user;
    if (outcome == DB_PREPARED)
        prepared(step);
    else if (outcome == DB_OPENED && step->ended)
        own_connection_rollback(own);
    else if (outcome == DB_OPENED)
        work_next(step);
    else if (outcome == DB_COMMITTED)
        hand_over(step, 0, NULL);
    else if (!step->handing_over && step->manner != SILENT)
        hand_over(step, 0, reason);
}

static void joined(struct step *step, const Wire__Progress *progress)
{
    struct journey *journey = step->journey;
    struct world *world = journey->world;
    char database[24];
    int at = step->participant;
    CHECK(at >= 0);
    snprintf(database, sizeof(database), "7/%d", at);
    if (strcmp(database, progress->database) != 0)
        world_violation(world, "transfer %llu: the database at p%d is called %s",
                        (unsigned long long)journey->transfer->number, at, progress->database);
    workload_gid_used(world, progress->gid);
    journeys_of(world)->count.joined++;
    journey->asked |= step->calls;
    journey->joined |= step->calls;
    step->branch = (int)progress->branch;
    step->timeout_us = progress->timeout_ms * UINT64_C(1000);
    step->doing = -1;
    if (step->manner == WRONG_PLACE)
        at = (at + 1) % world->participant_count;
    step->own = own_connection_new(world->databases[at], step->by, progress->gid);
    step->own->misplaced = step->manner == WRONG_PLACE;
    step->own->told = own_told;
    step->own->user = step;
    work_next(step);
}

/* ---- answers ---- */

static void check_result(const struct step *step, const Wire__Progress *progress)
{
    uint64_t token = call_of(step, first_call(step))->token;
    const char *colon = strchr(progress->result, ':');
    if (token && (!colon || strtoull(colon + 1, NULL, 10) != token))
        world_violation(step->journey->world, "transfer %llu: call %d has the result %s",
                        (unsigned long long)step->journey->transfer->number, first_call(step),
                        progress->result);
}

void step_progress(struct step *step, const struct ask *ask, const Wire__Progress *progress)
{
    struct journey *journey = step->journey;
    bool honest = step->manner <= EARLY;
    step->answered |= ask->kind == ASK_HAND_OVER;
    if (progress->problem) {
        /* Nothing of it happened, and the transaction is as open as before. */
        if (ask->kind == ASK_PERFORM)
            journey->asked &= (uint8_t)~step->calls;
        step_report(step, false);
    } else if (ask->kind == ASK_JOIN) {
        joined(step, progress);
    } else if (ask->kind == ASK_PERFORM) {
        journey->done |= step->calls;
        check_result(step, progress);
        step_report(step, true);
    } else {
        if (honest && !step->failed)
            journey->done |= step->calls;
        step_report(step, true);
    }
}

void step_over(struct step *step, bool undo)
{
    step->ended = true;
    if (!step->own)
        return;
    if (!undo)
        return;
    step->undoes = world_chance(step->journey->world, PPM * 3 / 4);
    if (step->undoes && step->prepared)
        own_connection_undo(step->own);
}

/* ---- what nobody should do ---- */

/* A look, until it is over: it may be a part of it still. */
static struct ask *stray_perform(struct step *step, struct node *node, bool over)
{
    Wire__Perform perform = WIRE__PERFORM__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Call call;
    char name[24];
    fill_call(step, first_call(step), name, &call);
    if (!over) {
        call.operation = (char *)"balance";
        call.arguments = (char *)"{\"account\":0}";
    }
    perform.gtrid = step->journey->attempt->gtrid;
    perform.call = &call;
    message.body_case = WIRE__MESSAGE__BODY_PERFORM;
    message.perform = &perform;
    return journey_ask(step->journey, ASK_PERFORM, step, node, &message);
}

static struct ask *stray_join(struct step *step, struct node *node)
{
    Wire__Join join = WIRE__JOIN__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Call call;
    char name[24];
    fill_call(step, first_call(step), name, &call);
    join.gtrid = step->journey->attempt->gtrid;
    join.participant = name;
    message.body_case = WIRE__MESSAGE__BODY_JOIN;
    message.join = &join;
    return journey_ask(step->journey, ASK_JOIN, step, node, &message);
}

/* The same again; when it is over, also what was never so. */
static struct ask *stray_hand_over(struct step *step, struct node *node, bool over)
{
    struct world *world = step->journey->world;
    Wire__HandOver hand_over = WIRE__HAND_OVER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    if (!step->own || step->failed || (!step->handing_over && !over))
        return NULL;
    hand_over.gtrid = step->journey->attempt->gtrid;
    hand_over.branch = (uint32_t)step->branch;
    hand_over.xid = step->told_xid;
    if (over && world_chance(world, PPM / 2))
        hand_over.xid = step->own->xid + world_between(world, 0, 1);
    message.body_case = WIRE__MESSAGE__BODY_HAND_OVER;
    message.hand_over = &hand_over;
    return journey_ask(step->journey, ASK_HAND_OVER, step, node, &message);
}

/* Before its beginner has asked for its commit, nobody does for him. */
static struct ask *stray_end(struct journey *journey, struct node *node, bool commit)
{
    Wire__End end = WIRE__END__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    if (commit && !journey->commit_asked && node == journey->beginner)
        return NULL;
    end.gtrid = journey->attempt->gtrid;
    end.commit = commit;
    message.body_case = WIRE__MESSAGE__BODY_END;
    message.end = &end;
    return journey_ask(journey, commit ? ASK_COMMIT : ASK_ABORT, NULL, node, &message);
}

void journey_stray(struct journey *journey, struct node *node)
{
    struct world *world = journey->world;
    bool over = journey->told_aborted || journey->told_committed;
    if (!journey->attempt->gtrid[0] || journey->step_count == 0 ||
        coordinator_of(node) != coordinator_of(journey->beginner))
        return;
    struct step *step = &journey->steps[world_between(world, 0, (uint64_t)journey->step_count - 1)];
    enum ask_kind kind = (enum ask_kind)world_between(world, ASK_PERFORM, ASK_ABORT);
    struct ask *ask = kind == ASK_PERFORM     ? stray_perform(step, node, over)
                      : kind == ASK_JOIN      ? stray_join(step, node)
                      : kind == ASK_HAND_OVER ? stray_hand_over(step, node, over)
                                              : stray_end(journey, node, kind == ASK_COMMIT);
    if (!ask)
        return;
    ask->stray = true;
    journeys_of(world)->count.strays++;
}
