/* The runner's life, its sessions and its time. */
#include "coordinator/server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"

enum {
    /* How often old keys and retained commits are looked through. */
    HOUSEKEEPING_US = 10 * 1000 * 1000,
    /* A record unpacked: a key's results and 64 branches. */
    ARENA_BYTES = 128 * 1024,
};

uint8_t *server_scratch(struct server *server, size_t size)
{
    if (size > server->scratch_room) {
        server->scratch_room = 2 * size;
        free(server->scratch);
        server->scratch = xmalloc(server->scratch_room);
    }
    return server->scratch;
}

static bool match(const struct map_node *node, const void *id)
{
    return txid_equal(CONTAINER(node, struct tx, node)->id, *(const struct txid *)id);
}

struct tx *server_find(const struct server *server, struct txid id)
{
    struct map_node *node = map_find(&server->live, txid_hash(id), match, &id);
    return node ? CONTAINER(node, struct tx, node) : NULL;
}

struct tx *server_remember(const struct server *server, struct txid id)
{
    struct tx *live = server_find(server, id), *old = NULL;
    if (!live || live->hazard_only)
        old = history_find(&server->history, id);
    return old ? old : live;
}

bool server_is_ours(const struct server *server, const struct gid *id)
{
    return strcmp(id->cluster, server->cluster) == 0 &&
           strcmp(id->coordinator, server->coordinator) == 0;
}

/* ---- sessions ---- */

static bool admit(void *self, const Wire__Hello *hello, struct error *error)
{
    struct server *server = self;
    bool any_cluster = hello->role != WIRE__ROLE__PARTICIPANT && hello->cluster[0] == '\0';
    if (!any_cluster && strcmp(hello->cluster, server->cluster) != 0) {
        error_set(error, ERROR_REFUSED, "this coordinator is of cluster %s, not %.64s",
                  server->cluster, hello->cluster);
        return error_hint(error, "set `cluster`, or the address of another coordinator");
    }
    if (!name_valid(hello->name)) {
        error_set(error, ERROR_REFUSED, "'%.64s' is not a name", hello->name);
        return error_hint(error, "a name is %s", name_rule);
    }
    if (hello->role != WIRE__ROLE__PARTICIPANT)
        return true;
    if (!participants_find(&server->participants, hello->name) &&
        server->participants.map.count >= LIMIT_PEERS)
        return error_set(error, ERROR_BUSY, "the coordinator has met %d participants, its limit",
                         LIMIT_PEERS);
    return true;
}

static void up(void *self, struct peer *peer)
{
    struct server *server = self;
    struct guest *guest = xcalloc(1, sizeof(*guest));
    guest->peer = peer;
    list_init(&guest->waiters);
    list_init(&guest->saga_waiters);
    list_init(&guest->callers);
    list_init(&guest->opens);
    list_init(&guest->performs);
    peer_attach(peer, guest);
    if (peer_role(peer) != WIRE__ROLE__PARTICIPANT)
        return;
    struct participant *participant = participants_meet(&server->participants, peer_name(peer));
    if (!participant) {
        peer_close(peer, "the coordinator has met as many participants as it can");
        return;
    }
    if (participant->peer) {
        bool same_process = peer_boot(participant->peer) == peer_boot(peer);
        peer_close(participant->peer, same_process ? "a newer session of the same process began"
                                                   : "replaced by another process of this name");
    }
    guest->participant = participant;
    server_participant_up(server, participant, peer);
}

static void down(void *self, struct peer *peer, const char *reason)
{
    struct server *server = self;
    struct guest *guest = peer_attached(peer);
    if (!guest)
        return;
    peer_attach(peer, NULL);
    while (!list_empty(&guest->waiters))
        server_stop_waiting(server, CONTAINER(guest->waiters.next, struct waiter, in_guest));
    opens_guest_gone(server, guest);
    sagas_guest_gone(server, guest);
    callers_guest_gone(guest);
    struct participant *participant = guest->participant;
    if (participant && participant->peer == peer) {
        host_log(&server->host, LOG_WARNING, "participant %s is gone: %s", participant->name,
                 reason);
        server_participant_down(server, participant);
        inquiries_participant_down(server, participant);
    }
    free(guest);
}

