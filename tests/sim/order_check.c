/* What operators are told of their orders, and what is on the lists in the end. */
#include <string.h>

#include "core/check.h"
#include "participant/agent.h"
#include "tests/sim/cluster.h"
#include "tests/sim/database.h"
#include "tests/sim/order_private.h"
#include "tests/sim/registers.h"
#include "tests/sim/workload.h"

static const char *word_of(bool commit)
{
    return commit ? "commit" : "abort";
}

/* ---- answers ------------------------------------------------------------------------------- */

static void was_refused(struct order_book *book, struct order *order, const Wire__Problem *problem)
{
    /* Lost while it was stored: nobody can say. */
    order->refused =
        strcmp(problem->code, "database_down") != 0 && strcmp(problem->code, "unsure") != 0;
    book->count.refused++;
    if (!problem->code[0] || !problem->message[0])
        world_complaint(book->world, "order %d is refused without a word why", order->number);
    if (order->left && order->refused)
        world_violation(book->world, "order %d is refused (%s), and has left something",
                        order->number, problem->code);
}

/* It is aborted by the protocol: nowhere visible, now and for ever. */
static void was_aborted(struct order_book *book, const struct order *order, struct affair *affair)
{
    struct world *world = book->world;
    if (order->commit)
        world_violation(world, "order %d was to commit, and is answered with an abort",
                        order->number);
    if (!affair || order->dry_run)
        return; /* it may be decided since it was looked at */
    if (affair_decision(book, affair) == REGISTER_COMMIT)
        world_violation(world, "order %d: %s is said to be aborted, and is decided: commit",
                        order->number, affair->gtrid);
    for (int i = 0; i < world->participant_count; i++)
        if (affair->at[i].ended_by[1] & ~affair->at[i].forced_by[1] && !affair->meddled)
            world_violation(world, "order %d: %s is said to be aborted, and is committed at p%d",
                            order->number, affair->gtrid, i);
    affair->aborted = true;
}

static bool has_written(const struct affair *affair)
{
    for (int i = 0; i < MAX_PARTICIPANTS; i++)
        if (affair->at[i].writes)
            return true;
    return false;
}

static void is_decided(struct order_book *book, const struct order *order, struct affair *affair)
{
    enum register_value wanted = order->commit ? REGISTER_COMMIT : REGISTER_ABORT;
    enum register_value decision = affair ? affair_decision(book, affair) : REGISTER_EMPTY;
    /* Somebody else's order is being carried out, on one branch perhaps: no decision on all. */
    if (order->dry_run && affair && affair_forced(affair))
        return;
    if (affair)
        affair->waited[order->commit] = true;
    /* What nobody wrote in, nobody decided. */
    if (order->commit && decision == REGISTER_EMPTY && affair &&
        (affair->denied || !has_written(affair)))
        return;
    if (decision != wanted && (decision != REGISTER_EMPTY || order->commit))
        world_violation(book->world, "order %d is told that %s is decided: %s, and it is not",
                        order->number, order->gtrid, word_of(order->commit));
}

static bool says(const Wire__Exhibit *exhibit, bool commit)
{
    Wire__XidStatus status =
        commit ? WIRE__XID_STATUS__XID_COMMITTED : WIRE__XID_STATUS__XID_ABORTED;
    return exhibit->status == status ||
           (exhibit->decided && (exhibit->value == WIRE__VALUE__COMMIT) == commit);
}

/* NULL: nobody says so. */
static const char *who_says(const Wire__Resolution *resolution, bool commit)
{
    for (size_t i = 0; i < resolution->n_testimonies; i++)
        for (size_t k = 0; k < resolution->testimonies[i]->n_exhibits; k++)
            if (says(resolution->testimonies[i]->exhibits[k], commit))
                return resolution->testimonies[i]->participant;
    return NULL;
}

/* What it rests on must not say otherwise, unless databases differ already. */
static void check_evidence(struct order_book *book, const struct order *order,
                           const struct affair *affair, const Wire__Resolution *resolution)
{
    const char *against = who_says(resolution, !order->commit);
    bool with = who_says(resolution, order->commit) != NULL;
    for (int i = 0; affair && i < MAX_COORDINATORS; i++)
        with |= affair->ordered[i].known && affair->ordered[i].since_us < order->given_us;
    for (int i = 0; affair && i < MAX_PARTICIPANTS; i++)
        with |= affair->at[i].forced_by[order->commit] != 0;
    if (against && !with)
        world_violation(book->world, "order %d forces %s on %s, and %s shows that it is otherwise",
                        order->number, word_of(order->commit), order->gtrid, against);
}

