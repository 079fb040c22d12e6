/* One array parameter as PostgreSQL reads it: {1,2} or {"a","b"}. Starts as zeros. */
#ifndef TROTH_IO_PG_ARRAY_H
#define TROTH_IO_PG_ARRAY_H

#include <stddef.h>
#include <stdint.h>

struct pg_array {
    char *text;
    size_t size, room;
};

void pg_array_number(struct pg_array *array, int64_t number);
void pg_array_text(struct pg_array *array, const char *text);
/* Valid until fini; nothing may be added after it. */
const char *pg_array_end(struct pg_array *array);
void pg_array_fini(struct pg_array *array);

#endif
