/* Participants that do nothing: bench0, bench1, ... in one process, over the real sessions. Each
 * vote is yes, each ask is granted and each COMMIT is applied at once, so what a load on them
 * measures is the coordinator with its durable journal and the wire. Runs until it is ended by a
 * signal. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/figures.h"
#include "core/limits.h"
#include "core/transport.h"
#include "io/loop.h"
#include "io/nano.h"

struct idle_participant {
    char name[24];
    struct nano *nano;
    struct transport *transport;
};

static void send_status(struct peer *peer)
{
    char operation[] = "take", *operations[] = {operation};
    char listen[] = "tcp://127.0.0.1:1"; /* nobody will need it */
    Wire__Status status = WIRE__STATUS__INIT;
    status.database_up = true;
    status.prepared_slots = 100000;
    status.listen = listen;
    status.operations = operations;
    status.n_operations = 1;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &status;
    peer_send(peer, &message, true);
}

static void participant_up(void *self, struct peer *peer)
{
    (void)self;
    send_status(peer);
}

static void send_grant(struct peer *peer, const Wire__Ask *ask)
{
    Wire__Reply reply = WIRE__REPLY__INIT;
    reply.coordinator = ask->coordinator;
    reply.epoch = ask->epoch;
    reply.seq = ask->seq;
    reply.site = ask->site;
    reply.question = ask->question;
    reply.ballot = reply.promised = reply.accepted = ask->ballot;
    reply.answered = WIRE__ANSWERED__GRANTED;
    reply.value = ask->value;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_REPLY;
    message.reply = &reply;
    peer_send(peer, &message, true);
}

static void participant_message(void *self, struct peer *peer, const Wire__Message *message)
{
    (void)self;
    Wire__Message answer = WIRE__MESSAGE__INIT;
    Wire__Vote vote = WIRE__VOTE__INIT;
    Wire__Finished finished = WIRE__FINISHED__INIT;
    if (message->body_case == WIRE__MESSAGE__BODY_PREPARE) {
        vote.branch = message->prepare->branch;
        vote.choice = message->prepare->mode == WIRE__MODE__ONE_PHASE ? WIRE__CHOICE__DONE
                                                                      : WIRE__CHOICE__YES;
        vote.xid = 1000 + message->prepare->branch->seq;
        answer.body_case = WIRE__MESSAGE__BODY_VOTE;
        answer.vote = &vote;
    } else if (message->body_case == WIRE__MESSAGE__BODY_FINISH) {
        finished.branch = message->finish->branch;
        finished.commit = message->finish->commit;
        answer.body_case = WIRE__MESSAGE__BODY_FINISHED;
        answer.finished = &finished;
    } else if (message->body_case == WIRE__MESSAGE__BODY_ASK) {
        send_grant(peer, message->ask);
        return;
    } else {
        return;
    }
    peer_send(peer, &answer, true);
}

static void participant_down(void *self, struct peer *peer, const char *reason)
{
    (void)peer;
    struct idle_participant *participant = self;
    fprintf(stderr, "idle: %s lost its session: %s\n", participant->name, reason);
    exit(1);
}

static void refused(void *self, const char *reason, const char *hint)
{
    (void)self;
    fprintf(stderr, "idle: refused: %s %s\n", reason, hint);
    exit(1);
}

static void participant_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    transport_frame(((struct idle_participant *)self)->transport, route, frame, size);
}

static void participant_broken(void *self)
{
    transport_broken(((struct idle_participant *)self)->transport);
}

static uint64_t participant_settle(void *self)
{
    return transport_settle(((struct idle_participant *)self)->transport);
}

static void open_participant(struct idle_participant *participant, struct loop *loop, int index,
                             const char *address)
{
    struct error error;
    snprintf(participant->name, sizeof(participant->name), "bench%d", index);
    struct nano_events events = {participant, participant_frame, participant_broken};
    participant->nano = nano_connect(loop, address, LIMIT_AGENT_FRAME_BYTES, &events, &error);
    if (!participant->nano) {
        fprintf(stderr, "idle: %s\n", error.message);
        exit(2);
    }
    struct transport_config config = {.cluster = "bench",
                                      .name = participant->name,
                                      .role = WIRE__ROLE__PARTICIPANT,
                                      .heartbeat_us = 500000,
                                      .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
    struct transport_events handlers = {.self = participant,
                                        .up = participant_up,
                                        .message = participant_message,
                                        .down = participant_down,
                                        .refused = refused};
    participant->transport =
        transport_new(&config, loop_host(loop), nano_link(participant->nano), &handlers);
    loop_on_settle(loop, participant_settle, participant);
}

static void stop(void *loop)
{
    loop_stop(loop);
}

int main(int argc, char **argv)
{
    struct bench_options options;
    struct idle_participant participants[8];
    bench_options_parse(&options, argc, argv);
    struct loop *loop = loop_new();
    for (int i = 0; i < options.databases; i++)
        open_participant(&participants[i], loop, i, options.address);
    loop_on_stop(loop, stop, loop);
    loop_run(loop);
    for (int i = 0; i < options.databases; i++) {
        transport_free(participants[i].transport);
        nano_close(participants[i].nano, 0);
    }
    loop_free(loop);
    return 0;
}
