/* A participant finishes three-phase transactions without their coordinator: when, with whom, and
 * what it never does. The registers of its neighbours answer as theirs would. */
#include "tests/unit/neighbour_ports.h"

static void all_answer(bool answer)
{
    orders->answers = inventory->answers = answer;
}

/* Prepared, voted yes; nothing was asked of its register yet, and the database answers. */
static void be_in_doubt(void)
{
    prepare_three_phase(1);
    table.serves = true;
}

static void accept_the_proposal(void)
{
    ASK(participant, PROPOSAL(1));
    pass(200000);
    assert_true(register_state_equal(&table.state, &proposed));
    assert_int_equal(table.stores, 2); /* and once more, to be sure that it is durable */
}

static void lose_coordinator(void)
{
    coordinator_away = true;
    for (int i = 0; i < 100 && participant; i++)
        pass(50000);
    assert_null(participant);
    pass(1000000); /* this side notices, too */
}

/* The branch is finished so within the time; nothing else was asked of the database. */
static void expect_finish(bool commit, uint64_t within_us)
{
    for (uint64_t end = now_us + within_us; now_us < end && database.count == 0;)
        pass(50000);
    assert_int_equal(database.count, 1);
    int request = take(FINISH);
    assert_string_equal(database.requests[request].text, "troth.shop.c1.5.1.1");
    assert_int_equal(database.requests[request].commit, commit);
    events->finished(events->self, database.requests[request].tag, DB_FINISHED, "");
    settle();
}

/* More than a minute has passed: a scan is under way, and finds the branch prepared. */
static void answer_scan(void)
{
    struct db_prepared prepared = {.gid = "troth.shop.c1.5.1.1", .xid = 7};
    events->scanned(events->self, take_tag(SCAN), true, &prepared, 1, 64);
    settle();
}

static void expect_nothing(uint64_t for_us)
{
    pass(for_us);
    assert_int_equal(database.count, 0);
}

static void tell_decided(const struct neighbour *from, Wire__Value value)
{
    Wire__Decided decided = WIRE__DECIDED__INIT;
    decided.coordinator = (char *)"c1";
    decided.epoch = 5;
    decided.seq = 1;
    decided.value = value;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_DECIDED;
    message.decided = &decided;
    assert_true(peer_send(from->door, &message, true));
    settle();
}

static void judge(Wire__Verdict verdict)
{
    Wire__Branch branch = three_phase_branch(1);
    Wire__Judged judged = WIRE__JUDGED__INIT, *list[] = {&judged};
    judged.branch = &branch;
    judged.verdict = verdict;
    judged.xid = 7;
    Wire__Verdicts verdicts = WIRE__VERDICTS__INIT;
    verdicts.n_judged = 1;
    verdicts.judged = list;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_VERDICTS;
    message.verdicts = &verdicts;
    send(&message);
}

static const Wire__Status *last_status(int *count)
{
    const Wire__Status *status = NULL;
    *count = 0;
    for (int i = 0; i < inbox_count; i++) {
        if (inbox[i]->body_case != WIRE__MESSAGE__BODY_STATUS)
            continue;
        status = inbox[i]->status;
        ++*count;
    }
    assert_non_null(status);
    return status;
}

static const Wire__Decided *told(const struct neighbour *neighbour)
{
    const Wire__Decided *decided = NULL;
    for (int i = 0; i < neighbour->asked.count; i++) {
        if (neighbour->asked.messages[i]->body_case == WIRE__MESSAGE__BODY_DECIDED)
            decided = neighbour->asked.messages[i]->decided;
    }
    return decided;
}

/* ---- with a majority ----------------------------------------------------------------------- */

static void nothing_accepted_by_a_majority_is_abort(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    lose_coordinator();
    expect_finish(false, 4000000);
    assert_int_equal(table.state.value, REGISTER_ABORT);
    assert_int_equal(table.state.accepted.round, 1);
    assert_int_equal(table.state.accepted.site, 2);
    assert_non_null(told(orders));
    assert_int_equal(told(orders)->value, WIRE__VALUE__ABORT);
    assert_int_equal(told(inventory)->value, WIRE__VALUE__ABORT);
    expect_nothing(5000000);
}

static void what_somebody_accepted_is_the_decision(void **state)
{
    (void)state;
    be_in_doubt();
    orders->own = proposed;
    all_answer(true);
    lose_coordinator();
    expect_finish(true, 4000000);
    assert_int_equal(table.state.value, REGISTER_COMMIT);
    assert_int_equal(orders->own.accepted.round, 0); /* it was decided already */
    assert_int_equal(told(inventory)->value, WIRE__VALUE__COMMIT);
}

