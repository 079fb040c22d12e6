/* The answers to queries: what a person sees of the coordinator. */
#include "coordinator/views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

enum {
    DEFAULT_ROWS = 100,
    ARENA_BYTES = 128 * 1024,
    /* What the answer itself and its coordinator's view take of a message. */
    ANSWER_OVERHEAD_BYTES = 1024,
};

void *draft_take(struct draft *draft, size_t size)
{
    return draft->arena.allocator.alloc(draft->arena.allocator.allocator_data, size);
}

bool draft_fits(struct draft *draft, size_t size)
{
    size += 8; /* its tag and its size */
    if (draft->bytes + size > LIMIT_MESSAGE_BYTES)
        return false;
    draft->bytes += size;
    return true;
}

size_t draft_rows(const Wire__Query *query)
{
    return query->limit ? query->limit : DEFAULT_ROWS;
}

static char *or_empty(char *text)
{
    return text ? text : (char *)"";
}

/* ---- transactions ---- */

static bool branch_in_doubt(enum branch_state state)
{
    return state == BRANCH_YES || state == BRANCH_COMMITTING || state == BRANCH_LOST ||
           state == BRANCH_HAZARD;
}

bool view_in_doubt(const struct tx *tx)
{
    if (tx->machine.state == TRANSACTION_PROPOSED)
        return true;
    for (int i = 0; i < tx->machine.branch_count; i++) {
        if (branch_in_doubt(tx->machine.branches[i].state))
            return tx->machine.state != TRANSACTION_DONE;
    }
    return false;
}

static void view_operations(struct draft *draft, const struct tx *tx, int index,
                            Wire__BranchView *view)
{
    view->operations = draft_take(draft, sizeof(char *) * (size_t)(tx->call_count + 1));
    for (int i = 0; i < tx->call_count; i++) {
        if (tx->calls[i].branch == index)
            view->operations[view->n_operations++] = tx->calls[i].operation;
    }
}

static Wire__Problem *view_problem(struct draft *draft, const struct problem *problem)
{
    Wire__Problem *view = draft_take(draft, sizeof(*view));
    problem_view(problem, view);
    return view;
}

static Wire__BranchView *view_branch(struct draft *draft, const struct tx *tx, int index)
{
    const struct server *server = draft->server;
    const struct tx_branch *branch = &tx->branches[index];
    Wire__BranchView *view = draft_take(draft, sizeof(*view));
    wire__branch_view__init(view);
    view->participant = branch->participant->name;
    view->state = (char *)branch_state_name(tx->machine.branches[index].state);
    view->xid = branch->xid;
    view->gid = draft_take(draft, sizeof(gid_text));
    gid_format(view->gid, server->cluster, server->coordinator, tx->id, branch->number);
    if (tx->problem && tx->problem->participant == branch->participant)
        view->problem = view_problem(draft, tx->problem);
    view_operations(draft, tx, index, view);
    return view;
}

/* ---- what only a three-phase transaction has ---- */

static const char *phase_word(const struct transaction *machine)
{
    switch (transaction_phase(machine)) {
    case PHASE_DECIDING:
        return "pre-commit";
    case PHASE_COMMITTED:
        return "do-commit";
    case PHASE_ABORTED:
        return "";
    case PHASE_UNDECIDED:
        break;
    }
    if (machine->state != TRANSACTION_DONE)
        return "can-commit";
    return machine->committed ? "do-commit" : "";
}

static Wire__Ballot *view_ballot(struct draft *draft, struct ballot ballot)
{
    Wire__Ballot *view = draft_take(draft, sizeof(*view));
    wire__ballot__init(view);
    view->round = ballot.round;
    view->site = ballot.site;
    return view;
}

static void view_register(struct draft *draft, const struct register_state *state,
                          Wire__SiteView *view)
{
    view->heard = true;
    view->value = (Wire__Value)state->value;
    view->decided = register_decided(state);
    if (view->decided)
        return;
    view->promised = view_ballot(draft, state->promised);
    view->accepted = view_ballot(draft, state->accepted);
}

