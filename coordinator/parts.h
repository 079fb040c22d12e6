/* What the files of the runner share: server.c (life, time, sessions), submit.c (new work),
 * carry.c (the actions of the machine), votes.c (what participants send), sites.c (the registers
 * of three-phase commit), answers.c (outcomes), tasks.c and groups.c (steps of sagas), records.c
 * (what goes into the journal), replay.c (what comes out of it). What runs sagas is in sagas.h;
 * what operators ask and order in inquiries.h and heuristics.h. */
#ifndef TROTH_COORDINATOR_PARTS_H
#define TROTH_COORDINATOR_PARTS_H

#include "coordinator/alerts.h"
#include "coordinator/heuristics.h"
#include "coordinator/history.h"
#include "coordinator/inquiries.h"
#include "coordinator/keys.h"
#include "coordinator/metrics.h"
#include "coordinator/open.h"
#include "coordinator/participants.h"
#include "coordinator/recovery.h"
#include "coordinator/sagas.h"
#include "coordinator/server.h"
#include "coordinator/task.h"
#include "coordinator/tx.h"
#include "core/arena.h"
#include "core/timers.h"
#include "core/transport.h"
#include "journal.pb-c.h"

/* The runner's side of a session. */
struct guest {
    struct peer *peer;
    struct participant *participant; /* NULL: a client */
    struct list waiters;
    struct list saga_waiters; /* struct saga_waiter */
    struct list callers;      /* struct caller: who waits for an inquiry */
    struct list opens;        /* struct open: those that it began */
    struct list performs;     /* struct open: those in which it waits for an operation */
};

struct server {
    char *cluster, *coordinator;
    struct server_config config;
    struct host_port host;
    struct journal_port journal;
    struct transport *transport;
    struct server_host_facts facts;

    struct recovery recovery;
    bool named;     /* the journal has said whose it is, or this run did */
    bool replaying; /* nothing is appended */
    bool ready, draining;
    int64_t started_us; /* wall clock */
    uint64_t started_position, stopped_position, durable_position;

    struct map live;     /* struct tx, by id */
    struct list all;     /* the same, in the order of their beginning */
    struct list awaited; /* the same, those that wait for a record, by position */
    size_t undecided, lost, proposed, unapplied, hazards, waiting;
    uint64_t committed, aborted; /* in this run */

    struct participants participants;
    struct keys keys;
    struct tasks tasks;
    struct history history;
    struct timers timers;
    struct timer housekeeping;
    struct timers rounds; /* of struct tx_sites */
    struct opens opens;

    struct sagas sagas;
    struct coordinator_metrics metrics;

    struct inquiries inquiries;
    struct heuristics heuristics;
    struct alerts alerts;

    const Wire__Submit *submitting; /* during the step of EVENT_SUBMITTED */

    struct arena arena; /* for unpacking records */
    uint8_t *scratch;   /* for packing them, and fingerprints */
    size_t scratch_room;
};

uint8_t *server_scratch(struct server *server, size_t size);
struct tx *server_find(const struct server *server, struct txid id);
/* Live, or of the history; of what is listed again for a hazard rather what is known of all of it.
 */
struct tx *server_remember(const struct server *server, struct txid id);
/* Of this cluster and this coordinator. */
bool server_is_ours(const struct server *server, const struct gid *id);

/* carry.c. False: the machine refused the event, which a participant must not have sent. After it
 * the transaction may be over: then its state is TRANSACTION_DONE and it lies in the history. */
