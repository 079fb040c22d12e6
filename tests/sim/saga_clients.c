#include "tests/sim/saga_clients.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "core/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/node.h"
#include "tests/sim/saga_faults.h"
#include "tests/sim/workload.h"

enum { STARTS = 64, ATTEMPTS = 6, ORDERS = 256, ABSENT = 0, BROKEN = -1 };

/* One asking for it. */
struct asking {
    int client;
    uint64_t boot, session;
    bool open; /* an answer may come */
};

struct start {
    int64_t ref;
    int coordinator, family;
    char key[24];
    char input[512];
    struct saga_facts facts;
    bool bad;   /* no coordinator may begin it */
    bool never; /* without a key, and told that it was not begun */
    bool must_end;
    struct asking askings[ATTEMPTS];
    int asking_count;
    gtrid_text id;          /* as the client was told */
    Wire__SagaResult ended; /* as it was told */
};

struct order {
    struct asking asking;
    Wire__Order order; /* NONE: a query */
    gtrid_text id;
};

struct saga_clients {
    struct world *world;
    struct rng rng;
    bool active;
    uint32_t sagas_ppm;                          /* how often a client thinks of sagas */
    uint32_t families;                           /* a bit each */
    int folder[MAX_COORDINATORS][POOL_FAMILIES]; /* versions */
    struct start starts[STARTS];
    int start_count, start_limit;
    struct order orders[ORDERS];
    int order_count;
    int told, rejected;
    struct saga_faults faults;
};

static struct saga_clients *of(const struct world *world)
{
    return world->saga_clients;
}

static bool chance(struct saga_clients *clients, int percent)
{
    return rng_below(&clients->rng, 100) < (uint64_t)percent;
}

static int between(struct saga_clients *clients, int low, int high)
{
    return (int)rng_between(&clients->rng, (uint64_t)low, (uint64_t)high);
}

/* ---- which sagas ---- */

static void draw_families(struct saga_clients *clients)
{
    const struct world *world = clients->world;
    bool three_phase = world->protocols != PROTOCOLS_TWO_PHASE && !cluster_deaf();
    for (int i = between(clients, 2, 4); i > 0; i--) {
        int family = between(clients, 0, POOL_FAMILIES - 1);
        if (saga_pool_fits(family, world->participant_count, three_phase))
            clients->families |= saga_pool_needs(family);
    }
    clients->families |= saga_pool_needs(0);
}

/* A third of the worlds has transfers only, a third mostly sagas. */
static void draw_workload(struct saga_clients *clients)
{
    static const enum workloads drawn[] = {WORKLOADS_TRANSFERS, WORKLOADS_SAGAS, WORKLOADS_MIXED};
    struct world *world = clients->world;
    enum workloads workloads = drawn[between(clients, 0, 2)];
    if (world->workloads == WORKLOADS_ANY)
        world->workloads = workloads;
    clients->active &= world->workloads == WORKLOADS_SAGAS || world->workloads == WORKLOADS_MIXED;
    clients->sagas_ppm = world->workloads == WORKLOADS_SAGAS ? PPM * 17 / 20 : PPM * 7 / 20;
}

struct saga_clients *saga_clients_new(struct world *world, bool possible)
{
    struct saga_clients *clients = xcalloc(1, sizeof(*clients));
    *clients = (struct saga_clients){
        .world = world, .rng = {world->seed * 2 + 0x5a6a5a6a5a6au}, .active = possible};
    draw_workload(clients);
    if (!clients->active)
        return clients;
    clients->start_limit = between(clients, 4, 16);
    draw_families(clients);
    for (int i = 0; i < world->coordinator_count; i++)
        for (int family = 0; family < POOL_FAMILIES; family++)
            if (clients->families & 1u << family)
                clients->folder[i][family] = chance(clients, 90) ? 1 : ABSENT;
    return clients;
}

bool saga_clients_none(const struct world *world)
{
    return !of(world)->active;
}

void saga_clients_free(struct saga_clients *clients)
{
    free(clients);
}

/* ---- definitions ---- */

