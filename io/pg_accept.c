/* An acceptance that decides, and the commit of its branch, in one flush: the row of the register
 * goes in with many others, without a flush; when it is known to be there the branch is committed,
 * and COMMIT PREPARED flushes the log up to its own record, and so the row's before it.
 *
 * The row must be durable whenever the branch is committed. Its record is the earlier one in the
 * same log, unless it is not the same: a server that crashes loses the end of its log, with the row
 * and not with what is prepared; and after a failover sessions of two servers may live side by
 * side. No session outlives a crash of its server. So COMMIT PREPARED goes to one of the same
 * server that was ready before the row was asked for: carried out there, it comes after the row.
 * Whatever breaks in between leaves the row, or nothing; never the commit alone. */
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_private.h"

struct accepting {
    struct pg_ask ask;       /* the row */
    struct pg_ending ending; /* then the branch */
    uint64_t number;
    void *tag;
    char *gtrid, *gid;
    int64_t begun_us;
    bool inserted;
};

static struct accepting *accepting_of(const struct pg_ask *ask)
{
    return CONTAINER(ask, struct accepting, ask);
}

/* ---- the row --------------------------------------------------------------------------------- */

static int row_add(struct pg_array columns[PG_BATCH_COLUMNS], const struct pg_ask *ask, int index)
{
    const struct accepting *accepting = accepting_of(ask);
    (void)index;
    pg_array_text(&columns[0], accepting->gtrid);
    pg_array_number(&columns[1], accepting->begun_us);
    return 2;
}

/* The first of that gtrid: if it is there twice, one was inserted. */
static void row_inserted(struct pg_batch *batch, const struct pg_question *question,
                         const PGresult *result, int row)
{
    (void)question;
    for (int i = 0; i < batch->count; i++) {
        struct accepting *accepting = accepting_of(batch->asks[i]);
        if (!accepting->inserted && strcmp(accepting->gtrid, PQgetvalue(result, row, 0)) == 0) {
            accepting->inserted = true;
            return;
        }
    }
}

static const struct pg_question question = {
    .name = "first", .sql = pg_register_first_sql, .add = row_add, .row = row_inserted};

/* ---- the answer ------------------------------------------------------------------------------ */

static void answer(struct pg *pg, struct accepting *accepting, enum db_accepted accepted)
{
    pg->events.register_committed(pg->events.self, accepting->tag, accepted);
    free(accepting->gtrid);
    free(accepting->gid);
    free(accepting);
}

/* Why it could not be committed is told to whoever ends the branch next. */
static void ended(struct pg *pg, struct pg_ending *ending)
{
    answer(pg, CONTAINER(ending, struct accepting, ending),
           ending->result == DB_FINISHED ? DB_ACCEPTED : DB_ACCEPT_UNKNOWN);
}

static void row_answer(struct pg *pg, struct pg_ask *ask, bool known)
{
    struct accepting *accepting = accepting_of(ask);
    if (known && accepting->inserted)
        pg_end(pg, &accepting->ending, accepting->gid, true, accepting->number);
    else
        answer(pg, accepting, known ? DB_ACCEPT_REFUSED : DB_ACCEPT_UNKNOWN);
}

void pg_register_commit(void *self, const struct db_register *row, const char *gid, void *tag)
{
    struct pg *pg = self;
    CHECK(pg_gid_valid(gid));
    CHECK(register_state_equal(&row->state, &register_first_commit));
    struct accepting *accepting = xcalloc(1, sizeof(*accepting));
    accepting->ask.question = &question;
    accepting->ask.answer = row_answer;
    accepting->ending.answer = ended;
    accepting->number = pg->acceptances++;
    accepting->tag = tag;
    accepting->gtrid = xstrdup(row->gtrid);
    accepting->gid = xstrdup(gid);
    accepting->begun_us = row->begun_us;
    pg_batch_ask(pg, &pg->accepting, &accepting->ask);
}

/* ---- life ------------------------------------------------------------------------------------ */

void pg_accepting_init(struct pg *pg)
{
    static const struct pg_question *const questions[PG_BATCH_KINDS] = {&question};
    pg_batch_init(pg, &pg->accepting, "troth.register, before a commit", questions, true);
}

void pg_accepting_fini(struct pg *pg)
{
    pg_batch_fini(pg, &pg->accepting);
}

void pg_accepting_open(struct pg *pg)
{
    if (pg->accepting.wanted)
        pg_connection_open(&pg->accepting.connection);
}

void pg_accepting_close(struct pg *pg)
{
    pg_batch_close(pg, &pg->accepting);
}