/* Everything that changes something. False: it is no such message. */
static bool work_of_client(struct server *server, struct guest *guest, const Wire__Message *message)
{
    switch (message->body_case) {
    case WIRE__MESSAGE__BODY_SUBMIT:
        server_submit(server, guest, message->submit);
        return true;
    case WIRE__MESSAGE__BODY_BEGIN:
        server_begin(server, guest, message->begin);
        return true;
    case WIRE__MESSAGE__BODY_PERFORM:
        server_perform(server, guest, message->perform);
        return true;
    case WIRE__MESSAGE__BODY_JOIN:
        server_join_branch(server, guest, message->join);
        return true;
    case WIRE__MESSAGE__BODY_HAND_OVER:
        server_hand_over(server, guest, message->hand_over);
        return true;
    case WIRE__MESSAGE__BODY_END:
        server_end(server, guest, message->end);
        return true;
    case WIRE__MESSAGE__BODY_TX_ORDER:
        server_tx_order(server, guest, message->tx_order);
        return true;
    case WIRE__MESSAGE__BODY_START_SAGA:
        server_start_saga(server, guest, message->start_saga);
        return true;
    case WIRE__MESSAGE__BODY_AWAIT_SAGA:
        server_await_saga(server, guest, message->await_saga);
        return true;
    case WIRE__MESSAGE__BODY_SAGA_ORDER:
        server_order_saga(server, guest, message->saga_order);
        return true;
    default:
        return false;
    }
}

static void message_of_client(struct server *server, struct guest *guest,
                              const Wire__Message *message)
{
    bool observer = peer_role(guest->peer) == WIRE__ROLE__OBSERVER;
    /* Each message is answered, so that who goes on asking and takes no answer fills our memory. */
    if (peer_queued_bytes(guest->peer) > LIMIT_QUEUE_BYTES)
        peer_close(guest->peer, "too many answers wait for this client to take them");
    else if (message->body_case == WIRE__MESSAGE__BODY_QUERY)
        server_query(server, guest, message->query);
    else if (observer || !work_of_client(server, guest, message))
        peer_close(guest->peer, "a message that a client of this role may not send");
}

static bool all_there(Wire__Branch *const *branches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!branches[i])
            return false;
    }
    return true;
}

static void message_of_participant(struct server *server, struct guest *guest,
                                   const Wire__Message *message)
{
    switch (message->body_case) {
    case WIRE__MESSAGE__BODY_VOTE:
        if (!message->vote->branch)
            break;
        server_voted(server, guest, message->vote);
        return;
    case WIRE__MESSAGE__BODY_WORKED:
        if (!message->worked->branch)
            break;
        server_worked(server, guest, message->worked);
        return;
    case WIRE__MESSAGE__BODY_FINISHED:
        if (!message->finished->branch)
            break;
        server_finished(server, guest, message->finished);
        return;
    case WIRE__MESSAGE__BODY_FOUND:
        if (!message->found->branch)
            break;
        server_found(server, guest, message->found);
        return;
    case WIRE__MESSAGE__BODY_INQUIRE:
        if (!all_there(message->inquire->branches, message->inquire->n_branches))
            break;
        server_inquired(server, guest, message->inquire);
        return;
    case WIRE__MESSAGE__BODY_ASK:
        server_asked(server, guest, message->ask);
        return;
    case WIRE__MESSAGE__BODY_REPLY:
        server_replied(server, guest, message->reply);
        return;
    case WIRE__MESSAGE__BODY_DECIDED:
        server_told(server, guest, message->decided);
        return;
    case WIRE__MESSAGE__BODY_STATUS:
        participant_report(guest->participant, message->status);
        groups_again(server);
        return;
    case WIRE__MESSAGE__BODY_EXECUTED:
        if (!message->executed->task)
            break;
        server_executed(server, guest, message->executed);
        return;
    case WIRE__MESSAGE__BODY_QUERY:
        server_query(server, guest, message->query);
        return;
    case WIRE__MESSAGE__BODY_ANSWER:
        inquiries_answered(server, guest, message->answer);
        return;
    case WIRE__MESSAGE__BODY_HEURISTICS:
        heuristics_told(server, guest, message->heuristics);
        return;
    default:
        break;
    }
    peer_close(guest->peer, "a message that a participant may not send");
}

