/* libtroth on real processes and databases: what a caller is told, and by SQL what is true. */
#include "include/troth.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/library_desk.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

/* The order, and its charge: both or none, and no more. */
static int orders_and_charges(const char *order)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "select count(*) from orders where id = '%s'", order);
    int orders = (int)cluster_value("orders", sql);
    assert_int_equal(desk_charges(order), orders);
    return orders;
}

/* ---- requests ------------------------------------------------------------------------------ */

static void a_purchase_in_one_request(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    struct troth_call calls[] = {
        {"orders.create", "{\"order_id\": \"l-1\"}"},
        {"payments.charge", "{\"order_id\": \"l-1\", \"customer\": \"ada\", \"amount\": 12.50}"},
    };
    struct troth_options options = {.key = "library-1"};
    DESK_OK(&desk, troth_submit(desk.troth, calls, 2, &options, &desk.result));
    assert_true(desk.result.applied);
    assert_false(desk.result.repeated);
    assert_int_equal(desk.result.count, 2);
    assert_null(desk.result.values[0]);
    assert_string_equal(troth_get(&desk.result, 1, 0, "amount"), "12.50");
    assert_int_equal(desk_charges("l-1"), 1);
    char *id = xstrdup(desk.result.id);
    DESK_OK(&desk, troth_submit(desk.troth, calls, 2, &options, &desk.result));
    assert_true(desk.result.repeated);
    assert_string_equal(desk.result.id, id);
    DESK_OK(&desk, troth_outcome(desk.troth, id, 1000, &desk.result));
    free(id);
    calls[1].arguments = "{\"order_id\": \"l-2\", \"customer\": \"ada\", \"amount\": 9999999}";
    calls[0].arguments = "{\"order_id\": \"l-2\"}";
    DESK_FAILS(&desk, troth_submit(desk.troth, calls, 2, NULL, &desk.result), TROTH_ABORTED,
               "insufficient_funds");
    assert_string_equal(desk.result.problem.participant, "payments");
    assert_string_equal(desk.result.problem.operation, "charge");
    assert_false(desk.result.problem.passing);
    calls[0].operation = "orders.crate";
    DESK_FAILS(&desk, troth_submit(desk.troth, calls, 2, NULL, &desk.result), TROTH_REFUSED,
               "unknown_operation");
    desk_close(&desk);
}

static void what_became_of_it_is_told_by_its_id(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 5000);
    char *id = xstrdup(troth_tx_id(desk.tx));
    DESK_FAILS(&desk, troth_outcome(desk.troth, id, 1, &desk.result), TROTH_PENDING, "");
    DESK_OK(&desk, troth_abort(desk.tx, &desk.result));
    DESK_FAILS(&desk, troth_outcome(desk.troth, id, 4000, &desk.result), TROTH_ABORTED, "aborted");
    free(id);
    DESK_FAILS(&desk, troth_outcome(desk.troth, "shop.c9.1.1", 500, &desk.result), TROTH_UNKNOWN,
               "elsewhere");
    DESK_FAILS(&desk, troth_outcome(desk.troth, "nonsense", 500, &desk.result), TROTH_REFUSED,
               "bad_request");
    /* One phase leaves nothing in the journal: the database knows. */
    struct troth_call note = {"orders.note", "{\"id\": \"alone\"}"};
    DESK_OK(&desk, troth_submit(desk.troth, &note, 1, NULL, &desk.result));
    id = xstrdup(desk.result.id);
    shop_kill(shop, COORDINATOR);
    shop_start_all(shop);
    DESK_OK(&desk, troth_outcome(desk.troth, id, 8000, &desk.result));
    free(id);
    desk_close(&desk);
}

/* ---- step by step -------------------------------------------------------------------------- */

