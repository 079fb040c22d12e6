/* Tries that are transactions: each step has one key, which no client can name, so that another try
 * of it, and another run of this process, finds the same transaction. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "coordinator/sagas.h"
#include "core/check.h"
#include "core/json.h"
#include "core/planted.h"
#include "core/problem.h"

/* The mark, the saga's id, a slash and the step's label. */
typedef char key_text[1 + LIMIT_GTRID_BYTES + 1 + LIMIT_SAGA_LABEL_BYTES + 1];

static void format_key(key_text out, const struct server *server, struct txid saga,
                       const char *label)
{
    gtrid_text id;
    gtrid_format(id, server->cluster, server->coordinator, saga);
    snprintf(out, sizeof(key_text), "%c%s/%s", KEY_OF_STEP, id, label);
}

/* ---- outcomes ---- */

static const char *or_null(const char *text)
{
    return text && text[0] ? text : NULL;
}

static struct saga_problem problem_from(const Wire__Problem *problem)
{
    if (!problem)
        return (struct saga_problem){.code = "unknown", .message = "no reason was given"};
    return (struct saga_problem){
        .participant = or_null(problem->participant),
        .operation = or_null(problem->operation),
        .code = problem->code,
        .message = problem->message,
        .detail = or_null(problem->detail),
        .hint = or_null(problem->hint),
    };
}

/* The results of all calls as one list. */
static char *list_results(const Wire__Outcome *outcome)
{
    struct json_writer writer = {0};
    json_open(&writer, '[');
    for (size_t i = 0; i < outcome->n_results; i++)
        json_raw(&writer, outcome->results[i][0] ? outcome->results[i] : "null");
    json_close(&writer, ']');
    return writer.text;
}

/* What comes after the step must find what it did, and what undoes it must too. */
static bool told_unapplied(struct server *server, struct task *task, const Wire__Outcome *outcome)
{
    struct saga_problem problem = {
        .code = "unapplied",
        .message = "the transaction of this step is committed, and not yet applied everywhere",
    };
    if (outcome->n_unapplied == 0)
        return false;
    problem.participant = outcome->unapplied[0];
    task_answer(server, task, SAGA_UNSURE, NULL, &problem);
    return true;
}

static void committed(struct server *server, struct task *task, const Wire__Outcome *outcome)
{
    if (told_unapplied(server, task, outcome))
        return;
    if (!outcome->results_dropped) {
        task_answer(server, task, SAGA_SUCCEEDED, list_results(outcome), NULL);
        return;
    }
    struct saga_problem problem = {
        .code = "results_dropped",
        .message = "the transaction of this step is committed, and its results are lost",
        .detail = "they were too large to be kept",
    };
    task_answer(server, task, SAGA_UNPROVABLE, NULL, &problem);
}

/* Another try may fare better: nothing remains of an abort, and nothing began when it was rejected.
 * What is not known here may become known. */
static bool is_passing(const char *code)
{
    return problem_is_passing(code) || strcmp(code, "unknown_participant") == 0;
}

void group_told(struct server *server, struct task *task, const Wire__Outcome *outcome)
{
    if (outcome->result == WIRE__RESULT__COMMITTED) {
        committed(server, task, outcome);
        return;
    }
    /* A hazard here is that of an abort: what was decided stands. */
    struct saga_problem problem = problem_from(outcome->problem);
    if (outcome->result == WIRE__RESULT__UNKNOWN) {
        /* No majority of the sites: it is asked for again, and a person hears of it. */
        task_answer(server, task, SAGA_UNSURE, NULL, &problem);
        return;
    }
    task_answer(server, task, is_passing(problem.code) ? SAGA_NOT_DONE : SAGA_REFUSED, NULL,
                &problem);
}

/* ---- beginnings ---- */

/* Rejected now, and perhaps not a little later: the participants connect again after a restart, and
 * who shuts down begins nothing. */
static bool holds(const Wire__Problem *problem)
{
    static const char *const words[] = {"not_connected", "unknown_participant", "draining"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(problem->code, words[i]) == 0)
            return true;
    }
    return false;
}

static void hold(struct server *server, struct task *task)
{
    task->place = TASK_HELD;
    list_remove(&task->waits);
    list_append(&server->tasks.held, &task->waits);
}

/* What is left of the try's time is that of the transaction. */
static uint32_t timeout_ms(const struct server *server, const struct task *task)
{
    uint64_t left_ms = task_left_us(server, task) / 1000;
    return left_ms > UINT32_MAX ? UINT32_MAX : left_ms ? (uint32_t)left_ms : 1;
}

void group_joined(struct server *server, struct task *task, struct waiter *waiter)
{
    list_remove(&task->waits);
    timers_clear(&server->tasks.timers, &task->timer); /* the transaction has one */
    task->place = TASK_JOINED;
    task->waiter = waiter;
}

/* The step as a client would submit it. */
struct draft {
    Wire__Submit submit;
    Wire__Call calls[LIMIT_CALLS], *pointers[LIMIT_CALLS];
    key_text key;
};

