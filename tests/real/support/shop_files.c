#include "tests/real/support/shop_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"

/* ---- files --------------------------------------------------------------------------------- */

void shop_write(struct shop *shop, const char *name, const char *format, ...)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", shop->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    assert_int_equal(fclose(file), 0);
}

long shop_file_size(struct shop *shop, const char *name)
{
    char path[128];
    struct stat facts;
    snprintf(path, sizeof(path), "%s/%s", shop->folder, name);
    return stat(path, &facts) == 0 ? (long)facts.st_size : 0;
}

char *shop_file_read(struct shop *shop, const char *name, long offset)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", shop->folder, name);
    long size = shop_file_size(shop, name) - offset;
    char *text = xcalloc(1, size > 0 ? (size_t)size + 1 : 1);
    FILE *file = fopen(path, "r");
    if (!file)
        return text;
    if (size > 0 && fseek(file, offset, SEEK_SET) == 0)
        text[fread(text, 1, (size_t)size, file)] = '\0';
    fclose(file);
    return text;
}

static void judge_log(struct shop *shop, const char *name)
{
    static const char *const bad[] = {"broken invariant", "Sanitizer", "runtime error:"};
    char *text = shop_file_read(shop, name, 0);
    const char *found = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        found = found ? found : strstr(text, bad[i]);
    if (found)
        print_error("%.*s\n", 1000, found);
    free(text);
    if (found)
        fail_msg("%s/%s tells a bug", shop->folder, name);
}

void shop_files_judge(struct shop *shop)
{
    DIR *folder = opendir(shop->folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size > 4 && strcmp(entry->d_name + size - 4, ".log") == 0)
            judge_log(shop, entry->d_name);
    }
    closedir(folder);
}

/* ---- tables -------------------------------------------------------------------------------- */

/* Without keys, so that a purchase that is made twice is seen, not refused. */
static const char *const tables[PROCESSES] = {
    [ORDERS] = "create table if not exists orders (id text not null);"
               "create index if not exists orders_id on orders (id);",
    [PAYMENTS] = "create table if not exists account (customer text primary key,"
                 "  balance numeric not null);"
                 "create table if not exists charge (order_id text not null, amount numeric not "
                 "null);",
    [INVENTORY] = "create table if not exists stock (sku text primary key, quantity int not null);"
                  "create table if not exists reservation (order_id text not null,"
                  "  quantity int not null);",
};

/* In each database. */
static const char common_tables[] = "create table if not exists note (id text not null);"
                                    "create table if not exists member (id text primary key)";

static void make_tables(void)
{
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        char *sql = xasprintf("set client_min_messages = error; %s%s", tables[p], common_tables);
        cluster_do(process_names[p], sql);
        free(sql);
    }
}

void shop_empty_tables(void)
{
    char sql[512];
    cluster_do("orders", "truncate orders, note, member");
    snprintf(sql, sizeof(sql),
             "truncate account, charge, note, member; insert into account values ('ada', %d);"
             "insert into account select 'c' || n, %d from generate_series(0, %d) n",
             SHOP_MONEY, SHOP_MONEY, SHOP_CUSTOMERS - 1);
    cluster_do("payments", sql);
    snprintf(sql, sizeof(sql),
             "truncate stock, reservation, note, member; insert into stock values ('lamp', %d);"
             "insert into stock select 's' || n, %d from generate_series(0, %d) n",
             SHOP_LAMPS, SHOP_LAMPS, SHOP_CUSTOMERS - 1);
    cluster_do("inventory", sql);
    /* What an operator of an earlier shop forced is nothing to this one. */
    for (enum process p = ORDERS; p < PROCESSES; p++)
        cluster_do(process_names[p],
                   "do $$ begin if to_regclass('troth.heuristic') is not null then "
                   "truncate troth.heuristic; end if; end $$");
}

/* ---- configurations ------------------------------------------------------------------------ */

static const char *const operations[PROCESSES] = {
    [ORDERS] = "  create:\n"
               "    params: {order_id: text}\n"
               "    sql:\n"
               "      - statement: insert into orders values (:order_id)\n",
    [PAYMENTS] = "  charge:\n"
                 "    params: {order_id: text, customer: text, amount: numeric}\n"
                 "    sql:\n"
                 "      - statement: update account set balance = balance - :amount where customer "
                 "= :customer and balance >= :amount\n"
                 "        expect: {rows: 1, else: insufficient_funds}\n"
                 "      - statement: insert into charge values (:order_id, :amount) returning "
                 "order_id, amount\n"
                 "        result: row\n",
    [INVENTORY] = "  reserve:\n"
                  "    params: {order_id: text, sku: text, quantity: integer}\n"
                  "    sql:\n"
                  "      - statement: update stock set quantity = quantity - :quantity where sku = "
                  ":sku and quantity >= :quantity\n"
                  "        expect: {rows: 1, else: out_of_stock}\n"
                  "      - statement: insert into reservation values (:order_id, :quantity)\n",
};

static const char common_operations[] =
    "  note:\n"
    "    params: {id: text}\n"
    "    sql:\n"
    "      - statement: insert into note values (:id)\n"
    "  enrol:\n"
    "    params: {id: text}\n"
    "    sql:\n"
    "      - statement: insert into member values (:id)\n"
    "  dawdle:\n"
    "    params: {id: text, seconds: float8}\n"
    "    sql:\n"
    "      - statement: insert into note values (:id)\n"
    "      - statement: select pg_sleep(:seconds)\n"
    "  count:\n"
    "    read_only: true\n"
    "    params: {id: text}\n"
    "    sql:\n"
    "      - statement: select count(*) as notes from note where id = :id\n"
    "        result: row\n";

void shop_files_name_coordinators(struct shop *shop, const char *more)
{
    char name[64];
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        bool service = shop->services[p] != NULL;
        snprintf(name, sizeof(name), "%s.yaml", process_names[p]);
        shop_write(shop, name,
                   "cluster: shop\nparticipant: %s\ncoordinators: [%s%s]\nlisten: %s\n"
                   "postgres: {conninfo: \"%s\", connections: 8, lock_timeout: 2s}\n"
                   "%s%s%ssecurity: none\n",
                   process_names[p], shop->addresses[COORDINATOR], more, shop->addresses[p],
                   cluster_conninfo(process_names[p]), service ? "" : "operations:\n",
                   service ? "" : operations[p], service ? "" : common_operations);
    }
}

void shop_files_make(struct shop *shop)
{
    make_tables();
    shop_write(shop, "trothd.yaml",
               "cluster: shop\ncoordinator: c1\nlisten: %s\n"
               "journal: {store: file, directory: %s/journal}\nsecurity: none\n",
               shop->addresses[COORDINATOR], shop->folder);
    shop_files_name_coordinators(shop, "");
}
