#include "core/proposer.h"

#include "core/check.h"
#include "core/planted.h"

static uint32_t bit(int site)
{
    return UINT32_C(1) << site;
}

void proposer_init(struct proposer *proposer, int sites, int self)
{
    CHECK(sites >= 1 && sites <= LIMIT_SITES && self >= 0 && self < sites);
    *proposer = (struct proposer){.sites = (uint8_t)sites, .self = (uint8_t)self};
}

static int or_one_less(int sites)
{
    return PLANTED(MINORITY_DECIDES) && sites > 1 ? sites - 1 : sites;
}

int proposer_majority(const struct proposer *proposer)
{
    return or_one_less(proposer->sites / 2 + 1);
}

int proposer_acceptances(const struct proposer *proposer)
{
    return or_one_less((proposer->sites + 1) / 2);
}

bool proposer_first_other_decides(int sites)
{
    return (sites + 1) / 2 <= 2 || PLANTED(FIRST_OTHER_ALWAYS_DECIDES);
}

int proposer_granted(const struct proposer *proposer)
{
    return __builtin_popcount(proposer->granted);
}

static void enter(struct proposer *proposer, enum proposer_phase phase)
{
    proposer->phase = (uint8_t)phase;
    proposer->granted = 0;
}

void proposer_propose_commit(struct proposer *proposer)
{
    CHECK(proposer->phase == PROPOSER_IDLE && proposer->self == 0);
    proposer->value = REGISTER_COMMIT;
    enter(proposer, PROPOSER_ACCEPTING);
}

bool proposer_begin(struct proposer *proposer, const struct register_state *own)
{
    CHECK(proposer->phase != PROPOSER_DECIDED && !register_decided(own));
    if (own->promised.round > proposer->seen)
        proposer->seen = own->promised.round;
    if (proposer->seen >= LIMIT_ROUNDS) {
        enter(proposer, PROPOSER_OUTBID);
        return false;
    }
    proposer->ballot = (struct ballot){++proposer->seen, proposer->self};
    proposer->best = (struct ballot){0, 0};
    proposer->best_count = 0;
    proposer->value = REGISTER_EMPTY;
    enter(proposer, PROPOSER_PROMISING);
    return true;
}

struct register_ask proposer_ask(const struct proposer *proposer)
{
    CHECK(proposer->phase == PROPOSER_PROMISING || proposer->phase == PROPOSER_ACCEPTING);
    bool accept = proposer->phase == PROPOSER_ACCEPTING;
    return (struct register_ask){.question = accept ? REGISTER_ACCEPT : REGISTER_PROMISE,
                                 .ballot = proposer->ballot,
                                 .value = accept ? proposer->value : REGISTER_EMPTY};
}

uint32_t proposer_wants(const struct proposer *proposer)
{
    if (proposer->phase != PROPOSER_PROMISING && proposer->phase != PROPOSER_ACCEPTING)
        return 0;
    uint32_t all = proposer->sites == 32 ? UINT32_MAX : bit(proposer->sites) - 1;
    uint32_t own = bit(proposer->self);
    bool own_first = !(proposer->granted & own) && !PLANTED(ASK_BEFORE_OWN);
    return own_first ? own : all & ~proposer->granted;
}

/* What a site that promises had accepted: the highest counts, and how many hold it. */
static void take_accepted(struct proposer *proposer, const struct register_state *state)
{
    if (state->value == REGISTER_EMPTY || PLANTED(IGNORE_ACCEPTED))
        return;
    int above = ballot_compare(state->accepted, proposer->best);
    bool better = PLANTED(TAKE_LOWEST_ACCEPTED) ? above < 0 : above > 0;
    if (better || proposer->value == REGISTER_EMPTY) {
        proposer->best = state->accepted;
        proposer->best_count = 0;
        proposer->value = state->value;
    }
    if (ballot_compare(state->accepted, proposer->best) == 0)
        proposer->best_count++;
}

/* Nobody is asked at the coordinator's ballot before it has accepted there itself: who accepted
 * that tells of two, also when the coordinator can't be asked. */
static int acceptances(const struct proposer *proposer)
{
    bool coordinators = proposer->best.round == 0 && proposer->best_count > 0;
    return proposer->best_count + (coordinators && !(proposer->granted & bit(0)));
}

static enum proposer_turn granted(struct proposer *proposer, int site,
                                  const struct register_state *state)
{
    if (proposer->granted & bit(site))
        return PROPOSER_NOTHING;
    proposer->granted |= bit(site);
    bool promising = proposer->phase == PROPOSER_PROMISING;
    if (promising)
        take_accepted(proposer, state);
    /* Enough have accepted it already: it is decided, though fewer than a majority can be asked. */
    if (promising && acceptances(proposer) >= proposer_acceptances(proposer)) {
        enter(proposer, PROPOSER_DECIDED);
        return PROPOSER_HAS_DECIDED;
    }
    int needed = promising ? proposer_majority(proposer) : proposer_acceptances(proposer);
    if (proposer_granted(proposer) < needed)
        return PROPOSER_PROGRESSED;
    if (!promising) {
        enter(proposer, PROPOSER_DECIDED);
        return PROPOSER_HAS_DECIDED;
    }
    /* No site of a majority has accepted anything: nothing is or can be decided below this ballot.
     * Only abort is right: not every site need have voted yes. */
    if (proposer->value == REGISTER_EMPTY)
        proposer->value = REGISTER_ABORT;
    enter(proposer, PROPOSER_ACCEPTING);
    return PROPOSER_PROGRESSED;
}

enum proposer_turn proposer_hear(struct proposer *proposer, int site,
                                 const struct register_ask *ask, enum register_reply reply,
                                 const struct register_state *state)
{
    if (site < 0 || site >= proposer->sites)
        return PROPOSER_NOTHING;
    if (reply == REGISTER_DECIDED)
        return proposer_learn(proposer, state->value);
    if ((reply != REGISTER_GRANTED && reply != REGISTER_OUTBID) || !register_state_sound(state))
        return PROPOSER_NOTHING;
    if (register_decided(state)) /* by now: it was not yet when it answered */
        return proposer_learn(proposer, state->value);
    if (state->promised.round > proposer->seen)
        proposer->seen = state->promised.round;
    enum register_question question =
        proposer->phase == PROPOSER_ACCEPTING ? REGISTER_ACCEPT : REGISTER_PROMISE;
    if ((proposer->phase != PROPOSER_PROMISING && proposer->phase != PROPOSER_ACCEPTING) ||
        ((ballot_compare(ask->ballot, proposer->ballot) != 0 || ask->question != question) &&
         !PLANTED(COUNT_STALE_GRANT)))
        return PROPOSER_NOTHING;
    if (reply == REGISTER_GRANTED)
        return granted(proposer, site, state);
    enter(proposer, PROPOSER_OUTBID);
    return PROPOSER_WAS_OUTBID;
}

enum proposer_turn proposer_learn(struct proposer *proposer, enum register_value value)
{
    if (value != REGISTER_ABORT && value != REGISTER_COMMIT)
        return PROPOSER_NOTHING;
    if (proposer->phase == PROPOSER_DECIDED)
        return proposer->value == value ? PROPOSER_NOTHING : PROPOSER_CONTRADICTED;
    proposer->value = (uint8_t)value;
    enter(proposer, PROPOSER_DECIDED);
    return PROPOSER_HAS_DECIDED;
}
