/* What nobody decides any more: a journal that does not know it, a coordinator that is gone. */
#include <stdlib.h>
#include <string.h>

#include "cli/advice_words.h"
#include "core/check.h"

/* Known to some register: the others learn it. */
bool advise_known(struct question *question)
{
    const struct weighed *weighed = &question->weighed;
    if (!weighed->decided_commit && !weighed->decided_abort)
        return false;
    bool commit = weighed->decided_commit;
    if ((commit ? question->commit : question->abort) != ORDER_WAIT) {
        advise_differs(question);
        return true;
    }
    say(question, ADVICE_WAIT, "decided %s by a majority of its sites",
        commit ? "commit" : "abort");
    because(question,
            "A register knows it, and every branch that is still prepared is told: nothing "
            "is to be done but to keep its participants and their databases running.");
    return true;
}

/* ---- nobody decides ----------------------------------------------------------------------- */

void unheard_unknowns(struct question *question)
{
    const struct advice_facts *facts = question->facts;
    for (size_t i = 0; i < facts->testimony_count; i++) {
        const Wire__Testimony *testimony = facts->testimonies[i];
        const Wire__Problem *problem = testimony->problem;
        if (testimony_is(testimony, UNHEARD))
            unknown(question, "what %s holds: %s", testimony->participant,
                    problem && *problem->message ? problem->message : "it was not heard");
    }
    if (facts->at_participant)
        unknown(question, "what the databases of the other participants hold: only a coordinator "
                          "asks them all");
}

/* Its own coordinator is there, elsewhere. */
static void advise_judged(struct question *question)
{
    const char *coordinator = question->id.coordinator;
    char *prepared = who_are(question, HOLDS_PREPARED);
    say(question, ADVICE_RUN, "a transaction of %s, which has a session with %s", coordinator,
        question->facts->at_participant ? question->facts->asked : prepared);
    because(question, "Its own coordinator knows it and ends it by itself. Ask there: ADDRESS is "
                      "`listen` in its trothd.yaml.");
    question->advice->command =
        xasprintf("troth --coordinator ADDRESS tx explain %s", question->facts->id);
    free(prepared);
}

/* One outcome is proved somewhere, the other would be refused. */
static void advise_proved(struct question *question, bool commit)
{
    char *prepared = who_are(question, HOLDS_PREPARED), *unheard = who_are(question, UNHEARD);
    char *proof = who_are(question, commit ? HOLDS_COMMITTED : HOLDS_ABORTED);
    char *command = resolve_command(question, commit);
    const char *done = commit ? "committed" : "rolled back";
    if (question->weighed.prepared) {
        say(question, ADVICE_RUN, "nobody decides it: %s at %s, prepared at %s", done, proof,
            prepared);
        because(question, "What %s holds proves how it was to end: the other outcome is refused.",
                proof);
        question->advice->command = command;
    } else {
        say(question, ADVICE_WAIT, "%s at %s, and prepared nowhere that was heard", done, proof);
        because(question, "%s was not heard, and may hold a branch: bring it back, and ask again.",
                unheard);
        question->advice->otherwise = command;
        question->advice->when = "Only if it never comes back:";
    }
    unheard_unknowns(question);
    free(unheard);
    free(proof);
    free(prepared);
}

/* Nothing proves either. Who holds nothing of it took no part, or has ended it and forgotten. */
static void advise_either(struct question *question)
{
    char *prepared = who_are(question, HOLDS_PREPARED), *unheard = who_are(question, UNHEARD);
    char *nothing = who_are(question, HOLDS_NOTHING);
    char *commit = resolve_command(question, true), *abort = resolve_command(question, false);
    say(question, ADVICE_CHOOSE,
        "nobody decides it, and nothing proves how it was to end; prepared "
        "at %s",
        prepared);
    if (some_are(question, HOLDS_NOTHING)) {
        because(question,
                "Look in the data of %s whether the transaction's work is there: if so it was "
                "committed, and the first command is right; if it is nowhere, the second.",
                nothing);
        unknown(question,
                "whether %s took part: nothing prepared is left there, and nobody knows "
                "an xid to ask about",
                nothing);
    } else {
        because(question, "All that were asked hold it prepared, so none of them has committed it. "
                          "Unless somebody was told that it is committed, the second is right.");
    }
    question->advice->command = commit;
    question->advice->otherwise = abort;
    unheard_unknowns(question);
    free(nothing);
    free(unheard);
    free(prepared);
}

