#include "cli/evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/saga.h"
#include "cli/sites.h"
#include "cli/table.h"
#include "cli/tx.h"
#include "cli/wrap.h"
#include "core/check.h"
#include "core/id.h"

/* ---- words -------------------------------------------------------------------------------- */

/* Adds to a text, which it takes. */
static char *joined(char *text, const char *separator, char *more)
{
    char *longer = xasprintf("%s%s%s", text, *text ? separator : "", more);
    free(text);
    free(more);
    return longer;
}

static char *xid_words(const Wire__Exhibit *exhibit)
{
    return exhibit->xid ? xasprintf(" (xid %" PRIu64 ")", exhibit->xid) : xstrdup("");
}

/* What became of the branch, by its database alone. */
static char *fate_words(const Wire__Exhibit *exhibit, int64_t now_us)
{
    time_text age;
    char *xid = xid_words(exhibit), *text;
    int64_t since_us = exhibit->prepared_us;
    if (exhibit->prepared)
        text = xasprintf("prepared%s%s%s", since_us && now_us ? " for " : "",
                         since_us && now_us ? age_between(age, since_us, now_us) : "", xid);
    else if (exhibit->status == WIRE__XID_STATUS__XID_COMMITTED)
        text = xasprintf("committed%s", xid);
    else if (exhibit->status == WIRE__XID_STATUS__XID_ABORTED)
        text = xasprintf("rolled back%s", xid);
    else if (exhibit->status == WIRE__XID_STATUS__XID_IN_PROGRESS)
        text = xasprintf("in progress, not prepared%s", xid);
    else if (exhibit->status == WIRE__XID_STATUS__XID_UNKNOWN)
        text = xasprintf("its database has forgotten what became of it%s", xid);
    else if (strcmp(exhibit->barrier, "one-phase") == 0)
        text = xstrdup("committed (its row is in troth.barrier)");
    else if (strcmp(exhibit->barrier, "none") == 0)
        text = xstrdup("rolled back (fenced in troth.barrier)");
    else
        text = xstrdup(*exhibit->state ? "not prepared"
                                       : "not prepared; what became of it is not known");
    free(xid);
    return text;
}

static const char *value_word(Wire__Value value)
{
    return value == WIRE__VALUE__COMMIT ? "commit" : value == WIRE__VALUE__ABORT ? "abort" : NULL;
}

static const char *register_words(const Wire__Exhibit *exhibit)
{
    if (exhibit->decided)
        return exhibit->value == WIRE__VALUE__COMMIT  ? "its register knows commit"
               : exhibit->value == WIRE__VALUE__ABORT ? "its register knows abort"
                                                      : "its register knows the decision";
    if (exhibit->value == WIRE__VALUE__COMMIT)
        return "its register has accepted commit";
    if (exhibit->value == WIRE__VALUE__ABORT)
        return "its register has accepted abort";
    return exhibit->promised && exhibit->promised->round ? "its register has accepted nothing"
                                                         : "its register is empty";
}

static char *heuristic_words(const Wire__Heuristic *heuristic)
{
    const char *found = heuristic->found;
    return xasprintf("an operator made it %s: %s (%s)%s%s",
                     heuristic->commit ? "commit" : "roll back", heuristic->reason,
                     *heuristic->by ? heuristic->by : "somebody",
                     *found ? "; but it was found: " : "", found);
}

/* A new text. */
static char *exhibit_words(const Wire__Exhibit *exhibit, int64_t now_us)
{
    char *text = fate_words(exhibit, now_us);
    if (*exhibit->state && !(exhibit->prepared && strcmp(exhibit->state, "prepared") == 0))
        text = joined(text, ", ", xstrdup(exhibit->state));
    if (exhibit->held)
        text = joined(text, "; ", xstrdup("held: its coordinator does not know it"));
    if (exhibit->registered)
        text = joined(text, "; ", xstrdup(register_words(exhibit)));
    if (exhibit->heuristic)
        text = joined(text, "; ", heuristic_words(exhibit->heuristic));
    return text;
}

/* Of all its branches there. A new text. */
static char *testimony_words(const Wire__Testimony *testimony)
{
    int64_t now_us = testimony->database_us ? testimony->database_us : testimony->agent_us;
    char *text = xstrdup("");
    if (problem_is_set(testimony->problem)) {
        const Wire__Problem *problem = testimony->problem;
        return joined(
            text, "",
            xasprintf("not heard: %s", *problem->message ? problem->message : problem->code));
    }
    for (size_t i = 0; i < testimony->n_exhibits; i++)
        text = joined(text, "; ", exhibit_words(testimony->exhibits[i], now_us));
    return *text ? text : joined(text, "", xstrdup("nothing of it is here"));
}

