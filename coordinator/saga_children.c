/* Sagas that are steps of others. A step's saga is found again by its parent and the instance of
 * the step, and lives as long as its parent: what it has completed it may have to undo. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/planted.h"
#include "saga/input.h"

/* ---- who is whose -------------------------------------------------------------------------- */

struct child_key {
    struct txid parent;
    const struct saga_instance *instance;
};

static uint64_t key_hash(struct txid parent, const struct saga_instance *instance)
{
    uint64_t hash = txid_hash(parent) ^ hash_u64((uint64_t)instance->step + 1);
    for (int i = 0; i < instance->depth; i++)
        hash = hash_u64(hash + instance->items[i]);
    return hash;
}

static bool same_instance(const struct saga_instance *a, const struct saga_instance *b)
{
    return a->step == b->step && a->depth == b->depth &&
           memcmp(a->items, b->items, (size_t)a->depth * sizeof(a->items[0])) == 0;
}

static bool match(const struct map_node *node, const void *wanted)
{
    const struct saga_child *child = CONTAINER(node, struct saga_child, node);
    const struct child_key *key = wanted;
    return txid_equal(child->parent, key->parent) && same_instance(&child->instance, key->instance);
}

struct saga_run *sagas_find_child(const struct server *server, struct txid parent,
                                  const struct saga_instance *instance)
{
    struct child_key key = {parent, instance};
    struct map_node *node =
        map_find(&server->sagas.children, key_hash(parent, instance), match, &key);
    return node ? CONTAINER(node, struct saga_child, node)->run : NULL;
}

void sagas_list_child(struct server *server, struct saga_run *run, struct saga_run *parent,
                      const struct saga_instance *instance)
{
    struct saga_child *child = xcalloc(1, sizeof(*child));
    child->run = run;
    child->parent = parent->id;
    child->instance = *instance;
    run->child = child;
    run->parent = parent;
    list_append(&parent->children, &run->sibling);
    map_insert(&server->sagas.children, &child->node, key_hash(parent->id, instance));
}

/* ---- what a parent is told ----------------------------------------------------------------- */

/* Kept until the end of the turn, so that no saga is called from within another's turn. */
struct reply {
    struct list all;
    struct txid parent;
    struct saga_event event; /* ANSWERED; its texts are owned */
    char *texts[7];
};

static char *keep(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static void reply(struct server *server, const struct saga_run *parent,
                  const struct saga_event *event)
{
    struct reply *made = xcalloc(1, sizeof(*made));
    struct saga_problem *problem = &made->event.problem;
    made->parent = parent->id;
    made->event = *event;
    made->event.type = SAGA_EVENT_ANSWERED;
    made->event.kept = true;
    made->event.result = made->texts[0] = keep(event->result);
    problem->code = made->texts[1] = keep(event->problem.code);
    problem->message = made->texts[2] = keep(event->problem.message);
    problem->detail = made->texts[3] = keep(event->problem.detail);
    problem->hint = made->texts[4] = keep(event->problem.hint);
    problem->operation = made->texts[5] = keep(event->problem.operation);
    problem->participant = made->texts[6] = keep(event->problem.participant);
    list_append(&server->sagas.replies, &made->all);
}

static void free_reply(struct reply *reply)
{
    list_remove(&reply->all);
    for (size_t i = 0; i < sizeof(reply->texts) / sizeof(reply->texts[0]); i++)
        free(reply->texts[i]);
    free(reply);
}

void sagas_send_replies(struct server *server)
{
    struct list *queue = &server->sagas.replies;
    while (!list_empty(queue)) {
        struct reply *first = CONTAINER(queue->next, struct reply, all);
        struct saga_run *parent = sagas_find(server, first->parent);
        if (parent)
            sagas_answered(server, parent, &first->event);
        free_reply(first);
    }
}

void sagas_drop_replies(struct server *server)
{
    struct list *queue = &server->sagas.replies;
    while (!list_empty(queue))
        free_reply(CONTAINER(queue->next, struct reply, all));
}

/* ---- a try that nobody carries out --------------------------------------------------------- */

static void refuse(struct server *server, const struct saga_run *parent,
                   const struct saga_action *action, enum saga_outcome outcome,
                   const struct saga_problem *problem)
{
    struct saga_event event = {.instance = action->instance,
                               .how = action->how,
                               .try = action->try,
                               .outcome = outcome,
                               .problem = *problem};
    reply(server, parent, &event);
}

static void refuse_unknown(struct server *server, const struct saga_run *parent,
                           const struct saga_action *action, const char *name)
{
    const char *nearest = definitions_nearest(&server->sagas.definitions, name);
    char message[160], hint[160];
    snprintf(message, sizeof(message), "there is no saga %.64s", name);
    if (nearest)
        snprintf(hint, sizeof(hint), "did you mean %s?", nearest);
    else
        snprintf(hint, sizeof(hint), "its definition must lie in the folder of `sagas`");
    refuse(server, parent, action, SAGA_REFUSED,
           &(struct saga_problem){.code = "unknown_saga", .message = message, .hint = hint});
}

static int generations(const struct saga_run *run)
{
    int count = 0;
    for (; run; run = run->parent)
        count++;
    return count;
}

static bool has_pivot(const struct saga_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].kind == SAGA_PIVOT)
            return true;
    }
    return false;
}

