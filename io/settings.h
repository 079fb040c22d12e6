/* What the configurations of all daemons have in common, read from YAML with io/yaml.h. A mistake
 * is noted in the yaml, and a harmless value returned. */
#ifndef TROTH_IO_SETTINGS_H
#define TROTH_IO_SETTINGS_H

#include "io/log.h"
#include "io/yaml.h"

struct settings_log {
    enum log_format format;
    enum log_level level;
};

/* A cluster's, coordinator's or participant's name: must be there. The caller frees it. */
char *settings_name(struct yaml *yaml, const struct yaml_node *map, const char *key);
/* An address this process may use, at a node that may be missing: NULL then, else its text, alive
 * as long as the yaml. With security none it must be a loopback address. */
const char *settings_address(struct yaml *yaml, const struct yaml_node *node);
/* The path of a file, at a node that may be missing: NULL then. The caller frees it. */
char *settings_file(struct yaml *yaml, const struct yaml_node *node, const char *key);
/* log: {format: text|json, level: debug|info|warning|error}; the node may be missing. */
struct settings_log settings_log(struct yaml *yaml, const struct yaml_node *node);
/* metrics: {listen: 127.0.0.1:7490}; the node may be missing: NULL then. The caller frees it. */
char *settings_metrics(struct yaml *yaml, const struct yaml_node *node);
/* security: must be there, and `none` is all that this version knows. */
void settings_security(struct yaml *yaml, const struct yaml_node *map);
/* Notes an error of another module at a node: message, detail and hint on one line. */
void settings_mistake(struct yaml *yaml, const struct yaml_node *at, const struct error *error);

#endif
