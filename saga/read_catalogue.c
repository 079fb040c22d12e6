/* The operations of a participant's configuration. */
#include <stddef.h>

#include "io/yaml.h"
#include "saga/catalogue.h"

struct transfer {
    struct saga_findings *findings;
    const char *path;
};

static void transfer_mistake(void *self, int line, int column, const char *text)
{
    struct transfer *transfer = self;
    saga_mistake(transfer->findings, transfer->path, (struct saga_place){line, column}, "%s", text);
}

static void read_operations(struct yaml *yaml, const struct yaml_node *map,
                            struct catalogue_participant *participant)
{
    if (map && !yaml_is_map(map))
        yaml_mistake(yaml, map, "operations: expected a map of names to operations");
    for (int i = 0; yaml_is_map(map) && i < yaml_count(map); i++) {
        const struct yaml_node *node = yaml_value_at(map, i), *params = yaml_get(node, "params");
        bool read_only = yaml_boolean(yaml, yaml_get(node, "read_only"), false);
        struct catalogue_operation *operation =
            catalogue_add_operation(participant, yaml_key_at(map, i), read_only);
        for (int j = 0; yaml_is_map(params) && j < yaml_count(params); j++)
            catalogue_add_parameter(operation, yaml_key_at(params, j),
                                    yaml_string(yaml, yaml_value_at(params, j), "text"));
    }
}

void catalogue_read(struct catalogue *catalogue, const char *path, bool optional,
                    struct saga_findings *findings)
{
    struct error error = {0};
    struct yaml *yaml = yaml_load(path, &error);
    if (!yaml) {
        saga_mistake(findings, path, (struct saga_place){0}, "can't be read as a participant: %s",
                     error.message);
        return;
    }
    const struct yaml_node *root = yaml_root(yaml);
    if (optional && !yaml_get(root, "participant")) {
        yaml_free(yaml);
        return;
    }
    const char *name = yaml_string(yaml, yaml_need(yaml, root, "participant"), NULL);
    const struct yaml_node *operations = yaml_need(yaml, root, "operations");
    if (name)
        read_operations(yaml, operations, catalogue_add(catalogue, name));
    struct transfer transfer = {findings, path};
    yaml_mistakes(yaml, &transfer, transfer_mistake);
    yaml_free(yaml);
}
