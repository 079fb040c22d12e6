#include "io/pg_steps.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

struct pg_step *pg_step_add(struct pg_steps *steps, enum pg_step_kind kind, int statement)
{
    if (steps->count == steps->room) {
        steps->room = steps->room ? steps->room * 2 : 16;
        steps->list = xrealloc(steps->list, (size_t)steps->room * sizeof(*steps->list));
    }
    struct pg_step *step = &steps->list[steps->count++];
    *step = (struct pg_step){.kind = kind, .statement = statement};
    return step;
}

static bool is_prepared(const struct pg_steps *steps, int id)
{
    return id < steps->prepared_room && steps->prepared[id];
}

static void set_prepared(struct pg_steps *steps, int id, bool prepared)
{
    if (id >= steps->prepared_room) {
        int room = id + 64;
        steps->prepared = xrealloc(steps->prepared, (size_t)room);
        memset(steps->prepared + steps->prepared_room, 0, (size_t)(room - steps->prepared_room));
        steps->prepared_room = room;
    }
    steps->prepared[id] = prepared;
}

/* Its Parse stands earlier in the same pipeline: a branch may call an operation twice. */
static bool is_being_prepared(const struct pg_steps *steps, const struct pg_statement *statement)
{
    for (int i = 0; i < steps->count; i++)
        if (steps->list[i].kind == STEP_PARSE && steps->list[i].prepared == statement)
            return true;
    return false;
}

void pg_step_known(struct pg_steps *steps, enum pg_step_kind kind, struct pg_statement *known,
                   int index, const char *const *values)
{
    if (!is_prepared(steps, known->id) && !is_being_prepared(steps, known)) {
        Oid few[16], *oids = known->parameter_count <= 16
                                 ? few
                                 : xmalloc((size_t)known->parameter_count * sizeof(Oid));
        for (int i = 0; i < known->parameter_count; i++)
            oids[i] = known->types[i]->oid;
        pg_step_add(steps, STEP_PARSE, index)->prepared = known;
        pg_connection_prepare(steps->connection, known->server_name, known->sql,
                              known->parameter_count, oids);
        if (oids != few)
            free(oids);
    }
    pg_step_add(steps, kind, index)->prepared = known;
    pg_connection_execute(steps->connection, known->server_name, known->parameter_count, values);
}

void pg_step_sync(struct pg_steps *steps)
{
    pg_step_add(steps, STEP_SYNC, -1);
    pg_connection_sync(steps->connection);
}

/* ---- results --------------------------------------------------------------------------------- */

const struct pg_step *pg_step_next(struct pg_steps *steps, const PGresult *result)
{
    bool sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    if (steps->next < steps->count && sync == pg_step_at_sync(steps))
        return &steps->list[steps->next++];
    pg_connection_fail(steps->connection, "the server sent a result that nobody asked for");
    return NULL;
}

void pg_step_parsed(struct pg_steps *steps, const struct pg_step *step)
{
    set_prepared(steps, step->prepared->id, true);
}

bool pg_step_refused(struct pg_steps *steps, struct pg_statements *statements,
                     const struct pg_step *step, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    if (!step->prepared)
        return false;
    if (step->kind == STEP_PARSE) {
        pg_statement_forget_types(step->prepared);
        return false;
    }
    if (sqlstate && strcmp(sqlstate, "26000") == 0) { /* somebody deallocated it */
        set_prepared(steps, step->prepared->id, false);
        return true;
    }
    if (!function || strcmp(function, "RevalidateCachedQuery") != 0)
        return false;
    /* The type of its result changed. */
    pg_statement_retire(statements, step->prepared);
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

void pg_steps_begin(struct pg_steps *steps)
{
    steps->count = steps->next = 0;
}

void pg_steps_lost(struct pg_steps *steps)
{
    pg_steps_begin(steps);
    if (steps->prepared_room > 0)
        memset(steps->prepared, 0, (size_t)steps->prepared_room);
}

void pg_steps_init(struct pg_steps *steps, struct pg_connection *connection)
{
    *steps = (struct pg_steps){.connection = connection};
}

void pg_steps_fini(struct pg_steps *steps)
{
    free(steps->list);
    free(steps->prepared);
}
