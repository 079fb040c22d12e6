#include "io/pg_look.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "io/pg_look_sql.h"
#include "io/pg_server.h"

/* ---- values, and what comes back ---------------------------------------------------------------
 */

static void value_add(struct pg_look *look, char *value)
{
    CHECK(look->value_count < PG_LOOK_VALUES);
    look->values[look->value_count++] = value;
}

static void values_clear(struct pg_look *look)
{
    for (int i = 0; i < look->value_count; i++)
        free(look->values[i]);
    look->value_count = 0;
}

/* NULL for SQL's null. Libpq's own functions take no const. */
static const char *field(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

static char *copied(const PGresult *result, int row, int column)
{
    const char *text = field(result, row, column);
    return text ? xstrdup(text) : NULL;
}

static uint64_t number(const PGresult *result, int row, int column)
{
    const char *text = field(result, row, column);
    return text ? strtoull(text, NULL, 10) : 0;
}

static bool has_rows(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0;
}

/* ---- prepared transactions ---------------------------------------------------------------------
 */

static void held_take(struct pg_look *look, const PGresult *result)
{
    int rows = PQntuples(result), count = 0;
    uint64_t next = number(result, 0, PG_FACT_NEXT_XID);
    look->held = xcalloc((size_t)rows, sizeof(*look->held));
    for (int row = 0; row < rows; row++) {
        const char *owner = field(result, row, PG_FACT_OWNER);
        const char *database = field(result, row, PG_FACT_DATABASE);
        const char *here = field(result, row, PG_FACT_HERE);
        if (!field(result, row, PG_FACT_GID))
            continue;
        look->held[count++] = (struct db_held){
            .gid = xstrdup(field(result, row, PG_FACT_GID)),
            .owner = xstrdup(owner ? owner : ""), /* the role was dropped */
            .database = xstrdup(database ? database : ""),
            .here = here && *here == 't',
            .xid = pg_xid_widen((uint32_t)number(result, row, PG_FACT_XID), next),
            .age_xids = number(result, row, PG_FACT_AGE),
            .prepared_at_us = (int64_t)number(result, row, PG_FACT_PREPARED_US),
        };
    }
    look->found.now_us = (int64_t)number(result, 0, PG_FACT_NOW_US);
    look->found.held = look->held;
    look->found.held_count = count;
    look->found.ok = true;
}

static bool prepared_answer(struct pg_look *look, const PGresult *result)
{
    if (!has_rows(result))
        return false;
    held_take(look, result);
    return true;
}

static const char *prepared_ask(struct pg *pg, struct pg_look *look)
{
    (void)pg, (void)look;
    return pg_look_prepared_sql;
}

/* ---- one transaction ----------------------------------------------------------------------- */

/* An id that is none of ours has no place in troth.settled. */
static const char *facts_ask(struct pg *pg, struct pg_look *look)
{
    struct gid id;
    bool good = gtrid_parse(look->gtrid, &id) && id.tx.epoch <= INT64_MAX && id.tx.seq <= INT64_MAX;
    value_add(look, xstrdup(pg->participant));
    value_add(look, xstrdup(look->gtrid));
    value_add(look, xstrdup(good ? id.cluster : ""));
    value_add(look, xstrdup(good ? id.coordinator : ""));
    value_add(look, xasprintf("%" PRIu64, good ? id.tx.epoch : 0));
    value_add(look, xasprintf("%" PRIu64, good ? id.tx.seq : 0));
    return pg_look_facts_sql;
}

/* One that was settled has no row any more: it was committed, and is known as decided. */
static void register_take(struct pg_look *look, const PGresult *result)
{
    struct db_inspected *found = &look->found;
    if (*field(result, 0, PG_FACT_REGISTERED) == 't') {
        found->registered = true;
        found->state = (struct register_state){
            {(uint32_t)number(result, 0, PG_FACT_STATE),
             (uint32_t)number(result, 0, PG_FACT_STATE + 1)},
            {(uint32_t)number(result, 0, PG_FACT_STATE + 2),
             (uint32_t)number(result, 0, PG_FACT_STATE + 3)},
            (uint8_t)number(result, 0, PG_FACT_STATE + 4),
        };
    } else if (*field(result, 0, PG_FACT_SETTLED) == 't') {
        found->registered = true;
        CHECK(register_learn(&found->state, REGISTER_COMMIT));
    }
}

static bool facts_answer(struct pg_look *look, const PGresult *result)
{
    if (!has_rows(result))
        return false;
    held_take(look, result);
    register_take(look, result);
    look->barrier = copied(result, 0, PG_FACT_BARRIER);
    look->prepared = look->found.held_count > 0 ? 0 : -1;
    for (int i = 0; i < look->found.held_count; i++)
        if (look->held[i].xid == look->found.xid)
            look->prepared = i;
    if (look->found.xid == 0 && look->prepared >= 0)
        look->found.xid = look->held[look->prepared].xid;
    return true;
}

/* After the prepared transactions: one that ended in between is not listed as in progress then. */
static const char *status_ask(struct pg *pg, struct pg_look *look)
{
    (void)pg;
    if (look->found.xid == 0)
        return NULL;
    value_add(look, xasprintf("%" PRIu64, look->found.xid));
    return pg_look_status_sql;
}

static bool status_answer(struct pg_look *look, const PGresult *result)
{
    look->found.status = pg_status_of(result);
    return true;
}

/* ---- what its branch holds, and whom it blocks --------------------------------------------- */

static const char *reach_ask(struct pg *pg, struct pg_look *look)
{
    (void)pg;
    if (look->prepared < 0)
        return NULL;
    value_add(look, xasprintf("%" PRIu32, (uint32_t)look->held[look->prepared].xid));
    return pg_look_reach_sql;
}

/* xmax of a row that is locked by several, or within a savepoint, is not the branch's xid: such
 * rows are not counted. */
#define COUNT_FORMAT                                                                               \
    "select case when pg_relation_size(%s) <= 67108864"                                            \
    " then (select count(*) from only %s where xmax = '%" PRIu32 "'::xid) end"

static void lock_add(struct pg_look *look, const PGresult *result, int row)
{
    struct pg_look_lock *lock = &look->locks[look->lock_count++];
    const char *oid = field(result, row, PG_REACH_OID);
    lock->relation = copied(result, row, PG_REACH_RELATION);
    lock->mode = copied(result, row, PG_REACH_MODE);
    lock->rows = -1;
    if (oid)
        lock->count_sql =
            xasprintf(COUNT_FORMAT, oid, lock->relation, (uint32_t)look->held[look->prepared].xid);
}

static bool reach_answer(struct pg_look *look, const PGresult *result)
{
    if (!has_rows(result))
        return true;
    look->blocked = copied(result, 0, PG_REACH_BLOCKED);
    look->blocked_more = copied(result, 0, PG_REACH_BLOCKED_MORE);
    look->vacuum = copied(result, 0, PG_REACH_VACUUM);
    look->slots = copied(result, 0, PG_REACH_SLOTS);
    look->locks_more = copied(result, 0, PG_REACH_LOCKS_MORE);
    for (int row = 0; row < PQntuples(result) && look->lock_count < PG_LOOK_LOCKS; row++)
        if (field(result, row, PG_REACH_RELATION))
            lock_add(look, result, row);
    return true;
}

/* One table after the other, as one that can't be read must not hide the others. */
static const char *count_ask(struct pg *pg, struct pg_look *look)
{
    (void)pg;
    while (look->counting < look->lock_count && !look->locks[look->counting].count_sql)
        look->counting++;
    if (look->counting >= look->lock_count || look->counted++ >= PG_LOOK_COUNTED)
        return NULL;
    return look->locks[look->counting].count_sql;
}

static bool count_answer(struct pg_look *look, const PGresult *result)
{
    const char *rows = has_rows(result) ? field(result, 0, 0) : NULL;
    struct pg_look_lock *lock = &look->locks[look->counting++];
    if (rows)
        lock->rows = strtoll(rows, NULL, 10);
    return true;
}

static void json_part(struct json_writer *writer, const char *name, const char *json)
{
    json_name(writer, name);
    json_raw(writer, json ? json : "null");
}

static void locks_report(struct json_writer *writer, const struct pg_look *look)
{
    json_name(writer, "locks");
    json_open(writer, '[');
    for (int i = 0; i < look->lock_count; i++) {
        json_open(writer, '{');
        json_name(writer, "relation");
        json_string(writer, look->locks[i].relation);
        json_name(writer, "mode");
        json_string(writer, look->locks[i].mode);
        json_name(writer, "rows");
        if (look->locks[i].rows >= 0)
            json_integer(writer, look->locks[i].rows);
        else
            json_string(writer, NULL);
        json_close(writer, '}');
    }
    json_close(writer, ']');
}

static void branch_report(struct pg_look *look)
{
    struct json_writer writer = {0};
    const struct db_held *held = &look->held[look->prepared];
    json_open(&writer, '{');
    json_name(&writer, "gid");
    json_string(&writer, held->gid);
    json_name(&writer, "owner");
    json_string(&writer, held->owner);
    json_name(&writer, "database");
    json_string(&writer, held->database);
    if (look->blocked)
        locks_report(&writer, look);
    else
        json_part(&writer, "locks", NULL);
    json_part(&writer, "locks_more", look->locks_more);
    json_part(&writer, "blocked", look->blocked);
    json_part(&writer, "blocked_more", look->blocked_more);
    json_part(&writer, "vacuum", look->vacuum);
    json_part(&writer, "slots", look->slots);
    json_close(&writer, '}');
    look->report = writer.text;
}

/* ---- the server ---------------------------------------------------------------------------- */

/* Fails where the schema is not installed or not to be read. */
static const char *version_ask(struct pg *pg, struct pg_look *look)
{
    (void)pg, (void)look;
    return pg_server_version_sql;
}

static bool version_answer(struct pg_look *look, const PGresult *result)
{
    if (has_rows(result))
        look->schema_version = copied(result, 0, 0);
    return true;
}

static const char *server_ask(struct pg *pg, struct pg_look *look)
{
    value_add(look, look->schema_version);
    value_add(look, xasprintf("%d", pg->worker_count));
    look->schema_version = NULL;
    return pg_look_server_sql;
}

static bool server_answer(struct pg_look *look, const PGresult *result)
{
    if (!has_rows(result))
        return false;
    look->report = copied(result, 0, 0);
    look->found.now_us = (int64_t)number(result, 0, 1);
    look->found.ok = true;
    return true;
}

/* ---- the steps ----------------------------------------------------------------------------- */

struct step {
    const char *(*ask)(struct pg *pg, struct pg_look *look); /* NULL: nothing, or nothing more */
    bool (*answer)(struct pg_look *look, const PGresult *result);
    bool again; /* until there is nothing more */
};

enum { STEPS = 4 };

static const struct step steps[][STEPS + 1] = {
    [DB_LOOK_TRANSACTION] = {{facts_ask, facts_answer, false},
                             {status_ask, status_answer, false},
                             {reach_ask, reach_answer, false},
                             {count_ask, count_answer, true}},
    [DB_LOOK_PREPARED] = {{prepared_ask, prepared_answer, false}},
    [DB_LOOK_SERVER] = {{version_ask, version_answer, false}, {server_ask, server_answer, false}},
};

struct pg_look *pg_look_new(const struct db_inspection *inspection, void *tag)
{
    struct pg_look *look = xcalloc(1, sizeof(*look));
    list_init(&look->owed.link);
    look->kind = inspection->look;
    look->gtrid = inspection->gtrid ? xstrdup(inspection->gtrid) : NULL;
    look->tag = tag;
    look->prepared = -1;
    look->found.xid = inspection->look == DB_LOOK_TRANSACTION ? inspection->xid : 0;
    look->found.status = DB_STATUS_ERROR;
    CHECK(look->gtrid || look->kind != DB_LOOK_TRANSACTION);
    return look;
}

const char *pg_look_sql(struct pg *pg, struct pg_look *look)
{
    const struct step *step = &steps[look->kind][look->step];
    values_clear(look);
    for (; step->ask; step++, look->step++) {
        const char *sql = step->ask(pg, look);
        if (sql)
            return sql;
    }
    return NULL;
}

bool pg_look_result(struct pg_look *look, const PGresult *result)
{
    const struct step *step = &steps[look->kind][look->step];
    if (!step->again)
        look->step++;
    return step->answer(look, result);
}

const struct db_inspected *pg_look_found(struct pg_look *look)
{
    if (look->prepared >= 0 && !look->report)
        branch_report(look);
    look->found.problem = look->problem ? look->problem : "";
    look->found.barrier = look->barrier ? look->barrier : "";
    look->found.report = look->report ? look->report : "";
    return &look->found;
}

void pg_look_free(struct pg_look *look)
{
    for (int i = 0; i < look->found.held_count; i++) {
        free((char *)look->held[i].gid);
        free((char *)look->held[i].owner);
        free((char *)look->held[i].database);
    }
    for (int i = 0; i < look->lock_count; i++) {
        free(look->locks[i].relation);
        free(look->locks[i].mode);
        free(look->locks[i].count_sql);
    }
    values_clear(look);
    char *const texts[] = {look->gtrid,      look->problem,       look->barrier, look->report,
                           look->blocked,    look->blocked_more,  look->vacuum,  look->slots,
                           look->locks_more, look->schema_version};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    free(look->held);
    free(look);
}
