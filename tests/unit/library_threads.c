/* Many threads on one handle. The build with ThreadSanitizer runs it, and that with
 * AddressSanitizer, which finds what leaks:
 *
 *   TROTH_TRANSACTIONS=100000  so many, instead of a few thousand */
#include "tests/unit/library_kit.h"

enum { THREADS = 100 };

struct load {
    struct troth *troth;
    atomic_int left;
    atomic_int committed, aborted, wrong;
};

static void note(struct load *load, enum troth_status status, enum troth_status expected)
{
    if (status != expected)
        load->wrong++;
    else if (status == TROTH_OK)
        load->committed++;
    else
        load->aborted++;
}

static void in_one(struct load *load, int number)
{
    struct troth_result result = {0};
    bool fail = number % 10 == 0;
    char *arguments = troth_json("{\"number\": %d, \"amount\": %j}", number, "12.50");
    struct troth_call calls[] = {{"orders.echo", arguments},
                                 {fail ? "payments.fail" : "payments.echo", NULL}};
    enum troth_status status = troth_submit(load->troth, calls, 2, NULL, &result);
    note(load, status, fail ? TROTH_ABORTED : TROTH_OK);
    char text[16];
    snprintf(text, sizeof(text), "%d", number);
    if (!fail && strcmp(troth_get(&result, 0, 0, "number"), text) != 0)
        load->wrong++;
    troth_result_clear(&result);
    free(arguments);
}

static void in_steps(struct load *load, int number)
{
    struct troth_result result = {0};
    struct troth_tx *tx;
    bool fail = number % 10 == 1;
    if (troth_begin(load->troth, NULL, &tx, &result) != TROTH_OK) {
        load->wrong++;
        troth_result_clear(&result);
        return;
    }
    enum troth_status status = troth_execute(tx, "orders.echo", "{\"a\": [1, 2]}", &result);
    if (status != TROTH_OK || strcmp(troth_get(&result, 0, 0, "a"), "[1, 2]") != 0)
        load->wrong++;
    if (fail)
        note(load, troth_execute(tx, "orders.fail", NULL, &result), TROTH_ABORTED);
    else
        note(load, troth_commit(tx, &result), TROTH_OK);
    troth_tx_free(tx);
    troth_result_clear(&result);
}

static void *work(void *self)
{
    struct load *load = self;
    for (int number; (number = atomic_fetch_sub(&load->left, 1)) > 0;) {
        if (number % 2)
            in_steps(load, number);
        else
            in_one(load, number);
    }
    return NULL;
}

static int count(void)
{
    const char *text = getenv("TROTH_TRANSACTIONS");
    return text ? atoi(text) : 4000;
}

static void a_hundred_threads_share_a_handle(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int total = count();
    struct fake *fake = fake_new("c1");
    struct load load = {.troth = troth_open(fake->address, NULL), .left = total};
    assert_non_null(load.troth);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &load), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(load.wrong, 0);
    assert_int_equal(load.committed + load.aborted, total);
    assert_int_equal(load.aborted, total / 5);
    troth_close(load.troth);
    fake_free(fake);
}

/* Threads in calls, and one that closes. */
static void *wait_for_nothing(void *self)
{
    struct load *load = self;
    struct troth_call call = {"orders.silent", NULL};
    struct troth_options options = {.deadline_ms = 30000};
    enum troth_status status = troth_submit(load->troth, &call, 1, &options, NULL);
    note(load, status, TROTH_UNKNOWN);
    return NULL;
}

static void closing_ends_what_waits_in_other_threads(void **state)
{
    (void)state;
    pthread_t threads[10];
    struct fake *fake = fake_new("c1");
    struct load load = {.troth = troth_open(fake->address, NULL)};
    for (int i = 0; i < 10; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_nothing, &load), 0);
    while (fake->submits < 10)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    uint64_t begun_ms = kit_now_ms();
    troth_close(load.troth);
    assert_true(kit_now_ms() - begun_ms < 1500);
    for (int i = 0; i < 10; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(load.wrong, 0);
    assert_int_equal(load.aborted, 10);
    fake_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_threads_share_a_handle),
        cmocka_unit_test(closing_ends_what_waits_in_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
