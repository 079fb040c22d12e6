/* Who brings the decision about: one proposer against registers that the test holds in its hands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/limits.h"
#include "core/proposer.h"

static const struct register_state fresh = {{0, 0}, {0, 0}, REGISTER_EMPTY};

/* Everything at one table: each site's register, and one proposer. */
struct table {
    struct proposer proposer;
    struct register_state registers[LIMIT_SITES];
};

static void lay(struct table *table, int sites, int self)
{
    *table = (struct table){0};
    proposer_init(&table->proposer, sites, self);
}

static void lay_proposed(struct table *table, int sites)
{
    lay(table, sites, 0);
    proposer_propose_commit(&table->proposer);
}

/* The site's register answers what the proposer asks now, and the proposer hears it. */
static enum proposer_turn ask(struct table *table, int site)
{
    struct register_ask asked = proposer_ask(&table->proposer);
    enum register_reply reply = register_answer(&table->registers[site], &asked);
    return proposer_hear(&table->proposer, site, &asked, reply, &table->registers[site]);
}

static void begin(struct table *table)
{
    assert_true(proposer_begin(&table->proposer, &table->registers[table->proposer.self]));
}

/* Sites 0 ... count - 1, a bit each. */
static uint32_t first(int count)
{
    return count == 32 ? UINT32_MAX : (UINT32_C(1) << count) - 1;
}

static void assert_asks(const struct table *table, enum register_question question,
                        struct ballot ballot, enum register_value value)
{
    struct register_ask asked = proposer_ask(&table->proposer);
    assert_int_equal(asked.question, question);
    assert_int_equal(ballot_compare(asked.ballot, ballot), 0);
    assert_int_equal(asked.value, value);
    assert_true(register_ask_sound(&asked));
}

static void assert_decided(const struct table *table, enum register_value value)
{
    assert_int_equal(table->proposer.phase, PROPOSER_DECIDED);
    assert_int_equal(table->proposer.value, value);
    assert_int_equal(proposer_wants(&table->proposer), 0);
}

/* Nothing of the proposer has changed but, perhaps, the highest round that it has heard of. */
static void assert_still(const struct proposer *proposer, const struct proposer *before)
{
    assert_int_equal(proposer->phase, before->phase);
    assert_int_equal(proposer->value, before->value);
    assert_int_equal(proposer->granted, before->granted);
    assert_int_equal(ballot_compare(proposer->ballot, before->ballot), 0);
}

/* ---- the coordinator's own ballot ---- */

static void two_phases_are_one_site_that_decides_by_its_own_acceptance(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 1);
    assert_int_equal(proposer_majority(&table.proposer), 1);
    assert_int_equal(proposer_wants(&table.proposer), 1);
    assert_asks(&table, REGISTER_ACCEPT, (struct ballot){0, 0}, REGISTER_COMMIT);
    assert_int_equal(ask(&table, 0), PROPOSER_HAS_DECIDED);
    assert_decided(&table, REGISTER_COMMIT);
}

static void nobody_is_asked_before_the_own_register_has_granted(void **unused)
{
    (void)unused;
    struct table table;
    lay(&table, 3, 0);
    assert_int_equal(proposer_wants(&table.proposer), 0);
    proposer_propose_commit(&table.proposer);
    assert_int_equal(proposer_wants(&table.proposer), 1 << 0);
    assert_int_equal(ask(&table, 0), PROPOSER_PROGRESSED);
    assert_int_equal(proposer_wants(&table.proposer), 1 << 1 | 1 << 2);

    lay(&table, 3, 2);
    begin(&table);
    assert_int_equal(proposer_wants(&table.proposer), 1 << 2);
    assert_int_equal(ask(&table, 2), PROPOSER_PROGRESSED);
    assert_int_equal(proposer_wants(&table.proposer), 1 << 0 | 1 << 1);
    /* In the second phase again. */
    assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
    assert_int_equal(table.proposer.phase, PROPOSER_ACCEPTING);
    assert_int_equal(proposer_wants(&table.proposer), 1 << 2);
    assert_int_equal(ask(&table, 2), PROPOSER_PROGRESSED);
    assert_int_equal(proposer_wants(&table.proposer), 1 << 0 | 1 << 1);
}

