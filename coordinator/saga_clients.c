/* Clients that start sagas, and wait for how they end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/json.h"
#include "core/planted.h"
#include "saga/input.h"

/* ---- refusals ------------------------------------------------------------------------------ */

static void send_outcome(struct guest *guest, Wire__SagaOutcome *outcome)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_SAGA_OUTCOME;
    message.saga_outcome = outcome;
    CHECK(peer_send(guest->peer, &message, true));
}

/* Returns false. */
static bool refuse(struct guest *guest, uint64_t request, const char *code,
                   const struct error *error)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    Wire__SagaOutcome outcome = WIRE__SAGA_OUTCOME__INIT;
    problem.code = (char *)code;
    problem.message = (char *)error->message;
    problem.detail = (char *)error->detail;
    problem.hint = (char *)error->hint;
    outcome.request = request;
    outcome.result = WIRE__SAGA_RESULT__SAGA_REJECTED;
    outcome.problem = &problem;
    send_outcome(guest, &outcome);
    return false;
}

static bool refuse_unknown(struct server *server, struct guest *guest, const Wire__StartSaga *start)
{
    const struct definitions *definitions = &server->sagas.definitions;
    const char *nearest = definitions_nearest(definitions, start->name);
    struct error error = {0};
    error_set(&error, ERROR_USAGE, "there is no saga %.64s", start->name);
    if (nearest)
        error_hint(&error, "did you mean %s?", nearest);
    else if (definitions->current_count == 0)
        error_hint(&error,
                   "%s knows no sagas: set `sagas` in its configuration to the folder of "
                   "their definitions",
                   server->coordinator);
    else
        error_hint(&error,
                   "`troth doctor` lists those that %s knows; its log says which "
                   "were refused",
                   server->coordinator);
    return refuse(guest, start->request, "unknown_saga", &error);
}

/* ---- who waits ----------------------------------------------------------------------------- */

struct saga_waiter *sagas_wait(struct server *server, struct saga_run *run, struct guest *guest,
                               uint64_t request, enum saga_wait_type type)
{
    struct saga_waiter *waiter = xcalloc(1, sizeof(*waiter));
    struct saga_extra *extra = sagas_extra(run);
    (void)server;
    waiter->run = run;
    waiter->guest = guest;
    waiter->request = request;
    waiter->type = type;
    list_append(&extra->waiters, &waiter->in_run);
    list_append(&guest->saga_waiters, &waiter->in_guest);
    extra->waiter_count++;
    return waiter;
}

void sagas_stop_waiting(struct server *server, struct saga_waiter *waiter)
{
    timers_clear(&server->sagas.waits, &waiter->timer);
    if (waiter->held)
        waiter->held->waiter = NULL;
    waiter->run->extra->waiter_count--;
    list_remove(&waiter->in_run);
    list_remove(&waiter->in_guest);
    free(waiter);
}

/* A problem's texts as far as they fit a message beside an output: a participant's may be long. */
struct problem_texts {
    char names[3][LIMIT_WORD_BYTES + 1], message[1000], detail[4000], hint[1000];
};

static char *cut(char *out, size_t room, const char *text)
{
    size_t size = text ? strnlen(text, room) : 0;
    if (size == room) {
        for (size = room - 1; size > 0 && (text[size] & 0xc0) == 0x80;)
            size--; /* not within a character */
    }
    memcpy(out, size ? text : "", size);
    out[size] = '\0';
    return out;
}

static void view_problem(const struct saga_problem *problem, struct problem_texts *texts,
                         Wire__Problem *out)
{
    wire__problem__init(out);
    out->participant = cut(texts->names[0], sizeof(texts->names[0]), problem->participant);
    out->operation = cut(texts->names[1], sizeof(texts->names[1]), problem->operation);
    out->code = cut(texts->names[2], sizeof(texts->names[2]), problem->code);
    out->message = cut(texts->message, sizeof(texts->message), problem->message);
    out->detail = cut(texts->detail, sizeof(texts->detail), problem->detail);
    out->hint = cut(texts->hint, sizeof(texts->hint), problem->hint);
}

