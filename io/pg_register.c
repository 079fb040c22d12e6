/* The registers of three-phase transactions: loaded and stored in batches that wait for the disk. A
 * register that was never asked for anything has no row.
 *
 * A backend that nobody hears any more may still store what it was given. Being compare-and-set,
 * that comes too late for whatever was stored since. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "io/pg_private.h"

struct site_ask {
    struct pg_ask ask;
    void *tag;
    char *gtrid;
    char *sites; /* insert: to be stored; load: found */
    int64_t begun_us;
    struct register_state before, state;
    enum db_stored stored;
    enum db_found found;
};

static struct site_ask *register_of(const struct pg_ask *ask)
{
    return CONTAINER(ask, struct site_ask, ask);
}

/* ---- columns --------------------------------------------------------------------------------- */

/* The id's place in troth.settled; one that can't be there has no coordinator. */
static void add_place(struct pg_array columns[4], const char *gtrid)
{
    struct gid id;
    bool good = gtrid_parse(gtrid, &id) && id.tx.epoch <= INT64_MAX && id.tx.seq <= INT64_MAX;
    pg_array_text(&columns[0], good ? id.cluster : "");
    pg_array_text(&columns[1], good ? id.coordinator : "");
    pg_array_number(&columns[2], good ? (int64_t)id.tx.epoch : 0);
    pg_array_number(&columns[3], good ? (int64_t)id.tx.seq : 0);
}

static void add_state(struct pg_array columns[5], const struct register_state *state)
{
    pg_array_number(&columns[0], state->promised.round);
    pg_array_number(&columns[1], state->promised.site);
    pg_array_number(&columns[2], state->accepted.round);
    pg_array_number(&columns[3], state->accepted.site);
    pg_array_number(&columns[4], state->value);
}

static struct site_ask *asked(struct pg_batch *batch, const PGresult *result, int row)
{
    int index = atoi(PQgetvalue(result, row, 0));
    CHECK(index >= 0 && index < batch->count);
    return register_of(batch->asks[index]);
}

#define STATE_COLUMNS "promised_round, promised_site, accepted_round, accepted_site, value"
/* s is the block of a transaction that was settled. */
#define IS_SETTLED                                                                                 \
    "s.cluster = a.cluster and s.coordinator = a.coordinator and s.epoch = a.epoch"                \
    " and s.block = a.seq / 4096 and get_bit(s.bits, (a.seq % 4096)::int) = 1"

/* ---- insert ---------------------------------------------------------------------------------- */

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

static int insert_add(struct pg_array columns[PG_BATCH_COLUMNS], const struct pg_ask *ask,
                      int index)
{
    const struct site_ask *insert = register_of(ask);
    (void)index;
    pg_array_text(&columns[0], insert->gtrid);
    pg_array_text(&columns[1], insert->sites);
    pg_array_number(&columns[2], insert->begun_us);
    add_state(&columns[3], &insert->state);
    add_place(&columns[8], insert->gtrid);
    return 12;
}

/* By its gtrid: the first ask of this kind that was not answered yet. */
static void stored_row(struct pg_batch *batch, const struct pg_question *question,
                       const PGresult *result, int row)
{
    for (int i = 0; i < batch->count; i++) {
        struct site_ask *ask = register_of(batch->asks[i]);
        if (ask->ask.question == question && ask->stored == DB_CHANGED &&
            strcmp(ask->gtrid, PQgetvalue(result, row, 0)) == 0) {
            ask->stored = DB_STORED;
            return;
        }
    }
}

static const struct pg_question insert_question = {
    .name = "insert", .sql = insert_sql, .add = insert_add, .row = stored_row};

/* ---- update ---------------------------------------------------------------------------------- */

static const char update_sql[] =
    "update troth.register r set promised_round = a.pr, promised_site = a.ps,"
    " accepted_round = a.ar, accepted_site = a.s, value = a.v"
    " from unnest($2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],"
    "   $8::smallint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::smallint[])"
    "   a (i, gtrid, pr, ps, ar, s, v, was_pr, was_ps, was_ar, was_s, was_v)"
    " where r.gtrid = a.gtrid and r.participant = $1 and r.promised_round = a.was_pr"
    " and r.promised_site = a.was_ps and r.accepted_round = a.was_ar and r.accepted_site = a.was_s"
    " and r.value = a.was_v returning a.i";