static void take_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct server *server = self;
    struct guest *guest = peer_attached(peer);
    if (!guest)
        return;
    if (guest->participant)
        message_of_participant(server, guest, message);
    else
        message_of_client(server, guest, message);
}

/* ---- life ---- */

struct server *server_new(const struct server_config *config, const struct host_port *host,
                          const struct link_port *link)
{
    struct server *server = xcalloc(1, sizeof(*server));
    CHECK(name_valid(config->cluster) && name_valid(config->coordinator));
    server->cluster = xstrdup(config->cluster);
    server->coordinator = xstrdup(config->coordinator);
    server->config = *config;
    server->config.cluster = server->cluster;
    server->config.coordinator = server->coordinator;
    server->host = *host;
    list_init(&server->all);
    list_init(&server->awaited);
    participants_init(&server->participants);
    keys_init(&server->keys);
    tries_init(&server->tasks);
    history_init(&server->history);
    opens_init(server);
    sagas_init(server);
    inquiries_init(server);
    server_heuristics_init(server);
    alerts_init(server);
    arena_init(&server->arena, ARENA_BYTES);
    struct transport_config transport = {.acceptor = true,
                                         .cluster = server->cluster,
                                         .name = server->coordinator,
                                         .heartbeat_us = config->heartbeat_us,
                                         .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
    struct transport_events events = {
        .self = server, .admit = admit, .up = up, .message = take_message, .down = down};
    server->transport = transport_new(&transport, host, link, &events);
    return server;
}

static void free_guests(struct server *server)
{
    struct peer *peer = NULL;
    while ((peer = transport_next_peer(server->transport, peer)) != NULL)
        free(peer_attached(peer));
}

static void free_live(struct server *server)
{
    while (!list_empty(&server->all)) {
        struct tx *tx = CONTAINER(server->all.next, struct tx, all);
        while (!list_empty(&tx->waiters))
            server_stop_waiting(server, CONTAINER(tx->waiters.next, struct waiter, in_tx));
        list_remove(&tx->all);
        tx_free(tx);
    }
    map_fini(&server->live);
}

void server_free(struct server *server)
{
    if (!server)
        return;
    sagas_fini(server);
    inquiries_fini(server);
    server_heuristics_fini(server);
    alerts_fini(server);
    free_live(server);
    opens_fini(server);
    free_guests(server);
    transport_free(server->transport);
    participants_fini(&server->participants);
    keys_fini(&server->keys);
    tries_fini(&server->tasks);
    history_fini(&server->history);
    recovery_fini(&server->recovery);
    timers_fini(&server->timers);
    timers_fini(&server->rounds);
    arena_fini(&server->arena);
    free(server->scratch);
    free(server->cluster);
    free(server->coordinator);
    free(server);
}

/* The oldest id that may still be decided, or be given out. The live ones lie in the order in which
 * they began to vote, so what was open for long comes late; the open ones in that of their ids. */
static struct txid memory_floor(const struct server *server)
{
    struct txid floor = {server->recovery.epoch, server->recovery.last_seq + 1};
    for (struct list *at = server->all.next; at != &server->all; at = at->next) {
        const struct tx *tx = CONTAINER(at, struct tx, all);
        if (transaction_phase(&tx->machine) > PHASE_DECIDING)
            continue;
        if (txid_compare(tx->id, floor) < 0)
            floor = tx->id;
    }
    if (!list_empty(&server->opens.all)) {
        const struct open *oldest = CONTAINER(server->opens.all.next, struct open, all);
        if (txid_compare(oldest->id, floor) < 0)
            floor = oldest->id;
    }
    return floor;
}

static void flush_settled(struct server *server)
{
    struct list *head = &server->participants.all;
    for (struct list *at = head->next; at != head; at = at->next)
        server_flush_settled(server, CONTAINER(at, struct participant, all));
}

static void keep_house(struct server *server, uint64_t now_us)
{
    int64_t wall_us = server->host.wall_us(server->host.self);
    recovery_forget(&server->recovery, wall_us, server->config.retain_us, memory_floor(server));
    if (server->config.retain_us < INT64_MAX)
        keys_expire(&server->keys, wall_us - (int64_t)server->config.retain_us);
    sagas_keep_house(server);
    flush_settled(server);
    timers_set(&server->timers, &server->housekeeping, now_us + HOUSEKEEPING_US);
}

void server_start(struct server *server, const struct journal_port *journal)
{
    server->journal = *journal;
    server->started_us = server->host.wall_us(server->host.self);
    recovery_begin(&server->recovery, server->started_us);
    server->named = true;
    server->started_position = server_append_started(server);
    keep_house(server, server->host.now_us(server->host.self));
    if (server->proposed)
        host_log(&server->host, LOG_INFO,
                 "%zu transactions were proposed and not decided: their sites will be asked",
                 server->proposed);
    /* What was committed with nothing left to apply only lacks its end; what was proposed may have
     * been decided by others since. */
    for (struct list *at = server->all.next, *next; at != &server->all; at = next) {
        struct tx *tx = CONTAINER(at, struct tx, all);
        struct transaction_event event = {.type = EVENT_RESUMED};
        next = at->next;
        if (tx->machine.state == TRANSACTION_PROPOSED)
            server_begin_round(server, tx, EVENT_RESUMED);
        else
            CHECK(server_step(server, tx, &event));
    }
}

void server_frame(struct server *server, uint64_t route, const void *frame, size_t size)
{
    transport_frame(server->transport, route, frame, size);
}

static void record_durable(struct server *server, struct tx *tx)
{
    struct transaction_event event = {.type = EVENT_RECORD_DURABLE};
    if (!tx->sites) {
        /* A crash here: the decision stands and nobody was told. The restart tells the
         * participants; a client that wants to know asks with its key. */
        CRASH_POINT("coordinator.decided");
    } else if (tx->machine.state == TRANSACTION_DECIDING) {
        /* A crash here: commit is proposed and nobody was asked. The restart finds the record and
         * takes over; meanwhile a majority of the others may have aborted it. */
        CRASH_POINT("coordinator.proposed");
    } else if (!tx->machine.granting) {
        /* A crash here: this site keeps its promise, or what it accepted, without having said so.
         * Who asked it asks again. */
        CRASH_POINT("coordinator.promised");
    }
    CHECK(server_step(server, tx, &event));
    if (tx->sites && tx->machine.state == TRANSACTION_PROPOSED) {
        server_send_replies(server, tx);
        /* A crash here loses what was queued in this turn: the restart asks at a higher ballot. */
        CRASH_POINT("coordinator.asked");
    } else {
        /* A crash here loses what was queued in this turn: as above. */
        CRASH_POINT("coordinator.told");
    }
}

void server_durable(struct server *server, uint64_t position)
{
    server->durable_position = position;
    if (!server->ready && server->started_position && position >= server->started_position) {
        /* Not before: an id of an epoch that a crash could make unheard of would be given out
         * twice. */
        server->ready = true;
        transport_open(server->transport, server->recovery.epoch);
        sagas_started(server);
    }
    while (!list_empty(&server->awaited)) {
        struct tx *tx = CONTAINER(server->awaited.next, struct tx, durable);
        if (tx->position > position)
            break;
        list_remove(&tx->durable);
        record_durable(server, tx);
    }
    sagas_durable(server);
    tx_orders_durable(server);
}

static void pass_deadline(struct server *server, struct tx *tx)
{
    if (tx->machine.state == TRANSACTION_VOTING) {
        Wire__Problem problem = WIRE__PROBLEM__INIT;
        struct participant *silent = NULL;
        for (int i = tx->machine.branch_count - 1; i >= 0; i--) {
            if (tx->machine.branches[i].state == BRANCH_ASKED)
                silent = tx->branches[i].participant;
        }
        problem.code = (char *)"deadline";
        problem.message = (char *)"the participant did not vote before the deadline";
        problem.detail = (char *)"its work may have waited for a lock, or for a free connection";
        problem.hint = (char *)"submit with a longer --timeout, or see timeouts.transaction";
        tx_problem(tx, silent, &problem);
    }
    struct transaction_event event = {.type = EVENT_DEADLINE_PASSED};
    CHECK(server_step(server, tx, &event));
}

static void run_timers(struct server *server)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    for (struct timer *timer; (timer = timers_due(&server->timers, now_us)) != NULL;) {
        if (timer == &server->housekeeping)
            keep_house(server, now_us);
        else
            pass_deadline(server, CONTAINER(timer, struct tx, timer));
    }
}

