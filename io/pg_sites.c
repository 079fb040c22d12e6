/* Who takes part in a three-phase transaction, kept beside its prepared branch.
 *
 * Each list is a row of troth.sites, and a branch holds a lock on the number of its row, shared, in
 * the transaction that it is. PREPARE TRANSACTION keeps that lock until the branch is ended,
 * through crashes, as part of what it makes durable; a scan reads it back (io/pg_control.c). So a
 * list costs its branch no row and no flush.
 *
 * The rows are few and are inserted once, with the registers' questions: durable before the first
 * branch is prepared with one. The numbers are remembered; the one that was used longest ago is
 * forgotten where there are too many, and asked for again. A row is never deleted: somebody may
 * remember its number. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_private.h"

/* A list whose number is known. */
struct known_sites {
    struct map_node node;
    struct list used; /* on pg->sites_used: the one used last is at its end */
    int id;
    char text[];
};

/* A branch that waits for the number of its list. */
struct sites_ask {
    struct pg_ask ask;
    const struct db_work *work;
    void *tag;
    int id; /* 0: not told */
    int tries;
    bool cancelled;
};

/* ---- what is remembered ---------------------------------------------------------------------- */

static bool same(const struct map_node *node, const void *key)
{
    return strcmp(CONTAINER(node, const struct known_sites, node)->text, key) == 0;
}

static struct known_sites *find(const struct pg *pg, const char *text)
{
    struct map_node *node = map_find(&pg->sites, hash_bytes(text, strlen(text)), same, text);
    return node ? CONTAINER(node, struct known_sites, node) : NULL;
}

static void forget(struct pg *pg, struct known_sites *known)
{
    map_remove(&pg->sites, &known->node);
    list_remove(&known->used);
    free(known);
}

static void remember(struct pg *pg, const char *text, int id)
{
    size_t size = strlen(text) + 1;
    if (find(pg, text))
        return;
    if (pg->sites.count == LIMIT_SITE_LISTS)
        forget(pg, CONTAINER(pg->sites_used.next, struct known_sites, used));
    struct known_sites *known = xmalloc(sizeof(*known) + size);
    known->id = id;
    memcpy(known->text, text, size);
    map_insert(&pg->sites, &known->node, hash_bytes(text, size - 1));
    list_append(&pg->sites_used, &known->used);
}

