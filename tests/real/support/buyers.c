#include "tests/real/support/buyers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/client.h"
#include "core/check.h"
#include "core/limits.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/nano.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/network.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

/* ---- the process that buys ----------------------------------------------------------------- */

enum { CALLS = 8, PAUSE_US = 100 * 1000, PATIENCE_US = 60 * 1000 * 1000 };

/* An order that is asked for, or soon will be. */
struct order {
    char id[32];
    unsigned chance; /* chooses its customer, its goods, its participants */
    bool keyed, saga, asked, done;
    uint64_t due_us; /* not asked before */
};

struct buying {
    struct buyers plan;
    bool sagas; /* the shop's orders.create takes more */
    struct loop *loop;
    struct nano *nano;
    struct client *client;
    FILE *ledger;
    struct order *orders; /* plan.in_flight */
    int begun, open;
    bool stopping;
    uint64_t stop_by_us;
};

static uint64_t now_us(const struct buying *buying)
{
    const struct host_port *host = loop_host(buying->loop);
    return host->now_us(host->self);
}

static void begin_order(struct buying *buying, struct order *order)
{
    bool enough = buying->plan.total && buying->begun >= buying->plan.total;
    *order = (struct order){.done = true};
    if (buying->stopping || enough)
        return;
    order->done = false;
    order->chance = (unsigned)rand_r(&buying->plan.seed);
    order->saga =
        buying->plan.refunds || (int)(order->chance / 1000000 % 100) < buying->plan.saga_percent;
    order->keyed = order->saga || (int)(order->chance % 100) < buying->plan.keyed_percent;
    snprintf(order->id, sizeof(order->id), "b%d-%d", (int)getpid(), ++buying->begun);
    buying->open++;
}

/* Its end is certain, or never will be. */
static void end_order(struct buying *buying, struct order *order, char told, const char *why)
{
    fprintf(buying->ledger, "%c %s %.*s\n", told, order->id, (int)strcspn(why, "\n"), why);
    fflush(buying->ledger);
    buying->open--;
    begin_order(buying, order);
    /* Who was refused does not run against a closed door. */
    if (told == 'A')
        order->due_us = now_us(buying) + PAUSE_US;
}

static void ask_again(struct buying *buying, struct order *order)
{
    order->asked = false;
    order->due_us = now_us(buying) + PAUSE_US;
}

/* ---- asking -------------------------------------------------------------------------------- */

struct words {
    char participants[CALLS][32], arguments[CALLS][160];
    Wire__Call calls[CALLS], *pointers[CALLS];
    size_t count;
};

static void add_call(struct words *words, const char *participant, const char *operation)
{
    size_t i = words->count++;
    CHECK(i < CALLS);
    wire__call__init(&words->calls[i]);
    snprintf(words->participants[i], sizeof(words->participants[i]), "%s", participant);
    words->calls[i].participant = words->participants[i];
    words->calls[i].operation = (char *)operation;
    words->calls[i].arguments = words->arguments[i];
    words->pointers[i] = &words->calls[i];
}

#define SAY(words, ...)                                                                            \
    snprintf((words)->arguments[(words)->count - 1], sizeof((words)->arguments[0]), __VA_ARGS__)

static void say_purchase(struct words *words, const struct order *order, bool sagas)
{
    unsigned customer = order->chance / 100 % SHOP_CUSTOMERS;
    add_call(words, "orders", "create");
    if (sagas)
        SAY(words,
            "{\"order_id\": \"%s\", \"customer\": \"c%u\", \"sku\": \"s%u\", \"quantity\": 1, "
            "\"amount\": 1}",
            order->id, customer, customer);
    else
        SAY(words, "{\"order_id\": \"%s\"}", order->id);
    add_call(words, "payments", "charge");
    SAY(words, "{\"order_id\": \"%s\", \"customer\": \"c%u\", \"amount\": 1}", order->id, customer);
    add_call(words, "inventory", "reserve");
    SAY(words, "{\"order_id\": \"%s\", \"sku\": \"s%u\", \"quantity\": 1}", order->id, customer);
}

static void say_notes(struct words *words, const struct order *order, const struct buyers *plan)
{
    char participant[32];
    for (int i = 0; i < plan->spread; i++) {
        snprintf(participant, sizeof(participant), "p%u",
                 (order->chance / 100 + (unsigned)i * 7) % (unsigned)plan->participants);
        add_call(words, participant, "note");
        SAY(words, "{\"id\": \"%s\"}", order->id);
    }
}

static bool ask_for_saga(struct buying *buying, struct order *order)
{
    char input[200];
    unsigned customer = order->chance / 100 % SHOP_CUSTOMERS;
    Wire__StartSaga start = WIRE__START_SAGA__INIT;
    start.request = (uint64_t)(order - buying->orders);
    start.input = input;
    start.key = order->id;
    if (buying->plan.refunds) {
        start.name = (char *)"approve-refund";
        snprintf(input, sizeof(input), "{\"order_id\":\"%s\",\"customer\":\"c%u\",\"amount\":60}",
                 order->id, customer);
    } else {
        start.name = (char *)"place-order";
        start.wait = true;
        start.timeout_ms = (uint32_t)buying->plan.timeout_ms;
        snprintf(input, sizeof(input),
                 "{\"order_id\":\"%s\",\"customer\":\"c%u\",\"sku\":\"s%u\",\"quantity\":1,"
                 "\"amount\":%d}",
                 order->id, customer, customer,
                 order->chance / 100 / SHOP_CUSTOMERS % 8 ? 1 : 10 * SHOP_MONEY);
    }
    return client_start_saga(buying->client, &start);
}

