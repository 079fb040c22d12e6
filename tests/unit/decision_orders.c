/* Every order of everything, for few sites and rounds: the functions of core/register.c and
 * core/proposer.c themselves, from every state that any run can reach. Questions are a set, so that
 * each may come late, twice or never; a crash leaves a site its register. tests/model has the same
 * in Promela with the votes and more rounds.
 *
 * Where two acceptances are enough a participant may commit its branch with its acceptance at the
 * coordinator's own ballot: a server process inserts the row without a flush and then commits the
 * branch with one, whether anybody still listens to it or not. What the rules are for is shown by
 * searches in which one is broken: each comes upon two decisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/proposer.h"

enum { SITES = 5, COORDINATOR = 0, KEY_MOST = 144, ABOVE_ALL = 0xff };

enum flaw {
    FLAWLESS,
    SPEAKS_UNFLUSHED,       /* a row that a crash may take is answered with */
    COMMITS_BEFORE_ROW,     /* the branch is committed, and the row would come after it */
    COMMITS_THOUGH_REFUSED, /* the row can't be inserted, and the branch is committed all the same
                             */
    INSERTS_OVER_ROW,       /* a row that is there is replaced */
    COMMITS_WITH_TOO_FEW,   /* two of five sites are taken for enough */
    ASKS_EARLY,             /* others are asked before the coordinator has accepted durably */
};

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
    uint64_t asked;     /* all that was ever asked of others, a bit a question */
    uint8_t unflushed;  /* sites whose row is there, and is lost when their database crashes */
    uint8_t committing; /* sites where a server process has inserted the row and will commit: until
                           commit is decided, as it decides nothing new then */
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

static size_t key_size(int sites)
{
    size_t bytes = 4 + sizeof(uint64_t) + (size_t)sites * (3 + 7 + 3 * (size_t)sites);
    return (bytes + 7) / 8 * 8;
}

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

static uint8_t *pack_grant(uint8_t *to, const struct grant *grant)
{
    to = pack_register(to, &grant->state);
    to[-1] |= (uint8_t)(grant->given << 7);
    return to;
}

static const uint8_t *unpack_grant(const uint8_t *from, struct grant *grant)
{
    from = unpack_register(from, &grant->state);
    grant->given = from[-1] >> 7;
    grant->state.value &= 0x7f;
    return from;
}

static uint8_t *pack_proposer(uint8_t *to, const struct proposer *proposer)
{
    *to++ = proposer->phase;
    *to++ = proposer->value;
    *to++ = ballot_number(proposer->ballot);
    *to++ = (uint8_t)proposer->granted;
    *to++ = ballot_number(proposer->best);
    *to++ = proposer->best_count;
    *to++ = (uint8_t)proposer->seen;
    return to;
}

static const uint8_t *unpack_proposer(const uint8_t *from, struct proposer *proposer)
{
    proposer->phase = *from++;
    proposer->value = *from++;
    proposer->ballot = numbered_ballot(*from++);
    proposer->granted = *from++;
    proposer->best = numbered_ballot(*from++);
    proposer->best_count = *from++;
    proposer->seen = *from++;
    return from;
}

static void pack(uint8_t key[KEY_MOST], const struct world *world, int sites)
{
    uint8_t *to = key;
    memset(key, 0, KEY_MOST);
    *to++ = (uint8_t)world->record;
    *to++ = world->decided;
    *to++ = world->unflushed;
    *to++ = world->committing;
    memcpy(to, &world->asked, sizeof(world->asked));
    to += sizeof(world->asked);
    for (int site = 0; site < sites; site++) {
        to = pack_register(to, &world->registers[site]);
        to = pack_proposer(to, &world->proposers[site]);
        for (int other = 0; other < sites; other++)
            to = pack_grant(to, &world->grants[site][other]);
    }
    assert_true(to <= key + KEY_MOST);
}

static void unpack(struct world *world, const uint8_t *from, int sites)
{
    memset(world, 0, sizeof(*world));
    world->record = (enum record) * from++;
    world->decided = *from++;
    world->unflushed = *from++;
    world->committing = *from++;
    memcpy(&world->asked, from, sizeof(world->asked));
    from += sizeof(world->asked);
    for (int site = 0; site < sites; site++) {
        from = unpack_register(from, &world->registers[site]);
        proposer_init(&world->proposers[site], sites, site);
        from = unpack_proposer(from, &world->proposers[site]);
        for (int other = 0; other < sites; other++)
            from = unpack_grant(from, &world->grants[site][other]);
    }
}

/* ---- the set of worlds that were reached ---- */

struct slot {
    uint32_t number; /* of a key, from one; 0 is free */
    uint32_t mark;   /* keys with another one are other keys: few are compared */
};

