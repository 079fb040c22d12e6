/* Reading the values of a loaded file; each mistake is noted with its place. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/yaml_node.h"

static const char *label(const struct yaml_node *node)
{
    return node->key ? node->key : "value";
}

bool yaml_is_null(const struct yaml_node *node)
{
    if (node->type != NODE_SCALAR || !node->plain)
        return false;
    const char *text = node->text;
    return !*text || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null") ||
           !strcmp(text, "NULL");
}

/* The text of a scalar that has one; NULL, with a mistake, for everything else. */
static const char *scalar_text(struct yaml *yaml, const struct yaml_node *node, const char *what)
{
    if (node->type != NODE_SCALAR)
        yaml_mistake(yaml, node, "%.60s: expected %s, not a %s", label(node), what,
                     node->type == NODE_MAP ? "map" : "list");
    else if (yaml_is_null(node))
        yaml_mistake(yaml, node, "%.60s: has no value; expected %s", label(node), what);
    else
        return node->text;
    return NULL;
}

bool yaml_map(struct yaml *yaml, const struct yaml_node *map, const char *const *keys)
{
    if (!map)
        return false;
    if (map->type != NODE_MAP) {
        yaml_mistake(yaml, map, "%.60s: expected a map (key: value)", label(map));
        return false;
    }
    int known = 0;
    while (keys[known])
        known++;
    for (int i = 0; i < map->count; i++) {
        const struct yaml_node *name = map->names[i];
        int k = 0;
        while (k < known && strcmp(keys[k], name->text) != 0)
            k++;
        if (k < known || name->type != NODE_SCALAR) /* what is no scalar was told when loaded */
            continue;
        const char *near = error_nearest(name->text, keys, known);
        if (near)
            yaml_mistake(yaml, name, "unknown key \"%.60s\"; did you mean \"%s\"?", name->text,
                         near);
        else
            yaml_mistake(yaml, name, "unknown key \"%.60s\"", name->text);
    }
    return true;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->type != NODE_MAP)
        return NULL;
    for (int i = 0; i < map->count; i++) {
        if (map->names[i]->type == NODE_SCALAR && strcmp(map->names[i]->text, key) == 0)
            return map->items[i];
    }
    return NULL;
}

const struct yaml_node *yaml_need(struct yaml *yaml, const struct yaml_node *map, const char *key)
{
    const struct yaml_node *found = yaml_get(map, key);
    if (!found && map && map->type == NODE_MAP)
        yaml_mistake(yaml, map, "the key \"%s\" is missing here", key);
    return found;
}

const char *yaml_string(struct yaml *yaml, const struct yaml_node *node, const char *fallback)
{
    const char *text = node ? scalar_text(yaml, node, "text") : NULL;
    return text ? text : fallback;
}

int64_t yaml_integer(struct yaml *yaml, const struct yaml_node *node, int64_t low, int64_t high,
                     int64_t fallback)
{
    const char *text = node ? scalar_text(yaml, node, "a whole number") : NULL;
    if (!text)
        return fallback;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits =
        text[0] == '-' ? text[1] >= '0' && text[1] <= '9' : text[0] >= '0' && text[0] <= '9';
    if (!node->plain || !digits || *end) {
        yaml_mistake(yaml, node, "%.60s: expected a whole number, not \"%.60s\"", label(node),
                     text);
        return fallback;
    }
    if (errno == ERANGE || value < low || value > high) {
        yaml_mistake(yaml, node, "%.60s: %.60s is not from %" PRId64 " to %" PRId64, label(node),
                     text, low, high);
        return fallback;
    }
    return value;
}

bool yaml_boolean(struct yaml *yaml, const struct yaml_node *node, bool fallback)
{
    const char *text = node ? scalar_text(yaml, node, "true or false") : NULL;
    if (!text)
        return fallback;
    if (node->plain && (!strcmp(text, "true") || !strcmp(text, "false")))
        return text[0] == 't';
    yaml_mistake(yaml, node, "%.60s: expected true or false, not \"%.60s\"", label(node), text);
    return fallback;
}

/* The factor of a unit, 0 when there is none of that name. */
static uint64_t unit_us(const char *unit)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"us", 1},
                 {"ms", 1000},
                 {"s", 1000 * 1000},
                 {"m", 60ull * 1000 * 1000},
                 {"h", 3600ull * 1000 * 1000},
                 {"d", 86400ull * 1000 * 1000}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].name) == 0)
            return units[i].us;
    }
    return 0;
}

bool duration_parse(const char *text, uint64_t *us)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t factor = unit_us(text + digits);
    if (!digits || digits > 15 || !factor)
        return false;
    uint64_t count = strtoull(text, NULL, 10);
    /* A hundred years: no sum of a clock and two durations overflows. */
    if (count > 36500ull * 86400 * 1000 * 1000 / factor)
        return false;
    *us = count * factor;
    return true;
}

uint64_t yaml_duration_us(struct yaml *yaml, const struct yaml_node *node, uint64_t fallback)
{
    const char *text = node ? scalar_text(yaml, node, "a duration such as 500ms, 30s or 7d") : NULL;
    uint64_t us;
    if (!text)
        return fallback;
    if (duration_parse(text, &us))
        return us;
    if (*text && !text[strspn(text, "0123456789")])
        yaml_mistake(yaml, node, "%.60s: %.40s has no unit: write %.40sms, %.40ss or %.40sm",
                     label(node), text, text, text, text);
    else
        yaml_mistake(yaml, node,
                     "%.60s: \"%.60s\" is not a duration such as 500ms, 30s, 5m, 2h or 7d",
                     label(node), text);
    return fallback;
}

int yaml_word(struct yaml *yaml, const struct yaml_node *node, const char *const *words,
              int fallback)
{
    if (!node)
        return fallback;
    char list[200] = "";
    int count = 0;
    for (; words[count]; count++) {
        size_t size = strlen(list);
        snprintf(list + size, sizeof(list) - size, "%s%s", count ? ", " : "", words[count]);
    }
    const char *text = scalar_text(yaml, node, list);
    if (!text)
        return fallback;
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], text) == 0)
            return i;
    }
    const char *near = error_nearest(text, words, count);
    yaml_mistake(yaml, node, "%.60s: \"%.60s\" is not one of %s%s%s%s", label(node), text, list,
                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return fallback;
}

int yaml_count(const struct yaml_node *node)
{
    return node ? node->count : 0;
}

const struct yaml_node *yaml_item(const struct yaml_node *sequence, int index)
{
    if (!sequence || sequence->type != NODE_SEQUENCE || index < 0 || index >= sequence->count)
        return NULL;
    return sequence->items[index];
}

const char *yaml_key_at(const struct yaml_node *map, int index)
{
    if (!map || map->type != NODE_MAP || index < 0 || index >= map->count)
        return NULL;
    return map->names[index]->text;
}

const struct yaml_node *yaml_value_at(const struct yaml_node *map, int index)
{
    if (!map || map->type != NODE_MAP || index < 0 || index >= map->count)
        return NULL;
    return map->items[index];
}

bool yaml_is_map(const struct yaml_node *node)
{
    return node && node->type == NODE_MAP;
}

bool yaml_is_sequence(const struct yaml_node *node)
{
    return node && node->type == NODE_SEQUENCE;
}

bool yaml_is_scalar(const struct yaml_node *node)
{
    return node && node->type == NODE_SCALAR;
}

int yaml_line(const struct yaml_node *node)
{
    return node ? node->line : 0;
}
