/* A seed is a run: again the same, bit for bit; another seed is another run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/planted.h"
#include "tests/sim/simulate.h"

static void a_seed_replays_bit_for_bit(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct verdict first, second;
        simulate(seed, NULL, &first);
        /* Another layout of the heap: nothing may depend on an address. */
        void *ballast = malloc(100000 + seed * 777);
        simulate(seed, NULL, &second);
        free(ballast);
        assert_int_equal(first.hash, second.hash);
        assert_int_equal(first.events, second.events);
        assert_int_equal(first.committed, second.committed);
    }
}

static void another_seed_is_another_run(void **state)
{
    (void)state;
    struct verdict first, second;
    simulate(1, NULL, &first);
    simulate(2, NULL, &second);
    assert_int_not_equal(first.hash, second.hash);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_replays_bit_for_bit),
        cmocka_unit_test(another_seed_is_another_run),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
