#include "coordinator/inquiries.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "coordinator/testimonies.h"
#include "core/check.h"

enum {
    PATIENCE_US = 3 * 1000 * 1000, /* a database may take 2 s to look (core/ports.h) */
    /* What one inquiry keeps; beyond it testimonies come without their reports. An answer is one
     * message anyway, so only those who hold least would be seen whole. */
    KEPT_BYTES = 1024 * 1024,
    STRIPPED_BYTES = 2048,
    /* A request's number is that of the inquiry, times this, plus who is asked. */
    WITNESSES = 2 * LIMIT_PEERS,
    ANSWER_SLACK_BYTES = 256,
};

/* One who is asked. */
struct witness {
    struct participant *participant;
    struct peer *peer; /* the session in which it was asked; NULL: it need not be waited for */
    uint64_t asked_us;
};

struct inquiry {
    struct list all;
    uint64_t number;
    struct timer timer;
    size_t count, missing, bytes;
    struct witness *witnesses;
    struct participant **participants;
    Wire__Testimony **testimonies;
    Wire__Resolution **resolutions;
    Wire__Problem **problems;
    inquiry_done *done;
    void *context;
};

void inquiries_init(struct server *server)
{
    list_init(&server->inquiries.all);
}

static void free_inquiry(struct inquiry *inquiry)
{
    for (size_t i = 0; i < inquiry->count; i++) {
        wire__testimony__free_unpacked(inquiry->testimonies[i], NULL);
        wire__resolution__free_unpacked(inquiry->resolutions[i], NULL);
        wire__problem__free_unpacked(inquiry->problems[i], NULL);
    }
    free(inquiry->witnesses);
    free(inquiry->participants);
    free(inquiry->testimonies);
    free(inquiry->resolutions);
    free(inquiry->problems);
    free(inquiry);
}

void inquiries_fini(struct server *server)
{
    struct inquiries *inquiries = &server->inquiries;
    while (!list_empty(&inquiries->all)) {
        struct inquiry *inquiry = CONTAINER(inquiries->all.next, struct inquiry, all);
        list_remove(&inquiry->all);
        inquiry->done(server, inquiry->context, NULL);
        free_inquiry(inquiry);
    }
    timers_fini(&inquiries->timers);
}

bool inquiries_room(const struct server *server)
{
    return server->inquiries.count < LIMIT_INQUIRIES;
}

static struct inquiry *new_inquiry(struct server *server, struct participant *const *whom,
                                   size_t count)
{
    struct inquiry *inquiry = xcalloc(1, sizeof(*inquiry));
    CHECK(count <= WITNESSES);
    inquiry->number = ++server->inquiries.last;
    inquiry->count = count;
    inquiry->witnesses = xcalloc(count + 1, sizeof(*inquiry->witnesses));
    inquiry->participants = xcalloc(count + 1, sizeof(struct participant *));
    inquiry->testimonies = xcalloc(count + 1, sizeof(Wire__Testimony *));
    inquiry->resolutions = xcalloc(count + 1, sizeof(Wire__Resolution *));
    inquiry->problems = xcalloc(count + 1, sizeof(Wire__Problem *));
    for (size_t i = 0; i < count; i++)
        inquiry->participants[i] = inquiry->witnesses[i].participant = whom[i];
    list_append(&server->inquiries.all, &inquiry->all);
    server->inquiries.count++;
    return inquiry;
}

/* ---- asking ---- */

/* Of the participant's branch, by the vote. 0: not known, or it has several. */
static uint64_t voted_xid(const struct server *server, const char *gtrid,
                          const struct participant *participant)
{
    struct gid id;
    if (!gtrid_parse(gtrid, &id) || !server_is_ours(server, &id))
        return 0;
    const struct tx *tx = server_remember(server, id.tx);
    uint64_t xid = 0;
    for (int i = 0, count = 0; tx && i < tx->machine.branch_count; i++) {
        if (tx->branches[i].participant == participant)
            xid = count++ == 0 ? tx->branches[i].xid : 0;
    }
    return xid;
}

