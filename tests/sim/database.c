
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/database_private.h"
#include "tests/sim/order_book.h"
#include "tests/sim/own_connection.h"
#include "tests/sim/registers.h"
#include "tests/sim/saga_book.h"
#include "tests/sim/workload.h"

enum { FIRST_XID = 700 };

struct database *database_new(struct world *world, int index, int connections,
                              uint64_t lock_timeout_us)
{
    struct database *database = xcalloc(1, sizeof(*database));
    *database = (struct database){.world = world,
                                  .index = index,
                                  .connections = connections,
                                  .lock_timeout_us = lock_timeout_us,
                                  .up = true};
    for (int i = 0; i < ACCOUNTS; i++)
        database->accounts[i].balance = OPENING_BALANCE;
    list_init(&database->working);
    list_init(&database->prepared);
    list_init(&database->tail);
    list_init(&database->stores);
    list_init(&database->accepts);
    list_init(&database->gone);
    list_init(&database->heuristic_stores);
    register_table_init(&database->registers);
    for (int i = 0; i < BACKENDS; i++)
        database->backends[i].database = database;
    return database;
}

void database_local_free(struct local *local)
{
    list_remove(&local->node);
    free(local->effects);
    free(local);
}

static void free_all(struct list *list)
{
    while (!list_empty(list))
        database_local_free(LOCAL(list->next));
}

void database_free(struct database *database)
{
    free_all(&database->working);
    free_all(&database->prepared);
    free_all(&database->tail);
    backend_stores_free(database);
    backend_accepts_free(database);
    backend_gone_free(database);
    own_connections_free(database);
    backend_heuristics_free(database);
    heuristic_table_fini(&database->heuristics);
    register_table_fini(&database->registers);
    free(database->xids);
    barrier_table_fini(&database->barriers);
    free(database);
}

static uint64_t xid_assign(struct database *database)
{
    if (database->xid_count == database->xid_room) {
        database->xid_room = database->xid_room ? database->xid_room * 2 : 256;
        database->xids = xrealloc(database->xids, database->xid_room);
    }
    database->xids[database->xid_count] = DB_STATUS_IN_PROGRESS;
    return FIRST_XID + database->xid_count++;
}

static void xid_end(struct database *database, uint64_t xid, enum db_status status)
{
    if (xid != 0)
        database->xids[xid - FIRST_XID] = (unsigned char)status;
}

enum db_status database_xid_status(const struct database *database, uint64_t xid)
{
    if (xid < FIRST_XID || xid - FIRST_XID >= database->xid_count)
        return DB_STATUS_UNKNOWN;
    return (enum db_status)database->xids[xid - FIRST_XID];
}

uint64_t database_next_xid(const struct database *database)
{
    return FIRST_XID + database->xid_count;
}

int64_t database_wall_us(const struct database *database)
{
    return INT64_C(1700000000000000) + (int64_t)database->world->now_us;
}

void database_add_foreign(struct database *database, const char *gid)
{
    struct local *local = xcalloc(1, sizeof(*local));
    list_init(&local->node);
    snprintf(local->gid, sizeof(local->gid), "%s", gid);
    local->stage = STAGE_PREPARED;
    local->foreign = true;
    local->xid = xid_assign(database);
    local->failed = -1;
    list_append(&database->prepared, &local->node);
}

/* A call of it that leaves a token; 0: none does. */
static uint64_t token_of(const struct local *local)
{
    for (int i = 0; i < local->effect_count; i++)
        if (local->effects[i].kind == EFFECT_TOKEN && local->effects[i].token)
            return local->effects[i].token;
    return 0;
}

static void tell_begun(const struct database *database, const struct local *local)
{
    uint32_t participants = 0;
    for (int i = 0; i < local->effect_count; i++)
        if (local->effects[i].token)
            participants = workload_participants(database->world, local->effects[i].token);
        else if (local->effects[i].mark[0])
            participants = saga_book_participants(database->world->book, local->effects[i].mark);
    registers_begun(database->world->registers, local->gtrid, participants);
}