void saga_clients_define(struct node *node)
{
    struct saga_clients *clients = of(node->world);
    struct server_definition definitions[POOL_FAMILIES];
    char broken[POOL_FAMILIES][64], files[POOL_FAMILIES][24];
    int count = 0, wrong = 0;
    if (!clients->active)
        return;
    for (int family = 0; family < POOL_FAMILIES; family++) {
        int version = clients->folder[node->index][family];
        if (version == ABSENT)
            continue;
        snprintf(files[count], sizeof(files[count]), "f%d.yaml", family);
        if (version == BROKEN) {
            snprintf(broken[count], sizeof(broken[count]), "saga: f%d\nversion: 9\nsteps: []\n",
                     family);
            definitions[count] =
                (struct server_definition){files[count], broken[count], strlen(broken[count])};
            wrong++;
        } else {
            const struct pool_entry *entry = saga_pool_get(family, version);
            definitions[count] = (struct server_definition){files[count], entry->text, entry->size};
        }
        count++;
    }
    int refused = server_define(node->process, definitions, count);
    if (refused != wrong)
        world_violation(node->world, "%s refuses %d definitions, and %d are wrong", node->name,
                        refused, wrong);
}

static void read_folder(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number, (void)data;
    saga_clients_define(subject);
}

/* A new version, one that is taken away or comes back, or a mistake that is saved. */
static void change_folder(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct saga_clients *clients = subject;
    if (world->healed)
        return;
    int coordinator = between(clients, 0, world->coordinator_count - 1);
    int family = between(clients, 0, POOL_FAMILIES - 1);
    int *version = &clients->folder[coordinator][family];
    int kind = between(clients, 0, 9);
    if (clients->families & 1u << family) {
        *version = kind < 5 ? 2 : kind < 7 ? 1 : kind == 7 ? ABSENT : kind == 8 ? BROKEN : 2;
        struct node *node = world->coordinators[coordinator];
        world_note(world, (uint64_t)kind, "f%d is now version %d at %s", family, *version,
                   node->name);
        if (node_up(node))
            world_deliver(world, 1, node, node->boot, read_folder, node, 0, NULL);
    }
    world_after(world, 1 + rng_below(&clients->rng, 2 * SECOND_US), change_folder, clients, 0,
                NULL);
}

void saga_clients_begin(struct world *world)
{
    struct saga_clients *clients = of(world);
    if (!clients->active)
        return;
    world_after(world, SECOND_US, change_folder, clients, 0, NULL);
    if (!world->workload->calm)
        saga_faults_begin(&clients->faults, world);
}

void saga_clients_heal(struct world *world)
{
    struct saga_clients *clients = of(world);
    for (int i = 0; i < world->coordinator_count && clients->active; i++) {
        struct node *node = world->coordinators[i];
        for (int family = 0; family < POOL_FAMILIES; family++)
            if (clients->families & 1u << family)
                clients->folder[i][family] = 2;
        /* What waits for a time by a clock that was set back waits no longer. */
        node->wall_skew_us = node->wall_peak_us;
        if (node_up(node))
            world_deliver(world, 1, node, node->boot, read_folder, node, 0, NULL);
    }
}

/* ---- starting ---- */

static int coordinator_of(const struct node *node)
{
    return node->index % node->world->coordinator_count;
}

static int any_family(struct saga_clients *clients)
{
    for (;;) {
        int family = between(clients, 0, POOL_FAMILIES - 1);
        if (clients->families & 1u << family)
            return family;
    }
}

static int write_item(struct saga_clients *clients, struct saga_item *item, char *text, size_t room)
{
    *item = (struct saga_item){between(clients, 1, 15), chance(clients, 60)};
    return snprintf(text, room, "\"amount\":%d,\"flag\":%s", (int)item->amount,
                    item->flag ? "true" : "false");
}

static void write_list(struct saga_clients *clients, struct saga_facts *facts, char *text,
                       size_t room)
{
    size_t at = (size_t)snprintf(text, room, ",\"list\":[");
    facts->count = between(clients, 0, 3);
    for (int i = 0; i < facts->count; i++) {
        at += (size_t)snprintf(text + at, room - at, "%s{", i ? "," : "");
        at += (size_t)write_item(clients, &facts->items[i], text + at, room - at);
        at += (size_t)snprintf(text + at, room - at, ",\"list\":[");
        facts->counts[i] = between(clients, 0, 2);
        for (int k = 0; k < facts->counts[i]; k++) {
            at += (size_t)snprintf(text + at, room - at, "%s{\"at\":\"[%d][%d]\",", k ? "," : "", i,
                                   k);
            at += (size_t)write_item(clients, &facts->inner[i][k], text + at, room - at);
            at += (size_t)snprintf(text + at, room - at, "}");
        }
        at += (size_t)snprintf(text + at, room - at, "]}");
    }
    CHECK(at + 1 < room);
    strcpy(text + at, "]");
}

