/* The life of a saga: how it begins, what becomes of its machine's actions, and how it ends. */
#include "coordinator/sagas.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "coordinator/tasks.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

enum {
    /* The wall's clock has jumped when the two clocks differ by more. */
    JUMP_US = 1000 * 1000,
    /* Of the history; its sagas can be large. */
    HISTORY_BYTES = 64 * 1024 * 1024,
};

static struct saga_time now(const struct server *server)
{
    return (struct saga_time){server->host.now_us(server->host.self),
                              server->host.wall_us(server->host.self)};
}

/* ---- being there --------------------------------------------------------------------------- */

static bool match(const struct map_node *node, const void *id)
{
    return txid_equal(CONTAINER(node, struct saga_run, node)->id, *(const struct txid *)id);
}

struct saga_run *sagas_find(const struct server *server, struct txid id)
{
    struct map_node *node = map_find(&server->sagas.map, txid_hash(id), match, &id);
    return node ? CONTAINER(node, struct saga_run, node) : NULL;
}

struct saga_run *sagas_find_ended(const struct server *server, struct txid id)
{
    struct map_node *node = map_find(&server->sagas.ended, txid_hash(id), match, &id);
    return node ? CONTAINER(node, struct saga_run, node) : NULL;
}

struct saga_extra *sagas_extra(struct saga_run *run)
{
    if (run->extra)
        return run->extra;
    run->extra = xcalloc(1, sizeof(*run->extra));
    list_init(&run->extra->held);
    list_init(&run->extra->waiters);
    return run->extra;
}

bool sagas_holds(const struct server *server, const struct saga_run *run)
{
    return run->extra &&
           (run->extra->position > server->durable_position || !list_empty(&run->extra->held));
}

static void trim_extra(struct server *server, struct saga_run *run)
{
    struct saga_extra *extra = run->extra;
    if (!extra || extra->key || extra->waiter_count || sagas_holds(server, run))
        return;
    free(extra);
    run->extra = NULL;
}

struct saga_run *sagas_make(struct server *server, const struct saga_begin_how *how, struct txid id,
                            int64_t begun_us)
{
    struct sagas *sagas = &server->sagas;
    struct saga_run *run = xcalloc(1, sizeof(*run));
    gtrid_text text;
    gtrid_format(text, server->cluster, server->coordinator, id);
    run->id = id;
    run->definition = how->definition;
    definition_use(how->definition);
    list_init(&run->tasks);
    list_init(&run->children);
    list_init(&run->sibling);
    list_append(&sagas->all, &run->all);
    map_insert(&sagas->map, &run->node, txid_hash(id));
    if (how->parent)
        sagas_list_child(server, run, how->parent, how->instance);
    if (how->key) {
        sagas_extra(run)->key = how->key;
        how->key->run = run;
        how->key->id = id;
    }
    struct saga_begin begin = {
        .plan = how->definition->plan, .id = text, .input = how->input, .begun_us = begun_us};
    run->machine = saga_new(&begin);
    return run;
}

struct saga_run *sagas_begin(struct server *server, const struct saga_begin_how *how)
{
    struct txid id = recovery_next_id(&server->recovery);
    server->metrics.sagas_started += how->parent ? 0 : 1;
    struct saga_run *run = sagas_make(server, how, id, server->host.wall_us(server->host.self));
    uint64_t position = sagas_append_began(server, run);
    sagas_extra(run)->position = position;
    sagas_hold(server, run, HELD_BEGINNING);
    if (PLANTED(SAGA_SEND_BEFORE_BEGUN)) {
        run->resumed = true;
        run->extra->position = 0;
        sagas_advance(server, run, &(struct saga_event){.type = SAGA_EVENT_RESUMED, .began = true},
                      NULL);
    }
    return run;
}

/* ---- counting ------------------------------------------------------------------------------ */

static void count(struct sagas *sagas, const struct saga_run *run, size_t by)
{
    sagas->running += run->counted_state == SAGA_RUNNING ? by : 0;
    sagas->compensating += run->counted_state == SAGA_COMPENSATING ? by : 0;
    sagas->need_operator += run->counted_operator ? by : 0;
}

