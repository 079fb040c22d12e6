/* A service beside two participants of statements: payments is this program itself, started again
 * with `--config`, whose operations are functions. It takes part as the others do, and what it
 * leaves when it is killed is found and ended. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "include/troth.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/library_desk.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/saga_start.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

/* ---- the service --------------------------------------------------------------------------- */

/* NULL: it is good, and to be cleared; else refused. */
static PGresult *query(struct troth_request *request, PGconn *connection, const char *sql,
                       int count, const char *const *values, bool *refused)
{
    PGresult *result = PQexecParams(connection, sql, count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    *refused = status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
    if (*refused)
        troth_sql_failed(request, result);
    return result;
}

static bool execute(struct troth_request *request, PGconn *connection, const char *sql, int count,
                    const char *const *values)
{
    bool refused;
    PQclear(query(request, connection, sql, count, values, &refused));
    return !refused;
}

static bool charge(struct troth_request *request, PGconn *connection, void *self)
{
    const char *amount = troth_argument(request, "amount");
    const char *taken[] = {amount, troth_argument(request, "customer")};
    const char *noted[] = {troth_argument(request, "order_id"), amount};
    bool refused;
    (void)self;
    PGresult *result = query(request, connection,
                             "update account set balance = balance - $1 where customer = $2 and"
                             " balance >= $1 returning balance",
                             2, taken, &refused);
    int rows = PQntuples(result);
    char *said = rows ? xasprintf("{\"left\": %s, \"id\": \"%s\"}", PQgetvalue(result, 0, 0),
                                  troth_request_id(request))
                      : NULL;
    PQclear(result);
    bool done = refused ? false
                : rows == 0
                    ? troth_refuse(request, "insufficient_funds", "there is not enough money")
                    : execute(request, connection, "insert into charge values ($1, $2)", 2, noted);
    if (done)
        troth_return(request, said);
    free(said);
    return done;
}

static bool give_back(struct troth_request *request, PGconn *connection, void *self)
{
    const char *order[] = {troth_argument(request, "order_id")};
    (void)self;
    return execute(request, connection,
                   "with c as (delete from charge where order_id = $1 returning amount) update"
                   " account set balance = balance + (select sum(amount) from c) where customer ="
                   " 'ada'",
                   1, order);
}

static bool note(struct troth_request *request, PGconn *connection, void *self)
{
    const char *id[] = {troth_argument(request, "id")};
    (void)self;
    return execute(request, connection, "insert into note values ($1)", 1, id);
}

static bool enrol(struct troth_request *request, PGconn *connection, void *self)
{
    const char *id[] = {troth_argument(request, "id")};
    (void)self;
    return execute(request, connection, "insert into member values ($1)", 1, id);
}

static bool dawdle(struct troth_request *request, PGconn *connection, void *self)
{
    const char *seconds[] = {troth_argument(request, "seconds")};
    return note(request, connection, self) &&
           execute(request, connection, "select pg_sleep($1)", 1, seconds);
}

static bool count(struct troth_request *request, PGconn *connection, void *self)
{
    const char *id[] = {troth_argument(request, "id")};
    bool refused;
    (void)self;
    PGresult *result = query(request, connection,
                             "select json_build_object('notes', count(*)) from note where id = $1",
                             1, id, &refused);
    if (!refused)
        troth_return(request, PQgetvalue(result, 0, 0));
    PQclear(result);
    return !refused;
}

/* Whatever SQL it is given; what PostgreSQL says of it is passed over. */
static bool insist(struct troth_request *request, PGconn *connection, void *self)
{
    (void)self;
    PQclear(PQexec(connection, troth_argument(request, "sql")));
    return true;
}

static bool sulk(struct troth_request *request, PGconn *connection, void *self)
{
    (void)request, (void)connection, (void)self;
    return false;
}

static bool babble(struct troth_request *request, PGconn *connection, void *self)
{
    (void)connection, (void)self;
    return troth_return(request, "{not json");
}

static struct troth_service *service;

static void on_signal(int number)
{
    (void)number;
    troth_service_stop(service);
}

static int serve(const char *config)
{
    static const struct troth_operation operations[] = {
        {"charge", "order_id text, customer text, amount numeric", false, charge, NULL},
        {"give_back", "order_id text", false, give_back, NULL},
        {"note", "id text", false, note, NULL},
        {"enrol", "id text", false, enrol, NULL},
        {"dawdle", "id text, seconds float8", false, dawdle, NULL},
        {"count", "id text", true, count, NULL},
        {"insist", "sql text", false, insist, NULL},
        {"sulk", NULL, false, sulk, NULL},
        {"babble", NULL, false, babble, NULL},
    };
    struct troth_result result = {0};
    service = troth_service_open(config, &result);
    enum troth_status status = service ? TROTH_OK : result.status;
    for (size_t i = 0; i < sizeof(operations) / sizeof(*operations) && status == TROTH_OK; i++)
        status = troth_service_offer(service, &operations[i], &result);
    signal(SIGTERM, on_signal);
    if (status == TROTH_OK)
        status = troth_service_run(service, &result);
    if (status != TROTH_OK)
        fprintf(stderr, "%s: %s\n", result.problem.code, result.problem.message);
    troth_service_close(service);
    troth_result_clear(&result);
    return status == TROTH_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- it takes part ------------------------------------------------------------------------- */

static void it_takes_part_in_transactions_of_both_protocols(struct shop *shop)
{
    static const char *const protocols[] = {"2pc", "3pc"};
    for (int i = 0; i < 2; i++) {
        struct purchase purchase = {.protocol = protocols[i]};
        purchase_begin(shop, &purchase);
        said_expect(purchase_end(shop, &purchase), TOLD_COMMITTED, "committed",
                    "\"left\":", "\"id\":");
        assert_int_equal(books_count(purchase.order), 1);
    }
    books_wait_settled(shop);
    assert_int_equal(books_check(), 2);
}

static void alone_it_works_in_one_phase_and_reads_without_a_trace(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "payments.note", "{\"id\": \"n\"}", NULL), TOLD_COMMITTED,
                NULL, NULL, NULL);
    said_expect(shop_say(shop, "submit", "payments.count", "{\"id\": \"n\"}", NULL), TOLD_COMMITTED,
                "\"notes\"", "1", NULL);
    assert_int_equal(books_count_notes("payments", "n"), 1);
    assert_true(books_none_prepared());
}

