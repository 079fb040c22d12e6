#include "tests/real/support/saga_shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/shop_files.h"

/* ---- tables -------------------------------------------------------------------------------- */

void saga_shop_empty(void)
{
    for (enum process p = ORDERS; p < PROCESSES; p++)
        cluster_do(process_names[p], "truncate deed");
    cluster_do("payments", "insert into account values ('goods', 100000)");
}

static void make_tables(void)
{
    for (enum process p = ORDERS; p < PROCESSES; p++)
        cluster_do(process_names[p], "set client_min_messages = error;"
                                     "drop table if exists deed;"
                                     "create table deed (step text not null, id text not null,"
                                     "  detail text not null);"
                                     "create index on deed (id)");
}

/* ---- configurations ------------------------------------------------------------------------ */

/* An operation that leaves its deed and nothing else. */
#define DEED(name, params, id, detail)                                                             \
    "  " name ":\n    params: {" params "}\n    sql:\n" DEED_ROW(name, id, detail)
#define DEED_ROW(name, id, detail)                                                                 \
    "      - statement: insert into deed values ('" name "', " id ", " detail ")\n"

static const char *const operations[PROCESSES] = {
    [ORDERS] =
        "  create:\n"
        "    params: {order_id: text, customer: text, sku: text, quantity: integer,"
        " amount: numeric}\n"
        "    sql:\n"
        "      - statement: insert into orders values (:order_id)\n" DEED_ROW(
            "create", ":order_id", "concat_ws(' ', :customer, :sku, :quantity, :amount)")
            DEED("cancel", "order_id: text", ":order_id",
                 "''") DEED("confirm", "order_id: text, fee: numeric", ":order_id", ":fee")
                DEED("request_refund", "order_id: text, amount: numeric", ":order_id",
                     ":amount") DEED("drop_refund_request", "order_id: text", ":order_id", "''")
                    DEED("refuse_refund", "order_id: text, reason: text", ":order_id", ":reason")
                        DEED("notify", "order_id: text, message: text", ":order_id", ":message"),
    [PAYMENTS] =
        "  charge:\n"
        "    params: {order_id: text, customer: text, amount: numeric}\n"
        "    sql:\n"
        "      - statement: update account set balance = balance - :amount where customer = "
        ":customer and balance >= :amount\n"
        "        expect: {rows: 1, else: insufficient_funds}\n" DEED_ROW(
            "charge", ":order_id",
            ":customer") "      - statement: insert into charge values (:order_id, :amount) "
                         "returning amount\n"
                         "        result: row\n"
                         /* To whom it was charged; an order that this book does not know was ada's.
                          */
                         "  refund:\n"
                         "    params: {order_id: text, amount: numeric}\n"
                         "    sql:\n"
                         "      - statement: update account set balance = balance + :amount where "
                         "customer = "
                         "coalesce((select min(detail) from deed where step = 'charge' and id = "
                         ":order_id), 'ada')\n"
                         "        expect: {rows: 1, else: no_such_account}\n" DEED_ROW(
                             "refund", ":order_id",
                             ":amount") "      - statement: insert into charge values (:order_id, "
                                        "-:amount)\n"
                                        "  quote:\n"
                                        "    read_only: true\n"
                                        "    params: {customer: text, amount: numeric}\n"
                                        "    sql:\n"
                                        "      - statement: select round(:amount * 0.02, 2) as fee "
                                        "from account where customer = "
                                        ":customer\n"
                                        "        expect: {rows: 1, else: no_such_account}\n"
                                        "        result: row\n"
                                        "  reserve_budget:\n"
                                        "    params: {delivery_id: text, amount: numeric}\n"
                                        "    sql:\n"
                                        "      - statement: update account set balance = balance - "
                                        ":amount where customer = "
                                        "'goods' and balance >= :amount\n"
                                        "        expect: {rows: 1, else: over_budget}\n" DEED_ROW(
                                            "reserve_budget", ":delivery_id",
                                            ":amount") "      - statement: insert into charge "
                                                       "values (:delivery_id, :amount)\n"
                                                       "  release_budget:\n"
                                                       "    params: {delivery_id: text}\n"
                                                       "    sql:\n"
                                                       "      - statement: update account set "
                                                       "balance = balance + (select sum(amount) "
                                                       "from charge "
                                                       "where order_id = :delivery_id) where "
                                                       "customer = 'goods'\n" DEED_ROW(
                                                           "release_budget", ":delivery_id",
                                                           "''") "      - statement: insert into "
                                                                 "charge select order_id, -amount "
                                                                 "from charge where order_id "
                                                                 "= :delivery_id\n"
                                                                 "  linger:\n"
                                                                 "    params: {id: text, seconds: "
                                                                 "float8}\n"
                                                                 "    sql:\n"
                                                                 "      - statement: select "
                                                                 "pg_sleep(:seconds)\n" DEED_ROW(
                                                                     "linger", ":id", "''")
                                                                     DEED("hurry", "id: text",
                                                                          ":id", "''"),
    [INVENTORY] =
        "  reserve:\n"
        "    params: {order_id: text, sku: text, quantity: integer}\n"
        "    sql:\n"
        "      - statement: update stock set quantity = quantity - :quantity where sku = :sku and "
        "quantity >= :quantity\n"
        "        expect: {rows: 1, else: out_of_stock}\n" DEED_ROW(
            "reserve", ":order_id",
            ":sku") "      - statement: insert into reservation values (:order_id, :quantity)\n"
                    "  release:\n"
                    "    params: {order_id: text}\n"
                    "    sql:\n"
                    "      - statement: update stock set quantity = quantity + (select "
                    "sum(r.quantity) from "
                    "reservation r where order_id = :order_id) where sku = (select min(detail) "
                    "from deed where "
                    "step = 'reserve' and id = :order_id)\n"
                    "        expect: {rows: 1, else: not_reserved}\n" DEED_ROW(
                        "release", ":order_id",
                        "''") "      - statement: insert into reservation select order_id, "
                              "-quantity from reservation "
                              "where order_id = :order_id\n" DEED(
                                  "ship", "order_id: text", ":order_id",
                                  "''") "  order:\n"
                                        "    params: {delivery_id: text, supplier: text, sku: "
                                        "text, quantity: integer}\n"
                                        "    sql:\n"
                                        "      - statement: insert into deed select 'order', "
                                        ":delivery_id, :supplier from stock "
                                        "where sku = :sku returning 10 * :quantity as price\n"
                                        "        expect: {rows: 1, else: no_such_goods}\n"
                                        "        result: row\n" DEED("cancel_delivery",
                                                                     "delivery_id: text",
                                                                     ":delivery_id", "''")
                                            DEED("close_restock",
                                                 "restock_id: text, lines: integer, price: numeric",
                                                 ":restock_id", "concat_ws(' ', :lines, :price)"),
};

