/* The machine of a transaction: its tables, pair by pair, and every state that any order of events
 * can reach, each checked against the promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/transaction.h"

/* ---- the tables ---- */

/* What a state makes of every event, as one text; events that are refused are not in it. */
static const char *row_text(const struct transition_table *table, int state)
{
    static char text[1024];
    size_t size = 0;
    text[0] = '\0';
    for (int event = 0; event < table->event_count; event++) {
        int next = transition_try(table, state, event);
        assert_true(next >= 0 && next < table->state_count);
        if (next)
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s>%s", size ? ", " : "",
                                     table->events[event], table->states[next]);
    }
    return text;
}

static void every_pair_of_the_transaction_table_is_as_written_here(void **unused)
{
    (void)unused;
    static const char *const rows[TRANSACTION_STATES] = {
        [TRANSACTION_NEW] =
            "began>voting, began alone>one-phase, refused>aborted, "
            "recovered>committed, recovered proposed>pre-committed, recovered hazard>hazard",
        [TRANSACTION_VOTING] = "branch changed>voting, all yes>deciding, all read-only>done, "
                               "refused>aborted, joined>voting",
        [TRANSACTION_DECIDING] =
            "branch changed>deciding, accepted>pre-committed, decided>committed, "
            "overruled>aborted, came late>deciding, joined>deciding",
        [TRANSACTION_PROPOSED] = "branch changed>pre-committed, asked again>pre-committed, "
                                 "decided>committed, overruled>aborted, "
                                 "came late>pre-committed, joined>pre-committed",
        [TRANSACTION_COMMITTED] = "branch changed>committed, all finished>done, "
                                  "hazard left>hazard, came late>committed, joined>committed",
        [TRANSACTION_ABORTED] = "branch changed>aborted, all finished>done, hazard left>hazard",
        [TRANSACTION_ALONE] = "branch changed>one-phase, came late>one-phase, done alone>done, "
                              "refused alone>done, lost alone>unknown",
        [TRANSACTION_LOST] = "branch changed>unknown, came late>unknown, done alone>done, "
                             "refused alone>done",
        [TRANSACTION_HAZARD] = "branch changed>hazard, joined>hazard, forgotten>done",
        [TRANSACTION_DONE] = "",
    };
    for (int state = 1; state < TRANSACTION_STATES; state++)
        assert_string_equal(row_text(&transaction_table, state), rows[state]);
}

static void every_pair_of_the_branch_table_is_as_written_here(void **unused)
{
    (void)unused;
    static const char *const rows[BRANCH_STATES] = {
        [BRANCH_NEW] = "was asked>waiting, was run>running, abort decided>aborting, "
                       "recovered yes>prepared, "
                       "recovered read-only>read-only, recovered applied>applied, "
                       "recovered hazard>hazard",
        [BRANCH_ASKED] = "voted yes>prepared, voted no>refused, voted read-only>read-only, "
                         "session lost>refused, abort decided>aborting",
        [BRANCH_YES] = "session lost>prepared, commit decided>committing, abort decided>aborting, "
                       "made commit>applied",
        [BRANCH_NO] = "session lost>refused, abort decided>refused, did abort>refused",
        [BRANCH_READ_ONLY] = "session lost>read-only, commit decided>read-only, "
                             "abort decided>read-only, did abort>read-only, "
                             "made commit>read-only",
        [BRANCH_COMMITTING] = "session lost>committing, did commit>applied, "
                              "made commit>applied, unproved commit>hazard",
        [BRANCH_APPLIED] = "session lost>applied, commit decided>applied, did commit>applied, "
                           "made commit>applied, unproved commit>applied",
        [BRANCH_ABORTING] = "voted yes>aborting, voted no>aborted, voted read-only>aborted, "
                            "session lost>aborted, did abort>aborted, unproved abort>hazard, "
                            "given up>aborted",
        [BRANCH_ABORTED] = "voted no>aborted, voted read-only>aborted, session lost>aborted, "
                           "did abort>aborted, unproved abort>hazard",
        [BRANCH_RUNNING] = "voted no>refused, voted read-only>read-only, voted done>applied, "
                           "voted lost>unknown, session lost>unknown",
        [BRANCH_LOST] = "voted no>refused, voted read-only>read-only, voted done>applied, "
                        "voted lost>unknown, session lost>unknown, found committed>applied, "
                        "found aborted>aborted",
        [BRANCH_HAZARD] = "session lost>hazard, commit decided>hazard, did commit>hazard, "
                          "did abort>hazard, made commit>hazard, unproved commit>hazard, "
                          "unproved abort>hazard",
    };
    for (int state = 1; state < BRANCH_STATES; state++)
        assert_string_equal(row_text(&branch_table, state), rows[state]);
}

