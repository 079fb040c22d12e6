/* The decision register of one site: its rules, each by its name, and all of them over every small
 * state and every small ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/limits.h"
#include "core/register.h"

static const struct ballot own_of_coordinator = {0, 0};
static const struct register_state fresh = {{0, 0}, {0, 0}, REGISTER_EMPTY};

static struct register_ask promise(struct ballot ballot)
{
    return (struct register_ask){REGISTER_PROMISE, ballot, REGISTER_EMPTY};
}

static struct register_ask accept(struct ballot ballot, enum register_value value)
{
    return (struct register_ask){REGISTER_ACCEPT, ballot, value};
}

static void assert_state(const struct register_state *state, struct ballot promised,
                         struct ballot accepted, enum register_value value)
{
    assert_int_equal(ballot_compare(state->promised, promised), 0);
    assert_int_equal(ballot_compare(state->accepted, accepted), 0);
    assert_int_equal(state->value, value);
}

/* Answered so, and nothing has changed. */
static void assert_unmoved(const struct register_state *before, struct register_ask ask,
                           enum register_reply reply)
{
    struct register_state state = *before;
    assert_int_equal(register_answer(&state, &ask), reply);
    assert_true(register_state_equal(&state, before));
}

static struct register_state after(struct register_state state, struct register_ask ask)
{
    assert_int_equal(register_answer(&state, &ask), REGISTER_GRANTED);
    return state;
}

static void ballots_are_ordered_by_round_and_then_by_site(void **unused)
{
    (void)unused;
    const struct ballot ordered[] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {1, 31}, {2, 0}, {900, 3}};
    const int count = sizeof(ordered) / sizeof(ordered[0]);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            assert_int_equal(ballot_compare(ordered[i], ordered[j]), (i > j) - (i < j));
}

static void a_fresh_register_accepts_the_coordinators_own_ballot_without_a_promise(void **unused)
{
    (void)unused;
    struct register_state state = after(fresh, accept(own_of_coordinator, REGISTER_COMMIT));
    assert_state(&state, own_of_coordinator, own_of_coordinator, REGISTER_COMMIT);
    assert_false(register_decided(&state));
}

static void a_promise_fences_every_lower_ballot(void **unused)
{
    (void)unused;
    struct register_state state = after(fresh, promise((struct ballot){2, 1}));
    assert_state(&state, (struct ballot){2, 1}, own_of_coordinator, REGISTER_EMPTY);
    assert_unmoved(&state, accept(own_of_coordinator, REGISTER_COMMIT), REGISTER_OUTBID);
    assert_unmoved(&state, accept((struct ballot){2, 0}, REGISTER_ABORT), REGISTER_OUTBID);
    assert_unmoved(&state, accept((struct ballot){1, 31}, REGISTER_COMMIT), REGISTER_OUTBID);
    assert_unmoved(&state, promise((struct ballot){2, 0}), REGISTER_OUTBID);
}

static void the_same_ask_again_is_granted_again_and_changes_nothing(void **unused)
{
    (void)unused;
    struct register_state state = after(fresh, accept(own_of_coordinator, REGISTER_COMMIT));
    assert_unmoved(&state, accept(own_of_coordinator, REGISTER_COMMIT), REGISTER_GRANTED);
    state = after(state, promise((struct ballot){1, 2}));
    assert_unmoved(&state, promise((struct ballot){1, 2}), REGISTER_GRANTED);
    state = after(state, accept((struct ballot){1, 2}, REGISTER_COMMIT));
    assert_unmoved(&state, accept((struct ballot){1, 2}, REGISTER_COMMIT), REGISTER_GRANTED);
    assert_unmoved(&state, promise((struct ballot){1, 2}), REGISTER_GRANTED);
}

static void a_promise_keeps_what_was_accepted_below_it(void **unused)
{
    (void)unused;
    struct register_state state = after(fresh, accept(own_of_coordinator, REGISTER_COMMIT));
    state = after(state, promise((struct ballot){1, 1}));
    assert_state(&state, (struct ballot){1, 1}, own_of_coordinator, REGISTER_COMMIT);
}

static void an_accepted_ballot_is_promised_too(void **unused)
{
    (void)unused;
    struct register_state state = after(fresh, promise((struct ballot){1, 1}));
    state = after(state, accept((struct ballot){3, 0}, REGISTER_ABORT));
    assert_state(&state, (struct ballot){3, 0}, (struct ballot){3, 0}, REGISTER_ABORT);
    assert_unmoved(&state, accept((struct ballot){1, 1}, REGISTER_COMMIT), REGISTER_OUTBID);
}

