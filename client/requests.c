/* Requests on their way: to the loop's thread, to a coordinator, back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/library.h"
#include "core/check.h"
#include "core/limits.h"

/* A session whose queue is full takes more a little later. */
#define FULL_PAUSE_US (10 * 1000)

static size_t size_of(const Wire__Message *message)
{
    return wire__message__get_packed_size(message);
}

Wire__Message *message_copy(const Wire__Message *message)
{
    size_t size = size_of(message);
    uint8_t *bytes = xmalloc(size + 1);
    wire__message__pack(message, bytes);
    Wire__Message *copy = wire__message__unpack(NULL, size, bytes);
    free(bytes);
    return copy;
}

/* A text that is no UTF-8 can't travel; protobuf-c does not look, so the coordinator judges it. */
struct request *request_new(struct troth *troth, const Wire__Message *message, uint32_t timeout_ms,
                            request_conclude *conclude)
{
    struct request *request = xcalloc(1, sizeof(*request));
    request->troth = troth;
    request->message = message_copy(message);
    CHECK(request->message);
    request->number = atomic_fetch_add(&troth->numbers, 1) + 1;
    uint64_t wait_us = (timeout_ms ? timeout_ms : (uint32_t)CONNECT_PATIENCE_MS) * UINT64_C(1000);
    request->patient = timeout_ms == 0;
    request->due_us = library_now_us() + wait_us + ANSWER_MARGIN_US;
    request->endpoint = ANY_ENDPOINT;
    request->conclude = conclude;
    list_init(&request->node);
    return request;
}

void request_free(struct request *request)
{
    wire__message__free_unpacked(request->message, NULL);
    if (request->answer)
        wire__message__free_unpacked(request->answer, NULL);
    if (request->free_more)
        request->free_more(request->more);
    if (request->blocking)
        pthread_cond_destroy(&request->ended);
    free(request);
}

/* ---- the caller's side --------------------------------------------------------------------- */

static void tell_ready(struct troth *troth)
{
    uint64_t one = 1;
    ssize_t size = write(troth->ready_fd, &one, sizeof(one));
    CHECK(size == sizeof(one) || errno == EAGAIN);
}

/* Under the lock: for troth_dispatch. */
static void finish(struct request *request)
{
    bool first = list_empty(&request->troth->finished);
    list_append(&request->troth->finished, &request->node);
    if (first)
        tell_ready(request->troth);
}

/* Under the lock. */
static void close_one(struct request *request)
{
    request->end = REQUEST_CLOSED;
    if (request->orphan) {
        request_free(request);
    } else if (request->blocking) {
        request->over = true;
        pthread_cond_signal(&request->ended);
    } else {
        finish(request);
    }
}

/* Under the lock. */
static void give_to_loop(struct request *request)
{
    struct troth *troth = request->troth;
    if (troth->ended) {
        close_one(request);
        return;
    }
    bool first = list_empty(&troth->inbox);
    list_append(&troth->inbox, &request->node);
    if (first)
        library_wake(troth);
}

void requests_close(struct troth *troth)
{
    pthread_mutex_lock(&troth->lock);
    troth->ended = true;
    while (!list_empty(&troth->inbox)) {
        struct request *request = CONTAINER(troth->inbox.next, struct request, node);
        list_remove(&request->node);
        close_one(request);
    }
    pthread_mutex_unlock(&troth->lock);
}

enum troth_status request_wait(struct request *request, struct troth_result *result)
{
    struct troth *troth = request->troth;
    request->blocking = true;
    CHECK(pthread_cond_init(&request->ended, NULL) == 0);
    pthread_mutex_lock(&troth->lock);
    troth->callers++;
    give_to_loop(request);
    while (!request->over)
        pthread_cond_wait(&request->ended, &troth->lock);
    if (--troth->callers == 0)
        pthread_cond_broadcast(&troth->left);
    pthread_mutex_unlock(&troth->lock);
    request->conclude(request, result);
    enum troth_status status = result->status;
    request_free(request);
    return status;
}

void request_later(struct request *request, troth_done *done, void *self)
{
    struct troth *troth = request->troth;
    request->done = done;
    request->done_self = self;
    pthread_mutex_lock(&troth->lock);
    give_to_loop(request);
    pthread_mutex_unlock(&troth->lock);
}

void request_forget(struct request *request)
{
    struct troth *troth = request->troth;
    request->orphan = true;
    pthread_mutex_lock(&troth->lock);
    give_to_loop(request);
    pthread_mutex_unlock(&troth->lock);
}

static void conclude_made(struct request *request, struct troth_result *result)
{
    struct troth_result *made = request->more;
    result_give(result, made);
}

