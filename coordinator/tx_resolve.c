/* RESOLVE: the protocol's abort, or an outcome that is forced on the branches in doubt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/tx_order.h"
#include "core/check.h"
#include "core/planted.h"

/* ---- what is known ---- */

static enum standing standing_of_live(const struct tx *tx)
{
    switch ((enum transaction_state)tx->machine.state) {
    case TRANSACTION_DECIDING:
        return STANDING_WRITING;
    case TRANSACTION_PROPOSED:
        return STANDING_PROPOSED;
    case TRANSACTION_ALONE:
    case TRANSACTION_LOST:
        return STANDING_ALONE;
    case TRANSACTION_COMMITTED:
        return STANDING_COMMITTED;
    case TRANSACTION_ABORTED:
        return STANDING_ABORTED;
    case TRANSACTION_HAZARD:
        return tx->machine.committed ? STANDING_COMMITTED : STANDING_ABORTED;
    default:
        return STANDING_VOTING;
    }
}

static struct open *find_open(const struct server *server, const struct gid *id)
{
    return server_is_ours(server, id) ? open_find(server, id->tx) : NULL;
}

static enum standing standing_of(const struct server *server, const struct gid *id)
{
    const struct tx *tx = server_is_ours(server, id) ? server_find(server, id->tx) : NULL;
    if (tx && !tx->hazard_only)
        return standing_of_live(tx);
    if (find_open(server, id))
        return STANDING_VOTING; /* undecided, and only to be aborted */
    switch (server_decision(server, id)) {
    case DECISION_COMMIT:
        return STANDING_COMMITTED;
    case DECISION_ABORT:
        return server_remember(server, id->tx) ? STANDING_ABORTED : STANDING_PRESUMED;
    default:
        return STANDING_HELD;
    }
}

/* Sites that can take part in a round now: this one, and those whose database can store. */
static bool has_majority(const struct server *server, const struct gid *id)
{
    const struct tx *tx = server_is_ours(server, id) ? server_find(server, id->tx) : NULL;
    int reachable = 1;
    if (!tx || !tx->sites)
        return false;
    for (int i = 0; i < tx->machine.branch_count; i++) {
        const struct participant *participant = tx->branches[i].participant;
        reachable += participant->peer && participant->report.database_up;
    }
    return 2 * reachable > tx->machine.branch_count + 1;
}

/* What participants have told before, also those that can't be asked now. */
static void weigh_forced(const struct server *server, const struct tx_order *order,
                         struct weighed *weighed)
{
    const struct heuristic *heuristic = heuristics_find(server, order->gtrid);
    if (!heuristic)
        return;
    for (struct list *at = heuristic->parts.next; at != &heuristic->parts; at = at->next) {
        const struct heuristic_part *part = CONTAINER(at, struct heuristic_part, of);
        if (part->participant && !part->found[0])
            *(part->commit ? &weighed->committed : &weighed->aborted) = true;
    }
}

static struct weighed weigh(const struct server *server, const struct tx_order *order)
{
    struct weighed weighed = {.majority = has_majority(server, &order->id)};
    for (size_t i = 0; i < order->count; i++)
        resolution_weigh(&weighed, order->testimonies[i]);
    weigh_forced(server, order, &weighed);
    if (PLANTED(RESOLVE_IGNORES_EVIDENCE))
        weighed.committed = weighed.aborted = weighed.decided_commit = weighed.decided_abort =
            false;
    /* That is this one, which does not know. */
    if (server_is_ours(server, &order->id) || PLANTED(HEURISTIC_THOUGH_JUDGED))
        weighed.judged = false;
    return weighed;
}

static enum forced forced_before(const struct server *server, const struct tx_order *order)
{
    const struct heuristic *heuristic = heuristics_find(server, order->gtrid);
    if (!heuristic || !heuristic->ordered || PLANTED(HEURISTIC_CHANGES_ITS_MIND))
        return FORCED_NOT;
    return heuristic->commit ? FORCED_COMMIT : FORCED_ABORT;
}

