/* What an operator's tools see of real processes: the pages of each over HTTP, that they tell what
 * docs/metrics.md says and what really happened; `troth top`; and the hook that is run when
 * something is parked for an operator. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/check.h"
#include "core/json.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"
#include "tests/unit/documented.h"
#include "tests/unit/exposition.h"

static int ports[PROCESSES]; /* where each serves its pages */
static struct exposition read_now;

/* ---- a shop with pages --------------------------------------------------------------------- */

/* Their configurations once more, with what these tests are about; FOLDER/alerts gets an alert a
 * line. */
static void configure(struct shop *shop)
{
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        char name[64];
        snprintf(name, sizeof(name), "%s.yaml", process_names[p]);
        char *before = shop_file_read(shop, name, 0);
        ports[p] = ports[p] ? ports[p] : shop_free_port();
        char *alerts = p == COORDINATOR
                           ? xasprintf("alerts: {command: [sh, -c, 'cat >>\"$1\"; echo >>\"$1\"', "
                                       "hook, %s/alerts]}\n",
                                       shop->folder)
                           : xstrdup("");
        shop_write(shop, name, "%smetrics: {listen: 127.0.0.1:%d}\n%s", before, ports[p], alerts);
        free(alerts);
        free(before);
    }
}

/* Once: tests share a shop as long as they pass. */
static void open_pages(struct shop *shop)
{
    char *config = shop_file_read(shop, "trothd.yaml", 0);
    bool open = strstr(config, "metrics:") != NULL;
    free(config);
    if (open)
        return;
    configure(shop);
    for (enum process p = COORDINATOR; p < PROCESSES; p++)
        shop_stop(shop, p);
    shop_start_all(shop);
}

/* ---- pages --------------------------------------------------------------------------------- */

/* The status, and the whole answer, to be freed; 0: nobody is there. */
static int get(enum process process, const char *path, char **answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)ports[process])};
    enum { MOST = 256 * 1024 };
    char request[128];
    size_t size = 0;
    *answer = xcalloc(1, MOST);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return 0;
    }
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (ssize_t got; (got = recv(fd, *answer + size, MOST - 1 - size, 0)) > 0;)
        size += (size_t)got;
    close(fd);
    int status = 0;
    assert_int_equal(sscanf(*answer, "HTTP/1.1 %d ", &status), 1);
    return status;
}

static const struct exposition *scrape(enum process process)
{
    char *answer;
    assert_int_equal(get(process, "/metrics", &answer), 200);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    bool good = exposition_read(&read_now, strstr(answer, "\r\n\r\n") + 4);
    free(answer);
    if (!good)
        fail_msg("%s: %s", process_names[process], read_now.mistake);
    return &read_now;
}

static double value(enum process process, const char *name, const char *labels)
{
    return exposition_value(scrape(process), name, labels);
}

/* ---- what is documented -------------------------------------------------------------------- */

static bool has_label(const char *labels, const char *name)
{
    char text[64];
    snprintf(text, sizeof(text), "%s=\"", name);
    const char *at = strstr(labels, text);
    return at && (at == labels || at[-1] == ',');
}

/* Those of the table, and no others but le. */
static void compare_labels(const char *documented, const struct exposition_sample *sample)
{
    char names[128];
    int wanted = 0, found = 0;
    snprintf(names, sizeof(names), "%s", documented);
    for (char *name = strtok(names, ", "); name && strcmp(name, "-") != 0;
         name = strtok(NULL, ", "), wanted++) {
        if (!has_label(sample->labels, name))
            fail_msg("%s{%s} has no label %s", sample->name, sample->labels, name);
    }
    for (const char *at = sample->labels; (at = strstr(at, "=\"")) != NULL; at++)
        found++;
    assert_int_equal(found - has_label(sample->labels, "le"), wanted);
}

static void compare(enum process process, const char *heading)
{
    static struct documented table;
    const struct exposition *read = scrape(process);
    assert_true(documented_read(heading, &table));
    for (int i = 0; i < read->family_count; i++) {
        int row = documented_find(&table, read->families[i].name);
        if (row < 0)
            fail_msg("%s tells %s, which is not documented", heading, read->families[i].name);
        assert_string_equal(read->families[i].type, table.rows[row].type);
        assert_string_equal(read->families[i].help, table.rows[row].meaning);
    }
    if (read->family_count != table.count)
        fail_msg("%s tells %d metrics, and %d are documented", heading, read->family_count,
                 table.count);
    for (int i = 0; i < read->sample_count; i++) {
        const char *family = read->families[read->samples[i].family].name;
        compare_labels(table.rows[documented_find(&table, family)].labels, &read->samples[i]);
    }
}

