/* Finishing a transaction without its coordinator: when, and with whom. core/proposer.h says how a
 * decision comes about, participant/README.md what each site then does.
 *
 * A branch in doubt watches its coordinator. When that is gone for long, or can't tell, the site
 * begins a round: it asks its own register, then all the others, each second again. Who is outbid
 * rests for a random time. A minority asks for ever, and changes nothing but its own register. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"
#include "participant/agent_private.h"

enum {
    /* Rounds at one time: a coordinator that dies can leave ten thousand. The others follow within
     * moments, and those that find no majority make room for them each second. */
    ROUNDS_AT_ONCE = 256,
    ASK_AGAIN_US = 1000 * 1000,
    REST_LEAST_US = 200 * 1000,
    REST_MORE_US = 800 * 1000,
    /* Each round costs every site that grants it a flush. Two that have no majority and outbid each
     * other rest up to eight times as long; still less than a line that nobody uses stays open
     * (neighbours.c), so that who comes back is noticed. */
    REST_DOUBLINGS = 3,
    /* A coordinator that says WAIT decides. One that still does after so many times the patience
     * has no majority, and perhaps this site has. */
    WAIT_PATIENCES = 10,
    GUESS_PATIENCES = 5, /* of a planted bug */
};

static uint64_t now(const struct agent *agent)
{
    return agent->host.now_us(agent->host.self);
}

/* 1 to 2 times: two sites that lost one coordinator do not begin at one moment. */
static uint64_t patience(const struct agent *agent)
{
    return agent->patience_us + agent_random(agent) % agent->patience_us;
}

static bool asks(const struct proposer *proposer)
{
    return proposer->phase == PROPOSER_PROMISING || proposer->phase == PROPOSER_ACCEPTING;
}

bool termination_runs(const struct site *site)
{
    return site->course >= COURSE_QUEUED;
}

/* ---- courses ------------------------------------------------------------------------------- */

static void set_minority(struct agent *agent, struct site *site, bool minority)
{
    if (site->minority == minority)
        return;
    site->minority = minority;
    agent->minority += minority ? 1 : -1u;
    if (minority && agent->minority == 1)
        host_log(&agent->host, LOG_WARNING,
                 "%s can't be finished: no majority of its sites answers; it stays as it is until "
                 "one does (there may be more of them: troth tx list)",
                 site->gtrid);
    status_tell_soon(agent);
}

static void set_course(struct agent *agent, struct site *site, enum site_course course)
{
    bool ran = termination_runs(site);
    agent->active_rounds -= site->course == COURSE_ACTIVE;
    agent->active_rounds += course == COURSE_ACTIVE;
    site->course = course;
    list_remove(&site->round);
    if (course == COURSE_ACTIVE)
        list_append(&agent->rounds, &site->round);
    else if (course == COURSE_QUEUED)
        list_append(&agent->round_queue, &site->round);
    if (course == COURSE_NONE || course == COURSE_QUEUED)
        timers_clear(&agent->turns, &site->turn);
    if (termination_runs(site) == ran)
        return;
    agent->terminating += ran ? -1u : 1;
    if (!ran && agent->terminating == 1)
        host_log(&agent->host, LOG_INFO,
                 "%s is in doubt and its coordinator %s: the other participants are asked (there "
                 "may be more of them)",
                 site->gtrid, site->held ? "can't tell" : "is not there");
    if (ran)
        set_minority(agent, site, false);
    status_tell_soon(agent);
}

static void set_turn(struct agent *agent, struct site *site, enum site_course course,
                     uint64_t at_us)
{
    set_course(agent, site, course);
    timers_set(&agent->turns, &site->turn, at_us);
}

/* Without a decision of its registers the branch waits, as in two phases. */
static void give_up(struct agent *agent, struct site *site, const char *why)
{
    site->unfit = true;
    set_course(agent, site, COURSE_NONE);
    host_log(&agent->host, LOG_ERROR,
             "%s can't be finished without its coordinator: %s; it waits for the coordinator, or "
             "for an operator",
             site->gtrid, why);
}

