#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/text.h"
#include "core/check.h"

enum { GAP = 2 };

/* 0 for marks that join the character before, 2 for those of double width, else 1. */
static int point_width(uint32_t point)
{
    static const uint32_t ranges[][3] = {
        {0x0300, 0x036f, 0},   {0x200b, 0x200f, 0},   {0x20d0, 0x20ff, 0},   {0xfe00, 0xfe0f, 0},
        {0x1100, 0x115f, 2},   {0x2e80, 0x303e, 2},   {0x3041, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},
        {0xf900, 0xfaff, 2},   {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},
        {0x1f300, 0x1f64f, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (point >= ranges[i][0] && point <= ranges[i][1])
            return (int)ranges[i][2];
    }
    return 1;
}

int text_width(const char *text)
{
    int width = 0;
    while (*text) {
        uint32_t point = 0;
        int bytes = utf8_next(text, &point);
        width += bytes ? point_width(point) : 1;
        text += bytes ? bytes : 1;
    }
    return width;
}

static void add_taken(struct table *table, char *text)
{
    if (table->cell_count == table->cell_room) {
        table->cell_room = table->cell_room ? 2 * table->cell_room : 64;
        table->cells = xrealloc(table->cells, (size_t)table->cell_room * sizeof(char *));
    }
    table->cells[table->cell_count++] = text;
}

void table_add(struct table *table, const char *text)
{
    add_taken(table, escaped(*text ? text : "-"));
}

void table_add_format(struct table *table, const char *format, ...)
{
    char text[1000];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    table_add(table, text);
}

void table_begin(struct table *table, const char *const *headers)
{
    while (headers[table->columns])
        table_add(table, headers[table->columns++]);
    CHECK(table->columns > 0 && table->columns <= TABLE_COLUMNS);
}

/* COLUMNS counts more than what the terminal says, and where there is none. */
static int terminal_width(FILE *file)
{
    enum { LEAST = 20, MOST = 10000 };
    const char *given = getenv("COLUMNS");
    long columns = given ? strtol(given, NULL, 10) : 0;
    if (columns >= LEAST && columns <= MOST)
        return (int)columns;
    struct winsize size;
    int number = fileno(file);
    if (!isatty(number))
        return 0;
    if (ioctl(number, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

/* The text, or as much of it as fits in room columns with an ellipsis. room 0: all of it. */
static void print_cut(FILE *file, const char *text, int room)
{
    if (room == 0 || text_width(text) <= room) {
        fputs(text, file);
        return;
    }
    int width = 0;
    while (*text) {
        uint32_t point = 0;
        int bytes = utf8_next(text, &point);
        width += point_width(point);
        if (width > room - 1)
            break;
        fwrite(text, 1, (size_t)(bytes ? bytes : 1), file);
        text += bytes ? bytes : 1;
    }
    fputs("\u2026", file);
}

static void measure(const struct table *table, int *widths)
{
    for (int i = 0; i < table->cell_count; i++) {
        int width = text_width(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
}

/* Columns that a line takes, those that are dropped (width 0) left out. */
static int line_width(const struct table *table, const int *widths)
{
    int sum = 0;
    for (int i = 0; i < table->columns; i++)
        sum += widths[i] > 0 ? widths[i] + (i + 1 < table->columns ? GAP : 0) : 0;
    return sum;
}

static void drop_spare(const struct table *table, int *widths, int room)
{
    for (int i = 0; i + 1 < table->columns && line_width(table, widths) > room; i++) {
        if (table->spare & 1u << i)
            widths[i] = 0;
    }
}

static void print_row(const struct table *table, char *const *cells, const int *widths, FILE *file,
                      int last_room)
{
    int last = table->columns - 1;
    for (int i = 0; i < last; i++) {
        if (widths[i] == 0)
            continue;
        int room = widths[i] - text_width(cells[i]);
        bool right = table->right & 1u << i;
        fprintf(file, "%*s%s%*s", right ? room : 0, "", cells[i], (right ? 0 : room) + GAP, "");
    }
    if (table->right & 1u << last)
        fprintf(file, "%*s", widths[last] - text_width(cells[last]), "");
    print_cut(file, cells[last], last_room);
    fputc('\n', file);
}

void table_end(struct table *table, FILE *file, int indent)
{
    enum { LEAST_LAST = 8 }; /* kept even where the rest alone is too wide */
    int widths[TABLE_COLUMNS] = {0};
    CHECK(table->cell_count % table->columns == 0);
    measure(table, widths);
    int room = terminal_width(file), last_room = 0;
    if (room > 0) {
        drop_spare(table, widths, room - indent);
        last_room = room - indent - line_width(table, widths) + widths[table->columns - 1];
        last_room = table->whole ? 0 : last_room > LEAST_LAST ? last_room : LEAST_LAST;
    }
    for (int i = 0; i < table->cell_count; i += table->columns) {
        fprintf(file, "%*s", indent, "");
        print_row(table, table->cells + i, widths, file, last_room);
    }
    for (int i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
}
