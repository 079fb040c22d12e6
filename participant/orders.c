/* What operators order: RESOLVE and FORGET, relayed by a coordinator that has looked at the
 * evidence, or at the door while the coordinator is gone.
 *
 * Each order asks the database first what is true, and is judged by that and by what this process
 * knows. An order never makes a decision: what is decided, or will be by itself, is refused or left
 * to be carried out. What is forced is recorded before it is done (heuristics.c). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/text.h"
#include "participant/agent_private.h"

enum {
    ORDERS_AT_ONCE = 64, /* operators make few */
    ARENA_BYTES = 16 * 1024,
    TEXT_BYTES = HEURISTIC_TEXT_BYTES + LIMIT_GID_BYTES + 160,
};

/* ---- answers ------------------------------------------------------------------------------- */

static const char *action_word(const struct order *order)
{
    return order->forget   ? "tx forget"
           : order->commit ? "tx resolve --commit"
                           : "tx resolve --abort";
}

/* What is only asked, or was not understood, changes nothing and is not recorded. */
static void audit(const struct agent *agent, const struct order *order, const char *stage,
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

static void refuse(struct agent *agent, struct order *order, const char *code, const char *hint,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The order ends with it. */
static void refuse(struct agent *agent, struct order *order, const char *code, const char *hint,
                   const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    audit(agent, order, "refused", text);
    send_problem(agent, order->session, order->request, code, text, hint);
    order_end(agent, order);
}

/* What is answered beside the deed and its sentence. */
struct particulars {
    const char *step;
    char *unknowns[3];
    size_t unknown_count;
    Wire__Testimony *testimony;
};

/* The order ends with it. */
static void conclude(struct agent *agent, struct order *order, Wire__Deed deed, const char *message,
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
    audit(agent, order, "done", message);
    send_answer(agent, order->session, &answer);
    order_end(agent, order);
}

static void conclude_plainly(struct agent *agent, struct order *order, Wire__Deed deed,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));

static void conclude_plainly(struct agent *agent, struct order *order, Wire__Deed deed,
                             const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    conclude(agent, order, deed, text, &(struct particulars){0});
}

/* ---- the end of what was forced ------------------------------------------------------------ */

static const char *statement(bool commit)
{
    return commit ? "COMMIT PREPARED" : "ROLLBACK PREPARED";
}

static void forced(struct agent *agent, struct order *order, const struct heuristic *row,
                   bool proved)
{
    char text[TEXT_BYTES];
    struct particulars particulars = {.step = statement(row->commit)};
    if (row->found[0]) {
        refuse(agent, order, "contradicts", "troth tx show tells what each of them says",
               "somebody else has ended %s meanwhile: %s", row->gid, row->found);
        return;
    }
    if (!proved)
        particulars.unknowns[particulars.unknown_count++] =
            (char *)"it was gone already, and its database no longer knows how it ended";
    snprintf(text, sizeof(text), "participant %s has %s %s", agent->participant,
             row->commit ? "committed" : "rolled back", row->gid);
    conclude(agent, order, WIRE__DEED__DEED_HEURISTIC, text, &particulars);
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
            refuse(agent, order, "unknown", "troth tx show tells how it ended, if it has",
                   "what was ordered of %s was not recorded, or its row was deleted", row->gid);
    }
}

static void wait_for_end(struct agent *agent, struct order *order)
{
    order->stage = ORDER_ENDING;
    if (order->row->state == HEURISTIC_ENDED)
        forced(agent, order, order->row, true);
}

/* ---- storing ------------------------------------------------------------------------------- */

