#include "participant/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/check.h"
#include "core/limits.h"

enum {
    CONNECTIONS = 16,
    CONNECTIONS_MOST = 1000,
    COORDINATORS_MOST = 16, /* each has a socket with two threads' worth of attention */
};

static const uint64_t lock_timeout_us = 2 * 1000 * 1000;

static void read_coordinators(struct yaml *yaml, const struct yaml_node *root,
                              struct config *config)
{
    const struct yaml_node *list = yaml_need(yaml, root, "coordinators");
    if (!list)
        return;
    int count = yaml_is_sequence(list) ? yaml_count(list) : 0;
    if (count < 1 || count > COORDINATORS_MOST) {
        yaml_mistake(yaml, list,
                     "coordinators: expected a list of 1 to %d addresses, as "
                     "[tcp://127.0.0.1:7400]",
                     COORDINATORS_MOST);
        return;
    }
    config->coordinators = xcalloc((size_t)count, sizeof(char *));
    for (int i = 0; i < count; i++) {
        const struct yaml_node *node = yaml_item(list, i);
        const char *address = settings_address(yaml, node);
        if (!address)
            continue;
        for (int j = 0; j < config->coordinator_count; j++) {
            if (strcmp(config->coordinators[j], address) == 0)
                yaml_mistake(yaml, node, "coordinator %s is listed twice", address);
        }
        config->coordinators[config->coordinator_count++] = xstrdup(address);
    }
}

/* It is told to the others as it stands, so they must be able to reach it. */
static void read_listen(struct yaml *yaml, const struct yaml_node *root, struct config *config)
{
    static const char *const every_address[] = {"tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"};
    const struct yaml_node *node = yaml_get(root, "listen");
    const char *address = yaml_string(yaml, node, NULL);
    if (!address)
        return;
    for (size_t i = 0; i < sizeof(every_address) / sizeof(*every_address); i++) {
        if (strncmp(address, every_address[i], strlen(every_address[i])) != 0)
            continue;
        yaml_mistake(yaml, node,
                     "listen: %s is every address of this machine, and the other participants are "
                     "told this one: write the one at which they reach it",
                     address);
        return;
    }
    address = settings_address(yaml, node);
    if (!address)
        return;
    if (strlen(address) > LIMIT_ADDRESS_BYTES)
        yaml_mistake(yaml, node, "listen: an address has at most %d characters",
                     LIMIT_ADDRESS_BYTES);
    for (int i = 0; i < config->coordinator_count; i++) {
        if (strcmp(config->coordinators[i], address) == 0)
            yaml_mistake(yaml, node, "listen: %s is a coordinator's address, not this one's",
                         address);
    }
    config->listen = xstrdup(address);
}

/* ---- the database -------------------------------------------------------------------------- */

/* postgresql://user:password@host, or ?password= */
static bool uri_has_password(const char *uri)
{
    const char *rest = strstr(uri, "://");
    const char *at = rest ? strchr(rest + 3, '@') : NULL;
    const char *colon = rest ? strchr(rest + 3, ':') : NULL;
    const char *slash = rest ? strchr(rest + 3, '/') : NULL;
    if (at && colon && colon < at && (!slash || at < slash))
        return true;
    return strstr(uri, "?password=") || strstr(uri, "&password=");
}

/* The words before each = outside of values, as libpq reads key = 'value' lists. */
static bool list_has_password(const char *at)
{
    while (*at) {
        at += strspn(at, " \t\r\n");
        size_t size = strcspn(at, " \t\r\n=");
        if (size == 8 && strncasecmp(at, "password", 8) == 0)
            return true;
        at += size;
        at += strspn(at, " \t\r\n");
        if (*at != '=')
            return false; /* not such a list: libpq says what is wrong with it */
        at++;
        at += strspn(at, " \t\r\n");
        bool quoted = *at == '\'';
        for (at += quoted; *at && (quoted ? *at != '\'' : !strchr(" \t\r\n", *at)); at++)
            at += *at == '\\' && at[1];
        at += quoted && *at;
    }
    return false;
}

static bool has_password(const char *conninfo)
{
    return strncmp(conninfo, "postgres", 8) == 0 && strstr(conninfo, "://")
               ? uri_has_password(conninfo)
               : list_has_password(conninfo);
}

static void read_postgres(struct yaml *yaml, const struct yaml_node *root, struct config *config)
{
    static const char *const keys[] = {"conninfo", "connections", "lock_timeout", NULL};
    const struct yaml_node *map = yaml_need(yaml, root, "postgres");
    config->connections = CONNECTIONS;
    config->lock_timeout_us = lock_timeout_us;
    if (!map || !yaml_map(yaml, map, keys))
        return;
    const struct yaml_node *node = yaml_need(yaml, map, "conninfo");
    const char *conninfo = yaml_string(yaml, node, NULL);
    if (conninfo && has_password(conninfo))
        yaml_mistake(yaml, node,
                     "conninfo: a password does not belong in this file; put it into "
                     "~/.pgpass (or passfile=FILE), or use service=NAME");
    if (conninfo)
        config->conninfo = xstrdup(conninfo);
    config->connections =
        (int)yaml_integer(yaml, yaml_get(map, "connections"), 1, CONNECTIONS_MOST, CONNECTIONS);
    node = yaml_get(map, "lock_timeout");
    config->lock_timeout_us = yaml_duration_us(yaml, node, lock_timeout_us);
    if (node && config->lock_timeout_us < 1000)
        yaml_mistake(yaml, node,
                     "lock_timeout: at least 1ms: no database sees a deadlock that "
                     "spans two of them");
}

/* ---- operations ---------------------------------------------------------------------------- */

