#include "tests/sim/errands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "core/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/errand_private.h"
#include "tests/sim/saga_clients.h"

/* Most of what clients ask for is built step by step where that was asked for; else, in a quarter
 * of the worlds, a third. */
struct errands *errands_new(struct world *world)
{
    struct errands *errands = xcalloc(1, sizeof(*errands));
    struct rng rng = {world->seed * 2 + 0x57e9b057e9u};
    bool drawn = rng_chance(&rng, PPM / 4);
    errands->world = world;
    errands->active =
        world->workloads == WORKLOADS_STEPS || (world->workloads == WORKLOADS_ANY && drawn);
    errands->errands_ppm = world->workloads == WORKLOADS_STEPS ? PPM * 9 / 10 : PPM / 3;
    errands->joins_ppm = (uint32_t)rng_between(&rng, PPM / 4, PPM * 3 / 4);
    errands->lies_ppm = rng_chance(&rng, PPM / 2) ? (uint32_t)rng_between(&rng, 0, PPM / 6) : 0;
    errands->whims_ppm = rng_chance(&rng, PPM / 2) ? (uint32_t)rng_between(&rng, 0, PPM / 8) : 0;
    errands->mortal = rng_chance(&rng, PPM / 2);
    return errands;
}

void errands_free(struct errands *errands)
{
    for (int i = 0; i < errands->errand_count; i++)
        free(errands->errands[i]);
    free(errands->asks);
    free(errands);
}

bool errands_none(const struct world *world)
{
    return !errands_of(world)->active;
}

struct errand_count errands_count(const struct world *world)
{
    return errands_of(world)->count;
}

bool errand_whim(struct errand *errand)
{
    struct world *world = errand->world;
    return !errand->transfer->must_commit && !world->healed &&
           world_chance(world, errands_of(world)->whims_ppm);
}

/* ---- death ---- */

static void dies(struct world *world, void *subject, uint64_t boot, void *data)
{
    (void)data;
    struct node *node = subject;
    if (!world->healed && node_up(node) && node->boot == boot)
        node_crash(node, world_latency(world, 2 * SECOND_US));
}

void errand_moment(struct errand *errand, struct node *node)
{
    struct world *world = errand->world;
    if (errands_of(world)->mortal && !world->workload->calm && !world->healed &&
        world_chance(world, PPM / 150))
        world_after(world, world_between(world, 0, 1) * world_latency(world, 5 * MILLISECOND_US),
                    dies, node, node->boot, NULL);
}

/* ---- requests ---- */

static void put_request(Wire__Message *message, uint64_t request)
{
    switch (message->body_case) {
    case WIRE__MESSAGE__BODY_BEGIN:
        message->begin->request = request;
        break;
    case WIRE__MESSAGE__BODY_PERFORM:
        message->perform->request = request;
        break;
    case WIRE__MESSAGE__BODY_JOIN:
        message->join->request = request;
        break;
    case WIRE__MESSAGE__BODY_HAND_OVER:
        message->hand_over->request = request;
        break;
    default:
        CHECK(message->body_case == WIRE__MESSAGE__BODY_END);
        message->end->request = request;
    }
}

struct ask *errand_ask(struct errand *errand, enum ask_kind kind, struct step *step,
                       struct node *node, Wire__Message *message)
{
    static const char *const words[] = {"begin", "perform", "join", "hand over", "commit", "abort"};
    struct errands *errands = errands_of(errand->world);
    if (errands->ask_count == errands->ask_room) {
        errands->ask_room = errands->ask_room * 2 + 64;
        errands->asks = xrealloc(errands->asks, errands->ask_room * sizeof(*errands->asks));
    }
    put_request(message, ERRAND_REQUESTS + errands->ask_count);
    if (!clients_connected(node) || !client_send(clients_client(node), message))
        return NULL;
    struct ask *ask = &errands->asks[errands->ask_count++];
    *ask = (struct ask){.kind = kind,
                        .errand = errand,
                        .step = step,
                        .client = node->index,
                        .boot = node->boot,
                        .session = clients_session(node),
                        .open = true,
                        .asked_us = errand->world->now_us};
    errand->rightful |= kind == ASK_COMMIT && node == errand->beginner &&
                        node->boot == errand->boot &&
                        clients_session(node) == errand->attempt->session;
    world_note(errand->world, errands->ask_count, "%s asks %zu: %s, transfer %llu.%d %s",
               node->name, errands->ask_count - 1, words[kind],
               (unsigned long long)errand->transfer->number,
               (int)(errand->attempt - errand->transfer->attempts), errand->attempt->gtrid);
    return ask;
}

/* ---- the beginner's course ---- */

static void forsake(struct errand *errand)
{
    errand->course = FORSAKEN;
}