static void steps_commit(struct shop *shop, enum troth_protocol protocol, const char *order)
{
    struct desk desk = desk_open(shop);
    char *arguments = troth_json("{\"order_id\": %s}", order);
    desk_begin(&desk, protocol, 10000);
    DESK_OK(&desk, troth_execute(desk.tx, "orders.create", arguments, &desk.result));
    free(arguments);
    DESK_OK(&desk, troth_execute(desk.tx, "orders.count", "{\"id\": \"x\"}", &desk.result));
    assert_int_equal(troth_rows(&desk.result, 0), 1);
    assert_string_equal(troth_get(&desk.result, 0, 0, "notes"), "0");
    DESK_FAILS(&desk, troth_execute(desk.tx, "orders.crate", NULL, &desk.result), TROTH_REFUSED,
               "unknown_operation");
    desk_join_and_charge(&desk, order, 10);
    assert_int_equal(desk_charges(order), 0);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    assert_string_equal(desk.result.id, troth_tx_id(desk.tx));
    assert_true(desk.result.applied);
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_IDLE);
    assert_int_equal(desk_charges(order), 1);
    assert_int_equal(orders_and_charges(order), 1);
    DESK_FAILS(&desk, troth_execute(desk.tx, "orders.note", "{\"id\": \"late\"}", &desk.result),
               TROTH_REFUSED, "over");
    DESK_FAILS(&desk, troth_abort(desk.tx, &desk.result), TROTH_REFUSED, "decided");
    DESK_OK(&desk, troth_outcome(desk.troth, troth_tx_id(desk.tx), 1000, &desk.result));
    desk_close(&desk);
    desk_wait_no_locks(1000);
}

static void steps_commit_in_two_phases(struct shop *shop)
{
    steps_commit(shop, TROTH_2PC, "l-3");
}

static void steps_commit_in_three_phases(struct shop *shop)
{
    steps_commit(shop, TROTH_3PC, "l-4");
}

static void a_step_that_fails_aborts_all(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 10000);
    DESK_OK(&desk, troth_execute(desk.tx, "orders.note", "{\"id\": \"n\"}", &desk.result));
    desk_join_and_charge(&desk, "l-5", 10);
    DESK_FAILS(&desk,
               troth_execute(desk.tx, "payments.charge",
                             "{\"order_id\": \"q\", \"customer\": \"nobody\", \"amount\": 1}",
                             &desk.result),
               TROTH_ABORTED, "insufficient_funds");
    /* The caller's connection is the caller's: it is not left without its transaction unasked. */
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_INTRANS);
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "insufficient_funds");
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_IDLE);
    desk_wait_no_locks(1000);
    assert_int_equal(desk_charges("l-5"), 0);
    desk_close(&desk);
}

static void without_work_there_is_nothing_to_commit(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 5000);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    desk_begin(&desk, TROTH_2PC, 5000);
    DESK_OK(&desk, troth_join(desk.tx, desk.connection, "payments", &desk.result));
    desk_do(desk.connection, "select * from account");
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_IDLE);
    desk_close(&desk);
    desk_wait_no_locks(500);
}

static void the_deadline_ends_it(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    uint64_t begun_ms = wait_now_ms();
    desk_begin(&desk, TROTH_2PC, 800);
    desk_join_and_charge(&desk, "l-6", 10);
    DESK_FAILS(
        &desk,
        troth_execute(desk.tx, "orders.dawdle", "{\"id\": \"d\", \"seconds\": 9}", &desk.result),
        TROTH_ABORTED, "deadline");
    assert_true(wait_now_ms() - begun_ms < 1800);
    /* Nobody asks for an end: PostgreSQL ends the connection by itself. */
    desk_wait_no_locks(1000);
    desk_close(&desk);
}

/* PostgreSQL's own limits begin anew with each statement. */
static void a_caller_that_is_busy_elsewhere_holds_no_lock(struct shop *shop)
{
    struct desk desk = desk_open(shop), other = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 2000);
    desk_begin(&other, TROTH_2PC, 2000);
    uint64_t begun_ms = wait_now_ms();
    desk_join_and_charge(&desk, "l-17", 10);
    DESK_OK(&other, troth_join(other.tx, other.connection, "payments", &other.result));
    while (wait_now_ms() - begun_ms < 1800)
        usleep(10000);
    desk_do(desk.connection, "insert into charge values ('l-17', 1)");
    assert_true(PQsendQuery(other.connection, "insert into charge values ('l-18', 1);"
                                              "select pg_sleep(30)"));
    desk_wait_no_locks(3000);
    assert_true(wait_now_ms() - begun_ms < 5000);
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "deadline");
    desk_close(&other);
    desk_close(&desk);
}

