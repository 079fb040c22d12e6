#include "core/register.h"

#include "core/check.h"
#include "core/limits.h"
#include "core/planted.h"

const struct register_state register_first_commit = {.value = REGISTER_COMMIT};

/* Above every ballot that a site can choose. */
static const struct ballot above_all = {UINT32_MAX, UINT32_MAX};

int ballot_compare(struct ballot a, struct ballot b)
{
    if (a.round != b.round)
        return a.round < b.round ? -1 : 1;
    return a.site == b.site ? 0 : a.site < b.site ? -1 : 1;
}

bool register_state_equal(const struct register_state *a, const struct register_state *b)
{
    return ballot_compare(a->promised, b->promised) == 0 &&
           ballot_compare(a->accepted, b->accepted) == 0 && a->value == b->value;
}

bool register_decided(const struct register_state *state)
{
    return state->value != REGISTER_EMPTY && ballot_compare(state->accepted, above_all) == 0;
}

static bool is_zero(struct ballot ballot)
{
    return ballot.round == 0 && ballot.site == 0;
}

/* Round 0 has one ballot, which is the coordinator's. */
static bool ballot_sound(struct ballot ballot)
{
    return is_zero(ballot) ||
           (ballot.round >= 1 && ballot.round <= LIMIT_ROUNDS && ballot.site < LIMIT_SITES);
}

bool register_ask_sound(const struct register_ask *ask)
{
    if (!ballot_sound(ask->ballot))
        return false;
    if (ask->question == REGISTER_PROMISE)
        return !is_zero(ask->ballot);
    return ask->question == REGISTER_ACCEPT &&
           (ask->value == REGISTER_COMMIT ||
            (ask->value == REGISTER_ABORT && !is_zero(ask->ballot)));
}

bool register_state_sound(const struct register_state *state)
{
    if (register_decided(state))
        return state->value <= REGISTER_COMMIT && ballot_compare(state->promised, above_all) == 0;
    if (!ballot_sound(state->promised) || !ballot_sound(state->accepted) ||
        ballot_compare(state->promised, state->accepted) < 0)
        return false;
    if (is_zero(state->accepted))
        return state->value == REGISTER_EMPTY || state->value == REGISTER_COMMIT;
    return state->value == REGISTER_ABORT || state->value == REGISTER_COMMIT;
}

enum register_reply register_answer(struct register_state *state, const struct register_ask *ask)
{
    CHECK(ballot_compare(state->promised, state->accepted) >= 0);
    if (register_decided(state))
        return REGISTER_DECIDED;
    if (!register_ask_sound(ask))
        return REGISTER_OUTBID;
    bool same_ballot =
        state->value != REGISTER_EMPTY && ballot_compare(ask->ballot, state->accepted) == 0;
    if (ask->question == REGISTER_ACCEPT && same_ballot && ask->value != state->value)
        return REGISTER_OUTBID;
    if (ballot_compare(ask->ballot, state->promised) < 0 &&
        !(PLANTED(ACCEPT_BELOW_PROMISE) && ask->question == REGISTER_ACCEPT)) /* R1 */
        return REGISTER_OUTBID;
    if (ballot_compare(ask->ballot, state->promised) > 0)
        state->promised = ask->ballot;
    if (ask->question == REGISTER_ACCEPT) {
        state->accepted = ask->ballot;
        state->value = (uint8_t)ask->value;
    }
    return REGISTER_GRANTED;
}

bool register_learn(struct register_state *state, enum register_value value)
{
    CHECK(value != REGISTER_EMPTY);
    if (register_decided(state))
        return state->value == value;
    *state = (struct register_state){above_all, above_all, (uint8_t)value};
    return true;
}