/* The coordinator is there and has said that it will decide. */
static bool attends(const struct agent *agent, const struct link *link, const struct site *site)
{
    return link && link->session == site->wait_session && now(agent) < site->wait_until_us;
}

static struct link *coordinator_of(struct agent *agent, const struct site *site)
{
    return agent_link(agent, site->id.coordinator);
}

/* ---- watching ------------------------------------------------------------------------------ */

static void watch(struct agent *agent, struct site *site)
{
    uint64_t at_us = now(agent);
    /* The decision comes in the session of the vote, by the deadline. */
    if (coordinator_of(agent, site) && site->entry->deadline_us > at_us)
        at_us = site->entry->deadline_us;
    set_turn(agent, site, COURSE_WATCHING, at_us + patience(agent));
}

static void look(struct agent *agent, struct site *site)
{
    struct link *link = coordinator_of(agent, site);
    if (link && !site->entry->branch.held) {
        if (attends(agent, link, site)) {
            set_turn(agent, site, COURSE_WATCHING, site->wait_until_us);
            return;
        }
        if (site->looked_session != link->session) {
            site->looked_session = link->session;
            scan_inquire_one(agent, site->entry);
            set_turn(agent, site, COURSE_WATCHING, now(agent) + patience(agent));
            return;
        }
    }
    set_course(agent, site, COURSE_QUEUED);
}

void termination_wait(struct agent *agent, struct site *site, const struct link *link)
{
    if (site->wait_session != link->session) {
        site->wait_session = link->session;
        site->wait_until_us = now(agent) + WAIT_PATIENCES * agent->patience_us;
    }
    bool begins = site->course == COURSE_QUEUED || site->course == COURSE_RESTING;
    if (begins && attends(agent, link, site))
        set_turn(agent, site, COURSE_WATCHING, site->wait_until_us);
}

void termination_link_down(struct agent *agent, const struct link *link)
{
    for (struct list *node = agent->all_sites.next; node != &agent->all_sites; node = node->next) {
        struct site *site = CONTAINER(node, struct site, all);
        if (site->course == COURSE_WATCHING && strcmp(site->id.coordinator, link->coordinator) == 0)
            set_turn(agent, site, COURSE_WATCHING, now(agent) + patience(agent));
    }
}

/* ---- asking -------------------------------------------------------------------------------- */

static void send_ask(struct agent *agent, struct site *site, int number,
                     const struct register_ask *ask)
{
    const struct termination_site *to = &site->termination->sites[number];
    Wire__Ballot ballot = WIRE__BALLOT__INIT;
    ballot.round = ask->ballot.round;
    ballot.site = ask->ballot.site;
    Wire__Ask wire = WIRE__ASK__INIT;
    wire.coordinator = site->id.coordinator;
    wire.epoch = site->id.tx.epoch;
    wire.seq = site->id.tx.seq;
    wire.site = (uint32_t)number;
    wire.question = (Wire__Question)ask->question;
    wire.ballot = &ballot;
    wire.value = (Wire__Value)ask->value;
    wire.begun_us = site->begun_us;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_ASK;
    message.ask = &wire;
    struct link *link = number == 0 ? coordinator_of(agent, site) : NULL;
    bool sent = link != NULL;
    if (link)
        agent_send(agent, link, &message);
    else if (number > 0)
        sent = line_send(agent, to->name, to->address, &message);
    if (sent)
        site->termination->asked |= UINT32_C(1) << number;
}

