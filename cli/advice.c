#include "cli/advice.h"

#include <stdlib.h>
#include <string.h>

#include "cli/advice_words.h"
#include "core/check.h"

/* ---- how it stands ------------------------------------------------------------------------ */

static bool state_is(const Wire__TransactionView *tx, const char *state)
{
    return strcmp(tx->state, state) == 0;
}

static enum standing standing_at_participant(const Wire__TransactionView *tx)
{
    if (state_is(tx, "committing") || state_is(tx, "proving"))
        return STANDING_COMMITTED;
    if (state_is(tx, "aborting"))
        return STANDING_ABORTED;
    if (state_is(tx, "waiting") || state_is(tx, "working") || state_is(tx, "accepting"))
        return STANDING_WRITING;
    return state_is(tx, "unsure") || state_is(tx, "looking") ? STANDING_ALONE : STANDING_HELD;
}

static enum standing standing_of_state(const Wire__TransactionView *tx)
{
    static const struct {
        const char *state;
        enum standing standing;
    } standings[] = {
        {"open", STANDING_VOTING},
        {"new", STANDING_VOTING},
        {"voting", STANDING_VOTING},
        {"deciding", STANDING_WRITING},
        {"pre-committed", STANDING_PROPOSED},
        {"one-phase", STANDING_ALONE},
        {"unknown", STANDING_ALONE},
        {"committed", STANDING_COMMITTED},
        {"applied", STANDING_COMMITTED},
        {"hazard", STANDING_COMMITTED},
        {"aborted", STANDING_ABORTED},
    };
    if (strcmp(tx->decision, "commit") == 0)
        return STANDING_COMMITTED;
    if (strcmp(tx->decision, "abort") == 0)
        return STANDING_ABORTED;
    for (size_t i = 0; i < sizeof(standings) / sizeof(standings[0]); i++) {
        if (state_is(tx, standings[i].state))
            return standings[i].standing;
    }
    return STANDING_HELD;
}

/* What a coordinator does not list it may still have presumed. */
static enum standing standing_of(const struct question *question)
{
    const struct advice_facts *facts = question->facts;
    if (facts->tx)
        return facts->at_participant ? standing_at_participant(facts->tx)
                                     : standing_of_state(facts->tx);
    bool own = !facts->at_participant && strcmp(question->id.coordinator, facts->asked) == 0;
    bool presumed = facts->problem && strcmp(facts->problem->code, "unknown") == 0;
    return own && presumed ? STANDING_PRESUMED : STANDING_HELD;
}

static void count_sites(const struct question *question, size_t *reached, size_t *all)
{
    const Wire__TransactionView *tx = question->facts->tx;
    *reached = 0;
    *all = tx ? tx->n_sites : 0;
    for (size_t i = 0; i < *all; i++)
        *reached += site_is_reached(question, tx->sites[i]);
}

/* Whether another coordinator is there to ask: not of what this one itself does not know, and not
 * of what that one has said that it does not know. */
static bool is_judged(const struct question *question)
{
    const struct advice_facts *facts = question->facts;
    if (facts->at_participant)
        return !is_held(question);
    return strcmp(question->id.coordinator, facts->asked) != 0;
}

static void weigh_forced(struct question *question, const Wire__Heuristic *forced)
{
    if (!*forced->participant)
        question->forced = forced->commit ? FORCED_COMMIT : FORCED_ABORT;
    else if (!*forced->found && forced->commit)
        question->weighed.committed = true;
    else if (!*forced->found)
        question->weighed.aborted = true;
}

static void weigh(struct question *question)
{
    const struct advice_facts *facts = question->facts;
    size_t reached, all;
    for (size_t i = 0; i < facts->testimony_count; i++)
        resolution_weigh(&question->weighed, facts->testimonies[i]);
    for (size_t i = 0; facts->tx && i < facts->tx->n_sites; i++) {
        const Wire__SiteView *site = facts->tx->sites[i];
        if (!site->heard || !site->decided)
            continue;
        question->weighed.decided_commit |= site->value == WIRE__VALUE__COMMIT;
        question->weighed.decided_abort |= site->value == WIRE__VALUE__ABORT;
    }
    count_sites(question, &reached, &all);
    question->weighed.majority = 2 * reached > all;
    question->weighed.judged = question->weighed.judged && is_judged(question);
    /* A participant's door tells of its own database, and of no other. */
    question->weighed.unheard |= facts->at_participant;
    for (size_t i = 0; facts->tx && i < facts->tx->n_heuristics; i++)
        weigh_forced(question, facts->tx->heuristics[i]);
    question->commit =
        resolution_of(question->standing, true, question->forced, &question->weighed);
    question->abort =
        resolution_of(question->standing, false, question->forced, &question->weighed);
}

/* ---- decided ------------------------------------------------------------------------------ */

