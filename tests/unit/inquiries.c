/* What databases are asked, through a coordinator: who is asked, who is missing in the answer and
 * why, that an answer fits its message, and answers that nobody asked for. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "coordinator/testimonies.h"
#include "operators_kit.h"

static void ask_of(struct desk *desk, uint64_t request, Wire__What what, const char *gtrid,
                   const char *participant)
{
    Wire__Query query = WIRE__QUERY__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    query.request = request;
    query.what = what;
    query.gtrid = (char *)gtrid;
    query.participant = (char *)participant;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    say(desk->client, &message);
}

/* The participant is asked this; returns the number of the request. */
static uint64_t asked_for(struct visitor *visitor, Wire__What what)
{
    const Wire__Query *query = hear(visitor, WIRE__MESSAGE__BODY_QUERY)->query;
    assert_int_equal(query->what, what);
    return query->request;
}

static const Wire__Answer *answered(struct desk *desk, uint64_t request, size_t testimonies)
{
    const Wire__Answer *answer = hear(desk->client, WIRE__MESSAGE__BODY_ANSWER)->answer;
    assert_int_equal(answer->request, request);
    assert_null(answer->problem);
    assert_int_equal(answer->n_testimonies, testimonies);
    return answer;
}

/* Of this report, and so many prepared transactions. */
static void answer_with(struct visitor *visitor, uint64_t request, const char *report,
                        size_t prepared)
{
    Wire__Answer body = WIRE__ANSWER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Testimony testimony = WIRE__TESTIMONY__INIT, *testimonies = &testimony;
    Wire__PreparedView view = WIRE__PREPARED_VIEW__INIT, *views[1000];
    view.gid = (char *)"a-prepared-transaction-of-somebody-else";
    view.owner = view.database = (char *)"postgres";
    for (size_t i = 0; i < prepared; i++)
        views[i] = &view;
    testimony.participant = (char *)"x";
    testimony.report = (char *)report;
    testimony.prepared = views;
    testimony.n_prepared = prepared;
    body.request = request;
    body.testimonies = &testimonies;
    body.n_testimonies = 1;
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &body;
    say(visitor, &message);
}

/* ---- who is asked ---- */

static void evidence_is_asked_of_the_branches_with_the_xids_of_their_votes(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    struct visitor *inventory = participant(desk->world, 4, "inventory");
    Wire__Branch branch = begin_deciding(desk, NULL);
    ask_of(desk, 7, WIRE__WHAT__EVIDENCE, gtrid_of(branch), "");
    uint64_t first = examined(desk->orders, gtrid_of(branch), 700);
    uint64_t other = examined(desk->payments, gtrid_of(branch), 701);
    hear_nothing(inventory);
    answer_query(desk->payments, other, is_prepared);
    hear_nothing(desk->client);
    answer_query(desk->orders, first, has_nothing);
    const Wire__Answer *answer = answered(desk, 7, 2);
    assert_string_equal(answer->testimonies[0]->participant, "orders"); /* whatever it says */
    assert_int_equal(answer->testimonies[0]->n_exhibits, 0);
    assert_string_equal(answer->testimonies[1]->participant, "payments");
    assert_true(answer->testimonies[1]->exhibits[0]->prepared);
    assert_in_range(answer->testimonies[1]->heard_us, 1, wall_us(desk->world));
    /* One that is not known here is asked of everybody. */
    ask_of(desk, 8, WIRE__WHAT__EVIDENCE, "shop.c9.7.70", "");
    testify(desk->orders, "shop.c9.7.70", has_nothing);
    testify(desk->payments, "shop.c9.7.70", has_nothing);
    testify(inventory, "shop.c9.7.70", is_prepared);
    answered(desk, 8, 3);
    desk_free(desk);
}

