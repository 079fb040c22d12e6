/* Every order of everything, for few sites and rounds: the functions of core/register.c and
 * core/proposer.c themselves, from every state that any run can reach. Questions are a set, so that
 * each may come late, twice or never; a crash leaves a site its register. tests/model has the same
 * in Promela with the votes and more rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/proposer.h"

enum { SITES = 4, COORDINATOR = 0, KEY_BYTES = 112, ABOVE_ALL = 0xff };

/* What a site has granted of what a proposer asks now. An OUTBID is heard when it is answered:
 * heard later it says no more. Answers to what it asked before change nothing:
 * tests/unit/proposer.c. */
struct grant {
    bool given;
    struct register_state state;
};

enum record { NO_RECORD, PROPOSED, ABANDONED };

struct world {
    enum record record; /* the coordinator's */
    uint8_t decided;    /* what some site took for the decision, and tells */
    uint32_t asked;     /* all that was ever asked of others, a bit a question */
    struct register_state registers[SITES];
    struct proposer proposers[SITES];
    struct grant grants[SITES][SITES]; /* [who asked][who answered] */
};

/* ---- questions, numbered ---- */

static uint8_t ballot_number(struct ballot ballot)
{
    return ballot.round == UINT32_MAX ? ABOVE_ALL : (uint8_t)(ballot.round * SITES + ballot.site);
}

static struct ballot numbered_ballot(uint8_t number)
{
    if (number == ABOVE_ALL)
        return (struct ballot){UINT32_MAX, UINT32_MAX};
    return (struct ballot){number / SITES, number % SITES};
}

/* A promise, abort, or commit at each ballot. */
static int question_number(const struct register_ask *ask)
{
    return ballot_number(ask->ballot) * 3 + (int)ask->value;
}

static struct register_ask numbered_question(int number)
{
    enum register_value value = (enum register_value)(number % 3);
    return (struct register_ask){value ? REGISTER_ACCEPT : REGISTER_PROMISE,
                                 numbered_ballot((uint8_t)(number / 3)), value};
}

/* ---- a world as bytes, and back ---- */

static uint8_t *pack_register(uint8_t *to, const struct register_state *state)
{
    *to++ = ballot_number(state->promised);
    *to++ = ballot_number(state->accepted);
    *to++ = state->value;
    return to;
}

static const uint8_t *unpack_register(const uint8_t *from, struct register_state *state)
{
    *state = (struct register_state){numbered_ballot(from[0]), numbered_ballot(from[1]), from[2]};
    return from + 3;
}

static void pack(uint8_t key[KEY_BYTES], const struct world *world)
{
    uint8_t *to = key;
    memset(key, 0, KEY_BYTES);
    *to++ = (uint8_t)world->record;
    *to++ = world->decided;
    memcpy(to, &world->asked, sizeof(world->asked));
    to += sizeof(world->asked);
    for (int site = 0; site < SITES; site++) {
        const struct proposer *proposer = &world->proposers[site];
        to = pack_register(to, &world->registers[site]);
        const uint8_t bytes[] = {proposer->phase,
                                 proposer->value,
                                 ballot_number(proposer->ballot),
                                 (uint8_t)proposer->granted,
                                 ballot_number(proposer->best),
                                 proposer->best_count,
                                 (uint8_t)proposer->seen};
        memcpy(to, bytes, sizeof(bytes));
        to += sizeof(bytes);
        for (int other = 0; other < SITES; other++) {
            *to++ = world->grants[site][other].given;
            to = pack_register(to, &world->grants[site][other].state);
        }
    }
    assert_true(to <= key + KEY_BYTES);
}

static void unpack(struct world *world, const uint8_t *from, int sites)
{
    memset(world, 0, sizeof(*world));
    world->record = (enum record) * from++;
    world->decided = *from++;
    memcpy(&world->asked, from, sizeof(world->asked));
    from += sizeof(world->asked);
    for (int site = 0; site < SITES; site++) {
        from = unpack_register(from, &world->registers[site]);
        world->proposers[site] = (struct proposer){.sites = (uint8_t)sites,
                                                   .self = (uint8_t)site,
                                                   .phase = from[0],
                                                   .value = from[1],
                                                   .ballot = numbered_ballot(from[2]),
                                                   .granted = from[3],
                                                   .best = numbered_ballot(from[4]),
                                                   .best_count = from[5],
                                                   .seen = from[6]};
        from += 7;
        for (int other = 0; other < SITES; other++) {
            world->grants[site][other].given = *from++;
            from = unpack_register(from, &world->grants[site][other].state);
        }
    }
}

/* ---- the set of worlds that were reached ---- */

struct search {
    int sites;
    uint32_t rounds;
    uint32_t beginners; /* sites that begin rounds, a bit each */
    uint8_t (*keys)[KEY_BYTES];
    uint32_t *slots; /* an index into keys, plus one; 0 is free */
    size_t count, room, slot_count;
    int commits, aborts;
};

