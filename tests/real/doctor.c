/* What `troth doctor` finds in a shop on real databases that are set wrongly for real. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

/* What it says, as JSON in unbroken lines; anywhere else than at the coordinator: that participant.
 */
struct saying {
    struct shop *shop;
    enum process at;
    int code;
    const char *text;
};

static struct said ask(const struct saying *saying)
{
    return shop_say_at(saying->shop, saying->at, "--json", "--timeout", "10s", "doctor", NULL);
}

static bool is_said(void *self)
{
    const struct saying *saying = self;
    struct said said = ask(saying);
    bool found = said.code == saying->code && strstr(said.output, saying->text) != NULL;
    said_fini(&said);
    return found;
}

/* Fails with what it said last. */
static void wait_said(struct shop *shop, enum process at, int code, const char *text)
{
    struct saying saying = {shop, at, code, text};
    if (wait_while_not(is_said, &saying, 20))
        return;
    struct said said = ask(&saying);
    said_has(&said, text);
    assert_int_equal(said.code, code);
    said_fini(&said);
}

static void well(struct shop *shop)
{
    wait_said(shop, COORDINATOR, 0, "\"well\":true");
}

static void a_shop_that_is_well_is_said_to_be(struct shop *shop)
{
    well(shop);
    struct said said = shop_ask(shop, "doctor", NULL);
    assert_int_equal(said.code, 0);
    said_has(&said, "\ndatabase of payments\n  ok       PostgreSQL 1");
    said_has(&said, "\ndatabase of inventory\n  ok       PostgreSQL 1");
    said_has(&said, "\nclocks\n  ok       differ by less than a second");
    said_has(&said, "\nnothing is wrong\n");
    said_fini(&said);
    /* A participant can't vouch for the coordinator, and for the rest it can. */
    said = shop_ask_to(shop, shop->addresses[PAYMENTS], "doctor", NULL);
    assert_int_equal(said.code, 1);
    said_has(&said, "\ncoordinator\n  warning  not asked");
    said_has(&said, "\ndatabase of payments\n  ok       PostgreSQL 1");
    said_has(&said, "\n0 problems, 1 warning\n");
    said_fini(&said);
}

static void settings_that_lose_what_was_committed_are_found(struct shop *shop)
{
    cluster_do("payments", "alter system set fsync = off");
    cluster_do("payments", "alter system set full_page_writes = off");
    cluster_do("payments", "select pg_reload_conf()");
    wait_said(shop, COORDINATOR, 1, "\"message\":\"fsync is off: ");
    wait_said(shop, PAYMENTS, 1,
              "\"level\":\"problem\",\"subject\":\"database of payments\","
              "\"message\":\"full_page_writes is off: ");
    cluster_do("payments", "alter system reset fsync");
    cluster_do("payments", "alter system reset full_page_writes");
    cluster_do("payments", "select pg_reload_conf()");
    well(shop);
}

static void a_table_that_is_gone_is_found(struct shop *shop)
{
    cluster_do("inventory", "alter table troth.settled rename to settled_away");
    wait_said(shop, COORDINATOR, 1, "\"message\":\"troth.settled is missing\"");
    cluster_do("inventory", "alter table troth.settled_away rename to settled");
    well(shop);
}

static void what_others_have_prepared_is_found(struct shop *shop)
{
    PGconn *other = PQconnectdb(cluster_conninfo("inventory"));
    PQclear(PQexec(other, "begin; insert into note values ('x'); prepare transaction 'theirs'"));
    wait_said(shop, COORDINATOR, 1, "1 prepared transaction in it is not this cluster's");
    PGresult *result = PQexec(other, "rollback prepared 'theirs'");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(other);
    well(shop);
}

/* Nobody waits for ever, and the others' databases are told of. */
static void a_participant_that_does_not_answer_is_a_finding(struct shop *shop)
{
    shop_signal(shop, PAYMENTS, SIGSTOP);
    struct said said = shop_say(shop, "--timeout", "10s", "doctor", NULL);
    shop_signal(shop, PAYMENTS, SIGCONT);
    assert_int_equal(said.code, 1);
    said_has(&said, "\ndatabase of payments\n  warning  it could not be looked at: ");
    said_has(&said, "\ndatabase of inventory\n  ok       PostgreSQL 1");
    said_fini(&said);
    shop_wait_connected(shop);
    well(shop);
}

static void a_database_that_is_away_is_a_finding(struct shop *shop)
{
    cluster_call("cluster_stop", "inventory");
    wait_said(shop, COORDINATOR, 1, "\"message\":\"its database is down: ");
    cluster_call("cluster_start", "inventory");
    well(shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(a_shop_that_is_well_is_said_to_be),
        SHOP_TEST(settings_that_lose_what_was_committed_are_found),
        SHOP_TEST(a_table_that_is_gone_is_found),
        SHOP_TEST(what_others_have_prepared_is_found),
        SHOP_TEST(a_participant_that_does_not_answer_is_a_finding),
        SHOP_TEST(a_database_that_is_away_is_a_finding),
    };
    return shop_run("doctor", tests, sizeof(tests) / sizeof(tests[0]));
}