static void one_participant_alone_may_be_asked(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    ask_of(desk, 7, WIRE__WHAT__PREPARED, "", "payments");
    answer_with(desk->payments, asked_for(desk->payments, WIRE__WHAT__PREPARED), "", 3);
    assert_int_equal(answered(desk, 7, 1)->testimonies[0]->n_prepared, 3);
    hear_nothing(desk->orders);
    ask_of(desk, 8, WIRE__WHAT__DIAGNOSIS, "", "nobody");
    const Wire__Answer *answer = hear(desk->client, WIRE__MESSAGE__BODY_ANSWER)->answer;
    assert_string_equal(answer->problem->code, "unknown");
    ask_of(desk, 9, WIRE__WHAT__EVIDENCE, "nonsense", "");
    answer = hear(desk->client, WIRE__MESSAGE__BODY_ANSWER)->answer;
    assert_string_equal(answer->problem->code, "bad_request");
    desk_free(desk);
}

static void who_does_not_answer_is_in_the_answer_with_the_reason(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    struct visitor *inventory = participant(desk->world, 4, "inventory");
    struct visitor *slow = participant(desk->world, 5, "slow");
    leave(desk->payments);
    pass(desk->world, 3 * SECOND_US);
    ask_of(desk, 7, WIRE__WHAT__DIAGNOSIS, "", "");
    uint64_t request = asked_for(desk->orders, WIRE__WHAT__DIAGNOSIS);
    asked_for(slow, WIRE__WHAT__DIAGNOSIS);
    leave(inventory);
    pass(desk->world, 2 * SECOND_US);
    Wire__Answer body = WIRE__ANSWER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"database_down";
    problem.message = (char *)"its database is down";
    body.request = request;
    body.problem = &problem;
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &body;
    say(desk->orders, &message);
    pass(desk->world, SECOND_US);
    const Wire__Answer *answer = answered(desk, 7, 4);
    static const char *const codes[] = {"database_down", "not_connected", "session_lost",
                                        "deadline"};
    for (int i = 0; i < 4; i++)
        assert_string_equal(answer->testimonies[i]->problem->code, codes[i]);
    assert_int_equal(answer->testimonies[1]->round_trip_us, 0);
    desk_free(desk);
}

static void nobody_to_ask_is_answered_with_nobody(void **unused)
{
    (void)unused;
    struct world *world = world_new();
    struct desk desk = {.world = world};
    start(world);
    desk.client = client(world, 2);
    ask_of(&desk, 7, WIRE__WHAT__PREPARED, "", "");
    answered(&desk, 7, 0);
    world_free(world);
}

/* ---- what fits ---- */

static void a_report_that_does_not_fit_is_left_out_whole(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    static char large[50000];
    memset(large, 'x', sizeof(large) - 1);
    ask_of(desk, 7, WIRE__WHAT__DIAGNOSIS, "", "");
    answer_with(desk->orders, asked_for(desk->orders, WIRE__WHAT__DIAGNOSIS), large, 0);
    answer_with(desk->payments, asked_for(desk->payments, WIRE__WHAT__DIAGNOSIS), "{\"a\": 1}", 0);
    const Wire__Answer *answer = answered(desk, 7, 2);
    assert_int_equal(strlen(answer->testimonies[0]->report), sizeof(large) - 1);
    assert_string_equal(answer->testimonies[1]->report, "{\"a\": 1}");
    ask_of(desk, 8, WIRE__WHAT__DIAGNOSIS, "", "");
    answer_with(desk->orders, asked_for(desk->orders, WIRE__WHAT__DIAGNOSIS), large, 0);
    answer_with(desk->payments, asked_for(desk->payments, WIRE__WHAT__DIAGNOSIS), large, 0);
    answer = answered(desk, 8, 2);
    for (int i = 0, whole = 0; i < 2; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        whole += testimony->report[0] != '\0';
        assert_int_equal(testimony->report[0] == '\0', testimony->problem != NULL);
        if (testimony->problem)
            assert_has(testimony->problem->hint, "--participant");
        assert_true(whole <= 1);
    }
    desk_free(desk);
}

