/* A caller's own connection in a transaction: in whatever state libtroth finds it, the caller is
 * told clearly, it is idle afterwards if it lives, and nothing of it is left. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "include/troth.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/library_desk.h"
#include "tests/real/support/wait.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    int code = shop_run("library_joined", tests, sizeof(tests) / sizeof(tests[0]));
    cluster_drop("plain");
    return code;
}