/* ---- every order of events ---- */

enum { BRANCHES_MAX = 3, KNOWN_MAX = 1 << 16 };

/* The machine, and what the world around it has seen of it. All of it is compared as bytes. */
struct world {
    struct transaction machine; /* its pointer is left out: see load */
    struct branch branches[BRANCHES_MAX];
    bool armed, released, appended, durable, ended, hazard, forgotten;
    bool told_commit[BRANCHES_MAX], told_abort[BRANCHES_MAX], acked[BRANCHES_MAX];
    bool yes[BRANCHES_MAX], read_only[BRANCHES_MAX], refused[BRANCHES_MAX];
    bool answered_committed, answered_aborted, answered_applied, answered_unknown;
};

struct search {
    struct world *known;
    int count, next;
    int branch_count;
    enum transaction_way way;
    bool keyed;
};

static void check_committed_answer(const struct world *world)
{
    const struct transaction *machine = &world->machine;
    assert_false(world->answered_aborted);
    if (machine->alone) {
        assert_true(world->yes[0] || world->read_only[0]);
        return;
    }
    bool all_read_only = true;
    for (int i = 0; i < machine->branch_count; i++)
        all_read_only = all_read_only && world->read_only[i];
    assert_true(world->durable || (all_read_only && !machine->keyed));
}

static void see_answer(struct world *world, enum action_type type)
{
    switch (type) {
    case ACTION_ANSWER_APPLIED:
        world->answered_applied = true;
        for (int i = 0; i < world->machine.branch_count; i++)
            assert_true(world->acked[i] || world->read_only[i]);
        /* fall through */
    case ACTION_ANSWER_DECIDED:
    case ACTION_ANSWER_UNAPPLIED:
        check_committed_answer(world);
        world->answered_committed = true;
        break;
    case ACTION_ANSWER_ABORTED:
        assert_false(world->appended || world->durable || world->answered_committed);
        world->answered_aborted = true;
        break;
    case ACTION_ANSWER_UNKNOWN:
        assert_true(world->machine.alone);
        world->answered_unknown = true;
        break;
    default:
        assert_int_equal(type, ACTION_ANSWER_HAZARD);
        assert_true(world->hazard);
        break;
    }
}

static void see_record(struct world *world, const struct action *action)
{
    const struct transaction *machine = &world->machine;
    switch (action->type) {
    case ACTION_APPEND_COMMITTED:
        assert_false(world->appended || world->answered_aborted || machine->alone);
        for (int i = 0; i < machine->branch_count; i++)
            assert_true((world->yes[i] || world->read_only[i]) && !world->refused[i] &&
                        !world->told_abort[i]);
        world->appended = true;
        break;
    case ACTION_APPEND_ENDED:
        assert_true(world->durable && !world->ended && !world->hazard);
        for (int i = 0; i < machine->branch_count; i++)
            assert_true(world->acked[i] || world->read_only[i]);
        world->ended = true;
        break;
    default:
        assert_int_equal(action->type, ACTION_APPEND_HAZARD);
        world->hazard = true;
        break;
    }
}

