/* What an operator is advised about hazards, about what another operator forced, at a participant's
 * door, and about what is not Troth's. */
#include "tests/unit/advice_kit.h"

/* ---- hazards ------------------------------------------------------------------------------ */

static struct scene *hazard(const char *decision)
{
    struct scene *scene = listed("hazard", decision, "applied");
    scene->tx.hazard = true;
    scene->branches[PAYMENTS].state = (char *)"hazard";
    return scene;
}

static void a_hazard_is_mended_by_hand(void **state)
{
    (void)state;
    struct scene *scene = hazard("commit");
    proved(scene, PAYMENTS, false);
    expect(scene, ADVICE_MEND, "hazard: decided commit, but payments has rolled it back", FORGET,
           NULL);
    scene = hazard("abort");
    proved(scene, PAYMENTS, true);
    expect(scene, ADVICE_MEND, "hazard: decided abort, but payments has committed it", FORGET,
           NULL);
    scene = hazard("commit");
    exhibit(scene, PAYMENTS)->status = WIRE__XID_STATUS__XID_UNKNOWN;
    expect(scene, ADVICE_MEND,
           "hazard: decided commit, and payments can't prove it: nothing there tells what became "
           "of its branch",
           FORGET, NULL);
    scene = hazard("abort");
    expect(scene, ADVICE_MEND,
           "hazard: decided abort, and payments can't prove it: nothing there tells what became "
           "of its branch",
           FORGET, NULL);
}

static void a_hazard_that_may_still_be_proved_is_waited_for(void **state)
{
    (void)state;
    struct scene *scene = hazard("commit");
    unheard(scene, PAYMENTS);
    expect(scene, ADVICE_WAIT,
           "hazard: decided commit, and payments, which could not prove it, was not heard", NULL,
           NULL);
    scene = hazard("commit");
    prepared(scene, PAYMENTS);
    expect(scene, ADVICE_WAIT, "hazard: decided commit, and it is prepared again at payments", NULL,
           NULL);
    scene = hazard("commit");
    proved(scene, PAYMENTS, true);
    expect(scene, ADVICE_RUN,
           "hazard: decided commit, which payments could not prove; it holds it now", FORGET, NULL);
    scene = hazard("abort");
    proved(scene, PAYMENTS, false);
    expect(scene, ADVICE_RUN,
           "hazard: decided abort, which payments could not prove; it holds it now", FORGET, NULL);
}

static void what_is_owed_beside_a_hazard_is_told(void **state)
{
    (void)state;
    struct scene *scene = hazard("commit");
    proved(scene, PAYMENTS, false);
    scene->branches[INVENTORY].state = (char *)"committing";
    advise(&scene->facts, &scene->advice);
    assert_non_null(strstr(scene->advice.why, "still owed at inventory"));
    advice_fini(&scene->advice);
    free(scene);
}

/* ---- what an operator forced ---------------------------------------------------------------- */

static struct scene *made(const char *state, const char *decision, const char *heuristic)
{
    struct scene *scene = listed(state, decision, "applied");
    scene->tx.heuristic = (char *)heuristic;
    forced(scene, PAYMENTS, strcmp(heuristic, "commit") == 0);
    return scene;
}

static void what_was_forced_can_go_when_nothing_is_owed(void **state)
{
    (void)state;
    expect(made("heuristic", "", "abort"), ADVICE_RUN,
           "an operator forced abort (payments was made to roll back); nothing known contradicts "
           "it",
           FORGET, NULL);
    /* Ordered for all, and at payments alone. */
    struct scene *scene = made("heuristic", "", "commit");
    prepared(scene, INVENTORY);
    scene->heuristics[1].commit = true;
    scene->tx.n_heuristics = 2;
    expect(scene, ADVICE_WAIT, "an operator forced commit; it is still prepared at inventory", NULL,
           NULL);
    scene = made("heuristic", "", "commit");
    proved(scene, PAYMENTS, true);
    prepared(scene, INVENTORY);
    expect(scene, ADVICE_RUN,
           "an operator forced commit (payments was made to commit); it is still prepared at "
           "inventory",
           RESOLVE("commit"), NULL);
    scene = made("heuristic", "", "commit");
    unheard(scene, INVENTORY);
    expect(scene, ADVICE_WAIT,
           "an operator forced commit (payments was made to commit); not all were heard", NULL,
           NULL);
    expect(made("pre-committed", "", "commit"), ADVICE_WAIT,
           "an operator forced commit (payments was made to commit); its sites have not decided",
           NULL, NULL);
}

static void what_is_mixed_is_told_with_both_sides(void **state)
{
    (void)state;
    struct scene *scene = made("committed", "commit", "mixed");
    expect(scene, ADVICE_MEND, "mixed: payments was made to roll back, and the decision is commit",
           FORGET, NULL);
    scene = made("heuristic", "", "mixed");
    scene->heuristics[0].found = (char *)"committed";
    expect(scene, ADVICE_MEND,
           "mixed: payments was to roll back and holds something else, and another database holds "
           "the opposite",
           FORGET, NULL);
    scene = made("heuristic", "", "mixed");
    scene->heuristics[1].participant = names[ORDERS];
    scene->heuristics[1].commit = true;
    scene->tx.n_heuristics = 2;
    prepared(scene, INVENTORY);
    expect(scene, ADVICE_MEND,
           "mixed: payments was made to roll back and orders was made to commit", RESOLVE("commit"),
           RESOLVE("abort"));
}

