/* What doctor says of prepared transactions that nobody seems to look after. Those that are held
 * each participant names anyway. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/evidence.h"
#include "cli/print.h"
#include "core/check.h"
#include "core/id.h"
#include "core/json.h"

/* What is prepared at one participant, of one kind or of one mistake. */
struct group {
    size_t count;
    const Wire__PreparedView *oldest;
};

static void group_add(struct group *group, const Wire__PreparedView *prepared)
{
    if (!group->oldest || prepared->prepared_us < group->oldest->prepared_us)
        group->oldest = prepared;
    group->count++;
}

static const char *age_of(time_text out, const Wire__Testimony *testimony,
                          const Wire__PreparedView *prepared)
{
    int64_t now_us = testimony->database_us ? testimony->database_us : wall_now_us();
    return prepared->prepared_us ? age_format(out, now_us - prepared->prepared_us) : "-";
}

/* Its coordinator may just be starting. */
static void say_abandoned(struct findings *findings, const Wire__Testimony *testimony,
                          const struct group *group)
{
    time_text age;
    struct gid id;
    int64_t now_us = testimony->database_us ? testimony->database_us : wall_now_us();
    if (group->count == 0 || !gid_parse(group->oldest->gid, &id))
        return;
    bool is_old = now_us - group->oldest->prepared_us > IN_DOUBT_LONG_US;
    const char *hint = "start that coordinator: it ends what it knows by itself; is it gone for "
                       "good: troth tx orphans, and troth tx explain for the safe command";
    age_of(age, testimony, group->oldest);
    if (group->count == 1)
        found(findings, is_old ? LEVEL_PROBLEM : LEVEL_INFO, hint,
              "a branch of coordinator %.32s, which has no session with it, is prepared for %s",
              id.coordinator, age);
    else
        found(findings, is_old ? LEVEL_PROBLEM : LEVEL_INFO, hint,
              "%zu branches of coordinators that have no session with it are prepared, the oldest, "
              "of %.32s, for %s",
              group->count, id.coordinator, age);
}

/* Also those of another cluster of Troth: only its own processes end them. */
static void say_foreign(struct findings *findings, const Wire__Testimony *testimony,
                        const struct group *group)
{
    time_text age;
    if (group->count == 0)
        return;
    found(findings, LEVEL_WARNING,
          "troth tx orphans names them; whoever made them must end them: they hold locks and block "
          "vacuum",
          "%zu prepared transaction%s in it %s not this cluster's, the oldest for %s", group->count,
          group->count == 1 ? "" : "s", group->count == 1 ? "is" : "are",
          age_of(age, testimony, group->oldest));
}

static void say_elsewhere(struct findings *findings, const Wire__Testimony *testimony,
                          const struct group *group)
{
    time_text age;
    if (group->count == 0)
        return;
    found(findings, LEVEL_INFO, "troth tx orphans names them; who works there ends them",
          "%zu of the prepared transactions of its server %s in other databases, the oldest for %s",
          group->count, group->count == 1 ? "is" : "are", age_of(age, testimony, group->oldest));
}

/* PostgreSQL lets only who prepared it, or a superuser, end it. */
static void say_not_ours(struct findings *findings, const struct group *group, const char *user)
{
    if (group->count == 0)
        return;
    found(findings, LEVEL_PROBLEM,
          "let the participant work as that role until they are ended: user= in postgres.conninfo",
          "%zu of its branches %s prepared by role %.63s: role %.63s may not end %s", group->count,
          group->count == 1 ? "was" : "were", group->oldest->owner, user,
          group->count == 1 ? "it" : "them");
}

/* The role that the participant works as, where only such a one's own branches can be ended; "".
 * The text is the caller's. */
static char *role_of(const struct checkup *checkup, const char *participant)
{
    const Wire__Answer *answer = checkup->diagnosis;
    char *role = xstrdup("");
    for (size_t i = 0; answer && i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        if (strcmp(testimony->participant, participant) != 0)
            continue;
        struct json *report = json_parse(testimony->report, strlen(testimony->report), NULL);
        bool is_object = report && report->type == JSON_OBJECT;
        const struct json *user = is_object ? json_member(report, "user") : NULL;
        const struct json *superuser = is_object ? json_member(report, "superuser") : NULL;
        if (user && user->type == JSON_STRING && superuser && superuser->type == JSON_FALSE) {
            free(role);
            role = xstrdup(user->text);
        }
        json_free(report);
    }
    return role;
}

static bool is_other_clusters(const struct checkup *checkup, const struct gid *id)
{
    const Wire__CoordinatorView *view =
        checkup->coordinator ? checkup->coordinator->coordinator : NULL;
    return view && strcmp(view->cluster, id->cluster) != 0;
}

enum { ABANDONED, FOREIGN, ELSEWHERE, NOT_OURS, GROUPS };

static void sort(struct group groups[GROUPS], const struct checkup *checkup, const char *role,
                 const Wire__PreparedView *prepared)
{
    struct gid id;
    bool is_troths = gid_parse(prepared->gid, &id);
    enum prepared_kind kind = prepared_kind(prepared);
    if (kind == PREPARED_ELSEWHERE)
        group_add(&groups[ELSEWHERE], prepared);
    else if (!is_troths || is_other_clusters(checkup, &id))
        group_add(&groups[FOREIGN], prepared);
    else if (kind == PREPARED_ABANDONED)
        group_add(&groups[ABANDONED], prepared);
    if (*role && prepared->here && is_troths && !is_other_clusters(checkup, &id) &&
        strcmp(prepared->owner, role) != 0)
        group_add(&groups[NOT_OURS], prepared);
}

static void check_testimony(struct findings *findings, const struct checkup *checkup,
                            const Wire__Testimony *testimony)
{
    struct group groups[GROUPS] = {{0}};
    char *role = role_of(checkup, testimony->participant);
    for (size_t i = 0; i < testimony->n_prepared; i++)
        sort(groups, checkup, role, testimony->prepared[i]);
    findings_about(findings, "database of %.32s", testimony->participant);
    say_abandoned(findings, testimony, &groups[ABANDONED]);
    say_foreign(findings, testimony, &groups[FOREIGN]);
    say_elsewhere(findings, testimony, &groups[ELSEWHERE]);
    say_not_ours(findings, &groups[NOT_OURS], role);
    free(role);
}

void check_prepared(struct findings *findings, const struct checkup *checkup)
{
    for (size_t i = 0; checkup->prepared && i < checkup->prepared->n_testimonies; i++)
        check_testimony(findings, checkup, checkup->prepared->testimonies[i]);
}
