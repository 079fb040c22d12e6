#include "coordinator/transaction.h"

#include <string.h>

#include "core/check.h"
#include "core/planted.h"

void transaction_init(struct transaction *transaction, struct branch *branches, int branch_count,
                      enum transaction_way way, bool keyed)
{
    CHECK(branch_count >= 0 && branch_count <= LIMIT_BRANCHES);
    CHECK(way != IN_ONE_PHASE || (branch_count == 1 && !keyed));
    CHECK(way != IN_THREE_PHASES || (branch_count > 0 && branch_count < LIMIT_SITES));
    *transaction = (struct transaction){.state = TRANSACTION_NEW,
                                        .branch_count = (uint8_t)branch_count,
                                        .alone = way == IN_ONE_PHASE,
                                        .keyed = keyed,
                                        .branches = branches};
    for (int i = 0; i < branch_count; i++)
        branches[i].state = BRANCH_NEW;
    transaction->in[BRANCH_NEW] = (uint8_t)branch_count;
    proposer_init(&transaction->proposer, way == IN_THREE_PHASES ? branch_count + 1 : 1, 0);
}

bool transaction_three_phase(const struct transaction *t)
{
    return t->proposer.sites > 1;
}

bool transaction_wants(const struct transaction *t, int branch)
{
    return transaction_three_phase(t) && proposer_wants(&t->proposer) >> (branch + 1) & 1;
}

static void act(struct actions *actions, enum action_type type, int branch)
{
    CHECK(actions->count < ACTIONS);
    actions->list[actions->count++] = (struct action){(uint8_t)type, (uint8_t)branch};
}

static void turn(struct transaction *t, enum transaction_turn what)
{
    t->state = (uint8_t)transition_next(&transaction_table, t->state, what);
}

static void place_branch(struct transaction *t, int branch, int state)
{
    t->in[t->branches[branch].state]--;
    t->in[state]++;
    t->branches[branch].state = (uint8_t)state;
}

static void turn_branch(struct transaction *t, int branch, enum branch_turn what)
{
    place_branch(t, branch, transition_next(&branch_table, t->branches[branch].state, what));
}

/* For what a participant sends: its mistake is refused and changes nothing. */
static bool try_branch(struct transaction *t, int branch, enum branch_turn what)
{
    int next = transition_try(&branch_table, t->branches[branch].state, what);
    if (next)
        place_branch(t, branch, next);
    return next != 0;
}

static void end(struct transaction *t, enum transaction_turn how, struct actions *actions)
{
    turn(t, how);
    act(actions, ACTION_DISARM, 0);
    act(actions, ACTION_RELEASE, 0);
}

/* Nothing more is under way at any branch? Then the transaction ends, or rests as a hazard. */
static void finish(struct transaction *t, struct actions *actions)
{
    if (t->in[BRANCH_COMMITTING] + t->in[BRANCH_ABORTING] > 0 &&
        !(PLANTED(END_AT_FIRST_ACK) && t->in[BRANCH_APPLIED] > 0)) {
        turn(t, TURN_BRANCH_CHANGED);
    } else if (t->in[BRANCH_HAZARD] > 0) {
        turn(t, TURN_HAZARD_LEFT);
        act(actions, ACTION_DISARM, 0);
    } else if (t->state == TRANSACTION_COMMITTED) {
        /* T4: END lets the journal forget the branches, so every one must have acknowledged. */
        CHECK(t->in[BRANCH_APPLIED] + t->in[BRANCH_READ_ONLY] == t->branch_count ||
              PLANTED(END_AT_FIRST_ACK));
        act(actions, ACTION_APPEND_ENDED, 0);
        act(actions, ACTION_ANSWER_APPLIED, 0);
        end(t, TURN_ALL_FINISHED, actions);
    } else {
        end(t, TURN_ALL_FINISHED, actions);
    }
}

static void tell_abort(struct transaction *t, struct actions *actions)
{
    act(actions, ACTION_ANSWER_ABORTED, 0);
    for (int i = 0; i < t->branch_count; i++) {
        turn_branch(t, i, BRANCH_ABORT_DECIDED);
        if (t->branches[i].state == BRANCH_ABORTING)
            act(actions, ACTION_SEND_ABORT, i);
    }
    if (t->in[BRANCH_ABORTING] > 0)
        act(actions, ACTION_ARM_PATIENCE, 0);
    else
        finish(t, actions);
}

