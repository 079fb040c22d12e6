/* Many participants and many transactions at once: fifty agents with a database each are connected,
 * and the memory of a coordinator does not grow with what has gone through it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/real/support/buyers.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

enum { AGENTS = 50, IN_FLIGHT = 2000, SPREAD = 3 };

static const char cluster[] = "crowd";

/* ---- a crowd of agents --------------------------------------------------------------------- */

struct crowd {
    struct shop *shop;
    pid_t agents[AGENTS];
};

static void make_database(int agent)
{
    char sql[100];
    snprintf(sql, sizeof(sql), "create database p%d template crowd", agent);
    cluster_do(cluster, sql);
}

static void start_agent(struct crowd *crowd, int agent)
{
    char name[32], config[128];
    snprintf(name, sizeof(name), "p%d.yaml", agent);
    shop_write(crowd->shop, name,
               "cluster: shop\nparticipant: p%d\ncoordinators: [%s]\n"
               "postgres: {conninfo: \"%s dbname=p%d\", connections: 1, lock_timeout: 2s}\n"
               "operations:\n  note:\n    params: {id: text}\n    sql:\n"
               "      - statement: insert into note values (:id)\n"
               "security: none\n",
               agent, crowd->shop->addresses[COORDINATOR], cluster_conninfo(cluster), agent);
    snprintf(config, sizeof(config), "%s/%s", crowd->shop->folder, name);
    const char *words[] = {"troth-participant", "--config", config, NULL};
    crowd->agents[agent] = shop_spawn(crowd->shop, words, "crowd.log", NULL);
}

/* The schema is installed once, in the database that the others are copies of. */
static void install(struct shop *shop)
{
    char config[128];
    shop_write(shop, "template.yaml",
               "cluster: shop\nparticipant: p0\ncoordinators: [%s]\n"
               "postgres: {conninfo: \"%s\", connections: 1}\n"
               "operations: {note: {params: {id: text}, sql: "
               "[{statement: \"insert into note values (:id)\"}]}}\nsecurity: none\n",
               shop->addresses[COORDINATOR], cluster_conninfo(cluster));
    snprintf(config, sizeof(config), "%s/template.yaml", shop->folder);
    const char *words[] = {"troth-participant", "--config", config, "--install", NULL};
    assert_int_equal(shop_reap(shop_spawn(shop, words, "install.log", NULL)), 0);
}

static bool all_are_up(void *self)
{
    struct said said = shop_say(self, "participant", "list", "--json", NULL);
    int up = 0;
    for (const char *at = said.output; (at = strstr(at, "\"database_up\":true")); at++)
        up++;
    said_fini(&said);
    return up == AGENTS + PROCESSES - ORDERS;
}

static void open_crowd(struct crowd *crowd, struct shop *shop)
{
    *crowd = (struct crowd){.shop = shop};
    cluster_make(cluster, "max_connections = 300\nmax_prepared_transactions = 8000");
    cluster_do(cluster, "create table note (id text not null)");
    install(shop);
    for (int i = 0; i < AGENTS; i++) {
        make_database(i);
        start_agent(crowd, i);
    }
    wait_for(all_are_up, shop, 60, "all of the crowd are connected with their databases");
}

static int64_t count_notes(const char *what)
{
    int64_t count = 0;
    char conninfo[512], sql[100];
    snprintf(sql, sizeof(sql), "select count(%s) from note", what);
    for (int i = 0; i < AGENTS; i++) {
        snprintf(conninfo, sizeof(conninfo), "%s dbname=p%d", cluster_conninfo(cluster), i);
        PGconn *connection = PQconnectdb(conninfo);
        PGresult *result = PQexec(connection, sql);
        assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
        count += strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
        PQfinish(connection);
    }
    return count;
}

static void close_crowd(struct crowd *crowd)
{
    for (int i = 0; i < AGENTS; i++)
        assert_int_equal(kill(crowd->agents[i], SIGTERM), 0);
    for (int i = 0; i < AGENTS; i++)
        assert_int_equal(shop_reap(crowd->agents[i]), 0);
}

/* ---- memory -------------------------------------------------------------------------------- */

/* KiB in memory; in a build with sanitizers much of it is theirs. */
static long resident_kib(struct shop *shop, enum process process)
{
    char path[64], line[200];
    long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)shop->processes[process].pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        (void)!sscanf(line, "VmRSS: %ld", &kib);
    fclose(file);
    assert_true(kib > 0);
    return kib;
}

/* All at once, three databases of fifty each, all the way to applied. */
static void buy_in_the_crowd(struct shop *shop)
{
    struct buyers buyers = {.in_flight = IN_FLIGHT,
                            .total = IN_FLIGHT,
                            .seed = 1,
                            .keyed_percent = 100, /* so that all are committed in the end */
                            .timeout_ms = 60000,
                            .participants = AGENTS,
                            .spread = SPREAD};
    buyers_start(shop, &buyers);
    buyers_wait(shop, &buyers, 120);
    assert_int_equal(buyers_count(shop, &buyers, 'C'), IN_FLIGHT);
}

static void fifty_participants_and_thousands_in_flight_are_fine(struct shop *shop)
{
    struct crowd crowd;
    open_crowd(&crowd, shop);
    uint64_t begun = wait_now_ms();
    long before = resident_kib(shop, COORDINATOR);
    buy_in_the_crowd(shop);
    long first = resident_kib(shop, COORDINATOR);
    buy_in_the_crowd(shop);
    long second = resident_kib(shop, COORDINATOR);
    shop_remark("%d transactions over %d of %d databases twice in %d ms; the coordinator's memory: "
                "%ld KiB, %ld KiB, %ld KiB",
                IN_FLIGHT, SPREAD, AGENTS, (int)(wait_now_ms() - begun), before, first, second);
    assert_int_equal(count_notes("*"), 2 * IN_FLIGHT * SPREAD);
    assert_int_equal(count_notes("distinct id"), 2 * IN_FLIGHT * SPREAD);
    assert_int_equal(cluster_value(cluster, "select count(*) from pg_prepared_xacts"), 0);
    /* Some 4 KiB for each that was in flight at the same time, history and results included, and as
     * much again for an allocator that gives nothing back. */
    assert_true(first - before < IN_FLIGHT * 8);
    close_crowd(&crowd);
    books_wait_settled(shop);
}

/* AddressSanitizer keeps what is freed for a while: a little will do here. */
static void bound_quarantine(void)
{
    const char *options = getenv("ASAN_OPTIONS");
    char *bounded = xasprintf("%s:quarantine_size_mb=1", options ? options : "");
    setenv("ASAN_OPTIONS", bounded, 1);
    free(bounded);
}

int main(void)
{
    bound_quarantine();
    const struct CMUnitTest tests[] = {
        SHOP_TEST(fifty_participants_and_thousands_in_flight_are_fine)};
    int failed = shop_run("crowd", tests, 1);
    cluster_drop(cluster);
    return failed;
}
