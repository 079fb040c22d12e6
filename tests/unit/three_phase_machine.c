/* The machine of a three-phase transaction together with the registers of its sites: every order of
 * questions, answers, flushes and crashes, with another site that finishes the transaction itself
 * at the same time. Nobody may ever be told what contradicts what another was told. */
#include "three_phase_machine_kit.h"

#include <stdlib.h>

#include "core/check.h"
#include "core/map.h"

enum { RIVAL = 1, ROUNDS_MAX = 4, KNOWN_MAX = 1 << 20 };

/* A coordinator (site 0), and two participants; the first may become a terminator. Compared as
 * bytes. */
struct world {
    struct transaction machine; /* its pointer is left out */
    struct branch branches[BRANCHES];
    struct register_state durable_own; /* as the coordinator's journal holds it */
    struct register_state registers[SITES];
    struct proposer rival;
    struct register_ask rivals_ask; /* taken by the coordinator, its answer not durable */
    uint8_t waiting;                /* enum register_reply to it, or 0 */
    uint8_t crashes;
    uint8_t decision; /* that somebody was told; enum register_value */
    bool proposal_durable, appended, ended, released;
    bool asked[SITES];     /* the coordinator's present question was sent there */
    bool committed[SITES]; /* its branch is, with its acceptance or as it was told */
    bool saying[SITES]; /* that it is, with its acceptance: on the way, for as long as it takes */
    bool told[SITES];   /* COMMIT was sent there and not acknowledged */
    bool known[SITES];  /* by the coordinator's machine of this run: it has committed */
    bool round_armed, unknown;
};

struct search {
    struct world *known;
    int *index; /* a hash table of places in known, + 1 */
    int count;
    int crashes_max;
    bool read_only; /* the second branch is */
    struct world seen;
    bool committed, aborted;
    bool said_in_a_round, said_when_told; /* a site's word that it has committed comes as late */
};

static void learnt(struct world *world, enum register_value value)
{
    assert_int_not_equal(value, REGISTER_EMPTY);
    if (world->decision == REGISTER_EMPTY)
        world->decision = (uint8_t)value;
    assert_int_equal(world->decision, value);
}

/* ---- what the coordinator does ---- */

static void see(struct world *world, const struct action *action)
{
    struct transaction *machine = &world->machine;
    assert_false(world->released);
    switch (action->type) {
    case ACTION_APPEND_PROPOSED:
        assert_false(world->appended);
        world->appended = true;
        break;
    case ACTION_APPEND_REGISTER:
        assert_true(world->appended);
        break;
    case ACTION_OWE_ASK:
        /* T5 */
        assert_true(world->proposal_durable && !machine->granting);
        assert_true(register_state_equal(&machine->own, &world->durable_own));
        world->asked[action->branch + 1] = true;
        break;
    case ACTION_REPLY_GRANTED:
        world->waiting = REGISTER_GRANTED;
        break;
    case ACTION_REPLY_OUTBID:
        world->waiting = REGISTER_OUTBID;
        break;
    case ACTION_APPEND_DECIDED:
        learnt(world, machine->proposer.value);
        world->round_armed = false;
        break;
    case ACTION_OWE_COMMIT:
        /* What it knows to be committed it does not tell. */
        assert_false(world->known[action->branch + 1]);
        world->told[action->branch + 1] = true;
        learnt(world, REGISTER_COMMIT);
        break;
    case ACTION_ANSWER_DECIDED:
        learnt(world, REGISTER_COMMIT);
        break;
    case ACTION_ANSWER_APPLIED:
        learnt(world, REGISTER_COMMIT);
        for (int i = 1; i < SITES; i++)
            assert_true(world->committed[i] ||
                        machine->branches[i - 1].state == BRANCH_READ_ONLY); /* T4 */
        break;
    case ACTION_SEND_ABORT:
    case ACTION_ANSWER_ABORTED:
        learnt(world, REGISTER_ABORT);
        break;
    case ACTION_ANSWER_UNKNOWN:
        assert_int_equal(machine->state, TRANSACTION_PROPOSED);
        world->unknown = true;
        break;
    case ACTION_ARM_ROUND:
        world->round_armed = true;
        break;
    case ACTION_APPEND_ENDED:
        world->ended = true;
        break;
    case ACTION_RELEASE:
        world->released = true;
        break;
    default:
        break;
    }
}

