/* What doctor says of each participant's database, by the report that this gives of itself. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor_report.h"
#include "cli/print.h"
#include "core/check.h"
#include "io/pg_server.h"

enum { SLOTS_WARNING_PERCENT = 80, CONNECTIONS_WARNING_PERCENT = 90 };

/* ---- reading ------------------------------------------------------------------------------ */

static const struct json *part(const struct json *object, const char *name)
{
    return object && object->type == JSON_OBJECT ? json_member(object, name) : NULL;
}

const char *report_text(const struct json *object, const char *name)
{
    const struct json *value = part(object, name);
    return value && value->type == JSON_STRING ? value->text : NULL;
}

bool report_number(const struct json *object, const char *name, int64_t *value)
{
    const struct json *number = part(object, name);
    if (!number || number->type != JSON_NUMBER)
        return false;
    *value = strtoll(number->text, NULL, 10);
    return true;
}

bool report_is(const struct json *object, const char *name, enum json_type type)
{
    const struct json *value = part(object, name);
    return value && value->type == type;
}

int report_count(const struct json *object, const char *name)
{
    const struct json *value = part(object, name);
    return value && value->type == JSON_ARRAY ? value->count : 0;
}

/* ---- slots and connections ---------------------------------------------------------------- */

static bool told_by_participant(const Wire__ParticipantView *view)
{
    uint64_t used = view ? (uint64_t)view->prepared + view->prepared_foreign : 0;
    return view && used * 100 >= (uint64_t)view->prepared_slots * SLOTS_WARNING_PERCENT;
}

/* Of the whole server: other databases use them as well. */
static void check_slots(struct findings *findings, const struct json *report,
                        const Wire__ParticipantView *view)
{
    int64_t used = 0, max = 0, work = 0;
    const struct json *slots = part(report, "slots");
    if (!report_number(slots, "used", &used) || !report_number(slots, "max", &max))
        return;
    if (max == 0) {
        found(findings, LEVEL_PROBLEM,
              "as a superuser: ALTER SYSTEM SET max_prepared_transactions = 200; then restart "
              "PostgreSQL, a reload is not enough",
              "max_prepared_transactions is 0: it can take part in nothing that writes");
        return;
    }
    if (used * 100 >= max * SLOTS_WARNING_PERCENT && !told_by_participant(view))
        found(findings, LEVEL_WARNING, "troth tx orphans names what is prepared in other databases",
              "%" PRId64 " of %" PRId64 " prepared transactions of its server are in use", used,
              max);
    if (report_number(report, "work_connections", &work) && work > max)
        found(findings, LEVEL_WARNING,
              "ALTER SYSTEM SET max_prepared_transactions to four times the connections or more, "
              "then restart PostgreSQL",
              "it has room for %" PRId64 " prepared transactions, and %" PRId64
              " connections that prepare: under load transactions abort for want of a slot",
              max, work);
}

static void check_connections(struct findings *findings, const struct json *report)
{
    int64_t used = 0, max = 0;
    const struct json *connections = part(report, "connections");
    if (report_number(connections, "used", &used) && report_number(connections, "max", &max) &&
        used * 100 >= max * CONNECTIONS_WARNING_PERCENT)
        found(findings, LEVEL_WARNING,
              "raise max_connections, or lower postgres.connections of the participants on it: one "
              "that can't connect again after a restart ends nothing",
              "%" PRId64 " of %" PRId64 " connections of its server are in use", used, max);
}

/* ---- settings ----------------------------------------------------------------------------- */

struct concern {
    const char *name, *bad;
    enum level level;
    const char *text, *hint;
};

static const struct concern concerns[] = {
    {"fsync", "off", LEVEL_PROBLEM,
     "fsync is off: when its machine stops, branches that voted yes and commits that were told may "
     "be gone, and the database damaged",
     "as a superuser: ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf(); then CHECKPOINT, and "
     "sync the machine's disks"},
    {"full_page_writes", "off", LEVEL_PROBLEM,
     "full_page_writes is off: a page that was being written when its machine stopped stays "
     "damaged",
     "as a superuser: ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()"},
    {"zero_damaged_pages", "on", LEVEL_PROBLEM,
     "zero_damaged_pages is on: what is damaged is thrown away without an error",
     "as a superuser: ALTER SYSTEM RESET zero_damaged_pages; SELECT pg_reload_conf()"},
    {"ignore_checksum_failure", "on", LEVEL_PROBLEM,
     "ignore_checksum_failure is on: damaged pages are taken for good",
     "as a superuser: ALTER SYSTEM RESET ignore_checksum_failure; SELECT pg_reload_conf()"},
    {"default_transaction_read_only", "on", LEVEL_PROBLEM,
     "default_transaction_read_only is on: no branch can write",
     "set it to off where it was set: for the role, the database or the server"},
    {"autovacuum", "off", LEVEL_WARNING,
     "autovacuum is off: troth's tables, and yours, grow and get slow",
     "as a superuser: ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()"},
    {"track_activities", "off", LEVEL_INFO,
     "track_activities is off: troth tx explain can't show the queries of blocked sessions",
     "as a superuser: ALTER SYSTEM SET track_activities = on; SELECT pg_reload_conf()"},
};