static void run_rounds(struct server *server)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    for (struct timer *timer; (timer = timers_due(&server->rounds, now_us)) != NULL;)
        server_round_due(server, CONTAINER(timer, struct tx_sites, timer)->tx);
}

static void stop_when_quiet(struct server *server)
{
    if (server->draining && server->stopped_position == 0 && server->ready &&
        server->undecided == 0 && server->waiting == 0 && server->opens.map.count == 0) {
        sagas_send_home(server);
        server->stopped_position = server_append_stopped(server);
    }
}

uint64_t server_settle(struct server *server)
{
    run_timers(server);
    run_rounds(server);
    opens_expire(server);
    sagas_settle(server);
    inquiries_run_due(server);
    uint64_t alert_us = alerts_settle(server);
    uint64_t task_us = tasks_settle(server);
    if (server->ready && server->journal.checkpoint_due(server->journal.self))
        server_checkpoint(server);
    stop_when_quiet(server);
    uint64_t next_us = transport_settle(server->transport);
    /* A crash here: what was told in this turn is on its way, or lost with this process where the
     * link is full. Nobody may count on either. */
    CRASH_POINT("coordinator.settled");
    const uint64_t others_us[] = {timers_next(&server->timers),
                                  timers_next(&server->rounds),
                                  timers_next(&server->opens.timers),
                                  timers_next(&server->inquiries.timers),
                                  sagas_next(server),
                                  task_us,
                                  alert_us};
    for (size_t i = 0; i < sizeof(others_us) / sizeof(*others_us); i++)
        next_us = others_us[i] < next_us ? others_us[i] : next_us;
    return next_us;
}

