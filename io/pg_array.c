#include "io/pg_array.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

/* Room for so many bytes more, and where they begin: behind the brace or a comma. */
static char *extend(struct pg_array *array, size_t most)
{
    if (array->size + most + 1 > array->room) {
        array->room = (array->size + most + 1) * 2;
        array->text = xrealloc(array->text, array->room);
    }
    array->text[array->size] = array->size == 0 ? '{' : ',';
    array->size++;
    return array->text + array->size;
}

void pg_array_number(struct pg_array *array, int64_t number)
{
    enum { MOST = 24 };
    char *to = extend(array, MOST);
    array->size += (size_t)snprintf(to, MOST, "%" PRId64, number);
}

void pg_array_text(struct pg_array *array, const char *text)
{
    char *to = extend(array, 2 * strlen(text) + 2);
    *to++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            *to++ = '\\';
        *to++ = *text;
    }
    *to++ = '"';
    array->size = (size_t)(to - array->text);
}

const char *pg_array_end(struct pg_array *array)
{
    extend(array, 1);
    if (array->size == 1)
        array->size++; /* nothing was added: the brace stays */
    array->text[array->size - 1] = '}';
    array->text[array->size] = '\0';
    return array->text;
}

void pg_array_fini(struct pg_array *array)
{
    free(array->text);
    *array = (struct pg_array){0};
}