void request_later_made(struct troth *troth, struct troth_result *made, troth_done *done,
                        void *self)
{
    Wire__Message nothing = WIRE__MESSAGE__INIT;
    struct request *request = request_new(troth, &nothing, 0, conclude_made);
    request->more = xmalloc(sizeof(*made));
    *(struct troth_result *)request->more = *made;
    *made = (struct troth_result){0};
    request->free_more = free;
    request->done = done;
    request->done_self = self;
    pthread_mutex_lock(&troth->lock);
    finish(request);
    pthread_mutex_unlock(&troth->lock);
}

enum troth_status request_unanswered(struct request *request, struct troth_result *result)
{
    const char *reason = request->reason;
    switch (request->end) {
    case REQUEST_TOO_LARGE:
        return result_fail(result, TROTH_REFUSED, "bad_request",
                           "the request is larger than %d bytes", LIMIT_MESSAGE_BYTES);
    case REQUEST_ELSEWHERE:
        result_fail(result, TROTH_UNKNOWN, "elsewhere", "%s.%s is none of the coordinators here",
                    request->home.cluster, request->home.coordinator);
        result_hint(result, "give troth_open the address of that coordinator");
        return result->status;
    case REQUEST_CLOSED:
        return result_fail(result, request->ever_sent ? TROTH_UNKNOWN : TROTH_UNAVAILABLE, "closed",
                           "troth_close was called");
    default:
        break;
    }
    if (!request->ever_sent) {
        result_fail(result, TROTH_UNAVAILABLE, "no_coordinator", "no coordinator answers%s%s",
                    *reason ? ": " : "", reason);
        result_hint(result, "is trothd running there? troth_open or TROTH_COORDINATOR says where");
        return result->status;
    }
    if (request->end == REQUEST_LATE && !*reason)
        return result_fail(result, TROTH_UNKNOWN, "no_answer",
                           "the coordinator has not answered in time");
    return result_fail(result, TROTH_UNKNOWN, "session_lost",
                       "the session with the coordinator was lost before the answer came%s%s",
                       *reason ? ": " : "", reason);
}

/* ---- the loop's side: ends ----------------------------------------------------------------- */

static bool numbered(const struct map_node *node, const void *key)
{
    return CONTAINER(node, struct request, by_number)->number == *(const uint64_t *)key;
}

/* From here on it is the caller's. */
static void end(struct request *request, enum request_end how)
{
    struct troth *troth = request->troth;
    request->end = how;
    list_remove(&request->node);
    map_remove(&troth->by_number, &request->by_number);
    timers_clear(&troth->timers, &request->timer);
    if (request->orphan) {
        request_free(request);
        return;
    }
    pthread_mutex_lock(&troth->lock);
    if (request->blocking) {
        request->over = true;
        pthread_cond_signal(&request->ended);
    } else {
        finish(request);
    }
    pthread_mutex_unlock(&troth->lock);
}

static void note_reason(struct request *request, const struct endpoint *endpoint)
{
    snprintf(request->reason, sizeof(request->reason), "%.200s%s%s", endpoint->address,
             endpoint->reason[0] ? " " : "", endpoint->reason);
}

/* Nobody is there: what is known of why. */
static void note_absence(struct request *request)
{
    const struct troth *troth = request->troth;
    request->reason[0] = '\0';
    int first = request->endpoint == ANY_ENDPOINT ? 0 : request->endpoint;
    if (!client_connected(troth->endpoints[first].client) || troth->endpoints[first].reason[0])
        note_reason(request, &troth->endpoints[first]);
}

static void arm(struct request *request)
{
    bool paused = request->pause_us > 0 && request->pause_us < request->due_us;
    timers_set(&request->troth->timers, &request->timer,
               paused ? request->pause_us : request->due_us);
}

/* ---- the loop's side: sending -------------------------------------------------------------- */

static bool is_home(const struct endpoint *endpoint, const struct gid *home)
{
    return strcmp(client_coordinator(endpoint->client), home->coordinator) == 0 &&
           strcmp(client_cluster(endpoint->client), home->cluster) == 0;
}

/* The one that has it; NULL: it is not there now. *nowhere: all are there, and none is the one. */
static struct endpoint *find_home(struct troth *troth, const struct gid *home, bool *nowhere)
{
    *nowhere = true;
    for (int i = 0; i < troth->endpoint_count; i++) {
        struct endpoint *endpoint = &troth->endpoints[i];
        if (!endpoint_usable(endpoint))
            *nowhere = false;
        else if (is_home(endpoint, home))
            return endpoint;
    }
    return NULL;
}