static void half_of_any_number_of_sites_decides_and_no_less(void **unused)
{
    (void)unused;
    const int sizes[] = {1, 2, 3, 4, 5, 31, 32}, enough[] = {1, 1, 2, 2, 3, 16, 16};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct table table;
        lay_proposed(&table, sizes[i]);
        assert_int_equal(proposer_acceptances(&table.proposer), enough[i]);
        for (int site = 0; site < enough[i] - 1; site++) {
            assert_int_equal(ask(&table, site), PROPOSER_PROGRESSED);
            assert_int_equal(proposer_granted(&table.proposer), site + 1);
            assert_int_equal(proposer_wants(&table.proposer), first(sizes[i]) & ~first(site + 1));
        }
        assert_int_equal(ask(&table, enough[i] - 1), PROPOSER_HAS_DECIDED);
        assert_decided(&table, REGISTER_COMMIT);
    }
}

static void every_majority_has_one_of_those_who_accepted(void **unused)
{
    (void)unused;
    for (int sites = 1; sites <= LIMIT_SITES; sites++) {
        struct table table;
        lay(&table, sites, 0);
        int majority = proposer_majority(&table.proposer);
        int acceptances = proposer_acceptances(&table.proposer);
        assert_true(2 * majority > sites);
        assert_true(2 * (majority - 1) <= sites); /* and none is larger than it must be */
        assert_int_equal(majority + acceptances, sites + 1);
    }
}

/* ---- a round ---- */

/* Half of four: less than a majority has promised, and nothing else can be decided any more. */
static void what_enough_have_accepted_is_found_to_be_decided(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 4);
    assert_int_equal(ask(&table, 0), PROPOSER_PROGRESSED);
    assert_int_equal(ask(&table, 1), PROPOSER_HAS_DECIDED);
    proposer_init(&table.proposer, 4, 0);
    begin(&table);
    assert_int_equal(ask(&table, 0), PROPOSER_PROGRESSED);
    assert_int_equal(ask(&table, 1), PROPOSER_HAS_DECIDED);
    assert_decided(&table, REGISTER_COMMIT);

    /* One that had accepted at another ballot does not count. */
    lay(&table, 4, 2);
    table.registers[2] = (struct register_state){{1, 3}, {1, 3}, REGISTER_COMMIT};
    table.registers[1] = (struct register_state){{1, 1}, {1, 1}, REGISTER_COMMIT};
    begin(&table);
    assert_int_equal(ask(&table, 2), PROPOSER_PROGRESSED);
    assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
    assert_int_equal(table.proposer.phase, PROPOSER_PROMISING);
    table.registers[3] = (struct register_state){.value = REGISTER_COMMIT};
    assert_int_equal(ask(&table, 3), PROPOSER_PROGRESSED);
    assert_int_equal(table.proposer.phase, PROPOSER_ACCEPTING);
}

/* Nobody is asked at its ballot before it has accepted there. */
static void who_accepted_at_the_coordinators_ballot_tells_of_two(void **unused)
{
    (void)unused;
    static const int accepted_besides[] = {[3] = 1, [4] = 1, [5] = 2, [6] = 2};
    for (int sites = 3; sites <= 6; sites++) {
        struct table table;
        lay(&table, sites, sites - 1);
        for (int site = 1; site <= accepted_besides[sites]; site++)
            table.registers[site].value = REGISTER_COMMIT;
        begin(&table);
        assert_int_equal(ask(&table, sites - 1), PROPOSER_PROGRESSED);
        for (int site = 1; site < accepted_besides[sites]; site++)
            assert_int_equal(ask(&table, site), PROPOSER_PROGRESSED);
        assert_int_equal(ask(&table, accepted_besides[sites]), PROPOSER_HAS_DECIDED);
        assert_decided(&table, REGISTER_COMMIT);
    }
    /* It counts once, and only at its own ballot. */
    struct table table;
    lay(&table, 6, 5);
    table.registers[0].value = table.registers[1].value = REGISTER_COMMIT;
    begin(&table);
    ask(&table, 5);
    ask(&table, 0);
    assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
    assert_int_equal(table.proposer.phase, PROPOSER_PROMISING);
    lay(&table, 4, 3);
    table.registers[1] = (struct register_state){{1, 1}, {1, 1}, REGISTER_COMMIT};
    begin(&table);
    ask(&table, 3);
    assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
}

