#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "saga/simulate_private.h"

enum { EVENTS = 200000, SHOWN_AT_ONCE = 4, BAD_TRIES = 2 };

/* What a participant knows of one name. */
struct name {
    struct saga_instance instance;
    bool done, fenced, undone;
    int bad; /* tries that went wrong */
    int bad_undos;
    bool shown_do, shown_undo;
    char *result;
};

struct world {
    struct run *run;
    const struct saga_plan *plan;
    struct saga *saga;
    struct saga_time time;
    struct name *names;
    int count, room;
    struct saga_action *tries; /* under way; without their texts */
    int try_count, try_room;
    struct saga_actions journal;
    struct json_writer order;
    int group; /* shown at once, so far */
    bool backward, died;
    bool waits; /* for a signal: `wait` */
    struct saga_instance wait;
    char *input;
};

static struct name *name_of(struct world *world, const struct saga_instance *instance)
{
    for (int i = 0; i < world->count; i++) {
        if (memcmp(&world->names[i].instance, instance, sizeof(*instance)) == 0)
            return &world->names[i];
    }
    if (world->count == world->room) {
        world->room = world->room ? world->room * 2 : 16;
        world->names = xrealloc(world->names, (size_t)world->room * sizeof(*world->names));
    }
    struct name *name = &world->names[world->count++];
    *name = (struct name){.instance = *instance};
    return name;
}

/* ---- what is told of it -------------------------------------------------------------------- */

static void add(struct world *world, const char *text)
{
    struct json_writer *out = &world->order;
    size_t size = strlen(text);
    if (out->size + size + 1 > out->room) {
        out->room = (out->size + size + 1) * 2;
        out->text = xrealloc(out->text, out->room);
    }
    memcpy(out->text + out->size, text, size + 1);
    out->size += size;
}

/* Those that are asked for in one event stand together with + between. */
static void tell(struct world *world, const char *text, bool backward)
{
    if (backward && !world->backward)
        add(world, world->order.size ? " -> " : "-> ");
    else if (world->order.size)
        add(world, world->group ? "+" : ", ");
    world->backward = world->backward || backward;
    world->group++;
    if (world->group <= SHOWN_AT_ONCE)
        add(world, text);
    else if (world->group == SHOWN_AT_ONCE + 1)
        add(world, "...");
    else
        world->order.text[--world->order.size] = '\0'; /* the + */
}

static bool fails_here(const struct world *world, const struct saga_instance *instance)
{
    return world->run->fault != FAULT_NONE &&
           memcmp(&world->run->at, instance, sizeof(*instance)) == 0;
}

static const char *mark_of(enum fault fault)
{
    switch (fault) {
    case FAULT_LOST_DONE:
    case FAULT_LATE_DONE:
        return " ?";
    case FAULT_NONE:
        return "";
    default:
        return " \u2717";
    }
}

static void tell_step(struct world *world, const struct saga_instance *instance)
{
    saga_label label;
    char *text = xasprintf("%s%s", saga_label_format(label, world->plan, instance),
                           fails_here(world, instance) ? mark_of(world->run->fault) : "");
    tell(world, text, false);
    free(text);
    struct run *run = world->run;
    run->tried = xrealloc(run->tried, ((size_t)run->tried_count + 1) * sizeof(*run->tried));
    run->tried[run->tried_count++] = *instance;
}

static void tell_undo(struct world *world, const struct saga_instance *instance)
{
    const struct saga_step *step = &world->plan->steps[instance->step];
    saga_label label;
    saga_label_format(label, world->plan, instance);
    char *text = step->type == SAGA_SAGA
                     ? xasprintf("undo %s", label)
                     : xasprintf("%s%s", world->plan->calls[step->compensation].operation,
                                 label + strcspn(label, "["));
    tell(world, text, true);
    free(text);
}

/* ---- participants -------------------------------------------------------------------------- */

static void do_it(struct world *world, struct name *name)
{
    if (name->done || name->fenced)
        return;
    name->done = true;
    name->result = made_result(world->run->simulation, world->run->made, name->instance.step);
}

