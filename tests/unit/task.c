/* The machine of one task: each path by itself, then every state that can be reached, over a model
 * of the rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/list.h"
#include "core/map.h"
#include "participant/task.h"

#define STEP       WIRE__HOW__HOW_STEP
#define CANCEL     WIRE__HOW__HOW_CANCEL
#define COMPENSATE WIRE__HOW__HOW_COMPENSATE

#define SUCCEEDED  WIRE__EXECUTION__SUCCEEDED
#define FAILED     WIRE__EXECUTION__FAILED
#define NOT_DONE   WIRE__EXECUTION__NOT_DONE
#define UNSURE     WIRE__EXECUTION__UNSURE
#define UNPROVABLE WIRE__EXECUTION__UNPROVABLE

static struct task_actions actions;

static void step(struct task *task, struct task_event event)
{
    task_step(task, &event, &actions);
}

#define DO(task, ...) step(task, (struct task_event){__VA_ARGS__})

static const struct task_action *only(enum task_action_kind kind)
{
    assert_int_equal(actions.count, 1);
    assert_int_equal(actions.list[0].kind, kind);
    return &actions.list[0];
}

static const struct task_action *answered(const struct task *task, Wire__Execution execution,
                                          enum task_cause cause)
{
    const struct task_action *action = only(TASK_DO_ANSWER);
    assert_int_equal(action->execution, execution);
    assert_int_equal(action->cause, cause);
    assert_int_equal(task->state, TASK_ENDED);
    return action;
}

static void looks(bool of_step, bool fence)
{
    const struct task_action *action = only(TASK_DO_LOOK_UP);
    assert_int_equal(action->of_step, of_step);
    assert_int_equal(action->fence, fence);
}

static struct task asked(struct task_event event)
{
    struct task task = {0};
    event.kind = TASK_ASKED;
    step(&task, event);
    return task;
}

#define ASKED(...) asked((struct task_event){__VA_ARGS__})

static struct task working(Wire__How how, bool final, bool read_only)
{
    struct task task = ASKED(.how = how, .final = final, .read_only = read_only);
    if (how == COMPENSATE)
        DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    only(TASK_DO_ENQUEUE);
    DO(&task, TASK_STARTED);
    only(TASK_DO_WORK);
    return task;
}

/* ---- steps --------------------------------------------------------------------------------- */

static void a_step_that_is_committed_succeeds(void **state)
{
    (void)state;
    struct task task = working(STEP, false, false);
    DO(&task, TASK_WORKED, .outcome = DB_COMMITTED, .met = true);
    const struct task_action *answer = answered(&task, SUCCEEDED, TASK_CAUSE_NONE);
    assert_true(answer->kept && !answer->empty);
}

static void a_read_only_step_keeps_nothing_and_is_never_looked_up(void **state)
{
    (void)state;
    struct task task = working(STEP, true, true);
    DO(&task, TASK_WORKED, .outcome = DB_COMMITTED, .met = true);
    assert_false(answered(&task, SUCCEEDED, TASK_CAUSE_NONE)->kept);
    task = working(STEP, true, true);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED);
    answered(&task, FAILED, TASK_CAUSE_PROBLEM);
    task = working(STEP, true, true);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED, .passing = true);
    answered(&task, NOT_DONE, TASK_CAUSE_PROBLEM);
    task = working(STEP, true, true);
    DO(&task, TASK_WORKED, .outcome = DB_LOST);
    answered(&task, NOT_DONE, TASK_CAUSE_LOST);
    task = ASKED(.how = STEP, .old = true, .read_only = true);
    only(TASK_DO_ENQUEUE);
}

static void a_duplicate_is_answered_from_the_row(void **state)
{
    (void)state;
    struct task task = working(STEP, true, false);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED, .duplicate = true);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    assert_true(answered(&task, SUCCEEDED, TASK_CAUSE_NONE)->kept);
    /* One that fails for another reason, because the first has changed what it needs. */
    task = working(STEP, true, false);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED);
    looks(false, true);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    answered(&task, SUCCEEDED, TASK_CAUSE_NONE);
    /* A row that was there and is gone is no proof of anything. */
    task = working(STEP, true, false);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED, .duplicate = true);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, UNPROVABLE, TASK_CAUSE_FORGOTTEN);
}

