/* How io/yaml.c keeps what it loads, for those that read it. */
#ifndef TROTH_IO_YAML_NODE_H
#define TROTH_IO_YAML_NODE_H

#include "io/yaml.h"

enum node_type { NODE_SCALAR, NODE_SEQUENCE, NODE_MAP };

struct yaml_node {
    enum node_type type;
    bool plain; /* SCALAR: written without quotes */
    int line, column;
    const char *key;          /* its name in the map that holds it, or NULL */
    char *text;               /* SCALAR */
    int count, room;          /* SEQUENCE, MAP */
    struct yaml_node **items; /* SEQUENCE: items; MAP: values */
    struct yaml_node **names; /* MAP: the keys, scalars */
};

/* A plain scalar that YAML's core schema takes for no value: nothing, ~, null. */
bool yaml_is_null(const struct yaml_node *node);

#endif
