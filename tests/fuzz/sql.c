/* Any bytes as an SQL template: refused with a place, or every name is a parameter's and the text
 * without its parameters is a template that stays as it is. */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "participant/sql_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const struct sql_template *parsed)
{
    for (int i = 0; i < parsed->count; i++) {
        char number[16];
        snprintf(number, sizeof(number), "$%d", i + 1);
        CHECK(parsed->names[i][0] && strlen(parsed->names[i]) <= LIMIT_WORD_BYTES);
        CHECK(strstr(parsed->sql, number));
        for (int j = 0; j < i; j++)
            CHECK(strcmp(parsed->names[i], parsed->names[j]) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    struct sql_template parsed, again;
    if (!sql_template_parse((const char *)data, size, &parsed, &error)) {
        CHECK(error.kind == ERROR_USAGE && strstr(error.message, "SQL, line "));
        return 0;
    }
    size_t length = strlen(parsed.sql);
    CHECK(length > 0);
    check_names(&parsed);
    if (parsed.count == 0) {
        CHECK(sql_template_parse(parsed.sql, length, &again, &error));
        CHECK(again.count == 0 && strcmp(again.sql, parsed.sql) == 0);
        sql_template_fini(&again);
    }
    sql_template_fini(&parsed);
    return 0;
}
