/* What an operator is told of this participant's database: of one transaction, of everything that
 * is prepared there, of the server. The database is asked, and what this process knows is added. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/check.h"
#include "participant/agent_private.h"

enum {
    INQUIRIES_AT_ONCE = 64,
    ARENA_BYTES = 64 * 1024,
    EXHIBITS_MOST = 8,           /* a participant has one branch; a database perhaps two of them */
    REACHES_MOST = 200,          /* names that it has a session with */
    ANSWER_OVERHEAD_BYTES = 1024 /* what the answer itself takes of a message */
};

static void *take(struct arena *arena, size_t size)
{
    return arena->allocator.alloc(arena->allocator.allocator_data, size);
}

static char *take_text(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(take(arena, size), text, size);
}

bool evidence_read_id(const struct agent *agent, const char *text, struct gid *id)
{
    return (gtrid_parse(text, id) || gid_parse(text, id)) &&
           strcmp(id->cluster, agent->cluster) == 0;
}

/* ---- what this process knows --------------------------------------------------------------- */

struct standing {
    const char *state;
    bool held, judged;
};

static struct standing standing_of(struct agent *agent, const struct entry *entry)
{
    if (!entry || entry->strange)
        return (struct standing){.state = ""};
    return (struct standing){.state = branch_word(entry->branch.state),
                             .held = branch_is_held(agent, entry),
                             .judged = agent_link(agent, entry->id.coordinator) != NULL};
}

static Wire__Testimony *testimony_new(const struct agent *agent, struct arena *arena,
                                      const struct db_inspected *looked)
{
    Wire__Testimony *testimony = take(arena, sizeof(*testimony));
    wire__testimony__init(testimony);
    testimony->participant = agent->participant;
    testimony->agent_us = agent->host.wall_us(agent->host.self);
    if (looked->ok) {
        testimony->database_us = looked->now_us;
        return testimony;
    }
    Wire__Problem *problem = take(arena, sizeof(*problem));
    wire__problem__init(problem);
    problem->participant = agent->participant;
    problem->code = (char *)"database_down";
    problem->message = (char *)"the database can't be asked";
    problem->detail = take_text(arena, looked->problem);
    testimony->problem = problem;
    return testimony;
}

/* ---- one transaction ----------------------------------------------------------------------- */

struct collection {
    struct agent *agent;
    struct arena *arena;
    Wire__Exhibit *list[EXHIBITS_MOST];
    size_t count;
};

/* Of that branch: found or made. NULL: there are too many. */
static Wire__Exhibit *exhibit_of(struct collection *all, const char *gid, int branch)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->list[i]->gid, gid) == 0)
            return all->list[i];
    }
    if (all->count == EXHIBITS_MOST)
        return NULL;
    Wire__Exhibit *exhibit = take(all->arena, sizeof(*exhibit));
    wire__exhibit__init(exhibit);
    exhibit->gid = take_text(all->arena, gid);
    exhibit->branch = branch < 0 ? 0 : (uint32_t)branch;
    all->list[all->count++] = exhibit;
    return exhibit;
}

static void add_prepared(struct collection *all, const struct gid *id,
                         const struct db_inspected *looked)
{
    struct gid held;
    for (int i = 0; i < looked->held_count; i++) {
        const struct entry *entry = entry_find(all->agent, looked->held[i].gid);
        if (!gid_parse(looked->held[i].gid, &held) || (entry && entry->strange) ||
            (id->branch >= 0 && held.branch != id->branch))
            continue;
        Wire__Exhibit *exhibit = exhibit_of(all, looked->held[i].gid, held.branch);
        if (!exhibit)
            return;
        exhibit->prepared = true;
        exhibit->prepared_us = looked->held[i].prepared_at_us;
        exhibit->xid = looked->held[i].xid;
        exhibit->status = WIRE__XID_STATUS__XID_IN_PROGRESS;
    }
}

static bool belongs(const struct gid *to, const struct gid *id)
{
    return txid_equal(to->tx, id->tx) && strcmp(to->coordinator, id->coordinator) == 0 &&
           (id->branch < 0 || id->branch == to->branch);
}