static void what_is_documented_is_told_and_nothing_else(struct shop *shop)
{
    open_pages(shop);
    compare(COORDINATOR, "trothd");
    compare(PAYMENTS, "troth-participant");
}

/* ---- what happened ------------------------------------------------------------------------- */

static void what_happens_is_counted(struct shop *shop)
{
    open_pages(shop);
    assert_true(value(COORDINATOR, "troth_aborts_total", "reason=\"refused\"") == 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    assert_int_equal(purchase_make(shop, &(struct purchase){.protocol = "3pc"}), TOLD_COMMITTED);
    assert_int_equal(purchase_make(shop, &(struct purchase){.alone = "orders"}), TOLD_COMMITTED);
    assert_int_equal(purchase_make(shop, &(struct purchase){.amount = 1000000}), TOLD_ABORTED);
    const struct exposition *read = scrape(COORDINATOR);
    static const char total[] = "troth_transactions_total";
    assert_true(exposition_value(read, total, "protocol=\"2pc\",outcome=\"committed\"") == 3);
    assert_true(exposition_value(read, total, "protocol=\"3pc\",outcome=\"committed\"") == 1);
    assert_true(exposition_value(read, total, "protocol=\"1pc\",outcome=\"committed\"") == 1);
    assert_true(exposition_value(read, total, "protocol=\"2pc\",outcome=\"aborted\"") == 1);
    assert_true(exposition_value(read, "troth_aborts_total", "reason=\"refused\"") == 1);
    assert_true(exposition_value(read, "troth_transaction_seconds_count", "protocol=\"2pc\"") == 4);
    assert_true(exposition_value(read, "troth_applied_seconds_count", "protocol=\"2pc\"") == 3);
    assert_true(exposition_value(read, "troth_journal_flush_seconds_count", "") >= 4);
    assert_true(exposition_value(read, "troth_journal_free_bytes", "") > 0);
    assert_true(exposition_value(read, "troth_participant_vote_seconds_count",
                                 "participant=\"payments\"") >= 4);
    assert_true(exposition_value(read, "troth_participant_prepared_slots",
                                 "participant=\"payments\"") == 200);
    assert_true(exposition_value(read, "troth_ready", "") == 1);
    read = scrape(PAYMENTS);
    assert_true(
        exposition_value(read, "troth_work_total", "kind=\"prepare\",outcome=\"prepared\"") >= 4);
    assert_true(exposition_value(read, "troth_work_failures_total", "class=\"expectation\"") == 1);
    assert_true(exposition_value(read, "troth_finish_total", "action=\"commit\",result=\"done\"") ==
                4);
    assert_true(exposition_value(read, "troth_database_up", "") == 1);
    assert_true(exposition_value(read, "troth_coordinators_connected", "") == 1);
}

/* ---- what is in doubt ---------------------------------------------------------------------- */

static bool is_in_doubt(void *self)
{
    (void)self;
    return value(PAYMENTS, "troth_branches_in_doubt", "age=\"under_10s\"") == 1;
}

static bool is_settled(void *self)
{
    (void)self;
    return value(PAYMENTS, "troth_branches_in_doubt_oldest_seconds", "") == 0 &&
           value(COORDINATOR, "troth_transactions_in_doubt_oldest_seconds", "") == 0;
}

static bool is_unready(void *self)
{
    char *answer;
    int status = get(PAYMENTS, "/readyz", &answer);
    bool is = status == 503;
    (void)self;
    if (is)
        assert_non_null(strstr(answer, "\r\n\r\nno coordinator has a session with it\n"));
    free(answer);
    return is;
}

static void expect_status(enum process process, const char *path, int status)
{
    char *answer;
    int got = get(process, path, &answer);
    if (got != status)
        fail_msg("%s of %s: %d, not %d", path, process_names[process], got, status);
    free(answer);
}

static void without_its_coordinator_a_participant_says_so(struct shop *shop)
{
    struct purchase purchase = {.timeout = "5s"};
    open_pages(shop);
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        expect_status(p, "/healthz", 200);
        expect_status(p, "/readyz", 200);
    }
    shop_stop(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, "coordinator.deciding");
    shop_wait_ready(shop);
    purchase_begin(shop, &purchase);
    shop_wait_end(shop, COORDINATOR);
    wait_for(is_in_doubt, NULL, 10, "a branch at payments is in doubt");
    assert_true(value(PAYMENTS, "troth_branches", "state=\"in_doubt\"") == 1);
    wait_for(is_unready, NULL, 10, "payments is not ready without a coordinator");
    expect_status(PAYMENTS, "/healthz", 200);
    expect_status(COORDINATOR, "/healthz", 0);
    shop_start(shop, COORDINATOR, NULL);
    shop_wait_ready(shop);
    struct said said = purchase_end(shop, &purchase);
    said_fini(&said);
    wait_for(is_settled, NULL, 10, "nothing is in doubt any more");
    expect_status(PAYMENTS, "/readyz", 200);
    books_wait_settled(shop);
}

