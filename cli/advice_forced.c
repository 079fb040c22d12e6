/* What an operator forced, hazards, and databases that differ: what the protocol can't set right.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/advice_words.h"
#include "core/check.h"

static const char *const owed_states[] = {"waiting", "prepared", "committing", "aborting", NULL};

/* What is still carried out by itself: "; inventory still carries it out", or "". A new text. */
static char *owed_words(const struct question *question)
{
    char *owed = branches_in(question, owed_states), *text;
    if (!owed)
        return xstrdup("");
    text = xasprintf(" It is still owed at %s, and carried out there by itself; tx forget is "
                     "refused until then.",
                     owed);
    free(owed);
    return text;
}

/* ---- mixed -------------------------------------------------------------------------------- */

/* "payments was made to commit, ", a new text. */
static char *forced_words(const struct question *question)
{
    const Wire__TransactionView *tx = question->facts->tx;
    size_t count = 0, index = 0;
    for (size_t i = 0; i < tx->n_heuristics; i++)
        count += *tx->heuristics[i]->participant != '\0';
    char *text = xstrdup("");
    for (size_t i = 0; i < tx->n_heuristics; i++) {
        const Wire__Heuristic *forced = tx->heuristics[i];
        if (!*forced->participant)
            continue;
        char *one = *forced->found
                        ? xasprintf("%s was to %s and holds something else", forced->participant,
                                    forced->commit ? "commit" : "roll back")
                        : xasprintf("%s was made to %s", forced->participant,
                                    forced->commit ? "commit" : "roll back");
        text = list_add(text, one, index++, count);
        free(one);
    }
    if (count == 0) {
        free(text);
        text = xstrdup("an operator forced an outcome");
    }
    return text;
}

/* A branch that is prepared still keeps its locks, whatever the others have come to. */
static void end_what_is_left(struct question *question)
{
    struct advice *advice = question->advice;
    bool commit = question->commit == ORDER_HEURISTIC, abort = question->abort == ORDER_HEURISTIC;
    if (!question->weighed.prepared || (!commit && !abort))
        return;
    char *prepared = who_are(question, HOLDS_PREPARED), *why = advice->why;
    advice->why = xasprintf("%s What is still prepared at %s keeps its locks until it is ended%s.",
                            why, prepared, commit && abort ? ", one way or the other" : "");
    if (commit)
        advice->command = resolve_command(question, true);
    if (abort && commit)
        advice->otherwise = resolve_command(question, false);
    else if (abort)
        advice->command = resolve_command(question, false);
    free(why);
    free(prepared);
}

/* Two were forced differently: the one is the other's opposite. */
static bool forced_differ(const Wire__TransactionView *tx)
{
    bool commit = false, abort = false;
    for (size_t i = 0; i < tx->n_heuristics; i++) {
        commit = commit || (*tx->heuristics[i]->participant && tx->heuristics[i]->commit);
        abort = abort || (*tx->heuristics[i]->participant && !tx->heuristics[i]->commit);
    }
    return commit && abort;
}

static void advise_mixed(struct question *question)
{
    const Wire__TransactionView *tx = question->facts->tx;
    char *forced = forced_words(question), *owed = owed_words(question);
    bool commit = strcmp(tx->decision, "commit") == 0;
    enum holding wrong = commit ? HOLDS_ABORTED : HOLDS_COMMITTED;
    char *where = some_are(question, wrong) ? who_are(question, wrong)
                                            : xstrdup("those that hold the opposite");
    if (*tx->decision) {
        say(question, ADVICE_MEND, "mixed: %s, and the decision is %s", forced, tx->decision);
        because(question,
                "Databases disagree, and no command makes them agree. What was decided holds "
                "wherever it was not forced: set right by hand the data of %s, then forget it.%s",
                where, owed);
    } else {
        say(question, ADVICE_MEND, "mixed: %s%s", forced,
            forced_differ(tx) ? "" : ", and another database holds the opposite");
        because(question,
                "Databases disagree, and no command makes them agree. Find out which outcome is "
                "right, set right by hand the data of those that hold the opposite, then forget "
                "it.%s",
                owed);
    }
    end_what_is_left(question);
    if (!question->advice->command && !question->advice->otherwise)
        question->advice->command = forget_command(question);
    free(where);
    free(owed);
    free(forced);
}

/* ---- hazards ------------------------------------------------------------------------------ */

static const Wire__BranchView *first_hazard(const Wire__TransactionView *tx)
{
    for (size_t i = 0; i < tx->n_branches; i++) {
        if (strcmp(tx->branches[i]->state, "hazard") == 0)
            return tx->branches[i];
    }
    return NULL;
}

/* What the operator does with the data, and then. */
static void mend(struct question *question, const char *how)
{
    char *owed = owed_words(question);
    because(question, "%s Then forget it.%s", how, owed);
    question->advice->command = forget_command(question);
    free(owed);
}