static void add_entries(struct collection *all, const struct gid *id)
{
    const struct list *entries = &all->agent->entries;
    for (struct list *node = entries->next; node != entries; node = node->next) {
        const struct entry *entry = CONTAINER(node, struct entry, all);
        Wire__Exhibit *exhibit = belongs(&entry->id, id) && !entry->strange
                                     ? exhibit_of(all, entry->gid, entry->id.branch)
                                     : NULL;
        if (!exhibit)
            continue;
        struct standing standing = standing_of(all->agent, entry);
        exhibit->state = (char *)standing.state;
        exhibit->held = standing.held;
        exhibit->judged = standing.judged;
        if (exhibit->xid == 0)
            exhibit->xid = entry->branch.xid;
    }
}

static void add_rows(struct collection *all, const struct gid *id)
{
    const struct list *rows = &all->agent->heuristics.all;
    for (const struct list *node = rows->next; node != rows; node = node->next) {
        const struct heuristic *row = CONTAINER(node, struct heuristic, all);
        Wire__Exhibit *exhibit = belongs(&row->id, id) && row->state != HEURISTIC_STORING
                                     ? exhibit_of(all, row->gid, row->id.branch)
                                     : NULL;
        if (!exhibit)
            continue;
        exhibit->heuristic = take(all->arena, sizeof(*exhibit->heuristic));
        heuristic_fill(all->agent, row, exhibit->heuristic);
        if (exhibit->xid == 0)
            exhibit->xid = row->xid;
    }
}

static Wire__Ballot *take_ballot(struct arena *arena, struct ballot ballot)
{
    Wire__Ballot *wire = take(arena, sizeof(*wire));
    wire__ballot__init(wire);
    wire->round = ballot.round;
    wire->site = ballot.site;
    return wire;
}

static Wire__XidStatus status_of(enum db_status status)
{
    switch (status) {
    case DB_STATUS_COMMITTED:
        return WIRE__XID_STATUS__XID_COMMITTED;
    case DB_STATUS_ABORTED:
        return WIRE__XID_STATUS__XID_ABORTED;
    case DB_STATUS_IN_PROGRESS:
        return WIRE__XID_STATUS__XID_IN_PROGRESS;
    case DB_STATUS_UNKNOWN:
        return WIRE__XID_STATUS__XID_UNKNOWN;
    case DB_STATUS_ERROR:
        break;
    }
    return WIRE__XID_STATUS__XID_NOT_ASKED;
}

/* What the database says of the transaction without naming a branch is said of this one. */
static void add_record(struct collection *all, Wire__Exhibit *exhibit,
                       const struct db_inspected *looked)
{
    if (exhibit->xid == 0 || exhibit->xid == looked->xid) {
        exhibit->xid = looked->xid;
        exhibit->status = status_of(looked->status);
    }
    exhibit->barrier = take_text(all->arena, looked->barrier);
    exhibit->report = take_text(all->arena, looked->report);
    exhibit->registered = looked->registered;
    if (!looked->registered)
        return;
    exhibit->value = (Wire__Value)looked->state.value;
    exhibit->decided = register_decided(&looked->state);
    if (exhibit->decided)
        return; /* its ballots are above all and mean nothing */
    exhibit->promised = take_ballot(all->arena, looked->state.promised);
    exhibit->accepted = take_ballot(all->arena, looked->state.accepted);
}

Wire__Testimony *evidence_of(struct agent *agent, struct arena *arena, const struct gid *id,
                             const struct db_inspected *looked)
{
    struct collection all = {.agent = agent, .arena = arena};
    Wire__Testimony *testimony = testimony_new(agent, arena, looked);
    if (looked->ok)
        add_prepared(&all, id, looked);
    add_entries(&all, id);
    add_rows(&all, id);
    bool traces = looked->ok && (looked->xid != 0 || looked->registered || looked->barrier[0]);
    Wire__Exhibit *first = all.count > 0 ? all.list[0] : NULL;
    if (traces && !first)
        first = exhibit_of(&all, "", id->branch);
    if (looked->ok && first)
        add_record(&all, first, looked);
    testimony->n_exhibits = all.count;
    testimony->exhibits = take(arena, sizeof(void *) * (all.count + 1));
    memcpy(testimony->exhibits, all.list, sizeof(void *) * all.count);
    /* What a person would only read does not keep the facts from arriving. */
    if (first &&
        wire__testimony__get_packed_size(testimony) + ANSWER_OVERHEAD_BYTES > LIMIT_MESSAGE_BYTES)
        first->report = (char *)"";
    return testimony;
}

