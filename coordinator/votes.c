/* What participants send, and their coming and going. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

/* Verdicts in one message: each has at most some 50 bytes. */
enum { VERDICTS_BATCH = 512 };

static struct txid branch_txid(const Wire__Branch *branch)
{
    return (struct txid){branch->epoch, branch->seq};
}

static void stray(const struct server *server, const struct guest *guest, const char *what,
                  const Wire__Branch *branch, const char *why)
{
    host_log(&server->host, LOG_WARNING,
             "%s of branch %" PRIu64 ".%" PRIu64 ".%" PRIu32 " from %s was ignored: %s", what,
             branch->epoch, branch->seq, branch->branch, guest->participant->name, why);
}

/* The live transaction that the message is about, and the sender's branch in it. NULL: over, which
 * is no mistake: the answer crossed our decision, or was given twice. */
static struct tx *find_branch(struct server *server, struct guest *guest, const char *what,
                              const Wire__Branch *branch, int *index)
{
    struct tx *tx = server_find(server, branch_txid(branch));
    if (!tx)
        return NULL;
    *index = tx_branch_index(tx, branch->branch);
    if (*index >= 0 && tx->branches[*index].participant == guest->participant)
        return tx;
    stray(server, guest, what, branch, "it is not a branch of this participant");
    return NULL;
}

static void take_results(struct tx *tx, int index, const Wire__Vote *vote)
{
    size_t taken = 0, size = 0;
    if (tx->stepwise)
        return;
    for (int i = 0; i < tx->call_count; i++) {
        struct tx_call *call = &tx->calls[i];
        if (call->branch == index && !call->result && taken < vote->n_results) {
            const char *result = vote->results[taken++];
            if (result[0])
                call->result = xstrdup(result);
        }
        size += call->result ? strlen(call->result) : 0;
    }
    if (size > LIMIT_RESULT_BYTES || vote->results_dropped) {
        tx->results_dropped = true;
        tx_drop_results(tx);
    }
}

static void take_problem(struct tx *tx, int index, const Wire__Vote *vote)
{
    Wire__Problem none = WIRE__PROBLEM__INIT;
    none.code = (char *)"unknown";
    none.message = (char *)"the participant refused and gave no reason";
    tx_problem(tx, tx->branches[index].participant, vote->problem ? vote->problem : &none);
}

static bool choice_of(Wire__Choice choice, enum transaction_choice *out)
{
    switch (choice) {
    case WIRE__CHOICE__YES:
        *out = CHOSE_YES;
        return true;
    case WIRE__CHOICE__NO:
        *out = CHOSE_NO;
        return true;
    case WIRE__CHOICE__READ_ONLY:
        *out = CHOSE_READ_ONLY;
        return true;
    case WIRE__CHOICE__DONE:
        *out = CHOSE_DONE;
        return true;
    case WIRE__CHOICE__LOST:
        *out = CHOSE_LOST;
        return true;
    default:
        return false;
    }
}

void server_voted(struct server *server, struct guest *guest, const Wire__Vote *vote)
{
    int index;
    struct transaction_event event = {.type = EVENT_VOTED};
    struct tx *tx = find_branch(server, guest, "a vote", vote->branch, &index);
    if (!tx)
        return;
    if (!choice_of(vote->choice, &event.choice)) {
        stray(server, guest, "a vote", vote->branch, "it says nothing");
        return;
    }
    if (tx->machine.branches[index].state == BRANCH_ASKED &&
        (event.choice == CHOSE_YES || event.choice == CHOSE_READ_ONLY))
        group_check_results(server, tx, vote);
    enum transaction_state state = tx->machine.state;
    bool pending =
        state == TRANSACTION_VOTING || state == TRANSACTION_ALONE || state == TRANSACTION_LOST;
    event.branch = index;
    if (pending && event.choice == CHOSE_NO)
        take_problem(tx, index, vote);
    else if (pending && event.choice != CHOSE_LOST)
        take_results(tx, index, vote);
    if (tx->machine.branches[index].state == BRANCH_ASKED && event.choice == CHOSE_YES)
        tx->branches[index].xid = vote->xid;
    metrics_voted(server, tx, index);
    if (!server_step(server, tx, &event)) {
        stray(server, guest, "a vote", vote->branch, "it does not fit what was asked");
        return;
    }
    struct tx_branch *branch = &tx->branches[index];
    if (branch->voted_ms == 0 && event.choice != CHOSE_LOST)
        branch->voted_ms = tx_age_ms(tx, server->host.wall_us(server->host.self));
    if (event.choice == CHOSE_DONE)
        branch->ended_ms = branch->voted_ms;
}