static void a_server_that_prepares_nothing_is_not_joined(struct shop *shop)
{
    cluster_make("plain", "max_prepared_transactions = 0");
    struct desk desk = desk_open(shop);
    PGconn *plain = desk_connect("plain");
    desk_begin(&desk, TROTH_2PC, 5000);
    DESK_FAILS(&desk, troth_join(desk.tx, plain, "payments", &desk.result), TROTH_REFUSED, "55000");
    assert_int_equal(PQtransactionStatus(plain), PQTRANS_IDLE);
    PQfinish(plain);
    desk_close(&desk);
}

/* ---- the caller's connection, when it is joined -------------------------------------------- */

typedef void spoil(PGconn *connection);

static void in_transaction(PGconn *connection)
{
    desk_do(connection, "begin");
}

static void in_failed_transaction(PGconn *connection)
{
    desk_do(connection, "begin");
    PQclear(PQexec(connection, "select 1 / 0"));
}

static void busy(PGconn *connection)
{
    assert_true(PQsendQuery(connection, "select 1"));
}

static void in_copy(PGconn *connection)
{
    PQclear(PQexec(connection, "copy account to stdout"));
}

static void in_pipeline(PGconn *connection)
{
    assert_true(PQenterPipelineMode(connection));
}

static void ended(PGconn *connection)
{
    shutdown(PQsocket(connection), SHUT_RDWR);
    PQclear(PQexec(connection, "select 1"));
}

static void what_is_not_idle_is_not_joined(struct shop *shop)
{
    static const struct {
        spoil *spoil;
        const char *code;
    } cases[] = {{in_transaction, "in_transaction"}, {in_failed_transaction, "in_transaction"},
                 {busy, "connection_busy"},          {in_copy, "connection_busy"},
                 {in_pipeline, "pipeline"},          {ended, "connection_bad"}};
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 5000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        PGconn *connection = desk_connect("payments");
        cases[i].spoil(connection);
        PGTransactionStatusType before = PQtransactionStatus(connection);
        DESK_FAILS(&desk, troth_join(desk.tx, connection, "payments", &desk.result), TROTH_REFUSED,
                   cases[i].code);
        assert_int_equal(PQtransactionStatus(connection), before);
        PQfinish(connection);
    }
    DESK_FAILS(&desk, troth_join(desk.tx, NULL, "payments", &desk.result), TROTH_REFUSED,
               "connection_bad");
    DESK_FAILS(&desk, troth_join(desk.tx, desk.connection, "cellar", &desk.result), TROTH_REFUSED,
               "unknown_participant");
    DESK_FAILS(&desk, troth_hand_over(desk.tx, desk.connection, &desk.result), TROTH_REFUSED,
               "not_joined");
    /* All that was refused has changed nothing. */
    desk_join_and_charge(&desk, "l-7", 10);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    assert_int_equal(desk_charges("l-7"), 1);
    desk_close(&desk);
}

static void another_database_is_not_joined(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 5000);
    /* The clusters are copies of one, and have one system identifier: the oid differs here. */
    char *conninfo = xasprintf("%s dbname=postgres", cluster_conninfo("payments"));
    PGconn *other = PQconnectdb(conninfo);
    free(conninfo);
    DESK_FAILS(&desk, troth_join(desk.tx, other, "payments", &desk.result), TROTH_ABORTED,
               "wrong_database");
    assert_int_equal(PQtransactionStatus(other), PQTRANS_IDLE);
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "wrong_database");
    PQfinish(other);
    desk_close(&desk);
}

