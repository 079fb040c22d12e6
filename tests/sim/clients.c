/* The clients' processes: they submit, retry what they don't know the end of when it has a key, and
 * now and then repeat what they do know. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "core/check.h"
#include "core/map.h"
#include "tests/sim/cluster.h"
#include "tests/sim/journeys.h"
#include "tests/sim/network.h"
#include "tests/sim/order_book.h"
#include "tests/sim/saga_clients.h"
#include "tests/sim/workload.h"

struct process {
    struct node *node;
    struct client *client;
    uint64_t session; /* counts up; answers belong to one */
};

static struct workload *workload_of(struct node *node)
{
    return node->world->workload;
}

static int coordinator_of(const struct node *node)
{
    return node->index % node->world->coordinator_count;
}

/* No answer will come to what this process, or this session of it, has asked. */
static void lose(struct node *node)
{
    struct workload *workload = workload_of(node);
    for (int i = 0; i < workload->transfer_count; i++)
        for (int k = 0; k < workload->transfers[i].attempt_count; k++) {
            struct attempt *attempt = &workload->transfers[i].attempts[k];
            if (attempt->open && attempt->client == node->index) {
                attempt->open = false;
                workload->lost++;
            }
        }
    saga_clients_lose(node);
    journeys_lose(node);
}

static void on_up(void *self)
{
    struct process *process = self;
    process->session++;
    world_note(process->node->world, process->session, "%s is connected", process->node->name);
    journeys_up(process->node);
}

static void on_down(void *self, const char *reason)
{
    struct process *process = self;
    world_note(process->node->world, 8, "%s lost its session: %s", process->node->name, reason);
    lose(process->node);
}

static void on_refused(void *self, const char *reason, const char *hint)
{
    struct process *process = self;
    (void)hint;
    world_violation(process->node->world, "%s is refused: %s", process->node->name, reason);
}

static void on_outcome(void *self, const Wire__Outcome *outcome)
{
    struct process *process = self;
    struct node *node = process->node;
    struct workload *workload = workload_of(node);
    uint64_t number = outcome->request / TRANSFER_ATTEMPTS;
    if (outcome->request >= JOURNEY_REQUESTS) {
        journeys_outcome(node, outcome);
        return;
    }
    CHECK(number >= 1 && number <= (uint64_t)workload->transfer_count);
    struct transfer *transfer = &workload->transfers[number - 1];
    struct attempt *attempt = &transfer->attempts[outcome->request % TRANSFER_ATTEMPTS];
    world_note(
        node->world, outcome->request, "%s hears transfer %llu.%d: %s %s%s%s%s%s", node->name,
        (unsigned long long)number, (int)(outcome->request % TRANSFER_ATTEMPTS),
        protobuf_c_enum_descriptor_get_value(&wire__result__descriptor, outcome->result)->name,
        outcome->gtrid, outcome->applied ? " applied" : "",
        outcome->repeated_key ? " repeated" : "", outcome->problem ? ": " : "",
        outcome->problem ? outcome->problem->message : "");
    if (!attempt->open || attempt->client != node->index || attempt->boot != node->boot ||
        attempt->session != process->session) {
        world_violation(node->world, "transfer %llu: an answer that nobody waits for",
                        (unsigned long long)number);
        return;
    }
    workload_outcome(workload, transfer, attempt, outcome);
}

static void check_coordinator(struct workload *workload, int coordinator,
                              const Wire__CoordinatorView *view)
{
    bool excused = workload->meddling || order_book_forced_any(workload->world);
    workload->hazards_shown[coordinator] = view->hazards;
    if ((view->undecided != 0 && !cluster_cleans()) || (view->unapplied != 0 && !excused))
        world_complaint(workload->world, "%s shows %llu undecided, %llu unapplied", view->name,
                        (unsigned long long)view->undecided, (unsigned long long)view->unapplied);
    if (view->hazards != 0 && !excused)
        world_complaint(workload->world, "%s shows %llu hazards without a reason", view->name,
                        (unsigned long long)view->hazards);
}

static void note_held(struct workload *workload, const Wire__ParticipantView *view)
{
    enum { ROOM = sizeof(workload->held) / sizeof(workload->held[0]) };
    for (size_t i = 0; i < view->n_held && workload->held_count < ROOM; i++)
        workload->held[workload->held_count++] = hash_bytes(view->held[i], strlen(view->held[i]));
}

static void check_participant(struct workload *workload, const Wire__ParticipantView *view)
{
    struct world *world = workload->world;
    if (workload->resolving) {
        note_held(workload, view);
        return;
    }
    if (!view->connected || !view->database_up)
        world_complaint(world, "%s is shown as down in a healed world: %s", view->name,
                        view->database_reason);
    if (view->prepared != 0 || view->prepared_foreign != (uint32_t)workload->foreign_count)
        world_complaint(world, "%s is shown with %u prepared, %u foreign", view->name,
                        view->prepared, view->prepared_foreign);
    if (view->n_held != 0)
        world_complaint(world, "%s holds %s without a reason", view->name, view->held[0]);
    if ((view->working != 0 && !cluster_cleans()) ||
        (view->unapplied != 0 && !workload->meddling && !order_book_forced_any(world)))
        world_complaint(world, "%s is shown with %u working, %u unapplied", view->name,
                        view->working, view->unapplied);
}

