#include "tests/sim/order_book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/map.h"
#include "journal.pb-c.h"
#include "participant/agent.h"
#include "tests/sim/cluster.h"
#include "tests/sim/database.h"
#include "tests/sim/order_private.h"
#include "tests/sim/registers.h"
#include "tests/sim/workload.h"

struct order_book *order_book_new(struct world *world)
{
    struct order_book *book = xcalloc(1, sizeof(*book));
    book->world = world;
    return book;
}

void order_book_free(struct order_book *book)
{
    for (size_t i = 0; i < book->affair_count; i++) {
        map_remove(&book->by_gtrid, &book->affairs[i]->node);
        free(book->affairs[i]);
    }
    map_fini(&book->by_gtrid);
    free(book->affairs);
    free(book);
}

/* ---- transactions -------------------------------------------------------------------------- */

static bool has_gtrid(const struct map_node *node, const void *gtrid)
{
    return strcmp(CONTAINER(node, struct affair, node)->gtrid, gtrid) == 0;
}

struct affair *affair_find(const struct order_book *book, const char *gtrid)
{
    struct map_node *node =
        map_find(&book->by_gtrid, hash_bytes(gtrid, strlen(gtrid)), has_gtrid, gtrid);
    return node ? CONTAINER(node, struct affair, node) : NULL;
}

static int coordinator_named(const struct world *world, const char *name)
{
    for (int i = 0; i < world->coordinator_count; i++)
        if (strcmp(world->coordinators[i]->name, name) == 0)
            return i;
    return -1;
}

/* NULL: it is no id of a transaction here. */
static struct affair *find_or_add(struct order_book *book, const char *gtrid)
{
    struct affair *affair = affair_find(book, gtrid);
    struct gid id;
    if (affair || !gtrid_parse(gtrid, &id))
        return affair;
    if (book->affair_count == book->affair_room) {
        book->affair_room = book->affair_room * 2 + 64;
        book->affairs = xrealloc(book->affairs, book->affair_room * sizeof(*book->affairs));
    }
    affair = xcalloc(1, sizeof(*affair));
    strcpy(affair->gtrid, gtrid);
    affair->id = id;
    affair->coordinator = coordinator_named(book->world, id.coordinator);
    map_insert(&book->by_gtrid, &affair->node, hash_bytes(gtrid, strlen(gtrid)));
    return book->affairs[book->affair_count++] = affair;
}

static struct affair *of_gid(struct order_book *book, const char *gid)
{
    struct gid id;
    gtrid_text gtrid;
    if (!gid_parse(gid, &id))
        return find_or_add(book, gid);
    gtrid_format(gtrid, id.cluster, id.coordinator, id.tx);
    return find_or_add(book, gtrid);
}

enum register_value affair_decision(const struct order_book *book, const struct affair *affair)
{
    return affair->committed ? REGISTER_COMMIT
                             : registers_decision(book->world->registers, affair->gtrid);
}

bool affair_forced(const struct affair *affair)
{
    for (int i = 0; i < MAX_PARTICIPANTS; i++)
        if (affair->at[i].forced)
            return true;
    return false;
}

/* ---- orders -------------------------------------------------------------------------------- */

struct order *order_book_give(struct order_book *book, struct order_place place, const char *gtrid)
{
    if (book->order_count == ORDERS_MOST)
        return NULL;
    struct order *order = &book->orders[book->order_count++];
    book->count.given++;
    *order = (struct order){.number = book->order_count,
                            .place = place,
                            .participant = -1,
                            .open = true,
                            .given_us = book->world->now_us};
    snprintf(order->gtrid, sizeof(order->gtrid), "%s", gtrid);
    return order;
}

/* Whose reason this is; NULL: nobody's, which breaks a rule. */
static struct order *order_of(struct order_book *book, const char *reason)
{
    int number = 0;
    if (sscanf(reason, "order %d", &number) != 1 || number < 1 || number > book->order_count) {
        world_violation(book->world, "a heuristic outcome whose reason nobody gave: %s", reason);
        return NULL;
    }
    return &book->orders[number - 1];
}

