/* What doctor says of replication, and of what holds vacuum back. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor_report.h"
#include "cli/print.h"
#include "core/check.h"

#define LAG_WARNING_BYTES (64ll * 1024 * 1024)
/* Of 2^31 ids; PostgreSQL itself stops some millions before the end. */
#define FROZEN_WARNING_XIDS 1000000000ll
#define FROZEN_PROBLEM_XIDS 1500000000ll

/* ---- standbys ----------------------------------------------------------------------------- */

static bool is_synchronous(const struct json *standby)
{
    const char *state = report_text(standby, "sync_state");
    return state && (strcmp(state, "sync") == 0 || strcmp(state, "quorum") == 0);
}

static void check_lag(struct findings *findings, const struct json *standby)
{
    time_text text;
    int64_t lag = 0;
    const char *name = report_text(standby, "name"), *state = report_text(standby, "state");
    if (state && strcmp(state, "streaming") != 0)
        found(findings, LEVEL_WARNING, "see the standby's log",
              "its standby %.63s does not stream: %.40s", name ? name : "?", state);
    else if (report_number(standby, "lag_bytes", &lag) && lag > LAG_WARNING_BYTES)
        found(findings, LEVEL_WARNING,
              "until it has caught up a failover to it loses what was committed since, and "
              "branches that were ended since are prepared again",
              "its standby %.63s is %s behind", name ? name : "?",
              bytes_format(text, (uint64_t)lag));
}

/* The one word of a setting that makes all commits wait for somebody who is not there. */
static void check_synchronous(struct findings *findings, const struct json *report, int synchronous,
                              int count)
{
    const struct json *settings = json_member(report, "settings");
    const char *wanted = report_text(settings, "synchronous_standby_names");
    const char *commit = report_text(settings, "synchronous_commit");
    /* Troth's own sessions turn `off` into `on`, and leave the rest. */
    bool waits = wanted && *wanted && !(commit && strcmp(commit, "local") == 0);
    if (!waits)
        synchronous = 0;
    if (waits && synchronous == 0)
        found(findings, LEVEL_PROBLEM,
              "bring the standby back; or, if it is gone for good: ALTER SYSTEM SET "
              "synchronous_standby_names = ''; SELECT pg_reload_conf()",
              "it waits for a synchronous standby (%.100s) and none is there: nothing commits",
              wanted);
    else if (count > 0 && synchronous == 0)
        found(findings, LEVEL_INFO,
              "name it in synchronous_standby_names; or after a failover look at troth tx list "
              "--hazard and troth tx orphans first",
              "its %s asynchronous: after a failover branches that were finished can be prepared "
              "again (Troth finishes them once more), and commits of the last moment can be "
              "missing (hazards)",
              count == 1 ? "standby is" : "standbys are all");
}

void check_standbys(struct findings *findings, const struct json *report)
{
    const struct json *standbys = json_member(report, "standbys");
    int count = report_count(report, "standbys"), synchronous = 0;
    if (report_is(report, "in_recovery", JSON_TRUE)) {
        found(findings, LEVEL_PROBLEM,
              "point postgres.conninfo at the primary, or name all hosts there with "
              "target_session_attrs=read-write",
              "it is a standby (in recovery): nothing can be prepared or ended there");
        return;
    }
    if (!report_is(report, "monitor", JSON_TRUE))
        return; /* it does not see them */
    for (int i = 0; i < count; i++) {
        const struct json *standby = &standbys->items[i];
        if (standby->type != JSON_OBJECT)
            continue;
        synchronous += is_synchronous(standby);
        check_lag(findings, standby);
    }
    check_synchronous(findings, report, synchronous, count);
}

/* ---- vacuum ------------------------------------------------------------------------------- */

/* What to do about "prepared GID", "session 4711 (psql)" or "replication slot b". A new text. */
static char *release(const char *of)
{
    static const char prepared[] = "prepared ", session[] = "session ",
                      slot[] = "replication slot ";
    if (strncmp(of, prepared, strlen(prepared)) == 0)
        return xasprintf("troth tx explain %.199s tells whether it can be ended, and how",
                         of + strlen(prepared));
    if (strncmp(of, session, strlen(session)) == 0)
        return xasprintf("see what it does: SELECT * FROM pg_stat_activity WHERE pid = %d; "
                         "pg_terminate_backend() ends it",
                         atoi(of + strlen(session)));
    if (strncmp(of, slot, strlen(slot)) == 0)
        return xasprintf(
            "if its standby is gone for good: SELECT pg_drop_replication_slot('%.63s')",
            of + strlen(slot));
    return xstrdup("");
}

/* It costs room and speed long before PostgreSQL vacuums in an emergency. */
static void check_horizon(struct findings *findings, const struct json *report)
{
    int64_t age = 0, limit = 0;
    const char *of = report_text(report, "oldest_xmin_of");
    if (!of || !report_number(report, "oldest_xmin_age", &age) ||
        !report_number(report, "freeze_max_age", &limit) || limit <= 0 || age * 10 < limit)
        return;
    enum level level = age >= limit ? LEVEL_PROBLEM : age * 2 >= limit ? LEVEL_WARNING : LEVEL_INFO;
    char *hint = release(of);
    found(findings, level, hint,
          "%.230s holds vacuum back by %" PRId64 " transactions (autovacuum_freeze_max_age is "
          "%" PRId64 ")",
          of, age, limit);
    free(hint);
}

void check_vacuum(struct findings *findings, const struct json *report)
{
    int64_t age = 0;
    check_horizon(findings, report);
    if (report_number(report, "frozen_age", &age) && age >= FROZEN_WARNING_XIDS)
        found(findings, age >= FROZEN_PROBLEM_XIDS ? LEVEL_PROBLEM : LEVEL_WARNING,
              "end what holds vacuum back, then VACUUM the databases of SELECT datname, "
              "age(datfrozenxid) FROM pg_database",
              "its oldest transaction id is %" PRId64
              " old: at 2,100,000,000 it takes no more work that writes",
              age);
}
