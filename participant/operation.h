/* Operations: the named units of work that a participant offers, SQL with named parameters, or a
 * handler of the host's. Loaded once, then only read. */
#ifndef TROTH_PARTICIPANT_OPERATION_H
#define TROTH_PARTICIPANT_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/ports.h"

struct operation_parameter {
    char *name;
    char *type; /* a PostgreSQL type name */
};

struct operation_statement {
    char *name; /* of the prepared statement: troth_<operation>_<n>, under 64 bytes */
    char *sql;  /* :name replaced by $n */
    enum db_form form;
    int *parameters; /* $n is the operation's parameter parameters[n-1] */
    int parameter_count;
    int64_t expect_rows; /* -1: any */
    char *otherwise;
    enum db_shape shape;
    const char **types; /* of $1 ... $n, pointers into the parameters */
};

struct operation {
    char *name;
    bool read_only;
    struct operation_parameter *parameters;
    int parameter_count;
    struct operation_statement *statements;
    int statement_count;
    const void *handler; /* the host's, instead of statements; NULL: none */
};

struct operation_set {
    struct operation *operations;
    int count;
};

void operation_set_fini(struct operation_set *set);
const struct operation *operation_find(const struct operation_set *set, const char *name);

/* Builds an operation piece by piece (the configuration does it from YAML, tests by hand): its
 * parameters, then its statements, then operation_check. Each returns false with an error that says
 * what is wrong; the set owns all it copies. The pointer lives until the next operation_add. */
struct operation *operation_add(struct operation_set *set, const char *name, bool read_only,
                                struct error *error);
bool operation_parameter_add(struct operation *operation, const char *name, const char *type,
                             struct error *error);
/* sql: one statement with :name parameters, which must be declared. expect_rows -1 for any;
 * otherwise: the reason when the number differs (NULL: "unexpected_rows"). */
bool operation_statement_add(struct operation *operation, const char *sql, int64_t expect_rows,
                             const char *otherwise, enum db_shape shape, struct error *error);

/* The host does its work, and there are no statements. */
void operation_handler_set(struct operation *operation, const void *handler);

/* Call it last: there is a statement, and each parameter is used; or there is a handler. */
bool operation_check(const struct operation *operation, struct error *error);

/* The statements of one call with its arguments bound, or the call itself for a handler. All that
 * it points to is owned by the binding, but for the operation's. */
struct operation_binding {
    struct db_statement *statements;
    int count;
    struct db_call call; /* its handler is NULL where there are statements */
    char *arguments;
    char **values; /* one a parameter, NULL for SQL's null */
    int value_count;
    const char **value_pointers;
};

/* arguments: a JSON object. null is SQL's null, whatever the type. Checks that each parameter is
 * there and of a fitting JSON type, and that nothing else is: an unknown name is refused with the
 * nearest known one. call: its index. */
bool operation_bind(const struct operation *operation, const char *arguments, size_t size, int call,
                    struct operation_binding *binding, struct error *error);
void operation_binding_fini(struct operation_binding *binding);

#endif
