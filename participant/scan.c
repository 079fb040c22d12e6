/* Recovery: what the database holds as prepared, and who must decide it.
 *
 * A scan runs when the database comes up, every sweep, and soon after a session with a
 * coordinator that is not the first or a connection that was lost in PREPARE TRANSACTION. It never
 * ends: a PREPARE can be carried out after the scan that looked for it. Gids of other clusters are
 * counted and never touched. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/planted.h"
#include "participant/agent_private.h"

enum {
    SOON_US = 500 * 1000,
    INQUIRE_BRANCHES = 500, /* at some 20 bytes each, far below a message's limit */
};

void scan_start(struct agent *agent)
{
    timers_clear(&agent->timers, &agent->sweep);
    if (!agent->database_up)
        return; /* coming up starts one */
    if (agent->scanning) {
        scan_soon(agent); /* scans never overlap */
        return;
    }
    agent->scanning = true;
    agent->scans++;
    agent->database.scan(agent->database.self, agent);
}

void scan_soon(struct agent *agent)
{
    uint64_t at = agent->host.now_us(agent->host.self) + SOON_US;
    if (agent->sweep.place == 0 || at < agent->sweep.at_us)
        timers_set(&agent->timers, &agent->sweep, at);
}

/* ---- the result of a scan ------------------------------------------------------------------ */

enum place {
    PLACE_NONE, /* of two phases, or prepared by somebody and never a site of its transaction */
    PLACE_OWN,
    PLACE_STRANGE,
};

/* Two participants may share a database: then each finds the other's branches too. A list that
 * can't be read is looked at when it is needed. */
static enum place place_of(const struct agent *agent, const struct db_prepared *prepared,
                           int branch)
{
    if (!prepared->registered)
        return PLACE_NONE;
    struct site_address list[SITES_MOST];
    char *text = xstrdup(prepared->sites ? prepared->sites : "");
    int count = sites_split(text, list);
    enum place place = PLACE_OWN;
    if (count > 0 && branch >= count)
        place = PLACE_NONE;
    else if (count > 0 && strcmp(list[branch].name, agent->participant) != 0)
        place = PLACE_STRANGE;
    free(text);
    return place;
}

static void note(struct agent *agent, const struct db_prepared *prepared)
{
    struct gid id;
    if (!gid_parse(prepared->gid, &id) || strcmp(id.cluster, agent->cluster) != 0) {
        agent->facts.foreign++;
        return;
    }
    agent->facts.prepared++;
    if (agent->facts.oldest_us == 0 || prepared->prepared_at_us < agent->facts.oldest_us)
        agent->facts.oldest_us = prepared->prepared_at_us;
    struct entry *entry = entry_find(agent, prepared->gid);
    if (!entry && !PLANTED(NO_SCAN)) {
        entry = entry_new(agent, &id, prepared->gid);
        entry->scan = agent->scans;
        host_log(&agent->host, LOG_INFO, "found prepared: %s", prepared->gid);
        entry_step(agent, entry,
                   &(struct branch_event){.kind = BRANCH_FOUND, .xid = prepared->xid});
        entry->doubt_us = prepared->prepared_at_us;
    }
    if (!entry)
        return;
    entry->seen = agent->scans;
    enum place place = place_of(agent, prepared, id.branch);
    entry->strange = place == PLACE_STRANGE;
    if (place == PLACE_OWN && (entry->site || !site_taken(agent, &id)))
        site_found(agent, entry, prepared);
}

/* Tells each branch that was in its state when the scan began whether it is prepared. */
static void spread(struct agent *agent)
{
    for (struct list *node = agent->entries.next, *next; node != &agent->entries; node = next) {
        next = node->next;
        struct entry *entry = CONTAINER(node, struct entry, all);
        if (entry->scan < agent->scans)
            entry_step(agent, entry,
                       &(struct branch_event){.kind = BRANCH_SCANNED,
                                              .present = entry->seen == agent->scans});
    }
}

/* The row of a commit of one phase is the only answer to its LOOKUP, however old it is: after a
 * long absence the questions come with the session, so they must have come from every coordinator,
 * and have been answered, before any row goes. */
