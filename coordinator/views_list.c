/* Lists of transactions: filtered, sorted by their ids, and paged. Newest first, or oldest first:
 * what a page ends with tells where the next one begins, also when that one is gone by then. */
#include "coordinator/views.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

enum {
    /* A row has at least so many bytes: more of them don't fit a message. */
    ROW_BYTES = 40,
    ROWS = LIMIT_MESSAGE_BYTES / ROW_BYTES,
};

/* What may be a row: a transaction, or what only operators told of. */
struct row {
    struct txid id;
    const char *coordinator;
    const struct tx *tx;     /* or NULL */
    const struct open *open; /* or NULL */
    const struct heuristic *heuristic;
};

/* The first rows of those that were wanted so far, in their order. */
struct rows {
    struct row *rows;
    size_t count, room;
    bool oldest_first;
    bool paged; /* only those after: */
    struct row after;
    uint64_t matched;
};

/* In the order asked for. Coordinators matter only where ids are equal. */
static int compare(const struct rows *rows, const struct row *a, const struct row *b)
{
    int order = txid_compare(a->id, b->id);
    if (order == 0)
        order = strcmp(a->coordinator, b->coordinator);
    return rows->oldest_first ? order : -order;
}

/* They come nearly in order, so that it is the last place, or none, nearly always. */
static void insert(struct rows *rows, const struct row *row)
{
    if (rows->paged && compare(rows, row, &rows->after) <= 0)
        return;
    rows->matched++;
    size_t at = rows->count;
    while (at > 0 && compare(rows, &rows->rows[at - 1], row) > 0)
        at--;
    if (at == rows->room)
        return;
    if (rows->count < rows->room)
        rows->count++;
    memmove(&rows->rows[at + 1], &rows->rows[at], (rows->count - at - 1) * sizeof(*row));
    rows->rows[at] = *row;
}

/* ---- filters ---- */

static bool has_participant(const struct row *row, const char *name)
{
    for (int i = 0; row->tx && i < row->tx->machine.branch_count; i++) {
        if (strcmp(row->tx->branches[i].participant->name, name) == 0)
            return true;
    }
    for (int i = 0; row->open && i < row->open->branch_count; i++) {
        if (strcmp(row->open->branches[i]->participant->name, name) == 0)
            return true;
    }
    const struct list *parts = row->heuristic ? &row->heuristic->parts : NULL;
    for (struct list *at = parts ? parts->next : NULL; parts && at != parts; at = at->next) {
        const struct heuristic_part *part = CONTAINER(at, struct heuristic_part, of);
        if (part->participant && strcmp(part->participant->name, name) == 0)
            return true;
    }
    return false;
}

static bool has_state(const struct row *row, const Wire__Query *query)
{
    const char *word = row->tx ? tx_state_word(row->tx) : row->open ? "open" : "heuristic";
    for (size_t i = 0; i < query->n_states; i++) {
        if (strcmp(query->states[i], word) == 0)
            return true;
    }
    return query->n_states == 0;
}

static int64_t begun_us(const struct row *row)
{
    if (row->tx)
        return row->tx->begun_us;
    if (row->open)
        return row->open->begun_us;
    const struct list *first = row->heuristic->parts.next;
    return CONTAINER(first, struct heuristic_part, of)->at_us;
}

static bool is_old(const struct server *server, const struct row *row, uint64_t older_us)
{
    int64_t age_us = server->host.wall_us(server->host.self) - begun_us(row);
    return older_us == 0 || (age_us >= 0 && (uint64_t)age_us >= older_us);
}

/* A participant reports a branch of it as held. */
static bool is_held(const struct server *server, const struct heuristic *heuristic)
{
    const struct list *head = &server->participants.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        const struct participant *participant = CONTAINER(at, struct participant, all);
        for (size_t i = 0; i < participant->report.held_count; i++) {
            struct gid gid;
            if (gid_parse(participant->report.held[i], &gid) &&
                txid_equal(gid.tx, heuristic->id.tx) &&
                strcmp(gid.coordinator, heuristic->id.coordinator) == 0)
                return true;
        }
    }
    return false;
}

static bool is_mixed(const struct server *server, const struct row *row)
{
    return row->heuristic && strcmp(heuristic_outcome(server, row->heuristic), "mixed") == 0;
}

static bool is_hazard(const struct server *server, const struct row *row)
{
    return (row->heuristic && heuristic_unproved(server, row->heuristic)) ||
           (row->tx && row->tx->machine.state != TRANSACTION_DONE &&
            row->tx->machine.in[BRANCH_HAZARD] > 0);
}

