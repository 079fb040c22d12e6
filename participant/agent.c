/* The agent's life, its branches in memory and its sessions. messages.c takes in what comes in
 * them, act.c carries out what follows, scan.c recovers. */
#include "participant/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/crash.h"
#include "core/limits.h"
#include "participant/agent_private.h"

/* ---- entries ------------------------------------------------------------------------------- */

static bool gid_matches(const struct map_node *node, const void *key)
{
    return strcmp(CONTAINER(node, struct entry, node)->gid, key) == 0;
}

struct entry *entry_find(struct agent *agent, const char *gid)
{
    struct map_node *node =
        map_find(&agent->by_gid, hash_bytes(gid, strlen(gid)), gid_matches, gid);
    return node ? CONTAINER(node, struct entry, node) : NULL;
}

struct entry *entry_new(struct agent *agent, const struct gid *id, const char *gid)
{
    struct entry *entry = xcalloc(1, sizeof(*entry));
    entry->id = *id;
    snprintf(entry->gid, sizeof(entry->gid), "%s", gid);
    list_init(&entry->queued);
    list_append(&agent->entries, &entry->all);
    map_insert(&agent->by_gid, &entry->node, hash_bytes(gid, strlen(gid)));
    return entry;
}

struct link *agent_link(struct agent *agent, const char *coordinator)
{
    for (int i = 0; i < agent->link_count; i++) {
        struct link *link = &agent->links[i];
        if (link->peer && strcmp(link->coordinator, coordinator) == 0)
            return link;
    }
    return NULL;
}

bool agent_send_to(struct agent *agent, uint64_t session, const Wire__Message *message)
{
    if (session == 0)
        return false;
    for (int i = 0; i < agent->link_count; i++) {
        if (agent->links[i].peer && agent->links[i].session == session)
            return peer_send(agent->links[i].peer, message, true);
    }
    struct guest *guest = door_guest(agent, session);
    /* A stranger who asks and does not read is answered no more. */
    return guest && peer_send(guest->peer, message, false);
}

uint32_t agent_random(const struct agent *agent)
{
    uint32_t random;
    agent->host.random(agent->host.self, &random, sizeof(random));
    return random;
}

void agent_send(struct agent *agent, struct link *link, const Wire__Message *message)
{
    if (!peer_send(link->peer, message, true))
        host_log(&agent->host, LOG_ERROR, "a message of %zu bytes is too large and was not sent",
                 protobuf_c_message_get_packed_size(&message->base));
}

/* ---- sessions ------------------------------------------------------------------------------ */

/* A session here would push out another one of this process there, as if a newer process had taken
 * over its name. */
static bool link_admit(void *self, const Wire__Hello *hello, struct error *error)
{
    const struct link *link = self;
    if (hello->role == WIRE__ROLE__PARTICIPANT) {
        error_set(error, ERROR_REFUSED, "participant %s is where a coordinator was to be",
                  hello->name);
        return error_hint(error, "compare `coordinators` with its `listen`");
    }
    if (agent_link(link->agent, hello->name)) {
        error_set(error, ERROR_REFUSED, "coordinator %s is at two addresses", hello->name);
        return error_hint(error, "each coordinator has a name of its own, and stands once in "
                                 "`coordinators`");
    }
    return true;
}

static void on_up(void *self, struct peer *peer)
{
    struct link *link = self;
    struct agent *agent = link->agent;
    if (!name_valid(peer_name(peer))) {
        host_log(&agent->host, LOG_ERROR, "a coordinator has an impossible name; a name is %s",
                 name_rule);
        peer_close(peer, "a coordinator's name is not valid");
        return;
    }
    /* What clients have joined, and perhaps prepared, may have been aborted meanwhile: who was not
     * there to hear it is not told again, and a process that is gone has forgotten it. */
    if (link->epoch != 0)
        scan_soon(agent);
    link->epoch = peer_boot(peer);
    link->peer = peer;
    link->session = ++agent->sessions;
    link->quiet_since_us = agent->host.now_us(agent->host.self);
    link->refused[0] = '\0';
    snprintf(link->coordinator, sizeof(link->coordinator), "%s", peer_name(peer));
    host_log(&agent->host, LOG_INFO, "connected to coordinator %s (epoch %" PRIu64 ")",
             link->coordinator, peer_boot(peer));
    status_send(agent, link);
    hazards_tell(agent, link);
    heuristics_tell(agent, link);
    scan_inquire(agent, link);
    termination_link_up(agent, link);
}

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

void agent_note_replaced(struct agent *agent, const char *reason)
{
    agent->replaced = agent->replaced || begins_with(reason, TRANSPORT_REPLACED);
}