static void draft_submit(const struct server *server, const struct task *task, struct draft *draft)
{
    const struct saga_plan *plan = saga_plan_of(task->run->machine);
    const struct saga_step *step = &plan->steps[task->instance.step];
    Wire__Submit *submit = &draft->submit;
    wire__submit__init(submit);
    CHECK(step->call_count <= LIMIT_CALLS);
    for (int i = 0; i < task->argument_count && i < step->call_count; i++) {
        const struct saga_call *call = &plan->calls[step->first_call + i];
        draft->pointers[i] = &draft->calls[i];
        wire__call__init(&draft->calls[i]);
        draft->calls[i].participant = (char *)call->participant;
        draft->calls[i].operation = (char *)call->operation;
        draft->calls[i].arguments = task->arguments[i];
        submit->n_calls++;
    }
    format_key(draft->key, server, task->run->id, task->label);
    submit->calls = draft->pointers;
    submit->key = draft->key;
    submit->protocol =
        step->protocol == SAGA_3PC ? WIRE__PROTOCOL__THREE_PHASE : WIRE__PROTOCOL__TWO_PHASE;
    submit->timeout_ms = timeout_ms(server, task);
    submit->wait = WIRE__WAIT__APPLIED;
}

static void begin(struct server *server, struct task *task, const Wire__Submit *submit, bool last)
{
    struct refusal refusal = {0};
    struct asker asker = {.task = task};
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    if (server_take(server, &asker, submit, &refusal))
        return;
    if (holds(&refusal.problem) && !last) {
        hold(server, task);
        return;
    }
    outcome.result = WIRE__RESULT__REJECTED;
    outcome.problem = &refusal.problem;
    group_told(server, task, &outcome);
}

void group_try(struct server *server, struct task *task, bool last)
{
    struct draft draft;
    struct asker asker = {.task = task};
    draft_submit(server, task, &draft);
    struct key *key = keys_find(&server->keys, draft.key);
    if (key && !key->tx && task->how == SAGA_DO && PLANTED(SAGA_GROUP_WITHOUT_KEY)) {
        keys_remove(&server->keys, key);
        key = NULL;
    }
    if (key) {
        server_join(server, &asker, key, &draft.submit);
    } else if (task->how == SAGA_DO) {
        begin(server, task, &draft.submit, last);
    } else {
        /* Never begun, or aborted; and it is not begun any more, as the saga goes back. */
        struct saga_problem problem = {.code = "cancelled",
                                       .message = "the transaction of this step is not committed, "
                                                  "and never will be"};
        task_answer(server, task, SAGA_REFUSED, NULL, &problem);
    }
}

void groups_again(struct server *server)
{
    struct tasks *tasks = &server->tasks;
    list_append(&tasks->held, &tasks->mark);
    while (tasks->held.next != &tasks->mark) {
        struct task *task = CONTAINER(tasks->held.next, struct task, waits);
        list_remove(&task->waits);
        group_try(server, task, false);
    }
    list_remove(&tasks->mark);
}

/* ---- results ---- */

static bool is_json(const char *text)
{
    struct error error = {0};
    struct json *json = json_parse(text, strlen(text), &error);
    json_free(json);
    return json != NULL;
}

void group_check_results(struct server *server, struct tx *tx, const Wire__Vote *vote)
{
    if (!tx->key || !key_of_step(tx->key->text) || tx->machine.state != TRANSACTION_VOTING)
        return;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    size_t size = 2 + (size_t)tx->call_count * sizeof("null,");
    bool sound = true;
    for (int i = 0; i < tx->call_count; i++)
        size += tx->calls[i].result ? strlen(tx->calls[i].result) : 0;
    for (size_t i = 0; i < vote->n_results; i++) {
        size += strlen(vote->results[i]);
        sound = sound && (!vote->results[i][0] || is_json(vote->results[i]));
    }
    if (sound && size <= LIMIT_RESULT_BYTES && !vote->results_dropped)
        return;
    problem.code = (char *)(sound ? "results_too_large" : "bad_result");
    problem.message = (char *)"what the operations returned can't be handed on by a saga";
    problem.detail = (char *)(sound ? "together they are larger than 32 KiB" : "it is not JSON");
    tx_problem(tx, NULL, &problem);
    struct transaction_event event = {.type = EVENT_DEADLINE_PASSED};
    CHECK(server_step(server, tx, &event));
}

/* ---- forgetting ---- */

void task_forget(struct server *server, struct saga_run *run, const struct saga_instance *instance)
{
    saga_label label;
    key_text text;
    format_key(text, server, run->id,
               saga_label_format(label, saga_plan_of(run->machine), instance));
    struct key *key = keys_find(&server->keys, text);
    if (!key)
        return;
    if (key->tx)
        key->forgotten = true; /* it goes when the transaction is over */
    else
        keys_remove(&server->keys, key);
}

static bool saga_of(const struct key *key, struct txid *out)
{
    gtrid_text id;
    struct gid gid;
    size_t size = strcspn(key->text + 1, "/");
    if (size >= sizeof(id))
        return false;
    memcpy(id, key->text + 1, size);
    id[size] = '\0';
    bool fine = gtrid_parse(id, &gid);
    *out = gid.tx;
    return fine;
}

void tasks_forget_orphans(struct server *server,
                          bool (*lives)(const struct server *server, struct txid saga))
{
    struct list *head = &server->keys.of_steps;
    for (struct list *at = head->next, *next; at != head; at = next) {
        struct key *key = CONTAINER(at, struct key, aged);
        struct txid saga;
        next = at->next;
        if (!saga_of(key, &saga) || !lives(server, saga))
            keys_remove(&server->keys, key);
    }
}
