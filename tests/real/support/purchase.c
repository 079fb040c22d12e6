#include "tests/real/support/purchase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

enum { WORDS = 40, MADE = 8 };

/* ---- the command line ---------------------------------------------------------------------- */

/* From the host of a process. */
static pid_t begin_command(struct shop *shop, enum process host, const char *address,
                           const char *const *words, int *output)
{
    const char *all[WORDS] = {"troth", "--coordinator", address};
    int count = 3, pipes[2];
    while (*words && count < WORDS - 1)
        all[count++] = *words++;
    CHECK(!*words);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = shop_spawn_at(shop, host, all, pipes[1]);
    close(pipes[1]);
    *output = pipes[0];
    return pid;
}

struct said shop_command_end(pid_t pid, int output)
{
    struct said said = {.output = xcalloc(1, 1)};
    char buffer[4096];
    size_t size = 0;
    for (;;) {
        ssize_t got = read(output, buffer, sizeof(buffer));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        said.output = xrealloc(said.output, size + (size_t)got + 1);
        memcpy(said.output + size, buffer, (size_t)got);
        size += (size_t)got;
        said.output[size] = '\0';
    }
    close(output);
    int status = shop_reap(pid);
    if (!WIFEXITED(status))
        fail_msg("troth was killed: wait status 0x%x", (unsigned)status);
    said.code = WEXITSTATUS(status);
    return said;
}

static struct said command_at(struct shop *shop, enum process host, const char *address,
                              const char *const *words)
{
    int output;
    pid_t pid = begin_command(shop, host, address, words, &output);
    return shop_command_end(pid, output);
}

pid_t shop_command_begin(struct shop *shop, const char *const *words, int *output)
{
    return begin_command(shop, COORDINATOR, shop->addresses[COORDINATOR], words, output);
}

bool shop_command_ended(pid_t pid)
{
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return result == 0 && info.si_pid == pid;
}

struct said shop_command(struct shop *shop, const char *const *words)
{
    return command_at(shop, COORDINATOR, shop->addresses[COORDINATOR], words);
}

struct said shop_command_at(struct shop *shop, enum process process, const char *const *words)
{
    return command_at(shop, process, shop->addresses[process], words);
}

static void gather_words(const char *words[WORDS], va_list arguments)
{
    for (int i = 0; (words[i] = va_arg(arguments, const char *)) != NULL; i++)
        CHECK(i < WORDS - 1);
}

struct said shop_say(struct shop *shop, ...)
{
    const char *words[WORDS];
    va_list arguments;
    va_start(arguments, shop);
    gather_words(words, arguments);
    va_end(arguments);
    return shop_command(shop, words);
}

struct said shop_say_at(struct shop *shop, enum process process, ...)
{
    const char *words[WORDS];
    va_list arguments;
    va_start(arguments, process);
    gather_words(words, arguments);
    va_end(arguments);
    return shop_command_at(shop, process, words);
}

struct said shop_say_to(struct shop *shop, const char *address, ...)
{
    const char *words[WORDS];
    va_list arguments;
    va_start(arguments, address);
    gather_words(words, arguments);
    va_end(arguments);
    return command_at(shop, COORDINATOR, address, words);
}

struct question {
    struct shop *shop;
    const char *address;
    const char *const *words;
    struct said said; /* zeros before the first time */
    int times;
};

static bool had_time(void *self)
{
    static const char *const no_time[] = {"the database did not answer within 2 s",
                                          "the database is slow: other questions were before this",
                                          "no answer within 3 s"};
    struct question *question = self;
    question->times++;
    said_fini(&question->said);
    question->said = command_at(question->shop, COORDINATOR, question->address, question->words);
    for (size_t i = 0; i < sizeof(no_time) / sizeof(no_time[0]); i++)
        if (strstr(question->said.output, no_time[i]))
            return false;
    return true;
}

/* What was said last is for the test to judge. */
static struct said ask(struct shop *shop, const char *address, const char *const *words)
{
    struct question question = {.shop = shop, .address = address, .words = words};
    wait_while_not(had_time, &question, 20);
    if (question.times > 1)
        shop_remark("there was no time for troth %s %s: asked %d times", words[0],
                    words[1] ? words[1] : "", question.times);
    return question.said;
}

struct said shop_ask(struct shop *shop, ...)
{
    const char *words[WORDS];
    va_list arguments;
    va_start(arguments, shop);
    gather_words(words, arguments);
    va_end(arguments);
    return ask(shop, shop->addresses[COORDINATOR], words);
}

struct said shop_ask_to(struct shop *shop, const char *address, ...)
{
    const char *words[WORDS];
    va_list arguments;
    va_start(arguments, address);
    gather_words(words, arguments);
    va_end(arguments);
    return ask(shop, address, words);
}

void said_fini(struct said *said)
{
    free(said->output);
}

void said_has(struct said *said, const char *text)
{
    static char output[4096];
    if (strstr(said->output, text))
        return;
    snprintf(output, sizeof(output), "%s", said->output);
    said_fini(said);
    fail_msg("expected \"%s\" in (exit code %d): %s", text, said->code, output);
}