/* It has acknowledged the outcome, or said that it can't. */
static void note_end(const struct server *server, struct tx *tx, int index)
{
    enum branch_state state = tx->machine.branches[index].state;
    if (tx->branches[index].ended_ms == 0 &&
        (state == BRANCH_APPLIED || state == BRANCH_ABORTED || state == BRANCH_HAZARD))
        tx->branches[index].ended_ms = tx_age_ms(tx, server->host.wall_us(server->host.self));
}

static void take_hazard(struct server *server, struct tx *tx, int index, const char *reason)
{
    gtrid_text gtrid;
    gtrid_format(gtrid, server->cluster, server->coordinator, tx->id);
    server->metrics.hazards++;
    tx_hazard(tx, tx->branches[index].participant, reason);
    host_log(&server->host, LOG_ERROR, "hazard: transaction %s at participant %s: %s", gtrid,
             tx->branches[index].participant->name, reason);
}

/* Only an answer to what the branch was told can be one. */
static bool answers(enum branch_state state, bool commit)
{
    return commit ? state == BRANCH_COMMITTING
                  : state == BRANCH_ABORTING || state == BRANCH_ABORTED;
}

void server_unproved(struct server *server, struct tx *tx, int index, const char *reason)
{
    bool commit = tx->machine.committed;
    if (!answers(tx->machine.branches[index].state, commit))
        return;
    struct transaction_event event = {
        .type = EVENT_FINISHED, .branch = index, .commit = commit, .hazard = true};
    take_hazard(server, tx, index, reason);
    CHECK(server_step(server, tx, &event));
}

/* A hazard of a transaction that is over: from now on it is listed again. */
static void relist_hazard(struct server *server, struct guest *guest,
                          const Wire__Finished *finished)
{
    struct txid id = branch_txid(finished->branch);
    if (recovery_reach(&server->recovery, id) == REACH_FUTURE || open_find(server, id) ||
        finished->branch->branch >= LIMIT_BRANCHES) {
        stray(server, guest, "a hazard", finished->branch, "no such branch was ever ended");
        return;
    }
    if (guest->participant->unapplied >= LIMIT_IN_FLIGHT_PARTICIPANT) {
        stray(server, guest, "a hazard", finished->branch, "it has as many as can be listed");
        return;
    }
    struct tx *tx = server_relist(server, id, finished->branch->branch, guest->participant,
                                  finished->commit, finished->reason);
    int last = tx->machine.branch_count - 1;
    if (tx->begun_us == 0)
        tx->begun_us = tx->decided_us = server->host.wall_us(server->host.self);
    take_hazard(server, tx, last, finished->reason);
    server_append_hazard(server, tx, last);
}

bool server_acknowledged(struct server *server, struct tx *tx, int index,
                         const struct transaction_event *event)
{
    enum branch_state before = tx->machine.branches[index].state;
    uint64_t decided_us = tx->clock.decided_us;
    if (!server_step(server, tx, event))
        return false;
    metrics_finished(server, tx, index, before, decided_us);
    note_end(server, tx, index);
    /* A crash here forgets that this branch is applied: it is told once more. */
    CRASH_POINT("coordinator.acked");
    return true;
}

void server_finished(struct server *server, struct guest *guest, const Wire__Finished *finished)
{
    int index;
    const struct tx *live = server_find(server, branch_txid(finished->branch));
    bool listed =
        live && !(live->hazard_only && tx_branch_index(live, finished->branch->branch) < 0);
    if (!listed && finished->hazard) {
        relist_hazard(server, guest, finished);
        return;
    }
    struct tx *tx = find_branch(server, guest, "an acknowledgement", finished->branch, &index);
    if (!tx)
        return;
    if (finished->hazard && answers(tx->machine.branches[index].state, finished->commit))
        take_hazard(server, tx, index, finished->reason);
    struct transaction_event event = {.type = EVENT_FINISHED,
                                      .branch = index,
                                      .commit = finished->commit,
                                      .hazard = finished->hazard};
    if (!server_acknowledged(server, tx, index, &event))
        stray(server, guest, "an acknowledgement", finished->branch, "it was not told that");
    server_pump(server, guest->participant);
}