static void it_says_what_it_offers_and_checks_what_it_is_given(struct shop *shop)
{
    said_expect(shop_say(shop, "participant", "list", "--json", NULL), 0, "give_back", "charge",
                "count");
    said_expect(shop_say(shop, "submit", "payments.note", "{\"ed\": \"n\"}", NULL), TOLD_ABORTED,
                "bad_argument", "did you mean id?", NULL);
    said_expect(shop_say(shop, "submit", "payments.note", NULL), TOLD_ABORTED, "bad_argument",
                "is missing", NULL);
    said_expect(
        shop_say(shop, "submit", "payments.dawdle", "{\"id\": \"n\", \"seconds\": \"x\"}", NULL),
        TOLD_ABORTED, "bad_argument", "seconds", NULL);
    said_expect(shop_say(shop, "submit", "payments.not", "{}", NULL), TOLD_MISTAKE, "payments",
                NULL, NULL);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void a_refusal_reaches_who_asked_and_nothing_is_done_anywhere(struct shop *shop)
{
    struct purchase dear = {.amount = SHOP_MONEY + 1};
    purchase_begin(shop, &dear);
    said_expect(purchase_end(shop, &dear), TOLD_ABORTED, "insufficient_funds",
                "there is not enough money", "payments.charge");
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"n\"}", "payments.sulk", NULL),
                TOLD_ABORTED, "refused", "did not say why", NULL);
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"n\"}", "payments.babble", NULL),
                TOLD_ABORTED, "bad_result", "no JSON", NULL);
    said_expect(shop_say(shop, "submit", "payments.enrol", "{\"id\": \"m\"}", "payments.enrol",
                         "{\"id\": \"m\"}", "orders.note", "{\"id\": \"n\"}", NULL),
                TOLD_ABORTED, "23505", "duplicate key", "payments.enrol");
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"n\"}", "payments.insist",
                         "{\"sql\": \"select nothing\"}", NULL),
                TOLD_ABORTED, "25P02", "after a statement failed", NULL);
    assert_int_equal(books_count_notes("orders", "n"), 0);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 0);
}