static void ask_end(struct errand *errand, struct node *node, bool commit)
{
    Wire__End end = WIRE__END__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    end.gtrid = errand->attempt->gtrid;
    end.commit = commit;
    end.wait = errand->transfer->wait;
    message.body_case = WIRE__MESSAGE__BODY_END;
    message.end = &end;
    errand->course = ENDING;
    errand->commits = commit;
    errand->commit_asked |= commit;
    errands_of(errand->world)->count.ends++;
    if (!errand_ask(errand, commit ? ASK_COMMIT : ASK_ABORT, NULL, node, &message))
        forsake(errand);
    errand_moment(errand, node);
    if (errand_whim(errand))
        errand_stray(errand, node);
}

static void next_step(struct errand *errand);

/* Whoever waits for a step has some patience only. */
static void impatient(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)data;
    struct errand *errand = subject;
    if (errand->course != STEPPING || errand->at != (int)number)
        return;
    /* It may be there or not, and commits what is there: only a careless one does. */
    bool careless = errand_whim(errand) && !errand->transfer->must_fail;
    ask_end(errand, errand->beginner, careless);
}

static void step_begins(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number, (void)data;
    step_begin(subject);
}

static void step_reported(struct world *world, void *subject, uint64_t well, void *data)
{
    (void)world, (void)data;
    struct step *step = subject;
    struct errand *errand = step->errand;
    if (errand->course != STEPPING || errand->at != step->number)
        return;
    bool careless = !well && errand_whim(errand) && !errand->transfer->must_fail;
    if (!well && !careless) {
        ask_end(errand, errand->beginner, false);
        return;
    }
    errand->at++;
    errand_moment(errand, errand->beginner);
    next_step(errand);
}

void step_report(struct step *step, bool well)
{
    struct errand *errand = step->errand;
    struct world *world = errand->world;
    if (step->reported)
        return;
    step->reported = true;
    world_deliver(world, 1 + world_latency(world, world->weather.frame_max_us), errand->beginner,
                  errand->boot, step_reported, step, well, NULL);
}

static void next_step(struct errand *errand)
{
    struct world *world = errand->world;
    if (errand->at == errand->step_count) {
        if (errand_whim(errand))
            errand->course = OVER; /* it forgets to end it: its deadline will */
        else
            ask_end(errand, errand->beginner, !errand_whim(errand));
        return;
    }
    struct step *step = &errand->steps[errand->at];
    uint64_t think_us = world_chance(world, PPM / 2) ? 1 : world_latency(world, SECOND_US / 2);
    world_deliver(world, think_us, step->by, step->by == errand->beginner ? errand->boot : 0,
                  step_begins, step, 0, NULL);
    uint64_t patience_us = errand->transfer->must_commit
                               ? 8 * SECOND_US
                               : world_between(world, SECOND_US / 5, 3 * SECOND_US);
    world_deliver(world, think_us + patience_us, errand->beginner, errand->boot, impatient, errand,
                  (uint64_t)errand->at, NULL);
}

static void begin(struct node *node, struct transfer *transfer)
{
    struct errands *errands = errands_of(node->world);
    if (errands->errand_count == ERRANDS_MOST || transfer->attempt_count == TRANSFER_ATTEMPTS)
        return;
    struct errand *errand = xcalloc(1, sizeof(*errand));
    errands->errands[errands->errand_count++] = errand;
    errand->world = node->world;
    errand->transfer = transfer;
    errand->attempt = &transfer->attempts[transfer->attempt_count++];
    *errand->attempt = (struct attempt){
        .client = node->index, .boot = node->boot, .session = clients_session(node)};
    errand->beginner = node;
    errand->boot = node->boot;
    errand_draw_steps(errand);
    errands->count.begun++;
    Wire__Begin begin = WIRE__BEGIN__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    begin.protocol =
        transfer->three_phase ? WIRE__PROTOCOL__THREE_PHASE : WIRE__PROTOCOL__TWO_PHASE;
    begin.key = transfer->key;
    begin.timeout_ms = transfer->timeout_ms;
    message.body_case = WIRE__MESSAGE__BODY_BEGIN;
    message.begin = &begin;
    if (!errand_ask(errand, ASK_BEGIN, NULL, node, &message))
        errand->course = OVER;
}

/* ---- who wants one ---- */

static int coordinator_of(const struct node *node)
{
    return node->index % node->world->coordinator_count;
}

/* One with a key is done again, mostly when it is not known to be done. */
static struct transfer *choose_again(struct node *node)
{
    struct world *world = node->world;
    struct workload *workload = world->workload;
    for (int i = 0; i < 8 && workload->transfer_count > 0; i++) {
        struct transfer *transfer =
            &workload->transfers[world_between(world, 0, (uint64_t)workload->transfer_count - 1)];
        bool may = transfer->stepwise && transfer->key[0] &&
                   transfer->coordinator == coordinator_of(node) &&
                   transfer->attempt_count < TRANSFER_ATTEMPTS;
        if (may && (!transfer->committed[0] || world_chance(world, PPM / 4)))
            return transfer;
    }
    return NULL;
}

