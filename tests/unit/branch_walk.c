/* The machine of a branch, walked through every state that can be reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "participant/branch.h"

static struct branch_actions actions;

enum request { NONE, WORK, ROLLBACK, ADOPT, ACCEPT, FINISH, STATUS, LOOK_UP };

/* The branch and what its surroundings know; small enough to visit all of them. */
struct world {
    struct branch branch;
    enum request request;
    int votes;
    bool open; /* in the database */
    bool yes, decided, proved, settled;
};

enum { WORLDS = 20000 };
static struct world *worlds;
static int world_count;

static void visit(const struct world *world)
{
    for (int i = 0; i < world_count; i++) {
        if (memcmp(&worlds[i], world, sizeof(*world)) == 0)
            return;
    }
    assert_true(world_count < WORLDS);
    memcpy(&worlds[world_count++], world, sizeof(*world));
}

static void request(struct world *world, enum request request)
{
    assert_int_equal(world->request, NONE);
    world->request = request;
}

static void check_vote(struct world *world, const struct branch_event *event,
                       const struct branch_action *action)
{
    assert_int_equal(++world->votes, 1);
    if (action->choice == WIRE__CHOICE__YES && event->kind == BRANCH_ADOPTED) {
        assert_int_equal(event->adopted, DB_ADOPTED);
        world->yes = true;
    } else if (action->choice == WIRE__CHOICE__YES) {
        assert_int_equal(event->kind, BRANCH_WORKED);
        assert_int_equal(event->outcome, DB_PREPARED);
        assert_true(event->met && !event->fenced);
        world->yes = true;
    }
    if (action->choice == WIRE__CHOICE__NO && world->branch.mode == DB_ONE_PHASE)
        assert_true((event->kind == BRANCH_WORKED && event->outcome == DB_FAILED) ||
                    (event->kind == BRANCH_LOOKED_UP && event->found == DB_FENCED) ||
                    world->request == NONE);
}

static void check_action(struct world *world, const struct branch_event *event,
                         const struct branch_action *action)
{
    switch (action->kind) {
    case BRANCH_DO_WORK:
        request(world, WORK);
        break;
    case BRANCH_DO_ROLLBACK:
        assert_true(world->open);
        request(world, ROLLBACK);
        break;
    case BRANCH_DO_ADOPT:
        request(world, ADOPT);
        break;
    case BRANCH_DO_WORD:
        /* With a problem nothing remains, or is just being rolled back. */
        assert_int_equal(world->branch.mode, DB_STEP);
        assert_int_equal(action->cause == BRANCH_CAUSE_NONE, world->branch.state == BRANCH_OPEN);
        break;
    case BRANCH_DO_FINISH:
        assert_true(!world->yes || world->decided);
        assert_true(!action->commit || world->decided);
        request(world, FINISH);
        break;
    case BRANCH_DO_STATUS:
        request(world, STATUS);
        break;
    case BRANCH_DO_LOOK_UP:
        request(world, LOOK_UP);
        break;
    case BRANCH_DO_CANCEL:
        assert_int_equal(world->request, WORK);
        break;
    case BRANCH_DO_VOTE:
        check_vote(world, event, action);
        break;
    case BRANCH_DO_TELL:
        if (action->commit && !action->hazard)
            assert_true(world->proved);
        assert_true(!action->against || world->branch.opposed);
        break;
    case BRANCH_DO_REPORT:
        assert_true(world->branch.forced && world->branch.state == BRANCH_ENDED);
        assert_int_equal(action->commit, world->branch.decision == BRANCH_COMMIT);
        if (action->commit && !action->hazard)
            assert_true(world->proved);
        if (!action->commit && action->otherwise)
            assert_true(world->proved);
        world->settled = true;
        break;
    default:
        break;
    }
}