static struct endpoint *find_any(struct troth *troth)
{
    uint64_t now_us = library_now_us();
    for (int i = 0; i < troth->endpoint_count; i++) {
        struct endpoint *endpoint = &troth->endpoints[i];
        if (endpoint_usable(endpoint))
            return endpoint;
        if (now_us < endpoint->hoped_until_us)
            return NULL;
    }
    return NULL;
}

static struct endpoint *route(struct request *request, bool *nowhere)
{
    struct troth *troth = request->troth;
    *nowhere = false;
    if (request->at_home)
        return find_home(troth, &request->home, nowhere);
    if (request->endpoint == ANY_ENDPOINT)
        return find_any(troth);
    struct endpoint *endpoint = &troth->endpoints[request->endpoint];
    return endpoint_usable(endpoint) ? endpoint : NULL;
}

/* Its number, and what is left of its time. */
static void prepare(struct request *request)
{
    Wire__Message *message = request->message;
    uint64_t now_us = library_now_us();
    uint64_t end_us = request->due_us - ANSWER_MARGIN_US;
    uint32_t left_ms = end_us > now_us + 1000 ? (uint32_t)((end_us - now_us) / 1000) : 1;
    switch (message->body_case) {
    case WIRE__MESSAGE__BODY_SUBMIT:
        message->submit->request = request->number;
        if (message->submit->timeout_ms)
            message->submit->timeout_ms = left_ms;
        break;
    case WIRE__MESSAGE__BODY_BEGIN:
        message->begin->request = request->number;
        if (message->begin->timeout_ms)
            message->begin->timeout_ms = left_ms;
        break;
    case WIRE__MESSAGE__BODY_AWAIT_SAGA:
        message->await_saga->request = request->number;
        message->await_saga->timeout_ms = left_ms;
        break;
    case WIRE__MESSAGE__BODY_QUERY:
        message->query->request = request->number;
        break;
    case WIRE__MESSAGE__BODY_START_SAGA:
        message->start_saga->request = request->number;
        break;
    case WIRE__MESSAGE__BODY_SAGA_ORDER:
        message->saga_order->request = request->number;
        break;
    case WIRE__MESSAGE__BODY_PERFORM:
        message->perform->request = request->number;
        break;
    case WIRE__MESSAGE__BODY_JOIN:
        message->join->request = request->number;
        break;
    case WIRE__MESSAGE__BODY_HAND_OVER:
        message->hand_over->request = request->number;
        break;
    default:
        CHECK(message->body_case == WIRE__MESSAGE__BODY_END);
        message->end->request = request->number;
    }
}

/* The session in which alone it makes sense is over. */
static bool is_gone(const struct request *request, const struct endpoint *endpoint)
{
    if (!request->session || (request->session_once && request->ever_sent))
        return false;
    return !endpoint || endpoint->sessions != request->session;
}

/* Sends it, ends it, or leaves it among the unsent. */
static void try_to_send(struct request *request)
{
    bool nowhere;
    struct endpoint *endpoint = route(request, &nowhere);
    if (is_gone(request, endpoint)) {
        end(request, REQUEST_GONE);
        return;
    }
    if (!endpoint && nowhere) {
        end(request, REQUEST_ELSEWHERE);
        return;
    }
    if (!endpoint || request->pause_us)
        return;
    prepare(request);
    if (size_of(request->message) > LIMIT_MESSAGE_BYTES) {
        end(request, REQUEST_TOO_LARGE);
        return;
    }
    if (!client_send(endpoint->client, request->message)) {
        request->pause_us = library_now_us() + FULL_PAUSE_US;
        arm(request);
        return;
    }
    if (request->patient && !request->ever_sent) {
        request->due_us = library_now_us() + PATIENCE_MS * UINT64_C(1000) + ANSWER_MARGIN_US;
        arm(request);
    }
    request->repeated = request->ever_sent;
    request->ever_sent = true;
    list_remove(&request->node);
    list_append(&endpoint->sent, &request->node);
}

void requests_take(struct troth *troth)
{
    struct list taken;
    list_init(&taken);
    pthread_mutex_lock(&troth->lock);
    while (!list_empty(&troth->inbox)) {
        struct list *node = troth->inbox.next;
        list_remove(node);
        list_append(&taken, node);
    }
    pthread_mutex_unlock(&troth->lock);
    while (!list_empty(&taken)) {
        struct request *request = CONTAINER(taken.next, struct request, node);
        list_remove(&request->node);
        list_append(&troth->unsent, &request->node);
        map_insert(&troth->by_number, &request->by_number, hash_u64(request->number));
        arm(request);
        if (troth->leaving && !request->orphan)
            end(request, REQUEST_CLOSED);
        else
            try_to_send(request);
    }
}