static void what_this_site_accepted_is_the_decision(void **state)
{
    (void)state;
    be_in_doubt();
    accept_the_proposal();
    all_answer(true);
    lose_coordinator();
    expect_finish(true, 4000000);
}

static void its_own_register_is_asked_first(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    table.serves = false;
    lose_coordinator();
    for (int i = 0; i < 100 && database.count == 0; i++)
        pass(50000);
    pass(3000000);
    assert_int_equal(orders->asked.count + inventory->asked.count, 0);
    int request = take(STORE);
    assert_int_equal(database.requests[request].row.state.promised.round, 1);
    assert_true(database.requests[request].insert);
    table.state.promised = (struct ballot){1, 2};
    table.serves = table.exists = true;
    stored(request, DB_STORED);
    expect_finish(false, 4000000);
}

static void two_of_four_are_no_majority_and_three_are(void **state)
{
    (void)state;
    be_in_doubt();
    orders->answers = true;
    inventory->away = true;
    lose_coordinator();
    expect_nothing(40000000);
    assert_null(told(orders));
    assert_int_equal(table.state.value, REGISTER_EMPTY);
    assert_int_equal(table.stores, 1);
    inventory->away = false;
    inventory->answers = true;
    expect_finish(false, 6000000);
}

static void a_minority_says_so(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(false);
    orders->away = inventory->away = true;
    clear_inbox();
    judge(WIRE__VERDICT__VERDICT_HOLD);
    pass(5000000);
    int count;
    const Wire__Status *status = last_status(&count);
    assert_in_range(count, 1, 10); /* not more than two a second */
    assert_int_equal(status->terminating, 1);
    assert_int_equal(status->minority, 1);
    clear_inbox();
    orders->away = inventory->away = false;
    all_answer(true);
    expect_finish(false, 6000000);
    pass(1000000);
    status = last_status(&count);
    assert_int_equal(status->terminating + status->minority, 0);
}

/* Two of four that ask by turns: each round is outbid by the next, and none finds a majority. */
static void a_minority_that_is_outbid_says_so_once(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(false);
    orders->answers = true;
    inventory->away = true;
    judge(WIRE__VERDICT__VERDICT_HOLD);
    pass(5000000);
    int count;
    assert_int_equal(last_status(&count)->minority, 1);
    clear_inbox();
    for (int i = 0; i < 5; i++) {
        uint32_t round = (uint32_t)table.state.promised.round;
        ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {round + 1, 1});
        pass(18000000);
        assert_true(table.state.promised.round > round + 1); /* it has begun again */
    }
    for (int i = 0; i < inbox_count; i++) {
        if (inbox[i]->body_case == WIRE__MESSAGE__BODY_STATUS)
            assert_int_equal(inbox[i]->status->minority, 1);
    }
    answer_scan();
    all_answer(true);
    inventory->away = false;
    expect_finish(false, 6000000);
}

static void is_outbid_and_rests_longer_each_time(void)
{
    uint64_t longest_us = 0;
    for (int i = 0; i < 8; i++) {
        uint32_t round = (uint32_t)table.state.promised.round;
        uint64_t begun_us = now_us;
        ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {round + 1, 1});
        while (table.state.promised.round == round + 1)
            pass(50000);
        uint64_t rested_us = now_us - begun_us;
        assert_in_range(rested_us, i < 3 ? 1000000 << i : 8000000, i < 3 ? 2100000 << i : 16100000);
        longest_us = rested_us > longest_us ? rested_us : longest_us;
    }
    assert_true(longest_us > 8000000);
}

/* Each round is a flush, for nothing while there is no majority: they become rare, and the first
 * after somebody has come back comes at once. */
static void a_minority_that_is_outbid_rests_longer_until_somebody_comes(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(false);
    orders->answers = true;
    inventory->away = true;
    judge(WIRE__VERDICT__VERDICT_HOLD);
    pass(5000000);
    is_outbid_and_rests_longer_each_time();
    uint32_t round = (uint32_t)table.state.promised.round;
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {round + 1, 1});
    pass(2000000);
    assert_int_equal(table.state.promised.round, round + 1);
    answer_scan();
    all_answer(true);
    inventory->away = false;
    expect_finish(false, 3000000);
}