static void on_down(void *self, struct peer *peer, const char *reason)
{
    struct link *link = self;
    struct agent *agent = link->agent;
    if (link->peer != peer)
        return;
    uint64_t session = link->session;
    link->peer = NULL;
    link->session = 0;
    host_log(&agent->host, LOG_WARNING, "lost coordinator %s: %s", link->coordinator, reason);
    agent_note_replaced(agent, reason);
    for (struct list *node = agent->entries.next, *next; node != &agent->entries; node = next) {
        next = node->next;
        struct entry *entry = CONTAINER(node, struct entry, all);
        if (entry->session != session)
            continue;
        entry->session = 0;
        entry_event(agent, entry, BRANCH_SESSION_LOST);
    }
    tasks_session_lost(agent, session);
    termination_link_down(agent, link);
}

static void on_refused(void *self, const char *reason, const char *hint)
{
    struct link *link = self;
    agent_note_replaced(link->agent, reason);
    if (strncmp(link->refused, reason, sizeof(link->refused) - 1) == 0)
        return; /* it goes on trying; once is enough to read */
    snprintf(link->refused, sizeof(link->refused), "%s", reason);
    host_log(&link->agent->host, LOG_ERROR, "no session with a coordinator: %s%s%s", reason,
             hint[0] ? "; " : "", hint);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void link_init(struct agent *agent, struct link *link, const struct agent_config *config,
                      const struct link_port *port)
{
    struct transport_config session = {
        .cluster = config->cluster,
        .name = config->participant,
        .role = WIRE__ROLE__PARTICIPANT,
        .heartbeat_us = config->heartbeat_us,
        .frame_bytes = LIMIT_AGENT_FRAME_BYTES,
    };
    struct transport_events events = {.self = link,
                                      .admit = link_admit,
                                      .up = on_up,
                                      .message = agent_message,
                                      .down = on_down,
                                      .refused = on_refused};
    link->agent = agent;
    link->transport = transport_new(&session, &agent->host, port, &events);
}

struct agent *agent_new(const struct agent_config *config, const struct host_port *host,
                        const struct db_port *database, const struct link_port *links,
                        int link_count, const struct link_port *door, const struct dial_port *dial)
{
    CHECK(config->connections > 0 && link_count > 0);
    CHECK(!door == !dial && (!door || (config->listen && config->patience_us > 0)));
    struct agent *agent = xcalloc(1, sizeof(*agent));
    agent->cluster = xstrdup(config->cluster);
    agent->participant = xstrdup(config->participant);
    agent->audit = config->audit;
    agent->operations = config->operations;
    agent->connections = config->connections;
    agent->sweep_us = config->sweep_us;
    agent->barrier_keep_us = config->barrier_keep_us;
    agent->listen = xstrdup(door ? config->listen : "");
    agent->heartbeat_us = config->heartbeat_us;
    agent->patience_us = config->patience_us;
    agent->host = *host;
    agent->started_us = host->wall_us(host->self);
    agent->database = *database;
    list_init(&agent->entries);
    list_init(&agent->queue);
    list_init(&agent->open_queue);
    list_init(&agent->untold);
    list_init(&agent->all_sites);
    list_init(&agent->touched);
    list_init(&agent->rounds);
    list_init(&agent->round_queue);
    list_init(&agent->orders);
    list_init(&agent->inquiries);
    heuristics_init(agent);
    agent_tasks_init(agent);
    agent_listen(agent);
    agent->links = xcalloc((size_t)link_count, sizeof(*agent->links));
    agent->link_count = link_count;
    for (int i = 0; i < link_count; i++)
        link_init(agent, &agent->links[i], config, &links[i]);
    if (door) {
        agent->dial = *dial;
        agent->dials = true;
        door_open(agent, config, door);
    }
    return agent;
}

void agent_free(struct agent *agent)
{
    if (!agent)
        return;
    while (!list_empty(&agent->entries)) {
        struct entry *entry = CONTAINER(agent->entries.next, struct entry, all);
        list_remove(&entry->all);
        work_free(entry->work);
        free(entry);
    }
    while (!list_empty(&agent->untold)) {
        struct list *first = agent->untold.next;
        list_remove(first);
        free(CONTAINER(first, struct untold_hazard, all));
    }
    orders_free(agent);
    heuristics_free(agent);
    inquiries_free(agent);
    tasks_free(agent);
    sites_free(agent);
    neighbours_free(agent);
    for (int i = 0; i < agent->link_count; i++)
        transport_free(agent->links[i].transport);
    map_fini(&agent->by_gid);
    timers_fini(&agent->timers);
    free(agent->links);
    free(agent->cluster);
    free(agent->participant);
    free(agent->listen);
    free(agent);
}

const struct db_events *agent_db_events(struct agent *agent)
{
    return &agent->events;
}

void agent_frame(struct agent *agent, int link, const void *frame, size_t size)
{
    CHECK(link >= 0 && link < agent->link_count);
    transport_frame(agent->links[link].transport, 0, frame, size);
}

void agent_broken(struct agent *agent, int link)
{
    CHECK(link >= 0 && link < agent->link_count);
    transport_broken(agent->links[link].transport);
}

void agent_door_frame(struct agent *agent, uint64_t route, const void *frame, size_t size)
{
    CHECK(agent->door != NULL);
    transport_frame(agent->door, route, frame, size);
}

void agent_door_listens(struct agent *agent, bool listens)
{
    if (agent->unlistened == !listens)
        return;
    agent->unlistened = !listens;
    status_send_all(agent);
}

/* A line that was hung up may have had frames on their way. */
void agent_line_frame(struct agent *agent, int line, const void *frame, size_t size)
{
    CHECK(line >= 0 && line < LIMIT_LINES);
    if (agent->lines[line])
        transport_frame(agent->lines[line]->transport, 0, frame, size);
}

void agent_line_broken(struct agent *agent, int line)
{
    CHECK(line >= 0 && line < LIMIT_LINES);
    if (agent->lines[line])
        transport_broken(agent->lines[line]->transport);
}

static void run_due(struct agent *agent)
{
    uint64_t now = agent->host.now_us(agent->host.self);
    for (struct timer *timer; (timer = timers_due(&agent->timers, now)) != NULL;) {
        if (timer == &agent->sweep) {
            scan_start(agent);
            continue;
        }
        if (timer == &agent->heuristics.retry) {
            heuristics_load(agent);
            continue;
        }
        if (timer == &agent->tell) {
            agent->told_us = now;
            status_send_all(agent);
            continue;
        }
        struct entry *entry = CONTAINER(timer, struct entry, timer);
        entry_event(agent, entry, entry->branch.retrying ? BRANCH_RETRY_DUE : BRANCH_DEADLINE);
    }
}

uint64_t agent_settle(struct agent *agent)
{
    run_due(agent);
    tasks_run_due(agent);
    sites_settle(agent);
    hazards_forget(agent);
    uint64_t next = neighbours_settle(agent);
    for (int i = 0; i < agent->link_count; i++) {
        uint64_t at = transport_settle(agent->links[i].transport);
        next = at < next ? at : next;
    }
    /* A crash here: what was queued is on its way, or lost with this process where the link is
     * full. The coordinator has it, or the session's end undoes it. */
    CRASH_POINT("participant.settled");
    const struct timers *timers[] = {&agent->timers, &agent->task_timers, &agent->retries,
                                     &agent->turns};
    for (int i = 0; i < 4; i++) {
        uint64_t at = timers_next(timers[i]);
        next = at < next ? at : next;
    }
    return next;
}

void agent_drain(struct agent *agent)
{
    if (!agent->draining) {
        agent->draining = true;
        open_drain(agent);
    }
}

/* Something is with the database whose answer should still be told. */
static bool is_busy(const struct branch *branch)
{
    switch (branch->state) {
    case BRANCH_QUEUED:
    case BRANCH_WORKING:
    case BRANCH_OPEN: /* its coordinator ends it, or the deadline */
    case BRANCH_CLOSING:
    case BRANCH_ADOPTING:
    case BRANCH_ACCEPTING:
        return true;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
    case BRANCH_LOOKING:
        return !branch->retrying;
    default:
        return false;
    }
}

bool agent_drained(const struct agent *agent)
{
    if (!list_empty(&agent->errands) || !orders_idle(agent))
        return false;
    for (const struct list *node = agent->entries.next; node != &agent->entries;
         node = node->next) {
        if (is_busy(&CONTAINER(node, struct entry, all)->branch))
            return false;
    }
    for (const struct list *node = agent->all_sites.next; node != &agent->all_sites;
         node = node->next) {
        if (CONTAINER(node, struct site, all)->request != SITE_IDLE)
            return false;
    }
    for (int i = 0; i < agent->link_count; i++) {
        if (agent->links[i].peer && !peer_idle(agent->links[i].peer))
            return false;
    }
    return neighbours_idle(agent);
}

void agent_leave(struct agent *agent)
{
    for (int i = 0; i < agent->link_count; i++) {
        if (agent->links[i].peer)
            peer_close(agent->links[i].peer, "the participant was stopped");
    }
    neighbours_leave(agent);
}

const char *agent_unready(const struct agent *agent)
{
    bool connected = false;
    if (agent->draining)
        return "draining: it is being stopped";
    for (int i = 0; i < agent->link_count; i++)
        connected = connected || agent->links[i].peer;
    if (!agent->database_up)
        return agent->database_reason[0] ? agent->database_reason
                                         : "no connection to the database was made yet";
    return connected ? NULL : "no coordinator has a session with it";
}

bool agent_ready(const struct agent *agent)
{
    bool connected = false;
    for (int i = 0; i < agent->link_count; i++)
        connected = connected || agent->links[i].peer;
    return connected && agent->database_up;
}

bool agent_in_session(const struct agent *agent, const char *coordinator)
{
    return agent_link((struct agent *)agent, coordinator) != NULL; /* which is only looked at */
}

bool agent_replaced(const struct agent *agent)
{
    return agent->replaced;
}