static bool is_in_doubt(const struct server *server, const struct row *row)
{
    if (row->open)
        return open_in_doubt(row->open);
    return row->tx ? view_in_doubt(row->tx) : is_held(server, row->heuristic);
}

static bool wanted(const struct server *server, const struct row *row, const Wire__Query *query)
{
    if (query->in_doubt && !is_in_doubt(server, row))
        return false;
    bool hazard = query->hazard && (is_hazard(server, row) || is_mixed(server, row));
    bool heuristic = query->heuristic && row->heuristic;
    if ((query->hazard || query->heuristic) && !hazard && !heuristic)
        return false;
    if (query->participant[0] && !has_participant(row, query->participant))
        return false;
    return has_state(row, query) && is_old(server, row, query->older_us);
}

/* ---- the list ---- */

static void take_row(const struct draft *draft, const Wire__Query *query, struct rows *rows,
                     const struct tx *tx, const struct open *open)
{
    struct server *server = draft->server;
    struct row row = {
        .id = tx ? tx->id : open->id, .coordinator = server->coordinator, .tx = tx, .open = open};
    if (server->heuristics.count > 0) {
        gtrid_text gtrid;
        gtrid_format(gtrid, server->cluster, server->coordinator, row.id);
        row.heuristic = heuristics_find(server, gtrid);
    }
    if (wanted(server, &row, query))
        insert(rows, &row);
}

static void take_list(const struct draft *draft, const Wire__Query *query, struct rows *rows,
                      const struct list *head, bool history)
{
    const struct list *at = rows->oldest_first ? head->next : head->previous;
    while (at != head) {
        const struct tx *tx = CONTAINER(at, struct tx, all);
        /* What is listed again for a hazard may be in the history, too. */
        if (!history || !server_find(draft->server, tx->id))
            take_row(draft, query, rows, tx, NULL);
        at = rows->oldest_first ? at->next : at->previous;
    }
}

static void take_open(const struct draft *draft, const Wire__Query *query, struct rows *rows)
{
    const struct list *head = &draft->server->opens.all;
    const struct list *at = rows->oldest_first ? head->next : head->previous;
    while (at != head) {
        take_row(draft, query, rows, NULL, CONTAINER(at, struct open, all));
        at = rows->oldest_first ? at->next : at->previous;
    }
}

/* Those of which nothing else is known. */
static void take_heuristics(const struct draft *draft, const Wire__Query *query, struct rows *rows)
{
    const struct server *server = draft->server;
    const struct list *head = &server->heuristics.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        const struct heuristic *heuristic = CONTAINER(at, struct heuristic, all);
        struct row row = {.id = heuristic->id.tx,
                          .coordinator = heuristic->id.coordinator,
                          .heuristic = heuristic};
        bool known = server_is_ours(server, &heuristic->id) &&
                     (server_remember(server, heuristic->id.tx) != NULL ||
                      open_find(server, heuristic->id.tx) != NULL);
        if (!known && wanted(server, &row, query))
            insert(rows, &row);
    }
}

static void add_rows(struct draft *draft, const struct rows *rows)
{
    Wire__Answer *answer = &draft->answer;
    answer->transactions = draft_take(draft, sizeof(void *) * (rows->count + 1));
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->rows[i];
        Wire__TransactionView *view = view_tx(draft, row->tx, row->open, row->heuristic);
        if (!draft_fits(draft, wire__transaction_view__get_packed_size(view)))
            break;
        answer->transactions[answer->n_transactions++] = view;
    }
    answer->more = rows->matched - answer->n_transactions;
}

void views_transactions(struct draft *draft, const Wire__Query *query)
{
    struct rows rows = {.room = draft_rows(query), .oldest_first = query->oldest_first};
    struct gid after;
    if (query->from[0] && !gtrid_parse(query->from, &after)) {
        draft_fail(draft, "bad_request", "a page begins after the id of a transaction",
                   "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: the last one of the page before");
        return;
    }
    if (query->from[0]) {
        rows.paged = true;
        rows.after = (struct row){.id = after.tx, .coordinator = after.coordinator};
    }
    if (rows.room > ROWS)
        rows.room = ROWS;
    rows.rows = xcalloc(rows.room + 1, sizeof(*rows.rows));
    take_list(draft, query, &rows, &draft->server->all, false);
    if (!query->in_doubt)
        take_list(draft, query, &rows, &draft->server->history.all, true);
    take_open(draft, query, &rows);
    take_heuristics(draft, query, &rows);
    add_rows(draft, &rows);
    free(rows.rows);
}
