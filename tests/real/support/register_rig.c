#include "tests/real/support/register_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "io/pg_private.h"

const char registers_sites[] = "0 c1 \"tcp://1\" \\ 1 payments {tcp://2},'";
const char lock_waits[] = "select count(*) from pg_locks where not granted";

struct db_register registers_row(const char *gtrid, const struct register_state *state)
{
    return (struct db_register){
        .gtrid = gtrid, .sites = registers_sites, .begun_us = 1700000000000001, .state = *state};
}

void registers_expect(struct rig *rig, const char *gtrid, const struct register_state *state)
{
    struct rig_answer answer = {0};
    rig_load(rig, gtrid, &answer);
    assert_int_equal(answer.found, DB_FOUND);
    assert_true(register_state_equal(&answer.row.state, state));
}

void registers_expect_none(struct rig *rig, const char *gtrid)
{
    struct rig_answer answer = {0};
    rig_load(rig, gtrid, &answer);
    assert_int_equal(answer.found, DB_NOT_FOUND);
}

void registers_turn_until_ready(struct rig *rig)
{
    time_t limit = time(NULL) + 20;
    while (!(pg_registers_ready(rig->pg) == 1)) {
        if (time(NULL) > limit)
            fail_msg("not within 20 s: the register's connection is back");
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    }
}

int registers_run(const struct CMUnitTest *tests, size_t count)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS") || !getenv("TROTH_TEST_PG_PAYMENTS_DATA")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    return _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
}