void order_book_lost(struct order_book *book, int number)
{
    struct order *order = &book->orders[number - 1];
    book->count.lost += order->open;
    order->open = false;
}

const char *order_book_any(const struct order_book *book, bool in_doubt)
{
    struct world *world = book->world;
    if (book->affair_count == 0)
        return NULL;
    for (int tries = 0; tries < (in_doubt ? 64 : 1); tries++) {
        /* Of what is not in doubt mostly the newest. */
        uint64_t back = world_chance(world, PPM / 2) ? world_latency(world, book->affair_count)
                                                     : world_between(world, 1, book->affair_count);
        const struct affair *affair = book->affairs[book->affair_count - back];
        if (!in_doubt)
            return affair->gtrid;
        for (int i = 0; i < world->participant_count; i++)
            if (database_has_prepared(world->databases[i], affair->gtrid))
                return affair->gtrid;
    }
    return NULL;
}

/* ---- what the models see ------------------------------------------------------------------- */

/* Of one phase it has no number. */
static uint32_t bit_of(const char *gid)
{
    struct gid id;
    return gid_parse(gid, &id) && id.branch > 0 && id.branch < 32 ? 1u << id.branch : 1u;
}

void order_book_begun(struct world *world, int participant, const char *gid, uint64_t token)
{
    struct affair *affair = of_gid(world->orders, gid);
    if (!affair)
        return;
    affair->at[participant].writes |= token != 0;
    affair->token = token ? token : affair->token;
}

/* What is left of an order: it was one that changes something, and it was this. */
static void check_left(struct order_book *book, struct order *order, const char *gtrid, bool commit,
                       const char *what)
{
    struct world *world = book->world;
    bool same = strcmp(order->gtrid, gtrid) == 0 && order->commit == commit && !order->forget;
    order->left = true;
    book->changes++;
    if (!same)
        world_violation(world, "order %d was about %s, and left %s of %s", order->number,
                        order->gtrid, what, gtrid);
    if (order->dry_run)
        world_violation(world, "order %d was a dry run, and left %s of %s", order->number, what,
                        gtrid);
    if (order->refused)
        world_violation(world, "order %d was refused, and left %s of %s", order->number, what,
                        gtrid);
}

/* Who is there to judge it has a session with this participant, and keeps what it decides: of what
 * its client has denied it keeps nothing. */
static bool is_judged(const struct node *agent, const struct affair *affair)
{
    return !cluster_forgetful() && !cluster_cleans() && !affair->denied &&
           agent_in_session(agent->process, affair->id.coordinator);
}

void order_book_storing(const struct node *agent, const char *gid, bool commit, const char *reason)
{
    struct world *world = agent->world;
    struct order_book *book = world->orders;
    int participant = agent->index;
    struct affair *affair = of_gid(book, gid);
    struct order *order = order_of(book, reason);
    if (!affair || !order)
        return;
    const struct order_place *place = &order->place;
    check_left(book, order, affair->gtrid, commit, "a row");
    if (order->participant >= 0 && order->participant != participant)
        world_violation(world, "order %d was for p%d, and p%d carries it out", order->number,
                        order->participant, participant);
    if (!place->door && order->participant < 0 && !order->recorded[place->index])
        world_violation(world, "order %d was told to p%d before it was durable at c%d",
                        order->number, participant, place->index);
    bool own = !place->door && place->index == affair->coordinator;
    if (!own && is_judged(agent, affair))
        world_violation(world,
                        "order %d forces %s at p%d, which has a session with its coordinator",
                        order->number, affair->gtrid, participant);
}

