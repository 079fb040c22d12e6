/* Sites that can't tell any more what they decided, and databases that prove it, or do not. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "operators_kit.h"

static const struct submission three = {.protocol = WIRE__PROTOCOL__THREE_PHASE,
                                        .timeout_ms = 2000};

static const struct saying committed = {.status = WIRE__XID_STATUS__XID_COMMITTED};
static const struct saying aborted = {.status = WIRE__XID_STATUS__XID_ABORTED};

/* Commit is proposed, and orders can't tell: both databases are asked. */
static struct desk *desk_of_the_proposed(Wire__Branch *branch)
{
    static const struct register_state none = {.value = REGISTER_EMPTY};
    struct desk *desk = desk_new();
    listen_at(desk->orders, "tcp://127.0.0.1:7101");
    listen_at(desk->payments, "tcp://127.0.0.1:7102");
    *branch = begin_deciding(desk, &three);
    sync_journal(desk->world);
    pass(desk->world, 100 * 1000);
    struct question question = questioned(desk->orders);
    questioned(desk->payments);
    reply_with(desk->orders, &question, WIRE__ANSWERED__CANNOT_TELL, &none);
    return desk;
}

/* Of the xid of its vote, or another one. */
static struct saying of_xid(struct saying saying, uint64_t xid)
{
    saying.xid = xid;
    return saying;
}

static void what_all_databases_prove_was_the_decision(void **unused)
{
    (void)unused;
    for (int commit = 0; commit < 2; commit++) {
        Wire__Branch branch;
        struct desk *desk = desk_of_the_proposed(&branch);
        struct saying saying = commit ? committed : aborted;
        both_testify(desk, gtrid_of(branch), of_xid(saying, 700), of_xid(saying, 701));
        sync_journal(desk->world);
        finish(desk->orders, told(desk->orders, commit), commit, false);
        finish(desk->payments, told(desk->payments, commit), commit, false);
        outcome(desk->client, 1, commit ? WIRE__RESULT__COMMITTED : WIRE__RESULT__ABORTED);
        desk_free(desk);
    }
}

static void what_is_not_proved_stays_proposed(void **unused)
{
    (void)unused;
    const struct {
        struct saying orders, payments;
    } sayings[] = {
        {of_xid(committed, 700), has_nothing},
        {has_nothing, has_nothing},
        {of_xid(committed, 700), of_xid(aborted, 701)},
        {of_xid(committed, 700), of_xid(committed, 999)},
        {of_xid(committed, 700), {.prepared = true, .xid = 701}},
        {of_xid(committed, 700),
         {.status = WIRE__XID_STATUS__XID_COMMITTED,
          .xid = 701,
          .forced = true,
          .forced_commit = true}},
        {of_xid(committed, 700), {.status = WIRE__XID_STATUS__XID_UNKNOWN, .xid = 701}},
    };
    for (size_t i = 0; i < sizeof(sayings) / sizeof(sayings[0]); i++) {
        Wire__Branch branch;
        struct desk *desk = desk_of_the_proposed(&branch);
        both_testify(desk, gtrid_of(branch), sayings[i].orders, sayings[i].payments);
        sync_journal(desk->world);
        hear_nothing(desk->orders);
        hear_nothing(desk->payments);
        hear_nothing(desk->client);
        desk_free(desk);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_all_databases_prove_was_the_decision),
        cmocka_unit_test(what_is_not_proved_stays_proposed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
