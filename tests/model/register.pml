/* The decision register of three-phase commit: core/register.c and core/proposer.c between three
 * sites, every order of everything. Site 0 is the coordinator, 1 and 2 are participants. README.md
 * says what is modelled, what is left out, and why leaving it out can't hide a mistake.
 *
 * With -DNO_FENCE, -DNO_MAJORITY, -DNO_DURABILITY, -DIGNORE_ACCEPTED, -DLOWEST_ACCEPTED,
 * -DOTHERS_FIRST, -DSPEAK_UNFLUSHED, -DCOMMIT_BEFORE_ROW or -DINSERT_OVER_ROW one rule is broken,
 * and the search finds a run with two decisions. */

#ifndef ROUNDS
#define ROUNDS 2
#endif
#define EACH_PARTICIPANT(step) step(1) step(2)
#define EACH_SITE(step) step(0) step(1) step(2)
#define EACH_PAIR(step) step(0, 1) step(0, 2) step(1, 0) step(1, 2) step(2, 0) step(2, 1)
#define BIT(i) (1 << (i))

/* Ballots in their order: 0 is {0,0}, the coordinator's own; then {round, site} as below. */
#define BALLOT(round, site) (3 * (round) - 2 + (site))
#define ROUND(ballot) (((ballot) + 2) / 3)
#define ABOVE_ALL 15

#if ROUNDS == 1
#define EACH_ROUND(step, site) step(1, site)
#define EACH_ROUND_ALL(step, site) step(1, 0, site) step(1, 1, site) step(1, 2, site)
#elif ROUNDS == 2
#define EACH_ROUND(step, site) step(1, site) step(2, site)
#define EACH_ROUND_ALL(step, site) \
    step(1, 0, site) step(1, 1, site) step(1, 2, site) \
    step(2, 0, site) step(2, 1, site) step(2, 2, site)
#else
#define EACH_ROUND(step, site) step(1, site) step(2, site) step(3, site)
#define EACH_ROUND_ALL(step, site) \
    step(1, 0, site) step(1, 1, site) step(1, 2, site) \
    step(2, 0, site) step(2, 1, site) step(2, 2, site) \
    step(3, 0, site) step(3, 1, site) step(3, 2, site)
#endif

/* REGISTER_EMPTY, _ABORT, _COMMIT: 0, 1 and 2, as spin counts backwards. */
#define EMPTY 0
mtype = { commit, abort };

#if defined(NO_FENCE) || defined(NO_MAJORITY) || defined(NO_DURABILITY) || \
    defined(IGNORE_ACCEPTED) || defined(LOWEST_ACCEPTED) || defined(OTHERS_FIRST) || \
    defined(SPEAK_UNFLUSHED) || defined(COMMIT_BEFORE_ROW) || defined(INSERT_OVER_ROW)
#define MUTANT
#endif
#ifdef MUTANT
#define INVARIANT(condition) skip /* a mutant is to be refuted by two decisions, not by less */
#else
#define INVARIANT(condition) assert(condition)
#endif

/* Decisions that some run must have: a model in which nothing happens breaks no rule either. */
#if defined(WITNESS_COMMIT)
#define WITNESSED(p, decision) assert(!(p != 0 && decision == commit))
#elif defined(WITNESS_ABORT)
#define WITNESSED(p, decision) assert(!(p != 0 && decision == abort))
#elif defined(WITNESS_OVERRULED)
#define WITNESSED(p, decision) assert(!(p == 0 && decision == abort && coordinator == PROPOSED))
#else
#define WITNESSED(p, decision) skip
#endif

#ifdef WITNESS_ACCEPTOR
#define WITNESSED_ACCEPTOR(s) assert(!(s != 0 && decided == EMPTY))
#else
#define WITNESSED_ACCEPTOR(s) skip
#endif

#ifdef NO_MAJORITY
#define MAJORITY 1
#else
#define MAJORITY 2
#endif

/* ---- durable --------------------------------------------------------------------------------- */

/* struct register_state */
typedef site_register {
    byte promised;
    byte accepted;
    byte value
};
site_register reg[3];

