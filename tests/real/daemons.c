/* How the daemons start, when something is in the way, and how they end. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/real/support/cluster.h"
#include "tests/real/support/journal_filler.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

/* ---- starts that are refused --------------------------------------------------------------- */

/* The daemon with FOLDER/refused.yaml ends with this code and tells these words. */
static void expect_ended(struct shop *shop, const char *program, int code, const char *one,
                         const char *two)
{
    char config[128];
    snprintf(config, sizeof(config), "%s/refused.yaml", shop->folder);
    shop_write(shop, "refused.log", "%s", "");
    const char *words[] = {program, "--config", config, NULL};
    int status = shop_reap(shop_spawn(shop, words, "refused.log", NULL));
    char *text = shop_file_read(shop, "refused.log", 0);
    struct said said = {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text};
    said_has(&said, one);
    said_has(&said, two);
    if (said.code != code)
        fail_msg("exit code %d instead of %d: %s", said.code, code, text);
    said_fini(&said);
}

/* A coordinator with this address and this journal. */
static void expect_refused(struct shop *shop, const char *address, const char *directory,
                           const char *one, const char *two)
{
    shop_write(shop, "refused.yaml",
               "cluster: shop\ncoordinator: c1\nlisten: %s\n"
               "journal: {store: file, directory: %s}\nsecurity: none\n",
               address, directory);
    expect_ended(shop, "trothd", 1, one, two);
}

/* A participant that listens there. */
static void expect_refused_at(struct shop *shop, const char *address, int code, const char *one)
{
    shop_write(shop, "refused.yaml",
               "cluster: shop\nparticipant: newcomer\ncoordinators: [%s]\nlisten: %s\n"
               "postgres: {conninfo: \"host=/nowhere\"}\n"
               "operations: {look: {sql: [{statement: select 1}]}}\nsecurity: none\n",
               shop->addresses[COORDINATOR], address);
    expect_ended(shop, "troth-participant", code, one, "listen");
}

static void expect_undisturbed(struct shop *shop)
{
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    books_wait_settled(shop);
    books_check();
}

static void free_address(char *address, size_t size)
{
    snprintf(address, size, "tcp://127.0.0.1:%d", shop_free_port());
}

static void a_second_coordinator_on_a_journal_is_refused(struct shop *shop)
{
    char address[64], directory[128], holder[32];
    free_address(address, sizeof(address));
    snprintf(directory, sizeof(directory), "%s/journal", shop->folder);
    snprintf(holder, sizeof(holder), "pid %d", (int)shop->processes[COORDINATOR].pid);
    expect_refused(shop, address, directory, "in use by another process", holder);
    expect_undisturbed(shop);
}

static void a_port_in_use_is_told_with_the_setting(struct shop *shop)
{
    char directory[128];
    snprintf(directory, sizeof(directory), "%s/other", shop->folder);
    expect_refused(shop, shop->addresses[COORDINATOR], directory, shop->addresses[COORDINATOR],
                   "listen");
    expect_undisturbed(shop);
}

static void a_participant_says_why_it_can_not_listen(struct shop *shop)
{
    /* The others are told the address as it stands, and must reach it. */
    expect_refused_at(shop, "tcp://0.0.0.0:7499", 2, "every address of this machine");
    expect_refused_at(shop, "tcp://[::]:7499", 2, "every address of this machine");
    expect_refused_at(shop, shop->addresses[COORDINATOR], 2, "a coordinator's address");
    expect_undisturbed(shop);
}

static void a_journal_directory_that_can_not_be_made_is_told(struct shop *shop)
{
    char address[64], directory[128];
    free_address(address, sizeof(address));
    snprintf(directory, sizeof(directory), "%s/trothd.yaml/journal", shop->folder);
    expect_refused(shop, address, directory, directory, "journal.directory");
}

/* ---- file systems -------------------------------------------------------------------------- */

/* A file system of its own for FOLDER/NAME; it goes with this process at the latest. */
static void mount_at(struct shop *shop, const char *name, unsigned long flags, const char *options)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", shop->folder, name);
    mkdir(path, 0700);
    if (geteuid() != 0 || mount("none", path, "tmpfs", flags, options) != 0)
        shop_skip(shop, "no right to mount a file system");
}

static void unmount(struct shop *shop, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", shop->folder, name);
    assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void a_journal_directory_that_can_not_be_written_is_told(struct shop *shop)
{
    char address[64], directory[128];
    free_address(address, sizeof(address));
    snprintf(directory, sizeof(directory), "%s/sealed", shop->folder);
    if (geteuid() == 0)
        mount_at(shop, "sealed", MS_RDONLY, "size=1m");
    else
        assert_int_equal(mkdir(directory, 0500), 0);
    expect_refused(shop, address, directory, directory, "write access");
    if (geteuid() == 0)
        unmount(shop, "sealed");
}

static void a_disk_without_room_for_a_journal_is_told(struct shop *shop)
{
    char address[64], directory[128];
    free_address(address, sizeof(address));
    snprintf(directory, sizeof(directory), "%s/small", shop->folder);
    mount_at(shop, "small", 0, "size=8m");
    expect_refused(shop, address, directory, "No space left", "room");
    unmount(shop, "small");
}

static void take_room(struct shop *shop, char *path, size_t size)
{
    snprintf(path, size, "%s/journal/taken", shop->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, 60 * 1024 * 1024), 0);
    close(fd);
}