static void a_round_in_which_nobody_has_accepted_aborts(void **unused)
{
    (void)unused;
    struct table table;
    lay(&table, 5, 3);
    begin(&table);
    assert_asks(&table, REGISTER_PROMISE, (struct ballot){1, 3}, REGISTER_EMPTY);
    ask(&table, 3);
    ask(&table, 4);
    assert_int_equal(table.proposer.phase, PROPOSER_PROMISING);
    assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
    assert_asks(&table, REGISTER_ACCEPT, (struct ballot){1, 3}, REGISTER_ABORT);
    ask(&table, 3);
    ask(&table, 2);
    assert_int_equal(ask(&table, 1), PROPOSER_HAS_DECIDED);
    assert_decided(&table, REGISTER_ABORT);
}

static void commit_that_one_site_has_accepted_is_brought_to_its_end(void **unused)
{
    (void)unused;
    for (int holder = 1; holder <= 3; holder++) {
        struct table table;
        lay(&table, 5, 2);
        table.registers[holder].value = REGISTER_COMMIT; /* at {0,0} */
        begin(&table);
        ask(&table, 2);
        ask(&table, 1);
        ask(&table, 3);
        assert_asks(&table, REGISTER_ACCEPT, (struct ballot){1, 2}, REGISTER_COMMIT);
    }
}

static void the_value_accepted_at_the_highest_ballot_is_taken(void **unused)
{
    (void)unused;
    const struct register_state low = {{1, 4}, {1, 4}, REGISTER_COMMIT},
                                high = {{2, 1}, {2, 1}, REGISTER_ABORT},
                                none = {{3, 1}, {0, 0}, REGISTER_EMPTY};
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int order = 0; order < 6; order++) {
        struct table table;
        lay(&table, 5, 0);
        const int *place = orders[order];
        table.registers[place[0]] = low;
        table.registers[place[1]] = high;
        table.registers[place[2]] = none;
        table.proposer.seen = 3;
        begin(&table);
        for (int site = 0; site < 3; site++)
            assert_int_equal(ask(&table, site), PROPOSER_PROGRESSED);
        assert_asks(&table, REGISTER_ACCEPT, (struct ballot){4, 0}, REGISTER_ABORT);
    }
}

static void what_a_site_accepts_in_the_second_phase_changes_no_value(void **unused)
{
    (void)unused;
    struct table table;
    lay(&table, 3, 1);
    begin(&table);
    ask(&table, 1);
    ask(&table, 2);
    struct register_ask asked = proposer_ask(&table.proposer);
    assert_int_equal(asked.value, REGISTER_ABORT);
    const struct register_state other = {{9, 0}, {9, 0}, REGISTER_COMMIT};
    proposer_hear(&table.proposer, 1, &asked, REGISTER_GRANTED, &other);
    assert_int_equal(table.proposer.value, REGISTER_ABORT);
}

/* ---- replies that say nothing new ---- */

static void a_repeated_reply_counts_once(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 5);
    ask(&table, 0);
    assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
    const struct proposer before = table.proposer;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(&table, 1), PROPOSER_NOTHING);
    assert_still(&table.proposer, &before);
}