/* The coordinator has no record: it may still propose, or abort alone; or it has proposed, which is
 * its own acceptance; or it has aborted alone, which needs no record. */
#define VOTING 0
#define PROPOSED 1
#define ABANDONED 2
byte coordinator = VOTING;

/* The branches: not prepared yet; prepared, in doubt; finished. */
#define UNVOTED 0
#define YES 1
#define ENDED 2
byte branch[3];

/* A server process has inserted the row of the first acceptance and is to commit the branch, whether
 * anybody listens to it or not. Until something is flushed the row is seen by all, and a crash of the
 * database takes it. A process that ends before it commits, and a crash that leaves the row, are a
 * process that takes no more steps. Once commit is decided such a process decides nothing new: it is
 * forgotten, and what it flushed then is a row that no crash happens to take. */
#define NOTHING 0
#define UNFLUSHED 1
#define FLUSHED 2
byte inserted[3];

/* ---- volatile -------------------------------------------------------------------------------- */

#define IDLE 0
#define PROMISING 1
#define ACCEPTING 2
#define DECIDED 3
/* struct proposer */
typedef site_proposer {
    byte phase;
    byte ballot;
    byte value;
    byte granted; /* a bit a site */
    byte best
};
site_proposer pro[3];

/* ---- messages: sets. What is in one may be taken now, later, twice, or never ------------------- */

byte voted_yes;                               /* a bit a site */
short ask_promise, ask_abort, ask_commit;     /* a bit a ballot */
/* Replies to the ballot that a proposer is at: those to others are late, and change nothing. */
typedef site_replies {
    byte from[3]; /* 0: none; 1: granted, nothing accepted; else granted, and what was accepted */
};
site_replies reply[3];
#define REPLY(accepted, value) (2 * (accepted) + (value) + 1)
#define REPLY_ACCEPTED(reply) (((reply) - 2) / 2)
#define REPLY_VALUE(reply) (((reply) - 2) % 2 + 1)

/* ---- what is true of the run, for the checks --------------------------------------------------- */

byte decided; /* the value that some site took for the decision, and tells */
byte held[3]; /* by proposer: who has accepted at the ballot that it is at; a bit a site */
#define COUNT(bits) (((bits) & 1) + (((bits) >> 1) & 1) + (((bits) >> 2) & 1))

inline decide(p, decision)
{
    assert(decided == EMPTY || decided == decision);
    INVARIANT(decision == abort || (coordinator == PROPOSED && voted_yes == (BIT(1) | BIT(2))));
    decided = decision;
    forget_process(1);
    forget_process(2)
}

inline forget_process(s)
{
    if
    :: inserted[s] == FLUSHED && decided == commit -> inserted[s] = NOTHING
    :: else
    fi
}

/* ---- core/register.c --------------------------------------------------------------------------- */

#define KNOWS(s) (reg[s].promised == ABOVE_ALL)
#ifdef NO_FENCE
#define FENCED(s, at) false
#else
#define FENCED(s, at) ((at) < reg[s].promised)
#endif
#define GRANTS_PROMISE(s, at) (!KNOWS(s) && (at) >= reg[s].promised)
#define GRANTS_ACCEPT(s, at) (!KNOWS(s) && !FENCED(s, at))

/* What is stored is flushed, and with it all that was inserted before. */
inline flush(s)
{
    if
    :: inserted[s] == UNFLUSHED ->
        inserted[s] = FLUSHED;
        forget_process(s)
    :: else
    fi
}

inline raise_promise(s, at)
{
    if
    :: reg[s].promised < (at) ->
        reg[s].promised = (at);
        flush(s)
    :: else
    fi
}

/* A row that may not be durable is stored once more before anything is said of it. */
inline store_again(s)
{
#ifndef SPEAK_UNFLUSHED
    flush(s)
#else
    skip
#endif
}

inline accept(s, at, what)
{
    INVARIANT(reg[s].value == EMPTY || reg[s].accepted != (at) || reg[s].value == (what));
    raise_promise(s, at);
    store_again(s);
    reg[s].accepted = (at);
    reg[s].value = (what)
}

