/* A start with a past: 10,000 transactions that are decided and that nobody has acknowledged,
 * really prepared in a database; and one that a checkpoint was made over. */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/journal_filler.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

enum { TRANSACTIONS = 10000, EPOCH = 1000, READY_SECONDS = 10 };

/* The ledger is one more participant, with a cluster of its own that has room for all of them. */
static const char cluster[] = "ledger";

/* ---- the past ------------------------------------------------------------------------------ */

/* Several statements that can't share a transaction: one at a time, many on their way. */
static void prepare_all(void)
{
    char sql[400];
    gid_text gid;
    PGconn *connection = PQconnectdb(cluster_conninfo(cluster));
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    for (uint64_t seq = 1; seq <= TRANSACTIONS; seq++) {
        gid_format(gid, "shop", "c1", (struct txid){EPOCH, seq}, 0);
        snprintf(sql, sizeof(sql),
                 "begin; insert into note values ('n%" PRIu64 "'); prepare transaction '%s'", seq,
                 gid);
        PGresult *result = PQexec(connection, sql);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            fail_msg("%s", PQerrorMessage(connection));
        PQclear(result);
    }
    PQfinish(connection);
}

static uint64_t *read_xids(void)
{
    uint64_t *xids = xcalloc(TRANSACTIONS + 1, sizeof(*xids));
    /* In a cluster this young the transaction ids of 32 bits are the whole ones. */
    PGresult *result = cluster_query(cluster, "select gid, transaction from pg_prepared_xacts");
    assert_int_equal(PQntuples(result), TRANSACTIONS);
    for (int i = 0; i < TRANSACTIONS; i++) {
        struct gid gid;
        assert_true(gid_parse(PQgetvalue(result, i, 0), &gid));
        xids[gid.tx.seq] = strtoull(PQgetvalue(result, i, 1), NULL, 10);
    }
    PQclear(result);
    return xids;
}

static void write_started(struct journal_filler *filler)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Started started = JOURNAL__STARTED__INIT;
    started.epoch = EPOCH;
    started.cluster = (char *)"shop";
    started.coordinator = (char *)"c1";
    started.software = (char *)"troth";
    record.body_case = JOURNAL__RECORD__BODY_STARTED;
    record.started = &started;
    journal_filler_add(filler, &record);
}

static void write_committed(struct journal_filler *filler, uint64_t seq, uint64_t xid)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Committed committed = JOURNAL__COMMITTED__INIT;
    Journal__Branch branch = JOURNAL__BRANCH__INIT, *branches[] = {&branch};
    branch.participant = (char *)cluster;
    branch.xid = xid;
    committed.epoch = EPOCH;
    committed.seq = seq;
    committed.branches = branches;
    committed.n_branches = 1;
    record.body_case = JOURNAL__RECORD__BODY_COMMITTED;
    record.committed = &committed;
    journal_filler_add(filler, &record);
}

static void write_journal(const char *directory)
{
    uint64_t *xids = read_xids();
    struct journal_filler *filler = journal_filler_open(directory);
    write_started(filler);
    for (uint64_t seq = 1; seq <= TRANSACTIONS; seq++)
        write_committed(filler, seq, xids[seq]);
    journal_filler_close(filler);
    free(xids);
}

/* ---- a second shop beside the first ---------------------------------------------------------- */

/* Its coordinator and its only participant. */
struct past {
    struct shop *shop;
    char address[64], directory[128];
    pid_t coordinator, participant;
    long log_offset; /* of this run of the coordinator */
    int prepared;    /* what prepared_at_most looks for */
};

static void configure(struct past *past)
{
    struct shop *shop = past->shop;
    snprintf(past->address, sizeof(past->address), "tcp://127.0.0.1:%d", shop_free_port());
    snprintf(past->directory, sizeof(past->directory), "%s/past", shop->folder);
    shop_write(shop, "past.yaml",
               "cluster: shop\ncoordinator: c1\nlisten: %s\n"
               "journal: {store: file, directory: %s}\nsecurity: none\n",
               past->address, past->directory);
    shop_write(shop, "ledger.yaml",
               "cluster: shop\nparticipant: ledger\ncoordinators: [%s]\n"
               "postgres: {conninfo: \"%s\", connections: 4}\nsecurity: none\n"
               "operations:\n  note:\n    params: {id: text}\n    sql:\n"
               "      - statement: insert into note values (:id)\n",
               past->address, cluster_conninfo(cluster));
}

static pid_t start(struct shop *shop, const char *program, const char *name, bool install)
{
    char config[128], log[64];
    snprintf(config, sizeof(config), "%s/%s.yaml", shop->folder, name);
    snprintf(log, sizeof(log), "%s.log", name);
    const char *words[] = {program, "--config", config, install ? "--install" : NULL, NULL};
    return shop_spawn(shop, words, log, NULL);
}