static void give_input(struct saga_clients *clients, struct start *start)
{
    struct saga_facts *facts = &start->facts;
    char list[sizeof(start->input) - 80] = "";
    *facts = (struct saga_facts){0};
    facts->amount = chance(clients, 8) ? 100000 : between(clients, 1, 40);
    facts->ref = start->ref;
    facts->flag = chance(clients, 60);
    if (chance(clients, 80))
        write_list(clients, facts, list, sizeof(list));
    snprintf(start->input, sizeof(start->input), "{\"amount\":%" PRId64 "%s%s,\"ref\":%" PRId64 "}",
             facts->amount, facts->flag ? ",\"flag\":true" : "", list, facts->ref);
}

static void spoil(struct saga_clients *clients, struct start *start)
{
    static const char *const inputs[] = {"{}", "{\"amount\":\"much\"}", "{\"amount\":1,\"x\":2}",
                                         "{\"amount\":", "[1]"};
    start->bad = true;
    start->facts = (struct saga_facts){0};
    if (chance(clients, 30))
        start->family = 99;
    else
        strcpy(start->input, inputs[between(clients, 0, 4)]);
}

static void give_key(struct saga_clients *clients, struct start *start)
{
    snprintf(start->key, sizeof(start->key), "saga-%" PRId64, start->ref);
    const struct start *other = &clients->starts[between(clients, 0, clients->start_count - 1)];
    /* Another saga with the same key: it is refused, or that was. */
    if (other != start && other->key[0] && chance(clients, 15))
        memcpy(start->key, other->key, sizeof(start->key));
}

static struct start *make_start(struct saga_clients *clients, int coordinator)
{
    if (clients->start_count == STARTS)
        return NULL;
    struct start *start = &clients->starts[clients->start_count++];
    *start = (struct start){.ref = clients->start_count, .coordinator = coordinator};
    start->family = any_family(clients);
    give_input(clients, start);
    if (chance(clients, 6))
        spoil(clients, start);
    if (chance(clients, 55))
        give_key(clients, start);
    return start;
}

static struct asking asking_of(struct node *node)
{
    return (struct asking){
        .client = node->index, .boot = node->boot, .session = clients_session(node), .open = true};
}

static void ask(struct node *node, struct start *start)
{
    struct saga_clients *clients = of(node->world);
    char name[8];
    snprintf(name, sizeof(name), "f%d", start->family);
    Wire__StartSaga message = WIRE__START_SAGA__INIT;
    message.request = (uint64_t)start->ref * ATTEMPTS + (uint64_t)start->asking_count;
    message.name = name;
    message.input = start->input;
    message.key = start->key;
    message.wait = start->must_end || chance(clients, 60);
    if (message.wait && !start->must_end && chance(clients, 25))
        message.timeout_ms = (uint32_t)between(clients, 50, 3000);
    if (start->asking_count == ATTEMPTS || !client_start_saga(clients_client(node), &message))
        return;
    start->askings[start->asking_count++] = asking_of(node);
    world_note(node->world, message.request, "%s starts saga %" PRId64 ".%d, f%d %s %s%s",
               node->name, start->ref, start->asking_count - 1, start->family, start->key,
               start->input, message.wait ? ", and waits" : "");
}

static bool start_again(struct node *node)
{
    struct saga_clients *clients = of(node->world);
    for (int i = 0; i < 6 && clients->start_count; i++) {
        struct start *start = &clients->starts[between(clients, 0, clients->start_count - 1)];
        if (start->key[0] && start->coordinator == coordinator_of(node)) {
            ask(node, start);
            return true;
        }
    }
    return false;
}

/* ---- signals, orders, questions ---- */

/* A saga of this coordinator, with a signal if that is wanted. */
static const struct saga_entry *any_saga(struct node *node, bool signal, int *name)
{
    struct saga_clients *clients = of(node->world);
    struct saga_book *book = node->world->book;
    for (int i = 0; i < 8 && saga_book_count(book); i++) {
        const struct saga_entry *entry =
            saga_book_at(book, between(clients, 0, saga_book_count(book) - 1));
        const struct saga_tree *tree = &entry->definition->tree;
        bool over = entry->completed || entry->compensated;
        if (entry->coordinator != coordinator_of(node) || (over && signal && i < 6))
            continue;
        if (!signal)
            return entry;
        int at = between(clients, 0, tree->node_count - 1);
        for (int k = 0; k < tree->node_count; k++, at = (at + 1) % tree->node_count)
            if (tree->nodes[at].type == TREE_SIGNAL) {
                *name = tree->nodes[at].signal;
                return entry;
            }
    }
    return NULL;
}

