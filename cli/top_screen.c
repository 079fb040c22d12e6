/* The screen of `troth top`: what is known, as lines that fit. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/text.h"
#include "cli/top.h"
#include "core/check.h"

enum { CELL_BYTES = 32, NAME_COLUMNS_LEAST = 8 };

/* A screen in the making. */
struct screen {
    char *text;
    size_t size, room;
    int columns, rows; /* 0: any number */
    int lines;
};

/* ---- lines --------------------------------------------------------------------------------- */

static void put(struct screen *screen, const char *bytes, size_t size)
{
    if (screen->size + size + 1 > screen->room) {
        screen->room = 2 * screen->room + size + 1024;
        screen->text = xrealloc(screen->text, screen->room);
    }
    memcpy(screen->text + screen->size, bytes, size);
    screen->size += size;
    screen->text[screen->size] = '\0';
}

/* As much as fits, with an ellipsis in place of the rest. The text is escaped already. */
static void put_cut(struct screen *screen, const char *text, int room)
{
    int width = 0;
    if (room <= 0 || text_width(text) <= room) {
        put(screen, text, strlen(text));
        return;
    }
    for (const char *at = text; *at;) {
        uint32_t point;
        int bytes = utf8_next(at, &point);
        char one[8];
        bytes = bytes ? bytes : 1;
        memcpy(one, at, (size_t)bytes);
        one[bytes] = '\0';
        width += text_width(one);
        if (width > room - 1)
            break;
        put(screen, at, (size_t)bytes);
        at += bytes;
    }
    put(screen, "\u2026", strlen("\u2026"));
}

static bool is_full(const struct screen *screen)
{
    return screen->rows > 0 && screen->lines >= screen->rows;
}

