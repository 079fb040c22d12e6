/* Who brings the decision about: pure. One engine for both protocols and for everybody. The
 * coordinator proposes commit at ballot {0,0}, which is its own; over one site (two-phase) its own
 * acceptance is enough, and so the decision. A site that waits too long, or a coordinator that
 * was outbid or started again, begins a round of its own at a higher ballot: it gathers promises
 * from a majority, takes the value accepted at the highest ballot or else abort, and has that
 * accepted by so many that every majority has one of them. Where so many have accepted it already
 * it is decided; who has accepted at ballot {0,0} speaks for the coordinator, too.
 *
 * A site asks itself first: nothing is asked of another before this site's own register has granted
 * it, durably. So no ballot is used twice, also by a site that has forgotten all but its register;
 * and a coordinator without a record of its proposal has never proposed, and may presume abort.
 *
 * The runner: after every step asks, again and again, every site of proposer_wants that it can
 * reach, proposer_ask's question; gives each reply to proposer_hear; begins a new round some random
 * time after OUTBID. A minority waits: nothing here ever decides by time. */
#ifndef TROTH_CORE_PROPOSER_H
#define TROTH_CORE_PROPOSER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"
#include "core/register.h"

enum proposer_phase {
    PROPOSER_IDLE,
    PROPOSER_PROMISING, /* gathers promises */
    PROPOSER_ACCEPTING, /* has its value accepted */
    PROPOSER_OUTBID,    /* some site has promised a higher ballot: waits for the next round */
    PROPOSER_DECIDED,
};

/* Fields are read by everybody and written by proposer.c alone. */
struct proposer {
    uint8_t sites; /* how many: 1 ... LIMIT_SITES */
    uint8_t self;
    uint8_t phase;
    uint8_t value; /* enum register_value: proposed, or decided */
    struct ballot ballot;
    uint32_t granted;   /* a bit a site, in this phase */
    struct ballot best; /* the highest at which a site that promised had accepted: `value` */
    uint8_t best_count; /* how many of them had accepted at it */
    uint32_t seen;      /* the highest round heard of */
};

enum proposer_turn {
    PROPOSER_NOTHING,    /* a late or repeated reply */
    PROPOSER_PROGRESSED, /* proposer_wants has changed */
    PROPOSER_WAS_OUTBID,
    PROPOSER_HAS_DECIDED, /* `value` is the decision */
    PROPOSER_CONTRADICTED /* another decision than the one known here: somebody broke the protocol
                           */
};

void proposer_init(struct proposer *proposer, int sites, int self);
/* The coordinator, once, and only while it has never proposed: commit at ballot {0,0}. */
void proposer_propose_commit(struct proposer *proposer);
/* A new round, above every one that this site has heard of; own: this site's register. False: no
 * round is left, which only a peer that makes rounds up can bring about. The site has nothing more
 * to ask then, and waits for somebody else's decision. */
bool proposer_begin(struct proposer *proposer, const struct register_state *own);
struct register_ask proposer_ask(const struct proposer *proposer);
/* Sites that must still be asked, a bit each; 0 when nothing is to be asked now. */
uint32_t proposer_wants(const struct proposer *proposer);
/* ask: the one that is answered (its value does not matter). state: the register of that site after
 * it, or for DECIDED its value; for WAIT and HELD it is not looked at, and the site is still
 * wanted. A state that is not sound, or of no site, is NOTHING. */
enum proposer_turn proposer_hear(struct proposer *proposer, int site,
                                 const struct register_ask *ask, enum register_reply reply,
                                 const struct register_state *state);
/* The decision was heard from somebody. EMPTY is none: NOTHING. */
enum proposer_turn proposer_learn(struct proposer *proposer, enum register_value value);
/* How many must promise: more than half of the sites. */
int proposer_majority(const struct proposer *proposer);
/* How many must accept: so many that every majority has one of them (H. Howard, D. Malkhi, A.
 * Spiegelman, "Flexible Paxos: Quorum Intersection Revisited", 2016). Of an odd number of sites
 * that is a majority, of an even number half. */
int proposer_acceptances(const struct proposer *proposer);
/* Of so many sites two acceptances are enough. Then whoever accepts at the coordinator's own ballot
 * makes the decision: the coordinator asks nobody before it has accepted itself, durably. */
bool proposer_first_other_decides(int sites);
int proposer_granted(const struct proposer *proposer); /* sites that granted in this phase */

#endif
