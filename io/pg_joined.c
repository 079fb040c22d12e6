#include "io/pg_joined.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "core/limits.h"

enum {
    COLUMNS = 16,                   /* of a result: so it is never too large */
    REFUSALS = 3,                   /* then it is not tried again */
    ADDED = 2,                      /* parameters: the key and the kind */
    COLUMN_BYTES = 64 * 6 + 2 + 40, /* name in JSON and value */
};
/* In front of the key: of this transaction alone. */
#define LAZILY                                                                                     \
    "case when pg_catalog.set_config('synchronous_commit', 'off', true) is not null then "
#define SEVERAL_ROWS "21000" /* of a subquery that must have one */

_Static_assert(COLUMNS *COLUMN_BYTES < LIMIT_RESULT_BYTES, "a result has room");

/* Types of a fixed size whose text is the same here and in pg_json. The functions take nothing that
 * has another text, so that a column that was given another type is refused. */
static const struct rule {
    Oid type;
    const char *format; /* of the column's number */
} rules[] = {
    {16, "case c%d when true then 'true' when false then 'false' end"},
    {20, "pg_catalog.textin(pg_catalog.int8out(c%d))"},
    {21, "pg_catalog.textin(pg_catalog.int2out(c%d))"},
    {23, "pg_catalog.textin(pg_catalog.int4out(c%d))"},
    {2950, "'\"' || pg_catalog.textin(pg_catalog.uuid_out(c%d)) || '\"'"},
};

/* ---- the result ------------------------------------------------------------------------------ */

static const struct rule *rule_of(Oid type)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].type == type)
            return &rules[i];
    return NULL;
}

/* Adds to *sql, which is given up for what is returned. */
static char *add(char *sql, const char *more)
{
    char *both = xasprintf("%s%s", sql, more);
    free(sql);
    return both;
}

/* '{"name":' as SQL has it: the quotes of a string are doubled. */
static char *add_literal(char *sql, const char *text)
{
    char *literal = xmalloc(2 * strlen(text) + 3), *to = literal;
    *to++ = '\'';
    for (const char *at = text; *at; at++) {
        if (*at == '\'')
            *to++ = '\'';
        *to++ = *at;
    }
    strcpy(to, "'");
    sql = add(sql, literal);
    free(literal);
    return sql;
}

static char *add_column(char *sql, const PGresult *result, int column, const struct rule *rule)
{
    struct json_writer writer = {0};
    char value[120];
    json_raw(&writer, column == 0 ? "{" : ",");
    writer.separator = false;
    json_name(&writer, PQfname(result, column));
    sql = add(sql, column == 0 ? "" : " || ");
    sql = add_literal(sql, writer.text);
    free(writer.text);
    sql = add(sql, " || coalesce(");
    snprintf(value, sizeof(value), rule->format, column + 1);
    sql = add(sql, value);
    return add(sql, ", 'null')");
}

static bool name_repeated(const PGresult *result, int column)
{
    for (int i = 0; i < column; i++)
        if (strcmp(PQfname(result, i), PQfname(result, column)) == 0)
            return true;
    return false;
}

/* The SQL of the first row's JSON; NULL: that can't be promised to be what pg_json makes of it. */
static char *kept_sql(const PGresult *result)
{
    int count = PQnfields(result);
    if (count == 0 || count > COLUMNS)
        return NULL;
    for (int i = 0; i < count; i++)
        if (!rule_of(PQftype(result, i)) || name_repeated(result, i))
            return NULL;
    char *sql = xstrdup("coalesce((select ");
    for (int i = 0; i < count; i++)
        sql = add_column(sql, result, i, rule_of(PQftype(result, i)));
    return add(sql, " || '}' from w limit 1), 'null')");
}

void pg_joined_learn(struct pg_statements *statements, const struct db_statement *statement,
                     const PGresult *result)
{
    struct pg_statement *known = pg_statement_get(statements, statement);
    if (known->learned || statement->form != DB_RETURNS || statement->shape != DB_ROW)
        return;
    known->learned = true;
    known->kept_columns = PQnfields(result);
    known->kept = kept_sql(result);
}

/* ---- the statement --------------------------------------------------------------------------- */

static bool has_result(const struct db_work *work, const struct db_statement *statement)
{
    return work->keeps_result && statement->shape != DB_NO_RESULT;
}

static bool is_looked_at(const struct db_work *work, const struct db_statement *statement)
{
    return statement->expect_rows >= 0 || has_result(work, statement);
}

/* "w" or "w (c1, c2)" */
static char *with_name(int columns)
{
    char *sql = xstrdup("w");
    for (int i = 0; i < columns; i++) {
        char column[16];
        snprintf(column, sizeof(column), "%sc%d", i ? ", " : " (", i + 1);
        sql = add(sql, column);
    }
    return columns ? add(sql, ")") : sql;
}

/* Null when the number of rows differs. One row is expected nearly always, and not to count them is
 * cheaper: several are an error then (pg_joined_refused). */