static void a_final_refusal_leaves_a_row_and_another_does_not(void **state)
{
    (void)state;
    struct task task = working(STEP, true, false);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED);
    looks(false, true);
    DO(&task, TASK_LOOKED_UP, .found = DB_FENCED);
    answered(&task, FAILED, TASK_CAUSE_PROBLEM);
    task = working(STEP, false, false);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, FAILED, TASK_CAUSE_PROBLEM);
    task = working(STEP, true, false);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED, .passing = true);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, NOT_DONE, TASK_CAUSE_PROBLEM);
}

static void a_call_that_can_not_be_made_fails_unless_it_was_done_before(void **state)
{
    (void)state;
    struct task task = ASKED(.how = STEP, .final = true, .refused = true);
    looks(false, true);
    DO(&task, TASK_LOOKED_UP, .found = DB_FENCED);
    answered(&task, FAILED, TASK_CAUSE_PROBLEM);
    task = ASKED(.how = STEP, .refused = true);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    answered(&task, SUCCEEDED, TASK_CAUSE_NONE);
    task = ASKED(.how = STEP, .refused = true);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, FAILED, TASK_CAUSE_PROBLEM);
}

static void a_late_step_finds_that_it_was_cancelled(void **state)
{
    (void)state;
    for (int final = 0; final < 2; final++) {
        struct task task = working(STEP, final, false);
        DO(&task, TASK_WORKED, .outcome = DB_FAILED, .duplicate = true);
        DO(&task, TASK_LOOKED_UP, .found = DB_FENCED);
        answered(&task, FAILED, TASK_CAUSE_CANCELLED);
    }
}

static void a_lost_commit_is_looked_up(void **state)
{
    (void)state;
    static const struct {
        enum db_found found;
        Wire__Execution execution;
        enum task_cause cause;
    } cases[] = {{DB_FOUND, SUCCEEDED, TASK_CAUSE_NONE},
                 {DB_FENCED, FAILED, TASK_CAUSE_CANCELLED},
                 {DB_NOT_FOUND, NOT_DONE, TASK_CAUSE_LOST},
                 {DB_FOUND_ERROR, UNSURE, TASK_CAUSE_DATABASE_DOWN}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct task task = working(STEP, true, false);
        DO(&task, TASK_WORKED, .outcome = DB_LOST);
        looks(false, false);
        DO(&task, TASK_LOOKED_UP, .found = cases[i].found);
        answered(&task, cases[i].execution, cases[i].cause);
    }
}

static void an_old_step_is_not_begun_again(void **state)
{
    (void)state;
    static const struct {
        enum db_found found;
        Wire__Execution execution;
        enum task_cause cause;
    } cases[] = {{DB_FOUND, SUCCEEDED, TASK_CAUSE_NONE},
                 {DB_FENCED, FAILED, TASK_CAUSE_CANCELLED},
                 {DB_NOT_FOUND, UNPROVABLE, TASK_CAUSE_FORGOTTEN},
                 {DB_FOUND_ERROR, NOT_DONE, TASK_CAUSE_DATABASE_DOWN}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct task task = ASKED(.how = STEP, .final = true, .old = true);
        looks(false, false);
        DO(&task, TASK_LOOKED_UP, .found = cases[i].found);
        answered(&task, cases[i].execution, cases[i].cause);
    }
}

/* ---- cancels ------------------------------------------------------------------------------- */

static void a_cancel_finds_the_step_done_or_makes_it_impossible(void **state)
{
    (void)state;
    struct task task = ASKED(.how = CANCEL);
    looks(false, true);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    answered(&task, SUCCEEDED, TASK_CAUSE_NONE);
    task = ASKED(.how = CANCEL);
    DO(&task, TASK_LOOKED_UP, .found = DB_FENCED);
    answered(&task, FAILED, TASK_CAUSE_CANCELLED);
    task = ASKED(.how = CANCEL);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND_ERROR);
    answered(&task, UNSURE, TASK_CAUSE_DATABASE_DOWN);
    task = ASKED(.how = CANCEL, .old = true);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, UNPROVABLE, TASK_CAUSE_FORGOTTEN);
}