static bool ask_for_transaction(struct buying *buying, struct order *order)
{
    struct words words = {0};
    if (buying->plan.participants)
        say_notes(&words, order, &buying->plan);
    else
        say_purchase(&words, order, buying->sagas);
    Wire__Submit submit = WIRE__SUBMIT__INIT;
    submit.request = (uint64_t)(order - buying->orders);
    if ((int)(order->chance / 10000 % 100) < buying->plan.three_phase_percent)
        submit.protocol = WIRE__PROTOCOL__THREE_PHASE;
    submit.timeout_ms = (uint32_t)buying->plan.timeout_ms;
    submit.key = order->keyed ? order->id : (char *)"";
    submit.calls = words.pointers;
    submit.n_calls = words.count;
    return client_submit(buying->client, &submit);
}

static void ask(struct buying *buying, struct order *order)
{
    if (order->saga ? ask_for_saga(buying, order) : ask_for_transaction(buying, order))
        order->asked = true;
    else
        ask_again(buying, order);
}

static void on_saga_outcome(void *self, const Wire__SagaOutcome *outcome)
{
    struct buying *buying = self;
    CHECK(outcome->request < (uint64_t)buying->plan.in_flight);
    struct order *order = &buying->orders[outcome->request];
    CHECK(order->asked && !order->done);
    if (outcome->result == WIRE__SAGA_RESULT__SAGA_COMPLETED ||
        (outcome->result == WIRE__SAGA_RESULT__SAGA_STARTED && buying->plan.refunds))
        end_order(buying, order, 'S', outcome->saga);
    else if (outcome->result == WIRE__SAGA_RESULT__SAGA_COMPENSATED)
        end_order(buying, order, 'X', outcome->problem ? outcome->problem->message : "");
    else
        ask_again(buying, order);
}

static void on_outcome(void *self, const Wire__Outcome *outcome)
{
    struct buying *buying = self;
    CHECK(outcome->request < (uint64_t)buying->plan.in_flight);
    struct order *order = &buying->orders[outcome->request];
    CHECK(order->asked && !order->done);
    const char *why = outcome->problem ? outcome->problem->message : "";
    if (outcome->result == WIRE__RESULT__COMMITTED)
        end_order(buying, order, 'C', why);
    else if (order->keyed)
        ask_again(buying, order);
    else if (outcome->result == WIRE__RESULT__ABORTED || outcome->result == WIRE__RESULT__REJECTED)
        end_order(buying, order, 'A', why);
    else
        end_order(buying, order, 'U', why);
}

static void on_down(void *self, const char *reason)
{
    struct buying *buying = self;
    for (int i = 0; i < buying->plan.in_flight; i++) {
        struct order *order = &buying->orders[i];
        if (!order->asked)
            continue;
        if (order->keyed)
            ask_again(buying, order);
        else
            end_order(buying, order, 'U', reason);
    }
}

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)route;
    client_frame(((struct buying *)self)->client, frame, size);
}

static void on_broken(void *self)
{
    client_broken(((struct buying *)self)->client);
}

static void on_stop(void *self)
{
    struct buying *buying = self;
    buying->stopping = true;
    buying->stop_by_us = now_us(buying) + PATIENCE_US;
    for (int i = 0; i < buying->plan.in_flight; i++) {
        struct order *order = &buying->orders[i];
        if (order->done || order->asked || order->keyed)
            continue;
        order->done = true;
        buying->open--;
    }
}

static uint64_t settle(void *self)
{
    struct buying *buying = self;
    uint64_t now = now_us(buying), next = buying->stopping ? buying->stop_by_us : UINT64_MAX;
    bool connected = client_connected(buying->client);
    for (int i = 0; i < buying->plan.in_flight; i++) {
        struct order *order = &buying->orders[i];
        if (order->done || order->asked)
            continue;
        if (connected && order->due_us <= now)
            ask(buying, order);
        if (!order->asked && order->due_us > now && order->due_us < next)
            next = order->due_us;
    }
    if (buying->open == 0 || (buying->stopping && now >= buying->stop_by_us))
        loop_stop(buying->loop);
    uint64_t wake = client_settle(buying->client);
    return wake < next ? wake : next;
}