int server_define(struct server *server, const struct server_definition *definitions, int count)
{
    return definitions_set(&server->sagas.definitions, definitions, count, &server->host);
}

void server_facts(struct server *server, const struct server_host_facts *facts)
{
    server->facts = *facts;
}

void server_drain(struct server *server)
{
    if (!server->draining)
        opens_drain(server);
    server->draining = true;
}

bool server_drained(const struct server *server)
{
    if (!server->stopped_position || server->durable_position < server->stopped_position)
        return false;
    /* The last answers must have reached the clients; one that is gone is given up by its session.
     */
    struct peer *peer = NULL;
    while ((peer = transport_next_peer(server->transport, peer)) != NULL) {
        if (peer_role(peer) != WIRE__ROLE__PARTICIPANT && !peer_idle(peer))
            return false;
    }
    return true;
}

bool server_ready(const struct server *server)
{
    return server->ready;
}

const char *server_unready(const struct server *server)
{
    if (server->draining)
        return "draining: it is being stopped";
    return server->ready ? NULL : "starting: the journal has not said yet that this run is durable";
}

uint64_t server_epoch(const struct server *server)
{
    return server->recovery.epoch;
}

size_t server_undecided(const struct server *server)
{
    return server->undecided + server->lost + server->proposed;
}

size_t server_open(const struct server *server)
{
    return server->opens.map.count;
}

size_t server_unapplied(const struct server *server)
{
    return server->unapplied + server->hazards;
}
