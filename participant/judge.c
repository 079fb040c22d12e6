/* What an order comes to: one by one what is decided, proved, forced or will end by itself, and
 * only then what may be forced. */
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/planted.h"
#include "participant/agent_private.h"

enum { ARENA_BYTES = 16 * 1024 };

/* ---- resolve ------------------------------------------------------------------------------- */

static bool is_held(const struct db_inspected *looked, const char *gid)
{
    for (int i = 0; i < looked->held_count; i++) {
        if (strcmp(looked->held[i].gid, gid) == 0)
            return true;
    }
    return false;
}

/* It was forced before, by this order or by another. */
static void judge_forced(struct agent *agent, struct order *order, struct heuristic *row,
                         const struct db_inspected *looked)
{
    char text[HEURISTIC_TEXT_BYTES];
    bool again = row->state == HEURISTIC_ENDED && is_held(looked, row->gid);
    heuristic_text(row, text);
    if (row->state == HEURISTIC_STORING && (order->dry_run || row->commit != order->commit))
        order_refuse(agent, order, "busy", "try again in a second",
                     "another order for %s is being recorded", row->gid);
    else if (row->commit != order->commit)
        order_refuse(agent, order, "contradicts", "", "%s", text);
    else if (row->found[0] && !again)
        order_refuse(agent, order, "contradicts", "troth tx show tells what each of them says",
                     "it was ordered before, but %s", row->found);
    else if (row->state == HEURISTIC_ENDED && !again)
        order_conclude_plainly(agent, order, WIRE__DEED__DEED_NONE, "it was forced before: %s",
                               text);
    else if (order->dry_run)
        order_conclude_plainly(agent, order, WIRE__DEED__DEED_WAIT, "it is being carried out: %s",
                               text);
    else {
        order_audit(agent, order, "ordered", NULL);
        heuristic_apply(agent, row);
        order_await(agent, order, row);
    }
}

struct entry *judge_pick(const struct agent *agent, const struct gid *id, bool *more)
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

/* What is prepared here and unknown is an orphan that no scan has found yet. */
static void judge_absent(struct agent *agent, struct order *order,
                         const struct db_inspected *looked)
{
    bool unseen = false;
    for (int i = 0; i < looked->held_count; i++)
        unseen = unseen || !entry_find(agent, looked->held[i].gid);
    if (unseen) {
        scan_start(agent);
        order_refuse(agent, order, "busy", "try again in a second",
                     "a branch of %s was found just now: its coordinator is asked first",
                     order->gtrid);
    } else if (order->relayed) {
        order_conclude_plainly(agent, order, WIRE__DEED__DEED_NONE,
                               "nothing of %s is prepared at participant %s", order->gtrid,
                               agent->participant);
    } else {
        order_refuse(
            agent, order, "unknown", "troth tx explain tells what its database knows of it",
            "nothing of %s is prepared at participant %s", order->gtrid, agent->participant);
    }
}

