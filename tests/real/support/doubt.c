#include "tests/real/support/doubt.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/id.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/wait.h"

int doubt_prepared(const char *participant)
{
    return (int)cluster_value(participant, "select count(*) from pg_prepared_xacts");
}

/* The id of the only transaction that is prepared in the database of orders. */
static void read_gtrid(char *gtrid, size_t size)
{
    struct gid id;
    PGresult *result = cluster_query("orders", "select gid from pg_prepared_xacts");
    assert_int_equal(PQntuples(result), 1);
    assert_true(gid_parse(PQgetvalue(result, 0, 0), &id));
    gtrid_text text;
    gtrid_format(text, id.cluster, id.coordinator, id.tx);
    snprintf(gtrid, size, "%s", text);
    PQclear(result);
}

void doubt_make(struct shop *shop, struct purchase *purchase, const char *point, char *gtrid,
                size_t size)
{
    purchase->timeout = "5s";
    shop_stop(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, point);
    shop_wait_ready(shop);
    /* Just after the starts a session may still be lost, which aborts: nothing was decided then. */
    int told = purchase_make(shop, purchase);
    for (int i = 0; told == TOLD_ABORTED && i < 3; i++)
        told = purchase_make(shop, purchase);
    assert_int_equal(told, TOLD_UNKNOWN);
    shop_wait_end(shop, COORDINATOR);
    for (enum process p = ORDERS; p < PROCESSES; p++)
        books_wait_prepared(process_names[p], 1);
    read_gtrid(gtrid, size);
}

void doubt_lose_journal(struct shop *shop)
{
    char *command = xasprintf("rm -rf '%s/journal'", shop->folder);
    assert_int_equal(system(command), 0);
    free(command);
}

/* How many prepared transactions participants report as held. */
bool doubt_all_held(void *self)
{
    struct said said = shop_say(self, "participant", "list", "--json", NULL);
    int held = 0;
    for (const char *at = said.output; (at = strstr(at, "\"troth.shop.c1.")); at++)
        held++;
    said_fini(&said);
    return held == 3;
}

void doubt_hold(struct shop *shop, struct purchase *purchase, char *gtrid, size_t size)
{
    doubt_make(shop, purchase, "coordinator.decided", gtrid, size);
    doubt_lose_journal(shop);
    shop_start_all(shop);
    wait_for(doubt_all_held, shop, 20, "all three branches are held");
}