static void a_handler_that_commits_is_refused_and_told_of_in_the_log(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"n\"}", "payments.insist",
                         "{\"sql\": \"insert into note values ('mine'); commit; begin\"}", NULL),
                TOLD_ABORTED, "handler_left_transaction", "what it committed stays", NULL);
    assert_int_equal(books_count_notes("orders", "n"), 0);
    assert_int_equal(books_count_notes("payments", "mine"), 1);
    assert_true(shop_logged(shop, PAYMENTS, "error: "));
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
}

static void a_handler_that_hangs_is_cancelled_at_the_deadline(struct shop *shop)
{
    uint64_t begun_ms = wait_now_ms();
    said_expect(shop_say(shop, "submit", "--timeout", "1s", "orders.note", "{\"id\": \"n\"}",
                         "payments.dawdle", "{\"id\": \"n\", \"seconds\": 60}", NULL),
                TOLD_ABORTED, "deadline", NULL, NULL);
    books_wait_settled(shop);
    assert_true(wait_now_ms() - begun_ms < 5000);
    assert_int_equal(cluster_value("payments", "select count(*) from pg_stat_activity where"
                                               " wait_event = 'PgSleep'"),
                     0);
    assert_int_equal(books_count_notes("payments", "n"), 0);
}

/* ---- many ---------------------------------------------------------------------------------- */

static void eight_handlers_run_at_once(struct shop *shop)
{
    enum { MANY = 8 };
    struct purchase purchases[MANY];
    uint64_t begun_ms = wait_now_ms();
    for (int i = 0; i < MANY; i++) {
        purchases[i] = (struct purchase){.dawdle = "payments"};
        purchase_begin(shop, &purchases[i]);
    }
    for (int i = 0; i < MANY; i++) {
        struct said said = purchase_end(shop, &purchases[i]);
        assert_int_equal(said.code, TOLD_COMMITTED);
        said_fini(&said);
    }
    /* Each takes a second, and one after the other they would take eight. */
    assert_true(wait_now_ms() - begun_ms < 6000);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(books_count_purchase(&purchases[i]), 1);
}

/* ---- sagas --------------------------------------------------------------------------------- */

static const char definition[] =
    "saga: buy\nversion: 1\ninput: {order_id: string, member: string}\n"
    "steps:\n"
    "  - name: charge\n"
    "    call: payments.charge\n"
    "    with: {order_id: \"${ .input.order_id }\", customer: ada, amount: 10}\n"
    "    compensate: {call: payments.give_back, with: {order_id: \"${ .input.order_id }\"}}\n"
    "    output: {left: \"${ .result.left }\"}\n"
    "  - name: enrol\n"
    "    call: payments.enrol\n"
    "    with: {id: \"${ .input.member }\"}\n"
    "    compensate: none\n"
    "output: {left: \"${ .steps.charge.left }\"}\n";

static void offer_sagas(struct shop *shop)
{
    char *command = xasprintf("mkdir -p '%s/sagas'", shop->folder);
    assert_int_equal(system(command), 0);
    free(command);
    shop_write(shop, "sagas/buy.yaml", "%s", definition);
    shop_write(shop, "trothd.yaml",
               "cluster: shop\ncoordinator: c1\nlisten: %s\n"
               "journal: {store: file, directory: %s/journal}\nsagas: %s/sagas\nsecurity: none\n",
               shop->addresses[COORDINATOR], shop->folder, shop->folder);
    shop_stop(shop, COORDINATOR);
    shop_start_all(shop);
}

static int charged(void)
{
    return (int)cluster_value("payments", "select count(*) from charge");
}

static int64_t balance(void)
{
    return cluster_value("payments", "select balance from account where customer = 'ada'");
}