void order_book_stored(struct world *world, int participant, const char *gid, bool commit,
                       const char *reason)
{
    struct order_book *book = world->orders;
    struct affair *affair = of_gid(book, gid);
    struct order *order = order_of(book, reason);
    if (!affair || !order)
        return;
    struct part *part = &affair->at[participant];
    check_left(book, order, affair->gtrid, commit, "a row");
    world_note(world, commit, "p%d: %s is forced: %s", participant, gid,
               commit ? "commit" : "abort");
    uint32_t bit = bit_of(gid);
    book->count.branches += !((part->forced_by[0] | part->forced_by[1]) & bit);
    if (!part->forced)
        part->since_us = world->now_us;
    if (part->forced_by[!commit] & bit)
        world_violation(world, "p%d: %s was forced, and now otherwise", participant, gid);
    part->forced = true;
    part->forced_by[commit] |= bit;
    part->forgotten = affair->forgotten = false;
    if (affair->token)
        workload_forced(world, affair->token);
}

void order_book_row_forgotten(struct world *world, int participant, const char *gtrid)
{
    struct affair *affair = affair_find(world->orders, gtrid);
    world->orders->changes++;
    if (affair)
        affair->at[participant].forgotten = true;
}

/* Two phases: a branch is committed when that is decided, durably, and rolled back when it is not;
 * else a row must say so. Of three phases the registers know. */
void order_book_finishing(struct world *world, int participant, const char *gid, bool commit)
{
    const struct affair *affair = of_gid(world->orders, gid);
    if (!affair || affair->meddled ||
        order_book_forced_at(world, participant, affair->gtrid, commit))
        return;
    if ((affair_decision(world->orders, affair) == REGISTER_COMMIT) != commit)
        world_violation(world, "p%d %s %s, which is %s", participant,
                        commit ? "commits" : "rolls back", gid,
                        commit ? "not decided" : "decided: commit");
}

void order_book_ended(struct world *world, int participant, const char *gid, bool commit)
{
    struct affair *affair = of_gid(world->orders, gid);
    if (!affair)
        return;
    struct part *part = &affair->at[participant];
    part->ended_by[commit] |= bit_of(gid);
    world->orders->changes++;
    if (commit && affair->aborted && !(part->forced_by[1] & bit_of(gid)) && !affair->meddled)
        world_violation(world, "p%d commits %s, and an operator was told that it is aborted",
                        participant, gid);
}

void order_book_committed_alone(struct world *world, int participant, const char *gtrid)
{
    struct affair *affair = find_or_add(world->orders, gtrid);
    if (!affair)
        return; /* a step of a saga */
    affair->committed = true;
    order_book_ended(world, participant, gtrid, true);
}

void order_book_denied(struct world *world, const char *gid)
{
    struct affair *affair = of_gid(world->orders, gid);
    if (affair)
        affair->denied = true;
}

void order_book_meddled(struct world *world, const char *gid)
{
    struct affair *affair = of_gid(world->orders, gid);
    if (affair)
        affair->meddled = true;
}

void order_book_taken_back(struct world *world, int participant, const char *gid)
{
    struct affair *affair = of_gid(world->orders, gid);
    if (!affair)
        return;
    affair->at[participant].ended_by[0] &= ~bit_of(gid);
    affair->at[participant].ended_by[1] &= ~bit_of(gid);
    affair->at[participant].again = true;
}

static struct affair *of_record(struct order_book *book, int coordinator, const char *name,
                                uint64_t epoch, uint64_t seq)
{
    gtrid_text gtrid;
    if (!name[0])
        name = book->world->coordinators[coordinator]->name;
    gtrid_format(gtrid, CLUSTER_NAME, name, (struct txid){epoch, seq});
    return find_or_add(book, gtrid);
}

