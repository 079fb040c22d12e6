/* Three-phase commit's registers, as this coordinator meets them: it is a site and answers what
 * others ask, it asks them, and it learns what they have decided. Whatever a participant sends that
 * can't be right is logged and ignored. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

enum {
    BACKOFF_LEAST_US = 200 * 1000,
    BACKOFF_MOST_US = 1000 * 1000,
    ASK_AGAIN_US = 1000 * 1000,
    /* What a register in order takes, flush and all, many times over. */
    ASK_OTHERS_US = 100 * 1000,
    /* So many transactions one after the other ask the same sites: what is asked of a register at
     * one time is stored at one time. */
    SAME_SITES_IN_A_ROW = 64,
};

static void stray(const struct server *server, const struct guest *guest, const char *what,
                  struct txid id, const char *why)
{
    host_log(&server->host, LOG_WARNING,
             "%s about the register of %" PRIu64 ".%" PRIu64 " from %s was ignored: %s", what,
             id.epoch, id.seq, guest->participant->name, why);
}

static bool ours(const struct server *server, const char *coordinator)
{
    return strcmp(coordinator, server->coordinator) == 0;
}

/* The sender's branch, or -1. */
static int branch_of(const struct tx *tx, const struct guest *guest)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        if (tx->branches[i].participant == guest->participant)
            return i;
    }
    return -1;
}

/* ---- what came in, made sound ---- */

static struct ballot take_ballot(const Wire__Ballot *ballot)
{
    return ballot ? (struct ballot){ballot->round, ballot->site} : (struct ballot){0, 0};
}

static struct register_ask take_question(Wire__Question question, const Wire__Ballot *ballot,
                                         Wire__Value value)
{
    bool accept = question == WIRE__QUESTION__ACCEPT;
    return (struct register_ask){.question = accept ? REGISTER_ACCEPT
                                             : question == WIRE__QUESTION__PROMISE
                                                 ? REGISTER_PROMISE
                                                 : 0,
                                 .ballot = take_ballot(ballot),
                                 .value = accept ? (enum register_value)value : REGISTER_EMPTY};
}

static bool decision_sound(Wire__Value value)
{
    return value == WIRE__VALUE__ABORT || value == WIRE__VALUE__COMMIT;
}

/* ---- asks of others ---- */

static void wire_ballot(Wire__Ballot *out, struct ballot ballot)
{
    wire__ballot__init(out);
    out->round = ballot.round;
    out->site = ballot.site;
}

static void send_reply(struct server *server, struct peer *peer, struct txid id,
                       const struct register_ask *ask, enum register_reply answer,
                       const struct register_state *state)
{
    static const Wire__Answered words[] = {
        [REGISTER_GRANTED] = WIRE__ANSWERED__GRANTED,  [REGISTER_OUTBID] = WIRE__ANSWERED__OUTBID,
        [REGISTER_DECIDED] = WIRE__ANSWERED__KNOWN,    [REGISTER_WAIT] = WIRE__ANSWERED__ASK_LATER,
        [REGISTER_HELD] = WIRE__ANSWERED__CANNOT_TELL,
    };
    Wire__Reply reply = WIRE__REPLY__INIT;
    Wire__Ballot ballot, promised, accepted;
    Wire__Message message = WIRE__MESSAGE__INIT;
    wire_ballot(&ballot, ask->ballot);
    wire_ballot(&promised, state->promised);
    wire_ballot(&accepted, state->accepted);
    reply.coordinator = server->coordinator;
    reply.epoch = id.epoch;
    reply.seq = id.seq;
    reply.question =
        ask->question == REGISTER_ACCEPT ? WIRE__QUESTION__ACCEPT : WIRE__QUESTION__PROMISE;
    reply.ballot = &ballot;
    reply.answered = words[answer];
    reply.promised = &promised;
    reply.accepted = &accepted;
    reply.value = (Wire__Value)state->value;
    message.body_case = WIRE__MESSAGE__BODY_REPLY;
    message.reply = &reply;
    /* Refused when too much waits for it: it asks again. */
    (void)peer_send(peer, &message, false);
}