/* ---- at a participant's door ---------------------------------------------------------------- */

static void at_the_door_the_coordinator_is_waited_for(void **state)
{
    (void)state;
    struct scene *scene = listed("in-doubt", "", "prepared");
    at_the_door(scene);
    prepared(scene, PAYMENTS);
    expect(scene, ADVICE_WAIT, "in doubt at payments: only its coordinator c1 knows the decision",
           NULL, AT_DOOR);
    scene = listed("held", "", "prepared");
    at_the_door(scene);
    prepared(scene, PAYMENTS);
    scene->exhibits[PAYMENTS].held = true;
    expect(scene, ADVICE_RUN,
           "held at payments: its coordinator c1 does not know it, and so never ends it", ASK,
           AT_DOOR);
    /* c1 is there again and has said so itself: it asks them all. */
    scene = listed("held", "", "prepared");
    at_the_door(scene);
    prepared(scene, PAYMENTS);
    scene->exhibits[PAYMENTS].held = scene->exhibits[PAYMENTS].judged = true;
    expect(scene, ADVICE_RUN,
           "held at payments: its coordinator c1 does not know it, and so never ends it", ASK,
           AT_DOOR);
    scene = listed("in-doubt", "", "prepared");
    at_the_door(scene);
    prepared(scene, PAYMENTS);
    scene->exhibits[PAYMENTS].judged = true;
    expect(scene, ADVICE_RUN, "a transaction of c1, which has a session with payments", ASK, NULL);
    scene = listed("terminating", "", "prepared");
    at_the_door(scene);
    prepared(scene, PAYMENTS);
    scene->tx.n_sites = SITES;
    scene->tx.waits_for = (char *)"a majority: 1 of 4 sites has answered";
    expect(scene, ADVICE_WAIT,
           "in doubt at payments: a majority of its sites decides; it waits for a majority: 1 of 4 "
           "sites has answered",
           NULL, AT_DOOR);
}

static void at_the_door_what_is_known_is_carried_out(void **state)
{
    (void)state;
    struct scene *scene = listed("committing", "", "committing");
    at_the_door(scene);
    prepared(scene, PAYMENTS);
    scene->branches[PAYMENTS].waits_for = (char *)"its database";
    expect(scene, ADVICE_WAIT, "committed, not yet applied at payments: its database", NULL, NULL);
    scene = listed("terminating", "", "prepared");
    at_the_door(scene);
    prepared(scene, PAYMENTS);
    scene->exhibits[PAYMENTS].registered = scene->exhibits[PAYMENTS].decided = true;
    scene->exhibits[PAYMENTS].value = WIRE__VALUE__ABORT;
    expect(scene, ADVICE_WAIT, "decided abort by a majority of its sites", NULL, NULL);
    scene = scene_new();
    at_the_door(scene);
    proved(scene, PAYMENTS, true);
    expect(scene, ADVICE_NOTHING, "committed at payments", NULL, NULL);
    scene = scene_new();
    at_the_door(scene);
    expect(scene, ADVICE_UNKNOWN,
           "nobody knows it: neither participant payments nor a database that was asked", NULL,
           NULL);
}

/* ---- foreign ------------------------------------------------------------------------------ */

static void a_foreign_one_is_its_owners(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    Wire__PreparedView foreign = WIRE__PREPARED_VIEW__INIT;
    foreign.gid = (char *)"it's mine";
    foreign.owner = (char *)"billing";
    foreign.database = (char *)"ledger";
    scene->facts.id = foreign.gid;
    scene->facts.foreign = &foreign;
    scene->facts.foreign_at = "payments";
    expect(scene, ADVICE_CHOOSE,
           "not Troth's: prepared by billing in database ledger of the server of payments",
           "COMMIT PREPARED 'it''s mine';", "ROLLBACK PREPARED 'it''s mine';");
    scene = scene_new();
    scene->facts.id = "nobody's";
    expect(scene, ADVICE_UNKNOWN,
           "nobody knows it: no database that was asked has such a prepared transaction", NULL,
           NULL);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hazard_is_mended_by_hand),
        cmocka_unit_test(a_hazard_that_may_still_be_proved_is_waited_for),
        cmocka_unit_test(what_is_owed_beside_a_hazard_is_told),
        cmocka_unit_test(what_was_forced_can_go_when_nothing_is_owed),
        cmocka_unit_test(what_is_mixed_is_told_with_both_sides),
        cmocka_unit_test(at_the_door_the_coordinator_is_waited_for),
        cmocka_unit_test(at_the_door_what_is_known_is_carried_out),
        cmocka_unit_test(a_foreign_one_is_its_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
