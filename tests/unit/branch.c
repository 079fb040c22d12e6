#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "participant/branch.h"

static struct branch_actions actions;

static void step(struct branch *branch, struct branch_event event)
{
    branch_step(branch, &event, &actions);
}

#define STEP(branch, ...) step(branch, (struct branch_event){__VA_ARGS__})

static const struct branch_action *only(enum branch_action_kind kind)
{
    assert_int_equal(actions.count, 1);
    assert_int_equal(actions.list[0].kind, kind);
    return &actions.list[0];
}

static struct branch working(enum db_mode mode, bool one_phase)
{
    struct branch branch = {0};
    STEP(&branch, BRANCH_RECEIVED, .mode = mode, .one_phase = one_phase);
    only(BRANCH_DO_ENQUEUE);
    STEP(&branch, BRANCH_STARTED);
    only(BRANCH_DO_WORK);
    return branch;
}

static struct branch opened(void)
{
    struct branch branch = working(DB_STEP, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_OPENED, .met = true);
    assert_int_equal(only(BRANCH_DO_WORD)->cause, BRANCH_CAUSE_NONE);
    assert_int_equal(branch.state, BRANCH_OPEN);
    return branch;
}

static struct branch adopting(void)
{
    struct branch branch = {0};
    STEP(&branch, BRANCH_HANDED_OVER);
    only(BRANCH_DO_ADOPT);
    assert_int_equal(branch.state, BRANCH_ADOPTING);
    return branch;
}

static struct branch in_doubt(void)
{
    struct branch branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_PREPARED, .met = true, .xid = 7);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__YES);
    assert_int_equal(branch.state, BRANCH_IN_DOUBT);
    return branch;
}

static struct branch committing(void)
{
    struct branch branch = in_doubt();
    STEP(&branch, BRANCH_TOLD, .commit = true, .xid = 7);
    assert_true(only(BRANCH_DO_FINISH)->commit);
    return branch;
}

static void a_branch_that_is_prepared_and_committed_is_told_finished(void **state)
{
    (void)state;
    struct branch branch = committing();
    STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
    const struct branch_action *told = only(BRANCH_DO_TELL);
    assert_true(told->commit);
    assert_null(told->hazard);
    assert_int_equal(branch.state, BRANCH_ENDED);
}

static void a_failed_expectation_votes_no_first_and_rolls_back(void **state)
{
    (void)state;
    struct branch branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_PREPARED, .met = false, .xid = 7);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].kind, BRANCH_DO_VOTE);
    assert_int_equal(actions.list[0].choice, WIRE__CHOICE__NO);
    assert_int_equal(actions.list[1].kind, BRANCH_DO_FINISH);
    assert_false(actions.list[1].commit);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
    assert_int_equal(actions.count, 0);
    assert_int_equal(branch.state, BRANCH_ENDED);
}

static void an_abort_cancels_work_and_rolls_back_what_got_prepared(void **state)
{
    (void)state;
    struct branch branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_TOLD, .commit = false);
    only(BRANCH_DO_CANCEL);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_PREPARED, .met = true, .xid = 7);
    assert_false(only(BRANCH_DO_FINISH)->commit);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
    assert_false(only(BRANCH_DO_TELL)->commit);
}

static void an_abort_takes_queued_work_away(void **state)
{
    (void)state;
    struct branch branch = {0};
    STEP(&branch, BRANCH_RECEIVED, .mode = DB_PREPARE);
    STEP(&branch, BRANCH_TOLD, .commit = false);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].kind, BRANCH_DO_TELL);
    assert_int_equal(actions.list[1].kind, BRANCH_DO_DEQUEUE);
    assert_int_equal(branch.state, BRANCH_ENDED);
}

static void a_lost_session_cancels_work_but_never_touches_a_yes(void **state)
{
    (void)state;
    struct branch branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_SESSION_LOST);
    only(BRANCH_DO_CANCEL);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_PREPARED, .met = true);
    assert_false(only(BRANCH_DO_FINISH)->commit);
    branch = in_doubt();
    STEP(&branch, BRANCH_SESSION_LOST);
    assert_int_equal(actions.count, 0);
    assert_int_equal(branch.state, BRANCH_IN_DOUBT);
}

