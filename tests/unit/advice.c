/* What an operator is advised in every case that the protocol can come to: a sentence, and the one
 * command or what is waited for. advice_forced.c has what it can not come to. And that no command
 * is advised which would be refused. */
#include "tests/unit/advice_kit.h"

/* ---- undecided ---------------------------------------------------------------------------- */

static void what_is_undecided_can_be_aborted(void **state)
{
    (void)state;
    struct scene *scene = listed("voting", "", "prepared");
    scene->branches[PAYMENTS].state = (char *)"waiting";
    scene->branches[PAYMENTS].waits_for = (char *)"its vote";
    prepared(scene, ORDERS);
    expect(scene, ADVICE_WAIT, "undecided: the vote of payments is missing: its vote", NULL,
           RESOLVE("abort"));
    expect(listed("voting", "", "prepared"), ADVICE_WAIT, "undecided: the votes are gathered", NULL,
           RESOLVE("abort"));
    scene = listed("voting", "", "waiting");
    proved(scene, ORDERS, true);
    expect(scene, ADVICE_MEND, "it is not to be committed, but orders has committed it", NULL,
           NULL);
}

static void what_is_being_written_is_waited_for(void **state)
{
    (void)state;
    expect(listed("deciding", "", "prepared"), ADVICE_WAIT,
           "all have voted yes; the decision is on its way to the disk of c1", NULL, NULL);
}

static void one_phase_is_its_participants(void **state)
{
    (void)state;
    struct scene *scene = listed("unknown", "", "unknown");
    scene->tx.n_branches = 1;
    unheard(scene, ORDERS);
    expect(scene, ADVICE_WAIT,
           "one phase: only orders can tell whether it committed: not connected", NULL, NULL);
    for (int commit = 0; commit < 2; commit++) {
        scene = listed("unknown", "", "unknown");
        scene->tx.n_branches = 1;
        exhibit(scene, ORDERS)->barrier = (char *)(commit ? "one-phase" : "none");
        expect(scene, ADVICE_WAIT,
               commit ? "one phase: committed at orders, which its coordinator is to hear"
                      : "one phase: not committed at orders, which its coordinator is to hear",
               NULL, NULL);
    }
}

/* ---- decided ------------------------------------------------------------------------------ */

static void what_is_committed_is_applied_by_itself(void **state)
{
    (void)state;
    struct scene *scene = listed("committed", "commit", "applied");
    scene->branches[PAYMENTS].state = (char *)"committing";
    unheard(scene, PAYMENTS);
    proved(scene, ORDERS, true);
    expect(scene, ADVICE_WAIT, "committed, not yet applied at payments: not connected", NULL, NULL);
    scene = listed("applied", "commit", "applied");
    expect(scene, ADVICE_NOTHING, "committed, and applied everywhere", NULL, NULL);
    scene = listed("applied", "commit", "applied");
    prepared(scene, INVENTORY);
    expect(scene, ADVICE_WAIT, "committed, and prepared again at inventory", NULL, NULL);
    scene = listed("committed", "commit", "committing");
    proved(scene, ORDERS, false);
    expect(scene, ADVICE_MEND, "decided commit, but orders has rolled it back", NULL, NULL);
}

static void what_is_aborted_is_rolled_back_by_itself(void **state)
{
    (void)state;
    struct scene *scene = listed("aborted", "abort", "aborted");
    expect(scene, ADVICE_NOTHING, "aborted: nothing of it is in any database", NULL, NULL);
    scene = listed("aborted", "abort", "aborted");
    scene->branches[ORDERS].state = (char *)"aborting";
    unheard(scene, ORDERS);
    expect(scene, ADVICE_WAIT, "aborted, not yet rolled back at orders: not connected", NULL, NULL);
    scene = listed("aborted", "abort", "aborted");
    unheard(scene, ORDERS);
    expect(scene, ADVICE_NOTHING, "aborted; what orders holds of it was not heard", NULL, NULL);
    scene = listed("aborted", "", "aborted");
    proved(scene, ORDERS, true);
    expect(scene, ADVICE_MEND, "it is not to be committed, but orders has committed it", NULL,
           NULL);
}

static void what_was_presumed_aborted_is_told_so(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->problem.code = (char *)"unknown";
    prepared(scene, PAYMENTS);
    expect(scene, ADVICE_WAIT, "aborted, not yet rolled back at payments", NULL, NULL);
    scene = scene_new();
    scene->problem.code = (char *)"unknown";
    expect(scene, ADVICE_UNKNOWN,
           "nobody knows it: coordinator c1 remembers no such transaction, and no database that "
           "was asked holds any of it",
           NULL, NULL);
    scene = scene_new();
    scene->problem.code = (char *)"unknown";
    exhibit(scene, ORDERS)->barrier = (char *)"one-phase";
    expect(scene, ADVICE_NOTHING, "committed at orders, in one phase", NULL, NULL);
}

/* ---- three phases ------------------------------------------------------------------------- */