/* Abort before anything was proposed. Nothing is forced: a coordinator that forgets this
 * transaction now will answer "abort" to whoever asks, so the client may hear it at once; ABORT
 * only frees the locks sooner. */
static void refuse(struct transaction *t, struct actions *actions)
{
    CHECK(!t->appended); /* T2 */
    turn(t, TURN_REFUSED);
    (void)proposer_learn(&t->proposer, REGISTER_ABORT);
    tell_abort(t, actions);
}

/* Commit is decided: tell it, to the clients first, who wait with nothing else to do. */
static void tell(struct transaction *t, struct actions *actions)
{
    CHECK(t->proposer.phase == PROPOSER_DECIDED && t->proposer.value == REGISTER_COMMIT); /* T3 */
    t->committed = true;
    act(actions, ACTION_ANSWER_DECIDED, 0);
    if (PLANTED(APPLIED_WHEN_DECIDED))
        act(actions, ACTION_ANSWER_APPLIED, 0);
    else if (t->late && t->in[BRANCH_YES] > 0) /* else there is nothing to apply */
        act(actions, ACTION_ANSWER_UNAPPLIED, 0);
    for (int i = 0; i < t->branch_count; i++) {
        if (PLANTED(COMMIT_ON_MISSING_VOTE) &&
            (t->branches[i].state == BRANCH_ASKED || t->branches[i].state == BRANCH_NO))
            place_branch(t, i, BRANCH_YES);
        turn_branch(t, i, BRANCH_COMMIT_DECIDED);
        if (t->branches[i].state == BRANCH_COMMITTING)
            act(actions, ACTION_OWE_COMMIT, i);
    }
}

/* The registers have decided; in two phases that is this coordinator's own. */
static void decided(struct transaction *t, struct actions *actions)
{
    enum register_value value = t->proposer.value;
    CHECK(register_learn(&t->own, value));
    turn(t, value == REGISTER_COMMIT ? TURN_DECIDED : TURN_OVERRULED);
    if (transaction_three_phase(t))
        act(actions, ACTION_APPEND_DECIDED, 0);
    if (value == REGISTER_ABORT) {
        tell_abort(t, actions);
        return;
    }
    tell(t, actions);
    if (t->in[BRANCH_COMMITTING] == 0)
        finish(t, actions);
}

static void owe_asks(struct transaction *t, struct actions *actions)
{
    for (int i = 0; i < t->branch_count; i++) {
        if (!transaction_wants(t, i))
            continue;
        CHECK(!t->granting || PLANTED(ASK_BEFORE_OWN)); /* T5 */
        act(actions, ACTION_OWE_ASK, i);
    }
}

/* This site's own register is asked like that of every other, and first; what it grants counts when
 * it is durable. */
static enum proposer_turn ask_self(struct transaction *t, enum action_type record,
                                   struct actions *actions)
{
    struct register_ask ask = proposer_ask(&t->proposer);
    enum register_reply reply = register_answer(&t->own, &ask);
    if (reply != REGISTER_GRANTED)
        return proposer_hear(&t->proposer, 0, &ask, reply, &t->own);
    t->granting = true;
    act(actions, record, 0);
    owe_asks(t, actions);
    return PROPOSER_NOTHING;
}

/* What follows from what the proposer made of the last news. */
static void proceed(struct transaction *t, enum proposer_turn what, struct actions *actions)
{
    bool own_first = !(t->proposer.granted & 1) && !t->granting;
    if (what == PROPOSER_PROGRESSED && own_first)
        what = ask_self(t, ACTION_APPEND_REGISTER, actions);
    if (what == PROPOSER_HAS_DECIDED) {
        decided(t, actions);
        return;
    }
    if (t->state == TRANSACTION_PROPOSED)
        turn(t, TURN_ASKED_AGAIN);
    if (what == PROPOSER_WAS_OUTBID)
        act(actions, ACTION_ARM_ROUND, 0);
}

/* When no round is left, another site's decision is all that can come. */
static void begin_round(struct transaction *t, struct actions *actions)
{
    bool begun = proposer_begin(&t->proposer, &t->own);
    proceed(t, begun ? ask_self(t, ACTION_APPEND_REGISTER, actions) : PROPOSER_NOTHING, actions);
}

