#include "cli/saga.h"

#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "client/saga_view.h"
#include "core/check.h"
#include "core/id.h"

bool saga_id_check(const char *word, struct error *error)
{
    struct gid id;
    if (gtrid_parse(word, &id))
        return true;
    error_set(error, ERROR_USAGE, "\"%.120s\" is no ID: cluster.coordinator.epoch.number", word);
    return name_valid(word)
               ? error_hint(error, "troth saga list --all --name %s shows the sagas of this name",
                            word)
               : error_hint(error, "troth saga list shows the sagas and their IDs");
}

struct connection *saga_connect(const struct options *options, struct error *error)
{
    struct connection *connection = connection_open(options, error);
    struct answerer who = {0};
    if (connection)
        who = connection_answerer(connection);
    if (!who.participant)
        return connection;
    connection_close(connection);
    error_set(error, ERROR_USAGE, "%s is where participant %s listens for others",
              options->coordinator, who.name);
    error_hint(error, "sagas are a coordinator's: --coordinator names it");
    return NULL;
}

bool saga_goes_back(const Wire__SagaView *saga)
{
    return strcmp(saga->state, "compensating") == 0 || strcmp(saga->state, "compensated") == 0;
}

enum error_kind saga_refusal(const Wire__Problem *problem)
{
    static const struct {
        const char *code;
        enum error_kind kind;
    } kinds[] = {
        {"busy", ERROR_BUSY},
        {"draining", ERROR_BUSY},
        {"key_conflict", ERROR_REFUSED},
        {"saga_ended", ERROR_REFUSED},
        {"past_pivot", ERROR_REFUSED},
        {"already_compensating", ERROR_REFUSED},
        {"unknown_signal", ERROR_REFUSED},
    };
    const char *code = problem ? problem->code : "";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(code, kinds[i].code) == 0)
            return kinds[i].kind;
    }
    return ERROR_USAGE;
}

/* ---- asking ------------------------------------------------------------------------------- */

static Wire__Answer *ask_page(struct connection *connection, const char *id, const char *from,
                              struct error *error)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__SAGA;
    query.saga = (char *)id; /* only packed, both */
    query.from = (char *)from;
    return connection_query(connection, &query, error);
}

/* Ids of sagas and of transactions look the same. */
static bool is_transaction(struct connection *connection, const char *id)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTION;
    query.gtrid = (char *)id; /* only packed */
    Wire__Answer *answer = connection_query(connection, &query, NULL);
    bool found = answer && answer->n_transactions > 0;
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    return found;
}

void saga_not_known(struct connection *connection, const char *id, struct error *error)
{
    struct answerer who = connection_answerer(connection);
    if (is_transaction(connection, id)) {
        error_set(error, ERROR_USAGE, "%s is a transaction, not a saga", id);
        error_hint(error, "troth tx show %s", id);
        return;
    }
    error_set(error, ERROR_PROTOCOL, "%s is not known to coordinator %s", id, who.name);
    error_hint(error, "what ended long ago is forgotten; troth saga list --all shows what is "
                      "known");
}

/* The saga of an answer, which is taken out of it; NULL with an error. */
static Wire__SagaView *take_saga(struct connection *connection, const char *id,
                                 Wire__Answer *answer, struct error *error)
{
    const Wire__Problem *problem = answer->problem;
    if (problem_is_set(problem) && strcmp(problem->code, "unknown_saga") != 0) {
        char *line = problem_line(problem);
        error_set(error, ERROR_USAGE, "%s", line);
        error_detail(error, "%s", problem->detail);
        error_hint(error, "%s", problem->hint);
        free(line);
        return NULL;
    }
    if (answer->n_sagas == 0) {
        saga_not_known(connection, id, error);
        return NULL;
    }
    Wire__SagaView *saga = answer->sagas[0];
    answer->sagas[0] = answer->sagas[--answer->n_sagas];
    return saga;
}

Wire__SagaView *saga_ask(struct connection *connection, const char *id, struct error *error)
{
    Wire__SagaView *saga = NULL;
    for (bool more = true; more;) {
        const char *from = saga && saga->n_steps ? saga->steps[saga->n_steps - 1]->path : "";
        Wire__Answer *answer = ask_page(connection, id, from, error);
        Wire__SagaView *page = answer ? take_saga(connection, id, answer, error) : NULL;
        more = page && answer->more > 0 && page->n_steps > 0;
        if (answer)
            wire__answer__free_unpacked(answer, NULL);
        if (page && saga) {
            saga_view_append(saga, page);
            wire__saga_view__free_unpacked(page, NULL);
        } else if (page) {
            saga = page;
        } else if (saga) {
            wire__saga_view__free_unpacked(saga, NULL);
            return NULL;
        }
    }
    if (saga)
        saga_view_count_depth(saga);
    return saga;
}

Wire__Answer *saga_ask_needing(struct connection *connection, uint32_t limit)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__SAGAS;
    query.needs_operator = query.unended = query.children = true;
    query.limit = limit;
    return connection_query(connection, &query, NULL);
}

bool saga_is_known(struct connection *connection, const char *id)
{
    Wire__Answer *answer = ask_page(connection, id, "", NULL);
    bool known = answer && answer->n_sagas > 0;
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    return known;
}

char *saga_ask_next(struct connection *connection, const char *id)
{
    Wire__Answer *answer = ask_page(connection, id, "", NULL);
    char *next = NULL;
    if (answer && answer->n_sagas && *answer->sagas[0]->next)
        next = xstrdup(answer->sagas[0]->next);
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    return next;
}