/* Whether the engine would go on for ever: then what fails comes right after a while. */
static bool is_tried_forever(const struct world *world, const struct name *name)
{
    return saga_is_past_pivot(world->saga) ||
           world->plan->steps[name->instance.step].kind == SAGA_RETRIABLE;
}

/* What is done at once, whether its answer comes or not. */
static void receive(struct world *world, const struct saga_action *try)
{
    struct name *name = name_of(world, &try->instance);
    bool here = fails_here(world, &try->instance);
    enum fault fault = here ? world->run->fault : FAULT_NONE;
    if (try->how == SAGA_COMPENSATE)
        return;
    if (try->how == SAGA_CANCEL)
        name->fenced = name->fenced || !name->done;
    else if (fault == FAULT_NONE || fault == FAULT_LOST_DONE || fault == FAULT_LATE_DONE ||
             (is_tried_forever(world, name) && name->bad >= BAD_TRIES))
        do_it(world, name);
}

static enum saga_outcome answer_do(struct world *world, struct name *name)
{
    enum fault fault = fails_here(world, &name->instance) ? world->run->fault : FAULT_NONE;
    bool forever = is_tried_forever(world, name);
    if (fault == FAULT_LATE || fault == FAULT_LATE_DONE) {
        if (!forever)
            return fault == FAULT_LATE_DONE ? SAGA_SUCCEEDED : SAGA_UNSURE;
    } else if (name->fenced) {
        return SAGA_REFUSED;
    } else if (fault != FAULT_NONE && !(forever && name->bad >= BAD_TRIES)) {
        name->bad++;
        if (fault == FAULT_REFUSED || fault == FAULT_UNDO)
            name->fenced = !forever;
        return fault == FAULT_AWAY                             ? SAGA_NOT_DONE
               : fault == FAULT_REFUSED || fault == FAULT_UNDO ? SAGA_REFUSED
                                                               : SAGA_UNSURE;
    }
    do_it(world, name);
    return name->done ? SAGA_SUCCEEDED : SAGA_REFUSED;
}

static enum saga_outcome answer_undo(struct world *world, struct name *name)
{
    CHECK(name->done);
    if (world->run->fault == FAULT_UNDO && name->bad_undos++ < BAD_TRIES)
        return name->bad_undos % 2 ? SAGA_UNSURE : SAGA_REFUSED;
    name->undone = true;
    return SAGA_SUCCEEDED;
}

/* ---- events -------------------------------------------------------------------------------- */

static void advance(struct world *world, struct saga_event *event);

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static void keep_record(struct world *world, const struct saga_record *record)
{
    struct saga_actions *journal = &world->journal;
    if (journal->count == journal->room) {
        journal->room = journal->room ? journal->room * 2 : 16;
        journal->list = xrealloc(journal->list, (size_t)journal->room * sizeof(*journal->list));
    }
    struct saga_action *kept = &journal->list[journal->count++];
    *kept = (struct saga_action){.type = SAGA_ACT_RECORD, .record = *record};
    kept->record.value = copy(record->value);
    kept->record.result = copy(record->result);
    kept->record.name = copy(record->name);
    kept->record.problem = (struct saga_problem){.code = copy(record->problem.code),
                                                 .message = copy(record->problem.message)};
}

static void keep_try(struct world *world, const struct saga_action *action)
{
    struct name *name = name_of(world, &action->instance);
    if (action->how == SAGA_DO && !name->shown_do) {
        name->shown_do = true;
        tell_step(world, &action->instance);
    } else if (action->how == SAGA_COMPENSATE && !name->shown_undo) {
        name->shown_undo = true;
        tell_undo(world, &action->instance);
    }
    receive(world, action);
    if (world->try_count == world->try_room) {
        world->try_room = world->try_room ? world->try_room * 2 : 16;
        world->tries = xrealloc(world->tries, (size_t)world->try_room * sizeof(*world->tries));
    }
    world->tries[world->try_count++] = *action;
}

static void keep_problem(struct world *world, const struct saga_problem *problem)
{
    struct run *run = world->run;
    free(run->problem);
    run->problem = copy(problem->message ? problem->message : problem->code);
    run->by_expression = problem->code && strcmp(problem->code, "expression") == 0;
    run->by_timeout = problem->code && strcmp(problem->code, "timeout") == 0;
}