/* The disk is full when a checkpoint is due: the coordinator ends, and says why. What it promised
 * before is kept, and goes on when there is room again. */
static void a_disk_that_becomes_full_ends_the_coordinator_and_loses_nothing(struct shop *shop)
{
    struct purchase before = {.key = "before the disk was full"};
    char path[128];
    shop_stop(shop, COORDINATOR);
    mount_at(shop, "journal", 0, "size=200m");
    shop_start_all(shop);
    assert_int_equal(purchase_make(shop, &before), TOLD_COMMITTED);
    shop_stop(shop, COORDINATOR);
    journal_fill(shop);
    take_room(shop, path, sizeof(path));
    shop_start(shop, COORDINATOR, NULL);
    int status = shop_wait_end(shop, COORDINATOR);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(shop_logged(shop, COORDINATOR, "No space left"));
    assert_true(shop_logged(shop, COORDINATOR, "room"));
    assert_int_equal(unlink(path), 0);
    shop_start_all(shop);
    before.again = true;
    purchase_begin(shop, &before);
    struct said said = purchase_end(shop, &before);
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_has(&said, "nothing ran again");
    said_fini(&said);
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 2);
    shop_stop(shop, COORDINATOR);
    unmount(shop, "journal");
}

/* ---- ends ---------------------------------------------------------------------------------- */

static bool somebody_sleeps(void *self)
{
    return cluster_value(self, "select count(*) from pg_stat_activity where state = 'active' and "
                               "query like '%pg_sleep%' and pid <> pg_backend_pid()") > 0;
}

/* A transaction over orders and payments whose work takes a moment. */
static struct purchase dawdle(struct shop *shop)
{
    struct purchase purchase = {.dawdle = "payments"};
    purchase_begin(shop, &purchase);
    wait_for(somebody_sleeps, (void *)"payments", 10, "payments is at work");
    return purchase;
}

static void a_coordinator_that_is_stopped_answers_what_runs_and_takes_no_more(struct shop *shop)
{
    struct purchase running = dawdle(shop);
    shop_signal(shop, COORDINATOR, SIGTERM);
    shop_wait_logged(shop, COORDINATOR, "stopping");
    struct said late = shop_say(shop, "submit", "orders.note", "{\"id\": \"late\"}", NULL);
    assert_int_equal(late.code, TOLD_ABORTED);
    said_has(&late, "shutting down");
    said_fini(&late);
    struct said said = purchase_end(shop, &running);
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_fini(&said);
    assert_int_equal(shop_wait_end(shop, COORDINATOR), 0);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_count_notes("orders", running.order), 1);
    assert_int_equal(books_count_notes("payments", running.order), 1);
    assert_int_equal(books_count_notes("orders", "late"), 0);
}

static void a_participant_that_is_stopped_finishes_its_work(struct shop *shop)
{
    struct purchase running = dawdle(shop);
    shop_stop(shop, PAYMENTS);
    shop_start_all(shop);
    struct said said = purchase_end(shop, &running);
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_fini(&said);
    books_wait_settled(shop);
    assert_int_equal(books_count_notes("orders", running.order), 1);
    assert_int_equal(books_count_notes("payments", running.order), 1);
}

static void a_stop_and_a_start_of_everything_is_a_pause(struct shop *shop)
{
    struct purchase before = {.key = "before the stop"};
    assert_int_equal(purchase_make(shop, &before), TOLD_COMMITTED);
    for (enum process p = COORDINATOR; p < PROCESSES; p++)
        shop_stop(shop, p);
    shop_start_all(shop);
    before.again = true;
    assert_int_equal(purchase_make(shop, &before), TOLD_COMMITTED);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(a_second_coordinator_on_a_journal_is_refused),
        SHOP_TEST(a_port_in_use_is_told_with_the_setting),
        SHOP_TEST(a_participant_says_why_it_can_not_listen),
        SHOP_TEST(a_journal_directory_that_can_not_be_made_is_told),
        SHOP_TEST(a_journal_directory_that_can_not_be_written_is_told),
        SHOP_TEST(a_disk_without_room_for_a_journal_is_told),
        SHOP_TEST(a_coordinator_that_is_stopped_answers_what_runs_and_takes_no_more),
        SHOP_TEST(a_participant_that_is_stopped_finishes_its_work),
        SHOP_TEST(a_stop_and_a_start_of_everything_is_a_pause),
        SHOP_TEST(a_disk_that_becomes_full_ends_the_coordinator_and_loses_nothing),
    };
    /* What is mounted here is seen by nobody else, and goes with this program. */
    if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
        (void)mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return shop_run("daemons", tests, sizeof(tests) / sizeof(tests[0]));
}
