/* What the files share that answer queries. Everything that a view points to that does not live in
 * the server comes from one arena, freed when the answer is sent. */
#ifndef TROTH_COORDINATOR_VIEWS_H
#define TROTH_COORDINATOR_VIEWS_H

#include "coordinator/parts.h"

struct draft {
    struct server *server;
    Wire__Answer answer;
    struct arena arena;
    size_t bytes; /* of the rows so far */
    size_t room;  /* rows that the arrays hold */
};

/* Answers from what the server itself knows: it asks no participant, sends nothing and needs no
 * session, so it serves a server that only replayed a journal, too. The draft is written over;
 * answer points into it and into the server until draft_fini, or until the server's next event. */
void server_answer_query(struct server *server, const Wire__Query *query, struct draft *draft);
void draft_fini(struct draft *draft);

/* Of the arena; not zeroed. */
void *draft_take(struct draft *draft, size_t size);
/* The answer is this problem. */
void draft_fail(struct draft *draft, const char *code, const char *message, const char *hint);
/* Whether a row of this packed size still fits the message; then it is counted as being there. */
bool draft_fits(struct draft *draft, size_t size);
/* Some branch is prepared or not proved, and this is not over. */
bool view_in_doubt(const struct tx *tx);
/* Rows that a query wants. */
size_t draft_rows(const Wire__Query *query);
static inline char *text_or_empty(char *text)
{
    return text ? text : (char *)"";
}

/* views_tx.c: one transaction. With `tx` NULL it is open or, with `open` NULL too, one of which
 * only heuristic outcomes are known. */
Wire__TransactionView *view_tx(struct draft *draft, const struct tx *tx, const struct open *open,
                               const struct heuristic *heuristic);
void views_transaction(struct draft *draft, const Wire__Query *query);
/* views_list.c */
void views_transactions(struct draft *draft, const Wire__Query *query);

#endif
