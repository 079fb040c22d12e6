/* What operators made of branches that nobody could decide: the rows of troth.heuristic in memory.
 *
 * H1  A row is durable before its branch is ended, and then it says how the branch ends, whatever
 *     is decided meanwhile or later: another process may have read it already.
 * H2  Until the rows are loaded no branch is ended, and none while its row is being stored.
 * H3  What the database says of a branch is compared with its row, in each run of this process: it
 *     is told to the coordinators with the row. */
#ifndef TROTH_PARTICIPANT_HEURISTIC_H
#define TROTH_PARTICIPANT_HEURISTIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/id.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "core/ports.h"
#include "core/timers.h"
#include "participant/branch.h"
#include "wire.pb-c.h"

struct agent;
struct entry;
struct link;

enum heuristic_state {
    HEURISTIC_STORING, /* not durable as far as is known: nothing may end the branch meanwhile */
    HEURISTIC_PENDING, /* durable; the branch is being ended, or what became of it is looked up */
    HEURISTIC_ENDED,   /* and `found` says whether otherwise */
};

/* What an operator made of a branch here: a row of troth.heuristic. */
struct heuristic {
    struct map_node node; /* agent->heuristics.by_gid */
    struct list all;      /* agent->heuristics.all: the order of every walk */
    struct gid id;
    gid_text gid;
    enum heuristic_state state;
    bool commit;
    bool fresh;     /* of this process, and not told yet */
    uint64_t since; /* loads begun when it was stored; 0: a load found it */
    uint64_t seen;  /* number of the last load that found it */
    uint64_t xid;   /* 0: not known */
    int64_t at_us;
    const char *found;            /* what the database says instead, a constant text; "" */
    enum branch_decision decided; /* as far as it was heard here */
    char reason[LIMIT_REASON_BYTES + 1], by[LIMIT_BY_BYTES + 1];
};

struct heuristics {
    struct map by_gid;
    struct list all;
    size_t count;
    bool known;   /* the rows were loaded since the database came up */
    bool loading; /* and with `again` they are loaded once more afterwards */
    bool again;
    uint64_t loads;     /* begun so far */
    struct timer retry; /* agent->timers */
};

void heuristics_init(struct agent *agent);
void heuristics_free(struct agent *agent);
/* NULL: there is none. */
struct heuristic *heuristic_find(const struct agent *agent, const char *gid);
/* Of that transaction, and of that branch unless it is -1. */
struct heuristic *heuristic_of(const struct agent *agent, const struct gid *id);
/* STORING. */
struct heuristic *heuristic_new(struct agent *agent, const struct entry *entry, bool commit,
                                const char *reason, const char *by);
void heuristic_drop(struct agent *agent, struct heuristic *row);
/* It is durable: the branch is ended so, from here on whatever happens. */
void heuristic_stored(struct agent *agent, struct heuristic *row);
/* The row says how this branch ends, if there is one: what an earlier run began, or a decision that
 * comes later, is compared with it. */
void heuristic_apply(struct agent *agent, struct heuristic *row);
/* What was forced has ended, as the database says. */
void heuristic_ended(struct agent *agent, const struct entry *entry,
                     const struct branch_action *action);
/* A decision was heard, from wherever. */
void heuristic_decided(struct agent *agent, const struct gid *id, bool commit);
/* Nothing may be ended now: a row that is not loaded or not stored yet may say otherwise. */
bool heuristics_hinder(const struct agent *agent, const struct entry *entry);
void heuristics_load(struct agent *agent);
void heuristics_database_up(struct agent *agent);
void heuristics_database_down(struct agent *agent);
void heuristics_loaded(void *agent, void *tag, bool ok, const struct db_heuristic *rows, int count);
/* A scan is done: what it found, and what is not carried out yet, is. */
void heuristics_scanned(struct agent *agent);
/* In a session that has just begun. */
void heuristics_tell(struct agent *agent, struct link *link);
void heuristic_fill(const struct agent *agent, const struct heuristic *row, Wire__Heuristic *wire);
/* commit, abort, mixed */
const char *heuristic_word(const struct heuristic *row);
/* "an operator (ada@host) rolled it back at 2026-11-21T10:11:12Z: lost its disk" */
enum { HEURISTIC_TEXT_BYTES = LIMIT_REASON_BYTES + LIMIT_BY_BYTES + 100 };
void heuristic_text(const struct heuristic *row, char text[HEURISTIC_TEXT_BYTES]);

#endif
