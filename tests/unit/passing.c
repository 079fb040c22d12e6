/* Which problems may pass by themselves: what is tried again, by sagas and by who uses libtroth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/problem.h"

static void somebody_is_away_or_time_was_up(void **state)
{
    (void)state;
    static const char *const codes[] = {"not_connected", "session_lost", "connection_lost",
                                        "database_down", "deadline",     "busy",
                                        "draining",      "fenced"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_true(problem_is_passing(codes[i]));
}

static void locks_deadlocks_and_servers_that_shut_down(void **state)
{
    (void)state;
    static const char *const codes[] = {"08006", "40001", "40P01", "53300", "55P03", "57P01"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_true(problem_is_passing(codes[i]));
}

static void what_was_refused_is_refused_again(void **state)
{
    (void)state;
    static const char *const codes[] = {"insufficient_funds", "23505", "22P02",        "42P01",
                                        "unknown_operation",  "",      "key_conflict", "40",
                                        "wrong_database",     "25P02"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_false(problem_is_passing(codes[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(somebody_is_away_or_time_was_up),
        cmocka_unit_test(locks_deadlocks_and_servers_that_shut_down),
        cmocka_unit_test(what_was_refused_is_refused_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
