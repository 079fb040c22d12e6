/* A transaction as a person sees it. */
#include "coordinator/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int64_t view_time(const struct tx *tx, uint32_t age_ms)
{
    return age_ms ? tx->begun_us + ((int64_t)age_ms - 1) * 1000 : 0;
}

/* What an operator made of the branch; NULL: nothing. */
static Wire__Heuristic *view_part(struct draft *draft, const struct heuristic *heuristic,
                                  const struct participant *participant, uint32_t branch)
{
    for (struct list *at = heuristic ? heuristic->parts.next : NULL;
         heuristic && at != &heuristic->parts; at = at->next) {
        const struct heuristic_part *part = CONTAINER(at, struct heuristic_part, of);
        if (part->participant != participant || part->branch != branch)
            continue;
        Wire__Heuristic *view = draft_take(draft, sizeof(*view));
        heuristic_view(heuristic, part, view);
        return view;
    }
    return NULL;
}

/* A sentence's end: "payments, which is not connected". */
static char *view_participant_waits(struct draft *draft, const struct participant *participant)
{
    enum { WAITS_BYTES = LIMIT_NAME_BYTES + 200 };
    char *text = draft_take(draft, WAITS_BYTES);
    const struct participant_report *report = &participant->report;
    if (!participant->peer)
        snprintf(text, WAITS_BYTES, "%s, which is not connected", participant->name);
    else if (report->known && !report->database_up)
        snprintf(text, WAITS_BYTES, "%s, whose database is down: %.120s", participant->name,
                 text_or_empty(report->database_reason));
    else
        snprintf(text, WAITS_BYTES, "%s", participant->name);
    return text;
}

static char *view_branch_waits(struct draft *draft, const struct tx *tx, int index)
{
    if (tx->machine.state == TRANSACTION_DONE)
        return (char *)"";
    switch ((enum branch_state)tx->machine.branches[index].state) {
    case BRANCH_ASKED:
    case BRANCH_RUNNING:
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_LOST:
        return view_participant_waits(draft, tx->branches[index].participant);
    case BRANCH_HAZARD:
        return (char *)"an operator";
    case BRANCH_YES:
        break;
    default:
        return (char *)"";
    }
    switch ((enum transaction_state)tx->machine.state) {
    case TRANSACTION_VOTING:
        return (char *)"the other votes";
    case TRANSACTION_DECIDING:
        return (char *)"the coordinator's journal";
    case TRANSACTION_PROPOSED:
        return (char *)"a majority of the sites";
    default:
        return (char *)"";
    }
}

static Wire__BranchView *view_branch(struct draft *draft, const struct tx *tx, int index,
                                     const struct heuristic *heuristic)
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
    view->voted_us = view_time(tx, branch->voted_ms);
    view->ended_us = view_time(tx, branch->ended_ms);
    view->waits_for = view_branch_waits(draft, tx, index);
    view->heuristic = view_part(draft, heuristic, branch->participant, branch->number);
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
    view->address = text_or_empty(participant->report.listen);
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

static void view_known(struct draft *draft, const struct tx *tx, const struct heuristic *heuristic,
                       Wire__TransactionView *view)
{
    const struct server *server = draft->server;
    char *key = text_or_empty(tx->key_text);
    view->gtrid = draft_take(draft, sizeof(gtrid_text));
    gtrid_format(view->gtrid, server->cluster, server->coordinator, tx->id);
    view->state = (char *)tx_state_word(tx);
    view->begun_us = tx->begun_us;
    view->decided_us = tx->decided_us;
    view->ended_us = tx->ended_us;
    if (key_of_step(key))
        view->saga_step = key + 1;
    else
        view->key = key;
    view->in_doubt = view_in_doubt(tx);
    view->hazard = tx->machine.state != TRANSACTION_DONE && tx->machine.in[BRANCH_HAZARD] > 0;
    if (tx->problem)
        view->problem = view_problem(draft, tx->problem);
    view->branches =
        draft_take(draft, sizeof(*view->branches) * (size_t)(tx->machine.branch_count + 1));
    for (int i = 0; i < tx->machine.branch_count; i++)
        view->branches[view->n_branches++] = view_branch(draft, tx, i, heuristic);
    if (tx->sites)
        view_three_phase(draft, tx, view);
}