static const char *const uncommitted[] = {"prepared", "committing", "waiting", NULL};
static const char *const unaborted[] = {"prepared", "aborting", NULL};

/* Of one participant or more, by their names. */
static const char *databases_of(const char *names)
{
    return strstr(names, " and ") ? "their databases" : "its database";
}

static void advise_committed(struct question *question)
{
    char *open = branches_in(question, uncommitted), *reason = branch_reason(question, uncommitted);
    char *again = who_are(question, HOLDS_PREPARED);
    if (question->commit == ORDER_CONTRADICTS) {
        advise_differs(question);
    } else if (open) {
        say(question, ADVICE_WAIT, "committed, not yet applied at %s%s", open, reason);
        because(
            question,
            "It needs %s to run, with %s: COMMIT is sent again in each new session, and carried "
            "out by itself. Nothing else is to be done.",
            open, databases_of(open));
    } else if (question->weighed.prepared) {
        say(question, ADVICE_WAIT, "committed, and prepared again at %s", again);
        because(question,
                "Its database was set back to an older state. %s asks what was decided and commits "
                "it by itself; do not end it by hand.",
                again);
    } else {
        say(question, ADVICE_NOTHING, "committed, and applied everywhere");
    }
    free(again);
    free(reason);
    free(open);
}

/* Nothing is kept of it, so it was not committed by two or three phases; one phase leaves a row. */
static void advise_presumed(struct question *question)
{
    char *committed = who_are(question, HOLDS_COMMITTED), *unheard = who_are(question, UNHEARD);
    if (question->weighed.committed) {
        say(question, ADVICE_NOTHING, "committed at %s, in one phase", committed);
        because(question, "Nothing of it is prepared anywhere: no rows are locked by it.");
    } else {
        say(question, ADVICE_UNKNOWN,
            "nobody knows it: coordinator %s remembers no such "
            "transaction, and no database that was asked holds any of it",
            question->facts->asked);
        because(question, "It was not committed by two or three phases: a branch of it that is "
                          "found is rolled back.");
    }
    if (question->weighed.unheard)
        unknown(question, "what %s holds: not heard", unheard);
    free(unheard);
    free(committed);
}

static void advise_aborted(struct question *question)
{
    char *open = branches_in(question, unaborted), *reason = branch_reason(question, unaborted);
    char *prepared = who_are(question, HOLDS_PREPARED), *unheard = who_are(question, UNHEARD);
    const char *where = question->weighed.prepared ? prepared : open;
    if (question->abort == ORDER_CONTRADICTS) {
        advise_differs(question);
    } else if (where) {
        say(question, ADVICE_WAIT, "aborted, not yet rolled back at %s%s", where, reason);
        because(
            question,
            "It needs %s to run, with %s: who finds a branch prepared asks, and is told to roll "
            "back. Nothing else is to be done.",
            where, databases_of(where));
    } else if (question->weighed.unheard) {
        say(question, ADVICE_NOTHING, "aborted; what %s holds of it was not heard", unheard);
        because(question, "If something is prepared there it asks, and is told to roll back.");
    } else {
        say(question, ADVICE_NOTHING, "aborted: nothing of it is in any database");
    }
    free(unheard);
    free(prepared);
    free(reason);
    free(open);
}

/* ---- not decided yet ---------------------------------------------------------------------- */

static void advise_voting(struct question *question)
{
    static const char *const unvoted[] = {"new", "waiting", NULL};
    char *missing = branches_in(question, unvoted), *reason = branch_reason(question, unvoted);
    bool open = question->facts->tx && state_is(question->facts->tx, "open");
    if (question->abort != ORDER_ABORT) {
        advise_differs(question);
    } else {
        say(question, ADVICE_WAIT,
            open      ? "open: its client has neither committed nor aborted it%s%s"
            : missing ? "undecided: the vote of %s is missing%s"
                      : "undecided: the votes are gathered%s%s",
            missing ? missing : "", reason);
        because(question, "It is decided by itself, and aborted at its deadline at the latest.");
        question->advice->otherwise = resolve_command(question, false);
        question->advice->when = "To abort it now, which is safe:";
    }
    free(reason);
    free(missing);
}

static void advise_writing(struct question *question)
{
    if (question->facts->at_participant) {
        say(question, ADVICE_WAIT, "undecided: its work is under way at %s",
            question->facts->asked);
        because(question, "It is aborted at its deadline at the latest.");
        return;
    }
    say(question, ADVICE_WAIT, "all have voted yes; the decision is on its way to the disk of %s",
        question->facts->asked);
    because(question,
            "It is committed when the disk has it. Does it stay so, the disk hangs: troth "
            "doctor tells.");
}

