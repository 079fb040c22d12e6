/* One saga in a test: what it asks for as a text, its records, and answers by the label of a step.
 *
 * kit_trace gives the actions since the last time, with "; " between:
 *   do charge {"a":1} · cancel charge · undo charge {"b":2}       tries
 *   done charge=VALUE · fenced X · undone X                       records; "!" before: awaited
 *   !failed charge(CODE) · !signalled NAME=VALUE · !retried · !completed VALUE · !compensated
 *   forget book · end */
#ifndef TROTH_TESTS_UNIT_SAGA_ENGINE_KIT_H
#define TROTH_TESTS_UNIT_SAGA_ENGINE_KIT_H

#include "saga/engine.h"
#include "tests/unit/saga_kit.h"

#define KIT_BEGUN 1000000000ll
#define SECOND    1000000ll

struct kit_try {
    saga_label label;
    struct saga_action action; /* its texts are not kept */
};

struct kit {
    struct saga_plan *plan;
    struct saga *saga;
    struct saga_time time;
    struct saga_actions actions, journal; /* journal: the RECORDs of all */
    struct kit_try *tries;                /* under way */
    int try_count;
    struct saga_action last; /* TRY: its texts are not kept */
    char *input;
    char trace[65536];
    struct error error;
};

static inline void kit_add(struct kit *kit, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void kit_add(struct kit *kit, const char *format, ...)
{
    size_t size = strlen(kit->trace);
    if (size)
        size += (size_t)snprintf(kit->trace + size, sizeof(kit->trace) - size, "; ");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(kit->trace + size, sizeof(kit->trace) - size, format, arguments);
    va_end(arguments);
}

static inline const char *kit_or_null(const char *text)
{
    return text ? text : "null";
}

static inline void kit_show_record(struct kit *kit, const struct saga_record *record)
{
    saga_label label = "";
    const char *mark = record->awaited ? "!" : "";
    if (record->instance.step != SAGA_NONE)
        saga_label_format(label, kit->plan, &record->instance);
    switch (record->type) {
    case SAGA_RECORD_STEP_DONE:
        kit_add(kit, "%sdone %s=%s%s", mark, label, kit_or_null(record->value),
                record->by_signal ? " by signal" : "");
        break;
    case SAGA_RECORD_STEP_FENCED:
        kit_add(kit, "%sfenced %s", mark, label);
        break;
    case SAGA_RECORD_STEP_UNDONE:
        kit_add(kit, "%sundone %s", mark, label);
        break;
    case SAGA_RECORD_SIGNALLED:
        kit_add(kit, "%ssignalled %s=%s", mark, record->name, kit_or_null(record->value));
        break;
    case SAGA_RECORD_FAILED:
        kit_add(kit, "%sfailed %s(%s)", mark, label, kit_or_null(record->problem.code));
        break;
    case SAGA_RECORD_RETRIED:
        kit_add(kit, "%sretried", mark);
        break;
    case SAGA_RECORD_COMPLETED:
        kit_add(kit, "%scompleted %s", mark, kit_or_null(record->value));
        break;
    case SAGA_RECORD_COMPENSATED:
        kit_add(kit, "%scompensated", mark);
        break;
    }
}

static inline const char *kit_copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static inline void kit_journal(struct saga_actions *journal, const struct saga_record *record)
{
    journal->list = xrealloc(journal->list, ((size_t)journal->count + 1) * sizeof(*journal->list));
    journal->room = journal->count + 1;
    struct saga_action *kept = &journal->list[journal->count++];
    *kept = (struct saga_action){.type = SAGA_ACT_RECORD, .record = *record};
    kept->record.value = kit_copy(record->value);
    kept->record.result = kit_copy(record->result);
    kept->record.name = kit_copy(record->name);
    const struct saga_problem *problem = &record->problem;
    kept->record.problem = (struct saga_problem){
        kit_copy(problem->participant), kit_copy(problem->operation), kit_copy(problem->code),
        kit_copy(problem->message),     kit_copy(problem->detail),    kit_copy(problem->hint)};
}

static inline void kit_show_try(struct kit *kit, const struct saga_action *action)
{
    static const char *const words[] = {"", "do", "cancel", "undo"};
    saga_label label;
    char arguments[4096] = "";
    for (int i = 0; i < action->argument_count; i++) {
        size_t size = strlen(arguments);
        snprintf(arguments + size, sizeof(arguments) - size, " %s", action->arguments[i]);
    }
    saga_label_format(label, kit->plan, &action->instance);
    kit_add(kit, "%s %s%s", words[action->how], label, arguments);
    kit->tries = xrealloc(kit->tries, ((size_t)kit->try_count + 1) * sizeof(*kit->tries));
    struct kit_try *added = &kit->tries[kit->try_count++];
    strcpy(added->label, label);
    added->action = kit->last = *action;
}

static inline void kit_show(struct kit *kit)
{
    saga_label label;
    for (int i = 0; i < kit->actions.count; i++) {
        const struct saga_action *action = &kit->actions.list[i];
        if (action->type == SAGA_ACT_RECORD) {
            kit_show_record(kit, &action->record);
            kit_journal(&kit->journal, &action->record);
        } else if (action->type == SAGA_ACT_TRY) {
            kit_show_try(kit, action);
        } else if (action->type == SAGA_ACT_FORGET) {
            kit_add(kit, "forget %s", saga_label_format(label, kit->plan, &action->instance));
        } else {
            kit_add(kit, "end");
        }
    }
    saga_actions_clear(&kit->actions);
}

/* Returns the trace; false: refused, and the trace is the error. */
static inline bool kit_event(struct kit *kit, struct saga_event *event)
{
    event->time = kit->time;
    kit->trace[0] = '\0';
    error_clear(&kit->error);
    bool good = saga_advance(kit->saga, event, &kit->actions, &kit->error);
    kit_show(kit);
    if (!good)
        kit_add(kit, "refused: %s", kit->error.message);
    return good;
}

static inline void kit_new_saga(struct kit *kit)
{
    saga_free(kit->saga);
    kit->try_count = 0;
    kit->saga = saga_new(&(struct saga_begin){
        .plan = kit->plan, .id = "shop.c1.5.17", .input = kit->input, .begun_us = KIT_BEGUN});
}

/* A definition of these steps; `inputs` is what stands in input: {...}. */
static inline void kit_init(struct kit *kit, const char *text, const char *input)
{
    *kit = (struct kit){.time = {.now_us = 5000, .wall_us = KIT_BEGUN}};
    kit->plan = kit_plan(text);
    kit->input = xstrdup(input);
    kit_new_saga(kit);
}

static inline void kit_fini(struct kit *kit)
{
    saga_free(kit->saga);
    saga_plan_free(kit->plan);
    saga_actions_fini(&kit->actions);
    saga_actions_fini(&kit->journal);
    free(kit->tries);
    free(kit->input);
}

static inline void kit_begin(struct kit *kit)
{
    assert_true(kit_event(kit, &(struct saga_event){.type = SAGA_EVENT_RESUMED, .began = true}));
}

/* The index of a try under way; how 0: any. */
static inline int kit_try_of(const struct kit *kit, const char *label)
{
    for (int i = kit->try_count; i-- > 0;) {
        if (strcmp(kit->tries[i].label, label) == 0)
            return i;
    }
    fail_msg("no try of %s is under way; the last trace: %s", label, kit->trace);
    return -1;
}

static inline void kit_reply(struct kit *kit, const char *label, enum saga_outcome outcome,
                             const char *result, const char *code, bool kept)
{
    int i = kit_try_of(kit, label);
    struct saga_action action = kit->tries[i].action;
    kit->tries[i] = kit->tries[--kit->try_count];
    struct saga_event event = {.type = SAGA_EVENT_ANSWERED,
                               .instance = action.instance,
                               .how = action.how,
                               .try = action.try,
                               .outcome = outcome,
                               .result = result,
                               .kept = kept,
                               .problem = {.code = code}};
    assert_true(kit_event(kit, &event));
}

static inline void kit_succeed(struct kit *kit, const char *label, const char *result)
{
    kit_reply(kit, label, SAGA_SUCCEEDED, result, NULL, true);
}

static inline void kit_miss(struct kit *kit, const char *label, enum saga_outcome outcome)
{
    kit_reply(kit, label, outcome, NULL, "why", true);
}

static inline void kit_wake_at(struct kit *kit, uint64_t now_us)
{
    kit->time.wall_us += (int64_t)(now_us - kit->time.now_us);
    kit->time.now_us = now_us;
    assert_true(kit_event(kit, &(struct saga_event){.type = SAGA_EVENT_WOKEN}));
}

/* To when it wants to be woken. */
static inline void kit_wake(struct kit *kit)
{
    uint64_t wake_us = saga_wake_us(kit->saga, &kit->time);
    assert_true(wake_us != UINT64_MAX);
    kit_wake_at(kit, wake_us > kit->time.now_us ? wake_us : kit->time.now_us);
}

static inline bool kit_signal(struct kit *kit, const char *name, const char *value)
{
    return kit_event(
        kit, &(struct saga_event){.type = SAGA_EVENT_SIGNALLED, .name = name, .value = value});
}

static inline bool kit_order(struct kit *kit, enum saga_event_type type)
{
    return kit_event(kit, &(struct saga_event){.type = type});
}

/* A new process: the first `count` records are what is left. */
static inline void kit_restart(struct kit *kit, int count)
{
    kit_new_saga(kit);
    for (int i = 0; i < count; i++) {
        struct saga_event event = {.type = SAGA_EVENT_REPLAYED,
                                   .record = &kit->journal.list[i].record};
        if (!kit_event(kit, &event))
            fail_msg("record %d: %s %s", i, kit->error.message, kit->error.detail);
    }
    struct saga_actions lost = {0}; /* what came after is gone */
    for (int i = count; i < kit->journal.count; i++) {
        if (!lost.list)
            lost.list = xcalloc((size_t)kit->journal.count, sizeof(*lost.list));
        lost.list[lost.count++] = kit->journal.list[i];
    }
    kit->journal.count = count;
    saga_actions_fini(&lost);
    assert_true(kit_event(kit, &(struct saga_event){.type = SAGA_EVENT_RESUMED}));
}

#define EXPECT(kit, text) assert_string_equal((kit)->trace, text)

#endif