static void a_missing_gid_is_proved_by_its_xid(void **state)
{
    (void)state;
    static const struct {
        bool commit;
        enum db_status status;
        bool hazard;
    } cases[] = {
        {true, DB_STATUS_COMMITTED, false}, {true, DB_STATUS_ABORTED, true},
        {true, DB_STATUS_UNKNOWN, true},    {false, DB_STATUS_COMMITTED, true},
        {false, DB_STATUS_ABORTED, false},  {false, DB_STATUS_UNKNOWN, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct branch branch = in_doubt();
        STEP(&branch, BRANCH_TOLD, .commit = cases[i].commit);
        STEP(&branch, BRANCH_FINISHED, .finish = DB_MISSING);
        only(BRANCH_DO_STATUS);
        STEP(&branch, BRANCH_STATUS, .status = cases[i].status);
        const struct branch_action *told = only(BRANCH_DO_TELL);
        assert_int_equal(told->commit, cases[i].commit);
        assert_int_equal(told->hazard != NULL, cases[i].hazard);
        assert_int_equal(branch.state, BRANCH_ENDED);
    }
}

static void a_missing_gid_without_an_xid_is_a_hazard_unless_it_wrote_nothing(void **state)
{
    (void)state;
    struct branch branch = {0};
    STEP(&branch, BRANCH_TOLD, .commit = true);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_MISSING);
    assert_non_null(only(BRANCH_DO_TELL)->hazard);
    branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_PREPARED, .met = true, .xid = 0);
    STEP(&branch, BRANCH_TOLD, .commit = true);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_MISSING);
    assert_null(only(BRANCH_DO_TELL)->hazard);
}

static void what_the_database_could_not_do_is_tried_again(void **state)
{
    (void)state;
    struct branch branch = committing();
    for (int i = 0; i < 3; i++) {
        STEP(&branch, BRANCH_FINISHED, .finish = DB_UNFINISHED);
        only(BRANCH_DO_RETRY);
        STEP(&branch, BRANCH_RETRY_DUE);
        assert_true(only(BRANCH_DO_FINISH)->commit);
    }
    STEP(&branch, BRANCH_FINISHED, .finish = DB_MISSING);
    STEP(&branch, BRANCH_STATUS, .status = DB_STATUS_IN_PROGRESS);
    only(BRANCH_DO_RETRY);
    STEP(&branch, BRANCH_RETRY_DUE);
    assert_true(only(BRANCH_DO_FINISH)->commit);
}

static void an_unknown_prepare_votes_no_and_is_rolled_back_when_a_scan_finds_it(void **state)
{
    (void)state;
    struct branch branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_LOST);
    assert_int_equal(actions.list[0].choice, WIRE__CHOICE__NO);
    assert_int_equal(actions.list[1].kind, BRANCH_DO_SCAN);
    assert_int_equal(branch.state, BRANCH_UNSURE);
    struct branch absent = branch;
    STEP(&branch, BRANCH_SCANNED, .present = true);
    assert_false(only(BRANCH_DO_FINISH)->commit);
    STEP(&absent, BRANCH_SCANNED, .present = false);
    assert_int_equal(absent.state, BRANCH_ENDED);
}

static void a_one_phase_branch_whose_commit_is_unknown_is_looked_up(void **state)
{
    (void)state;
    static const struct {
        enum db_found found;
        Wire__Choice choice;
    } cases[] = {{DB_FOUND, WIRE__CHOICE__DONE},
                 {DB_FENCED, WIRE__CHOICE__NO},
                 {DB_FOUND_ERROR, WIRE__CHOICE__LOST}};
    for (size_t i = 0; i < 3; i++) {
        struct branch branch = working(DB_ONE_PHASE, true);
        STEP(&branch, BRANCH_WORKED, .outcome = DB_LOST);
        only(BRANCH_DO_LOOK_UP);
        STEP(&branch, BRANCH_LOOKED_UP, .found = cases[i].found);
        assert_int_equal(only(BRANCH_DO_VOTE)->choice, cases[i].choice);
        assert_int_equal(branch.state, BRANCH_ENDED);
    }
}

static void a_deadline_never_guesses_what_one_phase_did(void **state)
{
    (void)state;
    struct branch branch = working(DB_ONE_PHASE, true);
    STEP(&branch, BRANCH_DEADLINE);
    only(BRANCH_DO_CANCEL);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_COMMITTED);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__DONE);
    branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_DEADLINE);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].choice, WIRE__CHOICE__NO);
    assert_int_equal(actions.list[0].cause, BRANCH_CAUSE_DEADLINE);
}