static void log_operator(const struct server *server, const struct saga_run *run)
{
    const struct saga_problem *problem = saga_problem(run->machine);
    gtrid_text id;
    gtrid_format(id, server->cluster, server->coordinator, run->id);
    if (!run->counted_operator)
        host_log(&server->host, LOG_INFO, "saga %s (%s) needs no operator any more", id,
                 run->definition->plan->name);
    else
        host_log(&server->host, LOG_WARNING,
                 "saga %s (%s) needs an operator: %s%s%s; see `troth saga show %s`", id,
                 run->definition->plan->name, problem && problem->code ? problem->code : "unknown",
                 problem && problem->message ? ": " : "",
                 problem && problem->message ? problem->message : "", id);
}

/* Of a saga that is no step; those that need an operator are counted whatever they are. */
static void recount(struct server *server, struct saga_run *run)
{
    bool needed = run->counted_operator;
    count(&server->sagas, run, (size_t)-1);
    run->counted_state = run->child ? 0 : (uint8_t)saga_state(run->machine);
    run->counted_operator = saga_needs_operator(run->machine);
    count(&server->sagas, run, 1);
    if (needed != run->counted_operator && !server->replaying) {
        log_operator(server, run);
        alerts_saga(server, run, run->counted_operator);
    }
}

/* ---- what its machine wants ---------------------------------------------------------------- */

struct saga_held *sagas_hold(struct server *server, struct saga_run *run, enum saga_held_type type)
{
    struct saga_held *held = xcalloc(1, sizeof(*held));
    held->run = run;
    held->type = type;
    held->position = sagas_extra(run)->position;
    list_append(&server->sagas.held, &held->all);
    list_append(&run->extra->held, &held->in_run);
    return held;
}

static void free_held(struct saga_held *held)
{
    struct saga_actions rest = {.list = &held->action, .count = 1, .room = 1};
    if (held->waiter)
        held->waiter->held = NULL;
    list_remove(&held->all);
    list_remove(&held->in_run);
    saga_actions_clear(&rest);
    free(held);
}

static void ended(struct server *server, struct saga_run *run)
{
    /* What has completed may have been told to undo it all before that was durable: another end
     * comes. */
    if (run->ended || saga_state(run->machine) == SAGA_COMPENSATING)
        return;
    /* A crash here: the end stands, and nobody was told. A client that wants to know asks with its
     * key; a saga of which this is a step asks again. */
    CRASH_POINT("coordinator.saga-ended");
    bool completed = saga_state(run->machine) == SAGA_COMPLETED;
    run->ended = true;
    sagas_answer_end(server, run);
    if (run->child) {
        sagas_child_ended(server, run);
        return;
    }
    server->sagas.completed += completed ? 1 : 0;
    server->sagas.compensated += completed ? 0 : 1;
    list_append(&server->sagas.over, &run->sibling);
}

static void try(struct server *server, struct saga_run *run, struct saga_action *action)
{
    enum saga_type type = saga_plan_of(run->machine)->steps[action->instance.step].type;
    if (type == SAGA_SAGA)
        sagas_try_child(server, run, action);
    else
        task_start(server, run, action);
    /* A crash here: the try is queued, or on its way. It is made again, under the same name, and
     * answered with what it came to. */
    CRASH_POINT("coordinator.saga-sent");
}

static void perform(struct server *server, struct saga_run *run, struct saga_action *action)
{
    switch (action->type) {
    case SAGA_ACT_TRY:
        try(server, run, action);
        break;
    case SAGA_ACT_FORGET:
        task_forget(server, run, &action->instance);
        break;
    case SAGA_ACT_END:
        ended(server, run);
        break;
    case SAGA_ACT_RECORD:
        CHECK(action->type != SAGA_ACT_RECORD);
        break;
    }
}

static void record(struct server *server, struct saga_run *run, const struct saga_record *record)
{
    uint64_t position = sagas_append_event(server, run, record);
    bool told_early = PLANTED(SAGA_TELL_BEFORE_ENDED) && (record->type == SAGA_RECORD_COMPLETED ||
                                                          record->type == SAGA_RECORD_COMPENSATED);
    if (record->awaited && !told_early)
        sagas_extra(run)->position = position;
    if (record->type == SAGA_RECORD_FAILED && !list_empty(&run->children))
        sagas_hold(server, run, HELD_FAILURE);
    if (record->type == SAGA_RECORD_STEP_DONE) {
        /* A crash here: the step is done, its record perhaps lost. Its participant, or its
         * transaction, is asked again, and answers as it did. */
        CRASH_POINT("coordinator.saga-recorded");
    }
}

