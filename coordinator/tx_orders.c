/* What operators order of transactions: who may, what the databases say first, and the answer. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/testimonies.h"
#include "coordinator/tx_order.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/text.h"

/* ---- an order ---- */

static void free_lines(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->text[i]);
}

void tx_order_free(struct tx_order *order)
{
    list_remove(&order->caller.in_guest);
    list_remove(&order->waiting);
    for (size_t i = 0; i < order->count; i++)
        wire__testimony__free_unpacked(order->testimonies[i], NULL);
    free(order->testimonies);
    free(order->asked);
    free_lines(&order->steps);
    free_lines(&order->unknowns);
    free(order->reason);
    free(order->by);
    free(order->before);
    free(order);
}

void lines_add(struct lines *lines, const char *format, ...)
{
    char text[TX_ORDER_LINE_BYTES];
    va_list arguments;
    if (lines->count >= TX_ORDER_LINES) {
        lines->left_out++;
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    lines->text[lines->count++] = xstrdup(text);
}

static void close_lines(struct lines *lines)
{
    char text[64];
    if (lines->left_out == 0)
        return;
    snprintf(text, sizeof(text), "and %zu more", lines->left_out);
    lines->text[lines->count++] = xstrdup(text);
    lines->left_out = 0;
}

const char *tx_order_word(const struct tx_order *order)
{
    return order->commit ? "COMMIT" : "ABORT";
}

void tx_order_wire(const struct tx_order *order, Wire__TxOrder *out)
{
    wire__tx_order__init(out);
    out->kind = order->kind;
    out->gtrid = (char *)order->gtrid;
    out->commit = order->commit;
    out->reason = order->reason;
    out->by = order->by;
}

bool tx_order_prepared(const struct tx_order *order, size_t index)
{
    const Wire__Testimony *testimony = order->testimonies[index];
    for (size_t i = 0; i < testimony->n_exhibits; i++) {
        if (testimony->exhibits[i]->prepared)
            return true;
    }
    return false;
}

void tx_order_audit(struct server *server, const struct tx_order *order, const char *stage,
                    const char *after)
{
    const struct audit_port *audit = server->config.audit;
    const char *action = order->kind == WIRE__TX_ORDER_KIND__FORGET ? "tx forget"
                         : order->commit                            ? "tx resolve --commit"
                                                                    : "tx resolve --abort";
    struct audit_entry entry = {.action = action,
                                .subject = order->gtrid,
                                .by = order->by,
                                .session = order->session,
                                .reason = order->reason,
                                .stage = stage,
                                .before = order->before,
                                .after = after};
    if (audit && !order->dry_run)
        audit->append(audit->self, &entry);
}

void tx_order_relay(struct server *server, struct tx_order *order, struct participant *const *whom,
                    size_t count, inquiry_done *done)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__TxOrder wire;
    tx_order_wire(order, &wire);
    wire.relayed = true;
    message.body_case = WIRE__MESSAGE__BODY_TX_ORDER;
    message.tx_order = &wire;
    inquiry_ask(server, whom, count, &message, done, order);
}

/* ---- answers ---- */

/* What it did, in one text. */
static void summarize(const struct tx_order *order, const char *message, char *text, size_t room)
{
    int used = snprintf(text, room, "%s", message);
    for (size_t i = 0; i < order->steps.count && used >= 0 && (size_t)used < room; i++)
        used += snprintf(text + used, room - (size_t)used, "; %s", order->steps.text[i]);
}

void tx_order_done(struct server *server, struct tx_order *order, Wire__Deed deed,
                   const char *format, ...)
{
    char message[400], summary[1000];
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__Resolution resolution = WIRE__RESOLUTION__INIT;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    close_lines(&order->steps);
    close_lines(&order->unknowns);
    summarize(order, message, summary, sizeof(summary));
    tx_order_audit(server, order, "done", summary);
    resolution.deed = deed;
    resolution.message = message;
    resolution.steps = order->steps.text;
    resolution.n_steps = order->steps.count;
    resolution.unknowns = order->unknowns.text;
    resolution.n_unknowns = order->unknowns.count;
    resolution.testimonies = order->testimonies;
    resolution.n_testimonies = order->count;
    answer.resolution = &resolution;
    order->count = 0; /* the answer takes them */
    caller_answer(server, &order->caller, &answer);
    tx_order_free(order);
}