static const char *standing_word(const struct server *server, const struct tx_order *order,
                                 enum standing standing)
{
    static const char *const words[STANDINGS] = {
        [STANDING_VOTING] = "voting",
        [STANDING_ALONE] = "in one phase",
        [STANDING_WRITING] = "being recorded",
        [STANDING_PROPOSED] = "pre-committed",
        [STANDING_COMMITTED] = "committed",
        [STANDING_ABORTED] = "aborted",
        [STANDING_PRESUMED] = "not in the journal",
        [STANDING_HELD] = "held",
    };
    if (standing == STANDING_HELD && !server_is_ours(server, &order->id))
        return "another coordinator's";
    if (standing == STANDING_VOTING && find_open(server, &order->id))
        return "open";
    return words[standing];
}

/* "held; prepared at orders, payments". */
static void describe(const struct server *server, struct tx_order *order, enum standing standing)
{
    char text[400];
    int used = snprintf(text, sizeof(text), "%s", standing_word(server, order, standing));
    const char *before = "; prepared at ";
    for (size_t i = 0; i < order->count && (size_t)used < sizeof(text); i++) {
        if (!tx_order_prepared(order, i))
            continue;
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%s%s", before,
                         order->asked[i]->name);
        before = ", ";
    }
    order->before = xstrdup(text);
}

static void name_the_unheard(struct tx_order *order)
{
    for (size_t i = 0; i < order->count; i++) {
        const Wire__Testimony *testimony = order->testimonies[i];
        if (testimony->problem)
            lines_add(&order->unknowns, "%s: %s: it may hold a branch of it",
                      testimony->participant, testimony->problem->message);
    }
}

/* Who took part in it nobody here knows: who has nothing of it may have ended a branch of it. */
static void name_the_empty(struct tx_order *order)
{
    char names[TX_ORDER_LINE_BYTES / 2];
    size_t used = 0, left_out = 0, count = 0;
    for (size_t i = 0; i < order->count; i++) {
        const Wire__Testimony *testimony = order->testimonies[i];
        size_t size = strlen(testimony->participant);
        if (testimony->problem || testimony->n_exhibits > 0)
            continue;
        if (used + size + 3 > sizeof(names)) {
            left_out++;
            continue;
        }
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", count++ ? ", " : "",
                                 testimony->participant);
    }
    if (left_out)
        lines_add(&order->unknowns,
                  "%s and %zu more: nothing of it is there; if there was a branch it is over, and "
                  "how it ended is not known",
                  names, left_out);
    else if (count)
        lines_add(&order->unknowns,
                  "%s: nothing of it is there; if there was a branch it is over, and how it ended "
                  "is not known",
                  names);
}

/* ---- refusals ---- */

/* Whose database, or operator, says otherwise. NULL: nobody's. */
static const Wire__Testimony *against(const struct tx_order *order)
{
    for (size_t i = 0; i < order->count; i++) {
        struct weighed weighed = {0};
        resolution_weigh(&weighed, order->testimonies[i]);
        if (order->commit ? weighed.aborted || weighed.decided_abort
                          : weighed.committed || weighed.decided_commit)
            return order->testimonies[i];
    }
    return NULL;
}

static void contradict(struct server *server, struct tx_order *order, enum standing standing)
{
    struct error why = {0};
    const Wire__Testimony *testimony = against(order);
    const char *other = order->commit ? "aborted" : "committed";
    const struct heuristic *heuristic = heuristics_find(server, order->gtrid);
    if (standing == (order->commit ? STANDING_ABORTED : STANDING_COMMITTED)) {
        error_set(&why, ERROR_REFUSED, "it is decided: the transaction is %s", other);
        error_detail(&why, "a branch that is still prepared is told so as soon as it can be");
    } else if (testimony) {
        error_set(&why, ERROR_REFUSED, "participant %s proves that it was %s there",
                  testimony->participant, other);
        error_detail(&why, "its database, its register or an operator's row there says so");
    } else if (heuristic) {
        error_set(&why, ERROR_REFUSED, "an operator forced it otherwise before: %s",
                  heuristic_outcome(server, heuristic));
    } else if (standing == STANDING_PRESUMED) {
        error_set(&why, ERROR_REFUSED, "it was not committed: its coordinator has no record of it");
        error_detail(&why, "a branch that is still prepared is rolled back by itself");
    } else {
        error_set(&why, ERROR_REFUSED, "it was %s", other);
    }
    error_hint(&why, "`troth tx explain %s` tells what is true in each database", order->gtrid);
    tx_order_refuse(server, order, "contradicts", &why);
}