static void who_can_not_tell_is_nobody_who_came(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    inventory->instead = WIRE__ANSWERED__CANNOT_TELL;
    judge(WIRE__VERDICT__VERDICT_HOLD);
    pass(5000000);
    is_outbid_and_rests_longer_each_time();
}

static void an_address_that_is_not_listened_on_is_told_to_nobody(void **state)
{
    (void)state;
    int count;
    clear_inbox();
    agent_door_listens(agent, false);
    settle();
    assert_string_equal(last_status(&count)->listen, "");
    clear_inbox();
    agent_door_listens(agent, true);
    settle();
    assert_string_equal(last_status(&count)->listen, "tcp://127.0.0.1:7412");
    assert_int_equal(count, 1);
}

static void who_is_outbid_rests_and_tries_again_higher(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    orders->own.promised = inventory->own.promised = (struct ballot){7, 3};
    lose_coordinator();
    expect_finish(false, 6000000);
    assert_int_equal(table.state.accepted.round, 8);
    assert_int_equal(table.state.accepted.site, 2);
}

static void who_is_asked_by_another_terminator_leaves_it_the_first_move(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    for (int i = 0; i < 8; i++) {
        /* Just before it would begin by itself, somebody else does. */
        ASK(inventory->door, .seq = 1, .question = WIRE__QUESTION__PROMISE,
            .ballot = {(uint32_t)i + 1, 3});
        assert_int_equal(table.state.promised.round, i + 1);
        pass(900000);
        assert_int_equal(orders->asked.count, 0);
    }
    ASK(inventory->door, .seq = 1, .question = WIRE__QUESTION__ACCEPT, .ballot = {8, 3},
        .value = WIRE__VALUE__COMMIT);
    int stores = table.stores;
    tell_decided(inventory, WIRE__VALUE__COMMIT);
    expect_finish(true, 1000000);
    assert_int_equal(table.stores, stores); /* it had accepted that value */
}

static void what_is_heard_as_decided_is_kept_in_the_row(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    tell_decided(orders, WIRE__VALUE__COMMIT);
    expect_finish(true, 1000000);
    assert_true(register_decided(&table.state));
    assert_int_equal(table.state.value, REGISTER_COMMIT);
    forget(&inventory->answered);
    ASK(inventory->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 3});
    assert_int_equal(inventory->answered.messages[0]->reply->answered, WIRE__ANSWERED__KNOWN);
}

static void one_who_knows_is_enough(void **state)
{
    (void)state;
    be_in_doubt();
    register_learn(&inventory->own, REGISTER_COMMIT);
    inventory->answers = true;
    orders->away = true;
    lose_coordinator();
    expect_finish(true, 4000000);
}

/* ---- after a restart ----------------------------------------------------------------------- */

static void restart(void)
{
    agent_free(agent);
    for (int i = 0; i < NEIGHBOURS; i++)
        neighbours[i].dialed = 0;
    memset(&database, 0, sizeof(database));
    start_agent();
    events->up(events->self, "1/1");
    settle();
}

static void scan_finds_the_branch(void)
{
    struct db_prepared prepared = {.gid = "troth.shop.c1.5.1.1",
                                   .registered = true,
                                   .sites = table.exists     ? NULL
                                            : table.sites[0] ? table.sites
                                                             : all_sites,
                                   .xid = 7,
                                   .prepared_at_us = 99};
    events->scanned(events->self, take_tag(SCAN), true, &prepared, 1, 64);
    settle();
}

/* As all do when the coordinator died and they were killed, after their votes. */
static void a_restarted_agent_without_a_row_knows_whom_to_ask(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    restart();
    assert_false(table.exists);
    all_answer(true);
    scan_finds_the_branch();
    expect_finish(false, 5000000);
    assert_true(table.exists);
    assert_string_equal(table.sites, all_sites);
}

/* A scan that began before the list was committed finds the branch without it. */
static void a_list_that_a_later_scan_finds_is_not_too_late(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    restart();
    all_answer(true);
    struct db_prepared prepared = {
        .gid = "troth.shop.c1.5.1.1", .registered = true, .xid = 7, .prepared_at_us = 99};
    events->scanned(events->self, take_tag(SCAN), true, &prepared, 1, 64);
    last_error[0] = '\0';
    expect_nothing(5000000);
    assert_string_not_equal(last_error, "");
    for (int i = 0; i < 1300 && database.count == 0; i++)
        pass(50000);
    scan_finds_the_branch();
    expect_finish(false, 5000000);
    assert_string_equal(table.sites, all_sites);
}