static void a_reply_to_an_earlier_question_changes_nothing(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 3);
    struct register_ask proposal = proposer_ask(&table.proposer);
    ask(&table, 0);
    begin(&table);
    struct register_ask wanted_promise = proposer_ask(&table.proposer);
    ask(&table, 0);
    /* An acceptance at {0,0}, late. */
    struct proposer before = table.proposer;
    struct register_state then = {{0, 0}, {0, 0}, REGISTER_COMMIT};
    assert_int_equal(proposer_hear(&table.proposer, 1, &proposal, REGISTER_GRANTED, &then),
                     PROPOSER_NOTHING);
    assert_int_equal(proposer_hear(&table.proposer, 1, &proposal, REGISTER_OUTBID, &then),
                     PROPOSER_NOTHING);
    assert_still(&table.proposer, &before);
    /* A promise, or that it was refused, when acceptances are gathered. */
    ask(&table, 1);
    assert_int_equal(table.proposer.phase, PROPOSER_ACCEPTING);
    before = table.proposer;
    then.promised = (struct ballot){1, 0};
    assert_int_equal(proposer_hear(&table.proposer, 2, &wanted_promise, REGISTER_GRANTED, &then),
                     PROPOSER_NOTHING);
    assert_int_equal(proposer_hear(&table.proposer, 2, &wanted_promise, REGISTER_OUTBID, &then),
                     PROPOSER_NOTHING);
    assert_still(&table.proposer, &before);
}

static void replies_when_nothing_is_asked_change_nothing(void **unused)
{
    (void)unused;
    struct table table;
    lay(&table, 3, 0);
    const struct register_ask asked = {REGISTER_ACCEPT, {0, 0}, REGISTER_COMMIT};
    const struct register_ask promise = {REGISTER_PROMISE, {0, 0}, REGISTER_EMPTY};
    const struct proposer before = table.proposer;
    for (int site = 0; site < 3; site++) {
        assert_int_equal(proposer_hear(&table.proposer, site, &asked, REGISTER_GRANTED, &fresh),
                         PROPOSER_NOTHING);
        assert_int_equal(proposer_hear(&table.proposer, site, &promise, REGISTER_GRANTED, &fresh),
                         PROPOSER_NOTHING);
    }
    assert_still(&table.proposer, &before);
}

static void wait_and_held_leave_the_site_wanted(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 3);
    ask(&table, 0);
    const struct proposer before = table.proposer;
    struct register_ask asked = proposer_ask(&table.proposer);
    assert_int_equal(proposer_hear(&table.proposer, 1, &asked, REGISTER_WAIT, NULL),
                     PROPOSER_NOTHING);
    assert_int_equal(proposer_hear(&table.proposer, 1, &asked, REGISTER_HELD, NULL),
                     PROPOSER_NOTHING);
    assert_still(&table.proposer, &before);
    assert_int_equal(proposer_wants(&table.proposer), 1 << 1 | 1 << 2);
}

static void what_no_site_says_changes_nothing(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 3);
    ask(&table, 0);
    const struct proposer before = table.proposer;
    struct register_ask asked = proposer_ask(&table.proposer);
    const struct register_state accepted = {{0, 0}, {0, 0}, REGISTER_COMMIT},
                                unsound = {{UINT32_MAX - 1, 1}, {0, 0}, REGISTER_COMMIT};
    const int no_sites[] = {-1, 3, 32, 1000};
    for (size_t i = 0; i < sizeof(no_sites) / sizeof(no_sites[0]); i++)
        assert_int_equal(
            proposer_hear(&table.proposer, no_sites[i], &asked, REGISTER_GRANTED, &accepted),
            PROPOSER_NOTHING);
    for (int reply = 0; reply <= REGISTER_HELD + 1; reply++)
        assert_int_equal(proposer_hear(&table.proposer, 1, &asked, (enum register_reply)reply,
                                       reply == REGISTER_DECIDED ? &fresh : &unsound),
                         PROPOSER_NOTHING);
    assert_int_equal(proposer_learn(&table.proposer, REGISTER_EMPTY), PROPOSER_NOTHING);
    assert_int_equal(proposer_learn(&table.proposer, (enum register_value)3), PROPOSER_NOTHING);
    assert_still(&table.proposer, &before);
    assert_int_equal(table.proposer.seen, before.seen);
}