static bool coordinator_is_ready(void *self)
{
    struct past *past = self;
    char *log = shop_file_read(past->shop, "past.log", past->log_offset);
    bool ready = strstr(log, "ready: ") != NULL;
    free(log);
    return ready;
}

static bool prepared_at_most(void *self)
{
    const struct past *past = self;
    return cluster_value(cluster, "select count(*) from pg_prepared_xacts") <= past->prepared;
}

static void wait_prepared_at_most(struct past *past, int count)
{
    past->prepared = count;
    wait_for(prepared_at_most, past, 60, "the prepared transactions become fewer");
}

static bool nothing_is_owed(void *self)
{
    struct past *past = self;
    const char *words[] = {"--coordinator", past->address, "tx", "list", "--in-doubt",
                           "--json",        "--timeout",   "5s", NULL};
    struct said said = shop_command(past->shop, words);
    bool nothing = said.code == 0 && !strstr(said.output, "\"gtrid\"");
    said_fini(&said);
    return nothing;
}

static void stop(pid_t pid)
{
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(shop_reap(pid), 0);
}

static void start_coordinator(struct past *past)
{
    uint64_t begun = wait_now_ms();
    past->log_offset = shop_file_size(past->shop, "past.log");
    past->coordinator = start(past->shop, "trothd", "past", false);
    wait_for(coordinator_is_ready, past, READY_SECONDS, "the coordinator is ready");
    shop_remark("the coordinator is ready %d ms after its start", (int)(wait_now_ms() - begun));
}

static void start_participant(struct past *past)
{
    past->participant = start(past->shop, "troth-participant", "ledger", false);
}

static void kill_process(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    shop_reap(pid);
}

/* Both are killed in the middle of it, too. */
static void carry_out_all(struct past *past)
{
    start_participant(past);
    wait_prepared_at_most(past, TRANSACTIONS * 3 / 4);
    kill_process(past->coordinator);
    start_coordinator(past);
    wait_prepared_at_most(past, TRANSACTIONS / 2);
    kill_process(past->participant);
    start_participant(past);
    wait_prepared_at_most(past, 0);
    wait_for(nothing_is_owed, past, 20, "all are acknowledged");
}

static void many_decided_transactions_are_all_carried_out_and_none_twice(struct shop *shop)
{
    struct past past = {.shop = shop};
    cluster_make(cluster, "max_prepared_transactions = 12000\nmax_connections = 30");
    cluster_do(cluster, "create table note (id text not null)");
    configure(&past);
    prepare_all();
    write_journal(past.directory);
    assert_int_equal(shop_reap(start(shop, "troth-participant", "ledger", true)), 0);
    start_coordinator(&past);
    char *log = shop_file_read(shop, "past.log", 0);
    assert_non_null(strstr(log, "10000 transactions to be carried out"));
    free(log);
    carry_out_all(&past);
    assert_int_equal(cluster_value(cluster, "select count(*) from note"), TRANSACTIONS);
    assert_int_equal(cluster_value(cluster, "select count(distinct id) from note"), TRANSACTIONS);
    stop(past.participant);
    stop(past.coordinator);
}

/* ---- a checkpoint in between ----------------------------------------------------------------- */

/* The checkpoint is made when it is the only segment. */
static bool one_segment_is_left(void *self)
{
    struct shop *shop = self;
    char path[128];
    int segments = 0;
    snprintf(path, sizeof(path), "%s/journal", shop->folder);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        segments += strstr(entry->d_name, ".journal") != NULL;
    closedir(folder);
    return segments == 1;
}

static void what_is_not_applied_outlives_a_checkpoint(struct shop *shop)
{
    struct purchase purchase = {.wait = "decided"};
    shop_stop(shop, INVENTORY);
    shop_start(shop, INVENTORY, "participant.commit-received");
    shop_wait_ready(shop);
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    shop_wait_end(shop, INVENTORY);
    books_wait_prepared("orders", 0);
    books_wait_prepared("payments", 0);
    shop_kill(shop, COORDINATOR);
    journal_fill(shop);
    assert_false(one_segment_is_left(shop));
    shop_start(shop, COORDINATOR, NULL);
    wait_for(one_segment_is_left, shop, 20, "a checkpoint is made");
    shop_kill(shop, COORDINATOR);
    assert_int_equal(cluster_value("inventory", "select count(*) from pg_prepared_xacts"), 1);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
    assert_int_equal(books_count(purchase.order), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(many_decided_transactions_are_all_carried_out_and_none_twice),
        SHOP_TEST(what_is_not_applied_outlives_a_checkpoint)};
    int failed = shop_run("recovery", tests, 2);
    cluster_drop(cluster);
    return failed;
}