static void see(struct world *world, const struct action *action)
{
    assert_false(world->released);
    switch (action->type) {
    case ACTION_SEND_PREPARE:
        break;
    case ACTION_OWE_COMMIT:
        assert_true(world->durable && world->yes[action->branch]);
        assert_false(world->told_abort[action->branch]);
        world->told_commit[action->branch] = true;
        break;
    case ACTION_SEND_ABORT:
        assert_false(world->appended || world->told_commit[action->branch]);
        world->told_abort[action->branch] = true;
        break;
    case ACTION_OWE_LOOKUP:
        assert_true(world->machine.alone);
        break;
    case ACTION_ARM_DEADLINE:
    case ACTION_ARM_PATIENCE:
        world->armed = true;
        break;
    case ACTION_DISARM:
        world->armed = false;
        break;
    case ACTION_RELEASE:
        /* Whoever was told commit has acknowledged it, and who waits has an answer. */
        for (int i = 0; i < world->machine.branch_count; i++)
            assert_true(!world->told_commit[i] || world->acked[i] ||
                        (world->forgotten && world->branches[i].state == BRANCH_HAZARD));
        assert_true(world->answered_applied || world->answered_aborted || world->forgotten);
        assert_int_equal(world->hazard, world->forgotten);
        assert_false(world->armed);
        world->released = true;
        break;
    default:
        if (action->type >= ACTION_ANSWER_DECIDED)
            see_answer(world, action->type);
        else
            see_record(world, action);
        break;
    }
}

static void note_event(struct world *world, const struct transaction_event *event)
{
    int i = event->branch;
    if (event->type == EVENT_VOTED) {
        world->yes[i] |= event->choice == CHOSE_YES || event->choice == CHOSE_DONE;
        world->acked[i] |= event->choice == CHOSE_DONE;
        world->read_only[i] |= event->choice == CHOSE_READ_ONLY;
        world->refused[i] |= event->choice == CHOSE_NO;
    } else if (event->type == EVENT_FINISHED && !event->hazard && event->commit) {
        world->acked[i] = true;
    } else if (event->type == EVENT_FOUND) {
        world->yes[i] |= event->commit;
        world->acked[i] |= event->commit;
    } else if (event->type == EVENT_RECORD_DURABLE) {
        world->durable = true;
    } else if (event->type == EVENT_FORGOTTEN) {
        world->forgotten = true;
    } else if (event->type == EVENT_DEADLINE_PASSED) {
        world->armed = false;
    }
}

static void remember(struct search *search, const struct world *world)
{
    for (int i = 0; i < search->count; i++) {
        if (memcmp(&search->known[i], world, sizeof(*world)) == 0)
            return;
    }
    assert_true(search->count < KNOWN_MAX);
    memcpy(&search->known[search->count++], world, sizeof(*world));
}

/* Steps a copy of `from`; what it comes to is searched further. */
static void try_event(struct search *search, const struct world *from,
                      const struct transaction_event *event)
{
    struct world world;
    struct actions actions;
    memcpy(&world, from, sizeof(world));
    world.machine.branches = world.branches;
    if (!transaction_step(&world.machine, event, &actions)) {
        world.machine.branches = NULL;
        assert_memory_equal(&world, from, sizeof(world));
        return;
    }
    note_event(&world, event);
    for (int i = 0; i < actions.count; i++)
        see(&world, &actions.list[i]);
    assert_true(world.released == (world.machine.state == TRANSACTION_DONE));
    world.machine.branches = NULL;
    remember(search, &world);
}

static void try_branch_events(struct search *search, const struct world *from, int branch)
{
    struct transaction_event event = {.branch = branch};
    event.type = EVENT_VOTED;
    for (int choice = CHOSE_YES; choice <= CHOSE_LOST; choice++) {
        event.choice = (enum transaction_choice)choice;
        try_event(search, from, &event);
    }
    event.type = EVENT_FINISHED;
    for (int what = 0; what < 4; what++) {
        event.commit = what & 1;
        event.hazard = what & 2;
        try_event(search, from, &event);
    }
    event.hazard = false;
    event.type = EVENT_FOUND;
    for (int what = 0; what < 2; what++) {
        event.commit = what;
        try_event(search, from, &event);
    }
    event.type = EVENT_PARTICIPANT_LOST;
    try_event(search, from, &event);
}