static uint64_t keep_order(struct node *node, Wire__Order order, const char *id)
{
    struct saga_clients *clients = of(node->world);
    struct order *kept = &clients->orders[clients->order_count];
    *kept = (struct order){.asking = asking_of(node), .order = order};
    snprintf(kept->id, sizeof(kept->id), "%s", id);
    return SAGA_REQUESTS + (uint64_t)clients->order_count++;
}

static void give_order(struct node *node, Wire__Order order)
{
    struct saga_clients *clients = of(node->world);
    int signal = 0;
    const struct saga_entry *entry = any_saga(node, order == WIRE__ORDER__ORDER_SIGNAL, &signal);
    char name[8], value[24] = "";
    if (!entry || clients->order_count == ORDERS)
        return;
    snprintf(name, sizeof(name), "go%d", signal);
    if (chance(clients, 85))
        snprintf(value, sizeof(value), "{\"n\":%d}", between(clients, 1000, 9000));
    Wire__SagaOrder message = WIRE__SAGA_ORDER__INIT;
    message.request = keep_order(node, order, entry->id);
    message.saga = (char *)entry->id;
    message.order = order;
    if (order == WIRE__ORDER__ORDER_SIGNAL) {
        message.signal = name;
        message.value = value;
    }
    if (order == WIRE__ORDER__ORDER_COMPENSATE)
        message.reason = (char *)"nobody wants it any more";
    if (!client_order(clients_client(node), &message)) {
        clients->order_count--;
        return;
    }
    world_note(node->world, message.request, "%s orders %d of %s %s", node->name, (int)order,
               entry->id, value);
}

static void question(struct node *node)
{
    struct saga_clients *clients = of(node->world);
    const struct saga_entry *entry = any_saga(node, false, NULL);
    if (!entry || clients->order_count == ORDERS)
        return;
    Wire__Query query = WIRE__QUERY__INIT;
    query.request = keep_order(node, WIRE__ORDER__ORDER_NONE, entry->id);
    query.what = chance(clients, 60) ? WIRE__WHAT__SAGA : WIRE__WHAT__SAGAS;
    query.saga = query.what == WIRE__WHAT__SAGA ? (char *)entry->id : (char *)"";
    query.needs_operator = query.what == WIRE__WHAT__SAGAS && chance(clients, 40);
    query.children = chance(clients, 50);
    if (!client_query(clients_client(node), &query))
        clients->order_count--;
}

bool saga_clients_act(struct node *node)
{
    struct saga_clients *clients = of(node->world);
    if (!clients->active || !rng_chance(&clients->rng, clients->sagas_ppm))
        return false;
    int kind = between(clients, 0, 99);
    if (kind < 50 && clients->start_count < clients->start_limit) {
        struct start *start = make_start(clients, coordinator_of(node));
        if (start)
            ask(node, start);
    } else if (kind < 62) {
        start_again(node);
    } else if (kind < 82) {
        give_order(node, WIRE__ORDER__ORDER_SIGNAL);
    } else if (kind < 88) {
        give_order(node, WIRE__ORDER__ORDER_RETRY);
    } else if (kind < 92) {
        give_order(node, WIRE__ORDER__ORDER_COMPENSATE);
    } else {
        question(node);
    }
    return true;
}

static void probe(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    struct saga_clients *clients = of(world);
    struct start *start = make_start(clients, coordinator_of(node));
    if (!start)
        return;
    give_input(clients, start);
    start->family = start->bad ? 0 : start->family;
    start->bad = false;
    snprintf(start->key, sizeof(start->key), "probe-%d", node->index);
    start->must_end = true;
    ask(node, start);
}

void saga_clients_probe(struct world *world)
{
    for (int i = 0; i < world->client_count && of(world)->active; i++)
        if (!clients_abandoned(world->clients[i]))
            world_deliver(world, 1, world->clients[i], 0, probe, world->clients[i], 0, NULL);
}

/* ---- answers ---- */

void saga_clients_lose(struct node *node)
{
    struct saga_clients *clients = of(node->world);
    for (int i = 0; i < clients->start_count; i++)
        for (int k = 0; k < clients->starts[i].asking_count; k++)
            if (clients->starts[i].askings[k].client == node->index)
                clients->starts[i].askings[k].open = false;
    for (int i = 0; i < clients->order_count; i++)
        if (clients->orders[i].asking.client == node->index)
            clients->orders[i].asking.open = false;
}