/* How the saga stands. The run may be of the history. */
static void tell(const struct server *server, const struct saga_run *run, struct guest *guest,
                 uint64_t request, bool repeated_key, Wire__SagaResult result)
{
    const struct saga_problem *why = saga_problem(run->machine);
    Wire__SagaOutcome outcome = WIRE__SAGA_OUTCOME__INIT;
    struct problem_texts texts;
    Wire__Problem problem;
    gtrid_text id;
    gtrid_format(id, server->cluster, server->coordinator, run->id);
    outcome.request = request;
    outcome.saga = id;
    outcome.result = result;
    outcome.repeated_key = repeated_key;
    if (result == WIRE__SAGA_RESULT__SAGA_COMPLETED && saga_output(run->machine))
        outcome.output = (char *)saga_output(run->machine);
    if (why && result != WIRE__SAGA_RESULT__SAGA_COMPLETED) {
        view_problem(why, &texts, &problem);
        outcome.problem = &problem;
    }
    send_outcome(guest, &outcome);
}

static void answer(struct server *server, struct saga_waiter *waiter, Wire__SagaResult result)
{
    tell(server, waiter->run, waiter->guest, waiter->request, waiter->repeated_key, result);
    sagas_stop_waiting(server, waiter);
}

void sagas_answer_beginning(struct server *server, struct saga_run *run)
{
    struct list *waiters = &run->extra->waiters;
    for (struct list *at = waiters->next, *next; at != waiters; at = next) {
        struct saga_waiter *waiter = CONTAINER(at, struct saga_waiter, in_run);
        next = at->next;
        if (waiter->type == WAITS_FOR_BEGINNING)
            answer(server, waiter, WIRE__SAGA_RESULT__SAGA_STARTED);
    }
}