static void a_cancel_takes_the_place_of_the_step_under_way(void **state)
{
    (void)state;
    struct task task = ASKED(.how = STEP);
    DO(&task, TASK_ASKED, .how = CANCEL);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].kind, TASK_DO_DEQUEUE);
    assert_true(actions.list[1].kind == TASK_DO_LOOK_UP && actions.list[1].fence);
    task = working(STEP, false, false);
    DO(&task, TASK_ASKED, .how = CANCEL);
    only(TASK_DO_CANCEL);
    DO(&task, TASK_ASKED, .how = CANCEL);
    assert_int_equal(actions.count, 0);
    struct task done = task;
    DO(&task, TASK_WORKED, .outcome = DB_FAILED, .passing = true);
    looks(false, true);
    DO(&task, TASK_LOOKED_UP, .found = DB_FENCED);
    answered(&task, FAILED, TASK_CAUSE_CANCELLED);
    DO(&done, TASK_WORKED, .outcome = DB_COMMITTED, .met = true);
    answered(&done, SUCCEEDED, TASK_CAUSE_NONE);
    /* A lookup without a fence is under way. */
    task = working(STEP, false, false);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED);
    DO(&task, TASK_ASKED, .how = CANCEL);
    assert_int_equal(actions.count, 0);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    looks(false, true);
}

/* ---- compensations ------------------------------------------------------------------------- */

static void a_step_that_was_done_is_undone_once(void **state)
{
    (void)state;
    struct task task = ASKED(.how = COMPENSATE);
    looks(true, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    only(TASK_DO_ENQUEUE);
    DO(&task, TASK_STARTED);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED, .duplicate = true);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    assert_false(answered(&task, SUCCEEDED, TASK_CAUSE_NONE)->empty);
}

static void what_never_was_done_needs_no_undoing(void **state)
{
    (void)state;
    struct task task = ASKED(.how = COMPENSATE);
    DO(&task, TASK_LOOKED_UP, .found = DB_FENCED);
    assert_true(answered(&task, SUCCEEDED, TASK_CAUSE_NONE)->empty);
    task = ASKED(.how = COMPENSATE);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    looks(true, true);
    struct task late = task;
    DO(&task, TASK_LOOKED_UP, .found = DB_FENCED);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].kind, TASK_DO_WARN);
    assert_true(actions.list[1].empty);
    DO(&late, TASK_LOOKED_UP, .found = DB_FOUND); /* it was done in between */
    only(TASK_DO_ENQUEUE);
}

static void a_step_whose_row_may_be_gone_is_undone(void **state)
{
    (void)state;
    struct task task = ASKED(.how = COMPENSATE, .step_old = true);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    only(TASK_DO_ENQUEUE);
    /* But not again when the row of that may be gone as well. */
    task = ASKED(.how = COMPENSATE, .step_old = true, .old = true);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, UNPROVABLE, TASK_CAUSE_FORGOTTEN);
}

static void a_refused_compensation_never_leaves_a_row(void **state)
{
    (void)state;
    struct task task = working(COMPENSATE, true, false);
    DO(&task, TASK_WORKED, .outcome = DB_FAILED);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, FAILED, TASK_CAUSE_PROBLEM);
    task = ASKED(.how = COMPENSATE, .final = true, .refused = true);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, FAILED, TASK_CAUSE_PROBLEM);
    task = ASKED(.how = COMPENSATE);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND_ERROR);
    answered(&task, NOT_DONE, TASK_CAUSE_DATABASE_DOWN);
}

/* ---- time, sessions, the database ---------------------------------------------------------- */

static void what_waits_ends_at_its_deadline_and_what_works_is_stopped(void **state)
{
    (void)state;
    struct task task = ASKED(.how = STEP);
    DO(&task, TASK_DEADLINE);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].kind, TASK_DO_DEQUEUE);
    assert_int_equal(actions.list[1].execution, NOT_DONE);
    assert_int_equal(actions.list[1].cause, TASK_CAUSE_DEADLINE);
    task = working(STEP, true, false);
    DO(&task, TASK_DEADLINE);
    only(TASK_DO_CANCEL);
    assert_false(task_bounded(&task));
    DO(&task, TASK_WORKED, .outcome = DB_FAILED, .passing = true);
    looks(false, false);
    DO(&task, TASK_LOOKED_UP, .found = DB_NOT_FOUND);
    answered(&task, NOT_DONE, TASK_CAUSE_PROBLEM);
}