static int update_add(struct pg_array columns[PG_BATCH_COLUMNS], const struct pg_ask *ask,
                      int index)
{
    const struct site_ask *update = register_of(ask);
    pg_array_number(&columns[0], index);
    pg_array_text(&columns[1], update->gtrid);
    add_state(&columns[2], &update->state);
    add_state(&columns[7], &update->before);
    return 12;
}

static void update_row(struct pg_batch *batch, const struct pg_question *question,
                       const PGresult *result, int row)
{
    (void)question;
    asked(batch, result, row)->stored = DB_STORED;
}

static const struct pg_question update_question = {
    .name = "update", .sql = update_sql, .add = update_add, .row = update_row};

/* ---- accept ---------------------------------------------------------------------------------- */

/* What nearly every transaction asks of its registers: a fresh one accepts the coordinator's commit
 * at ballot {0,0}. So it is not spelled out row by row: mostly for one that has no row yet, else
 * for that of a branch that was adopted. */
static const struct register_state fresh;

/* No list of sites: the branch has it. No look at what was settled, either: that was decided as
 * commit, which this is, too. */
const char pg_register_first_sql[] =
    "insert into troth.register (participant, gtrid, sites, begun_us, value)"
    " select $1, a.gtrid, '', a.begun_us, 2"
    " from unnest($2::text[], $3::bigint[]) a (gtrid, begun_us)"
    " on conflict do nothing returning gtrid";

static int first_add(struct pg_array columns[PG_BATCH_COLUMNS], const struct pg_ask *ask, int index)
{
    const struct site_ask *first = register_of(ask);
    (void)index;
    pg_array_text(&columns[0], first->gtrid);
    pg_array_number(&columns[1], first->begun_us);
    return 2;
}

static const struct pg_question first_question = {
    .name = "first", .sql = pg_register_first_sql, .add = first_add, .row = stored_row};

static const char accept_sql[] =
    "update troth.register set value = 2 where gtrid = any($2::text[]) and participant = $1"
    " and promised_round = 0 and promised_site = 0 and accepted_round = 0 and accepted_site = 0"
    " and value = 0 returning gtrid";

static int accept_add(struct pg_array columns[PG_BATCH_COLUMNS], const struct pg_ask *ask,
                      int index)
{
    (void)index;
    pg_array_text(&columns[0], register_of(ask)->gtrid);
    return 1;
}

static const struct pg_question accept_question = {
    .name = "accept", .sql = accept_sql, .add = accept_add, .row = stored_row};

/* ---- load ------------------------------------------------------------------------------------ */

static const char load_sql[] =
    "select a.i, r.gtrid is not null, s.block is not null, r.sites, r.begun_us, " STATE_COLUMNS
    " from unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])"
    "   a (i, gtrid, cluster, coordinator, epoch, seq)"
    " left join troth.register r on r.gtrid = a.gtrid and r.participant = $1"
    " left join troth.settled s on " IS_SETTLED;

enum { LOADED_INDEX, LOADED_ROW, LOADED_SETTLED, LOADED_SITES, LOADED_BEGUN, LOADED_STATE };

static int load_add(struct pg_array columns[PG_BATCH_COLUMNS], const struct pg_ask *ask, int index)
{
    const struct site_ask *load = register_of(ask);
    pg_array_number(&columns[0], index);
    pg_array_text(&columns[1], load->gtrid);
    add_place(&columns[2], load->gtrid);
    return 6;
}

static uint64_t number(const PGresult *result, int row, int column)
{
    return strtoull(PQgetvalue(result, row, column), NULL, 10);
}

/* What is none stays none. */
static uint8_t value(const PGresult *result, int row, int column)
{
    uint64_t is = number(result, row, column);
    return is <= REGISTER_COMMIT ? (uint8_t)is : UINT8_MAX;
}

static void load_row(struct pg_batch *batch, const struct pg_question *question,
                     const PGresult *result, int row)
{
    (void)question;
    struct site_ask *load = asked(batch, result, row);
    bool has_row = PQgetvalue(result, row, LOADED_ROW)[0] == 't';
    bool is_settled = PQgetvalue(result, row, LOADED_SETTLED)[0] == 't';
    load->found = has_row || is_settled ? DB_FOUND : DB_NOT_FOUND;
    if (!has_row) {
        if (is_settled)
            CHECK(register_learn(&load->state, REGISTER_COMMIT));
        return;
    }
    load->sites = xstrdup(PQgetvalue(result, row, LOADED_SITES));
    load->begun_us = strtoll(PQgetvalue(result, row, LOADED_BEGUN), NULL, 10);
    load->state = (struct register_state){
        {(uint32_t)number(result, row, LOADED_STATE),
         (uint32_t)number(result, row, LOADED_STATE + 1)},
        {(uint32_t)number(result, row, LOADED_STATE + 2),
         (uint32_t)number(result, row, LOADED_STATE + 3)},
        value(result, row, LOADED_STATE + 4),
    };
}

