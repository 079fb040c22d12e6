#include "tests/sim/operators.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "core/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/database.h"
#include "tests/sim/network.h"
#include "tests/sim/order_book.h"

enum {
    ERRANDS = 256,
    ACTS = 8,               /* at one place, before one goes to another */
    LIST_REQUEST = 1000000, /* orders have their own numbers */
    LIST_ROWS = 1000,
    PATIENCE_MS = 6000, /* of an errand, with its dialling */
};

enum errand_kind { ERRAND_RESOLVE, ERRAND_LIST_HEURISTIC, ERRAND_LIST_HAZARD };

/* What somebody has to do: at that place, until it was answered. */
struct errand {
    enum errand_kind kind;
    struct order_place place;
    gtrid_text gtrid;
    bool commit;
    bool tried; /* the dry run was answered */
    bool taken, done;
    uint64_t state; /* of all that orders change, before the dry run */
    int tries;
};

struct desk {
    struct world *world;
    struct errand errands[ERRANDS];
    int errand_count;
    bool sober;
    gtrid_text feud; /* what several give orders about at once */
    uint64_t feud_ends_us;
};

struct person {
    struct node *node;
    struct client *client;
    struct order_place place;
    struct errand *errand; /* NULL: slips */
    int acts_left, open;   /* open: the order, or the list, that is waited for; 0: none */
    uint64_t leaves_us;
};

struct desk *desk_new(struct world *world)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    desk->world = world;
    return desk;
}

void desk_free(struct desk *desk)
{
    free(desk);
}

void desk_sober(struct desk *desk)
{
    desk->sober = true;
}

bool desk_empty(const struct desk *desk)
{
    for (int i = 0; i < desk->errand_count; i++)
        if (!desk->errands[i].done)
            return false;
    return true;
}

static struct errand *add(struct desk *desk, enum errand_kind kind, struct order_place place)
{
    CHECK(desk->errand_count < ERRANDS);
    struct errand *errand = &desk->errands[desk->errand_count++];
    *errand = (struct errand){.kind = kind, .place = place};
    return errand;
}

/* ---- what is asked for --------------------------------------------------------------------- */

static int any_coordinator_left(struct world *world)
{
    int start = (int)world_between(world, 0, (uint64_t)world->coordinator_count - 1);
    for (int i = 0; i < world->coordinator_count; i++) {
        int at = (start + i) % world->coordinator_count;
        if (!cluster_gone(world, at))
            return at;
    }
    return -1;
}

/* Its own coordinator if it is there; else another one, or the participant's door. */
static struct order_place place_to_clear(struct world *world, const char *gtrid, int participant)
{
    struct gid id;
    CHECK(gtrid_parse(gtrid, &id));
    for (int i = 0; i < world->coordinator_count; i++)
        if (strcmp(world->coordinators[i]->name, id.coordinator) == 0 && !cluster_gone(world, i))
            return (struct order_place){.index = i};
    int other = any_coordinator_left(world);
    bool several = database_prepared_of_several(world->databases[participant], gtrid) != NULL;
    if (other < 0 || several || world_chance(world, PPM / 2))
        return (struct order_place){.door = true, .index = participant};
    return (struct order_place){.index = other};
}

static bool asked_for(const struct desk *desk, const char *gtrid)
{
    for (int i = 0; i < desk->errand_count; i++)
        if (!desk->errands[i].done && strcmp(desk->errands[i].gtrid, gtrid) == 0)
            return true;
    return false;
}

int desk_clear(struct desk *desk)
{
    struct world *world = desk->world;
    int count = 0;
    if (desk_empty(desk))
        desk->errand_count = 0;
    for (int i = 0; i < world->participant_count; i++) {
        const char *gtrid;
        for (int k = 0; (gtrid = database_prepared_gtrid(world->databases[i], k)); k++) {
            count++;
            if (asked_for(desk, gtrid) || desk->errand_count == ERRANDS)
                continue;
            struct errand *errand = add(desk, ERRAND_RESOLVE, place_to_clear(world, gtrid, i));
            strcpy(errand->gtrid, gtrid);
            errand->commit = world_chance(world, PPM / 2);
            if (order_book_forced_at(world, i, gtrid, !errand->commit))
                errand->commit = !errand->commit; /* as its other branches there */
        }
    }
    return count;
}

static void add_lists(struct desk *desk, struct order_place place)
{
    add(desk, ERRAND_LIST_HEURISTIC, place);
    add(desk, ERRAND_LIST_HAZARD, place);
}

void desk_read_lists(struct desk *desk)
{
    struct world *world = desk->world;
    desk->errand_count = 0;
    for (int i = 0; i < world->coordinator_count; i++)
        if (!cluster_gone(world, i))
            add_lists(desk, (struct order_place){.index = i});
    if (desk->errand_count > 0)
        return;
    for (int i = 0; i < world->participant_count; i++)
        add_lists(desk, (struct order_place){.door = true, .index = i});
}

