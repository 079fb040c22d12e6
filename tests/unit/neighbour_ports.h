/* Other participants for tests of the agent: each is one end of real sessions, one at the agent's
 * door and one on a line that the agent dials. Tests answer for them. */
#ifndef TROTH_TESTS_UNIT_NEIGHBOUR_PORTS_H
#define TROTH_TESTS_UNIT_NEIGHBOUR_PORTS_H

#pragma GCC diagnostic ignored "-Wunused-function" /* not every test needs all of it */
#include "tests/unit/agent_ports.h"

enum { NEIGHBOURS = 3, SEEN = 64 };

/* This participant is branch 1, and so site 2: after orders, before inventory. */
static const char all_sites[] = "orders=tcp://127.0.0.1:7411,payments=tcp://127.0.0.1:7412,"
                                "inventory=tcp://127.0.0.1:7413";

struct seen {
    Wire__Message *messages[SEEN];
    int count;
};

struct neighbour {
    const char *name, *address;
    bool away; /* frames to and from it are lost */
    bool bystander;
    struct neighbour *twin; /* whose address is another one of this very participant */
    struct neighbour
        *home_of;           /* where the line to its own address comes in: as a twin, the other's */
    struct transport *home; /* where the agent's line comes in */
    struct peer *line;
    int dialed; /* the line on which, + 1 */
    struct frame_queue to_line, to_home;
    struct transport *visit; /* its session at the agent's door */
    struct peer *door;
    int ends; /* of its sessions there */
    struct frame_queue to_visit, to_door;
    struct seen asked, answered; /* on the line; at the door */
    uint32_t site;               /* its number; its register of transaction 1: */
    struct register_state own;
    bool answers;           /* by itself */
    Wire__Answered instead; /* of what the register says */
};

static struct neighbour neighbours[NEIGHBOURS];
static struct neighbour *const orders = &neighbours[0], *const inventory = &neighbours[1],
                               *const observer = &neighbours[2];

static void keep(struct seen *seen, const Wire__Message *message)
{
    size_t size = wire__message__get_packed_size(message);
    uint8_t *bytes = xmalloc(size);
    wire__message__pack(message, bytes);
    assert_in_range(seen->count, 0, SEEN - 1);
    seen->messages[seen->count++] = wire__message__unpack(NULL, size, bytes);
    free(bytes);
}

static void forget(struct seen *seen)
{
    for (int i = 0; i < seen->count; i++)
        wire__message__free_unpacked(seen->messages[i], NULL);
    seen->count = 0;
}

static void home_up(void *self, struct peer *peer)
{
    ((struct neighbour *)self)->line = peer;
}

static Wire__Ballot wire_ballot(struct ballot ballot)
{
    Wire__Ballot wire = WIRE__BALLOT__INIT;
    wire.round = ballot.round;
    wire.site = ballot.site;
    return wire;
}

static void send_reply(struct peer *peer, const Wire__Ask *ask, Wire__Answered answered,
                       struct register_state state)
{
    Wire__Ballot promised = wire_ballot(state.promised), accepted = wire_ballot(state.accepted);
    Wire__Reply reply = WIRE__REPLY__INIT;
    reply.coordinator = ask->coordinator;
    reply.epoch = ask->epoch;
    reply.seq = ask->seq;
    reply.site = ask->site;
    reply.question = ask->question;
    reply.ballot = ask->ballot;
    reply.answered = answered;
    reply.promised = &promised;
    reply.accepted = &accepted;
    reply.value = (Wire__Value)state.value;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_REPLY;
    message.reply = &reply;
    assert_true(peer_send(peer, &message, true));
}

/* As a site does whose database is quick. */
static void answer_by_register(struct peer *peer, const Wire__Ask *ask, struct register_state *own,
                               Wire__Answered instead)
{
    static const Wire__Answered words[] = {[REGISTER_GRANTED] = WIRE__ANSWERED__GRANTED,
                                           [REGISTER_OUTBID] = WIRE__ANSWERED__OUTBID,
                                           [REGISTER_DECIDED] = WIRE__ANSWERED__KNOWN};
    struct register_ask question = {.question = (enum register_question)ask->question,
                                    .ballot = {ask->ballot->round, ask->ballot->site},
                                    .value = (enum register_value)ask->value};
    Wire__Answered answered = instead ? instead : words[register_answer(own, &question)];
    send_reply(peer, ask, answered, *own);
}