static char *setting(PGconn *connection, const char *name)
{
    char sql[100];
    snprintf(sql, sizeof(sql), "show %s", name);
    PGresult *result = PQexec(connection, sql);
    char *value = xstrdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return value;
}

static void expect_setting(PGconn *connection, const char *name, const char *expected)
{
    char *value = setting(connection, name);
    assert_string_equal(value, expected);
    free(value);
}

static void the_session_is_left_as_it_was(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_do(desk.connection, "set statement_timeout = '700ms'; set search_path = public");
    assert_int_equal(PQsetnonblocking(desk.connection, 1), 0);
    desk_begin(&desk, TROTH_2PC, 5000);
    desk_join_and_charge(&desk, "l-8", 10);
    expect_setting(desk.connection, "statement_timeout", "700ms");
    char *idle = setting(desk.connection, "idle_in_transaction_session_timeout");
    assert_true(atoi(idle) > 0);
    free(idle);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    expect_setting(desk.connection, "statement_timeout", "700ms");
    expect_setting(desk.connection, "idle_in_transaction_session_timeout", "0");
    assert_true(PQisnonblocking(desk.connection));
    assert_int_equal(PQpipelineStatus(desk.connection), PQ_PIPELINE_OFF);
    desk_close(&desk);
}

/* ---- the caller's connection, when it is handed over --------------------------------------- */

static void with_a_failed_statement(PGconn *connection)
{
    PQclear(PQexec(connection, "select 1 / 0"));
}

static void rolled_back(PGconn *connection)
{
    desk_do(connection, "rollback");
}

static void ended_and_begun_again(PGconn *connection)
{
    desk_do(connection, "rollback and chain");
    desk_do(connection, "insert into charge values ('l-9', 1)");
}

static void with_a_temporary_table(PGconn *connection)
{
    desk_do(connection, "create temporary table t (a int)");
}

static void with_a_notification(PGconn *connection)
{
    desk_do(connection, "notify somebody");
}

static void with_a_deferred_constraint(PGconn *connection)
{
    desk_do(connection, "insert into late values (1), (1)");
}

static void in_copy_from(PGconn *connection)
{
    PQclear(PQexec(connection, "copy account from stdin"));
}

static void with_results_unread(PGconn *connection)
{
    assert_true(PQsendQuery(connection, "select pg_sleep(30)"));
}

static void with_a_pipeline_unread(PGconn *connection)
{
    assert_true(PQenterPipelineMode(connection));
    assert_true(PQsendQueryParams(connection, "select 1", 0, NULL, NULL, NULL, NULL, 0));
    assert_true(PQpipelineSync(connection));
}

static void ended_by_the_server(PGconn *connection)
{
    char sql[100];
    snprintf(sql, sizeof(sql), "select pg_terminate_backend(%d, 5000)", PQbackendPID(connection));
    cluster_do("payments", sql);
}

static const struct {
    spoil *spoil;
    const char *code;
    bool lost;
} handed[] = {
    {with_a_failed_statement, "25P02", false},
    {rolled_back, "transaction_ended", false},
    {ended_and_begun_again, "transaction_ended", false},
    {with_a_temporary_table, "0A000", false},
    {with_a_notification, "0A000", false},
    {with_a_deferred_constraint, "23505", false},
    {in_copy, "connection_busy", false},
    {in_copy_from, "connection_busy", false},
    {with_results_unread, "connection_busy", false},
    {with_a_pipeline_unread, "connection_busy", false},
    {ended_by_the_server, "connection_lost", true},
    {ended, "connection_lost", true},
};