static void leave_undecided(struct server *server, struct tx_order *order, enum standing standing)
{
    static const char *const details[STANDINGS] = {
        [STANDING_VOTING] = "votes are missing; it is aborted when its deadline passes",
        [STANDING_ALONE] = "it is in one phase: its only database decides, and is asked",
        [STANDING_WRITING] = "its decision is on its way to the disk",
        [STANDING_PROPOSED] = "a majority of its sites can be reached, and decides",
        [STANDING_PRESUMED] =
            "its coordinator has no record of it, so nothing of it stays prepared; "
            "but one phase leaves none, and not every participant could be asked",
    };
    struct error why = {0};
    error_set(&why, ERROR_REFUSED, "the transaction %s by itself",
              standing == STANDING_PRESUMED ? "has ended, or ends," : "will be decided");
    if (find_open(server, &order->id))
        error_detail(&why, "it is open: its client has not ended it, and only that one can commit; "
                           "it is aborted when its deadline passes");
    else
        error_detail(&why, "%s", details[standing] ? details[standing] : "");
    error_hint(&why,
               standing == STANDING_VOTING
                   ? "to abort it now: `troth tx resolve %s --abort --reason ...`"
                   : "wait: `troth tx show %s` tells how it goes",
               order->gtrid);
    tx_order_refuse(server, order, "undecided", &why);
}

static void leave_to_its_own(struct server *server, struct tx_order *order)
{
    struct error why = {0};
    error_set(&why, ERROR_REFUSED, "it belongs to coordinator %s, which is there",
              order->id.coordinator);
    error_detail(&why, "a participant that holds a branch of it has a session with that one");
    error_hint(&why, "order it there: `troth --coordinator ITS-ADDRESS tx resolve %s`",
               order->gtrid);
    tx_order_refuse(server, order, "judged", &why);
}

/* ---- the protocol's abort ---- */

static void name_steps_of_abort(struct tx_order *order, const struct tx *tx)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        const struct participant *participant = tx->branches[i].participant;
        enum branch_state state = tx->machine.branches[i].state;
        if (state != BRANCH_YES && state != BRANCH_ASKED)
            continue;
        if (!participant->peer)
            lines_add(&order->steps, "%s: not connected; told abort when it asks",
                      participant->name);
        else
            lines_add(&order->steps, "%s: %s", participant->name,
                      state == BRANCH_YES ? "ROLLBACK PREPARED" : "its work is rolled back");
    }
}

static void name_steps_of_open(struct tx_order *order, const struct open *open)
{
    for (int i = 0; i < open->branch_count; i++) {
        const struct open_branch *branch = open->branches[i];
        const char *name = branch->participant->name;
        if (!branch->participant->peer)
            lines_add(&order->steps, "%s: not connected; told abort when it asks", name);
        else if (!branch->joined)
            lines_add(&order->steps, "%s: its work is rolled back", name);
        else if (branch->xid)
            lines_add(&order->steps, "%s: ROLLBACK PREPARED", name);
        else if (!branch->handed_over)
            lines_add(&order->steps, "%s: what a client does there can't be handed over any more",
                      name);
    }
}

static void abort_by_protocol(struct server *server, struct tx_order *order)
{
    enum { MESSAGE_BYTES = LIMIT_REASON_BYTES + 40 };
    char message[MESSAGE_BYTES];
    struct tx *tx = server_find(server, order->id.tx);
    struct open *open = find_open(server, &order->id);
    struct transaction_event event = {.type = EVENT_DEADLINE_PASSED};
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    if (open)
        name_steps_of_open(order, open);
    else
        name_steps_of_abort(order, tx);
    if (order->dry_run) {
        tx_order_done(server, order, WIRE__DEED__DEED_ABORT,
                      "it is undecided: it would be aborted, as if its deadline had passed");
        return;
    }
    tx_order_audit(server, order, "ordered", NULL);
    snprintf(message, sizeof(message), "an operator aborted it: %s", order->reason);
    problem.code = (char *)"operator";
    problem.message = message;
    if (open) {
        open_abort(server, open, NULL, &problem, NULL);
    } else {
        tx_problem(tx, NULL, &problem);
        CHECK(server_step(server, tx, &event));
    }
    tx_order_done(server, order, WIRE__DEED__DEED_ABORT,
                  "aborted: it was undecided; all its participants are told");
}

