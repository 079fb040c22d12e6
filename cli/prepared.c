/* What is prepared in the databases, of Troth and of others. */
#include <stdlib.h>
#include <string.h>

#include "cli/evidence.h"
#include "cli/print.h"
#include "core/check.h"
#include "core/id.h"

enum prepared_kind prepared_kind(const Wire__PreparedView *prepared)
{
    struct gid id;
    bool ours = gid_parse(prepared->gid, &id);
    if (prepared->held)
        return PREPARED_HELD;
    if (!prepared->here)
        return PREPARED_ELSEWHERE;
    if (!ours)
        return PREPARED_FOREIGN;
    return prepared->judged ? PREPARED_IN_FLIGHT : PREPARED_ABANDONED;
}

const Wire__PreparedView *prepared_find(const Wire__Answer *answer, const char *gid,
                                        const Wire__Testimony **from)
{
    const Wire__PreparedView *found = NULL;
    for (size_t i = 0; i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        for (size_t k = 0; k < testimony->n_prepared; k++) {
            const Wire__PreparedView *prepared = testimony->prepared[k];
            if (strcmp(prepared->gid, gid) != 0 || (found && !prepared->here))
                continue;
            found = prepared;
            *from = testimony;
        }
    }
    return found;
}

Wire__Answer *prepared_ask(struct connection *connection, const char *participant,
                           struct error *error)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__PREPARED;
    query.participant = (char *)participant; /* only packed */
    return connection_query(connection, &query, error);
}

char *sql_literal(const char *text)
{
    char *out = xmalloc(2 * strlen(text) + 3), *to = out;
    *to++ = '\'';
    for (; *text; text++) {
        if (*text == '\'')
            *to++ = '\'';
        *to++ = *text;
    }
    *to++ = '\'';
    *to = '\0';
    return out;
}

static int refuse_found(const struct options *options, const Wire__PreparedView *prepared,
                        const Wire__Testimony *from)
{
    struct error error = {0};
    char *literal = sql_literal(prepared->gid);
    error_set(&error, ERROR_REFUSED, "\"%.200s\" is not Troth's: its owner ends it", prepared->gid);
    error_detail(&error, "prepared by %s in database %s of the server of %s", prepared->owner,
                 prepared->database, from->participant);
    error_hint(&error, "there, as %s: COMMIT PREPARED %s; or ROLLBACK PREPARED", prepared->owner,
               literal);
    free(literal);
    return print_failure(options, &error);
}

int foreign_refuse(const struct command *command, const struct options *options, const char *gid)
{
    const Wire__Testimony *from = NULL;
    const Wire__PreparedView *prepared = NULL;
    int code;
    struct connection *connection = connection_open(options, NULL);
    Wire__Answer *answer = connection ? prepared_ask(connection, "", NULL) : NULL;
    if (answer)
        prepared = prepared_find(answer, gid, &from);
    if (prepared)
        code = refuse_found(options, prepared, from);
    else
        code = arguments_refuse(command,
                                "\"%.120s\" is no GTRID: cluster.coordinator.epoch.number, as "
                                "troth tx list shows it",
                                gid);
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    if (connection)
        connection_close(connection);
    return code;
}
