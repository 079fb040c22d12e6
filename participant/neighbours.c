/* Other participants: the door at which they and those who look come in, and the lines on which
 * this one asks them. Questions go out on lines and come in at the door, always. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "participant/agent_private.h"

enum {
    IDLE_US = 30 * 1000 * 1000,
    BUSY_US = 2 * 1000 * 1000, /* wanted within this time: not hung up for another */
    COMPLAIN_US = 60 * 1000 * 1000,
};

static uint64_t now(const struct agent *agent)
{
    return agent->host.now_us(agent->host.self);
}

/* ---- the door ------------------------------------------------------------------------------ */

static bool session_matches(const struct map_node *node, const void *key)
{
    return CONTAINER(node, struct guest, node)->session == *(const uint64_t *)key;
}

struct guest *door_guest(const struct agent *agent, uint64_t session)
{
    struct map_node *node = map_find(&agent->guests, hash_u64(session), session_matches, &session);
    return node ? CONTAINER(node, struct guest, node) : NULL;
}

/* The transport has looked at the cluster and the name. */
static bool door_admit(void *self, const Wire__Hello *hello, struct error *error)
{
    const struct agent *agent = self;
    if (hello->role != WIRE__ROLE__PARTICIPANT || strcmp(hello->name, agent->participant) != 0)
        return true;
    error_set(error, ERROR_REFUSED, "this is participant %s itself", agent->participant);
    return error_hint(error, "two participants of a transaction have one name or one `listen`");
}

static void door_up(void *self, struct peer *peer)
{
    struct agent *agent = self;
    struct guest *guest = xcalloc(1, sizeof(*guest));
    guest->agent = agent;
    guest->peer = peer;
    guest->session = ++agent->sessions;
    map_insert(&agent->guests, &guest->node, hash_u64(guest->session));
    peer_attach(peer, guest);
    host_log(&agent->host, LOG_DEBUG, "%s came in", peer_name(peer));
}

static void door_down(void *self, struct peer *peer, const char *reason)
{
    struct agent *agent = self;
    struct guest *guest = peer_attached(peer);
    host_log(&agent->host, LOG_DEBUG, "%s is gone: %s", peer_name(peer), reason);
    map_remove(&agent->guests, &guest->node);
    free(guest);
}

static void door_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct agent *agent = self;
    const struct guest *guest = peer_attached(peer);
    bool participant = peer_role(peer) == WIRE__ROLE__PARTICIPANT;
    bool orders = !participant && peer_role(peer) != WIRE__ROLE__OBSERVER;
    if (message->body_case == WIRE__MESSAGE__BODY_QUERY)
        view_answer(agent, guest, message->query);
    else if (orders && message->body_case == WIRE__MESSAGE__BODY_TX_ORDER)
        order_take(agent, NULL, guest, message->tx_order);
    else if (participant && message->body_case == WIRE__MESSAGE__BODY_ASK)
        site_ask(agent, peer_name(peer), false, guest->session, message->ask);
    else if (participant && message->body_case == WIRE__MESSAGE__BODY_DECIDED)
        site_hear_decided(agent, peer_name(peer), message->decided);
    else
        host_log(&agent->host, LOG_WARNING,
                 "%s sent a message that is not for a participant's door (%d); it is ignored",
                 peer_name(peer), (int)message->body_case);
}

void door_open(struct agent *agent, const struct agent_config *config, const struct link_port *link)
{
    struct transport_config door = {
        .acceptor = true,
        .cluster = config->cluster,
        .name = config->participant,
        .role = WIRE__ROLE__PARTICIPANT,
        .heartbeat_us = config->heartbeat_us,
        .frame_bytes = LIMIT_AGENT_FRAME_BYTES,
    };
    struct transport_events events = {.self = agent,
                                      .admit = door_admit,
                                      .up = door_up,
                                      .message = door_message,
                                      .down = door_down};
    uint64_t run; /* a coordinator's epoch tells its runs apart, and so does this */
    agent->host.random(agent->host.self, &run, sizeof(run));
    agent->door = transport_new(&door, &agent->host, link, &events);
    transport_open(agent->door, run);
}

/* ---- lines --------------------------------------------------------------------------------- */

static bool belongs_to(const struct line *line, const char *name)
{
    return line->peer && peer_role(line->peer) == WIRE__ROLE__PARTICIPANT &&
           strcmp(peer_name(line->peer), name) == 0;
}

/* A session here would push out the one that this process has there already, with a coordinator or
 * on the line to another address of the same participant, as if another process had taken over. */