static void a_lookup_waits_for_work_that_still_runs(void **state)
{
    (void)state;
    struct branch branch = working(DB_ONE_PHASE, true);
    STEP(&branch, BRANCH_SESSION_LOST);
    STEP(&branch, BRANCH_LOOKED_FOR);
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_COMMITTED);
    assert_true(only(BRANCH_DO_ANSWER)->commit);
    branch = (struct branch){0};
    STEP(&branch, BRANCH_LOOKED_FOR);
    only(BRANCH_DO_LOOK_UP);
    STEP(&branch, BRANCH_LOOKED_UP, .found = DB_FOUND_ERROR);
    only(BRANCH_DO_RETRY);
    STEP(&branch, BRANCH_RETRY_DUE);
    STEP(&branch, BRANCH_LOOKED_UP, .found = DB_FENCED);
    assert_false(only(BRANCH_DO_ANSWER)->commit);
}

static void read_only_work_drops_out(void **state)
{
    (void)state;
    struct branch branch = working(DB_READ_ONLY, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_COMMITTED, .met = true);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__READ_ONLY);
    assert_int_equal(branch.state, BRANCH_ENDED);
}

static void read_only_work_whose_results_can_not_be_sent_is_refused(void **state)
{
    (void)state;
    struct branch branch = working(DB_READ_ONLY, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_COMMITTED, .met = false);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__NO);
    assert_int_equal(branch.state, BRANCH_ENDED);
}

static void verdicts_decide_an_orphan_and_hold_keeps_it(void **state)
{
    (void)state;
    struct branch branch = {0};
    STEP(&branch, BRANCH_FOUND, .xid = 9);
    STEP(&branch, BRANCH_JUDGED, .verdict = WIRE__VERDICT__VERDICT_WAIT);
    assert_int_equal(branch.state, BRANCH_IN_DOUBT);
    assert_false(branch.held);
    only(BRANCH_DO_RETRY);
    STEP(&branch, BRANCH_RETRY_DUE);
    only(BRANCH_DO_ASK);
    STEP(&branch, BRANCH_JUDGED, .verdict = WIRE__VERDICT__VERDICT_HOLD);
    assert_true(branch.held);
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_JUDGED, .verdict = (Wire__Verdict)99);
    assert_int_equal(branch.state, BRANCH_IN_DOUBT);
    STEP(&branch, BRANCH_JUDGED, .verdict = WIRE__VERDICT__VERDICT_ABORT);
    assert_false(only(BRANCH_DO_FINISH)->commit);
}

static void a_decision_against_the_first_is_a_hazard(void **state)
{
    (void)state;
    struct branch branch = committing();
    STEP(&branch, BRANCH_TOLD, .commit = false);
    assert_non_null(only(BRANCH_DO_TELL)->hazard);
    assert_int_equal(branch.state, BRANCH_COMMITTING);
}

static void a_fenced_branch_votes_no_and_is_rolled_back(void **state)
{
    (void)state;
    struct branch branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_PREPARED, .met = true, .fenced = true, .xid = 7);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].choice, WIRE__CHOICE__NO);
    assert_int_equal(actions.list[0].cause, BRANCH_CAUSE_FENCED);
    assert_int_equal(actions.list[1].kind, BRANCH_DO_FINISH);
    assert_false(actions.list[1].commit);
    branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_FAILED, .fenced = true);
    assert_int_equal(only(BRANCH_DO_VOTE)->cause, BRANCH_CAUSE_FENCED);
    assert_int_equal(branch.state, BRANCH_ENDED);
}

static void a_decision_of_the_registers_ends_a_branch_in_doubt_and_owes_no_answer(void **state)
{
    (void)state;
    for (int commit = 0; commit <= 1; commit++) {
        struct branch branch = in_doubt();
        STEP(&branch, BRANCH_DECIDED, .commit = commit);
        assert_int_equal(only(BRANCH_DO_FINISH)->commit, commit);
        STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
        assert_int_equal(actions.count, 0);
        assert_int_equal(branch.state, BRANCH_ENDED);
    }
    /* The coordinator came back meanwhile: it is owed one then. */
    struct branch branch = in_doubt();
    STEP(&branch, BRANCH_DECIDED, .commit = true);
    STEP(&branch, BRANCH_TOLD, .commit = true, .xid = 7);
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
    assert_null(only(BRANCH_DO_TELL)->hazard);
}

