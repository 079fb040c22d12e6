/* What an operator's order comes to: the whole table, each entry held against rules that are stated
 * without it; and what testimonies weigh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/resolution.h"

/* One entry of the table, and what it says. */
struct entry {
    enum standing standing;
    bool commit;
    enum forced forced;
    struct weighed w;
    enum verdict_on_order verdict;
};

enum { FLAGS = 8, ENTRIES = STANDINGS * 2 * 3 * (1 << FLAGS) };

static struct entry entry_at(int index)
{
    struct entry entry = {0};
    unsigned bits = (unsigned)index % (1 << FLAGS);
    index /= 1 << FLAGS;
    entry.commit = index % 2;
    entry.forced = (enum forced)(index / 2 % 3);
    entry.standing = (enum standing)(index / 6);
    entry.w = (struct weighed){.prepared = bits & 1,
                               .committed = bits >> 1 & 1,
                               .aborted = bits >> 2 & 1,
                               .decided_commit = bits >> 3 & 1,
                               .decided_abort = bits >> 4 & 1,
                               .judged = bits >> 5 & 1,
                               .unheard = bits >> 6 & 1,
                               .majority = bits >> 7 & 1};
    entry.verdict = resolution_of(entry.standing, entry.commit, entry.forced, &entry.w);
    return entry;
}

typedef bool rule(const struct entry *entry);

/* Each entry for which `when` holds must fulfil `then`, and there must be such entries. */
static void always(rule *when, rule *then)
{
    int held = 0;
    for (int i = 0; i < ENTRIES; i++) {
        struct entry entry = entry_at(i);
        if (!when(&entry))
            continue;
        held++;
        if (!then(&entry))
            fail_msg("entry %d: standing %d, %s, forced %d, verdict %d", i, entry.standing,
                     entry.commit ? "commit" : "abort", entry.forced, entry.verdict);
    }
    assert_true(held > 0);
}

/* ---- words of the rules ---- */

static bool anything(const struct entry *e)
{
    return e->verdict >= ORDER_ABORT && e->verdict <= ORDER_HEURISTIC;
}

static bool is_forced(const struct entry *e)
{
    return e->verdict == ORDER_HEURISTIC;
}

static bool is_not_forced(const struct entry *e)
{
    return e->verdict != ORDER_HEURISTIC;
}

static bool is_aborted_by_protocol(const struct entry *e)
{
    return e->verdict == ORDER_ABORT;
}

static bool changes_nothing(const struct entry *e)
{
    return e->verdict != ORDER_HEURISTIC && e->verdict != ORDER_ABORT;
}

static bool is_refused(const struct entry *e)
{
    return e->verdict == ORDER_CONTRADICTS || e->verdict == ORDER_UNDECIDED ||
           e->verdict == ORDER_JUDGED;
}

/* A decision is known: here, or by a register in some database. */
static bool decided_commit(const struct entry *e)
{
    return e->standing == STANDING_COMMITTED || e->w.decided_commit;
}

static bool decided_abort(const struct entry *e)
{
    return e->standing == STANDING_ABORTED || e->w.decided_abort ||
           (e->standing == STANDING_PRESUMED && e->w.prepared);
}

static bool decided(const struct entry *e)
{
    return decided_commit(e) || decided_abort(e);
}

static bool other_is_decided(const struct entry *e)
{
    return e->commit ? decided_abort(e) : decided_commit(e);
}

static bool other_is_proved(const struct entry *e)
{
    return e->commit ? e->w.aborted : e->w.committed;
}

static bool other_was_forced(const struct entry *e)
{
    return e->forced == (e->commit ? FORCED_ABORT : FORCED_COMMIT);
}

/* They differ already, and some branch has to be ended one way or the other. */
static bool databases_differ(const struct entry *e)
{
    bool with = (e->commit ? e->w.committed : e->w.aborted) || e->forced != FORCED_NOT;
    bool nobody = (e->standing == STANDING_HELD && !e->w.judged) ||
                  (e->standing == STANDING_PROPOSED && !e->w.majority);
    return nobody && !decided(e) && other_is_proved(e) && with && e->w.prepared;
}

static bool contradicted(const struct entry *e)
{
    return other_is_decided(e) || (other_is_proved(e) && !databases_differ(e)) ||
           other_was_forced(e);
}

static bool will_be_decided_here(const struct entry *e)
{
    return e->standing == STANDING_VOTING || e->standing == STANDING_ALONE ||
           e->standing == STANDING_WRITING ||
           (e->standing == STANDING_PROPOSED && e->w.majority && !e->w.decided_commit &&
            !e->w.decided_abort);
}

static bool is_commit_of_the_undecided(const struct entry *e)
{
    return will_be_decided_here(e) && e->commit;
}

static bool is_abort_of_votes(const struct entry *e)
{
    return e->standing == STANDING_VOTING && !e->commit && !contradicted(e);
}

static bool nothing_is_there(const struct entry *e)
{
    return !e->w.prepared && !e->w.unheard;
}

static bool is_anothers(const struct entry *e)
{
    return e->standing == STANDING_HELD && e->w.judged;
}

