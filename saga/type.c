#include "saga/type.h"

#include <string.h>
#include <strings.h>

bool type_fits(enum saga_value_type type, const struct json *json)
{
    switch (type) {
    case SAGA_STRING:
        return json->type == JSON_STRING;
    case SAGA_INTEGER:
        return json->type == JSON_NUMBER && !strpbrk(json->text, ".eE");
    case SAGA_NUMBER:
        return json->type == JSON_NUMBER;
    case SAGA_BOOLEAN:
        return json->type == JSON_TRUE || json->type == JSON_FALSE;
    case SAGA_OBJECT:
        return json->type == JSON_OBJECT;
    case SAGA_ARRAY:
        return json->type == JSON_ARRAY;
    default:
        return true;
    }
}

const char *type_phrase(enum saga_value_type type)
{
    static const char *const phrases[] = {"a string",  "an integer", "a number", "true or false",
                                          "an object", "an array",   "anything"};
    return phrases[type];
}

enum saga_value_type type_of_parameter(const char *type)
{
    static const struct {
        const char *name;
        enum saga_value_type type;
    } types[] = {
        {"smallint", SAGA_INTEGER},
        {"int2", SAGA_INTEGER},
        {"integer", SAGA_INTEGER},
        {"int", SAGA_INTEGER},
        {"int4", SAGA_INTEGER},
        {"bigint", SAGA_INTEGER},
        {"int8", SAGA_INTEGER},
        {"numeric", SAGA_NUMBER},
        {"decimal", SAGA_NUMBER},
        {"real", SAGA_NUMBER},
        {"float4", SAGA_NUMBER},
        {"float8", SAGA_NUMBER},
        {"boolean", SAGA_BOOLEAN},
        {"bool", SAGA_BOOLEAN},
        {"json", SAGA_ANY},
        {"jsonb", SAGA_ANY},
        {"double precision", SAGA_NUMBER},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcasecmp(types[i].name, type) == 0)
            return types[i].type;
    }
    return SAGA_STRING;
}

bool type_may_be(enum saga_value_type from, enum saga_value_type to)
{
    if (from == SAGA_ANY || to == SAGA_ANY || from == to)
        return true;
    return (from == SAGA_INTEGER && to == SAGA_NUMBER) ||
           (from == SAGA_NUMBER && to == SAGA_INTEGER);
}
