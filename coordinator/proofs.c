/* What the registers can't tell any more, the databases may prove. A coordinator that was away for
 * so long that its participants have cleaned their rows (half of barrier_keep_us, CANNOT_TELL)
 * can't gather a majority ever again, and its transaction would be pre-committed for ever. But a
 * branch that voted yes is ended by a decision alone: where every one of them has ended, and all
 * the same way, by the xids of their votes, that was the decision. An outcome that an operator
 * forced proves nothing, and where one branch can't be proved none is. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"

enum { AGAIN_US = 5 * 1000 * 1000 };

struct proof {
    struct txid id;
};

/* EMPTY: nothing is proved of it. */
static enum register_value proved_of(const struct tx *tx, int branch,
                                     const Wire__Testimony *testimony)
{
    enum register_value value = REGISTER_EMPTY;
    for (size_t i = 0; i < testimony->n_exhibits; i++) {
        const Wire__Exhibit *exhibit = testimony->exhibits[i];
        if (exhibit->prepared || exhibit->heuristic)
            return REGISTER_EMPTY;
        if (exhibit->xid == 0 || exhibit->xid != tx->branches[branch].xid)
            continue;
        if (exhibit->status == WIRE__XID_STATUS__XID_COMMITTED)
            value = REGISTER_COMMIT;
        else if (exhibit->status == WIRE__XID_STATUS__XID_ABORTED)
            value = REGISTER_ABORT;
    }
    return value;
}

static enum register_value proved_at(const struct tx *tx, int branch,
                                     const struct inquiry_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        if (result->participants[i] == tx->branches[branch].participant)
            return result->testimonies[i]->problem ? REGISTER_EMPTY
                                                   : proved_of(tx, branch, result->testimonies[i]);
    }
    return REGISTER_EMPTY;
}

static enum register_value proved(const struct tx *tx, const struct inquiry_result *result)
{
    enum register_value value = REGISTER_EMPTY;
    for (int i = 0; i < tx->machine.branch_count; i++) {
        if (tx->machine.branches[i].state == BRANCH_READ_ONLY)
            continue;
        enum register_value one = proved_at(tx, i, result);
        if (one == REGISTER_EMPTY || (value != REGISTER_EMPTY && one != value))
            return REGISTER_EMPTY;
        value = one;
    }
    return value;
}

static void evidence_came(struct server *server, void *context, const struct inquiry_result *result)
{
    struct proof *proof = context;
    struct tx *tx = result ? server_find(server, proof->id) : NULL;
    free(proof);
    if (!tx || !tx->sites || tx->machine.state != TRANSACTION_PROPOSED)
        return;
    enum register_value value = proved(tx, result);
    if (value == REGISTER_EMPTY)
        return;
    gtrid_text gtrid;
    gtrid_format(gtrid, server->cluster, server->coordinator, tx->id);
    host_log(&server->host, LOG_WARNING,
             "%s: its sites can't tell any more what they have decided, and their databases prove "
             "it: %s",
             gtrid, value == REGISTER_COMMIT ? "commit" : "abort");
    /* A crash here, or before the end is durable: it is proved once more. */
    CHECK(server_step(server, tx, &(struct transaction_event){.type = EVENT_TOLD, .value = value}));
    for (size_t i = 0; i < result->count; i++)
        server_pump(server, result->participants[i]);
}

void server_prove(struct server *server, struct tx *tx)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    if (tx->machine.state != TRANSACTION_PROPOSED || now_us < tx->sites->prove_again_us ||
        !inquiries_room(server))
        return;
    tx->sites->prove_again_us = now_us + AGAIN_US;
    struct gid id = {.tx = tx->id, .branch = -1};
    strcpy(id.cluster, server->cluster);
    strcpy(id.coordinator, server->coordinator);
    gtrid_text gtrid;
    gtrid_format(gtrid, id.cluster, id.coordinator, id.tx);
    struct proof *proof = xcalloc(1, sizeof(*proof));
    proof->id = tx->id;
    size_t count;
    struct participant **whom = inquiry_concerned(server, &id, &count);
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__EVIDENCE;
    query.gtrid = gtrid;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    inquiry_ask(server, whom, count, &message, evidence_came, proof);
    free(whom);
}