static void a_restarted_agent_goes_on_with_a_higher_ballot(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    pass(3000000);
    assert_int_equal(table.state.promised.round, 1); /* asked, and nobody answered */
    restart();
    all_answer(true);
    scan_finds_the_branch();
    expect_finish(false, 5000000);
    assert_int_equal(table.state.accepted.round, 2);
}

/* Its branch is found first, and this one's own is finished by this one all the same. */
static void another_participants_branch_in_the_same_database_is_its_own(void **state)
{
    (void)state;
    be_in_doubt();
    accept_the_proposal();
    lose_coordinator();
    restart();
    struct db_prepared found[] = {{.gid = "troth.shop.c1.5.1.0",
                                   .registered = true,
                                   .sites = all_sites,
                                   .xid = 6,
                                   .prepared_at_us = 99},
                                  {.gid = "troth.shop.c1.5.1.1",
                                   .registered = true,
                                   .sites = all_sites,
                                   .xid = 7,
                                   .prepared_at_us = 99}};
    events->scanned(events->self, take_tag(SCAN), true, found, 2, 64);
    settle();
    all_answer(true);
    expect_finish(true, 8000000);
}

static void a_row_that_knows_the_decision_ends_the_branch(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    table.exists = true;
    register_learn(&table.state, REGISTER_COMMIT);
    restart();
    scan_finds_the_branch();
    expect_finish(true, 3000000);
    assert_int_equal(orders->asked.count, 0);
}

static void a_row_that_makes_no_sense_leaves_the_branch_to_the_coordinator(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "orders", "payments=tcp://127.0.0.1:1",
                                        "orders=a,payments=b,", "orders=a,orders=b"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong) + 1; i++) {
        bool state_is_wrong = i == sizeof(wrong) / sizeof(*wrong);
        table.serves = table.exists = true;
        table.state = fresh;
        if (state_is_wrong)
            table.state = (struct register_state){.accepted = {3, 1}, .value = 9};
        snprintf(table.sites, sizeof(table.sites), "%s", state_is_wrong ? all_sites : wrong[i]);
        coordinator_away = true;
        restart();
        last_error[0] = '\0';
        scan_finds_the_branch();
        expect_nothing(5000000);
        assert_string_not_equal(last_error, "");
        assert_int_equal(orders->asked.count, 0);
        coordinator_away = false;
        for (int j = 0; j < 200 && !participant; j++)
            pass(50000);
        judge(WIRE__VERDICT__VERDICT_COMMIT);
        expect_finish(true, 1000000);
    }
}

/* ---- the coordinator ----------------------------------------------------------------------- */

static void come_back(void)
{
    coordinator_away = false;
    clear_inbox();
    reconnect();
    settle();
}

static void a_coordinator_that_comes_back_decides(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(false);
    lose_coordinator();
    expect_nothing(3000000);
    come_back();
    assert_int_equal(got(WIRE__MESSAGE__BODY_INQUIRE)->inquire->branches[0]->seq, 1);
    judge(WIRE__VERDICT__VERDICT_COMMIT);
    expect_finish(true, 100000);
    clear_inbox();
    pass(1000000);
    /* Its session is not the first one: what else is prepared is looked for. */
    events->scanned(events->self, take_tag(SCAN), true, NULL, 0, 64);
    expect_nothing(3000000);
}

static void a_coordinator_that_comes_back_is_one_of_the_sites(void **state)
{
    (void)state;
    be_in_doubt();
    orders->answers = true;
    inventory->away = true;
    lose_coordinator();
    expect_nothing(3000000);
    come_back();
    pass(1000000);
    answer_scan();
    const Wire__Ask *ask = NULL;
    for (int i = 0; i < inbox_count; i++) {
        if (inbox[i]->body_case == WIRE__MESSAGE__BODY_ASK)
            ask = inbox[i]->ask;
    }
    assert_non_null(ask);
    assert_int_equal(ask->site, 0);
    assert_int_equal(ask->question, WIRE__QUESTION__PROMISE);
    send_reply(participant, ask, WIRE__ANSWERED__ASK_LATER, fresh);
    expect_nothing(500000);
    send_reply(participant, ask, WIRE__ANSWERED__KNOWN, proposed);
    expect_finish(true, 1000000);
    assert_int_equal(told(orders)->value, WIRE__VALUE__COMMIT);
}

