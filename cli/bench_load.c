#include "cli/bench_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench_report.h"
#include "cli/order.h"
#include "cli/print.h"
#include "cli/saga.h"
#include "client/client.h"
#include "core/check.h"
#include "core/limits.h"
#include "io/loop.h"
#include "io/nano.h"

/* What was refused would be refused again at once: the next one waits so long in its place. */
#define REFUSED_PAUSE_US (10 * 1000)
#define ANSWER_US        (5 * 1000 * 1000ull)
/* A coordinator that went away may come back. */
#define AWAY_US (30 * 1000 * 1000ull)
/* How long the last ones are waited for: their deadline and a margin, or this where there is none;
 * and after a signal. */
#define DRAIN_US             (30 * 1000 * 1000ull)
#define DRAIN_MARGIN_US      (2 * 1000 * 1000ull)
#define DRAIN_INTERRUPTED_US (1000 * 1000ull)
#define LINE_EVERY_US        (500 * 1000ull)
#define NEVER                UINT64_MAX

/* A place for one request at a time. */
struct slot {
    bool running, measured;
    int entry;
    uint64_t since_us; /* its beginning, or when it should have been */
    uint64_t free_us;  /* not before */
};

struct run {
    struct bench_load *load;
    struct bench_plan *plan;
    const struct host_port *host;
    struct loop *loop;
    struct nano *nano;
    struct client *client;
    struct slot *slots;
    int *free_slots, free_count;     /* a stack */
    int *paused_slots, paused_count; /* a ring of in_flight places, in the order of free_us */
    int paused_first;
    int64_t *shares; /* of each entry: what it is owed, times all weights */
    int64_t weights;
    bool up, ended, leaving;
    uint64_t opened_us, answer_us;      /* when it began to wait for a session, and how long */
    uint64_t begin_us, warm_us, end_us; /* end_us: NEVER until a count is reached */
    uint64_t down_us;                   /* 0: the session is there */
    uint64_t stop_us;                   /* when the last are not waited for any longer */
    uint64_t scheduled, measured;       /* how many were begun, how many of them count */
    uint64_t line_us;                   /* when the live line is due; NEVER: there is none */
    struct bench_line line;
    struct error *error;
    bool failed;
};

static uint64_t now_us(const struct run *run)
{
    return run->host->now_us(run->host->self);
}

static void fail(struct run *run)
{
    run->failed = true;
    loop_stop(run->loop);
}

/* ---- places -------------------------------------------------------------------------------- */

static void release(struct run *run, struct slot *slot, uint64_t free_us)
{
    int index = (int)(slot - run->slots);
    slot->running = false;
    slot->free_us = free_us;
    run->load->running--;
    if (free_us)
        run->paused_slots[(run->paused_first + run->paused_count++) % run->plan->in_flight] = index;
    else
        run->free_slots[run->free_count++] = index;
}

/* All pauses are of the same length, so the first is over first. */
static void end_pauses(struct run *run, uint64_t now)
{
    while (run->paused_count && run->slots[run->paused_slots[run->paused_first]].free_us <= now) {
        run->free_slots[run->free_count++] = run->paused_slots[run->paused_first];
        run->paused_first = (run->paused_first + 1) % run->plan->in_flight;
        run->paused_count--;
    }
}

/* Those of the mix take turns, so that its weights are kept at any moment: each is owed its weight
 * with every request, and the one that is owed most pays for it. */
static int next_entry(struct run *run)
{
    int best = -1;
    for (int i = 0; i < run->plan->entry_count; i++) {
        run->shares[i] += run->plan->entries[i].weight;
        if (run->plan->entries[i].weight && (best < 0 || run->shares[i] > run->shares[best]))
            best = i;
    }
    run->shares[best] -= run->weights;
    return best;
}

/* ---- how requests end ---------------------------------------------------------------------- */

static void miss(struct run *run, const struct slot *slot, enum bench_end end,
                 const Wire__Problem *problem, const char *code)
{
    if (problem && *problem->code)
        code = problem->code;
    run->line.missed++;
    if (slot->measured)
        bench_figures_miss(&run->load->figures[slot->entry], end,
                           problem ? problem->participant : "", code,
                           problem ? problem->message : "");
}

static void done(struct run *run, const struct slot *slot)
{
    uint64_t took_us = now_us(run) - slot->since_us;
    latencies_add(&run->line.recent, took_us);
    if (slot->measured)
        latencies_add(&run->load->figures[slot->entry].done, took_us);
}

