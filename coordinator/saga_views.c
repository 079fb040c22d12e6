/* What a person sees of sagas, and of what participants offer them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/tasks.h"
#include "coordinator/views.h"
#include "core/check.h"

enum {
    /* Of a step's output and a problem's texts. */
    SHOWN_BYTES = 200,
    SHOWN_PROBLEM_BYTES = 2000,
    NEXT_BYTES = 200,
    /* Of an input and an output, each: so that both and some steps fit a message. */
    SHOWN_VALUE_BYTES = 20 * 1024,
};

static char *or_empty(const char *text)
{
    return text ? (char *)text : (char *)"";
}

static char *copy(struct draft *draft, const char *text, size_t size)
{
    char *made = draft_take(draft, size + 1);
    memcpy(made, text, size);
    made[size] = '\0';
    return made;
}

/* At most so many bytes of it, whole characters. */
static char *cut(struct draft *draft, const char *text, size_t most)
{
    size_t size = text ? strnlen(text, most + 1) : 0;
    if (size <= most)
        return size ? copy(draft, text, size) : (char *)"";
    for (size = most - 3; size > 0 && (text[size] & 0xc0) == 0x80;)
        size--;
    char *made = copy(draft, text, size + 3);
    memcpy(made + size, "...", 3);
    return made;
}

static Wire__Problem *view_problem(struct draft *draft, const struct saga_problem *problem)
{
    if (!problem)
        return NULL;
    Wire__Problem *view = draft_take(draft, sizeof(*view));
    wire__problem__init(view);
    view->participant = cut(draft, problem->participant, SHOWN_BYTES);
    view->operation = cut(draft, problem->operation, SHOWN_BYTES);
    view->code = cut(draft, problem->code, SHOWN_BYTES);
    view->message = cut(draft, problem->message, SHOWN_PROBLEM_BYTES);
    view->detail = cut(draft, problem->detail, SHOWN_PROBLEM_BYTES);
    view->hint = cut(draft, problem->hint, SHOWN_PROBLEM_BYTES);
    return view;
}

static char *view_id(struct draft *draft, struct txid id)
{
    char *text = draft_take(draft, sizeof(gtrid_text));
    gtrid_format(text, draft->server->cluster, draft->server->coordinator, id);
    return text;
}

static struct saga_time time_of(const struct draft *draft)
{
    const struct host_port *host = &draft->server->host;
    return (struct saga_time){host->now_us(host->self), host->wall_us(host->self)};
}

/* ---- a saga -------------------------------------------------------------------------------- */

static struct saga_run *find_anywhere(const struct server *server, struct txid id)
{
    struct saga_run *run = sagas_find(server, id);
    return run ? run : sagas_find_ended(server, id);
}

static void view_parent(struct draft *draft, const struct saga_run *run, Wire__SagaView *view)
{
    const struct saga_run *parent = find_anywhere(draft->server, run->child->parent);
    view->parent = view_id(draft, run->child->parent);
    if (!parent)
        return;
    saga_label label;
    saga_label_format(label, saga_plan_of(parent->machine), &run->child->instance);
    view->parent_step = copy(draft, label, strlen(label));
}

/* An end is not shown before it is durable: it could come out otherwise the next time. */
static enum saga_state shown_state(const struct saga_run *run)
{
    enum saga_state state = saga_state(run->machine);
    if (run->ended || state == SAGA_RUNNING || state == SAGA_COMPENSATING)
        return state;
    return state == SAGA_COMPLETED ? SAGA_RUNNING : SAGA_COMPENSATING;
}

/* Its beginning is durable. */
static bool is_shown(const struct saga_run *run)
{
    return run->resumed || run->recovered;
}

static Wire__SagaView *view_saga(struct draft *draft, const struct saga_run *run)
{
    const struct saga *machine = run->machine;
    struct saga_time time = time_of(draft);
    char next[NEXT_BYTES];
    Wire__SagaView *view = draft_take(draft, sizeof(*view));
    wire__saga_view__init(view);
    view->id = view_id(draft, run->id);
    view->name = (char *)run->definition->plan->name;
    view->version = run->definition->plan->version;
    view->state = (char *)saga_state_words[shown_state(run)];
    view->needs_operator = saga_needs_operator(machine);
    view->begun_us = saga_begun_us(machine);
    view->ended_us = run->ended ? saga_ended_us(machine) : 0;
    view->timeout_us = saga_deadline_us(machine);
    view->key = run->extra && run->extra->key ? run->extra->key->text : or_empty(run->old_key);
    view->problem = view_problem(draft, saga_problem(machine));
    if (run->child)
        view_parent(draft, run, view);
    if (!view->ended_us)
        view->next = cut(draft, saga_next(machine, &time, next, sizeof(next)), NEXT_BYTES);
    return view;
}

