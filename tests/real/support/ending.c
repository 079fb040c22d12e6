#include "tests/real/support/ending.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/real/support/wait.h"

void ending_expect_killed(struct shop *shop, enum process process)
{
    int status = shop_wait_end(shop, process);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("%s ended otherwise than by its crash point: 0x%x", process_names[process],
                 (unsigned)status);
}

void ending_expect_unknown(struct shop *shop, struct purchase *purchase)
{
    struct said said = purchase_end(shop, purchase);
    assert_int_equal(said.code, TOLD_UNKNOWN);
    said_fini(&said);
}

/* ---- waiting for a majority ------------------------------------------------------------------ */

/* Who waits says so to whoever asks at its own address. */
struct waiting {
    struct shop *shop;
    enum process process;
    char gtrid[160], expected[80];
};

static bool is_said(void *self)
{
    struct waiting *waiting = self;
    struct said said = shop_say_at(waiting->shop, waiting->process, "--timeout", "2s", "tx", "show",
                                   waiting->gtrid, NULL);
    bool told = strstr(said.output, waiting->expected) != NULL;
    said_fini(&said);
    return told;
}

static bool doctor_says(void *self)
{
    struct waiting *waiting = self;
    struct said said =
        shop_say_at(waiting->shop, waiting->process, "--timeout", "2s", "doctor", NULL);
    bool told = strstr(said.output, "for a majority of its sites") != NULL;
    said_fini(&said);
    return told;
}

void ending_expect_waiting(struct shop *shop, enum process process, const char *answered)
{
    struct waiting waiting = {.shop = shop, .process = process};
    books_newest_gtrid(waiting.gtrid, sizeof(waiting.gtrid));
    snprintf(waiting.expected, sizeof(waiting.expected), "a majority: %s", answered);
    wait_for(is_said, &waiting, 20, waiting.expected);
    wait_for(doctor_says, &waiting, 20, "the doctor says that it waits for a majority");
}

/* ---- what came out --------------------------------------------------------------------------- */

void ending_judge(const struct purchase *purchase, int told, enum ending ending)
{
    int count = books_count_purchase(purchase);
    assert_int_equal(count, ending == COMMITTED);
    if (told == TOLD_COMMITTED)
        assert_int_equal(count, 1);
    else if (told == TOLD_ABORTED)
        assert_int_equal(count, 0);
    else
        assert_int_equal(told, TOLD_UNKNOWN);
}

void ending_come_back(struct shop *shop, struct purchase *purchase, enum ending ending)
{
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_count_purchase(purchase), ending == COMMITTED);
    purchase->again = true;
    purchase_begin(shop, purchase);
    struct said said = purchase_end(shop, purchase);
    assert_int_equal(said.code, TOLD_COMMITTED);
    if (ending == COMMITTED)
        said_has(&said, "nothing ran again");
    said_fini(&said);
    assert_int_equal(books_count_purchase(purchase), 1);
    books_check();
}