void said_expect(struct said said, int code, const char *one, const char *two, const char *three)
{
    const char *const texts[] = {one, two, three};
    for (int i = 0; i < 3; i++) {
        if (texts[i])
            said_has(&said, texts[i]);
    }
    if (said.code != code)
        fail_msg("exit code %d instead of %d: %s", said.code, code, said.output);
    said_fini(&said);
}

/* ---- purchases ----------------------------------------------------------------------------- */

/* The words of a `troth submit`, with room for those that are made up. */
struct words {
    const char *words[WORDS];
    int count;
    char made[MADE][192];
    int made_count;
};

static void add_word(struct words *words, const char *word)
{
    CHECK(words->count < WORDS - 1);
    words->words[words->count++] = word;
}

static void make_word(struct words *words, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void make_word(struct words *words, const char *format, ...)
{
    char *word = words->made[words->made_count++];
    va_list arguments;
    CHECK(words->made_count <= MADE);
    va_start(arguments, format);
    vsnprintf(word, sizeof(words->made[0]), format, arguments);
    va_end(arguments);
    add_word(words, word);
}

static void add_option(struct words *words, const char *name, const char *value)
{
    if (!value)
        return;
    add_word(words, name);
    add_word(words, value);
}

static void add_note(struct words *words, const char *participant, const char *order)
{
    make_word(words, "%s.note", participant);
    make_word(words, "{\"id\": \"%s\"}", order);
}

static void add_purchase(struct words *words, const struct purchase *purchase)
{
    const char *order = purchase->order;
    add_word(words, "orders.create");
    make_word(words, "{\"order_id\": \"%s\"}", order);
    add_word(words, "payments.charge");
    make_word(words, "{\"order_id\": \"%s\", \"customer\": \"%s\", \"amount\": %d}", order,
              purchase->customer ? purchase->customer : "ada",
              purchase->amount ? purchase->amount : 10);
    add_word(words, "inventory.reserve");
    make_word(words, "{\"order_id\": \"%s\", \"sku\": \"%s\", \"quantity\": 1}", order,
              purchase->sku ? purchase->sku : "lamp");
}

static void add_calls(struct words *words, const struct purchase *purchase)
{
    if (purchase->alone) {
        add_note(words, purchase->alone, purchase->order);
    } else if (purchase->pair) {
        add_note(words, "orders", purchase->order);
        add_note(words, purchase->pair, purchase->order);
    } else if (purchase->dawdle) {
        add_note(words, "orders", purchase->order);
        make_word(words, "%s.dawdle", purchase->dawdle);
        make_word(words, "{\"id\": \"%s\", \"seconds\": 1}", purchase->order);
    } else {
        add_purchase(words, purchase);
    }
    if (purchase->also)
        add_note(words, purchase->also, purchase->order);
}

void purchase_begin(struct shop *shop, struct purchase *purchase)
{
    struct words words = {0};
    if (!purchase->again)
        snprintf(purchase->order, sizeof(purchase->order), "o%d", ++shop->orders);
    add_word(&words, "submit");
    add_option(&words, "--timeout", purchase->timeout ? purchase->timeout : "10s");
    add_option(&words, "--key", purchase->key);
    add_option(&words, "--wait", purchase->wait);
    add_option(&words, "--protocol", purchase->protocol);
    add_calls(&words, purchase);
    purchase->pid =
        begin_command(shop, COORDINATOR,
                      purchase->coordinator ? purchase->coordinator : shop->addresses[COORDINATOR],
                      words.words, &purchase->output);
}

/* For whoever reads the folder of a test that failed. */
static void log_purchase(struct shop *shop, const struct purchase *purchase, struct said said)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/purchases.log", shop->folder);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fprintf(file, "%s: %d: %s", purchase->order, said.code, said.output);
    fclose(file);
}

struct said purchase_end(struct shop *shop, struct purchase *purchase)
{
    struct said said = shop_command_end(purchase->pid, purchase->output);
    log_purchase(shop, purchase, said);
    return said;
}

bool purchase_ended(const struct purchase *purchase)
{
    return shop_command_ended(purchase->pid);
}

int purchase_make(struct shop *shop, struct purchase *purchase)
{
    purchase_begin(shop, purchase);
    struct said said = purchase_end(shop, purchase);
    said_fini(&said);
    return said.code;
}

static bool is_committed(void *self)
{
    return purchase_make(self, &(struct purchase){0}) == TOLD_COMMITTED;
}

void purchase_wait_possible(struct shop *shop)
{
    wait_for(is_committed, shop, 20, "a purchase commits");
}

/* ---- the books ----------------------------------------------------------------------------- */

bool books_none_prepared(void)
{
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (cluster_value(process_names[p], "select count(*) from pg_prepared_xacts") != 0)
            return false;
    }
    return true;
}

static bool none_is_prepared(void *self)
{
    (void)self;
    return books_none_prepared();
}

int books_wait_none_prepared(int seconds)
{
    uint64_t begun_ms = wait_now_ms();
    wait_for(none_is_prepared, NULL, seconds, "nothing is prepared");
    return (int)(wait_now_ms() - begun_ms);
}