void server_found(struct server *server, struct guest *guest, const Wire__Found *found)
{
    int index;
    struct tx *tx = find_branch(server, guest, "a found outcome", found->branch, &index);
    if (!tx)
        return;
    struct transaction_event event = {
        .type = EVENT_FOUND, .branch = index, .commit = found->committed};
    if (!found->committed) {
        Wire__Problem problem = WIRE__PROBLEM__INIT;
        problem.code = (char *)"session_lost";
        problem.message = (char *)"the connection was lost, and the work is not in the database";
        tx_problem(tx, guest->participant, &problem);
    }
    if (server_step(server, tx, &event))
        note_end(server, tx, index);
    else
        stray(server, guest, "a found outcome", found->branch, "nobody asked");
    server_pump(server, guest->participant);
}

/* What is listed for its hazards only is over: what a participant said of it then decides nothing
 * for the other branches, the journal does. */
enum presence server_presence(const struct server *server, struct txid id)
{
    const struct tx *tx = server_find(server, id);
    if (!tx && open_find(server, id))
        return PRESENCE_UNDECIDED;
    if (!tx || tx->hazard_only)
        return PRESENCE_NONE;
    switch (transaction_phase(&tx->machine)) {
    case PHASE_UNDECIDED:
        return PRESENCE_UNDECIDED;
    case PHASE_DECIDING:
        return PRESENCE_DECIDING;
    case PHASE_COMMITTED:
        return PRESENCE_COMMITTED;
    case PHASE_ABORTED:
        return PRESENCE_ABORTED;
    }
    return PRESENCE_NONE;
}

enum decision server_decision(const struct server *server, const struct gid *id)
{
    if (!server_is_ours(server, id))
        return DECISION_NONE;
    const struct tx *tx = server_remember(server, id->tx);
    if (tx && !tx->hazard_only && tx->machine.state == TRANSACTION_DONE) {
        bool aborted = strcmp(tx_state_word(tx), "aborted") == 0 ||
                       (tx->machine.in[BRANCH_HAZARD] > 0 && !tx->machine.committed);
        return aborted ? DECISION_ABORT : DECISION_COMMIT;
    }
    switch (recovery_judge(&server->recovery, id->tx, server_presence(server, id->tx))) {
    case VERDICT_IS_COMMIT:
        return DECISION_COMMIT;
    case VERDICT_IS_ABORT:
        return DECISION_ABORT;
    default:
        return DECISION_NONE;
    }
}

/* xid: that the participant found. A vote has none when the branch had written nothing yet. */
static void judge(struct server *server, const Wire__Branch *branch, uint64_t xid,
                  Wire__Judged *out)
{
    static const Wire__Verdict words[] = {
        [VERDICT_IS_COMMIT] = WIRE__VERDICT__VERDICT_COMMIT,
        [VERDICT_IS_ABORT] = WIRE__VERDICT__VERDICT_ABORT,
        [VERDICT_IS_WAIT] = WIRE__VERDICT__VERDICT_WAIT,
        [VERDICT_IS_HOLD] = WIRE__VERDICT__VERDICT_HOLD,
    };
    struct txid id = branch_txid(branch);
    struct tx *tx = server_find(server, id);
    enum verdict verdict = recovery_judge(&server->recovery, id, server_presence(server, id));
    wire__judged__init(out);
    if (tx && verdict == VERDICT_IS_COMMIT && !tx->hazard_only) {
        /* A branch that was not part of the decision can't be prepared under its id. */
        int index = tx_branch_index(tx, branch->branch);
        bool read_only = index >= 0 && tx->machine.branches[index].state == BRANCH_READ_ONLY;
        if (index < 0 || (read_only && !tx->branches[index].joined))
            verdict = VERDICT_IS_HOLD;
        else if (tx->branches[index].xid == 0 && !read_only)
            tx->branches[index].xid = xid;
        /* Who joined has said that he wrote nothing, and has prepared it all the same: it ends as
         * it will when no more than the id is known. */
        if (verdict == VERDICT_IS_COMMIT)
            out->xid = read_only ? xid : tx->branches[index].xid;
    }
    out->branch = (Wire__Branch *)branch;
    out->verdict = words[verdict];
}