/* All have voted? Then commit is proposed: the record is this site's acceptance. In two phases its
 * durability is the decision, in three it lets the other sites be asked. */
static void decide(struct transaction *t, struct actions *actions)
{
    int missing = t->in[BRANCH_ASKED];
    if (missing > 0 && !(PLANTED(COMMIT_ON_MISSING_VOTE) && missing == 1 && t->branch_count > 1)) {
        turn(t, TURN_BRANCH_CHANGED);
        return;
    }
    if (t->in[BRANCH_READ_ONLY] == t->branch_count && !t->keyed) {
        act(actions, ACTION_ANSWER_APPLIED, 0);
        end(t, TURN_ALL_READ_ONLY, actions);
        return;
    }
    CHECK(t->in[BRANCH_YES] + t->in[BRANCH_READ_ONLY] == t->branch_count ||
          PLANTED(COMMIT_ON_MISSING_VOTE)); /* T1 */
    turn(t, TURN_ALL_YES);
    t->appended = true;
    proposer_propose_commit(&t->proposer);
    bool three = transaction_three_phase(t);
    (void)ask_self(t, three ? ACTION_APPEND_PROPOSED : ACTION_APPEND_COMMITTED, actions);
    if (PLANTED(ANSWER_BEFORE_DURABLE))
        act(actions, ACTION_ANSWER_UNAPPLIED, 0);
    for (int i = 0; i < t->branch_count && PLANTED(COMMIT_BEFORE_DURABLE); i++) {
        if (t->branches[i].state == BRANCH_YES)
            act(actions, ACTION_OWE_COMMIT, i);
    }
}

/* All that this site's register was asked is durable: by others, which only the runner waits for,
 * or by its own proposer. */
static void record_durable(struct transaction *t, struct actions *actions)
{
    if (!t->granting) {
        turn(t, TURN_ASKED_AGAIN);
        return;
    }
    struct register_ask ask = proposer_ask(&t->proposer);
    t->granting = false;
    enum proposer_turn what = proposer_hear(&t->proposer, 0, &ask, REGISTER_GRANTED, &t->own);
    if (PLANTED(DECIDE_ON_OWN_ACCEPTANCE) && what == PROPOSER_PROGRESSED &&
        ask.question == REGISTER_ACCEPT)
        what = proposer_learn(&t->proposer, ask.value);
    if (what == PROPOSER_PROGRESSED && t->state == TRANSACTION_DECIDING) {
        turn(t, TURN_ACCEPTED);
        act(actions, ACTION_ARM_DEADLINE, 0); /* it may have passed meanwhile */
    }
    if (what == PROPOSER_PROGRESSED)
        owe_asks(t, actions);
    proceed(t, what, actions);
}

static bool replied(struct transaction *t, const struct transaction_event *event,
                    struct actions *actions)
{
    if (t->state != TRANSACTION_PROPOSED &&
        !(PLANTED(ASK_BEFORE_OWN) && t->state == TRANSACTION_DECIDING))
        return false;
    /* T5: nobody was asked this yet. */
    if (t->granting && ballot_compare(event->ask.ballot, t->proposer.ballot) == 0 &&
        event->ask.question == proposer_ask(&t->proposer).question && !PLANTED(ASK_BEFORE_OWN))
        return false;
    if (t->granting && PLANTED(ASK_BEFORE_OWN) && event->reply == REGISTER_OUTBID)
        return true;
    proceed(t, proposer_hear(&t->proposer, event->site, &event->ask, event->reply, &event->state),
            actions);
    return true;
}

/* Another site brings the decision about, and needs this one's register for it. */
static bool asked(struct transaction *t, const struct transaction_event *event,
                  struct actions *actions)
{
    if (t->state != TRANSACTION_PROPOSED || (int)event->ask.ballot.site != event->site)
        return false;
    struct register_state before = t->own;
    enum register_reply reply = register_answer(&t->own, &event->ask);
    turn(t, TURN_ASKED_AGAIN);
    if (!register_state_equal(&before, &t->own))
        act(actions, ACTION_APPEND_REGISTER, 0);
    act(actions, reply == REGISTER_GRANTED ? ACTION_REPLY_GRANTED : ACTION_REPLY_OUTBID,
        event->site);
    return true;
}