static char *kind_sql(int64_t expect_rows, int parameter)
{
    if (expect_rows < 0)
        return xasprintf("$%d", parameter);
    if (expect_rows == 1)
        return xasprintf("(select $%d from w)", parameter);
    return xasprintf("case (select count(*) from w) when %" PRId64 " then $%d end", expect_rows,
                     parameter);
}

/* A comment at its end ends with the line. */
static char *joined_sql(const struct db_statement *statement, const struct pg_statement *known,
                        bool result, bool lazy)
{
    int key = statement->parameter_count + 1;
    char *kind = kind_sql(statement->expect_rows, key + 1);
    char *name = with_name(result ? known->kept_columns : 0);
    char *sql =
        xasprintf("with %s as (%s\n%s) insert into troth.barrier (gtrid, kind%s)"
                  " values (%s$%d%s, %s%s%s)%s",
                  name, statement->sql, statement->form == DB_CHANGE ? "returning 1" : "",
                  result ? ", result" : "", lazy ? LAZILY : "", key, lazy ? " end" : "", kind,
                  result ? ", " : "", result ? known->kept : "", result ? " returning result" : "");
    free(name);
    free(kind);
    return sql;
}

static struct pg_statement *make(struct pg_statements *statements,
                                 const struct db_statement *statement, struct pg_statement *known,
                                 bool result, bool lazy)
{
    int count = statement->parameter_count;
    const char **types = xcalloc((size_t)(count + ADDED), sizeof(*types));
    for (int i = 0; i < count + ADDED; i++)
        types[i] = i < count ? statement->types[i] : "text";
    char *name = xasprintf("%s, joined%s", statement->name, lazy ? " lazily" : "");
    char *sql = joined_sql(statement, known, result, lazy);
    struct pg_statement *made = pg_statement_get(
        statements,
        &(struct db_statement){
            .name = name, .sql = sql, .parameter_count = count + ADDED, .types = types});
    free(sql);
    free(name);
    free(types);
    return made;
}

struct pg_statement *pg_joined_get(struct pg_statements *statements, const struct db_work *work)
{
    if (work->mode != DB_ONE_PHASE || work->statement_count == 0)
        return NULL;
    for (int i = 0; i < work->statement_count - 1; i++)
        if (is_looked_at(work, &work->statements[i]))
            return NULL;
    const struct db_statement *last = &work->statements[work->statement_count - 1];
    bool result = has_result(work, last);
    if (!is_looked_at(work, last) || (last->form != DB_CHANGE && last->form != DB_RETURNS) ||
        (last->shape != DB_NO_RESULT && !result))
        return NULL;
    struct pg_statement *known = pg_statement_get(statements, last);
    if (known->refusals == REFUSALS || (result && !known->kept))
        return NULL;
    if (!known->joined)
        known->joined = make(statements, last, known, result, false);
    return known->joined;
}

struct pg_statement *pg_joined_lazy(struct pg_statements *statements, const struct db_work *work,
                                    struct pg_statement *joined)
{
    const struct db_statement *last = &work->statements[work->statement_count - 1];
    if (!joined->lazy)
        joined->lazy = make(statements, last, pg_statement_get(statements, last),
                            has_result(work, last), true);
    return joined->lazy;
}

void pg_joined_send(struct pg_steps *steps, struct pg_statement *joined, const struct db_work *work)
{
    int index = work->statement_count - 1, count = work->statements[index].parameter_count;
    const char **values = xmalloc((size_t)(count + ADDED) * sizeof(*values));
    if (count > 0)
        memcpy(values, work->statements[index].values, (size_t)count * sizeof(*values));
    values[count] = work->gtrid;
    values[count + 1] = work->keeps_result ? "done" : "one-phase";
    pg_step_known(steps, STEP_JOINED, joined, index, values);
    free(values);
}

bool pg_joined_refused(struct pg_statements *statements, const struct db_statement *statement,
                       const char *sqlstate)
{
    struct pg_statement *known = pg_statement_get(statements, statement);
    if (strcmp(sqlstate, SEVERAL_ROWS) == 0)
        return true; /* it or the work itself: done apart it tells */
    if (strncmp(sqlstate, "42", 2) != 0 && strncmp(sqlstate, "0A", 2) != 0)
        return false;
    if (known->joined && known->joined->lazy)
        pg_statement_retire(statements, known->joined->lazy);
    if (known->joined)
        pg_statement_retire(statements, known->joined);
    free(known->kept);
    known->joined = NULL;
    known->kept = NULL;
    known->learned = false;
    if (known->refusals < REFUSALS)
        known->refusals++;
    return true;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static bool is_of_barrier(const PGresult *result, const char *sqlstate)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *schema = PQresultErrorField(result, PG_DIAG_SCHEMA_NAME);
    const char *table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);
    return state && schema && table && strcmp(state, sqlstate) == 0 &&
           strcmp(schema, "troth") == 0 && strcmp(table, "barrier") == 0;
}

bool pg_joined_is_duplicate(const PGresult *result)
{
    return is_of_barrier(result, "23505");
}

bool pg_joined_is_unexpected(const PGresult *result)
{
    const char *column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
    return is_of_barrier(result, "23502") && column && strcmp(column, "kind") == 0;
}
