#include "participant/order.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/planted.h"
#include "core/text.h"
#include "participant/agent_private.h"

enum { ORDERS_AT_ONCE = 64 }; /* operators make few */

/* ---- answers ------------------------------------------------------------------------------- */

static const char *action_word(const struct order *order)
{
    return order->forget   ? "tx forget"
           : order->commit ? "tx resolve --commit"
                           : "tx resolve --abort";
}

void order_audit(const struct agent *agent, const struct order *order, const char *stage,
                 const char *after)
{
    if (!agent->audit || order->dry_run)
        return;
    struct audit_entry entry = {.action = action_word(order),
                                .subject = order->gtrid,
                                .by = order->by,
                                .session = order->from,
                                .reason = order->reason,
                                .stage = stage,
                                .before = order->before[0] ? order->before : NULL,
                                .after = after};
    agent->audit->append(agent->audit->self, &entry);
}

static void order_end(struct agent *agent, struct order *order)
{
    list_remove(&order->all);
    agent->order_count--;
    free(order);
}

/* Who ordered may be gone: then the audit log and the rows tell. */
static void send_answer(struct agent *agent, uint64_t session, Wire__Answer *answer)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = answer;
    agent_send_to(agent, session, &message);
}

static void send_problem(struct agent *agent, uint64_t session, uint64_t request, const char *code,
                         const char *message, const char *hint)
{
    struct problem problem;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    problem_init(&problem, agent, "", code);
    PROBLEM_SAY(problem.message, "%s", message);
    PROBLEM_SAY(problem.hint, "%s", hint);
    answer.request = request;
    answer.problem = &problem.wire;
    send_answer(agent, session, &answer);
}

