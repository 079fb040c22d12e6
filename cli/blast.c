#include "cli/blast.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/wrap.h"
#include "core/check.h"
#include "core/json.h"

enum { SHOWN_LOCKS = 5, SHOWN_SESSIONS = 3 };
/* A number that is more was made up: what is counted with it must not overflow. */
#define NUMBER_MOST INT64_C(1000000000000000)

/* ---- the report --------------------------------------------------------------------------- */

/* What may not be seen is null there: then NULL, or -1. */
static const char *text_of(const struct json *object, const char *name)
{
    const struct json *value = object ? json_member(object, name) : NULL;
    return value && value->type == JSON_STRING && *value->text ? value->text : NULL;
}

static int64_t number_of(const struct json *object, const char *name)
{
    const struct json *value = object ? json_member(object, name) : NULL;
    if (!value || value->type != JSON_NUMBER)
        return -1;
    int64_t number = strtoll(value->text, NULL, 10);
    return number < NUMBER_MOST ? number : NUMBER_MOST;
}

static bool is_true(const struct json *object, const char *name)
{
    const struct json *value = object ? json_member(object, name) : NULL;
    return value && value->type == JSON_TRUE;
}

static const struct json *array_of(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, name);
    return value && value->type == JSON_ARRAY ? value : NULL;
}

static const struct json *object_of(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, name);
    return value && value->type == JSON_OBJECT ? value : NULL;
}

/* ---- lines -------------------------------------------------------------------------------- */

static void line(int indent, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(int indent, const char *format, ...)
{
    char text[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    char *rail = xasprintf("%*s", indent + 2, "");
    printf("%*s", indent, "");
    print_wrapped(stdout, text, indent, rail);
    putchar('\n');
    free(rail);
}

static void print_locks(const struct json *report)
{
    const struct json *locks = array_of(report, "locks");
    int count = locks ? locks->count : 0;
    for (int i = 0; i < count && i < SHOWN_LOCKS; i++) {
        const struct json *lock = &locks->items[i];
        const char *relation = text_of(lock, "relation"), *mode = text_of(lock, "mode");
        int64_t rows = number_of(lock, "rows");
        if (rows == 0)
            line(4, "locks %s (%s), and no rows of it", relation ? relation : "a table",
                 mode ? mode : "?");
        else if (rows > 0)
            line(4, "locks %" PRId64 " row%s of %s (%s)", rows, rows == 1 ? "" : "s",
                 relation ? relation : "a table", mode ? mode : "?");
        else
            line(4, "locks %s (%s); how many rows is not known", relation ? relation : "a table",
                 mode ? mode : "?");
    }
    if (count > SHOWN_LOCKS)
        line(4, "and %d more (--json has all)", count - SHOWN_LOCKS);
}

static void print_session(const struct json *session)
{
    const char *user = text_of(session, "user"), *application = text_of(session, "application");
    const char *client = text_of(session, "client"), *wants = text_of(session, "wants");
    int64_t waiting_ms = number_of(session, "waiting_ms"), behind = number_of(session, "behind");
    const char *query = text_of(session, "query");
    time_text age;
    char *queue = behind > 0 ? xasprintf(", behind pid %" PRId64, behind) : xstrdup("");
    line(4, "pid %" PRId64 ": %s%s%s%s%s, waits %s%s%s%s", number_of(session, "pid"),
         user ? user : "a user that may not be seen", application ? ", " : "",
         application ? application : "", client ? " from " : "", client ? client : "",
         waiting_ms >= 0 ? age_format(age, waiting_ms * 1000) : "for an unknown time",
         wants ? " for " : "", wants ? wants : "", queue);
    line(6, "%s", query ? query : "(its query may not be seen: pg_read_all_stats is missing)");
    free(queue);
}

static void print_sessions(const struct json *report)
{
    const struct json *blocked = array_of(report, "blocked");
    int64_t more = number_of(report, "blocked_more");
    int count = blocked ? blocked->count : 0;
    int64_t hidden = (more > 0 ? more : 0) + (count > SHOWN_SESSIONS ? count - SHOWN_SESSIONS : 0);
    int64_t all = (more > 0 ? more : 0) + count;
    if (!blocked)
        line(4, "whom it blocks is not known");
    else if (all == 0)
        line(4, "blocks nobody now");
    else
        line(4, "blocks %" PRId64 " session%s:", all, all == 1 ? "" : "s");
    for (int i = 0; i < count && i < SHOWN_SESSIONS; i++)
        print_session(&blocked->items[i]);
    if (hidden > 0)
        line(4, "and %" PRId64 " more (--json has up to 20)", hidden);
}

static void print_upkeep(const struct json *report)
{
    const struct json *vacuum = object_of(report, "vacuum"), *slots = object_of(report, "slots");
    int64_t age = number_of(vacuum, "age_xids"), most = number_of(vacuum, "freeze_max_age");
    int64_t used = number_of(slots, "used"), max = number_of(slots, "max");
    if (age >= 0 && most > 0)
        line(4, "holds vacuum back by %" PRId64 " (autovacuum_freeze_max_age: %" PRId64 ")%s", age,
             most, is_true(vacuum, "oldest") && age > most / 100 ? "; nothing does further" : "");
    else if (age >= 0)
        line(4, "holds vacuum back by %" PRId64 " transactions", age);
    if (used >= 0 && max > 0)
        line(4, "prepared slots of its server: %" PRId64 " of %" PRId64 " used", used, max);
}

/* ---- all ---------------------------------------------------------------------------------- */

static void print_of(const Wire__Testimony *testimony, const Wire__Exhibit *exhibit)
{
    struct json *report =
        *exhibit->report ? json_parse(exhibit->report, strlen(exhibit->report), NULL) : NULL;
    if (!report || report->type != JSON_OBJECT) {
        line(2, "%s: not known: its database did not say in time", testimony->participant);
        json_free(report);
        return;
    }
    const char *database = text_of(report, "database"), *owner = text_of(report, "owner");
    line(2, "%s: prepared%s%s%s%s", testimony->participant, owner ? " by " : "", owner ? owner : "",
         database ? " in database " : "", database ? database : "");
    print_locks(report);
    print_sessions(report);
    print_upkeep(report);
    json_free(report);
}

void print_blast(Wire__Testimony *const *testimonies, size_t count)
{
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < testimonies[i]->n_exhibits; k++) {
            if (!testimonies[i]->exhibits[k]->prepared)
                continue;
            if (first)
                puts("\nWhat it blocks:");
            first = false;
            print_of(testimonies[i], testimonies[i]->exhibits[k]);
        }
    }
}