/* The process has died after the record that the run names: what comes after it never left. */
static void start_again(struct world *world)
{
    world->died = true;
    world->try_count = 0;
    saga_free(world->saga);
    world->saga = saga_new(&(struct saga_begin){
        .plan = world->plan, .id = "shop.c1.1.1", .input = world->input, .begun_us = 1});
    struct saga_actions none = {0};
    struct error error;
    for (int i = 0; i < world->journal.count; i++)
        CHECK(saga_advance(world->saga,
                           &(struct saga_event){.type = SAGA_EVENT_REPLAYED,
                                                .record = &world->journal.list[i].record},
                           &none, &error));
    advance(world, &(struct saga_event){.type = SAGA_EVENT_RESUMED});
}

static bool is_wait_with_signal(const struct world *world, int step)
{
    return world->plan->steps[step].type == SAGA_WAIT &&
           world->plan->steps[step].wait == SAGA_WAIT_SIGNAL;
}

/* False: it died after this one. */
static bool carry_out(struct world *world, const struct saga_action *action)
{
    if (action->type == SAGA_ACT_TRY) {
        keep_try(world, action);
    } else if (action->type == SAGA_ACT_RECORD) {
        const struct saga_record *record = &action->record;
        keep_record(world, record);
        if (record->type == SAGA_RECORD_FAILED)
            keep_problem(world, &record->problem);
        if (record->type == SAGA_RECORD_STEP_DONE &&
            world->plan->steps[record->instance.step].type == SAGA_WAIT &&
            !is_wait_with_signal(world, record->instance.step))
            tell_step(world, &record->instance);
        return world->died || world->journal.count - 1 != world->run->dies_after;
    }
    return true;
}

static void advance(struct world *world, struct saga_event *event)
{
    struct saga_actions actions = {0};
    struct error error;
    event->time = world->time;
    world->group = 0;
    (void)saga_advance(world->saga, event, &actions, &error); /* a refusal changes nothing */
    bool alive = true;
    for (int i = 0; i < actions.count && alive; i++)
        alive = carry_out(world, &actions.list[i]);
    saga_actions_fini(&actions);
    if (!alive)
        start_again(world);
}

static void to_wall(struct world *world, int64_t wall_us)
{
    if (wall_us <= world->time.wall_us)
        return;
    world->time.now_us += (uint64_t)(wall_us - world->time.wall_us);
    world->time.wall_us = wall_us;
}

static void answer_first(struct world *world)
{
    static const struct saga_problem problem = {.code = "simulated", .message = "simulated"};
    struct saga_action try = world->tries[0];
    struct name *name = name_of(world, &try.instance);
    enum fault fault = fails_here(world, &try.instance) ? world->run->fault : FAULT_NONE;
    int64_t deadline_us = saga_deadline_us(world->saga);
    if (try.how == SAGA_DO && deadline_us && deadline_us > world->time.wall_us &&
        (fault == FAULT_LATE || fault == FAULT_LATE_DONE)) {
        to_wall(world, deadline_us);
        advance(world, &(struct saga_event){.type = SAGA_EVENT_WOKEN});
        return; /* it is answered next, unless the process has died */
    }
    memmove(world->tries, world->tries + 1, (size_t)--world->try_count * sizeof(try));
    enum saga_outcome outcome = try.how == SAGA_DO ? answer_do(world, name)
                                : try.how == SAGA_CANCEL
                                    ? name->done ? SAGA_SUCCEEDED : SAGA_REFUSED
                                    : answer_undo(world, name);
    advance(world, &(struct saga_event){.type = SAGA_EVENT_ANSWERED,
                                        .instance = try.instance,
                                        .how = try.how,
                                        .try = try.try,
                                        .outcome = outcome,
                                        .result = name->result,
                                        .kept = true,
                                        .problem = problem});
}

/* ---- waits --------------------------------------------------------------------------------- */

/* The first wait that is open and is to get its signal. */
static bool find_wait(void *self, const struct saga_view *view)
{
    struct world *world = self;
    if (view->state != SAGA_VIEW_RUNNING || !is_wait_with_signal(world, view->instance.step))
        return true;
    struct name *name = name_of(world, &view->instance);
    if (!name->shown_do)
        tell_step(world, &view->instance);
    name->shown_do = true;
    world->waits = !fails_here(world, &view->instance);
    world->wait = view->instance;
    return !world->waits;
}