/* Nobody forces what a journal there has decided, or what was forced otherwise before. */
static void check_forced(struct order_book *book, const struct order *order,
                         const struct affair *affair, const Wire__Resolution *resolution)
{
    struct world *world = book->world;
    check_evidence(book, order, affair, resolution);
    if (!affair)
        return;
    if (!order->place.door && !cluster_forgetful()) {
        const struct outcome *decided = &affair->decided[order->place.index];
        if (decided->known && decided->since_us < order->given_us)
            world_violation(world, "order %d forces %s on %s, which c%d has decided: %s",
                            order->number, word_of(order->commit), order->gtrid, order->place.index,
                            word_of(decided->commit));
    }
    if (order->participant >= 0) {
        const struct part *part = &affair->at[order->participant];
        bool before = part->forced && part->since_us < order->given_us;
        if (before && !part->forced_by[order->commit])
            world_violation(world, "order %d forces %s on %s at p%d, which was forced otherwise",
                            order->number, word_of(order->commit), order->gtrid,
                            order->participant);
    }
}

/* What was forced at the door of one that is away a coordinator hears when it is back. */
static bool can_be_asked(const struct world *world, const struct order_place *place,
                         int participant)
{
    const struct node *agent = world->agents[participant];
    return place->door ||
           (node_up(agent) &&
            agent_in_session(agent->process, world->coordinators[place->index]->name));
}

/* Nothing is owed: no branch waits to be ended by a row, or by a decision that is known there. */
static void was_forgotten(struct order_book *book, const struct order *order, struct affair *affair)
{
    struct world *world = book->world;
    if (!affair)
        return;
    const struct order_place *place = &order->place;
    for (int i = 0; i < world->participant_count; i++) {
        const struct part *part = &affair->at[i];
        if (part->again || !database_has_prepared(world->databases[i], affair->gtrid) ||
            (place->door && place->index != i))
            continue;
        /* An abort is told when it is asked for, as ever. What a client has denied nobody knows. */
        const struct outcome *decided = &affair->decided[place->index % MAX_COORDINATORS];
        bool known = !place->door && decided->known && decided->commit && !cluster_forgetful() &&
                     !affair->denied;
        if ((part->forced && can_be_asked(world, place, i)) || known)
            world_violation(world, "order %d forgets %s, and it is prepared at p%d", order->number,
                            affair->gtrid, i);
    }
    if (!order->dry_run && !place->door)
        affair->forgotten = true;
}

static void was_accepted(struct order_book *book, struct order *order,
                         const Wire__Resolution *resolution)
{
    struct affair *affair = affair_find(book, order->gtrid);
    order->accepted = !order->dry_run;
    order->deed = resolution->deed;
    book->count.dry += order->dry_run;
    if (!resolution->message[0])
        world_complaint(book->world, "order %d is answered without a word", order->number);
    switch (resolution->deed) {
    case WIRE__DEED__DEED_NONE:
        book->count.nothing++;
        break;
    case WIRE__DEED__DEED_ABORT:
        book->count.aborted++;
        was_aborted(book, order, affair);
        break;
    case WIRE__DEED__DEED_WAIT:
        book->count.waited++;
        is_decided(book, order, affair);
        break;
    case WIRE__DEED__DEED_HEURISTIC:
        book->count.forced++;
        check_forced(book, order, affair, resolution);
        break;
    case WIRE__DEED__DEED_FORGET:
        book->count.forgotten++;
        was_forgotten(book, order, affair);
        break;
    default:
        world_violation(book->world, "order %d: a deed of no known kind", order->number);
    }
    bool forgets = resolution->deed == WIRE__DEED__DEED_FORGET;
    if (forgets != order->forget && resolution->deed != WIRE__DEED__DEED_NONE)
        world_violation(book->world, "order %d was to %s, and is answered otherwise", order->number,
                        order->forget ? "forget" : "resolve");
}