static void a_coordinator_that_says_wait_is_waited_for(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    pass(1000000); /* the deadline, and then the patience */
    for (int i = 0; i < 30 && nothing_came(WIRE__MESSAGE__BODY_INQUIRE); i++)
        pass(100000);
    for (int i = 0; i < 8; i++) {
        judge(WIRE__VERDICT__VERDICT_WAIT);
        expect_nothing(1000000);
        assert_int_equal(orders->asked.count, 0);
    }
    /* It has no majority, it seems. This site has. */
    expect_finish(false, 10000000);
}

static void a_coordinator_that_can_not_tell_is_done_without(void **state)
{
    (void)state;
    be_in_doubt();
    orders->own = proposed;
    all_answer(true);
    judge(WIRE__VERDICT__VERDICT_HOLD);
    expect_finish(true, 3000000);
}

static void a_live_coordinator_is_asked_before_anybody_else(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    pass(1000000);
    for (int i = 0; i < 30 && nothing_came(WIRE__MESSAGE__BODY_INQUIRE); i++)
        pass(100000);
    assert_int_equal(got(WIRE__MESSAGE__BODY_INQUIRE)->inquire->branches[0]->seq, 1);
    assert_int_equal(orders->asked.count, 0);
    /* It is connected, and says nothing. */
    expect_finish(false, 4000000);
}

static void a_decision_against_what_is_carried_out_changes_nothing(void **state)
{
    (void)state;
    be_in_doubt();
    finish_three_phase(1, true);
    void *tag = take_tag(FINISH);
    tell_decided(orders, WIRE__VALUE__ABORT);
    assert_int_equal(strncmp(last_error, "hazard: ", 8), 0);
    assert_int_equal(table.stores, 0);
    last_error[0] = '\0';
    tell_decided(orders, WIRE__VALUE__COMMIT);
    assert_string_equal(last_error, "");
    events->finished(events->self, tag, DB_FINISHED, "");
    settle();
    assert_true(got(WIRE__MESSAGE__BODY_FINISHED)->finished->commit);
}

/* ---- what is in the way -------------------------------------------------------------------- */

static void a_database_that_is_away_holds_the_round_up(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    table.fails = true;
    lose_coordinator();
    expect_nothing(20000000);
    assert_int_equal(orders->asked.count, 0);
    table.fails = false;
    expect_finish(false, 8000000);
}

static void somebody_else_at_an_address_is_not_asked(void **state)
{
    (void)state;
    be_in_doubt();
    snprintf(table.sites, sizeof(table.sites),
             "ledger=tcp://127.0.0.1:7411,payments=tcp://127.0.0.1:7412,"
             "inventory=tcp://127.0.0.1:7413");
    lose_coordinator();
    restart();
    scan_finds_the_branch();
    all_answer(true);
    expect_nothing(5000000);
    assert_int_equal(orders->asked.count, 0);
    assert_true(inventory->asked.count > 0);
    assert_non_null(strstr(last_error, "ledger"));
}

/* Else each of its lines would push the other out, and be told that a newer process has taken over
 * its name: then this one would end, with its locks. */
static void two_addresses_of_one_participant_are_one(void **state)
{
    (void)state;
    be_in_doubt();
    be_one(orders, inventory);
    all_answer(true);
    lose_coordinator();
    pass(10000000);
    assert_true(orders->dialed && inventory->dialed);
    assert_false(agent_replaced(agent));
    assert_non_null(orders->line);
    assert_non_null(strstr(last_error, "orders"));
}

static void a_coordinator_at_a_participants_address_hears_nothing(void **state)
{
    (void)state;
    be_in_doubt();
    transport_free(inventory->home);
    neighbour_home(inventory, "c2", WIRE__ROLE__ROLE_NONE);
    all_answer(true);
    lose_coordinator();
    pass(10000000);
    assert_true(inventory->dialed);
    assert_null(inventory->line);
    assert_non_null(strstr(last_error, "coordinator c2 is there"));
}

static void a_line_that_nobody_needs_is_hung_up(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    lose_coordinator();
    expect_finish(false, 4000000);
    assert_true(orders->dialed && inventory->dialed);
    pass(29000000);
    assert_true(orders->dialed && inventory->dialed);
    pass(2000000);
    assert_false(orders->dialed || inventory->dialed);
    assert_null(orders->line);
}

