#include "tests/real/support/library_desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/wait.h"

struct desk desk_open(struct shop *shop)
{
    struct desk desk = {.shop = shop};
    desk.troth = troth_open(shop->addresses[COORDINATOR], &desk.result);
    assert_non_null(desk.troth);
    desk.connection = desk_connect("payments");
    return desk;
}

void desk_close(struct desk *desk)
{
    troth_tx_free(desk->tx);
    troth_close(desk->troth);
    troth_result_clear(&desk->result);
    PQfinish(desk->connection);
    *desk = (struct desk){0};
}

PGconn *desk_connect(const char *cluster)
{
    PGconn *connection = PQconnectdb(cluster_conninfo(cluster));
    if (PQstatus(connection) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(connection));
    return connection;
}

void desk_do(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(connection));
    PQclear(result);
}

void desk_expect(struct desk *desk, enum troth_status is, enum troth_status expected,
                 const char *code)
{
    const struct troth_problem *problem = &desk->result.problem;
    assert_int_equal(is, desk->result.status);
    if (is == expected && (expected == TROTH_OK || strcmp(problem->code, code) == 0))
        return;
    fail_msg("%s (%s), expected %s (%s): %s\n  detail: %s\n  hint: %s", troth_status_name(is),
             problem->code, troth_status_name(expected), code, problem->message, problem->detail,
             problem->hint);
}

void desk_begin(struct desk *desk, enum troth_protocol protocol, uint32_t deadline_ms)
{
    struct troth_options options = {.protocol = protocol, .deadline_ms = deadline_ms};
    troth_tx_free(desk->tx);
    DESK_OK(desk, troth_begin(desk->troth, &options, &desk->tx, &desk->result));
}

void desk_join_and_charge(struct desk *desk, const char *order, int amount)
{
    char sql[300];
    DESK_OK(desk, troth_join(desk->tx, desk->connection, "payments", &desk->result));
    snprintf(sql, sizeof(sql),
             "update account set balance = balance - %d where customer = 'ada';"
             "insert into charge values ('%s', %d)",
             amount, order, amount);
    desk_do(desk->connection, sql);
}

int desk_charges(const char *order)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "select count(*) from charge where order_id = '%s'", order);
    return (int)cluster_value("payments", sql);
}

static bool no_locks(void *self)
{
    (void)self;
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (cluster_value(process_names[p],
                          "select count(*) from pg_prepared_xacts where gid like 'troth.%'") > 0 ||
            cluster_value(process_names[p],
                          "select count(*) from pg_locks where relation in ("
                          "select oid from pg_class where relname in"
                          " ('account', 'charge', 'orders', 'stock', 'reservation'))") > 0)
            return false;
    }
    return true;
}

void desk_wait_no_locks(int limit_ms)
{
    uint64_t end_ms = wait_now_ms() + (uint64_t)limit_ms;
    while (!no_locks(NULL)) {
        if (wait_now_ms() > end_ms)
            fail_msg("a lock or a prepared transaction is left after %d ms", limit_ms);
        usleep(20000);
    }
}