static size_t slot_of(const struct search *search, const uint8_t *key)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (int i = 0; i < KEY_BYTES; i += 8) {
        uint64_t word;
        memcpy(&word, key + i, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    size_t slot = hash & (search->slot_count - 1);
    while (search->slots[slot] && memcmp(search->keys[search->slots[slot] - 1], key, KEY_BYTES))
        slot = (slot + 1) & (search->slot_count - 1);
    return slot;
}

static void grow(struct search *search)
{
    search->room = search->room ? 2 * search->room : 1 << 12;
    search->keys = xrealloc(search->keys, search->room * KEY_BYTES);
    free(search->slots);
    search->slot_count = 2 * search->room;
    search->slots = xcalloc(search->slot_count, sizeof(*search->slots));
    for (size_t i = 0; i < search->count; i++)
        search->slots[slot_of(search, search->keys[i])] = (uint32_t)i + 1;
}

static void reach(struct search *search, const struct world *world)
{
    uint8_t key[KEY_BYTES];
    pack(key, world);
    if (search->count == search->room)
        grow(search);
    size_t slot = slot_of(search, key);
    if (search->slots[slot])
        return;
    memcpy(search->keys[search->count++], key, KEY_BYTES);
    search->slots[slot] = (uint32_t)search->count;
}

/* ---- steps: each changes a copy of the world, or is not possible in it ---- */

static void decide(struct search *search, struct world *world, uint8_t value)
{
    assert_true(!world->decided || world->decided == value);
    assert_true(value == REGISTER_ABORT || world->record == PROPOSED);
    world->decided = value;
    search->commits += value == REGISTER_COMMIT;
    search->aborts += value == REGISTER_ABORT && world->record != ABANDONED;
}

static void take(struct search *search, struct world *world, int site, enum proposer_turn turn)
{
    struct proposer *proposer = &world->proposers[site];
    assert_int_not_equal(turn, PROPOSER_CONTRADICTED);
    if (turn != PROPOSER_HAS_DECIDED)
        return;
    decide(search, world, proposer->value);
    if (world->registers[site].value != proposer->value)
        assert_true(register_learn(&world->registers[site], proposer->value));
}

/* After a step: what is to be asked is asked, and who asks something new was granted nothing. */
static void reach_after(struct search *search, const struct world *before, struct world *world)
{
    for (int site = 0; site < search->sites; site++) {
        const struct proposer *was = &before->proposers[site], *is = &world->proposers[site];
        if (was->phase != is->phase || ballot_compare(was->ballot, is->ballot) != 0)
            memset(world->grants[site], 0, sizeof(world->grants[site]));
        if (proposer_wants(is) & ~(UINT32_C(1) << site)) {
            struct register_ask ask = proposer_ask(is);
            world->asked |= UINT32_C(1) << question_number(&ask);
        }
    }
    reach(search, world);
}

static void propose(struct search *search, const struct world *before)
{
    if (before->record != NO_RECORD || before->proposers[COORDINATOR].phase != PROPOSER_IDLE)
        return;
    struct world world = *before;
    proposer_propose_commit(&world.proposers[COORDINATOR]);
    reach_after(search, before, &world);
    world = *before;
    world.record = ABANDONED;
    take(search, &world, COORDINATOR,
         proposer_learn(&world.proposers[COORDINATOR], REGISTER_ABORT));
    reach_after(search, before, &world);
}

static void ask_itself(struct search *search, const struct world *before, int site)
{
    if (proposer_wants(&before->proposers[site]) != UINT32_C(1) << site)
        return;
    struct world world = *before;
    struct register_ask ask = proposer_ask(&world.proposers[site]);
    enum register_reply reply = register_answer(&world.registers[site], &ask);
    if (site == COORDINATOR && reply == REGISTER_GRANTED && ask.question == REGISTER_ACCEPT)
        world.record = PROPOSED;
    take(search, &world, site,
         proposer_hear(&world.proposers[site], site, &ask, reply, &world.registers[site]));
    reach_after(search, before, &world);
}

static void begin(struct search *search, const struct world *before, int site)
{
    const struct proposer *proposer = &before->proposers[site];
    const struct register_state *own = &before->registers[site];
    bool may = search->beginners >> site & 1 && (site != COORDINATOR || before->record == PROPOSED);
    if (!may || (proposer->phase != PROPOSER_IDLE && proposer->phase != PROPOSER_OUTBID) ||
        register_decided(own) || own->promised.round >= search->rounds ||
        proposer->seen >= search->rounds)
        return;
    struct world world = *before;
    assert_true(proposer_begin(&world.proposers[site], &world.registers[site]));
    struct register_ask ask = proposer_ask(&world.proposers[site]);
    assert_false(before->asked >> question_number(&ask) & 1); /* no ballot is used twice */
    reach_after(search, before, &world);
}

static void crash(struct search *search, const struct world *before, int site)
{
    struct world world = *before;
    proposer_init(&world.proposers[site], search->sites, site);
    if (site == COORDINATOR && world.record == NO_RECORD) {
        world.record = ABANDONED;
        decide(search, &world, REGISTER_ABORT);
    }
    reach_after(search, before, &world);
}

static void be_told(struct search *search, const struct world *before, int site)
{
    if (!before->decided || before->proposers[site].phase == PROPOSER_DECIDED)
        return;
    struct world world = *before;
    take(search, &world, site,
         proposer_learn(&world.proposers[site], (enum register_value)world.decided));
    reach_after(search, before, &world);
}

static void answer(struct search *search, const struct world *before, int number, int site)
{
    struct register_ask ask = numbered_question(number);
    int from = (int)ask.ballot.site;
    bool acceptor = site != COORDINATOR || before->record == PROPOSED;
    if (from == site || !acceptor)
        return;
    struct world world = *before;
    enum register_reply reply = register_answer(&world.registers[site], &ask);
    const struct proposer *proposer = &world.proposers[from];
    struct register_ask now = {0};
    if (proposer_wants(proposer))
        now = proposer_ask(proposer);
    if (now.question == ask.question && ballot_compare(now.ballot, ask.ballot) == 0) {
        if (reply == REGISTER_GRANTED)
            world.grants[from][site] = (struct grant){true, world.registers[site]};
        else
            take(search, &world, from,
                 proposer_hear(&world.proposers[from], site, &ask, reply, &world.registers[site]));
    }
    reach_after(search, before, &world);
}

static void hear_grant(struct search *search, const struct world *before, int site, int from)
{
    const struct grant *grant = &before->grants[site][from];
    if (!grant->given || !proposer_wants(&before->proposers[site]))
        return;
    struct world world = *before;
    struct register_ask ask = proposer_ask(&world.proposers[site]);
    take(search, &world, site,
         proposer_hear(&world.proposers[site], from, &ask, REGISTER_GRANTED, &grant->state));
    reach_after(search, before, &world);
}

static void every_step(struct search *search, const struct world *world)
{
    propose(search, world);
    for (int site = 0; site < search->sites; site++) {
        ask_itself(search, world, site);
        begin(search, world, site);
        crash(search, world, site);
        be_told(search, world, site);
        for (int other = 0; other < search->sites; other++)
            hear_grant(search, world, site, other);
        for (int number = 0; number < 32; number++)
            if (world->asked >> number & 1)
                answer(search, world, number, site);
    }
}

/* Of three sites: more take minutes and gigabytes, and are for a person to ask for. */
static uint32_t rounds_of_three = 1;

static void search_of(int sites, uint32_t rounds, uint32_t beginners)
{
    struct search search = {.sites = sites, .rounds = rounds, .beginners = beginners};
    struct world world = {0};
    for (int site = 0; site < sites; site++)
        proposer_init(&world.proposers[site], sites, site);
    reach(&search, &world);
    for (size_t next = 0; next < search.count; next++) {
        unpack(&world, search.keys[next], sites);
        every_step(&search, &world);
    }
    print_message("# %d sites, %u rounds: %zu states, decided commit %d times, abort %d times\n",
                  sites, rounds, search.count, search.commits, search.aborts);
    assert_true(search.commits > 0);
    /* Two sites have a majority only with the coordinator, which has accepted commit or abandoned.
     */
    assert_int_equal(search.aborts > 0, sites > 2);
    free(search.keys);
    free(search.slots);
}

static void search_all(int sites, uint32_t rounds)
{
    search_of(sites, rounds, UINT32_MAX);
}

static void one_site_decides_alone(void **unused)
{
    (void)unused;
    search_all(1, 1);
}

static void two_sites_never_decide_differently(void **unused)
{
    (void)unused;
    search_all(2, 2);
}

static void three_sites_never_decide_differently(void **unused)
{
    (void)unused;
    search_all(3, rounds_of_three);
}

/* Half of them is enough to accept. Two of them begin rounds, as all four have too many orders. */
static void four_sites_never_decide_differently(void **unused)
{
    (void)unused;
    search_of(4, 1, 1 << 1 | 1 << 2);
    search_of(4, 1, 1 << COORDINATOR | 1 << 1);
}

/* usage: decision_orders.t [ROUNDS] */
int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "2") == 0)
        rounds_of_three = 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_site_decides_alone),
        cmocka_unit_test(two_sites_never_decide_differently),
        cmocka_unit_test(three_sites_never_decide_differently),
        cmocka_unit_test(four_sites_never_decide_differently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