static void a_saga_is_carried_out_once_and_undone_once(struct shop *shop)
{
    saga_id id;
    offer_sagas(shop);
    struct saga_start buy = {.name = "buy",
                             .input = "{\"order_id\": \"s1\", \"member\": \"m\"}",
                             .timeout = "20s",
                             .wait = true};
    assert_int_equal(saga_start(shop, &buy, id), SAGA_SAID_DONE);
    assert_int_equal(charged(), 1);
    /* The same member again: what was charged is given back. */
    buy.input = "{\"order_id\": \"s2\", \"member\": \"m\"}";
    assert_int_equal(saga_start(shop, &buy, id), SAGA_SAID_COMPENSATED);
    assert_int_equal(charged(), 1);
    assert_int_equal(balance(), SHOP_MONEY - 10);
    /* Killed when it has committed a step, and has told nobody. */
    shop_kill(shop, PAYMENTS);
    shop_start(shop, PAYMENTS, "participant.executed");
    shop_wait_ready(shop);
    buy.input = "{\"order_id\": \"s3\", \"member\": \"m3\"}";
    saga_start_begin(shop, &buy);
    int status = shop_wait_end(shop, PAYMENTS);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(charged(), 2);
    shop_start_all(shop);
    assert_int_equal(saga_start_end(&buy, id), SAGA_SAID_DONE);
    assert_int_equal(charged(), 2);
    assert_int_equal(balance(), SHOP_MONEY - 20);
}

/* ---- step by step -------------------------------------------------------------------------- */

static const char charge_arguments[] =
    "{\"order_id\": \"step\", \"customer\": \"ada\", \"amount\": 10}";

static void handlers_work_step_by_step_in_one_transaction(struct shop *shop)
{
    for (enum troth_protocol protocol = TROTH_2PC; protocol <= TROTH_3PC; protocol++) {
        struct desk desk = desk_open(shop);
        int before = desk_charges("step");
        desk_begin(&desk, protocol, 10000);
        DESK_OK(&desk, troth_execute(desk.tx, "payments.note", "{\"id\": \"s\"}", &desk.result));
        DESK_OK(&desk, troth_execute(desk.tx, "payments.count", "{\"id\": \"s\"}", &desk.result));
        assert_string_equal(troth_get(&desk.result, 0, 0, "notes"),
                            protocol == TROTH_2PC ? "1" : "2");
        DESK_OK(&desk, troth_execute(desk.tx, "payments.charge", charge_arguments, &desk.result));
        assert_string_equal(troth_get(&desk.result, 0, 0, "id"), troth_tx_id(desk.tx));
        DESK_OK(&desk, troth_execute(desk.tx, "orders.note", "{\"id\": \"s\"}", &desk.result));
        assert_int_equal(desk_charges("step"), before);
        DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
        assert_int_equal(desk_charges("step"), before + 1);
        desk_close(&desk);
    }
    assert_int_equal(books_count_notes("orders", "s"), 2);
    desk_wait_no_locks(5000);
}

static void a_service_finishes_what_others_join_with_at_its_database(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_3PC, 10000);
    DESK_OK(&desk,
            troth_execute(desk.tx, "orders.create", "{\"order_id\": \"joined\"}", &desk.result));
    desk_join_and_charge(&desk, "joined", 10);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    assert_int_equal(desk_charges("joined"), 1);
    desk_close(&desk);
    desk_wait_no_locks(5000);
}

static void an_open_transaction_ends_with_its_refusal_its_service_or_its_time(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 10000);
    DESK_OK(&desk, troth_execute(desk.tx, "payments.charge", charge_arguments, &desk.result));
    DESK_FAILS(&desk, troth_execute(desk.tx, "payments.sulk", NULL, &desk.result), TROTH_ABORTED,
               "refused");
    desk_wait_no_locks(5000);
    desk_close(&desk);
    desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 10000);
    DESK_OK(&desk, troth_execute(desk.tx, "payments.charge", charge_arguments, &desk.result));
    shop_kill(shop, PAYMENTS);
    assert_int_equal(troth_commit(desk.tx, &desk.result), TROTH_ABORTED);
    desk_wait_no_locks(8000);
    desk_close(&desk);
    shop_start_all(shop);
    desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 700);
    DESK_OK(&desk, troth_execute(desk.tx, "payments.charge", charge_arguments, &desk.result));
    desk_wait_no_locks(5000);
    desk_close(&desk);
    assert_int_equal(desk_charges("step"), 0);
}

/* ---- kill -9 ------------------------------------------------------------------------------- */

static bool died_or_told(void *self)
{
    struct purchase *purchase = self;
    return purchase_ended(purchase);
}