/* ---- rounds ---- */

static void the_round_after_an_outbid_one_is_above_all_heard_of(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 3);
    ask(&table, 0);
    table.registers[2].promised = (struct ballot){7, 2};
    assert_int_equal(ask(&table, 2), PROPOSER_WAS_OUTBID);
    assert_int_equal(table.proposer.phase, PROPOSER_OUTBID);
    assert_int_equal(proposer_wants(&table.proposer), 0);
    begin(&table);
    assert_asks(&table, REGISTER_PROMISE, (struct ballot){8, 0}, REGISTER_EMPTY);
    ask(&table, 0);
    assert_int_equal(ask(&table, 2), PROPOSER_PROGRESSED);
    assert_asks(&table, REGISTER_ACCEPT, (struct ballot){8, 0}, REGISTER_COMMIT);
}

static void a_new_round_forgets_what_the_last_one_gathered(void **unused)
{
    (void)unused;
    const struct register_state low = {{1, 2}, {1, 2}, REGISTER_COMMIT},
                                middle = {{2, 3}, {2, 3}, REGISTER_ABORT},
                                high = {{4, 3}, {4, 3}, REGISTER_COMMIT};
    struct table table;
    lay(&table, 5, 0);
    table.registers[0] = low;
    table.registers[1] = middle;
    table.registers[4] = high;
    table.proposer.seen = 4;
    begin(&table);
    ask(&table, 0);
    ask(&table, 4);
    assert_int_equal(ballot_compare(table.proposer.best, high.accepted), 0);
    begin(&table);
    assert_int_equal(proposer_granted(&table.proposer), 0);
    assert_int_equal(table.proposer.value, REGISTER_EMPTY);
    /* This time without site 4. */
    for (int site = 0; site < 3; site++)
        ask(&table, site);
    assert_asks(&table, REGISTER_ACCEPT, (struct ballot){6, 0}, REGISTER_ABORT);
}

static void a_late_reply_still_tells_of_a_higher_round(void **unused)
{
    (void)unused;
    struct table table;
    lay(&table, 3, 1);
    begin(&table);
    struct register_ask asked = proposer_ask(&table.proposer);
    begin(&table);
    assert_int_equal(table.proposer.ballot.round, 2);
    const struct register_state high = {{5, 0}, {0, 0}, REGISTER_EMPTY};
    assert_int_equal(proposer_hear(&table.proposer, 0, &asked, REGISTER_OUTBID, &high),
                     PROPOSER_NOTHING);
    begin(&table);
    assert_int_equal(table.proposer.ballot.round, 6);
}

static void the_own_register_may_outbid_its_site(void **unused)
{
    (void)unused;
    struct table table;
    lay(&table, 3, 1);
    begin(&table);
    /* Another site was promised before the own ask was stored. */
    table.registers[1].promised = (struct ballot){1, 2};
    assert_int_equal(ask(&table, 1), PROPOSER_WAS_OUTBID);
    begin(&table);
    assert_asks(&table, REGISTER_PROMISE, (struct ballot){2, 1}, REGISTER_EMPTY);
    assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
}

static void a_site_that_remembers_only_its_register_uses_no_ballot_twice(void **unused)
{
    (void)unused;
    struct table table;
    struct ballot last = {0, 0};
    lay(&table, 3, 1);
    for (int life = 0; life < 20; life++) {
        proposer_init(&table.proposer, 3, 1);
        begin(&table);
        struct register_ask asked = proposer_ask(&table.proposer);
        assert_true(ballot_compare(asked.ballot, last) > 0);
        /* Only now may others be asked; in some lives they are, and it gets on to acceptance. */
        assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
        last = asked.ballot;
        if (life % 3 == 0)
            assert_int_equal(ask(&table, 2), PROPOSER_PROGRESSED);
        if (life % 3 == 0 && life % 2 == 0)
            assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
    }
}

