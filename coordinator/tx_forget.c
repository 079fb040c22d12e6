/* FORGET: hazards and heuristic outcomes of a transaction leave the list when nothing is owed. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/tx_order.h"
#include "core/check.h"
#include "core/planted.h"

static const struct tx *find_live(const struct server *server, const struct tx_order *order)
{
    return server_is_ours(server, &order->id) ? server_find(server, order->id.tx) : NULL;
}

static bool owe(struct error *why, const char *format, const char *name)
{
    error_set(why, ERROR_REFUSED, format, name);
    return error_hint(why, "`troth tx explain` with its id tells what is still to be done");
}

static const Wire__Testimony *testimony_of(const struct tx_order *order,
                                           const struct participant *participant)
{
    for (size_t i = 0; i < order->count; i++) {
        if (order->asked[i] == participant)
            return order->testimonies[i];
    }
    return NULL;
}

/* Their rows must be marked, too: else they tell of them again. */
static bool tellers_are_there(const struct server *server, const struct tx_order *order,
                              struct error *why)
{
    const struct heuristic *heuristic = heuristics_find(server, order->gtrid);
    if (!heuristic)
        return true;
    for (struct list *at = heuristic->parts.next; at != &heuristic->parts; at = at->next) {
        const struct participant *participant =
            CONTAINER(at, struct heuristic_part, of)->participant;
        if (!participant)
            continue;
        const Wire__Testimony *testimony = testimony_of(order, participant);
        if (!participant->peer || !testimony || testimony->problem)
            return owe(why, "participant %s, where it was forced, can't be told to forget it",
                       participant->name);
    }
    return true;
}

static bool is_settled(const struct server *server, const struct tx_order *order, struct error *why)
{
    const struct tx *tx = find_live(server, order);
    if (PLANTED(FORGET_WHILE_OWED))
        return true;
    if (tx && tx->machine.state != TRANSACTION_HAZARD)
        return owe(why, "the transaction is not over: it is %s", tx_state_word(tx));
    for (size_t i = 0; i < order->count; i++) {
        if (tx_order_prepared(order, i))
            return owe(why, "participant %s still holds it prepared", order->asked[i]->name);
    }
    return tellers_are_there(server, order, why);
}

static void describe(const struct server *server, struct tx_order *order)
{
    const struct heuristic *heuristic = heuristics_find(server, order->gtrid);
    const struct tx *tx = find_live(server, order);
    order->before = xstrdup(heuristic ? heuristic_outcome(server, heuristic)
                            : tx      ? tx_state_word(tx)
                                      : "not listed");
}

static void record(struct server *server, struct tx_order *order)
{
    Wire__TxOrder wire;
    tx_order_wire(order, &wire);
    tx_order_await(server, order, heuristics_forget(server, &order->id, &wire));
}

void tx_forget_recorded(struct server *server, struct tx_order *order)
{
    host_log(&server->host, LOG_INFO, "transaction %s is forgotten by %s: %s", order->gtrid,
             order->by, order->reason);
    tx_order_done(server, order, WIRE__DEED__DEED_FORGET,
                  "forgotten: it is on the list no more; the journal, the rows and the audit log "
                  "keep it");
}

/* Has it nothing of it any more? */
static bool has_forgotten(const struct inquiry_result *result, size_t index)
{
    const Wire__Problem *problem = result->problems[index];
    return problem ? strcmp(problem->code, "unknown") == 0 : result->resolutions[index] != NULL;
}

/* They first: what one of them told before is in, and what it tells from now on is without it. A
 * crash here leaves it on this list alone; the operator forgets it once more. */
static void told(struct server *server, void *context, const struct inquiry_result *result)
{
    struct tx_order *order = context;
    struct error why = {0};
    if (!result) {
        tx_order_free(order);
        return;
    }
    for (size_t i = 0; i < result->count; i++) {
        const char *name = result->participants[i]->name;
        if (!has_forgotten(result, i)) {
            error_set(&why, ERROR_REFUSED, "participant %s did not forget it", name);
            error_detail(&why, "%s",
                         result->problems[i] ? result->problems[i]->message
                                             : inquiry_silence(result, i));
            error_hint(&why, "order it again: it is still on the list");
            tx_order_refuse(server, order, "owed", &why);
            return;
        }
        lines_add(&order->steps, "%s: its row is marked", name);
    }
    record(server, order);
}

static size_t tellers(const struct server *server, const struct tx_order *order,
                      struct participant **whom)
{
    const struct heuristic *heuristic = heuristics_find(server, order->gtrid);
    size_t count = 0;
    if (!heuristic)
        return 0;
    for (size_t i = 0; i < order->count; i++) {
        bool teller = false;
        for (struct list *at = heuristic->parts.next; at != &heuristic->parts; at = at->next)
            teller |= CONTAINER(at, struct heuristic_part, of)->participant == order->asked[i];
        if (teller)
            whom[count++] = order->asked[i];
    }
    return count;
}

static void carry_out(struct server *server, struct tx_order *order)
{
    struct participant **whom = xcalloc(order->count + 1, sizeof(struct participant *));
    size_t count = tellers(server, order, whom);
    if (order->dry_run) {
        for (size_t i = 0; i < count; i++)
            lines_add(&order->steps, "%s: its row would be marked", whom[i]->name);
        tx_order_done(server, order, WIRE__DEED__DEED_FORGET,
                      "nothing is owed: it would be on the list no more");
    } else {
        tx_order_audit(server, order, "ordered", NULL);
        if (count > 0)
            tx_order_relay(server, order, whom, count, told);
        else
            record(server, order);
    }
    free(whom);
}

void tx_forget(struct server *server, struct tx_order *order)
{
    struct error why = {0};
    const struct tx *tx = find_live(server, order);
    describe(server, order);
    if (!heuristics_find(server, order->gtrid) && !(tx && tx->machine.in[BRANCH_HAZARD] > 0)) {
        error_set(&why, ERROR_USAGE, "nothing of it is listed");
        error_detail(&why, "it has neither a heuristic outcome nor a hazard here");
        error_hint(&why, "`troth tx list --heuristic` and `troth tx list --hazard` tell what is");
        tx_order_refuse(server, order, "unknown", &why);
    } else if (!is_settled(server, order, &why)) {
        tx_order_refuse(server, order, "owed", &why);
    } else {
        carry_out(server, order);
    }
}