/* Somebody is missing who may prove it. */
static void advise_missing(struct question *question)
{
    char *prepared = who_are(question, HOLDS_PREPARED), *unheard = who_are(question, UNHEARD);
    if (question->weighed.prepared) {
        say(question, ADVICE_WAIT, "nobody who was heard decides it; prepared at %s", prepared);
        offer_last_resort(question, "Only if that never comes:");
    } else {
        say(question, ADVICE_UNKNOWN, "nobody who was heard knows it");
    }
    because(question, "Bring back %s: what it holds may prove how it was to end.", unheard);
    unheard_unknowns(question);
    free(unheard);
    free(prepared);
}

static void advise_gone(struct question *question)
{
    char *committed = who_are(question, HOLDS_COMMITTED),
         *aborted = who_are(question, HOLDS_ABORTED);
    bool door = question->facts->at_participant;
    const char *nowhere = door ? "" : ", and prepared nowhere";
    if (question->weighed.committed)
        say(question, ADVICE_NOTHING, "committed at %s%s", committed, nowhere);
    else if (question->weighed.aborted)
        say(question, ADVICE_NOTHING, "rolled back at %s%s", aborted, nowhere);
    else
        say(question, ADVICE_UNKNOWN,
            "nobody knows it: neither %s %s nor a database that was asked",
            door ? "participant" : "coordinator", question->facts->asked);
    because(question, "Nothing of it is prepared %s: no rows are locked by it.",
            door ? "here" : "anywhere");
    free(aborted);
    free(committed);
}

void advise_held(struct question *question)
{
    enum verdict_on_order commit = question->commit, abort = question->abort;
    if (advise_known(question))
        return;
    if (commit == ORDER_JUDGED || abort == ORDER_JUDGED)
        advise_judged(question);
    else if ((commit == ORDER_CONTRADICTS && abort == ORDER_CONTRADICTS) ||
             (question->weighed.committed && question->weighed.aborted))
        advise_differs(question);
    else if (commit == ORDER_NOTHING || abort == ORDER_NOTHING)
        advise_gone(question);
    else if (abort == ORDER_CONTRADICTS)
        advise_proved(question, true);
    else if (commit == ORDER_CONTRADICTS)
        advise_proved(question, false);
    else if (question->weighed.unheard)
        advise_missing(question);
    else
        advise_either(question);
}

/* ---- at a participant's door, in the coordinator's absence ---------------------------------- */

void advise_at_participant(struct question *question)
{
    const struct advice_facts *facts = question->facts;
    const char *coordinator = question->id.coordinator, *here = facts->asked;
    bool held = is_held(question);
    if (advise_known(question))
        return;
    if (!question->weighed.prepared) {
        advise_gone(question);
        unheard_unknowns(question);
        return;
    }
    if (question->commit == ORDER_JUDGED || question->commit == ORDER_CONTRADICTS ||
        question->abort == ORDER_CONTRADICTS) {
        advise_held(question);
        return;
    }
    if (facts->tx && facts->tx->n_sites > 0) {
        say(question, ADVICE_WAIT, "in doubt at %s: a majority of its sites decides%s%s", here,
            *facts->tx->waits_for ? "; it waits for " : "", facts->tx->waits_for);
        char *missing = unreached_sites(question);
        because(question, "Bring back %s: with a majority they decide by themselves.",
                *missing ? missing : coordinator);
        free(missing);
    } else if (held) {
        say(question, ADVICE_RUN,
            "held at %s: its coordinator %s does not know it, and so never ends it", here,
            coordinator);
        because(
            question,
            "Ask a coordinator, %s or another: it asks all databases, and one of them may prove "
            "how it was to end. ADDRESS is `listen` in its trothd.yaml.",
            coordinator);
        question->advice->command =
            xasprintf("troth --coordinator ADDRESS tx explain %s", facts->id);
    } else {
        say(question, ADVICE_WAIT, "in doubt at %s: only its coordinator %s knows the decision",
            here, coordinator);
        because(question, "Start %s again: it ends it by itself.", coordinator);
    }
    offer_last_resort(question,
                      held ? "Only if no coordinator can be asked:" : "Only if that never comes:");
    if (!held)
        unknown(question, "what %s has decided", coordinator);
    unheard_unknowns(question);
}