/* A site knows the decision. False: it can't be right. */
static bool decision_told(struct transaction *t, const struct transaction_event *event,
                          struct actions *actions)
{
    if (!transaction_three_phase(t))
        return false;
    if (t->proposer.phase == PROPOSER_DECIDED)
        return t->proposer.value == event->value;
    /* Nobody was asked to accept commit before this site's own acceptance was durable. */
    if (event->value == REGISTER_COMMIT && t->state != TRANSACTION_PROPOSED)
        return false;
    if (t->state == TRANSACTION_VOTING)
        refuse(t, actions);
    else
        proceed(t, proposer_learn(&t->proposer, event->value), actions);
    return true;
}

/* One phase: what the only branch came to is the outcome of the transaction. */
static void conclude(struct transaction *t, struct actions *actions)
{
    switch (t->branches[0].state) {
    case BRANCH_APPLIED:
    case BRANCH_READ_ONLY:
        act(actions, ACTION_ANSWER_APPLIED, 0);
        end(t, TURN_DONE_ALONE, actions);
        break;
    case BRANCH_NO:
    case BRANCH_ABORTED:
        act(actions, ACTION_ANSWER_ABORTED, 0);
        end(t, TURN_REFUSED_ALONE, actions);
        break;
    case BRANCH_LOST:
        turn(t, t->state == TRANSACTION_ALONE ? TURN_LOST_ALONE : TURN_BRANCH_CHANGED);
        act(actions, ACTION_OWE_LOOKUP, 0);
        break;
    default:
        turn(t, TURN_BRANCH_CHANGED);
        break;
    }
}

/* A branch has changed: what follows for the whole? */
static void follow(struct transaction *t, int branch, struct actions *actions)
{
    switch (t->state) {
    case TRANSACTION_VOTING:
        if (t->branches[branch].state == BRANCH_NO)
            refuse(t, actions);
        else
            decide(t, actions);
        break;
    case TRANSACTION_COMMITTED:
    case TRANSACTION_ABORTED:
        finish(t, actions);
        break;
    case TRANSACTION_ALONE:
    case TRANSACTION_LOST:
        conclude(t, actions);
        break;
    default:
        turn(t, TURN_BRANCH_CHANGED);
        break;
    }
}

/* The site has committed its branch with its acceptance, which made the decision: so that is known
 * here at whatever ballot this one asks by now, and nobody has to tell that site. False: it can't
 * be right. */
static bool made_commit(struct transaction *t, const struct transaction_event *event,
                        struct actions *actions)
{
    int branch = event->site - 1;
    bool known = t->proposer.phase == PROPOSER_DECIDED;
    if (!transaction_three_phase(t) || branch < 0 || branch >= t->branch_count ||
        !proposer_first_other_decides(t->proposer.sites) ||
        (known ? !t->committed : t->state != TRANSACTION_PROPOSED) ||
        !try_branch(t, branch, BRANCH_MADE_COMMIT))
        return false;
    if (known)
        follow(t, branch, actions);
    else
        proceed(t, proposer_learn(&t->proposer, REGISTER_COMMIT), actions);
    return true;
}

static void submitted(struct transaction *t, struct actions *actions)
{
    turn(t, t->alone ? TURN_BEGAN_ALONE : TURN_BEGAN);
    act(actions, ACTION_ARM_DEADLINE, 0);
    if (t->branch_count == 0) /* built step by step, and nobody took part */
        decide(t, actions);
    for (int i = 0; i < t->branch_count; i++) {
        turn_branch(t, i, t->alone ? BRANCH_WAS_RUN : BRANCH_WAS_ASKED);
        act(actions, ACTION_SEND_PREPARE, i);
    }
}

