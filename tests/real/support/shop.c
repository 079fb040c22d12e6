#include "tests/real/support/shop.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"

static const char *const names[PROCESSES] = {"trothd", "orders", "payments", "inventory"};

enum { MONEY = 1000, LAMPS = 1000, PRICE = 10 };

/* ---- waiting ------------------------------------------------------------------------------- */

void wait_for(bool (*condition)(void *self), void *self, int seconds, const char *what)
{
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000}, now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t limit = now.tv_sec + seconds;
    while (!condition(self)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > limit)
            fail_msg("not within %d s: %s", seconds, what);
        nanosleep(&pause, NULL);
    }
}

/* ---- databases ----------------------------------------------------------------------------- */

static const char *conninfo(enum process participant)
{
    char variable[64] = "TROTH_TEST_PG_";
    size_t size = strlen(variable);
    for (const char *c = names[participant]; *c; c++)
        variable[size++] = (char)toupper((unsigned char)*c);
    variable[size] = '\0';
    const char *value = getenv(variable);
    if (!value)
        fail_msg("%s is not set: run it by tests/run", variable);
    return value;
}

static PGresult *run_sql(enum process participant, const char *sql)
{
    PGconn *connection = PQconnectdb(conninfo(participant));
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        fail_msg("%s: %s: %s", names[participant], sql, PQerrorMessage(connection));
    PQfinish(connection);
    return result;
}

int64_t shop_sql(enum process participant, const char *sql)
{
    PGresult *result = run_sql(participant, sql);
    assert_int_equal(PQntuples(result), 1);
    int64_t value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return value;
}

void shop_sql_do(enum process participant, const char *sql)
{
    PQclear(run_sql(participant, sql));
}

void shop_cluster(const char *what, enum process participant)
{
    char *command = xasprintf("cd '%s' && bash -c 'set -euo pipefail; source tests/lib/common.sh; "
                              "source tests/lib/clusters.sh; %s %s' </dev/null",
                              TROTH_SOURCE, what, names[participant]);
    if (system(command) != 0)
        fail_msg("%s %s failed", what, names[participant]);
    free(command);
}

/* Prepared transactions that an earlier test left would hold locks of the tables made anew. */
static void end_prepared(enum process participant)
{
    PGresult *result = run_sql(participant, "select gid from pg_prepared_xacts "
                                            "where database = current_database()");
    for (int i = 0; i < PQntuples(result); i++) {
        char *sql = xasprintf("rollback prepared '%s'", PQgetvalue(result, i, 0));
        shop_sql_do(participant, sql);
        free(sql);
    }
    PQclear(result);
}

static void make_tables(void)
{
    for (enum process p = ORDERS; p <= INVENTORY; p++)
        end_prepared(p);
    shop_sql_do(ORDERS, "set client_min_messages = error; drop table if exists orders; "
                        "create table orders (id text primary key)");
    shop_sql_do(PAYMENTS,
                "set client_min_messages = error; drop table if exists charge, account; "
                "create table account (customer text primary key, balance numeric not null); "
                "create table charge (order_id text primary key, amount numeric not null); "
                "insert into account values ('ada', 1000)");
    shop_sql_do(INVENTORY,
                "set client_min_messages = error; drop table if exists reservation, stock; "
                "create table stock (sku text primary key, quantity int not null); "
                "create table reservation (order_id text primary key, quantity int not null); "
                "insert into stock values ('lamp', 1000)");
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
                  "    params: {order_id: text, sku: text, quantity: int}\n"
                  "    sql:\n"
                  "      - statement: update stock set quantity = quantity - :quantity where sku = "
                  ":sku and quantity >= :quantity\n"
                  "        expect: {rows: 1, else: out_of_stock}\n"
                  "      - statement: insert into reservation values (:order_id, :quantity)\n",
};

static void write_file(const char *path, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void write_file(const char *path, const char *format, ...)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    assert_int_equal(fclose(file), 0);
}

static void configure(struct shop *shop)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/trothd.yaml", shop->folder);
    write_file(path,
               "cluster: shop\ncoordinator: c1\nlisten: %s\n"
               "journal: {store: file, directory: %s/journal}\nsecurity: none\n",
               shop->address, shop->folder);
    for (enum process p = ORDERS; p <= INVENTORY; p++) {
        snprintf(path, sizeof(path), "%s/%s.yaml", shop->folder, names[p]);
        write_file(path,
                   "cluster: shop\nparticipant: %s\ncoordinators: [%s]\n"
                   "postgres: {conninfo: \"%s\", connections: 8, lock_timeout: 2s}\n"
                   "operations:\n%ssecurity: none\n",
                   names[p], shop->address, conninfo(p), operations[p]);
    }
}