/* Closes it. False: nobody waits for that. */
static bool answered(struct node *node, struct asking *asking)
{
    bool waits = asking->open && asking->client == node->index && asking->boot == node->boot &&
                 asking->session == clients_session(node);
    if (!waits)
        world_violation(node->world, "%s gets an answer about sagas that nobody waits for",
                        node->name);
    asking->open = false;
    return waits;
}

/* The output that the definition makes of what its steps gave. */
static void check_output(struct world *world, const struct saga_entry *entry,
                         const Wire__SagaOutcome *outcome)
{
    static const uint32_t no_items[TREE_LOOPS];
    int from = entry->definition->tree.output_from;
    int64_t number, expected = 0;
    if (outcome->output_dropped)
        return;
    if (!saga_number_read(outcome->output, &number) ||
        (from != TREE_NONE && !saga_value(entry, from, no_items, &expected)))
        return;
    if (number != expected)
        world_violation(world, "saga %s: its output is %s, and should be %" PRId64, entry->id,
                        outcome->output, expected);
}

static void told_of(struct world *world, struct start *start, const Wire__SagaOutcome *outcome)
{
    const struct saga_entry *entry = saga_book_find(world->book, outcome->saga);
    of(world)->told++;
    if (!entry) {
        world_violation(world, "start %" PRId64 ": told of saga %s, which has not durably begun",
                        start->ref, outcome->saga);
        return;
    }
    if (start->bad)
        world_violation(world, "start %" PRId64 " began, and can't", start->ref);
    if (start->id[0] && strcmp(start->id, outcome->saga) != 0)
        world_violation(world, "start %" PRId64 ": told of saga %s, and of %s before", start->ref,
                        outcome->saga, start->id);
    if (strcmp(entry->key, start->key) != 0 || entry->coordinator != start->coordinator ||
        entry->definition->tree.family != start->family ||
        !saga_facts_equal(&entry->facts, &start->facts))
        world_violation(world, "start %" PRId64 ": told of saga %s, which is another one",
                        start->ref, outcome->saga);
    memcpy(start->id, entry->id, sizeof(start->id));
    if (outcome->result == WIRE__SAGA_RESULT__SAGA_STARTED)
        return;
    bool completed = outcome->result == WIRE__SAGA_RESULT__SAGA_COMPLETED;
    if (completed ? !entry->completed : !entry->compensated)
        world_violation(world, "saga %s is told %s, and is not", entry->id,
                        completed ? "completed" : "compensated");
    if (start->ended && start->ended != outcome->result)
        world_violation(world, "saga %s is told completed, and compensated", entry->id);
    start->ended = outcome->result;
    if (completed)
        check_output(world, entry, outcome);
    else if (!outcome->problem || !outcome->problem->message[0])
        world_complaint(world, "saga %s is told compensated, without a word why", entry->id);
}

static void told_rejected(struct world *world, struct start *start,
                          const Wire__SagaOutcome *outcome)
{
    static const char *const passing[] = {"busy", "draining", "unknown_saga", "key_conflict"};
    const char *code = outcome->problem ? outcome->problem->code : "";
    bool known = start->bad;
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        known |= strcmp(code, passing[i]) == 0;
    of(world)->rejected++;
    if (!known || !outcome->problem || !outcome->problem->message[0])
        world_violation(world, "start %" PRId64 " is refused, and should not be: %s %s", start->ref,
                        code, outcome->problem ? outcome->problem->message : "");
    start->never |= !start->key[0];
    if (start->must_end)
        world_complaint(world, "start %" PRId64 " is refused in a healed world: %s", start->ref,
                        outcome->problem ? outcome->problem->message : "");
}

void saga_clients_outcome(struct node *node, const Wire__SagaOutcome *outcome)
{
    struct saga_clients *clients = of(node->world);
    int64_t ref = (int64_t)(outcome->request / ATTEMPTS);
    CHECK(ref >= 1 && ref <= clients->start_count);
    struct start *start = &clients->starts[ref - 1];
    world_note(
        node->world, outcome->request, "%s hears saga %" PRId64 ": %s %s %s%s%s", node->name, ref,
        protobuf_c_enum_descriptor_get_value(&wire__saga_result__descriptor, outcome->result)->name,
        outcome->saga, outcome->output, outcome->problem ? ": " : "",
        outcome->problem ? outcome->problem->message : "");
    if (!answered(node, &start->askings[outcome->request % ATTEMPTS]))
        return;
    if (outcome->result == WIRE__SAGA_RESULT__SAGA_REJECTED)
        told_rejected(node->world, start, outcome);
    else
        told_of(node->world, start, outcome);
}