static void try_all_events(struct search *search, const struct world *from)
{
    struct transaction_event event = {0};
    for (int i = 0; i < search->branch_count; i++)
        try_branch_events(search, from, i);
    if (from->appended && !from->durable) {
        event.type = EVENT_RECORD_DURABLE;
        try_event(search, from, &event);
    }
    if (from->armed) {
        event.type = EVENT_DEADLINE_PASSED;
        try_event(search, from, &event);
    }
    if (from->machine.state == TRANSACTION_HAZARD) {
        event.type = EVENT_FORGOTTEN;
        try_event(search, from, &event);
    }
    /* The key of an aborted attempt is forgotten, so nobody joins it. */
    if (search->keyed && !from->answered_aborted) {
        event.type = EVENT_JOINED;
        try_event(search, from, &event);
    }
}

/* Returns how many different worlds there are; what must be reachable is noted in *seen. */
static int explore(int branch_count, enum transaction_way way, bool keyed, struct world *seen)
{
    struct search search = {.branch_count = branch_count,
                            .way = way,
                            .keyed = keyed,
                            .known = calloc(KNOWN_MAX, sizeof(struct world))};
    struct world first;
    struct transaction_event event = {.type = EVENT_SUBMITTED};
    memset(&first, 0, sizeof(first));
    memset(seen, 0, sizeof(*seen));
    transaction_init(&first.machine, first.branches, branch_count, way, keyed);
    first.machine.branches = NULL;
    try_event(&search, &first, &event);
    for (search.next = 0; search.next < search.count; search.next++) {
        const struct world *world = &search.known[search.next];
        seen->ended |= world->ended;
        seen->hazard |= world->hazard;
        seen->forgotten |= world->forgotten;
        seen->answered_applied |= world->answered_applied;
        seen->answered_aborted |= world->answered_aborted;
        seen->answered_unknown |= world->answered_unknown;
        if (!world->released)
            try_all_events(&search, world);
    }
    free(search.known);
    return search.count;
}

static void no_order_of_events_breaks_a_promise_of_two_branches(void **unused)
{
    (void)unused;
    struct world seen;
    assert_in_range(explore(2, IN_TWO_PHASES, false, &seen), 100, KNOWN_MAX);
    assert_true(seen.ended && seen.hazard && seen.answered_applied && seen.answered_aborted);
    assert_true(seen.forgotten);
    assert_false(seen.answered_unknown);
}

static void no_order_of_events_breaks_a_promise_with_a_key(void **unused)
{
    (void)unused;
    struct world seen;
    assert_in_range(explore(2, IN_TWO_PHASES, true, &seen), 100, KNOWN_MAX);
    assert_in_range(explore(1, IN_TWO_PHASES, true, &seen), 20, KNOWN_MAX);
    assert_true(seen.ended && seen.hazard && seen.answered_applied && seen.answered_aborted);
    assert_true(seen.forgotten);
}

static void no_order_of_events_breaks_a_promise_of_one_phase(void **unused)
{
    (void)unused;
    struct world seen;
    assert_in_range(explore(1, IN_ONE_PHASE, false, &seen), 5, KNOWN_MAX);
    assert_true(seen.answered_applied && seen.answered_aborted && seen.answered_unknown);
    assert_false(seen.ended || seen.hazard || seen.forgotten);
}

/* ---- single ways ---- */

struct fixture {
    struct transaction machine;
    struct branch branches[BRANCHES_MAX];
    struct actions actions;
};

