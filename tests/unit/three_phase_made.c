/* The machine of a three-phase transaction hears that a site has committed its branch with its
 * acceptance: in every state in which that can come, and in which it can't be right. */
#include "three_phase_machine_kit.h"

/* Orders' or payments' branch is committed with its acceptance. */
static struct transaction_event made(int site)
{
    return (struct transaction_event){
        .type = EVENT_REPLIED,
        .site = site,
        .applied = true,
        .reply = REGISTER_GRANTED,
        .ask = {REGISTER_ACCEPT, {0, 0}, REGISTER_COMMIT},
        .state = {.value = REGISTER_COMMIT},
    };
}

static struct transaction_event did_commit(int branch)
{
    return (struct transaction_event){.type = EVENT_FINISHED, .branch = branch, .commit = true};
}

static void refused(struct fixture *f, const struct transaction_event *event)
{
    struct transaction before = f->machine;
    assert_false(transaction_step(&f->machine, event, &f->actions));
    assert_memory_equal(&before, &f->machine, sizeof(before));
}

static void who_made_the_decision_is_not_told_it(void **unused)
{
    (void)unused;
    struct fixture f;
    struct transaction_event of_first = made(1), of_second = made(2);
    struct transaction_event did_first = did_commit(0), did_second = did_commit(1);
    for (int both = 0; both < 2; both++) {
        propose(&f);
        refused(&f, &of_second); /* nobody was asked: the proposal is not durable */
        feed_type(&f, EVENT_RECORD_DURABLE);
        refused(&f, &did_second); /* that is no acknowledgement of anything */
        feed(&f, &of_second);
        expect(&f, ACTION_APPEND_DECIDED, 0, ACTION_ANSWER_DECIDED, 0, ACTION_OWE_COMMIT, 0, -1);
        assert_int_equal(f.machine.state, TRANSACTION_COMMITTED);
        assert_int_equal(f.branches[1].state, BRANCH_APPLIED);
        feed(&f, &of_second); /* said twice */
        expect(&f, -1);
        feed(&f, both ? &of_first : &did_first);
        expect(&f, ACTION_APPEND_ENDED, 0, ACTION_ANSWER_APPLIED, 0, ACTION_DISARM, 0,
               ACTION_RELEASE, 0, -1);
        assert_int_equal(f.machine.state, TRANSACTION_DONE);
    }
}

static void the_last_branch_ends_it_with_the_decision(void **unused)
{
    (void)unused;
    for (int late = 0; late < 2; late++) {
        struct fixture f;
        transaction_init(&f.machine, f.branches, BRANCHES, IN_THREE_PHASES, false);
        feed_type(&f, EVENT_SUBMITTED);
        struct transaction_event event = {
            .type = EVENT_VOTED, .branch = 0, .choice = CHOSE_READ_ONLY};
        feed(&f, &event);
        event = (struct transaction_event){.type = EVENT_VOTED, .branch = 1, .choice = CHOSE_YES};
        feed(&f, &event);
        feed_type(&f, EVENT_RECORD_DURABLE);
        if (late)
            feed_type(&f, EVENT_DEADLINE_PASSED);
        event = made(2);
        feed(&f, &event);
        expect(&f, ACTION_APPEND_DECIDED, 0, ACTION_ANSWER_DECIDED, 0, ACTION_APPEND_ENDED, 0,
               ACTION_ANSWER_APPLIED, 0, ACTION_DISARM, 0, ACTION_RELEASE, 0, -1);
    }
}

/* A client said that it wrote nothing there, and prepared all the same. */
static void what_is_read_only_here_and_committed_there_decides_too(void **unused)
{
    (void)unused;
    struct fixture f;
    transaction_init(&f.machine, f.branches, BRANCHES, IN_THREE_PHASES, false);
    feed_type(&f, EVENT_SUBMITTED);
    for (int i = 0; i < BRANCHES; i++) {
        struct transaction_event event = {
            .type = EVENT_VOTED, .branch = i, .choice = i ? CHOSE_YES : CHOSE_READ_ONLY};
        feed(&f, &event);
    }
    feed_type(&f, EVENT_RECORD_DURABLE);
    struct transaction_event event = made(1);
    feed(&f, &event);
    expect(&f, ACTION_APPEND_DECIDED, 0, ACTION_ANSWER_DECIDED, 0, ACTION_OWE_COMMIT, 1, -1);
    assert_int_equal(f.branches[0].state, BRANCH_READ_ONLY);
}