static void lists_that_do_not_fit_are_cut_and_counted(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    ask_of(desk, 7, WIRE__WHAT__PREPARED, "", "");
    answer_with(desk->orders, asked_for(desk->orders, WIRE__WHAT__PREPARED), "", 900);
    answer_with(desk->payments, asked_for(desk->payments, WIRE__WHAT__PREPARED), "", 10);
    const Wire__Answer *answer = answered(desk, 7, 2);
    const Wire__Testimony *cut = answer->testimonies[0];
    assert_in_range(cut->n_prepared, 500, 899);
    assert_int_equal(cut->n_prepared + cut->more, 900);
    assert_non_null(cut->problem);
    assert_int_equal(answer->testimonies[1]->n_prepared, 10); /* who needs less gets it all */
    assert_null(answer->testimonies[1]->problem);
    desk_free(desk);
}

/* Of any sizes: what is left fits, each is whole or says that it is not, and nothing is lost or
 * freed twice. */
static void whatever_comes_fits(void **unused)
{
    (void)unused;
    enum { MOST = 40 };
    static char text[60000];
    unsigned seed = 1;
    memset(text, 'x', sizeof(text));
    for (int round = 0; round < 300; round++) {
        Wire__Testimony *testimonies[MOST];
        size_t count = (size_t)(rand_r(&seed) % MOST), room = (size_t)(rand_r(&seed) % 61440);
        size_t large = (size_t)(rand_r(&seed) % 3 == 0 ? 50000 : 500);
        for (size_t i = 0; i < count; i++) {
            Wire__Testimony one = WIRE__TESTIMONY__INIT;
            Wire__Exhibit exhibit = WIRE__EXHIBIT__INIT, *exhibits = &exhibit;
            Wire__PreparedView view = WIRE__PREPARED_VIEW__INIT, *views[20];
            size_t size = (size_t)rand_r(&seed) % large;
            for (size_t j = 0; j < 20; j++)
                views[j] = &view;
            view.gid = (char *)"some gid";
            exhibit.report = text + sizeof(text) - 1 - (size_t)rand_r(&seed) % large;
            text[sizeof(text) - 1] = '\0';
            one.participant = (char *)"orders";
            one.report = text + sizeof(text) - 1 - size;
            one.exhibits = &exhibits;
            one.n_exhibits = 1;
            one.prepared = views;
            one.n_prepared = (size_t)rand_r(&seed) % 20;
            testimonies[i] = testimony_copy(&one);
        }
        size_t kept = testimonies_fit(testimonies, count, room), size = 0;
        assert_true(kept <= count);
        for (size_t i = 0; i < kept; i++) {
            const Wire__Testimony *one = testimonies[i];
            size += wire__testimony__get_packed_size(one) + 4;
            assert_true(one->more == 0 || one->problem);
            wire__testimony__free_unpacked(testimonies[i], NULL);
        }
        assert_true(size <= room);
        if (room > 40000)
            assert_int_equal(kept, count);
    }
}

static void many_large_testimonies_do_not_add_up(void **unused)
{
    (void)unused;
    enum { MANY = 30 };
    struct world *world = world_new();
    struct desk desk = {.world = world};
    struct visitor *visitors[MANY];
    static char large[55000];
    memset(large, 'x', sizeof(large) - 1);
    start(world);
    desk.client = client(world, 39);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "p%d", i);
        visitors[i] = participant(world, i, name);
    }
    ask_of(&desk, 7, WIRE__WHAT__DIAGNOSIS, "", "");
    for (int i = 0; i < MANY; i++)
        answer_with(visitors[i], asked_for(visitors[i], WIRE__WHAT__DIAGNOSIS), large, 0);
    const Wire__Answer *answer = answered(&desk, 7, MANY);
    for (int i = 0; i < MANY; i++)
        assert_true(answer->testimonies[i]->report[0] || answer->testimonies[i]->problem);
    world_free(world);
}

/* ---- hostile ---- */