/* ---- core/proposer.c --------------------------------------------------------------------------- */

#ifdef LOWEST_ACCEPTED
#define BEATS(at, best) ((at) < (best))
#else
#define BEATS(at, best) ((at) > (best))
#endif
#define GRANTED(p) COUNT(pro[p].granted)

inline forget_replies(p)
{
    reply[p].from[0] = 0;
    reply[p].from[1] = 0;
    reply[p].from[2] = 0
}

inline enter(p, next)
{
    pro[p].phase = next;
    pro[p].granted = 0;
    pro[p].best = 0;
    held[p] = 0;
    forget_replies(p)
}

inline forget(p)
{
    enter(p, IDLE);
    pro[p].ballot = 0;
    pro[p].value = EMPTY
}

/* The question goes out to all others: proposer_wants. */
inline ask_others(p)
{
    if
    :: pro[p].phase == PROMISING ->
        INVARIANT(!(ask_promise & BIT(pro[p].ballot)));
        ask_promise = ask_promise | BIT(pro[p].ballot)
    :: pro[p].phase == ACCEPTING && pro[p].value == commit ->
        INVARIANT(!((ask_commit | ask_abort) & BIT(pro[p].ballot)));
        ask_commit = ask_commit | BIT(pro[p].ballot)
    :: pro[p].phase == ACCEPTING && pro[p].value == abort ->
        INVARIANT(!((ask_commit | ask_abort) & BIT(pro[p].ballot)));
        ask_abort = ask_abort | BIT(pro[p].ballot)
    fi
}

inline ask_others_if_first(p)
{
#ifdef OTHERS_FIRST
    ask_others(p)
#else
    skip
#endif
}

inline have_accepted(p)
{
    enter(p, ACCEPTING);
    printf("site %d: at ballot %d.%d asks to ACCEPT %e\n", p, ROUND(pro[p].ballot), p,
           pro[p].value);
    ask_others_if_first(p)
}

/* granted(); what, at: what the site that promised had accepted, and at which ballot. */
inline hear_granted(p, site, at, what)
{
    pro[p].granted = pro[p].granted | BIT(site);
#ifndef IGNORE_ACCEPTED
    if
    :: pro[p].phase == PROMISING && what != EMPTY &&
       (pro[p].value == EMPTY || BEATS(at, pro[p].best)) ->
        pro[p].best = at;
        pro[p].value = what
    :: else
    fi;
#endif
    if
    :: GRANTED(p) < MAJORITY
    :: GRANTED(p) >= MAJORITY && pro[p].phase == PROMISING ->
        if
        :: pro[p].value == EMPTY -> pro[p].value = abort
        :: else
        fi;
        have_accepted(p)
    :: GRANTED(p) >= MAJORITY && pro[p].phase == ACCEPTING ->
        printf("site %d: a majority has accepted: DECIDED %e\n", p,
               pro[p].value);
        INVARIANT(COUNT(held[p]) >= 2);
        WITNESSED(p, pro[p].value);
        decide(p, pro[p].value);
        forget(p);
        pro[p].phase = DECIDED
    fi
}

/* ---- steps: each is one turn of one process, and durable when it is over ------------------------ */

#define VOTE(s) \
    :: d_step { branch[s] == UNVOTED -> \
        printf("site %d: is prepared, votes yes\n", s); \
        branch[s] = YES; \
        voted_yes = voted_yes | BIT(s) } \
    :: d_step { branch[s] == UNVOTED -> \
        printf("site %d: votes no\n", s); \
        branch[s] = ENDED }

#define COORDINATOR \
    :: d_step { coordinator == VOTING && pro[0].phase == IDLE && voted_yes == (BIT(1) | BIT(2)) -> \
        printf("site 0: all voted yes\n"); \
        pro[0].value = commit; \
        have_accepted(0) } \
    :: d_step { coordinator == VOTING && pro[0].phase == IDLE -> \
        printf("site 0: aborts alone\n"); \
        coordinator = ABANDONED; \
        decide(0, abort) }