static Wire__SiteView *view_site(struct draft *draft, const struct tx *tx, int site)
{
    Wire__SiteView *view = draft_take(draft, sizeof(*view));
    wire__site_view__init(view);
    view->site = (uint32_t)site;
    if (site == 0) {
        view->name = draft->server->coordinator;
        view->reachable = true;
        /* Not before it is durable: until then it may be lost, and nothing rests on it. */
        if (tx->position <= draft->server->durable_position)
            view_register(draft, &tx->machine.own, view);
        return view;
    }
    const struct participant *participant = tx->branches[site - 1].participant;
    view->name = (char *)participant->name;
    view->address = or_empty(participant->report.listen);
    view->reachable = participant->peer != NULL;
    if (tx->sites->of[site].heard)
        view_register(draft, &tx->sites->of[site].state, view);
    return view;
}

static void take_highest(struct ballot *highest, const struct register_state *state)
{
    if (!register_decided(state) && ballot_compare(state->promised, *highest) > 0)
        *highest = state->promised;
}

/* Who leads the highest ballot above the coordinator's first. */
static char *view_terminator(const struct draft *draft, const struct tx *tx)
{
    struct ballot highest = tx->machine.proposer.ballot;
    take_highest(&highest, &tx->machine.own);
    for (int i = 1; i <= tx->machine.branch_count; i++)
        take_highest(&highest, &tx->sites->of[i].state);
    if (highest.round == 0 || highest.site > tx->machine.branch_count)
        return (char *)"";
    return highest.site == 0 ? draft->server->coordinator
                             : tx->branches[highest.site - 1].participant->name;
}

static char *view_waits_for(struct draft *draft, const struct tx *tx)
{
    enum { WAITS_FOR_BYTES = 80 };
    const struct proposer *proposer = &tx->machine.proposer;
    if (tx->machine.state != TRANSACTION_PROPOSED)
        return (char *)"";
    if (proposer->phase == PROPOSER_OUTBID)
        return (char *)"a new round: another site was ahead";
    char *text = draft_take(draft, WAITS_FOR_BYTES);
    int granted = proposer_granted(proposer);
    snprintf(text, WAITS_FOR_BYTES, "a majority: %d of %d sites %s answered", granted,
             proposer->sites, granted == 1 ? "has" : "have");
    return text;
}

static void view_three_phase(struct draft *draft, const struct tx *tx, Wire__TransactionView *view)
{
    view->protocol = WIRE__PROTOCOL__THREE_PHASE;
    view->phase = (char *)phase_word(&tx->machine);
    view->terminator = view_terminator(draft, tx);
    view->waits_for = view_waits_for(draft, tx);
    view->sites = draft_take(draft, sizeof(*view->sites) * (size_t)(tx->machine.branch_count + 1));
    for (int i = 0; i <= tx->machine.branch_count; i++)
        view->sites[view->n_sites++] = view_site(draft, tx, i);
}

static Wire__TransactionView *view_transaction(struct draft *draft, const struct tx *tx)
{
    const struct server *server = draft->server;
    Wire__TransactionView *view = draft_take(draft, sizeof(*view));
    wire__transaction_view__init(view);
    view->gtrid = draft_take(draft, sizeof(gtrid_text));
    gtrid_format(view->gtrid, server->cluster, server->coordinator, tx->id);
    view->state = (char *)tx_state_word(tx);
    view->begun_us = tx->begun_us;
    view->decided_us = tx->decided_us;
    view->ended_us = tx->ended_us;
    char *key = or_empty(tx->key_text);
    if (key_of_step(key))
        view->saga_step = key + 1;
    else
        view->key = key;
    view->in_doubt = view_in_doubt(tx);
    if (tx->problem)
        view->problem = view_problem(draft, tx->problem);
    view->branches =
        draft_take(draft, sizeof(*view->branches) * (size_t)(tx->machine.branch_count + 1));
    for (int i = 0; i < tx->machine.branch_count; i++)
        view->branches[view->n_branches++] = view_branch(draft, tx, i);
    if (tx->sites)
        view_three_phase(draft, tx, view);
    return view;
}

static bool wanted(const struct tx *tx, const Wire__Query *query)
{
    if (query->in_doubt && !view_in_doubt(tx))
        return false;
    if (!query->participant[0])
        return true;
    for (int i = 0; i < tx->machine.branch_count; i++) {
        if (strcmp(tx->branches[i].participant->name, query->participant) == 0)
            return true;
    }
    return false;
}