void order_book_answered(struct order_book *book, int number, const Wire__Answer *answer)
{
    struct order *order = &book->orders[number - 1];
    if (!order->open) {
        world_violation(book->world, "order %d: an answer that nobody waits for", number);
        return;
    }
    order->open = false;
    if (answer->problem)
        was_refused(book, order, answer->problem);
    else if (answer->resolution)
        was_accepted(book, order, answer->resolution);
    else
        world_violation(book->world, "order %d: neither done nor refused", number);
}

void order_book_shown(struct order_book *book, const Wire__TransactionView *view)
{
    struct affair *affair = affair_find(book, view->gtrid);
    if (!affair) {
        world_violation(book->world, "%s is on a list, and never was", view->gtrid);
        return;
    }
    affair->shown = true;
    affair->shown_mixed |= strcmp(view->heuristic, "mixed") == 0;
    affair->shown_hazard |= view->hazard;
    if (view->heuristic[0] && !affair_forced(affair) && view->n_heuristics == 0)
        world_complaint(book->world, "%s is shown as %s, and nothing was forced", view->gtrid,
                        view->heuristic);
}

/* ---- at the end ---------------------------------------------------------------------------- */

/* What can be seen of it in the databases, or what was decided or told, is not all the same. */
static bool is_torn(const struct order_book *book, const struct affair *affair)
{
    const struct world *world = book->world;
    bool visible = false, missing = false;
    for (int i = 0; i < world->participant_count; i++) {
        const struct part *part = &affair->at[i];
        visible |= part->writes && part->ended_by[1];
        missing |= part->writes && (part->ended_by[0] || !part->ended_by[1]);
    }
    enum register_value decision = affair_decision(book, affair);
    missing |= decision == REGISTER_ABORT ||
               (affair->token && workload_told_aborted(world, affair->token, affair->gtrid));
    visible |= decision == REGISTER_COMMIT;
    return visible && missing;
}

static bool is_forgotten(const struct affair *affair)
{
    bool rows = false;
    for (int i = 0; i < MAX_PARTICIPANTS; i++) {
        const struct part *part = &affair->at[i];
        rows |= part->forced && part->forgotten;
        if (part->forced && !part->forgotten)
            return affair->forgotten;
    }
    return affair->forgotten || rows;
}

/* What nobody forced is as decided. */
static void check_part(const struct order_book *book, const struct affair *affair, int participant,
                       bool commit)
{
    const struct part *part = &affair->at[participant];
    enum register_value decision = affair_decision(book, affair);
    if (!(part->ended_by[commit] & ~(part->forced_by[0] | part->forced_by[1])))
        return;
    if (decision != REGISTER_EMPTY && commit != (decision == REGISTER_COMMIT))
        world_violation(book->world, "%s ended at p%d by %s, and is decided: %s", affair->gtrid,
                        participant, word_of(commit), registers_word((uint8_t)decision));
    if (affair->waited[!commit])
        world_violation(book->world,
                        "%s ended at p%d by %s, and an operator was told that it is decided "
                        "otherwise",
                        affair->gtrid, participant, word_of(commit));
}

static void check_others(const struct order_book *book, const struct affair *affair)
{
    for (int i = 0; i < book->world->participant_count; i++) {
        check_part(book, affair, i, false);
        check_part(book, affair, i, true);
    }
}

static void check_affair(struct order_book *book, const struct affair *affair)
{
    bool forced = affair_forced(affair);
    bool excused = affair->meddled || affair->denied;
    bool torn = forced && !excused && is_torn(book, affair);
    if (!excused)
        check_others(book, affair);
    book->count.torn += torn;
    if (!forced || is_forgotten(affair))
        return;
    if (!affair->shown)
        world_violation(book->world, "%s was forced, and is on no list", affair->gtrid);
    else if (torn && !affair->shown_mixed && !affair->shown_hazard)
        world_violation(book->world,
                        "%s was forced, and differs from what was decided, told or done elsewhere: "
                        "no list says so",
                        affair->gtrid);
}

void order_book_check(struct world *world)
{
    struct order_book *book = world->orders;
    for (size_t i = 0; i < book->affair_count; i++)
        check_affair(book, book->affairs[i]);
}