static void answers_that_nobody_asked_for_are_ignored(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    struct visitor *inventory = participant(desk->world, 4, "inventory");
    Wire__Branch branch = begin_deciding(desk, NULL);
    static const uint64_t numbers[] = {0, 1, 8192, 8193, UINT64_MAX, UINT64_MAX - 8191};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        answer_with(desk->orders, numbers[i], "", 1);
    ask_of(desk, 7, WIRE__WHAT__EVIDENCE, gtrid_of(branch), "");
    uint64_t of_orders = examined(desk->orders, gtrid_of(branch), 700);
    uint64_t of_payments = examined(desk->payments, gtrid_of(branch), 701);
    /* Another's number, twice, and from who was not asked at all. */
    answer_query(desk->payments, of_orders, is_prepared);
    answer_query(inventory, of_orders, is_prepared);
    answer_query(inventory, of_payments, is_prepared);
    answer_query(desk->orders, of_orders + 77, is_prepared);
    hear_nothing(desk->client);
    answer_query(desk->orders, of_orders, has_nothing);
    answer_query(desk->orders, of_orders, is_prepared);
    hear_nothing(desk->client);
    answer_query(desk->payments, of_payments, has_nothing);
    const Wire__Answer *answer = answered(desk, 7, 2);
    assert_int_equal(answer->testimonies[0]->n_exhibits, 0);
    assert_string_equal(inventory->closed, "");
    desk_free(desk);
}

static void an_answer_of_an_older_session_is_not_taken(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    ask_of(desk, 7, WIRE__WHAT__PREPARED, "", "payments");
    uint64_t request = asked_for(desk->payments, WIRE__WHAT__PREPARED);
    leave(desk->payments);
    desk->payments = participant(desk->world, 1, "payments");
    assert_string_equal(answered(desk, 7, 1)->testimonies[0]->problem->code, "session_lost");
    answer_with(desk->payments, request, "", 1);
    hear_nothing(desk->client);
    desk_free(desk);
}

static void an_answer_that_says_nothing_is_a_problem(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Answer body = WIRE__ANSWER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    ask_of(desk, 7, WIRE__WHAT__PREPARED, "", "payments");
    body.request = asked_for(desk->payments, WIRE__WHAT__PREPARED);
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &body;
    say(desk->payments, &message);
    assert_non_null(answered(desk, 7, 1)->testimonies[0]->problem);
    desk_free(desk);
}

static void a_participant_asks_no_databases(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Query query = WIRE__QUERY__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    query.what = WIRE__WHAT__DIAGNOSIS;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    say(desk->payments, &message);
    assert_non_null(hear(desk->payments, WIRE__MESSAGE__BODY_ANSWER)->answer->problem);
    hear_nothing(desk->orders);
    desk_free(desk);
}

static void a_client_that_left_is_not_answered(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    ask_of(desk, 7, WIRE__WHAT__PREPARED, "", "");
    leave(desk->client);
    pass(desk->world, 2 * SECOND_US);
    answer_with(desk->orders, asked_for(desk->orders, WIRE__WHAT__PREPARED), "", 1);
    answer_with(desk->payments, asked_for(desk->payments, WIRE__WHAT__PREPARED), "", 1);
    desk->client = client(desk->world, 2);
    hear_nothing(desk->client);
    desk_free(desk);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_is_asked_of_the_branches_with_the_xids_of_their_votes),
        cmocka_unit_test(one_participant_alone_may_be_asked),
        cmocka_unit_test(who_does_not_answer_is_in_the_answer_with_the_reason),
        cmocka_unit_test(nobody_to_ask_is_answered_with_nobody),
        cmocka_unit_test(a_report_that_does_not_fit_is_left_out_whole),
        cmocka_unit_test(lists_that_do_not_fit_are_cut_and_counted),
        cmocka_unit_test(whatever_comes_fits),
        cmocka_unit_test(many_large_testimonies_do_not_add_up),
        cmocka_unit_test(answers_that_nobody_asked_for_are_ignored),
        cmocka_unit_test(an_answer_of_an_older_session_is_not_taken),
        cmocka_unit_test(an_answer_that_says_nothing_is_a_problem),
        cmocka_unit_test(a_participant_asks_no_databases),
        cmocka_unit_test(a_client_that_left_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