static void a_coordinator_that_proposed_and_was_restarted_goes_on_in_a_round(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 3);
    ask(&table, 0);
    proposer_init(&table.proposer, 3, 0);
    begin(&table);
    assert_asks(&table, REGISTER_PROMISE, (struct ballot){1, 0}, REGISTER_EMPTY);
    ask(&table, 0);
    ask(&table, 1);
    assert_asks(&table, REGISTER_ACCEPT, (struct ballot){1, 0}, REGISTER_COMMIT);
    ask(&table, 0);
    assert_int_equal(ask(&table, 2), PROPOSER_HAS_DECIDED);
    assert_decided(&table, REGISTER_COMMIT);
}

static void two_sites_of_one_round_have_different_ballots(void **unused)
{
    (void)unused;
    struct table table, other;
    lay(&table, 3, 1);
    lay(&other, 3, 2);
    begin(&table);
    begin(&other);
    assert_int_equal(table.proposer.ballot.round, other.proposer.ballot.round);
    assert_true(ballot_compare(table.proposer.ballot, other.proposer.ballot) < 0);
}

static void a_site_without_a_round_left_waits(void **unused)
{
    (void)unused;
    struct table table;
    lay(&table, 3, 1);
    table.registers[1].promised = (struct ballot){LIMIT_ROUNDS - 1, 2};
    begin(&table);
    assert_asks(&table, REGISTER_PROMISE, (struct ballot){LIMIT_ROUNDS, 1}, REGISTER_EMPTY);
    assert_int_equal(ask(&table, 1), PROPOSER_PROGRESSED);
    for (int i = 0; i < 3; i++) {
        assert_false(proposer_begin(&table.proposer, &table.registers[1]));
        assert_int_equal(proposer_wants(&table.proposer), 0);
    }
    assert_int_equal(proposer_learn(&table.proposer, REGISTER_ABORT), PROPOSER_HAS_DECIDED);
}

/* ---- decisions of others ---- */

static void a_decision_that_is_heard_ends_every_phase(void **unused)
{
    (void)unused;
    for (int phase = 0; phase < 4; phase++) {
        struct table table;
        lay(&table, 3, 0);
        if (phase == 1)
            proposer_propose_commit(&table.proposer);
        if (phase >= 2)
            begin(&table);
        if (phase == 3) {
            table.registers[0].promised = (struct ballot){4, 1};
            assert_int_equal(ask(&table, 0), PROPOSER_WAS_OUTBID);
        }
        assert_int_equal(proposer_learn(&table.proposer, REGISTER_ABORT), PROPOSER_HAS_DECIDED);
        assert_decided(&table, REGISTER_ABORT);
    }
}

static void a_reply_that_knows_the_decision_ends_the_round(void **unused)
{
    (void)unused;
    struct table table;
    lay(&table, 5, 4);
    begin(&table);
    ask(&table, 4);
    register_learn(&table.registers[2], REGISTER_COMMIT);
    assert_int_equal(ask(&table, 2), PROPOSER_HAS_DECIDED);
    assert_decided(&table, REGISTER_COMMIT);
}

static void a_register_that_has_learned_since_it_answered_decides_too(void **unused)
{
    (void)unused;
    const enum register_reply replies[] = {REGISTER_GRANTED, REGISTER_OUTBID};
    for (int i = 0; i < 2; i++) {
        struct table table;
        lay(&table, 5, 4);
        begin(&table);
        ask(&table, 4);
        struct register_ask asked = proposer_ask(&table.proposer);
        struct register_state learned = fresh;
        register_learn(&learned, REGISTER_COMMIT);
        assert_int_equal(proposer_hear(&table.proposer, 1, &asked, replies[i], &learned),
                         PROPOSER_HAS_DECIDED);
        assert_decided(&table, REGISTER_COMMIT);
    }
}