/* Of a JSON text that is too long a JSON text that says so. */
static char *view_value(struct draft *draft, const char *value)
{
    char *text;
    if (!value || strlen(value) <= SHOWN_VALUE_BYTES)
        return or_empty(value);
    text = draft_take(draft, 64);
    snprintf(text, 64, "\"too large to be shown: %zu bytes\"", strlen(value));
    return text;
}

static bool wanted(const struct saga_run *run, const Wire__Query *query)
{
    if (!is_shown(run))
        return false;
    if (query->needs_operator && !saga_needs_operator(run->machine))
        return false;
    if (!query->children && run->child)
        return false;
    return !query->saga[0] || strcmp(run->definition->plan->name, query->saga) == 0;
}

/* Newest first, as many as the limit and one message take; the rest is counted. */
static void add_sagas(struct draft *draft, const Wire__Query *query, const struct list *all)
{
    Wire__Answer *answer = &draft->answer;
    for (const struct list *at = all->previous; at != all; at = at->previous) {
        const struct saga_run *run = CONTAINER(at, struct saga_run, all);
        if (!wanted(run, query) || (query->unended && saga_ended_us(run->machine)))
            continue;
        if (answer->more > 0 || answer->n_sagas == draft->room) {
            answer->more++;
            continue;
        }
        Wire__SagaView *view = view_saga(draft, run);
        if (!draft_fits(draft, wire__saga_view__get_packed_size(view))) {
            answer->more++;
            continue;
        }
        answer->sagas[answer->n_sagas++] = view;
    }
}

void sagas_view_list(struct draft *draft, const Wire__Query *query)
{
    const struct sagas *sagas = &draft->server->sagas;
    size_t most = sagas->map.count + sagas->ended.count;
    draft->room = draft_rows(query);
    if (draft->room > most)
        draft->room = most;
    draft->answer.sagas = draft_take(draft, sizeof(void *) * (draft->room + 1));
    add_sagas(draft, query, &sagas->all);
    if (!query->unended && !query->needs_operator)
        add_sagas(draft, query, &sagas->history);
}

/* ---- its steps ----------------------------------------------------------------------------- */

struct walk {
    struct draft *draft;
    const struct saga_run *run;
    Wire__SagaView *view;
    size_t room;      /* of view->steps */
    const char *from; /* steps after this one; "": all */
    bool full;
};

static char *view_transaction(struct draft *draft, const struct saga_plan *plan,
                              const struct saga_step *step)
{
    size_t size = 8;
    for (int i = 0; i < step->call_count; i++) {
        const struct saga_call *call = &plan->calls[step->first_call + i];
        size += strlen(call->participant) + strlen(call->operation) + 2;
    }
    char *text = draft_take(draft, size), *at = text;
    at = stpcpy(at, step->protocol == SAGA_3PC ? "3pc" : "2pc");
    for (int i = 0; i < step->call_count; i++) {
        const struct saga_call *call = &plan->calls[step->first_call + i];
        at += sprintf(at, " %s.%s", call->participant, call->operation);
    }
    return text;
}

static char *view_call(struct draft *draft, const struct saga_call *call)
{
    char text[3 * LIMIT_WORD_BYTES];
    snprintf(text, sizeof(text), "%s.%s", call->participant, call->operation);
    return copy(draft, text, strlen(text));
}

static char *view_what(struct draft *draft, const struct saga_plan *plan,
                       const struct saga_step *step, enum saga_view_state state)
{
    char text[3 * LIMIT_WORD_BYTES] = "";
    bool undo = state == SAGA_VIEW_UNDOING || state == SAGA_VIEW_UNDONE;
    if (undo && step->compensation != SAGA_NONE)
        return view_call(draft, &plan->calls[step->compensation]);
    switch (step->type) {
    case SAGA_CALL:
        return view_call(draft, &plan->calls[step->first_call]);
    case SAGA_TRANSACTION:
        return view_transaction(draft, plan, step);
    case SAGA_SAGA:
        snprintf(text, sizeof(text), "saga %s", step->saga);
        break;
    case SAGA_WAIT:
        if (step->wait == SAGA_WAIT_SIGNAL)
            snprintf(text, sizeof(text), "signal %s", step->signal);
        else
            snprintf(text, sizeof(text), step->wait == SAGA_WAIT_FOR ? "a time" : "until a time");
        break;
    default:
        break;
    }
    return copy(draft, text, strlen(text));
}