/* ---- all that is prepared ------------------------------------------------------------------ */

static Wire__PreparedView *view_of(struct agent *agent, struct arena *arena,
                                   const struct db_held *held)
{
    Wire__PreparedView *view = take(arena, sizeof(*view));
    struct standing standing = standing_of(agent, held->here ? entry_find(agent, held->gid) : NULL);
    wire__prepared_view__init(view);
    view->gid = (char *)held->gid;
    view->owner = (char *)held->owner;
    view->database = (char *)held->database;
    view->here = held->here;
    view->prepared_us = held->prepared_at_us;
    view->age_xids = held->age_xids;
    view->xid = held->xid;
    view->state = (char *)standing.state;
    view->held = standing.held;
    view->judged = standing.judged;
    return view;
}

static void list_prepared(struct agent *agent, struct arena *arena, Wire__Testimony *testimony,
                          const struct db_inspected *looked)
{
    size_t bytes = ANSWER_OVERHEAD_BYTES + wire__testimony__get_packed_size(testimony);
    testimony->prepared = take(arena, sizeof(void *) * ((size_t)looked->held_count + 1));
    for (int i = 0; i < looked->held_count; i++) {
        Wire__PreparedView *view = view_of(agent, arena, &looked->held[i]);
        size_t size = wire__prepared_view__get_packed_size(view) + 8;
        if (testimony->more > 0 || bytes + size > LIMIT_MESSAGE_BYTES) {
            testimony->more++;
            continue;
        }
        bytes += size;
        testimony->prepared[testimony->n_prepared++] = view;
    }
}

/* ---- the server ---------------------------------------------------------------------------- */

static void add_reach(Wire__Testimony *testimony, const char *name)
{
    for (size_t i = 0; i < testimony->n_reaches; i++) {
        if (strcmp(testimony->reaches[i], name) == 0)
            return;
    }
    if (testimony->n_reaches < REACHES_MOST)
        testimony->reaches[testimony->n_reaches++] = (char *)name;
}

static void list_reaches(struct agent *agent, struct arena *arena, Wire__Testimony *testimony)
{
    testimony->reaches = take(arena, sizeof(char *) * REACHES_MOST);
    for (int i = 0; i < agent->link_count; i++) {
        if (agent->links[i].peer)
            add_reach(testimony, agent->links[i].coordinator);
    }
    for (int i = 0; i < LIMIT_LINES; i++) {
        const struct line *line = agent->lines[i];
        if (line && line->peer && peer_role(line->peer) == WIRE__ROLE__PARTICIPANT)
            add_reach(testimony, peer_name(line->peer));
    }
    for (struct peer *peer = NULL;
         agent->door && (peer = transport_next_peer(agent->door, peer)) != NULL;) {
        if (peer_role(peer) == WIRE__ROLE__PARTICIPANT)
            add_reach(testimony, peer_name(peer));
    }
}

static void describe_server(struct agent *agent, struct arena *arena, Wire__Testimony *testimony,
                            const struct db_inspected *looked)
{
    list_reaches(agent, arena, testimony);
    size_t bytes = ANSWER_OVERHEAD_BYTES + wire__testimony__get_packed_size(testimony);
    if (looked->ok && bytes + strlen(looked->report) <= LIMIT_MESSAGE_BYTES)
        testimony->report = take_text(arena, looked->report);
}

/* ---- questions ----------------------------------------------------------------------------- */