static void home_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct neighbour *neighbour = self;
    keep(&neighbour->asked, message);
    if (neighbour->answers && message->body_case == WIRE__MESSAGE__BODY_ASK) {
        assert_int_equal(message->ask->site, neighbour->site);
        answer_by_register(peer, message->ask, &neighbour->own, neighbour->instead);
    }
}

static void home_down(void *self, struct peer *peer, const char *reason)
{
    (void)reason;
    struct neighbour *neighbour = self;
    if (neighbour->line == peer)
        neighbour->line = NULL;
}

static void visit_up(void *self, struct peer *peer)
{
    ((struct neighbour *)self)->door = peer;
}

static void visit_message(void *self, struct peer *peer, const Wire__Message *message)
{
    (void)peer;
    keep(&((struct neighbour *)self)->answered, message);
}

static void visit_down(void *self, struct peer *peer, const char *reason)
{
    (void)peer, (void)reason;
    struct neighbour *neighbour = self;
    neighbour->door = NULL;
    neighbour->ends++;
}

static bool neighbour_send(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)route;
    return queue_frame(self, frame, size);
}

/* To the line on which the frame's session came in: its own, or its twin's. */
static bool home_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct neighbour *neighbour = self;
    assert_true(route == 1 || (route == 2 && neighbour->twin));
    return queue_frame(route == 1 ? &neighbour->to_line : &neighbour->twin->to_line, frame, size);
}

/* Frames from the agent's door carry the neighbour in the route. */
static bool door_send(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)self;
    assert_in_range(route, 1, NEIGHBOURS);
    return queue_frame(&neighbours[route - 1].to_visit, frame, size);
}

static const char nowhere[] = "tcp://127.0.0.9:"; /* addresses at which nobody is */

static bool send_nowhere(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)self, (void)route, (void)frame, (void)size;
    return true;
}

static bool dial(void *self, int line, const char *address, struct link_port *link)
{
    (void)self;
    if (strncmp(address, nowhere, sizeof(nowhere) - 1) == 0) {
        *link = (struct link_port){NULL, send_nowhere, redial};
        return true;
    }
    for (int i = 0; i < NEIGHBOURS; i++) {
        struct neighbour *neighbour = &neighbours[i];
        if (neighbour->bystander || strcmp(neighbour->address, address) != 0)
            continue;
        assert_int_equal(neighbour->dialed, 0);
        neighbour->dialed = line + 1;
        *link = (struct link_port){&neighbour->to_home, neighbour_send, redial};
        return true;
    }
    return false;
}

static void hang_up(void *self, int line)
{
    (void)self;
    for (int i = 0; i < NEIGHBOURS; i++) {
        if (neighbours[i].dialed == line + 1)
            neighbours[i].dialed = 0;
    }
}

static void empty(struct frame_queue *queue)
{
    for (int i = 0; i < queue->count; i++)
        free(queue->frames[i].bytes);
    queue->count = 0;
}

static void neighbour_turn(struct neighbour *neighbour, uint64_t route)
{
    struct frame_queue *queues[] = {&neighbour->to_home, &neighbour->to_line, &neighbour->to_door,
                                    &neighbour->to_visit};
    for (int i = 0; i < 4; i++) {
        struct frame_queue *queue = queues[i];
        for (int j = 0; j < queue->count && !neighbour->away; j++) {
            const void *bytes = queue->frames[j].bytes;
            size_t size = queue->frames[j].size;
            if (i == 0)
                transport_frame(neighbour->home_of->home, neighbour->home_of == neighbour ? 1 : 2,
                                bytes, size);
            else if (i == 1 && neighbour->dialed)
                agent_line_frame(agent, neighbour->dialed - 1, bytes, size);
            else if (i == 2)
                agent_door_frame(agent, route, bytes, size);
            else if (i == 3)
                transport_frame(neighbour->visit, 0, bytes, size);
        }
        empty(queue);
    }
    transport_settle(neighbour->home);
    transport_settle(neighbour->visit);
}

/* This participant's row of transaction 1, in a database that answers at once. */
static struct {
    bool serves, exists, fails;
    struct register_state state;
    char sites[256];
    int stores;
} table;

static enum db_stored store_row(int request)
{
    bool same = database.requests[request].insert
                    ? !table.exists
                    : table.exists &&
                          register_state_equal(&table.state, &database.requests[request].before);
    if (table.fails)
        return DB_STORE_FAILED;
    if (!same)
        return DB_CHANGED;
    if (!table.exists)
        snprintf(table.sites, sizeof(table.sites), "%s", database.requests[request].sites);
    table.exists = true;
    table.state = database.requests[request].row.state;
    table.stores++;
    return DB_STORED;
}

