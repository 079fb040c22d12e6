#include "participant/heuristic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"
#include "core/text.h"
#include "participant/agent_private.h"

enum {
    LOAD_AGAIN_US = 500 * 1000,
    TELL_ROWS = 100, /* in one message */
    TELL_ROW_BYTES = LIMIT_REASON_BYTES + LIMIT_BY_BYTES + 2 * LIMIT_NAME_BYTES + 200,
};
_Static_assert(TELL_ROWS *TELL_ROW_BYTES < LIMIT_MESSAGE_BYTES, "rows fit a message");

/* ---- rows ---------------------------------------------------------------------------------- */

static bool gid_matches(const struct map_node *node, const void *key)
{
    return strcmp(CONTAINER(node, struct heuristic, node)->gid, key) == 0;
}

struct heuristic *heuristic_find(const struct agent *agent, const char *gid)
{
    if (agent->heuristics.count == 0)
        return NULL;
    struct map_node *node =
        map_find(&agent->heuristics.by_gid, hash_bytes(gid, strlen(gid)), gid_matches, gid);
    return node ? CONTAINER(node, struct heuristic, node) : NULL;
}

struct heuristic *heuristic_of(const struct agent *agent, const struct gid *id)
{
    const struct list *all = &agent->heuristics.all;
    for (const struct list *node = all->next; node != all; node = node->next) {
        struct heuristic *row = CONTAINER(node, struct heuristic, all);
        if (txid_equal(row->id.tx, id->tx) && strcmp(row->id.coordinator, id->coordinator) == 0 &&
            (id->branch < 0 || id->branch == row->id.branch))
            return row;
    }
    return NULL;
}

static void row_take(struct heuristic *row, const struct db_heuristic *from)
{
    row->commit = from->commit;
    row->xid = from->xid;
    row->at_us = from->at_us;
    PROBLEM_SAY(row->reason, "%s", from->reason);
    PROBLEM_SAY(row->by, "%s", from->by);
}

static struct heuristic *row_add(struct agent *agent, const struct gid *id, const char *gid,
                                 const struct db_heuristic *from)
{
    struct heuristic *row = xcalloc(1, sizeof(*row));
    row->id = *id;
    snprintf(row->gid, sizeof(row->gid), "%s", gid);
    row->found = "";
    row_take(row, from);
    list_append(&agent->heuristics.all, &row->all);
    map_insert(&agent->heuristics.by_gid, &row->node, hash_bytes(row->gid, strlen(row->gid)));
    agent->heuristics.count++;
    return row;
}

struct heuristic *heuristic_new(struct agent *agent, const struct entry *entry, bool commit,
                                const char *reason, const char *by)
{
    struct db_heuristic row = {.gid = entry->gid,
                               .commit = commit,
                               .xid = entry->branch.xid,
                               .reason = reason,
                               .by = by,
                               .at_us = agent->host.wall_us(agent->host.self)};
    struct heuristic *made = row_add(agent, &entry->id, entry->gid, &row);
    made->state = HEURISTIC_STORING;
    made->fresh = true;
    return made;
}

void heuristic_drop(struct agent *agent, struct heuristic *row)
{
    orders_row_gone(agent, row);
    map_remove(&agent->heuristics.by_gid, &row->node);
    list_remove(&row->all);
    agent->heuristics.count--;
    free(row);
}

void heuristics_init(struct agent *agent)
{
    list_init(&agent->heuristics.all);
}

void heuristics_free(struct agent *agent)
{
    while (!list_empty(&agent->heuristics.all))
        heuristic_drop(agent, CONTAINER(agent->heuristics.all.next, struct heuristic, all));
    map_fini(&agent->heuristics.by_gid);
}

/* ---- telling ------------------------------------------------------------------------------- */

const char *heuristic_word(const struct heuristic *row)
{
    bool opposed = row->decided != BRANCH_UNDECIDED &&
                   row->commit != (row->decided == BRANCH_COMMIT) && row->found[0] == '\0';
    if (row->found[0] || opposed)
        return "mixed";
    return row->commit ? "commit" : "abort";
}

void heuristic_text(const struct heuristic *row, char text[HEURISTIC_TEXT_BYTES])
{
    text_time at;
    snprintf(text, HEURISTIC_TEXT_BYTES, "an operator (%s) %s it%s at %s: %s", row->by,
             row->commit ? "committed" : "rolled", row->commit ? "" : " back",
             text_time_format(at, row->at_us), row->reason);
}