static void a_lookup_that_takes_too_long_is_unsure_where_work_was_begun(void **state)
{
    (void)state;
    struct task task = working(STEP, true, false);
    DO(&task, TASK_WORKED, .outcome = DB_LOST);
    DO(&task, TASK_DEADLINE);
    assert_int_equal(only(TASK_DO_ANSWER)->execution, UNSURE);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    assert_int_equal(actions.count, 0);
    assert_int_equal(task.state, TASK_ENDED);
    task = ASKED(.how = CANCEL);
    DO(&task, TASK_DEADLINE);
    assert_int_equal(only(TASK_DO_ANSWER)->execution, UNSURE);
    /* Asked again before the lookup has come: that answers it. */
    DO(&task, TASK_ASKED, .how = CANCEL);
    DO(&task, TASK_LOOKED_UP, .found = DB_FENCED);
    answered(&task, FAILED, TASK_CAUSE_CANCELLED);
    task = ASKED(.how = COMPENSATE);
    DO(&task, TASK_DEADLINE);
    assert_int_equal(only(TASK_DO_ANSWER)->execution, NOT_DONE);
    DO(&task, TASK_LOOKED_UP, .found = DB_FOUND);
    assert_int_equal(task.state, TASK_ENDED);
}

static void a_lost_session_drops_what_waits_and_lets_work_end(void **state)
{
    (void)state;
    struct task task = ASKED(.how = STEP);
    DO(&task, TASK_SESSION_LOST);
    only(TASK_DO_DEQUEUE);
    assert_int_equal(task.state, TASK_ENDED);
    task = working(STEP, true, false);
    DO(&task, TASK_SESSION_LOST);
    assert_int_equal(actions.count, 0);
    struct task again = task;
    DO(&task, TASK_WORKED, .outcome = DB_FAILED);
    assert_int_equal(actions.count, 0);
    assert_int_equal(task.state, TASK_ENDED);
    DO(&again, TASK_ASKED, .how = STEP, .final = true);
    assert_int_equal(actions.count, 0);
    DO(&again, TASK_WORKED, .outcome = DB_COMMITTED, .met = true);
    answered(&again, SUCCEEDED, TASK_CAUSE_NONE);
}

static void without_a_database_what_waits_is_not_done(void **state)
{
    (void)state;
    struct task task = ASKED(.how = STEP);
    DO(&task, TASK_DATABASE_DOWN);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[1].execution, NOT_DONE);
    assert_int_equal(actions.list[1].cause, TASK_CAUSE_DATABASE_DOWN);
    task = working(STEP, true, false);
    DO(&task, TASK_DATABASE_DOWN);
    assert_int_equal(actions.count, 0);
}

/* ---- every reachable state ----------------------------------------------------------------- */

enum row { ABSENT, DONE, NONE };
enum request { NOTHING, WORK, LOOK_UP };

/* The task, the rows that it is about, and what was told; small enough to visit all of them. When a
 * task ends another one begins with the same rows, as the coordinator may ask for ever. */
struct world {
    struct task task;
    bool undo, read_only, aged; /* of this world, for ever */
    enum request request;
    bool of_step, fence; /* of the lookup under way */
    enum row row, step_row;
    bool done, step_done;        /* in truth, whatever rows were deleted */
    bool ours;                   /* by the work of this very task */
    bool waits;                  /* somebody waits for an answer */
    bool told_never, told_empty; /* what was said to be for ever */
};

enum { WORLDS = 200000 };
static struct visited {
    struct world world;
    struct map_node node;
} * worlds;
static int world_count;
static struct map visits;

static bool same(const struct map_node *node, const void *key)
{
    return memcmp(&CONTAINER(node, struct visited, node)->world, key, sizeof(struct world)) == 0;
}

static void visit(const struct world *world)
{
    uint64_t hash = hash_bytes(world, sizeof(*world));
    if (map_find(&visits, hash, same, world))
        return;
    assert_true(world_count < WORLDS);
    memcpy(&worlds[world_count].world, world, sizeof(*world));
    map_insert(&visits, &worlds[world_count++].node, hash);
}

static void check_answer(struct world *world, const struct task_action *action)
{
    const struct task *task = &world->task;
    assert_true(world->waits);
    world->waits = false;
    switch (action->execution) {
    case SUCCEEDED:
        assert_true(action->empty ? world->undo && world->step_row == NONE && !world->step_done
                                  : world->done);
        assert_true(!world->told_never);
        world->told_empty = world->told_empty || action->empty;
        break;
    case FAILED:
        assert_false(world->ours);
        if (world->undo || world->read_only || (task->how == STEP && !task->final))
            break;
        assert_true(world->row == NONE && !world->done);
        world->told_never = true;
        break;
    case NOT_DONE:
        assert_false(world->ours);
        assert_true(world->request == NOTHING || !task->worked);
        break;
    case UNPROVABLE:
        assert_true(world->aged);
        break;
    default:
        assert_int_equal(action->execution, UNSURE);
    }
}