/* Those that the phase wants and that were not asked in it in this second. */
static void ask_others(struct agent *agent, struct site *site)
{
    struct termination *termination = site->termination;
    if (site->course != COURSE_ACTIVE || !termination || !asks(&termination->proposer))
        return;
    struct proposer *proposer = &termination->proposer;
    if (termination->phase != proposer->phase ||
        ballot_compare(termination->ballot, proposer->ballot) != 0) {
        termination->phase = proposer->phase;
        termination->ballot = proposer->ballot;
        termination->asked = 0;
    }
    struct register_ask ask = proposer_ask(proposer);
    uint32_t wanted = proposer_wants(proposer) & ~termination->asked;
    for (int i = 0; i < proposer->sites; i++) {
        if (i != proposer->self && wanted & UINT32_C(1) << i)
            send_ask(agent, site, i, &ask);
    }
}

static void ask_again(struct agent *agent, struct site *site, int number)
{
    if (site->termination) {
        site->termination->asked &= ~(UINT32_C(1) << number);
        ask_others(agent, site);
    }
}

static bool takes_part(const struct site *site, const char *participant)
{
    int count = site->termination ? site->termination->proposer.sites : 0;
    for (int i = 1; i < count; i++) {
        if (strcmp(site->termination->sites[i].name, participant) == 0)
            return true;
    }
    return false;
}

/* Somebody is there who was not: what came to nothing so often may succeed now. */
static void encourage(struct agent *agent, struct site *site)
{
    if (site->course == COURSE_RESTING && site->outbid > 1)
        set_turn(agent, site, COURSE_RESTING, now(agent) + agent_random(agent) % REST_LEAST_US);
    site->outbid = 0;
}

/* NULL: the coordinator of this name. */
static void encourage_all(struct agent *agent, const char *coordinator, const char *participant)
{
    for (struct list *node = agent->all_sites.next; node != &agent->all_sites; node = node->next) {
        struct site *site = CONTAINER(node, struct site, all);
        if (site->outbid > 0 && (coordinator ? strcmp(site->id.coordinator, coordinator) == 0
                                             : takes_part(site, participant)))
            encourage(agent, site);
    }
}

void termination_link_up(struct agent *agent, const struct link *link)
{
    encourage_all(agent, link->coordinator, NULL);
    for (struct list *node = agent->rounds.next; node != &agent->rounds; node = node->next) {
        struct site *site = CONTAINER(node, struct site, round);
        if (strcmp(site->id.coordinator, link->coordinator) == 0)
            ask_again(agent, site, 0);
    }
}

void termination_line_up(struct agent *agent, const char *participant)
{
    encourage_all(agent, NULL, participant);
    for (struct list *node = agent->rounds.next; node != &agent->rounds; node = node->next) {
        struct site *site = CONTAINER(node, struct site, round);
        int count = site->termination ? site->termination->proposer.sites : 0;
        for (int i = 1; i < count; i++) {
            if (strcmp(site->termination->sites[i].name, participant) == 0)
                ask_again(agent, site, i);
        }
    }
}

/* ---- rounds -------------------------------------------------------------------------------- */

static struct termination *termination_new(const struct agent *agent, const struct site *site)
{
    struct site_address list[SITES_MOST];
    char *text = xstrdup(site->sites);
    int count = sites_split(text, list), self = site->id.branch;
    if (self < 0 || self >= count || strcmp(list[self].name, agent->participant) != 0) {
        free(text);
        return NULL;
    }
    struct termination *termination =
        xcalloc(1, sizeof(*termination) + (size_t)(count + 1) * sizeof(termination->sites[0]));
    termination->text = text;
    termination->since_us = now(agent);
    proposer_init(&termination->proposer, count + 1, self + 1);
    termination->sites[0] = (struct termination_site){.name = site->id.coordinator, .address = ""};
    for (int i = 0; i < count; i++)
        termination->sites[i + 1] =
            (struct termination_site){.name = list[i].name, .address = list[i].address};
    return termination;
}

void termination_stop(struct agent *agent, struct site *site)
{
    set_course(agent, site, COURSE_NONE);
}

void termination_free(struct termination *termination)
{
    if (termination)
        free(termination->text);
    free(termination);
}