static bool ask_one(struct server *server, const struct inquiry *inquiry, size_t index,
                    const Wire__Message *question)
{
    struct participant *participant = inquiry->participants[index];
    Wire__Message message = *question;
    Wire__Query query;
    Wire__TxOrder order;
    uint64_t request = inquiry->number * WITNESSES + index;
    if (question->body_case == WIRE__MESSAGE__BODY_QUERY) {
        query = *question->query;
        query.request = request;
        query.participant = participant->name;
        if (query.what == WIRE__WHAT__EVIDENCE)
            query.xid = voted_xid(server, query.gtrid, participant);
        message.query = &query;
    } else {
        CHECK(question->body_case == WIRE__MESSAGE__BODY_TX_ORDER);
        order = *question->tx_order;
        order.request = request;
        order.participant = participant->name;
        message.tx_order = &order;
    }
    return peer_send(participant->peer, &message, false);
}

void inquiry_ask(struct server *server, struct participant *const *whom, size_t count,
                 const Wire__Message *question, inquiry_done *done, void *context)
{
    struct inquiry *inquiry = new_inquiry(server, whom, count);
    uint64_t now_us = server->host.now_us(server->host.self);
    inquiry->done = done;
    inquiry->context = context;
    for (size_t i = 0; i < count; i++) {
        struct witness *witness = &inquiry->witnesses[i];
        const char *name = whom[i]->name;
        witness->asked_us = now_us;
        if (!whom[i]->peer) {
            inquiry->testimonies[i] =
                testimony_missing(name, "not_connected", "the participant is not connected");
        } else if (!ask_one(server, inquiry, i, question)) {
            inquiry->testimonies[i] =
                testimony_missing(name, "busy", "too much waits for the participant");
        } else {
            witness->peer = whom[i]->peer;
            inquiry->missing++;
        }
    }
    /* Never from within this call, also when there is nobody to wait for. */
    timers_set(&server->inquiries.timers, &inquiry->timer,
               inquiry->missing ? now_us + PATIENCE_US : now_us);
}

/* ---- what comes back ---- */

const char *inquiry_silence(const struct inquiry_result *result, size_t index)
{
    const Wire__Testimony *testimony = result->testimonies[index];
    return testimony && testimony->problem ? testimony->problem->message
                                           : "its answer says nothing of the order";
}

static void conclude(struct server *server, struct inquiry *inquiry)
{
    list_remove(&inquiry->all);
    server->inquiries.count--;
    timers_clear(&server->inquiries.timers, &inquiry->timer);
    struct inquiry_result result = {inquiry->participants, inquiry->testimonies,
                                    inquiry->resolutions, inquiry->problems, inquiry->count};
    inquiry->done(server, inquiry->context, &result);
    free_inquiry(inquiry);
}

static void settle_witness(struct server *server, struct inquiry *inquiry, size_t index)
{
    inquiry->witnesses[index].peer = NULL;
    if (--inquiry->missing == 0)
        conclude(server, inquiry);
}

static Wire__Testimony *take_testimony(const struct participant *participant,
                                       const Wire__Answer *answer)
{
    if (answer->problem)
        return testimony_missing(participant->name, answer->problem->code,
                                 answer->problem->message);
    if (answer->n_testimonies == 0)
        return testimony_missing(participant->name, "protocol", "its answer says nothing");
    Wire__Testimony *testimony = testimony_copy(answer->testimonies[0]);
    if (testimony->participant != protobuf_c_empty_string)
        free(testimony->participant);
    testimony->participant = xstrdup(participant->name);
    return testimony;
}

/* In order that many large ones don't add up. */
static Wire__Testimony *keep_testimony(struct inquiry *inquiry, Wire__Testimony *testimony)
{
    size_t size = wire__testimony__get_packed_size(testimony);
    const char *name = testimony->participant;
    if (inquiry->bytes + size > KEPT_BYTES && size > STRIPPED_BYTES) {
        Wire__Testimony *missing =
            testimony_missing(name, "too_large", "it has more to say than fits the answer");
        if (testimonies_fit(&testimony, 1, STRIPPED_BYTES) == 0)
            return missing;
        wire__testimony__free_unpacked(missing, NULL);
        return testimony;
    }
    inquiry->bytes += size;
    return testimony;
}

static struct inquiry *find(const struct server *server, uint64_t number)
{
    const struct list *head = &server->inquiries.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        struct inquiry *inquiry = CONTAINER(at, struct inquiry, all);
        if (inquiry->number == number)
            return inquiry;
    }
    return NULL;
}