static bool step(struct world *world, const struct transaction_event *event)
{
    struct actions actions;
    struct proposer before = world->machine.proposer;
    if (!transaction_step(&world->machine, event, &actions))
        return false;
    if (before.phase != world->machine.proposer.phase ||
        ballot_compare(before.ballot, world->machine.proposer.ballot) != 0)
        memset(world->asked, 0, sizeof(world->asked));
    for (int i = 0; i < actions.count; i++)
        see(world, &actions.list[i]);
    return true;
}

static void must(struct world *world, enum transaction_event_type type, int branch)
{
    struct transaction_event event = {.type = type, .branch = branch};
    assert_true(step(world, &event));
}

static bool undecided(const struct world *world)
{
    enum transaction_state state = world->machine.state;
    return state == TRANSACTION_DECIDING || state == TRANSACTION_PROPOSED;
}

/* ---- what the world does: each is tried in every state; false: it can't happen in this one ----
 */

static void rival_heard(struct world *world, int site, const struct register_ask *ask,
                        enum register_reply reply, const struct register_state *state)
{
    enum proposer_turn turn = proposer_hear(&world->rival, site, ask, reply, state);
    assert_int_not_equal(turn, PROPOSER_CONTRADICTED);
    if (turn == PROPOSER_HAS_DECIDED)
        learnt(world, world->rival.value);
}

/* All that was appended is durable, and what waited for it is answered. */
static bool flush(struct world *world)
{
    if (!undecided(world) || (world->proposal_durable && !world->machine.granting &&
                              register_state_equal(&world->durable_own, &world->machine.own)))
        return false;
    world->proposal_durable = true;
    world->durable_own = world->machine.own;
    must(world, EVENT_RECORD_DURABLE, 0);
    if (world->waiting) {
        struct register_state state = world->machine.own;
        enum register_reply reply = world->waiting;
        world->waiting = 0;
        rival_heard(world, 0, &world->rivals_ask, reply, &state);
    }
    return true;
}

static bool answer(struct world *world, int site)
{
    if (!world->asked[site] || !undecided(world) || !transaction_wants(&world->machine, site - 1))
        return false;
    struct transaction_event event = {.type = EVENT_REPLIED, .site = site};
    event.ask = proposer_ask(&world->machine.proposer);
    event.reply = register_answer(&world->registers[site], &event.ask);
    event.state = world->registers[site];
    if (event.reply == REGISTER_DECIDED) {
        event.type = EVENT_TOLD;
        event.value = event.state.value;
    }
    assert_true(step(world, &event));
    return true;
}

/* The site takes the question at the coordinator's own ballot as the decision that it is, and
 * commits with it. Whether and when the answer arrives is another matter. */
static bool apply(struct world *world, int site)
{
    struct proposer *proposer = &world->machine.proposer;
    const struct register_state fresh = {.value = REGISTER_EMPTY};
    if (!world->asked[site] || !undecided(world) || proposer->ballot.round > 0 ||
        !transaction_wants(&world->machine, site - 1) ||
        world->machine.branches[site - 1].state != BRANCH_YES ||
        !register_state_equal(&world->registers[site], &fresh))
        return false;
    struct register_ask ask = proposer_ask(proposer);
    assert_int_equal(register_answer(&world->registers[site], &ask), REGISTER_GRANTED);
    world->committed[site] = world->saying[site] = true;
    learnt(world, REGISTER_COMMIT);
    return true;
}

static bool say_applied(struct world *world, int site)
{
    struct transaction_event event = {
        .type = EVENT_REPLIED, .site = site, .applied = true, .reply = REGISTER_GRANTED};
    if (!world->saying[site])
        return false;
    world->saying[site] = false;
    if (world->released)
        return true;
    event.ask = (struct register_ask){REGISTER_ACCEPT, {0, 0}, REGISTER_COMMIT};
    event.state = (struct register_state){.value = REGISTER_COMMIT};
    world->known[site] = true;
    assert_true(step(world, &event));
    assert_true(world->machine.committed);
    return true;
}