static void force(struct agent *agent, struct order *order, struct entry *entry)
{
    audit(agent, order, "ordered", NULL);
    order->row = heuristic_new(agent, entry, order->commit, order->reason, order->by);
    order->stage = ORDER_STORING;
    struct db_heuristic row = {.gid = order->row->gid,
                               .commit = order->commit,
                               .xid = order->row->xid,
                               .reason = order->row->reason,
                               .by = order->row->by,
                               .at_us = order->row->at_us};
    agent->database.heuristic_store(agent->database.self, &row, order);
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
        wait_for_end(agent, order);
        return;
    }
    if (row && row->state != HEURISTIC_STORING) {
        heuristic_text(row, text);
        refuse(agent, order, "contradicts", "", "another order was first: %s", text);
        return;
    }
    order->row = NULL;
    if (row)
        heuristic_drop(agent, row);
    if (order->changed)
        refuse(agent, order, "contradicts",
               "its row in troth.heuristic tells more; somebody who knows that it is settled can "
               "delete it",
               "something was forced on a branch of %s before, and was forgotten since",
               order->gtrid);
    else
        refuse(agent, order, "database_down",
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
        refuse(agent, order, "database_down", "order the same again",
               "whether it was forgotten is not known: the connection to the database was lost");
        return;
    }
    struct gid id = order->id;
    id.branch = -1;
    for (struct heuristic *row; (row = heuristic_of(agent, &id)) != NULL;)
        heuristic_drop(agent, row);
    conclude_plainly(agent, order, WIRE__DEED__DEED_FORGET,
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

/* Its branch has ended, of every row of the transaction, and no other is in doubt. */
static bool is_owed(const struct agent *agent, const struct gid *id)
{
    const struct list *all = &agent->heuristics.all;
    for (const struct list *node = all->next; node != all; node = node->next) {
        const struct heuristic *row = CONTAINER(node, struct heuristic, all);
        if (txid_equal(row->id.tx, id->tx) && strcmp(row->id.coordinator, id->coordinator) == 0 &&
            row->state != HEURISTIC_ENDED)
            return true;
    }
    for (const struct list *node = agent->entries.next; node != &agent->entries;
         node = node->next) {
        const struct entry *entry = CONTAINER(node, struct entry, all);
        if (txid_equal(entry->id.tx, id->tx) &&
            strcmp(entry->id.coordinator, id->coordinator) == 0 && !entry->strange)
            return true;
    }
    return false;
}

static void judge_forget(struct agent *agent, struct order *order)
{
    struct gid id = order->id;
    id.branch = -1;
    if (!agent->heuristics.known)
        refuse(agent, order, "database_down", "try again when its database is there",
               "participant %s can't read what was forced here", agent->participant);
    else if (!heuristic_of(agent, &id) && order->relayed)
        conclude_plainly(agent, order, WIRE__DEED__DEED_NONE,
                         "nothing of %s was forced at participant %s", order->gtrid,
                         agent->participant);
    else if (!heuristic_of(agent, &id))
        refuse(agent, order, "unknown", "troth tx list --heuristic lists what was",
               "nothing of %s was forced at participant %s", order->gtrid, agent->participant);
    else if (is_owed(agent, &id))
        refuse(agent, order, "owed", "troth tx show tells what it waits for",
               "a branch of %s has not ended at participant %s", order->gtrid, agent->participant);
    else if (order->dry_run)
        conclude(agent, order, WIRE__DEED__DEED_FORGET, "what was forced here would be forgotten",
                 &(struct particulars){.step = "its row in troth.heuristic is marked"});
    else {
        audit(agent, order, "ordered", NULL);
        order->stage = ORDER_FORGETTING;
        agent->database.heuristics_forget(agent->database.self, order->gtrid, order);
    }
}

/* ---- judging ------------------------------------------------------------------------------- */

/* It was forced before, by this order or by another. */
static void judge_forced(struct agent *agent, struct order *order, struct heuristic *row,
                         const struct db_inspected *looked)
{
    char text[HEURISTIC_TEXT_BYTES];
    bool again = row->state == HEURISTIC_ENDED && looked->held_count > 0;
    heuristic_text(row, text);
    if (row->commit != order->commit)
        refuse(agent, order, "contradicts", "", "%s", text);
    else if (row->found[0] && !again)
        refuse(agent, order, "contradicts", "troth tx show tells what each of them says",
               "it was ordered before, but %s", row->found);
    else if (row->state == HEURISTIC_ENDED && !again)
        conclude_plainly(agent, order, WIRE__DEED__DEED_NONE, "it was forced before: %s", text);
    else if (order->dry_run)
        conclude_plainly(agent, order, WIRE__DEED__DEED_WAIT, "it is being carried out: %s", text);
    else {
        order->row = row;
        order->stage = ORDER_ENDING;
        heuristic_apply(agent, row);
    }
}

/* The branch that is meant: not another participant's in the same database. NULL: there is none.
 * `more`: there are two, as such two share a database and nothing tells whose is which. */
static struct entry *pick(const struct agent *agent, const struct gid *id, bool *more)
{
    struct entry *found = NULL;
    *more = false;
    for (struct list *node = agent->entries.next; node != &agent->entries; node = node->next) {
        struct entry *entry = CONTAINER(node, struct entry, all);
        if (!txid_equal(entry->id.tx, id->tx) ||
            strcmp(entry->id.coordinator, id->coordinator) != 0 || entry->strange ||
            (id->branch >= 0 && entry->id.branch != id->branch))
            continue;
        *more = found != NULL;
        found = entry;
    }
    return found;
}

static bool is_held(const struct db_inspected *looked, const char *gid)
{
    for (int i = 0; i < looked->held_count; i++) {
        if (strcmp(looked->held[i].gid, gid) == 0)
            return true;
    }
    return false;
}

/* What is prepared here and unknown is an orphan that no scan has found yet. */
static void judge_absent(struct agent *agent, struct order *order,
                         const struct db_inspected *looked)
{
    bool unseen = false;
    for (int i = 0; i < looked->held_count; i++)
        unseen = unseen || !entry_find(agent, looked->held[i].gid);
    if (unseen) {
        scan_start(agent);
        refuse(agent, order, "busy", "try again in a second",
               "a branch of %s was found just now: its coordinator is asked first", order->gtrid);
    } else if (order->relayed) {
        conclude_plainly(agent, order, WIRE__DEED__DEED_NONE,
                         "nothing of %s is prepared at participant %s", order->gtrid,
                         agent->participant);
    } else {
        refuse(agent, order, "unknown", "troth tx explain tells what its database knows of it",
               "nothing of %s is prepared at participant %s", order->gtrid, agent->participant);
    }
}

/* Decided, whoever said so: an order never changes that. */
static void judge_decided(struct agent *agent, struct order *order, bool commit, const char *who)
{
    if (commit == order->commit)
        conclude_plainly(agent, order, WIRE__DEED__DEED_WAIT,
                         "%s: it is %s by itself as soon as its database can", who,
                         commit ? "committed" : "rolled back");
    else
        refuse(agent, order, "contradicts", "nothing needs to be ordered: it ends by itself",
               "%s, and the order is %s", who, order->commit ? "commit" : "abort");
}

/* Somebody has ended it by hand, and no scan has noticed that yet. */
static void judge_ended(struct agent *agent, struct order *order, const struct entry *entry,
                        const struct db_inspected *looked)
{
    bool known = looked->xid != 0 && looked->xid == entry->branch.xid &&
                 (looked->status == DB_STATUS_COMMITTED || looked->status == DB_STATUS_ABORTED);
    bool commit = looked->status == DB_STATUS_COMMITTED;
    scan_start(agent);
    if (known && commit != order->commit)
        refuse(agent, order, "contradicts", "", "somebody has ended %s by hand: it is %s",
               entry->gid, commit ? "committed" : "rolled back");
    else
        conclude_plainly(agent, order, WIRE__DEED__DEED_NONE, "%s is not prepared any more%s",
                         entry->gid,
                         !known   ? ""
                         : commit ? ": somebody has committed it by hand"
                                  : ": somebody has rolled it back by hand");
}

/* Three phases: this site's register. EMPTY: it does not know. */
static enum register_value decided_by_registers(const struct entry *entry,
                                                const struct db_inspected *looked)
{
    if (entry->site && entry->site->decision != REGISTER_EMPTY)
        return (enum register_value)entry->site->decision;
    return looked->registered && register_decided(&looked->state)
               ? (enum register_value)looked->state.value
               : REGISTER_EMPTY;
}

/* The other sites can be asked, so far as is known: it will be decided. */
static bool ends_by_itself(const struct agent *agent, const struct site *site)
{
    return site && agent->patience_us > 0 && !site->unfit && !site->damaged && !site->minority;
}

static void add_unknown(struct particulars *particulars, char *room, size_t size,
                        const char *format, const char *name)
{
    snprintf(room, size, "%s %s", name, format);
    particulars->unknowns[particulars->unknown_count++] = room;
}

/* What would be done, and on what it rests. */
static void preview(struct agent *agent, struct order *order, const struct entry *entry,
                    const struct db_inspected *looked)
{
    struct arena arena;
    struct particulars particulars = {.step = statement(order->commit)};
    char coordinator[LIMIT_NAME_BYTES + 100], text[TEXT_BYTES];
    const char *name = entry->id.coordinator;
    arena_init(&arena, ARENA_BYTES);
    particulars.testimony = evidence_of(agent, &arena, &entry->id, looked);
    if (entry->branch.held)
        add_unknown(&particulars, coordinator, sizeof(coordinator),
                    "can't tell any more what was decided", name);
    else if (!agent_link(agent, name))
        add_unknown(&particulars, coordinator, sizeof(coordinator),
                    "is not connected here: whether it has decided is not known", name);
    if (entry->site && strcmp(order->coordinator, name) != 0)
        particulars.unknowns[particulars.unknown_count++] =
            (char *)"no majority of its sites can be asked: what the others have accepted is not "
                    "known";
    if (!order->relayed)
        particulars.unknowns[particulars.unknown_count++] =
            (char *)"what became of its branches at the other participants is not known here";
    snprintf(text, sizeof(text), "%s would be %s, and recorded as forced", entry->gid,
             order->commit ? "committed" : "rolled back");
    conclude(agent, order, WIRE__DEED__DEED_HEURISTIC, text, &particulars);
    arena_fini(&arena);
}

static void judge_in_doubt(struct agent *agent, struct order *order, struct entry *entry,
                           const struct db_inspected *looked)
{
    const char *coordinator = entry->id.coordinator;
    enum register_value decided = decided_by_registers(entry, looked);
    bool own = order->relayed && strcmp(order->coordinator, coordinator) == 0;
    snprintf(order->before, sizeof(order->before), "in doubt%s; prepared at %s",
             entry->branch.held ? ", held" : "", agent->participant);
    if (!is_held(looked, entry->gid))
        judge_ended(agent, order, entry, looked);
    else if (decided != REGISTER_EMPTY)
        judge_decided(agent, order, decided == REGISTER_COMMIT,
                      decided == REGISTER_COMMIT ? "its register here says commit"
                                                 : "its register here says abort");
    else if (!own && agent_link(agent, coordinator) && !entry->branch.held)
        refuse(agent, order, "judged", "order it there: troth tx resolve, without --participant",
               "its coordinator %s is connected to participant %s", coordinator,
               agent->participant);
    else if (!own && ends_by_itself(agent, entry->site))
        refuse(agent, order, "undecided", "wait some seconds: troth tx show tells how far that is",
               "its sites finish %s without their coordinator", order->gtrid);
    else if (agent->heuristics.count >= LIMIT_HEURISTICS)
        refuse(agent, order, "busy", "troth tx forget, for those that are settled",
               "participant %s lists %d outcomes that were forced: that is the most",
               agent->participant, LIMIT_HEURISTICS);
    else if (order->dry_run)
        preview(agent, order, entry, looked);
    else
        force(agent, order, entry);
}

static void judge_branch(struct agent *agent, struct order *order, struct entry *entry,
                         const struct db_inspected *looked)
{
    const struct branch *branch = &entry->branch;
    snprintf(order->before, sizeof(order->before), "%s", branch_word(branch->state));
    switch (branch->state) {
    case BRANCH_IN_DOUBT:
        judge_in_doubt(agent, order, entry, looked);
        break;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
    case BRANCH_UNSURE:
        judge_decided(agent, order, branch->decision == BRANCH_COMMIT,
                      branch->decision == BRANCH_COMMIT ? "it is to be committed"
                                                        : "it is to be rolled back");
        break;
    case BRANCH_NEW:
    case BRANCH_QUEUED:
    case BRANCH_WORKING:
    case BRANCH_LOOKING:
    case BRANCH_ENDED:
        refuse(agent, order, "undecided", "wait: its deadline ends it",
               "%s has not voted at participant %s", entry->gid, agent->participant);
        break;
    }
}

void order_looked(struct agent *agent, struct order *order, const struct db_inspected *looked)
{
    bool more;
    struct heuristic *row = heuristic_of(agent, &order->id);
    struct entry *entry = pick(agent, &order->id, &more);
    if (!looked->ok || !agent->heuristics.known)
        refuse(agent, order, "database_down", "try again when its database is there",
               "the database of participant %s can't be asked%s%s", agent->participant,
               looked->ok ? "" : ": ", looked->ok ? "" : looked->problem);
    else if (more)
        refuse(agent, order, "bad_request",
               "name one of them: troth.CLUSTER.COORDINATOR.EPOCH.SEQ.N",
               "%s has two branches in the database of participant %s", order->gtrid,
               agent->participant);
    else if (row)
        judge_forced(agent, order, row, looked);
    else if (entry)
        judge_branch(agent, order, entry, looked);
    else
        judge_absent(agent, order, looked);
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
    const struct entry *entry = pick(agent, &order->id, &more);
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