void inquiries_answered(struct server *server, struct guest *guest, const Wire__Answer *answer)
{
    struct inquiry *inquiry = find(server, answer->request / WITNESSES);
    size_t index = answer->request % WITNESSES;
    const struct witness *witness =
        inquiry && index < inquiry->count ? &inquiry->witnesses[index] : NULL;
    if (!witness || witness->peer != guest->peer) {
        /* Too late, of an order that was relayed when it inquired, or never asked for. */
        host_log(&server->host, answer->problem ? LOG_WARNING : LOG_DEBUG,
                 "an answer of %s, for which nobody waits: %s", guest->participant->name,
                 answer->problem ? answer->problem->message : "done");
        return;
    }
    Wire__Testimony *testimony =
        keep_testimony(inquiry, take_testimony(guest->participant, answer));
    testimony->heard_us = server->host.wall_us(server->host.self);
    testimony->round_trip_us = server->host.now_us(server->host.self) - witness->asked_us;
    inquiry->testimonies[index] = testimony;
    inquiry->resolutions[index] = resolution_copy(answer->resolution);
    inquiry->problems[index] = problem_copy(answer->problem);
    settle_witness(server, inquiry, index);
}

void inquiries_participant_down(struct server *server, struct participant *participant)
{
    struct list *head = &server->inquiries.all;
    for (struct list *at = head->next, *next; at != head; at = next) {
        struct inquiry *inquiry = CONTAINER(at, struct inquiry, all);
        next = at->next;
        for (size_t i = 0; i < inquiry->count; i++) {
            struct witness *witness = &inquiry->witnesses[i];
            if (witness->participant != participant || !witness->peer)
                continue;
            inquiry->testimonies[i] =
                testimony_missing(participant->name, "session_lost",
                                  "the connection to the participant was lost before it answered");
            settle_witness(server, inquiry, i);
            break;
        }
    }
}

void inquiries_run_due(struct server *server)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    for (struct timer *timer; (timer = timers_due(&server->inquiries.timers, now_us)) != NULL;) {
        struct inquiry *inquiry = CONTAINER(timer, struct inquiry, timer);
        for (size_t i = 0; i < inquiry->count; i++) {
            if (inquiry->witnesses[i].peer)
                inquiry->testimonies[i] = testimony_missing(inquiry->participants[i]->name,
                                                            "deadline", "no answer within 3 s");
        }
        conclude(server, inquiry);
    }
}

/* ---- clients ---- */

void caller_init(struct caller *caller, struct guest *guest, uint64_t request)
{
    caller->guest = guest;
    caller->request = request;
    list_append(&guest->callers, &caller->in_guest);
}

void callers_guest_gone(struct guest *guest)
{
    while (!list_empty(&guest->callers)) {
        struct caller *caller = CONTAINER(guest->callers.next, struct caller, in_guest);
        list_remove(&caller->in_guest);
        caller->guest = NULL;
    }
}

static void fit(Wire__Answer *answer, size_t *count, Wire__Testimony **testimonies)
{
    size_t all = *count;
    *count = 0;
    size_t size = wire__answer__get_packed_size(answer) + ANSWER_SLACK_BYTES;
    CHECK(size < LIMIT_MESSAGE_BYTES);
    *count = testimonies_fit(testimonies, all, LIMIT_MESSAGE_BYTES - size);
    answer->more += all - *count;
}

static void free_testimonies(size_t *count, Wire__Testimony **testimonies)
{
    for (size_t i = 0; i < *count; i++)
        wire__testimony__free_unpacked(testimonies[i], NULL);
    *count = 0;
}

void caller_answer(struct server *server, struct caller *caller, Wire__Answer *answer)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Resolution *resolution = answer->resolution;
    answer->request = caller->request;
    fit(answer, &answer->n_testimonies, answer->testimonies);
    if (resolution)
        fit(answer, &resolution->n_testimonies, resolution->testimonies);
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = answer;
    if (caller->guest && !peer_send(caller->guest->peer, &message, false))
        host_log(&server->host, LOG_WARNING, "an answer to %s was dropped",
                 peer_name(caller->guest->peer));
    free_testimonies(&answer->n_testimonies, answer->testimonies);
    if (resolution)
        free_testimonies(&resolution->n_testimonies, resolution->testimonies);
    list_remove(&caller->in_guest);
}