/* The transaction that a step has submitted, or the saga that it is. */
static char *view_other(struct draft *draft, const struct saga_run *run,
                        const struct saga_instance *instance, enum saga_type type)
{
    struct server *server = draft->server;
    struct txid id = {0, 0};
    if (type == SAGA_TRANSACTION && !run->ended)
        id = task_transaction(server, run, instance);
    const struct saga_run *other =
        type == SAGA_SAGA ? sagas_find_child(server, run->id, instance) : NULL;
    if (other)
        id = other->id;
    return id.seq ? view_id(draft, id) : (char *)"";
}

static Wire__SagaStepView *view_step(struct draft *draft, const struct saga_run *run,
                                     const struct saga_view *seen, const char *label)
{
    const struct saga_plan *plan = saga_plan_of(run->machine);
    const struct saga_step *step = &plan->steps[seen->instance.step];
    bool has_kind =
        step->type == SAGA_CALL || step->type == SAGA_TRANSACTION || step->type == SAGA_SAGA;
    Wire__SagaStepView *view = draft_take(draft, sizeof(*view));
    wire__saga_step_view__init(view);
    view->path = copy(draft, label, strlen(label));
    view->depth = (uint32_t)step->depth;
    view->type = (char *)saga_type_words[step->type];
    view->state = (char *)saga_view_words[seen->state];
    view->kind = has_kind ? (char *)saga_kind_words[step->kind] : (char *)"";
    view->what = view_what(draft, plan, step, seen->state);
    view->tries = seen->tries;
    view->begun_us = seen->begun_us;
    view->ended_us = seen->ended_us;
    view->next_us = seen->next_us;
    view->problem = view_problem(draft, seen->problem);
    view->output = cut(draft, seen->output, SHOWN_BYTES);
    view->needs_operator = seen->needs_operator;
    view->gtrid = view_other(draft, run, &seen->instance, step->type);
    return view;
}

static void add_step(struct walk *walk, Wire__SagaStepView *step)
{
    Wire__SagaView *view = walk->view;
    if (view->n_steps == walk->room) {
        Wire__SagaStepView **old = view->steps;
        walk->room = walk->room ? 2 * walk->room : 64;
        view->steps = draft_take(walk->draft, sizeof(void *) * walk->room);
        if (view->n_steps)
            memcpy(view->steps, old, sizeof(void *) * view->n_steps);
    }
    view->steps[view->n_steps++] = step;
}

static bool visit(void *self, const struct saga_view *seen)
{
    struct walk *walk = self;
    struct draft *draft = walk->draft;
    saga_label label;
    if (seen->instance.step == 0) /* all of it */
        return true;
    saga_label_format(label, saga_plan_of(walk->run->machine), &seen->instance);
    if (walk->from[0]) {
        if (strcmp(label, walk->from) == 0)
            walk->from = "";
        return true;
    }
    if (!walk->full) {
        Wire__SagaStepView *step = view_step(draft, walk->run, seen, label);
        walk->full = !draft_fits(draft, wire__saga_step_view__get_packed_size(step));
        if (!walk->full)
            add_step(walk, step);
    }
    draft->answer.more += walk->full ? 1 : 0;
    return true;
}

static void view_whole(struct draft *draft, const struct saga_run *run, const char *from)
{
    struct saga_time time = time_of(draft);
    Wire__SagaView *view = view_saga(draft, run);
    struct walk walk = {.draft = draft, .run = run, .view = view, .from = from};
    if (!from[0]) {
        view->input = view_value(draft, saga_input(run->machine));
        view->output = view_value(draft, saga_output(run->machine));
    }
    CHECK(draft_fits(draft, wire__saga_view__get_packed_size(view)));
    saga_visit_all(run->machine, &time, visit, &walk);
    if (walk.from[0]) {
        draft_fail(draft, "bad_request", "the saga has no such step to go on from", "");
        return;
    }
    draft->answer.sagas = draft_take(draft, sizeof(void *));
    draft->answer.sagas[draft->answer.n_sagas++] = view;
}