static void request(struct world *world, enum request request)
{
    assert_int_equal(world->request, NOTHING);
    world->request = request;
}

static void check_action(struct world *world, const struct task_action *action)
{
    switch (action->kind) {
    case TASK_DO_WORK:
        request(world, WORK);
        assert_true(!world->undo || world->step_row == DONE || world->aged);
        break;
    case TASK_DO_LOOK_UP:
        request(world, LOOK_UP);
        world->of_step = action->of_step;
        world->fence = action->fence;
        assert_true(!action->fence || !world->aged);
        break;
    case TASK_DO_CANCEL:
        assert_int_equal(world->request, WORK);
        break;
    case TASK_DO_ANSWER:
        check_answer(world, action);
        break;
    default:
        break;
    }
}

static void go(struct world world, struct task_event event)
{
    if (event.kind == TASK_WORKED || event.kind == TASK_LOOKED_UP)
        world.request = NOTHING;
    if (event.kind == TASK_ASKED)
        world.waits = true;
    if (event.kind == TASK_SESSION_LOST)
        world.waits = false;
    task_step(&world.task, &event, &actions);
    for (int i = 0; i < actions.count; i++)
        check_action(&world, &actions.list[i]);
    assert_int_equal(world.waits, world.task.owes_answer);
    if (world.task.state == TASK_ENDED) {
        assert_int_equal(world.request, NOTHING);
        assert_false(world.waits);
        memset(&world.task, 0, sizeof(world.task));
        world.ours = world.of_step = world.fence = false;
    }
    struct world clean; /* without what lies between the members */
    memset(&clean, 0, sizeof(clean));
    memcpy(&clean, &world, sizeof(clean));
    visit(&clean);
}

#define GO(world, ...) go(world, (struct task_event){__VA_ARGS__})

static void ask(const struct world *world)
{
    Wire__How hows[] = {STEP, CANCEL};
    int count = world->undo ? 1 : 2;
    if (world->undo)
        hows[0] = COMPENSATE;
    for (int i = 0; i < count; i++) {
        for (int flags = 0; flags < 4; flags++)
            GO(*world, TASK_ASKED, .how = hows[i], .final = flags & 1, .old = world->aged,
               .step_old = world->aged, .refused = (flags & 2) && hows[i] != CANCEL,
               .read_only = world->read_only && !(flags & 2) && hows[i] != CANCEL);
    }
}

/* The work is done: at most once, and never after it was said that it never will be. */
static struct world committed(const struct world *world)
{
    struct world next = *world;
    assert_false(world->task.read_only);
    assert_false(world->done || world->told_never);
    assert_true(!world->undo || world->step_done || world->aged);
    next.done = next.ours = true;
    next.row = DONE;
    return next;
}

static void answer_work(const struct world *world)
{
    for (int passing = 0; passing < 2; passing++)
        GO(*world, TASK_WORKED, .outcome = DB_FAILED, .passing = passing);
    GO(*world, TASK_WORKED, .outcome = DB_LOST);
    if (world->task.read_only) {
        struct world read = *world;
        read.done = true;
        GO(read, TASK_WORKED, .outcome = DB_COMMITTED, .met = true);
        GO(read, TASK_WORKED, .outcome = DB_COMMITTED, .met = false);
    } else if (world->row != ABSENT) {
        GO(*world, TASK_WORKED, .outcome = DB_FAILED, .duplicate = true);
    } else {
        GO(committed(world), TASK_WORKED, .outcome = DB_COMMITTED, .met = true);
        GO(committed(world), TASK_WORKED, .outcome = DB_LOST);
    }
}

static void answer_lookup(const struct world *world)
{
    struct world next = *world;
    enum row *row = world->of_step ? &next.step_row : &next.row;
    GO(*world, TASK_LOOKED_UP, .found = DB_FOUND_ERROR);
    if (*row == ABSENT && world->fence) {
        assert_false(world->of_step ? world->step_done : world->done && !world->read_only);
        *row = NONE;
        GO(next, TASK_LOOKED_UP, .found = DB_FOUND_ERROR);
    }
    GO(next, TASK_LOOKED_UP,
       .found = *row == DONE   ? DB_FOUND
                : *row == NONE ? DB_FENCED
                               : DB_NOT_FOUND);
}