static void query_done(struct server *server, void *context, const struct inquiry_result *result)
{
    struct caller *caller = context;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    if (!result) {
        list_remove(&caller->in_guest);
        free(caller);
        return;
    }
    /* Who reads this has to know since when participants were seen here. */
    Wire__CoordinatorView run = WIRE__COORDINATOR_VIEW__INIT;
    run.epoch = server->recovery.epoch;
    answer.coordinator = &run;
    answer.testimonies = xcalloc(result->count + 1, sizeof(Wire__Testimony *));
    answer.n_testimonies = result->count;
    for (size_t i = 0; i < result->count; i++) {
        answer.testimonies[i] = result->testimonies[i];
        result->testimonies[i] = NULL;
    }
    caller_answer(server, caller, &answer);
    free(answer.testimonies);
    free(caller);
}

static void refuse(struct server *server, struct guest *guest, const Wire__Query *query,
                   const char *code, const char *message, const char *hint)
{
    struct caller caller;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)code;
    problem.message = (char *)message;
    problem.hint = (char *)hint;
    answer.problem = &problem;
    caller_init(&caller, guest, query->request);
    caller_answer(server, &caller, &answer);
}

static void add(struct participant **whom, size_t *count, struct participant *participant)
{
    for (size_t i = 0; i < *count; i++) {
        if (whom[i] == participant)
            return;
    }
    whom[(*count)++] = participant;
}

static void add_everybody(const struct server *server, struct participant **whom, size_t *count)
{
    const struct list *head = &server->participants.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        struct participant *participant = CONTAINER(at, struct participant, all);
        if (!participant->never_seen)
            whom[(*count)++] = participant;
    }
}

struct participant **inquiry_concerned(struct server *server, const struct gid *id, size_t *count)
{
    struct participant **whom =
        xcalloc(server->participants.map.count + 1, sizeof(struct participant *));
    const struct tx *tx = server_is_ours(server, id) ? server_remember(server, id->tx) : NULL;
    *count = 0;
    if (!tx || tx->hazard_only) {
        add_everybody(server, whom, count);
        return whom;
    }
    for (int i = 0; i < tx->machine.branch_count; i++)
        add(whom, count, tx->branches[i].participant);
    gtrid_text gtrid;
    gtrid_format(gtrid, id->cluster, id->coordinator, id->tx);
    const struct heuristic *heuristic = heuristics_find(server, gtrid);
    for (struct list *at = heuristic ? heuristic->parts.next : NULL;
         heuristic && at != &heuristic->parts; at = at->next) {
        const struct heuristic_part *part = CONTAINER(at, struct heuristic_part, of);
        if (part->participant)
            add(whom, count, part->participant);
    }
    return whom;
}

static void ask_for(struct server *server, struct guest *guest, const Wire__Query *query,
                    struct participant *const *whom, size_t count, char *gtrid)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Query question = WIRE__QUERY__INIT;
    struct caller *caller = xcalloc(1, sizeof(*caller));
    question.what = query->what;
    question.gtrid = gtrid;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &question;
    caller_init(caller, guest, query->request);
    inquiry_ask(server, whom, count, &message, query_done, caller);
}

/* NULL: there is no such participant, and the client was told. */
static struct participant *named(struct server *server, struct guest *guest,
                                 const Wire__Query *query)
{
    struct participant *participant = participants_find(&server->participants, query->participant);
    if (!participant)
        refuse(server, guest, query, "unknown", "the coordinator knows no participant of this name",
               "`troth participant list` tells whom it knows");
    return participant;
}

void inquiry_query(struct server *server, struct guest *guest, const Wire__Query *query)
{
    struct gid id = {.branch = -1};
    gtrid_text gtrid = "";
    bool evidence = query->what == WIRE__WHAT__EVIDENCE;
    if (!inquiries_room(server)) {
        refuse(server, guest, query, "busy", "too many inquiries run at once", "try again");
        return;
    }
    if (evidence && !gtrid_parse(query->gtrid, &id) && !gid_parse(query->gtrid, &id)) {
        refuse(server, guest, query, "bad_request", "this is not the id of a transaction",
               "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth tx list`");
        return;
    }
    if (evidence)
        gtrid_format(gtrid, id.cluster, id.coordinator, id.tx);
    if (query->participant[0]) {
        struct participant *one = named(server, guest, query);
        if (one)
            ask_for(server, guest, query, &one, 1, gtrid);
        return;
    }
    size_t count = 0;
    struct participant **whom;
    if (evidence) {
        whom = inquiry_concerned(server, &id, &count);
    } else {
        whom = xcalloc(server->participants.map.count + 1, sizeof(struct participant *));
        add_everybody(server, whom, &count);
    }
    ask_for(server, guest, query, whom, count, gtrid);
    free(whom);
}