static void on_answer(void *self, const Wire__Answer *answer)
{
    struct process *process = self;
    struct workload *workload = workload_of(process->node);
    if (answer->request >= SAGA_REQUESTS) {
        saga_clients_answer(process->node, answer);
        return;
    }
    world_note(workload->world, answer->request, "%s gets its answer %llu", process->node->name,
               (unsigned long long)answer->request);
    workload->inspections--;
    if (answer->problem)
        world_complaint(workload->world, "a query failed: %s", answer->problem->message);
    if (answer->coordinator && !workload->resolving)
        check_coordinator(workload, coordinator_of(process->node), answer->coordinator);
    for (size_t i = 0; i < answer->n_participants; i++)
        check_participant(workload, answer->participants[i]);
}

static void on_saga_outcome(void *self, const Wire__SagaOutcome *outcome)
{
    const struct process *process = self;
    saga_clients_outcome(process->node, outcome);
}

static void on_progress(void *self, const Wire__Progress *progress)
{
    const struct process *process = self;
    journeys_progress(process->node, progress);
}

static void client_start(struct node *node)
{
    struct world *world = node->world;
    struct process *process = xcalloc(1, sizeof(*process));
    process->node = node;
    node->process = process;
    struct client_events events = {.self = process,
                                   .up = on_up,
                                   .down = on_down,
                                   .outcome = on_outcome,
                                   .answer = on_answer,
                                   .saga_outcome = on_saga_outcome,
                                   .progress = on_progress,
                                   .refused = on_refused};
    int coordinator = coordinator_of(node);
    struct link_port link =
        network_connector(world->network, node, coordinator, world->coordinators[coordinator]);
    process->client = client_new(world_chance(world, PPM / 2) ? CLUSTER_NAME : NULL, node->name,
                                 &node->host, &link, &events);
}

static void client_stop(struct node *node)
{
    struct process *process = node->process;
    client_free(process->client);
    free(process);
    lose(node);
}

static uint64_t client_settled(struct node *node)
{
    struct process *process = node->process;
    return client_settle(process->client);
}

static void client_gone(struct node *node)
{
    network_gone(node->world->network, node);
    journeys_gone(node);
}

const struct node_class client_class = {
    .start = client_start, .stop = client_stop, .settle = client_settled, .gone = client_gone};

void clients_frame(struct node *node, const void *frame, size_t size)
{
    struct process *process = node->process;
    client_frame(process->client, frame, size);
}

void clients_broken(struct node *node)
{
    struct process *process = node->process;
    client_broken(process->client);
}

bool clients_connected(const struct node *node)
{
    const struct process *process = node->process;
    return process && client_connected(process->client);
}

struct client *clients_client(const struct node *node)
{
    const struct process *process = node->process;
    return process->client;
}

uint64_t clients_session(const struct node *node)
{
    const struct process *process = node->process;
    return process->session;
}

bool clients_abandoned(const struct node *node)
{
    return cluster_gone(node->world, coordinator_of(node));
}

static void submit(struct node *node, struct transfer *transfer)
{
    struct process *process = node->process;
    Wire__Call calls[TRANSFER_CALLS], *pointers[TRANSFER_CALLS];
    char names[TRANSFER_CALLS][24];
    for (int i = 0; i < transfer->call_count; i++) {
        struct call *call = &transfer->calls[i];
        snprintf(names[i], sizeof(names[i]), call->participant < 0 ? "nobody" : "p%d",
                 call->participant);
        wire__call__init(&calls[i]);
        calls[i].participant = names[i];
        calls[i].operation = (char *)call->operation;
        calls[i].arguments = call->arguments;
        pointers[i] = &calls[i];
    }
    Wire__Submit message = WIRE__SUBMIT__INIT;
    message.request = transfer->number * TRANSFER_ATTEMPTS + (uint64_t)transfer->attempt_count;
    message.protocol =
        transfer->three_phase ? WIRE__PROTOCOL__THREE_PHASE : WIRE__PROTOCOL__TWO_PHASE;
    message.key = transfer->key;
    message.wait = transfer->wait;
    message.timeout_ms = transfer->timeout_ms;
    message.n_calls = (size_t)transfer->call_count;
    message.calls = pointers;
    if (!client_submit(process->client, &message))
        return;
    struct attempt *attempt = &transfer->attempts[transfer->attempt_count++];
    *attempt = (struct attempt){.client = node->index,
                                .boot = node->boot,
                                .session = process->session,
                                .submitted_us = node->world->now_us,
                                .open = true};
    world_note(node->world, message.request, "%s submits transfer %llu.%d %s, %d calls%s",
               node->name, (unsigned long long)transfer->number, transfer->attempt_count - 1,
               transfer->key, transfer->call_count, transfer->three_phase ? ", 3pc" : "");
}