/* ---- what is open ---- */

static const char *open_branch_word(const struct open *open, int index)
{
    const struct open_branch *branch = open->branches[index];
    if (branch->joined)
        return !branch->handed_over ? "joined" : branch->xid ? "prepared" : "read-only";
    return open->performing.under_way && open->performing.branch == index ? "working" : "open";
}

static Wire__BranchView *view_open_branch(struct draft *draft, const struct open *open, int index,
                                          const struct heuristic *heuristic)
{
    const struct server *server = draft->server;
    const struct open_branch *branch = open->branches[index];
    bool working = open->performing.under_way && open->performing.branch == index;
    Wire__BranchView *view = draft_take(draft, sizeof(*view));
    wire__branch_view__init(view);
    view->participant = branch->participant->name;
    view->state = (char *)open_branch_word(open, index);
    view->xid = branch->xid;
    view->gid = draft_take(draft, sizeof(gid_text));
    gid_format(view->gid, server->cluster, server->coordinator, open->id, index);
    view->operations = draft_take(draft, sizeof(char *) * (size_t)(open->call_count + 1));
    for (int i = 0; i < open->call_count; i++) {
        if (open->calls[i].branch == index)
            view->operations[view->n_operations++] = open->calls[i].operation;
    }
    view->waits_for =
        working ? view_participant_waits(draft, branch->participant)
                : (char *)(branch->joined && !branch->handed_over ? "who joined it, to hand over"
                                                                  : "its client, to go on");
    view->heuristic = view_part(draft, heuristic, branch->participant, (uint32_t)index);
    return view;
}

static void view_open(struct draft *draft, const struct open *open,
                      const struct heuristic *heuristic, Wire__TransactionView *view)
{
    enum { WAITS_FOR_BYTES = LIMIT_NAME_BYTES + 64 };
    const struct server *server = draft->server;
    view->gtrid = draft_take(draft, sizeof(gtrid_text));
    gtrid_format(view->gtrid, server->cluster, server->coordinator, open->id);
    view->state = (char *)"open";
    view->protocol = open->three_phase ? WIRE__PROTOCOL__THREE_PHASE : WIRE__PROTOCOL__TWO_PHASE;
    view->begun_us = open->begun_us;
    view->key = text_or_empty(open->key);
    view->in_doubt = open_in_doubt(open);
    view->waits_for = draft_take(draft, WAITS_FOR_BYTES);
    snprintf(view->waits_for, WAITS_FOR_BYTES, "its client, %s, to end it",
             peer_name(open->beginner->peer));
    view->branches = draft_take(draft, sizeof(*view->branches) * (size_t)(open->branch_count + 1));
    for (int i = 0; i < open->branch_count; i++)
        view->branches[view->n_branches++] = view_open_branch(draft, open, i, heuristic);
}

/* Each branch that somebody told of. */
static Wire__BranchView *view_told(struct draft *draft, const struct heuristic *heuristic,
                                   const struct heuristic_part *part)
{
    Wire__BranchView *view = draft_take(draft, sizeof(*view));
    wire__branch_view__init(view);
    view->participant = part->participant->name;
    view->state = (char *)(part->found[0] ? "hazard" : part->commit ? "applied" : "aborted");
    view->gid = draft_take(draft, sizeof(gid_text));
    gid_format(view->gid, heuristic->id.cluster, heuristic->id.coordinator, heuristic->id.tx,
               (int)part->branch);
    view->ended_us = part->at_us;
    view->heuristic = view_part(draft, heuristic, part->participant, part->branch);
    return view;
}

static void view_unknown(struct draft *draft, const struct heuristic *heuristic, size_t parts,
                         Wire__TransactionView *view)
{
    view->gtrid = (char *)heuristic->gtrid;
    view->state = (char *)"heuristic";
    view->branches = draft_take(draft, sizeof(*view->branches) * (parts + 1));
    for (struct list *at = heuristic->parts.next; at != &heuristic->parts; at = at->next) {
        const struct heuristic_part *part = CONTAINER(at, struct heuristic_part, of);
        if (view->begun_us == 0 || part->at_us < view->begun_us)
            view->begun_us = part->at_us;
        if (part->participant)
            view->branches[view->n_branches++] = view_told(draft, heuristic, part);
    }
}