static void hand_over_spoiled(struct shop *shop, size_t i)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 8000);
    desk_join_and_charge(&desk, "l-9", 10);
    handed[i].spoil(desk.connection);
    uint64_t begun_ms = wait_now_ms();
    if (i % 2)
        DESK_FAILS(&desk, troth_hand_over(desk.tx, desk.connection, &desk.result), TROTH_ABORTED,
                   handed[i].code);
    else
        DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, handed[i].code);
    assert_string_equal(desk.result.problem.participant, "payments");
    assert_true(wait_now_ms() - begun_ms < 2000);
    if ((PQstatus(desk.connection) == CONNECTION_BAD) != handed[i].lost)
        fail_msg("case %zu: %s", i, PQerrorMessage(desk.connection));
    if (!handed[i].lost) {
        assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_IDLE);
        desk_do(desk.connection, "select 1");
    }
    desk_wait_no_locks(1500);
    assert_int_equal(desk_charges("l-9"), 0);
    desk_close(&desk);
}

static void whatever_became_of_the_connection_is_told(struct shop *shop)
{
    cluster_do("payments", "drop table if exists late; create table late (a int unique deferrable "
                           "initially deferred)");
    for (size_t i = 0; i < sizeof(handed) / sizeof(handed[0]); i++)
        hand_over_spoiled(shop, i);
    cluster_do("payments", "drop table late");
}

static void a_serialization_failure_at_prepare_is_told(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    PGconn *other = desk_connect("payments");
    desk_begin(&desk, TROTH_2PC, 5000);
    DESK_OK(&desk, troth_join(desk.tx, desk.connection, "payments", &desk.result));
    desk_do(desk.connection, "set transaction isolation level serializable");
    desk_do(other, "begin isolation level serializable");
    desk_do(desk.connection, "select sum(balance) from account");
    desk_do(other, "select sum(balance) from account");
    desk_do(desk.connection, "insert into charge values ('l-10', 1)");
    desk_do(other, "select count(*) from charge");
    desk_do(other, "update account set balance = balance - 1 where customer = 'c1'");
    desk_do(desk.connection, "select count(*) from charge");
    desk_do(other, "commit");
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "40001");
    assert_true(desk.result.problem.passing);
    PQfinish(other);
    desk_close(&desk);
    desk_wait_no_locks(1000);
}

static void what_is_not_prepared_as_it_was_told_aborts_all(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 5000);
    desk_join_and_charge(&desk, "l-11", 10);
    DESK_OK(&desk, troth_hand_over(desk.tx, desk.connection, &desk.result));
    cluster_end_prepared("payments");
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "not_prepared");
    assert_int_equal(desk_charges("l-11"), 0);
    desk_close(&desk);
    desk_wait_no_locks(1000);
}

/* PostgreSQL's texts may be larger than a message; who is to hear of them must hear all the same.
 */
static void a_long_complaint_is_told_at_once(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    cluster_do("payments",
               "create or replace function complain() returns trigger language plpgsql as $$ begin"
               " raise exception '%', repeat('x', 70000); end $$;"
               "create table long (a int); create constraint trigger complain after insert on long"
               " deferrable initially deferred for each row execute function complain()");
    desk_begin(&desk, TROTH_2PC, 20000);
    DESK_OK(&desk,
            troth_execute(desk.tx, "orders.create", "{\"order_id\": \"l-19\"}", &desk.result));
    DESK_OK(&desk, troth_join(desk.tx, desk.connection, "payments", &desk.result));
    desk_do(desk.connection, "insert into long values (1)");
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "P0001");
    desk_wait_no_locks(1500);
    cluster_do("payments", "drop table long; drop function complain()");
    desk_close(&desk);
}

static pid_t stopped;

static void let_go_on(int number)
{
    (void)number;
    kill(stopped, SIGCONT);
}

/* As a host that does not answer: libpq's cancel would wait for it without an end. */
static void a_server_that_takes_no_cancel_holds_up_nobody(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 1000);
    desk_join_and_charge(&desk, "l-18", 10);
    desk_do(desk.connection, "set local statement_timeout = 0");
    assert_true(PQsendQuery(desk.connection, "select pg_sleep(30)"));
    stopped = (pid_t)cluster_value(
        "payments", "select split_part(pg_read_file('postmaster.pid'), e'\n', 1)::int");
    signal(SIGALRM, let_go_on);
    kill(stopped, SIGSTOP);
    alarm(6);
    uint64_t begun_ms = wait_now_ms();
    troth_abort(desk.tx, &desk.result);
    uint64_t took_ms = wait_now_ms() - begun_ms;
    alarm(0);
    let_go_on(SIGALRM);
    assert_true(took_ms < 2500);
    assert_int_equal(PQstatus(desk.connection), CONNECTION_BAD);
    desk_close(&desk);
    desk_wait_no_locks(3000);
}