static void begin(struct fixture *f, int branch_count, enum transaction_way way, bool keyed)
{
    struct transaction_event event = {.type = EVENT_SUBMITTED};
    transaction_init(&f->machine, f->branches, branch_count, way, keyed);
    assert_true(transaction_step(&f->machine, &event, &f->actions));
}

static void vote(struct fixture *f, int branch, enum transaction_choice choice)
{
    struct transaction_event event = {.type = EVENT_VOTED, .branch = branch, .choice = choice};
    assert_true(transaction_step(&f->machine, &event, &f->actions));
}

static void step(struct fixture *f, enum transaction_event_type type, int branch, bool commit)
{
    struct transaction_event event = {.type = type, .branch = branch, .commit = commit};
    assert_true(transaction_step(&f->machine, &event, &f->actions));
}

/* The actions of the last step, in order: the pairs (type, branch), ended by -1. */
static void expect(const struct fixture *f, ...)
{
    va_list list;
    va_start(list, f);
    int i = 0;
    for (int type; (type = va_arg(list, int)) >= 0; i++) {
        assert_true(i < f->actions.count);
        assert_int_equal(f->actions.list[i].type, type);
        assert_int_equal(f->actions.list[i].branch, va_arg(list, int));
    }
    va_end(list);
    assert_int_equal(f->actions.count, i);
}

static void the_record_is_appended_when_the_last_yes_came_and_nothing_is_told_yet(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 2, IN_TWO_PHASES, false);
    expect(&f, ACTION_ARM_DEADLINE, 0, ACTION_SEND_PREPARE, 0, ACTION_SEND_PREPARE, 1, -1);
    vote(&f, 1, CHOSE_YES);
    expect(&f, -1);
    vote(&f, 0, CHOSE_YES);
    expect(&f, ACTION_APPEND_COMMITTED, 0, -1);
    step(&f, EVENT_RECORD_DURABLE, 0, false);
    expect(&f, ACTION_ANSWER_DECIDED, 0, ACTION_OWE_COMMIT, 0, ACTION_OWE_COMMIT, 1, -1);
    step(&f, EVENT_FINISHED, 0, true);
    expect(&f, -1);
    step(&f, EVENT_FINISHED, 1, true);
    expect(&f, ACTION_APPEND_ENDED, 0, ACTION_ANSWER_APPLIED, 0, ACTION_DISARM, 0, ACTION_RELEASE,
           0, -1);
}

static void a_no_aborts_at_once_and_frees_the_others(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 3, IN_TWO_PHASES, false);
    vote(&f, 0, CHOSE_YES);
    vote(&f, 1, CHOSE_NO);
    expect(&f, ACTION_ANSWER_ABORTED, 0, ACTION_SEND_ABORT, 0, ACTION_SEND_ABORT, 2,
           ACTION_ARM_PATIENCE, 0, -1);
    /* The vote that crossed our ABORT says that nothing is left there. */
    vote(&f, 2, CHOSE_NO);
    step(&f, EVENT_FINISHED, 0, false);
    expect(&f, ACTION_DISARM, 0, ACTION_RELEASE, 0, -1);
}

static void a_lost_session_is_a_no_before_the_vote_and_nothing_after_it(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 2, IN_TWO_PHASES, false);
    vote(&f, 0, CHOSE_YES);
    step(&f, EVENT_PARTICIPANT_LOST, 0, false);
    expect(&f, -1);
    step(&f, EVENT_PARTICIPANT_LOST, 1, false);
    expect(&f, ACTION_ANSWER_ABORTED, 0, ACTION_SEND_ABORT, 0, ACTION_ARM_PATIENCE, 0, -1);
}

static void the_deadline_never_aborts_once_the_record_is_appended(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 2, IN_TWO_PHASES, false);
    vote(&f, 0, CHOSE_YES);
    vote(&f, 1, CHOSE_YES);
    step(&f, EVENT_DEADLINE_PASSED, 0, false);
    expect(&f, -1);
    step(&f, EVENT_RECORD_DURABLE, 0, false);
    expect(&f, ACTION_ANSWER_DECIDED, 0, ACTION_ANSWER_UNAPPLIED, 0, ACTION_OWE_COMMIT, 0,
           ACTION_OWE_COMMIT, 1, -1);
}

