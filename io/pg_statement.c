#include "io/pg_statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

void pg_statements_init(struct pg_statements *statements)
{
    *statements = (struct pg_statements){.last_id = -1};
    list_init(&statements->all);
}

void pg_statements_fini(struct pg_statements *statements)
{
    while (!list_empty(&statements->all)) {
        struct pg_statement *statement = CONTAINER(statements->all.next, struct pg_statement, link);
        list_remove(&statement->link);
        free(statement->name);
        free(statement->sql);
        free(statement->kept);
        free(statement->types);
        free(statement);
    }
    map_fini(&statements->map);
    for (int i = 0; i < statements->type_count; i++) {
        free(statements->types[i]->name);
        free(statements->types[i]);
    }
    free(statements->types);
}

static struct pg_type *type_get(struct pg_statements *statements, const char *name)
{
    for (int i = 0; i < statements->type_count; i++)
        if (strcmp(statements->types[i]->name, name) == 0)
            return statements->types[i];
    struct pg_type *type = xcalloc(1, sizeof(*type));
    type->name = xstrdup(name);
    statements->types = xrealloc(statements->types,
                                 (size_t)(statements->type_count + 1) * sizeof(struct pg_type *));
    statements->types[statements->type_count++] = type;
    return type;
}

static bool same(const struct map_node *node, const void *key)
{
    const struct pg_statement *statement = CONTAINER(node, const struct pg_statement, node);
    const struct db_statement *wanted = key;
    return strcmp(statement->name, wanted->name) == 0 && strcmp(statement->sql, wanted->sql) == 0;
}

struct pg_statement *pg_statement_get(struct pg_statements *statements,
                                      const struct db_statement *wanted)
{
    uint64_t hash = hash_bytes(wanted->name, strlen(wanted->name));
    struct map_node *found = map_find(&statements->map, hash, same, wanted);
    if (found)
        return CONTAINER(found, struct pg_statement, node);
    struct pg_statement *statement = xcalloc(1, sizeof(*statement));
    statement->name = xstrdup(wanted->name);
    statement->sql = xstrdup(wanted->sql);
    statement->id = ++statements->last_id;
    snprintf(statement->server_name, sizeof(statement->server_name), "s%d", statement->id);
    statement->parameter_count = wanted->parameter_count;
    statement->types = xcalloc((size_t)wanted->parameter_count + 1, sizeof(struct pg_type *));
    for (int i = 0; i < wanted->parameter_count; i++)
        statement->types[i] = type_get(statements, wanted->types[i]);
    map_insert(&statements->map, &statement->node, hash);
    list_append(&statements->all, &statement->link);
    return statement;
}

void pg_statement_retire(struct pg_statements *statements, struct pg_statement *statement)
{
    if (statement->retired)
        return;
    statement->retired = true;
    map_remove(&statements->map, &statement->node);
}

void pg_statement_forget_types(struct pg_statement *statement)
{
    for (int i = 0; i < statement->parameter_count; i++)
        statement->types[i]->oid = 0;
}

void pg_statements_forget_types(struct pg_statements *statements)
{
    for (int i = 0; i < statements->type_count; i++)
        statements->types[i]->oid = 0;
}