/* One that will be refused each time is a mistake of the file: there is nothing to measure. All
 * participants were there at first; who is not known now will be, after a start of the coordinator.
 */
static void refused(struct run *run, struct slot *slot, const Wire__Problem *problem,
                    enum error_kind kind)
{
    bool passing = problem && strcmp(problem->code, "unknown_participant") == 0;
    if (kind != ERROR_USAGE || passing) {
        miss(run, slot, BENCH_REFUSED, problem, "refused");
        release(run, slot, now_us(run) + REFUSED_PAUSE_US);
        return;
    }
    char *line = problem_line(problem);
    error_set(run->error, ERROR_USAGE, "%s: %s", run->plan->entries[slot->entry].name, line);
    error_detail(run->error, "%s", problem ? problem->detail : "");
    error_hint(run->error, "%s", problem ? problem->hint : "");
    free(line);
    fail(run);
}

static struct slot *slot_of(struct run *run, uint64_t request)
{
    struct slot *slot = request < (uint64_t)run->plan->in_flight ? &run->slots[request] : NULL;
    return slot && slot->running ? slot : NULL;
}

static void on_outcome(void *self, const Wire__Outcome *outcome)
{
    struct run *run = self;
    struct slot *slot = slot_of(run, outcome->request);
    if (!slot)
        return;
    if (outcome->result == WIRE__RESULT__REJECTED) {
        refused(run, slot, outcome->problem, order_refusal(outcome->problem));
        return;
    }
    bool early = run->plan->entries[slot->entry].early;
    if (outcome->repeated_key)
        miss(run, slot, BENCH_REPEATED, NULL, "repeated_key");
    else if (outcome->result == WIRE__RESULT__COMMITTED && (outcome->applied || early))
        done(run, slot);
    else if (outcome->result == WIRE__RESULT__COMMITTED)
        miss(run, slot, BENCH_UNAPPLIED, outcome->problem, "not_applied_in_time");
    else if (outcome->result == WIRE__RESULT__ABORTED)
        miss(run, slot, BENCH_ABORTED, outcome->problem, "aborted");
    else if (outcome->result == WIRE__RESULT__HAZARD)
        miss(run, slot, BENCH_HAZARD, outcome->problem, "hazard");
    else
        miss(run, slot, BENCH_UNKNOWN, outcome->problem, "unknown");
    release(run, slot, 0);
}

static void on_saga_outcome(void *self, const Wire__SagaOutcome *outcome)
{
    struct run *run = self;
    struct slot *slot = slot_of(run, outcome->request);
    if (!slot)
        return;
    if (outcome->result == WIRE__SAGA_RESULT__SAGA_REJECTED) {
        refused(run, slot, outcome->problem, saga_refusal(outcome->problem));
        return;
    }
    bool started = outcome->result == WIRE__SAGA_RESULT__SAGA_STARTED;
    if (outcome->repeated_key)
        miss(run, slot, BENCH_REPEATED, NULL, "repeated_key");
    else if (outcome->result == WIRE__SAGA_RESULT__SAGA_COMPLETED ||
             (started && run->plan->entries[slot->entry].early))
        done(run, slot);
    else if (outcome->result == WIRE__SAGA_RESULT__SAGA_COMPENSATED)
        miss(run, slot, BENCH_COMPENSATED, outcome->problem, "compensated");
    else
        miss(run, slot, started ? BENCH_RUNNING : BENCH_UNKNOWN, outcome->problem,
             started ? "not_ended_in_time" : "unknown");
    release(run, slot, 0);
}

/* None of those in flight will be answered. */
static void give_up(struct run *run, const char *code, const char *message)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)code; /* only read */
    problem.message = (char *)message;
    for (int i = 0; i < run->plan->in_flight; i++) {
        if (!run->slots[i].running)
            continue;
        miss(run, &run->slots[i], BENCH_UNKNOWN, &problem, code);
        release(run, &run->slots[i], 0);
    }
}

/* ---- beginning ----------------------------------------------------------------------------- */

static bool send_request(struct run *run, int entry, int slot)
{
    const struct bench_entry *what = &run->plan->entries[entry];
    bool sent;
    bench_values_next(run->plan->values);
    if (what->saga) {
        Wire__StartSaga *start = bench_start_draw(run->plan, what);
        start->request = (uint64_t)slot;
        sent = client_start_saga(run->client, start);
        bench_start_free(start);
    } else {
        Wire__Submit *submit = bench_submit_draw(run->plan, what);
        submit->request = (uint64_t)slot;
        sent = client_submit(run->client, submit);
        bench_submit_free(submit);
    }
    return sent;
}

