/* A transaction over three databases, what is known of it and what they say; and what is advised.
 */
#ifndef TROTH_TESTS_UNIT_ADVICE_KIT_H
#define TROTH_TESTS_UNIT_ADVICE_KIT_H

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
static inline struct scene *scene_new(void)
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
static inline struct scene *listed(const char *state, const char *decision, const char *branches)
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

static inline Wire__Exhibit *exhibit(struct scene *scene, int at)
{
    scene->testimonies[at].exhibits = &scene->exhibit_list[at];
    scene->testimonies[at].n_exhibits = 1;
    return &scene->exhibits[at];
}

static inline void prepared(struct scene *scene, int at)
{
    exhibit(scene, at)->prepared = true;
    scene->exhibits[at].status = WIRE__XID_STATUS__XID_IN_PROGRESS;
}

static inline void proved(struct scene *scene, int at, bool commit)
{
    exhibit(scene, at)->status =
        commit ? WIRE__XID_STATUS__XID_COMMITTED : WIRE__XID_STATUS__XID_ABORTED;
}

static inline void unheard(struct scene *scene, int at)
{
    scene->testimonies[at].problem = &scene->unheard;
}

static inline void forced(struct scene *scene, int at, bool commit)
{
    scene->heuristics[0].participant = names[at];
    scene->heuristics[0].commit = commit;
    scene->tx.n_heuristics = 1;
}

/* Asked at the door of payments, which tells of itself alone. */
static inline void at_the_door(struct scene *scene)
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

static inline void expect_text(const char *what, const char *text, const char *wanted)
{
    if (!wanted ? text != NULL : !text || strcmp(text, wanted) != 0)
        fail_msg("%s is\n  %s\nnot\n  %s", what, text ? text : "none", wanted ? wanted : "none");
}

/* Frees the scene. command: also of NULL. */
static inline void expect(struct scene *scene, enum advice_kind kind, const char *verdict,
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

#endif