static void a_higher_ballot_may_bring_another_value(void **unused)
{
    (void)unused;
    struct register_state state = after(fresh, accept(own_of_coordinator, REGISTER_COMMIT));
    state = after(state, accept((struct ballot){1, 2}, REGISTER_ABORT));
    assert_state(&state, (struct ballot){1, 2}, (struct ballot){1, 2}, REGISTER_ABORT);
}

static void a_ballot_has_one_value(void **unused)
{
    (void)unused;
    struct register_state state = after(fresh, accept((struct ballot){1, 2}, REGISTER_ABORT));
    assert_unmoved(&state, accept((struct ballot){1, 2}, REGISTER_COMMIT), REGISTER_OUTBID);
    assert_unmoved(&state, accept((struct ballot){1, 2}, REGISTER_ABORT), REGISTER_GRANTED);
}

static void a_learned_decision_answers_everything(void **unused)
{
    (void)unused;
    struct register_state state = after(fresh, accept(own_of_coordinator, REGISTER_COMMIT));
    assert_true(register_learn(&state, REGISTER_ABORT));
    assert_true(register_decided(&state));
    assert_int_equal(state.value, REGISTER_ABORT);
    assert_true(register_state_sound(&state));
    assert_unmoved(&state, promise((struct ballot){LIMIT_ROUNDS, 31}), REGISTER_DECIDED);
    assert_unmoved(&state, accept(own_of_coordinator, REGISTER_COMMIT), REGISTER_DECIDED);
    assert_unmoved(&state, accept((struct ballot){9, 9}, REGISTER_ABORT), REGISTER_DECIDED);
}

static void a_decision_is_learned_once_and_another_one_is_a_contradiction(void **unused)
{
    (void)unused;
    struct register_state state = fresh;
    assert_true(register_learn(&state, REGISTER_COMMIT));
    struct register_state learned = state;
    assert_true(register_learn(&state, REGISTER_COMMIT));
    assert_false(register_learn(&state, REGISTER_ABORT));
    assert_true(register_state_equal(&state, &learned));
}

static void what_no_site_asks_is_refused_and_changes_nothing(void **unused)
{
    (void)unused;
    const struct register_ask asks[] = {
        accept((struct ballot){1, 1}, REGISTER_EMPTY),
        accept((struct ballot){1, 1}, (enum register_value)3),
        accept(own_of_coordinator, REGISTER_ABORT),
        accept((struct ballot){0, 1}, REGISTER_COMMIT),
        accept((struct ballot){1, LIMIT_SITES}, REGISTER_COMMIT),
        accept((struct ballot){LIMIT_ROUNDS + 1, 1}, REGISTER_COMMIT),
        accept((struct ballot){UINT32_MAX, UINT32_MAX}, REGISTER_COMMIT),
        promise(own_of_coordinator),
        promise((struct ballot){0, 3}),
        promise((struct ballot){1, UINT32_MAX}),
        promise((struct ballot){LIMIT_ROUNDS + 1, 0}),
        promise((struct ballot){UINT32_MAX - 1, 1}),
        {(enum register_question)0, {1, 1}, REGISTER_COMMIT},
        {(enum register_question)3, {1, 1}, REGISTER_COMMIT},
    };
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        assert_false(register_ask_sound(&asks[i]));
        assert_unmoved(&fresh, asks[i], REGISTER_OUTBID);
    }
    const struct register_ask highest = promise((struct ballot){LIMIT_ROUNDS, LIMIT_SITES - 1});
    assert_true(register_ask_sound(&highest));
    after(fresh, highest);
}

static void what_no_register_holds_is_not_sound(void **unused)
{
    (void)unused;
    const struct ballot above_all = {UINT32_MAX, UINT32_MAX};
    const struct register_state states[] = {
        {{1, 1}, {2, 1}, REGISTER_COMMIT},      /* accepted above its promise */
        {{2, 1}, {1, 1}, REGISTER_EMPTY},       /* accepted nothing, at a ballot */
        {{2, 1}, {0, 0}, REGISTER_ABORT},       /* the coordinator proposes commit alone */
        {{2, 1}, {1, 1}, 3},                    /* no value */
        {{2, LIMIT_SITES}, {0, 0}, 0},          /* no site */
        {{0, 2}, {0, 0}, REGISTER_EMPTY},       /* round 0 is the coordinator's */
        {{LIMIT_ROUNDS + 1, 0}, {0, 0}, 0},     /* no round */
        {{UINT32_MAX, UINT32_MAX}, {0, 0}, 0},  /* a promise above all, and no decision */
        {{UINT32_MAX, 3}, {1, 1}, 1},           /* likewise */
        {{1, 1}, {UINT32_MAX, UINT32_MAX}, 1},  /* a decision that promises less */
        {above_all, above_all, REGISTER_EMPTY}, /* decided nothing */
        {above_all, above_all, 3},
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        assert_false(register_state_sound(&states[i]));
    const struct register_state sound[] = {
        fresh,
        {{0, 0}, {0, 0}, REGISTER_COMMIT},
        {{2, 1}, {0, 0}, REGISTER_COMMIT},
        {{LIMIT_ROUNDS, LIMIT_SITES - 1}, {1, 1}, REGISTER_ABORT},
        {above_all, above_all, REGISTER_COMMIT},
    };
    for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++)
        assert_true(register_state_sound(&sound[i]));
}