/* Records go to the journal at once, so that it always says what the machine says; what may leave
 * only after them waits. */
static void carry(struct server *server, struct saga_run *run, struct saga_action *action)
{
    if (action->type == SAGA_ACT_RECORD) {
        record(server, run, &action->record);
    } else if (sagas_holds(server, run)) {
        struct saga_held *held = sagas_hold(server, run, HELD_ACTION);
        held->action = *action;
        *action = (struct saga_action){0};
    } else {
        perform(server, run, action);
    }
}

static void arm(struct server *server, struct saga_run *run)
{
    struct saga_time time = now(server);
    uint64_t wake_us = run->resumed ? saga_wake_us(run->machine, &time) : UINT64_MAX;
    if (wake_us == UINT64_MAX) {
        timers_clear(&server->sagas.wakes, &run->timer);
        return;
    }
    /* Not in this turn again, whatever it says. */
    timers_set(&server->sagas.wakes, &run->timer,
               wake_us > time.now_us ? wake_us : time.now_us + 1);
}

bool sagas_advance(struct server *server, struct saga_run *run, struct saga_event *event,
                   struct error *error)
{
    struct sagas *sagas = &server->sagas;
    struct saga_actions actions = sagas->spare; /* this calls itself, for a step's saga */
    sagas->spare = (struct saga_actions){0};
    event->time = now(server);
    bool accepted = saga_advance(run->machine, event, &actions, error);
    CHECK(!server->replaying || actions.count == 0);
    for (int i = 0; i < actions.count; i++)
        carry(server, run, &actions.list[i]);
    saga_actions_clear(&actions);
    if (sagas->spare.list)
        saga_actions_fini(&actions);
    else
        sagas->spare = actions;
    recount(server, run);
    arm(server, run);
    return accepted;
}

void sagas_answered(struct server *server, struct saga_run *run, const struct saga_event *event)
{
    struct saga_event copy = *event;
    if (event->how == SAGA_COMPENSATE && event->outcome == SAGA_SUCCEEDED) {
        /* A crash here: the step is undone, which is not recorded. It is asked for again, and
         * answered that it is done. */
        CRASH_POINT("coordinator.saga-undone");
    } else {
        /* A crash here: the step's outcome is lost here and kept there. The same try is made
         * again and answered the same. */
        CRASH_POINT("coordinator.saga-answered");
    }
    sagas_advance(server, run, &copy, NULL);
}

/* ---- what is durable ----------------------------------------------------------------------- */

static void begun(struct server *server, struct saga_run *run)
{
    /* A crash here: the saga has begun, and nobody was told. The restart goes on with it; a client
     * with a key starts it again and hears of it. */
    CRASH_POINT("coordinator.saga-begun");
    sagas_answer_beginning(server, run);
    if (run->resumed)
        return;
    run->resumed = true;
    sagas_advance(server, run, &(struct saga_event){.type = SAGA_EVENT_RESUMED, .began = true},
                  NULL);
    if (run->child)
        sagas_child_begun(server, run);
}

static void release(struct server *server, struct saga_held *held)
{
    struct saga_run *run = held->run;
    list_remove(&held->all);
    list_remove(&held->in_run);
    if (held->type == HELD_BEGINNING) {
        begun(server, run);
    } else if (held->type == HELD_ANSWER) {
        if (held->waiter)
            sagas_answer_order(server, held->waiter);
    } else if (held->type == HELD_FAILURE) {
        sagas_undo_children(server, run);
    } else {
        if (held->action.type != SAGA_ACT_END && saga_state(run->machine) == SAGA_COMPENSATING) {
            /* A crash here: it is decided that all is undone, and nothing is yet. The restart
             * undoes it. */
            CRASH_POINT("coordinator.saga-failed");
        }
        perform(server, run, &held->action);
    }
    free_held(held);
    trim_extra(server, run);
}

void sagas_durable(struct server *server)
{
    struct list *queue = &server->sagas.held;
    while (!list_empty(queue)) {
        struct saga_held *held = CONTAINER(queue->next, struct saga_held, all);
        if (held->position > server->durable_position)
            break;
        release(server, held);
    }
}