static void what_was_handed_over_is_left_alone(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    PGconn *closed = desk_connect("payments");
    desk_begin(&desk, TROTH_2PC, 5000);
    desk_join_and_charge(&desk, "l-16", 10);
    DESK_OK(&desk, troth_hand_over(desk.tx, desk.connection, &desk.result));
    DESK_OK(&desk, troth_join(desk.tx, closed, "payments", &desk.result));
    desk_do(closed, "insert into charge values ('l-17', 1)");
    DESK_OK(&desk, troth_hand_over(desk.tx, closed, &desk.result));
    PQfinish(closed);
    desk_do(desk.connection, "begin; select 1");
    cluster_end_prepared("payments");
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "not_prepared");
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_INTRANS);
    desk_do(desk.connection, "rollback");
    desk_close(&desk);
    desk_wait_no_locks(1000);
}

/* ---- between services ---------------------------------------------------------------------- */

static void another_service_takes_part(struct shop *shop)
{
    struct desk desk = desk_open(shop), service = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 8000);
    DESK_OK(&desk,
            troth_execute(desk.tx, "orders.create", "{\"order_id\": \"l-12\"}", &desk.result));
    const char *context = troth_tx_context(desk.tx);
    assert_true(strlen(context) <= TROTH_CONTEXT_BYTES);
    assert_int_equal(strspn(context, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789._-:"),
                     strlen(context));
    DESK_OK(&service, troth_tx_resume(service.troth, context, &service.tx, &service.result));
    assert_string_equal(troth_tx_id(service.tx), troth_tx_id(desk.tx));
    desk_join_and_charge(&service, "l-12", 10);
    DESK_FAILS(&service, troth_commit(service.tx, &service.result), TROTH_REFUSED, "not_yours");
    DESK_OK(&service, troth_hand_over(service.tx, service.connection, &service.result));
    assert_int_equal(PQtransactionStatus(service.connection), PQTRANS_IDLE);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    assert_int_equal(orders_and_charges("l-12"), 1);
    /* Used after the decision. */
    DESK_FAILS(&service, troth_join(service.tx, service.connection, "payments", &service.result),
               TROTH_REFUSED, "over");
    assert_int_equal(PQtransactionStatus(service.connection), PQTRANS_IDLE);
    desk_close(&service);
    desk_close(&desk);
    desk_wait_no_locks(1000);
}

static void what_a_service_has_not_handed_over_aborts_all(struct shop *shop)
{
    struct desk desk = desk_open(shop), service = desk_open(shop);
    struct troth_tx *late;
    desk_begin(&desk, TROTH_2PC, 8000);
    const char *context = troth_tx_context(desk.tx);
    DESK_OK(&service, troth_tx_resume(service.troth, context, &service.tx, &service.result));
    desk_join_and_charge(&service, "l-13", 10);
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "not_handed_over");
    /* The service is late: the transaction is over. */
    DESK_FAILS(&service, troth_hand_over(service.tx, service.connection, &service.result),
               TROTH_ABORTED, "not_handed_over");
    assert_int_equal(PQtransactionStatus(service.connection), PQTRANS_IDLE);
    desk_wait_no_locks(1000);
    assert_int_equal(desk_charges("l-13"), 0);
    DESK_OK(&service, troth_tx_resume(service.troth, context, &late, &service.result));
    DESK_FAILS(&service, troth_execute(late, "orders.note", "{\"id\": \"n\"}", &service.result),
               TROTH_ABORTED, "not_handed_over");
    troth_tx_free(late);
    DESK_FAILS(&desk, troth_tx_resume(desk.troth, "1:shop", &late, &desk.result), TROTH_REFUSED,
               "bad_context");
    desk_close(&service);
    desk_close(&desk);
}