static void add_sites(struct database *database, struct local *local, const struct db_work *work)
{
    if (!work->sites)
        return;
    CHECK(work->mode == DB_PREPARE && !local->sites);
    local->three_phase = true;
    local->sites = register_table_list(&database->registers, work->sites);
}

static void add_effects(struct local *local, const struct db_work *work)
{
    int count = local->effect_count + work->statement_count;
    local->effects = xrealloc(local->effects, (size_t)(count + 1) * sizeof(*local->effects));
    local->first = local->effect_count;
    local->effect_count = count;
    for (int i = 0; i < work->statement_count; i++)
        local->effects[local->first + i] = bank_effect(&work->statements[i]);
}

struct local *database_begin(struct backend *backend, const struct db_work *work, void *tag)
{
    struct database *database = backend->database;
    struct local *local = xcalloc(1, sizeof(*local));
    *local = (struct local){.id = ++database->ticket,
                            .backend = backend,
                            .boot = node_boot(backend->node),
                            .tag = tag,
                            .mode = work->mode,
                            .call_count = work->call_count,
                            .timeout_us = work->timeout_us,
                            .failed = -1};
    CHECK(work->call_count <= BRANCH_CALLS);
    list_init(&local->node);
    bool branch = work->mode == DB_PREPARE || work->mode == DB_STEP;
    if (branch)
        snprintf(local->gid, sizeof(local->gid), "%s", work->gid);
    local->keeps_result = work->keeps_result;
    if (work->gtrid) {
        CHECK(strlen(work->gtrid) < sizeof(local->gtrid));
        strcpy(local->gtrid, work->gtrid);
    }
    struct gid gid;
    if (branch && gid_parse(work->gid, &gid))
        gtrid_format(local->gtrid, gid.cluster, gid.coordinator, gid.tx);
    add_sites(database, local, work);
    add_effects(local, work);
    list_append(&database->working, &local->node);
    if (work->mode != DB_READ_ONLY)
        order_book_begun(database->world, database->index, branch ? local->gid : local->gtrid,
                         token_of(local));
    if (local->three_phase)
        tell_begun(database, local);
    return local;
}

/* What wrote nothing is not prepared, and is no site. */
void database_go_on(struct database *database, struct local *local, const struct db_work *work,
                    void *tag)
{
    CHECK(local->stage == STAGE_OPEN && !local->tag);
    local->tag = tag;
    local->owner = NULL;
    local->stage = STAGE_STARTING;
    local->ticket = ++database->ticket;
    local->mode = work->mode;
    local->timeout_us = work->timeout_us;
    local->call_count = work->call_count;
    memset(local->results, 0, sizeof(local->results));
    add_effects(local, work);
    if (work->mode == DB_PREPARE && local->xid == 0)
        local->mode = DB_READ_ONLY;
    else
        add_sites(database, local, work);
    order_book_begun(database->world, database->index, local->gid, token_of(local));
    if (local->three_phase)
        tell_begun(database, local);
}

struct local *database_find_tag(struct backend *backend, const void *tag)
{
    struct database *database = backend->database;
    for (struct list *i = database->working.next; i != &database->working; i = i->next)
        if (LOCAL(i)->tag == tag && LOCAL(i)->backend == backend &&
            LOCAL(i)->boot == node_boot(backend->node))
            return LOCAL(i);
    return NULL;
}

struct local *database_find(struct database *database, uint64_t id)
{
    for (struct list *i = database->working.next; i != &database->working; i = i->next)
        if (LOCAL(i)->id == id)
            return LOCAL(i);
    return NULL;
}

struct local *database_find_prepared(struct database *database, const char *gid)
{
    for (struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
        if (strcmp(LOCAL(i)->gid, gid) == 0)
            return LOCAL(i);
    return NULL;
}

static void move_on(struct world *world, void *subject, uint64_t ticket, void *data);

void database_ticket_after(struct database *database, struct local *local, uint64_t delay_us)
{
    local->ticket = ++database->ticket;
    world_after(database->world, delay_us, move_on, database, local->ticket, NULL);
}

/* Its rows are free again; the first that waits for each goes on. */
static void release(struct database *database, struct local *local)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        if (database->accounts[i].holder != local)
            continue;
        database->accounts[i].holder = NULL;
        for (struct list *k = database->working.next; k != &database->working; k = k->next)
            if (LOCAL(k)->stage == STAGE_WAITING && LOCAL(k)->waits_for == i) {
                LOCAL(k)->stage = STAGE_STARTING;
                database_ticket_after(database, LOCAL(k), 1);
                break;
            }
    }
}

