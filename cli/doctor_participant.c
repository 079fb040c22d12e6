/* What doctor says of each participant, as its coordinator, or itself, sees it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/print.h"
#include "core/check.h"

enum { SLOTS_WARNING_PERCENT = 80, HELD_SHOWN = 5 };

const Wire__ParticipantView *participant_find(const struct checkup *checkup, const char *name)
{
    const Wire__Answer *answer = checkup->participants;
    for (size_t i = 0; answer && i < answer->n_participants; i++) {
        if (strcmp(answer->participants[i]->name, name) == 0)
            return answer->participants[i];
    }
    return NULL;
}

static void check_slots(struct findings *findings, const Wire__ParticipantView *view)
{
    uint64_t used = (uint64_t)view->prepared + view->prepared_foreign;
    if (view->prepared_slots == 0)
        found(findings, LEVEL_PROBLEM,
              "ALTER SYSTEM SET max_prepared_transactions = 200; then restart that PostgreSQL",
              "its PostgreSQL allows no prepared transactions");
    else if (used * 100 >= (uint64_t)view->prepared_slots * SLOTS_WARNING_PERCENT)
        found(findings, LEVEL_WARNING,
              "raise max_prepared_transactions, and see troth tx list --in-doubt for what holds "
              "them",
              "%" PRIu64 " of %" PRIu32 " prepared transactions are in use", used,
              view->prepared_slots);
}

static void check_held(struct findings *findings, const Wire__ParticipantView *view)
{
    for (size_t i = 0; i < view->n_held && i < HELD_SHOWN; i++) {
        char *hint = xasprintf("troth tx explain %.199s tells what the databases know of it, and "
                               "the one safe command",
                               view->held[i]);
        found(findings, LEVEL_PROBLEM, hint,
              "%.199s is held: its coordinator is not here, or does not know any more what was "
              "decided",
              view->held[i]);
        free(hint);
    }
    if (view->n_held > HELD_SHOWN)
        found(findings, LEVEL_PROBLEM, "troth tx orphans names all", "%zu more are held",
              view->n_held - HELD_SHOWN);
}

static void check_database(struct findings *findings, const Wire__ParticipantView *view)
{
    time_text age;
    check_slots(findings, view);
    check_held(findings, view);
    int64_t old_us = view->oldest_prepared_us ? wall_now_us() - view->oldest_prepared_us : 0;
    if (old_us > IN_DOUBT_LONG_US)
        found(findings, LEVEL_WARNING,
              "it holds locks until it is ended; troth tx list --in-doubt tells what it waits for",
              "its oldest prepared transaction is %s old", age_format(age, old_us));
}

/* The coordinator is away, or holds what it was asked about. */
static void check_terminating(struct findings *findings, const Wire__ParticipantView *view)
{
    const char *address = *view->listen ? view->listen : "ITS-LISTEN-ADDRESS";
    uint32_t minority = view->minority, other = view->terminating - minority;
    if (minority) {
        char *hint = xasprintf("troth --coordinator %s tx list --in-doubt names %s, and tx show "
                               "GTRID the sites that must come back",
                               address, minority == 1 ? "it" : "them");
        found(findings, LEVEL_PROBLEM, hint,
              "%" PRIu32 " %s for a majority of %s sites, and rows stay locked", minority,
              minority == 1 ? "transaction waits" : "transactions wait",
              minority == 1 ? "its" : "their");
        free(hint);
    }
    if (view->terminating > minority) {
        char *hint = xasprintf("troth --coordinator %s tx list --in-doubt names %s", address,
                               other == 1 ? "it" : "them");
        found(findings, LEVEL_WARNING, hint, "is finishing %" PRIu32 " %s without the coordinator",
              other, other == 1 ? "transaction" : "transactions");
        free(hint);
    }
}

static void not_connected(struct findings *findings, const Wire__ParticipantView *view)
{
    time_text age;
    age_format(age, view->since_us ? wall_now_us() - view->since_us : 0);
    char *owed = view->unapplied
                     ? xasprintf("; %" PRIu32 " decided branches wait for it", view->unapplied)
                     : xstrdup("");
    found(findings, LEVEL_PROBLEM,
          "start its troth-participant, or see its log if it runs: transactions that need it "
          "abort",
          "not connected for %s%s", age, owed);
    free(owed);
}

/* A hint names the participant where it helps; its name was checked by the coordinator. */
static void check_participant(struct findings *findings, const Wire__ParticipantView *view)
{
    findings_about(findings, "participant %.32s", view->name);
    if (!view->connected) {
        not_connected(findings, view);
        return;
    }
    if (!view->database_up) {
        found(findings, LEVEL_PROBLEM,
              "start its PostgreSQL, or mend what the reason names; the agent connects again by "
              "itself",
              "its database is down: %.300s",
              *view->database_reason ? view->database_reason : "no reason was given");
        return;
    }
    int before = findings_bad(findings);
    check_database(findings, view);
    check_terminating(findings, view);
    if (findings_bad(findings) == before)
        found(findings, LEVEL_OK, "", "connected, database up, %" PRIu32 " to be applied",
              view->unapplied);
}

void check_participants(struct findings *findings, const struct checkup *checkup)
{
    const Wire__Answer *answer = checkup->participants;
    if (!answer)
        return;
    if (answer->n_participants == 0) {
        findings_about(findings, "participants");
        found(findings, LEVEL_PROBLEM,
              "start troth-participant with this coordinator in its `coordinators`",
              "none has connected");
    }
    for (size_t i = 0; i < answer->n_participants; i++)
        check_participant(findings, answer->participants[i]);
}
