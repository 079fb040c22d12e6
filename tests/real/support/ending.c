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
    char gtrid[160], expected[80];
};

/* Of two that are no majority one rests for many seconds while the other asks, and can say who has
 * answered. */
static bool somebody_says(struct shop *shop, const char *text, const char *const *words)
{
    bool told = false;
    for (enum process p = ORDERS; p < PROCESSES && !told; p++) {
        if (!shop->processes[p].pid || shop_ended(shop, p))
            continue;
        struct said said = shop_command_at(shop, p, words);
        told = strstr(said.output, text) != NULL;
        said_fini(&said);
    }
    return told;
}

static bool is_said(void *self)
{
    const struct waiting *waiting = self;
    const char *words[] = {"--timeout", "2s", "tx", "show", waiting->gtrid, NULL};
    return somebody_says(waiting->shop, waiting->expected, words);
}

static bool doctor_says(void *self)
{
    const struct waiting *waiting = self;
    const char *words[] = {"--timeout", "2s", "doctor", NULL};
    return somebody_says(waiting->shop, "for a majority of its sites", words);
}

void ending_expect_waiting(struct shop *shop, const char *answered)
{
    struct waiting waiting = {.shop = shop};
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