/* What others do: a late try elsewhere commits, where no row keeps it from that. */
static void others(const struct world *world)
{
    struct world next = *world;
    if (world->row == ABSENT && !world->done && !world->read_only && !world->undo) {
        assert_false(world->told_never);
        next.row = DONE;
        next.done = true;
        visit(&next);
        next = *world;
    }
    if (world->undo && world->step_row == ABSENT && !world->step_done) {
        assert_false(world->told_empty);
        next.step_row = DONE;
        next.step_done = true;
        visit(&next);
    }
}

static void everything_that_can_happen(const struct world *world)
{
    ask(world);
    others(world);
    if (world->task.state == TASK_NEW)
        return;
    if (world->request == WORK)
        answer_work(world);
    if (world->request == LOOK_UP)
        answer_lookup(world);
    if (world->task.state == TASK_QUEUED)
        GO(*world, TASK_STARTED);
    GO(*world, TASK_DEADLINE);
    GO(*world, TASK_SESSION_LOST);
    GO(*world, TASK_DATABASE_DOWN);
}

static void begin_worlds(void)
{
    for (int flags = 0; flags < 8; flags++) {
        struct world world;
        memset(&world, 0, sizeof(world));
        world.undo = flags & 1;
        world.read_only = flags & 2;
        world.aged = flags & 4;
        visit(&world);
        world.step_done = true; /* with its row, and where that was deleted for its age */
        if (world.undo && world.aged)
            visit(&world);
        world.step_row = DONE;
        visit(&world);
        world.step_done = false;
        world.step_row = NONE;
        visit(&world);
        world.step_row = ABSENT;
        world.done = true;
        if (world.aged && !world.undo && !world.read_only)
            visit(&world);
    }
}

static void the_rules_hold_in_every_state_that_can_be_reached(void **state)
{
    (void)state;
    worlds = xcalloc(WORLDS, sizeof(*worlds));
    begin_worlds();
    unsigned reached = 0;
    for (int i = 0; i < world_count; i++) {
        struct world world;
        memcpy(&world, &worlds[i].world, sizeof(world));
        reached |= 1u << world.task.state;
        everything_that_can_happen(&world);
    }
    for (int i = TASK_NEW; i < TASK_ENDED; i++)
        assert_true(reached & 1u << i);
    print_message("# %d states\n", world_count);
    assert_in_range(world_count, 500, WORLDS);
    map_fini(&visits);
    free(worlds);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_that_is_committed_succeeds),
        cmocka_unit_test(a_read_only_step_keeps_nothing_and_is_never_looked_up),
        cmocka_unit_test(a_duplicate_is_answered_from_the_row),
        cmocka_unit_test(a_final_refusal_leaves_a_row_and_another_does_not),
        cmocka_unit_test(a_call_that_can_not_be_made_fails_unless_it_was_done_before),
        cmocka_unit_test(a_late_step_finds_that_it_was_cancelled),
        cmocka_unit_test(a_lost_commit_is_looked_up),
        cmocka_unit_test(an_old_step_is_not_begun_again),
        cmocka_unit_test(a_cancel_finds_the_step_done_or_makes_it_impossible),
        cmocka_unit_test(a_cancel_takes_the_place_of_the_step_under_way),
        cmocka_unit_test(a_step_that_was_done_is_undone_once),
        cmocka_unit_test(what_never_was_done_needs_no_undoing),
        cmocka_unit_test(a_step_whose_row_may_be_gone_is_undone),
        cmocka_unit_test(a_refused_compensation_never_leaves_a_row),
        cmocka_unit_test(what_waits_ends_at_its_deadline_and_what_works_is_stopped),
        cmocka_unit_test(a_lookup_that_takes_too_long_is_unsure_where_work_was_begun),
        cmocka_unit_test(a_lost_session_drops_what_waits_and_lets_work_end),
        cmocka_unit_test(without_a_database_what_waits_is_not_done),
        cmocka_unit_test(the_rules_hold_in_every_state_that_can_be_reached),
    };
    return cmocka_run_group_tests_name("task", tests, NULL, NULL);
}