/* Its row, or that there is none, is loaded. */
static void begin(struct agent *agent, struct site *site)
{
    if (site->damaged || !site->sites) {
        give_up(agent, site, "nothing in this site's database tells who takes part");
        return;
    }
    if (register_decided(&site->state)) {
        site_learn(agent, site, site->state.value, "this site's register");
        return;
    }
    if (!site->termination)
        site->termination = termination_new(agent, site);
    if (!site->termination) {
        give_up(agent, site, "the list of who takes part makes no sense");
        return;
    }
    struct proposer *proposer = &site->termination->proposer;
    /* A crash here: nothing happened yet. The next run finds the branch in doubt, and its list. */
    CRASH_POINT("participant.terminating");
    if (proposer_begin(proposer, &site->state))
        site_touch(agent, site);
    else
        give_up(agent, site, "a site has used up its registers' rounds");
}

void termination_turn(struct agent *agent, struct site *site)
{
    bool in_doubt = site->entry && site->entry->branch.state == BRANCH_IN_DOUBT &&
                    site->decision == REGISTER_EMPTY && agent->patience_us > 0 && !site->unfit;
    if (!in_doubt) {
        set_course(agent, site, COURSE_NONE);
        return;
    }
    if (site->course == COURSE_NONE)
        watch(agent, site);
    if (site->course == COURSE_ACTIVE && site->known &&
        (site->damaged || !(site->termination && asks(&site->termination->proposer))))
        begin(agent, site);
    if (site->entry->branch.held && !site->held && site->course == COURSE_WATCHING)
        set_turn(agent, site, COURSE_WATCHING,
                 now(agent) + agent_random(agent) % agent->patience_us);
    site->held = site->entry->branch.held;
}

static void go_on(struct agent *agent, struct site *site)
{
    set_turn(agent, site, COURSE_ACTIVE, now(agent) + ASK_AGAIN_US);
    if (site->termination)
        site->termination->asked = 0;
    ask_others(agent, site);
    site_touch(agent, site);
}

void termination_pump(struct agent *agent)
{
    while (!agent->draining && agent->active_rounds < ROUNDS_AT_ONCE &&
           !list_empty(&agent->round_queue))
        go_on(agent, CONTAINER(agent->round_queue.next, struct site, round));
}

bool termination_needs_row(const struct site *site)
{
    return site->course == COURSE_ACTIVE && !site->known;
}

bool termination_own_ask(const struct site *site, struct register_ask *ask)
{
    const struct termination *termination = site->termination;
    if (site->course != COURSE_ACTIVE || !termination || !asks(&termination->proposer) ||
        !(proposer_wants(&termination->proposer) & UINT32_C(1) << termination->proposer.self))
        return false;
    *ask = proposer_ask(&termination->proposer);
    return true;
}

/* A whole second did not bring what was asked for. */
static void tick(struct agent *agent, struct site *site)
{
    struct termination *termination = site->termination;
    bool asking = termination && asks(&termination->proposer);
    if (attends(agent, coordinator_of(agent, site), site)) {
        set_turn(agent, site, COURSE_WATCHING, site->wait_until_us);
        return;
    }
    if (asking) {
        set_minority(agent, site,
                     proposer_granted(&termination->proposer) <
                         proposer_majority(&termination->proposer));
        termination->asked = 0;
        if (PLANTED(GUESS_IN_MINORITY) &&
            now(agent) > termination->since_us + GUESS_PATIENCES * agent->patience_us)
            site_learn(agent, site, REGISTER_ABORT, "a guess");
    }
    if (!list_empty(&agent->round_queue)) {
        set_course(agent, site, COURSE_QUEUED);
        return;
    }
    set_turn(agent, site, COURSE_ACTIVE, now(agent) + ASK_AGAIN_US);
    ask_others(agent, site);
}

void termination_due(struct agent *agent, struct timer *turn)
{
    struct site *site = CONTAINER(turn, struct site, turn);
    switch (site->course) {
    case COURSE_WATCHING:
        look(agent, site);
        break;
    case COURSE_RESTING:
        set_course(agent, site, COURSE_QUEUED);
        break;
    case COURSE_ACTIVE:
        tick(agent, site);
        break;
    case COURSE_NONE:
    case COURSE_QUEUED:
        break;
    }
    site_touch(agent, site);
}