/* Lint has seen to it for the definitions of the day; the parent may run by an older one. */
static bool can_be_undone(const struct saga_step *step, const struct saga_plan *other)
{
    return step->kind != SAGA_COMPENSATABLE || step->reason || !has_pivot(other);
}

static void refuse_undoable(struct server *server, const struct saga_run *parent,
                            const struct saga_action *action, const struct saga_plan *other)
{
    char message[160];
    snprintf(message, sizeof(message), "the saga %.64s has a pivot now: it can't be undone",
             other->name);
    refuse(server, parent, action, SAGA_REFUSED,
           &(struct saga_problem){.code = "has_pivot",
                                  .message = message,
                                  .detail = "this step must be undone when a later one fails",
                                  .hint = "its definition has changed since this saga began"});
}

/* NULL: the try is answered already. */
static struct saga_run *begin(struct server *server, struct saga_run *parent,
                              struct saga_action *action)
{
    const struct saga_step *step = &saga_plan_of(parent->machine)->steps[action->instance.step];
    const char *name = step->saga;
    const char *given = action->argument_count ? action->arguments[0] : "{}";
    struct saga_begin_how how = {.parent = parent, .instance = &action->instance};
    struct error error = {0};
    how.definition = definitions_current(&server->sagas.definitions, name);
    if (!how.definition) {
        refuse_unknown(server, parent, action, name);
        return NULL;
    }
    if (!can_be_undone(step, how.definition->plan)) {
        refuse_undoable(server, parent, action, how.definition->plan);
        return NULL;
    }
    if (generations(parent) >= LIMIT_SAGA_GENERATIONS) {
        refuse(server, parent, action, SAGA_REFUSED,
               &(struct saga_problem){.code = "too_deep",
                                      .message = "too many sagas inside each other"});
        return NULL;
    }
    if (server->sagas.map.count >= LIMIT_SAGAS) {
        refuse(server, parent, action, SAGA_NOT_DONE,
               &(struct saga_problem){.code = "busy",
                                      .message = "as many sagas run as a coordinator can have"});
        return NULL;
    }
    char *input = saga_input_complete(how.definition->plan, given, strlen(given), &error);
    if (!input) {
        refuse(server, parent, action, SAGA_REFUSED,
               &(struct saga_problem){
                   .code = "bad_input", .message = error.message, .detail = error.detail});
        return NULL;
    }
    how.input = input;
    struct saga_run *run = sagas_begin(server, &how);
    free(input);
    return run;
}

/* ---- a try that waits for its saga --------------------------------------------------------- */

/* What its end means for the try of its parent. */
static void tell_parent(struct server *server, struct saga_run *run)
{
    struct saga_child *child = run->child;
    bool completed = saga_state(run->machine) == SAGA_COMPLETED;
    const struct saga_problem *problem = saga_problem(run->machine);
    struct saga_event event = {.instance = child->instance, .how = child->how, .try = child->try};
    child->waits = false;
    child->told = true;
    timers_clear(&server->sagas.limits, &child->timer);
    if (problem)
        event.problem = *problem;
    if (child->how == SAGA_COMPENSATE) {
        event.outcome = completed ? SAGA_REFUSED : SAGA_SUCCEEDED;
        if (completed)
            event.problem = (struct saga_problem){
                .code = "past_pivot",
                .message = "what the other saga did can't be undone any more"};
    } else if (completed) {
        event.outcome = SAGA_SUCCEEDED;
        event.result = saga_output(run->machine);
    } else if (child->how == SAGA_CANCEL) {
        event.outcome = SAGA_REFUSED;
        event.problem =
            (struct saga_problem){.code = "cancelled", .message = "the other saga was compensated"};
    } else {
        /* Its own failure would come again; that its time was up need not. */
        event.outcome = child->late ? SAGA_NOT_DONE : SAGA_REFUSED;
    }
    reply(server, run->parent, &event);
}