void server_inquired(struct server *server, struct guest *guest, const Wire__Inquire *inquire)
{
    for (size_t from = 0; from < inquire->n_branches; from += VERDICTS_BATCH) {
        Wire__Judged judged[VERDICTS_BATCH], *pointers[VERDICTS_BATCH];
        Wire__Verdicts verdicts = WIRE__VERDICTS__INIT;
        Wire__Message message = WIRE__MESSAGE__INIT;
        for (size_t i = from; i < inquire->n_branches && i < from + VERDICTS_BATCH; i++) {
            Wire__Judged *one = &judged[verdicts.n_judged];
            uint64_t xid = i < inquire->n_xids ? inquire->xids[i] : 0;
            judge(server, inquire->branches[i], xid, one);
            if (one->verdict == WIRE__VERDICT__VERDICT_HOLD &&
                heuristics_relay(server, guest, inquire->branches[i]))
                continue; /* what an operator ordered, instead */
            pointers[verdicts.n_judged++] = one;
        }
        if (verdicts.n_judged == 0)
            continue;
        verdicts.judged = pointers;
        message.body_case = WIRE__MESSAGE__BODY_VERDICTS;
        message.verdicts = &verdicts;
        /* Refused when too much waits for it: it inquires again with its next sweep. */
        (void)peer_send(guest->peer, &message, false);
    }
}

static void send_planted_prepares(struct participant *participant)
{
    struct list *head = &participant->unvoted;
    for (struct list *at = head->next; at != head; at = at->next) {
        struct tx_branch *branch = CONTAINER(at, struct tx_branch, waits);
        Wire__Message *message =
            wire__message__unpack(NULL, branch->planted_prepare_size, branch->planted_prepare);
        (void)peer_send(participant->peer, message, true);
        wire__message__free_unpacked(message, NULL);
    }
}

void server_participant_up(struct server *server, struct participant *participant,
                           struct peer *peer)
{
    CHECK(participant->peer == NULL && list_empty(&participant->finishes.outstanding) &&
          list_empty(&participant->asks.outstanding) && list_empty(&participant->aborting));
    participant->peer = peer;
    participant->changed_us = server->host.wall_us(server->host.self);
    free(participant->software);
    participant->software = xstrdup(peer_software(peer));
    participant_forget_report(participant);
    host_log(&server->host, LOG_INFO, "participant %s is connected", participant->name);
    if (PLANTED(KEEP_VOTE_OF_LOST_SESSION))
        send_planted_prepares(participant);
    server_pump(server, participant);
    tasks_participant_up(server, participant);
}

/* The session is gone and what it carried may be too. What is owed is owed again, in the same
 * order; what was asked and not answered counts as refused. */
static void owe_again(struct debt *debt, enum place owed)
{
    while (!list_empty(&debt->outstanding)) {
        struct list *last = debt->outstanding.previous;
        CONTAINER(last, struct tx_branch, waits)->place = (uint8_t)owed;
        list_remove(last);
        list_append(debt->owed.next, last); /* before the first: in front */
    }
    debt->outstanding_count = 0;
}

static void lose(struct server *server, struct list *head)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"session_lost";
    problem.message = (char *)"the connection to the participant was lost before it voted";
    problem.hint = (char *)"see `troth participant list`; the transaction may be submitted again";
    while (!list_empty(head)) {
        struct tx_branch *branch = CONTAINER(head->next, struct tx_branch, waits);
        struct tx *tx = branch->tx;
        struct transaction_event event = {.type = EVENT_PARTICIPANT_LOST,
                                          .branch = (int)(branch - tx->branches)};
        if (tx->machine.state == TRANSACTION_VOTING)
            tx_problem(tx, branch->participant, &problem);
        CHECK(server_step(server, tx, &event));
    }
}

void server_participant_down(struct server *server, struct participant *participant)
{
    participant->peer = NULL;
    participant->changed_us = server->host.wall_us(server->host.self);
    owe_again(&participant->finishes, PLACE_OWED);
    owe_again(&participant->asks, PLACE_ASK_OWED);
    participant->tardy = participant->leaving = false; /* of the session */
    if (participant->settled)
        participant->settled->count = 0; /* best effort: those of this session are lost with it */
    if (!PLANTED(KEEP_VOTE_OF_LOST_SESSION))
        lose(server, &participant->unvoted);
    opens_participant_down(server, participant);
    lose(server, &participant->aborting);
    tasks_participant_down(server, participant);
}