static void go(const struct world *from, struct branch_event event)
{
    struct world world;
    memcpy(&world, from, sizeof(world));
    if (event.kind == BRANCH_WORKED || event.kind == BRANCH_ADOPTED ||
        event.kind == BRANCH_FINISHED || event.kind == BRANCH_STATUS ||
        event.kind == BRANCH_LOOKED_UP || event.kind == BRANCH_ACCEPTED)
        world.request = NONE;
    if (event.kind == BRANCH_ACCEPTS)
        request(&world, ACCEPT);
    if (event.kind == BRANCH_WORKED)
        world.open = event.outcome == DB_OPENED;
    bool decides = event.kind == BRANCH_TOLD || event.kind == BRANCH_DECIDED ||
                   event.kind == BRANCH_FORCED ||
                   (event.kind == BRANCH_JUDGED && from->branch.state == BRANCH_IN_DOUBT &&
                    (event.verdict == WIRE__VERDICT__VERDICT_COMMIT ||
                     event.verdict == WIRE__VERDICT__VERDICT_ABORT));
    world.decided = world.decided || decides;
    world.proved =
        (event.kind == BRANCH_FINISHED && event.finish == DB_FINISHED) ||
        (event.kind == BRANCH_FINISHED && event.finish == DB_MISSING && world.branch.empty) ||
        (event.kind == BRANCH_STATUS && event.status == DB_STATUS_COMMITTED) ||
        (event.kind == BRANCH_ACCEPTED && event.accepted == DB_ACCEPTED);
    branch_step(&world.branch, &event, &actions);
    for (int i = 0; i < actions.count; i++)
        check_action(&world, &event, &actions.list[i]);
    world.proved = false;
    assert_true(!world.branch.retrying || world.request == NONE);
    /* What was forced ends by its row alone, and that is always reported. */
    if (from->branch.forced) {
        assert_int_equal(world.branch.decision, from->branch.decision);
        assert_int_equal(world.branch.state == BRANCH_ENDED, world.settled);
    }
    world.settled = false;
    if (world.branch.state == BRANCH_ENDED)
        assert_true(world.request == NONE && !world.open);
    else
        visit(&world);
}

#define GO(...) go(world, (struct branch_event){__VA_ARGS__})

static void answers(const struct world *world)
{
    static const enum db_outcome outcomes[][3] = {
        [DB_PREPARE] = {DB_PREPARED, DB_FAILED, DB_LOST},
        [DB_ONE_PHASE] = {DB_COMMITTED, DB_FAILED, DB_LOST},
        [DB_READ_ONLY] = {DB_COMMITTED, DB_FAILED, DB_LOST},
        [DB_STEP] = {DB_OPENED, DB_FAILED, DB_FAILED}};
    for (int i = 0; world->request == WORK && i < 3; i++) {
        GO(BRANCH_WORKED, .outcome = outcomes[world->branch.mode][i], .met = true, .xid = 7);
        GO(BRANCH_WORKED, .outcome = outcomes[world->branch.mode][i], .met = false, .xid = 7);
        GO(BRANCH_WORKED, .outcome = outcomes[world->branch.mode][i], .met = true, .xid = 0);
        GO(BRANCH_WORKED, .outcome = outcomes[world->branch.mode][i], .met = true, .fenced = true,
           .xid = 7);
    }
    if (world->request == WORK && world->branch.open && world->branch.mode == DB_PREPARE) {
        GO(BRANCH_WORKED, .outcome = DB_COMMITTED, .met = true);
        GO(BRANCH_WORKED, .outcome = DB_COMMITTED, .met = false);
    }
    if (world->request == ROLLBACK)
        GO(BRANCH_WORKED, .outcome = DB_FAILED, .met = true);
    for (int i = DB_ADOPTED; world->request == ADOPT && i <= DB_ADOPT_ERROR; i++)
        GO(BRANCH_ADOPTED, .adopted = (enum db_adopted)i, .xid = 7);
    for (int i = DB_ACCEPTED; world->request == ACCEPT && i <= DB_ACCEPT_UNKNOWN; i++)
        GO(BRANCH_ACCEPTED, .accepted = (enum db_accepted)i);
    for (int i = DB_FINISHED; world->request == FINISH && i <= DB_UNFINISHED; i++)
        GO(BRANCH_FINISHED, .finish = (enum db_finish)i);
    for (int i = DB_STATUS_COMMITTED; world->request == STATUS && i <= DB_STATUS_ERROR; i++)
        GO(BRANCH_STATUS, .status = (enum db_status)i);
    static const enum db_found found[] = {DB_FOUND, DB_FENCED, DB_FOUND_ERROR};
    for (size_t i = 0; world->request == LOOK_UP && i < sizeof(found) / sizeof(*found); i++)
        GO(BRANCH_LOOKED_UP, .found = found[i]);
}