/* ---- giving orders ------------------------------------------------------------------------- */

/* At a door one of several branches has to be named. */
static const char *name_of(const struct person *person, const struct order *order)
{
    struct world *world = person->node->world;
    const char *gid = NULL;
    if (person->place.door && !order->forget)
        gid = database_prepared_of_several(world->databases[person->place.index], order->gtrid);
    return gid ? gid : order->gtrid;
}

static void give(struct person *person, struct order *order)
{
    struct node *node = person->node;
    struct world *world = node->world;
    char reason[24], participant[16] = "";
    snprintf(reason, sizeof(reason), "order %d", order->number);
    if (order->participant >= 0)
        snprintf(participant, sizeof(participant), "p%d", order->participant);
    Wire__TxOrder wire = WIRE__TX_ORDER__INIT;
    wire.request = (uint64_t)order->number;
    wire.kind = order->forget ? WIRE__TX_ORDER_KIND__FORGET : WIRE__TX_ORDER_KIND__RESOLVE;
    wire.gtrid = (char *)name_of(person, order);
    wire.commit = order->commit;
    wire.reason = reason;
    wire.by = node->name;
    wire.participant = participant;
    wire.dry_run = order->dry_run;
    world_note(world, wire.request, "%s orders at %s%d: %s %s%s %s%s", node->name,
               person->place.door ? "p" : "c", person->place.index,
               order->forget   ? "forget"
               : order->commit ? "commit"
                               : "abort",
               order->gtrid, participant[0] ? " at" : "", participant,
               order->dry_run ? ", dry run" : "");
    if (client_tx_order(person->client, &wire))
        person->open = order->number;
    else
        order_book_lost(world->orders, order->number);
}

static const char *any_transaction(struct desk *desk, char *room, size_t size)
{
    struct world *world = desk->world;
    if (world->now_us < desk->feud_ends_us && world_chance(world, PPM / 2))
        return desk->feud;
    const char *gtrid = NULL;
    uint64_t kind = world_between(world, 0, 19);
    if (kind < 16)
        gtrid = order_book_any(world->orders, kind < 14);
    if (kind == 19)
        snprintf(room, size, "other.c0.17.4");
    else if (kind == 18)
        snprintf(room, size, "%s.c0.%llu.%llu", CLUSTER_NAME,
                 (unsigned long long)world_between(world, 1, 100),
                 (unsigned long long)world_between(world, 1, 100));
    else if (!gtrid && !(gtrid = order_book_any(world->orders, false)))
        snprintf(room, size, "%s.c1.1.1", CLUSTER_NAME);
    if (!gtrid)
        return room;
    if (world_chance(world, PPM / 8)) {
        snprintf(desk->feud, sizeof(desk->feud), "%s", gtrid);
        desk->feud_ends_us = world->now_us + world_between(world, 1, 3000) * MILLISECOND_US;
    }
    return gtrid;
}

static void slip(struct person *person)
{
    struct world *world = person->node->world;
    gtrid_text room;
    struct order *order = order_book_give(world->orders, person->place,
                                          any_transaction(world->desk, room, sizeof(room)));
    if (!order)
        return;
    order->forget = world_chance(world, PPM / 6);
    order->commit = !order->forget && world_chance(world, PPM / 2);
    order->dry_run = world_chance(world, PPM / 6);
    bool own = person->place.door && world_chance(world, PPM * 15 / 16);
    if (own)
        order->participant = person->place.index;
    else if (world_chance(world, PPM / 4))
        order->participant = (int)world_between(world, 0, (uint64_t)world->participant_count - 1);
    give(person, order);
}

static void read_list(struct person *person)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.request = LIST_REQUEST;
    query.what = WIRE__WHAT__TRANSACTIONS;
    query.heuristic = person->errand->kind == ERRAND_LIST_HEURISTIC;
    query.hazard = !query.heuristic;
    query.limit = LIST_ROWS;
    if (client_query(person->client, &query))
        person->open = LIST_REQUEST;
}

static void run_errand(struct person *person)
{
    struct errand *errand = person->errand;
    struct world *world = person->node->world;
    if (errand->kind != ERRAND_RESOLVE) {
        read_list(person);
        return;
    }
    struct order *order = order_book_give(world->orders, errand->place, errand->gtrid);
    if (!order)
        return;
    order->commit = errand->commit;
    order->dry_run = !errand->tried;
    if (errand->place.door)
        order->participant = errand->place.index;
    errand->state = order_book_state(world);
    give(person, order);
}

static void leave(struct person *person)
{
    if (person->open && person->open != LIST_REQUEST)
        order_book_lost(person->node->world->orders, person->open);
    person->open = 0;
    if (person->errand)
        person->errand->taken = false;
    person->errand = NULL;
    person->acts_left = 0;
}