static bool line_admit(void *self, const Wire__Hello *hello, struct error *error)
{
    const struct line *line = self;
    if (hello->role != WIRE__ROLE__PARTICIPANT) {
        error_set(error, ERROR_REFUSED, "coordinator %s is there", hello->name);
        return error_hint(error, "a participant's `listen` is an address of its own");
    }
    for (int i = 0; i < LIMIT_LINES; i++) {
        const struct line *other = line->agent->lines[i];
        if (other && other != line && belongs_to(other, hello->name))
            return error_set(error, ERROR_REFUSED, "participant %s is there, and at %s as well",
                             hello->name, other->address);
    }
    return true;
}

static void line_up(void *self, struct peer *peer)
{
    struct line *line = self;
    line->peer = peer;
    line->refused[0] = '\0';
    host_log(&line->agent->host, LOG_DEBUG, "connected to participant %s at %s", peer_name(peer),
             line->address);
    termination_line_up(line->agent, peer_name(peer));
}

static void line_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct line *line = self;
    struct agent *agent = line->agent;
    if (message->body_case == WIRE__MESSAGE__BODY_REPLY)
        termination_reply(agent, peer_name(peer), NULL, message->reply);
    else
        host_log(&agent->host, LOG_WARNING,
                 "participant %s sent a message that answers nothing (%d); it is ignored",
                 peer_name(peer), (int)message->body_case);
}

static void line_down(void *self, struct peer *peer, const char *reason)
{
    struct line *line = self;
    host_log(&line->agent->host, LOG_DEBUG, "lost participant %s at %s: %s", peer_name(peer),
             line->address, reason);
    line->peer = NULL;
    line->alone_us = now(line->agent);
    agent_note_replaced(line->agent, reason);
}

static void line_refused(void *self, const char *reason, const char *hint)
{
    struct line *line = self;
    agent_note_replaced(line->agent, reason);
    if (strncmp(line->refused, reason, sizeof(line->refused) - 1) == 0)
        return; /* it goes on trying; once is enough to read */
    snprintf(line->refused, sizeof(line->refused), "%s", reason);
    host_log(&line->agent->host, LOG_ERROR, "no session with a participant at %s: %s%s%s",
             line->address, reason, hint[0] ? "; " : "", hint);
}

static void hang_up(struct agent *agent, int index)
{
    struct line *line = agent->lines[index];
    agent->lines[index] = NULL;
    if (line->peer)
        peer_close(line->peer, "nothing more is asked");
    transport_free(line->transport);
    agent->dial.hang_up(agent->dial.self, index);
    free(line);
}

/* A place for one more, or -1: the end of the turn makes one. */
static int place_for_line(struct agent *agent)
{
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (!agent->lines[i])
            return i;
    }
    agent->crowded = true;
    return -1;
}

static void complain(struct agent *agent, const char *address)
{
    uint64_t now_us = now(agent);
    if (now_us < agent->complained_us + COMPLAIN_US)
        return;
    agent->complained_us = now_us;
    host_log(&agent->host, LOG_ERROR,
             "a register names \"%s\" as a participant's address: it is none", address);
}

static struct line *line_dial(struct agent *agent, const char *address)
{
    struct link_port link;
    int index = agent->dials && !agent->draining ? place_for_line(agent) : -1;
    if (index < 0)
        return NULL;
    if (!agent->dial.dial(agent->dial.self, index, address, &link)) {
        complain(agent, address);
        return NULL;
    }
    struct line *line = xcalloc(1, sizeof(*line));
    line->agent = agent;
    line->index = index;
    line->alone_us = now(agent);
    snprintf(line->address, sizeof(line->address), "%s", address);
    struct transport_config session = {
        .cluster = agent->cluster,
        .name = agent->participant,
        .role = WIRE__ROLE__PARTICIPANT,
        .heartbeat_us = agent->heartbeat_us,
        .frame_bytes = LIMIT_AGENT_FRAME_BYTES,
    };
    struct transport_events events = {.self = line,
                                      .admit = line_admit,
                                      .up = line_up,
                                      .message = line_message,
                                      .down = line_down,
                                      .refused = line_refused};
    line->transport = transport_new(&session, &agent->host, &link, &events);
    agent->lines[index] = line;
    return line;
}

static struct line *line_find(const struct agent *agent, const char *address)
{
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (agent->lines[i] && strcmp(agent->lines[i]->address, address) == 0)
            return agent->lines[i];
    }
    return NULL;
}

