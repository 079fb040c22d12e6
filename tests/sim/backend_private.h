/* What the files of the database port share. */
#ifndef TROTH_TESTS_SIM_BACKEND_PRIVATE_H
#define TROTH_TESTS_SIM_BACKEND_PRIVATE_H

#include "tests/sim/database_private.h"

/* What was asked; comes back as the answer. */
struct question {
    struct backend *backend;
    void *tag;
    uint64_t boot, generation;
    barrier_key gid; /* or a gtrid, or a barrier row's key */
    bool commit, fence;
    char kept[RESULT_BYTES]; /* of a row that was found; "": none */
    uint64_t xid;
    enum db_look look;
    int result;
};

struct question *backend_question(struct backend *backend, void *tag);
struct question *backend_question_again(const struct question *question);
bool backend_can_answer(struct world *world, const struct question *question);
/* That process has working connections. */
bool backend_connected(const struct backend *backend, uint64_t boot);
uint64_t backend_latency(struct world *world);
/* data reaches the process, if it lives. */
void backend_answer(struct backend *backend, uint64_t boot, event_function *run, void *data);
const struct db_events *backend_events(void *agent_node);
/* COMMIT PREPARED or ROLLBACK PREPARED, as somebody asked for it. */
void backend_finish(struct database *database, struct local *local, bool commit);

/* ---- for what stays open, and for adoptions (backend_open.c) ---- */

/* True: it is for what the tag has open, or had. */
bool backend_open_take(struct backend *backend, const struct db_work *work, void *tag, bool fails);
void backend_adopt(void *self, const char *gid, uint64_t xid, const struct db_register *row,
                   void *tag);

/* ---- the port's part for registers (backend_register.c) ---- */

void backend_register_load(void *self, const char *gtrid, void *tag);
void backend_register_store(void *self, const struct db_register *row,
                            const struct register_state *before, void *tag);
void backend_register_settle(void *self, const char *coordinator, uint64_t epoch,
                             const uint64_t *seqs, size_t count);
void backend_clean(void *self, uint64_t age_us);

/* A runner that changes one register by two requests at a time could answer out of order. */
void backend_check_alone(const struct backend *backend, const char *gtrid);

/* ---- acceptances that are carried out at once (backend_accept.c) ---- */

void backend_register_commit(void *self, const struct db_register *row, const char *gid, void *tag);
/* One that nobody waits for may come first now. */
void backend_late_accept(struct database *database, const char *gtrid);
/* One of that register is with the database, and this process waits for it. */
bool backend_accepts(const struct backend *backend, const char *gtrid);

/* ---- its part for operators (backend_inspect.c) ---- */

void backend_inspect(void *self, const struct db_inspection *inspection, void *tag);
void backend_heuristic_store(void *self, const struct db_heuristic *row, void *tag);
void backend_heuristics_load(void *self, void *tag);
void backend_heuristics_forget(void *self, const char *gtrid, void *tag);

#endif