/* ---- what is decided already ---- */

static void wait_for_it(struct server *server, struct tx_order *order)
{
    size_t left = 0;
    for (size_t i = 0; i < order->count; i++) {
        if (!tx_order_prepared(order, i))
            continue;
        left++;
        lines_add(&order->steps, "%s: %s PREPARED, by itself", order->asked[i]->name,
                  order->commit ? "COMMIT" : "ROLLBACK");
    }
    name_the_unheard(order);
    tx_order_done(server, order, WIRE__DEED__DEED_WAIT, "it is decided so: %s; %s",
                  order->commit ? "committed" : "aborted",
                  left ? "what is left is carried out by itself" : "nothing is left to be done");
}

/* ---- forcing it ---- */

static bool is_told(const struct tx_order *order, size_t index)
{
    return tx_order_prepared(order, index) &&
           (!order->participant[0] || strcmp(order->participant, order->asked[index]->name) == 0);
}

/* What participant `index` has made of it. False: nothing, or nobody knows. */
static bool note_deed(struct tx_order *order, const struct inquiry_result *result, size_t index)
{
    const char *name = result->participants[index]->name;
    const Wire__Resolution *resolution = result->resolutions[index];
    const Wire__Problem *problem = result->problems[index];
    if (problem) {
        lines_add(&order->steps, "%s: refused: %s", name, problem->message);
        return false;
    }
    if (!resolution) {
        lines_add(&order->unknowns, "%s: %s; whether it has carried it out is not known", name,
                  inquiry_silence(result, index));
        return false;
    }
    if (resolution->n_steps == 0)
        lines_add(&order->steps, "%s: %s", name, resolution->message);
    for (size_t i = 0; i < resolution->n_steps; i++)
        lines_add(&order->steps, "%s", resolution->steps[i]);
    return resolution->deed == WIRE__DEED__DEED_HEURISTIC;
}

/* The only one that was told has refused: so is the order. */
static void pass_on(struct server *server, struct tx_order *order, const Wire__Problem *problem)
{
    struct error why = {0};
    char code[64];
    snprintf(code, sizeof(code), "%s", problem->code);
    error_set(&why, ERROR_REFUSED, "%s", problem->message);
    error_detail(&why, "%s", problem->detail);
    error_hint(&why, "%s", problem->hint);
    tx_order_refuse(server, order, code, &why);
}

static void carried_out(struct server *server, void *context, const struct inquiry_result *result)
{
    struct tx_order *order = context;
    size_t done = 0;
    if (!result) {
        tx_order_free(order);
        return;
    }
    if (order->participant[0] && result->count == 1 && result->problems[0]) {
        pass_on(server, order, result->problems[0]);
        return;
    }
    for (size_t i = 0; i < result->count; i++)
        done += note_deed(order, result, i);
    tx_order_done(server, order, WIRE__DEED__DEED_HEURISTIC,
                  "forced: %s, by %zu of %zu participants that hold it in doubt; it stays on the "
                  "list until it is forgotten",
                  tx_order_word(order), done, result->count);
}

static void relay(struct server *server, struct tx_order *order)
{
    struct participant **whom = xcalloc(order->count + 1, sizeof(struct participant *));
    size_t count = 0;
    for (size_t i = 0; i < order->count; i++) {
        if (is_told(order, i))
            whom[count++] = order->asked[i];
    }
    tx_order_relay(server, order, whom, count, carried_out);
    free(whom);
}

void tx_resolve_recorded(struct server *server, struct tx_order *order)
{
    struct tx *tx = server_is_ours(server, &order->id) ? server_find(server, order->id.tx) : NULL;
    if (PLANTED(HEURISTIC_DECIDES) && tx && tx->machine.state == TRANSACTION_PROPOSED)
        server_step(
            server, tx,
            &(struct transaction_event){.type = EVENT_TOLD,
                                        .value = order->commit ? REGISTER_COMMIT : REGISTER_ABORT});
    relay(server, order);
}

static bool is_there(struct server *server, const struct tx_order *order)
{
    const struct participant *participant =
        participants_find(&server->participants, order->participant);
    return participant && participant->peer;
}