/* ---- what is parked ------------------------------------------------------------------------ */

static bool alert_came(void *self)
{
    char *text = shop_file_read(self, "alerts", 0);
    bool came = strstr(text, "\"kind\":\"hazard\"") && text[strlen(text) - 1] == '\n';
    free(text);
    return came;
}

/* The only prepared transaction there is rolled back behind everybody's back. */
static void roll_back_by_hand(const char *participant)
{
    PGresult *result = cluster_query(participant, "select gid from pg_prepared_xacts where "
                                                  "database = current_database()");
    assert_int_equal(PQntuples(result), 1);
    char *sql = xasprintf("rollback prepared '%s'", PQgetvalue(result, 0, 0));
    PQclear(result);
    cluster_do(participant, sql);
    free(sql);
}

static void a_hazard_is_told_to_the_hook_and_seen_in_top(struct shop *shop)
{
    struct purchase purchase = {.timeout = "5s"};
    open_pages(shop);
    /* It counts from here, and knows of nothing that was prepared before. */
    shop_stop(shop, PAYMENTS);
    shop_start(shop, PAYMENTS, NULL);
    shop_stop(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, "coordinator.decided");
    shop_wait_ready(shop);
    purchase_begin(shop, &purchase);
    shop_wait_end(shop, COORDINATOR);
    books_wait_prepared("payments", 1);
    roll_back_by_hand("payments");
    shop_start(shop, COORDINATOR, NULL);
    struct said said = purchase_end(shop, &purchase);
    said_fini(&said);
    wait_for(alert_came, shop, 20, "the hook was told of the hazard");
    char *text = shop_file_read(shop, "alerts", 0);
    struct error error = {0};
    text[strcspn(text, "\n")] = '\0';
    struct json *alert = json_parse(text, strlen(text), &error);
    assert_non_null(alert);
    assert_string_equal(json_member(alert, "process")->text, "trothd c1");
    assert_int_equal(strncmp(json_member(alert, "subject")->text, "shop.c1.", 8), 0);
    json_free(alert);
    free(text);
    assert_true(value(COORDINATOR, "troth_hazards", "") == 1);
    assert_true(value(PAYMENTS, "troth_finish_total", "action=\"commit\",result=\"missing\"") == 1);
    said = shop_say(shop, "top", "--once", "--interval", "300ms", NULL);
    assert_int_equal(said.code, 0);
    said_has(&said, "hazards 1 ");
    said_has(&said, "payments     up       up");
    said_fini(&said);
    said = shop_say(shop, "top", "--once", "--interval", "300ms", "--json", NULL);
    assert_int_equal(said.code, 0);
    said_has(&said, "\"hazards\":1,");
    said_fini(&said);
    said = shop_say(shop, "tx", "list", "--hazard", NULL);
    said_has(&said, "shop.c1.");
    said_fini(&said);
    /* It is put right by hand, and the journal is for this test alone. */
    shop_stop(shop, COORDINATOR);
    char *journal = xasprintf("rm -rf %s/journal", shop->folder);
    assert_int_equal(system(journal), 0);
    free(journal);
    books_wait_none_prepared(10);
    shop_empty_tables();
    shop_start_all(shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(what_is_documented_is_told_and_nothing_else),
        SHOP_TEST(what_happens_is_counted),
        SHOP_TEST(without_its_coordinator_a_participant_says_so),
        SHOP_TEST(a_hazard_is_told_to_the_hook_and_seen_in_top),
    };
    return shop_run("metrics", tests, sizeof(tests) / sizeof(tests[0]));
}
