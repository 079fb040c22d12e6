/* Transactions step by step, in any order of events: clients that ask for anything at any time,
 * participants that answer what they were asked, and say anything else, sessions and processes that
 * go. However it comes: each request is answered once; nobody hears of one transaction that it was
 * committed and that it was aborted (but of one that wrote nothing: no record is kept of it, and
 * after a crash it never was); and it is committed only if everybody who was asked said yes. */
#include "open_kit.h"

#include "coordinator/parts.h"

enum { REQUESTS = 1000, KNOWN = 200, SEEDS = 150, STEPS = 400, SIDES = 4 };

/* A transaction as the world has seen it. */
struct seen {
    gtrid_text gtrid;
    bool committed, aborted, told_commit, told_abort;
    int asked, agreed; /* prepare, and yes or read-only */
    int yes;
    struct register_state registers[2]; /* in three phases: of orders and payments */
    uint64_t voted;                     /* a bit a branch */
};

struct walk {
    struct shop shop;
    uint64_t random;
    struct seen seen[KNOWN];
    int known;
    struct {
        int side; /* who asked; -1: nobody waits */
        bool answered;
    } requests[REQUESTS];
    uint64_t last;
    struct work work[2]; /* that waits at orders and payments */
    bool works[2];
    bool crashed;
    /* The participants say only what they were asked for. Of three phases there is more that they
     * are believed, so those are walked only so. */
    bool honest;
};

static uint32_t pick(struct walk *walk, uint32_t below)
{
    walk->random = walk->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(walk->random >> 33) % below;
}

static struct visitor **side(struct walk *walk, int index)
{
    struct visitor **const sides[SIDES] = {&walk->shop.orders, &walk->shop.payments,
                                           &walk->shop.client, &walk->shop.service};
    return sides[index];
}

static struct visitor *any_client(struct walk *walk, uint64_t *request)
{
    int index = 2 + (int)pick(walk, 2);
    assert_true(walk->last + 1 < REQUESTS);
    *request = ++walk->last;
    walk->requests[*request].side = index;
    return *side(walk, index);
}

static struct seen *find(struct walk *walk, const char *gtrid)
{
    for (int i = 0; i < walk->known; i++) {
        if (strcmp(walk->seen[i].gtrid, gtrid) == 0)
            return &walk->seen[i];
    }
    assert_true(walk->known < KNOWN);
    struct seen *seen = &walk->seen[walk->known++];
    snprintf(seen->gtrid, sizeof(seen->gtrid), "%s", gtrid);
    return seen;
}

static struct seen *find_branch(struct walk *walk, const Wire__Branch *branch)
{
    gtrid_text gtrid;
    gtrid_format(gtrid, "shop", "c1", (struct txid){branch->epoch, branch->seq});
    return find(walk, gtrid);
}

/* One of the last few. */
static const char *any_gtrid(struct walk *walk)
{
    int recent = walk->known < 4 ? walk->known : 4;
    return walk->seen[walk->known - 1 - (int)pick(walk, (uint32_t)recent)].gtrid;
}

/* ---- what is heard ---- */

static void answered(struct walk *walk, int index, uint64_t request)
{
    assert_in_range(request, 1, walk->last);
    assert_int_equal(walk->requests[request].side, index);
    assert_false(walk->requests[request].answered);
    walk->requests[request].answered = true;
}

static void hear_outcome(struct walk *walk, const Wire__Outcome *outcome)
{
    if (!outcome->gtrid[0])
        return;
    struct seen *seen = find(walk, outcome->gtrid);
    seen->committed = seen->committed || outcome->result == WIRE__RESULT__COMMITTED;
    seen->aborted = seen->aborted || outcome->result == WIRE__RESULT__ABORTED;
    if (outcome->result == WIRE__RESULT__COMMITTED && walk->honest)
        assert_int_equal(seen->asked, seen->agreed);
    assert_false(seen->committed && seen->told_abort);
    assert_false(seen->committed && seen->aborted && (seen->yes > 0 || !walk->crashed));
    assert_false(seen->aborted && seen->told_commit);
}

static void vote_once(struct walk *walk, int index, const Wire__Prepare *prepare)
{
    static const Wire__Choice choices[] = {WIRE__CHOICE__YES,       WIRE__CHOICE__YES,
                                           WIRE__CHOICE__YES,       WIRE__CHOICE__YES,
                                           WIRE__CHOICE__READ_ONLY, WIRE__CHOICE__NO};
    struct seen *seen = find_branch(walk, prepare->branch);
    Wire__Choice choice = choices[pick(walk, 6)];
    Wire__Branch branch = *prepare->branch;
    uint64_t bit = UINT64_C(1) << branch.branch;
    assert_int_equal(seen->voted & bit, 0); /* never sent twice */
    seen->voted |= bit;
    seen->asked++;
    if (pick(walk, 20) == 0)
        return; /* it hangs, and the deadline ends it */
    seen->agreed += choice != WIRE__CHOICE__NO;
    seen->yes += choice == WIRE__CHOICE__YES;
    vote(*side(walk, index), branch, choice);
}

