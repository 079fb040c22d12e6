#include "tests/sim/lookers.h"

#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "core/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/network.h"
#include "tests/sim/registers.h"
#include "tests/sim/workload.h"

enum { LOOKS = 10 }; /* at one place, before it goes to another */

struct looker {
    struct node *node;
    struct client *client;
    int looks_left;
    bool quiet; /* what it asks now is answered by a world that is healed and at rest */
};

static struct ballot ballot_of(const Wire__Ballot *ballot)
{
    return ballot ? (struct ballot){ballot->round, ballot->site} : (struct ballot){0, 0};
}

static void check_site(struct world *world, const Wire__TransactionView *transaction,
                       const Wire__SiteView *site)
{
    struct registers *registers = world->registers;
    struct register_state state = {.promised = ballot_of(site->promised),
                                   .accepted = ballot_of(site->accepted),
                                   .value = (uint8_t)site->value};
    if (!site->heard)
        return;
    if (site->decided)
        registers_shown_decided(registers, transaction->gtrid, state.value);
    else
        registers_shown(registers, transaction->gtrid, site->name, &state);
}

/* What another process of the same participant has ended, of two phases, one waits for with its
 * coordinator that never comes. */
static bool is_waited_for(const struct world *world, const char *gtrid)
{
    int coordinator = cluster_coordinator_of(world, gtrid);
    return coordinator >= 0 && cluster_gone(world, coordinator) &&
           registers_lonely(world->registers, gtrid);
}

static void on_answer(void *self, const Wire__Answer *answer)
{
    struct looker *looker = self;
    struct world *world = looker->node->world;
    world_note(world, answer->n_transactions, "%s is shown %zu transactions, %zu participants",
               looker->node->name, answer->n_transactions, answer->n_participants);
    if (answer->problem)
        world_complaint(world, "a question was refused: %s", answer->problem->message);
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const Wire__TransactionView *transaction = answer->transactions[i];
        for (size_t k = 0; k < transaction->n_sites; k++)
            check_site(world, transaction, transaction->sites[k]);
        if (looker->quiet && transaction->in_doubt && !is_waited_for(world, transaction->gtrid))
            world_complaint(world, "%s is shown in doubt when all has ended", transaction->gtrid);
    }
    for (size_t i = 0; i < answer->n_participants; i++) {
        const Wire__ParticipantView *view = answer->participants[i];
        if (looker->quiet && (view->terminating || view->minority))
            world_complaint(world, "%s is shown to finish %u transactions when all has ended",
                            view->name, view->terminating);
    }
    looker->quiet = false;
}

/* What a person's hand has ended, its participant holds in doubt until the coordinator is back. */
static bool everything_ended(const struct workload *workload)
{
    return workload->resting && !workload->meddling && !workload->operated &&
           workload->world->operator_count == 0;
}

static void look(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    struct looker *looker = node->process;
    Wire__Query query = WIRE__QUERY__INIT;
    query.request = 1;
    query.what = world_chance(world, PPM / 4) ? WIRE__WHAT__PARTICIPANTS : WIRE__WHAT__TRANSACTIONS;
    query.in_doubt = world_chance(world, PPM / 2);
    if (client_connected(looker->client) && client_query(looker->client, &query))
        looker->quiet = everything_ended(world->workload);
    looker->looks_left--;
    world_deliver(world, world_latency(world, SECOND_US), node, node->boot, look, node, 0, NULL);
}

/* Somebody who listens there. */
static struct node *choose(struct world *world)
{
    if (cluster_deaf() || world_chance(world, PPM / 4))
        return world->coordinators[world_between(world, 0, (uint64_t)world->coordinator_count - 1)];
    return world->agents[world_between(world, 0, (uint64_t)world->participant_count - 1)];
}

static void looker_start(struct node *node)
{
    struct world *world = node->world;
    struct looker *looker = xcalloc(1, sizeof(*looker));
    looker->node = node;
    looker->looks_left = LOOKS;
    node->process = looker;
    struct client_events events = {.self = looker, .answer = on_answer};
    struct link_port link = network_connector(world->network, node, 0, choose(world));
    looker->client = client_new(NULL, node->name, &node->host, &link, &events);
    world_deliver(world, world_latency(world, SECOND_US), node, node->boot, look, node, 0, NULL);
}

static void looker_stop(struct node *node)
{
    struct looker *looker = node->process;
    client_free(looker->client);
    free(looker);
}

static uint64_t looker_settle(struct node *node)
{
    struct looker *looker = node->process;
    return client_settle(looker->client);
}

static bool looker_over(struct node *node)
{
    const struct looker *looker = node->process;
    return looker->looks_left <= 0;
}

static void looker_gone(struct node *node)
{
    network_gone(node->world->network, node);
}

const struct node_class looker_class = {.start = looker_start,
                                        .stop = looker_stop,
                                        .settle = looker_settle,
                                        .over = looker_over,
                                        .gone = looker_gone};

void looker_frame(struct node *node, const void *frame, size_t size)
{
    struct looker *looker = node->process;
    client_frame(looker->client, frame, size);
}

void looker_broken(struct node *node)
{
    struct looker *looker = node->process;
    client_broken(looker->client);
}