void order_refuse(struct agent *agent, struct order *order, const char *code, const char *hint,
                  const char *format, ...)
{
    char text[ORDER_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    order_audit(agent, order, "refused", text);
    send_problem(agent, order->session, order->request, code, text, hint);
    order_end(agent, order);
}

void order_conclude(struct agent *agent, struct order *order, Wire__Deed deed, const char *message,
                    const struct particulars *particulars)
{
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__Resolution resolution = WIRE__RESOLUTION__INIT;
    Wire__Testimony *testimonies[] = {particulars->testimony};
    char step[LIMIT_NAME_BYTES + 64], *steps[] = {step};
    if (particulars->step)
        snprintf(step, sizeof(step), "%s: %s", agent->participant, particulars->step);
    resolution.deed = deed;
    resolution.message = (char *)message;
    resolution.n_steps = particulars->step != NULL;
    resolution.steps = steps;
    resolution.n_unknowns = particulars->unknown_count;
    resolution.unknowns = (char **)particulars->unknowns;
    resolution.n_testimonies = particulars->testimony != NULL;
    resolution.testimonies = testimonies;
    answer.request = order->request;
    answer.resolution = &resolution;
    order_audit(agent, order, "done", message);
    send_answer(agent, order->session, &answer);
    order_end(agent, order);
}

void order_conclude_plainly(struct agent *agent, struct order *order, Wire__Deed deed,
                            const char *format, ...)
{
    char text[ORDER_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    order_conclude(agent, order, deed, text, &(struct particulars){0});
}

/* ---- the end of what was forced ------------------------------------------------------------ */

const char *order_statement(bool commit)
{
    return commit ? "COMMIT PREPARED" : "ROLLBACK PREPARED";
}

static void forced(struct agent *agent, struct order *order, const struct heuristic *row,
                   bool proved)
{
    char text[ORDER_TEXT_BYTES];
    struct particulars particulars = {.step = order_statement(row->commit)};
    /* It was too late, and its row stays: so it is on the list as mixed, and not refused. */
    if (row->found[0]) {
        particulars.step = row->found;
        snprintf(text, sizeof(text), "recorded, but somebody else has ended %s meanwhile: %s",
                 row->gid, row->found);
        order_conclude(agent, order, WIRE__DEED__DEED_HEURISTIC, text, &particulars);
        return;
    }
    if (!proved)
        particulars.unknowns[particulars.unknown_count++] =
            (char *)"it was gone already, and its database no longer knows how it ended";
    snprintf(text, sizeof(text), "participant %s has %s %s", agent->participant,
             row->commit ? "committed" : "rolled back", row->gid);
    order_conclude(agent, order, WIRE__DEED__DEED_HEURISTIC, text, &particulars);
}

void orders_ended(struct agent *agent, const struct heuristic *row, bool proved)
{
    for (struct list *node = agent->orders.next, *next; node != &agent->orders; node = next) {
        struct order *order = CONTAINER(node, struct order, all);
        next = node->next;
        if (order->row == row && order->stage == ORDER_ENDING)
            forced(agent, order, row, proved);
    }
}

void orders_row_gone(struct agent *agent, const struct heuristic *row)
{
    for (struct list *node = agent->orders.next, *next; node != &agent->orders; node = next) {
        struct order *order = CONTAINER(node, struct order, all);
        next = node->next;
        if (order->row != row)
            continue;
        order->row = NULL;
        if (order->stage == ORDER_ENDING)
            order_refuse(agent, order, "unknown", "troth tx show tells how it ended, if it has",
                         "what was ordered of %s was not recorded, or its row was deleted",
                         row->gid);
    }
}

void order_await(struct agent *agent, struct order *order, struct heuristic *row)
{
    order->row = row;
    order->stage = ORDER_ENDING;
    if (row->state == HEURISTIC_ENDED)
        forced(agent, order, row, true);
}

/* ---- storing ------------------------------------------------------------------------------- */

void order_force(struct agent *agent, struct order *order, struct entry *entry)
{
    order_audit(agent, order, "ordered", NULL);
    order->row = heuristic_new(agent, entry, order->commit, order->reason, order->by);
    order->stage = ORDER_STORING;
    struct db_heuristic row = {.gid = order->row->gid,
                               .commit = order->commit,
                               .xid = order->row->xid,
                               .reason = order->row->reason,
                               .by = order->row->by,
                               .at_us = order->row->at_us};
    agent->database.heuristic_store(agent->database.self, &row, order);
    if (PLANTED(HEURISTIC_ENDS_EARLY))
        heuristic_stored(agent, order->row);
}

/* Whatever became of the store, the rows are what counts. */
static void stored_row(struct agent *agent, struct order *order, enum db_stored stored)
{
    if (order->row && stored == DB_STORED && order->row->state == HEURISTIC_STORING) {
        order->stage = ORDER_ENDING;
        heuristic_stored(agent, order->row);
        return;
    }
    order->stage = ORDER_RELOADING;
    order->changed = stored == DB_CHANGED;
    heuristics_load(agent);
}

/* The rows are loaded: there is one of that gid, or there is none. */
static void reloaded(struct agent *agent, struct order *order)
{
    struct heuristic *row = order->row;
    char text[HEURISTIC_TEXT_BYTES];
    if (row && row->state != HEURISTIC_STORING && row->commit == order->commit) {
        order_await(agent, order, order->row);
        return;
    }
    if (row && row->state != HEURISTIC_STORING) {
        heuristic_text(row, text);
        order_refuse(agent, order, "contradicts", "", "another order was first: %s", text);
        return;
    }
    order->row = NULL;
    if (row)
        heuristic_drop(agent, row);
    if (order->changed)
        order_refuse(
            agent, order, "contradicts",
            "its row in troth.heuristic tells more; somebody who knows that it is settled can "
            "delete it",
            "something was forced on a branch of %s before, and was forgotten since", order->gtrid);
    else
        order_refuse(
            agent, order, "unsure",
            "see what is listed, and order the same again if it is not there",
            "the connection to the database was lost while the order was recorded: if it is "
            "recorded after all, it is carried out");
}

/* One that fails takes those with it that wait for the same row: so no walk. */
static struct order *first_reloading(const struct agent *agent)
{
    for (const struct list *node = agent->orders.next; node != &agent->orders; node = node->next) {
        struct order *order = CONTAINER(node, struct order, all);
        if (order->stage == ORDER_RELOADING)
            return order;
    }
    return NULL;
}

void orders_reloaded(struct agent *agent, bool ok)
{
    for (struct order *order; ok && (order = first_reloading(agent)) != NULL;)
        reloaded(agent, order);
}

/* ---- forgetting ---------------------------------------------------------------------------- */

static void forgotten(struct agent *agent, struct order *order, enum db_stored stored)
{
    if (stored != DB_STORED) {
        heuristics_load(agent);
        order_refuse(
            agent, order, "unsure", "order the same again",
            "whether it was forgotten is not known: the connection to the database was lost");
        return;
    }
    struct gid id = order->id;
    id.branch = -1;
    for (struct heuristic *row; (row = heuristic_of(agent, &id)) != NULL;)
        heuristic_drop(agent, row);
    order_conclude_plainly(agent, order, WIRE__DEED__DEED_FORGET,
                           "participant %s has forgotten what was forced in %s", agent->participant,
                           order->gtrid);
}

void order_stored(void *self, void *tag, enum db_stored stored)
{
    struct agent *agent = self;
    struct order *order = tag;
    if (order->stage == ORDER_FORGETTING)
        forgotten(agent, order, stored);
    else
        stored_row(agent, order, stored);
}

/* ---- taking in ----------------------------------------------------------------------------- */

static bool is_text(const char *text, size_t most)
{
    return text[0] != '\0' && strlen(text) <= most && text_plain(text);
}

/* What is wrong with it; NULL: nothing. */
static const char *mistake(const struct agent *agent, const struct link *link,
                           const Wire__TxOrder *wire, const char **hint)
{
    struct gid id;
    *hint = "";
    if (wire->kind != WIRE__TX_ORDER_KIND__RESOLVE && wire->kind != WIRE__TX_ORDER_KIND__FORGET)
        return "this version does not know the order";
    if (wire->relayed != (link != NULL))
        return "only its own coordinators relay orders to a participant";
    *hint = "its own name is needed: --participant";
    if ((wire->participant[0] || !link) && strcmp(wire->participant, agent->participant) != 0)
        return wire->participant[0] ? "this is another participant"
                                    : "at a participant's door an order is for that one alone";
    *hint = "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth tx list`";
    if (!evidence_read_id(agent, wire->gtrid, &id))
        return "this is not the id of a transaction of this cluster";
    *hint = "a reason has 1 to 200 bytes of plain text";
    if (!is_text(wire->reason, LIMIT_REASON_BYTES))
        return "it must be said why";
    *hint = "a name has 1 to 100 bytes of plain text: ada@host";
    return is_text(wire->by, LIMIT_BY_BYTES) ? NULL : "it must be said who orders it";
}

static struct order *order_new(struct agent *agent, const struct link *link,
                               const struct guest *guest, const Wire__TxOrder *wire)
{
    struct order *order = xcalloc(1, sizeof(*order));
    order->kind = TAG_ORDER;
    order->session = link ? link->session : guest->session;
    order->request = wire->request;
    order->forget = wire->kind == WIRE__TX_ORDER_KIND__FORGET;
    order->commit = wire->commit;
    order->dry_run = wire->dry_run;
    order->relayed = link != NULL;
    CHECK(evidence_read_id(agent, wire->gtrid, &order->id));
    gtrid_format(order->gtrid, agent->cluster, order->id.coordinator, order->id.tx);
    snprintf(order->coordinator, sizeof(order->coordinator), "%s", link ? link->coordinator : "");
    snprintf(order->from, sizeof(order->from), "%s (%s)",
             link ? link->coordinator : peer_name(guest->peer), link ? "coordinator" : "door");
    snprintf(order->reason, sizeof(order->reason), "%s", wire->reason);
    snprintf(order->by, sizeof(order->by), "%s", wire->by);
    list_append(&agent->orders, &order->all);
    agent->order_count++;
    return order;
}

void order_take(struct agent *agent, const struct link *link, const struct guest *guest,
                const Wire__TxOrder *wire)
{
    const char *hint, *wrong = mistake(agent, link, wire, &hint);
    uint64_t session = link ? link->session : guest->session;
    bool more;
    if (wrong) {
        send_problem(agent, session, wire->request, "bad_request", wrong, hint);
        return;
    }
    if (agent->draining || agent->order_count >= ORDERS_AT_ONCE) {
        send_problem(agent, session, wire->request, "busy", "no more orders are taken now",
                     "try again in a second");
        return;
    }
    struct order *order = order_new(agent, link, guest, wire);
    if (order->forget) {
        judge_forget(agent, order);
        return;
    }
    const struct entry *entry = judge_pick(agent, &order->id, &more);
    struct db_inspection inspection = {
        .look = DB_LOOK_TRANSACTION, .gtrid = order->gtrid, .xid = entry ? entry->branch.xid : 0};
    agent->database.inspect(agent->database.self, &inspection, order);
}

/* ---- life ---------------------------------------------------------------------------------- */

bool orders_idle(const struct agent *agent)
{
    for (const struct list *node = agent->orders.next; node != &agent->orders; node = node->next) {
        enum order_stage stage = CONTAINER(node, struct order, all)->stage;
        if (stage == ORDER_LOOKING || stage == ORDER_STORING || stage == ORDER_FORGETTING)
            return false;
    }
    return true;
}

void orders_free(struct agent *agent)
{
    while (!list_empty(&agent->orders))
        order_end(agent, CONTAINER(agent->orders.next, struct order, all));
}