static void heuristic_journaled(struct order_book *book, int coordinator,
                                const Journal__Heuristic *record)
{
    struct affair *affair =
        of_record(book, coordinator, record->coordinator, record->epoch, record->seq);
    struct order *order = order_of(book, record->reason);
    if (!affair || !order)
        return;
    check_left(book, order, affair->gtrid, record->commit, "a record");
    affair->forgotten = false;
    if (record->participant[0])
        return;
    struct outcome *outcome = &affair->ordered[coordinator];
    if (outcome->known && outcome->commit != record->commit)
        world_violation(book->world, "c%d records %s for %s, and has recorded the other",
                        coordinator, record->commit ? "commit" : "abort", affair->gtrid);
    if (!outcome->known)
        *outcome = (struct outcome){true, record->commit, book->world->now_us};
    order->recorded[coordinator] = true;
}

static void forgotten_journaled(struct order_book *book, int coordinator,
                                const Journal__Forgotten *record)
{
    struct affair *affair =
        of_record(book, coordinator, record->coordinator, record->epoch, record->seq);
    const struct order *order = order_of(book, record->reason);
    if (!affair || !order)
        return;
    if (!order->forget || order->dry_run || order->refused)
        world_violation(book->world, "order %d did not forget %s, and is recorded so",
                        order->number, affair->gtrid);
    affair->ordered[coordinator] = (struct outcome){0};
    affair->forgotten = true;
    book->changes++;
}

static void decided_journaled(struct order_book *book, int coordinator, uint64_t epoch,
                              uint64_t seq, bool commit, bool alone)
{
    struct affair *affair = of_record(book, coordinator, "", epoch, seq);
    if (!affair)
        return;
    affair->committed |= commit && alone;
    if (!affair->decided[coordinator].known)
        affair->decided[coordinator] =
            (struct outcome){.known = true, .commit = commit, .since_us = book->world->now_us};
}

static void journaled(struct order_book *book, int coordinator, const Journal__Record *record)
{
    switch (record->body_case) {
    case JOURNAL__RECORD__BODY_COMMITTED:
        decided_journaled(book, coordinator, record->committed->epoch, record->committed->seq, true,
                          true);
        break;
    case JOURNAL__RECORD__BODY_DECIDED:
        decided_journaled(book, coordinator, record->decided->epoch, record->decided->seq,
                          record->decided->commit, false);
        break;
    case JOURNAL__RECORD__BODY_HEURISTIC:
        heuristic_journaled(book, coordinator, record->heuristic);
        break;
    case JOURNAL__RECORD__BODY_FORGOTTEN:
        forgotten_journaled(book, coordinator, record->forgotten);
        break;
    default:
        break;
    }
}

void order_book_journaled(struct world *world, int coordinator, const void *bytes, size_t size)
{
    Journal__Record *record = journal__record__unpack(NULL, size, bytes);
    CHECK(record != NULL);
    journaled(world->orders, coordinator, record);
    journal__record__free_unpacked(record, NULL);
}

void order_book_journal_lost(struct world *world, int coordinator)
{
    struct order_book *book = world->orders;
    for (size_t i = 0; i < book->affair_count; i++) {
        book->affairs[i]->ordered[coordinator] = (struct outcome){0};
        book->affairs[i]->decided[coordinator] = (struct outcome){0};
    }
}

/* ---- what others ask ----------------------------------------------------------------------- */

bool order_book_forced(const struct world *world, const char *gtrid)
{
    const struct affair *affair = affair_find(world->orders, gtrid);
    return affair && affair_forced(affair);
}

bool order_book_forced_at(const struct world *world, int participant, const char *gtrid,
                          bool commit)
{
    const struct affair *affair = affair_find(world->orders, gtrid);
    const struct part *part = affair ? &affair->at[participant] : NULL;
    return part && part->forced_by[commit] != 0;
}

bool order_book_forgotten(const struct world *world, const char *gtrid)
{
    const struct affair *affair = affair_find(world->orders, gtrid);
    return affair && affair->forgotten;
}

bool order_book_forced_any(const struct world *world)
{
    return world->orders->count.branches > 0;
}

uint64_t order_book_state(const struct world *world)
{
    return world->orders->changes;
}

struct order_count order_book_count(const struct world *world)
{
    return world->orders->count;
}
