/* The register of three-phase transactions, over a connection of its own.
 *
 * All that was asked since the last batch goes as the next: one pipeline with one Sync, which is
 * one transaction and one flush, of at most one statement for each kind of question. An answer is
 * given when the Sync has come back, so it is about what is durable.
 *
 * A statement that fails takes its whole batch with it, and nothing of that is stored: then each of
 * them goes again in a batch of its own, so that one that can't be stored harms no other. When the
 * connection is lost, nobody knows; and a backend that nobody hears may still store what it was
 * given. Being compare-and-set, that comes too late for whatever was stored since. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "io/pg_array.h"
#include "io/pg_private.h"

/* In the order of a batch. */
enum question { INSERT, UPDATE, LOAD, QUESTIONS };

struct pg_register_ask {
    struct pg_owed owed; /* on waiting; on no list in a batch */
    enum question question;
    bool alone; /* a batch with it has failed */
    void *tag;
    char *gtrid;
    char *sites; /* INSERT: to be stored; LOAD: found */
    int64_t begun_us;
    struct register_state before, state;
    enum db_stored stored;
    enum db_found found;
};

/* ---- SQL ------------------------------------------------------------------------------------- */

#define STATE_COLUMNS "promised_round, promised_site, accepted_round, accepted_site, value"
/* s is the block of a transaction that was settled. */
#define IS_SETTLED                                                                                 \
    "s.cluster = a.cluster and s.coordinator = a.coordinator and s.epoch = a.epoch"                \
    " and s.block = a.seq / 4096 and get_bit(s.bits, (a.seq % 4096)::int) = 1"

/* Asked where no row was found a moment ago. One that was settled since is not taken for new; when
 * that very thing happens at once with this it is, and nobody asks: it is applied everywhere. */
static const char insert_sql[] =
    "insert into troth.register (participant, gtrid, sites, begun_us, " STATE_COLUMNS ")"
    " select $1, a.gtrid, a.sites, a.begun_us, a.pr, a.ps, a.ar, a.s, a.v"
    " from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],"
    "   $8::bigint[], $9::smallint[], $10::text[], $11::text[], $12::bigint[], $13::bigint[])"
    "   a (gtrid, sites, begun_us, pr, ps, ar, s, v, cluster, coordinator, epoch, seq)"
    " where not exists (select from troth.settled s where " IS_SETTLED ")"
    " on conflict do nothing returning gtrid";

static const char update_sql[] =
    "update troth.register r set promised_round = a.pr, promised_site = a.ps,"
    " accepted_round = a.ar, accepted_site = a.s, value = a.v"
    " from unnest($2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],"
    "   $8::smallint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::smallint[])"
    "   a (i, gtrid, pr, ps, ar, s, v, was_pr, was_ps, was_ar, was_s, was_v)"
    " where r.gtrid = a.gtrid and r.participant = $1 and r.promised_round = a.was_pr"
    " and r.promised_site = a.was_ps and r.accepted_round = a.was_ar and r.accepted_site = a.was_s"
    " and r.value = a.was_v returning a.i";

static const char load_sql[] =
    "select a.i, r.gtrid is not null, s.block is not null, r.sites, r.begun_us, " STATE_COLUMNS
    " from unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])"
    "   a (i, gtrid, cluster, coordinator, epoch, seq)"
    " left join troth.register r on r.gtrid = a.gtrid and r.participant = $1"
    " left join troth.settled s on " IS_SETTLED;

enum { LOADED_INDEX, LOADED_ROW, LOADED_SETTLED, LOADED_SITES, LOADED_BEGUN, LOADED_STATE };

static const char *const names[] = {[INSERT] = "insert", [UPDATE] = "update", [LOAD] = "load"};
static const char *const texts[] = {
    [INSERT] = insert_sql, [UPDATE] = update_sql, [LOAD] = load_sql};