static bool moves_money(const struct effect *effect)
{
    return effect->kind == EFFECT_DEBIT || effect->kind == EFFECT_CREDIT ||
           effect->kind == EFFECT_TAKE;
}

static int64_t change_of(const struct effect *effect)
{
    if (!moves_money(effect))
        return 0;
    return effect->kind == EFFECT_CREDIT ? effect->amount : -effect->amount;
}

static int64_t visible(const struct database *database, const struct local *local, int account)
{
    int64_t balance = database->accounts[account].balance;
    for (int i = 0; i < local->next; i++) {
        const struct effect *effect = &local->effects[i];
        if (effect->done && effect->account == account)
            balance += change_of(effect);
    }
    return balance;
}

static void result_of(struct local *local, const struct effect *effect, int64_t balance)
{
    char *text = local->results[effect->call];
    if (effect->kind == EFFECT_TOKEN)
        snprintf(text, RESULT_BYTES, "{\"token\":%llu}", (unsigned long long)effect->token);
    else if (effect->number)
        snprintf(text, RESULT_BYTES, "{\"n\":%llu}", (unsigned long long)effect->number);
    else
        snprintf(text, RESULT_BYTES, "{\"balance\":%lld}", (long long)balance);
}

static bool writes(const struct effect *effect)
{
    return moves_money(effect) || effect->kind == EFFECT_TOKEN || effect->kind == EFFECT_MARK ||
           effect->kind == EFFECT_UNMARK;
}

/* How many rows a statement finds that changes no account. */
static int64_t find_rows(struct database *database, struct effect *effect, bool exists)
{
    struct saga_book *book = database->world->book;
    switch (effect->kind) {
    case EFFECT_READ:
        return exists;
    case EFFECT_LOOK:
    case EFFECT_MARK:
    case EFFECT_UNMARK:
        effect->number = saga_book_next_number(book);
        return exists;
    case EFFECT_HESITATE:
        return saga_book_ready(book, effect);
    case EFFECT_REFUSE:
        return 0;
    default:
        return 1;
    }
}

/* One statement. False: it waits for a row. */
static bool carry_out(struct database *database, struct local *local, struct effect *effect)
{
    bool exists = effect->account >= 0 && effect->account < ACCOUNTS;
    int64_t rows;
    if (moves_money(effect)) {
        if (exists && database->accounts[effect->account].holder == NULL)
            database->accounts[effect->account].holder = local;
        if (exists && database->accounts[effect->account].holder != local) {
            local->waits_for = effect->account;
            return false;
        }
        rows = exists && (effect->kind != EFFECT_DEBIT ||
                          visible(database, local, effect->account) >= effect->amount);
    } else {
        rows = find_rows(database, effect, exists);
    }
    if (rows == 1 && writes(effect)) {
        effect->done = true;
        if (local->xid == 0)
            local->xid = xid_assign(database);
    }
    if (effect->result && rows == 1)
        result_of(local, effect, exists ? visible(database, local, effect->account) : 0);
    if (effect->expect_rows >= 0 && rows != effect->expect_rows && local->failed < 0)
        local->failed = (int)(effect - local->effects);
    return true;
}