static bool may_clean(const struct agent *agent)
{
    uint64_t now_us = agent->host.now_us(agent->host.self);
    for (int i = 0; i < agent->link_count; i++) {
        const struct link *link = &agent->links[i];
        if (!link->peer || now_us < link->quiet_since_us + agent->sweep_us)
            return false;
    }
    for (const struct list *node = agent->entries.next; node != &agent->entries;
         node = node->next) {
        const struct branch *branch = &CONTAINER(node, struct entry, all)->branch;
        if (branch->asked || branch->state == BRANCH_LOOKING)
            return false;
    }
    return true;
}

void scan_done(struct agent *agent, bool ok, const struct db_prepared *prepared, int count,
               int slots)
{
    CHECK(agent->scanning);
    agent->scanning = false;
    if (!ok) {
        scan_soon(agent);
        return;
    }
    agent->facts = (struct scan_facts){.known = true, .slots = (uint32_t)slots};
    for (int i = 0; i < count; i++)
        note(agent, &prepared[i]);
    heuristics_scanned(agent);
    spread(agent);
    for (int i = 0; i < agent->link_count; i++)
        scan_inquire(agent, &agent->links[i]);
    status_send_all(agent);
    if (may_clean(agent))
        agent->database.clean(agent->database.self, agent->barrier_keep_us);
    if (agent->sweep.place == 0)
        timers_set(&agent->timers, &agent->sweep,
                   agent->host.now_us(agent->host.self) + agent->sweep_us);
}

/* ---- asking -------------------------------------------------------------------------------- */

/* Its yes was given in this session: the decision comes in it, unasked. */
static bool will_be_told(const struct entry *entry, const struct link *link)
{
    return entry->session == link->session;
}

static bool must_ask(const struct entry *entry, const struct link *link)
{
    return entry->branch.state == BRANCH_IN_DOUBT && entry->branch.decision == BRANCH_UNDECIDED &&
           !will_be_told(entry, link) && strcmp(entry->id.coordinator, link->coordinator) == 0;
}

static void send_inquire(struct link *link, Wire__Branch *branches, uint64_t *xids, size_t count)
{
    Wire__Branch *pointers[INQUIRE_BRANCHES];
    for (size_t i = 0; i < count; i++)
        pointers[i] = &branches[i];
    Wire__Inquire inquire = WIRE__INQUIRE__INIT;
    inquire.branches = pointers;
    inquire.n_branches = count;
    inquire.xids = xids;
    inquire.n_xids = count;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_INQUIRE;
    message.inquire = &inquire;
    agent_send(link->agent, link, &message);
}

static void fill(Wire__Branch *branch, const struct entry *entry)
{
    wire__branch__init(branch);
    branch->epoch = entry->id.tx.epoch;
    branch->seq = entry->id.tx.seq;
    branch->branch = (uint32_t)entry->id.branch;
}

void scan_inquire_one(struct agent *agent, const struct entry *entry)
{
    struct link *link = agent_link(agent, entry->id.coordinator);
    if (!link)
        return; /* the next session begins with all that must be asked */
    Wire__Branch branch;
    uint64_t xid = entry->branch.xid;
    fill(&branch, entry);
    send_inquire(link, &branch, &xid, 1);
}

void scan_inquire(struct agent *agent, struct link *link)
{
    if (!link->peer || !agent->facts.known)
        return; /* the scan that is to come asks */
    Wire__Branch branches[INQUIRE_BRANCHES];
    uint64_t xids[INQUIRE_BRANCHES];
    size_t count = 0;
    for (struct list *node = agent->entries.next; node != &agent->entries; node = node->next) {
        const struct entry *entry = CONTAINER(node, struct entry, all);
        if (!must_ask(entry, link))
            continue;
        fill(&branches[count], entry);
        xids[count] = entry->branch.xid;
        if (++count == INQUIRE_BRANCHES) {
            send_inquire(link, branches, xids, count);
            count = 0;
        }
    }
    if (count > 0)
        send_inquire(link, branches, xids, count);
}

/* ---- status -------------------------------------------------------------------------------- */

/* No coordinator of this configuration has that name: nobody will ever judge its branches. That is
 * known once every link has had a session. */
static bool nobody_judges(const struct agent *agent, const char *coordinator)
{
    for (int i = 0; i < agent->link_count; i++) {
        const char *name = agent->links[i].coordinator;
        if (name[0] == '\0' || strcmp(name, coordinator) == 0)
            return false;
    }
    return true;
}