/* The answer that waits for the site, if its participant is there. */
static void send_waiting(struct server *server, struct tx *tx, int index)
{
    struct tx_site *site = &tx->sites->of[index];
    struct participant *participant = tx->branches[index - 1].participant;
    struct register_ask ask = {.question = site->question, .ballot = site->ballot};
    struct register_state state = tx->machine.own;
    enum register_reply reply = site->reply;
    site->reply = 0;
    if (reply == REGISTER_DECIDED)
        state = (struct register_state){.value = state.value};
    if (participant->peer)
        send_reply(server, participant->peer, tx->id, &ask, reply, &state);
}

void server_send_replies(struct server *server, struct tx *tx)
{
    for (int i = 1; i <= tx->machine.branch_count; i++) {
        if (tx->sites->of[i].reply)
            send_waiting(server, tx, i);
    }
}

void server_reply_later(struct server *server, struct tx *tx, int site, enum register_reply reply)
{
    tx->sites->of[site].reply = (uint8_t)reply;
    if (tx->position <= server->durable_position || PLANTED(ANSWER_BEFORE_STORED))
        send_waiting(server, tx, site);
}

/* As an acceptor. One ask of each site waits for its answer, the newest. */
static void ask_register(struct server *server, struct guest *guest, struct tx *tx,
                         const struct register_ask *ask)
{
    int site = branch_of(tx, guest) + 1;
    if (site == 0 || (int)ask->ballot.site != site || ask->ballot.round == 0) {
        stray(server, guest, "a question", tx->id, "it is not that site's to ask");
        return;
    }
    struct transaction_event event = {.type = EVENT_ASKED, .site = site, .ask = *ask};
    tx->sites->of[site].question = (uint8_t)ask->question;
    tx->sites->of[site].ballot = ask->ballot;
    CHECK(server_step(server, tx, &event));
}

/* What is known of the decision, or that nothing is. */
static void answer_decision(struct server *server, struct guest *guest, struct txid id,
                            const struct register_ask *ask)
{
    struct register_state state = {.value = REGISTER_EMPTY};
    enum register_reply reply = REGISTER_DECIDED;
    switch (recovery_judge(&server->recovery, id, server_presence(server, id))) {
    case VERDICT_IS_COMMIT:
        state.value = REGISTER_COMMIT;
        break;
    case VERDICT_IS_ABORT:
        state.value = REGISTER_ABORT;
        break;
    case VERDICT_IS_WAIT:
        reply = REGISTER_WAIT;
        break;
    case VERDICT_IS_HOLD:
        reply = REGISTER_HELD;
        break;
    }
    send_reply(server, guest->peer, id, ask, reply, &state);
}

void server_asked(struct server *server, struct guest *guest, const Wire__Ask *ask)
{
    struct txid id = {ask->epoch, ask->seq};
    struct register_ask question = take_question(ask->question, ask->ballot, ask->value);
    if (!ours(server, ask->coordinator) || ask->site != 0 || !register_ask_sound(&question)) {
        stray(server, guest, "a question", id, "it makes no sense");
        return;
    }
    struct tx *tx = server_find(server, id);
    if (tx && tx->sites && tx->machine.state == TRANSACTION_PROPOSED)
        ask_register(server, guest, tx, &question);
    else
        answer_decision(server, guest, id, &question);
}

/* ---- asking others ---- */