static int run(struct shop *shop, const struct buyers *plan)
{
    struct buying buying = {.plan = *plan, .sagas = shop->sagas};
    struct nano_events nano_events = {&buying, on_frame, on_broken};
    struct client_events events = {
        .self = &buying, .down = on_down, .outcome = on_outcome, .saga_outcome = on_saga_outcome};
    struct error error;
    char path[128], name[32];
    snprintf(path, sizeof(path), "%s/ledger-%d", shop->folder, (int)getpid());
    snprintf(name, sizeof(name), "buyers-%d", (int)getpid());
    buying.ledger = fopen(path, "w");
    CHECK(buying.ledger);
    log_setup(name, LOG_TEXT, LOG_ERROR);
    buying.loop = loop_new();
    buying.nano = nano_connect(buying.loop, shop->addresses[COORDINATOR], LIMIT_CLIENT_FRAME_BYTES,
                               &nano_events, &error);
    CHECK(buying.nano);
    buying.client =
        client_new("shop", name, loop_host(buying.loop), nano_link(buying.nano), &events);
    buying.orders = xcalloc((size_t)plan->in_flight, sizeof(*buying.orders));
    for (int i = 0; i < plan->in_flight; i++)
        begin_order(&buying, &buying.orders[i]);
    loop_on_settle(buying.loop, settle, &buying);
    loop_on_stop(buying.loop, on_stop, &buying);
    loop_run(buying.loop);
    for (int i = 0; i < plan->in_flight; i++) {
        if (!buying.orders[i].done)
            fprintf(buying.ledger, "? %s%s\n", buying.orders[i].id,
                    buying.orders[i].keyed ? " with a key" : "");
    }
    fclose(buying.ledger);
    return buying.open == 0 ? 0 : 1;
}

/* ---- the test's side ----------------------------------------------------------------------- */

void buyers_start(struct shop *shop, struct buyers *buyers)
{
    pid_t parent = getpid();
    fflush(NULL);
    buyers->pid = fork();
    assert_true(buyers->pid >= 0);
    if (buyers->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    if (shop->network)
        network_enter(shop->network, COORDINATOR);
    _exit(run(shop, buyers));
}

static bool has_ended(void *self)
{
    const struct buyers *buyers = self;
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)buyers->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return result == 0 && info.si_pid == buyers->pid;
}

static char *read_ledger(struct shop *shop, const struct buyers *buyers)
{
    char name[64];
    snprintf(name, sizeof(name), "ledger-%d", (int)buyers->pid);
    return shop_file_read(shop, name, 0);
}

void buyers_wait(struct shop *shop, struct buyers *buyers, int seconds)
{
    wait_for(has_ended, buyers, seconds, "every purchase has come to an end");
    int status = shop_reap(buyers->pid);
    if (status == 0)
        return;
    char *ledger = read_ledger(shop, buyers);
    const char *open = strstr(ledger, "\n?");
    print_error("%s\n", open ? open : "");
    free(ledger);
    fail_msg("some purchases had no certain end (wait status 0x%x)", (unsigned)status);
}

void buyers_stop(struct shop *shop, struct buyers *buyers)
{
    assert_int_equal(kill(buyers->pid, SIGTERM), 0);
    buyers_wait(shop, buyers, PATIENCE_US / 1000000 + 10);
}

int buyers_count(struct shop *shop, const struct buyers *buyers, char told)
{
    char *ledger = read_ledger(shop, buyers);
    int count = 0;
    for (const char *at = ledger; *at; at = strchr(at, '\n') + 1)
        count += !told || *at == told;
    free(ledger);
    return count;
}

void buyers_visit_told(struct shop *shop, const struct buyers *buyers, char told,
                       buyers_visit *visit, void *self)
{
    char *ledger = read_ledger(shop, buyers), *rest = ledger;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (*line != told)
            continue;
        char *end = line + 2 + strcspn(line + 2, " ");
        const char *words = *end ? end + 1 : end;
        *end = '\0';
        visit(self, line + 2, words);
    }
    free(ledger);
}

struct progress {
    struct shop *shop;
    const struct buyers *buyers;
    int least;
};

static bool committed_enough(void *self)
{
    struct progress *progress = self;
    return buyers_count(progress->shop, progress->buyers, 'C') >= progress->least;
}

void buyers_wait_committed(struct shop *shop, const struct buyers *buyers, int more)
{
    struct progress progress = {shop, buyers, buyers_count(shop, buyers, 'C') + more};
    wait_for(committed_enough, &progress, 30, "purchases are committed");
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void buyers_judge(struct shop *shop, const struct buyers *buyers)
{
    PGresult *result = cluster_query("orders", "select id from orders");
    size_t count = (size_t)PQntuples(result);
    const char **ids = xcalloc(count, sizeof(*ids));
    for (size_t i = 0; i < count; i++)
        ids[i] = PQgetvalue(result, (int)i, 0);
    qsort(ids, count, sizeof(*ids), compare);
    char *ledger = read_ledger(shop, buyers), *rest = ledger, wrong[64] = "";
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line;) {
        char *order = line + 2;
        order[strcspn(order, " ")] = '\0';
        const char *const wanted = order;
        bool there = bsearch(&wanted, ids, count, sizeof(*ids), compare) != NULL;
        if ((*line == 'C' && !there) || (*line == 'A' && there))
            snprintf(wrong, sizeof(wrong), "%s", line);
    }
    free(ledger);
    free(ids);
    PQclear(result);
    if (*wrong)
        fail_msg("not so in the books: %s", wrong);
}
