#include "saga/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"

/* Every whole number up to this is a double, and is no other one. */
#define EXACT_MOST 9007199254740991.0

enum {
    DIGITS = 15,   /* a decimal of so many digits survives a double */
    ROUNDINGS = 4, /* what a few additions may differ by, in units of the last place */
};

/* ---- in ------------------------------------------------------------------------------------ */

static int significant_digits(const char *text)
{
    int digits = 0, zeros = 0;
    for (; *text && *text != 'e' && *text != 'E'; text++) {
        if (*text < '0' || *text > '9')
            continue;
        if (*text == '0' && !digits)
            continue;
        digits++;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return digits - zeros;
}

static bool number_from_text(const char *text, jv *out)
{
    double value = strtod(text, NULL);
    bool whole = !strpbrk(text, ".eE");
    bool zero = significant_digits(text) == 0;
    bool held = whole ? fabs(value) <= EXACT_MOST
                      : significant_digits(text) <= DIGITS && fabs(value) <= EXACT_MOST &&
                            (zero || fabs(value) >= 1e-100);
    *out = held ? jv_number(value) : jv_null();
    return held;
}

static bool container_from_json(const struct json *json, jv *out, const char **bad)
{
    bool object = json->type == JSON_OBJECT, good = true;
    jv all = object ? jv_object() : jv_array_sized(json->count ? json->count : 1);
    for (int i = 0; i < json->count && good; i++) {
        jv value;
        good = value_from_json(object ? &json->members[i].value : &json->items[i], &value, bad);
        if (object)
            all = jv_object_set(all, jv_string(json->members[i].name), value);
        else
            all = jv_array_append(all, value);
    }
    *out = all;
    return good;
}

bool value_from_json(const struct json *json, jv *out, const char **bad)
{
    switch (json->type) {
    case JSON_NULL:
        *out = jv_null();
        return true;
    case JSON_FALSE:
    case JSON_TRUE:
        *out = jv_bool(json->type == JSON_TRUE);
        return true;
    case JSON_NUMBER:
        if (number_from_text(json->text, out))
            return true;
        *bad = json->text;
        return false;
    case JSON_STRING:
        *out = jv_string_sized(json->text, (int)json->text_size);
        return true;
    default:
        return container_from_json(json, out, bad);
    }
}

/* ---- out ----------------------------------------------------------------------------------- */

static char problem[160];

static const char *write_number(double value, struct json_writer *out)
{
    char text[40];
    if (isnan(value) || isinf(value))
        return "the result is not a number";
    if (value == 0) {
        json_raw(out, "0"); /* never -0 */
        return NULL;
    }
    if (value == floor(value) && fabs(value) <= EXACT_MOST) {
        snprintf(text, sizeof(text), "%.0f", value);
        json_raw(out, text);
        return NULL;
    }
    if (value == floor(value)) {
        snprintf(problem, sizeof(problem),
                 "the number %.0f has more digits than can be computed with; a value is handed on "
                 "unchanged by its path alone",
                 value);
        return problem;
    }
    snprintf(text, sizeof(text), "%.*g", DIGITS, value);
    double unit = nextafter(fabs(value), INFINITY) - fabs(value);
    if (fabs(strtod(text, NULL) - value) <= ROUNDINGS * unit) {
        json_raw(out, text);
        return NULL;
    }
    snprintf(problem, sizeof(problem),
             "the number %.17g is not exact; round it, as in (EXPRESSION * 100 | round) / 100",
             value);
    return problem;
}

static const char *write_value(jv value, struct json_writer *out, int depth);

static const char *write_string(jv value, struct json_writer *out)
{
    size_t size = (size_t)jv_string_length_bytes(jv_copy(value));
    const char *text = jv_string_value(value);
    if (memchr(text, '\0', size))
        return "a text in the result has a zero byte";
    json_string_sized(out, text, size);
    return NULL;
}

static const char *write_array(jv value, struct json_writer *out, int depth)
{
    const char *wrong = NULL;
    json_open(out, '[');
    int count = jv_array_length(jv_copy(value));
    for (int i = 0; i < count && !wrong; i++)
        wrong = write_value(jv_array_get(jv_copy(value), i), out, depth);
    json_close(out, ']');
    return wrong;
}

static const char *write_object(jv value, struct json_writer *out, int depth)
{
    const char *wrong = NULL;
    json_open(out, '{');
    jv keys = jv_keys(jv_copy(value));
    int count = jv_array_length(jv_copy(keys));
    for (int i = 0; i < count && !wrong; i++) {
        jv key = jv_array_get(jv_copy(keys), i);
        wrong = write_string(key, out);
        out->separator = false;
        json_raw(out, ":");
        out->separator = false;
        if (!wrong)
            wrong = write_value(jv_object_get(jv_copy(value), jv_copy(key)), out, depth);
        jv_free(key);
    }
    jv_free(keys);
    json_close(out, '}');
    return wrong;
}

/* Frees the value. Bounded by what is written: a value may share parts with itself and be larger
 * as text than as memory. */
static const char *write_value(jv value, struct json_writer *out, int depth)
{
    const char *wrong = NULL;
    if (out->size > LIMIT_SAGA_VALUE_BYTES) {
        snprintf(problem, sizeof(problem), "the result is larger than %d KiB",
                 LIMIT_SAGA_VALUE_BYTES / 1024);
        wrong = problem;
    } else if (depth == LIMIT_SAGA_NESTING) {
        wrong = "the result is nested too deep";
    } else {
        switch (jv_get_kind(value)) {
        case JV_KIND_NULL:
            json_raw(out, "null");
            break;
        case JV_KIND_FALSE:
        case JV_KIND_TRUE:
            json_boolean(out, jv_get_kind(value) == JV_KIND_TRUE);
            break;
        case JV_KIND_NUMBER:
            wrong = write_number(jv_number_value(value), out);
            break;
        case JV_KIND_STRING:
            wrong = write_string(value, out);
            break;
        case JV_KIND_ARRAY:
            wrong = write_array(value, out, depth + 1);
            break;
        default:
            wrong = write_object(value, out, depth + 1);
            break;
        }
    }
    jv_free(value);
    return wrong;
}

const char *value_to_json(jv value, struct json_writer *out)
{
    const char *wrong = write_value(value, out, 0);
    if (wrong || out->size <= LIMIT_SAGA_VALUE_BYTES)
        return wrong;
    snprintf(problem, sizeof(problem), "the result is larger than %d KiB",
             LIMIT_SAGA_VALUE_BYTES / 1024);
    return problem;
}
