/* Sites that decide together, each with a register and a proposer: runs by chance, in which
 * messages are lost, doubled and late and sites crash, with all that they hold but their registers.
 * Whatever happens nobody takes another decision than anybody else; and once a majority can talk
 * there is one. Runs in which a site forgets, or answers too early, show that the test can see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/limits.h"
#include "core/proposer.h"

enum { RUNS = 20000, STEPS = 400, LETTERS = 64, BALLOTS = 512, COORDINATOR = 0 };

enum flaw {
    FLAWLESS,
    FORGETS,       /* a crash takes the register with it */
    ANSWERS_EARLY, /* the register is durable some time after the answer */
    ASKS_EARLY,    /* others are asked before the own register has granted */
};

/* A message on its way. reply 0: the question itself. */
struct letter {
    int from, to;
    struct register_ask ask;
    enum register_reply reply;
    struct register_state state;
};

/* Who has ever accepted at a ballot, durably. */
struct holders {
    struct ballot ballot;
    uint32_t sites;
};

struct run {
    uint64_t chance;
    enum flaw flaw;
    int sites;
    uint32_t reachable; /* the others neither send nor receive */
    bool proposed;      /* the coordinator's record: its register has accepted commit */
    bool abandoned;     /* it has aborted alone, or has presumed it */
    struct register_state registers[LIMIT_SITES], durable[LIMIT_SITES];
    struct proposer proposers[LIMIT_SITES];
    struct letter letters[LETTERS];
    int letter_count;
    struct holders holders[BALLOTS];
    int holder_count;
    uint8_t chosen;  /* what enough hold at one ballot */
    uint8_t decided; /* what some site took for the decision */
    const char *broken;
    bool seen_outbid, seen_crash, seen_own_round;
};

static uint32_t below(struct run *run, uint32_t bound)
{
    run->chance = run->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((run->chance >> 33) % bound);
}

static bool once_in(struct run *run, uint32_t times)
{
    return below(run, times) == 0;
}

static void expect(struct run *run, bool condition, const char *what)
{
    if (!condition && !run->broken)
        run->broken = what;
}

static bool reaches(const struct run *run, int site)
{
    return run->reachable >> site & 1;
}

/* ---- what is true of the run ---- */

static void see_chosen(struct run *run, const struct holders *holders, uint8_t value)
{
    if (__builtin_popcount(holders->sites) < (run->sites + 1) / 2)
        return;
    expect(run, !run->chosen || run->chosen == value, "two values are chosen");
    run->chosen = value;
}

static void see_accepted(struct run *run, int site, struct ballot ballot, uint8_t value)
{
    for (int i = 0; i < run->holder_count; i++) {
        if (ballot_compare(run->holders[i].ballot, ballot) != 0)
            continue;
        run->holders[i].sites |= UINT32_C(1) << site;
        see_chosen(run, &run->holders[i], value);
        return;
    }
    assert_true(run->holder_count < BALLOTS);
    run->holders[run->holder_count] = (struct holders){ballot, UINT32_C(1) << site};
    see_chosen(run, &run->holders[run->holder_count++], value);
}

static void see_decided(struct run *run, uint8_t value)
{
    expect(run, !run->decided || run->decided == value, "two sites decided differently");
    expect(run, run->abandoned || run->chosen == value, "a decision that too few hold");
    expect(run, value == REGISTER_ABORT || run->proposed, "commit was never proposed");
    run->decided = value;
}

/* ---- a site ---- */

static void send_letter(struct run *run, const struct letter *letter)
{
    int place = run->letter_count < LETTERS ? run->letter_count++ : (int)below(run, LETTERS);
    run->letters[place] = *letter;
}

static void keep(struct run *run, int site)
{
    run->durable[site] = run->registers[site];
}

/* The register of a site is asked; what it answers is durable, as a rule. */
static enum register_reply answer(struct run *run, int site, const struct register_ask *ask,
                                  struct register_state *state)
{
    if (site == COORDINATOR && run->abandoned) {
        *state = (struct register_state){.value = REGISTER_ABORT};
        return REGISTER_DECIDED;
    }
    bool own = ask->ballot.round == 0 && ask->ballot.site == COORDINATOR;
    if (site == COORDINATOR && !run->proposed && !own)
        return REGISTER_WAIT;
    enum register_reply reply = register_answer(&run->registers[site], ask);
    *state = run->registers[site];
    if (run->flaw != ANSWERS_EARLY)
        keep(run, site);
    if (reply == REGISTER_GRANTED && ask->question == REGISTER_ACCEPT) {
        see_accepted(run, site, ask->ballot, (uint8_t)ask->value);
        run->proposed = run->proposed || site == COORDINATOR;
    }
    return reply;
}