void sagas_view_one(struct draft *draft, const Wire__Query *query)
{
    const struct server *server = draft->server;
    struct gid gid;
    if (!gtrid_parse(query->saga, &gid)) {
        draft_fail(draft, "bad_request", "this is not the id of a saga",
                   "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth saga list`");
        return;
    }
    if (strcmp(gid.cluster, server->cluster) != 0 ||
        strcmp(gid.coordinator, server->coordinator) != 0) {
        draft_fail(draft, "bad_request", "the saga belongs to another coordinator",
                   "its id begins with the names of its cluster and its coordinator: ask that one");
        return;
    }
    const struct saga_run *run = find_anywhere(server, gid.tx);
    if (run)
        view_whole(draft, run, query->from);
    else
        draft_fail(draft, "unknown_saga", "the coordinator knows no such saga",
                   "`troth saga list --all` tells those that it remembers");
}

/* ---- what participants offer --------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct participant *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* The names of all its operations, for those that tell no more of theirs. */
static void add_names(Wire__ParticipantView *view, const struct participant *participant)
{
    view->operations = participant->report.operations;
    view->n_operations = participant->report.operation_count;
}

static Wire__ParticipantView *view_offers(struct draft *draft,
                                          const struct participant *participant)
{
    const struct participant_report *report = &participant->report;
    Wire__ParticipantView *view = draft_take(draft, sizeof(*view));
    wire__participant_view__init(view);
    view->name = (char *)participant->name;
    view->connected = participant->peer != NULL;
    view->since_us = participant->changed_us;
    view->offers = draft_take(draft, sizeof(void *) * (report->offer_count + 1));
    for (size_t i = 0; i < report->offer_count; i++) {
        const struct offer *offer = &report->offers[i];
        Wire__Offer *row = draft_take(draft, sizeof(*row));
        wire__offer__init(row);
        row->operation = offer->operation;
        row->read_only = offer->read_only;
        row->parameters = offer->parameters;
        row->n_parameters = offer->parameter_count;
        row->types = offer->types;
        row->n_types = offer->parameter_count;
        view->offers[view->n_offers++] = row;
    }
    if (view->n_offers < report->operation_count)
        add_names(view, participant);
    return view;
}

/* By name, so that the next question can go on where this answer ended. What one of them alone
 * reports fits its own message, and so this one, but for the last bytes. */
void sagas_view_offers(struct draft *draft, const Wire__Query *query)
{
    struct participants *participants = &draft->server->participants;
    Wire__Answer *answer = &draft->answer;
    size_t count = 0;
    const struct participant **sorted =
        draft_take(draft, sizeof(*sorted) * (participants->map.count + 1));
    for (struct list *at = participants->all.next; at != &participants->all; at = at->next)
        sorted[count++] = CONTAINER(at, struct participant, all);
    qsort(sorted, count, sizeof(*sorted), by_name);
    answer->participants = draft_take(draft, sizeof(void *) * (count + 1));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sorted[i]->name, query->from) <= 0 ||
            (query->participant[0] && strcmp(query->participant, sorted[i]->name) != 0))
            continue;
        Wire__ParticipantView *view = view_offers(draft, sorted[i]);
        bool fits =
            !answer->more && draft_fits(draft, wire__participant_view__get_packed_size(view));
        while (!fits && !answer->more && answer->n_participants == 0 && view->n_offers > 0) {
            view->n_offers--;
            add_names(view, sorted[i]);
            fits = draft_fits(draft, wire__participant_view__get_packed_size(view));
        }
        if (fits)
            answer->participants[answer->n_participants++] = view;
        else
            answer->more++;
    }
}

/* ---- the coordinator ----------------------------------------------------------------------- */

void sagas_view_coordinator(struct draft *draft, Wire__CoordinatorView *view)
{
    const struct sagas *sagas = &draft->server->sagas;
    const struct definitions *definitions = &sagas->definitions;
    view->sagas_running = sagas->running;
    view->sagas_compensating = sagas->compensating;
    view->sagas_waiting_for_operator = sagas->need_operator;
    view->sagas_completed = sagas->completed;
    view->sagas_compensated = sagas->compensated;
    view->definitions =
        draft_take(draft, sizeof(char *) * ((size_t)definitions->current_count + 1));
    for (int i = 0; i < definitions->current_count; i++) {
        const struct saga_plan *plan = definitions->current[i]->plan;
        char *text = draft_take(draft, LIMIT_NAME_BYTES + 24);
        snprintf(text, LIMIT_NAME_BYTES + 24, "%s %lld", plan->name, (long long)plan->version);
        if (!draft_fits(draft, strlen(text)))
            break;
        view->definitions[view->n_definitions++] = text;
    }
}