void database_advance(struct database *database, struct local *local)
{
    struct world *world = database->world;
    for (; local->next < local->effect_count; local->next++) {
        struct effect *effect = &local->effects[local->next];
        if (effect->kind == EFFECT_ERROR) {
            local->failed = local->next;
            backend_worked(local, DB_FAILED, "22012", "division by zero");
            database_rollback(database, local);
            return;
        }
        if (!carry_out(database, local, effect)) {
            local->stage = STAGE_WAITING;
            database_ticket_after(database, local, database->lock_timeout_us);
            return;
        }
    }
    local->stage = STAGE_ENDING;
    uint64_t delay_us = 20 + world_latency(world, world->weather.work_max_us);
    if (world_chance(world, world->weather.late_effect))
        delay_us += world_between(world, 50 * MILLISECOND_US, 2 * SECOND_US);
    database_ticket_after(database, local, delay_us);
}

static void tell_oracle(struct database *database, const struct local *local, int change)
{
    for (int i = 0; i < local->effect_count; i++) {
        const struct effect *effect = &local->effects[i];
        if (effect->done && effect->kind == EFFECT_TOKEN)
            workload_applied(database->world, database->index, effect->token, local->gtrid, change,
                             local->failed >= 0);
        if (effect->done && (effect->kind == EFFECT_MARK || effect->kind == EFFECT_UNMARK))
            saga_book_marked(database->world->book, database->index, local->gtrid, effect, change,
                             local->failed >= 0);
    }
}

static void change_rows(struct database *database, const struct local *local, int sign)
{
    for (int i = 0; i < local->effect_count; i++) {
        const struct effect *effect = &local->effects[i];
        if (!effect->done)
            continue;
        database->accounts[effect->account].balance += sign * change_of(effect);
    }
}

/* The commit becomes visible. */
static void apply(struct database *database, struct local *local)
{
    change_rows(database, local, 1);
    xid_end(database, local->xid, DB_STATUS_COMMITTED);
    release(database, local);
    tell_oracle(database, local, 1);
}

void database_rollback(struct database *database, struct local *local)
{
    world_note(database->world, local->xid, "db%d rolls back %s%s", database->index,
               local->mode == DB_PREPARE ? local->gid : local->gtrid,
               local->tag ? "" : " (nobody waits)");
    xid_end(database, local->xid, DB_STATUS_ABORTED);
    release(database, local);
    database_local_free(local);
}

const struct barrier *database_look_up(struct database *database, const char *key, bool fence)
{
    struct barrier_table *barriers = &database->barriers;
    if (fence && !barrier_table_find(barriers, key)) {
        database_flushed(database);
        barrier_table_add(barriers, key, false, NULL, database->world->now_us);
    }
    return barrier_table_find(barriers, key);
}

static void end_prepare(struct database *database, struct local *local)
{
    struct world *world = database->world;
    if (local->xid == 0)
        local->xid = xid_assign(database);
    world_note(world, local->xid, "db%d prepared %s xid %llu%s%s", database->index, local->gid,
               (unsigned long long)local->xid, local->tag ? "" : " (nobody waits)",
               local->failed >= 0 ? " (an expectation failed)" : "");
    database_flushed(database);
    if (local->three_phase)
        registers_prepared(world->registers, database->index, local->gtrid, local->sites);
    local->stage = STAGE_PREPARED;
    local->prepared_at_us = database_wall_us(database);
    list_remove(&local->node);
    list_append(&database->prepared, &local->node);
    bool lost = world_chance(world, world->weather.work_lost);
    backend_worked(local, lost ? DB_LOST : DB_PREPARED, lost ? "08006" : "",
                   lost ? "connection lost" : "");
}

static void end_commit(struct database *database, struct local *local)
{
    struct world *world = database->world;
    if (local->failed >= 0) {
        const char *reason = local->effects[local->failed].otherwise;
        backend_worked(local, DB_FAILED, "", reason);
        database_rollback(database, local);
        return;
    }
    if (local->mode == DB_ONE_PHASE && barrier_table_find(&database->barriers, local->gtrid)) {
        local->duplicate = true;
        backend_worked(local, DB_FAILED, "23505", "duplicate key value in troth.barrier");
        database_rollback(database, local);
        return;
    }
    world_note(world, local->xid, "db%d committed %s%s", database->index, local->gtrid,
               local->tag ? "" : " (nobody waits)");
    if (local->mode == DB_ONE_PHASE) {
        order_book_committed_alone(world, database->index, local->gtrid);
        database_flushed(database);
        barrier_table_add(&database->barriers, local->gtrid, true,
                          local->keeps_result && local->results[0][0] ? local->results[0] : NULL,
                          world->now_us);
        apply(database, local);
    }
    bool lost = world_chance(world, world->weather.work_lost);
    backend_worked(local, lost ? DB_LOST : DB_COMMITTED, lost ? "08006" : "",
                   lost ? "connection lost" : "");
    database_local_free(local);
}

