/* Those who don't belong here: garbage on the coordinator's port, prepared transactions of others
 * in a participant's database, participants of another cluster. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "core/frame.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

/* ---- garbage ------------------------------------------------------------------------------- */

static int dial(struct shop *shop)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(strrchr(shop->addresses[COORDINATOR], ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* The other end may close at any moment: that is its right. */
static void say(int fd, const void *bytes, size_t size)
{
    (void)!send(fd, bytes, size, MSG_NOSIGNAL);
}

static void fill(unsigned *seed, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(rand_r(seed) >> 8);
}

/* What nanomsg says first, as a REQ socket. */
static void greet(int fd)
{
    static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 48, 0, 0};
    say(fd, greeting, sizeof(greeting));
}

/* A message as nanomsg frames it: its size, a request id, the body. */
static void say_message(int fd, const uint8_t *body, size_t size)
{
    uint8_t bytes[8 + 4 + 2048];
    uint64_t total = size + 4;
    CHECK(size <= 2048);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(total >> (56 - 8 * i));
    memcpy(bytes + 8, "\x80\0\0\1", 4);
    memcpy(bytes + 12, body, size);
    say(fd, bytes, 12 + size);
}

/* A good head, so that the garbage behind it is looked at. */
static void seem_a_frame(unsigned *seed, uint8_t *body, size_t size)
{
    struct frame frame = {.kind = (enum frame_kind)(1 + rand_r(seed) % FRAME_BYE),
                          .number = (uint64_t)rand_r(seed) % 3,
                          .body = body + FRAME_HEAD_BYTES,
                          .body_size = size - FRAME_HEAD_BYTES};
    frame_encode(body, &frame);
}

static void expect_going_on(struct shop *shop)
{
    assert_false(shop_ended(shop, COORDINATOR));
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

static void garbage_on_the_port_disturbs_nobody(struct shop *shop)
{
    unsigned seed = 1;
    uint8_t bytes[4096];
    for (int i = 0; i < 50; i++) {
        int fd = dial(shop);
        fill(&seed, bytes, sizeof(bytes));
        say(fd, bytes, 1 + (size_t)rand_r(&seed) % sizeof(bytes));
        close(fd);
    }
    int idle = dial(shop); /* says nothing and stays */
    int http = dial(shop);
    say(http, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n", 30);
    expect_going_on(shop);
    close(idle);
    close(http);
}

static void garbage_in_frames_of_nanomsg_disturbs_nobody(struct shop *shop)
{
    unsigned seed = 2;
    uint8_t body[2048];
    for (int i = 0; i < 20; i++) {
        int fd = dial(shop);
        greet(fd);
        for (int j = 0; j < 20; j++) {
            size_t size = (size_t)rand_r(&seed) % sizeof(body);
            fill(&seed, body, size);
            if (j % 2 == 0 && size >= FRAME_HEAD_BYTES)
                seem_a_frame(&seed, body, size);
            say_message(fd, body, size);
        }
        close(fd);
    }
    expect_going_on(shop);
}

/* Sizes that nobody has: nanomsg must not try to have the memory for them. */
static void frames_of_impossible_sizes_disturb_nobody(struct shop *shop)
{
    static const uint8_t sizes[][8] = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                       {0, 0, 0, 0x40, 0, 0, 0, 0},
                                       {0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},
                                       {0, 0, 0, 0, 0, 0, 0, 0},
                                       {0, 0, 0, 0, 0, 0, 0, 1}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int fd = dial(shop);
        greet(fd);
        say(fd, sizes[i], sizeof(sizes[i]));
        say(fd, "x", 1);
        close(fd);
    }
    expect_going_on(shop);
}

static void many_connections_that_say_nothing_keep_nobody_out(struct shop *shop)
{
    enum { CONNECTIONS = 200 };
    int idle[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        idle[i] = dial(shop);
        if (i % 2)
            greet(idle[i]);
    }
    expect_going_on(shop);
    for (int i = 0; i < CONNECTIONS; i++)
        close(idle[i]);
}

/* ---- prepared transactions ----------------------------------------------------------------- */

static void prepare(const char *gid, const char *note)
{
    char sql[300];
    snprintf(sql, sizeof(sql), "begin; insert into note values ('%s'); prepare transaction '%s'",
             note, gid);
    cluster_do("payments", sql);
}

static int count_prepared(const char *gid)
{
    char sql[300];
    snprintf(sql, sizeof(sql), "select count(*) from pg_prepared_xacts where gid = '%s'", gid);
    return (int)cluster_value("payments", sql);
}

struct listing {
    struct shop *shop;
    const char *text;
};

static bool is_listed(void *self)
{
    struct listing *listing = self;
    struct said said = shop_say(listing->shop, "participant", "list", "--json", NULL);
    const char *payments = strstr(said.output, "\"name\":\"payments\"");
    bool listed = payments && strstr(payments, listing->text);
    said_fini(&said);
    return listed;
}

static void wait_listed(struct shop *shop, const char *text)
{
    struct listing listing = {shop, text};
    char what[200];
    snprintf(what, sizeof(what), "participant list tells of payments: %s", text);
    wait_for(is_listed, &listing, 20, what);
}

static void rescan(struct shop *shop)
{
    shop_stop(shop, PAYMENTS);
    shop_start_all(shop);
}

static void prepared_transactions_of_others_are_counted_and_never_touched(struct shop *shop)
{
    prepare("an application of its own", "a");
    prepare("troth.bank.c1.1.1.0", "b");
    rescan(shop);
    wait_listed(shop, "\"prepared_foreign\":2");
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    rescan(shop);
    wait_listed(shop, "\"prepared_foreign\":2");
    assert_int_equal(count_prepared("an application of its own"), 1);
    assert_int_equal(count_prepared("troth.bank.c1.1.1.0"), 1);
    cluster_end_prepared("payments");
    rescan(shop);
    wait_listed(shop, "\"prepared_foreign\":0");
    books_wait_settled(shop);
}

/* Its journal begins later: what was decided can't be known, and is nobody's to guess. */
static void a_branch_older_than_the_journal_is_held_for_an_operator(struct shop *shop)
{
    prepare("troth.shop.c1.17.4.0", "c");
    rescan(shop);
    wait_listed(shop, "\"held\":[\"troth.shop.c1.17.4.0\"]");
    assert_int_equal(count_prepared("troth.shop.c1.17.4.0"), 1);
    assert_int_equal(books_count_notes("payments", "c"), 0);
    cluster_end_prepared("payments");
    rescan(shop);
    wait_listed(shop, "\"held\":[]");
    books_wait_settled(shop);
}

/* As if its PREPARE had been carried out after everybody had given it up. */
static void a_branch_of_an_aborted_transaction_is_rolled_back_when_it_is_found(struct shop *shop)
{
    struct purchase purchase = {.amount = 100000};
    char gid[200];
    purchase_begin(shop, &purchase);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_ABORTED);
    const char *gtrid = strstr(said.output, "shop.c1.");
    assert_non_null(gtrid);
    snprintf(gid, sizeof(gid), "troth.%.*s.1", (int)strspn(gtrid, "shopc.0123456789"), gtrid);
    said_fini(&said);
    books_wait_settled(shop);
    prepare(gid, "d");
    rescan(shop);
    books_wait_settled(shop);
    assert_int_equal(count_prepared(gid), 0);
    assert_int_equal(books_count_notes("payments", "d"), 0);
}

/* ---- participants -------------------------------------------------------------------------- */

static bool refusal_is_logged(void *self)
{
    char *log = shop_file_read(self, "stranger.log", 0);
    bool logged = strstr(log, "this is cluster shop, not bank") != NULL;
    free(log);
    return logged;
}

static void a_participant_of_another_cluster_is_refused_with_the_reason(struct shop *shop)
{
    char config[128];
    snprintf(config, sizeof(config), "%s/stranger.yaml", shop->folder);
    shop_write(shop, "stranger.yaml",
               "cluster: bank\nparticipant: payments\ncoordinators: [%s]\n"
               "postgres: {conninfo: \"%s\", connections: 2}\nsecurity: none\n"
               "operations:\n  note:\n    params: {id: text}\n    sql:\n"
               "      - statement: insert into note values (:id)\n",
               shop->addresses[COORDINATOR], cluster_conninfo("payments"));
    const char *words[] = {"troth-participant", "--config", config, NULL};
    pid_t stranger = shop_spawn(shop, words, "stranger.log", NULL);
    wait_for(refusal_is_logged, shop, 20, "the stranger logs that it is refused");
    assert_int_equal(kill(stranger, SIGTERM), 0);
    assert_int_equal(shop_reap(stranger), 0);
    expect_going_on(shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(garbage_on_the_port_disturbs_nobody),
        SHOP_TEST(garbage_in_frames_of_nanomsg_disturbs_nobody),
        SHOP_TEST(frames_of_impossible_sizes_disturb_nobody),
        SHOP_TEST(many_connections_that_say_nothing_keep_nobody_out),
        SHOP_TEST(prepared_transactions_of_others_are_counted_and_never_touched),
        SHOP_TEST(a_branch_older_than_the_journal_is_held_for_an_operator),
        SHOP_TEST(a_branch_of_an_aborted_transaction_is_rolled_back_when_it_is_found),
        SHOP_TEST(a_participant_of_another_cluster_is_refused_with_the_reason),
    };
    return shop_run("strangers", tests, sizeof(tests) / sizeof(tests[0]));
}
