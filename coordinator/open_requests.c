/* What clients ask of transactions that are built step by step, and what participants say of the
 * work in them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

#define SAY(where, ...) ((void)snprintf((where), sizeof(where), __VA_ARGS__))

/* ---- answers ------------------------------------------------------------------------------- */

void open_send_progress(struct peer *peer, Wire__Progress *progress)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_PROGRESS;
    message.progress = progress;
    CHECK(peer_send(peer, &message, true));
}

void open_refuse(const struct asker *asker, const struct refusal *r)
{
    Wire__Progress progress = WIRE__PROGRESS__INIT;
    progress.request = asker->request;
    progress.problem = (Wire__Problem *)&r->problem;
    open_send_progress(asker->guest->peer, &progress);
}

static void refuse_request(const struct asker *asker, const char *message, const char *hint)
{
    struct refusal r = {0};
    SAY(r.message, "%s", message);
    SAY(r.hint, "%s", hint);
    refusal_set(&r, "bad_request", "", "");
    open_refuse(asker, &r);
}

/* What every Progress has. */
static void begin_progress(const struct server *server, const struct open *open, uint64_t request,
                           gtrid_text gtrid, Wire__Progress *progress)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    uint64_t left_ms = open->due_us > now_us ? (open->due_us - now_us) / 1000 : 0;
    gtrid_format(gtrid, server->cluster, server->coordinator, open->id);
    wire__progress__init(progress);
    progress->request = request;
    progress->gtrid = gtrid;
    progress->timeout_ms = left_ms > UINT32_MAX ? UINT32_MAX : left_ms > 0 ? (uint32_t)left_ms : 1;
}

/* Parses, and finds it. NULL: who asks was answered. */
static struct open *find(struct server *server, const struct asker *asker, const char *gtrid,
                         const struct late_request *late)
{
    struct gid id;
    if (!gtrid_parse(gtrid, &id)) {
        refuse_request(asker, "this is not the id of a transaction",
                       "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ");
        return NULL;
    }
    struct open *open = server_is_ours(server, &id) ? open_find(server, id.tx) : NULL;
    if (open && !open_expire(server, open))
        return open;
    open_answer_late(server, asker, &id, late);
    return NULL;
}

/* ---- Begin --------------------------------------------------------------------------------- */

static bool may_open(struct server *server, const Wire__Begin *begin, struct refusal *r)
{
    if (!server_may_begin(server, r) || !server_has_room_for_key(server, begin->key, r))
        return false;
    size_t open = server->opens.map.count;
    if (open < LIMIT_OPEN && server_undecided(server) + open < LIMIT_IN_FLIGHT)
        return true;
    SAY(r->message, "the coordinator is busy");
    SAY(r->detail,
        "%zu transactions are open and %zu undecided; the limits are %d, and %d together", open,
        server_undecided(server), LIMIT_OPEN, LIMIT_IN_FLIGHT);
    SAY(r->hint, "`troth tx list --state open` tells who holds them");
    return refusal_set(r, "busy", "", "");
}

/* False: it was refused. */
static bool begin_or_join(struct server *server, const struct asker *asker,
                          const Wire__Begin *begin, struct refusal *r)
{
    Wire__Submit like = WIRE__SUBMIT__INIT;
    uint8_t print[FINGERPRINT_BYTES];
    like.protocol = begin->protocol;
    like.timeout_ms = begin->timeout_ms;
    if (begin->protocol != WIRE__PROTOCOL__TWO_PHASE &&
        begin->protocol != WIRE__PROTOCOL__THREE_PHASE) {
        SAY(r->message, "this version does not know the protocol");
        return refusal_set(r, "bad_request", "", "");
    }
    if (!server_key_sound(begin->key, r))
        return false;
    const struct key *key = begin->key[0] ? keys_find(&server->keys, begin->key) : NULL;
    if (key) {
        server_fingerprint(server, &like, print);
        if (!server_may_join(key, print, r))
            return false;
        server_join(server, asker, key, &like);
        return true;
    }
    if (!may_open(server, begin, r))
        return false;
    struct open *open = open_begin(server, asker->guest, begin);
    Wire__Progress progress;
    gtrid_text gtrid;
    /* A crash here, and until its End: it is forgotten, and that is an abort. */
    CRASH_POINT("coordinator.opened");
    begin_progress(server, open, asker->request, gtrid, &progress);
    open_send_progress(asker->guest->peer, &progress);
    return true;
}