static void answer_row(bool is_load, int request)
{
    void *tag = database.requests[request].tag;
    struct db_register found = {
        .gtrid = "shop.c1.5.1", .sites = table.sites, .begun_us = 1000000, .state = table.state};
    assert_string_equal(database.requests[request].text, "shop.c1.5.1");
    if (is_load)
        events->register_loaded(events->self, tag,
                                table.fails    ? DB_FOUND_ERROR
                                : table.exists ? DB_FOUND
                                               : DB_NOT_FOUND,
                                table.exists && !table.fails ? &found : NULL);
    else
        events->register_stored(events->self, tag, store_row(request));
}

/* The connection is lost when the row was inserted, and before its branch is committed. */
static void answer_accept(int request)
{
    bool refused = store_row(request) == DB_CHANGED;
    events->register_committed(events->self, database.requests[request].tag,
                               refused ? DB_ACCEPT_REFUSED : DB_ACCEPT_UNKNOWN);
}

/* What is asked of the row; the rest is the test's. */
static void serve_row(void)
{
    for (int i = 0; i < database.count;) {
        enum asked kind = database.requests[i].kind;
        if (kind == ACCEPT)
            answer_accept(take_at(i));
        else if (kind == LOAD || kind == STORE)
            answer_row(kind == LOAD, take_at(i));
        else
            i++;
    }
}

static void all_neighbours_turn(void)
{
    if (table.serves)
        serve_row();
    for (int i = 0; i < NEIGHBOURS; i++)
        neighbour_turn(&neighbours[i], (uint64_t)i + 1);
}

static const struct transport_config neighbour_config = {
    .cluster = "shop", .heartbeat_us = 500000, .frame_bytes = LIMIT_AGENT_FRAME_BYTES};

/* What is at its address. */
static void neighbour_home(struct neighbour *neighbour, const char *name, Wire__Role role)
{
    struct link_port link = {neighbour, home_send, NULL};
    struct transport_config config = neighbour_config;
    struct transport_events at_home = {neighbour, NULL, home_up, home_message, home_down, NULL};
    config.name = name;
    config.role = role;
    config.acceptor = true;
    neighbour->home = transport_new(&config, &host, &link, &at_home);
    transport_open(neighbour->home, 1);
}

static void neighbour_start(struct neighbour *neighbour, const char *name, const char *address,
                            Wire__Role role)
{
    struct link_port visit = {&neighbour->to_door, neighbour_send, redial};
    struct transport_config config = neighbour_config;
    struct transport_events at_door = {neighbour, NULL, visit_up, visit_message, visit_down, NULL};
    *neighbour = (struct neighbour){
        .name = name, .address = address, .bystander = role != WIRE__ROLE__PARTICIPANT};
    neighbour->home_of = neighbour;
    neighbour->site = neighbour == inventory ? 3 : 1;
    config.name = name;
    config.role = role;
    neighbour->visit = transport_new(&config, &host, &visit, &at_door);
    neighbour_home(neighbour, name, role);
}

/* The address of the second is one more of the first. */
static void be_one(struct neighbour *neighbour, struct neighbour *twin)
{
    neighbour->twin = twin;
    twin->home_of = neighbour;
}

/* Of who is neither a participant nor a coordinator. */
static Wire__Role visitor = WIRE__ROLE__OBSERVER;

static int start_three_phase(void **state)
{
    static const struct link_port door = {NULL, door_send, NULL};
    static const struct dial_port dials = {NULL, dial, hang_up};
    agent_door = &door;
    agent_dial = &dials;
    neighbours_turn = all_neighbours_turn;
    memset(&table, 0, sizeof(table));
    now_us = 1000000;
    neighbour_start(orders, "orders", "tcp://127.0.0.1:7411", WIRE__ROLE__PARTICIPANT);
    neighbour_start(inventory, "inventory", "tcp://127.0.0.1:7413", WIRE__ROLE__PARTICIPANT);
    neighbour_start(observer, "somebody", "", visitor);
    return start_with_database(state);
}

static int stop_three_phase(void **state)
{
    stop(state);
    for (int i = 0; i < NEIGHBOURS; i++) {
        struct neighbour *neighbour = &neighbours[i];
        transport_free(neighbour->home);
        transport_free(neighbour->visit);
        empty(&neighbour->to_home);
        empty(&neighbour->to_line);
        empty(&neighbour->to_door);
        empty(&neighbour->to_visit);
        forget(&neighbour->asked);
        forget(&neighbour->answered);
    }
    neighbours_turn = NULL;
    agent_door = NULL;
    agent_dial = NULL;
    return 0;
}