/* A port that was free a moment ago. */
static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* ---- processes ----------------------------------------------------------------------------- */

static void find_build(struct shop *shop)
{
    ssize_t size = readlink("/proc/self/exe", shop->build, sizeof(shop->build) - 1);
    assert_true(size > 0);
    shop->build[size] = '\0';
    /* The test is BUILD/t/real/NAME.t. */
    for (int i = 0; i < 3; i++)
        *strrchr(shop->build, '/') = '\0';
}

/* Starts words[0] with output to a file (appended) or a descriptor. */
static pid_t spawn(const char *const *words, int output, const char *crash)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    if (crash)
        setenv("TROTH_CRASH_AT", crash, 1);
    execv(words[0], (char *const *)words);
    _exit(127);
}

static int wait_end(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return status;
}

static int open_log(struct shop *shop, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s.log", shop->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

void shop_start(struct shop *shop, enum process process, const char *crash)
{
    char program[600], config[128];
    assert_int_equal(shop->pids[process], 0);
    snprintf(program, sizeof(program), "%s/%s", shop->build,
             process == COORDINATOR ? "trothd" : "troth-participant");
    snprintf(config, sizeof(config), "%s/%s.yaml", shop->folder, names[process]);
    const char *words[] = {program, "--config", config, NULL};
    int log = open_log(shop, names[process]);
    shop->pids[process] = spawn(words, log, crash);
    close(log);
}

void shop_start_all(struct shop *shop)
{
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (shop->pids[p] == 0)
            shop_start(shop, p, NULL);
    }
    shop_wait_ready(shop);
}

void shop_signal(struct shop *shop, enum process process, int signal)
{
    assert_true(shop->pids[process] > 0);
    assert_int_equal(kill(shop->pids[process], signal), 0);
}

bool shop_ended(struct shop *shop, enum process process)
{
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)shop->pids[process], &info, WEXITED | WNOHANG | WNOWAIT);
    return result == 0 && info.si_pid == shop->pids[process];
}

struct place {
    struct shop *shop;
    enum process process;
};

static bool has_ended(void *self)
{
    struct place *place = self;
    return shop_ended(place->shop, place->process);
}

int shop_wait_end(struct shop *shop, enum process process)
{
    struct place place = {shop, process};
    assert_true(shop->pids[process] > 0);
    char *what = xasprintf("%s has ended", names[process]);
    wait_for(has_ended, &place, 60, what);
    free(what);
    int status = wait_end(shop->pids[process]);
    shop->pids[process] = 0;
    return status;
}

void shop_kill(struct shop *shop, enum process process)
{
    shop_signal(shop, process, SIGKILL);
    wait_end(shop->pids[process]);
    shop->pids[process] = 0;
}

/* ---- the command line ---------------------------------------------------------------------- */

struct said shop_command(struct shop *shop, const char *const *words)
{
    const char *all[32];
    char program[600];
    int count = 0;
    snprintf(program, sizeof(program), "%s/troth", shop->build);
    all[count++] = program;
    all[count++] = "--coordinator";
    all[count++] = shop->address;
    while (*words && count < 31)
        all[count++] = *words++;
    all[count] = NULL;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = spawn(all, pipes[1], NULL);
    close(pipes[1]);
    struct said said = {.output = xcalloc(1, 1)};
    char buffer[4096];
    size_t size = 0;
    for (ssize_t got; (got = read(pipes[0], buffer, sizeof(buffer))) > 0; size += (size_t)got) {
        said.output = xrealloc(said.output, size + (size_t)got + 1);
        memcpy(said.output + size, buffer, (size_t)got);
        said.output[size + (size_t)got] = '\0';
    }
    close(pipes[0]);
    int status = wait_end(pid);
    assert_true(WIFEXITED(status));
    said.code = WEXITSTATUS(status);
    return said;
}

void said_fini(struct said *said)
{
    free(said->output);
}

pid_t shop_purchase_begin(struct shop *shop, const char *timeout)
{
    char program[600], create[64], charge[128], reserve[128];
    int order = ++shop->purchases;
    snprintf(program, sizeof(program), "%s/troth", shop->build);
    snprintf(create, sizeof(create), "{\"order_id\": \"o%d\"}", order);
    snprintf(charge, sizeof(charge),
             "{\"order_id\": \"o%d\", \"customer\": \"ada\", \"amount\": %d}", order, PRICE);
    snprintf(reserve, sizeof(reserve),
             "{\"order_id\": \"o%d\", \"sku\": \"lamp\", \"quantity\": 1}", order);
    const char *words[] = {program,
                           "--coordinator",
                           shop->address,
                           "--timeout",
                           timeout,
                           "submit",
                           "orders.create",
                           create,
                           "payments.charge",
                           charge,
                           "inventory.reserve",
                           reserve,
                           NULL};
    int log = open_log(shop, "purchases");
    pid_t pid = spawn(words, log, NULL);
    close(log);
    return pid;
}