static bool does_not_list(struct shop *shop, const char *const *words, const char *text)
{
    struct said said = shop_command(shop, words);
    bool none = said.code == 0 && !strstr(said.output, text);
    said_fini(&said);
    return none;
}

static bool is_settled(void *self)
{
    struct shop *shop = self;
    if (!books_none_prepared())
        return false;
    const char *in_doubt[] = {"--timeout", "2s", "tx", "list", "--in-doubt", "--json", NULL};
    /* An aborted one that is not acknowledged may still be prepared somewhere. Of a branch that
     * never voted yes there is no end: what follows tells a transaction's. */
    const char *all[] = {"--timeout", "2s", "tx", "list", "--json", NULL};
    return does_not_list(shop, in_doubt, "\"gtrid\"") &&
           does_not_list(shop, all, "\"ended\":null,\"problem\"") && books_none_prepared();
}

void books_wait_settled(struct shop *shop)
{
    wait_for(is_settled, shop, 30, "nothing is prepared and nothing is owed");
}

struct prepared {
    const char *participant;
    int count;
};

static bool are_prepared(void *self)
{
    const struct prepared *prepared = self;
    return cluster_value(prepared->participant, "select count(*) from pg_prepared_xacts") ==
           prepared->count;
}

void books_wait_prepared(const char *participant, int count)
{
    struct prepared prepared = {participant, count};
    char what[64];
    snprintf(what, sizeof(what), "%d prepared at %s", count, participant);
    wait_for(are_prepared, &prepared, 15, what);
}

int books_check(void)
{
    static const char *const queries[PROCESSES] = {
        [ORDERS] = "select id from orders order by id collate \"C\"",
        [PAYMENTS] = "select order_id from charge order by order_id collate \"C\"",
        [INVENTORY] = "select order_id from reservation order by order_id collate \"C\""};
    PGresult *rows[PROCESSES];
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        rows[p] = cluster_query(process_names[p], queries[p]);
        assert_int_equal(cluster_value(process_names[p], "select count(*) from pg_prepared_xacts"),
                         0);
    }
    int count = PQntuples(rows[ORDERS]);
    for (int i = 1; i < count; i++)
        assert_string_not_equal(PQgetvalue(rows[ORDERS], i, 0), PQgetvalue(rows[ORDERS], i - 1, 0));
    for (enum process p = PAYMENTS; p < PROCESSES; p++) {
        for (int i = 0; i < count && i < PQntuples(rows[p]); i++)
            assert_string_equal(PQgetvalue(rows[p], i, 0), PQgetvalue(rows[ORDERS], i, 0));
        assert_int_equal(PQntuples(rows[p]), count);
    }
    for (enum process p = ORDERS; p < PROCESSES; p++)
        PQclear(rows[p]);
    assert_int_equal(cluster_value("payments", "select (select sum(balance) from account)"
                                               "  + (select coalesce(sum(amount), 0) from charge)"),
                     SHOP_MONEY * (SHOP_CUSTOMERS + 1));
    assert_int_equal(cluster_value("inventory",
                                   "select (select sum(quantity) from stock)"
                                   "  + (select coalesce(sum(quantity), 0) from reservation)"),
                     SHOP_LAMPS * (SHOP_CUSTOMERS + 1));
    return count;
}

static int count_in(const char *cluster, const char *format, const char *order)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "select count(*) from %s = '%s'", format, order);
    return (int)cluster_value(cluster, sql);
}

int books_count(const char *order)
{
    int count = count_in("orders", "orders where id", order);
    assert_int_equal(count_in("payments", "charge where order_id", order), count);
    assert_int_equal(count_in("inventory", "reservation where order_id", order), count);
    return count;
}

int books_count_notes(const char *participant, const char *order)
{
    return count_in(participant, "note where id", order);
}

int books_count_purchase(const struct purchase *purchase)
{
    const char *other = purchase->pair ? purchase->pair : purchase->dawdle;
    if (purchase->alone)
        return books_count_notes(purchase->alone, purchase->order);
    if (!other)
        return books_count(purchase->order);
    int count = books_count_notes("orders", purchase->order);
    assert_int_equal(books_count_notes(other, purchase->order), count);
    return count;
}

static const char newest_sql[] =
    "select to_char(at at time zone 'UTC', 'YYYYMMDDHH24MISSUS'), gtrid from"
    " (select prepared as at, substring(gid from '^troth\\.(.*)\\.[0-9]+$') as gtrid"
    "   from pg_prepared_xacts union all select at, gtrid from troth.register) known"
    " order by at desc limit 1";

void books_newest_gtrid(char *gtrid, size_t size)
{
    char newest[32] = "";
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (PQping(cluster_conninfo(process_names[p])) != PQPING_OK)
            continue;
        PGresult *result = cluster_query(process_names[p], newest_sql);
        if (PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), newest) > 0) {
            snprintf(newest, sizeof(newest), "%s", PQgetvalue(result, 0, 0));
            snprintf(gtrid, size, "%s", PQgetvalue(result, 0, 1));
        }
        PQclear(result);
    }
    assert_true(newest[0] != '\0');
}
