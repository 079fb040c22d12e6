/* kill -9 of the coordinator and of each participant at every named crash point, with a purchase on
 * its way. Afterwards, by SQL: all or nothing, and what the client was told is so. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/real/support/shop.h"

struct crash {
    enum process process;
    const char *point;
    bool refused; /* the purchase is one that a participant refuses: the way to an abort */
};

enum { TOLD_COMMITTED = 0, TOLD_ABORTED = 1 };

static void ends_alike_everywhere(void **state)
{
    const struct crash *crash = *state;
    struct shop shop;
    shop_init(&shop);
    for (enum process p = COORDINATOR; p < PROCESSES; p++)
        shop_start(&shop, p, p == crash->process ? crash->point : NULL);
    shop_wait_ready(&shop);
    if (crash->refused)
        shop_sql_do(PAYMENTS, "update account set balance = balance - 995");
    int told = shop_purchase(&shop, "4s");
    int status = shop_wait_end(&shop, crash->process);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    shop_start_all(&shop);
    shop_wait_settled(&shop);
    if (crash->refused)
        shop_sql_do(PAYMENTS, "update account set balance = balance + 995");
    int orders = shop_check_books(&shop);
    if (told == TOLD_COMMITTED)
        assert_int_equal(orders, 1);
    if (told == TOLD_ABORTED || crash->refused)
        assert_int_equal(orders, 0);
    /* And life goes on. */
    assert_int_equal(shop_purchase(&shop, "10s"), TOLD_COMMITTED);
    assert_int_equal(shop_check_books(&shop), orders + 1);
    shop_fini(&shop);
}

static const struct crash crashes[] = {
    {COORDINATOR, "coordinator.submitted", false},
    {COORDINATOR, "coordinator.voted", false},
    {COORDINATOR, "coordinator.deciding", false},
    {COORDINATOR, "journal.written:2", false},
    {COORDINATOR, "journal.synced:2", false},
    {COORDINATOR, "coordinator.decided", false},
    {COORDINATOR, "coordinator.told", false},
    {COORDINATOR, "coordinator.acked", false},
    {COORDINATOR, "coordinator.ended", false},
    {COORDINATOR, "coordinator.aborting", true},
    {ORDERS, "participant.prepare-received", false},
    {PAYMENTS, "participant.working", false},
    {INVENTORY, "participant.prepared", false},
    {ORDERS, "participant.voted", false},
    {PAYMENTS, "participant.commit-received", false},
    {INVENTORY, "participant.committed", false},
    {ORDERS, "participant.acked", false},
    {PAYMENTS, "participant.prepared", true},
    {INVENTORY, "participant.abort-received", true},
    {ORDERS, "participant.rolled-back", true},
};

int main(void)
{
    enum { COUNT = sizeof(crashes) / sizeof(crashes[0]) };
    static char test_names[COUNT][96];
    struct CMUnitTest tests[COUNT];
    cmocka_set_message_output(CM_OUTPUT_TAP);
    for (int i = 0; i < COUNT; i++) {
        snprintf(test_names[i], sizeof(test_names[i]), "killed_at_%s%s_ends_alike_everywhere",
                 crashes[i].point, crashes[i].refused ? "_of_a_refused_purchase" : "");
        tests[i] = (struct CMUnitTest){
            .name = test_names[i],
            .test_func = ends_alike_everywhere,
            .initial_state = (void *)&crashes[i],
        };
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
