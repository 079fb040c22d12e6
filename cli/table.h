/* A table of aligned columns, widths counted as a terminal shows them. */
#ifndef TROTH_CLI_TABLE_H
#define TROTH_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Columns that a terminal uses for the text, which must hold no control characters. */
int text_width(const char *text);

enum { TABLE_COLUMNS = 10 };

/* Zeros, then table_begin. Texts are copied, and escaped. */
struct table {
    int columns;
    char **cells; /* columns a row; the first row is the header */
    int cell_count, cell_room;
    /* Set after table_begin. On a terminal that is too narrow: these columns go, the first bit
     * first, before the last one is cut; and that is not cut at all when it is whole. */
    unsigned spare;
    unsigned right; /* set likewise: these columns hold numbers */
    bool whole;
};

/* headers: NULL-ended. */
void table_begin(struct table *table, const char *const *headers);
void table_add(struct table *table, const char *text);
void table_add_format(struct table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints header and rows, with this indentation. On a terminal the last column is cut to fit its
 * width; in a file or pipe nothing is cut, unless COLUMNS says where. Frees what the table holds.
 */
void table_end(struct table *table, FILE *file, int indent);

#endif