static void advise_alone(struct question *question)
{
    static const char *const any[] = {"running", "unknown", "unsure", "looking", NULL};
    char *where = branches_in(question, any), *reason = branch_reason(question, any);
    const char *at = where ? where : "its participant";
    if (question->weighed.committed)
        say(question, ADVICE_WAIT, "one phase: committed at %s, which its coordinator is to hear",
            at);
    else if (question->weighed.aborted)
        say(question, ADVICE_WAIT,
            "one phase: not committed at %s, which its coordinator is to "
            "hear",
            at);
    else
        say(question, ADVICE_WAIT, "one phase: only %s can tell whether it committed%s", at,
            reason);
    because(question,
            "%s is asked in each new session, and its database proves it: nothing is "
            "prepared, and nothing else is to be done.",
            at);
    free(reason);
    free(where);
}

/* ---- three phases ------------------------------------------------------------------------- */

static void advise_proposed(struct question *question)
{
    size_t reached, all;
    count_sites(question, &reached, &all);
    if (advise_known(question))
        return;
    if (question->weighed.majority) {
        say(question, ADVICE_WAIT,
            "undecided: all have voted yes, and a majority of its sites "
            "decides; %zu of %zu can be reached",
            reached, all);
        because(question, "They are a majority, and decide by themselves within seconds.");
        return;
    }
    char *missing = unreached_sites(question);
    say(question, ADVICE_WAIT,
        "undecided: only %zu of its %zu sites can be reached, and a majority "
        "decides",
        reached, all);
    because(question, "Bring back %s: with a majority they decide by themselves.", missing);
    offer_last_resort(question, "Only if that never comes:");
    if (question->advice->otherwise)
        unknown(question, "whether sites that are not heard have decided already, and what");
    free(missing);
}

/* ---- all ---------------------------------------------------------------------------------- */

static void advise_foreign(struct question *question)
{
    const struct advice_facts *facts = question->facts;
    const Wire__PreparedView *foreign = facts->foreign;
    if (!foreign) {
        say(question, ADVICE_UNKNOWN,
            "nobody knows it: no database that was asked has such a "
            "prepared transaction");
        unheard_unknowns(question);
        return;
    }
    say(question, ADVICE_CHOOSE, "not Troth's: prepared by %s in database %s of the server of %s",
        foreign->owner, foreign->database, facts->foreign_at);
    because(question,
            "Troth never ends what is not its own. Who prepared it knows which is right; it is run "
            "in that database, as %s or a superuser.",
            foreign->owner);
    char *quoted = xmalloc(2 * strlen(foreign->gid) + 1), *to = quoted;
    for (const char *at = foreign->gid; *at; at++) {
        if (*at == '\'')
            *to++ = '\'';
        *to++ = *at;
    }
    *to = '\0';
    question->advice->command = xasprintf("COMMIT PREPARED '%s';", quoted);
    question->advice->otherwise = xasprintf("ROLLBACK PREPARED '%s';", quoted);
    free(quoted);
}

static void advise_standing(struct question *question)
{
    switch (question->standing) {
    case STANDING_VOTING:
        advise_voting(question);
        return;
    case STANDING_ALONE:
        advise_alone(question);
        return;
    case STANDING_WRITING:
        advise_writing(question);
        return;
    case STANDING_PROPOSED:
        advise_proposed(question);
        return;
    case STANDING_COMMITTED:
        advise_committed(question);
        return;
    case STANDING_PRESUMED:
        if (!question->weighed.prepared)
            advise_presumed(question);
        else
            advise_aborted(question);
        return;
    case STANDING_ABORTED:
        advise_aborted(question);
        return;
    default:
        break;
    }
    if (question->facts->at_participant)
        advise_at_participant(question);
    else
        advise_held(question);
}

void advise(const struct advice_facts *facts, struct advice *advice)
{
    struct question question = {.facts = facts, .advice = advice};
    *advice = (struct advice){0};
    if (!gtrid_parse(facts->id, &question.id)) {
        advise_foreign(&question);
        return;
    }
    question.standing = standing_of(&question);
    weigh(&question);
    if (!advise_forced(&question))
        advise_standing(&question);
}

void advice_fini(struct advice *advice)
{
    for (size_t i = 0; i < advice->unknown_count; i++)
        free(advice->unknowns[i]);
    free(advice->unknowns);
    free(advice->verdict);
    free(advice->why);
    free(advice->command);
    free(advice->otherwise);
    *advice = (struct advice){0};
}

const char *advice_word(enum advice_kind kind)
{
    static const char *const words[] = {
        [ADVICE_NOTHING] = "nothing", [ADVICE_WAIT] = "wait", [ADVICE_RUN] = "run",
        [ADVICE_CHOOSE] = "choose",   [ADVICE_MEND] = "mend", [ADVICE_UNKNOWN] = "unknown",
    };
    CHECK(kind >= ADVICE_NOTHING && kind <= ADVICE_UNKNOWN);
    return words[kind];
}