static void its_word_may_cross_the_commit_that_it_is_told(void **unused)
{
    (void)unused;
    struct fixture f;
    struct transaction_event of_first = made(1), did_first = did_commit(0), event;
    for (int told_first = 0; told_first < 2; told_first++) {
        propose(&f);
        feed_type(&f, EVENT_RECORD_DURABLE);
        event = grant(&f, 2);
        feed(&f, &event);
        expect(&f, ACTION_APPEND_DECIDED, 0, ACTION_ANSWER_DECIDED, 0, ACTION_OWE_COMMIT, 0,
               ACTION_OWE_COMMIT, 1, -1);
        feed(&f, told_first ? &did_first : &of_first);
        expect(&f, -1);
        assert_int_equal(f.branches[0].state, BRANCH_APPLIED);
        feed(&f, told_first ? &of_first : &did_first);
        expect(&f, -1);
        /* Nothing is there to prove by COMMIT any more, and nothing has to be. */
        did_first.hazard = true;
        feed(&f, &did_first);
        did_first.hazard = false;
        expect(&f, -1);
        assert_int_equal(f.branches[0].state, BRANCH_APPLIED);
        event = did_commit(1);
        feed(&f, &event);
        assert_int_equal(f.machine.state, TRANSACTION_DONE);
    }
}

/* As a coordinator begins anew that was started again. */
static void recover(struct fixture *f)
{
    transaction_init(&f->machine, f->branches, BRANCHES, IN_THREE_PHASES, false);
    for (int i = 0; i < BRANCHES; i++) {
        struct transaction_event event = {.type = EVENT_BRANCH_RECOVERED, .branch = i};
        feed(f, &event);
    }
    struct transaction_event event = {.type = EVENT_RECOVERED_PROPOSED,
                                      .state = {.value = REGISTER_COMMIT}};
    feed(f, &event);
}

enum { PROMISING_ITSELF, PROMISING, ACCEPTING_ITSELF, ACCEPTING, OUTBID, STAGES };

static void bring_to(struct fixture *f, int stage)
{
    struct transaction_event event;
    recover(f);
    feed_type(f, EVENT_RESUMED);
    if (stage >= PROMISING)
        feed_type(f, EVENT_RECORD_DURABLE);
    event = grant(f, 1);
    if (stage == ACCEPTING_ITSELF || stage == ACCEPTING)
        feed(f, &event);
    if (stage == ACCEPTING)
        feed_type(f, EVENT_RECORD_DURABLE);
    if (stage == OUTBID) {
        event.reply = REGISTER_OUTBID;
        event.state = (struct register_state){.promised = {9, 1}};
        feed(f, &event);
        assert_int_equal(f->machine.proposer.phase, PROPOSER_OUTBID);
    }
    assert_int_equal(f->machine.state, TRANSACTION_PROPOSED);
}

static void its_word_decides_at_whatever_ballot_the_coordinator_asks_by_then(void **unused)
{
    (void)unused;
    for (int stage = PROMISING_ITSELF; stage < STAGES; stage++) {
        struct fixture f;
        struct transaction_event event = made(2);
        bring_to(&f, stage);
        feed(&f, &event);
        expect(&f, ACTION_APPEND_DECIDED, 0, ACTION_ANSWER_DECIDED, 0, ACTION_ANSWER_UNAPPLIED, 0,
               ACTION_OWE_COMMIT, 0, -1);
        assert_int_equal(f.branches[1].state, BRANCH_APPLIED);
        event = did_commit(0);
        feed(&f, &event);
        assert_int_equal(f.machine.state, TRANSACTION_DONE);
    }
}