void heuristic_fill(const struct agent *agent, const struct heuristic *row, Wire__Heuristic *wire)
{
    wire__heuristic__init(wire);
    wire->coordinator = (char *)row->id.coordinator;
    wire->epoch = row->id.tx.epoch;
    wire->seq = row->id.tx.seq;
    wire->branch = (uint32_t)row->id.branch;
    wire->participant = agent->participant;
    wire->commit = row->commit;
    wire->reason = (char *)row->reason;
    wire->by = (char *)row->by;
    wire->at_us = row->at_us;
    wire->found = (char *)row->found;
}

static void send_rows(struct agent *agent, struct link *link, struct heuristic *const *rows,
                      size_t count)
{
    Wire__Heuristic wires[TELL_ROWS], *pointers[TELL_ROWS];
    Wire__Heuristics told = WIRE__HEURISTICS__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    for (size_t i = 0; i < count; i++) {
        heuristic_fill(agent, rows[i], &wires[i]);
        pointers[i] = &wires[i];
    }
    told.n_heuristics = count;
    told.heuristics = pointers;
    message.body_case = WIRE__MESSAGE__BODY_HEURISTICS;
    message.heuristics = &told;
    agent_send(agent, link, &message);
}

void heuristics_tell(struct agent *agent, struct link *link)
{
    struct heuristic *rows[TELL_ROWS];
    size_t count = 0;
    const struct list *all = &agent->heuristics.all;
    if (!link->peer || PLANTED(HEURISTIC_NOT_TOLD))
        return;
    for (const struct list *node = all->next; node != all; node = node->next) {
        struct heuristic *row = CONTAINER(node, struct heuristic, all);
        if (row->state == HEURISTIC_STORING)
            continue;
        rows[count++] = row;
        if (count == TELL_ROWS) {
            send_rows(agent, link, rows, count);
            count = 0;
        }
    }
    if (count > 0)
        send_rows(agent, link, rows, count);
}

static void tell_all(struct agent *agent, struct heuristic *row)
{
    for (int i = 0; i < agent->link_count; i++) {
        if (agent->links[i].peer)
            send_rows(agent, &agent->links[i], &row, 1);
    }
}

/* ---- carrying out -------------------------------------------------------------------------- */

static bool can_force(const struct branch *branch, bool commit)
{
    switch (branch->state) {
    case BRANCH_NEW:
    case BRANCH_IN_DOUBT:
    case BRANCH_UNSURE:
        return true;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
        /* Else the database is just ending it: then the next scan compares. */
        return branch->retrying || commit == (branch->decision == BRANCH_COMMIT);
    case BRANCH_QUEUED:
    case BRANCH_WORKING:
    case BRANCH_OPEN:
    case BRANCH_CLOSING:
    case BRANCH_ADOPTING:
    case BRANCH_ACCEPTING:
    case BRANCH_LOOKING:
    case BRANCH_ENDED:
        break;
    }
    return false;
}

void heuristic_apply(struct agent *agent, struct heuristic *row)
{
    struct entry *entry = entry_find(agent, row->gid);
    if (row->state == HEURISTIC_STORING || (entry && entry->branch.forced) ||
        (entry && !can_force(&entry->branch, row->commit)))
        return;
    if (!entry)
        entry = entry_new(agent, &row->id, row->gid);
    row->state = HEURISTIC_PENDING;
    entry_step(
        agent, entry,
        &(struct branch_event){.kind = BRANCH_FORCED, .commit = row->commit, .xid = row->xid});
}

void heuristic_stored(struct agent *agent, struct heuristic *row)
{
    /* A crash here: the row is durable and the branch still prepared. The next run loads the row,
     * and the branch is ended by it. */
    CRASH_POINT("participant.heuristic-stored");
    host_log(&agent->host, LOG_WARNING, "%s: %s by order of %s: %s", row->gid,
             row->commit ? "committed" : "rolled back", row->by, row->reason);
    row->state = HEURISTIC_PENDING;
    row->since = agent->heuristics.loads;
    heuristic_apply(agent, row);
}

void heuristic_ended(struct agent *agent, const struct entry *entry,
                     const struct branch_action *action)
{
    struct heuristic *row = heuristic_find(agent, entry->gid);
    if (!row)
        return; /* it was forgotten, or its row deleted, meanwhile */
    const char *found = !action->otherwise ? ""
                        : action->commit   ? "its database says that it was rolled back"
                                           : "its database says that it was committed";
    bool news = row->fresh || strcmp(found, row->found) != 0;
    if (entry->branch.told) /* perhaps before the row was loaded */
        row->decided = action->commit == entry->branch.opposed ? BRANCH_ABORT : BRANCH_COMMIT;
    row->state = HEURISTIC_ENDED;
    row->found = found;
    row->fresh = false;
    /* A crash here: it is ended, and nobody was told. The next run loads the row, finds by the xid
     * how the branch ended, and tells every coordinator. */
    CRASH_POINT("participant.heuristic-ended");
    if (action->otherwise)
        host_log(&agent->host, LOG_ERROR, "hazard: %s: an operator ordered its %s, but %s",
                 row->gid, row->commit ? "commit" : "rollback", found);
    if (news)
        tell_all(agent, row);
    orders_ended(agent, row, !action->hazard || action->otherwise);
}