/* Newest first, as many as the limit and one message take; the rest is counted. */
static void add_transactions(struct draft *draft, const Wire__Query *query, const struct list *all)
{
    Wire__Answer *answer = &draft->answer;
    for (const struct list *at = all->previous; at != all; at = at->previous) {
        const struct tx *tx = CONTAINER(at, struct tx, all);
        if (!wanted(tx, query))
            continue;
        if (answer->more > 0 || answer->n_transactions == draft->room) {
            answer->more++;
            continue;
        }
        Wire__TransactionView *view = view_transaction(draft, tx);
        if (!draft_fits(draft, wire__transaction_view__get_packed_size(view))) {
            answer->more++;
            continue;
        }
        answer->transactions[answer->n_transactions++] = view;
    }
}

static void answer_transactions(struct draft *draft, const Wire__Query *query)
{
    draft->room = draft_rows(query);
    size_t most = draft->server->live.count + draft->server->history.map.count;
    if (draft->room > most)
        draft->room = most;
    draft->answer.transactions = draft_take(draft, sizeof(void *) * (draft->room + 1));
    add_transactions(draft, query, &draft->server->all);
    if (!query->in_doubt)
        add_transactions(draft, query, &draft->server->history.all);
}

void draft_fail(struct draft *draft, const char *code, const char *message, const char *hint)
{
    Wire__Problem *problem = draft_take(draft, sizeof(*problem));
    wire__problem__init(problem);
    problem->code = (char *)code;
    problem->message = (char *)message;
    problem->hint = (char *)hint;
    draft->answer.problem = problem;
}

/* Nothing is kept of it in memory, but what the journal remembers still says how it went. */
static void answer_forgotten(struct draft *draft, const struct gid *gid)
{
    switch (recovery_judge(&draft->server->recovery, gid->tx, PRESENCE_NONE)) {
    case VERDICT_IS_COMMIT: {
        Wire__TransactionView *view = draft_take(draft, sizeof(*view));
        wire__transaction_view__init(view);
        view->gtrid = draft_take(draft, sizeof(gtrid_text));
        gtrid_format(view->gtrid, gid->cluster, gid->coordinator, gid->tx);
        view->state = (char *)"applied";
        draft->answer.transactions = draft_take(draft, sizeof(view));
        draft->answer.transactions[draft->answer.n_transactions++] = view;
        return;
    }
    case VERDICT_IS_ABORT:
        draft_fail(
            draft, "unknown", "the coordinator remembers no such transaction",
            "it was not committed by two or three phases: a branch of it that asks is told abort");
        return;
    default:
        draft_fail(draft, "unknown",
                   "the transaction is beyond what the coordinator's journal knows",
                   "a branch of it that asks is held for an operator, never presumed aborted");
        return;
    }
}

static void answer_transaction(struct draft *draft, const Wire__Query *query)
{
    struct server *server = draft->server;
    struct gid gid;
    if (!gtrid_parse(query->gtrid, &gid) && !gid_parse(query->gtrid, &gid)) {
        draft_fail(draft, "bad_request", "this is not the id of a transaction",
                   "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth tx list`");
        return;
    }
    if (strcmp(gid.cluster, server->cluster) != 0 ||
        strcmp(gid.coordinator, server->coordinator) != 0) {
        draft_fail(draft, "bad_request", "the transaction belongs to another coordinator",
                   "its id begins with the names of its cluster and its coordinator: ask that one");
        return;
    }
    const struct tx *tx = server_find(server, gid.tx);
    if (!tx)
        tx = history_find(&server->history, gid.tx);
    if (!tx) {
        answer_forgotten(draft, &gid);
        return;
    }
    draft->answer.transactions = draft_take(draft, sizeof(void *));
    draft->answer.transactions[draft->answer.n_transactions++] = view_transaction(draft, tx);
}

/* ---- participants and the coordinator ---- */

static Wire__ParticipantView *view_participant(struct draft *draft,
                                               const struct participant *participant)
{
    const struct participant_report *report = &participant->report;
    Wire__ParticipantView *view = draft_take(draft, sizeof(*view));
    wire__participant_view__init(view);
    view->name = (char *)participant->name;
    view->connected = participant->peer != NULL;
    view->since_us = participant->changed_us;
    view->software = or_empty(participant->software);
    view->database_up = view->connected && report->database_up;
    view->database_reason = or_empty(report->database_reason);
    view->prepared = report->prepared;
    view->prepared_foreign = report->prepared_foreign;
    view->prepared_slots = report->prepared_slots;
    view->oldest_prepared_us = report->oldest_prepared_us;
    view->working = (uint32_t)participant->working;
    view->unapplied = (uint32_t)participant->unapplied;
    view->held = report->held;
    view->n_held = report->held_count;
    view->operations = report->operations;
    view->n_operations = report->operation_count;
    view->listen = or_empty(report->listen);
    view->terminating = report->terminating;
    view->minority = report->minority;
    view->executing = (uint32_t)participant->tries;
    return view;
}