static bool agrees_with_the_decision(const struct entry *e)
{
    bool known = e->standing == STANDING_COMMITTED || e->standing == STANDING_ABORTED ||
                 ((e->standing == STANDING_PROPOSED || e->standing == STANDING_HELD ||
                   e->standing == STANDING_PRESUMED) &&
                  decided(e));
    return known && !contradicted(e);
}

static bool waits(const struct entry *e)
{
    return e->verdict == ORDER_WAIT;
}

/* The one place for it: nobody decides, nothing speaks against it, something may be in doubt. */
static bool is_for_an_operator(const struct entry *e)
{
    bool nobody = (e->standing == STANDING_HELD && !e->w.judged) ||
                  (e->standing == STANDING_PROPOSED && !e->w.majority);
    return nobody && !decided(e) && !contradicted(e) && (e->w.prepared || e->w.unheard);
}

static bool is_not_for_an_operator(const struct entry *e)
{
    return !is_for_an_operator(e);
}

static bool decides_in_one_database(const struct entry *e)
{
    return e->standing == STANDING_ALONE;
}

static bool abort_is_proved(const struct entry *e)
{
    return e->w.aborted && e->commit && !databases_differ(e);
}

static bool commit_is_proved(const struct entry *e)
{
    return e->w.committed && !e->commit && !databases_differ(e);
}

static bool says_there_is_nothing(const struct entry *e)
{
    return e->verdict == ORDER_NOTHING;
}

static bool nobody_unheard(const struct entry *e)
{
    return nothing_is_there(e) && !decided(e);
}

static bool waits_for_a_decision(const struct entry *e)
{
    return e->verdict == ORDER_WAIT;
}

static bool a_decision_is_known(const struct entry *e)
{
    return decided(e) && !other_is_decided(e);
}

static bool is_told_to_ask_another(const struct entry *e)
{
    return e->verdict == ORDER_JUDGED;
}

/* ---- rules ---- */

static void every_entry_says_something(void **unused)
{
    (void)unused;
    always(anything, anything);
}

static void what_is_decided_is_never_forced(void **unused)
{
    (void)unused;
    always(decided, is_not_forced);
}

static void nothing_is_forced_against_what_is_proved_decided_or_was_forced(void **unused)
{
    (void)unused;
    always(contradicted, changes_nothing);
    always(abort_is_proved, is_not_forced);
    always(commit_is_proved, is_not_forced);
    always(other_is_decided, is_refused);
    always(other_was_forced, is_refused);
}

static void what_will_be_decided_by_itself_is_never_forced(void **unused)
{
    (void)unused;
    always(will_be_decided_here, is_not_forced);
    always(is_commit_of_the_undecided, is_refused);
    always(decides_in_one_database, is_refused);
}

static void only_what_collects_votes_is_aborted_by_the_protocol(void **unused)
{
    (void)unused;
    always(is_abort_of_votes, is_aborted_by_protocol);
    always(is_aborted_by_protocol, is_abort_of_votes);
}

static void an_outcome_is_forced_where_nobody_decides_and_only_there(void **unused)
{
    (void)unused;
    always(is_for_an_operator, is_forced);
    always(is_not_for_an_operator, is_not_forced);
}

static void what_another_coordinator_judges_is_left_to_it(void **unused)
{
    (void)unused;
    always(is_anothers, changes_nothing);
    always(is_told_to_ask_another, is_anothers);
}

static void an_order_that_agrees_with_the_decision_waits_for_it(void **unused)
{
    (void)unused;
    always(agrees_with_the_decision, waits);
    always(waits_for_a_decision, a_decision_is_known);
}

static void there_is_nothing_only_when_everybody_said_so(void **unused)
{
    (void)unused;
    always(says_there_is_nothing, nobody_unheard);
}

/* More proof never turns a refusal into a deed. */
static void evidence_against_it_never_helps_an_order(void **unused)
{
    (void)unused;
    for (int i = 0; i < ENTRIES; i++) {
        struct entry entry = entry_at(i);
        if (!changes_nothing(&entry))
            continue;
        struct weighed more = entry.w;
        if (entry.commit)
            more.aborted = more.decided_abort = true;
        else
            more.committed = more.decided_commit = true;
        entry.verdict = resolution_of(entry.standing, entry.commit, entry.forced, &more);
        assert_true(changes_nothing(&entry));
    }
}

/* Commit and abort of the same transaction are never both carried out on the same facts, but where
 * nothing at all is known, or both are facts already. */
static void both_outcomes_are_open_only_where_nothing_is_proved_or_both_are(void **unused)
{
    (void)unused;
    for (int i = 0; i < ENTRIES; i++) {
        struct entry entry = entry_at(i);
        if (!entry.commit || entry.verdict != ORDER_HEURISTIC)
            continue;
        if (resolution_of(entry.standing, false, entry.forced, &entry.w) != ORDER_HEURISTIC)
            continue;
        assert_int_equal(entry.w.committed, entry.w.aborted);
        assert_false(entry.w.decided_commit || entry.w.decided_abort);
        assert_int_equal(entry.forced, FORCED_NOT);
    }
}

/* ---- weighing ---- */

