#include "saga/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "core/limits.h"
#include "saga/type.h"

/* Mistakes, one a line as error_format shows a detail. */
struct mistakes {
    char text[sizeof(((struct error *)0)->detail)];
    int count;
};

static void note(struct mistakes *mistakes, const char *format, const char *name, const char *more)
{
    size_t size = strlen(mistakes->text);
    if (size && size + 12 < sizeof(mistakes->text))
        size += (size_t)sprintf(mistakes->text + size, "\n          ");
    char line[300];
    snprintf(line, sizeof(line), format, name, more);
    snprintf(mistakes->text + size, sizeof(mistakes->text) - size, "%s", line);
    mistakes->count++;
}

static void check_unknown(const struct saga_plan *plan, const struct json *given,
                          struct mistakes *mistakes)
{
    const char *names[LIMIT_SAGA_INPUTS];
    for (int i = 0; i < plan->input_count; i++)
        names[i] = plan->inputs[i].name;
    for (int i = 0; i < given->count; i++) {
        const char *name = given->members[i].name;
        bool known = false;
        for (int j = 0; j < plan->input_count; j++)
            known = known || strcmp(names[j], name) == 0;
        const char *near = error_nearest(name, names, plan->input_count);
        if (!known && near)
            note(mistakes, "unknown input \"%.60s\"; did you mean \"%s\"?", name, near);
        else if (!known)
            note(mistakes, "unknown input \"%.60s\"%s", name, "");
    }
}

static void write_input(const struct saga_input *input, const struct json *given,
                        struct json_writer *out, struct mistakes *mistakes)
{
    const struct json *value = json_member(given, input->name);
    json_name(out, input->name);
    if (value && !type_fits(input->type, value)) {
        note(mistakes, "input %.60s: expected %s", input->name, type_phrase(input->type));
    } else if (value) {
        char *raw = xstrndup(value->raw, value->raw_size);
        json_raw(out, raw);
        free(raw);
    } else if (input->fallback) {
        json_raw(out, input->fallback);
    } else {
        note(mistakes, "the input \"%.60s\" (%s) is missing", input->name,
             saga_value_type_words[input->type]);
    }
}

char *saga_input_complete(const struct saga_plan *plan, const char *text, size_t size,
                          struct error *error)
{
    struct json *given = json_parse(text, size, error);
    if (!given)
        return NULL;
    struct mistakes mistakes = {.count = 0};
    struct json_writer out = {0};
    if (given->type != JSON_OBJECT)
        note(&mistakes, "expected a JSON object of the inputs of %s%s", plan->name, "");
    json_open(&out, '{');
    for (int i = 0; i < plan->input_count && given->type == JSON_OBJECT; i++)
        write_input(&plan->inputs[i], given, &out, &mistakes);
    json_close(&out, '}');
    if (given->type == JSON_OBJECT)
        check_unknown(plan, given, &mistakes);
    json_free(given);
    if (!mistakes.count && out.size > LIMIT_SAGA_VALUE_BYTES)
        note(&mistakes, "the input of %s is larger than %s", plan->name, "32 KiB");
    if (!mistakes.count)
        return out.text;
    json_writer_fini(&out);
    if (mistakes.count == 1) {
        error_set(error, ERROR_USAGE, "%s", mistakes.text);
        return NULL;
    }
    error_set(error, ERROR_USAGE, "saga %s: %d mistakes in the input", plan->name, mistakes.count);
    error_detail(error, "%s", mistakes.text);
    return NULL;
}