static void hear(struct run *run, int site, const struct letter *letter)
{
    struct proposer *proposer = &run->proposers[site];
    switch (proposer_hear(proposer, letter->from, &letter->ask, letter->reply, &letter->state)) {
    case PROPOSER_HAS_DECIDED:
        see_decided(run, proposer->value);
        if (run->registers[site].value != proposer->value || once_in(run, 2))
            expect(run, register_learn(&run->registers[site], proposer->value),
                   "a register knew another decision");
        keep(run, site);
        break;
    case PROPOSER_WAS_OUTBID:
        run->seen_outbid = true;
        break;
    case PROPOSER_CONTRADICTED:
        expect(run, false, "a proposer heard another decision");
        break;
    default:
        break;
    }
}

/* Asks those who must be asked, some of them: itself at once, the others by letter. */
static void ask_some(struct run *run, int site)
{
    struct proposer *proposer = &run->proposers[site];
    uint32_t wants = proposer_wants(proposer), own = UINT32_C(1) << site;
    if (!wants)
        return;
    struct letter letter = {.from = site, .ask = proposer_ask(proposer)};
    if (run->flaw == ASKS_EARLY && wants == own && !once_in(run, 3))
        wants = ~own;
    if (wants == own) {
        letter.reply = answer(run, site, &letter.ask, &letter.state);
        hear(run, site, &letter);
        return;
    }
    for (letter.to = 0; letter.to < run->sites; letter.to++)
        if (wants >> letter.to & 1 && !once_in(run, 3))
            send_letter(run, &letter);
}

static void deliver(struct run *run, int place, bool again)
{
    struct letter letter = run->letters[place];
    if (!again)
        run->letters[place] = run->letters[--run->letter_count];
    if (!reaches(run, letter.from) || !reaches(run, letter.to))
        return;
    if (letter.reply) {
        hear(run, letter.to, &letter);
        return;
    }
    struct letter back = {.from = letter.to, .to = letter.from, .ask = letter.ask};
    back.reply = answer(run, letter.to, &letter.ask, &back.state);
    send_letter(run, &back);
}

/* The coordinator before it has proposed. */
static void propose_or_abandon(struct run *run, bool propose)
{
    if (run->proposed || run->abandoned || run->proposers[COORDINATOR].phase != PROPOSER_IDLE)
        return;
    if (propose) {
        proposer_propose_commit(&run->proposers[COORDINATOR]);
        return;
    }
    run->abandoned = true;
    see_decided(run, REGISTER_ABORT);
    proposer_learn(&run->proposers[COORDINATOR], REGISTER_ABORT);
}

static void begin(struct run *run, int site)
{
    struct proposer *proposer = &run->proposers[site];
    bool may = site != COORDINATOR || run->proposed;
    if (!may || proposer->phase == PROPOSER_DECIDED || register_decided(&run->registers[site]))
        return;
    assert_true(proposer_begin(proposer, &run->registers[site]));
    run->seen_own_round = run->seen_own_round || site != COORDINATOR;
}

static void crash(struct run *run, int site)
{
    run->seen_crash = true;
    if (run->flaw == FORGETS && site != COORDINATOR)
        run->durable[site] = (struct register_state){0};
    run->registers[site] = run->durable[site];
    proposer_init(&run->proposers[site], run->sites, site);
    if (site == COORDINATOR)
        propose_or_abandon(run, false);
}

static void step(struct run *run)
{
    int site = (int)below(run, (uint32_t)run->sites);
    if (run->letter_count && !once_in(run, 3)) {
        int place = (int)below(run, (uint32_t)run->letter_count);
        if (once_in(run, 5))
            run->letters[place] = run->letters[--run->letter_count]; /* lost */
        else
            deliver(run, place, once_in(run, 4));
        return;
    }
    if (run->flaw == ANSWERS_EARLY && once_in(run, 4))
        keep(run, site);
    uint8_t phase = run->proposers[site].phase;
    if (once_in(run, 40))
        crash(run, site);
    else if (once_in(run, 20))
        propose_or_abandon(run, !once_in(run, 4));
    else if (once_in(run, phase == PROPOSER_OUTBID ? 2 : 30))
        begin(run, site);
    else
        ask_some(run, site);
}

static void start(struct run *run, uint64_t seed, enum flaw flaw, int sites)
{
    *run = (struct run){.chance = seed * UINT64_C(0x9E3779B97F4A7C15), .flaw = flaw};
    run->sites = sites ? sites : 1 + (int)below(run, 7);
    run->reachable = UINT32_MAX;
    for (int site = 0; site < run->sites; site++)
        proposer_init(&run->proposers[site], run->sites, site);
    if (!once_in(run, 4))
        propose_or_abandon(run, true);
}

static void steps(struct run *run, int count)
{
    for (int i = 0; i < count && !run->broken; i++)
        step(run);
}

static void assert_whole(const struct run *run, uint64_t seed)
{
    if (run->broken)
        fail_msg("seed %llu, %d sites: %s", (unsigned long long)seed, run->sites, run->broken);
}

