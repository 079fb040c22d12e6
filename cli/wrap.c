#include "cli/wrap.h"

#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/table.h"
#include "core/check.h"

/* Fewer columns than this are no place for text: then lines may be too wide. */
enum { LEAST_COLUMNS = 16 };

/* Bytes of the word at text, and its columns: up to a space, or a comma within JSON, or as much as
 * has room. */
static size_t word_bytes(const char *text, int room, int *columns)
{
    size_t bytes = 0;
    *columns = 0;
    while (text[bytes] && text[bytes] != ' ') {
        uint32_t point = 0;
        char one[5] = {0};
        int size = utf8_next(text + bytes, &point);
        memcpy(one, text + bytes, (size_t)size);
        int width = text_width(one);
        if (*columns + width > room)
            break;
        *columns += width;
        bytes += (size_t)size;
        if (point == ',' && strchr("\"{[", text[bytes]))
            break;
    }
    return bytes;
}

void print_wrapped(FILE *file, const char *text, int at, const char *rail)
{
    char *plain = xstrdup(text);
    for (char *line = plain; (line = strchr(line, '\n'));)
        *line = ' ';
    char *safe = escaped(plain), *word = safe;
    int indent = text_width(rail), column = at, gap = 0;
    int room = PAGE_COLUMNS - indent > LEAST_COLUMNS ? PAGE_COLUMNS - indent : LEAST_COLUMNS;
    while (*word) {
        int columns;
        size_t bytes = word_bytes(word, room, &columns);
        if (column + gap + columns > indent + room && column > indent) {
            fprintf(file, "\n%s", rail);
            column = indent;
            gap = 0;
        }
        fprintf(file, "%*s%.*s", gap, "", (int)bytes, word);
        column += gap + columns;
        word += bytes;
        gap = *word == ' ';
        word += strspn(word, " ");
    }
    free(safe);
    free(plain);
}