/* COMMIT has arrived: also where it has crossed the site's own word. */
static bool acknowledge(struct world *world, int site)
{
    struct transaction_event event = {.type = EVENT_FINISHED, .branch = site - 1, .commit = true};
    if (!world->told[site])
        return false;
    world->told[site] = false;
    world->committed[site] = true;
    if (world->released)
        return true;
    world->known[site] = true;
    assert_true(step(world, &event));
    return true;
}

static bool next_round(struct world *world)
{
    if (!world->round_armed || world->machine.proposer.seen >= ROUNDS_MAX)
        return false;
    world->round_armed = false;
    must(world, EVENT_ROUND_DUE, 0);
    return true;
}

static bool deadline(struct world *world)
{
    if (!undecided(world) || world->unknown || world->machine.late)
        return false;
    must(world, EVENT_DEADLINE_PASSED, 0);
    return true;
}

static bool rival_begins(struct world *world)
{
    struct register_state *own = &world->registers[RIVAL];
    if (world->rival.phase == PROPOSER_DECIDED || world->rival.seen >= ROUNDS_MAX ||
        own->promised.round >= ROUNDS_MAX || register_decided(own) ||
        (world->rival.phase != PROPOSER_IDLE && world->rival.phase != PROPOSER_OUTBID))
        return false;
    return proposer_begin(&world->rival, own);
}

/* A question of the rival's to itself, the other participant, or the coordinator. */
static bool rival_asks(struct world *world, int site)
{
    if (!(proposer_wants(&world->rival) >> site & 1))
        return false;
    struct register_ask ask = proposer_ask(&world->rival);
    if (site > 0) {
        enum register_reply reply = register_answer(&world->registers[site], &ask);
        rival_heard(world, site, &ask, reply, &world->registers[site]);
        return true;
    }
    if (!undecided(world)) { /* it tells what it knows, from memory or as recovery judges */
        enum transaction_phase phase = transaction_phase(&world->machine);
        bool committed = world->machine.committed || phase == PHASE_COMMITTED;
        struct register_state state = {.value = committed ? REGISTER_COMMIT : REGISTER_ABORT};
        rival_heard(world, 0, &ask, REGISTER_DECIDED, &state);
        return true;
    }
    struct transaction_event event = {.type = EVENT_ASKED, .site = RIVAL, .ask = ask};
    if (world->waiting || !step(world, &event))
        return false;
    world->rivals_ask = ask;
    if (!register_state_equal(&world->machine.own, &world->durable_own))
        return true;
    enum register_reply reply = world->waiting;
    world->waiting = 0;
    rival_heard(world, 0, &ask, reply, &world->machine.own);
    return true;
}

static bool rival_tells(struct world *world)
{
    if (world->rival.phase != PROPOSER_DECIDED || !undecided(world))
        return false;
    struct transaction_event event = {.type = EVENT_TOLD, .value = world->rival.value};
    assert_true(step(world, &event));
    return true;
}

/* Kill -9: the journal has what was durable; Decided, which is lazy, is lost. */
static bool crash(struct world *world, const struct search *search)
{
    if (world->crashes == search->crashes_max || world->released ||
        world->machine.proposer.seen >= ROUNDS_MAX ||
        world->durable_own.promised.round >= ROUNDS_MAX)
        return false;
    world->crashes++;
    world->waiting = 0;
    world->round_armed = world->appended = false;
    memset(world->asked, 0, sizeof(world->asked));
    memset(world->told, 0, sizeof(world->told));
    memset(world->known, 0, sizeof(world->known));
    transaction_init(&world->machine, world->branches, BRANCHES, IN_THREE_PHASES, true);
    if (!world->proposal_durable) { /* presumed aborted, for ever */
        learnt(world, REGISTER_ABORT);
        world->released = true;
        return true;
    }
    world->appended = true;
    for (int i = 0; i < BRANCHES; i++) {
        struct transaction_event event = {
            .type = EVENT_BRANCH_RECOVERED, .branch = i, .read_only = i == 1 && search->read_only};
        assert_true(step(world, &event));
    }
    struct transaction_event event = {.type = EVENT_RECOVERED_PROPOSED,
                                      .state = world->durable_own};
    assert_true(step(world, &event));
    must(world, EVENT_RESUMED, 0);
    return true;
}