void pg_sites_forget(struct pg *pg)
{
    while (!list_empty(&pg->sites_used))
        forget(pg, CONTAINER(pg->sites_used.next, struct known_sites, used));
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* One that somebody else is inserting at this moment is waited for, and found by the next try:
 * this statement does not see it yet. The participant is in every question of a batch. */
static const char sites_sql[] =
    "with new as (insert into troth.sites (id, sites) select distinct on (a.sites) a.id, a.sites"
    "   from unnest($3::text[], $4::int[]) a (sites, id) where $1::text is not null"
    "   and not exists (select from troth.sites s where s.sites = a.sites)"
    "   on conflict do nothing returning id, sites)"
    " select a.i, coalesce(s.id, new.id) from unnest($2::int[], $3::text[]) a (i, sites)"
    " left join troth.sites s on s.sites = a.sites left join new on new.sites = a.sites";

enum { TRIES = 3 };

static struct sites_ask *sites_of(const struct pg_ask *ask)
{
    return CONTAINER(ask, struct sites_ask, ask);
}

/* Of the list itself: were the rows deleted, another list would not take its number, which prepared
 * branches and other processes may still hold. Another one for each try, as a list that has the
 * same, one in two thousand million, keeps it. */
static int number_for(const char *text, int tries)
{
    return 1 + (int)((hash_bytes(text, strlen(text)) >> 16 * tries) % INT32_MAX);
}

static int sites_add(struct pg_array columns[PG_BATCH_COLUMNS], const struct pg_ask *ask, int index)
{
    const struct sites_ask *sites = sites_of(ask);
    pg_array_number(&columns[0], index);
    pg_array_text(&columns[1], sites->work->sites);
    pg_array_number(&columns[2], number_for(sites->work->sites, sites->tries));
    return 3;
}

static void sites_row(struct pg_batch *batch, const struct pg_question *question,
                      const PGresult *result, int row)
{
    int index = atoi(PQgetvalue(result, row, 0));
    (void)question;
    CHECK(index >= 0 && index < batch->count);
    sites_of(batch->asks[index])->id = atoi(PQgetvalue(result, row, 1)); /* null is "" */
}

const struct pg_question pg_sites_question = {
    .name = "sites", .sql = sites_sql, .add = sites_add, .row = sites_row};

static void sites_renew(struct pg_ask *ask)
{
    sites_of(ask)->id = 0;
}

static void sites_refuse(struct pg *pg, const struct sites_ask *sites)
{
    const struct pg_ask *ask = &sites->ask;
    if (sites->cancelled)
        pg_work_refuse(pg, sites->tag, "57014", "cancelled", "");
    else if (ask->problem)
        pg_work_refuse(pg, sites->tag, ask->sqlstate, ask->problem, "");
    else if (pg->registers.doubt && pg_batch_ready(&pg->registers))
        pg_work_refuse(pg, sites->tag, "", "the wait for the synchronous standby was cancelled",
                       "");
    else if (sites->tries == TRIES)
        pg_work_refuse(pg, sites->tag, "", "troth.sites does not keep what is inserted", "");
    else
        pg_work_refuse(pg, sites->tag, "", "the database can't be used", pg->trouble);
}

static void answered(struct pg *pg, struct pg_ask *ask, bool known)
{
    struct sites_ask *sites = sites_of(ask);
    if (known && sites->id != 0)
        remember(pg, sites->work->sites, sites->id);
    if (known && sites->id != 0 && !sites->cancelled) {
        pg_work_start(pg, sites->work, sites->id, sites->tag);
    } else if (known && !sites->cancelled && ++sites->tries < TRIES) {
        pg_batch_ask(pg, &pg->registers, ask);
        return;
    } else {
        sites_refuse(pg, sites);
    }
    free(sites);
}

void pg_sites_work(struct pg *pg, const struct db_work *work, void *tag)
{
    struct known_sites *known = find(pg, work->sites);
    if (known) {
        list_remove(&known->used);
        list_append(&pg->sites_used, &known->used);
        pg_work_start(pg, work, known->id, tag);
        return;
    }
    struct sites_ask *sites = xcalloc(1, sizeof(*sites));
    sites->ask.question = &pg_sites_question;
    sites->ask.renew = sites_renew;
    sites->ask.answer = answered;
    sites->work = work;
    sites->tag = tag;
    pg_batch_ask(pg, &pg->registers, &sites->ask);
}

static bool cancel(struct pg_ask *ask, const void *tag)
{
    if (ask->question != &pg_sites_question || sites_of(ask)->tag != tag)
        return false;
    sites_of(ask)->cancelled = true;
    return true;
}

bool pg_sites_cancel(struct pg *pg, const void *tag)
{
    struct pg_batch *batch = &pg->registers;
    for (int i = 0; i < batch->count; i++)
        if (cancel(batch->asks[i], tag))
            return true;
    for (struct list *at = batch->waiting.next; at != &batch->waiting; at = at->next)
        if (cancel(CONTAINER(CONTAINER(at, struct pg_owed, link), struct pg_ask, owed), tag))
            return true;
    return false;
}

/* ---- keeping it ------------------------------------------------------------------------------ */

static const char *const types[] = {"integer"};
static const struct db_statement lock_statement = {
    .name = "sites", .sql = "select " PG_SITES_LOCK("$1"), .parameter_count = 1, .types = types};
static const struct db_statement xid_and_lock_statement = {
    .name = "xid and sites",
    .sql = "select pg_current_xact_id()::text, " PG_SITES_LOCK("$1"),
    .parameter_count = 1,
    .types = types};

void pg_sites_send(struct pg_worker *worker, enum pg_step_kind kind)
{
    char id[12];
    const char *value = id;
    CHECK(worker->sites_id > 0);
    snprintf(id, sizeof(id), "%d", worker->sites_id);
    pg_run_send(worker, kind, kind == STEP_XID ? &xid_and_lock_statement : &lock_statement, -1,
                &value);
}
