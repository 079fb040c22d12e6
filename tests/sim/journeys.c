#include "tests/sim/journeys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "core/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/journey_private.h"
#include "tests/sim/saga_clients.h"

/* Most of what clients ask for is built step by step where that was asked for; else, in a quarter
 * of the worlds, a third. */
struct journeys *journeys_new(struct world *world)
{
    struct journeys *journeys = xcalloc(1, sizeof(*journeys));
    struct rng rng = {world->seed * 2 + 0x57e9b057e9u};
    bool drawn = rng_chance(&rng, PPM / 4);
    journeys->world = world;
    journeys->active =
        world->workloads == WORKLOADS_STEPS || (world->workloads == WORKLOADS_ANY && drawn);
    journeys->journeys_ppm = world->workloads == WORKLOADS_STEPS ? PPM * 9 / 10 : PPM / 3;
    journeys->joins_ppm = (uint32_t)rng_between(&rng, PPM / 4, PPM * 3 / 4);
    journeys->lies_ppm = rng_chance(&rng, PPM / 2) ? (uint32_t)rng_between(&rng, 0, PPM / 6) : 0;
    journeys->whims_ppm = rng_chance(&rng, PPM / 2) ? (uint32_t)rng_between(&rng, 0, PPM / 8) : 0;
    journeys->mortal = rng_chance(&rng, PPM / 2);
    return journeys;
}

void journeys_free(struct journeys *journeys)
{
    for (int i = 0; i < journeys->journey_count; i++)
        free(journeys->journeys[i]);
    free(journeys->asks);
    free(journeys);
}

bool journeys_none(const struct world *world)
{
    return !journeys_of(world)->active;
}

struct journey_count journeys_count(const struct world *world)
{
    return journeys_of(world)->count;
}

bool journey_whim(struct journey *journey)
{
    struct world *world = journey->world;
    return !journey->transfer->must_commit && !world->healed &&
           world_chance(world, journeys_of(world)->whims_ppm);
}

/* ---- death ---- */

static void dies(struct world *world, void *subject, uint64_t boot, void *data)
{
    (void)data;
    struct node *node = subject;
    if (!world->healed && node_up(node) && node->boot == boot)
        node_crash(node, world_latency(world, 2 * SECOND_US));
}