/* Decided, whoever said so: an order never changes that. */
static void judge_decided(struct agent *agent, struct order *order, bool commit, const char *who)
{
    if (commit == order->commit)
        order_conclude_plainly(agent, order, WIRE__DEED__DEED_WAIT,
                               "%s: it is %s by itself as soon as its database can", who,
                               commit ? "committed" : "rolled back");
    else
        order_refuse(agent, order, "contradicts", "nothing needs to be ordered: it ends by itself",
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
        order_refuse(agent, order, "contradicts", "", "somebody has ended %s by hand: it is %s",
                     entry->gid, commit ? "committed" : "rolled back");
    else
        order_conclude_plainly(agent, order, WIRE__DEED__DEED_NONE, "%s is not prepared any more%s",
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
    struct particulars particulars = {.step = order_statement(order->commit)};
    char coordinator[LIMIT_NAME_BYTES + 100], text[ORDER_TEXT_BYTES];
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
    order_conclude(agent, order, WIRE__DEED__DEED_HEURISTIC, text, &particulars);
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
    else if (!own && agent_link(agent, coordinator) && !entry->branch.held &&
             !PLANTED(HEURISTIC_THOUGH_JUDGED))
        order_refuse(
            agent, order, "judged", "order it there: troth tx resolve, without --participant",
            "its coordinator %s is connected to participant %s", coordinator, agent->participant);
    else if (!own && ends_by_itself(agent, entry->site))
        order_refuse(agent, order, "undecided",
                     "wait some seconds: troth tx show tells how far that is",
                     "its sites finish %s without their coordinator", order->gtrid);
    else if (agent->heuristics.count >= LIMIT_HEURISTICS)
        order_refuse(agent, order, "busy", "troth tx forget, for those that are settled",
                     "participant %s lists %d outcomes that were forced: that is the most",
                     agent->participant, LIMIT_HEURISTICS);
    else if (order->dry_run)
        preview(agent, order, entry, looked);
    else
        order_force(agent, order, entry);
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
    case BRANCH_ACCEPTING:
        order_refuse(agent, order, "undecided", "try again: its database answers within moments",
                     "%s is just being committed by participant %s", entry->gid,
                     agent->participant);
        break;
    case BRANCH_NEW:
    case BRANCH_QUEUED:
    case BRANCH_WORKING:
    case BRANCH_OPEN:
    case BRANCH_CLOSING:
    case BRANCH_ADOPTING:
    case BRANCH_LOOKING:
    case BRANCH_ENDED:
        order_refuse(agent, order, "undecided", "wait: its deadline ends it",
                     "%s has not voted at participant %s", entry->gid, agent->participant);
        break;
    }
}

void judge_resolve(struct agent *agent, struct order *order, const struct db_inspected *looked)
{
    bool more;
    struct entry *entry = judge_pick(agent, &order->id, &more);
    struct gid all = order->id;
    all.branch = -1;
    /* What was forced of another branch here does not end this one. At the door it is not ended
     * otherwise; by an order for all it is, as there is no other way left. */
    struct heuristic *other = heuristic_of(agent, &all);
    struct heuristic *row =
        entry ? heuristic_find(agent, entry->gid) : heuristic_of(agent, &order->id);
    if (!row && !order->relayed && other && other->commit != order->commit)
        row = other;
    if (!looked->ok || !agent->heuristics.known)
        order_refuse(agent, order, "database_down", "try again when its database is there",
                     "the database of participant %s can't be asked%s%s", agent->participant,
                     looked->ok ? "" : ": ", looked->ok ? "" : looked->problem);
    else if (more)
        order_refuse(agent, order, "bad_request",
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

/* ---- forget ------------------------------------------------------------------------------- */

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

/* Its own coordinator has heard of it, or nobody could compare it with the decision any more. */
static bool is_heard(struct agent *agent, const struct order *order, const struct gid *id)
{
    return (order->relayed && strcmp(order->coordinator, id->coordinator) == 0) ||
           agent_link(agent, id->coordinator);
}

void judge_forget(struct agent *agent, struct order *order)
{
    struct gid id = order->id;
    id.branch = -1;
    if (!agent->heuristics.known)
        order_refuse(agent, order, "database_down", "try again when its database is there",
                     "participant %s can't read what was forced here", agent->participant);
    else if (!heuristic_of(agent, &id) && order->relayed)
        order_conclude_plainly(agent, order, WIRE__DEED__DEED_NONE,
                               "nothing of %s was forced at participant %s", order->gtrid,
                               agent->participant);
    else if (!heuristic_of(agent, &id))
        order_refuse(agent, order, "unknown", "troth tx list --heuristic lists what was",
                     "nothing of %s was forced at participant %s", order->gtrid,
                     agent->participant);
    else if (is_owed(agent, &id) && !PLANTED(FORGET_WHILE_OWED))
        order_refuse(agent, order, "owed", "troth tx show tells what it waits for",
                     "a branch of %s has not ended at participant %s", order->gtrid,
                     agent->participant);
    else if (!is_heard(agent, order, &id))
        order_refuse(agent, order, "owed",
                     "wait until it is there; if it is gone for good, set forgotten_at of the row "
                     "in troth.heuristic",
                     "coordinator %s has not heard of it: it is not connected to participant %s",
                     id.coordinator, agent->participant);
    else if (order->dry_run)
        order_conclude(agent, order, WIRE__DEED__DEED_FORGET,
                       "what was forced here would be forgotten",
                       &(struct particulars){.step = "its row in troth.heuristic is marked"});
    else {
        order_audit(agent, order, "ordered", NULL);
        order->stage = ORDER_FORGETTING;
        agent->database.heuristics_forget(agent->database.self, order->gtrid, order);
    }
}