static uint64_t due_us(const struct run *run)
{
    return run->begin_us + run->scheduled * run->plan->interval_ns / 1000;
}

static void begin(struct run *run, uint64_t since_us)
{
    int index = run->free_slots[--run->free_count];
    struct slot *slot = &run->slots[index];
    *slot = (struct slot){.running = true,
                          .entry = next_entry(run),
                          .since_us = since_us,
                          .measured = since_us >= run->warm_us};
    run->load->running++;
    run->load->begun++;
    run->scheduled++;
    run->measured += slot->measured;
    if (send_request(run, slot->entry, index))
        return;
    miss(run, slot, BENCH_REFUSED, NULL, "not_sent");
    release(run, slot, now_us(run) + REFUSED_PAUSE_US);
}

/* The moment from which on none is begun, or NEVER. */
static void look_at_end(struct run *run, uint64_t now)
{
    if (!run->ended && run->plan->count && run->measured >= run->plan->count)
        run->end_us = now;
    if (run->ended || now < run->end_us)
        return;
    run->ended = true;
    if (run->plan->interval_ns)
        for (; run->plan->duration_us && due_us(run) < run->end_us; run->scheduled++)
            run->load->late += due_us(run) >= run->warm_us;
    uint64_t wait_us = DRAIN_MARGIN_US;
    for (int i = 0; i < run->plan->entry_count; i++) {
        uint64_t deadline_us = run->plan->entries[i].deadline_us;
        uint64_t own_us = deadline_us ? deadline_us + DRAIN_MARGIN_US : DRAIN_US;
        wait_us = own_us > wait_us ? own_us : wait_us;
    }
    run->stop_us = now + wait_us;
}

static void begin_due(struct run *run, uint64_t now)
{
    end_pauses(run, now);
    while (run->up && !run->ended && run->free_count) {
        uint64_t since_us = run->plan->interval_ns ? due_us(run) : now;
        if (since_us > now || since_us >= run->end_us)
            break;
        begin(run, since_us);
        look_at_end(run, now);
    }
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void on_up(void *self)
{
    struct run *run = self;
    run->up = true;
    run->down_us = 0;
    if (run->begin_us)
        return;
    run->begin_us = now_us(run);
    run->warm_us = run->begin_us + run->plan->warm_up_us;
    run->end_us = run->plan->duration_us ? run->warm_us + run->plan->duration_us : NEVER;
    run->line_us = run->line.shown ? run->begin_us + LINE_EVERY_US : NEVER;
    run->line.since_us = run->begin_us;
}

static void on_down(void *self, const char *reason)
{
    struct run *run = self;
    if (run->leaving)
        return;
    run->up = false;
    run->down_us = now_us(run);
    give_up(run, "session_lost", reason);
}

static void on_refused(void *self, const char *reason, const char *hint)
{
    struct run *run = self;
    error_set(run->error, ERROR_REFUSED, "the coordinator refuses: %s", reason);
    error_hint(run->error, "%s", hint);
    fail(run);
}

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)route;
    client_frame(((struct run *)self)->client, frame, size);
}

static void on_broken(void *self)
{
    client_broken(((struct run *)self)->client);
}