static void hear_finish(struct walk *walk, int index, const Wire__Finish *order)
{
    struct seen *seen = find_branch(walk, order->branch);
    Wire__Branch branch = *order->branch;
    seen->told_commit = seen->told_commit || order->commit;
    seen->told_abort = seen->told_abort || !order->commit;
    assert_false(seen->told_commit && (seen->told_abort || seen->aborted));
    assert_false(seen->told_abort && seen->committed);
    finish(*side(walk, index), branch, order->commit, false);
}

static void hear_ask(struct walk *walk, int index, const Wire__Ask *body)
{
    Wire__Branch branch = WIRE__BRANCH__INIT;
    struct question question = {body->epoch, body->seq, body->site, {0}};
    question.ask.question =
        body->question == WIRE__QUESTION__ACCEPT ? REGISTER_ACCEPT : REGISTER_PROMISE;
    question.ask.ballot = (struct ballot){body->ballot->round, body->ballot->site};
    question.ask.value = (enum register_value)body->value;
    branch.epoch = body->epoch;
    branch.seq = body->seq;
    (void)answer_from(*side(walk, index), &find_branch(walk, &branch)->registers[index], &question);
}

static void hear_one(struct walk *walk, int index, const Wire__Message *message)
{
    switch (message->body_case) {
    case WIRE__MESSAGE__BODY_PROGRESS:
        answered(walk, index, message->progress->request);
        if (message->progress->gtrid[0])
            (void)find(walk, message->progress->gtrid);
        return;
    case WIRE__MESSAGE__BODY_OUTCOME:
        answered(walk, index, message->outcome->request);
        hear_outcome(walk, message->outcome);
        return;
    case WIRE__MESSAGE__BODY_WORK:
        walk->works[index] = true;
        walk->work[index].branch = *message->work->branch;
        walk->work[index].number = message->work->number;
        return;
    case WIRE__MESSAGE__BODY_PREPARE:
        vote_once(walk, index, message->prepare);
        return;
    case WIRE__MESSAGE__BODY_ASK:
        hear_ask(walk, index, message->ask);
        return;
    case WIRE__MESSAGE__BODY_FINISH:
        hear_finish(walk, index, message->finish);
        return;
    default:
        return;
    }
}

static void hear_all(struct walk *walk)
{
    for (int index = 0; index < SIDES; index++) {
        struct visitor *visitor = *side(walk, index);
        for (struct bytes *packed; (packed = pull(&visitor->messages)) != NULL;) {
            Wire__Message *message = wire__message__unpack(NULL, packed->size, packed->data);
            assert_non_null(message);
            hear_one(walk, index, message);
            wire__message__free_unpacked(message, NULL);
        }
    }
}

/* ---- what is done ---- */

static void forget_requests(struct walk *walk, int index)
{
    for (uint64_t i = 1; i <= walk->last; i++) {
        if (walk->requests[i].side == index)
            walk->requests[i].side = -1;
    }
}

/* Its process is gone, and another one is there at once. */
static void begin_anew(struct walk *walk, int index)
{
    static const char *const databases[] = {"71/16384", "71/16385"};
    static const char *const addresses[] = {"tcp://127.0.0.1:7501", "tcp://127.0.0.1:7502"};
    static const char *const names[] = {"orders", "payments"};
    leave(*side(walk, index));
    forget_requests(walk, index);
    if (index >= 2) {
        (void)client(walk->shop.world, index);
        return;
    }
    walk->works[index] = false;
    (void)participant(walk->shop.world, index, names[index]);
    report(*side(walk, index), databases[index], addresses[index]);
}

static void crash(struct walk *walk)
{
    for (int i = 0; i < SIDES; i++)
        forget_requests(walk, i);
    walk->works[0] = walk->works[1] = false;
    walk->crashed = true;
    crash_and_start(walk->shop.world);
    open_shop(&walk->shop);
}

static void request(struct walk *walk)
{
    static const char *const operations[] = {"orders.create", "payments.charge", "orders.nothing"};
    static const char *const names[] = {"orders", "payments", "nobody"};
    static const char *const keys[] = {NULL, NULL, NULL, "k-1", "k-2"};
    uint64_t number;
    struct visitor *visitor = any_client(walk, &number);
    const char *gtrid = walk->known ? any_gtrid(walk) : "shop.c1.1.1";
    switch (pick(walk, 8)) {
    case 0:
        say_begin(visitor, number,
                  &(struct submission){.key = keys[pick(walk, 5)],
                                       .protocol = walk->honest && pick(walk, 3) == 0
                                                       ? WIRE__PROTOCOL__THREE_PHASE
                                                       : WIRE__PROTOCOL__TWO_PHASE,
                                       .timeout_ms = 500 + pick(walk, 3000)});
        return;
    case 1:
    case 2:
        say_perform(visitor, number, gtrid, operations[pick(walk, 12) % 3]);
        return;
    case 3:
        say_join(visitor, number, gtrid, names[pick(walk, 12) % 3]);
        return;
    case 4:
    case 5:
        say_hand_over(visitor, number, gtrid, pick(walk, 4), pick(walk, 3) * 11,
                      pick(walk, 12) == 0 ? "23505" : NULL);
        return;
    default:
        say_end(visitor, number, gtrid, pick(walk, 4) > 0);
    }
}