void sagas_started(struct server *server)
{
    struct sagas *sagas = &server->sagas;
    definitions_sweep(&sagas->definitions);
    if (sagas->map.count && !server->draining)
        host_log(&server->host, LOG_INFO, "%zu saga%s on", sagas->map.count,
                 sagas->map.count == 1 ? " goes" : "s go");
    if (server->draining || PLANTED(SAGA_NO_RESUME))
        return;
    for (struct list *at = sagas->all.next; at != &sagas->all; at = at->next) {
        struct saga_run *run = CONTAINER(at, struct saga_run, all);
        enum saga_state state = saga_state(run->machine);
        run->ended = state == SAGA_COMPLETED || state == SAGA_COMPENSATED;
    }
    for (struct list *at = sagas->all.next; at != &sagas->all; at = at->next) {
        struct saga_run *run = CONTAINER(at, struct saga_run, all);
        if (!run->recovered) /* begun just now, by one before it */
            continue;
        run->resumed = true;
        sagas_advance(server, run, &(struct saga_event){.type = SAGA_EVENT_RESUMED}, NULL);
        if (run->child)
            sagas_child_begun(server, run);
    }
}

/* ---- time ---------------------------------------------------------------------------------- */

/* What waits until a time of day is woken by the other clock: when the two went apart, all of them
 * are set anew. In each turn: what was set between two that are far apart, by a clock that was
 * wrong only meanwhile, would be woken by it for ever. */
static void look_at_clocks(struct server *server)
{
    struct sagas *sagas = &server->sagas;
    struct saga_time time = now(server);
    int64_t passed_us = (int64_t)(time.now_us - sagas->looked_us);
    int64_t difference_us = time.wall_us - sagas->looked_wall_us - passed_us;
    bool jumped = difference_us > JUMP_US || difference_us < -JUMP_US;
    bool first = sagas->looked_us == 0 && sagas->looked_wall_us == 0;
    sagas->looked_us = time.now_us;
    sagas->looked_wall_us = time.wall_us;
    if (first || !jumped)
        return;
    host_log(&server->host, LOG_WARNING, "the clock was set by %lld s",
             (long long)(difference_us / 1000000));
    for (struct list *at = sagas->all.next; at != &sagas->all; at = at->next)
        arm(server, CONTAINER(at, struct saga_run, all));
}

static bool lives(const struct server *server, struct txid id)
{
    return sagas_find(server, id) != NULL;
}

void sagas_keep_house(struct server *server)
{
    uint64_t retain_us = server->config.retain_us;
    int64_t wall_us = server->host.wall_us(server->host.self);
    if (retain_us < INT64_MAX)
        saga_keys_expire(&server->sagas.keys, wall_us - (int64_t)retain_us);
    tasks_forget_orphans(server, lives);
}

void sagas_settle(struct server *server)
{
    struct sagas *sagas = &server->sagas;
    uint64_t now_us = server->host.now_us(server->host.self);
    look_at_clocks(server);
    for (struct timer *timer; (timer = timers_due(&sagas->wakes, now_us)) != NULL;)
        sagas_advance(server, CONTAINER(timer, struct saga_run, timer),
                      &(struct saga_event){.type = SAGA_EVENT_WOKEN}, NULL);
    sagas_pass_limits(server, now_us);
    sagas_send_replies(server);
    sagas_pass_waits(server, now_us);
    while (!list_empty(&sagas->over))
        sagas_leave(server, CONTAINER(sagas->over.next, struct saga_run, sibling));
}

