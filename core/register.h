/* The decision register of a three-phase transaction at one site: pure. The sites of a transaction
 * are its coordinator (site 0) and its participants (site i + 1 is branch i). Each holds a
 * register, durable: at a participant a row of troth.register, at the coordinator records of its
 * journal.
 *
 * It is an acceptor of single-decree Paxos (L. Lamport, "Paxos Made Simple", 2001, section 2.2),
 * and the whole is the commit protocol of J. Gray and L. Lamport, "Consensus on Transaction
 * Commit", 2006, with one register for the decision: what half of the sites have accepted at
 * one ballot is decided, for ever.
 *
 * Invariants, checked by tests/model and the simulator:
 * R1  a site accepts nothing at a ballot below one that it has promised;
 * R2  what it answers is durable before the answer goes out;
 * R3  what it has promised or accepted is never forgotten while some site may still ask. */
#ifndef TROTH_CORE_REGISTER_H
#define TROTH_CORE_REGISTER_H

#include <stdbool.h>
#include <stdint.h>

/* Ordered by round, then site: no two sites ever use the same ballot. {0,0} is the coordinator's
 * own: it needs no promise, as nobody can have accepted anything before it. */
struct ballot {
    uint32_t round;
    uint32_t site;
};

enum register_value { REGISTER_EMPTY, REGISTER_ABORT, REGISTER_COMMIT };

/* Zeros are a fresh register: it promises nothing beyond ballot {0,0}. value EMPTY: nothing was
 * accepted, and `accepted` means nothing. promised is never below accepted. */
struct register_state {
    struct ballot promised;
    struct ballot accepted;
    uint8_t value; /* enum register_value */
};

enum register_question { REGISTER_PROMISE = 1, REGISTER_ACCEPT };

struct register_ask {
    enum register_question question;
    struct ballot ballot;
    enum register_value value; /* ACCEPT */
};

enum register_reply {
    REGISTER_GRANTED = 1, /* promised, or accepted */
    REGISTER_OUTBID,      /* a higher ballot was promised */
    REGISTER_DECIDED,     /* this site knows the decision: the value */
    REGISTER_WAIT,        /* the coordinator is there and has not proposed yet: ask again later */
    REGISTER_HELD,        /* this site can't tell what it once held: an operator's */
};

int ballot_compare(struct ballot a, struct ballot b);
bool register_state_equal(const struct register_state *a, const struct register_state *b);

/* Can a site that keeps the rules ask this, or hold this? What comes from a peer or a disk may be
 * anything, and its runner says so of what it ignores. */
bool register_ask_sound(const struct register_ask *ask);
bool register_state_sound(const struct register_state *state);

/* What the register becomes and what is answered once that is durable: GRANTED, OUTBID or DECIDED.
 * The same ask again is granted again, and changes nothing. What is not sound is answered OUTBID
 * and changes nothing, as is another value at a ballot that has one: to refuse is always safe. */
enum register_reply register_answer(struct register_state *state, const struct register_ask *ask);

/* A site that hears the decision keeps it as a value accepted above all ballots: whatever is asked
 * later is answered DECIDED. False: it knew another one, which no run of the protocol can do. */
bool register_learn(struct register_state *state, enum register_value value);
bool register_decided(const struct register_state *state);

/* Of a fresh register that has accepted the coordinator's commit, at ballot {0,0}. */
extern const struct register_state register_first_commit;

#endif