static bool voted(struct transaction *t, const struct transaction_event *event,
                  struct actions *actions)
{
    static const enum branch_turn turns[] = {
        [CHOSE_YES] = BRANCH_VOTED_YES,   [CHOSE_NO] = BRANCH_VOTED_NO,
        [CHOSE_DONE] = BRANCH_VOTED_DONE, [CHOSE_READ_ONLY] = BRANCH_VOTED_READ_ONLY,
        [CHOSE_LOST] = BRANCH_VOTED_LOST,
    };
    enum branch_turn what = turns[event->choice];
    if (PLANTED(IGNORE_NO_VOTE) && what == BRANCH_VOTED_NO)
        what = BRANCH_VOTED_READ_ONLY;
    if (!try_branch(t, event->branch, what))
        return false;
    follow(t, event->branch, actions);
    return true;
}

static bool finished(struct transaction *t, const struct transaction_event *event,
                     struct actions *actions)
{
    bool was_hazard = t->branches[event->branch].state == BRANCH_HAZARD;
    enum branch_turn what = event->commit
                                ? event->hazard ? BRANCH_UNPROVED_COMMIT : BRANCH_DID_COMMIT
                            : event->hazard ? BRANCH_UNPROVED_ABORT
                                            : BRANCH_DID_ABORT;
    if (!try_branch(t, event->branch, what))
        return false;
    if (!was_hazard && t->branches[event->branch].state == BRANCH_HAZARD) {
        act(actions, ACTION_APPEND_HAZARD, event->branch);
        act(actions, ACTION_ANSWER_HAZARD, 0);
    }
    follow(t, event->branch, actions);
    return true;
}

static void deadline_passed(struct transaction *t, struct actions *actions)
{
    switch (t->state) {
    case TRANSACTION_VOTING:
        refuse(t, actions);
        return;
    case TRANSACTION_ABORTED:
        for (int i = 0; i < t->branch_count; i++) {
            if (t->branches[i].state == BRANCH_ABORTING)
                turn_branch(t, i, BRANCH_GIVEN_UP);
        }
        finish(t, actions);
        return;
    case TRANSACTION_DECIDING:
        /* The record may be durable already: only the journal knows, and it will say. */
        if (PLANTED(ABORT_WHILE_DECIDING)) {
            act(actions, ACTION_ANSWER_ABORTED, 0);
            for (int i = 0; i < t->branch_count; i++)
                act(actions, ACTION_SEND_ABORT, i);
        }
        break;
    case TRANSACTION_PROPOSED:
        if (PLANTED(ABORT_AFTER_PROPOSAL)) {
            proceed(t, proposer_learn(&t->proposer, REGISTER_ABORT), actions);
            return;
        }
        act(actions, ACTION_ANSWER_UNKNOWN, 0);
        break;
    case TRANSACTION_COMMITTED:
        act(actions, ACTION_ANSWER_UNAPPLIED, 0);
        break;
    case TRANSACTION_ALONE:
    case TRANSACTION_LOST:
        act(actions, ACTION_ANSWER_UNKNOWN, 0);
        break;
    default:
        break;
    }
    turn(t, TURN_CAME_LATE);
    t->late = true;
}

static void joined(struct transaction *t, struct actions *actions)
{
    turn(t, TURN_JOINED);
    if (t->state == TRANSACTION_HAZARD || t->in[BRANCH_HAZARD] > 0) {
        act(actions, ACTION_ANSWER_HAZARD, 0);
    } else if (t->state == TRANSACTION_COMMITTED) {
        /* The new one waits for applied within its own time. */
        t->late = false;
        act(actions, ACTION_ANSWER_DECIDED, 0);
        act(actions, ACTION_ARM_DEADLINE, 0);
    } else if (t->state == TRANSACTION_PROPOSED) {
        act(actions, ACTION_ARM_DEADLINE, 0);
    }
}

static void branch_recovered(struct transaction *t, const struct transaction_event *event)
{
    turn_branch(t, event->branch,
                event->hazard      ? BRANCH_RECOVERED_HAZARD
                : event->applied   ? BRANCH_RECOVERED_APPLIED
                : event->read_only ? BRANCH_RECOVERED_READ_ONLY
                                   : BRANCH_RECOVERED_YES);
    t->appended = t->committed = event->commit;
}

static void recovered(struct transaction *t, struct actions *actions)
{
    t->late = true;
    if (t->in[BRANCH_HAZARD] > 0) {
        /* A hazard whose transaction was ended or aborted: only the hazard itself is left of it. */
        CHECK(t->in[BRANCH_HAZARD] == t->branch_count);
        turn(t, TURN_RECOVERED_HAZARD);
    } else {
        turn(t, TURN_RECOVERED);
        t->appended = true;
        (void)proposer_learn(&t->proposer, REGISTER_COMMIT);
        tell(t, actions);
    }
}