/* A timer that ends what voted yes: some forks of PostgreSQL have one. */
static void check_timers(struct findings *findings, const struct json *settings)
{
    static const char *const harmless[] = {"0", "-1", "off", ""};
    const char *limit = report_text(settings, "transaction_timeout");
    if (limit && strcmp(limit, "0") != 0)
        found(findings, LEVEL_INFO,
              "set it to 0 for this role: deadlines of transactions and postgres.lock_timeout "
              "bound its work already",
              "transaction_timeout is %.40s ms: work of branches that takes longer aborts", limit);
    for (int i = 0; settings && i < settings->count; i++) {
        const struct json_member *setting = &settings->members[i];
        bool is_off = !strstr(setting->name, "timeout") || !strstr(setting->name, "prepared") ||
                      setting->value.type != JSON_STRING;
        for (int k = 0; k < 4 && !is_off; k++)
            is_off = strcmp(setting->value.text, harmless[k]) == 0;
        if (!is_off)
            found(findings, LEVEL_PROBLEM, "set it to 0",
                  "%.63s is %.40s: a branch that voted yes may be rolled back by a timer",
                  setting->name, setting->value.text);
    }
}

void check_settings(struct findings *findings, const struct json *report)
{
    const struct json *settings = part(report, "settings");
    for (size_t i = 0; i < sizeof(concerns) / sizeof(concerns[0]); i++) {
        const char *value = report_text(settings, concerns[i].name);
        if (value && strcmp(value, concerns[i].bad) == 0)
            found(findings, concerns[i].level, concerns[i].hint, "%s", concerns[i].text);
    }
    check_timers(findings, settings);
}

/* ---- schema and rights -------------------------------------------------------------------- */

/* A role's name as SQL has it, a new text. */
static char *identifier(const char *name)
{
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz_")] == '\0' && *name)
        return xstrdup(name);
    char *out = xmalloc(2 * strlen(name) + 3), *to = out;
    *to++ = '"';
    for (; *name; name++) {
        if (*name == '"')
            *to++ = '"';
        *to++ = *name;
    }
    *to++ = '"';
    *to = '\0';
    return out;
}

/* "GRANT insert on troth.barrier TO payments; ...", a new text. */
static char *grants(const struct json *missing, const char *role)
{
    char *text = xstrdup("as the owner of the schema troth:");
    for (int i = 0; i < missing->count; i++) {
        if (missing->items[i].type != JSON_STRING)
            continue;
        char *longer = xasprintf("%s GRANT %s TO %s;", text, missing->items[i].text, role);
        free(text);
        text = longer;
    }
    return text;
}

static void check_schema(struct findings *findings, const struct json *report, bool readable)
{
    int64_t version = 0;
    const struct json *missing = part(report, "missing_tables");
    int tables = report_count(report, "missing_tables");
    if (!report_number(report, "schema_version", &version)) {
        if (readable)
            found(findings, LEVEL_PROBLEM, "run once: troth-participant --install --config FILE",
                  "the schema troth is not installed");
        return;
    }
    if (version != PG_SCHEMA_VERSION)
        found(findings, version < PG_SCHEMA_VERSION ? LEVEL_WARNING : LEVEL_INFO,
              version < PG_SCHEMA_VERSION
                  ? "when all participants of that database are new enough: troth-participant "
                    "--install --config FILE"
                  : "use the troth of that version here, too",
              "the schema troth has version %" PRId64 "; this troth knows %d", version,
              PG_SCHEMA_VERSION);
    for (int i = 0; i < tables; i++)
        if (missing->items[i].type == JSON_STRING)
            found(findings, LEVEL_PROBLEM,
                  "restore it from where it went; or, when nothing is in doubt there, make it "
                  "anew: troth-participant --install --config FILE",
                  "%.63s is missing", missing->items[i].text);
}