/* False: no wait gets a signal now. */
static bool send_signal(struct world *world)
{
    world->waits = false;
    world->group = 0;
    if (saga_state(world->saga) == SAGA_RUNNING)
        saga_visit_all(world->saga, &world->time, find_wait, world);
    if (!world->waits)
        return false;
    char *value = made_result(world->run->simulation, world->run->made, world->wait.step);
    advance(world, &(struct saga_event){.type = SAGA_EVENT_SIGNALLED,
                                        .name = world->plan->steps[world->wait.step].signal,
                                        .value = value});
    free(value);
    return true;
}

static bool wake(struct world *world)
{
    uint64_t wake_us = saga_wake_us(world->saga, &world->time);
    if (wake_us == UINT64_MAX)
        return false;
    if (wake_us > world->time.now_us)
        to_wall(world, world->time.wall_us + (int64_t)(wake_us - world->time.now_us));
    advance(world, &(struct saga_event){.type = SAGA_EVENT_WOKEN});
    return true;
}

/* ---- the end ------------------------------------------------------------------------------- */

static bool note_skipped(void *self, const struct saga_view *view)
{
    struct world *world = self;
    char *seen = &world->run->skipped[view->instance.step];
    if (view->state == SAGA_VIEW_SKIPPED)
        *seen = *seen == 'r' ? 'b' : 's';
    else if (view->state != SAGA_VIEW_WAITING)
        *seen = *seen == 's' ? 'b' : 'r';
    return true;
}

/* What is done, and could not be undone although the saga is. */
static void note_stays(struct world *world)
{
    for (int i = 0; i < world->count; i++) {
        const struct name *name = &world->names[i];
        const struct saga_step *step = &world->plan->steps[name->instance.step];
        bool meant = step->compensation_none || step->type == SAGA_WAIT;
        if (saga_state(world->saga) != SAGA_COMPENSATED || !name->done || name->undone || meant ||
            world->run->stays)
            continue;
        saga_label label;
        world->run->stays = xstrdup(saga_label_format(label, world->plan, &name->instance));
    }
}

static bool is_over(const struct saga *saga)
{
    return saga_state(saga) == SAGA_COMPLETED || saga_state(saga) == SAGA_COMPENSATED;
}

static void note_end(struct world *world)
{
    struct run *run = world->run;
    run->state = saga_state(world->saga);
    run->past_pivot = saga_is_past_pivot(world->saga);
    run->stuck = !is_over(world->saga);
    if (run->stuck && saga_problem(world->saga))
        keep_problem(world, saga_problem(world->saga));
    run->records = world->journal.count;
    run->skipped = xcalloc((size_t)world->plan->step_count + 1, 1);
    memset(run->skipped, '-', (size_t)world->plan->step_count);
    saga_visit_all(world->saga, &world->time, note_skipped, world);
    note_stays(world);
    run->order = world->order.text ? world->order.text : xstrdup("");
}

void run_saga(struct run *run)
{
    struct world world = {.run = run, .plan = run->simulation->plan, .time = {1, 1}};
    world.input = made_input(run->simulation, run->made);
    world.saga = saga_new(&(struct saga_begin){
        .plan = world.plan, .id = "shop.c1.1.1", .input = world.input, .begun_us = 1});
    advance(&world, &(struct saga_event){.type = SAGA_EVENT_RESUMED, .began = true});
    for (int i = 0; i < EVENTS && !is_over(world.saga); i++) {
        if (world.try_count > 0)
            answer_first(&world);
        else if (!send_signal(&world) && !wake(&world))
            break;
    }
    note_end(&world);
    saga_free(world.saga);
    saga_actions_fini(&world.journal);
    for (int i = 0; i < world.count; i++)
        free(world.names[i].result);
    free(world.names);
    free(world.tries);
    free(world.input);
}

void run_fini(struct run *run)
{
    free(run->order);
    free(run->problem);
    free(run->stays);
    free(run->tried);
    free(run->skipped);
}