static void reading_alone_needs_no_record_unless_a_key_must_be_kept(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 2, IN_TWO_PHASES, false);
    vote(&f, 0, CHOSE_READ_ONLY);
    vote(&f, 1, CHOSE_READ_ONLY);
    expect(&f, ACTION_ANSWER_APPLIED, 0, ACTION_DISARM, 0, ACTION_RELEASE, 0, -1);
    begin(&f, 1, IN_TWO_PHASES, true);
    vote(&f, 0, CHOSE_READ_ONLY);
    expect(&f, ACTION_APPEND_COMMITTED, 0, -1);
    step(&f, EVENT_RECORD_DURABLE, 0, false);
    expect(&f, ACTION_ANSWER_DECIDED, 0, ACTION_APPEND_ENDED, 0, ACTION_ANSWER_APPLIED, 0,
           ACTION_DISARM, 0, ACTION_RELEASE, 0, -1);
}

static void a_read_only_branch_is_not_told_commit(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 2, IN_TWO_PHASES, false);
    vote(&f, 0, CHOSE_READ_ONLY);
    vote(&f, 1, CHOSE_YES);
    step(&f, EVENT_RECORD_DURABLE, 0, false);
    expect(&f, ACTION_ANSWER_DECIDED, 0, ACTION_OWE_COMMIT, 1, -1);
}

static void what_was_built_step_by_step_may_have_nobody_or_never_be_submitted(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 0, IN_TWO_PHASES, false);
    expect(&f, ACTION_ARM_DEADLINE, 0, ACTION_ANSWER_APPLIED, 0, ACTION_DISARM, 0, ACTION_RELEASE,
           0, -1);
    transaction_init(&f.machine, f.branches, 2, IN_THREE_PHASES, true);
    step(&f, EVENT_WITHDRAWN, 0, false);
    expect(&f, ACTION_ANSWER_ABORTED, 0, ACTION_SEND_ABORT, 0, ACTION_SEND_ABORT, 1,
           ACTION_ARM_PATIENCE, 0, -1);
    assert_int_equal(transaction_phase(&f.machine), PHASE_ABORTED);
    step(&f, EVENT_FINISHED, 0, false);
    step(&f, EVENT_PARTICIPANT_LOST, 1, false);
    expect(&f, ACTION_DISARM, 0, ACTION_RELEASE, 0, -1);
    transaction_init(&f.machine, f.branches, 0, IN_TWO_PHASES, false);
    step(&f, EVENT_WITHDRAWN, 0, false);
    expect(&f, ACTION_ANSWER_ABORTED, 0, ACTION_DISARM, 0, ACTION_RELEASE, 0, -1);
    assert_int_equal(f.machine.state, TRANSACTION_DONE);
}

static void one_phase_lost_is_looked_up_and_unknown_at_the_deadline(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 1, IN_ONE_PHASE, false);
    step(&f, EVENT_PARTICIPANT_LOST, 0, false);
    expect(&f, ACTION_OWE_LOOKUP, 0, -1);
    step(&f, EVENT_DEADLINE_PASSED, 0, false);
    expect(&f, ACTION_ANSWER_UNKNOWN, 0, -1);
    step(&f, EVENT_FOUND, 0, true);
    expect(&f, ACTION_ANSWER_APPLIED, 0, ACTION_DISARM, 0, ACTION_RELEASE, 0, -1);
}

