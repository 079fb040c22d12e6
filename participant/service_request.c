/* What a handler can do with the request that it carries out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "core/text.h"
#include "participant/service.h"

enum { TOLD_BYTES = 1000 };

/* ---- what is asked ------------------------------------------------------------------------- */

const char *troth_arguments(const struct troth_request *request)
{
    return request->call->arguments;
}

const char *troth_request_id(const struct troth_request *request)
{
    return request->id;
}

/* It was checked to be an object before the handler was called. */
static const struct json *arguments(struct troth_request *request)
{
    const char *text = request->call->arguments;
    if (!request->arguments)
        request->arguments = json_parse(text, strlen(text), NULL);
    CHECK(request->arguments != NULL);
    return request->arguments;
}

const char *troth_argument(struct troth_request *request, const char *name)
{
    const struct json *value = json_member(arguments(request), name);
    if (!value || value->type == JSON_NULL)
        return NULL;
    if (value->text)
        return value->text;
    request->texts =
        xrealloc(request->texts, (size_t)(request->text_count + 1) * sizeof(*request->texts));
    return request->texts[request->text_count++] = xstrndup(value->raw, value->raw_size);
}

/* ---- what comes of it ---------------------------------------------------------------------- */

static void answer_clear(struct pg_handler_answer *answer)
{
    free(answer->result);
    free(answer->refusal);
    free(answer->sqlstate);
    free(answer->message);
    free(answer->detail);
    *answer = (struct pg_handler_answer){0};
}

/* It travels and is printed: what is neither text nor UTF-8 becomes question marks. No more of it
 * is told than a problem holds. */
static char *plain(const char *text)
{
    size_t size = strnlen(text, TOLD_BYTES);
    while (text[size] && size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--; /* not in the middle of a character */
    char *copy = xstrndup(text, size);
    for (char *at = copy; *at && !text_plain(copy); at++) {
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
            *at = *at == '\n' || *at == '\t' ? ' ' : '?';
    }
    return copy;
}

static bool refuse(struct troth_request *request, const char *refusal, const char *sqlstate,
                   const char *message, const char *detail)
{
    struct pg_handler_answer *answer = request->answer;
    answer_clear(answer);
    request->refused = true;
    answer->refusal = refusal ? xstrdup(refusal) : NULL;
    answer->sqlstate = sqlstate ? xstrdup(sqlstate) : NULL;
    answer->message = plain(message);
    answer->detail = plain(detail);
    return false;
}

bool troth_refuse(struct troth_request *request, const char *code, const char *message)
{
    const char *word = code && word_valid(code) ? code : "refused";
    return refuse(request, word, NULL, message ? message : word, "");
}

bool troth_sql_failed(struct troth_request *request, const PGresult *failed)
{
    const char *sqlstate = PQresultErrorField(failed, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(failed, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(failed, PG_DIAG_MESSAGE_DETAIL);
    ExecStatusType status = PQresultStatus(failed);
    if (failed && status != PGRES_FATAL_ERROR && status != PGRES_BAD_RESPONSE &&
        status != PGRES_PIPELINE_ABORTED)
        return refuse(request, "refused", NULL,
                      "its handler called a result an error that is none, but other than it "
                      "expected",
                      PQresStatus(status));
    /* libpq's own errors, which have no SQLSTATE, are about the connection. */
    return refuse(request, NULL, sqlstate ? sqlstate : "08006",
                  message && *message ? message : "the connection to the database failed",
                  detail ? detail : "");
}

bool troth_return(struct troth_request *request, const char *json)
{
    free(request->answer->result);
    request->answer->result = json ? xstrdup(json) : NULL;
    return true;
}

/* ---- the call ------------------------------------------------------------------------------ */

/* Nobody who asked could read it. */
static void check_result(struct troth_request *request)
{
    const char *result = request->answer->result;
    struct error error = {0};
    struct json *json = result ? json_parse(result, strlen(result), &error) : NULL;
    if (result && !json)
        refuse(request, "bad_result", NULL, "its handler returned what is no JSON", error.message);
    json_free(json);
}

void service_call(void *self, const struct db_call *call, const char *id, PGconn *connection,
                  struct pg_handler_answer *answer)
{
    const struct offer *offer = call->handler;
    struct troth_request request = {.call = call, .id = id, .answer = answer};
    (void)self;
    bool done = offer->handler(&request, connection, offer->self);
    if (!request.refused && done)
        check_result(&request);
    else if (!request.refused)
        troth_refuse(&request, "refused", "its handler refused, and did not say why");
    answer->done = !request.refused;
    for (int i = 0; i < request.text_count; i++)
        free(request.texts[i]);
    free(request.texts);
    json_free(request.arguments);
}
