#include "participant/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"

void work_free(struct work *work)
{
    if (!work)
        return;
    for (int i = 0; i < work->bound; i++)
        operation_binding_fini(&work->bindings[i]);
    free(work->bindings);
    free(work->operations);
    free(work->statements);
    free(work->calls);
    free(work);
}

static void refuse_operation(const struct operation_set *set, const char *name,
                             struct work_refusal *refusal)
{
    const char **names = xcalloc((size_t)set->count + 1, sizeof(*names));
    for (int i = 0; i < set->count; i++)
        names[i] = set->operations[i].name;
    refusal->code = "unknown_operation";
    error_set(&refusal->error, ERROR_USAGE, "there is no operation \"%.80s\"", name);
    const char *nearest = error_nearest(name, names, set->count);
    char list[sizeof(refusal->error.hint)] = "";
    for (int i = 0, size = 0; i < set->count && size < (int)sizeof(list) - 1; i++)
        size += snprintf(list + size, sizeof(list) - (size_t)size, "%s%s", i ? ", " : "", names[i]);
    if (nearest)
        error_hint(&refusal->error, "did you mean %s?", nearest);
    else
        error_hint(&refusal->error, "known operations: %.250s", set->count ? list : "none");
    free(names);
}

static bool bind_calls(struct work *work, const struct operation_set *set, Wire__Call *const *calls,
                       size_t count, struct work_refusal *refusal)
{
    for (size_t i = 0; i < count; i++) {
        const Wire__Call *call = calls[i];
        refusal->operation = call->operation;
        const struct operation *operation = operation_find(set, call->operation);
        if (!operation) {
            refuse_operation(set, call->operation, refusal);
            return false;
        }
        refusal->code = "bad_argument";
        if (!operation_bind(operation, call->arguments, strlen(call->arguments), (int)i,
                            &work->bindings[i], &refusal->error))
            return false;
        work->operations[i] = operation;
        work->bound++;
    }
    return true;
}

/* An agent has statements and a service has handlers: a set has one kind alone. */
static void join_calls(struct work *work)
{
    if (!work->operations[0]->handler)
        return;
    work->calls = xcalloc((size_t)work->bound, sizeof(*work->calls));
    for (int i = 0; i < work->bound; i++) {
        CHECK(work->bindings[i].call.handler);
        work->calls[i] = work->bindings[i].call;
    }
    work->request.calls = work->calls;
}

/* All statements of all calls in one row, in their order. */
static void join(struct work *work, bool one_phase)
{
    int count = 0;
    bool read_only = true;
    for (int i = 0; i < work->bound; i++) {
        count += work->bindings[i].count;
        read_only = read_only && work->operations[i]->read_only;
    }
    work->statements = xcalloc((size_t)count + 1, sizeof(*work->statements));
    int at = 0;
    for (int i = 0; i < work->bound; i++) {
        for (int j = 0; j < work->bindings[i].count; j++)
            work->statements[at++] = work->bindings[i].statements[j];
    }
    work->request = (struct db_work){
        .mode = read_only   ? DB_READ_ONLY
                : one_phase ? DB_ONE_PHASE
                            : DB_PREPARE,
        .gid = work->gid,
        .gtrid = work->gtrid,
        .statements = work->statements,
        .statement_count = count,
        .call_count = work->bound,
    };
    join_calls(work);
}

static struct work *make(const struct operation_set *set, Wire__Call *const *calls, size_t count,
                         bool one_phase, struct work_refusal *refusal)
{
    struct work *work = xcalloc(1, sizeof(*work));
    work->bindings = xcalloc(count, sizeof(*work->bindings));
    work->operations = xcalloc(count, sizeof(*work->operations));
    if (!bind_calls(work, set, calls, count, refusal)) {
        work_free(work);
        return NULL;
    }
    join(work, one_phase);
    return work;
}

struct work *work_new(const struct operation_set *set, const Wire__Prepare *prepare,
                      const char *gid, const char *gtrid, struct work_refusal *refusal)
{
    *refusal = (struct work_refusal){.operation = "", .code = "bad_request"};
    if (prepare->n_calls == 0 || prepare->n_calls > LIMIT_CALLS) {
        error_set(&refusal->error, ERROR_PROTOCOL, "a branch has 1 to %d calls, not %zu",
                  LIMIT_CALLS, prepare->n_calls);
        return NULL;
    }
    struct work *work = make(set, prepare->calls, prepare->n_calls,
                             prepare->mode == WIRE__MODE__ONE_PHASE, refusal);
    if (work) {
        snprintf(work->gid, sizeof(work->gid), "%s", gid);
        snprintf(work->gtrid, sizeof(work->gtrid), "%s", gtrid);
    }
    return work;
}

struct work *work_new_task(const struct operation_set *set, const Wire__Call *call, const char *key,
                           struct work_refusal *refusal)
{
    *refusal = (struct work_refusal){.operation = "", .code = "bad_request"};
    Wire__Call *calls[] = {(Wire__Call *)call};
    struct work *work = make(set, calls, 1, true, refusal);
    if (!work)
        return NULL;
    CHECK(strlen(key) < sizeof(work->gtrid));
    strcpy(work->gtrid, key);
    work->request.keeps_result = work->request.mode == DB_ONE_PHASE;
    return work;
}

static void name_work(struct work *work, const struct gid *id, const char *gid)
{
    snprintf(work->gid, sizeof(work->gid), "%s", gid);
    gtrid_format(work->gtrid, id->cluster, id->coordinator, id->tx);
}

struct work *work_new_step(const struct operation_set *set, const Wire__Call *call,
                           const struct gid *id, const char *gid, struct work_refusal *refusal)
{
    *refusal = (struct work_refusal){.operation = "", .code = "bad_request"};
    Wire__Call *calls[] = {(Wire__Call *)call};
    struct work *work = make(set, calls, 1, false, refusal);
    if (!work)
        return NULL;
    name_work(work, id, gid);
    work->request.mode = DB_STEP; /* read-only calls, too: others may follow */
    return work;
}

struct work *work_new_end(enum db_mode mode, const struct gid *id, const char *gid)
{
    struct work *work = xcalloc(1, sizeof(*work));
    name_work(work, id, gid);
    work->request =
        (struct db_work){.mode = mode, .open = true, .gid = work->gid, .gtrid = work->gtrid};
    return work;
}

bool work_too_large(const struct work *work, const struct db_worked *worked)
{
    size_t size = 0;
    for (int i = 0; worked->results && i < work->request.call_count; i++)
        size += worked->results[i] ? strlen(worked->results[i]) : 0;
    return worked->too_large || size > LIMIT_RESULT_BYTES;
}
