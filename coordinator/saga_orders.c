/* What people tell a saga that runs: try again, undo it, here is a signal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/json.h"
#include "core/planted.h"

static void send(struct guest *guest, uint64_t request, const char *code, const struct error *error)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    answer.request = request;
    if (error) {
        problem.code = (char *)code;
        problem.message = (char *)error->message;
        problem.detail = (char *)error->detail;
        problem.hint = (char *)error->hint;
        answer.problem = &problem;
    }
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &answer;
    CHECK(peer_send(guest->peer, &message, true));
}

void sagas_answer_order(struct server *server, struct saga_waiter *waiter)
{
    send(waiter->guest, waiter->request, NULL, NULL);
    sagas_stop_waiting(server, waiter);
}

/* Of an order that is refused. */
struct objection {
    const char *code;
    struct error error;
};

static bool refuse(struct objection *why, const char *code)
{
    why->code = code;
    return false;
}

/* The sagas of a definition wait for these signals. */
static bool knows_signal(const struct saga_plan *plan, const char *signal, struct objection *why)
{
    const char *known[LIMIT_SAGA_STEPS];
    int count = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const struct saga_step *step = &plan->steps[i];
        if (step->type != SAGA_WAIT || step->wait != SAGA_WAIT_SIGNAL)
            continue;
        if (strcmp(step->signal, signal) == 0)
            return true;
        known[count++] = step->signal;
    }
    const char *nearest = error_nearest(signal, known, count);
    error_set(&why->error, ERROR_USAGE, "saga %s waits for no signal \"%.64s\"", plan->name,
              signal);
    if (nearest)
        error_hint(&why->error, "did you mean %s?", nearest);
    else if (count)
        error_hint(&why->error, "it waits for %s%s", known[0], count > 1 ? " and others" : "");
    else
        error_hint(&why->error, "it waits for none");
    return refuse(why, "unknown_signal");
}

static bool is_json(const char *value, struct objection *why)
{
    if (strlen(value) > LIMIT_SAGA_VALUE_BYTES) {
        error_set(&why->error, ERROR_USAGE, "the value is larger than %d bytes",
                  LIMIT_SAGA_VALUE_BYTES);
        return refuse(why, "bad_request");
    }
    struct json *json = json_parse(value, strlen(value), &why->error);
    bool good = json != NULL;
    json_free(json);
    return good || refuse(why, "bad_request");
}

static bool has_ended(const char *id, const char *how, struct objection *why)
{
    error_set(&why->error, ERROR_REFUSED, "the saga has ended: %s", how);
    error_hint(&why->error, "see `troth saga show %.80s`", id);
    return refuse(why, "saga_ended");
}

static struct saga_run *find(struct server *server, const char *id, struct objection *why)
{
    struct gid gid;
    if (!gtrid_parse(id, &gid)) {
        error_set(&why->error, ERROR_USAGE, "this is not the id of a saga");
        error_hint(&why->error,
                   "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth saga list`");
        refuse(why, "bad_request");
        return NULL;
    }
    if (strcmp(gid.cluster, server->cluster) != 0 ||
        strcmp(gid.coordinator, server->coordinator) != 0) {
        error_set(&why->error, ERROR_USAGE, "the saga belongs to another coordinator");
        error_hint(&why->error,
                   "its id begins with the names of its cluster and its coordinator: ask that one");
        refuse(why, "bad_request");
        return NULL;
    }
    struct saga_run *run = sagas_find(server, gid.tx);
    if (run)
        return run;
    const struct saga_run *old = sagas_find_ended(server, gid.tx);
    if (old) {
        has_ended(id, saga_state_words[saga_state(old->machine)], why);
        return NULL;
    }
    error_set(&why->error, ERROR_USAGE, "the coordinator knows no such saga");
    error_hint(&why->error, "`troth saga list --all` tells those that it remembers");
    refuse(why, "unknown_saga");
    return NULL;
}

static bool may_be_undone(const struct saga_run *run, struct objection *why)
{
    if (saga_state(run->machine) == SAGA_COMPENSATING) {
        error_set(&why->error, ERROR_REFUSED, "the saga is being compensated already");
        return refuse(why, "already_compensating");
    }
    if (saga_is_past_pivot(run->machine) && !PLANTED(SAGA_UNDO_AFTER_PIVOT)) {
        error_set(&why->error, ERROR_REFUSED, "the saga is past its pivot");
        error_detail(&why->error, "from there on nothing of it is undone");
        error_hint(&why->error, "it goes on until it is completed");
        return refuse(why, "past_pivot");
    }
    return true;
}

static bool fits(struct server *server, const struct saga_run *run, const Wire__SagaOrder *order,
                 struct objection *why)
{
    enum saga_state state = saga_state(run->machine);
    if (state == SAGA_COMPLETED || state == SAGA_COMPENSATED)
        return has_ended(order->saga, saga_state_words[state], why);
    if (!run->resumed) {
        error_set(&why->error, ERROR_BUSY, "%s",
                  server->draining ? "the coordinator is shutting down"
                                   : "the saga is only just beginning");
        error_hint(&why->error, "try again");
        return refuse(why, "busy");
    }
    switch (order->order) {
    case WIRE__ORDER__ORDER_RETRY:
        return true;
    case WIRE__ORDER__ORDER_COMPENSATE:
        return may_be_undone(run, why);
    case WIRE__ORDER__ORDER_SIGNAL:
        return knows_signal(run->definition->plan, order->signal, why) &&
               (!order->value[0] || is_json(order->value, why));
    default:
        error_set(&why->error, ERROR_USAGE, "this version does not know the order");
        return refuse(why, "bad_request");
    }
}