void database_move_on(struct database *database, struct local *local)
{
    if (local->stage == STAGE_STARTING) {
        database_advance(database, local);
    } else if (local->stage == STAGE_WAITING) {
        local->failed = local->next;
        backend_worked(local, DB_FAILED, "55P03", "canceling statement due to lock timeout");
        database_rollback(database, local);
    } else if (local->stage == STAGE_OPEN) {
        backend_open_expired(database, local);
    } else if (local->mode == DB_STEP && local->failed < 0) {
        backend_opened(database, local);
    } else if (local->mode == DB_PREPARE) {
        end_prepare(database, local);
    } else {
        end_commit(database, local);
    }
}

static void move_on(struct world *world, void *subject, uint64_t ticket, void *data)
{
    (void)world, (void)data;
    struct database *database = subject;
    for (struct list *i = database->working.next; i != &database->working; i = i->next)
        if (LOCAL(i)->ticket == ticket) {
            database_move_on(database, LOCAL(i));
            return;
        }
}

void database_finish(struct database *database, struct local *local, bool commit)
{
    world_note(database->world, local->xid, "db%d %s prepared %s", database->index,
               commit ? "commits" : "rolls back", local->gid);
    if (local->foreign) {
        world_violation(database->world, "foreign prepared transaction %s was ended", local->gid);
        return;
    }
    order_book_ended(database->world, database->index, local->gid, commit);
    list_remove(&local->node);
    if (commit) {
        apply(database, local);
    } else {
        xid_end(database, local->xid, DB_STATUS_ABORTED);
        release(database, local);
    }
    local->stage = STAGE_FINISHED;
    local->by_commit = commit;
    local->log = database_log_flush(database);
    list_append(&database->tail, &local->node);
}

void database_take_back(struct database *database, struct local *local)
{
    list_remove(&local->node);
    list_append(&database->prepared, &local->node);
    local->stage = STAGE_PREPARED;
    world_note(database->world, local->xid, "db%d: %s is prepared again", database->index,
               local->gid);
    order_book_taken_back(database->world, database->index, local->gid);
    xid_end(database, local->xid, DB_STATUS_IN_PROGRESS);
    for (int i = 0; i < local->effect_count; i++)
        if (local->effects[i].done && moves_money(&local->effects[i])) {
            struct account *account = &database->accounts[local->effects[i].account];
            CHECK(account->holder == NULL || account->holder == local);
            account->holder = local;
        }
    if (local->by_commit) {
        change_rows(database, local, -1);
        tell_oracle(database, local, -1);
    }
}

/* The oracle can tell whether it was committed: a call of it leaves a token. */
static bool visible_later(const struct local *local)
{
    for (int i = 0; i < local->effect_count; i++)
        if (local->effects[i].done && local->effects[i].kind == EFFECT_TOKEN)
            return true;
    return false;
}