static void a_decision_of_the_registers_changes_nothing_but_what_is_in_doubt(void **state)
{
    (void)state;
    struct branch branch = committing();
    STEP(&branch, BRANCH_DECIDED, .commit = true);
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_DECIDED, .commit = false);
    assert_non_null(only(BRANCH_DO_WARN)->hazard);
    assert_int_equal(branch.state, BRANCH_COMMITTING);
    branch = working(DB_PREPARE, false);
    STEP(&branch, BRANCH_DECIDED, .commit = false);
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_DECIDED, .commit = true);
    assert_non_null(only(BRANCH_DO_WARN)->hazard);
    assert_int_equal(branch.state, BRANCH_WORKING);
}

/* ---- step by step -------------------------------------------------------------------------- */

static void an_open_branch_takes_more_work_and_is_prepared_in_the_end(void **state)
{
    (void)state;
    struct branch branch = opened();
    STEP(&branch, BRANCH_RECEIVED, .mode = DB_STEP);
    only(BRANCH_DO_WORK); /* it has its connection */
    STEP(&branch, BRANCH_WORKED, .outcome = DB_OPENED, .met = true);
    only(BRANCH_DO_WORD);
    STEP(&branch, BRANCH_RECEIVED, .mode = DB_PREPARE);
    only(BRANCH_DO_WORK);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_PREPARED, .met = true, .xid = 7);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__YES);
    assert_int_equal(branch.state, BRANCH_IN_DOUBT);
}

static void an_open_branch_that_wrote_nothing_votes_read_only(void **state)
{
    (void)state;
    struct branch branch = opened();
    STEP(&branch, BRANCH_RECEIVED, .mode = DB_PREPARE);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_COMMITTED, .met = true);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__READ_ONLY);
    assert_int_equal(branch.state, BRANCH_ENDED);
}

static void work_that_failed_leaves_nothing_open(void **state)
{
    (void)state;
    struct branch branch = working(DB_STEP, false);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_FAILED);
    assert_int_equal(only(BRANCH_DO_WORD)->cause, BRANCH_CAUSE_WORK);
    assert_int_equal(branch.state, BRANCH_ENDED);
    branch = working(DB_STEP, false); /* its result can't be sent */
    STEP(&branch, BRANCH_WORKED, .outcome = DB_OPENED, .met = false);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].kind, BRANCH_DO_WORD);
    assert_int_equal(actions.list[0].cause, BRANCH_CAUSE_WORK);
    assert_int_equal(actions.list[1].kind, BRANCH_DO_ROLLBACK);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_FAILED);
    assert_int_equal(actions.count, 0);
    assert_int_equal(branch.state, BRANCH_ENDED);
    branch = opened(); /* more that can't be taken; the agent has answered it */
    STEP(&branch, BRANCH_REFUSED);
    only(BRANCH_DO_ROLLBACK);
    branch = opened();
    STEP(&branch, BRANCH_RECEIVED, .mode = DB_PREPARE);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_FAILED);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__NO);
    assert_int_equal(branch.state, BRANCH_ENDED);
}

static void what_is_open_is_rolled_back_when_nobody_will_end_it(void **state)
{
    (void)state;
    static const enum branch_event_kind ends[] = {BRANCH_SESSION_LOST, BRANCH_DEADLINE,
                                                  BRANCH_DATABASE_DOWN};
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        struct branch branch = opened();
        assert_true(branch_bounded(&branch));
        STEP(&branch, ends[i]);
        only(BRANCH_DO_ROLLBACK);
        assert_false(branch_bounded(&branch));
        STEP(&branch, BRANCH_WORKED, .outcome = DB_FAILED);
        assert_int_equal(actions.count, 0);
        assert_int_equal(branch.state, BRANCH_ENDED);
    }
    struct branch branch = opened();
    STEP(&branch, BRANCH_TOLD, .commit = false);
    only(BRANCH_DO_ROLLBACK);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_FAILED);
    assert_false(only(BRANCH_DO_TELL)->commit);
}