void server_begin(struct server *server, struct guest *guest, const Wire__Begin *begin)
{
    struct asker asker = {.guest = guest, .request = begin->request};
    struct refusal r = {0};
    if (begin_or_join(server, &asker, begin, &r))
        return;
    server->metrics.rejections[metric_reason_of(r.problem.code)]++;
    server_reject(guest, begin->request, &r.problem);
}

/* ---- Perform ------------------------------------------------------------------------------- */

/* For one more branch. In three phases branch i is site i + 1, so a participant has one. */
static bool may_take_part(const struct open *open, const struct participant *participant,
                          struct refusal *r)
{
    int most = open->three_phase ? LIMIT_SITES - 1 : LIMIT_BRANCHES;
    if (open->branch_count >= most) {
        SAY(r->message, "the transaction has %d branches, the most that it can have", most);
        return refusal_set(r, "bad_request", participant->name, "");
    }
    if (open->three_phase && !server_is_site(participant, r))
        return false;
    for (int i = 0; open->three_phase && i < open->branch_count; i++) {
        if (open->branches[i]->participant != participant)
            continue;
        SAY(r->message, "participant %s takes part already", participant->name);
        SAY(r->detail, "in three phases a participant has one branch");
        SAY(r->hint, "do all of its work in one way, or begin with two phases");
        return refusal_set(r, "joined_already", participant->name, "");
    }
    return server_participant_has_room(participant, r);
}

static bool send_work(struct server *server, const struct open *open, int branch, uint32_t number,
                      const Wire__Call *call)
{
    Wire__Work work = WIRE__WORK__INIT;
    Wire__Branch id = WIRE__BRANCH__INIT;
    Wire__Call own = WIRE__CALL__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Progress progress;
    gtrid_text gtrid;
    begin_progress(server, open, 0, gtrid, &progress);
    id.epoch = open->id.epoch;
    id.seq = open->id.seq;
    id.branch = (uint32_t)branch;
    own.operation = call->operation;
    own.arguments = call->arguments;
    work.branch = &id;
    work.number = number;
    work.call = &own;
    work.timeout_ms = progress.timeout_ms;
    message.body_case = WIRE__MESSAGE__BODY_WORK;
    message.work = &work;
    return peer_send(open->branches[branch]->participant->peer, &message, false);
}

static void perform(struct open *open, const struct asker *asker, int branch,
                    const Wire__Call *call)
{
    struct performing *performing = &open->performing;
    performing->under_way = true;
    performing->guest = asker->guest;
    performing->request = asker->request;
    performing->branch = (uint8_t)branch;
    performing->number = ++open->branches[branch]->works;
    open_add_call(open, branch, call->operation);
    list_append(&asker->guest->performs, &performing->in_guest);
}

static bool may_perform(const struct open *open, const Wire__Call *call, struct refusal *r)
{
    if (!call) {
        SAY(r->message, "there is no operation to be performed");
        return refusal_set(r, "bad_request", "", "");
    }
    if (!server_call_sound(call, r))
        return false;
    if (open->call_count == LIMIT_CALLS) {
        SAY(r->message, "the transaction has %d operations, the limit", LIMIT_CALLS);
        return refusal_set(r, "bad_request", call->participant, call->operation);
    }
    if (!open->performing.under_way)
        return true;
    SAY(r->message, "another operation of this transaction is under way");
    SAY(r->detail, "one is performed at a time");
    SAY(r->hint, "wait for its answer, also when another process asked for it");
    return refusal_set(r, "busy", call->participant, call->operation);
}

static bool try_perform(struct server *server, struct open *open, const struct asker *asker,
                        const Wire__Call *call, struct refusal *r)
{
    if (!may_perform(open, call, r))
        return false;
    struct participant *participant =
        server_find_worker(server, call->participant, call->operation, r);
    if (!participant)
        return false;
    int branch = open_find_work(open, participant);
    bool fresh = branch < 0;
    if (fresh && !may_take_part(open, participant, r))
        return false;
    if (fresh)
        branch = open_add_branch(open, participant, false);
    if (!send_work(server, open, branch, open->branches[branch]->works + 1, call)) {
        if (fresh)
            open_drop_last_branch(open);
        SAY(r->message, "participant %s is busy", participant->name);
        SAY(r->detail, "too much is waiting to be sent to it");
        return refusal_set(r, "busy", participant->name, call->operation);
    }
    perform(open, asker, branch, call);
    return true;
}