/* ---- who is killed ------------------------------------------------------------------------- */

/* This program again, as another process. */
static pid_t start_again(struct shop *shop, const char *as, const char *context)
{
    const char *words[] = {"t/real/library.t", as, shop->addresses[COORDINATOR], context, NULL};
    return shop_spawn(shop, words, "again.log", NULL);
}

/* It has come so far that it waits to be killed. */
static bool has_said_ready(void *self)
{
    (void)self;
    return cluster_value("payments", "select count(*) from pg_stat_activity where application_name"
                                     " = 'ready'") > 0;
}

static void be_killed(PGconn *connection)
{
    desk_do(connection, "set application_name = ready");
    for (;;)
        pause();
}

/* A client that joined, executed, and is killed before its commit. */
static int run_client(const char *address)
{
    struct troth *troth = troth_open(address, NULL);
    struct troth_options options = {.deadline_ms = 20000};
    struct troth_tx *tx;
    PGconn *payments = PQconnectdb(cluster_conninfo("payments"));
    PGconn *inventory = PQconnectdb(cluster_conninfo("inventory"));
    PGconn *signal = PQconnectdb(cluster_conninfo("payments"));
    if (troth_begin(troth, &options, &tx, NULL) != TROTH_OK ||
        troth_execute(tx, "orders.create", "{\"order_id\": \"l-14\"}", NULL) != TROTH_OK ||
        troth_join(tx, payments, "payments", NULL) != TROTH_OK ||
        troth_join(tx, inventory, "inventory", NULL) != TROTH_OK)
        return 1;
    desk_do(payments, "insert into charge values ('l-14', 1)");
    desk_do(inventory, "update stock set quantity = quantity - 1 where sku = 'lamp'");
    if (troth_hand_over(tx, inventory, NULL) != TROTH_OK)
        return 1;
    be_killed(signal);
    return 0;
}

static void a_client_that_is_killed_leaves_no_lock(struct shop *shop)
{
    pid_t client = start_again(shop, "client", "");
    wait_for(has_said_ready, NULL, 10, "the client has joined");
    kill(client, SIGKILL);
    shop_reap(client);
    desk_wait_no_locks(4000);
    assert_int_equal(orders_and_charges("l-14"), 0);
}

/* A service that prepared, and is killed before it answers. */
static int run_service(const char *address, const char *context)
{
    struct troth *troth = troth_open(address, NULL);
    struct troth_tx *tx;
    PGconn *payments = PQconnectdb(cluster_conninfo("payments"));
    PGconn *signal = PQconnectdb(cluster_conninfo("payments"));
    if (troth_tx_resume(troth, context, &tx, NULL) != TROTH_OK ||
        troth_join(tx, payments, "payments", NULL) != TROTH_OK)
        return 1;
    desk_do(payments, "insert into charge values ('l-15', 1)");
    if (troth_hand_over(tx, payments, NULL) != TROTH_OK)
        return 1;
    be_killed(signal);
    return 0;
}

static void a_service_that_is_killed_after_it_prepared(struct shop *shop)
{
    for (int commit = 0; commit < 2; commit++) {
        struct desk desk = desk_open(shop);
        desk_begin(&desk, TROTH_2PC, 10000);
        pid_t service = start_again(shop, "service", troth_tx_context(desk.tx));
        wait_for(has_said_ready, NULL, 10, "the service has handed over");
        kill(service, SIGKILL);
        shop_reap(service);
        /* It did not answer; the caller may take it either way. */
        if (commit)
            DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
        else
            DESK_OK(&desk, troth_abort(desk.tx, &desk.result));
        desk_wait_no_locks(2000);
        assert_int_equal(desk_charges("l-15"), commit);
        desk_close(&desk);
    }
}

struct told {
    bool called;
    enum troth_status status;
};

static void on_told(void *self, struct troth_result *result)
{
    struct told *told = self;
    told->called = true;
    told->status = result->status;
}