bool server_step(struct server *server, struct tx *tx, const struct transaction_event *event);
/* Sends what is owed to the participant, as far as LIMIT_OUTSTANDING allows. */
void server_pump(struct server *server, struct participant *participant);
void server_owe_ask(struct server *server, struct tx_branch *branch);
/* The branch waits for nothing at its participant now. */
void server_leave(struct tx_branch *branch);
/* EVENT_RECORD_DURABLE comes, and replies that wait go out, when the position is durable. */
void server_await(struct server *server, struct tx *tx, uint64_t position);
void server_list(struct server *server, struct tx *tx); /* makes it live */
/* Takes it off every list, for the replay of its end and for release. */
void server_unlist(struct server *server, struct tx *tx);
/* submit: its calls; NULL: it was open, and they were carried out already. */
bool server_send_prepare(struct server *server, struct tx *tx, int index,
                         const Wire__Submit *submit);

/* An operator has dealt with the hazard: the transaction is history. Does nothing unless it rests
 * as a hazard. Its record is appended before. */
void server_forget_hazard(struct server *server, struct txid id);

/* submit.c */
void server_submit(struct server *server, struct guest *guest, const Wire__Submit *submit);

/* Who wants a transaction: a client's request, or a try of a saga's step. */
struct asker {
    struct guest *guest;
    uint64_t request;
    struct task *task;
};

/* The texts of a refusal, alive while it is told. */
struct refusal {
    Wire__Problem problem;
    char message[320], detail[320], hint[320];
};

/* Fills it, with the texts that are there already. False. */
bool refusal_set(struct refusal *refusal, const char *code, const char *participant,
                 const char *operation);
/* What new work must fulfil, each with the refusal's texts. */
bool server_call_sound(const Wire__Call *call, struct refusal *refusal);
bool server_key_sound(const char *key, struct refusal *refusal);
bool server_has_room_for_key(const struct server *server, const char *key, struct refusal *refusal);
bool server_may_begin(const struct server *server, struct refusal *refusal);
/* The participant that is to do or hold something, if it is connected. operation: or "". */
struct participant *server_find_worker(struct server *server, const char *participant,
                                       const char *operation, struct refusal *refusal);
bool server_participant_has_room(const struct participant *participant, struct refusal *refusal);
/* It may take part in three phases. */
bool server_is_site(const struct participant *participant, struct refusal *refusal);
/* The same request, again: whether it may wait for the first one's answer. print:
 * FINGERPRINT_BYTES, of server_fingerprint. */
bool server_may_join(const struct key *key, const uint8_t *print, struct refusal *refusal);
void server_fingerprint(struct server *server, const Wire__Submit *submit, uint8_t *out);

/* Begins it. False: refused, and nobody was told. */
bool server_take(struct server *server, const struct asker *asker, const Wire__Submit *submit,
                 struct refusal *refusal);
/* One more who waits for the transaction of the key, or hears its outcome at once. */
void server_join(struct server *server, const struct asker *asker, const struct key *key,
                 const Wire__Submit *submit);

/* votes.c */
void server_voted(struct server *server, struct guest *guest, const Wire__Vote *vote);
void server_finished(struct server *server, struct guest *guest, const Wire__Finished *finished);
void server_found(struct server *server, struct guest *guest, const Wire__Found *found);
/* The participant has ended the branch, as the event says. False: the machine refused it. */
bool server_acknowledged(struct server *server, struct tx *tx, int index,
                         const struct transaction_event *event);
void server_inquired(struct server *server, struct guest *guest, const Wire__Inquire *inquire);
enum presence server_presence(const struct server *server, struct txid id);
/* What is known of the decision, also when it has ended. Of another coordinator's transaction:
 * nothing. */
enum decision { DECISION_NONE, DECISION_COMMIT, DECISION_ABORT };
enum decision server_decision(const struct server *server, const struct gid *id);
/* The participant can't prove, or denies, what was decided of this branch: a hazard. Does nothing
 * unless the branch was told so and has not acknowledged it. */
void server_unproved(struct server *server, struct tx *tx, int index, const char *reason);
void server_participant_up(struct server *server, struct participant *participant,
                           struct peer *peer);
void server_participant_down(struct server *server, struct participant *participant);