/* ---- text --------------------------------------------------------------------------------- */

void print_evidence(Wire__Testimony *const *testimonies, size_t count, const char *title)
{
    enum { NAME_COLUMNS = 16 };
    int width = 0;
    if (count > 0 && title)
        puts(title);
    for (size_t i = 0; i < count; i++) {
        int columns = text_width(testimonies[i]->participant);
        if (columns > width)
            width = columns < NAME_COLUMNS ? columns : NAME_COLUMNS;
    }
    char *rail = xasprintf("%*s", width + 4, "");
    for (size_t i = 0; i < count; i++) {
        char *name = escaped(testimonies[i]->participant), *text = testimony_words(testimonies[i]);
        int columns = text_width(name), at = columns < width ? width : columns;
        printf("  %s%*s  ", name, at - columns, "");
        print_wrapped(stdout, text, at + 4, rail);
        putchar('\n');
        free(text);
        free(name);
    }
    free(rail);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_number(struct json_writer *writer, const char *name, uint64_t value)
{
    json_name(writer, name);
    if (value)
        json_unsigned(writer, value);
    else
        json_string(writer, NULL);
}

static void json_flag(struct json_writer *writer, const char *name, bool value)
{
    json_name(writer, name);
    json_boolean(writer, value);
}

static const char *status_word(Wire__XidStatus status)
{
    switch (status) {
    case WIRE__XID_STATUS__XID_COMMITTED:
        return "committed";
    case WIRE__XID_STATUS__XID_ABORTED:
        return "aborted";
    case WIRE__XID_STATUS__XID_IN_PROGRESS:
        return "in progress";
    case WIRE__XID_STATUS__XID_UNKNOWN:
        return "unknown";
    default:
        return NULL;
    }
}

static void json_register(struct json_writer *writer, const Wire__Exhibit *exhibit)
{
    json_name(writer, "register");
    if (!exhibit->registered) {
        json_string(writer, NULL);
        return;
    }
    json_open(writer, '{');
    json_flag(writer, "decided", exhibit->decided);
    json_text(writer, "value", value_word(exhibit->value));
    json_ballot(writer, "promised", exhibit->promised, !exhibit->decided);
    json_ballot(writer, "accepted", exhibit->accepted,
                !exhibit->decided && value_word(exhibit->value));
    json_close(writer, '}');
}

static void json_exhibit(struct json_writer *writer, const Wire__Exhibit *exhibit)
{
    json_open(writer, '{');
    json_name(writer, "branch");
    json_unsigned(writer, exhibit->branch);
    json_text(writer, "gid", exhibit->gid);
    json_flag(writer, "prepared", exhibit->prepared);
    json_time(writer, "prepared_at", exhibit->prepared_us);
    json_number(writer, "xid", exhibit->xid);
    json_text(writer, "status", status_word(exhibit->status));
    json_text(writer, "state", exhibit->state);
    json_flag(writer, "held", exhibit->held);
    json_flag(writer, "judged", exhibit->judged);
    json_register(writer, exhibit);
    json_text(writer, "barrier", exhibit->barrier);
    json_name(writer, "heuristic");
    json_heuristic(writer, exhibit->heuristic);
    json_name(writer, "report");
    json_value(writer, exhibit->report);
    json_close(writer, '}');
}

static void json_testimony(struct json_writer *writer, const Wire__Testimony *testimony)
{
    json_open(writer, '{');
    json_text(writer, "participant", testimony->participant);
    json_name(writer, "problem");
    json_problem(writer, testimony->problem);
    json_time(writer, "database_time", testimony->database_us);
    json_name(writer, "branches");
    json_open(writer, '[');
    for (size_t i = 0; i < testimony->n_exhibits; i++)
        json_exhibit(writer, testimony->exhibits[i]);
    json_close(writer, ']');
    json_close(writer, '}');
}

void json_evidence(struct json_writer *writer, const char *name,
                   Wire__Testimony *const *testimonies, size_t count)
{
    json_name(writer, name);
    json_open(writer, '[');
    for (size_t i = 0; i < count; i++)
        json_testimony(writer, testimonies[i]);
    json_close(writer, ']');
}