void server_send_ask(struct server *server, struct tx_branch *branch)
{
    const struct tx *tx = branch->tx;
    struct register_ask question = proposer_ask(&tx->machine.proposer);
    Wire__Ask ask = WIRE__ASK__INIT;
    Wire__Ballot ballot;
    Wire__Message message = WIRE__MESSAGE__INIT;
    wire_ballot(&ballot, question.ballot);
    ask.coordinator = server->coordinator;
    ask.epoch = tx->id.epoch;
    ask.seq = tx->id.seq;
    ask.site = (uint32_t)tx_branch_at(branch) + 1;
    ask.question =
        question.question == REGISTER_ACCEPT ? WIRE__QUESTION__ACCEPT : WIRE__QUESTION__PROMISE;
    ask.ballot = &ballot;
    ask.value = (Wire__Value)question.value;
    ask.begun_us = tx->begun_us;
    message.body_case = WIRE__MESSAGE__BODY_ASK;
    message.ask = &ask;
    tx->sites->of[ask.site].asked = true;
    CHECK(peer_send(branch->participant->peer, &message, true));
}

/* Who is asked first: those that are there and answer, and among them those that are prepared: they
 * will want to know the decision, and find it at home; then in turn. */
static int rank(const struct tx *tx, int index)
{
    const struct participant *participant = tx->branches[index].participant;
    int count = tx->machine.branch_count;
    int first = (int)(tx->id.seq / SAME_SITES_IN_A_ROW % (uint64_t)count);
    bool prompt = participant->peer && !participant->tardy;
    bool prepared = tx->machine.branches[index].state == BRANCH_YES;
    return (index - first + count) % count + (prompt ? 0 : 2 * count) + (prepared ? 0 : count);
}

/* The coordinator's own ballot needs no promises, only to be accepted by enough: so the others
 * are left alone, and hear of it by COMMIT. */
static bool is_spare(const struct tx *tx, int index)
{
    int before = 0, own = rank(tx, index);
    for (int i = 0; i < tx->machine.branch_count; i++)
        before += rank(tx, i) < own;
    return tx->machine.proposer.ballot.round == 0 &&
           before >= proposer_acceptances(&tx->machine.proposer) - 1;
}

void server_want_ask(struct server *server, struct tx_branch *branch)
{
    if (is_spare(branch->tx, tx_branch_at(branch)))
        timers_set(&server->rounds, &branch->tx->sites->timer,
                   server->host.now_us(server->host.self) + ASK_OTHERS_US);
    else
        server_owe_ask(server, branch);
}

/* At random, so that those who outbid each other do not go on so for ever. */
void server_arm_round(struct server *server, struct tx *tx)
{
    uint32_t random;
    server->host.random(server->host.self, &random, sizeof(random));
    uint64_t pause_us = BACKOFF_LEAST_US + random % (BACKOFF_MOST_US - BACKOFF_LEAST_US + 1);
    timers_set(&server->rounds, &tx->sites->timer,
               server->host.now_us(server->host.self) + pause_us);
}

void server_begin_round(struct server *server, struct tx *tx, enum transaction_event_type why)
{
    struct transaction_event event = {.type = why};
    /* A crash here: nobody has heard of this round; the restart begins one. */
    CRASH_POINT("coordinator.terminating");
    CHECK(server_step(server, tx, &event));
}

/* Who was spared is asked, and who has answered that it can't grant now is asked again. */
static void ask_again(struct server *server, struct tx *tx)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        struct tx_branch *branch = &tx->branches[i];
        if (branch->place == PLACE_ASK_OUTSTANDING)
            branch->participant->tardy = true;
        else if (transaction_wants(&tx->machine, i) && branch->place == PLACE_NONE)
            server_owe_ask(server, branch);
    }
}

void server_round_due(struct server *server, struct tx *tx)
{
    if (tx->machine.proposer.phase == PROPOSER_OUTBID)
        server_begin_round(server, tx, EVENT_ROUND_DUE);
    else
        ask_again(server, tx);
}

/* ---- what others know ---- */

static void contradicted(const struct server *server, const struct guest *guest, struct txid id)
{
    host_log(&server->host, LOG_ERROR,
             "%s says that %" PRIu64 ".%" PRIu64 " was decided otherwise than it is known here: "
             "somebody broke the protocol",
             guest->participant->name, id.epoch, id.seq);
}