static void what_it_leaves_at_each_crash_point_is_ended(struct shop *shop)
{
    static const struct {
        const char *point;
        bool alone, three_phase;
    } crashes[] = {
        {"participant.prepare-received", false, false},
        {"participant.working", false, false},
        {"participant.prepared", false, false},
        {"participant.voted", false, true},
        {"participant.commit-received", false, false},
        {"participant.committed", false, true},
        {"participant.acked", false, false},
        {"participant.one-phase-committed", true, false},
    };
    for (size_t i = 0; i < sizeof(crashes) / sizeof(*crashes); i++) {
        struct purchase purchase = {.timeout = "5s",
                                    .alone = crashes[i].alone ? "payments" : NULL,
                                    .protocol = crashes[i].three_phase ? "3pc" : "2pc"};
        shop_kill(shop, PAYMENTS);
        shop_start(shop, PAYMENTS, crashes[i].point);
        shop_wait_ready(shop);
        purchase_begin(shop, &purchase);
        int status = shop_wait_end(shop, PAYMENTS);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        shop_start(shop, PAYMENTS, NULL);
        wait_for(died_or_told, &purchase, 20, "the purchase was told");
        struct said said = purchase_end(shop, &purchase);
        shop_wait_ready(shop);
        books_wait_settled(shop);
        int wanted = said.code == TOLD_COMMITTED;
        if (said.code != TOLD_UNKNOWN && books_count_purchase(&purchase) != wanted)
            fail_msg("%s: told %d, and %d in the books", crashes[i].point, said.code,
                     books_count_purchase(&purchase));
        said_fini(&said);
    }
    assert_int_equal(books_check(), (int)cluster_value("orders", "select count(*) from orders"));
}

/* ---- its end ------------------------------------------------------------------------------- */

static void a_stop_lets_what_runs_end(struct shop *shop)
{
    struct purchase slow = {.dawdle = "payments"};
    purchase_begin(shop, &slow);
    while (cluster_value("payments", "select count(*) from pg_stat_activity where wait_event ="
                                     " 'PgSleep'") == 0)
        assert_false(purchase_ended(&slow));
    shop_stop(shop, PAYMENTS);
    struct said said = purchase_end(shop, &slow);
    said_fini(&said);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_count_purchase(&slow), said.code == TOLD_COMMITTED);
}

static void a_second_process_takes_over_and_the_first_says_so(struct shop *shop)
{
    char config[128];
    snprintf(config, sizeof(config), "%s/payments.yaml", shop->folder);
    const char *words[] = {"t/real/service.t", "--config", config, NULL};
    pid_t second = shop_spawn(shop, words, "second.log", NULL);
    int status = shop_wait_end(shop, PAYMENTS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
    shop_wait_connected(shop);
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    kill(second, SIGTERM);
    assert_int_equal(shop_reap(second), 0);
    char *log = shop_file_read(shop, "payments.log", 0);
    assert_non_null(strstr(log, "taken_over: another process took over the name payments"));
    free(log);
}

int main(int argc, char **arguments)
{
    if (argc == 3 && strcmp(arguments[1], "--config") == 0)
        return serve(arguments[2]);
    const struct CMUnitTest tests[] = {
        SHOP_TEST(it_takes_part_in_transactions_of_both_protocols),
        SHOP_TEST(alone_it_works_in_one_phase_and_reads_without_a_trace),
        SHOP_TEST(it_says_what_it_offers_and_checks_what_it_is_given),
        SHOP_TEST(a_refusal_reaches_who_asked_and_nothing_is_done_anywhere),
        SHOP_TEST(a_handler_that_commits_is_refused_and_told_of_in_the_log),
        SHOP_TEST(a_handler_that_hangs_is_cancelled_at_the_deadline),
        SHOP_TEST(eight_handlers_run_at_once),
        SHOP_TEST(a_saga_is_carried_out_once_and_undone_once),
        SHOP_TEST(handlers_work_step_by_step_in_one_transaction),
        SHOP_TEST(a_service_finishes_what_others_join_with_at_its_database),
        SHOP_TEST(an_open_transaction_ends_with_its_refusal_its_service_or_its_time),
        SHOP_TEST(what_it_leaves_at_each_crash_point_is_ended),
        SHOP_TEST(a_stop_lets_what_runs_end),
        SHOP_TEST(a_second_process_takes_over_and_the_first_says_so),
    };
    shop_use_service(PAYMENTS, "t/real/service.t");
    return shop_run("service", tests, sizeof(tests) / sizeof(tests[0]));
}
