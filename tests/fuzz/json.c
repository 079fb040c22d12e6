/* Any bytes as JSON: parsed or refused with a place; what is parsed is written back to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_value(struct json_writer *writer, const struct json *value)
{
    CHECK(value->raw_size > 0);
    if (value->type == JSON_STRING) {
        CHECK(strlen(value->text) == value->text_size);
        json_string_sized(writer, value->text, value->text_size);
    } else if (value->type == JSON_ARRAY) {
        json_open(writer, '[');
        for (int i = 0; i < value->count; i++)
            write_value(writer, &value->items[i]);
        json_close(writer, ']');
    } else if (value->type == JSON_OBJECT) {
        json_open(writer, '{');
        for (int i = 0; i < value->count; i++) {
            json_name(writer, value->members[i].name);
            write_value(writer, &value->members[i].value);
            CHECK(json_member(value, value->members[i].name) == &value->members[i].value);
        }
        json_close(writer, '}');
    } else {
        char *raw = xstrndup(value->raw, value->raw_size);
        CHECK(value->type != JSON_NUMBER || strcmp(raw, value->text) == 0);
        json_raw(writer, raw);
        free(raw);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    struct json *first = json_parse((const char *)data, size, &error);
    if (!first) {
        CHECK(error.kind == ERROR_USAGE && strstr(error.message, "line "));
        return 0;
    }
    struct json_writer once = {0}, twice = {0};
    write_value(&once, first);
    struct json *second = json_parse(once.text, once.size, &error);
    CHECK(second != NULL);
    write_value(&twice, second);
    CHECK(once.size == twice.size && memcmp(once.text, twice.text, once.size) == 0);
    json_writer_fini(&once);
    json_writer_fini(&twice);
    json_free(first);
    json_free(second);
    return 0;
}