/* Of a transaction that is not live. */
static void compare_with_known(const struct server *server, const struct guest *guest,
                               struct txid id, enum verdict told)
{
    enum verdict known = recovery_judge(&server->recovery, id, server_presence(server, id));
    if (known != told && known != VERDICT_IS_HOLD)
        contradicted(server, guest, id);
}

/* The site says that this is the decision. */
static void learn(struct server *server, struct guest *guest, struct tx *tx, int index,
                  enum register_value value)
{
    struct transaction_event event = {.type = EVENT_TOLD, .value = value};
    struct tx_site *site = &tx->sites->of[index + 1];
    if (tx->machine.state == TRANSACTION_VOTING && value == REGISTER_ABORT)
        server_overruled(tx);
    if (server_step(server, tx, &event)) {
        site->heard = register_learn(&site->state, value);
        /* A crash here loses what was queued in this turn: the restart asks the registers. */
        CRASH_POINT("coordinator.told");
        return;
    }
    if (tx->machine.proposer.phase != PROPOSER_DECIDED) {
        stray(server, guest, "a decision", tx->id, "commit was not proposed");
        return;
    }
    contradicted(server, guest, tx->id);
    server_unproved(server, tx, index, "it says that the registers decided otherwise");
}

/* The last question was answered, with or without a grant. */
static bool settles_ask(const struct tx *tx, const struct register_ask *ask)
{
    if (tx->machine.state != TRANSACTION_PROPOSED || proposer_wants(&tx->machine.proposer) == 0)
        return false;
    struct register_ask asked = proposer_ask(&tx->machine.proposer);
    return asked.question == ask->question && ballot_compare(asked.ballot, ask->ballot) == 0;
}

/* The site has committed its branch with the acceptance that it tells of. False: that can't be, and
 * an operator has heard of it; where enough sites accept it all the same nothing is wrong yet, and
 * where they do not, the participant proves a hazard when it is told to abort. */
static bool may_have_applied(struct server *server, struct guest *guest, struct tx *tx, int index)
{
    const struct proposer *proposer = &tx->machine.proposer;
    if (proposer->phase == PROPOSER_DECIDED && proposer->value == REGISTER_ABORT) {
        contradicted(server, guest, tx->id);
        server_unproved(server, tx, index, "it has committed its branch, and abort was decided");
        return false;
    }
    if (proposer_first_other_decides(proposer->sites))
        return true;
    host_log(&server->host, LOG_ERROR,
             "%s says that its branch of %" PRIu64 ".%" PRIu64 " is committed with its acceptance, "
             "which of %d sites can't be enough: somebody broke the protocol",
             guest->participant->name, tx->id.epoch, tx->id.seq, proposer->sites);
    return false;
}

static void hear(struct server *server, struct guest *guest, struct tx *tx,
                 struct transaction_event *event)
{
    int index = event->site - 1;
    struct tx_site *site = &tx->sites->of[event->site];
    enum transaction_state state = tx->machine.state;
    bool late = state != TRANSACTION_PROPOSED &&
                !(state == TRANSACTION_DECIDING && PLANTED(ASK_BEFORE_OWN));
    if (late && tx->machine.proposer.phase != PROPOSER_DECIDED) {
        stray(server, guest, "a reply", tx->id, "it was not asked");
        return;
    }
    if (!register_decided(&site->state))
        site->state = event->state;
    site->heard = true;
    if (event->applied && !may_have_applied(server, guest, tx, index))
        event->applied = false;
    if (late && !event->applied)
        return; /* the others were enough */
    if (!(event->applied ? server_acknowledged(server, tx, index, event)
                         : server_step(server, tx, event))) {
        stray(server, guest, "a reply", tx->id, "it was not asked that");
        return;
    }
    if (late)
        return;
    if (tx->machine.state != TRANSACTION_PROPOSED) {
        CRASH_POINT("coordinator.told");
    } else if (event->reply == REGISTER_GRANTED) {
        /* A crash here: some sites hold an acceptance or a promise. The restart takes over. */
        CRASH_POINT("coordinator.granted");
    }
}