static void inquiry_end(struct agent *agent, struct inquiry *inquiry)
{
    list_remove(&inquiry->all);
    agent->inquiry_count--;
    free(inquiry);
}

static void answer_inquiry(struct agent *agent, struct inquiry *inquiry,
                           const struct db_inspected *looked)
{
    struct arena arena;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    arena_init(&arena, ARENA_BYTES);
    Wire__Testimony *testimony = inquiry->look == DB_LOOK_TRANSACTION
                                     ? evidence_of(agent, &arena, &inquiry->id, looked)
                                     : testimony_new(agent, &arena, looked);
    if (inquiry->look == DB_LOOK_PREPARED && looked->ok)
        list_prepared(agent, &arena, testimony, looked);
    else if (inquiry->look == DB_LOOK_SERVER)
        describe_server(agent, &arena, testimony, looked);
    answer.request = inquiry->request;
    answer.n_testimonies = 1;
    answer.testimonies = &testimony;
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &answer;
    agent_send_to(agent, inquiry->session, &message); /* who is gone asks again */
    arena_fini(&arena);
    inquiry_end(agent, inquiry);
}

void evidence_inspected(void *self, void *tag, const struct db_inspected *looked)
{
    if (*(const enum tag_kind *)tag == TAG_ORDER)
        judge_resolve(self, tag, looked);
    else
        answer_inquiry(self, tag, looked);
}

static void refuse(struct agent *agent, uint64_t session, uint64_t request, const char *code,
                   const char *message_text, const char *hint)
{
    struct problem problem;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    problem_init(&problem, agent, "", code);
    PROBLEM_SAY(problem.message, "%s", message_text);
    PROBLEM_SAY(problem.hint, "%s", hint);
    answer.request = request;
    answer.problem = &problem.wire;
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &answer;
    agent_send_to(agent, session, &message);
}

/* Who does not know the xid is not served worse than this process can. */
static uint64_t xid_of(const struct agent *agent, const struct gid *id)
{
    const struct heuristic *row = heuristic_of(agent, id);
    for (const struct list *node = agent->entries.next; node != &agent->entries;
         node = node->next) {
        const struct entry *entry = CONTAINER(node, struct entry, all);
        if (belongs(&entry->id, id) && !entry->strange)
            return entry->branch.xid;
    }
    return row ? row->xid : 0;
}

void inquiry_take(struct agent *agent, uint64_t session, const Wire__Query *query)
{
    struct gid id = {.branch = -1};
    gtrid_text gtrid = "";
    bool one = query->what == WIRE__WHAT__EVIDENCE;
    if (one && !evidence_read_id(agent, query->gtrid, &id)) {
        refuse(agent, session, query->request, "bad_request",
               "this is not the id of a transaction of this cluster",
               "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth tx list`");
        return;
    }
    if (agent->inquiry_count >= INQUIRIES_AT_ONCE) {
        refuse(agent, session, query->request, "busy", "too many ask for its database at once",
               "try again in a second");
        return;
    }
    if (one)
        gtrid_format(gtrid, agent->cluster, id.coordinator, id.tx);
    struct inquiry *inquiry = xcalloc(1, sizeof(*inquiry));
    inquiry->kind = TAG_INQUIRY;
    inquiry->session = session;
    inquiry->request = query->request;
    inquiry->id = id;
    inquiry->look = one                                   ? DB_LOOK_TRANSACTION
                    : query->what == WIRE__WHAT__PREPARED ? DB_LOOK_PREPARED
                                                          : DB_LOOK_SERVER;
    list_append(&agent->inquiries, &inquiry->all);
    agent->inquiry_count++;
    struct db_inspection inspection = {.look = inquiry->look,
                                       .gtrid = gtrid,
                                       .xid = !one              ? 0
                                              : query->xid != 0 ? query->xid
                                                                : xid_of(agent, &id)};
    agent->database.inspect(agent->database.self, &inspection, inquiry);
}

void inquiries_free(struct agent *agent)
{
    while (!list_empty(&agent->inquiries))
        inquiry_end(agent, CONTAINER(agent->inquiries.next, struct inquiry, all));
}