static void send_problem(struct server *server, struct caller *caller, const char *code,
                         const struct error *why)
{
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)code;
    problem.message = (char *)why->message;
    problem.detail = (char *)why->detail;
    problem.hint = (char *)why->hint;
    answer.problem = &problem;
    caller_answer(server, caller, &answer);
}

void tx_order_refuse(struct server *server, struct tx_order *order, const char *code,
                     const struct error *why)
{
    tx_order_audit(server, order, "refused", why->message);
    send_problem(server, &order->caller, code, why);
    tx_order_free(order);
}

/* ---- its record ---- */

void tx_order_await(struct server *server, struct tx_order *order, uint64_t position)
{
    order->position = position;
    list_append(&server->heuristics.orders, &order->waiting);
}

void tx_orders_durable(struct server *server)
{
    struct list *orders = &server->heuristics.orders;
    while (!list_empty(orders)) {
        struct tx_order *order = CONTAINER(orders->next, struct tx_order, waiting);
        if (order->position > server->durable_position)
            break;
        list_remove(&order->waiting);
        if (order->kind == WIRE__TX_ORDER_KIND__FORGET) {
            tx_forget_recorded(server, order);
            continue;
        }
        /* A crash here: the outcome is recorded, and nobody was told. A participant that inquires
         * about its branch is told; the operator may order the same again. */
        CRASH_POINT("coordinator.heuristic-recorded");
        tx_resolve_recorded(server, order);
    }
}

void tx_orders_fini(struct server *server)
{
    struct list *orders = &server->heuristics.orders;
    while (!list_empty(orders))
        tx_order_free(CONTAINER(orders->next, struct tx_order, waiting));
}

/* ---- who may order what ---- */

static bool is_worded(const Wire__TxOrder *order, struct error *why)
{
    if (order->kind != WIRE__TX_ORDER_KIND__RESOLVE && order->kind != WIRE__TX_ORDER_KIND__FORGET)
        return error_set(why, ERROR_USAGE, "this version does not know the order");
    if (order->relayed)
        return error_set(why, ERROR_USAGE, "only a coordinator relays orders");
    if (!order->reason[0]) {
        error_set(why, ERROR_USAGE, "an order needs a reason");
        return error_hint(why, "give it with --reason: it is kept in the audit log");
    }
    if (strlen(order->reason) > LIMIT_REASON_BYTES || strlen(order->by) > LIMIT_BY_BYTES)
        return error_set(why, ERROR_USAGE,
                         "a reason has at most %d bytes, and the name of who orders %d",
                         LIMIT_REASON_BYTES, LIMIT_BY_BYTES);
    if (!text_plain(order->reason) || !text_plain(order->by))
        return error_set(why, ERROR_USAGE,
                         "a reason is one line of UTF-8 without control characters");
    return true;
}

static bool is_about(const struct server *server, const Wire__TxOrder *order, struct gid *id,
                     struct error *why)
{
    if (!gtrid_parse(order->gtrid, id) && !gid_parse(order->gtrid, id)) {
        error_set(why, ERROR_USAGE, "this is not the id of a transaction");
        return error_hint(why, "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth tx list`");
    }
    if (strcmp(id->cluster, server->cluster) != 0) {
        error_set(why, ERROR_USAGE, "the transaction belongs to cluster %s, and this is %s",
                  id->cluster, server->cluster);
        return error_hint(why, "its id begins with the name of its cluster");
    }
    if (order->kind == WIRE__TX_ORDER_KIND__FORGET && order->participant[0]) {
        error_set(why, ERROR_USAGE,
                  "at a coordinator all that is listed of a transaction is forgotten together");
        return error_hint(why, "leave --participant out, or order it at the participant's own "
                               "door: troth --coordinator tcp://ITS-LISTEN-ADDRESS tx forget");
    }
    return true;
}

