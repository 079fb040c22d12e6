#include "io/pg_json.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"

/* Fixed in PostgreSQL's pg_type.dat; a domain comes with its base type's. */
enum {
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802,
};

static void value_write(struct json_writer *writer, Oid type, const char *text, size_t size)
{
    switch (type) {
    case OID_BOOL:
        json_boolean(writer, text[0] == 't');
        return;
    case OID_JSON:
    case OID_JSONB:
        json_raw(writer, text);
        return;
    case OID_INT8:
    case OID_INT2:
    case OID_INT4:
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC:
        if (isdigit((unsigned char)text[text[0] == '-'])) {
            json_raw(writer, text);
            return;
        }
        break; /* NaN, Infinity */
    default:
        break;
    }
    json_string_sized(writer, text, size);
}

/* How many columns before this one have its name. */
static int repeated(const PGresult *result, int column)
{
    int count = 0;
    for (int i = 0; i < column; i++)
        count += strcmp(PQfname(result, i), PQfname(result, column)) == 0;
    return count;
}

static void row_write(struct json_writer *writer, const PGresult *result, int row)
{
    json_open(writer, '{');
    for (int column = 0; column < PQnfields(result); column++) {
        int before = repeated(result, column);
        if (before == 0) {
            json_name(writer, PQfname(result, column));
        } else {
            char name[128];
            snprintf(name, sizeof(name), "%s_%d", PQfname(result, column), before + 1);
            json_name(writer, name);
        }
        if (PQgetisnull(result, row, column))
            json_raw(writer, "null");
        else
            value_write(writer, PQftype(result, column), PQgetvalue(result, row, column),
                        (size_t)PQgetlength(result, row, column));
    }
    json_close(writer, '}');
}

char *pg_json(const PGresult *result, enum db_shape shape)
{
    struct json_writer writer = {0};
    if (shape == DB_NO_RESULT)
        return NULL;
    if (shape == DB_ROW) {
        if (PQntuples(result) == 0)
            json_raw(&writer, "null");
        else
            row_write(&writer, result, 0);
        return writer.text;
    }
    json_open(&writer, '[');
    for (int row = 0; row < PQntuples(result); row++)
        row_write(&writer, result, row);
    json_close(&writer, ']');
    return writer.text;
}