static void the_same_decision_again_is_nothing_and_another_a_contradiction(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 1);
    assert_int_equal(ask(&table, 0), PROPOSER_HAS_DECIDED);
    assert_int_equal(proposer_learn(&table.proposer, REGISTER_COMMIT), PROPOSER_NOTHING);
    assert_int_equal(proposer_learn(&table.proposer, REGISTER_ABORT), PROPOSER_CONTRADICTED);
    assert_decided(&table, REGISTER_COMMIT);

    lay(&table, 3, 1);
    assert_int_equal(proposer_learn(&table.proposer, REGISTER_ABORT), PROPOSER_HAS_DECIDED);
    const struct register_ask late = {REGISTER_PROMISE, {1, 1}, REGISTER_EMPTY};
    struct register_state learned = fresh;
    register_learn(&learned, REGISTER_COMMIT);
    assert_int_equal(proposer_hear(&table.proposer, 2, &late, REGISTER_DECIDED, &learned),
                     PROPOSER_CONTRADICTED);
    assert_decided(&table, REGISTER_ABORT);
}

static void a_grant_after_the_decision_is_nothing(void **unused)
{
    (void)unused;
    struct table table;
    lay_proposed(&table, 3);
    struct register_ask asked = proposer_ask(&table.proposer);
    ask(&table, 0);
    assert_int_equal(ask(&table, 1), PROPOSER_HAS_DECIDED);
    const struct register_state accepted = {{0, 0}, {0, 0}, REGISTER_COMMIT};
    assert_int_equal(proposer_hear(&table.proposer, 2, &asked, REGISTER_GRANTED, &accepted),
                     PROPOSER_NOTHING);
    assert_decided(&table, REGISTER_COMMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_phases_are_one_site_that_decides_by_its_own_acceptance),
        cmocka_unit_test(nobody_is_asked_before_the_own_register_has_granted),
        cmocka_unit_test(half_of_any_number_of_sites_decides_and_no_less),
        cmocka_unit_test(every_majority_has_one_of_those_who_accepted),
        cmocka_unit_test(what_enough_have_accepted_is_found_to_be_decided),
        cmocka_unit_test(who_accepted_at_the_coordinators_ballot_tells_of_two),
        cmocka_unit_test(a_round_in_which_nobody_has_accepted_aborts),
        cmocka_unit_test(commit_that_one_site_has_accepted_is_brought_to_its_end),
        cmocka_unit_test(the_value_accepted_at_the_highest_ballot_is_taken),
        cmocka_unit_test(what_a_site_accepts_in_the_second_phase_changes_no_value),
        cmocka_unit_test(a_repeated_reply_counts_once),
        cmocka_unit_test(a_reply_to_an_earlier_question_changes_nothing),
        cmocka_unit_test(replies_when_nothing_is_asked_change_nothing),
        cmocka_unit_test(wait_and_held_leave_the_site_wanted),
        cmocka_unit_test(what_no_site_says_changes_nothing),
        cmocka_unit_test(the_round_after_an_outbid_one_is_above_all_heard_of),
        cmocka_unit_test(a_new_round_forgets_what_the_last_one_gathered),
        cmocka_unit_test(a_late_reply_still_tells_of_a_higher_round),
        cmocka_unit_test(the_own_register_may_outbid_its_site),
        cmocka_unit_test(a_site_that_remembers_only_its_register_uses_no_ballot_twice),
        cmocka_unit_test(a_coordinator_that_proposed_and_was_restarted_goes_on_in_a_round),
        cmocka_unit_test(two_sites_of_one_round_have_different_ballots),
        cmocka_unit_test(a_site_without_a_round_left_waits),
        cmocka_unit_test(a_decision_that_is_heard_ends_every_phase),
        cmocka_unit_test(a_reply_that_knows_the_decision_ends_the_round),
        cmocka_unit_test(a_register_that_has_learned_since_it_answered_decides_too),
        cmocka_unit_test(the_same_decision_again_is_nothing_and_another_a_contradiction),
        cmocka_unit_test(a_grant_after_the_decision_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