static void rest(struct agent *agent, struct site *site, uint64_t time_us)
{
    time_us <<= site->outbid < REST_DOUBLINGS ? site->outbid : REST_DOUBLINGS;
    if (attends(agent, coordinator_of(agent, site), site))
        set_turn(agent, site, COURSE_WATCHING, site->wait_until_us);
    else
        set_turn(agent, site, COURSE_RESTING, now(agent) + time_us);
}

void termination_yield(struct agent *agent, struct site *site)
{
    struct termination *termination = site->termination;
    bool asking = termination && asks(&termination->proposer);
    if (asking && site->course >= COURSE_QUEUED &&
        ballot_compare(site->state.promised, termination->proposer.ballot) > 0) {
        struct register_ask ask = proposer_ask(&termination->proposer);
        proposer_hear(&termination->proposer, termination->proposer.self, &ask, REGISTER_OUTBID,
                      &site->state);
        rest(agent, site, patience(agent));
        site->outbid++;
    } else if (site->course == COURSE_RESTING || (site->course == COURSE_QUEUED && !asking)) {
        rest(agent, site, patience(agent));
    } else if (site->course == COURSE_WATCHING) {
        uint64_t at_us = now(agent) + patience(agent);
        if (at_us > site->turn.at_us)
            set_turn(agent, site, COURSE_WATCHING, at_us);
    }
}

/* ---- replies ------------------------------------------------------------------------------- */

static void tell_others(struct agent *agent, const struct site *site)
{
    const struct termination *termination = site->termination;
    Wire__Decided decided = WIRE__DECIDED__INIT;
    decided.coordinator = (char *)site->id.coordinator;
    decided.epoch = site->id.tx.epoch;
    decided.seq = site->id.tx.seq;
    decided.value = (Wire__Value)termination->proposer.value;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_DECIDED;
    message.decided = &decided;
    struct link *link = coordinator_of(agent, site);
    if (link)
        agent_send(agent, link, &message);
    for (int i = 1; i < termination->proposer.sites; i++) {
        if (i != termination->proposer.self)
            line_tell(agent, termination->sites[i].name, termination->sites[i].address, &message);
    }
}

static void has_decided(struct agent *agent, struct site *site, const char *from)
{
    const struct proposer *proposer = &site->termination->proposer;
    if (site->decision != REGISTER_EMPTY) {
        site_learn(agent, site, (enum register_value)proposer->value, from ? from : "a majority");
        return;
    }
    bool commit = proposer->value == REGISTER_COMMIT;
    host_log(&agent->host, LOG_INFO, "%s: decided %s without its coordinator%s%s", site->gtrid,
             commit ? "commit" : "abort", from ? "; told by " : "", from ? from : "");
    /* A crash here: it is decided, and only the registers know. The next run finds the branch in
     * doubt and asks them, or the coordinator does. */
    CRASH_POINT("participant.terminated");
    tell_others(agent, site);
    site_learn(agent, site, (enum register_value)proposer->value, from ? from : "a majority");
}

static void turned(struct agent *agent, struct site *site, enum proposer_turn turn,
                   const char *from)
{
    switch (turn) {
    case PROPOSER_NOTHING:
        break;
    case PROPOSER_PROGRESSED:
        /* A majority has promised. Less than that, as two of four that outbid each other grant in
         * every round, is still a minority, and is not to be reported anew each time. */
        if (site->termination->proposer.phase == PROPOSER_ACCEPTING)
            set_minority(agent, site, false);
        ask_others(agent, site);
        break;
    case PROPOSER_WAS_OUTBID:
        if (site->course >= COURSE_QUEUED)
            rest(agent, site, REST_LEAST_US + agent_random(agent) % REST_MORE_US);
        site->outbid++;
        break;
    case PROPOSER_HAS_DECIDED:
        has_decided(agent, site, from);
        break;
    case PROPOSER_CONTRADICTED:
        site_learn(agent, site,
                   site->termination->proposer.value == REGISTER_COMMIT ? REGISTER_ABORT
                                                                        : REGISTER_COMMIT,
                   from ? from : "this site's register");
        break;
    }
    site_touch(agent, site);
}