/* Any time it likes: patience, an OUTBID and its pause are not modelled. */
#define MAY_BEGIN(p) ((p) == 0 -> coordinator == PROPOSED : branch[p] == YES)
#define BEGIN(round, p) \
    :: d_step { MAY_BEGIN(p) && !KNOWS(p) && pro[p].phase != DECIDED && ROUND(reg[p].promised) < round -> \
        printf("site %d: begins round %d\n", p, round); \
        enter(p, PROMISING); \
        pro[p].ballot = BALLOT(round, p); \
        pro[p].value = EMPTY; \
        ask_others_if_first(p) }

/* Its own register first. */
#define OWN(p) \
    :: d_step { pro[p].phase == PROMISING && !(pro[p].granted & BIT(p)) && \
                GRANTS_PROMISE(p, pro[p].ballot) -> \
        printf("site %d: its own register promises %d.%d\n", p, ROUND(pro[p].ballot), p); \
        raise_promise(p, pro[p].ballot); \
        ask_others_if_last(p); \
        hear_granted(p, p, reg[p].accepted, reg[p].value) } \
    :: d_step { pro[p].phase == ACCEPTING && !(pro[p].granted & BIT(p)) && \
                GRANTS_ACCEPT(p, pro[p].ballot) -> \
        printf("site %d: its own register accepts at %d.%d\n", p, ROUND(pro[p].ballot), p); \
        accept(p, pro[p].ballot, pro[p].value); \
        held[p] = held[p] | BIT(p); \
        proposed_if_first(p); \
        ask_others_if_last(p); \
        hear_granted(p, p, 0, EMPTY) }

inline ask_others_if_last(p)
{
#ifndef OTHERS_FIRST
    ask_others(p)
#else
    skip
#endif
}

inline proposed_if_first(p)
{
    if
    :: p == 0 && coordinator == VOTING -> coordinator = PROPOSED
    :: else
    fi
}

/* Before it has proposed the coordinator says ASK_LATER; when it has aborted alone, KNOWN. */
#define IS_ACCEPTOR(s) ((s) != 0 || coordinator == PROPOSED)
#define IS_AT(p, wanted, at) (pro[p].phase == wanted && pro[p].ballot == (at))

#define PROMISE(round, p, s) \
    :: d_step { p != s && (ask_promise & BIT(BALLOT(round, p))) && IS_ACCEPTOR(s) && \
                GRANTS_PROMISE(s, BALLOT(round, p)) -> \
        printf("site %d: promises %d.%d\n", s, round, p); \
        raise_promise(s, BALLOT(round, p)); \
        if \
        :: IS_AT(p, PROMISING, BALLOT(round, p)) -> \
            INVARIANT(reply[p].from[s] == 0 || \
                      reply[p].from[s] == REPLY(reg[s].accepted, reg[s].value)); \
            reply[p].from[s] = REPLY(reg[s].accepted, reg[s].value) \
        :: else \
        fi }
#define ACCEPT(at, p, s, asked, what) \
    :: d_step { p != s && (asked & BIT(at)) && IS_ACCEPTOR(s) && GRANTS_ACCEPT(s, at) -> \
        printf("site %d: accepts %e at %d.%d\n", s, what, ROUND(at), p); \
        accept(s, at, what); \
        if \
        :: IS_AT(p, ACCEPTING, at) -> \
            reply[p].from[s] = 1; \
            held[p] = held[p] | BIT(s) \
        :: else \
        fi }
#define ACCEPT_EITHER(round, p, s) \
    ACCEPT(BALLOT(round, p), p, s, ask_abort, abort) \
    ACCEPT(BALLOT(round, p), p, s, ask_commit, commit)
#define ANSWER(s) \
    EACH_ROUND_ALL(PROMISE, s) \
    ACCEPT(0, 0, s, ask_commit, commit) \
    EACH_ROUND_ALL(ACCEPT_EITHER, s)

