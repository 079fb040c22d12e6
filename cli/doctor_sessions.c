/* What doctor says of who reaches whom: sessions, where participants listen, versions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/print.h"
#include "core/check.h"

/* Adds a name to a list that is cut when it gets too long for a line or two. */
static void add_name(char *out, size_t room, const char *name)
{
    size_t used = strlen(out);
    if (used + strlen(name) + 8 < room)
        snprintf(out + used, room - used, "%s%s", used ? ", " : "", name);
    else if (used < 4 || strcmp(out + used - 3, "...") != 0)
        snprintf(out + used, room - used, ", ...");
}

/* ---- three phases ------------------------------------------------------------------------- */

/* One line for all: where nobody wants three phases it should not be in the way. */
static void check_listen(struct findings *findings, const struct checkup *checkup)
{
    char names[300] = "";
    size_t silent = 0;
    const Wire__Answer *answer = checkup->participants;
    for (size_t i = 0; answer && i < answer->n_participants; i++) {
        const Wire__ParticipantView *view = answer->participants[i];
        /* Without a database it may not have told where it listens, and has worse troubles. */
        if (!view->connected || !view->database_up || *view->listen)
            continue;
        add_name(names, sizeof(names), view->name);
        silent++;
    }
    if (silent == 0)
        return;
    findings_about(findings, "3pc");
    found(findings, LEVEL_INFO,
          "where --protocol 3pc is wanted, set `listen` in participant.yaml; if it is set, another "
          "process has that address (see the log)",
          "not with %s: no address where the other participants reach %s", names,
          silent == 1 ? "it" : "them");
}

/* ---- coordinators ------------------------------------------------------------------------- */

static bool reaches(const Wire__Testimony *testimony, const char *name)
{
    for (size_t i = 0; i < testimony->n_reaches; i++) {
        if (strcmp(testimony->reaches[i], name) == 0)
            return true;
    }
    return false;
}

static bool is_first(const Wire__Answer *answer, size_t testimony, size_t index)
{
    const char *name = answer->testimonies[testimony]->reaches[index];
    for (size_t i = 0; i < testimony; i++) {
        if (reaches(answer->testimonies[i], name))
            return false;
    }
    return true;
}

/* A coordinator that one participant has a session with, and others have not. */
static void check_coordinator_of(struct findings *findings, const struct checkup *checkup,
                                 const char *coordinator, const char *with)
{
    char names[300] = "";
    const Wire__Answer *answer = checkup->diagnosis;
    for (size_t i = 0; i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        if (!problem_is_set(testimony->problem) && !reaches(testimony, coordinator))
            add_name(names, sizeof(names), testimony->participant);
    }
    if (*names)
        found(findings, LEVEL_INFO,
              "where it is to take part in its transactions, name it in `coordinators` of its "
              "participant.yaml; see its log if it is named",
              "coordinator %.32s has a session with %.32s, and none with %s", coordinator, with,
              names);
}

static void check_reaches(struct findings *findings, const struct checkup *checkup)
{
    const Wire__Answer *answer = checkup->diagnosis;
    findings_about(findings, "sessions");
    for (size_t i = 0; answer && i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        for (size_t k = 0; k < testimony->n_reaches; k++) {
            if (is_first(answer, i, k) && !participant_find(checkup, testimony->reaches[k]))
                check_coordinator_of(findings, checkup, testimony->reaches[k],
                                     testimony->participant);
        }
    }
}

/* ---- versions ----------------------------------------------------------------------------- */

#define SOFTWARE "troth " TROTH_VERSION

static void check_versions(struct findings *findings, const struct checkup *checkup)
{
    char others[500] = "", one[120];
    const Wire__Answer *answer = checkup->participants;
    const Wire__CoordinatorView *coordinator =
        checkup->coordinator ? checkup->coordinator->coordinator : NULL;
    findings_about(findings, "versions");
    if (coordinator && *coordinator->software && strcmp(coordinator->software, SOFTWARE) != 0) {
        snprintf(one, sizeof(one), "%.32s has %.60s", coordinator->name, coordinator->software);
        add_name(others, sizeof(others), one);
    }
    for (size_t i = 0; answer && i < answer->n_participants; i++) {
        const Wire__ParticipantView *view = answer->participants[i];
        if (!*view->software || strcmp(view->software, SOFTWARE) == 0)
            continue;
        snprintf(one, sizeof(one), "%.32s has %.60s", view->name, view->software);
        add_name(others, sizeof(others), one);
    }
    if (*others)
        found(findings, LEVEL_INFO,
              "well while they are changed one after the other; not as a rule",
              "this command is " SOFTWARE ", and %s", others);
}

void check_sessions(struct findings *findings, const struct checkup *checkup)
{
    check_listen(findings, checkup);
    check_reaches(findings, checkup);
    check_versions(findings, checkup);
}

/* ---- doors -------------------------------------------------------------------------------- */

/* Only those that can be reached from here as from the other participants: on this machine. */
static bool is_loopback(const char *address)
{
    static const char *const beginnings[] = {"tcp://127.", "tcp://localhost:", "tcp://[::1]:"};
    for (int i = 0; i < 3; i++) {
        if (strncmp(address, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    }
    return false;
}

static void check_door(struct findings *findings, const Wire__ParticipantView *view,
                       const struct options *options)
{
    struct options there = *options;
    struct error error = {0};
    there.coordinator = view->listen;
    there.timeout_us = 1000000;
    if (options->timeout_us && options->timeout_us < there.timeout_us)
        there.timeout_us = options->timeout_us;
    struct connection *connection = connection_open(&there, &error);
    if (!connection) {
        found(findings, LEVEL_WARNING,
              "see its log; other participants can't ask it there, nor can you while the "
              "coordinator is away",
              error.kind == ERROR_UNREACHABLE ? "nobody answers at its address %.100s"
                                              : "its address %.100s lets nobody in: %.200s",
              view->listen, error.message);
        return;
    }
    struct answerer who = connection_answerer(connection);
    connection_close(connection);
    if (!who.participant || strcmp(who.name, view->name) != 0)
        found(findings, LEVEL_PROBLEM, "give each participant a `listen` address of its own",
              "at its address %.100s answers %s %.32s", view->listen,
              who.participant ? "participant" : "coordinator", who.name);
}

void check_doors(struct findings *findings, const struct checkup *checkup,
                 const struct options *options)
{
    enum { UNANSWERED_MOST = 3 };
    const Wire__Answer *answer = checkup->participants;
    int before = findings_bad(findings);
    for (size_t i = 0; answer && !findings->who.participant && i < answer->n_participants; i++) {
        const Wire__ParticipantView *view = answer->participants[i];
        findings_about(findings, "participant %.32s", view->name);
        if (view->connected && is_loopback(view->listen) && is_loopback(options->coordinator) &&
            findings_bad(findings) - before < UNANSWERED_MOST)
            check_door(findings, view, options);
    }
}