/* Not while the database is ending it the other way: the agent waits. */
static bool can_be_forced(const struct branch *branch, bool commit)
{
    bool ending = branch->state == BRANCH_COMMITTING || branch->state == BRANCH_ABORTING ||
                  branch->state == BRANCH_PROVING;
    bool otherwise = branch->decision != (commit ? BRANCH_COMMIT : BRANCH_ABORT);
    return !branch->forced && (!ending || branch->retrying || !otherwise);
}

static void everything_that_can_happen(const struct world *world)
{
    for (int commit = 0; commit <= 1; commit++) {
        if (can_be_forced(&world->branch, commit))
            GO(BRANCH_FORCED, .commit = commit, .xid = 7);
    }
    answers(world);
    if (world->branch.state == BRANCH_QUEUED)
        GO(BRANCH_STARTED);
    if (world->branch.state == BRANCH_OPEN) {
        GO(BRANCH_RECEIVED, .mode = DB_STEP);
        GO(BRANCH_RECEIVED, .mode = DB_PREPARE);
        GO(BRANCH_REFUSED);
    }
    if (world->branch.state == BRANCH_IN_DOUBT && world->branch.orphan)
        GO(BRANCH_HANDED_OVER);
    if (world->branch.state == BRANCH_IN_DOUBT)
        GO(BRANCH_ACCEPTS);
    if (world->branch.retrying)
        GO(BRANCH_RETRY_DUE);
    if (branch_bounded(&world->branch))
        GO(BRANCH_DEADLINE);
    if (world->branch.one_phase)
        GO(BRANCH_LOOKED_FOR);
    GO(BRANCH_SESSION_LOST);
    GO(BRANCH_DATABASE_DOWN);
    GO(BRANCH_TOLD, .commit = true, .xid = 7);
    GO(BRANCH_TOLD, .commit = false);
    GO(BRANCH_DECIDED, .commit = true);
    GO(BRANCH_DECIDED, .commit = false);
    for (int verdict = 0; verdict <= WIRE__VERDICT__VERDICT_HOLD; verdict++)
        GO(BRANCH_JUDGED, .verdict = (Wire__Verdict)verdict, .xid = 7);
    GO(BRANCH_SCANNED, .present = true);
    GO(BRANCH_SCANNED, .present = false);
}

static void the_rules_hold_in_every_state_that_can_be_reached(void **state)
{
    (void)state;
    worlds = xcalloc(WORLDS, sizeof(*worlds));
    world_count = 0;
    struct world new;
    memset(&new, 0, sizeof(new));
    const struct world *world = &new;
    for (int mode = DB_PREPARE; mode <= DB_READ_ONLY; mode++) {
        GO(BRANCH_RECEIVED, .mode = (enum db_mode)mode, .one_phase = mode != DB_PREPARE);
        if (mode != DB_ONE_PHASE)
            GO(BRANCH_RECEIVED, .mode = (enum db_mode)mode, .one_phase = false);
    }
    GO(BRANCH_RECEIVED, .mode = DB_STEP);
    GO(BRANCH_HANDED_OVER);
    GO(BRANCH_FOUND, .xid = 7);
    GO(BRANCH_LOOKED_FOR);
    GO(BRANCH_TOLD, .commit = true, .xid = 7);
    GO(BRANCH_TOLD, .commit = false);
    GO(BRANCH_FORCED, .commit = true, .xid = 7);
    GO(BRANCH_FORCED, .commit = false);
    unsigned reached = 0;
    for (int i = 0; i < world_count; i++) {
        reached |= 1u << worlds[i].branch.state;
        everything_that_can_happen(&worlds[i]);
    }
    for (int i = BRANCH_QUEUED; i < BRANCH_ENDED; i++) {
        if (!(reached & 1u << i))
            fail_msg("never %s", branch_word((enum branch_state)i));
    }
    assert_in_range(world_count, 50, WORLDS);
    free(worlds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_hold_in_every_state_that_can_be_reached)};
    return cmocka_run_group_tests_name("branch_walk", tests, NULL, NULL);
}
