#include "io/settings.h"

#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "io/http.h"
#include "io/nano.h"

void settings_mistake(struct yaml *yaml, const struct yaml_node *at, const struct error *error)
{
    yaml_mistake(yaml, at, "%s%s%s%s%s%s", error->message, error->detail[0] ? ": " : "",
                 error->detail, error->hint[0] ? " (" : "", error->hint, error->hint[0] ? ")" : "");
}

char *settings_name(struct yaml *yaml, const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = yaml_need(yaml, map, key);
    const char *name = yaml_string(yaml, node, NULL);
    if (name && !name_valid(name))
        yaml_mistake(yaml, node, "%s: \"%s\" is no name; a name is %s", key, name, name_rule);
    return xstrdup(name ? name : "");
}

const char *settings_address(struct yaml *yaml, const struct yaml_node *node)
{
    struct error error = {0};
    const char *address = yaml_string(yaml, node, NULL);
    if (address && !nano_address_check(address, true, &error))
        settings_mistake(yaml, node, &error);
    return address;
}

char *settings_file(struct yaml *yaml, const struct yaml_node *node, const char *key)
{
    const char *path = yaml_string(yaml, node, NULL);
    if (path && !path[0])
        yaml_mistake(yaml, node, "%s: empty; name a file", key);
    return path ? xstrdup(path) : NULL;
}

struct settings_log settings_log(struct yaml *yaml, const struct yaml_node *node)
{
    static const char *const keys[] = {"format", "level", NULL};
    static const char *const formats[] = {"text", "json", NULL};
    static const char *const levels[] = {"debug", "info", "warning", "error", NULL};
    struct settings_log log = {.format = LOG_TEXT, .level = LOG_INFO};
    if (!node || !yaml_map(yaml, node, keys))
        return log;
    if (yaml_word(yaml, yaml_get(node, "format"), formats, 0) == 1)
        log.format = LOG_JSON;
    log.level = (enum log_level)yaml_word(yaml, yaml_get(node, "level"), levels, LOG_INFO);
    return log;
}

char *settings_metrics(struct yaml *yaml, const struct yaml_node *node)
{
    static const char *const keys[] = {"listen", NULL};
    struct error error = {0};
    if (!node || !yaml_map(yaml, node, keys))
        return NULL;
    const struct yaml_node *at = yaml_need(yaml, node, "listen");
    const char *address = yaml_string(yaml, at, NULL);
    if (address && !http_address_check(address, &error))
        settings_mistake(yaml, at, &error);
    return address ? xstrdup(address) : NULL;
}

void settings_security(struct yaml *yaml, const struct yaml_node *map)
{
    const struct yaml_node *node = yaml_need(yaml, map, "security");
    if (!node)
        return;
    const char *word = yaml_is_scalar(node) ? yaml_string(yaml, node, "") : "";
    if (strcmp(word, "none") != 0)
        yaml_mistake(yaml, node,
                     "security: this version knows only `none`, and that only between "
                     "loopback addresses");
}
