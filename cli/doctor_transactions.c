/* What doctor says of transactions: in doubt, without a majority, forced, hazards. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/print.h"
#include "cli/sites.h"
#include "core/check.h"

/* With a majority there, registers answer within a few round trips, and rounds that outbid each
 * other are over in a few seconds. */
#define MAJORITY_LONG_US (10 * 1000 * 1000ll)

enum { UNDECIDED_SHOWN = 5 };

/* ---- in doubt ----------------------------------------------------------------------------- */

/* All have voted yes, and nobody may decide: sites are missing. */
static bool lacks_majority(const Wire__TransactionView *tx)
{
    return is_three_phase(tx) && strcmp(tx->phase, "pre-commit") == 0 && *tx->waits_for &&
           !decision_known(tx) && tx->begun_us && wall_now_us() - tx->begun_us > MAJORITY_LONG_US;
}

static void check_majorities(struct findings *findings, const Wire__Answer *answer)
{
    time_text age;
    int count = 0;
    findings_about(findings, "3pc");
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const Wire__TransactionView *tx = answer->transactions[i];
        if (!lacks_majority(tx) || count++ >= UNDECIDED_SHOWN)
            continue;
        char *hint = xasprintf("troth tx show %s names the sites that must come back", tx->gtrid);
        found(findings, LEVEL_WARNING, hint, "%.140s is undecided for %s: it waits for %.200s",
              tx->gtrid, age_format(age, wall_now_us() - tx->begun_us), tx->waits_for);
        free(hint);
    }
    if (count > UNDECIDED_SHOWN)
        found(findings, LEVEL_WARNING, "troth tx list --in-doubt names them",
              "%d more wait for a majority", count - UNDECIDED_SHOWN);
}

/* A participant does not know when a transaction of two phases was begun. */
static void check_in_doubt(struct findings *findings, const Wire__Answer *answer)
{
    const Wire__TransactionView *oldest = NULL;
    time_text age;
    size_t ageless = 0;
    findings_about(findings, "in doubt");
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const Wire__TransactionView *tx = answer->transactions[i];
        ageless += tx->begun_us == 0;
        if (tx->begun_us && (!oldest || tx->begun_us < oldest->begun_us))
            oldest = tx;
    }
    uint64_t count = answer->n_transactions + answer->more;
    const char *noun = count == 1 ? "transaction" : "transactions";
    int64_t old_us = oldest ? wall_now_us() - oldest->begun_us : 0;
    if (count == 0) {
        found(findings, LEVEL_OK, "", "no transaction");
    } else if (old_us > IN_DOUBT_LONG_US) {
        char *hint = xasprintf("troth tx explain %s", oldest->gtrid);
        found(findings, LEVEL_WARNING, hint, "%" PRIu64 " %s, the oldest for %s", count, noun,
              age_format(age, old_us));
        free(hint);
    } else if (ageless) {
        found(findings, LEVEL_OK, "", "%" PRIu64 " %s; since when is not known here", count, noun);
    } else {
        found(findings, LEVEL_OK, "", "%" PRIu64 " %s, none for more than a minute", count, noun);
    }
    check_majorities(findings, answer);
}

/* ---- what can't be proved, and what was forced -------------------------------------------- */

static uint64_t rows_of(const Wire__Answer *answer)
{
    return answer ? answer->n_transactions + answer->more : 0;
}

static uint64_t mixed_of(const Wire__Answer *answer)
{
    uint64_t count = 0;
    for (size_t i = 0; answer && i < answer->n_transactions; i++)
        count += strcmp(answer->transactions[i]->heuristic, "mixed") == 0;
    return count;
}

static void check_hazards(struct findings *findings, const struct checkup *checkup)
{
    const Wire__CoordinatorView *view =
        checkup->coordinator ? checkup->coordinator->coordinator : NULL;
    uint64_t mixed = mixed_of(checkup->hazards), hazards = rows_of(checkup->hazards) - mixed;
    if (view && view->hazards > hazards)
        hazards = view->hazards;
    findings_about(findings, "hazards");
    if (mixed)
        found(findings, LEVEL_PROBLEM,
              "troth tx list --hazard names them, and troth tx explain GTRID which database holds "
              "what: mend the data there, then troth tx forget",
              "%" PRIu64
              " transaction%s mixed: committed in one database and rolled back in another",
              mixed, mixed == 1 ? " is" : "s are");
    if (hazards)
        found(
            findings, LEVEL_PROBLEM,
            "troth tx list --hazard names them, and troth tx explain GTRID what is known; compare "
            "the databases before anything else",
            "%" PRIu64 " hazard%s: a database does not hold what was decided, or can't prove it",
            hazards, hazards == 1 ? "" : "s");
}

static void check_forced(struct findings *findings, const struct checkup *checkup)
{
    uint64_t mixed = mixed_of(checkup->forced), forced = rows_of(checkup->forced) - mixed;
    findings_about(findings, "forced");
    if (forced)
        found(
            findings, LEVEL_WARNING,
            "troth tx list --heuristic names them; when nothing is open any more: troth tx forget "
            "GTRID --reason ...",
            "an operator forced the outcome of %" PRIu64 " transaction%s, which %s not forgotten",
            forced, forced == 1 ? "" : "s", forced == 1 ? "is" : "are");
}

void check_transactions(struct findings *findings, const struct checkup *checkup)
{
    if (checkup->in_doubt)
        check_in_doubt(findings, checkup->in_doubt);
    check_hazards(findings, checkup);
    check_forced(findings, checkup);
}