/* ---- every small state, every small ask ---- */

enum { ROUNDS = 3, SITES = 3, BALLOTS = ROUNDS * SITES, ASKS = 2 * BALLOTS * 3 };

static struct ballot nth_ballot(int n)
{
    return (struct ballot){(uint32_t)(n / SITES), (uint32_t)(n % SITES)};
}

static struct register_ask nth_ask(int n)
{
    return (struct register_ask){n % 2 ? REGISTER_PROMISE : REGISTER_ACCEPT,
                                 nth_ballot(n / 2 % BALLOTS),
                                 (enum register_value)(n / 2 / BALLOTS)};
}

/* What must hold of any answer. */
static void check_answer(const struct register_state *before, const struct register_ask *ask)
{
    struct register_state state = *before;
    enum register_reply reply = register_answer(&state, ask);
    bool fenced = ballot_compare(ask->ballot, before->promised) < 0;
    assert_true(register_state_sound(&state));
    assert_true(ballot_compare(state.promised, before->promised) >= 0);
    if (reply != REGISTER_GRANTED) {
        assert_int_equal(reply, REGISTER_OUTBID);
        assert_true(register_state_equal(&state, before));
        bool other_value = ask->question == REGISTER_ACCEPT && ask->value != before->value &&
                           ballot_compare(ask->ballot, before->accepted) == 0;
        assert_true(fenced || other_value || !register_ask_sound(ask));
        return;
    }
    assert_false(fenced);
    assert_int_equal(ballot_compare(state.promised, ask->ballot), 0);
    bool accepts = ask->question == REGISTER_ACCEPT;
    assert_int_equal(state.value, accepts ? ask->value : before->value);
    assert_int_equal(ballot_compare(state.accepted, accepts ? ask->ballot : before->accepted), 0);
    assert_unmoved(&state, *ask, REGISTER_GRANTED);
}

static void the_rules_hold_for_every_small_state_and_ask(void **unused)
{
    (void)unused;
    int sound = 0;
    for (int n = 0; n < BALLOTS * BALLOTS * 3; n++) {
        struct register_state state = {nth_ballot(n % BALLOTS), nth_ballot(n / BALLOTS % BALLOTS),
                                       (uint8_t)(n / BALLOTS / BALLOTS)};
        if (!register_state_sound(&state))
            continue;
        sound++;
        for (int i = 0; i < ASKS; i++) {
            struct register_ask ask = nth_ask(i);
            check_answer(&state, &ask);
        }
    }
    /* Promised one of 7 ballots; accepted nothing, commit at {0,0}, or either below the promise. */
    assert_int_equal(sound, 7 + 7 + 2 * (6 * 7 / 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ballots_are_ordered_by_round_and_then_by_site),
        cmocka_unit_test(a_fresh_register_accepts_the_coordinators_own_ballot_without_a_promise),
        cmocka_unit_test(a_promise_fences_every_lower_ballot),
        cmocka_unit_test(the_same_ask_again_is_granted_again_and_changes_nothing),
        cmocka_unit_test(a_promise_keeps_what_was_accepted_below_it),
        cmocka_unit_test(an_accepted_ballot_is_promised_too),
        cmocka_unit_test(a_higher_ballot_may_bring_another_value),
        cmocka_unit_test(a_ballot_has_one_value),
        cmocka_unit_test(a_learned_decision_answers_everything),
        cmocka_unit_test(a_decision_is_learned_once_and_another_one_is_a_contradiction),
        cmocka_unit_test(what_no_site_asks_is_refused_and_changes_nothing),
        cmocka_unit_test(what_no_register_holds_is_not_sound),
        cmocka_unit_test(the_rules_hold_for_every_small_state_and_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