static void recovered_proposed(struct transaction *t, const struct transaction_event *event)
{
    CHECK(transaction_three_phase(t));
    t->late = t->appended = true;
    t->own = event->state;
    turn(t, TURN_RECOVERED_PROPOSED);
}

/* As the journal says. What lacks nothing but its end is ended when all of it was read. */
static void decision_recovered(struct transaction *t, struct actions *actions)
{
    turn(t, TURN_DECIDED);
    (void)proposer_learn(&t->proposer, REGISTER_COMMIT);
    CHECK(register_learn(&t->own, REGISTER_COMMIT));
    tell(t, actions);
}

static void resumed(struct transaction *t, struct actions *actions)
{
    if (t->state == TRANSACTION_COMMITTED && t->in[BRANCH_COMMITTING] == 0)
        finish(t, actions);
    else if (t->state == TRANSACTION_PROPOSED)
        begin_round(t, actions);
}

bool transaction_step(struct transaction *t, const struct transaction_event *event,
                      struct actions *actions)
{
    actions->count = 0;
    CHECK(event->branch >= 0 && (event->branch == 0 || event->branch < t->branch_count));
    switch (event->type) {
    case EVENT_SUBMITTED:
        submitted(t, actions);
        return true;
    case EVENT_WITHDRAWN:
        refuse(t, actions);
        return true;
    case EVENT_VOTED:
        return voted(t, event, actions);
    case EVENT_RECORD_DURABLE:
        record_durable(t, actions);
        return true;
    case EVENT_REPLIED:
        return event->applied ? made_commit(t, event, actions) : replied(t, event, actions);
    case EVENT_ASKED:
        return asked(t, event, actions);
    case EVENT_TOLD:
        return decision_told(t, event, actions);
    case EVENT_ROUND_DUE:
        begin_round(t, actions);
        return true;
    case EVENT_FINISHED:
        return finished(t, event, actions);
    case EVENT_PARTICIPANT_LOST:
        turn_branch(t, event->branch, BRANCH_SESSION_LOST);
        follow(t, event->branch, actions);
        return true;
    case EVENT_DEADLINE_PASSED:
        deadline_passed(t, actions);
        return true;
    case EVENT_FOUND:
        if (!try_branch(t, event->branch,
                        event->commit ? BRANCH_FOUND_COMMITTED : BRANCH_FOUND_ABORTED))
            return false;
        follow(t, event->branch, actions);
        return true;
    case EVENT_JOINED:
        joined(t, actions);
        return true;
    case EVENT_FORGOTTEN:
        end(t, TURN_FORGOTTEN, actions);
        return true;
    case EVENT_BRANCH_RECOVERED:
        branch_recovered(t, event);
        return true;
    case EVENT_RECOVERED:
        recovered(t, actions);
        return true;
    case EVENT_RECOVERED_PROPOSED:
        recovered_proposed(t, event);
        return true;
    case EVENT_REGISTER_RECOVERED:
        CHECK(t->state == TRANSACTION_PROPOSED);
        t->own = event->state;
        return true;
    case EVENT_DECISION_RECOVERED:
        decision_recovered(t, actions);
        return true;
    case EVENT_RESUMED:
        resumed(t, actions);
        return true;
    }
    return false;
}

enum transaction_phase transaction_phase(const struct transaction *t)
{
    switch (t->state) {
    case TRANSACTION_DECIDING:
    case TRANSACTION_PROPOSED:
        return PHASE_DECIDING;
    case TRANSACTION_COMMITTED:
        return PHASE_COMMITTED;
    case TRANSACTION_ABORTED:
        return PHASE_ABORTED;
    case TRANSACTION_HAZARD:
        return t->committed ? PHASE_COMMITTED : PHASE_ABORTED;
    default:
        return PHASE_UNDECIDED;
    }
}

bool transaction_undecided(const struct transaction *t)
{
    return t->state == TRANSACTION_NEW || t->state == TRANSACTION_VOTING ||
           t->state == TRANSACTION_DECIDING || t->state == TRANSACTION_ALONE;
}