static void work_that_runs_is_cancelled_and_then_rolled_back(void **state)
{
    (void)state;
    struct branch branch = working(DB_STEP, false);
    STEP(&branch, BRANCH_DEADLINE);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].kind, BRANCH_DO_WORD);
    assert_int_equal(actions.list[0].cause, BRANCH_CAUSE_DEADLINE);
    assert_int_equal(actions.list[1].kind, BRANCH_DO_CANCEL);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_OPENED, .met = true); /* the cancel came too late */
    only(BRANCH_DO_ROLLBACK);
    branch = working(DB_STEP, false);
    STEP(&branch, BRANCH_TOLD, .commit = false);
    only(BRANCH_DO_CANCEL);
    STEP(&branch, BRANCH_WORKED, .outcome = DB_FAILED);
    assert_false(only(BRANCH_DO_TELL)->commit); /* and nobody waits for a word */
}

/* ---- prepared by somebody else ------------------------------------------------------------- */

static void what_is_adopted_votes_yes_with_its_xid(void **state)
{
    (void)state;
    struct branch branch = adopting();
    STEP(&branch, BRANCH_ADOPTED, .adopted = DB_ADOPTED, .xid = 9);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__YES);
    assert_int_equal(branch.xid, 9);
    assert_int_equal(branch.state, BRANCH_IN_DOUBT);
    STEP(&branch, BRANCH_SESSION_LOST);
    assert_int_equal(branch.state, BRANCH_IN_DOUBT);
    STEP(&branch, BRANCH_SCANNED, .present = false); /* no orphan: its decision is waited for */
    assert_int_equal(branch.state, BRANCH_IN_DOUBT);
}

static void an_orphan_is_adopted_while_it_is_asked_about(void **state)
{
    (void)state;
    struct branch branch = {0};
    STEP(&branch, BRANCH_FOUND, .xid = 9);
    STEP(&branch, BRANCH_JUDGED, .verdict = WIRE__VERDICT__VERDICT_WAIT);
    only(BRANCH_DO_RETRY);
    STEP(&branch, BRANCH_HANDED_OVER);
    only(BRANCH_DO_ADOPT);
    assert_false(branch.retrying);
    STEP(&branch, BRANCH_JUDGED, .verdict = WIRE__VERDICT__VERDICT_WAIT); /* late */
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_ADOPTED, .adopted = DB_ADOPTED, .xid = 9);
    assert_int_equal(only(BRANCH_DO_VOTE)->choice, WIRE__CHOICE__YES);
    assert_false(branch.orphan);
}

static void an_orphan_whose_acceptance_came_to_nothing_is_asked_about_again(void **state)
{
    (void)state;
    struct branch branch = {0};
    STEP(&branch, BRANCH_FOUND, .xid = 9);
    STEP(&branch, BRANCH_JUDGED, .verdict = WIRE__VERDICT__VERDICT_WAIT);
    STEP(&branch, BRANCH_ACCEPTS);
    assert_int_equal(actions.count, 0);
    assert_false(branch.retrying);
    STEP(&branch, BRANCH_JUDGED, .verdict = WIRE__VERDICT__VERDICT_COMMIT); /* not heard */
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_ACCEPTED, .accepted = DB_ACCEPT_UNKNOWN);
    only(BRANCH_DO_ASK);
    STEP(&branch, BRANCH_JUDGED, .verdict = WIRE__VERDICT__VERDICT_COMMIT);
    assert_true(only(BRANCH_DO_FINISH)->commit);
}

static void what_is_not_adopted_votes_no_and_is_rolled_back(void **state)
{
    (void)state;
    static const struct {
        enum db_adopted adopted;
        enum branch_cause cause;
    } cases[] = {{DB_ADOPT_MISSING, BRANCH_CAUSE_NOT_PREPARED},
                 {DB_ADOPT_FOREIGN, BRANCH_CAUSE_FOREIGN},
                 {DB_ADOPT_FENCED, BRANCH_CAUSE_FENCED},
                 {DB_ADOPT_ERROR, BRANCH_CAUSE_NOT_ADOPTED}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct branch branch = adopting();
        STEP(&branch, BRANCH_ADOPTED, .adopted = cases[i].adopted, .xid = 9);
        assert_int_equal(actions.count, 2);
        assert_int_equal(actions.list[0].choice, WIRE__CHOICE__NO);
        assert_int_equal(actions.list[0].cause, cases[i].cause);
        assert_false(actions.list[1].commit);
        STEP(&branch, BRANCH_FINISHED, .finish = DB_MISSING);
        assert_int_equal(actions.count, 0); /* nobody waits to hear */
        assert_int_equal(branch.state, BRANCH_ENDED);
    }
}