static void check_view(struct world *world, const Wire__SagaView *view)
{
    const struct saga_entry *entry = saga_book_find(world->book, view->id);
    if (!entry) {
        world_violation(world, "saga %s is shown, and has not durably begun", view->id);
        return;
    }
    if (strcmp(view->state, "completed") == 0 && !entry->completed)
        world_violation(world, "saga %s is shown as completed, and is not", entry->id);
    if (strcmp(view->state, "compensated") == 0 && !entry->compensated)
        world_violation(world, "saga %s is shown as compensated, and is not", entry->id);
    if (view->version != entry->definition->tree.version)
        world_violation(world, "saga %s is shown with version %lld, and began with %d", entry->id,
                        (long long)view->version, entry->definition->tree.version);
}

void saga_clients_answer(struct node *node, const Wire__Answer *answer)
{
    struct world *world = node->world;
    struct saga_clients *clients = of(world);
    uint64_t number = answer->request - SAGA_REQUESTS;
    CHECK(number < (uint64_t)clients->order_count);
    struct order *order = &clients->orders[number];
    world_note(world, answer->request, "%s gets its answer about %s: %s %s", node->name, order->id,
               answer->problem ? answer->problem->code : "done",
               answer->problem ? answer->problem->message : "");
    if (!answered(node, &order->asking))
        return;
    struct saga_entry *entry = saga_book_find(world->book, order->id);
    for (size_t i = 0; i < answer->n_sagas; i++)
        check_view(world, answer->sagas[i]);
    bool unknown = answer->problem && strcmp(answer->problem->code, "unknown_saga") == 0;
    if (unknown && entry->state == 0)
        world_violation(world, "saga %s is lost: %s", entry->id, answer->problem->message);
    if (order->order != WIRE__ORDER__ORDER_COMPENSATE || answer->problem)
        return;
    if (!entry->failed)
        world_violation(world, "saga %s is said to be compensated, and has not durably failed",
                        entry->id);
    entry->ordered_to_compensate = true;
}

bool saga_clients_answered(const struct world *world)
{
    const struct saga_clients *clients = of(world);
    for (int i = 0; i < clients->start_count; i++)
        for (int k = 0; k < clients->starts[i].asking_count; k++)
            if (clients->starts[i].askings[k].open)
                return false;
    for (int i = 0; i < clients->order_count; i++)
        if (clients->orders[i].asking.open)
            return false;
    return true;
}

/* ---- at the end ---- */

/* Every saga was asked for, as it began. */
static void check_asked(struct world *world, const struct saga_entry *entry)
{
    const struct saga_clients *clients = of(world);
    int64_t ref = entry->facts.ref;
    const struct start *start =
        ref >= 1 && ref <= clients->start_count ? &clients->starts[ref - 1] : NULL;
    if (!start || start->bad || start->never || strcmp(start->key, entry->key) != 0 ||
        start->family != entry->definition->tree.family ||
        !saga_facts_equal(&start->facts, &entry->facts))
        world_violation(world, "saga %s began, and nobody started it so", entry->id);
}

void saga_clients_check(struct world *world)
{
    struct saga_clients *clients = of(world);
    saga_book_check(world->book, world);
    for (int i = 0; i < saga_book_count(world->book); i++)
        if (saga_book_at(world->book, i)->parent < 0)
            check_asked(world, saga_book_at(world->book, i));
    for (int i = 0; i < clients->start_count; i++) {
        const struct start *start = &clients->starts[i];
        if (start->must_end && start->asking_count && !start->ended)
            world_complaint(world, "start %" PRId64 ": no end in a healed world", start->ref);
    }
}

struct saga_count saga_clients_count(const struct world *world)
{
    struct saga_count count = {.told = of(world)->told, .rejected = of(world)->rejected};
    for (int i = 0; i < saga_book_count(world->book); i++) {
        const struct saga_entry *entry = saga_book_at(world->book, i);
        count.begun++;
        count.completed += entry->completed && !entry->compensated;
        count.compensated += entry->compensated;
        for (int k = 0; k < entry->mark_count; k++) {
            count.marks += entry->marks[k].done;
            count.undone += entry->marks[k].undone;
        }
    }
    return count;
}
