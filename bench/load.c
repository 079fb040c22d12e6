/* Load on a coordinator: keeps N transactions in flight, each over the first D of the participants
 * bench0, bench1, ...; measures from submit to "applied everywhere". Or N sagas of
 * bench/sagas/order.yaml, from start to completed; or so many of bench/sagas/refund.yaml, which
 * begin and then wait for ever, N starts in flight. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/figures.h"
#include "client/client.h"
#include "core/check.h"
#include "core/limits.h"
#include "io/loop.h"
#include "io/nano.h"

struct load {
    struct bench_options options;
    struct figures figures;
    struct loop *loop;
    struct nano *nano;
    struct client *client;
    uint64_t *started_us; /* by request number: its flight's index */
    uint64_t warm_us, end_us;
    int running, begun;
};

static bool submit_transaction(struct load *load, uint64_t flight)
{
    char arguments[64], names[8][24];
    Wire__Call calls[8], *pointers[8];
    snprintf(arguments, sizeof(arguments), "{\"amount\": 1, \"id\": %d}",
             figures_account((int)flight, load->options.in_flight));
    for (int i = 0; i < load->options.databases; i++) {
        wire__call__init(&calls[i]);
        snprintf(names[i], sizeof(names[i]), "bench%d", i);
        calls[i].participant = names[i];
        calls[i].operation = (char *)"take";
        calls[i].arguments = arguments;
        pointers[i] = &calls[i];
    }
    Wire__Submit message = WIRE__SUBMIT__INIT;
    message.request = flight;
    message.protocol =
        load->options.three_phase ? WIRE__PROTOCOL__THREE_PHASE : WIRE__PROTOCOL__TWO_PHASE;
    message.calls = pointers;
    message.n_calls = (size_t)load->options.databases;
    return client_submit(load->client, &message);
}

static bool start_saga(struct load *load, uint64_t flight)
{
    char input[64];
    Wire__StartSaga start = WIRE__START_SAGA__INIT;
    start.request = flight;
    start.input = input;
    start.wait = load->options.waiting == 0;
    start.name = (char *)(start.wait ? "order" : "refund"); /* only packed */
    snprintf(input, sizeof(input), "{\"amount\":1,\"account\":%d}",
             figures_account((int)flight, load->options.in_flight));
    load->begun++;
    return client_start_saga(load->client, &start);
}

static void begin(struct load *load, uint64_t flight)
{
    load->started_us[flight] = bench_now_us();
    if (!(load->options.sagas ? start_saga : submit_transaction)(load, flight)) {
        fprintf(stderr, "load: the session is full\n");
        exit(1);
    }
}

static void on_up(void *self)
{
    struct load *load = self;
    uint64_t now = bench_now_us();
    load->warm_us = now + (uint64_t)(load->options.seconds * 200000);
    load->end_us = load->warm_us + (uint64_t)(load->options.seconds * 1000000);
    load->running = load->options.in_flight;
    for (int i = 0; i < load->options.in_flight; i++)
        begin(load, (uint64_t)i);
}

static void on_down(void *self, const char *reason)
{
    (void)self;
    fprintf(stderr, "load: lost the coordinator: %s\n", reason);
    exit(1);
}

static void on_refused(void *self, const char *reason, const char *hint)
{
    (void)self;
    fprintf(stderr, "load: refused: %s %s\n", reason, hint);
    exit(1);
}

static bool has_enough(const struct load *load, uint64_t now)
{
    return load->options.waiting ? load->begun >= load->options.waiting : now >= load->end_us;
}

static void on_end(struct load *load, uint64_t flight, bool good, const Wire__Problem *problem)
{
    uint64_t now = bench_now_us();
    if (!good && load->figures.errors == 0)
        fprintf(stderr, "load: first error: %s\n", problem ? problem->message : "not done in time");
    if (load->figures.begun_us == 0 && now >= load->warm_us)
        load->figures.begun_us = now;
    else if (!good)
        load->figures.errors++;
    else if (now < load->end_us || load->options.waiting)
        figures_add(&load->figures, load->started_us[flight], now);
    if (!has_enough(load, now)) {
        begin(load, flight);
    } else if (--load->running == 0) {
        load->end_us = load->options.waiting ? now : load->end_us;
        loop_stop(load->loop);
    }
}

static void on_outcome(void *self, const Wire__Outcome *outcome)
{
    on_end(self, outcome->request, outcome->result == WIRE__RESULT__COMMITTED && outcome->applied,
           outcome->problem);
}

static void on_saga_outcome(void *self, const Wire__SagaOutcome *outcome)
{
    struct load *load = self;
    Wire__SagaResult wanted =
        load->options.waiting ? WIRE__SAGA_RESULT__SAGA_STARTED : WIRE__SAGA_RESULT__SAGA_COMPLETED;
    on_end(load, outcome->request, outcome->result == wanted, outcome->problem);
}

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)route;
    client_frame(((struct load *)self)->client, frame, size);
}

static void on_broken(void *self)
{
    client_broken(((struct load *)self)->client);
}

static uint64_t settle(void *self)
{
    return client_settle(((struct load *)self)->client);
}

int main(int argc, char **argv)
{
    struct load load = {0};
    struct error error;
    bench_options_parse(&load.options, argc, argv);
    load.started_us = xcalloc((size_t)load.options.in_flight, sizeof(*load.started_us));
    load.loop = loop_new();
    struct nano_events nano_events = {&load, on_frame, on_broken};
    load.nano = nano_connect(load.loop, load.options.address, LIMIT_CLIENT_FRAME_BYTES,
                             &nano_events, &error);
    if (!load.nano) {
        fprintf(stderr, "load: %s\n", error.message);
        return 2;
    }
    struct client_events events = {.self = &load,
                                   .up = on_up,
                                   .down = on_down,
                                   .outcome = on_outcome,
                                   .saga_outcome = on_saga_outcome,
                                   .refused = on_refused};
    load.client =
        client_new(NULL, "bench-load", loop_host(load.loop), nano_link(load.nano), &events);
    loop_on_settle(load.loop, settle, &load);
    loop_run(load.loop);
    figures_print(&load.figures, load.end_us);
    client_free(load.client);
    nano_close(load.nano, 0);
    loop_free(load.loop);
    figures_fini(&load.figures);
    free(load.started_us);
    return 0;
}