/* ---- the search ---- */

static void remember(struct search *search, const struct world *world)
{
    uint64_t place = hash_bytes(world, sizeof(*world));
    for (;; place++) {
        int *at = &search->index[place % (2 * KNOWN_MAX)];
        if (*at == 0) {
            assert_true(search->count < KNOWN_MAX);
            memcpy(&search->known[search->count++], world, sizeof(*world));
            *at = search->count;
            return;
        }
        if (memcmp(&search->known[*at - 1], world, sizeof(*world)) == 0)
            return;
    }
}

enum {
    FLUSH,
    ANSWER_1,
    ANSWER_2,
    APPLY_1,
    APPLY_2,
    SAY_1,
    SAY_2,
    ACKNOWLEDGE_1,
    ACKNOWLEDGE_2,
    ROUND,
    DEADLINE,
    BEGIN,
    ASK_0,
    ASK_1,
    ASK_2,
    TELL,
    CRASH,
    WAYS
};

static bool go(struct world *world, const struct search *search, int way)
{
    switch (way) {
    case FLUSH:
        return flush(world);
    case ANSWER_1:
    case ANSWER_2:
        return answer(world, way - ANSWER_1 + 1);
    case APPLY_1:
    case APPLY_2:
        return apply(world, way - APPLY_1 + 1);
    case SAY_1:
    case SAY_2:
        return say_applied(world, way - SAY_1 + 1);
    case ACKNOWLEDGE_1:
    case ACKNOWLEDGE_2:
        return acknowledge(world, way - ACKNOWLEDGE_1 + 1);
    case ROUND:
        return next_round(world);
    case DEADLINE:
        return deadline(world);
    case BEGIN:
        return rival_begins(world);
    case ASK_0:
    case ASK_1:
    case ASK_2:
        return rival_asks(world, way - ASK_0);
    case TELL:
        return rival_tells(world);
    default:
        return crash(world, search);
    }
}

static void begin(struct world *world, bool read_only)
{
    memset(world, 0, sizeof(*world));
    proposer_init(&world->rival, SITES, RIVAL);
    transaction_init(&world->machine, world->branches, BRANCHES, IN_THREE_PHASES, true);
    must(world, EVENT_SUBMITTED, 0);
    for (int i = 0; i < BRANCHES; i++) {
        struct transaction_event event = {.type = EVENT_VOTED, .branch = i, .choice = CHOSE_YES};
        if (i == 1 && read_only)
            event.choice = CHOSE_READ_ONLY;
        assert_true(step(world, &event));
    }
    assert_true(world->appended);
}

static int explore(struct search *search)
{
    struct world world;
    search->known = xcalloc(KNOWN_MAX, sizeof(*search->known));
    search->index = xcalloc(2 * (size_t)KNOWN_MAX, sizeof(*search->index));
    begin(&world, search->read_only);
    world.machine.branches = NULL;
    remember(search, &world);
    for (int next = 0; next < search->count; next++) {
        for (int way = 0; way < WAYS; way++) {
            memcpy(&world, &search->known[next], sizeof(world));
            world.machine.branches = world.branches;
            if (!go(&world, search, way))
                continue;
            world.machine.branches = NULL;
            remember(search, &world);
        }
        const struct world *known = &search->known[next];
        search->committed |= known->decision == REGISTER_COMMIT;
        search->aborted |= known->decision == REGISTER_ABORT;
        search->said_in_a_round |= known->saying[1] &&
                                   known->machine.state == TRANSACTION_PROPOSED &&
                                   known->machine.proposer.ballot.round > 0;
        search->said_when_told |= known->saying[1] && known->told[1];
    }
    free(search->known);
    free(search->index);
    return search->count;
}