#ifdef OTHERS_FIRST
#define HEARS_OTHERS(p) true
#else
#define HEARS_OTHERS(p) (pro[p].granted & BIT(p))
#endif
#define HEAR(p, s) \
    :: d_step { reply[p].from[s] != 0 && !(pro[p].granted & BIT(s)) && HEARS_OTHERS(p) -> \
        printf("site %d: hears that site %d has granted\n", p, s); \
        if \
        :: pro[p].phase == PROMISING && reply[p].from[s] > 1 -> \
            hear_granted(p, s, REPLY_ACCEPTED(reply[p].from[s]), REPLY_VALUE(reply[p].from[s])) \
        :: else -> hear_granted(p, s, 0, EMPTY) \
        fi }

/* The branch ends as decided. Its register keeps the decision, unless it holds it as accepted. */
#define FINISH(s) \
    :: d_step { branch[s] != ENDED && decided != EMPTY -> \
        printf("site %d: hears the decision and ends its branch\n", s); \
        INVARIANT(branch[s] == YES || decided == abort); \
        branch[s] = ENDED; \
        if \
        :: reg[s].value != decided -> \
            reg[s].promised = ABOVE_ALL; \
            reg[s].accepted = ABOVE_ALL; \
            reg[s].value = decided; \
            flush(s) \
        :: else \
        fi; \
        forget(s) }

/* Its acceptance at the coordinator's own ballot makes two, and so the decision: it commits its
 * branch with it. That it hears so, answers, and finishes are the steps above. */
#ifdef INSERT_OVER_ROW
#define IS_ABSENT(s) !KNOWS(s)
#else
#define IS_ABSENT(s) (reg[s].promised == 0 && reg[s].value == EMPTY)
#endif
#ifdef COMMIT_BEFORE_ROW
#define MAY_COMMIT(s) ((ask_commit & BIT(0)) && IS_ABSENT(s))
#else
#define MAY_COMMIT(s) (inserted[s] != NOTHING)
#endif
#define COMMIT_WITH_ACCEPTANCE(s) \
    :: d_step { (ask_commit & BIT(0)) && IS_ABSENT(s) -> \
        printf("site %d: accepts commit at 0.0 without a flush\n", s); \
        reg[s].promised = 0; \
        reg[s].accepted = 0; \
        reg[s].value = commit; \
        inserted[s] = UNFLUSHED } \
    :: d_step { MAY_COMMIT(s) && decided != commit -> \
        printf("site %d: commits with its acceptance: DECIDED commit\n", s); \
        inserted[s] = NOTHING; \
        WITNESSED_ACCEPTOR(s); \
        decide(s, commit) } \
    :: d_step { inserted[s] == UNFLUSHED -> \
        printf("site %d: its database CRASHES, the row is lost\n", s); \
        inserted[s] = NOTHING; \
        reg[s].promised = 0; \
        reg[s].accepted = 0; \
        reg[s].value = EMPTY }

#define CRASH(s) \
    :: d_step { pro[s].phase != IDLE || LOSES_REGISTER(s) -> \
        printf("site %d: CRASHES, and starts again\n", s); \
        forget(s); \
        lose_register(s); \
        presume_abort(s) }

inline presume_abort(s)
{
    if
    :: s == 0 && coordinator == VOTING ->
        printf("site 0: has no record of a proposal, presumes abort\n");
        coordinator = ABANDONED;
        decide(0, abort)
    :: else
    fi
}

#ifdef NO_DURABILITY
#define LOSES_REGISTER(s) ((s) != 0 && reg[s].promised + reg[s].value > 0)
#else
#define LOSES_REGISTER(s) false
#endif
inline lose_register(s)
{
#ifdef NO_DURABILITY
    if
    :: s != 0 ->
        reg[s].promised = 0;
        reg[s].accepted = 0;
        reg[s].value = EMPTY
    :: else
    fi
#else
    skip
#endif
}

#define BEGIN_EACH_ROUND(p) EACH_ROUND(BEGIN, p)

init {
end:
    do
    EACH_PARTICIPANT(VOTE)
    COORDINATOR
    EACH_SITE(BEGIN_EACH_ROUND)
    EACH_SITE(OWN)
    EACH_SITE(ANSWER)
    EACH_PAIR(HEAR)
    EACH_PARTICIPANT(FINISH)
    EACH_PARTICIPANT(COMMIT_WITH_ACCEPTANCE)
    EACH_SITE(CRASH)
    od
}