static void act(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    struct person *person = node->process;
    bool idle = client_connected(person->client) && !person->open;
    if (world->now_us >= person->leaves_us || (!person->errand && world->desk->sober)) {
        leave(person);
        return;
    }
    if (person->errand && idle)
        run_errand(person);
    else if (idle && person->acts_left-- > 0)
        slip(person);
    uint64_t most_us = person->errand ? 100 * MILLISECOND_US : SECOND_US;
    world_deliver(world, world_latency(world, most_us), node, node->boot, act, node, 0, NULL);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void list_answered(struct person *person, const Wire__Answer *answer)
{
    struct world *world = person->node->world;
    if (answer->problem)
        world_complaint(world, "a list is refused: %s", answer->problem->message);
    if (answer->more)
        world_complaint(world, "a list has %llu rows more", (unsigned long long)answer->more);
    for (size_t i = 0; i < answer->n_transactions; i++)
        order_book_shown(world->orders, answer->transactions[i]);
    person->errand->done = true;
    leave(person);
}

/* In a world at rest a dry run changes nothing at all. What it says would be done is done then. */
static void errand_answered(struct person *person, const Wire__Answer *answer)
{
    struct errand *errand = person->errand;
    struct world *world = person->node->world;
    if (!errand->tried && errand->state != order_book_state(world))
        world_note(world, 0, "something else has changed meanwhile");
    errand->done = errand->tried || answer->problem;
    errand->tried = true;
    if (errand->done)
        leave(person);
}

static void on_answer(void *self, const Wire__Answer *answer)
{
    struct person *person = self;
    struct node *node = person->node;
    world_note(node->world, answer->request, "%s gets its answer %llu: %s%s%s", node->name,
               (unsigned long long)answer->request, answer->problem ? answer->problem->code : "",
               answer->problem ? ": " : "",
               answer->problem      ? answer->problem->message
               : answer->resolution ? answer->resolution->message
                                    : "a list");
    if (person->open != (int)answer->request) {
        world_violation(node->world, "%s gets an answer that it does not wait for", node->name);
        return;
    }
    person->open = 0;
    if (answer->request == LIST_REQUEST) {
        list_answered(person, answer);
        return;
    }
    order_book_answered(node->world->orders, (int)answer->request, answer);
    if (person->errand)
        errand_answered(person, answer);
}

static void on_down(void *self, const char *reason)
{
    struct person *person = self;
    world_note(person->node->world, 8, "%s lost its session: %s", person->node->name, reason);
    leave(person);
}

/* ---- the process --------------------------------------------------------------------------- */

static struct errand *next_errand(struct desk *desk)
{
    for (int i = 0; i < desk->errand_count; i++)
        if (!desk->errands[i].done && !desk->errands[i].taken)
            return &desk->errands[i];
    return NULL;
}

static struct order_place any_place(struct world *world)
{
    bool door = world_chance(world, PPM / 2);
    int count = door ? world->participant_count : world->coordinator_count;
    return (struct order_place){.door = door,
                                .index = (int)world_between(world, 0, (uint64_t)count - 1)};
}

static void operator_start(struct node *node)
{
    struct world *world = node->world;
    struct person *person = xcalloc(1, sizeof(*person));
    person->node = node;
    person->acts_left = ACTS;
    person->leaves_us = world->now_us + PATIENCE_MS * MILLISECOND_US;
    person->errand = next_errand(world->desk);
    person->place = person->errand ? person->errand->place : any_place(world);
    if (person->errand)
        person->errand->taken = true;
    node->process = person;
    struct node *at = person->place.door ? world->agents[person->place.index]
                                         : world->coordinators[person->place.index];
    struct client_events events = {.self = person, .down = on_down, .answer = on_answer};
    struct link_port link = network_connector(world->network, node, 0, at);
    person->client = client_new(NULL, node->name, &node->host, &link, &events);
    world_deliver(world, world_latency(world, SECOND_US), node, node->boot, act, node, 0, NULL);
}

static void operator_stop(struct node *node)
{
    struct person *person = node->process;
    leave(person);
    client_free(person->client);
    free(person);
}

static uint64_t operator_settle(struct node *node)
{
    struct person *person = node->process;
    return client_settle(person->client);
}

static bool operator_over(struct node *node)
{
    const struct person *person = node->process;
    return person->acts_left <= 0 && !person->open;
}

static void operator_gone(struct node *node)
{
    network_gone(node->world->network, node);
}

const struct node_class operator_class = {.start = operator_start,
                                          .stop = operator_stop,
                                          .settle = operator_settle,
                                          .over = operator_over,
                                          .gone = operator_gone};

void operator_frame(struct node *node, const void *frame, size_t size)
{
    struct person *person = node->process;
    client_frame(person->client, frame, size);
}

void operator_broken(struct node *node)
{
    struct person *person = node->process;
    client_broken(person->client);
}
