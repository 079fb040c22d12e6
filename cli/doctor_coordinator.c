/* What doctor says of the coordinator: itself, its journal, its sagas. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/print.h"

#define DISK_WARNING_BYTES (1024ull * 1024 * 1024)
#define DISK_PROBLEM_BYTES (128ull * 1024 * 1024)

static void check_journal(struct findings *findings, const Wire__CoordinatorView *view)
{
    time_text used, left;
    if (view->journal_segments == 0)
        return; /* its coordinator keeps no files */
    findings_about(findings, "journal");
    bytes_format(used, view->journal_bytes);
    bytes_format(left, view->journal_free_bytes);
    enum level level = view->journal_free_bytes < DISK_PROBLEM_BYTES   ? LEVEL_PROBLEM
                       : view->journal_free_bytes < DISK_WARNING_BYTES ? LEVEL_WARNING
                                                                       : LEVEL_OK;
    found(findings, level,
          level == LEVEL_OK ? ""
                            : "free space on the file system of journal.directory: a coordinator "
                              "that can't write its journal stops",
          "%s in %" PRIu64 " segment%s, %s free", used, view->journal_segments,
          view->journal_segments == 1 ? "" : "s", left);
}

/* "place-order 1, restock 2", or as many as fit. */
static void list_definitions(const Wire__CoordinatorView *view, char *out, size_t room)
{
    size_t used = 0;
    *out = '\0';
    for (size_t i = 0; i < view->n_definitions && used < room; i++) {
        const char *name = view->definitions[i];
        if (used + strlen(name) + 40 > room) {
            snprintf(out + used, room - used, " and %zu more", view->n_definitions - i);
            return;
        }
        used += (size_t)snprintf(out + used, room - used, "%s%s", i ? ", " : "", name);
    }
}

/* A saga that nobody looks after stays half done. */
static void check_sagas(struct findings *findings, const Wire__CoordinatorView *view)
{
    char names[500];
    uint64_t waiting = view->sagas_waiting_for_operator;
    uint64_t live = view->sagas_running + view->sagas_compensating;
    if (view->n_definitions == 0 && live == 0)
        return; /* nobody uses them here */
    findings_about(findings, "sagas");
    list_definitions(view, names, sizeof(names));
    if (view->n_definitions)
        found(findings, LEVEL_OK, "", "new ones can be of %s", names);
    if (waiting)
        found(findings, LEVEL_PROBLEM,
              "troth saga list --needs-operator names them, and troth saga show ID what to do",
              "%" PRIu64 " of %" PRIu64 " need%s an operator", waiting, live,
              waiting == 1 ? "s" : "");
    else
        found(findings, LEVEL_OK, "", "%" PRIu64 " run%s, %" PRIu64 " %s being undone",
              view->sagas_running, view->sagas_running == 1 ? "s" : "", view->sagas_compensating,
              view->sagas_compensating == 1 ? "is" : "are");
}

/* What a participant tells is true of itself; how its coordinator is it can't know. */
static void no_coordinator(struct findings *findings)
{
    findings_about(findings, "coordinator");
    found(findings, LEVEL_WARNING,
          "ask it when it is back: all else is as this participant sees it",
          "not asked: participant %s has answered", findings->who.name);
}

void check_coordinator(struct findings *findings, const struct checkup *checkup)
{
    time_text age;
    if (findings->who.participant)
        no_coordinator(findings);
    if (!checkup->coordinator || !checkup->coordinator->coordinator)
        return;
    const Wire__CoordinatorView *view = checkup->coordinator->coordinator;
    findings_about(findings, "coordinator %.32s", view->name);
    found(findings, LEVEL_OK, "", "cluster %.32s, epoch %" PRIu64 ", %.60s, up %s", view->cluster,
          view->epoch, view->software,
          view->started_us ? age_format(age, wall_now_us() - view->started_us) : "-");
    if (view->draining)
        found(findings, LEVEL_WARNING, "start it again when its work is done",
              "is draining: it takes no new transactions");
    check_journal(findings, view);
    check_sagas(findings, view);
}