static void its_word_is_refused_where_it_can_not_be_right(void **unused)
{
    (void)unused;
    struct fixture f;
    struct transaction_event event = made(1);
    struct transaction_event told = {.type = EVENT_TOLD, .value = REGISTER_ABORT};
    /* Before anything was proposed. */
    transaction_init(&f.machine, f.branches, BRANCHES, IN_THREE_PHASES, false);
    feed_type(&f, EVENT_SUBMITTED);
    refused(&f, &event);
    /* No site of it. */
    propose(&f);
    feed_type(&f, EVENT_RECORD_DURABLE);
    event.site = 0;
    refused(&f, &event);
    event.site = SITES;
    refused(&f, &event);
    /* Aborted, by whatever was heard before. */
    event.site = 1;
    feed(&f, &told);
    assert_int_equal(f.machine.state, TRANSACTION_ABORTED);
    refused(&f, &event);
    struct transaction_event aborted = {.type = EVENT_FINISHED, .branch = 0};
    feed(&f, &aborted);
    refused(&f, &event);
    /* A hazard of an abort. */
    aborted.branch = 1;
    aborted.hazard = true;
    feed(&f, &aborted);
    assert_int_equal(f.machine.state, TRANSACTION_HAZARD);
    refused(&f, &event);
    event.site = 2;
    refused(&f, &event);
    /* Two phases have no other site. */
    transaction_init(&f.machine, f.branches, BRANCHES, IN_TWO_PHASES, false);
    feed_type(&f, EVENT_SUBMITTED);
    refused(&f, &event);
}

static void it_ends_no_hazard(void **unused)
{
    (void)unused;
    struct fixture f;
    propose(&f);
    feed_type(&f, EVENT_RECORD_DURABLE);
    struct transaction_event event = grant(&f, 2);
    feed(&f, &event);
    event = did_commit(0);
    event.hazard = true;
    feed(&f, &event);
    event = made(1);
    feed(&f, &event);
    expect(&f, -1);
    assert_int_equal(f.branches[0].state, BRANCH_HAZARD);
    event = made(2);
    feed(&f, &event);
    expect(&f, ACTION_DISARM, 0, -1);
    assert_int_equal(f.machine.state, TRANSACTION_HAZARD);
    feed(&f, &event);
    expect(&f, -1);
}

static void among_five_sites_no_acceptance_decides_alone(void **unused)
{
    (void)unused;
    struct transaction machine;
    struct branch branches[4];
    struct actions actions;
    for (int count = 2; count <= 4; count++) {
        struct transaction_event event = {.type = EVENT_SUBMITTED};
        transaction_init(&machine, branches, count, IN_THREE_PHASES, false);
        assert_true(transaction_step(&machine, &event, &actions));
        for (int i = 0; i < count; i++) {
            event = (struct transaction_event){.type = EVENT_VOTED, .branch = i};
            assert_true(transaction_step(&machine, &event, &actions));
        }
        event = (struct transaction_event){.type = EVENT_RECORD_DURABLE};
        assert_true(transaction_step(&machine, &event, &actions));
        event = made(1);
        assert_int_equal(transaction_step(&machine, &event, &actions), count < 4);
        assert_int_equal(machine.state, count < 4 ? TRANSACTION_COMMITTED : TRANSACTION_PROPOSED);
        assert_int_equal(branches[0].state, count < 4 ? BRANCH_APPLIED : BRANCH_YES);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_made_the_decision_is_not_told_it),
        cmocka_unit_test(the_last_branch_ends_it_with_the_decision),
        cmocka_unit_test(what_is_read_only_here_and_committed_there_decides_too),
        cmocka_unit_test(its_word_may_cross_the_commit_that_it_is_told),
        cmocka_unit_test(its_word_decides_at_whatever_ballot_the_coordinator_asks_by_then),
        cmocka_unit_test(its_word_is_refused_where_it_can_not_be_right),
        cmocka_unit_test(it_ends_no_hazard),
        cmocka_unit_test(among_five_sites_no_acceptance_decides_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
