/* What the parts of cli/advice share: the question, and the words that its answer is made of. */
#ifndef TROTH_CLI_ADVICE_WORDS_H
#define TROTH_CLI_ADVICE_WORDS_H

#include "cli/advice.h"
#include "coordinator/resolution.h"
#include "core/id.h"

struct question {
    const struct advice_facts *facts;
    struct advice *advice;
    struct gid id;
    enum standing standing;
    enum forced forced;
    struct weighed weighed;
    enum verdict_on_order commit, abort; /* what either order would come to */
};

/* What one participant says. */
enum holding { HOLDS_PREPARED, HOLDS_COMMITTED, HOLDS_ABORTED, HOLDS_NOTHING, UNHEARD, KNOWS };

bool testimony_is(const Wire__Testimony *testimony, enum holding holding);
bool some_are(const struct question *question, enum holding holding);
/* "payments and inventory", a new text; "nobody". */
char *who_are(const struct question *question, enum holding holding);
/* Its coordinator has said that it does not know it. */
bool is_held(const struct question *question);
/* Of a participant, or NULL. */
const Wire__Testimony *testimony_of(const struct question *question, const char *participant);

/* The branches in one of these states (NULL-ended), unless their databases say that they are ended
 * as it was decided, by the names of their participants: a new text,
 * or NULL: there is none. */
char *branches_in(const struct question *question, const char *const *states);
/* Why the first of them is not further: ": payments is not connected", or "". A new text. */
char *branch_reason(const struct question *question, const char *const *states);

bool site_is_reached(const struct question *question, const Wire__SiteView *site);
/* The sites of a three-phase transaction that who was asked does not reach: a new text. */
char *unreached_sites(const struct question *question);

/* Adds a name to "a, b and c" by its index; takes and returns the text. */
char *list_add(char *text, const char *name, size_t index, size_t count);

/* Each fills a part of the advice; formats as printf's. */
void say(struct question *question, enum advice_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void because(struct question *question, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void unknown(struct question *question, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "troth tx resolve GTRID --commit --reason 'WHY'", a new text. */
char *resolve_command(const struct question *question, bool commit);
/* Forcing an outcome, as far as that is not refused: with --commit|--abort when who runs it must
 * choose. */
void offer_last_resort(struct question *question, const char *when);
char *forget_command(const struct question *question);

/* advice_forced.c: what an operator forced, hazards, and databases that differ. False: it is none
 * of these. */
bool advise_forced(struct question *question);
/* The databases themselves contradict each other, or what was decided. */
void advise_differs(struct question *question);

/* advice_held.c: what is decided because some register knows it (false: none does); what nobody who
 * is there decides; and the same where only one participant was asked. */
bool advise_known(struct question *question);
void advise_held(struct question *question);
void advise_at_participant(struct question *question);
/* Says of whom nothing is known. */
void unheard_unknowns(struct question *question);

#endif