void sagas_child_ended(struct server *server, struct saga_run *run)
{
    if (run->child->waits)
        tell_parent(server, run);
}

/* From its pivot on it refuses, and what it comes to is waited for: also when it has completed and
 * only its record is not durable yet, which is no end that a parent may be told. */
static void undo(struct server *server, struct saga_run *run)
{
    static const struct saga_problem late = {
        .code = "deadline", .message = "the time of the step whose saga this is was up"};
    static const struct saga_problem unwanted = {
        .code = "cancelled", .message = "the saga of which this is a step is undone"};
    struct saga_event event = {.type = SAGA_EVENT_COMPENSATE};
    enum saga_state state = saga_state(run->machine);
    struct error error = {0};
    if (!run->resumed) {
        run->child->undo_when_begun = true;
        return;
    }
    bool completing = state == SAGA_COMPLETED && !run->ended && run->child->how != SAGA_COMPENSATE;
    if (completing || state == SAGA_COMPENSATING || state == SAGA_COMPENSATED)
        return;
    event.problem = run->child->late ? late : unwanted;
    bool was_ended = run->ended;
    run->ended = false; /* it may end within the call */
    if (!sagas_advance(server, run, &event, &error))
        run->ended = was_ended;
}

/* A parent has one try of a step at a time, and this one would last as long as the other saga runs:
 * so it is ended here. */
void sagas_undo_children(struct server *server, struct saga_run *parent)
{
    for (struct list *at = parent->children.next; at != &parent->children; at = at->next) {
        struct saga_run *run = CONTAINER(at, struct saga_run, sibling);
        if (run->child->waits && run->child->how == SAGA_DO && !run->ended)
            undo(server, run);
    }
}

void sagas_child_begun(struct server *server, struct saga_run *run)
{
    if (run->child->undo_when_begun)
        undo(server, run);
    run->child->undo_when_begun = false;
    if (run->ended && run->child->waits)
        tell_parent(server, run);
}

void sagas_pass_limits(struct server *server, uint64_t now_us)
{
    struct timers *limits = &server->sagas.limits;
    for (struct timer *timer; (timer = timers_due(limits, now_us)) != NULL;) {
        struct saga_child *child = CONTAINER(timer, struct saga_child, timer);
        bool completed = saga_state(child->run->machine) == SAGA_COMPLETED;
        if (completed || !child->waits)
            continue;
        child->late = true;
        undo(server, child->run);
    }
}

static void limit(struct server *server, struct saga_child *child, uint64_t timeout_us)
{
    if (timeout_us)
        timers_set(&server->sagas.limits, &child->timer,
                   server->host.now_us(server->host.self) + timeout_us);
}

/* One that was compensated, and told so, leaves nothing: another try begins a new one. */
static bool is_spent(const struct saga_run *run)
{
    return run->child->told && run->ended && saga_state(run->machine) == SAGA_COMPENSATED;
}

void sagas_try_child(struct server *server, struct saga_run *parent, struct saga_action *action)
{
    struct saga_run *run = sagas_find_child(server, parent->id, &action->instance);
    if (PLANTED(SAGA_CHILD_FORGOTTEN_EARLY) && action->how == SAGA_COMPENSATE) {
        refuse(server, parent, action, SAGA_SUCCEEDED, &(struct saga_problem){0});
        return;
    }
    if (run && action->how == SAGA_DO && is_spent(run)) {
        sagas_drop(server, run);
        run = NULL;
    }
    if (!run && action->how == SAGA_DO) {
        run = begin(server, parent, action);
        if (!run)
            return;
    } else if (!run) {
        bool cancel = action->how == SAGA_CANCEL;
        refuse(server, parent, action, cancel ? SAGA_REFUSED : SAGA_UNPROVABLE,
               &(struct saga_problem){.code = cancel ? "cancelled" : "unknown_saga",
                                      .message = "the other saga never began"});
        return;
    }
    struct saga_child *child = run->child;
    child->waits = true;
    child->how = action->how;
    child->try = action->try;
    if (action->how == SAGA_DO)
        limit(server, child, action->timeout_us);
    else if (action->how == SAGA_COMPENSATE || !run->ended)
        undo(server, run);
    if (run->ended && child->waits)
        tell_parent(server, run);
}