/* Where there is a session with it, whatever the row calls the place. */
static struct line *line_to(const struct agent *agent, const char *name, const char *address)
{
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (agent->lines[i] && belongs_to(agent->lines[i], name))
            return agent->lines[i];
    }
    return line_find(agent, address);
}

/* The address is what a row says; who is there now is told by the session. */
static bool is_there(struct line *line, const char *name)
{
    if (!line->peer)
        return false;
    if (belongs_to(line, name))
        return true;
    if (!line->strange)
        host_log(&line->agent->host, LOG_ERROR,
                 "participant %s was to be at %s, but participant %s is there: it is not asked",
                 name, line->address, peer_name(line->peer));
    line->strange = true;
    return false;
}

bool line_send(struct agent *agent, const char *name, const char *address,
               const Wire__Message *message)
{
    struct line *line = line_to(agent, name, address);
    if (!line)
        line = line_dial(agent, address);
    if (!line)
        return false;
    line->used_us = now(agent);
    return is_there(line, name) && peer_send(line->peer, message, true);
}

bool line_tell(struct agent *agent, const char *name, const char *address,
               const Wire__Message *message)
{
    struct line *line = line_to(agent, name, address);
    return line && is_there(line, name) && peer_send(line->peer, message, true);
}

bool line_reaches(const struct agent *agent, const char *name, const char *address)
{
    const struct line *line = line_to(agent, name, address);
    return line && belongs_to(line, name);
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool has_served(const struct line *line, uint64_t now_us)
{
    return now_us >= line->used_us + IDLE_US;
}

/* Nobody is there, though there was time to answer. */
static bool is_dead(const struct line *line, uint64_t now_us)
{
    return !line->peer && now_us >= line->alone_us + BUSY_US;
}

/* Does this one go rather than that? Addresses at which nobody is take turns, however often they
 * are wanted: those who are there must not wait behind them. */
static bool goes_before(const struct line *line, const struct line *than, uint64_t now_us)
{
    if (is_dead(line, now_us) != is_dead(than, now_us))
        return is_dead(line, now_us);
    return is_dead(line, now_us) ? line->alone_us < than->alone_us : line->used_us < than->used_us;
}

static void make_place(struct agent *agent, uint64_t now_us)
{
    int first = 0;
    agent->crowded = false;
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (!agent->lines[i])
            return;
        if (goes_before(agent->lines[i], agent->lines[first], now_us))
            first = i;
    }
    const struct line *line = agent->lines[first];
    if (is_dead(line, now_us) || now_us >= line->used_us + BUSY_US)
        hang_up(agent, first);
}

uint64_t neighbours_settle(struct agent *agent)
{
    uint64_t now_us = now(agent), next = UINT64_MAX;
    if (agent->crowded)
        make_place(agent, now_us);
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (agent->lines[i] && has_served(agent->lines[i], now_us))
            hang_up(agent, i);
        if (!agent->lines[i])
            continue;
        uint64_t at = transport_settle(agent->lines[i]->transport);
        uint64_t idle = agent->lines[i]->used_us + IDLE_US;
        at = idle < at ? idle : at;
        next = at < next ? at : next;
    }
    uint64_t at = agent->door ? transport_settle(agent->door) : UINT64_MAX;
    return at < next ? at : next;
}

bool neighbours_idle(const struct agent *agent)
{
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (agent->lines[i] && agent->lines[i]->peer && !peer_idle(agent->lines[i]->peer))
            return false;
    }
    for (const struct map_node *node = NULL; (node = map_next(&agent->guests, node)) != NULL;) {
        if (!peer_idle(CONTAINER(node, struct guest, node)->peer))
            return false;
    }
    return true;
}

void neighbours_leave(struct agent *agent)
{
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (agent->lines[i] && agent->lines[i]->peer)
            peer_close(agent->lines[i]->peer, "the participant was stopped");
    }
    for (struct peer *peer; agent->door && (peer = transport_next_peer(agent->door, NULL));)
        peer_close(peer, "the participant was stopped");
}

void neighbours_free(struct agent *agent)
{
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (agent->lines[i])
            transport_free(agent->lines[i]->transport);
        free(agent->lines[i]);
    }
    for (struct map_node *node = map_next(&agent->guests, NULL), *next; node; node = next) {
        next = map_next(&agent->guests, node);
        free(CONTAINER(node, struct guest, node));
    }
    map_fini(&agent->guests);
    transport_free(agent->door);
}