static void a_hazard_is_recorded_and_stays_while_the_others_go_on(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 2, IN_TWO_PHASES, false);
    vote(&f, 0, CHOSE_YES);
    vote(&f, 1, CHOSE_YES);
    step(&f, EVENT_RECORD_DURABLE, 0, false);
    struct transaction_event event = {
        .type = EVENT_FINISHED, .branch = 0, .commit = true, .hazard = true};
    assert_true(transaction_step(&f.machine, &event, &f.actions));
    expect(&f, ACTION_APPEND_HAZARD, 0, ACTION_ANSWER_HAZARD, 0, -1);
    step(&f, EVENT_FINISHED, 1, true);
    expect(&f, ACTION_DISARM, 0, -1);
    assert_int_equal(f.machine.state, TRANSACTION_HAZARD);
    assert_int_equal(transaction_phase(&f.machine), PHASE_COMMITTED);
}

static void a_recovered_commit_owes_what_was_not_applied(void **unused)
{
    (void)unused;
    struct fixture f;
    transaction_init(&f.machine, f.branches, 2, IN_TWO_PHASES, false);
    struct transaction_event event = {
        .type = EVENT_BRANCH_RECOVERED, .branch = 0, .commit = true, .applied = true};
    assert_true(transaction_step(&f.machine, &event, &f.actions));
    event = (struct transaction_event){.type = EVENT_BRANCH_RECOVERED, .branch = 1, .commit = true};
    assert_true(transaction_step(&f.machine, &event, &f.actions));
    step(&f, EVENT_RECOVERED, 0, false);
    expect(&f, ACTION_ANSWER_DECIDED, 0, ACTION_ANSWER_UNAPPLIED, 0, ACTION_OWE_COMMIT, 1, -1);
    step(&f, EVENT_RESUMED, 0, false);
    expect(&f, -1);
    step(&f, EVENT_FINISHED, 1, true);
    expect(&f, ACTION_APPEND_ENDED, 0, ACTION_ANSWER_APPLIED, 0, ACTION_DISARM, 0, ACTION_RELEASE,
           0, -1);
}

static void an_acknowledgement_of_what_was_not_told_is_refused(void **unused)
{
    (void)unused;
    struct fixture f;
    begin(&f, 2, IN_TWO_PHASES, false);
    struct transaction_event event = {.type = EVENT_FINISHED, .branch = 0, .commit = true};
    assert_false(transaction_step(&f.machine, &event, &f.actions));
    vote(&f, 0, CHOSE_YES);
    assert_false(transaction_step(&f.machine, &event, &f.actions));
    event = (struct transaction_event){.type = EVENT_VOTED, .branch = 0, .choice = CHOSE_NO};
    assert_false(transaction_step(&f.machine, &event, &f.actions));
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_the_transaction_table_is_as_written_here),
        cmocka_unit_test(every_pair_of_the_branch_table_is_as_written_here),
        cmocka_unit_test(no_order_of_events_breaks_a_promise_of_two_branches),
        cmocka_unit_test(no_order_of_events_breaks_a_promise_with_a_key),
        cmocka_unit_test(no_order_of_events_breaks_a_promise_of_one_phase),
        cmocka_unit_test(the_record_is_appended_when_the_last_yes_came_and_nothing_is_told_yet),
        cmocka_unit_test(a_no_aborts_at_once_and_frees_the_others),
        cmocka_unit_test(a_lost_session_is_a_no_before_the_vote_and_nothing_after_it),
        cmocka_unit_test(the_deadline_never_aborts_once_the_record_is_appended),
        cmocka_unit_test(reading_alone_needs_no_record_unless_a_key_must_be_kept),
        cmocka_unit_test(a_read_only_branch_is_not_told_commit),
        cmocka_unit_test(what_was_built_step_by_step_may_have_nobody_or_never_be_submitted),
        cmocka_unit_test(one_phase_lost_is_looked_up_and_unknown_at_the_deadline),
        cmocka_unit_test(a_hazard_is_recorded_and_stays_while_the_others_go_on),
        cmocka_unit_test(a_recovered_commit_owes_what_was_not_applied),
        cmocka_unit_test(an_acknowledgement_of_what_was_not_told_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