/* False: it was refused, or has nothing to do. */
static bool can_be_forced(struct server *server, struct tx_order *order, bool prepared)
{
    struct error why = {0};
    size_t told = 0;
    for (size_t i = 0; i < order->count; i++)
        told += is_told(order, i);
    if (order->participant[0] && !is_there(server, order)) {
        error_set(&why, ERROR_UNREACHABLE, "participant %s is not connected", order->participant);
        error_hint(&why, "order it at its own door: troth --coordinator tcp://ITS-LISTEN-ADDRESS "
                         "tx resolve --participant");
        tx_order_refuse(server, order, "not_connected", &why);
        return false;
    }
    if (order->participant[0] && told == 0) {
        tx_order_done(server, order, WIRE__DEED__DEED_NONE,
                      "nothing of it is prepared at participant %s", order->participant);
        return false;
    }
    /* Of its own it is asked about later; of another's nobody would ask here. */
    if (!server_is_ours(server, &order->id) && told == 0) {
        tx_order_done(server, order, WIRE__DEED__DEED_NONE,
                      "nothing of it is prepared at the participants that could be asked");
        return false;
    }
    if (server_is_ours(server, &order->id) && !prepared &&
        recovery_reach(&server->recovery, order->id.tx) == REACH_FUTURE) {
        error_set(&why, ERROR_USAGE, "there never was such a transaction");
        error_detail(&why, "this coordinator has not given out the id, and nobody holds it");
        tx_order_refuse(server, order, "unknown", &why);
        return false;
    }
    if (!order->participant[0] && !heuristics_room(server)) {
        error_set(&why, ERROR_BUSY, "%d heuristic outcomes are listed, the limit",
                  LIMIT_HEURISTICS);
        error_hint(&why, "`troth tx list --heuristic` tells them; `troth tx forget` those that "
                         "are dealt with");
        tx_order_refuse(server, order, "busy", &why);
        return false;
    }
    return true;
}

static void force(struct server *server, struct tx_order *order, enum standing standing,
                  const struct weighed *weighed)
{
    name_the_unheard(order);
    if (standing == STANDING_HELD)
        name_the_empty(order);
    if (!can_be_forced(server, order, weighed->prepared))
        return;
    if (order->dry_run && !PLANTED(RESOLVE_DRY_RUN_ACTS)) {
        for (size_t i = 0; i < order->count; i++) {
            if (is_told(order, i))
                lines_add(&order->steps, "%s: %s PREPARED", order->asked[i]->name,
                          order->commit ? "COMMIT" : "ROLLBACK");
        }
        tx_order_done(server, order, WIRE__DEED__DEED_HEURISTIC,
                      "nobody can decide it any more: %s would be forced on each branch in doubt, "
                      "and stay on the list as heuristic until it is forgotten",
                      tx_order_word(order));
        return;
    }
    tx_order_audit(server, order, "ordered", NULL);
    host_log(&server->host, LOG_WARNING, "%s of transaction %s is forced by %s: %s",
             tx_order_word(order), order->gtrid, order->by, order->reason);
    if (order->participant[0]) {
        relay(server, order); /* its row is the record, and it tells of it */
        return;
    }
    struct Wire__TxOrder wire;
    tx_order_wire(order, &wire);
    uint64_t position = heuristics_order(server, &order->id, &wire);
    if (PLANTED(HEURISTIC_BEFORE_DURABLE))
        relay(server, order);
    else
        tx_order_await(server, order, position);
}

void tx_resolve(struct server *server, struct tx_order *order)
{
    struct weighed weighed = weigh(server, order);
    enum standing standing = standing_of(server, &order->id);
    describe(server, order, standing);
    switch (resolution_of(standing, order->commit, forced_before(server, order), &weighed)) {
    case ORDER_ABORT:
        abort_by_protocol(server, order);
        break;
    case ORDER_NOTHING:
        tx_order_done(server, order, WIRE__DEED__DEED_NONE,
                      "nothing of it is prepared anywhere: there is nothing to resolve");
        break;
    case ORDER_WAIT:
        wait_for_it(server, order);
        break;
    case ORDER_UNDECIDED:
        leave_undecided(server, order, standing);
        break;
    case ORDER_CONTRADICTS:
        contradict(server, order, standing);
        break;
    case ORDER_JUDGED:
        leave_to_its_own(server, order);
        break;
    case ORDER_HEURISTIC:
        force(server, order, standing, &weighed);
        break;
    }
}