void check_rights(struct findings *findings, const struct json *report)
{
    const char *user = report_text(report, "user");
    const struct json *missing = part(report, "missing_rights");
    int count = report_count(report, "missing_rights");
    char *role = identifier(user ? user : "ITS-ROLE");
    bool readable = true;
    if (count > 0) {
        char *hint = grants(missing, role);
        found(findings, LEVEL_PROBLEM, hint, "role %.63s lacks %d right%s on the schema troth",
              user ? user : "?", count, count == 1 ? "" : "s");
        free(hint);
    }
    for (int i = 0; i < count; i++)
        readable &=
            missing->items[i].type != JSON_STRING || (!strstr(missing->items[i].text, "usage") &&
                                                      !strstr(missing->items[i].text, "installed"));
    check_schema(findings, report, readable);
    if (report_is(report, "monitor", JSON_FALSE)) {
        char *hint = xasprintf("as a superuser: GRANT pg_read_all_stats TO %s", role);
        found(
            findings, LEVEL_INFO, hint,
            "role %.63s sees neither other sessions' queries nor standbys: troth tx explain can't "
            "show who is blocked at what",
            user ? user : "?");
        free(hint);
    }
    free(role);
}

/* ---- all of one --------------------------------------------------------------------------- */

static void say_what_it_is(struct findings *findings, const struct json *report)
{
    const char *version = report_text(report, "version"), *user = report_text(report, "user");
    const char *database = report_text(report, "database");
    found(findings, LEVEL_OK, "", "PostgreSQL %.*s, database %.63s as role %.63s",
          version ? (int)strcspn(version, " ") : 1, version ? version : "?",
          database ? database : "?", user ? user : "?");
}

static void say_what_is_used(struct findings *findings, const struct json *report)
{
    time_text age;
    int64_t used = 0, max = 0, open = 0, room = 0, oldest_ms = 0, held_back = 0;
    const struct json *slots = part(report, "slots"), *sessions = part(report, "connections");
    if (!report_number(slots, "used", &used) || !report_number(slots, "max", &max) ||
        !report_number(sessions, "used", &open) || !report_number(sessions, "max", &room))
        return;
    bool has_oldest = report_number(report, "oldest_prepared_ms", &oldest_ms);
    report_number(report, "oldest_xmin_age", &held_back);
    found(findings, LEVEL_OK, "",
          "%" PRId64 " of %" PRId64 " prepared%s%s, %" PRId64 " of %" PRId64
          " connections, vacuum held back by %" PRId64 " transaction%s",
          used, max, has_oldest ? ", the oldest for " : "",
          has_oldest ? age_format(age, oldest_ms * 1000) : "", open, room, held_back,
          held_back == 1 ? "" : "s");
}

static void check_report(struct findings *findings, const Wire__Testimony *testimony,
                         const Wire__ParticipantView *view)
{
    struct error error = {.message = "it is no object"};
    struct json *report = json_parse(testimony->report, strlen(testimony->report), &error);
    if (report && report->type == JSON_OBJECT) {
        say_what_it_is(findings, report);
        say_what_is_used(findings, report);
        check_settings(findings, report);
        check_slots(findings, report, view);
        check_connections(findings, report);
        check_rights(findings, report);
        check_standbys(findings, report);
        check_vacuum(findings, report);
    } else {
        found(findings, LEVEL_WARNING, "troth, trothd and troth-participant of one version agree",
              "its report can't be read: %s", error.message);
    }
    json_free(report);
}

/* One that is not connected, or whose database is away, has been told of as a participant. */
static void not_looked_at(struct findings *findings, const Wire__Testimony *testimony,
                          const Wire__ParticipantView *view)
{
    if (view && (!view->connected || !view->database_up))
        return;
    const Wire__Problem *problem = testimony->problem;
    found(findings, LEVEL_WARNING,
          *problem->hint ? problem->hint : "its log, and that of its PostgreSQL, tell more",
          "it could not be looked at: %.300s%s%.300s",
          *problem->message ? problem->message : problem->code, *problem->detail ? ": " : "",
          problem->detail);
}

void check_databases(struct findings *findings, const struct checkup *checkup)
{
    const Wire__Answer *answer = checkup->diagnosis;
    for (size_t i = 0; answer && i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        const Wire__ParticipantView *view = participant_find(checkup, testimony->participant);
        findings_about(findings, "database of %.32s", testimony->participant);
        if (problem_is_set(testimony->problem))
            not_looked_at(findings, testimony, view);
        else if (*testimony->report)
            check_report(findings, testimony, view);
    }
}