/* Somebody goes on with what is not his, or is over. */
static bool meddle(struct node *node)
{
    struct errands *errands = errands_of(node->world);
    struct world *world = node->world;
    if (errands->errand_count == 0 || !world_chance(world, errands->whims_ppm))
        return false;
    struct errand *errand =
        errands->errands[errands->errand_count -
                         (int)world_latency(world, (uint64_t)errands->errand_count)];
    errand_stray(errand, node);
    return true;
}

bool errands_act(struct node *node)
{
    struct world *world = node->world;
    struct errands *errands = errands_of(world);
    struct workload *workload = world->workload;
    if (!errands->active || !world_chance(world, errands->errands_ppm))
        return false;
    if (meddle(node))
        return true;
    struct transfer *transfer = world_chance(world, PPM / 4) ? choose_again(node) : NULL;
    if (!transfer && workload->transfer_count < workload->transfer_limit) {
        transfer = workload_make(workload, coordinator_of(node));
        if (transfer)
            transfer->stepwise = true;
    }
    if (transfer)
        begin(node, transfer);
    return true;
}

static void probe(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    struct transfer *transfer =
        workload_make_probe(world->workload, MAX_CLIENTS + node->index, coordinator_of(node));
    if (!transfer)
        return;
    transfer->stepwise = true;
    transfer->key[0] = 0;
    begin(node, transfer);
}

void errands_probe(struct world *world)
{
    for (int i = 0; i < world->client_count && !errands_none(world); i++)
        if (!clients_abandoned(world->clients[i]))
            world_deliver(world, 1, world->clients[i], 0, probe, world->clients[i], 0, NULL);
}

/* ---- sessions ---- */

/* Commit, or, as nobody knows what became of that, abort. */
static void end_again(struct errand *errand, struct node *node)
{
    ask_end(errand, node, errand->commits && !(errand->given_up && !errand->world->healed));
}

static void resume(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct errand *errand = subject;
    if (errand->course == FORSAKEN && !errand->told_committed && !errand->told_aborted &&
        clients_connected(errand->beginner))
        end_again(errand, errand->beginner);
    (void)world;
}

void errands_up(struct node *node)
{
    struct world *world = node->world;
    struct errands *errands = errands_of(world);
    for (int i = 0; i < errands->errand_count; i++) {
        struct errand *errand = errands->errands[i];
        if (errand->course == FORSAKEN && errand->beginner == node && errand->attempt->gtrid[0])
            world_deliver(world, world_latency(world, SECOND_US / 2), node, node->boot, resume,
                          errand, 0, NULL);
        for (int k = 0; k < errand->step_count; k++)
            if (errand->steps[k].by == node && errand->steps[k].boot == node->boot)
                step_hand_over_again(&errand->steps[k]);
    }
}

static void lose_errand(struct errand *errand)
{
    if (errand->course == BEGINNING)
        errand->course = OVER;
    else if (errand->course == ENDING)
        forsake(errand);
    else if (errand->course == STEPPING && world_chance(errand->world, PPM / 2))
        errand->course = OVER; /* it knows what that means */
    else if (errand->course == STEPPING) {
        errand->commits = world_chance(errand->world, PPM / 2); /* in vain */
        forsake(errand);
    }
}

void errands_lose(struct node *node)
{
    struct errands *errands = errands_of(node->world);
    for (size_t i = 0; i < errands->ask_count; i++) {
        struct ask *ask = &errands->asks[i];
        if (!ask->open || ask->client != node->index)
            continue;
        ask->open = false;
        errands->count.lost++;
        if (!ask->stray && (ask->kind == ASK_PERFORM || ask->kind == ASK_JOIN))
            step_report(ask->step, false);
    }
    for (int i = 0; i < errands->errand_count; i++)
        if (errands->errands[i]->beginner == node)
            lose_errand(errands->errands[i]);
}

void errands_gone(struct node *node)
{
    own_connections_gone(node);
}

/* ---- answers ---- */

static struct ask *answered(struct node *node, uint64_t request)
{
    struct errands *errands = errands_of(node->world);
    uint64_t number = request - ERRAND_REQUESTS;
    CHECK(number < errands->ask_count);
    struct ask *ask = &errands->asks[number];
    if (!ask->open || ask->client != node->index || ask->boot != node->boot ||
        ask->session != clients_session(node)) {
        world_violation(node->world, "errand request %llu: an answer that nobody waits for",
                        (unsigned long long)number);
        return NULL;
    }
    ask->open = false;
    return ask;
}