static void an_abort_while_it_is_adopted_rolls_it_back(void **state)
{
    (void)state;
    struct branch branch = adopting();
    STEP(&branch, BRANCH_TOLD, .commit = false);
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_ADOPTED, .adopted = DB_ADOPTED, .xid = 9);
    assert_false(only(BRANCH_DO_FINISH)->commit);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
    assert_false(only(BRANCH_DO_TELL)->commit);
    branch = adopting();
    STEP(&branch, BRANCH_DEADLINE);
    assert_int_equal(only(BRANCH_DO_VOTE)->cause, BRANCH_CAUSE_DEADLINE);
    STEP(&branch, BRANCH_ADOPTED, .adopted = DB_ADOPTED, .xid = 9);
    assert_false(only(BRANCH_DO_FINISH)->commit);
}

/* ---- by an operator ------------------------------------------------------------------------ */

static struct branch forced(bool commit)
{
    struct branch branch = in_doubt();
    STEP(&branch, BRANCH_FORCED, .commit = commit, .xid = 7);
    assert_int_equal(only(BRANCH_DO_FINISH)->commit, commit);
    assert_true(branch.forced);
    return branch;
}

static void what_was_forced_is_reported_and_nobody_else_is_told(void **state)
{
    (void)state;
    for (int commit = 0; commit <= 1; commit++) {
        struct branch branch = forced(commit);
        STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
        const struct branch_action *report = only(BRANCH_DO_REPORT);
        assert_int_equal(report->commit, commit);
        assert_null(report->hazard);
        assert_false(report->otherwise);
        assert_int_equal(branch.state, BRANCH_ENDED);
    }
}

static void the_same_decision_is_finished_and_the_other_is_a_hazard(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool force = i & 1, decision = i & 2;
        struct branch branch = forced(force);
        STEP(&branch, BRANCH_TOLD, .commit = decision, .xid = 7);
        assert_int_equal(actions.count, 0);
        STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
        assert_int_equal(actions.count, 2);
        assert_int_equal(actions.list[0].kind, BRANCH_DO_REPORT);
        const struct branch_action *told = &actions.list[1];
        assert_int_equal(told->kind, BRANCH_DO_TELL);
        assert_int_equal(told->commit, decision);
        assert_int_equal(told->hazard != NULL, force != decision);
        assert_int_equal(told->against, force != decision);
    }
}

/* Somebody had ended it by hand, as was decided after all. */
static void what_the_database_says_counts_more_than_what_was_forced(void **state)
{
    (void)state;
    for (int force = 0; force <= 1; force++) {
        struct branch branch = forced(force);
        STEP(&branch, BRANCH_TOLD, .commit = !force, .xid = 7);
        STEP(&branch, BRANCH_FINISHED, .finish = DB_MISSING);
        only(BRANCH_DO_STATUS);
        STEP(&branch, BRANCH_STATUS, .status = force ? DB_STATUS_ABORTED : DB_STATUS_COMMITTED);
        assert_int_equal(actions.count, 2);
        assert_true(actions.list[0].otherwise);
        assert_int_equal(actions.list[1].commit, !force);
        assert_null(actions.list[1].hazard);
        assert_false(actions.list[1].against);
    }
}

static void a_row_comes_before_a_decision_that_is_not_carried_out_yet(void **state)
{
    (void)state;
    struct branch branch = committing();
    STEP(&branch, BRANCH_FINISHED, .finish = DB_UNFINISHED);
    STEP(&branch, BRANCH_FORCED, .commit = false, .xid = 7);
    assert_false(only(BRANCH_DO_FINISH)->commit);
    assert_int_equal(branch.state, BRANCH_ABORTING);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
    assert_true(actions.list[1].commit);
    assert_true(actions.list[1].against);
    /* By the registers: nobody waits to hear. */
    branch = in_doubt();
    STEP(&branch, BRANCH_DECIDED, .commit = true);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_UNFINISHED);
    STEP(&branch, BRANCH_FORCED, .commit = false, .xid = 7);
    assert_int_equal(actions.count, 2);
    assert_non_null(actions.list[0].hazard);
    assert_int_equal(actions.list[0].kind, BRANCH_DO_WARN);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_FINISHED);
    only(BRANCH_DO_REPORT);
}