/* A transfer with a key that may be asked for again, with a chance even when its end is known. */
static struct transfer *choose_again(struct node *node)
{
    struct workload *workload = workload_of(node);
    struct world *world = node->world;
    if (workload->transfer_count == 0)
        return NULL;
    for (int i = 0; i < 8; i++) {
        struct transfer *transfer =
            &workload->transfers[world_between(world, 0, (uint64_t)workload->transfer_count - 1)];
        bool may = transfer->key[0] && !transfer->stepwise &&
                   transfer->coordinator == coordinator_of(node) && transfer->attempt_count > 0 &&
                   transfer->attempt_count < TRANSFER_ATTEMPTS;
        if (may && (!transfer->committed[0] || world_chance(world, PPM / 4)))
            return transfer;
    }
    return NULL;
}

static void submit_something(struct node *node)
{
    struct world *world = node->world;
    struct workload *workload = world->workload;
    struct transfer *transfer = world_chance(world, PPM / 4) ? choose_again(node) : NULL;
    if (!transfer && workload->transfer_count < workload->transfer_limit)
        transfer = workload_make(workload, coordinator_of(node));
    if (transfer)
        submit(node, transfer);
}

static void act(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    struct process *process = node->process;
    /* Many at a time are left unfinished by one crash. */
    uint64_t burst = world->workload->besieged ? world_between(world, 1, 6) : 1;
    for (; burst > 0 && client_connected(process->client); burst--)
        if (!saga_clients_act(node) && !journeys_act(node))
            submit_something(node);
}

static void think(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    if (world->healed)
        return;
    if (node_up(node))
        world_deliver(world, 1, node, node->boot, act, node, 0, NULL);
    world_after(world, world_latency(world, world->workload->think_us), think, node, 0, NULL);
}

void workload_begin(struct workload *workload)
{
    struct world *world = workload->world;
    for (int i = 0; i < world->client_count; i++)
        world_after(world, SECOND_US + world_latency(world, SECOND_US), think, world->clients[i], 0,
                    NULL);
}

static void probe(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    struct transfer *transfer =
        workload_make_probe(world->workload, node->index, coordinator_of(node));
    if (transfer)
        submit(node, transfer);
}

void workload_probe(struct workload *workload)
{
    struct world *world = workload->world;
    journeys_probe(world);
    for (int i = 0; i < world->client_count; i++)
        if (!clients_abandoned(world->clients[i]))
            world_deliver(world, 1, world->clients[i], 0, probe, world->clients[i], 0, NULL);
}

static void ask_again(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)data;
    struct transfer *transfer = &world->workload->transfers[number];
    if (transfer->attempt_count < TRANSFER_ATTEMPTS)
        submit(subject, transfer);
}

static bool was_unknown(const struct transfer *transfer)
{
    for (int i = 0; i < transfer->attempt_count; i++)
        if (transfer->attempts[i].result == WIRE__RESULT__UNKNOWN)
            return true;
    return false;
}

void workload_ask_again(struct workload *workload)
{
    struct world *world = workload->world;
    journeys_ask_again(world);
    if (cluster_cleans())
        return; /* there it may be unknown for ever */
    workload->asked_again = true;
    for (int i = 0; i < workload->transfer_count; i++) {
        const struct transfer *transfer = &workload->transfers[i];
        if (cluster_gone(world, transfer->coordinator) || !transfer->key[0] || transfer->stepwise ||
            !was_unknown(transfer))
            continue;
        for (int k = 0; k < world->client_count; k++)
            if (coordinator_of(world->clients[k]) == transfer->coordinator) {
                world_deliver(world, 1, world->clients[k], 0, ask_again, world->clients[k],
                              (uint64_t)i, NULL);
                break;
            }
    }
}

static void inspect(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    struct process *process = node->process;
    Wire__Query query = WIRE__QUERY__INIT;
    query.request = 1;
    query.what = WIRE__WHAT__COORDINATOR;
    bool sent = client_query(process->client, &query);
    query.request = 2;
    query.what = WIRE__WHAT__PARTICIPANTS;
    if (!sent || !client_query(process->client, &query))
        world_complaint(world, "%s can't ask in a healed world", node->name);
}

void workload_inspect(struct workload *workload)
{
    struct world *world = workload->world;
    for (int i = 0; i < world->client_count; i++) {
        if (clients_abandoned(world->clients[i]))
            continue;
        workload->inspections += 2;
        world_deliver(world, 1, world->clients[i], 0, inspect, world->clients[i], 0, NULL);
    }
}

bool workload_answered(const struct workload *workload)
{
    for (int i = 0; i < workload->transfer_count; i++)
        for (int k = 0; k < workload->transfers[i].attempt_count; k++)
            if (workload->transfers[i].attempts[k].open)
                return false;
    return workload->inspections == 0 && journeys_answered(workload->world) &&
           saga_clients_answered(workload->world);
}