static const struct pg_question load_question = {
    .name = "load", .sql = load_sql, .add = load_add, .row = load_row};

static void load_renew(struct site_ask *load)
{
    free(load->sites);
    load->sites = NULL;
    load->begun_us = 0;
    load->state = (struct register_state){0};
}

/* ---- what the runner asks of a register ------------------------------------------------------ */

static void register_renew(struct pg_ask *ask)
{
    struct site_ask *of = register_of(ask);
    if (ask->question == &load_question)
        load_renew(of);
    else
        of->stored = DB_CHANGED;
}

static void register_free(struct site_ask *ask)
{
    free(ask->gtrid);
    free(ask->sites);
    free(ask);
}

static void loaded(struct pg *pg, struct pg_ask *ask, bool known)
{
    struct site_ask *load = register_of(ask);
    enum db_found found = known ? load->found : DB_FOUND_ERROR;
    const struct db_register row = {.gtrid = load->gtrid,
                                    .sites = load->sites ? load->sites : "",
                                    .begun_us = load->begun_us,
                                    .state = load->state};
    pg->events.register_loaded(pg->events.self, load->tag, found, found == DB_FOUND ? &row : NULL);
    register_free(load);
}

void pg_register_load(void *self, const char *gtrid, void *tag)
{
    struct pg *pg = self;
    struct site_ask *load = xcalloc(1, sizeof(*load));
    load->ask.question = &load_question;
    load->ask.renew = register_renew;
    load->ask.answer = loaded;
    load->gtrid = xstrdup(gtrid);
    load->tag = tag;
    load->found = DB_FOUND_ERROR;
    pg_batch_ask(pg, &pg->registers, &load->ask);
}

static void stored(struct pg *pg, struct pg_ask *ask, bool known)
{
    struct site_ask *store = register_of(ask);
    pg->events.register_stored(pg->events.self, store->tag,
                               known ? store->stored : DB_STORE_FAILED);
    register_free(store);
}

static const struct pg_question *question_of(const struct register_state *state,
                                             const struct register_state *before)
{
    bool first = register_state_equal(state, &register_first_commit);
    if (!before)
        return first ? &first_question : &insert_question;
    return first && register_state_equal(before, &fresh) ? &accept_question : &update_question;
}

void pg_register_store(void *self, const struct db_register *row,
                       const struct register_state *before, void *tag)
{
    struct pg *pg = self;
    struct site_ask *store = xcalloc(1, sizeof(*store));
    store->ask.question = question_of(&row->state, before);
    store->ask.renew = register_renew;
    store->ask.answer = stored;
    store->stored = DB_CHANGED;
    store->gtrid = xstrdup(row->gtrid);
    store->sites = before ? NULL : xstrdup(row->sites);
    store->begun_us = row->begun_us;
    store->state = row->state;
    if (before)
        store->before = *before;
    store->tag = tag;
    pg_batch_ask(pg, &pg->registers, &store->ask);
}

/* ---- life ------------------------------------------------------------------------------------ */

static const struct pg_question *const questions[PG_BATCH_KINDS] = {
    &insert_question, &first_question, &accept_question,
    &update_question, &load_question,  &pg_sites_question};

void pg_registers_init(struct pg *pg, bool wanted)
{
    pg_batch_init(pg, &pg->registers, "troth.register and troth.sites", questions, false);
    pg->registers.wanted = wanted;
}

void pg_registers_fini(struct pg *pg)
{
    pg_batch_fini(pg, &pg->registers);
}

void pg_registers_open(struct pg *pg)
{
    if (pg->registers.wanted)
        pg_connection_open(&pg->registers.connection);
}

void pg_registers_close(struct pg *pg)
{
    pg_batch_close(pg, &pg->registers);
}

int pg_registers_wanted(const struct pg *pg)
{
    return pg->registers.wanted;
}

int pg_registers_ready(const struct pg *pg)
{
    return pg_batch_ready(&pg->registers);
}