static void the_registers_decide_otherwise_after_it_was_forced(void **state)
{
    (void)state;
    struct branch branch = forced(false);
    STEP(&branch, BRANCH_DECIDED, .commit = false);
    assert_int_equal(actions.count, 0);
    STEP(&branch, BRANCH_DECIDED, .commit = true);
    assert_non_null(only(BRANCH_DO_WARN)->hazard);
    assert_int_equal(branch.state, BRANCH_ABORTING);
}

static void a_row_of_an_earlier_run_is_carried_out_or_found_to_be(void **state)
{
    (void)state;
    struct branch branch = {0};
    STEP(&branch, BRANCH_FORCED, .commit = true, .xid = 7);
    assert_true(only(BRANCH_DO_FINISH)->commit);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_MISSING);
    only(BRANCH_DO_STATUS);
    STEP(&branch, BRANCH_STATUS, .status = DB_STATUS_COMMITTED);
    assert_null(only(BRANCH_DO_REPORT)->hazard);
    branch = (struct branch){0};
    STEP(&branch, BRANCH_FORCED, .commit = true);
    STEP(&branch, BRANCH_FINISHED, .finish = DB_MISSING);
    assert_non_null(only(BRANCH_DO_REPORT)->hazard); /* nobody can tell: its xid is not known */
    assert_false(actions.list[0].otherwise);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_branch_that_is_prepared_and_committed_is_told_finished),
        cmocka_unit_test(a_failed_expectation_votes_no_first_and_rolls_back),
        cmocka_unit_test(an_abort_cancels_work_and_rolls_back_what_got_prepared),
        cmocka_unit_test(an_abort_takes_queued_work_away),
        cmocka_unit_test(a_lost_session_cancels_work_but_never_touches_a_yes),
        cmocka_unit_test(a_missing_gid_is_proved_by_its_xid),
        cmocka_unit_test(a_missing_gid_without_an_xid_is_a_hazard_unless_it_wrote_nothing),
        cmocka_unit_test(what_the_database_could_not_do_is_tried_again),
        cmocka_unit_test(an_unknown_prepare_votes_no_and_is_rolled_back_when_a_scan_finds_it),
        cmocka_unit_test(a_one_phase_branch_whose_commit_is_unknown_is_looked_up),
        cmocka_unit_test(a_deadline_never_guesses_what_one_phase_did),
        cmocka_unit_test(a_lookup_waits_for_work_that_still_runs),
        cmocka_unit_test(read_only_work_drops_out),
        cmocka_unit_test(read_only_work_whose_results_can_not_be_sent_is_refused),
        cmocka_unit_test(verdicts_decide_an_orphan_and_hold_keeps_it),
        cmocka_unit_test(a_decision_against_the_first_is_a_hazard),
        cmocka_unit_test(a_fenced_branch_votes_no_and_is_rolled_back),
        cmocka_unit_test(a_decision_of_the_registers_ends_a_branch_in_doubt_and_owes_no_answer),
        cmocka_unit_test(a_decision_of_the_registers_changes_nothing_but_what_is_in_doubt),
        cmocka_unit_test(an_open_branch_takes_more_work_and_is_prepared_in_the_end),
        cmocka_unit_test(an_open_branch_that_wrote_nothing_votes_read_only),
        cmocka_unit_test(work_that_failed_leaves_nothing_open),
        cmocka_unit_test(what_is_open_is_rolled_back_when_nobody_will_end_it),
        cmocka_unit_test(work_that_runs_is_cancelled_and_then_rolled_back),
        cmocka_unit_test(what_is_adopted_votes_yes_with_its_xid),
        cmocka_unit_test(an_orphan_is_adopted_while_it_is_asked_about),
        cmocka_unit_test(an_orphan_whose_acceptance_came_to_nothing_is_asked_about_again),
        cmocka_unit_test(what_is_not_adopted_votes_no_and_is_rolled_back),
        cmocka_unit_test(an_abort_while_it_is_adopted_rolls_it_back),
        cmocka_unit_test(what_was_forced_is_reported_and_nobody_else_is_told),
        cmocka_unit_test(the_same_decision_is_finished_and_the_other_is_a_hazard),
        cmocka_unit_test(what_the_database_says_counts_more_than_what_was_forced),
        cmocka_unit_test(a_row_comes_before_a_decision_that_is_not_carried_out_yet),
        cmocka_unit_test(the_registers_decide_otherwise_after_it_was_forced),
        cmocka_unit_test(a_row_of_an_earlier_run_is_carried_out_or_found_to_be),
    };
    return cmocka_run_group_tests_name("branch", tests, NULL, NULL);
}