static void line(struct screen *screen, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void line(struct screen *screen, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    if (is_full(screen))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    size_t end = strlen(text);
    while (end > 0 && text[end - 1] == ' ')
        text[--end] = '\0';
    put_cut(screen, text, screen->columns);
    put(screen, "\n", 1);
    screen->lines++;
}

static int lines_left(const struct screen *screen)
{
    return screen->rows > 0 ? screen->rows - screen->lines : INT32_MAX;
}

/* ---- numbers ------------------------------------------------------------------------------- */

typedef char cell[CELL_BYTES];

/* 0.3, 12, 1234, 56.7k, 1.2M: at most five characters up to 10^15. */
static const char *number(cell out, double value)
{
    static const char units[] = {'k', 'M', 'G', 'T'};
    int unit = -1;
    while (value >= (unit < 0 ? 9999.5 : 999.5) && unit < 3) {
        value /= 1000;
        unit++;
    }
    bool whole = value >= 10 || value == (double)(int)value;
    if (unit < 0)
        snprintf(out, sizeof(cell), whole ? "%.0f" : "%.1f", value);
    else
        snprintf(out, sizeof(cell), value < 99.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return out;
}

/* 0.5ms, 12ms, 1.5s, 12s; - for what is not known. */
static const char *duration(cell out, double seconds)
{
    double ms = seconds * 1000;
    if (seconds < 0)
        snprintf(out, sizeof(cell), "-");
    else if (ms < 999.5)
        snprintf(out, sizeof(cell), ms < 9.95 ? "%.1fms" : "%.0fms", ms);
    else
        snprintf(out, sizeof(cell), seconds < 9.95 ? "%.1fs" : "%.0fs", seconds);
    return out;
}

static const char *rate(cell out, const struct top_view *view, double before, double now)
{
    cell text;
    double difference = now - before;
    snprintf(out, sizeof(cell), "-");
    if (view->before && top_comparable(&view->before->counts, &view->now->counts) &&
        difference >= 0)
        snprintf(out, sizeof(cell), "%.20s/s",
                 number(text, difference / top_seconds(&view->before->counts, &view->now->counts)));
    return out;
}

#define RATE(out, view, field)                                                                     \
    rate(out, view, (view)->before ? (view)->before->counts.field : 0, (view)->now->counts.field)

/* ---- the head ------------------------------------------------------------------------------ */

static void title(struct screen *screen, const struct top_view *view)
{
    const Wire__CoordinatorView *coordinator =
        view->now && view->now->coordinator ? view->now->coordinator->coordinator : NULL;
    time_text now, then, age;
    time_format(now, view->wall_us);
    if (view->lost_us) {
        char *reason = escaped(view->reason ? view->reason : "");
        line(screen, "not reachable since %s; trying again", time_format(then, view->lost_us));
        line(screen, "%s: %s", view->address, reason);
        free(reason);
        if (view->now)
            line(screen, "as it was %s ago:", age_format(age, view->wall_us - view->now->wall_us));
    }
    if (!coordinator) {
        line(screen, "%s", now);
        return;
    }
    line(screen, "%s of %s  up %s%s  %s", coordinator->name, coordinator->cluster,
         age_format(age, view->now->wall_us - coordinator->started_us),
         coordinator->draining ? "  being stopped" : "", now);
}

static void rates(struct screen *screen, const struct top_view *view)
{
    cell committed, aborted, rejected, started;
    line(screen, "commits %s  aborts %s  rejected %s  sagas %s", RATE(committed, view, committed),
         RATE(aborted, view, aborted), RATE(rejected, view, rejected),
         RATE(started, view, sagas_started));
}

static void latencies(struct screen *screen, const struct top_view *view)
{
    static const char *const words[TOP_LATENCIES] = {"decided", "applied", "journal flush",
                                                     "saga step"};
    bool known = view->before && top_comparable(&view->before->counts, &view->now->counts);
    line(screen, "%-14s %8s %8s %8s %8s", "", "p50", "p95", "p99", "rate");
    for (int i = 0; i < TOP_LATENCIES; i++) {
        const struct top_histogram *now = &view->now->counts.latencies[i];
        const struct top_histogram *before = known ? &view->before->counts.latencies[i] : now;
        cell p50, p95, p99, all;
        line(screen, "%-14s %8s %8s %8s %8s", words[i],
             duration(p50, top_quantile(before, now, 0.5)),
             duration(p95, top_quantile(before, now, 0.95)),
             duration(p99, top_quantile(before, now, 0.99)),
             rate(all, view, before->count, now->count));
    }
}

static void standing(struct screen *screen, const struct top_view *view)
{
    const Wire__CoordinatorView *coordinator =
        view->now->coordinator ? view->now->coordinator->coordinator : NULL;
    const struct top_counts *counts = &view->now->counts;
    cell undecided, unapplied, doubt, running, compensating;
    time_text age, bytes, room;
    if (!coordinator)
        return;
    line(screen, "undecided %s  unapplied %s  in doubt %s, the oldest %s",
         number(undecided, (double)coordinator->undecided),
         number(unapplied, (double)coordinator->unapplied), number(doubt, counts->in_doubt),
         counts->in_doubt > 0 ? age_format(age, (int64_t)(counts->oldest_s * 1e6)) : "-");
    line(screen, "hazards %" PRIu64 "  heuristic %" PRIu64 "  mixed %" PRIu64 "%s",
         coordinator->hazards, coordinator->heuristics, coordinator->mixed,
         coordinator->hazards + coordinator->heuristics + coordinator->mixed
             ? "  see troth tx list --hazard, --heuristic"
             : "");
    line(screen, "sagas: running %s  compensating %s  need an operator %" PRIu64 "%s",
         number(running, (double)coordinator->sagas_running),
         number(compensating, (double)coordinator->sagas_compensating),
         coordinator->sagas_waiting_for_operator,
         coordinator->sagas_waiting_for_operator ? "  see troth saga list" : "");
    line(screen, "journal: %s in %" PRIu64 " segment%s, %s free",
         bytes_format(bytes, coordinator->journal_bytes), coordinator->journal_segments,
         coordinator->journal_segments == 1 ? "" : "s",
         bytes_format(room, coordinator->journal_free_bytes));
}

/* ---- tables -------------------------------------------------------------------------------- */

/* The first column takes a name, and gives way; the others are as wide as their heads or more, and
 * those that find no room are left out from the right. */
struct column {
    const char *head;
    int width;
};

enum { COLUMNS_MOST = 10 };

static int shown_columns(const struct screen *screen, const struct column *columns, int count,
                         int *name_width)
{
    int used = 0, shown = 1;
    if (screen->columns == 0)
        return count;
    while (shown < count &&
           NAME_COLUMNS_LEAST + used + 2 + columns[shown].width <= screen->columns) {
        used += 2 + columns[shown].width;
        shown++;
    }
    /* Rather a column less than half of a name. */
    while (shown > 2 && screen->columns - used < *name_width &&
           screen->columns - used < screen->columns / 3) {
        shown--;
        used -= 2 + columns[shown].width;
    }
    if (*name_width > screen->columns - used)
        *name_width = screen->columns - used;
    return shown;
}

static void table_row(struct screen *screen, const struct column *columns, int shown,
                      int name_width, const char *name, cell *cells)
{
    struct screen first = {0};
    char rest[512];
    size_t size = 0;
    put_cut(&first, name, name_width);
    rest[0] = '\0';
    for (int i = 1; i < shown; i++)
        size += (size_t)snprintf(rest + size, sizeof(rest) - size, "  %-*s", columns[i].width,
                                 cells[i]);
    line(screen, "%s%*s%s", first.text, name_width - text_width(first.text), "", rest);
    free(first.text);
}

static void table_head(struct screen *screen, const struct column *columns, int shown,
                       int name_width)
{
    cell cells[COLUMNS_MOST];
    for (int i = 0; i < shown; i++)
        snprintf(cells[i], sizeof(cell), "%s", columns[i].head);
    table_row(screen, columns, shown, name_width, columns[0].head, cells);
}

static void more_line(struct screen *screen, size_t more, const char *command)
{
    if (more > 0)
        line(screen, "and %zu more: %s", more, command);
}

/* Rows of a table that fit, when `room` lines are there, its head and a line for the rest among
 * them. */
static size_t rows_that_fit(size_t rows, int room)
{
    if (room < 2)
        return 0;
    if (rows <= (size_t)room - 1)
        return rows;
    return (size_t)room - 2;
}

/* ---- participants -------------------------------------------------------------------------- */

static int trouble(const Wire__ParticipantView *view)
{
    return !view->connected ? 3 : !view->database_up ? 2 : view->n_held || view->minority ? 1 : 0;
}

/* Those in trouble first, then by name. */
static int by_trouble(const void *a, const void *b)
{
    const Wire__ParticipantView *one = *(Wire__ParticipantView *const *)a;
    const Wire__ParticipantView *other = *(Wire__ParticipantView *const *)b;
    int order = trouble(other) - trouble(one);
    return order ? order : strcmp(one->name, other->name);
}

static const char *mean(cell out, double sum, double count)
{
    return duration(out, count > 0 && sum >= 0 ? sum / count : -1);
}

static void participant_row(struct screen *screen, const struct top_view *view,
                            const struct column *columns, int shown, int name_width,
                            const Wire__ParticipantView *participant)
{
    cell cells[COLUMNS_MOST], text, other;
    struct top_times now = top_times_of(view->now->metrics, participant->name), before = now;
    if (view->before && top_comparable(&view->before->counts, &view->now->counts))
        before = top_times_of(view->before->metrics, participant->name);
    snprintf(cells[1], sizeof(cell), "%s", participant->connected ? "up" : "DOWN");
    snprintf(cells[2], sizeof(cell), "%s",
             !participant->connected    ? "-"
             : participant->database_up ? "up"
                                        : "DOWN");
    snprintf(cells[3], sizeof(cell), "%.10s/%.10s", number(text, participant->prepared),
             number(other, participant->prepared_slots));
    snprintf(cells[4], sizeof(cell), "%s", number(text, participant->working));
    snprintf(cells[5], sizeof(cell), "%s", number(text, participant->unapplied));
    snprintf(cells[6], sizeof(cell), "%zu", participant->n_held);
    mean(cells[7], now.vote_sum - before.vote_sum, now.vote_count - before.vote_count);
    mean(cells[8], now.apply_sum - before.apply_sum, now.apply_count - before.apply_count);
    char *name = escaped(participant->name);
    table_row(screen, columns, shown, name_width, name, cells);
    free(name);
}

static void participants(struct screen *screen, const struct top_view *view, int room)
{
    static const struct column columns[] = {{"PARTICIPANT", 11}, {"SESSION", 7}, {"DB", 4},
                                            {"PREPARED", 9},     {"WORKING", 7}, {"UNAPPLIED", 9},
                                            {"HELD", 4},         {"VOTE", 6},    {"APPLY", 6}};
    enum { COUNT = sizeof(columns) / sizeof(*columns) };
    const Wire__Answer *answer = view->now->participants;
    size_t count = answer ? answer->n_participants : 0, more = answer ? answer->more : 0;
    int name_width = columns[0].width;
    if (count == 0)
        return;
    Wire__ParticipantView **sorted = xcalloc(count, sizeof(*sorted));
    memcpy(sorted, answer->participants, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_trouble);
    for (size_t i = 0; i < count; i++) {
        int width = text_width(sorted[i]->name);
        name_width = width > name_width ? width : name_width;
    }
    int shown = shown_columns(screen, columns, COUNT, &name_width);
    size_t rows = rows_that_fit(count + (more ? 1 : 0), room);
    rows = rows > count ? count : rows;
    if (room >= 2)
        table_head(screen, columns, shown, name_width);
    for (size_t i = 0; i < rows; i++)
        participant_row(screen, view, columns, shown, name_width, sorted[i]);
    if (room >= 2)
        more_line(screen, count - rows + more, "troth participant list");
    free(sorted);
}

/* ---- the slowest --------------------------------------------------------------------------- */

static const char *tx_waits_for(const Wire__TransactionView *tx)
{
    if (*tx->waits_for)
        return tx->waits_for;
    for (size_t i = 0; i < tx->n_branches; i++) {
        if (*tx->branches[i]->waits_for)
            return tx->branches[i]->waits_for;
    }
    return "";
}

static void slowest(struct screen *screen, const struct top_view *view, int room)
{
    const Wire__Answer *answer = view->now->slowest;
    size_t count = answer ? answer->n_transactions : 0, more = answer ? answer->more : 0;
    int widths[] = {7, 5, 3};
    time_text age;
    if (count == 0 || room < 2)
        return;
    size_t rows = rows_that_fit(count + (more ? 1 : 0), room);
    rows = rows > count ? count : rows;
    for (size_t i = 0; i < rows; i++) {
        const Wire__TransactionView *tx = answer->transactions[i];
        const char *texts[] = {tx->gtrid, tx->state,
                               age_format(age, view->now->wall_us - tx->begun_us)};
        for (int j = 0; j < 3; j++)
            widths[j] = text_width(texts[j]) > widths[j] ? text_width(texts[j]) : widths[j];
    }
    line(screen, "%-*s  %-*s  %*s  %s", widths[0], "SLOWEST", widths[1], "STATE", widths[2], "AGE",
         "WAITS FOR");
    for (size_t i = 0; i < rows; i++) {
        const Wire__TransactionView *tx = answer->transactions[i];
        char *gtrid = escaped(tx->gtrid), *state = escaped(tx->state),
             *waits = escaped(tx_waits_for(tx));
        line(screen, "%-*s  %-*s  %*s  %s", widths[0], gtrid, widths[1], state, widths[2],
             age_format(age, view->now->wall_us - tx->begun_us), waits);
        free(gtrid);
        free(state);
        free(waits);
    }
    more_line(screen, count - rows + more, "troth tx list --oldest");
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* The participants get what the transactions leave, and at least half. */
static void tables(struct screen *screen, const struct top_view *view)
{
    const Wire__Answer *people = view->now->participants, *late = view->now->slowest;
    int left = lines_left(screen), wanted_late = 0;
    if (late && late->n_transactions > 0) {
        size_t lines = late->n_transactions + 2 + (late->more ? 1 : 0); /* with an empty line */
        wanted_late = lines > (size_t)left ? left : (int)lines;
    }
    int room = left - 1; /* an empty line before */
    if (people && people->n_participants > 0 && room >= 2) {
        int half = room / 2;
        int given = room - (wanted_late < half ? wanted_late : half);
        line(screen, "%s", "");
        participants(screen, view, given);
    }
    left = lines_left(screen);
    if (late && late->n_transactions > 0 && left >= 3) {
        line(screen, "%s", "");
        slowest(screen, view, left - 1);
    }
}

char *top_screen(const struct top_view *view, int columns, int rows)
{
    struct screen screen = {.columns = columns, .rows = rows};
    title(&screen, view);
    if (view->now && view->now->metrics) {
        rates(&screen, view);
        line(&screen, "%s", "");
        latencies(&screen, view);
        line(&screen, "%s", "");
        standing(&screen, view);
        tables(&screen, view);
    }
    return screen.text;
}