/* What it holds and offers is left out when it alone would fill the answer. */
static size_t participant_size(const struct draft *draft, Wire__ParticipantView *view)
{
    size_t size = wire__participant_view__get_packed_size(view) + 8;
    if (size <= LIMIT_MESSAGE_BYTES / 2 || draft->bytes + size <= LIMIT_MESSAGE_BYTES)
        return size;
    view->n_operations = view->n_held = 0;
    return wire__participant_view__get_packed_size(view) + 8;
}

static void answer_participants(struct draft *draft, const Wire__Query *query)
{
    struct participants *participants = &draft->server->participants;
    Wire__Answer *answer = &draft->answer;
    answer->participants = draft_take(draft, sizeof(void *) * (participants->map.count + 1));
    for (struct list *at = participants->all.next; at != &participants->all; at = at->next) {
        const struct participant *participant = CONTAINER(at, struct participant, all);
        if (query->participant[0] && strcmp(query->participant, participant->name) != 0)
            continue;
        Wire__ParticipantView *view = view_participant(draft, participant);
        size_t size = participant_size(draft, view);
        if (draft->bytes + size > LIMIT_MESSAGE_BYTES) {
            answer->more++;
            continue;
        }
        draft->bytes += size;
        answer->participants[answer->n_participants++] = view;
    }
}

static void answer_coordinator(struct draft *draft)
{
    const struct server *server = draft->server;
    Wire__CoordinatorView *view = draft_take(draft, sizeof(*view));
    wire__coordinator_view__init(view);
    view->cluster = server->cluster;
    view->name = server->coordinator;
    view->epoch = server->recovery.epoch;
    view->software = (char *)"troth " TROTH_VERSION;
    view->started_us = server->started_us;
    view->draining = server->draining;
    view->undecided = server_undecided(server);
    view->unapplied = server->unapplied;
    view->hazards = server->hazards;
    view->committed = server->committed;
    view->aborted = server->aborted;
    view->keys = server->keys.map.count - server->keys.step_count;
    view->journal_bytes = server->facts.journal_bytes;
    view->journal_segments = server->facts.journal_segments;
    view->journal_free_bytes = server->facts.journal_free_bytes;
    view->low_water_epoch = server->recovery.low_water.epoch;
    view->low_water_seq = server->recovery.low_water.seq;
    sagas_view_coordinator(draft, view);
    draft->answer.coordinator = view;
}

void server_answer_query(struct server *server, const Wire__Query *query, struct draft *draft)
{
    *draft = (struct draft){.server = server, .bytes = ANSWER_OVERHEAD_BYTES};
    wire__answer__init(&draft->answer);
    arena_init(&draft->arena, ARENA_BYTES);
    draft->answer.request = query->request;
    switch (query->what) {
    case WIRE__WHAT__TRANSACTIONS:
        answer_transactions(draft, query);
        break;
    case WIRE__WHAT__TRANSACTION:
        answer_transaction(draft, query);
        break;
    case WIRE__WHAT__PARTICIPANTS:
        answer_participants(draft, query);
        break;
    case WIRE__WHAT__COORDINATOR:
        answer_coordinator(draft);
        break;
    case WIRE__WHAT__SAGAS:
        sagas_view_list(draft, query);
        break;
    case WIRE__WHAT__SAGA:
        sagas_view_one(draft, query);
        break;
    case WIRE__WHAT__OFFERS:
        sagas_view_offers(draft, query);
        break;
    case WIRE__WHAT__METRICS:
        metrics_view(draft);
        break;
    default:
        draft_fail(draft, "bad_request", "this version does not know the question", "");
        break;
    }
}

void draft_fini(struct draft *draft)
{
    arena_fini(&draft->arena);
}

void server_query(struct server *server, struct guest *guest, const Wire__Query *query)
{
    struct draft draft;
    Wire__Message message = WIRE__MESSAGE__INIT;
    server_answer_query(server, query, &draft);
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &draft.answer;
    /* Refused when too much waits for this client already: it does not read its answers. */
    if (!peer_send(guest->peer, &message, false))
        host_log(&server->host, LOG_WARNING, "an answer to %s was dropped", peer_name(guest->peer));
    draft_fini(&draft);
}