static void answer_work(struct walk *walk, int index)
{
    if (!walk->works[index])
        return;
    walk->works[index] = false;
    say_worked(*side(walk, index), &walk->work[index], "{}",
               pick(walk, 12) == 0 ? "insufficient_funds" : NULL);
}

/* Whatever comes into its mind. */
static void babble(struct walk *walk, int index)
{
    struct visitor *visitor = *side(walk, index);
    Wire__Branch branch = branch_of(any_gtrid(walk), pick(walk, 4));
    struct work work = {.branch = branch, .number = pick(walk, 4)};
    struct question question = {branch.epoch, branch.seq, 0, {0}};
    switch (pick(walk, 6)) {
    case 0:
        say_worked(visitor, &work, "{}", pick(walk, 2) ? "insufficient_funds" : NULL);
        return;
    case 1:
        vote(visitor, branch, (Wire__Choice)pick(walk, 7));
        return;
    case 2:
        finish(visitor, branch, pick(walk, 2), false);
        return;
    case 3:
        tell_decision(visitor, branch, (Wire__Value)pick(walk, 3));
        return;
    case 4:
        question.ask.question = pick(walk, 2) ? REGISTER_PROMISE : REGISTER_ACCEPT;
        question.ask.ballot = (struct ballot){pick(walk, 3), pick(walk, 3)};
        question.ask.value = REGISTER_ABORT;
        question_it(visitor, &question);
        return;
    default: {
        Wire__Found found = WIRE__FOUND__INIT;
        Wire__Message message = WIRE__MESSAGE__INIT;
        found.branch = &branch;
        found.committed = pick(walk, 2);
        message.body_case = WIRE__MESSAGE__BODY_FOUND;
        message.found = &found;
        say(visitor, &message);
    }
    }
}

static void step(struct walk *walk)
{
    uint32_t what = pick(walk, 100);
    if (what < 55)
        request(walk);
    else if (what < 75)
        answer_work(walk, (int)pick(walk, 2));
    else if (what < 85)
        sync_journal(walk->shop.world);
    else if (what < 88)
        pass(walk->shop.world, 200 * 1000);
    else if (what < 89)
        begin_anew(walk, (int)pick(walk, SIDES));
    else if (what < 90 && pick(walk, 4) == 0)
        crash(walk);
    else if (what >= 92 && !walk->honest && walk->known > 0)
        babble(walk, (int)pick(walk, 2));
    hear_all(walk);
}

/* Everybody answers what they were asked, and all deadlines pass. */
static void come_to_rest(struct walk *walk)
{
    struct server *server = walk->shop.world->server;
    for (int i = 0; i < 20; i++) {
        answer_work(walk, 0);
        answer_work(walk, 1);
        sync_journal(walk->shop.world);
        pass(walk->shop.world, 2 * SECOND_US);
        hear_all(walk);
    }
    assert_int_equal(server->opens.map.count, 0);
    assert_int_equal(server_undecided(server), 0);
    for (uint64_t i = 1; i <= walk->last; i++)
        assert_true(walk->requests[i].side < 0 || walk->requests[i].answered);
    for (int i = 0; i < 2; i++) {
        const struct participant *participant =
            participants_find(&server->participants, i ? "payments" : "orders");
        assert_int_equal(participant->working, 0);
        assert_true(list_empty(&participant->opens));
    }
}

static void walk_all(bool honest)
{
    int committed = 0, aborted_count = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct walk *walk = xcalloc(1, sizeof(*walk));
        walk->shop = shop_new();
        walk->random = seed;
        walk->honest = honest;
        for (int i = 0; i < STEPS; i++)
            step(walk);
        come_to_rest(walk);
        for (int i = 0; i < walk->known; i++) {
            committed += walk->seen[i].committed;
            aborted_count += walk->seen[i].aborted;
        }
        world_free(walk->shop.world);
        free(walk);
    }
    assert_true(committed > SEEDS && aborted_count > SEEDS);
}

static void any_order_of_requests_keeps_what_is_promised(void **unused)
{
    (void)unused;
    walk_all(true);
}

static void participants_that_say_anything_break_nothing_of_it(void **unused)
{
    (void)unused;
    walk_all(false);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_requests_keeps_what_is_promised),
        cmocka_unit_test(participants_that_say_anything_break_nothing_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
