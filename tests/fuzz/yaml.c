/* Any bytes as a YAML file: loaded or refused, never a crash; what loads becomes valid JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "io/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_every_way(struct yaml *yaml, const struct yaml_node *node)
{
    static const char *const words[] = {"cluster", "operations", "with", NULL};
    yaml_string(yaml, node, NULL);
    yaml_integer(yaml, node, -5, 5, 0);
    yaml_boolean(yaml, node, false);
    yaml_duration_us(yaml, node, 0);
    yaml_word(yaml, node, words, 0);
    yaml_map(yaml, node, words);
    yaml_need(yaml, node, "cluster");
    for (int i = 0; i < yaml_count(node) && i < 50; i++)
        read_every_way(yaml, yaml_is_map(node) ? yaml_value_at(node, i) : yaml_item(node, i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    struct yaml *yaml = yaml_load_text("fuzz.yaml", (const char *)data, size, &error);
    if (!yaml) {
        CHECK(error.kind == ERROR_USAGE && error.message[0]);
        return 0;
    }
    if (yaml_check(yaml, &error)) {
        char *text = yaml_to_json(yaml_root(yaml));
        struct json *json = json_parse(text, strlen(text), &error);
        CHECK(json);
        json_free(json);
        free(text);
    }
    read_every_way(yaml, yaml_root(yaml));
    yaml_check(yaml, &error);
    yaml_free(yaml);
    return 0;
}