static void begun(struct errand *errand, const Wire__Progress *progress)
{
    struct world *world = errand->world;
    snprintf(errand->attempt->gtrid, sizeof(errand->attempt->gtrid), "%s", progress->gtrid);
    workload_gid_used(world, progress->gtrid);
    errand->course = STEPPING;
    errand_moment(errand, errand->beginner);
    next_step(errand);
}

static void again(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number, (void)data;
    struct errand *errand = subject;
    if (errand->course == ENDING && clients_connected(errand->beginner))
        end_again(errand, errand->beginner);
}

/* Refused: it is as open as it was. */
static void end_refused(struct errand *errand, const struct ask *ask, const Wire__Problem *problem)
{
    struct world *world = errand->world;
    bool own_session = ask->boot == errand->boot && ask->session == errand->attempt->session;
    if (strcmp(problem->code, "not_yours") == 0 && own_session)
        world_violation(world, "transfer %llu: its beginner is told that it is not his",
                        (unsigned long long)errand->transfer->number);
    if (ask->kind == ASK_ABORT && strcmp(problem->code, "busy") != 0)
        world_violation(world, "transfer %llu: an abort is refused: %s",
                        (unsigned long long)errand->transfer->number, problem->message);
    errand->given_up |= own_session || world_chance(world, PPM / 4);
    world_deliver(world, world_latency(world, SECOND_US), errand->beginner, errand->beginner->boot,
                  again, errand, 0, NULL);
}

void errands_progress(struct node *node, const Wire__Progress *progress)
{
    struct ask *found = answered(node, progress->request);
    if (!found)
        return;
    struct ask ask = *found; /* more may be asked meanwhile */
    struct errand *errand = ask.errand;
    const Wire__Problem *problem = progress->problem;
    world_note(node->world, progress->request, "%s hears %llu: %s%s", node->name,
               (unsigned long long)(progress->request - ERRAND_REQUESTS),
               problem ? problem->message : "well ", problem ? "" : progress->gid);
    if (!problem && (ask.kind == ASK_COMMIT || ask.kind == ASK_ABORT))
        world_violation(node->world, "an End is answered by Progress");
    else if (ask.stray)
        errand->doomed |= ask.kind == ASK_JOIN && !problem;
    else if (ask.kind == ASK_COMMIT || ask.kind == ASK_ABORT)
        end_refused(errand, &ask, problem);
    else if (ask.kind == ASK_BEGIN)
        begun(errand, progress);
    else
        step_progress(ask.step, &ask, progress);
}

static bool over_for_good(const struct errand *errand)
{
    return errand->told_aborted || errand->told_committed || !errand->attempt->gtrid[0];
}

void errands_outcome(struct node *node, const Wire__Outcome *outcome)
{
    struct ask *found = answered(node, outcome->request);
    if (!found)
        return;
    struct ask ask = *found;
    struct errand *errand = ask.errand;
    world_note(
        node->world, outcome->request, "%s hears %llu: %s %s%s%s%s", node->name,
        (unsigned long long)(outcome->request - ERRAND_REQUESTS),
        protobuf_c_enum_descriptor_get_value(&wire__result__descriptor, outcome->result)->name,
        outcome->gtrid, outcome->applied ? " applied" : "", outcome->problem ? ": " : "",
        outcome->problem ? outcome->problem->message : "");
    errand_told(errand, &ask, outcome);
    if (ask.stray)
        return;
    if (ask.step) {
        bool undo = ask.kind == ASK_HAND_OVER && (outcome->result == WIRE__RESULT__ABORTED ||
                                                  (outcome->result == WIRE__RESULT__REJECTED &&
                                                   strcmp(outcome->problem->code, "over") == 0));
        step_over(ask.step, undo);
        step_report(ask.step, outcome->result == WIRE__RESULT__COMMITTED);
    } else if (ask.kind == ASK_BEGIN || over_for_good(errand)) {
        errand->course = OVER;
    } else {
        /* Unknown, or a hazard: asked again when all is well. */
        forsake(errand);
    }
    if (errand->course == OVER && errand->attempt->gtrid[0] && errand_whim(errand))
        errand_stray(errand, node);
}

void errands_ask_again(struct world *world)
{
    struct errands *errands = errands_of(world);
    if (cluster_cleans())
        return;
    for (int i = 0; i < errands->errand_count; i++) {
        struct errand *errand = errands->errands[i];
        if (!errand->commit_asked || over_for_good(errand) ||
            cluster_gone(world, errand->transfer->coordinator))
            continue;
        errand->course = FORSAKEN;
        world_deliver(world, 1, errand->beginner, 0, resume, errand, 0, NULL);
    }
}

bool errands_answered(const struct world *world)
{
    const struct errands *errands = errands_of(world);
    for (size_t i = 0; i < errands->ask_count; i++)
        if (errands->asks[i].open)
            return false;
    return true;
}