/* Writes to the log what waits for all that a commit waits for. */
static const char mark_sql[] = "select pg_logical_emit_message(true, 'troth', '')";

/* ---- answers --------------------------------------------------------------------------------- */

static void answer(struct pg *pg, struct pg_register_ask *ask)
{
    const struct db_register row = {.gtrid = ask->gtrid,
                                    .sites = ask->sites ? ask->sites : "",
                                    .begun_us = ask->begun_us,
                                    .state = ask->state};
    list_remove(&ask->owed.link);
    if (ask->question == LOAD)
        pg->events.register_loaded(pg->events.self, ask->tag, ask->found,
                                   ask->found == DB_FOUND ? &row : NULL);
    else
        pg->events.register_stored(pg->events.self, ask->tag, ask->stored);
    free(ask->gtrid);
    free(ask->sites);
    free(ask);
}

static void refuse(struct pg *pg, struct pg_owed *owed)
{
    struct pg_register_ask *ask = CONTAINER(owed, struct pg_register_ask, owed);
    ask->found = DB_FOUND_ERROR;
    ask->stored = DB_STORE_FAILED;
    answer(pg, ask);
}

/* Takes the batch off before anything is answered: the runner may call in from an answer. */
static int batch_take(struct pg_register *reg, struct pg_register_ask *asks[])
{
    int count = reg->count;
    memcpy(asks, reg->batch, (size_t)count * sizeof(*asks));
    reg->count = 0;
    return count;
}