int shop_purchased(pid_t pid)
{
    int status = wait_end(pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int shop_purchase(struct shop *shop, const char *timeout)
{
    return shop_purchased(shop_purchase_begin(shop, timeout));
}

/* ---- conditions ---------------------------------------------------------------------------- */

/* Ready is: a purchase of nothing, over all three, commits. */
static bool is_ready(void *self)
{
    struct shop *shop = self;
    const char *words[] = {"--timeout", "2s", "participant", "list", "--json", NULL};
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (shop_ended(shop, p))
            fail_msg("%s ended; see %s/%s.log", names[p], shop->folder, names[p]);
    }
    struct said said = shop_command(shop, words);
    int up = 0;
    for (const char *at = said.output; (at = strstr(at, "\"database_up\":true")); at++)
        up++;
    bool connected = !strstr(said.output, "\"connected\":false");
    said_fini(&said);
    return up == 3 && connected;
}

void shop_wait_ready(struct shop *shop)
{
    wait_for(is_ready, shop, 30, "all participants are connected with their databases up");
}

static bool is_settled(void *self)
{
    struct shop *shop = self;
    for (enum process p = ORDERS; p <= INVENTORY; p++) {
        if (shop_sql(p, "select count(*) from pg_prepared_xacts") != 0)
            return false;
    }
    const char *words[] = {"--timeout", "2s", "tx", "list", "--in-doubt", "--json", NULL};
    struct said said = shop_command(shop, words);
    bool none = said.code == 0 && !strstr(said.output, "\"gtrid\"");
    said_fini(&said);
    return none;
}

void shop_wait_settled(struct shop *shop)
{
    wait_for(is_settled, shop, 30, "nothing is prepared and nothing is owed");
}

int shop_check_books(struct shop *shop)
{
    (void)shop;
    PGresult *rows[PROCESSES];
    static const char *const queries[PROCESSES] = {
        [ORDERS] = "select id from orders order by 1",
        [PAYMENTS] = "select order_id from charge order by 1",
        [INVENTORY] = "select order_id from reservation order by 1"};
    for (enum process p = ORDERS; p <= INVENTORY; p++) {
        rows[p] = run_sql(p, queries[p]);
        assert_int_equal(shop_sql(p, "select count(*) from pg_prepared_xacts"), 0);
    }
    int count = PQntuples(rows[ORDERS]);
    for (enum process p = PAYMENTS; p <= INVENTORY; p++) {
        assert_int_equal(PQntuples(rows[p]), count);
        for (int i = 0; i < count; i++)
            assert_string_equal(PQgetvalue(rows[p], i, 0), PQgetvalue(rows[ORDERS], i, 0));
    }
    for (enum process p = ORDERS; p <= INVENTORY; p++)
        PQclear(rows[p]);
    assert_int_equal(shop_sql(PAYMENTS, "select sum(balance)::bigint from account"),
                     MONEY - PRICE * count);
    assert_int_equal(shop_sql(INVENTORY, "select quantity from stock"), LAMPS - count);
    return count;
}

/* ---- the whole ----------------------------------------------------------------------------- */

void shop_init(struct shop *shop)
{
    *shop = (struct shop){0};
    strcpy(shop->folder, "/tmp/troth-shop.XXXXXX");
    assert_non_null(mkdtemp(shop->folder));
    snprintf(shop->address, sizeof(shop->address), "tcp://127.0.0.1:%d", free_port());
    find_build(shop);
    make_tables();
    configure(shop);
    for (enum process p = ORDERS; p <= INVENTORY; p++) {
        char program[600], config[128];
        snprintf(program, sizeof(program), "%s/troth-participant", shop->build);
        snprintf(config, sizeof(config), "%s/%s.yaml", shop->folder, names[p]);
        const char *words[] = {program, "--config", config, "--install", NULL};
        int log = open_log(shop, names[p]);
        pid_t pid = spawn(words, log, NULL);
        close(log);
        assert_int_equal(wait_end(pid), 0);
    }
}

void shop_fini(struct shop *shop)
{
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (shop->pids[p]) {
            kill(shop->pids[p], SIGCONT);
            shop_kill(shop, p);
        }
    }
    char *command = xasprintf("rm -rf '%s'", shop->folder);
    assert_int_equal(system(command), 0);
    free(command);
}
