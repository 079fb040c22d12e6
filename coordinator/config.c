#include "coordinator/config.h"

#include <stdlib.h>

#include "core/check.h"

#define SECOND_US 1000000ull

static const uint64_t retain_us = 7 * 24 * 3600 * SECOND_US;
static const uint64_t transaction_timeout_us = 30 * SECOND_US;
static const uint64_t heartbeat_us = SECOND_US / 2;

struct range {
    uint64_t least_us, most_us;
    const char *text;
};

static const struct range retain_range = {60 * SECOND_US, 366 * 24 * 3600 * SECOND_US,
                                          "from 1m to 366d"};
static const struct range transaction_range = {SECOND_US / 100, 24 * 3600 * SECOND_US,
                                               "from 10ms to 24h"};
/* Three of them pass until a peer that is gone is noticed. */
static const struct range heartbeat_range = {SECOND_US / 100, 60 * SECOND_US, "from 10ms to 1m"};

static uint64_t read_duration(struct yaml *yaml, const struct yaml_node *map, const char *key,
                              const struct range *range, uint64_t fallback_us)
{
    const struct yaml_node *node = yaml_get(map, key);
    uint64_t value_us = yaml_duration_us(yaml, node, fallback_us);
    if (node && (value_us < range->least_us || value_us > range->most_us))
        yaml_mistake(yaml, node, "%s: %s", key, range->text);
    return value_us;
}

static void read_journal(struct yaml *yaml, const struct yaml_node *map, struct config *config)
{
    static const char *const keys[] = {"store", "directory", "retain", NULL};
    static const char *const stores[] = {"file", NULL};
    config->retain_us = retain_us;
    if (!map || !yaml_map(yaml, map, keys))
        return;
    yaml_word(yaml, yaml_get(map, "store"), stores, 0);
    const struct yaml_node *node = yaml_need(yaml, map, "directory");
    const char *directory = yaml_string(yaml, node, NULL);
    if (directory && !directory[0])
        yaml_mistake(yaml, node, "directory: empty; name the folder of the journal");
    if (directory)
        config->journal_directory = xstrdup(directory);
    config->retain_us = read_duration(yaml, map, "retain", &retain_range, retain_us);
}

static void read_timeouts(struct yaml *yaml, const struct yaml_node *map, struct config *config)
{
    static const char *const keys[] = {"transaction", "heartbeat", NULL};
    config->transaction_timeout_us = transaction_timeout_us;
    config->heartbeat_us = heartbeat_us;
    if (!map || !yaml_map(yaml, map, keys))
        return;
    config->transaction_timeout_us =
        read_duration(yaml, map, "transaction", &transaction_range, transaction_timeout_us);
    config->heartbeat_us = read_duration(yaml, map, "heartbeat", &heartbeat_range, heartbeat_us);
}

static void read_sagas(struct yaml *yaml, const struct yaml_node *node, struct config *config)
{
    const char *folder = yaml_string(yaml, node, NULL);
    if (folder && !folder[0])
        yaml_mistake(yaml, node, "sagas: empty; name the folder of the sagas' definitions");
    if (folder)
        config->sagas = xstrdup(folder);
}

/* Beside the segments, which leave it alone: what people ordered goes with the journal. */
static void read_audit(struct yaml *yaml, const struct yaml_node *node, struct config *config)
{
    config->audit = settings_file(yaml, node, "audit");
    if (!config->audit && config->journal_directory)
        config->audit = xasprintf("%s/audit.log", config->journal_directory);
}

static void read_alerts(struct yaml *yaml, const struct yaml_node *map, struct config *config)
{
    static const char *const keys[] = {"command", NULL};
    enum { WORDS_MOST = 64 };
    if (!map || !yaml_map(yaml, map, keys))
        return;
    const struct yaml_node *list = yaml_need(yaml, map, "command");
    int count = list && yaml_is_sequence(list) ? yaml_count(list) : 0;
    if (list && (count < 1 || count > WORDS_MOST)) {
        yaml_mistake(yaml, list,
                     "command: expected a list of 1 to %d words, as [/usr/local/bin/page, --now]: "
                     "no shell reads it",
                     WORDS_MOST);
        return;
    }
    config->alerts = xcalloc((size_t)count + 1, sizeof(char *));
    for (int i = 0; i < count; i++)
        config->alerts[i] = xstrdup(yaml_string(yaml, yaml_item(list, i), ""));
    if (count > 0 && !config->alerts[0][0])
        yaml_mistake(yaml, yaml_item(list, 0), "command: the first word is a program's name");
}

static void read_all(struct yaml *yaml, struct config *config)
{
    static const char *const keys[] = {"cluster", "coordinator", "listen", "journal",
                                       "sagas",   "timeouts",    "log",    "metrics",
                                       "alerts",  "security",    "audit",  NULL};
    const struct yaml_node *root = yaml_root(yaml);
    if (!yaml_map(yaml, root, keys))
        return;
    config->cluster = settings_name(yaml, root, "cluster");
    config->coordinator = settings_name(yaml, root, "coordinator");
    const char *listen = settings_address(yaml, yaml_need(yaml, root, "listen"));
    if (listen)
        config->listen = xstrdup(listen);
    read_journal(yaml, yaml_need(yaml, root, "journal"), config);
    read_audit(yaml, yaml_get(root, "audit"), config);
    read_sagas(yaml, yaml_get(root, "sagas"), config);
    read_timeouts(yaml, yaml_get(root, "timeouts"), config);
    config->log = settings_log(yaml, yaml_get(root, "log"));
    config->metrics = settings_metrics(yaml, yaml_get(root, "metrics"));
    read_alerts(yaml, yaml_get(root, "alerts"), config);
    settings_security(yaml, root);
}

bool config_load(const char *path, struct config *config, struct error *error)
{
    *config = (struct config){0};
    struct yaml *yaml = yaml_load(path, error);
    if (!yaml)
        return false;
    read_all(yaml, config);
    bool good = yaml_check(yaml, error);
    yaml_free(yaml);
    if (!good)
        config_fini(config);
    return good;
}

void config_fini(struct config *config)
{
    free(config->cluster);
    free(config->coordinator);
    free(config->listen);
    free(config->journal_directory);
    free(config->audit);
    free(config->sagas);
    free(config->metrics);
    for (int i = 0; config->alerts && config->alerts[i]; i++)
        free(config->alerts[i]);
    free(config->alerts);
    *config = (struct config){0};
}