uint64_t sagas_next(const struct server *server)
{
    const struct sagas *sagas = &server->sagas;
    if (!list_empty(&sagas->replies) || !list_empty(&sagas->over))
        return 0;
    uint64_t next_us = timers_next(&sagas->wakes), wait_us = timers_next(&sagas->waits),
             limit_us = timers_next(&sagas->limits);
    next_us = wait_us < next_us ? wait_us : next_us;
    return limit_us < next_us ? limit_us : next_us;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Nothing of it is awaited, timed or tried any more. */
static void quiet(struct server *server, struct saga_run *run)
{
    struct sagas *sagas = &server->sagas;
    struct saga_extra *extra = run->extra;
    tasks_drop(server, run);
    timers_clear(&sagas->wakes, &run->timer);
    if (run->child)
        timers_clear(&sagas->limits, &run->child->timer);
    while (extra && !list_empty(&extra->held))
        free_held(CONTAINER(extra->held.next, struct saga_held, in_run));
    while (extra && !list_empty(&extra->waiters))
        sagas_stop_waiting(server, CONTAINER(extra->waiters.next, struct saga_waiter, in_run));
    free(extra);
    run->extra = NULL;
}

static void free_run(struct server *server, struct saga_run *run)
{
    if (run->child) {
        map_remove(&server->sagas.children, &run->child->node);
        free(run->child);
    }
    free(run->old_key);
    saga_free(run->machine);
    definitions_release(&server->sagas.definitions, run->definition);
    free(run);
}

static size_t bytes_of(const struct saga_run *run)
{
    return sizeof(*run) + (run->child ? sizeof(*run->child) : 0) + saga_bytes(run->machine);
}

static void leave_history(struct server *server, struct saga_run *run)
{
    struct sagas *sagas = &server->sagas;
    list_remove(&run->all);
    map_remove(&sagas->ended, &run->node);
    sagas->history_bytes -= bytes_of(run);
    free_run(server, run);
}

static void enter_history(struct server *server, struct saga_run *run)
{
    struct sagas *sagas = &server->sagas;
    run->ended = true; /* of one that was replayed nobody has said so */
    list_append(&sagas->history, &run->all);
    map_insert(&sagas->ended, &run->node, txid_hash(run->id));
    sagas->history_bytes += bytes_of(run);
    while (sagas->ended.count > LIMIT_SAGA_HISTORY || sagas->history_bytes > HISTORY_BYTES)
        leave_history(server, CONTAINER(sagas->history.next, struct saga_run, all));
}

/* Takes it off every list, and with it all that are its steps: into the history, or away. */
static void unlist(struct server *server, struct saga_run *run, bool keep)
{
    struct sagas *sagas = &server->sagas;
    while (!list_empty(&run->children))
        unlist(server, CONTAINER(run->children.next, struct saga_run, sibling), keep);
    count(sagas, run, (size_t)-1);
    run->counted_state = 0;
    run->counted_operator = false;
    quiet(server, run);
    list_remove(&run->sibling);
    list_remove(&run->all);
    map_remove(&sagas->map, &run->node);
    run->parent = NULL;
    if (keep)
        enter_history(server, run);
    else
        free_run(server, run);
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

void sagas_describe_end(const struct saga_run *run, struct saga_kept *out)
{
    static const struct saga_problem none;
    const struct saga *machine = run->machine;
    const struct saga_problem *problem = saga_problem(machine);
    problem = problem ? problem : &none;
    *out = (struct saga_kept){.name = run->definition->plan->name,
                              .version = run->definition->plan->version,
                              .begun_us = saga_begun_us(machine),
                              .at_us = saga_ended_us(machine),
                              .completed = saga_state(machine) == SAGA_COMPLETED,
                              .output = or_empty(saga_output(machine)),
                              .participant = or_empty(problem->participant),
                              .operation = or_empty(problem->operation),
                              .code = or_empty(problem->code),
                              .message = or_empty(problem->message)};
}

void sagas_leave(struct server *server, struct saga_run *run)
{
    CHECK(!run->child);
    if (run->extra && run->extra->key) {
        struct saga_kept kept;
        sagas_describe_end(run, &kept);
        saga_keys_settle(&server->sagas.keys, run->extra->key, &kept);
        run->old_key = xstrdup(run->extra->key->text);
    }
    unlist(server, run, true);
}

void sagas_drop(struct server *server, struct saga_run *run)
{
    unlist(server, run, false);
}

void sagas_init(struct server *server)
{
    struct sagas *sagas = &server->sagas;
    sagas->definitions.loader = server->config.loader;
    list_init(&sagas->all);
    list_init(&sagas->held);
    list_init(&sagas->replies);
    list_init(&sagas->over);
    list_init(&sagas->history);
    saga_keys_init(&sagas->keys);
}

void sagas_fini(struct server *server)
{
    struct sagas *sagas = &server->sagas;
    while (!list_empty(&sagas->all)) {
        struct saga_run *run = CONTAINER(sagas->all.next, struct saga_run, all);
        unlist(server, run, false);
    }
    while (!list_empty(&sagas->history))
        leave_history(server, CONTAINER(sagas->history.next, struct saga_run, all));
    sagas_drop_replies(server);
    saga_keys_fini(&sagas->keys);
    saga_actions_fini(&sagas->spare);
    definitions_fini(&sagas->definitions);
    timers_fini(&sagas->wakes);
    timers_fini(&sagas->waits);
    timers_fini(&sagas->limits);
    map_fini(&sagas->map);
    map_fini(&sagas->children);
    map_fini(&sagas->ended);
}