/* A branch is committed with an acceptance of commit at the coordinator's own ballot only. */
static bool commits_with_it(const Wire__Reply *reply, const struct transaction_event *event)
{
    return reply->answered == WIRE__ANSWERED__GRANTED && event->ask.question == REGISTER_ACCEPT &&
           event->ask.ballot.round == 0 && event->state.value == REGISTER_COMMIT;
}

/* False: no answer that a register could give. */
static bool take_reply(const Wire__Reply *reply, struct transaction_event *event)
{
    bool in_range = reply->value <= WIRE__VALUE__COMMIT;
    event->ask = take_question(reply->question, reply->ballot, WIRE__VALUE__COMMIT);
    event->state = (struct register_state){.promised = take_ballot(reply->promised),
                                           .accepted = take_ballot(reply->accepted),
                                           .value = in_range ? (uint8_t)reply->value : 0};
    if (!in_range || !register_ask_sound(&event->ask))
        return false;
    event->applied = reply->applied;
    if (event->applied && !commits_with_it(reply, event))
        return false;
    int above = ballot_compare(event->state.promised, event->ask.ballot);
    switch (reply->answered) {
    case WIRE__ANSWERED__GRANTED:
        event->reply = REGISTER_GRANTED;
        return above >= 0 && register_state_sound(&event->state);
    case WIRE__ANSWERED__OUTBID:
        event->reply = REGISTER_OUTBID;
        return above > 0 && register_state_sound(&event->state);
    case WIRE__ANSWERED__KNOWN:
        event->reply = REGISTER_DECIDED;
        return decision_sound(reply->value);
    case WIRE__ANSWERED__ASK_LATER:
    case WIRE__ANSWERED__CANNOT_TELL:
        event->reply = REGISTER_WAIT;
        return true;
    default:
        return false;
    }
}

void server_replied(struct server *server, struct guest *guest, const Wire__Reply *reply)
{
    struct txid id = {reply->epoch, reply->seq};
    bool is_ours = ours(server, reply->coordinator);
    struct tx *tx = is_ours ? server_find(server, id) : NULL;
    guest->participant->tardy = false;
    struct transaction_event event = {.type = EVENT_REPLIED};
    if (!tx) { /* over: the others were enough */
        if (is_ours && take_reply(reply, &event) && event.applied)
            compare_with_known(server, guest, id, VERDICT_IS_COMMIT);
        return;
    }
    int index = tx->sites ? branch_of(tx, guest) : -1;
    if (index < 0 || reply->site != (uint32_t)index + 1 || !take_reply(reply, &event)) {
        stray(server, guest, "a reply", id, "it makes no sense");
        return;
    }
    event.site = index + 1;
    struct tx_branch *branch = &tx->branches[index];
    bool settles = settles_ask(tx, &event.ask);
    if (settles && branch->place == PLACE_ASK_OUTSTANDING)
        server_leave(branch);
    if (event.reply == REGISTER_DECIDED)
        learn(server, guest, tx, index, event.state.value);
    else if (event.reply != REGISTER_WAIT)
        hear(server, guest, tx, &event);
    else if (settles && tx->sites->timer.place == 0)
        timers_set(&server->rounds, &tx->sites->timer,
                   server->host.now_us(server->host.self) + ASK_AGAIN_US);
    if (reply->answered == WIRE__ANSWERED__CANNOT_TELL)
        server_prove(server, tx);
    server_pump(server, guest->participant);
}

