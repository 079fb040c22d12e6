/* What an operator is advised, in every case that there is: a sentence, and the one command or what
 * is waited for. And that no command is advised which would be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/advice.h"
#include "coordinator/resolution.h"
#include "core/check.h"

#define G "shop.c1.7.1"

/* ---- a transaction over orders, payments and inventory --------------------------------------- */

enum { ORDERS, PAYMENTS, INVENTORY, PARTICIPANTS, SITES };

static char *const names[] = {(char *)"orders", (char *)"payments", (char *)"inventory",
                              (char *)"c1"};

struct scene {
    struct advice_facts facts;
    struct advice advice;
    Wire__TransactionView tx;
    Wire__BranchView branches[PARTICIPANTS], *branch_list[PARTICIPANTS];
    Wire__SiteView sites[SITES], *site_list[SITES];
    Wire__Heuristic heuristics[PARTICIPANTS], *heuristic_list[PARTICIPANTS];
    Wire__Testimony testimonies[PARTICIPANTS], *testimony_list[PARTICIPANTS];
    Wire__Exhibit exhibits[PARTICIPANTS], *exhibit_list[PARTICIPANTS];
    Wire__Problem problem, unheard;
};

/* Asked at c1, which does not list it; all databases were heard, and hold nothing. */
static struct scene *scene_new(void)
{
    struct scene *scene = xcalloc(1, sizeof(*scene));
    wire__transaction_view__init(&scene->tx);
    wire__problem__init(&scene->problem);
    wire__problem__init(&scene->unheard);
    scene->unheard.code = (char *)"not_connected";
    scene->unheard.message = (char *)"not connected";
    for (int i = 0; i < PARTICIPANTS; i++) {
        wire__branch_view__init(&scene->branches[i]);
        wire__heuristic__init(&scene->heuristics[i]);
        wire__testimony__init(&scene->testimonies[i]);
        wire__exhibit__init(&scene->exhibits[i]);
        scene->branches[i].participant = scene->testimonies[i].participant = names[i];
        scene->branch_list[i] = &scene->branches[i];
        scene->heuristic_list[i] = &scene->heuristics[i];
        scene->exhibit_list[i] = &scene->exhibits[i];
        scene->testimony_list[i] = &scene->testimonies[i];
    }
    for (int i = 0; i < SITES; i++) {
        wire__site_view__init(&scene->sites[i]);
        scene->sites[i].name = names[(i + PARTICIPANTS) % SITES];
        scene->sites[i].reachable = true;
        scene->site_list[i] = &scene->sites[i];
    }
    scene->tx.gtrid = (char *)G;
    scene->tx.branches = scene->branch_list;
    scene->tx.heuristics = scene->heuristic_list;
    scene->tx.sites = scene->site_list;
    scene->facts = (struct advice_facts){.id = G,
                                         .command = "troth",
                                         .asked = "c1",
                                         .problem = &scene->problem,
                                         .testimonies = scene->testimony_list,
                                         .testimony_count = PARTICIPANTS};
    scene->problem.code = (char *)"held";
    return scene;
}

/* It is listed so. */
static struct scene *listed(const char *state, const char *decision, const char *branches)
{
    struct scene *scene = scene_new();
    scene->facts.tx = &scene->tx;
    scene->facts.problem = NULL;
    scene->tx.state = (char *)state;
    scene->tx.decision = (char *)decision;
    scene->tx.n_branches = PARTICIPANTS;
    for (int i = 0; i < PARTICIPANTS; i++)
        scene->branches[i].state = (char *)branches;
    return scene;
}

static Wire__Exhibit *exhibit(struct scene *scene, int at)
{
    scene->testimonies[at].exhibits = &scene->exhibit_list[at];
    scene->testimonies[at].n_exhibits = 1;
    return &scene->exhibits[at];
}

static void prepared(struct scene *scene, int at)
{
    exhibit(scene, at)->prepared = true;
    scene->exhibits[at].status = WIRE__XID_STATUS__XID_IN_PROGRESS;
}

static void proved(struct scene *scene, int at, bool commit)
{
    exhibit(scene, at)->status =
        commit ? WIRE__XID_STATUS__XID_COMMITTED : WIRE__XID_STATUS__XID_ABORTED;
}

static void unheard(struct scene *scene, int at)
{
    scene->testimonies[at].problem = &scene->unheard;
}

static void forced(struct scene *scene, int at, bool commit)
{
    scene->heuristics[0].participant = names[at];
    scene->heuristics[0].commit = commit;
    scene->tx.n_heuristics = 1;
}

/* Asked at the door of payments, which tells of itself alone. */
static void at_the_door(struct scene *scene)
{
    scene->facts.at_participant = true;
    scene->facts.asked = "payments";
    scene->facts.command = "troth --coordinator tcp://127.0.0.1:7412";
    scene->facts.testimonies = &scene->testimony_list[PAYMENTS];
    scene->facts.testimony_count = 1;
    if (!scene->facts.tx)
        return;
    scene->tx.branches = &scene->branch_list[PAYMENTS];
    scene->tx.n_branches = 1;
}

static void expect_text(const char *what, const char *text, const char *wanted)
{
    if (!wanted ? text != NULL : !text || strcmp(text, wanted) != 0)
        fail_msg("%s is\n  %s\nnot\n  %s", what, text ? text : "none", wanted ? wanted : "none");
}

/* Frees the scene. command: also of NULL. */
static void expect(struct scene *scene, enum advice_kind kind, const char *verdict,
                   const char *command, const char *otherwise)
{
    advise(&scene->facts, &scene->advice);
    expect_text("the verdict", scene->advice.verdict, verdict);
    if (scene->advice.kind != kind)
        fail_msg("%s: the advice is %s, not %s", verdict, advice_word(scene->advice.kind),
                 advice_word(kind));
    expect_text("the command", scene->advice.command, command);
    expect_text("the other command", scene->advice.otherwise, otherwise);
    advice_fini(&scene->advice);
    free(scene);
}

#define ASK            "troth --coordinator ADDRESS tx explain " G
#define RESOLVE(value) "troth tx resolve " G " --" value " --reason 'WHY'"
#define FORGET         "troth tx forget " G " --reason 'WHY'"
#define LAST_RESORT    "troth tx resolve " G " --commit|--abort --reason 'WHY'"
#define AT_DOOR                                                                                    \
    "troth --coordinator tcp://127.0.0.1:7412 tx resolve " G                                       \
    " --participant payments --commit|--abort --reason 'WHY'"

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
    struct scene *scene = made("heuristic", "", "commit");
    prepared(scene, INVENTORY);
    expect(scene, ADVICE_WAIT, "an operator forced commit; it is still prepared at inventory", NULL,
           NULL);
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
        cmocka_unit_test(a_hazard_is_mended_by_hand),
        cmocka_unit_test(a_hazard_that_may_still_be_proved_is_waited_for),
        cmocka_unit_test(what_is_owed_beside_a_hazard_is_told),
        cmocka_unit_test(what_was_forced_can_go_when_nothing_is_owed),
        cmocka_unit_test(what_is_mixed_is_told_with_both_sides),
        cmocka_unit_test(at_the_door_the_coordinator_is_waited_for),
        cmocka_unit_test(at_the_door_what_is_known_is_carried_out),
        cmocka_unit_test(a_foreign_one_is_its_owners),
        cmocka_unit_test(nothing_is_advised_that_would_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
