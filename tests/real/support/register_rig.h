/* What the tests of registers share: states, a row, and what the database must hold of it. */
#ifndef TROTH_TESTS_REAL_REGISTER_RIG_H
#define TROTH_TESTS_REAL_REGISTER_RIG_H

#include "tests/real/support/pg_rig.h"

struct CMUnitTest;

static const struct register_state fresh;
static const struct register_state promised = {.promised = {7, 3}};
static const struct register_state accepted = {{7, 3}, {7, 3}, REGISTER_COMMIT};
static const struct register_state decided = {
    {UINT32_MAX, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}, REGISTER_COMMIT};
extern const char registers_sites[]; /* of every row */
extern const char lock_waits[];      /* SQL: how many wait for a lock */

/* gtrid must live as long as the row. */
struct db_register registers_row(const char *gtrid, const struct register_state *state);
void registers_expect(struct rig *rig, const char *gtrid, const struct register_state *state);
void registers_expect_none(struct rig *rig, const char *gtrid);
/* Turns the loop until the connection of registers is there. */
void registers_turn_until_ready(struct rig *rig);
/* For main: runs the tests with a rig each; by tests/run only. WITH_RIG: one of them. */
int registers_run(const struct CMUnitTest *tests, size_t count);
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

#endif