void requests_retry(struct troth *troth)
{
    uint64_t now_us = library_now_us();
    for (int i = 0; i < troth->endpoint_count; i++) {
        struct endpoint *endpoint = &troth->endpoints[i];
        if (endpoint->hoped_until_us && endpoint->hoped_until_us <= now_us) {
            endpoint->hoped_until_us = 0;
            troth->routes_changed = true;
        }
    }
    if (!troth->routes_changed)
        return;
    troth->routes_changed = false;
    for (struct list *at = troth->unsent.next, *next; at != &troth->unsent; at = next) {
        next = at->next;
        try_to_send(CONTAINER(at, struct request, node));
    }
}

/* ---- the loop's side: what comes ----------------------------------------------------------- */

static void expire(struct request *request)
{
    note_absence(request);
    end(request, request->ever_sent ? REQUEST_LATE : REQUEST_NOBODY);
}

void requests_due(struct troth *troth)
{
    uint64_t now_us = library_now_us();
    for (struct timer *timer; (timer = timers_due(&troth->timers, now_us)) != NULL;) {
        struct request *request = CONTAINER(timer, struct request, timer);
        if (now_us >= request->due_us) {
            expire(request);
            continue;
        }
        request->pause_us = 0;
        arm(request);
        try_to_send(request);
    }
}

static void send_again(struct request *request, uint64_t pause_us)
{
    struct troth *troth = request->troth;
    list_remove(&request->node);
    list_append(&troth->unsent, &request->node);
    request->pause_us = pause_us > 1 ? library_now_us() + pause_us : 0;
    arm(request);
    if (!request->pause_us)
        try_to_send(request);
}

/* Whoever has a part in it and can't tell whether it was carried out makes an end of it all. */
static void turn_to_abort(struct request *request)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__End order = WIRE__END__INIT;
    gtrid_text gtrid;
    gtrid_format(gtrid, request->home.cluster, request->home.coordinator, request->home.tx);
    order.gtrid = gtrid;
    message.body_case = WIRE__MESSAGE__BODY_END;
    message.end = &order;
    wire__message__free_unpacked(request->message, NULL);
    request->message = message_copy(&message);
    request->turned = request->repeat = true;
}

void requests_lost(struct endpoint *endpoint)
{
    for (struct list *at = endpoint->sent.next, *next; at != &endpoint->sent; at = next) {
        struct request *request = CONTAINER(at, struct request, node);
        next = at->next;
        note_reason(request, endpoint);
        if (request->session && !request->session_once)
            end(request, REQUEST_GONE);
        else if (request->abort_if_lost && !request->turned)
            turn_to_abort(request);
        else if (!request->repeat)
            end(request, REQUEST_LOST);
    }
    /* What is left may be sent again, once there is a session. */
    while (!list_empty(&endpoint->sent)) {
        struct list *node = endpoint->sent.next;
        list_remove(node);
        list_append(&endpoint->troth->unsent, node);
    }
    endpoint->troth->routes_changed = true;
}

void requests_answered(struct endpoint *endpoint, uint64_t number, const Wire__Message *answer)
{
    struct troth *troth = endpoint->troth;
    struct map_node *node = map_find(&troth->by_number, hash_u64(number), numbered, &number);
    struct request *request = node ? CONTAINER(node, struct request, by_number) : NULL;
    if (!request)
        return; /* its time was up */
    uint64_t pause_us = request->judge ? request->judge(request, answer) : 0;
    /* What it would be answered after its time is not waited for: then this is the answer. */
    uint64_t margin_us = pause_us > 1 ? ANSWER_MARGIN_US : 0;
    if (pause_us && library_now_us() + pause_us + margin_us < request->due_us) {
        send_again(request, pause_us);
        return;
    }
    request->answer = message_copy(answer);
    CHECK(request->answer);
    request->answered_by = endpoint->index;
    request->answered_session = endpoint->sessions;
    end(request, REQUEST_ANSWERED);
}

void requests_end_all(struct troth *troth)
{
    for (struct map_node *node = map_next(&troth->by_number, NULL), *next; node; node = next) {
        struct request *request = CONTAINER(node, struct request, by_number);
        next = map_next(&troth->by_number, node);
        if (!request->orphan)
            end(request, REQUEST_CLOSED);
    }
}

void requests_free_all(struct troth *troth)
{
    for (struct map_node *node = map_next(&troth->by_number, NULL), *next; node; node = next) {
        next = map_next(&troth->by_number, node);
        map_remove(&troth->by_number, node);
        request_free(CONTAINER(node, struct request, by_number));
    }
}
