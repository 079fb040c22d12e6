/* Random walks: random definitions, participants that do, refuse, lose and delay what they are
 * asked, and a coordinator that dies at any point and keeps any part of what it need not wait for.
 *
 * The participants remember what was done under each name, as troth.barrier does. At the end of a
 * walk either all is done, or nothing that has a compensation remains; nothing is undone that was
 * not done, nor before what was done after it; and what is asked for twice is asked for with the
 * same bytes. At each point a saga that is made of the records, of all of them or of those of a
 * checkpoint, asks for what this one has under way. */
#include "core/map.h"
#include "tests/unit/saga_engine_kit.h"

enum { NAMES = 512, WALKS = 40, PLANS = 24, STEPS_AT_MOST = 4000 };

/* ---- chance -------------------------------------------------------------------------------- */

static uint64_t seed;

static unsigned pick(unsigned count)
{
    seed = hash_u64(seed + 0x9e3779b97f4a7c15u);
    return (unsigned)((seed >> 20) % count);
}

static bool one_in(unsigned count)
{
    return pick(count) == 0;
}

/* ---- random definitions -------------------------------------------------------------------- */

struct writer {
    char text[16384];
    int names;
    char seen[12]; /* a step before this one on every way, or "" */
};

static void put(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put(struct writer *writer, const char *format, ...)
{
    size_t size = strlen(writer->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(writer->text + size, sizeof(writer->text) - size, format, arguments);
    va_end(arguments);
}

static void put_with(struct writer *writer, bool in_loop)
{
    put(writer, "{id: \"${ .saga.id }\", a: \"${ .input.a }\"");
    if (writer->seen[0])
        put(writer, ", s: \"${ .steps.%s }\"", writer->seen);
    if (in_loop)
        put(writer, ", i: \"${ .item }\", n: \"${ .index }\"");
    put(writer, "}");
}

static void put_compensation(struct writer *writer, bool in_loop, bool own_arguments)
{
    if (one_in(4)) {
        put(writer, ", compensate: none");
    } else if (own_arguments && one_in(2)) {
        put(writer, ", compensate: p.undo");
    } else {
        put(writer, ", compensate: {call: p.undo, with: {r: \"${ .result }\"%s}}",
            in_loop ? ", i: \"${ .item }\"" : "");
    }
}

static void put_steps(struct writer *writer, int depth, int count, bool in_loop);

static void put_leaf(struct writer *writer, bool in_loop)
{
    char name[12];
    snprintf(name, sizeof(name), "s%d", writer->names++);
    put(writer, "{name: %s, ", name);
    if (one_in(6))
        put(writer, "when: \"${ .input.a > %u }\", ", pick(4));
    switch (pick(8)) {
    case 0:
        put(writer, "wait: {for: %us}}", pick(20) + 1);
        break;
    case 1:
        put(writer, "wait: {signal: go, timeout: %us, otherwise: %s}}", pick(20) + 1,
            one_in(2) ? "fail" : "continue");
        break;
    case 2:
        put(writer, "transaction: {branches: [{call: p.x, with: ");
        put_with(writer, in_loop);
        put(writer, "}, {call: q.y}]}");
        put_compensation(writer, in_loop, false);
        put(writer, "}");
        break;
    case 3:
        put(writer, "saga: other, input: ");
        put_with(writer, in_loop);
        put(writer, "}");
        break;
    default:
        put(writer, "call: p.q, with: ");
        put_with(writer, in_loop);
        put_compensation(writer, in_loop, true);
        if (one_in(3)) /* now and then it fails: the result may be a text */
            put(writer, ", output: \"${ .result.n %s }\"", one_in(2) ? "+ 1" : "");
        put(writer, ", retry: {attempts: %u}}", pick(4) + 1);
    }
    strcpy(writer->seen, name);
}

static void put_branches(struct writer *writer, int depth, bool in_loop)
{
    char seen[12];
    strcpy(seen, writer->seen);
    put(writer, "{name: b%d, parallel: [", writer->names++);
    for (unsigned i = 0, count = pick(3) + 2; i < count; i++) {
        strcpy(writer->seen, seen);
        put(writer, "%s{steps: [", i ? ", " : "");
        put_steps(writer, depth + 1, (int)pick(2) + 1, in_loop);
        put(writer, "]}");
    }
    put(writer, "]}");
    strcpy(writer->seen, seen);
}

static void put_choice(struct writer *writer, int depth, bool in_loop)
{
    char seen[12];
    strcpy(seen, writer->seen);
    put(writer, "{name: c%d, choose: [{when: \"${ .input.a > 1 }\", steps: [", writer->names++);
    put_steps(writer, depth + 1, 2, in_loop);
    strcpy(writer->seen, seen);
    put(writer, "]}, {otherwise: [");
    put_steps(writer, depth + 1, 1, in_loop);
    put(writer, "]}]}");
    strcpy(writer->seen, seen);
}

static void put_loop(struct writer *writer, int depth)
{
    char seen[12];
    strcpy(seen, writer->seen);
    put(writer, "{name: f%d, for_each: \"${ [range(%u)] }\", parallel: %u, steps: [",
        writer->names++, pick(6), pick(3) + 1);
    put_steps(writer, depth + 1, (int)pick(2) + 1, true);
    put(writer, "]}");
    strcpy(writer->seen, seen);
}

static void put_steps(struct writer *writer, int depth, int count, bool in_loop)
{
    for (int i = 0; i < count; i++) {
        put(writer, i ? ", " : "");
        unsigned what = depth < 3 ? pick(9) : 9;
        if (what == 0)
            put_loop(writer, depth);
        else if (what == 1)
            put_branches(writer, depth, in_loop);
        else if (what == 2)
            put_choice(writer, depth, in_loop);
        else
            put_leaf(writer, in_loop);
    }
}

static struct saga_plan *random_plan(char **out)
{
    struct writer *writer = xcalloc(1, sizeof(*writer));
    put(writer, "saga: s\nversion: 1\ninput: {a: integer}\n");
    put(writer, "%ssteps: [", one_in(2) ? "timeout: 30s\n" : "");
    put_steps(writer, 0, (int)pick(4) + 1, false);
    if (one_in(2)) {
        put(writer, ", {name: pivot, kind: pivot, call: p.pivot, with: ");
        put_with(writer, false);
        put(writer, "}, {name: after, kind: retriable, call: p.after, with: {p: \"${ "
                    ".steps.pivot }\"}}, {name: late, call: p.late, compensate: none, reason: r}");
    }
    put(writer, "]\noutput: {a: \"${ .input.a }\"}\n");
    /* Loops over a long wait may take longer than the timeout: lint says so. */
    struct error error = {0};
    struct saga_plan *plan =
        saga_definition_load("t.yaml", writer->text, strlen(writer->text), &error);
    if (!plan && !strstr(error.message, "timeout") && !strstr(error.detail, "timeout"))
        fail_msg("%s\n%s\n%s", writer->text, error.message, error.detail);
    *out = xstrdup(writer->text);
    free(writer);
    return plan;
}

/* ---- participants -------------------------------------------------------------------------- */

struct name {
    saga_label label;
    char *asked[4][2]; /* by how: the arguments, the first two */
    bool done, fenced, undone, journaled, pending, kept;
    int order; /* of its being done; 0: not */
    char result[32];
};

struct world {
    struct kit kit;
    struct name names[NAMES];
    int count, orders;
    unsigned badness; /* one in so many answers is bad */
    bool crashes;
};

static struct name *name_of(struct world *world, const char *label)
{
    for (int i = 0; i < world->count; i++) {
        if (strcmp(world->names[i].label, label) == 0)
            return &world->names[i];
    }
    assert_true(world->count < NAMES);
    struct name *name = &world->names[world->count++];
    memset(name, 0, sizeof(*name));
    strcpy(name->label, label);
    return name;
}

static void do_it(struct world *world, struct name *name)
{
    if (name->done || name->fenced)
        return;
    name->done = true;
    name->order = ++world->orders;
    unsigned n = pick(100);
    snprintf(name->result, sizeof(name->result), one_in(12) ? "{\"n\":\"text %u\"}" : "{\"n\":%u}",
             n);
}

static enum saga_type type_of(const struct world *world, const struct kit_try *try)
{
    return world->kit.plan->steps[try->action.instance.step].type;
}

/* E5: everything that was done later, and is no branch beside it, is undone. In a walk times
 * differ, so what was done before another was asked for is known by the order alone where both are
 * in one sequence of the top. */
static void check_order(const struct world *world, const struct kit_try *try)
{
    const struct saga_plan *plan = world->kit.plan;
    int own = try->action.instance.step;
    while (plan->steps[own].parent > 0)
        own = plan->steps[own].parent;
    for (int i = 0; i < world->count; i++) {
        const struct name *other = &world->names[i];
        char plain[LIMIT_SAGA_LABEL_BYTES + 1];
        snprintf(plain, sizeof(plain), "%s", other->label);
        plain[strcspn(plain, "[")] = '\0';
        int top = saga_step_find(plan, plain);
        const struct saga_step *step = &plan->steps[top];
        bool matters = other->done && !other->undone && step->kind == SAGA_COMPENSATABLE &&
                       (step->compensation != SAGA_NONE || step->type == SAGA_SAGA);
        while (plan->steps[top].parent > 0)
            top = plan->steps[top].parent;
        if (matters && top > own)
            fail_msg("%s is undone before %s", try->label, other->label);
    }
}

/* ---- what it asks for ---------------------------------------------------------------------- */

/* The same name and how: the same bytes. And nothing that is recorded is done again. */
static void check_asked(struct world *world, const struct saga_action *action)
{
    saga_label label;
    struct name *name =
        name_of(world, saga_label_format(label, world->kit.plan, &action->instance));
    assert_false(action->how == SAGA_DO && name->journaled);
    for (int i = 0; i < action->argument_count; i++) {
        if (!name->asked[action->how][i])
            name->asked[action->how][i] = xstrdup(action->arguments[i]);
        assert_string_equal(name->asked[action->how][i], action->arguments[i]);
    }
}

static void check_record(struct world *world, const struct saga_record *record, bool asked)
{
    bool step = record->type == SAGA_RECORD_STEP_DONE || record->type == SAGA_RECORD_STEP_FENCED ||
                record->type == SAGA_RECORD_STEP_UNDONE;
    assert_true(record->awaited || (step && !asked && !record->by_signal));
    if (record->type == SAGA_RECORD_FAILED)
        assert_false(saga_is_past_pivot(world->kit.saga)); /* E3 */
    if (record->type != SAGA_RECORD_STEP_DONE)
        return;
    saga_label label;
    name_of(world, saga_label_format(label, world->kit.plan, &record->instance))->journaled = true;
}

/* What is asked for comes after records that are awaited (E1, E2). */
static void check_actions(struct world *world, const struct saga_actions *actions)
{
    bool asked = false;
    for (int i = actions->count; i-- > 0;) {
        const struct saga_action *action = &actions->list[i];
        asked = asked || action->type == SAGA_ACT_TRY;
        if (action->type == SAGA_ACT_RECORD)
            check_record(world, &action->record, asked);
    }
    for (int i = 0; i < actions->count; i++) {
        if (actions->list[i].type == SAGA_ACT_TRY)
            check_asked(world, &actions->list[i]);
    }
}

/* kit_event shows and clears the actions; here they are looked at before. */
static bool advance(struct world *world, struct saga_event *event)
{
    struct kit *kit = &world->kit;
    event->time = kit->time;
    bool good = saga_advance(kit->saga, event, &kit->actions, &kit->error);
    check_actions(world, &kit->actions);
    kit->trace[0] = '\0';
    kit_show(kit);
    return good;
}

static void answer(struct world *world, int at, enum saga_outcome outcome, const char *result,
                   bool kept)
{
    struct kit *kit = &world->kit;
    struct saga_action action = kit->tries[at].action;
    kit->tries[at] = kit->tries[--kit->try_count];
    assert_true(advance(world, &(struct saga_event){.type = SAGA_EVENT_ANSWERED,
                                                    .instance = action.instance,
                                                    .how = action.how,
                                                    .try = action.try,
                                                    .outcome = outcome,
                                                    .result = result,
                                                    .kept = kept,
                                                    .problem = {.code = "why"}}));
}

static void answer_do(struct world *world, int at, struct name *name)
{
    const struct kit_try *try = &world->kit.tries[at];
    if (!name->done && !name->fenced && one_in(world->badness)) {
        switch (pick(4)) {
        case 0: /* not done by this try, or later, behind everybody's back */
            name->pending = true;
            answer(world, at, SAGA_UNSURE, NULL, true);
            return;
        case 1:
            do_it(world, name);
            answer(world, at, SAGA_UNSURE, NULL, true);
            return;
        case 2:
            answer(world, at, SAGA_NOT_DONE, NULL, true);
            return;
        default:
            /* A saga that is compensated stays so. */
            name->fenced = try->action.final || type_of(world, try) == SAGA_SAGA;
            answer(world, at, SAGA_REFUSED, NULL, true);
            return;
        }
    }
    if (name->fenced) {
        answer(world, at, SAGA_REFUSED, NULL, true);
        return;
    }
    do_it(world, name);
    answer(world, at, SAGA_SUCCEEDED, name->result, name->kept);
}

static void answer_cancel(struct world *world, int at, struct name *name)
{
    if (one_in(world->badness * 2)) {
        answer(world, at, one_in(2) ? SAGA_UNSURE : SAGA_NOT_DONE, NULL, true);
        return;
    }
    name->fenced = !name->done;
    answer(world, at, name->done ? SAGA_SUCCEEDED : SAGA_REFUSED, name->result, true);
}

static void answer_undo(struct world *world, int at, struct name *name)
{
    check_order(world, &world->kit.tries[at]);
    assert_true(name->done); /* E4 */
    assert_false(name->pending && !name->done);
    bool bad = one_in(world->badness * 2);
    name->undone = name->undone || !bad || one_in(2);
    static const enum saga_outcome outcomes[] = {SAGA_UNSURE, SAGA_NOT_DONE, SAGA_REFUSED};
    answer(world, at, bad ? outcomes[pick(3)] : SAGA_SUCCEEDED, NULL, true);
}

/* ---- a saga made of records ---------------------------------------------------------------- */

/* Labels and arguments of what a saga asks for when it is resumed, sorted, one text. */
static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *asks(const struct saga_plan *plan, const struct saga_actions *actions)
{
    char **lines = xcalloc((size_t)actions->count + 1, sizeof(char *));
    int count = 0;
    for (int i = 0; i < actions->count; i++) {
        const struct saga_action *action = &actions->list[i];
        saga_label label = "";
        if (action->type != SAGA_ACT_RECORD && action->type != SAGA_ACT_END)
            saga_label_format(label, plan, &action->instance);
        if (action->type == SAGA_ACT_RECORD)
            lines[count++] = xasprintf("record %d %s", (int)action->record.type,
                                       kit_or_null(action->record.value));
        else
            lines[count++] =
                xasprintf("%d %d %s %s %lld %lld", (int)action->type, (int)action->how, label,
                          action->argument_count ? action->arguments[0] : "",
                          (long long)action->since_us, (long long)action->step_since_us);
    }
    qsort(lines, (size_t)count, sizeof(char *), by_text);
    char *all = xstrdup("");
    for (int i = 0; i < count; i++) {
        char *more = xasprintf("%s%s\n", all, lines[i]);
        free(all);
        free(lines[i]);
        all = more;
    }
    free(lines);
    return all;
}

static struct saga *replayed(const struct kit *kit, const struct saga_actions *journal)
{
    struct saga *saga = saga_new(&(struct saga_begin){
        .plan = kit->plan, .id = "shop.c1.5.17", .input = kit->input, .begun_us = KIT_BEGUN});
    struct saga_actions none = {0};
    for (int i = 0; i < journal->count; i++) {
        struct error error = {0};
        if (!saga_advance(saga,
                          &(struct saga_event){.type = SAGA_EVENT_REPLAYED,
                                               .record = &journal->list[i].record},
                          &none, &error))
            fail_msg("record %d of %d: %s; %s", i, journal->count, error.message, error.detail);
        assert_int_equal(none.count, 0);
    }
    return saga;
}

static char *resumed_asks(const struct kit *kit, struct saga *saga)
{
    struct saga_actions actions = {0};
    assert_true(saga_advance(
        saga, &(struct saga_event){.type = SAGA_EVENT_RESUMED, .time = kit->time}, &actions, NULL));
    char *text = asks(kit->plan, &actions);
    saga_actions_fini(&actions);
    return text;
}

static void keep_record(void *self, const struct saga_record *record)
{
    kit_journal(self, record);
}

/* What this one has under way a saga made of its records asks for as well. A cancel of what has
 * used up its tries may begin anew as a try. */
static void check_same(const struct kit *kit, const char *asked)
{
    for (int i = 0; i < kit->try_count; i++) {
        char one[200], other[200];
        int how = kit->tries[i].action.how;
        bool forward = saga_state(kit->saga) == SAGA_RUNNING;
        snprintf(one, sizeof(one), "1 %d %s ", how, kit->tries[i].label);
        snprintf(other, sizeof(other), "1 %d %s ",
                 how == SAGA_CANCEL && forward ? SAGA_DO : SAGA_CANCEL, kit->tries[i].label);
        if (!strstr(asked, one) && (how == SAGA_COMPENSATE || !strstr(asked, other)))
            fail_msg("%s is under way, and asked for is:\n%s", one, asked);
    }
}

static bool count_view(void *self, const struct saga_view *view)
{
    (void)view;
    ++*(int *)self;
    return true;
}

/* Whatever state it is in, it can be looked at. */
static void check_views(const struct world *world)
{
    const struct kit *kit = &world->kit;
    char next[100];
    int count = 0;
    saga_visit_all(kit->saga, &kit->time, count_view, &count);
    assert_true(count > 0);
    assert_true(strlen(saga_next(kit->saga, &kit->time, next, sizeof(next))) > 0);
    assert_true(saga_bytes(kit->saga) > 200);
}

static void check_replay(struct world *world)
{
    check_views(world);
    struct kit *kit = &world->kit;
    struct saga *whole = replayed(kit, &kit->journal);
    struct saga_actions checkpoint = {0}, again = {0};
    saga_records(kit->saga, keep_record, &checkpoint);
    struct saga *compact = replayed(kit, &checkpoint);
    saga_records(compact, keep_record, &again);
    char *first = asks(kit->plan, &checkpoint), *second = asks(kit->plan, &again);
    assert_string_equal(first, second);
    free(first);
    free(second);
    first = resumed_asks(kit, whole);
    second = resumed_asks(kit, compact);
    assert_string_equal(first, second);
    assert_int_equal(saga_state(whole), saga_state(compact));
    check_same(kit, first);
    free(first);
    free(second);
    saga_actions_fini(&checkpoint);
    saga_actions_fini(&again);
    saga_free(whole);
    saga_free(compact);
}

/* The process dies: the journal keeps at least all that was awaited. */
static void crash(struct world *world)
{
    struct kit *kit = &world->kit;
    int least = 0;
    for (int i = 0; i < kit->journal.count; i++)
        least = kit->journal.list[i].record.awaited ? i + 1 : least;
    int kept = least + (int)pick((unsigned)(kit->journal.count - least) + 1);
    for (int i = 0; i < kit->try_count; i++) { /* they may be done now, later or never */
        if (kit->tries[i].action.how != SAGA_DO)
            continue;
        struct name *name = name_of(world, kit->tries[i].label);
        name->pending = true;
    }
    for (int i = 0; i < world->count; i++)
        world->names[i].journaled = false;
    struct saga_actions lost = {0};
    for (int i = kept; i < kit->journal.count; i++) {
        lost.list = xrealloc(lost.list, ((size_t)lost.count + 1) * sizeof(*lost.list));
        lost.list[lost.count++] = kit->journal.list[i];
    }
    kit->journal.count = kept;
    saga_actions_fini(&lost);
    for (int i = 0; i < kept; i++) {
        const struct saga_record *record = &kit->journal.list[i].record;
        saga_label label;
        if (record->type == SAGA_RECORD_STEP_DONE)
            name_of(world, saga_label_format(label, kit->plan, &record->instance))->journaled =
                true;
    }
    saga_free(kit->saga);
    kit->try_count = 0;
    kit->saga = replayed(kit, &kit->journal);
    assert_true(advance(world, &(struct saga_event){.type = SAGA_EVENT_RESUMED}));
}

/* ---- a walk -------------------------------------------------------------------------------- */

static void answer_one(struct world *world)
{
    struct kit *kit = &world->kit;
    int at = (int)pick((unsigned)kit->try_count);
    struct kit_try *try = &kit->tries[at];
    struct name *name = name_of(world, try->label);
    if (world->badness < 100 && one_in(60)) { /* an operator looks, see take_step */
        answer(world, at, SAGA_UNPROVABLE, NULL, true);
        return;
    }
    name->kept = type_of(world, try) != SAGA_CALL || pick(8) != 0;
    if (try->action.how == SAGA_DO)
        answer_do(world, at, name);
    else if (try->action.how == SAGA_CANCEL)
        answer_cancel(world, at, name);
    else
        answer_undo(world, at, name);
}

/* A try that nobody waits for any more is done after all, unless that was made impossible. */
static void late_one(struct world *world)
{
    struct name *name = &world->names[pick((unsigned)world->count)];
    if (name->pending && one_in(2))
        do_it(world, name);
    name->pending = false;
}

static void wake(struct world *world)
{
    struct saga_time *time = &world->kit.time;
    uint64_t wake_us = saga_wake_us(world->kit.saga, time);
    if (wake_us == UINT64_MAX)
        return;
    if (wake_us > time->now_us) {
        time->wall_us += (int64_t)(wake_us - time->now_us);
        time->now_us = wake_us;
    }
    assert_true(advance(world, &(struct saga_event){.type = SAGA_EVENT_WOKEN}));
}

static void take_step(struct world *world)
{
    struct kit *kit = &world->kit;
    kit->time.now_us += 1000;
    kit->time.wall_us += 1000;
    if (world->count && one_in(10))
        late_one(world);
    if (world->crashes && one_in(15)) {
        crash(world);
        return;
    }
    if (one_in(30) && strstr(kit->plan->text, "signal"))
        (void)advance(world, &(struct saga_event){
                                 .type = SAGA_EVENT_SIGNALLED, .name = "go", .value = "{\"n\":1}"});
    else if (one_in(400))
        (void)advance(world, &(struct saga_event){.type = SAGA_EVENT_COMPENSATE});
    else if (one_in(200) || (saga_needs_operator(kit->saga) && kit->try_count == 0))
        (void)advance(world, &(struct saga_event){.type = SAGA_EVENT_RETRY});
    else if (kit->try_count && !one_in(8))
        answer_one(world);
    else
        wake(world);
}

/* As the saga of which it is a step orders: what is completed is undone after all. */
static void undo_completed(struct world *world)
{
    struct kit *kit = &world->kit;
    if (saga_state(kit->saga) != SAGA_COMPLETED || one_in(2))
        return;
    bool past = saga_is_past_pivot(kit->saga);
    bool good = advance(world, &(struct saga_event){.type = SAGA_EVENT_COMPENSATE});
    assert_int_equal(good, !past);
}

static void check_end(struct world *world)
{
    const struct saga_plan *plan = world->kit.plan;
    bool completed = saga_state(world->kit.saga) == SAGA_COMPLETED;
    for (int i = 0; i < world->count; i++) {
        struct name *name = &world->names[i];
        char plain[LIMIT_SAGA_LABEL_BYTES + 1];
        snprintf(plain, sizeof(plain), "%s", name->label);
        plain[strcspn(plain, "[")] = '\0';
        const struct saga_step *step = &plan->steps[saga_step_find(plan, plain)];
        if (step->type == SAGA_WAIT)
            continue;
        bool undoable = step->type == SAGA_SAGA || step->compensation != SAGA_NONE;
        if (name->pending)
            do_it(world, name); /* as late as can be */
        if (completed)
            assert_true(name->done && !name->undone);
        else if (step->kind == SAGA_PIVOT)
            assert_false(name->done); /* E3 */
        else if (undoable && name->done != name->undone)
            fail_msg("%s: done %d, undone %d", name->label, name->done, name->undone);
    }
}

static bool over(const struct saga *saga)
{
    return saga_state(saga) == SAGA_COMPLETED || saga_state(saga) == SAGA_COMPENSATED;
}

/* An expression that fails past the pivot, or in a compensation, is nobody's to repair. */
static bool is_stuck(const struct world *world)
{
    const struct kit *kit = &world->kit;
    return kit->try_count == 0 && saga_needs_operator(kit->saga) &&
           saga_wake_us(kit->saga, &kit->time) == UINT64_MAX &&
           strcmp(saga_problem(kit->saga)->code, "expression") == 0;
}

static int ends[4]; /* completed, compensated, stuck, crashes */

static void walk(struct saga_plan *plan, unsigned badness, bool crashes)
{
    struct world *world = xcalloc(1, sizeof(*world));
    struct kit *kit = &world->kit;
    *kit = (struct kit){.plan = plan, .time = {.now_us = 5000, .wall_us = KIT_BEGUN}};
    world->badness = badness;
    world->crashes = crashes;
    kit->input = xasprintf("{\"a\":%u}", pick(4));
    kit_new_saga(kit);
    assert_true(advance(world, &(struct saga_event){.type = SAGA_EVENT_RESUMED, .began = true}));
    int steps = 0;
    while (!over(kit->saga) && !is_stuck(world)) {
        take_step(world);
        if (one_in(6))
            check_replay(world);
        if (steps++ > STEPS_AT_MOST) {
            char next[200];
            fail_msg("it does not end: %s, %s", saga_state_words[saga_state(kit->saga)],
                     saga_next(kit->saga, &kit->time, next, sizeof(next)));
        }
        if (over(kit->saga))
            undo_completed(world);
    }
    check_replay(world);
    if (over(kit->saga))
        check_end(world);
    ends[over(kit->saga) ? saga_state(kit->saga) - SAGA_COMPLETED : 2]++;
    for (int i = 0; i < world->count; i++) {
        for (int j = 0; j < 8; j++)
            free(world->names[i].asked[j / 2][j % 2]);
    }
    kit->plan = NULL;
    kit_fini(kit);
    free(world);
}

static void test_random_walks(void **state)
{
    (void)state;
    int plans = 0;
    for (uint64_t i = 1; plans < PLANS; i++) {
        char *text;
        seed = i * 1000;
        struct saga_plan *plan = random_plan(&text);
        for (int j = 0; plan && j < WALKS; j++) {
            seed = i * 1000 + (uint64_t)j;
            walk(plan, j % 4 == 0 ? 1000 : (unsigned)(j % 4) * 4, j % 3 > 0);
        }
        plans += plan != NULL;
        saga_plan_free(plan);
        free(text);
    }
    print_message("# %d plans, %d walks: %d completed, %d compensated, %d wait for an operator\n",
                  plans, plans * WALKS, ends[0], ends[1], ends[2]);
    assert_true(ends[0] > plans && ends[1] > plans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_walks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