static void a_majority_decides(void **state)
{
    (void)state;
    struct scene *scene = listed("pre-committed", "", "prepared");
    scene->tx.protocol = WIRE__PROTOCOL__THREE_PHASE;
    scene->tx.n_sites = SITES;
    for (int i = 0; i < PARTICIPANTS; i++)
        prepared(scene, i);
    expect(scene, ADVICE_WAIT,
           "undecided: all have voted yes, and a majority of its sites decides; 4 of 4 can be "
           "reached",
           NULL, NULL);
    scene = listed("pre-committed", "", "prepared");
    scene->tx.n_sites = SITES;
    scene->sites[1].reachable = scene->sites[2].reachable = false;
    prepared(scene, INVENTORY);
    unheard(scene, ORDERS);
    unheard(scene, PAYMENTS);
    expect(scene, ADVICE_WAIT,
           "undecided: only 2 of its 4 sites can be reached, and a majority decides", NULL,
           LAST_RESORT);
    scene = listed("pre-committed", "", "prepared");
    scene->tx.n_sites = SITES;
    prepared(scene, INVENTORY);
    scene->exhibits[INVENTORY].registered = scene->exhibits[INVENTORY].decided = true;
    scene->exhibits[INVENTORY].value = WIRE__VALUE__COMMIT;
    expect(scene, ADVICE_WAIT, "decided commit by a majority of its sites", NULL, NULL);
    scene = listed("pre-committed", "", "prepared");
    scene->tx.n_sites = SITES;
    scene->sites[1].heard = scene->sites[1].decided = true;
    scene->sites[1].value = WIRE__VALUE__ABORT;
    proved(scene, INVENTORY, true);
    expect(scene, ADVICE_MEND, "it is not to be committed, but inventory has committed it", NULL,
           NULL);
}

/* ---- held --------------------------------------------------------------------------------- */

static void what_is_held_ends_as_it_is_proved_elsewhere(void **state)
{
    (void)state;
    for (int commit = 0; commit < 2; commit++) {
        struct scene *scene = scene_new();
        prepared(scene, PAYMENTS);
        proved(scene, ORDERS, commit);
        expect(scene, ADVICE_RUN,
               commit ? "nobody decides it: committed at orders, prepared at payments"
                      : "nobody decides it: rolled back at orders, prepared at payments",
               commit ? RESOLVE("commit") : RESOLVE("abort"), NULL);
        scene = scene_new();
        unheard(scene, PAYMENTS);
        proved(scene, ORDERS, commit);
        expect(scene, ADVICE_WAIT,
               commit ? "committed at orders, and prepared nowhere that was heard"
                      : "rolled back at orders, and prepared nowhere that was heard",
               NULL, commit ? RESOLVE("commit") : RESOLVE("abort"));
        scene = scene_new();
        proved(scene, ORDERS, commit);
        expect(scene, ADVICE_NOTHING,
               commit ? "committed at orders, and prepared nowhere"
                      : "rolled back at orders, and prepared nowhere",
               NULL, NULL);
    }
}

static void what_is_held_without_proof_is_a_choice(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    prepared(scene, PAYMENTS);
    scene->exhibits[PAYMENTS].held = scene->exhibits[PAYMENTS].judged =
        true; /* by c1, asked here */
    advise(&scene->facts, &scene->advice);
    assert_non_null(strstr(scene->advice.why, "Look in the data of orders and inventory"));
    assert_int_equal(scene->advice.unknown_count, 1);
    advice_fini(&scene->advice);
    expect(scene, ADVICE_CHOOSE,
           "nobody decides it, and nothing proves how it was to end; prepared at payments",
           RESOLVE("commit"), RESOLVE("abort"));
    scene = scene_new();
    for (int i = 0; i < PARTICIPANTS; i++)
        prepared(scene, i);
    expect(scene, ADVICE_CHOOSE,
           "nobody decides it, and nothing proves how it was to end; prepared at orders, payments "
           "and inventory",
           RESOLVE("commit"), RESOLVE("abort"));
    scene = scene_new();
    prepared(scene, PAYMENTS);
    unheard(scene, INVENTORY);
    expect(scene, ADVICE_WAIT, "nobody who was heard decides it; prepared at payments", NULL,
           LAST_RESORT);
}

static void databases_that_disagree_are_told(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    proved(scene, ORDERS, true);
    proved(scene, PAYMENTS, false);
    prepared(scene, INVENTORY);
    expect(scene, ADVICE_MEND, "databases disagree: committed at orders, rolled back at payments",
           RESOLVE("commit"), RESOLVE("abort"));
    scene = scene_new();
    proved(scene, ORDERS, true);
    proved(scene, PAYMENTS, false);
    expect(scene, ADVICE_MEND, "databases disagree: committed at orders, rolled back at payments",
           NULL, NULL);
}

static void another_coordinators_is_its_own(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->problem.code = (char *)"bad_request";
    scene->facts.asked = "c2";
    prepared(scene, PAYMENTS);
    scene->exhibits[PAYMENTS].judged = true;
    expect(scene, ADVICE_RUN, "a transaction of c1, which has a session with payments", ASK, NULL);
    /* What c2 presumes of its own ids says nothing of c1's. */
    scene = scene_new();
    scene->problem.code = (char *)"unknown";
    scene->facts.asked = "c2";
    prepared(scene, PAYMENTS);
    expect(scene, ADVICE_CHOOSE,
           "nobody decides it, and nothing proves how it was to end; prepared at payments",
           RESOLVE("commit"), RESOLVE("abort"));
}