static void no_order_of_events_lets_two_sites_decide_differently(void **unused)
{
    (void)unused;
    for (int read_only = 0; read_only < 2; read_only++) {
        struct search search = {.read_only = read_only};
        int count = explore(&search);
        assert_in_range(count, 10000, KNOWN_MAX);
        assert_true(search.committed && search.aborted);
        assert_true(search.said_in_a_round && search.said_when_told);
    }
}

static void no_crash_of_the_coordinator_does(void **unused)
{
    (void)unused;
    struct search search = {.crashes_max = 1};
    int count = explore(&search);
    assert_in_range(count, 10000, KNOWN_MAX);
    assert_true(search.committed && search.aborted);
}

/* ---- single ways ---- */

static void commit_is_told_when_a_majority_has_accepted_it(void **unused)
{
    (void)unused;
    struct fixture f;
    propose(&f);
    expect(&f, ACTION_APPEND_PROPOSED, 0, -1);
    assert_int_equal(transaction_phase(&f.machine), PHASE_DECIDING);
    feed_type(&f, EVENT_RECORD_DURABLE);
    expect(&f, ACTION_ARM_DEADLINE, 0, ACTION_OWE_ASK, 0, ACTION_OWE_ASK, 1, -1);
    assert_int_equal(f.machine.state, TRANSACTION_PROPOSED);
    assert_int_equal(transaction_phase(&f.machine), PHASE_DECIDING);
    assert_false(transaction_undecided(&f.machine));
    struct transaction_event event = grant(&f, 2);
    feed(&f, &event);
    expect(&f, ACTION_APPEND_DECIDED, 0, ACTION_ANSWER_DECIDED, 0, ACTION_OWE_COMMIT, 0,
           ACTION_OWE_COMMIT, 1, -1);
    assert_false(transaction_step(&f.machine, &event, &f.actions)); /* late: not wanted any more */
    assert_true(f.machine.committed);
}

static void the_deadline_decides_nothing_after_the_proposal(void **unused)
{
    (void)unused;
    struct fixture f;
    propose(&f);
    feed_type(&f, EVENT_RECORD_DURABLE);
    feed_type(&f, EVENT_DEADLINE_PASSED);
    expect(&f, ACTION_ANSWER_UNKNOWN, 0, -1);
    assert_int_equal(f.machine.state, TRANSACTION_PROPOSED);
    feed_type(&f, EVENT_JOINED);
    expect(&f, ACTION_ARM_DEADLINE, 0, -1);
}

static void outbid_it_waits_and_then_asks_itself_first(void **unused)
{
    (void)unused;
    struct fixture f;
    propose(&f);
    feed_type(&f, EVENT_RECORD_DURABLE);
    struct transaction_event event = grant(&f, 1);
    event.reply = REGISTER_OUTBID;
    event.state = (struct register_state){.promised = {6, 2}};
    feed(&f, &event);
    expect(&f, ACTION_ARM_ROUND, 0, -1);
    assert_false(transaction_wants(&f.machine, 0));
    feed_type(&f, EVENT_ROUND_DUE);
    expect(&f, ACTION_APPEND_REGISTER, 0, -1);
    assert_int_equal(f.machine.own.promised.round, 7);
    event = grant(&f, 1);
    assert_false(transaction_step(&f.machine, &event, &f.actions)); /* nobody was asked */
    feed_type(&f, EVENT_RECORD_DURABLE);
    expect(&f, ACTION_OWE_ASK, 0, ACTION_OWE_ASK, 1, -1);
    event.state = (struct register_state){{7, 0}, {6, 2}, REGISTER_ABORT};
    feed(&f, &event);
    expect(&f, ACTION_APPEND_REGISTER, 0, -1);
    assert_int_equal(f.machine.own.value, REGISTER_ABORT);
    feed_type(&f, EVENT_RECORD_DURABLE);
    event = grant(&f, 1);
    assert_int_equal(event.ask.value, REGISTER_ABORT);
    feed(&f, &event);
    expect(&f, ACTION_APPEND_DECIDED, 0, ACTION_ANSWER_ABORTED, 0, ACTION_SEND_ABORT, 0,
           ACTION_SEND_ABORT, 1, ACTION_ARM_PATIENCE, 0, -1);
    assert_int_equal(transaction_phase(&f.machine), PHASE_ABORTED);
}

