#include "cli/advice_words.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

/* ---- who ---------------------------------------------------------------------------------- */

bool testimony_is(const Wire__Testimony *testimony, enum holding holding)
{
    struct weighed weighed = {0};
    resolution_weigh(&weighed, testimony);
    switch (holding) {
    case HOLDS_PREPARED:
        return weighed.prepared;
    case HOLDS_COMMITTED:
        return weighed.committed;
    case HOLDS_ABORTED:
        return weighed.aborted;
    case UNHEARD:
        return weighed.unheard;
    case KNOWS:
        return weighed.decided_commit || weighed.decided_abort;
    case HOLDS_NOTHING:
        break;
    }
    return !weighed.unheard && !weighed.prepared && !weighed.committed && !weighed.aborted;
}

static size_t count_of(const struct question *question, enum holding holding)
{
    size_t count = 0;
    for (size_t i = 0; i < question->facts->testimony_count; i++)
        count += testimony_is(question->facts->testimonies[i], holding);
    return count;
}

bool some_are(const struct question *question, enum holding holding)
{
    return count_of(question, holding) > 0;
}

char *list_add(char *text, const char *name, size_t index, size_t count)
{
    const char *separator = index == 0 ? "" : index + 1 == count ? " and " : ", ";
    char *longer = xasprintf("%s%s%s", text, separator, name);
    free(text);
    return longer;
}

char *who_are(const struct question *question, enum holding holding)
{
    const struct advice_facts *facts = question->facts;
    size_t count = count_of(question, holding), index = 0;
    char *text = xstrdup(count ? "" : "nobody");
    for (size_t i = 0; i < facts->testimony_count; i++) {
        if (testimony_is(facts->testimonies[i], holding))
            text = list_add(text, facts->testimonies[i]->participant, index++, count);
    }
    return text;
}

const Wire__Testimony *testimony_of(const struct question *question, const char *participant)
{
    for (size_t i = 0; i < question->facts->testimony_count; i++) {
        if (strcmp(question->facts->testimonies[i]->participant, participant) == 0)
            return question->facts->testimonies[i];
    }
    return NULL;
}

/* In one of the states, and its database does not say that it is carried out already. */
static bool is_open(const struct question *question, const Wire__BranchView *branch,
                    const char *const *states)
{
    const Wire__Testimony *testimony = testimony_of(question, branch->participant);
    if (testimony && question->standing == STANDING_COMMITTED &&
        testimony_is(testimony, HOLDS_COMMITTED) && !testimony_is(testimony, HOLDS_PREPARED))
        return false;
    if (testimony && question->standing == STANDING_ABORTED &&
        !testimony_is(testimony, HOLDS_PREPARED) && !testimony_is(testimony, UNHEARD))
        return false;
    for (; *states; states++) {
        if (strcmp(branch->state, *states) == 0)
            return true;
    }
    return false;
}

char *branches_in(const struct question *question, const char *const *states)
{
    const Wire__TransactionView *tx = question->facts->tx;
    size_t count = 0, index = 0;
    for (size_t i = 0; tx && i < tx->n_branches; i++)
        count += is_open(question, tx->branches[i], states);
    if (count == 0)
        return NULL;
    char *text = xstrdup("");
    for (size_t i = 0; i < tx->n_branches; i++) {
        if (is_open(question, tx->branches[i], states))
            text = list_add(text, tx->branches[i]->participant, index++, count);
    }
    return text;
}

static const char *problem_message(const Wire__Problem *problem)
{
    return !problem ? "" : *problem->message ? problem->message : problem->code;
}

char *branch_reason(const struct question *question, const char *const *states)
{
    const Wire__TransactionView *tx = question->facts->tx;
    for (size_t i = 0; tx && i < tx->n_branches; i++) {
        const Wire__BranchView *branch = tx->branches[i];
        if (!is_open(question, branch, states))
            continue;
        const Wire__Testimony *testimony = testimony_of(question, branch->participant);
        const char *reason = testimony ? problem_message(testimony->problem) : "";
        if (!*reason && strcmp(branch->waits_for, branch->participant) != 0)
            reason = branch->waits_for;
        if (!*reason)
            reason = problem_message(branch->problem);
        return xasprintf("%s%s", *reason ? ": " : "", reason);
    }
    return xstrdup("");
}

bool is_held(const struct question *question)
{
    const struct advice_facts *facts = question->facts;
    for (size_t i = 0; i < facts->testimony_count; i++) {
        for (size_t k = 0; k < facts->testimonies[i]->n_exhibits; k++) {
            if (facts->testimonies[i]->exhibits[k]->held)
                return true;
        }
    }
    return facts->tx && strcmp(facts->tx->state, "held") == 0;
}

/* ---- saying ------------------------------------------------------------------------------- */

static char *formatted(const char *format, va_list list)
{
    va_list copy;
    va_copy(copy, list);
    int size = vsnprintf(NULL, 0, format, copy);
    va_end(copy);
    CHECK(size >= 0);
    char *text = xmalloc((size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, list);
    return text;
}

void say(struct question *question, enum advice_kind kind, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    free(question->advice->verdict);
    question->advice->verdict = formatted(format, list);
    question->advice->kind = kind;
    va_end(list);
}

void because(struct question *question, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    free(question->advice->why);
    question->advice->why = formatted(format, list);
    va_end(list);
}

void unknown(struct question *question, const char *format, ...)
{
    struct advice *advice = question->advice;
    va_list list;
    va_start(list, format);
    advice->unknowns =
        xrealloc(advice->unknowns, (advice->unknown_count + 1) * sizeof(advice->unknowns[0]));
    advice->unknowns[advice->unknown_count++] = formatted(format, list);
    va_end(list);
}

/* At a participant's door it must be said that only its branch is meant. */
static char *order_command(const struct question *question, const char *verb, const char *value)
{
    const struct advice_facts *facts = question->facts;
    return xasprintf("%s tx %s %s%s%s%s --reason 'WHY'", facts->command, verb, facts->id,
                     facts->at_participant ? " --participant " : "",
                     facts->at_participant ? facts->asked : "", value);
}

char *resolve_command(const struct question *question, bool commit)
{
    return order_command(question, "resolve", commit ? " --commit" : " --abort");
}

void offer_last_resort(struct question *question, const char *when)
{
    bool commit = question->commit == ORDER_HEURISTIC, abort = question->abort == ORDER_HEURISTIC;
    if (!commit && !abort)
        return;
    question->advice->when = when;
    question->advice->otherwise = order_command(question, "resolve",
                                                !abort    ? " --commit"
                                                : !commit ? " --abort"
                                                          : " --commit|--abort");
}

char *forget_command(const struct question *question)
{
    return order_command(question, "forget", "");
}

bool site_is_reached(const struct question *question, const Wire__SiteView *site)
{
    const Wire__Testimony *testimony = testimony_of(question, site->name);
    return site->reachable && !(testimony && testimony_is(testimony, UNHEARD));
}

char *unreached_sites(const struct question *question)
{
    const Wire__TransactionView *tx = question->facts->tx;
    size_t count = 0, index = 0;
    for (size_t i = 0; i < tx->n_sites; i++)
        count += !site_is_reached(question, tx->sites[i]);
    char *text = xstrdup("");
    for (size_t i = 0; i < tx->n_sites; i++) {
        if (!site_is_reached(question, tx->sites[i]))
            text = list_add(text, tx->sites[i]->name, index++, count);
    }
    return text;
}