static void what_nobody_knows_is_told(void **state)
{
    (void)state;
    expect(scene_new(), ADVICE_UNKNOWN,
           "nobody knows it: neither coordinator c1 nor a database that was asked", NULL, NULL);
    struct scene *scene = scene_new();
    unheard(scene, ORDERS);
    expect(scene, ADVICE_UNKNOWN, "nobody who was heard knows it", NULL, NULL);
}

/* ---- the whole table ------------------------------------------------------------------------ */

/* What one participant may say; the last is that it says nothing. */
static void say_something(struct scene *scene, int at, int what)
{
    switch (what) {
    case 0:
        return;
    case 1:
        prepared(scene, at);
        return;
    case 2:
    case 3:
        proved(scene, at, what == 2);
        return;
    case 4:
    case 5:
        prepared(scene, at);
        scene->exhibits[at].registered = scene->exhibits[at].decided = true;
        scene->exhibits[at].value = what == 4 ? WIRE__VALUE__COMMIT : WIRE__VALUE__ABORT;
        return;
    case 6:
        prepared(scene, at);
        scene->exhibits[at].judged = true;
        return;
    default:
        unheard(scene, at);
        return;
    }
}

/* A command that is given is one that the table does not refuse. */
static void expect_allowed(const struct scene *scene, enum standing standing)
{
    struct weighed weighed = {0};
    int reached = 1;
    for (int i = 0; i < PARTICIPANTS; i++)
        resolution_weigh(&weighed, scene->facts.testimonies[i]);
    for (int i = 1; i < SITES; i++)
        reached += scene->sites[i].reachable && !scene->testimonies[i - 1].problem;
    weighed.majority = 2 * reached > SITES;
    weighed.judged = false; /* c1 is asked, and it is c1's */
    const char *const commands[] = {scene->advice.command, scene->advice.otherwise};
    for (int i = 0; i < 2; i++) {
        if (!commands[i] || !strstr(commands[i], " tx resolve "))
            continue;
        for (int commit = 0; commit < 2; commit++) {
            if (!strstr(commands[i], commit ? "--commit" : "--abort"))
                continue;
            enum verdict_on_order verdict = resolution_of(standing, commit, FORCED_NOT, &weighed);
            if (verdict != ORDER_HEURISTIC && verdict != ORDER_ABORT)
                fail_msg("\"%s\" advises \"%s\", which comes to %d", scene->advice.verdict,
                         commands[i], verdict);
        }
    }
}

static void nothing_is_advised_that_would_be_refused(void **state)
{
    (void)state;
    enum { SAYINGS = 8 };
    static const struct {
        const char *state, *decision;
        enum standing standing;
    } standings[] = {
        {"voting", "", STANDING_VOTING},
        {"unknown", "", STANDING_ALONE},
        {"deciding", "", STANDING_WRITING},
        {"pre-committed", "", STANDING_PROPOSED},
        {"committed", "commit", STANDING_COMMITTED},
        {"aborted", "abort", STANDING_ABORTED},
        {NULL, "held", STANDING_HELD},
        {NULL, "unknown", STANDING_PRESUMED},
    };
    for (size_t i = 0; i < sizeof(standings) / sizeof(standings[0]); i++) {
        for (int said = 0; said < SAYINGS * SAYINGS * SAYINGS * 2; said++) {
            struct scene *scene =
                standings[i].state ? listed(standings[i].state, standings[i].decision, "prepared")
                                   : scene_new();
            if (!standings[i].state)
                scene->problem.code = (char *)standings[i].decision;
            scene->tx.n_sites = SITES;
            scene->sites[1].reachable = said % 2;
            for (int at = 0, rest = said / 2; at < PARTICIPANTS; at++, rest /= SAYINGS)
                say_something(scene, at, rest % SAYINGS);
            advise(&scene->facts, &scene->advice);
            assert_non_null(scene->advice.verdict);
            expect_allowed(scene, standings[i].standing);
            advice_fini(&scene->advice);
            free(scene);
        }
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_undecided_can_be_aborted),
        cmocka_unit_test(what_is_being_written_is_waited_for),
        cmocka_unit_test(one_phase_is_its_participants),
        cmocka_unit_test(what_is_committed_is_applied_by_itself),
        cmocka_unit_test(what_is_aborted_is_rolled_back_by_itself),
        cmocka_unit_test(what_was_presumed_aborted_is_told_so),
        cmocka_unit_test(a_majority_decides),
        cmocka_unit_test(what_is_held_ends_as_it_is_proved_elsewhere),
        cmocka_unit_test(what_is_held_without_proof_is_a_choice),
        cmocka_unit_test(databases_that_disagree_are_told),
        cmocka_unit_test(another_coordinators_is_its_own),
        cmocka_unit_test(what_nobody_knows_is_told),
        cmocka_unit_test(nothing_is_advised_that_would_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