static size_t count_parts(const struct heuristic *heuristic)
{
    size_t count = 0;
    for (struct list *at = heuristic->parts.next; at != &heuristic->parts; at = at->next)
        count++;
    return count;
}

static void view_heuristics(struct draft *draft, const struct heuristic *heuristic, size_t parts,
                            Wire__TransactionView *view)
{
    view->heuristic = (char *)heuristic_outcome(draft->server, heuristic);
    view->hazard = view->hazard || heuristic_unproved(draft->server, heuristic);
    view->heuristics = draft_take(draft, sizeof(*view->heuristics) * (parts + 1));
    for (struct list *at = heuristic->parts.next; at != &heuristic->parts; at = at->next) {
        Wire__Heuristic *one = draft_take(draft, sizeof(*one));
        heuristic_view(heuristic, CONTAINER(at, struct heuristic_part, of), one);
        view->heuristics[view->n_heuristics++] = one;
    }
}

static char *view_decision(enum decision decision)
{
    return (char *)(decision == DECISION_COMMIT  ? "commit"
                    : decision == DECISION_ABORT ? "abort"
                                                 : "");
}

Wire__TransactionView *view_tx(struct draft *draft, const struct tx *tx, const struct open *open,
                               const struct heuristic *heuristic)
{
    struct gid id = {.branch = -1};
    Wire__TransactionView *view = draft_take(draft, sizeof(*view));
    size_t parts = heuristic ? count_parts(heuristic) : 0;
    wire__transaction_view__init(view);
    if (tx || open) {
        strcpy(id.cluster, draft->server->cluster);
        strcpy(id.coordinator, draft->server->coordinator);
        id.tx = tx ? tx->id : open->id;
    }
    if (tx) {
        view_known(draft, tx, heuristic, view);
    } else if (open) {
        view_open(draft, open, heuristic, view);
    } else {
        id = heuristic->id;
        view_unknown(draft, heuristic, parts, view);
    }
    view->decision = view_decision(server_decision(draft->server, &id));
    if (heuristic)
        view_heuristics(draft, heuristic, parts, view);
    return view;
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
        view->decision = view_decision(DECISION_COMMIT);
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
        draft_fail(draft, "held", "the transaction is beyond what the coordinator's journal knows",
                   "a branch of it that asks is held for an operator, never presumed aborted");
        return;
    }
}

static void answer_with(struct draft *draft, Wire__TransactionView *view)
{
    draft->answer.transactions = draft_take(draft, sizeof(view));
    draft->answer.transactions[draft->answer.n_transactions++] = view;
}

void views_transaction(struct draft *draft, const Wire__Query *query)
{
    struct server *server = draft->server;
    struct gid gid;
    gtrid_text gtrid;
    if (!gtrid_parse(query->gtrid, &gid) && !gid_parse(query->gtrid, &gid)) {
        draft_fail(draft, "bad_request", "this is not the id of a transaction",
                   "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth tx list`");
        return;
    }
    gtrid_format(gtrid, gid.cluster, gid.coordinator, gid.tx);
    const struct heuristic *heuristic = heuristics_find(server, gtrid);
    const struct tx *tx = server_is_ours(server, &gid) ? server_remember(server, gid.tx) : NULL;
    const struct tx *live = tx ? server_find(server, gid.tx) : NULL;
    const struct open *open = server_is_ours(server, &gid) ? open_find(server, gid.tx) : NULL;
    if (tx || open || heuristic)
        answer_with(draft, view_tx(draft, live ? live : tx, open, heuristic));
    else if (!server_is_ours(server, &gid))
        draft_fail(draft, "bad_request", "the transaction belongs to another coordinator",
                   "its id begins with the names of its cluster and its coordinator: ask that one");
    else
        answer_forgotten(draft, &gid);
}