static void hostile_replies_change_nothing(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    for (int i = 0; i < 100 && orders->asked.count == 0; i++)
        pass(50000);
    const Wire__Ask *ask = orders->asked.messages[0]->ask;
    static const struct {
        uint32_t site;
        Wire__Answered answered;
        struct register_state state;
    } wrong[] = {
        {99, WIRE__ANSWERED__GRANTED, {.promised = {1, 2}}},
        {2, WIRE__ANSWERED__GRANTED, {.promised = {1, 2}}},
        {3, WIRE__ANSWERED__GRANTED, {.promised = {1, 2}}},
        {0, WIRE__ANSWERED__KNOWN, {.value = REGISTER_COMMIT}},
        {1, WIRE__ANSWERED__KNOWN, {.value = REGISTER_EMPTY}},
        {1, WIRE__ANSWERED__KNOWN, {.value = 77}},
        {1, WIRE__ANSWERED__OUTBID, {.promised = {UINT32_MAX, 3}}},
        {1, WIRE__ANSWERED__OUTBID, {.promised = {UINT32_MAX - 1, UINT32_MAX}}},
        {1, WIRE__ANSWERED__GRANTED, {.promised = {1, 2}, .accepted = {9, 9}, .value = 1}},
        {1, (Wire__Answered)42, {.promised = {1, 2}}},
        {1, WIRE__ANSWERED__ANSWERED_NONE, {.promised = {1, 2}}},
    };
    Wire__Ask copy = *ask;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        copy.site = wrong[i].site;
        send_reply(orders->line, &copy, wrong[i].answered, wrong[i].state);
        settle();
        assert_int_equal(database.count, 0);
    }
    copy.coordinator = (char *)"nobody";
    send_reply(orders->line, &copy, WIRE__ANSWERED__KNOWN, proposed);
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Reply empty_reply = WIRE__REPLY__INIT;
    message.body_case = WIRE__MESSAGE__BODY_REPLY;
    message.reply = &empty_reply;
    assert_true(peer_send(orders->line, &message, true));
    empty_reply.coordinator = (char *)"c1";
    empty_reply.epoch = 5;
    empty_reply.seq = empty_reply.site = 1;
    empty_reply.answered = WIRE__ANSWERED__GRANTED;
    assert_true(peer_send(orders->line, &message, true));
    expect_nothing(500000);
    all_answer(true);
    expect_finish(false, 4000000);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define TEST(test) cmocka_unit_test_setup_teardown(test, start_three_phase, stop_three_phase)
    const struct CMUnitTest tests[] = {
        TEST(nothing_accepted_by_a_majority_is_abort),
        TEST(what_somebody_accepted_is_the_decision),
        TEST(what_this_site_accepted_is_the_decision),
        TEST(its_own_register_is_asked_first),
        TEST(two_of_four_are_no_majority_and_three_are),
        TEST(a_minority_says_so),
        TEST(a_minority_that_is_outbid_says_so_once),
        TEST(a_minority_that_is_outbid_rests_longer_until_somebody_comes),
        TEST(who_can_not_tell_is_nobody_who_came),
        TEST(an_address_that_is_not_listened_on_is_told_to_nobody),
        TEST(who_is_outbid_rests_and_tries_again_higher),
        TEST(who_is_asked_by_another_terminator_leaves_it_the_first_move),
        TEST(what_is_heard_as_decided_is_kept_in_the_row),
        TEST(one_who_knows_is_enough),
        TEST(a_restarted_agent_without_a_row_knows_whom_to_ask),
        TEST(a_list_that_a_later_scan_finds_is_not_too_late),
        TEST(a_restarted_agent_goes_on_with_a_higher_ballot),
        TEST(another_participants_branch_in_the_same_database_is_its_own),
        TEST(a_row_that_knows_the_decision_ends_the_branch),
        TEST(a_row_that_makes_no_sense_leaves_the_branch_to_the_coordinator),
        TEST(a_coordinator_that_comes_back_decides),
        TEST(a_coordinator_that_comes_back_is_one_of_the_sites),
        TEST(a_coordinator_that_says_wait_is_waited_for),
        TEST(a_coordinator_that_can_not_tell_is_done_without),
        TEST(a_live_coordinator_is_asked_before_anybody_else),
        TEST(a_decision_against_what_is_carried_out_changes_nothing),
        TEST(a_database_that_is_away_holds_the_round_up),
        TEST(somebody_else_at_an_address_is_not_asked),
        TEST(two_addresses_of_one_participant_are_one),
        TEST(a_coordinator_at_a_participants_address_hears_nothing),
        TEST(a_line_that_nobody_needs_is_hung_up),
        TEST(hostile_replies_change_nothing),
    };
    return cmocka_run_group_tests_name("termination", tests, NULL, NULL);
}