static void advise_hazard_of(struct question *question, const char *participant, bool commit,
                             const struct weighed *held)
{
    const char *decided = commit ? "commit" : "abort";
    if (held->unheard) {
        say(question, ADVICE_WAIT,
            "hazard: decided %s, and %s, which could not prove it, was not "
            "heard",
            decided, participant);
        because(question, "Ask again when %s is back: its database may tell more.", participant);
    } else if (held->prepared) {
        say(question, ADVICE_WAIT, "hazard: decided %s, and it is prepared again at %s", decided,
            participant);
        because(question,
                "%s asks what was decided and carries it out. Look again then; do not end it by "
                "hand.",
                participant);
    } else if (commit ? held->committed && !held->aborted : held->aborted && !held->committed) {
        say(question, ADVICE_RUN, "hazard: decided %s, which %s could not prove; it holds it now",
            decided, participant);
        mend(question, "Its database has it as it was decided: nothing is to be set right.");
    } else if (held->committed || held->aborted) {
        say(question, ADVICE_MEND, "hazard: decided %s, but %s has %s", decided, participant,
            commit ? "rolled it back" : "committed it");
        mend(question, commit ? "Somebody ended the branch there by hand, or the database was set "
                                "back to an older state. Do there by hand what the transaction "
                                "would have done, or undo it at the others."
                              : "Somebody ended the branch there by hand. Undo by hand what it did "
                                "there.");
    } else {
        say(question, ADVICE_MEND,
            "hazard: decided %s, and %s can't prove it: nothing there tells "
            "what became of its branch",
            decided, participant);
        mend(question, commit ? "Look in its data whether the work is there; if not, do it by hand."
                              : "Look in its data whether the work is there; if so, undo it by "
                                "hand.");
        unknown(question, "whether the branch at %s was committed: its database does not know",
                participant);
    }
}

static void advise_hazard(struct question *question)
{
    const Wire__TransactionView *tx = question->facts->tx;
    const Wire__BranchView *branch = first_hazard(tx);
    struct weighed held = {0};
    bool commit = question->standing != STANDING_ABORTED;
    if (!branch) {
        advise_differs(question);
        return;
    }
    const Wire__Testimony *testimony = testimony_of(question, branch->participant);
    if (testimony)
        resolution_weigh(&held, testimony);
    else
        held.unheard = true;
    advise_hazard_of(question, branch->participant, commit, &held);
}

/* ---- forced, and nothing contradicts it ----------------------------------------------------- */

static void advise_heuristic(struct question *question)
{
    const Wire__TransactionView *tx = question->facts->tx;
    bool commit = strcmp(tx->heuristic, "commit") == 0;
    const char *word = commit ? "commit" : "abort";
    char *forced = forced_words(question), *unheard = who_are(question, UNHEARD);
    char *prepared = who_are(question, HOLDS_PREPARED);
    if (question->weighed.prepared && question->forced == FORCED_NOT &&
        (commit ? question->commit : question->abort) == ORDER_HEURISTIC) {
        say(question, ADVICE_RUN, "an operator forced %s (%s); it is still prepared at %s", word,
            forced, prepared);
        because(question, "It was forced there alone, and nobody tells the others. The same "
                          "outcome everywhere keeps the databases alike.");
        question->advice->command = resolve_command(question, commit);
    } else if (question->weighed.prepared) {
        say(question, ADVICE_WAIT, "an operator forced %s; it is still prepared at %s", word,
            prepared);
        because(question, "Each is told as soon as it is connected, and ends it by itself.");
    } else if (question->facts->at_participant) {
        say(question, ADVICE_WAIT, "an operator forced %s (%s)", word, forced);
        because(question,
                "Its coordinator %s is told when it is back, and compares it with its "
                "decision. Until then it stays on the list here.",
                question->id.coordinator);
    } else if (question->weighed.unheard) {
        say(question, ADVICE_WAIT, "an operator forced %s (%s); not all were heard", word, forced);
        because(question, "%s may hold a branch: it is told when it is back.", unheard);
    } else if (question->standing == STANDING_PROPOSED) {
        say(question, ADVICE_WAIT, "an operator forced %s (%s); its sites have not decided", word,
            forced);
        because(question, "When a majority of its sites is back they decide, and it is compared.");
    } else if (tx->hazard) {
        say(question, ADVICE_MEND, "an operator forced %s (%s); what was decided is not known",
            word, forced);
        because(question,
                "What became of a branch that is not prepared any more can't be proved either. "
                "Compare the data of its participants by hand; then it can go from the list.");
        question->advice->command = forget_command(question);
    } else {
        say(question, ADVICE_RUN, "an operator forced %s (%s); nothing known contradicts it", word,
            forced);
        because(question, "Nothing of it is prepared any more, and nothing is owed: it can go from "
                          "the list.");
        question->advice->command = forget_command(question);
    }
    free(prepared);
    free(unheard);
    free(forced);
}

/* No decision is known, so nothing but what was forced. */
static bool is_unproved(const Wire__TransactionView *tx)
{
    return *tx->heuristic && !*tx->decision && !first_hazard(tx);
}

/* ---- all ---------------------------------------------------------------------------------- */

bool advise_forced(struct question *question)
{
    const Wire__TransactionView *tx = question->facts->tx;
    if (!tx)
        return false;
    if (strcmp(tx->heuristic, "mixed") == 0)
        advise_mixed(question);
    else if (strcmp(tx->state, "hazard") == 0 || (tx->hazard && !is_unproved(tx)))
        advise_hazard(question);
    else if (*tx->heuristic)
        advise_heuristic(question);
    else
        return false;
    return true;
}

void advise_differs(struct question *question)
{
    char *committed = who_are(question, HOLDS_COMMITTED),
         *aborted = who_are(question, HOLDS_ABORTED);
    char *owed = owed_words(question);
    if (question->weighed.committed && question->weighed.aborted)
        say(question, ADVICE_MEND, "databases disagree: committed at %s, rolled back at %s",
            committed, aborted);
    else if (question->weighed.committed)
        say(question, ADVICE_MEND, "it is not to be committed, but %s has committed it", committed);
    else
        say(question, ADVICE_MEND, "decided commit, but %s has rolled it back", aborted);
    because(question,
            "Somebody ended a branch by hand, or a database was set back to an older state. No "
            "command makes them agree: set the data right by hand.%s",
            owed);
    end_what_is_left(question);
    free(owed);
    free(aborted);
    free(committed);
}