static bool obey(struct server *server, struct saga_run *run, const Wire__SagaOrder *order,
                 struct objection *why)
{
    char reason[201];
    struct saga_event event = {.type = SAGA_EVENT_RETRY};
    if (order->order == WIRE__ORDER__ORDER_SIGNAL) {
        event.type = SAGA_EVENT_SIGNALLED;
        event.name = order->signal;
        event.value = order->value[0] ? order->value : NULL;
    } else if (order->order == WIRE__ORDER__ORDER_COMPENSATE) {
        snprintf(reason, sizeof(reason), "%s", order->reason[0] ? order->reason : "by an operator");
        event.type = SAGA_EVENT_COMPENSATE;
        event.problem = (struct saga_problem){.code = "operator", .message = reason};
    }
    if (sagas_advance(server, run, &event, &why->error))
        return true;
    if (why->error.kind == ERROR_BUSY)
        return refuse(why, "busy");
    if (order->order == WIRE__ORDER__ORDER_COMPENSATE)
        return refuse(why, "past_pivot");
    return refuse(why,
                  order->order == WIRE__ORDER__ORDER_SIGNAL ? "unknown_signal" : "bad_request");
}

/* For people: who told it what. */
static void log_order(struct server *server, struct guest *guest, const Wire__SagaOrder *order)
{
    if (order->order == WIRE__ORDER__ORDER_RETRY)
        host_log(&server->host, LOG_INFO, "saga %s: %s has it try again", order->saga,
                 peer_name(guest->peer));
    else if (order->order == WIRE__ORDER__ORDER_COMPENSATE)
        host_log(&server->host, LOG_INFO, "saga %s: %s has it undone: %.200s", order->saga,
                 peer_name(guest->peer), order->reason);
}

static const char *action(const Wire__SagaOrder *order)
{
    switch (order->order) {
    case WIRE__ORDER__ORDER_RETRY:
        return "saga retry";
    case WIRE__ORDER__ORDER_COMPENSATE:
        return "saga compensate";
    default:
        return "saga signal";
    }
}

/* Signals come from programs, too, and are told once: when they are taken or refused. What a person
 * has tried again or undone is there before it is done. */
static void audit(struct server *server, struct guest *guest, const struct saga_run *run,
                  const Wire__SagaOrder *order, const char *stage, const char *after)
{
    const struct audit_port *port = server->config.audit;
    char by[LIMIT_BY_BYTES + 1], session[LIMIT_NAME_BYTES + 16], reason[LIMIT_REASON_BYTES + 1];
    const char *name = peer_name(guest->peer);
    bool signal = order->order == WIRE__ORDER__ORDER_SIGNAL;
    if (!port || (signal && strcmp(stage, "ordered") == 0))
        return;
    snprintf(by, sizeof(by), "%s", order->by[0] ? order->by : name);
    snprintf(session, sizeof(session), "%s (%s)", name,
             peer_role(guest->peer) == WIRE__ROLE__OPERATOR ? "operator" : "client");
    snprintf(reason, sizeof(reason), "%s", signal ? order->signal : order->reason);
    struct audit_entry entry = {.action = action(order),
                                .subject = order->saga,
                                .by = by,
                                .session = session,
                                .reason = reason[0] ? reason : NULL,
                                .stage = stage,
                                .before = saga_state_words[saga_state(run->machine)],
                                .after = after};
    port->append(port->self, &entry);
}

/* False: it objects. */
static bool carry_out(struct server *server, struct guest *guest, struct saga_run *run,
                      const Wire__SagaOrder *order, struct objection *why)
{
    audit(server, guest, run, order, "ordered", NULL);
    if (!obey(server, run, order, why)) {
        audit(server, guest, run, order, "refused", why->error.message);
        return false;
    }
    audit(server, guest, run, order, "done", saga_state_words[saga_state(run->machine)]);
    return true;
}

void server_order_saga(struct server *server, struct guest *guest, const Wire__SagaOrder *order)
{
    struct objection why = {0};
    struct saga_run *run = find(server, order->saga, &why);
    if (run && run->extra && run->extra->waiter_count >= LIMIT_WAITERS) {
        error_set(&why.error, ERROR_BUSY, "too many clients wait for this saga");
        refuse(&why, "busy");
        run = NULL;
    }
    if (!run || !fits(server, run, order, &why) || !carry_out(server, guest, run, order, &why)) {
        send(guest, order->request, why.code, &why.error);
        return;
    }
    log_order(server, guest, order);
    if (order->order == WIRE__ORDER__ORDER_COMPENSATE && saga_state(run->machine) == SAGA_RUNNING) {
        error_set(&why.error, ERROR_BUSY, "the saga's pivot is under way");
        error_detail(&why.error, "it is undone when the pivot fails, and not when it is done");
        error_hint(&why.error, "ask again what has become of it");
        send(guest, order->request, "busy", &why.error);
        return;
    }
    if (!sagas_holds(server, run)) {
        send(guest, order->request, NULL, NULL);
        return;
    }
    struct saga_waiter *waiter = sagas_wait(server, run, guest, order->request, WAITS_FOR_ORDER);
    waiter->held = sagas_hold(server, run, HELD_ANSWER);
    waiter->held->waiter = waiter;
}