/* What it began it could not bring to its end. */
static bool shuts_down(const struct server *server, bool dry_run, struct error *why)
{
    if (!server->draining || dry_run)
        return false;
    error_set(why, ERROR_BUSY, "the coordinator is shutting down");
    return true;
}

static const char *may(const struct server *server, const Wire__TxOrder *order, struct gid *id,
                       struct error *why)
{
    if (!is_worded(order, why) || !is_about(server, order, id, why))
        return "bad_request";
    if (order->participant[0] && !participants_find(&server->participants, order->participant)) {
        const char *nearest = participants_nearest(&server->participants, order->participant);
        error_set(why, ERROR_USAGE, "the coordinator knows no participant %.64s",
                  order->participant);
        error_hint(why,
                   nearest ? "did you mean %s?" : "`troth participant list` tells whom it knows%s",
                   nearest ? nearest : "");
        return "unknown";
    }
    if (shuts_down(server, order->dry_run, why))
        return "busy";
    if (!inquiries_room(server)) {
        error_set(why, ERROR_BUSY, "too many inquiries run at once");
        error_hint(why, "try again");
        return "busy";
    }
    return NULL;
}

static struct tx_order *new_order(const struct server *server, struct guest *guest,
                                  const Wire__TxOrder *wire, const struct gid *id)
{
    struct tx_order *order = xcalloc(1, sizeof(*order));
    const char *name = peer_name(guest->peer);
    caller_init(&order->caller, guest, wire->request);
    list_init(&order->waiting);
    order->kind = wire->kind;
    order->id = *id;
    order->id.branch = -1;
    gtrid_format(order->gtrid, server->cluster, id->coordinator, id->tx);
    order->commit = wire->commit;
    order->dry_run = wire->dry_run;
    order->reason = xstrdup(wire->reason);
    order->by = xstrdup(wire->by[0] ? wire->by : name);
    snprintf(order->participant, sizeof(order->participant), "%s", wire->participant);
    snprintf(order->session, sizeof(order->session), "%s (%s)", name,
             peer_role(guest->peer) == WIRE__ROLE__OPERATOR ? "operator" : "client");
    return order;
}

static void evidence_came(struct server *server, void *context, const struct inquiry_result *result)
{
    struct tx_order *order = context;
    if (!result || !order->caller.guest) {
        if (result)
            host_log(&server->host, LOG_WARNING,
                     "an order about transaction %s was dropped: who gave it is gone",
                     order->gtrid);
        tx_order_free(order);
        return;
    }
    order->count = result->count;
    order->testimonies = xcalloc(result->count + 1, sizeof(Wire__Testimony *));
    order->asked = xcalloc(result->count + 1, sizeof(struct participant *));
    for (size_t i = 0; i < result->count; i++) {
        order->asked[i] = result->participants[i];
        order->testimonies[i] = result->testimonies[i];
        result->testimonies[i] = NULL;
    }
    struct error why = {0};
    if (shuts_down(server, order->dry_run, &why))
        tx_order_refuse(server, order, "busy", &why);
    else if (order->kind == WIRE__TX_ORDER_KIND__FORGET)
        tx_forget(server, order);
    else
        tx_resolve(server, order);
}

void server_tx_order(struct server *server, struct guest *guest, const Wire__TxOrder *wire)
{
    struct error why = {0};
    struct gid id;
    const char *code = may(server, wire, &id, &why);
    if (code) {
        struct caller caller;
        caller_init(&caller, guest, wire->request);
        send_problem(server, &caller, code, &why);
        return;
    }
    size_t count;
    struct tx_order *order = new_order(server, guest, wire, &id);
    struct participant **whom = inquiry_concerned(server, &order->id, &count);
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__EVIDENCE;
    query.gtrid = order->gtrid;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    inquiry_ask(server, whom, count, &message, evidence_came, order);
    free(whom);
}
