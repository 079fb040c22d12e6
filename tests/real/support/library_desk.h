/* What the tests of libtroth on real processes share: a handle to the shop's coordinator,
 * connections of a caller's own, and what must be true of them afterwards. */
#ifndef TROTH_TESTS_REAL_LIBRARY_DESK_H
#define TROTH_TESTS_REAL_LIBRARY_DESK_H

#include <libpq-fe.h>

#include "include/troth.h"
#include "tests/real/support/shop.h"

struct desk {
    struct shop *shop;
    struct troth *troth;
    struct troth_tx *tx;
    PGconn *connection;
    struct troth_result result;
};

struct desk desk_open(struct shop *shop);
void desk_close(struct desk *desk); /* all of it */

PGconn *desk_connect(const char *cluster);
void desk_do(PGconn *connection, const char *sql); /* must succeed */

/* Fails the test when the status is another one; says what the problem was. */
void desk_expect(struct desk *desk, enum troth_status is, enum troth_status expected,
                 const char *code);
#define DESK_OK(desk, call)                      desk_expect((desk), (call), TROTH_OK, "")
#define DESK_FAILS(desk, call, status, the_code) desk_expect((desk), (call), (status), (the_code))

void desk_begin(struct desk *desk, enum troth_protocol protocol, uint32_t deadline_ms);
/* Joins desk->connection at payments and charges ada so much there. */
void desk_join_and_charge(struct desk *desk, const char *order, int amount);
int desk_charges(const char *order);
/* Nothing is prepared anywhere, and nobody holds a lock in payments, within so many ms. */
void desk_wait_no_locks(int limit_ms);

#endif