static void on_stop(void *self)
{
    struct run *run = self;
    uint64_t now = now_us(run);
    run->load->interrupted = true;
    if (!run->begin_us)
        loop_stop(run->loop);
    run->end_us = now < run->end_us ? now : run->end_us;
    look_at_end(run, now);
    run->stop_us = now + DRAIN_INTERRUPTED_US;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When time alone changes something. */
static uint64_t wake_us(const struct run *run)
{
    uint64_t wake = run->line_us;
    if (run->paused_count)
        wake = least(wake, run->slots[run->paused_slots[run->paused_first]].free_us);
    if (run->ended)
        return least(wake, run->stop_us);
    if (run->down_us)
        wake = least(wake, run->down_us + AWAY_US);
    if (run->plan->interval_ns && run->up && run->free_count)
        wake = least(wake, due_us(run));
    return least(wake, run->end_us);
}

static void show_line(struct run *run, uint64_t now)
{
    run->line.now_us = now;
    run->line.running = run->load->running;
    run->line.down = run->down_us != 0;
    run->line.warm_us = run->warm_us;
    run->line.measured = run->measured;
    bench_line_draw(&run->line, run->plan);
    run->line_us = now + LINE_EVERY_US;
}

/* Over: all have ended, or are not waited for any longer. */
static void look_at_rest(struct run *run, uint64_t now)
{
    if (!run->ended && run->down_us && now >= run->down_us + AWAY_US) {
        run->load->away = true;
        run->end_us = now;
        look_at_end(run, now);
    }
    if (!run->ended || (run->load->running && now < run->stop_us))
        return;
    run->load->left = run->load->interrupted ? run->load->running : 0;
    if (!run->load->interrupted)
        give_up(run, "no_answer", "no answer came in time");
    loop_stop(run->loop);
}

/* It answered a moment ago. */
static void await_session(struct run *run)
{
    if (now_us(run) < run->opened_us + run->answer_us)
        return;
    error_set(run->error, ERROR_UNREACHABLE, "nobody answers any more");
    fail(run);
}

static void look(struct run *run)
{
    uint64_t now = now_us(run);
    look_at_end(run, now);
    begin_due(run, now);
    if (now >= run->line_us)
        show_line(run, now);
    look_at_rest(run, now);
}

static uint64_t settle(void *self)
{
    struct run *run = self;
    if (run->begin_us)
        look(run);
    else
        await_session(run);
    uint64_t own = run->begin_us ? wake_us(run) : run->opened_us + run->answer_us;
    return least(client_settle(run->client), own);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void run_fini(struct run *run)
{
    free(run->slots);
    free(run->free_slots);
    free(run->paused_slots);
    free(run->shares);
}

static void run_init(struct run *run, struct bench_load *load, struct bench_plan *plan)
{
    size_t places = (size_t)plan->in_flight;
    *run = (struct run){.load = load, .plan = plan, .end_us = NEVER, .line_us = NEVER};
    run->slots = xcalloc(places, sizeof(*run->slots));
    run->free_slots = xcalloc(places, sizeof(*run->free_slots));
    run->paused_slots = xcalloc(places, sizeof(*run->paused_slots));
    run->shares = xcalloc((size_t)plan->entry_count, sizeof(*run->shares));
    for (int i = plan->in_flight - 1; i >= 0; i--)
        run->free_slots[run->free_count++] = i;
    for (int i = 0; i < plan->entry_count; i++)
        run->weights += plan->entries[i].weight;
}

static bool run_loop(struct run *run, const struct options *options)
{
    struct nano_events link_events = {run, on_frame, on_broken};
    struct client_events events = {.self = run,
                                   .up = on_up,
                                   .down = on_down,
                                   .refused = on_refused,
                                   .outcome = on_outcome,
                                   .saga_outcome = on_saga_outcome};
    char name[32];
    run->loop = loop_new();
    run->host = loop_host(run->loop);
    run->nano = nano_connect(run->loop, options->coordinator, LIMIT_CLIENT_FRAME_BYTES,
                             &link_events, run->error);
    if (!run->nano) {
        loop_free(run->loop);
        return false;
    }
    snprintf(name, sizeof(name), "cli-bench-%d", (int)getpid());
    run->client = client_new(NULL, name, run->host, nano_link(run->nano), &events);
    run->opened_us = now_us(run);
    run->answer_us = options->timeout_us ? options->timeout_us : ANSWER_US;
    loop_on_settle(run->loop, settle, run);
    loop_on_stop(run->loop, on_stop, run);
    loop_run(run->loop);
    uint64_t to_us = least(now_us(run), run->plan->count ? NEVER : run->end_us);
    run->load->measured_us = to_us > run->warm_us ? to_us - run->warm_us : 0;
    bench_line_end(&run->line);
    run->leaving = true;
    client_leave(run->client);
    client_free(run->client);
    nano_close(run->nano, 100);
    loop_free(run->loop);
    return !run->failed;
}

bool bench_load_run(struct bench_load *load, struct bench_plan *plan, const struct options *options,
                    struct error *error)
{
    struct run run;
    *load = (struct bench_load){.plan = plan};
    load->figures = xcalloc((size_t)plan->entry_count, sizeof(*load->figures));
    run_init(&run, load, plan);
    run.error = error;
    bench_line_begin(&run.line);
    bool good = run_loop(&run, options);
    run_fini(&run);
    return good;
}

void bench_load_fini(struct bench_load *load)
{
    for (int i = 0; i < load->plan->entry_count; i++)
        bench_figures_fini(&load->figures[i]);
    free(load->figures);
}