static void batch_answer(struct pg *pg, bool known)
{
    struct pg_register_ask *asks[PG_REGISTER_BATCH];
    int count = batch_take(&pg->reg, asks);
    for (int i = 0; i < count; i++) {
        if (known)
            answer(pg, asks[i]);
        else
            refuse(pg, &asks[i]->owed);
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

/* The id's place in troth.settled; one that can't be there has no coordinator. */
struct place {
    char cluster[LIMIT_NAME_BYTES + 1];
    char coordinator[LIMIT_NAME_BYTES + 1];
    int64_t epoch, seq;
};

static struct place place_of(const char *gtrid)
{
    struct gid id;
    struct place place = {"", "", 0, 0};
    if (!gtrid_parse(gtrid, &id) || id.tx.epoch > INT64_MAX || id.tx.seq > INT64_MAX)
        return place;
    memcpy(place.cluster, id.cluster, sizeof(place.cluster));
    memcpy(place.coordinator, id.coordinator, sizeof(place.coordinator));
    place.epoch = (int64_t)id.tx.epoch;
    place.seq = (int64_t)id.tx.seq;
    return place;
}

static void add_place(struct pg_array columns[4], const char *gtrid)
{
    const struct place place = place_of(gtrid);
    pg_array_text(&columns[0], place.cluster);
    pg_array_text(&columns[1], place.coordinator);
    pg_array_number(&columns[2], place.epoch);
    pg_array_number(&columns[3], place.seq);
}

static void add_state(struct pg_array columns[5], const struct register_state *state)
{
    pg_array_number(&columns[0], state->promised.round);
    pg_array_number(&columns[1], state->promised.site);
    pg_array_number(&columns[2], state->accepted.round);
    pg_array_number(&columns[3], state->accepted.site);
    pg_array_number(&columns[4], state->value);
}

enum { COLUMNS_MOST = 12 };

/* How many arrays the question's statement takes, filled with one ask at index i of the batch. */
static int add_ask(struct pg_array columns[COLUMNS_MOST], const struct pg_register_ask *ask, int i)
{
    if (ask->question == INSERT) {
        pg_array_text(&columns[0], ask->gtrid);
        pg_array_text(&columns[1], ask->sites);
        pg_array_number(&columns[2], ask->begun_us);
        add_state(&columns[3], &ask->state);
        add_place(&columns[8], ask->gtrid);
        return 12;
    }
    pg_array_number(&columns[0], i);
    pg_array_text(&columns[1], ask->gtrid);
    if (ask->question == LOAD) {
        add_place(&columns[2], ask->gtrid);
        return 6;
    }
    add_state(&columns[2], &ask->state);
    add_state(&columns[7], &ask->before);
    return 12;
}

/* One statement for all of the batch that ask the same; none when nobody does. */
static void question_send(struct pg *pg, enum question question)
{
    struct pg_register *reg = &pg->reg;
    struct pg_array columns[COLUMNS_MOST] = {{0}};
    const char *values[1 + COLUMNS_MOST] = {pg->participant};
    int count = 0;
    for (int i = 0; i < reg->count; i++)
        if (reg->batch[i]->question == question)
            count = add_ask(columns, reg->batch[i], i);
    if (count == 0)
        return;
    for (int i = 0; i < count; i++)
        values[1 + i] = pg_array_end(&columns[i]);
    reg->steps[reg->step_count++] = (int)question;
    pg_connection_execute(&reg->connection, names[question], 1 + count, values);
    for (int i = 0; i < count; i++)
        pg_array_fini(&columns[i]);
}

static struct pg_register_ask *ask_of(struct list *link)
{
    return CONTAINER(CONTAINER(link, struct pg_owed, link), struct pg_register_ask, owed);
}

static void batch_fill(struct pg_register *reg)
{
    while (!list_empty(&reg->waiting) && reg->count < PG_REGISTER_BATCH) {
        struct pg_register_ask *ask = ask_of(reg->waiting.next);
        if (ask->alone && reg->count > 0)
            return;
        list_remove(&ask->owed.link);
        reg->batch[reg->count++] = ask;
        if (ask->alone)
            return;
    }
}

static void batch_send(struct pg *pg)
{
    struct pg_register *reg = &pg->reg;
    if (reg->count > 0 || reg->preparing || !pg_connection_ready(&reg->connection))
        return;
    batch_fill(reg);
    if (reg->count == 0)
        return;
    reg->failed = false;
    reg->step_count = reg->step_next = 0;
    reg->connection.standby_doubt = false;
    if (reg->doubt) {
        reg->steps[reg->step_count++] = QUESTIONS;
        pg_connection_query(&reg->connection, mark_sql, 0, NULL);
    }
    for (int question = 0; question < QUESTIONS; question++)
        question_send(pg, (enum question)question);
    pg_connection_sync(&reg->connection);
}

/* Once the turn is over: what else is asked in it goes along. */
static void on_idle(uv_idle_t *idle)
{
    struct pg *pg = idle->data;
    uv_idle_stop(idle);
    batch_send(pg);
}

static void batch_soon(struct pg *pg)
{
    if (!list_empty(&pg->reg.waiting))
        CHECK(uv_idle_start(pg->reg.idle, on_idle) == 0);
}

/* ---- results --------------------------------------------------------------------------------- */

/* An index that the server was given, back from it. */
static struct pg_register_ask *asked(struct pg_register *reg, const PGresult *result, int row)
{
    int index = atoi(PQgetvalue(result, row, 0));
    CHECK(index >= 0 && index < reg->count);
    return reg->batch[index];
}

static void inserted(struct pg_register *reg, const char *gtrid)
{
    for (int i = 0; i < reg->count; i++) {
        struct pg_register_ask *ask = reg->batch[i];
        if (ask->question == INSERT && ask->stored == DB_CHANGED &&
            strcmp(ask->gtrid, gtrid) == 0) {
            ask->stored = DB_STORED;
            return;
        }
    }
}

static uint64_t number(const PGresult *result, int row, int column)
{
    return strtoull(PQgetvalue(result, row, column), NULL, 10);
}

static void loaded(struct pg_register_ask *ask, const PGresult *result, int row)
{
    bool has_row = PQgetvalue(result, row, LOADED_ROW)[0] == 't';
    bool is_settled = PQgetvalue(result, row, LOADED_SETTLED)[0] == 't';
    ask->found = has_row || is_settled ? DB_FOUND : DB_NOT_FOUND;
    if (!has_row) {
        if (is_settled)
            CHECK(register_learn(&ask->state, REGISTER_COMMIT));
        return;
    }
    ask->sites = xstrdup(PQgetvalue(result, row, LOADED_SITES));
    ask->begun_us = strtoll(PQgetvalue(result, row, LOADED_BEGUN), NULL, 10);
    ask->state = (struct register_state){
        {(uint32_t)number(result, row, LOADED_STATE),
         (uint32_t)number(result, row, LOADED_STATE + 1)},
        {(uint32_t)number(result, row, LOADED_STATE + 2),
         (uint32_t)number(result, row, LOADED_STATE + 3)},
        (uint8_t)number(result, row, LOADED_STATE + 4),
    };
}

static void step_done(struct pg_register *reg, int step, const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++) {
        if (step == INSERT)
            inserted(reg, PQgetvalue(result, row, 0));
        else if (step == UPDATE)
            asked(reg, result, row)->stored = DB_STORED;
        else if (step == LOAD)
            loaded(asked(reg, result, row), result, row);
    }
}

static void step_failed(struct pg *pg, const PGresult *result)
{
    struct pg_register *reg = &pg->reg;
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    reg->failed = true;
    if (sqlstate && strcmp(sqlstate, "26000") == 0) /* somebody deallocated it */
        pg_connection_fail(&reg->connection, message);
    if (reg->count > 1 || !message || strcmp(reg->trouble, message) == 0)
        return; /* those of a batch are tried again */
    snprintf(reg->trouble, sizeof(reg->trouble), "%s", message);
    host_log(pg->shared.host, LOG_WARNING, "database: troth.register: %s", reg->trouble);
}

/* As it was asked. */
static void ask_renew(struct pg_register_ask *ask)
{
    ask->stored = DB_CHANGED;
    if (ask->question != LOAD)
        return;
    free(ask->sites);
    ask->sites = NULL;
    ask->begun_us = 0;
    ask->state = (struct register_state){0};
}

/* Nothing of it was stored. */
static void batch_again(struct pg *pg)
{
    struct pg_register_ask *asks[PG_REGISTER_BATCH];
    int count = batch_take(&pg->reg, asks);
    for (int i = 0; i < count; i++) {
        ask_renew(asks[i]);
        asks[i]->alone = true;
        list_append(&pg->reg.waiting, &asks[i]->owed.link);
    }
}

/* What a cancelled wait for a standby left can be read here, and not there: so until a later wait
 * has ended well nothing is answered that may rest on it. */
static void batch_ended(struct pg *pg)
{
    struct pg_register *reg = &pg->reg;
    bool alone = reg->count == 1;
    if (reg->preparing) {
        reg->preparing = false;
        if (reg->failed)
            pg_connection_fail(&reg->connection, reg->trouble);
        pg_review(pg);
    } else if (reg->failed && !alone) {
        batch_again(pg);
    } else {
        if (!reg->failed)
            reg->doubt = reg->connection.standby_doubt;
        batch_answer(pg, !reg->failed && !reg->doubt);
    }
    batch_soon(pg);
}

static void on_result(struct pg_connection *connection, PGresult *result)
{
    struct pg *pg = connection->self;
    struct pg_register *reg = &pg->reg;
    ExecStatusType status = PQresultStatus(result);
    bool sync = status == PGRES_PIPELINE_SYNC;
    if (sync != (reg->step_next == reg->step_count)) {
        pg_connection_fail(connection, "the server sent a result that nobody asked for");
        return;
    }
    if (sync)
        batch_ended(pg);
    else if (status == PGRES_FATAL_ERROR)
        step_failed(pg, result);
    else if (status == PGRES_TUPLES_OK)
        step_done(reg, reg->steps[reg->step_next], result);
    reg->step_next += !sync;
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_ready(struct pg_connection *connection)
{
    struct pg *pg = connection->self;
    struct pg_register *reg = &pg->reg;
    reg->preparing = reg->doubt = true;
    reg->failed = false;
    reg->step_count = reg->step_next = 0;
    for (int i = 0; i < QUESTIONS; i++) {
        reg->steps[reg->step_count++] = QUESTIONS;
        pg_connection_prepare(connection, names[i], texts[i], 0, NULL);
    }
    pg_connection_sync(connection);
}

static void on_closed(struct pg_connection *connection, bool was_ready, const char *reason)
{
    struct pg *pg = connection->self;
    pg->reg.preparing = false;
    batch_answer(pg, false);
    pg_refuse_all(pg, &pg->reg.waiting);
    pg_not_opened(pg, was_ready, reason);
    pg_review(pg);
}

static const struct pg_connection_owner owner = {on_ready, on_result, on_closed};

bool pg_register_ready(const struct pg *pg)
{
    return pg_connection_ready(&pg->reg.connection) && !pg->reg.preparing;
}

/* ---- what the runner asks -------------------------------------------------------------------- */

static void ask_begin(struct pg *pg, struct pg_register_ask *ask)
{
    ask->owed.refuse = refuse;
    if (!pg_register_ready(pg)) {
        pg_later(pg, &ask->owed);
        return;
    }
    list_append(&pg->reg.waiting, &ask->owed.link);
    batch_soon(pg);
}

void pg_register_load(void *self, const char *gtrid, void *tag)
{
    struct pg_register_ask *ask = xcalloc(1, sizeof(*ask));
    ask->question = LOAD;
    ask->gtrid = xstrdup(gtrid);
    ask->tag = tag;
    ask_begin(self, ask);
}

void pg_register_store(void *self, const struct db_register *row,
                       const struct register_state *before, void *tag)
{
    struct pg_register_ask *ask = xcalloc(1, sizeof(*ask));
    ask->question = before ? UPDATE : INSERT;
    ask->stored = DB_CHANGED;
    ask->gtrid = xstrdup(row->gtrid);
    ask->sites = xstrdup(row->sites);
    ask->begun_us = row->begun_us;
    ask->state = row->state;
    if (before)
        ask->before = *before;
    ask->tag = tag;
    ask_begin(self, ask);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* What is answered as stored must be on the disk whatever the role's default is; a setting that
 * waits for more than that stays. The plans are those of few rows asked of a big table, whatever
 * the statistics say. Nobody holds a row for long. */
static const char settings[] =
    "select set_config(v.name, v.value, false) from (values ('lock_timeout', '1s'),"
    " ('statement_timeout', '10s'), ('idle_in_transaction_session_timeout', '60s'),"
    " ('idle_session_timeout', '0'), ('client_connection_check_interval', '1s'),"
    " ('default_transaction_isolation', 'read committed'), ('standard_conforming_strings', 'on'),"
    " ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan', 'off'),"
    " ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'),"
    " ('jit', 'off'),"
    " ('synchronous_commit', 'on')) v (name, value) join pg_settings s on lower(s.name) = v.name"
    " where v.name <> 'synchronous_commit' or s.setting = 'off'";

void pg_register_init(struct pg *pg)
{
    struct pg_register *reg = &pg->reg;
    list_init(&reg->waiting);
    pg_connection_init(&reg->connection, &pg->shared, &owner, pg, settings);
    reg->idle = xmalloc(sizeof(*reg->idle));
    CHECK(uv_idle_init(pg->shared.uv, reg->idle) == 0);
    reg->idle->data = pg;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void pg_register_fini(struct pg *pg)
{
    pg_connection_fini(&pg->reg.connection);
    batch_answer(pg, false);
    pg_refuse_all(pg, &pg->reg.waiting);
    uv_close((uv_handle_t *)pg->reg.idle, free_handle);
}