static void its_own_register_can_outbid_it(void **unused)
{
    (void)unused;
    struct fixture f;
    propose(&f);
    feed_type(&f, EVENT_RECORD_DURABLE);
    struct transaction_event event = grant(&f, 1);
    event.reply = REGISTER_OUTBID;
    event.state = (struct register_state){.promised = {1, 2}};
    feed(&f, &event);
    feed_type(&f, EVENT_ROUND_DUE);
    feed_type(&f, EVENT_RECORD_DURABLE);
    /* While it gathers promises it promises another. */
    struct transaction_event asked = {
        .type = EVENT_ASKED, .site = 2, .ask = {REGISTER_PROMISE, {9, 2}, REGISTER_EMPTY}};
    feed(&f, &asked);
    expect(&f, ACTION_APPEND_REGISTER, 0, ACTION_REPLY_GRANTED, 2, -1);
    event = grant(&f, 1);
    feed(&f, &event);
    expect(&f, ACTION_ARM_ROUND, 0, -1);
    assert_int_equal(f.machine.own.promised.round, 9);
}

static void a_question_is_taken_only_while_it_is_proposed(void **unused)
{
    (void)unused;
    struct fixture f;
    struct transaction_event asked = {
        .type = EVENT_ASKED, .site = 2, .ask = {REGISTER_PROMISE, {1, 2}, REGISTER_EMPTY}};
    propose(&f);
    assert_false(transaction_step(&f.machine, &asked, &f.actions));
    feed_type(&f, EVENT_RECORD_DURABLE);
    asked.site = 1; /* another's ballot */
    assert_false(transaction_step(&f.machine, &asked, &f.actions));
    asked.site = 2;
    feed(&f, &asked);
    expect(&f, ACTION_APPEND_REGISTER, 0, ACTION_REPLY_GRANTED, 2, -1);
    feed(&f, &asked);
    expect(&f, ACTION_REPLY_GRANTED, 2, -1);
    feed_type(&f, EVENT_RECORD_DURABLE);
    expect(&f, -1);
    struct transaction_event told = {.type = EVENT_TOLD, .value = REGISTER_COMMIT};
    feed(&f, &told);
    assert_false(transaction_step(&f.machine, &asked, &f.actions));
    feed(&f, &told);
    expect(&f, -1);
    told.value = REGISTER_ABORT;
    assert_false(transaction_step(&f.machine, &told, &f.actions));
}

static void two_phases_ask_nobody(void **unused)
{
    (void)unused;
    struct fixture f;
    transaction_init(&f.machine, f.branches, BRANCHES, IN_TWO_PHASES, false);
    feed_type(&f, EVENT_SUBMITTED);
    for (int i = 0; i < BRANCHES; i++) {
        struct transaction_event event = {.type = EVENT_VOTED, .branch = i, .choice = CHOSE_YES};
        feed(&f, &event);
    }
    expect(&f, ACTION_APPEND_COMMITTED, 0, -1);
    struct transaction_event told = {.type = EVENT_TOLD, .value = REGISTER_COMMIT};
    assert_false(transaction_step(&f.machine, &told, &f.actions));
    feed_type(&f, EVENT_RECORD_DURABLE);
    expect(&f, ACTION_ANSWER_DECIDED, 0, ACTION_OWE_COMMIT, 0, ACTION_OWE_COMMIT, 1, -1);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_order_of_events_lets_two_sites_decide_differently),
        cmocka_unit_test(no_crash_of_the_coordinator_does),
        cmocka_unit_test(commit_is_told_when_a_majority_has_accepted_it),
        cmocka_unit_test(the_deadline_decides_nothing_after_the_proposal),
        cmocka_unit_test(outbid_it_waits_and_then_asks_itself_first),
        cmocka_unit_test(its_own_register_can_outbid_it),
        cmocka_unit_test(a_question_is_taken_only_while_it_is_proposed),
        cmocka_unit_test(two_phases_ask_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