void server_perform(struct server *server, struct guest *guest, const Wire__Perform *request)
{
    struct asker asker = {.guest = guest, .request = request->request};
    struct late_request late = {.end = false};
    struct refusal r = {0};
    struct open *open = find(server, &asker, request->gtrid, &late);
    if (open && !try_perform(server, open, &asker, request->call, &r))
        open_refuse(&asker, &r);
}

static void stray(const struct server *server, const struct guest *guest,
                  const Wire__Branch *branch, const char *why)
{
    host_log(&server->host, LOG_WARNING,
             "what was done for branch %" PRIu64 ".%" PRIu64 ".%" PRIu32 " by %s was ignored: %s",
             branch->epoch, branch->seq, branch->branch, guest->participant->name, why);
}

/* What is not of the present operation, but says that nothing is left of the branch, is as good as
 * a lost session. */
static void work_failed(struct server *server, struct open *open, struct guest *guest,
                        const Wire__Problem *why)
{
    open_abort(server, open, guest->participant, why, NULL);
}

static void answer_performed(struct server *server, struct open *open, const char *result)
{
    struct performing *performing = &open->performing;
    struct guest *guest = performing->guest;
    Wire__Progress progress;
    gtrid_text gtrid;
    begin_progress(server, open, performing->request, gtrid, &progress);
    progress.result = (char *)result;
    open_performed(open);
    if (guest)
        open_send_progress(guest->peer, &progress);
}

static void too_large(struct server *server, struct open *open, struct guest *guest)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.operation = open->calls[open->call_count - 1].operation;
    problem.code = (char *)"result_too_large";
    problem.message = (char *)"what the operation returned is larger than 32 KiB";
    work_failed(server, open, guest, &problem);
}

void server_worked(struct server *server, struct guest *guest, const Wire__Worked *worked)
{
    const Wire__Branch *branch = worked->branch;
    struct open *open = open_find(server, (struct txid){branch->epoch, branch->seq});
    if (!open)
        return; /* it crossed the end of it */
    const struct performing *performing = &open->performing;
    const struct open_branch *of =
        branch->branch < (uint32_t)open->branch_count ? open->branches[branch->branch] : NULL;
    if (!of || of->joined || of->participant != guest->participant) {
        stray(server, guest, branch, "it is no branch at which this participant works");
    } else if (worked->problem) {
        work_failed(server, open, guest, worked->problem);
    } else if (!performing->under_way || performing->branch != branch->branch ||
               performing->number != worked->number) {
        stray(server, guest, branch, "nobody asked for that");
    } else if (strlen(worked->result) > LIMIT_RESULT_BYTES) {
        too_large(server, open, guest);
    } else {
        /* A crash here: it is rolled back with the session, and nobody has heard of it. */
        CRASH_POINT("coordinator.worked");
        answer_performed(server, open, worked->result);
    }
}

/* ---- Join and HandOver --------------------------------------------------------------------- */

static bool has_database(const struct participant *participant, struct refusal *r)
{
    const struct participant_report *report = &participant->report;
    if (report->database)
        return true;
    SAY(r->message, "which database participant %s has is not known yet", participant->name);
    if (report->known && !report->database_up)
        SAY(r->detail, "it can't use it: %.200s", report->database_reason);
    else
        SAY(r->detail, "that comes with its first report");
    SAY(r->hint, "try again; see `troth participant list`");
    return refusal_set(r, report->known ? "database_down" : "not_connected", participant->name, "");
}

static bool try_join(struct server *server, struct open *open, const struct asker *asker,
                     const char *name, struct refusal *r)
{
    if (!name_valid(name)) {
        SAY(r->message, "'%.64s' is no participant's name", name);
        SAY(r->hint, "a name is %s", name_rule);
        return refusal_set(r, "bad_request", "", "");
    }
    struct participant *participant = server_find_worker(server, name, "", r);
    if (!participant || !has_database(participant, r) || !may_take_part(open, participant, r))
        return false;
    Wire__Progress progress;
    gtrid_text gtrid;
    gid_text gid;
    int branch = open_add_branch(open, participant, true);
    gid_format(gid, server->cluster, server->coordinator, open->id, branch);
    begin_progress(server, open, asker->request, gtrid, &progress);
    progress.branch = (uint32_t)branch;
    progress.gid = gid;
    progress.database = participant->report.database;
    open_send_progress(asker->guest->peer, &progress);
    return true;
}