static void dispatch_until(struct desk *desk, const struct told *told, int limit_ms)
{
    uint64_t end_ms = wait_now_ms() + (uint64_t)limit_ms;
    while (!told->called) {
        struct pollfd file = {.fd = troth_fd(desk->troth), .events = POLLIN};
        if (wait_now_ms() >= end_ms)
            fail_msg("`done` was not called within %d ms", limit_ms);
        poll(&file, 1, 100);
        troth_dispatch(desk->troth);
    }
}

/* The decision is durable and the answer lost: the same End in the next session tells. */
static void a_commit_whose_answer_is_lost_is_resolved(struct shop *shop, const char *point,
                                                      enum troth_status expected)
{
    struct told told = {0};
    shop_kill(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, point);
    shop_wait_connected(shop);
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 15000);
    desk_join_and_charge(&desk, "l-16", 10);
    DESK_OK(&desk,
            troth_execute(desk.tx, "orders.create", "{\"order_id\": \"l-16\"}", &desk.result));
    DESK_OK(&desk, troth_hand_over(desk.tx, desk.connection, &desk.result));
    troth_commit_async(desk.tx, on_told, &told);
    shop_wait_end(shop, COORDINATOR);
    shop_start_all(shop);
    dispatch_until(&desk, &told, 16000);
    assert_int_equal(told.status, expected);
    desk_close(&desk);
    desk_wait_no_locks(3000);
    assert_int_equal(desk_charges("l-16"), expected == TROTH_OK);
    assert_int_equal(orders_and_charges("l-16"), expected == TROTH_OK);
}

static void a_coordinator_that_dies_after_it_decided(struct shop *shop)
{
    a_commit_whose_answer_is_lost_is_resolved(shop, "coordinator.decided", TROTH_OK);
}

static void a_coordinator_that_dies_before_it_decides(struct shop *shop)
{
    a_commit_whose_answer_is_lost_is_resolved(shop, "coordinator.ending", TROTH_ABORTED);
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "client") == 0)
        return run_client(argv[2]);
    if (argc >= 4 && strcmp(argv[1], "service") == 0)
        return run_service(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        SHOP_TEST(a_purchase_in_one_request),
        SHOP_TEST(what_became_of_it_is_told_by_its_id),
        SHOP_TEST(steps_commit_in_two_phases),
        SHOP_TEST(steps_commit_in_three_phases),
        SHOP_TEST(a_step_that_fails_aborts_all),
        SHOP_TEST(without_work_there_is_nothing_to_commit),
        SHOP_TEST(the_deadline_ends_it),
        SHOP_TEST(a_caller_that_is_busy_elsewhere_holds_no_lock),
        SHOP_TEST(a_server_that_prepares_nothing_is_not_joined),
        SHOP_TEST(what_is_not_idle_is_not_joined),
        SHOP_TEST(another_database_is_not_joined),
        SHOP_TEST(the_session_is_left_as_it_was),
        SHOP_TEST(whatever_became_of_the_connection_is_told),
        SHOP_TEST(a_serialization_failure_at_prepare_is_told),
        SHOP_TEST(what_is_not_prepared_as_it_was_told_aborts_all),
        SHOP_TEST(a_long_complaint_is_told_at_once),
        SHOP_TEST(a_server_that_takes_no_cancel_holds_up_nobody),
        SHOP_TEST(what_was_handed_over_is_left_alone),
        SHOP_TEST(another_service_takes_part),
        SHOP_TEST(what_a_service_has_not_handed_over_aborts_all),
        SHOP_TEST(a_client_that_is_killed_leaves_no_lock),
        SHOP_TEST(a_service_that_is_killed_after_it_prepared),
        SHOP_TEST(a_coordinator_that_dies_after_it_decided),
        SHOP_TEST(a_coordinator_that_dies_before_it_decides),
    };
    int code = shop_run("library", tests, sizeof(tests) / sizeof(tests[0]));
    cluster_drop("plain");
    return code;
}