static void read_parameters(struct yaml *yaml, const struct yaml_node *map,
                            struct operation *operation)
{
    if (map && !yaml_is_map(map)) {
        yaml_mistake(yaml, map, "params: expected a map of names to types, as {amount: numeric}");
        return;
    }
    for (int i = 0; i < yaml_count(map); i++) {
        const struct yaml_node *node = yaml_value_at(map, i);
        const char *type = yaml_string(yaml, node, NULL);
        struct error error = {0};
        if (type && !operation_parameter_add(operation, yaml_key_at(map, i), type, &error))
            settings_mistake(yaml, node, &error);
    }
}

static void read_statement(struct yaml *yaml, const struct yaml_node *map,
                           struct operation *operation)
{
    static const char *const keys[] = {"statement", "expect", "result", NULL};
    static const char *const expect_keys[] = {"rows", "else", NULL};
    static const char *const shapes[] = {"row", "rows", NULL};
    if (!yaml_map(yaml, map, keys))
        return;
    const struct yaml_node *node = yaml_need(yaml, map, "statement");
    const char *sql = yaml_string(yaml, node, NULL);
    int64_t rows = -1;
    const char *otherwise = NULL;
    const struct yaml_node *expect = yaml_get(map, "expect");
    if (expect && yaml_map(yaml, expect, expect_keys)) {
        rows = yaml_integer(yaml, yaml_need(yaml, expect, "rows"), 0, INT32_MAX, 0);
        otherwise = yaml_string(yaml, yaml_get(expect, "else"), NULL);
    }
    const struct yaml_node *result = yaml_get(map, "result");
    enum db_shape shape = !result                                   ? DB_NO_RESULT
                          : yaml_word(yaml, result, shapes, 0) == 1 ? DB_ROWS
                                                                    : DB_ROW;
    struct error error = {0};
    if (sql && !operation_statement_add(operation, sql, rows, otherwise, shape, &error))
        settings_mistake(yaml, node, &error);
}

static void read_operation(struct yaml *yaml, const char *name, const struct yaml_node *map,
                           struct operation_set *set)
{
    static const char *const keys[] = {"params", "read_only", "sql", NULL};
    struct error error = {0};
    if (!yaml_map(yaml, map, keys))
        return;
    bool read_only = yaml_boolean(yaml, yaml_get(map, "read_only"), false);
    struct operation *operation = operation_add(set, name, read_only, &error);
    if (!operation) {
        settings_mistake(yaml, map, &error);
        return;
    }
    read_parameters(yaml, yaml_get(map, "params"), operation);
    const struct yaml_node *sql = yaml_need(yaml, map, "sql");
    if (sql && !yaml_is_sequence(sql)) {
        yaml_mistake(yaml, sql, "sql: expected a list of statements, as [{statement: ...}]");
        return;
    }
    for (int i = 0; i < yaml_count(sql); i++)
        read_statement(yaml, yaml_item(sql, i), operation);
    /* A statement that was refused must not let its parameters seem unused as well. */
    if (sql && operation->statement_count == yaml_count(sql) && !operation_check(operation, &error))
        settings_mistake(yaml, map, &error);
}

static void read_operations(struct yaml *yaml, const struct yaml_node *root, enum config_of whose,
                            struct config *config)
{
    const struct yaml_node *map = yaml_get(root, "operations");
    if (!map && whose == CONFIG_AGENT)
        yaml_mistake(
            yaml, root,
            "the key \"operations\" is missing here; write \"operations: {}\" to offer none "
            "(only a service in C goes without it)");
    if (map && whose == CONFIG_SERVICE) {
        yaml_mistake(yaml, map,
                     "operations: a service offers functions (troth_service_offer) and takes no "
                     "statements: leave it out, or run troth-participant with this file");
        return;
    }
    if (map && !yaml_is_map(map)) {
        yaml_mistake(yaml, map, "operations: expected a map of names to operations");
        return;
    }
    for (int i = 0; i < yaml_count(map); i++)
        read_operation(yaml, yaml_key_at(map, i), yaml_value_at(map, i), &config->operations);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void read_all(struct yaml *yaml, enum config_of whose, struct config *config)
{
    static const char *const keys[] = {
        "cluster",  "participant", "coordinators", "listen", "log", "metrics",
        "postgres", "operations",  "security",     "audit",  NULL};
    const struct yaml_node *root = yaml_root(yaml);
    if (!yaml_map(yaml, root, keys))
        return;
    config->cluster = settings_name(yaml, root, "cluster");
    config->participant = settings_name(yaml, root, "participant");
    read_coordinators(yaml, root, config);
    read_listen(yaml, root, config);
    read_postgres(yaml, root, config);
    read_operations(yaml, root, whose, config);
    config->audit = settings_file(yaml, yaml_get(root, "audit"), "audit");
    config->log = settings_log(yaml, yaml_get(root, "log"));
    config->metrics = settings_metrics(yaml, yaml_get(root, "metrics"));
    settings_security(yaml, root);
}

bool config_load(const char *path, enum config_of whose, struct config *config, struct error *error)
{
    *config = (struct config){0};
    struct yaml *yaml = yaml_load(path, error);
    if (!yaml)
        return false;
    read_all(yaml, whose, config);
    bool good = yaml_check(yaml, error);
    yaml_free(yaml);
    if (!good)
        config_fini(config);
    return good;
}

void config_fini(struct config *config)
{
    for (int i = 0; i < config->coordinator_count; i++)
        free(config->coordinators[i]);
    free(config->coordinators);
    free(config->cluster);
    free(config->participant);
    free(config->listen);
    free(config->audit);
    free(config->metrics);
    free(config->conninfo);
    operation_set_fini(&config->operations);
    *config = (struct config){0};
}