/* Its second step is given up long before it is done, however slow a restart is meanwhile. */
static const char linger[] =
    "saga: linger\nversion: 1\ninput: {id: string}\n"
    "steps:\n"
    "  - name: order\n"
    "    call: inventory.order\n"
    "    with: {delivery_id: \"${ .input.id }\", supplier: none, sku: lamp, quantity: 1}\n"
    "    compensate: {call: inventory.cancel_delivery, with: {delivery_id: \"${ .input.id }\"}}\n"
    "  - name: linger\n"
    "    call: payments.linger\n"
    "    with: {id: \"${ .input.id }\", seconds: 60}\n"
    "    compensate: {call: payments.hurry, with: {id: \"${ .input.id }\"}}\n"
    "    timeout: 300ms\n"
    "    retry: {attempts: 1}\n";

static void write_definitions(struct shop *shop)
{
    char *command = xasprintf("rm -rf '%s/sagas' && cp -r '%s/examples/sagas' '%s/sagas'",
                              shop->folder, TROTH_SOURCE, shop->folder);
    assert_int_equal(system(command), 0);
    free(command);
    shop_write(shop, "sagas/linger.yaml", "%s", linger);
}

void saga_shop_make(struct shop *shop)
{
    char name[64];
    make_tables();
    write_definitions(shop);
    shop_write(shop, "trothd.yaml",
               "cluster: shop\ncoordinator: c1\nlisten: %s\n"
               "journal: {store: file, directory: %s/journal}\nsagas: %s/sagas\nsecurity: none\n",
               shop->addresses[COORDINATOR], shop->folder, shop->folder);
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        snprintf(name, sizeof(name), "%s.yaml", process_names[p]);
        shop_write(shop, name,
                   "cluster: shop\nparticipant: %s\ncoordinators: [%s]\nlisten: %s\n"
                   "postgres: {conninfo: \"%s\", connections: 8, lock_timeout: 2s}\n"
                   "operations:\n%ssecurity: none\n",
                   process_names[p], shop->addresses[COORDINATOR], shop->addresses[p],
                   cluster_conninfo(process_names[p]), operations[p]);
    }
}

