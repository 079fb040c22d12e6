/* The database port on a loop of its own, driven step by step: each question waits, in the loop,
 * for its answer. Beside it a plain connection that looks at the truth and does harm. */
#ifndef TROTH_TESTS_REAL_PG_RIG_H
#define TROTH_TESTS_REAL_PG_RIG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/loop.h"
#include "io/pg.h"
#include "io/pg_handlers.h"

enum { RIG_RESULTS = 4, RIG_PREPARED = 32, RIG_HELD = 8, RIG_HEURISTICS = 8 };

/* What a look found, copied. */
struct rig_look {
    bool ok;
    char problem[256];
    int64_t now_us;
    struct {
        char gid[200], owner[64], database[64];
        bool here;
        uint64_t xid, age_xids;
        int64_t prepared_at_us;
    } held[RIG_HELD];
    int held_count;
    uint64_t xid;
    enum db_status status;
    bool registered;
    struct register_state state;
    char barrier[32];
    char report[20000];
};

/* Rows of what an operator forced, copied. */
struct rig_heuristics {
    bool ok;
    int count;
    struct {
        char gid[200], reason[256], by[128];
        bool commit;
        uint64_t xid;
        int64_t at_us;
    } rows[RIG_HEURISTICS];
};

/* Everything that an answer may say, copied. Use a fresh one for each question. */
struct rig_answer {
    bool done;
    enum db_outcome outcome;
    bool duplicate, too_large, stale;
    uint64_t xid;
    int failed_statement;
    char sqlstate[6];
    char refusal[64];
    char reason[256];
    char detail[512];
    char results[RIG_RESULTS][2048]; /* "" for none */
    int result_count; /* how many to copy: set it before asking when results matter */
    enum db_adopted adopted;
    enum db_finish finish;
    enum db_status status;
    enum db_found found;
    char kept[2048]; /* by the row that was found; "" for none */
    enum db_stored stored;
    enum db_accepted accepted;
    struct { /* of the register, when it was found */
        char sites[256];
        int64_t begun_us;
        struct register_state state;
    } row;
    struct rig_look *look;             /* where an inspection goes */
    struct rig_heuristics *heuristics; /* where these go */
    bool ok;
    int slots, count;
    struct {
        char gid[200];
        bool registered;
        char sites[256];
        uint64_t sites_hash; /* of all of it, which may be longer */
        uint64_t xid;
        int64_t prepared_at_us;
    } prepared[RIG_PREPARED];
};

struct rig {
    struct loop *loop;
    struct pg *pg;
    const struct db_port *port;
    const char *conninfo;
    const char *participant; /* NULL: payments */
    bool two_phase;          /* no connections for registers until one is asked for */
    PGconn *side;
    int ups, downs;
    char database[64]; /* which one it said to be when it came up */
    char down_reason[512];
    bool in_call; /* a port's function is being called: no answer may come now */
};

/* Who does the work of every rig that starts from now on; NULL: statements. */
extern const struct pg_handlers *rig_handlers;

/* Connects the side, installs the schema, empties its tables, starts the port, waits until it is
 * up.
 */
void rig_open(struct rig *rig, int connections);
/* Without the side's preparations and without waiting. */
void rig_start(struct rig *rig, int connections);
void rig_stop(struct rig *rig);
/* Once more, with two work connections; waits until it is up. */
void rig_start_again(struct rig *rig);
/* The server dies as if the power went, and comes back; so do the side and the port. */
void rig_lose_power(struct rig *rig);
void rig_close(struct rig *rig);

/* Turns the loop until *done; fails the test after 20 s. */
void rig_until(struct rig *rig, const bool *done, const char *what);
void rig_until_count(struct rig *rig, const int *count, int least, const char *what);
/* Turns the loop until the server says so. */
void rig_turn_until_sql(struct rig *rig, const char *sql, const char *value);

void rig_work(struct rig *rig, const struct db_work *work, struct rig_answer *answer);
void rig_work_begin(struct rig *rig, const struct db_work *work, struct rig_answer *answer);
void rig_adopt_begin(struct rig *rig, const char *gid, uint64_t xid, const struct db_register *row,
                     struct rig_answer *answer);
enum db_adopted rig_adopt(struct rig *rig, const char *gid, uint64_t xid,
                          const struct db_register *row);
void rig_finish_begin(struct rig *rig, const char *gid, bool commit, struct rig_answer *answer);
enum db_finish rig_finish(struct rig *rig, const char *gid, bool commit);
enum db_status rig_status(struct rig *rig, uint64_t xid);
enum db_found rig_lookup(struct rig *rig, const char *gtrid);
/* Without a fence. */
void rig_look(struct rig *rig, const char *key, struct rig_answer *answer);
void rig_scan(struct rig *rig, struct rig_answer *answer);
void rig_load_begin(struct rig *rig, const char *gtrid, struct rig_answer *answer);
void rig_load(struct rig *rig, const char *gtrid, struct rig_answer *answer);
void rig_store_begin(struct rig *rig, const struct db_register *row,
                     const struct register_state *before, struct rig_answer *answer);
enum db_stored rig_store(struct rig *rig, const struct db_register *row,
                         const struct register_state *before);
void rig_accept_begin(struct rig *rig, const struct db_register *row, const char *gid,
                      struct rig_answer *answer);
enum db_accepted rig_accept(struct rig *rig, const struct db_register *row, const char *gid);
void rig_inspect_begin(struct rig *rig, const struct db_inspection *inspection,
                       struct rig_answer *answer);
void rig_inspect(struct rig *rig, const struct db_inspection *inspection, struct rig_look *look);
void rig_heuristic_begin(struct rig *rig, const struct db_heuristic *row,
                         struct rig_answer *answer);
enum db_stored rig_heuristic(struct rig *rig, const struct db_heuristic *row);
void rig_heuristics(struct rig *rig, struct rig_heuristics *heuristics);
enum db_stored rig_forget(struct rig *rig, const char *gtrid);

/* A table rig (id, n) with the rows a and b of 100 each, and what is done to it. */
struct db_statement rig_take(const char *const values[2]); /* n, id; one row expected */
struct db_statement rig_plain(const char *name, const char *sql);
struct db_work rig_work_of(enum db_mode mode, const char *id, const struct db_statement *statements,
                           int count);
extern const char *const rig_ten_of_a[2], *const rig_thousand_of_a[2];
extern const char rig_gid[], rig_gtrid[];
const char *rig_balance(struct rig *rig); /* of a */
const char *rig_prepared_count(struct rig *rig);
/* cmocka's setup and teardown: *state is a struct rig with two work connections. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* No synchronous standby is waited for any more, which tests name that wait for one. */
void rig_forget_standby(struct rig *rig);
int rig_forget_standby_and_teardown(void **state);

/* By the side connection; each fails the test on an error. The value is valid until the next. */
const char *rig_sql(struct rig *rig, const char *sql);
void rig_await_sql(struct rig *rig, const char *sql, const char *value);

#endif