bool branch_is_held(const struct agent *agent, const struct entry *entry)
{
    return entry->branch.state == BRANCH_IN_DOUBT &&
           (entry->branch.held || nobody_judges(agent, entry->id.coordinator));
}

static size_t list_held(struct agent *agent, char **held)
{
    size_t count = 0;
    for (struct list *node = agent->entries.next; node != &agent->entries && count < STATUS_HELD;
         node = node->next) {
        struct entry *entry = CONTAINER(node, struct entry, all);
        if (branch_is_held(agent, entry))
            held[count++] = entry->gid;
    }
    return count;
}

static size_t list_operations(const struct operation_set *set, char **names)
{
    size_t count = 0, bytes = 0;
    for (int i = 0; i < set->count; i++) {
        bytes += strlen(set->operations[i].name) + 3;
        if (bytes > STATUS_OPERATION_BYTES)
            break;
        names[count++] = set->operations[i].name;
    }
    return count;
}

static void fill_offer(Wire__Offer *offer, const struct operation *operation)
{
    size_t count = (size_t)operation->parameter_count;
    wire__offer__init(offer);
    offer->operation = operation->name;
    offer->read_only = operation->read_only;
    offer->n_parameters = offer->n_types = count;
    offer->parameters = xcalloc(count + 1, sizeof(char *));
    offer->types = xcalloc(count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        offer->parameters[i] = operation->parameters[i].name;
        offer->types[i] = operation->parameters[i].type;
    }
}

static void offer_fini(Wire__Offer *offer)
{
    free(offer->parameters);
    free(offer->types);
}

/* One that does not fit is left out: it is offered by its name, without its parameters. */
static void list_offers(const struct operation_set *set, struct status *status)
{
    enum { HEADER_BYTES = 4 }; /* its tag and its length */
    size_t count = 0, bytes = 0;
    status->offers = xcalloc((size_t)set->count + 1, sizeof(*status->offers));
    status->wire.offers = xcalloc((size_t)set->count + 1, sizeof(*status->wire.offers));
    for (int i = 0; i < set->count; i++) {
        Wire__Offer *offer = &status->offers[count];
        fill_offer(offer, &set->operations[i]);
        size_t size = wire__offer__get_packed_size(offer) + HEADER_BYTES;
        if (bytes + size > STATUS_OFFER_BYTES) {
            offer_fini(offer);
            continue;
        }
        bytes += size;
        status->wire.offers[count++] = offer;
    }
    status->wire.n_offers = count;
}

void status_fill(struct agent *agent, struct status *status)
{
    Wire__Status *wire = &status->wire;
    wire__status__init(wire);
    wire->database_up = agent->database_up;
    wire->database_reason = agent->database_reason;
    wire->prepared = agent->facts.prepared;
    wire->prepared_foreign = agent->facts.foreign;
    wire->prepared_slots = agent->facts.slots;
    wire->oldest_prepared_us = agent->facts.oldest_us;
    wire->n_held = list_held(agent, status->held);
    wire->held = status->held;
    wire->operations = xcalloc((size_t)agent->operations->count + 1, sizeof(char *));
    wire->n_operations = list_operations(agent->operations, wire->operations);
    list_offers(agent->operations, status);
    wire->listen = agent->unlistened ? (char *)"" : agent->listen;
    wire->terminating = agent->terminating;
    wire->minority = agent->minority;
    wire->database = agent->database_identity;
}

void status_fini(struct status *status)
{
    for (size_t i = 0; i < status->wire.n_offers; i++)
        offer_fini(&status->offers[i]);
    free(status->offers);
    free(status->wire.offers);
    free(status->wire.operations);
}

void status_send(struct agent *agent, struct link *link)
{
    if (!link->peer)
        return;
    struct status status;
    status_fill(agent, &status);
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &status.wire;
    agent_send(agent, link, &message);
    status_fini(&status);
}

void status_send_all(struct agent *agent)
{
    for (int i = 0; i < agent->link_count; i++)
        status_send(agent, &agent->links[i]);
}

void status_tell_soon(struct agent *agent)
{
    uint64_t at_us = agent->host.now_us(agent->host.self), next_us = agent->told_us + SOON_US;
    if (agent->tell.place == 0)
        timers_set(&agent->timers, &agent->tell, at_us > next_us ? at_us : next_us);
}