void heuristic_decided(struct agent *agent, const struct gid *id, bool commit)
{
    struct heuristic *row = agent->heuristics.count > 0 ? heuristic_of(agent, id) : NULL;
    if (row)
        row->decided = commit ? BRANCH_COMMIT : BRANCH_ABORT;
}

bool heuristics_hinder(const struct agent *agent, const struct entry *entry)
{
    const struct heuristic *row = heuristic_find(agent, entry->gid);
    return !agent->heuristics.known || (row && row->state == HEURISTIC_STORING);
}

void heuristics_scanned(struct agent *agent)
{
    const struct list *all = &agent->heuristics.all;
    for (struct list *node = all->next, *next; node != all; node = next) {
        struct heuristic *row = CONTAINER(node, struct heuristic, all);
        next = node->next;
        /* One that has ended may be prepared again: the database failed over, or was restored. */
        if (row->state == HEURISTIC_PENDING || entry_find(agent, row->gid))
            heuristic_apply(agent, row);
    }
}

/* ---- loading ------------------------------------------------------------------------------- */

void heuristics_load(struct agent *agent)
{
    struct heuristics *rows = &agent->heuristics;
    timers_clear(&agent->timers, &rows->retry);
    rows->again = rows->loading;
    if (rows->loading)
        return;
    rows->loading = true;
    rows->loads++;
    agent->database.heuristics_load(agent->database.self, agent);
}

void heuristics_database_up(struct agent *agent)
{
    heuristics_load(agent);
}

void heuristics_database_down(struct agent *agent)
{
    agent->heuristics.known = false;
    timers_clear(&agent->timers, &agent->heuristics.retry);
}

/* What this process is storing may be there already: its own, or one of another process that was
 * first, and counts. */
static void take_row(struct agent *agent, const struct db_heuristic *loaded)
{
    struct gid id;
    if (!gid_parse(loaded->gid, &id) || strcmp(id.cluster, agent->cluster) != 0 ||
        id.branch >= LIMIT_BRANCHES)
        return; /* another cluster's, or nobody's */
    struct heuristic *row = heuristic_find(agent, loaded->gid);
    bool news = !row || row->state == HEURISTIC_STORING;
    if (!row)
        row = row_add(agent, &id, loaded->gid, loaded);
    else if (news)
        row_take(row, loaded);
    if (news)
        row->state = HEURISTIC_PENDING;
    row->fresh = row->fresh && !news; /* it is told with the others */
    row->seen = agent->heuristics.loads;
}

/* Another process has forgotten it, or somebody has deleted it. */
static bool is_gone(const struct agent *agent, const struct heuristic *row)
{
    uint64_t loads = agent->heuristics.loads;
    return row->state != HEURISTIC_STORING && row->since < loads && row->seen < loads;
}

static void drop_gone(struct agent *agent)
{
    const struct list *all = &agent->heuristics.all;
    for (struct list *node = all->next, *next; node != all; node = next) {
        struct heuristic *row = CONTAINER(node, struct heuristic, all);
        next = node->next;
        if (is_gone(agent, row))
            heuristic_drop(agent, row);
    }
}

/* What waited for the rows goes on, and what they say is carried out. */
static void rows_known(struct agent *agent)
{
    agent->heuristics.known = true;
    heuristics_scanned(agent);
    for (struct list *node = agent->entries.next; node != &agent->entries; node = node->next) {
        struct entry *entry = CONTAINER(node, struct entry, all);
        if (entry->branch.retrying)
            timers_set(&agent->timers, &entry->timer, agent->host.now_us(agent->host.self));
    }
    for (int i = 0; i < agent->link_count; i++)
        heuristics_tell(agent, &agent->links[i]);
}

void heuristics_loaded(void *self, void *tag, bool ok, const struct db_heuristic *rows, int count)
{
    struct agent *agent = self;
    struct heuristics *known = &agent->heuristics;
    CHECK(tag == agent && known->loading);
    known->loading = false;
    for (int i = 0; ok && i < count; i++)
        take_row(agent, &rows[i]);
    if (ok && count < LIMIT_HEURISTICS)
        drop_gone(agent);
    if (ok && agent->database_up)
        rows_known(agent);
    orders_reloaded(agent, ok);
    if (known->again && agent->database_up)
        heuristics_load(agent);
    else if (!ok && agent->database_up)
        timers_set(&agent->timers, &known->retry,
                   agent->host.now_us(agent->host.self) + LOAD_AGAIN_US);
}