static struct weighed weigh(Wire__Exhibit *exhibit)
{
    struct weighed weighed = {0};
    Wire__Testimony testimony = WIRE__TESTIMONY__INIT;
    testimony.exhibits = &exhibit;
    testimony.n_exhibits = exhibit ? 1 : 0;
    resolution_weigh(&weighed, &testimony);
    return weighed;
}

static void an_xid_proves_what_its_status_says(void **unused)
{
    (void)unused;
    static const struct {
        Wire__XidStatus status;
        bool committed, aborted;
    } rows[] = {
        {WIRE__XID_STATUS__XID_NOT_ASKED, false, false},
        {WIRE__XID_STATUS__XID_COMMITTED, true, false},
        {WIRE__XID_STATUS__XID_ABORTED, false, true},
        {WIRE__XID_STATUS__XID_IN_PROGRESS, false, false},
        {WIRE__XID_STATUS__XID_UNKNOWN, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        Wire__Exhibit exhibit = WIRE__EXHIBIT__INIT;
        exhibit.status = rows[i].status;
        struct weighed weighed = weigh(&exhibit);
        assert_int_equal(weighed.committed, rows[i].committed);
        assert_int_equal(weighed.aborted, rows[i].aborted);
        assert_false(weighed.unheard || weighed.prepared);
    }
}

static void a_barrier_row_proves_what_its_kind_says(void **unused)
{
    (void)unused;
    Wire__Exhibit exhibit = WIRE__EXHIBIT__INIT;
    exhibit.barrier = (char *)"one-phase";
    assert_true(weigh(&exhibit).committed);
    exhibit.barrier = (char *)"none";
    assert_true(weigh(&exhibit).aborted);
    assert_false(weigh(&exhibit).committed);
    exhibit.barrier = (char *)"done";
    assert_false(weigh(&exhibit).committed || weigh(&exhibit).aborted);
}

static void an_operators_row_counts_unless_it_was_found_otherwise(void **unused)
{
    (void)unused;
    Wire__Exhibit exhibit = WIRE__EXHIBIT__INIT;
    Wire__Heuristic heuristic = WIRE__HEURISTIC__INIT;
    exhibit.heuristic = &heuristic;
    exhibit.prepared = true; /* it will be ended so */
    assert_true(weigh(&exhibit).aborted && weigh(&exhibit).prepared);
    heuristic.commit = true;
    assert_true(weigh(&exhibit).committed);
    heuristic.found = (char *)"it was rolled back";
    exhibit.status = WIRE__XID_STATUS__XID_ABORTED;
    assert_true(weigh(&exhibit).aborted);
    assert_false(weigh(&exhibit).committed);
}

static void only_a_register_that_knows_the_decision_tells_one(void **unused)
{
    (void)unused;
    Wire__Exhibit exhibit = WIRE__EXHIBIT__INIT;
    exhibit.registered = true;
    exhibit.value = WIRE__VALUE__COMMIT; /* accepted */
    assert_false(weigh(&exhibit).decided_commit || weigh(&exhibit).committed);
    exhibit.decided = true;
    assert_true(weigh(&exhibit).decided_commit);
    assert_false(weigh(&exhibit).decided_abort);
    exhibit.value = WIRE__VALUE__ABORT;
    assert_true(weigh(&exhibit).decided_abort);
    exhibit.registered = false;
    assert_false(weigh(&exhibit).decided_abort);
}

static void who_could_not_be_asked_is_unheard_and_who_holds_nothing_is_not(void **unused)
{
    (void)unused;
    assert_false(weigh(NULL).unheard);
    struct weighed weighed = {.judged = true};
    Wire__Testimony testimony = WIRE__TESTIMONY__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    testimony.problem = &problem;
    resolution_weigh(&weighed, &testimony);
    assert_true(weighed.unheard && weighed.judged);
    assert_false(weighed.prepared);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_says_something),
        cmocka_unit_test(what_is_decided_is_never_forced),
        cmocka_unit_test(nothing_is_forced_against_what_is_proved_decided_or_was_forced),
        cmocka_unit_test(what_will_be_decided_by_itself_is_never_forced),
        cmocka_unit_test(only_what_collects_votes_is_aborted_by_the_protocol),
        cmocka_unit_test(an_outcome_is_forced_where_nobody_decides_and_only_there),
        cmocka_unit_test(what_another_coordinator_judges_is_left_to_it),
        cmocka_unit_test(an_order_that_agrees_with_the_decision_waits_for_it),
        cmocka_unit_test(there_is_nothing_only_when_everybody_said_so),
        cmocka_unit_test(evidence_against_it_never_helps_an_order),
        cmocka_unit_test(both_outcomes_are_open_only_where_nothing_is_proved_or_both_are),
        cmocka_unit_test(an_xid_proves_what_its_status_says),
        cmocka_unit_test(a_barrier_row_proves_what_its_kind_says),
        cmocka_unit_test(an_operators_row_counts_unless_it_was_found_otherwise),
        cmocka_unit_test(only_a_register_that_knows_the_decision_tells_one),
        cmocka_unit_test(who_could_not_be_asked_is_unheard_and_who_holds_nothing_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