/* ---- tests ---- */

static void no_two_sites_ever_decide_differently(void **unused)
{
    (void)unused;
    int commits = 0, aborts = 0, open = 0, outbid = 0, own_rounds = 0, abandoned = 0;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct run run;
        start(&run, seed, FLAWLESS, 0);
        steps(&run, STEPS);
        assert_whole(&run, seed);
        commits += run.decided == REGISTER_COMMIT;
        aborts += run.decided == REGISTER_ABORT && !run.abandoned;
        abandoned += run.abandoned;
        open += !run.decided;
        outbid += run.seen_outbid;
        own_rounds += run.seen_own_round && run.seen_crash;
    }
    /* All of it has happened, often. */
    assert_true(commits > RUNS / 10 && aborts > RUNS / 100 && abandoned > RUNS / 100);
    assert_true(open > RUNS / 1000 && outbid > RUNS / 10 && own_rounds > RUNS / 10);
}

static void thirty_two_sites_decide_as_one(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= RUNS / 40; seed++) {
        struct run run;
        start(&run, seed, FLAWLESS, LIMIT_SITES);
        steps(&run, 10 * STEPS);
        assert_whole(&run, seed);
    }
}

/* A set of that many sites, by chance. */
static uint32_t some_sites(struct run *run, int count)
{
    uint32_t set = 0;
    while (__builtin_popcount(set) < count)
        set |= UINT32_C(1) << below(run, (uint32_t)run->sites);
    return set;
}

/* From now on nothing is lost within the set, and one site at a time goes on. */
static void heal(struct run *run, uint32_t reachable)
{
    run->reachable = reachable;
    if (reaches(run, COORDINATOR) && !run->proposed)
        crash(run, COORDINATOR);
    for (int turn = 0; turn < 100 && !run->broken; turn++) {
        while (run->letter_count)
            deliver(run, 0, false);
        int site = (int)below(run, (uint32_t)run->sites);
        if (!reaches(run, site))
            continue;
        uint8_t phase = run->proposers[site].phase;
        if (phase == PROPOSER_IDLE || phase == PROPOSER_OUTBID)
            begin(run, site);
        for (int i = 0; i < 50; i++) {
            ask_some(run, site);
            while (run->letter_count)
                deliver(run, 0, false);
        }
    }
}

static void a_majority_that_can_talk_decides(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= RUNS / 40; seed++) {
        struct run run;
        start(&run, seed, FLAWLESS, 0);
        steps(&run, (int)below(&run, STEPS));
        heal(&run, some_sites(&run, run.sites / 2 + 1));
        assert_whole(&run, seed);
        for (int site = 0; site < run.sites; site++) {
            bool forgot = site == COORDINATOR && run.abandoned;
            bool silent = register_decided(&run.registers[site]);
            if (reaches(&run, site) && !forgot && !silent)
                assert_int_equal(run.proposers[site].phase, PROPOSER_DECIDED);
        }
        assert_int_not_equal(run.decided, REGISTER_EMPTY);
    }
}

static void a_minority_never_decides(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= RUNS / 40; seed++) {
        struct run run;
        start(&run, seed, FLAWLESS, 2 + (int)(seed % 6));
        uint32_t minority = some_sites(&run, run.sites / 2) & ~UINT32_C(1);
        run.abandoned = false;
        proposer_init(&run.proposers[COORDINATOR], run.sites, COORDINATOR);
        run.letter_count = 0;
        heal(&run, minority);
        assert_whole(&run, seed);
        assert_int_equal(run.decided, REGISTER_EMPTY);
        assert_int_equal(run.chosen, REGISTER_EMPTY);
    }
}

static int broken_runs(enum flaw flaw)
{
    int broken = 0;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct run run;
        start(&run, seed, flaw, 0);
        steps(&run, STEPS);
        broken += run.broken != NULL;
    }
    return broken;
}

static void a_register_that_forgets_is_seen(void **unused)
{
    (void)unused;
    assert_true(broken_runs(FORGETS) > 0);
}

static void an_answer_before_it_is_durable_is_seen(void **unused)
{
    (void)unused;
    assert_true(broken_runs(ANSWERS_EARLY) > 0);
}

static void a_question_before_the_own_register_has_granted_is_seen(void **unused)
{
    (void)unused;
    assert_true(broken_runs(ASKS_EARLY) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_sites_ever_decide_differently),
        cmocka_unit_test(thirty_two_sites_decide_as_one),
        cmocka_unit_test(a_majority_that_can_talk_decides),
        cmocka_unit_test(a_minority_never_decides),
        cmocka_unit_test(a_register_that_forgets_is_seen),
        cmocka_unit_test(an_answer_before_it_is_durable_is_seen),
        cmocka_unit_test(a_question_before_the_own_register_has_granted_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