/* sites.c */
void server_asked(struct server *server, struct guest *guest, const Wire__Ask *ask);
void server_replied(struct server *server, struct guest *guest, const Wire__Reply *reply);
void server_told(struct server *server, struct guest *guest, const Wire__Decided *decided);
void server_send_ask(struct server *server, struct tx_branch *branch);
/* The machine wants this branch's site asked: now, or only when enough others do not answer soon.
 */
void server_want_ask(struct server *server, struct tx_branch *branch);
/* The answer to the site's last ask goes out when all that was appended is durable. */
void server_reply_later(struct server *server, struct tx *tx, int site, enum register_reply reply);
void server_send_replies(struct server *server, struct tx *tx);
void server_decided(struct server *server, struct tx *tx);
/* The problem of an abort by the registers. */
void server_overruled(struct tx *tx);
/* At a higher ballot: EVENT_RESUMED or EVENT_ROUND_DUE. */
void server_begin_round(struct server *server, struct tx *tx, enum transaction_event_type why);
void server_arm_round(struct server *server, struct tx *tx);
void server_round_due(struct server *server, struct tx *tx);
/* proofs.c. A site can't tell: then perhaps the databases can. */
void server_prove(struct server *server, struct tx *tx);
/* The transaction has ended as committed: the sites that were asked
 * may fold their registers together; the others have none. */
void server_settled(struct server *server, const struct tx *tx);
void server_flush_settled(struct server *server, struct participant *participant);

/* answers.c */
enum answer {
    ANSWER_REJECTED,
    ANSWER_DECIDED,
    ANSWER_APPLIED,
    ANSWER_UNAPPLIED,
    ANSWER_ABORTED,
    ANSWER_UNKNOWN,
    ANSWER_HAZARD
};
void server_wait(struct server *server, struct tx *tx, const struct asker *asker,
                 const Wire__Submit *submit, bool repeated_key);
void server_stop_waiting(struct server *server, struct waiter *waiter);
void server_answer(struct server *server, struct tx *tx, enum answer answer);
/* For a committed transaction: the timer is set for the first of its waiters whose time is up. */
void server_arm_waiters(struct server *server, struct tx *tx);
void server_reject(struct guest *guest, uint64_t request, const Wire__Problem *problem);
void server_send_outcome(struct peer *peer, Wire__Outcome *outcome);
/* To one client, now. The transaction may be of the history. */
void server_answer_one(const struct server *server, const struct tx *tx, const struct asker *asker,
                       enum answer answer);
/* The answer of an earlier commit with this key, which has ended. */
void server_answer_key(struct server *server, const struct asker *asker, const struct key *key);
void problem_view(const struct problem *problem, Wire__Problem *out);

/* records.c. Each returns the position. */
uint64_t server_append(struct server *server, const Journal__Record *record, bool urgent);
uint64_t server_append_started(struct server *server);
uint64_t server_append_stopped(struct server *server);
uint64_t server_append_committed(struct server *server, struct tx *tx);
uint64_t server_append_proposed(struct server *server, struct tx *tx);
uint64_t server_append_register(struct server *server, struct tx *tx);
uint64_t server_append_decided(struct server *server, struct tx *tx);
uint64_t server_append_ended(struct server *server, struct tx *tx);
uint64_t server_append_hazard(struct server *server, struct tx *tx, int index);
void server_checkpoint(struct server *server);

/* replay.c. Says what can't be in a journal; false. */
bool server_senseless(struct error *error, const char *what);
/* Lists a branch as a hazard whose transaction is over; it is the last one of what is
 * listed now under that id. */
struct tx *server_relist(struct server *server, struct txid id, uint32_t number,
                         struct participant *participant, bool commit, const char *reason);
/* Forgotten: what is left of it, a hazard, has ended then. */
void server_forget_replayed(struct server *server, struct txid id, int64_t at_us);

/* views.c */
void server_query(struct server *server, struct guest *guest, const Wire__Query *query);

#endif