bool database_meddle(struct database *database)
{
    struct local *found = NULL;
    for (struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
        if (visible_later(LOCAL(i)))
            found = LOCAL(i);
    if (!found)
        return false;
    world_note(database->world, 3, "db%d: somebody ends %s by hand", database->index, found->gid);
    for (int i = 0; i < found->effect_count; i++)
        if (found->effects[i].kind == EFFECT_TOKEN)
            workload_meddled(database->world, found->effects[i].token);
    order_book_meddled(database->world, found->gid);
    registers_meddled(database->world->registers, found->gtrid);
    database_finish(database, found, world_chance(database->world, PPM / 2));
    database_flushed(database);
    return true;
}

/* It must end without its coordinator. */
static bool ends_by_itself(const struct database *database, const struct local *local)
{
    return local->three_phase && !registers_lonely(database->world->registers, local->gtrid);
}

/* An operator may end it: it is this coordinator's, or held when no coordinator is given. */
static bool is_operators(const struct database *database, const struct local *local,
                         const char *coordinator)
{
    struct gid gid;
    if (local->foreign || ends_by_itself(database, local))
        return false;
    if (!coordinator)
        return workload_held(database->world->workload, local->gid);
    return gid_parse(local->gid, &gid) && strcmp(gid.coordinator, coordinator) == 0;
}

static void operate(struct database *database, struct local *local)
{
    const struct world *world = database->world;
    bool commit = workload_verdict(world->workload, local->gtrid) ||
                  saga_book_committed(world->book, local->gtrid) ||
                  registers_decision(world->registers, local->gtrid) == REGISTER_COMMIT;
    world->workload->operated = true;
    world_note(database->world, commit, "db%d: an operator ends %s", database->index, local->gid);
    database_finish(database, local, commit);
}

static void operate_all(struct database *database, const char *coordinator)
{
    for (struct list *i = database->prepared.next, *next; i != &database->prepared; i = next) {
        next = i->next;
        if (is_operators(database, LOCAL(i), coordinator))
            operate(database, LOCAL(i));
    }
    database_flushed(database);
}

void database_resolve_held(struct database *database)
{
    operate_all(database, NULL);
}

void database_bury(struct database *database, const char *coordinator)
{
    operate_all(database, coordinator);
}

static bool is_misplaced(const struct database *database, const struct local *local)
{
    const struct own_connection *own = local->foreign ? NULL : local->backend->own;
    return own && own->misplaced && register_table_find(&database->registers, local->gtrid);
}

void database_end_misplaced(struct database *database)
{
    for (struct list *i = database->prepared.next, *next; i != &database->prepared; i = next) {
        next = i->next;
        if (!is_misplaced(database, LOCAL(i)))
            continue;
        order_book_meddled(database->world, LOCAL(i)->gid);
        operate(database, LOCAL(i));
    }
    database_flushed(database);
}

void database_end_three_phase(struct database *database)
{
    for (struct list *i = database->prepared.next, *next; i != &database->prepared; i = next) {
        next = i->next;
        if (LOCAL(i)->three_phase)
            operate(database, LOCAL(i));
    }
    database_flushed(database);
}

void database_fence(struct database *database, const char *key)
{
    for (struct list *i = database->working.next, *next; i != &database->working; i = next) {
        next = i->next;
        if (!LOCAL(i)->tag && strcmp(LOCAL(i)->gtrid, key) == 0)
            database_rollback(database, LOCAL(i));
    }
}

int database_prepared_ours(const struct database *database)
{
    int count = 0;
    for (const struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
        count += !LOCAL(i)->foreign;
    return count;
}

int database_prepared_three_phase(const struct database *database)
{
    int count = 0;
    for (const struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
        count += ends_by_itself(database, LOCAL(i));
    return count;
}

const char *database_prepared_gtrid(const struct database *database, int k)
{
    for (const struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
        if (!LOCAL(i)->foreign && k-- == 0)
            return LOCAL(i)->gtrid;
    return NULL;
}

const char *database_prepared_of_several(const struct database *database, const char *gtrid)
{
    const char *gid = NULL;
    int count = 0;
    for (const struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
        if (strcmp(LOCAL(i)->gtrid, gtrid) == 0) {
            gid = LOCAL(i)->gid;
            count++;
        }
    return count > 1 ? gid : NULL;
}

bool database_has_prepared(const struct database *database, const char *gtrid)
{
    for (const struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
        if (strcmp(LOCAL(i)->gtrid, gtrid) == 0)
            return true;
    return false;
}

bool database_locked(const struct database *database)
{
    for (int i = 0; i < ACCOUNTS; i++)
        if (database->accounts[i].holder)
            return true;
    return !list_empty(&database->working);
}

int64_t database_money(const struct database *database)
{
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++)
        sum += database->accounts[i].balance;
    return sum;
}