struct search {
    int sites;
    uint32_t rounds;
    uint32_t beginners; /* sites that begin rounds, a bit each */
    uint32_t deciders;  /* sites that may commit with their acceptance, likewise */
    enum flaw flaw;
    uint8_t *keys;
    size_t key_size;
    struct slot *slots;
    size_t count, room, slot_count, next; /* next: the key whose steps are looked at */
    int commits, aborts, first_others;
    int depth;
    bool split; /* two decisions */
};

static uint8_t *key_at(const struct search *search, size_t index)
{
    return search->keys + index * search->key_size;
}

static uint64_t hash_of(const struct search *search, const uint8_t *key)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < search->key_size; i += 8) {
        uint64_t word;
        memcpy(&word, key + i, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return hash;
}

/* Where the key is, or its free place. */
static struct slot *slot_of(const struct search *search, const uint8_t *key, uint64_t hash)
{
    size_t place = hash & (search->slot_count - 1);
    for (;; place = (place + 1) & (search->slot_count - 1)) {
        struct slot *slot = &search->slots[place];
        if (!slot->number || (slot->mark == (uint32_t)(hash >> 32) &&
                              !memcmp(key_at(search, slot->number - 1), key, search->key_size)))
            return slot;
    }
}

static void grow(struct search *search)
{
    search->room = search->room ? 2 * search->room : 1 << 12;
    search->keys = xrealloc(search->keys, search->room * search->key_size);
    free(search->slots);
    search->slot_count = 2 * search->room;
    search->slots = xcalloc(search->slot_count, sizeof(*search->slots));
    for (size_t i = 0; i < search->count; i++) {
        uint64_t hash = hash_of(search, key_at(search, i));
        *slot_of(search, key_at(search, i), hash) =
            (struct slot){(uint32_t)i + 1, (uint32_t)(hash >> 32)};
    }
}

static void reach(struct search *search, const struct world *world)
{
    uint8_t key[KEY_MOST];
    pack(key, world, search->sites);
    if (search->count > 0 && !memcmp(key, key_at(search, search->next), search->key_size))
        return; /* nothing has changed */
    if (search->count == search->room)
        grow(search);
    uint64_t hash = hash_of(search, key);
    struct slot *slot = slot_of(search, key, hash);
    if (slot->number)
        return;
    memcpy(key_at(search, search->count++), key, search->key_size);
    *slot = (struct slot){(uint32_t)search->count, (uint32_t)(hash >> 32)};
}

/* ---- steps: each changes a copy of the world, or is not possible in it ---- */

static uint8_t bit(int site)
{
    return (uint8_t)(1 << site);
}

/* What a flaw breaks on its way to two decisions does not matter. */
static void expect(const struct search *search, bool condition)
{
    if (search->flaw == FLAWLESS)
        assert_true(condition);
}

static void decide(struct search *search, struct world *world, uint8_t value)
{
    search->split = search->split || (world->decided && world->decided != value);
    expect(search, value == REGISTER_ABORT || world->record == PROPOSED);
    world->decided = value;
    search->commits += value == REGISTER_COMMIT;
    search->aborts += value == REGISTER_ABORT && world->record != ABANDONED;
    if (value == REGISTER_COMMIT)
        world->committing = 0;
}

static void take(struct search *search, struct world *world, int site, enum proposer_turn turn)
{
    struct proposer *proposer = &world->proposers[site];
    search->split = search->split || turn == PROPOSER_CONTRADICTED;
    if (turn != PROPOSER_HAS_DECIDED)
        return;
    decide(search, world, proposer->value);
    if (world->registers[site].value == proposer->value)
        return;
    if (!register_learn(&world->registers[site], proposer->value))
        search->split = true;
    world->unflushed &= (uint8_t)~bit(site);
}

/* The register answers. What it grants is durable then: what is stored is flushed, and with it what
 * was inserted before; and a row that may not be durable is stored again though it stays the same.
 */
static enum register_reply ask_register(const struct search *search, struct world *world, int site,
                                        const struct register_ask *ask)
{
    struct register_state before = world->registers[site];
    enum register_reply reply = register_answer(&world->registers[site], ask);
    bool stored = !register_state_equal(&before, &world->registers[site]);
    if (reply == REGISTER_GRANTED && (stored || search->flaw != SPEAKS_UNFLUSHED))
        world->unflushed &= (uint8_t)~bit(site);
    return reply;
}

/* After a step: what is to be asked is asked, and who asks something new was granted nothing. */
static void reach_after(struct search *search, const struct world *before, struct world *world)
{
    for (int site = 0; site < search->sites; site++) {
        const struct proposer *was = &before->proposers[site], *is = &world->proposers[site];
        if (was->phase != is->phase || ballot_compare(was->ballot, is->ballot) != 0)
            memset(world->grants[site], 0, sizeof(world->grants[site]));
        bool early = search->flaw == ASKS_EARLY && proposer_wants(is);
        if (early || proposer_wants(is) & ~(UINT32_C(1) << site)) {
            struct register_ask ask = proposer_ask(is);
            world->asked |= UINT64_C(1) << question_number(&ask);
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
    enum register_reply reply = ask_register(search, &world, site, &ask);
    if (site == COORDINATOR && reply == REGISTER_GRANTED && ask.question == REGISTER_ACCEPT)
        world.record = PROPOSED;
    take(search, &world, site,
         proposer_hear(&world.proposers[site], site, &ask, reply, &world.registers[site]));
    reach_after(search, before, &world);
}

static bool was_asked(const struct world *world, const struct register_ask *ask)
{
    return world->asked >> question_number(ask) & 1;
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
    expect(search, !was_asked(before, &ask)); /* no ballot is used twice */
    reach_after(search, before, &world);
}

static void crash(struct search *search, const struct world *before, int site)
{
    if (before->proposers[site].phase == PROPOSER_IDLE &&
        (site != COORDINATOR || before->record != NO_RECORD))
        return;
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

/* Does the proposer want to know? Else it ignores the answer. */
static bool listens(const struct proposer *proposer, const struct register_ask *ask)
{
    if (!proposer_wants(proposer))
        return false;
    struct register_ask now = proposer_ask(proposer);
    return now.question == ask->question && ballot_compare(now.ballot, ask->ballot) == 0;
}

static void answer(struct search *search, const struct world *before, int number, int site)
{
    struct register_ask ask = numbered_question(number);
    int from = (int)ask.ballot.site;
    bool acceptor = site != COORDINATOR || before->record == PROPOSED;
    if (from == site || !acceptor)
        return;
    bool heard = listens(&before->proposers[from], &ask);
    struct register_state state = before->registers[site];
    if (register_answer(&state, &ask) != REGISTER_GRANTED && !heard)
        return; /* nothing changes */
    struct world world = *before;
    enum register_reply reply = ask_register(search, &world, site, &ask);
    if (heard && reply == REGISTER_GRANTED)
        world.grants[from][site] = (struct grant){true, state};
    else if (heard)
        take(search, &world, from,
             proposer_hear(&world.proposers[from], site, &ask, reply, &state));
    reach_after(search, before, &world);
}

static void hear_grant(struct search *search, const struct world *before, int site, int from)
{
    const struct grant *grant = &before->grants[site][from];
    const struct proposer *proposer = &before->proposers[site];
    if (!grant->given || !proposer_wants(proposer) || proposer->granted & bit(from))
        return;
    struct world world = *before;
    struct register_ask ask = proposer_ask(&world.proposers[site]);
    take(search, &world, site,
         proposer_hear(&world.proposers[site], from, &ask, REGISTER_GRANTED, &grant->state));
    reach_after(search, before, &world);
}

/* ---- a server process that commits with its site's acceptance ---- */

static const struct register_ask commit_ask = {.question = REGISTER_ACCEPT,
                                               .value = REGISTER_COMMIT};

static void commit_without_row(struct search *search, const struct world *before)
{
    struct world world = *before;
    decide(search, &world, REGISTER_COMMIT);
    reach_after(search, before, &world);
}

/* Whenever it was asked and no row is there: by a process of which nobody knows any more, too. */
static void insert(struct search *search, const struct world *before, int site)
{
    static const struct register_state fresh;
    bool enough =
        proposer_first_other_decides(search->sites) || search->flaw == COMMITS_WITH_TOO_FEW;
    bool absent = register_state_equal(&before->registers[site], &fresh);
    if (site == COORDINATOR || !enough || !(search->deciders >> site & 1) ||
        !was_asked(before, &commit_ask))
        return;
    if (search->flaw == (absent ? COMMITS_BEFORE_ROW : COMMITS_THOUGH_REFUSED))
        commit_without_row(search, before);
    if (!absent && search->flaw != INSERTS_OVER_ROW)
        return;
    struct world world = *before;
    world.registers[site] = fresh;
    register_answer(&world.registers[site], &commit_ask);
    world.unflushed |= bit(site);
    if (world.decided != REGISTER_COMMIT)
        world.committing |= bit(site);
    reach_after(search, before, &world);
}

/* The branch is committed, and flushed with the row. That the site hears of it, says that it has
 * accepted and tells the decision are steps of their own, and may never be. */
static void commit_inserted(struct search *search, const struct world *before, int site)
{
    if (!(before->committing & bit(site)))
        return;
    struct world world = *before;
    world.committing &= (uint8_t)~bit(site);
    world.unflushed &= (uint8_t)~bit(site);
    search->first_others += !before->decided;
    decide(search, &world, REGISTER_COMMIT);
    reach_after(search, before, &world);
}

/* A crash that leaves the row, as it was flushed for some other's sake, and a process that ends
 * before it commits are nothing else than one that takes no more steps. */
static void crash_database(struct search *search, const struct world *before, int site)
{
    if (!(before->unflushed & bit(site)))
        return;
    struct world world = *before;
    world.committing &= (uint8_t)~bit(site);
    world.unflushed &= (uint8_t)~bit(site);
    world.registers[site] = (struct register_state){0};
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
        insert(search, world, site);
        commit_inserted(search, world, site);
        crash_database(search, world, site);
        for (int other = 0; other < search->sites; other++)
            hear_grant(search, world, site, other);
        for (uint64_t asked = world->asked; asked; asked &= asked - 1)
            answer(search, world, __builtin_ctzll(asked), site);
    }
}

/* Of three sites: more take minutes and gigabytes, and are for a person to ask for. */
static uint32_t rounds_of_three = 1;

/* Until every state was looked at, or two decisions were found. */
static void run(struct search *search)
{
    struct world world = {0};
    size_t level_end = 1;
    search->key_size = key_size(search->sites);
    assert_true(search->key_size <= KEY_MOST);
    for (int site = 0; site < search->sites; site++)
        proposer_init(&world.proposers[site], search->sites, site);
    reach(search, &world);
    for (; search->next < search->count && !search->split; search->next++) {
        if (search->next == level_end) {
            search->depth++;
            level_end = search->count;
        }
        unpack(&world, key_at(search, search->next), search->sites);
        every_step(search, &world);
    }
    free(search->keys);
    free(search->slots);
}

static void search_of(int sites, uint32_t rounds, uint32_t beginners)
{
    struct search search = {
        .sites = sites, .rounds = rounds, .beginners = beginners, .deciders = UINT32_MAX};
    run(&search);
    print_message("# %d sites, %u rounds: %zu states, decided commit %d times, %d of them first by "
                  "an acceptance, abort %d times\n",
                  sites, rounds, search.count, search.commits, search.first_others, search.aborts);
    assert_false(search.split);
    assert_true(search.commits > 0);
    assert_int_equal(search.first_others > 0, sites > 2);
    /* Two sites have a majority only with the coordinator, which has accepted commit or abandoned.
     */
    assert_int_equal(search.aborts > 0, sites > 2);
}

static void search_all(int sites, uint32_t rounds)
{
    search_of(sites, rounds, UINT32_MAX);
}

static void assert_splits(enum flaw flaw, int sites, uint32_t beginners, uint32_t deciders)
{
    struct search search = {
        .sites = sites, .rounds = 1, .beginners = beginners, .deciders = deciders, .flaw = flaw};
    run(&search);
    print_message("# %d sites: %zu states, %d steps\n", sites, search.count, search.depth + 1);
    assert_true(search.split);
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

static void what_is_said_of_an_unflushed_row_splits(void **unused)
{
    (void)unused;
    assert_splits(SPEAKS_UNFLUSHED, 3, UINT32_MAX, UINT32_MAX);
}

static void a_commit_before_its_row_splits(void **unused)
{
    (void)unused;
    assert_splits(COMMITS_BEFORE_ROW, 3, UINT32_MAX, UINT32_MAX);
}

static void a_commit_whose_row_was_refused_splits(void **unused)
{
    (void)unused;
    assert_splits(COMMITS_THOUGH_REFUSED, 3, UINT32_MAX, UINT32_MAX);
}

static void a_row_that_replaces_another_splits(void **unused)
{
    (void)unused;
    assert_splits(INSERTS_OVER_ROW, 3, UINT32_MAX, UINT32_MAX);
}

static void two_acceptances_of_five_sites_split(void **unused)
{
    (void)unused;
    assert_splits(COMMITS_WITH_TOO_FEW, 5, 1 << 4, 1 << 1);
}

static void a_question_before_the_own_acceptance_splits(void **unused)
{
    (void)unused;
    assert_splits(ASKS_EARLY, 3, UINT32_MAX, UINT32_MAX);
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
        cmocka_unit_test(what_is_said_of_an_unflushed_row_splits),
        cmocka_unit_test(a_commit_before_its_row_splits),
        cmocka_unit_test(a_commit_whose_row_was_refused_splits),
        cmocka_unit_test(a_row_that_replaces_another_splits),
        cmocka_unit_test(two_acceptances_of_five_sites_split),
        cmocka_unit_test(a_question_before_the_own_acceptance_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
