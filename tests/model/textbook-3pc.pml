/* Three-phase commit as the textbooks have it (D. Skeen, "Nonblocking Commit Protocols", 1981): a
 * phase between the votes and the commit, and a rule by which the sites that are left finish when
 * others fail. Site 0 is the coordinator, 1 and 2 are participants.
 *
 * Its assumption is that who does not answer is dead. By default the network is cut once, at any
 * moment, anywhere; each part takes the other for dead, finishes by the rule, and the search finds
 * the run in which one part commits and the other aborts. With -DCRASHES_ONLY sites stop instead,
 * one or two of them, at any moment: then the rule is right, and the search finds nothing. */

#define SITES 3
#define EACH_SITE(step) step(0) step(1) step(2)

mtype = { working, waiting, prepared, committed, aborted };

/* What Skeen draws as circles: q, w, p, c, a. */
mtype state[SITES];

/* Messages on their way, a bit a receiver or sender. One that is never taken was lost. */
byte sent_can_commit, sent_yes, sent_no, sent_pre_commit, sent_ack, sent_commit, sent_abort;

#define BIT(site) (1 << (site))
#define PARTICIPANTS (BIT(1) | BIT(2))

/* Sites that each site can talk to. Nothing arrives from one that it can't: not even what was sent
 * before, which is what the textbooks assume of a failure that was noticed. */
byte reach[SITES];
bool failed;

#define reaches(a, b) (reach[a] & BIT(b))
#define alive(s) (reach[s] & BIT(s))
#define is_final(s) (state[s] == committed || state[s] == aborted)

inline become(s, next)
{
    state[s] = next;
    printf("site %d: %e\n", s, next);
    assert(!(state[0] == committed || state[1] == committed || state[2] == committed) ||
           !(state[0] == aborted || state[1] == aborted || state[2] == aborted))
}

/* ---- without failures ------------------------------------------------------------------------ */

#define PARTICIPANT(s) \
    :: d_step { reaches(s, 0) && state[s] == working && (sent_can_commit & BIT(s)) -> \
        printf("site %d: votes yes\n", s); \
        sent_yes = sent_yes | BIT(s); \
        become(s, waiting) } \
    :: d_step { reaches(s, 0) && state[s] == working && (sent_can_commit & BIT(s)) -> \
        printf("site %d: votes no\n", s); \
        sent_no = sent_no | BIT(s); \
        become(s, aborted) } \
    :: d_step { reaches(s, 0) && state[s] == waiting && (sent_pre_commit & BIT(s)) -> \
        printf("site %d: hears PRE-COMMIT, acknowledges it\n", s); \
        sent_ack = sent_ack | BIT(s); \
        become(s, prepared) } \
    :: d_step { reaches(s, 0) && state[s] == prepared && (sent_commit & BIT(s)) -> \
        printf("site %d: hears COMMIT\n", s); \
        become(s, committed) } \
    :: d_step { reaches(s, 0) && state[s] == waiting && (sent_abort & BIT(s)) -> \
        printf("site %d: hears ABORT\n", s); \
        become(s, aborted) }

#define COORDINATOR \
    :: d_step { alive(0) && state[0] == working -> \
        printf("site 0: asks all CAN-COMMIT\n"); \
        sent_can_commit = PARTICIPANTS; \
        become(0, waiting) } \
    :: d_step { reach[0] == 7 && state[0] == waiting && sent_yes == PARTICIPANTS -> \
        printf("site 0: all voted yes, sends PRE-COMMIT to all\n"); \
        sent_pre_commit = PARTICIPANTS; \
        become(0, prepared) } \
    :: d_step { alive(0) && state[0] == waiting && (sent_no & reach[0]) -> \
        printf("site 0: somebody voted no, sends ABORT to all\n"); \
        sent_abort = PARTICIPANTS; \
        become(0, aborted) } \
    :: d_step { reach[0] == 7 && state[0] == prepared && sent_ack == PARTICIPANTS -> \
        printf("site 0: all acknowledged, sends COMMIT to all\n"); \
        sent_commit = PARTICIPANTS; \
        become(0, committed) }

/* ---- the rule for those who are left ---------------------------------------------------------- */

/* The lowest site of those that still talk to each other leads them. It brings the others to its
 * own state first, one by one, and then decides: prepared commits, anything before it aborts. Who
 * has ended already is followed. */
#define leads(s) \
    (failed && alive(s) && !is_final(s) && (reach[s] & (BIT(s) - 1)) == 0 && \
     !ended(s, 0) && !ended(s, 1) && !ended(s, 2))
#define ended(s, other) (reaches(s, other) && is_final(other))
#define agrees(s, other) (!reaches(s, other) || state[other] == state[s])
#define all_agree(s) (agrees(s, 0) && agrees(s, 1) && agrees(s, 2))

#define LEAD(s, other) \
    :: d_step { leads(s) && !agrees(s, other) -> \
        printf("site %d: waited too long, leads, brings site %d to its own state\n", s, other); \
        become(other, state[s]) }
#define FOLLOW(s, other) \
    :: d_step { failed && alive(s) && !is_final(s) && ended(s, other) -> \
        printf("site %d: waited too long, follows site %d\n", s, other); \
        become(s, state[other]) }
#define TERMINATE(s) \
    LEAD(s, 0) LEAD(s, 1) LEAD(s, 2) \
    FOLLOW(s, 0) FOLLOW(s, 1) FOLLOW(s, 2) \
    :: d_step { leads(s) && all_agree(s) && state[s] == prepared -> \
        printf("site %d: waited too long, those it reaches are prepared: they commit\n", s); \
        become(s, committed) } \
    :: d_step { leads(s) && all_agree(s) && state[s] != prepared -> \
        printf("site %d: waited too long, those it reaches are not prepared: they abort\n", s); \
        become(s, aborted) }

/* ---- what goes wrong -------------------------------------------------------------------------- */

#ifdef CRASHES_ONLY
#define FAIL(s) \
    :: d_step { alive(s) && (reach[s] != BIT(s)) -> \
        printf("site %d: CRASHES\n", s); \
        failed = true; \
        reach[0] = reach[0] & ~BIT(s); \
        reach[1] = reach[1] & ~BIT(s); \
        reach[2] = reach[2] & ~BIT(s); \
        reach[s] = 0 }
#else
#define FAIL(s) \
    :: d_step { !failed -> \
        printf("THE NETWORK IS CUT between site %d and the others\n", s); \
        failed = true; \
        reach[0] = 7 & ~BIT(s); \
        reach[1] = 7 & ~BIT(s); \
        reach[2] = 7 & ~BIT(s); \
        reach[s] = BIT(s) }
#endif

init {
    d_step {
        state[0] = working; state[1] = working; state[2] = working;
        reach[0] = 7; reach[1] = 7; reach[2] = 7
    }
end:
    do
    COORDINATOR
    PARTICIPANT(1)
    PARTICIPANT(2)
    EACH_SITE(TERMINATE)
    EACH_SITE(FAIL)
    od
}
