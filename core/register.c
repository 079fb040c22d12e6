#include "core/register.h"

#include "core/check.h"
#include "core/planted.h"

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

enum register_reply register_answer(struct register_state *state, const struct register_ask *ask)
{
    CHECK(ask->question == REGISTER_PROMISE || ask->value != REGISTER_EMPTY);
    CHECK(ballot_compare(state->promised, state->accepted) >= 0);
    if (register_decided(state))
        return REGISTER_DECIDED;
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
