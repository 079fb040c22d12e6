#include "database.h"

#include <stdio.h>
#include <string.h>

/* ---- problems ------------------------------------------------------------------------------ */

static void problem_set(struct problem *problem, bool passing, const char *code,
                        const char *message)
{
    problem->passing = passing;
    snprintf(problem->code, sizeof(problem->code), "%s", code);
    snprintf(problem->message, sizeof(problem->message), "%.*s", (int)strcspn(message, "\n"),
             message);
}

static void problem_of_words(struct problem *problem, const char *words)
{
    size_t size = strcspn(words, ":");
    snprintf(problem->code, sizeof(problem->code), "%.*s", (int)size, words);
    snprintf(problem->message, sizeof(problem->message), "%s", words + size + 2);
    problem->passing = false;
}

/* Bad data (22) and what the schema forbids (23) are the caller's mistakes, for ever. A lock, a
 * deadlock or a server that shuts down is not. */
static bool is_for_ever(const char *sqlstate)
{
    return strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0;
}

static void problem_of_sql(struct problem *problem, PGresult *said, PGconn *connection)
{
    const char *code = PQresultErrorField(said, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(said, PG_DIAG_MESSAGE_PRIMARY);
    problem_set(problem, !code || !is_for_ever(code), code ? code : "database_away",
                message ? message : PQerrorMessage(connection));
    problem->said = said;
}

void problem_of_troth(struct problem *problem, const struct troth_result *result)
{
    problem_set(problem, !is_for_ever(result->problem.code), result->problem.code,
                result->problem.message);
}

char *problem_answer(struct problem *problem)
{
    static const char format[] = "{\"status\": %s, \"code\": %s, \"message\": %s}";
    const char *status = problem->passing ? "failed" : "refused";
    char *answer = troth_json(format, status, problem->code, problem->message);
    if (!answer) /* the message is no UTF-8: cut within a character, or before one has logged in */
        answer = troth_json(format, status, problem->code, "");
    problem_clear(problem);
    return answer;
}

void problem_clear(struct problem *problem)
{
    PQclear(problem->said);
    *problem = (struct problem){0};
}

/* ---- the connection ------------------------------------------------------------------------ */

PGconn *database_connection(struct database *database, struct problem *problem)
{
    PGconn *connection = database->connection;
    if (connection && PQstatus(connection) == CONNECTION_OK &&
        PQtransactionStatus(connection) == PQTRANS_IDLE)
        return connection;
    database_close(database);
    /* A lock is waited for shortly: no database sees a deadlock that spans two of them. Texts are
     * those of JSON, whatever encoding the database has. */
    static const char *const names[] = {"dbname", "connect_timeout", "client_encoding", "options",
                                        NULL};
    const char *const values[] = {database->conninfo, "3", "UTF8", "-c lock_timeout=2s", NULL};
    connection = PQconnectdbParams(names, values, true);
    if (connection && PQstatus(connection) == CONNECTION_OK)
        return database->connection = connection;
    problem_set(problem, true, "database_away",
                connection ? PQerrorMessage(connection) : "no memory");
    PQfinish(connection);
    return NULL;
}

void database_close(struct database *database)
{
    PQfinish(database->connection);
    database->connection = NULL;
}

/* ---- statements ---------------------------------------------------------------------------- */

bool change_one_row(PGconn *connection, const char *statement, const char *const values[],
                    const char *otherwise, PGresult **row, struct problem *problem)
{
    int count = 0;
    while (values[count])
        count++;
    PGresult *result = PQexecParams(connection, statement, count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        problem_of_sql(problem, result, connection);
        return false;
    }
    bool one = strcmp(PQcmdTuples(result), "1") == 0;
    if (one && row)
        *row = result;
    else
        PQclear(result);
    if (!one)
        problem_of_words(problem, otherwise);
    return one;
}