void server_told(struct server *server, struct guest *guest, const Wire__Decided *decided)
{
    struct txid id = {decided->epoch, decided->seq};
    if (!ours(server, decided->coordinator) || !decision_sound(decided->value)) {
        stray(server, guest, "a decision", id, "it makes no sense");
        return;
    }
    struct tx *tx = server_find(server, id);
    if (tx && tx->sites) {
        int index = branch_of(tx, guest);
        if (index >= 0)
            learn(server, guest, tx, index, (enum register_value)decided->value);
        else
            stray(server, guest, "a decision", id, "it is not one of its sites");
        return;
    }
    compare_with_known(server, guest, id,
                       decided->value == WIRE__VALUE__COMMIT ? VERDICT_IS_COMMIT
                                                             : VERDICT_IS_ABORT);
}

/* ---- decided ---- */

void server_overruled(struct tx *tx)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"overruled";
    problem.message = (char *)"the other sites have aborted it";
    problem.detail = (char *)"they could not reach the coordinator while it was not decided";
    problem.hint = (char *)"it may be submitted again";
    tx_problem(tx, NULL, &problem);
}

/* Who was there while others brought the decision about, and has no branch that is told. */
static void tell_bystanders(struct server *server, struct tx *tx)
{
    Wire__Decided decided = WIRE__DECIDED__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    decided.coordinator = server->coordinator;
    decided.epoch = tx->id.epoch;
    decided.seq = tx->id.seq;
    decided.value = (Wire__Value)tx->machine.proposer.value;
    message.body_case = WIRE__MESSAGE__BODY_DECIDED;
    message.decided = &decided;
    for (int i = 0; i < tx->machine.branch_count; i++) {
        struct peer *peer = tx->branches[i].participant->peer;
        if (peer && tx->machine.branches[i].state == BRANCH_READ_ONLY)
            (void)peer_send(peer, &message, false);
    }
}

void server_decided(struct server *server, struct tx *tx)
{
    /* A crash here: it is decided and nobody was told. Whoever asks the registers finds
     * the same: the restart, or participants that do not wait for it. */
    CRASH_POINT("coordinator.decided");
    tx->decided_us = server->host.wall_us(server->host.self);
    list_remove(&tx->durable);
    timers_clear(&server->rounds, &tx->sites->timer);
    server_append_decided(server, tx);
    if (tx->machine.proposer.value == REGISTER_ABORT) {
        host_log(&server->host, LOG_WARNING,
                 "%" PRIu64 ".%" PRIu64 " was proposed, and its other sites have aborted it",
                 tx->id.epoch, tx->id.seq);
        server_overruled(tx);
    }
    for (int i = 1; i <= tx->machine.branch_count; i++) {
        if (tx->sites->of[i].reply)
            tx->sites->of[i].reply = REGISTER_DECIDED;
    }
    server_send_replies(server, tx);
    if (tx->machine.proposer.seen > 0)
        tell_bystanders(server, tx);
}

void server_flush_settled(struct server *server, struct participant *participant)
{
    (void)server;
    struct settled *settled = participant->settled;
    if (!settled || settled->count == 0)
        return;
    Wire__Settled body = WIRE__SETTLED__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.epoch = settled->epoch;
    body.seqs = settled->seqs;
    body.n_seqs = settled->count;
    message.body_case = WIRE__MESSAGE__BODY_SETTLED;
    message.settled = &body;
    /* Best effort: what is lost stays there until its age. */
    if (participant->peer)
        (void)peer_send(participant->peer, &message, false);
    settled->count = 0;
}

void server_settled(struct server *server, const struct tx *tx)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        struct participant *participant = tx->branches[i].participant;
        bool has_row = tx->sites->of[i + 1].asked || tx->branches[i].joined;
        if (!participant->peer || !has_row)
            continue;
        if (!participant->settled)
            participant->settled = xcalloc(1, sizeof(*participant->settled));
        struct settled *settled = participant->settled;
        if (settled->count == SETTLED_BATCH || settled->epoch != tx->id.epoch)
            server_flush_settled(server, participant);
        settled->epoch = tx->id.epoch;
        settled->seqs[settled->count++] = tx->id.seq;
        if (settled->count == SETTLED_BATCH)
            server_flush_settled(server, participant);
    }
}
