#include "io/pg_steps.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

struct pg_step *pg_step_add(struct pg_worker *worker, enum pg_step_kind kind, int statement)
{
    if (worker->step_count == worker->step_room) {
        worker->step_room = worker->step_room ? worker->step_room * 2 : 16;
        worker->steps = xrealloc(worker->steps, (size_t)worker->step_room * sizeof(*worker->steps));
    }
    struct pg_step *step = &worker->steps[worker->step_count++];
    *step = (struct pg_step){.kind = kind, .statement = statement};
    return step;
}

static bool is_prepared(const struct pg_worker *worker, int id)
{
    return id < worker->prepared_room && worker->prepared[id];
}

void pg_step_set_prepared(struct pg_worker *worker, int id, bool prepared)
{
    if (id >= worker->prepared_room) {
        int room = id + 64;
        worker->prepared = xrealloc(worker->prepared, (size_t)room);
        memset(worker->prepared + worker->prepared_room, 0, (size_t)(room - worker->prepared_room));
        worker->prepared_room = room;
    }
    worker->prepared[id] = prepared;
}

/* Its Parse stands earlier in the same pipeline: a branch may call an operation twice. */
static bool is_being_prepared(const struct pg_worker *worker, const struct pg_statement *statement)
{
    for (int i = 0; i < worker->step_count; i++)
        if (worker->steps[i].kind == STEP_PARSE && worker->steps[i].prepared == statement)
            return true;
    return false;
}

void pg_step_known(struct pg_worker *worker, enum pg_step_kind kind, struct pg_statement *known,
                   int index, const char *const *values)
{
    if (!is_prepared(worker, known->id) && !is_being_prepared(worker, known)) {
        Oid few[16], *oids = known->parameter_count <= 16
                                 ? few
                                 : xmalloc((size_t)known->parameter_count * sizeof(Oid));
        for (int i = 0; i < known->parameter_count; i++)
            oids[i] = known->types[i]->oid;
        pg_step_add(worker, STEP_PARSE, index)->prepared = known;
        pg_connection_prepare(&worker->connection, known->server_name, known->sql,
                              known->parameter_count, oids);
        if (oids != few)
            free(oids);
    }
    pg_step_add(worker, kind, index)->prepared = known;
    pg_connection_execute(&worker->connection, known->server_name, known->parameter_count, values);
}

void pg_step_statement(struct pg_worker *worker, enum pg_step_kind kind,
                       const struct db_statement *statement, int index, const char *const *values)
{
    struct pg *pg = worker->connection.self;
    pg_step_known(worker, kind, pg_statement_get(&pg->statements, statement), index, values);
}

void pg_step_sync(struct pg_worker *worker)
{
    pg_step_add(worker, STEP_SYNC, -1);
    pg_connection_sync(&worker->connection);
}

void pg_steps_begin(struct pg_worker *worker, enum pg_run_stage stage)
{
    worker->stage = stage;
    worker->step_count = worker->step_next = 0;
}
