/* A transaction of two branches, and all that a coordinator may answer about it to an operator. */
#ifndef TROTH_TESTS_UNIT_TX_KIT_H
#define TROTH_TESTS_UNIT_TX_KIT_H

#include "tests/unit/cli_desk.h"

#include "core/json.h"

#define G "shop.c1.7.1"

/* ---- one transaction at payments and orders -------------------------------------------------- */

struct world {
    Wire__BranchView branches[2], *branch_list[2];
    Wire__Heuristic heuristic, *heuristic_list[1];
    Wire__TransactionView tx, *tx_list[1];
    Wire__Exhibit exhibits[2], *exhibit_list[2];
    Wire__Testimony testimonies[2], *testimony_list[2];
    Wire__PreparedView prepared[4], *prepared_list[4];
    Wire__Problem problem;
    Wire__Resolution preview, done;
    Wire__Answer transaction, evidence, dry, ordered, all;
};

static const char report[] =
    "{\"owner\":\"payments\",\"database\":\"payments\",\"locks\":[{\"relation\":\"public.account\","
    "\"mode\":\"RowExclusiveLock\",\"rows\":1},{\"relation\":\"public.charge\",\"mode\":"
    "\"RowExclusiveLock\",\"rows\":null}],\"blocked\":[{\"pid\":4711,\"user\":\"app\","
    "\"application\":\"psql\",\"client\":\"127.0.0.1\",\"waiting_ms\":5300,\"wants\":"
    "\"public.account\",\"behind\":null,\"query\":\"update account set balance = balance - 10 "
    "where customer = 'ada' and balance >= 10 returning balance\"},{\"pid\":4712,\"user\":null,"
    "\"application\":null,\"client\":null,\"waiting_ms\":null,\"wants\":null,\"behind\":4711,"
    "\"query\":null}],\"blocked_more\":3,\"vacuum\":{\"age_xids\":812,\"freeze_max_age\":200000000,"
    "\"oldest\":true},\"slots\":{\"used\":3,\"max\":64}}";

static inline int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline void prepared_init(struct world *world, int at, const char *gid, const char *owner,
                                 const char *database)
{
    Wire__PreparedView *prepared = world->prepared_list[at] = &world->prepared[at];
    wire__prepared_view__init(prepared);
    prepared->gid = (char *)gid;
    prepared->owner = (char *)owner;
    prepared->database = (char *)database;
    prepared->here = true;
    prepared->prepared_us = now_us() - 301 * 1000000ll;
    prepared->age_xids = 812;
    prepared->xid = 990 + (uint64_t)at;
}

static inline void world_answers(struct world *world)
{
    wire__answer__init(&world->transaction);
    wire__answer__init(&world->evidence);
    wire__answer__init(&world->dry);
    wire__answer__init(&world->ordered);
    wire__answer__init(&world->all);
    world->transaction.transactions = world->tx_list;
    world->transaction.n_transactions = 1;
    world->evidence.testimonies = world->testimony_list;
    world->evidence.n_testimonies = 2;
    world->dry.resolution = &world->preview;
    world->ordered.resolution = &world->done;
    world->all = world->evidence;
}

static inline void world_branches(struct world *world)
{
    static const char *const names[] = {"orders", "payments"};
    for (int i = 0; i < 2; i++) {
        wire__branch_view__init(&world->branches[i]);
        wire__testimony__init(&world->testimonies[i]);
        wire__exhibit__init(&world->exhibits[i]);
        world->branch_list[i] = &world->branches[i];
        world->exhibit_list[i] = &world->exhibits[i];
        world->testimony_list[i] = &world->testimonies[i];
        world->branches[i].participant = world->testimonies[i].participant = (char *)names[i];
        world->branches[i].state = (char *)(i ? "committing" : "applied");
        world->testimonies[i].exhibits = &world->exhibit_list[i];
        world->testimonies[i].n_exhibits = 1;
        world->testimonies[i].database_us = now_us();
        world->exhibits[i].xid = 770 + (uint64_t)i;
    }
    world->exhibits[0].status = WIRE__XID_STATUS__XID_COMMITTED;
    world->exhibits[1].status = WIRE__XID_STATUS__XID_IN_PROGRESS;
    world->exhibits[1].prepared = true;
    world->exhibits[1].prepared_us = now_us() - 301 * 1000000ll;
    world->exhibits[1].report = (char *)report;
}

/* Committed, and not yet applied at payments. */
static inline void world_init(struct world *world, struct desk *desk)
{
    *world = (struct world){0};
    world_branches(world);
    wire__problem__init(&world->problem);
    wire__transaction_view__init(&world->tx);
    world->tx.gtrid = (char *)G;
    world->tx.state = (char *)"committed";
    world->tx.decision = (char *)"commit";
    world->tx.begun_us = now_us() - 301 * 1000000ll;
    world->tx.decided_us = world->tx.begun_us + 12000;
    world->tx.in_doubt = true;
    world->tx.branches = world->branch_list;
    world->tx.n_branches = 2;
    world->tx_list[0] = &world->tx;
    wire__heuristic__init(&world->heuristic);
    world->heuristic_list[0] = &world->heuristic;
    wire__resolution__init(&world->preview);
    wire__resolution__init(&world->done);
    world_answers(world);
    desk->answers[0] = &world->dry;
    desk->ordered = &world->ordered;
    desk->answers[WIRE__WHAT__TRANSACTIONS] = &world->transaction;
    desk->answers[WIRE__WHAT__TRANSACTION] = &world->transaction;
    desk->answers[WIRE__WHAT__EVIDENCE] = &world->evidence;
    desk->answers[WIRE__WHAT__PREPARED] = &world->all;
}

static inline void expect_json(struct desk *desk, const char *const *words, int code,
                               const char *part)
{
    struct run run = ask(desk, words);
    assert_code(run, code);
    struct json *json = json_parse(run.out, strlen(run.out), NULL);
    if (!json)
        fail_msg("no JSON: %s", run.out);
    json_free(json);
    assert_out(run, part);
    run_fini(&run);
}

static inline void previewed(struct world *world, Wire__Deed deed)
{
    static char *const steps[] = {(char *)"payments: ROLLBACK PREPARED"};
    static char *const unknowns[] = {(char *)"inventory is not connected: what it holds"};
    world->preview.deed = world->done.deed = deed;
    world->preview.message = (char *)"an outcome would be forced";
    world->done.message = (char *)"an outcome was forced";
    world->preview.steps = world->done.steps = (char **)steps;
    world->preview.n_steps = world->done.n_steps = 1;
    world->preview.unknowns = (char **)unknowns;
    world->preview.n_unknowns = 1;
    world->preview.testimonies = world->testimony_list;
    world->preview.n_testimonies = 2;
}

#endif