static Wire__Branch three_phase_branch(uint64_t seq)
{
    Wire__Branch branch = branch_of(seq);
    branch.branch = 1;
    return branch;
}

static void send_sites(uint64_t seq, const char *names[], const char *addresses[], size_t count,
                       const char *operation)
{
    Wire__Site sites[4], *pointers[4];
    assert_in_range(count, 1, 4);
    for (size_t i = 0; i < count; i++) {
        wire__site__init(&sites[i]);
        sites[i].participant = (char *)names[i];
        sites[i].address = (char *)addresses[i];
        pointers[i] = &sites[i];
    }
    Wire__Branch branch = three_phase_branch(seq);
    Wire__Call call = WIRE__CALL__INIT, *calls[] = {&call};
    call.operation = (char *)operation;
    call.arguments = (char *)(strcmp(operation, "charge") == 0 ? "{\"amount\":1}" : "{}");
    Wire__Prepare prepare = WIRE__PREPARE__INIT;
    prepare.branch = &branch;
    prepare.timeout_ms = 1000;
    prepare.n_calls = 1;
    prepare.calls = calls;
    prepare.sites = pointers;
    prepare.n_sites = count;
    prepare.begun_us = (int64_t)now_us;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_PREPARE;
    message.prepare = &prepare;
    send(&message);
}

static void send_three_phase(uint64_t seq)
{
    const char *names[] = {"orders", "payments", "inventory"};
    const char *addresses[] = {"tcp://127.0.0.1:7411", "tcp://127.0.0.1:7412",
                               "tcp://127.0.0.1:7413"};
    send_sites(seq, names, addresses, 3, "charge");
}

/* A branch in doubt: prepared, and a yes was given. */
static void prepare_three_phase(uint64_t seq)
{
    send_three_phase(seq);
    worked(take_tag(WORK), DB_PREPARED, 7);
    got_vote(WIRE__CHOICE__YES);
    clear_inbox();
}

static void finish_three_phase(uint64_t seq, bool commit)
{
    Wire__Branch branch = three_phase_branch(seq);
    Wire__Finish finish = WIRE__FINISH__INIT;
    finish.branch = &branch;
    finish.commit = commit;
    finish.xid = 7;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_FINISH;
    message.finish = &finish;
    send(&message);
}

struct ask {
    uint64_t seq;
    Wire__Question question;
    struct ballot ballot;
    Wire__Value value;
    uint32_t site; /* 0: 2 */
    int64_t begun_us;
    const char *coordinator; /* NULL: c1 */
};

static void ask_of(struct peer *peer, struct ask ask)
{
    Wire__Ballot ballot = WIRE__BALLOT__INIT;
    ballot.round = ask.ballot.round;
    ballot.site = ask.ballot.site;
    Wire__Ask wire = WIRE__ASK__INIT;
    wire.coordinator = (char *)(ask.coordinator ? ask.coordinator : "c1");
    wire.epoch = 5;
    wire.seq = ask.seq;
    wire.site = ask.site ? ask.site : 2;
    wire.question = ask.question;
    wire.ballot = &ballot;
    wire.value = ask.value;
    wire.begun_us = ask.begun_us ? ask.begun_us : (int64_t)now_us;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_ASK;
    message.ask = &wire;
    assert_non_null(peer);
    assert_true(peer_send(peer, &message, true));
    settle();
}

#define ASK(peer, ...) ask_of(peer, (struct ask){__VA_ARGS__})
#define PROPOSAL(number)                                                                           \
    .seq = (number), .question = WIRE__QUESTION__ACCEPT, .value = WIRE__VALUE__COMMIT

static void stored(int request, enum db_stored how)
{
    events->register_stored(events->self, database.requests[request].tag, how);
    settle();
}

static void loaded(enum db_found found, struct register_state row, const char *sites)
{
    struct db_register answer = {
        .gtrid = "shop.c1.5.1", .sites = sites, .begun_us = 1000000, .state = row};
    int request = take(LOAD);
    assert_string_equal(database.requests[request].text, "shop.c1.5.1");
    events->register_loaded(events->self, database.requests[request].tag, found,
                            found == DB_FOUND ? &answer : NULL);
    settle();
}

static void accepted(enum db_accepted how)
{
    events->register_committed(events->self, take_tag(ACCEPT), how);
    settle();
}

static const struct register_state fresh = {0};
static const struct register_state proposed = {.value = REGISTER_COMMIT};

#endif