/* ---- the books ----------------------------------------------------------------------------- */

const struct deed order_deeds[] = {
    {"orders", "create", "cancel"},
    {"inventory", "reserve", "release"},
    {"payments", "charge", "refund"},
    {"orders", "confirm", NULL},
    {"inventory", "ship", NULL},
    {"orders", "notify", NULL},
    {NULL, NULL, NULL},
};
const struct deed delivery_deeds[] = {
    {"inventory", "order", "cancel_delivery"},
    {"payments", "reserve_budget", "release_budget"},
    {NULL, NULL, NULL},
};
const struct deed restock_deeds[] = {{"inventory", "close_restock", NULL}, {NULL, NULL, NULL}};
const struct deed refund_deeds[] = {
    {"orders", "request_refund", "drop_refund_request"},
    {"payments", "refund", NULL},
    {"orders", "notify", NULL},
    {NULL, NULL, NULL},
};
const struct deed refusal_deeds[] = {
    {"orders", "request_refund", "drop_refund_request"},
    {"orders", "refuse_refund", NULL},
    {"orders", "notify", NULL},
    {NULL, NULL, NULL},
};

const struct deed linger_deeds[] = {
    {"inventory", "order", "cancel_delivery"},
    {"payments", "linger", "hurry"},
    {NULL, NULL, NULL},
};

int deed_count(const char *participant, const char *step, const char *id)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "select count(*) from deed where step = '%s' and id = '%s'", step,
             id);
    return (int)cluster_value(participant, sql);
}

void deeds_check_completed(const struct deed *deeds, const char *id)
{
    for (const struct deed *deed = deeds; deed->participant; deed++) {
        int done = deed_count(deed->participant, deed->step, id);
        int undone = deed->undo ? deed_count(deed->participant, deed->undo, id) : 0;
        if (done != 1 || undone != 0)
            fail_msg("%s is completed, with %s.%s done %d and undone %d times", id,
                     deed->participant, deed->step, done, undone);
    }
}

void deeds_check_compensated(const struct deed *deeds, const char *id)
{
    for (const struct deed *deed = deeds; deed->participant; deed++) {
        int done = deed_count(deed->participant, deed->step, id);
        int undone = deed->undo ? deed_count(deed->participant, deed->undo, id) : 0;
        if (done != undone || done > 1)
            fail_msg("%s is compensated, with %s.%s done %d and undone %d times", id,
                     deed->participant, deed->step, done, undone);
    }
}

void saga_books_check(void)
{
    for (enum process p = ORDERS; p < PROCESSES; p++)
        assert_int_equal(cluster_value(process_names[p], "select count(*) from pg_prepared_xacts"),
                         0);
    /* In cents; of what was refunded without a charge in these books. */
    assert_int_equal(cluster_value("payments",
                                   "select 100 * ((select sum(balance) from account)"
                                   "  + (select coalesce(sum(amount), 0) from charge))"),
                     100 * (SHOP_MONEY * (SHOP_CUSTOMERS + 1) + 100000));
    assert_int_equal(cluster_value("inventory",
                                   "select (select sum(quantity) from stock)"
                                   "  + (select coalesce(sum(quantity), 0) from reservation)"),
                     SHOP_LAMPS * (SHOP_CUSTOMERS + 1));
}