void termination_own_reply(struct agent *agent, struct site *site, const struct register_ask *ask,
                           enum register_reply reply)
{
    struct proposer *proposer = &site->termination->proposer;
    if (proposer->phase == PROPOSER_DECIDED)
        return; /* heard meanwhile */
    turned(agent, site, proposer_hear(proposer, proposer->self, ask, reply, &site->state), NULL);
}

static struct ballot ballot_read(const Wire__Ballot *wire)
{
    return wire ? (struct ballot){wire->round, wire->site} : (struct ballot){0, 0};
}

/* What a reply says of the register that it comes from. False: no register can say that. */
static bool reply_read(const Wire__Reply *wire, struct register_ask *ask,
                       struct register_state *state)
{
    *ask = (struct register_ask){.question = (enum register_question)wire->question,
                                 .ballot = ballot_read(wire->ballot)};
    *state = (struct register_state){.promised = ballot_read(wire->promised),
                                     .accepted = ballot_read(wire->accepted),
                                     .value = (uint8_t)wire->value};
    if (wire->value < WIRE__VALUE__EMPTY || wire->value > WIRE__VALUE__COMMIT)
        return false;
    return wire->answered == WIRE__ANSWERED__KNOWN ? wire->value != WIRE__VALUE__EMPTY
                                                   : register_state_sound(state);
}

static bool reply_word(Wire__Answered answered, enum register_reply *reply)
{
    static const enum register_reply words[] = {[WIRE__ANSWERED__GRANTED] = REGISTER_GRANTED,
                                                [WIRE__ANSWERED__OUTBID] = REGISTER_OUTBID,
                                                [WIRE__ANSWERED__KNOWN] = REGISTER_DECIDED,
                                                [WIRE__ANSWERED__ASK_LATER] = REGISTER_WAIT,
                                                [WIRE__ANSWERED__CANNOT_TELL] = REGISTER_HELD};
    if (answered < WIRE__ANSWERED__GRANTED || answered > WIRE__ANSWERED__CANNOT_TELL)
        return false;
    *reply = words[answered];
    return true;
}

void termination_reply(struct agent *agent, const char *from, const char *coordinator,
                       const Wire__Reply *wire)
{
    struct site *site = site_find(agent, wire->coordinator, (struct txid){wire->epoch, wire->seq});
    if (!site || !site->termination)
        return; /* it has ended since it asked */
    struct termination *termination = site->termination;
    struct register_ask ask;
    struct register_state state;
    enum register_reply reply;
    bool fits = wire->site < termination->proposer.sites &&
                (int)wire->site != termination->proposer.self &&
                (wire->site == 0) == (coordinator != NULL) &&
                strcmp(termination->sites[wire->site].name, coordinator ? coordinator : from) == 0;
    if (!fits || !reply_word(wire->answered, &reply) || !reply_read(wire, &ask, &state)) {
        host_log(&agent->host, LOG_WARNING, "%s answered what no register answers; it is ignored",
                 coordinator ? coordinator : from);
        return;
    }
    struct termination_site *said = &termination->sites[wire->site];
    bool heard = reply != REGISTER_WAIT && reply != REGISTER_HELD;
    if (!said->answered || (heard && !said->heard))
        encourage(agent, site);
    said->answered = true;
    said->heard = heard;
    said->decided = reply == REGISTER_DECIDED || register_decided(&state);
    if (said->heard)
        said->state = state;
    turned(agent, site, proposer_hear(&termination->proposer, (int)wire->site, &ask, reply, &state),
           !said->decided ? NULL
           : coordinator  ? coordinator
                          : from);
}