void sagas_answer_end(struct server *server, struct saga_run *run)
{
    bool completed = saga_state(run->machine) == SAGA_COMPLETED;
    while (run->extra && !list_empty(&run->extra->waiters)) {
        struct saga_waiter *waiter =
            CONTAINER(run->extra->waiters.next, struct saga_waiter, in_run);
        if (waiter->type == WAITS_FOR_ORDER)
            sagas_answer_order(server, waiter);
        else
            answer(server, waiter,
                   completed ? WIRE__SAGA_RESULT__SAGA_COMPLETED
                             : WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    }
}

/* It goes on, as far as is known durably: else that is waited for first. */
static void answer_running(struct server *server, struct saga_waiter *waiter)
{
    timers_clear(&server->sagas.waits, &waiter->timer);
    if (waiter->run->resumed)
        answer(server, waiter, WIRE__SAGA_RESULT__SAGA_STARTED);
    else
        waiter->type = WAITS_FOR_BEGINNING;
}

void sagas_pass_waits(struct server *server, uint64_t now_us)
{
    struct timers *waits = &server->sagas.waits;
    for (struct timer *timer; (timer = timers_due(waits, now_us)) != NULL;)
        answer_running(server, CONTAINER(timer, struct saga_waiter, timer));
}

void sagas_guest_gone(struct server *server, struct guest *guest)
{
    while (!list_empty(&guest->saga_waiters))
        sagas_stop_waiting(server,
                           CONTAINER(guest->saga_waiters.next, struct saga_waiter, in_guest));
}

void sagas_send_home(struct server *server)
{
    struct peer *peer = NULL;
    while ((peer = transport_next_peer(server->transport, peer)) != NULL) {
        struct guest *guest = peer_attached(peer);
        struct list *waiters = guest ? &guest->saga_waiters : NULL;
        for (struct list *at = waiters ? waiters->next : NULL, *next; at != waiters; at = next) {
            struct saga_waiter *waiter = CONTAINER(at, struct saga_waiter, in_guest);
            next = at->next;
            if (waiter->type == WAITS_FOR_END)
                answer_running(server, waiter);
        }
    }
}

/* ---- starting ------------------------------------------------------------------------------ */

static void await(struct server *server, struct guest *guest, const Wire__StartSaga *start,
                  struct saga_run *run, bool repeated)
{
    struct saga_waiter *waiter = sagas_wait(server, run, guest, start->request,
                                            start->wait ? WAITS_FOR_END : WAITS_FOR_BEGINNING);
    waiter->repeated_key = repeated;
    if (!start->wait && run->resumed)
        answer(server, waiter, WIRE__SAGA_RESULT__SAGA_STARTED);
    else if (start->wait && run->ended)
        sagas_answer_end(server, run);
    else if (start->wait && start->timeout_ms)
        timers_set(&server->sagas.waits, &waiter->timer,
                   server->host.now_us(server->host.self) + start->timeout_ms * UINT64_C(1000));
}

static void answer_kept(struct server *server, struct guest *guest, uint64_t request,
                        const struct saga_key *key)
{
    const struct saga_kept *kept = key->kept;
    Wire__SagaOutcome outcome = WIRE__SAGA_OUTCOME__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    gtrid_text id;
    gtrid_format(id, server->cluster, server->coordinator, key->id);
    outcome.request = request;
    outcome.saga = id;
    outcome.repeated_key = true;
    outcome.result =
        kept->completed ? WIRE__SAGA_RESULT__SAGA_COMPLETED : WIRE__SAGA_RESULT__SAGA_COMPENSATED;
    if (kept->completed) {
        outcome.output = (char *)kept->output;
        outcome.output_dropped = kept->output_dropped;
    } else {
        problem.participant = (char *)kept->participant;
        problem.operation = (char *)kept->operation;
        problem.code = (char *)kept->code;
        problem.message = (char *)kept->message;
        outcome.problem = &problem;
    }
    send_outcome(guest, &outcome);
}

/* The same start again: one more who waits, or the outcome. */
static void repeat(struct server *server, struct guest *guest, const Wire__StartSaga *start,
                   const struct saga_key *key, const uint8_t *print)
{
    struct error error = {0};
    if (memcmp(key->fingerprint, print, SAGA_FINGERPRINT_BYTES) != 0) {
        error_set(&error, ERROR_USAGE, "this idempotency key was used for another saga");
        error_detail(&error, "its name or its input were different");
        error_hint(&error, "use a new key for a new saga");
        refuse(guest, start->request, "key_conflict", &error);
    } else if (!key->run) {
        answer_kept(server, guest, start->request, key);
    } else if (sagas_extra(key->run)->waiter_count >= LIMIT_WAITERS) {
        error_set(&error, ERROR_BUSY, "too many clients wait for the saga of this key");
        error_detail(&error, "%d do, which is the limit; it goes on all the same", LIMIT_WAITERS);
        error_hint(&error, "start it again with the same key a little later");
        refuse(guest, start->request, "busy", &error);
    } else {
        await(server, guest, start, key->run, true);
    }
}

/* input: what stands for an empty one, too. */
static bool sound(struct guest *guest, const Wire__StartSaga *start, const char *input)
{
    struct error error = {0};
    if (strlen(start->key) > LIMIT_KEY_BYTES) {
        error_set(&error, ERROR_USAGE, "the idempotency key is longer than %d bytes",
                  LIMIT_KEY_BYTES);
        return refuse(guest, start->request, "bad_request", &error);
    }
    if (strlen(input) > LIMIT_SAGA_VALUE_BYTES) {
        error_set(&error, ERROR_USAGE, "the input is larger than %d bytes", LIMIT_SAGA_VALUE_BYTES);
        return refuse(guest, start->request, "bad_input", &error);
    }
    struct json *json = json_parse(input, strlen(input), &error);
    bool object = json && json->type == JSON_OBJECT;
    if (json && !object)
        error_set(&error, ERROR_USAGE, "the input is no JSON object");
    json_free(json);
    return object || refuse(guest, start->request, "bad_input", &error);
}

static bool has_room(struct server *server, struct guest *guest, const Wire__StartSaga *start)
{
    struct error error = {0};
    if (server->draining) {
        error_set(&error, ERROR_BUSY, "the coordinator is shutting down");
        error_hint(&error, "start it again when it is back");
        return refuse(guest, start->request, "draining", &error);
    }
    if (server->sagas.map.count >= LIMIT_SAGAS) {
        error_set(&error, ERROR_BUSY, "the coordinator is busy");
        error_detail(&error, "%d sagas run, which is the limit", LIMIT_SAGAS);
        error_hint(&error, "`troth saga list --needs-operator` tells which can't go on alone");
        return refuse(guest, start->request, "busy", &error);
    }
    if (start->key[0] && server->sagas.keys.map.count >= LIMIT_KEYS) {
        error_set(&error, ERROR_BUSY, "the coordinator remembers as many keys as it can");
        error_detail(&error, "%d of sagas", LIMIT_KEYS);
        error_hint(&error, "a shorter journal.retain forgets them sooner; or start without a key");
        return refuse(guest, start->request, "busy", &error);
    }
    return true;
}

void server_start_saga(struct server *server, struct guest *guest, const Wire__StartSaga *start)
{
    const char *given = start->input[0] ? start->input : "{}";
    uint8_t print[SAGA_FINGERPRINT_BYTES];
    struct error error = {0};
    struct saga_begin_how how = {0};
    if (!sound(guest, start, given))
        return;
    if (start->key[0]) {
        saga_fingerprint(print, start->name, given);
        const struct saga_key *key = saga_keys_find(&server->sagas.keys, start->key);
        if (key) {
            repeat(server, guest, start, key, print);
            return;
        }
    }
    if (!has_room(server, guest, start))
        return;
    how.definition = definitions_current(&server->sagas.definitions, start->name);
    if (!how.definition) {
        refuse_unknown(server, guest, start);
        return;
    }
    char *input = saga_input_complete(how.definition->plan, given, strlen(given), &error);
    if (!input) {
        refuse(guest, start->request, "bad_input", &error);
        return;
    }
    how.input = input;
    if (start->key[0])
        how.key = saga_keys_add(&server->sagas.keys, start->key, print, (struct txid){0, 0});
    struct saga_run *run = sagas_begin(server, &how);
    await(server, guest, start, run, false);
    free(input);
}

/* ---- waiting for one that has begun -------------------------------------------------------- */

static void refuse_unknown_id(struct guest *guest, const Wire__AwaitSaga *await)
{
    struct error error = {0};
    error_set(&error, ERROR_USAGE, "the coordinator knows no such saga");
    error_hint(&error, "`troth saga list --all` tells those that it remembers");
    refuse(guest, await->request, "unknown_saga", &error);
}

static void await_run(struct server *server, struct guest *guest, const Wire__AwaitSaga *await,
                      struct saga_run *run)
{
    struct error error = {0};
    if (sagas_extra(run)->waiter_count >= LIMIT_WAITERS) {
        error_set(&error, ERROR_BUSY, "too many clients wait for this saga");
        error_detail(&error, "%d do, which is the limit; it goes on all the same", LIMIT_WAITERS);
        error_hint(&error, "ask again a little later");
        refuse(guest, await->request, "busy", &error);
        return;
    }
    struct saga_waiter *waiter = sagas_wait(server, run, guest, await->request, WAITS_FOR_END);
    if (server->draining)
        answer_running(server, waiter);
    else if (await->timeout_ms)
        timers_set(&server->sagas.waits, &waiter->timer,
                   server->host.now_us(server->host.self) + await->timeout_ms * UINT64_C(1000));
}

void server_await_saga(struct server *server, struct guest *guest, const Wire__AwaitSaga *await)
{
    struct gid id;
    bool ours = gtrid_parse(await->saga, &id) && server_is_ours(server, &id);
    struct saga_run *run = ours ? sagas_find(server, id.tx) : NULL;
    const struct saga_run *old = ours && !run ? sagas_find_ended(server, id.tx) : run;
    if (!old)
        refuse_unknown_id(guest, await);
    else if (old->ended)
        tell(server, old, guest, await->request, false,
             saga_state(old->machine) == SAGA_COMPLETED ? WIRE__SAGA_RESULT__SAGA_COMPLETED
                                                        : WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    else
        await_run(server, guest, await, run);
}