void server_join_branch(struct server *server, struct guest *guest, const Wire__Join *join)
{
    struct asker asker = {.guest = guest, .request = join->request};
    struct late_request late = {.end = false};
    struct refusal r = {0};
    struct open *open = find(server, &asker, join->gtrid, &late);
    if (open && !try_join(server, open, &asker, join->participant, &r))
        open_refuse(&asker, &r);
}

static bool may_hand_over(const struct open *open, const Wire__HandOver *hand_over,
                          struct refusal *r)
{
    const struct open_branch *branch =
        hand_over->branch < (uint32_t)open->branch_count ? open->branches[hand_over->branch] : NULL;
    if (!branch || !branch->joined) {
        SAY(r->message, "the transaction has no branch %" PRIu32 " that was joined",
            hand_over->branch);
        return refusal_set(r, "bad_request", "", "");
    }
    /* The same again is answered again. */
    if (!branch->handed_over || (branch->xid == hand_over->xid && !hand_over->problem))
        return true;
    SAY(r->message, "branch %" PRIu32 " was handed over otherwise before", hand_over->branch);
    return refusal_set(r, "bad_request", branch->participant->name, "");
}

static void hand_over(struct server *server, struct open *open, const struct asker *asker,
                      const Wire__HandOver *request)
{
    struct open_branch *branch = open->branches[request->branch];
    Wire__Progress progress;
    gtrid_text gtrid;
    if (request->problem) {
        open_abort(server, open, branch->participant, request->problem, asker);
        return;
    }
    branch->handed_over = true;
    branch->xid = request->xid;
    /* A crash here: it is prepared and not known. Its agent finds it, asks, and is told abort. */
    CRASH_POINT("coordinator.handed-over");
    begin_progress(server, open, asker->request, gtrid, &progress);
    progress.branch = request->branch;
    open_send_progress(asker->guest->peer, &progress);
}

void server_hand_over(struct server *server, struct guest *guest, const Wire__HandOver *request)
{
    struct asker asker = {.guest = guest, .request = request->request};
    struct late_request late = {.hand_over = request};
    struct refusal r = {0};
    struct open *open = find(server, &asker, request->gtrid, &late);
    if (!open)
        return;
    if (may_hand_over(open, request, &r))
        hand_over(server, open, &asker, request);
    else
        open_refuse(&asker, &r);
}

/* ---- End ----------------------------------------------------------------------------------- */

static bool may_commit(const struct open *open, const struct guest *guest, struct refusal *r)
{
    if (open->beginner != guest && !PLANTED(OPEN_COMMITTED_BY_ANYBODY)) {
        SAY(r->message, "only the session that began the transaction may commit it");
        SAY(r->hint, "who takes part hands over what it did, and leaves the end to who began");
        return refusal_set(r, "not_yours", "", "");
    }
    if (open->performing.under_way) {
        SAY(r->message, "an operation of this transaction is under way");
        SAY(r->hint, "wait for its answer, or abort");
        return refusal_set(r, "busy", "", "");
    }
    if (open->key && open->branch_count == 0) {
        SAY(r->message, "a transaction with an idempotency key has to do something");
        SAY(r->detail, "nobody took part in it, and there is nothing to remember");
        return refusal_set(r, "bad_request", "", "");
    }
    return true;
}

static void abort_open(struct server *server, struct open *open, const struct asker *asker)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"aborted";
    problem.message = (char *)"a client aborted it";
    open_abort(server, open, NULL, &problem, asker);
}

void server_end(struct server *server, struct guest *guest, const Wire__End *end)
{
    struct asker asker = {.guest = guest, .request = end->request};
    struct late_request late = {.end = true, .wait = end->wait};
    struct refusal r = {0};
    if (!end->commit)
        open_abort_late(server, end->gtrid);
    struct open *open = find(server, &asker, end->gtrid, &late);
    if (!open)
        return;
    if (!end->commit)
        abort_open(server, open, &asker);
    else if (may_commit(open, guest, &r))
        open_commit(server, open, &asker, end->wait);
    else
        open_refuse(&asker, &r);
}