void journey_moment(struct journey *journey, struct node *node)
{
    struct world *world = journey->world;
    if (journeys_of(world)->mortal && !world->workload->calm && !world->healed &&
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

struct ask *journey_ask(struct journey *journey, enum ask_kind kind, struct step *step,
                        struct node *node, Wire__Message *message)
{
    static const char *const words[] = {"begin", "perform", "join", "hand over", "commit", "abort"};
    struct journeys *journeys = journeys_of(journey->world);
    if (journeys->ask_count == journeys->ask_room) {
        journeys->ask_room = journeys->ask_room * 2 + 64;
        journeys->asks = xrealloc(journeys->asks, journeys->ask_room * sizeof(*journeys->asks));
    }
    put_request(message, JOURNEY_REQUESTS + journeys->ask_count);
    if (!clients_connected(node) || !client_send(clients_client(node), message))
        return NULL;
    struct ask *ask = &journeys->asks[journeys->ask_count++];
    *ask = (struct ask){.kind = kind,
                        .journey = journey,
                        .step = step,
                        .client = node->index,
                        .boot = node->boot,
                        .session = clients_session(node),
                        .open = true,
                        .asked_us = journey->world->now_us};
    journey->rightful |= kind == ASK_COMMIT && node == journey->beginner &&
                         node->boot == journey->boot &&
                         clients_session(node) == journey->attempt->session;
    world_note(journey->world, journeys->ask_count, "%s asks %zu: %s, transfer %llu.%d %s",
               node->name, journeys->ask_count - 1, words[kind],
               (unsigned long long)journey->transfer->number,
               (int)(journey->attempt - journey->transfer->attempts), journey->attempt->gtrid);
    return ask;
}

/* ---- the beginner's course ---- */

static void forsake(struct journey *journey)
{
    journey->course = FORSAKEN;
}

static void ask_end(struct journey *journey, struct node *node, bool commit)
{
    Wire__End end = WIRE__END__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    end.gtrid = journey->attempt->gtrid;
    end.commit = commit;
    end.wait = journey->transfer->wait;
    message.body_case = WIRE__MESSAGE__BODY_END;
    message.end = &end;
    journey->course = ENDING;
    journey->commits = commit;
    journey->commit_asked |= commit;
    journeys_of(journey->world)->count.ends++;
    if (!journey_ask(journey, commit ? ASK_COMMIT : ASK_ABORT, NULL, node, &message))
        forsake(journey);
    journey_moment(journey, node);
    if (journey_whim(journey))
        journey_stray(journey, node);
}

static void next_step(struct journey *journey);

/* Whoever waits for a step has some patience only. */
static void impatient(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)data;
    struct journey *journey = subject;
    if (journey->course != STEPPING || journey->at != (int)number)
        return;
    /* It may be there or not, and commits what is there: only a careless one does. */
    bool careless = journey_whim(journey) && !journey->transfer->must_fail;
    ask_end(journey, journey->beginner, careless);
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
    struct journey *journey = step->journey;
    if (journey->course != STEPPING || journey->at != step->number)
        return;
    bool careless = !well && journey_whim(journey) && !journey->transfer->must_fail;
    if (!well && !careless) {
        ask_end(journey, journey->beginner, false);
        return;
    }
    journey->at++;
    journey_moment(journey, journey->beginner);
    next_step(journey);
}

void step_report(struct step *step, bool well)
{
    struct journey *journey = step->journey;
    struct world *world = journey->world;
    if (step->reported)
        return;
    step->reported = true;
    world_deliver(world, 1 + world_latency(world, world->weather.frame_max_us), journey->beginner,
                  journey->boot, step_reported, step, well, NULL);
}

static void next_step(struct journey *journey)
{
    struct world *world = journey->world;
    if (journey->at == journey->step_count) {
        if (journey_whim(journey))
            journey->course = OVER; /* it forgets to end it: its deadline will */
        else
            ask_end(journey, journey->beginner, !journey_whim(journey));
        return;
    }
    struct step *step = &journey->steps[journey->at];
    uint64_t think_us = world_chance(world, PPM / 2) ? 1 : world_latency(world, SECOND_US / 2);
    world_deliver(world, think_us, step->by, step->by == journey->beginner ? journey->boot : 0,
                  step_begins, step, 0, NULL);
    uint64_t patience_us = journey->transfer->must_commit
                               ? 8 * SECOND_US
                               : world_between(world, SECOND_US / 5, 3 * SECOND_US);
    world_deliver(world, think_us + patience_us, journey->beginner, journey->boot, impatient,
                  journey, (uint64_t)journey->at, NULL);
}

static void begin(struct node *node, struct transfer *transfer)
{
    struct journeys *journeys = journeys_of(node->world);
    if (journeys->journey_count == JOURNEYS_MOST || transfer->attempt_count == TRANSFER_ATTEMPTS)
        return;
    struct journey *journey = xcalloc(1, sizeof(*journey));
    journeys->journeys[journeys->journey_count++] = journey;
    journey->world = node->world;
    journey->transfer = transfer;
    journey->attempt = &transfer->attempts[transfer->attempt_count++];
    *journey->attempt = (struct attempt){
        .client = node->index, .boot = node->boot, .session = clients_session(node)};
    journey->beginner = node;
    journey->boot = node->boot;
    journey_draw_steps(journey);
    journeys->count.begun++;
    Wire__Begin begin = WIRE__BEGIN__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    begin.protocol =
        transfer->three_phase ? WIRE__PROTOCOL__THREE_PHASE : WIRE__PROTOCOL__TWO_PHASE;
    begin.key = transfer->key;
    begin.timeout_ms = transfer->timeout_ms;
    message.body_case = WIRE__MESSAGE__BODY_BEGIN;
    message.begin = &begin;
    if (!journey_ask(journey, ASK_BEGIN, NULL, node, &message))
        journey->course = OVER;
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
    struct journeys *journeys = journeys_of(node->world);
    struct world *world = node->world;
    if (journeys->journey_count == 0 || !world_chance(world, journeys->whims_ppm))
        return false;
    struct journey *journey =
        journeys->journeys[journeys->journey_count -
                           (int)world_latency(world, (uint64_t)journeys->journey_count)];
    journey_stray(journey, node);
    return true;
}

bool journeys_act(struct node *node)
{
    struct world *world = node->world;
    struct journeys *journeys = journeys_of(world);
    struct workload *workload = world->workload;
    if (!journeys->active || !world_chance(world, journeys->journeys_ppm))
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

void journeys_probe(struct world *world)
{
    for (int i = 0; i < world->client_count && !journeys_none(world); i++)
        if (!clients_abandoned(world->clients[i]))
            world_deliver(world, 1, world->clients[i], 0, probe, world->clients[i], 0, NULL);
}

/* ---- sessions ---- */

/* Commit, or, as nobody knows what became of that, abort. */
static void end_again(struct journey *journey, struct node *node)
{
    ask_end(journey, node, journey->commits && !(journey->given_up && !journey->world->healed));
}

static void resume(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct journey *journey = subject;
    if (journey->course == FORSAKEN && !journey->told_committed && !journey->told_aborted &&
        clients_connected(journey->beginner))
        end_again(journey, journey->beginner);
    (void)world;
}

void journeys_up(struct node *node)
{
    struct world *world = node->world;
    struct journeys *journeys = journeys_of(world);
    for (int i = 0; i < journeys->journey_count; i++) {
        struct journey *journey = journeys->journeys[i];
        if (journey->course == FORSAKEN && journey->beginner == node && journey->attempt->gtrid[0])
            world_deliver(world, world_latency(world, SECOND_US / 2), node, node->boot, resume,
                          journey, 0, NULL);
        for (int k = 0; k < journey->step_count; k++)
            if (journey->steps[k].by == node && journey->steps[k].boot == node->boot)
                step_hand_over_again(&journey->steps[k]);
    }
}

static void lose_journey(struct journey *journey)
{
    if (journey->course == BEGINNING)
        journey->course = OVER;
    else if (journey->course == ENDING)
        forsake(journey);
    else if (journey->course == STEPPING && world_chance(journey->world, PPM / 2))
        journey->course = OVER; /* it knows what that means */
    else if (journey->course == STEPPING) {
        journey->commits = world_chance(journey->world, PPM / 2); /* in vain */
        forsake(journey);
    }
}

void journeys_lose(struct node *node)
{
    struct journeys *journeys = journeys_of(node->world);
    for (size_t i = 0; i < journeys->ask_count; i++) {
        struct ask *ask = &journeys->asks[i];
        if (!ask->open || ask->client != node->index)
            continue;
        ask->open = false;
        journeys->count.lost++;
        if (!ask->stray && (ask->kind == ASK_PERFORM || ask->kind == ASK_JOIN))
            step_report(ask->step, false);
    }
    for (int i = 0; i < journeys->journey_count; i++)
        if (journeys->journeys[i]->beginner == node)
            lose_journey(journeys->journeys[i]);
}

void journeys_gone(struct node *node)
{
    own_connections_gone(node);
}

/* ---- answers ---- */

static struct ask *answered(struct node *node, uint64_t request)
{
    struct journeys *journeys = journeys_of(node->world);
    uint64_t number = request - JOURNEY_REQUESTS;
    CHECK(number < journeys->ask_count);
    struct ask *ask = &journeys->asks[number];
    if (!ask->open || ask->client != node->index || ask->boot != node->boot ||
        ask->session != clients_session(node)) {
        world_violation(node->world, "journey request %llu: an answer that nobody waits for",
                        (unsigned long long)number);
        return NULL;
    }
    ask->open = false;
    return ask;
}

static void begun(struct journey *journey, const Wire__Progress *progress)
{
    struct world *world = journey->world;
    snprintf(journey->attempt->gtrid, sizeof(journey->attempt->gtrid), "%s", progress->gtrid);
    workload_gid_used(world, progress->gtrid);
    journey->course = STEPPING;
    journey_moment(journey, journey->beginner);
    next_step(journey);
}

static void again(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number, (void)data;
    struct journey *journey = subject;
    if (journey->course == ENDING && clients_connected(journey->beginner))
        end_again(journey, journey->beginner);
}

/* Refused: it is as open as it was. */
static void end_refused(struct journey *journey, const struct ask *ask,
                        const Wire__Problem *problem)
{
    struct world *world = journey->world;
    bool own_session = ask->boot == journey->boot && ask->session == journey->attempt->session;
    if (strcmp(problem->code, "not_yours") == 0 && own_session)
        world_violation(world, "transfer %llu: its beginner is told that it is not his",
                        (unsigned long long)journey->transfer->number);
    if (ask->kind == ASK_ABORT && strcmp(problem->code, "busy") != 0)
        world_violation(world, "transfer %llu: an abort is refused: %s",
                        (unsigned long long)journey->transfer->number, problem->message);
    journey->given_up |= own_session || world_chance(world, PPM / 4);
    world_deliver(world, world_latency(world, SECOND_US), journey->beginner,
                  journey->beginner->boot, again, journey, 0, NULL);
}

void journeys_progress(struct node *node, const Wire__Progress *progress)
{
    struct ask *found = answered(node, progress->request);
    if (!found)
        return;
    struct ask ask = *found; /* more may be asked meanwhile */
    struct journey *journey = ask.journey;
    const Wire__Problem *problem = progress->problem;
    world_note(node->world, progress->request, "%s hears %llu: %s%s", node->name,
               (unsigned long long)(progress->request - JOURNEY_REQUESTS),
               problem ? problem->message : "well ", problem ? "" : progress->gid);
    if (!problem && (ask.kind == ASK_COMMIT || ask.kind == ASK_ABORT))
        world_violation(node->world, "an End is answered by Progress");
    else if (ask.stray)
        journey->doomed |= ask.kind == ASK_JOIN && !problem;
    else if (ask.kind == ASK_COMMIT || ask.kind == ASK_ABORT)
        end_refused(journey, &ask, problem);
    else if (ask.kind == ASK_BEGIN)
        begun(journey, progress);
    else
        step_progress(ask.step, &ask, progress);
}

static bool over_for_good(const struct journey *journey)
{
    return journey->told_aborted || journey->told_committed || !journey->attempt->gtrid[0];
}

void journeys_outcome(struct node *node, const Wire__Outcome *outcome)
{
    struct ask *found = answered(node, outcome->request);
    if (!found)
        return;
    struct ask ask = *found;
    struct journey *journey = ask.journey;
    world_note(
        node->world, outcome->request, "%s hears %llu: %s %s%s%s%s", node->name,
        (unsigned long long)(outcome->request - JOURNEY_REQUESTS),
        protobuf_c_enum_descriptor_get_value(&wire__result__descriptor, outcome->result)->name,
        outcome->gtrid, outcome->applied ? " applied" : "", outcome->problem ? ": " : "",
        outcome->problem ? outcome->problem->message : "");
    journey_told(journey, &ask, outcome);
    if (ask.stray)
        return;
    if (ask.step) {
        bool undo = ask.kind == ASK_HAND_OVER && (outcome->result == WIRE__RESULT__ABORTED ||
                                                  (outcome->result == WIRE__RESULT__REJECTED &&
                                                   strcmp(outcome->problem->code, "over") == 0));
        step_over(ask.step, undo);
        step_report(ask.step, outcome->result == WIRE__RESULT__COMMITTED);
    } else if (ask.kind == ASK_BEGIN || over_for_good(journey)) {
        journey->course = OVER;
    } else {
        /* Unknown, or a hazard: asked again when all is well. */
        forsake(journey);
    }
    if (journey->course == OVER && journey->attempt->gtrid[0] && journey_whim(journey))
        journey_stray(journey, node);
}

void journeys_ask_again(struct world *world)
{
    struct journeys *journeys = journeys_of(world);
    if (cluster_cleans())
        return;
    for (int i = 0; i < journeys->journey_count; i++) {
        struct journey *journey = journeys->journeys[i];
        if (!journey->commit_asked || over_for_good(journey) ||
            cluster_gone(world, journey->transfer->coordinator))
            continue;
        journey->course = FORSAKEN;
        world_deliver(world, 1, journey->beginner, 0, resume, journey, 0, NULL);
    }
}

bool journeys_answered(const struct world *world)
{
    const struct journeys *journeys = journeys_of(world);
    for (size_t i = 0; i < journeys->ask_count; i++)
        if (journeys->asks[i].open)
            return false;
    return true;
}
