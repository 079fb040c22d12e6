/* Every limit in one place, each with its reason. Sizes are bytes unless the name says otherwise.
 */
#ifndef TROTH_CORE_LIMITS_H
#define TROTH_CORE_LIMITS_H

/* PostgreSQL: GIDSIZE is 200 with the terminating zero, so a gid has at most 199 bytes. */
#define LIMIT_GID_BYTES 199

/* cluster, coordinator and participant names. A gid is
 * "troth." cluster "." coordinator "." epoch "." seq "." branch: 6 + 2*(32+1) + 2*(20+1) + 3 = 117.
 */
#define LIMIT_NAME_BYTES  32
#define LIMIT_GTRID_BYTES (2 * (LIMIT_NAME_BYTES + 1) + 20 + 1 + 20)
_Static_assert(6 + LIMIT_GTRID_BYTES + 1 + 3 <= LIMIT_GID_BYTES, "a gid must fit PostgreSQL's");

/* Operation and parameter names: PostgreSQL's NAMEDATALEN less one, so they may be column names. */
#define LIMIT_WORD_BYTES 63

/* Branches of a transaction: a person's purchase has 3; 64 keeps a COMMIT record under a batch. */
#define LIMIT_BRANCHES 64

/* Sites of a three-phase transaction: its coordinator and up to 31 participants, a bit each. */
#define LIMIT_SITES 32
/* Rounds of proposals in one of them. A site that is outbid begins the next one 200 ms later at the
 * earliest, so this many take six years: a greater one was made up, and is not believed. */
#define LIMIT_ROUNDS (1u << 30)
/* Their names and addresses, as they travel with PREPARE and lie in troth.sites. */
#define LIMIT_ADDRESS_BYTES 63
/* Different lists of them whose numbers in troth.sites a participant remembers: at most 3 KiB each.
 * Beyond it the one that was used longest ago is asked for again when it is needed, which costs a
 * round trip. */
#define LIMIT_SITE_LISTS 4096
/* Links that a participant has to others at one time, to finish transactions without their
 * coordinator. Each is a socket, and goes when it was of no use for a while. */
#define LIMIT_LINES 64

/* Operations in one transaction, over all branches. */
#define LIMIT_CALLS 256

/* A client's frame. nanomsg kills the connection of a peer that sends more than NN_RCVMAXSIZE, so a
 * sender checks before it sends. 64 KiB less room for the frame header and sealing. */
#define LIMIT_CLIENT_FRAME_BYTES (64 * 1024)
/* An agent's frame: several clients' messages are batched to it. */
#define LIMIT_AGENT_FRAME_BYTES (256 * 1024)
/* One message, so that any message fits into a frame of either kind. */
#define LIMIT_MESSAGE_BYTES (60 * 1024)
_Static_assert(LIMIT_MESSAGE_BYTES + 1024 <= LIMIT_CLIENT_FRAME_BYTES, "a message fits a frame");

/* The results that one transaction returns, all operations together: they travel in one message. */
#define LIMIT_RESULT_BYTES (32 * 1024)
_Static_assert(LIMIT_RESULT_BYTES * 3 / 2 < LIMIT_MESSAGE_BYTES, "results fit a message");
/* Results kept beside an idempotency key, for its duplicates; beyond it a duplicate is told so. */
#define LIMIT_KEPT_RESULT_BYTES (4 * 1024)
/* A client's idempotency key. */
#define LIMIT_KEY_BYTES 200
/* The results kept beside all keys together, as memory: without it a million keys with results of
 * the size above would take 4 GiB. Beyond it the results of new keys are not kept. */
#define LIMIT_KEPT_RESULTS_BYTES (256 * 1024 * 1024)
/* Keys remembered at once: about 300 bytes each without results. A new key is refused beyond it. */
#define LIMIT_KEYS (1000 * 1000)

/* The window of a session: what may be sent and not yet acknowledged. Four agent frames fill the
 * 1 MiB that a loopback round trip never needs; it bounds what a slow peer can hold here. */
#define LIMIT_WINDOW_BYTES  (1024 * 1024)
#define LIMIT_WINDOW_FRAMES 256
/* What may wait for the window, for one peer, before new work for it is refused as busy. */
#define LIMIT_QUEUE_BYTES (64 * 1024 * 1024)
/* Sessions at one coordinator. Each costs about 1 KiB when idle. */
#define LIMIT_PEERS 4096

/* Undecided transactions at a coordinator, and transactions not yet applied at one participant: the
 * second keeps one participant that is down from using up the room of all. */
#define LIMIT_IN_FLIGHT             20000
#define LIMIT_IN_FLIGHT_PARTICIPANT 15000

/* Transactions that are built step by step and not ended, at a coordinator. Each costs it some
 * 1 KiB, and its databases a connection a branch: so many are more than any of them has. */
#define LIMIT_OPEN 10000

/* Clients that wait for one transaction, each with a key: one that tries again while its first try
 * runs is one more. Each costs some 100 bytes, and its answer up to a message, at one moment. */
#define LIMIT_WAITERS 64

/* Ended commits are remembered in blocks of 4096 ids, 512 bytes each: 32 MiB and 268 million
 * decisions at most. Beyond it the oldest are forgotten, and the low-water mark rises over them. */
#define LIMIT_RETAINED_BLOCKS (64 * 1024)

/* Epochs that the journal remembers, 8 bytes each, and a record each in a checkpoint: one begins
 * with every start. Beyond it the oldest is forgotten, and the low-water mark rises over it. */
#define LIMIT_EPOCHS (64 * 1024)

/* Hazards of aborts that a participant keeps until a coordinator has taken them, some 120 bytes
 * each. Beyond it they stand in its log only; a person who ends prepared branches by hand makes
 * few. */
#define LIMIT_UNTOLD_HAZARDS 1000

/* Heuristic outcomes that a coordinator lists, and those that a participant tells: some 500 bytes
 * each. An operator makes few; beyond it orders are refused until some are forgotten. */
#define LIMIT_HEURISTICS 1000
/* Inquiries that a coordinator makes at once: each asks databases, for up to 3 s, and keeps up to 1
 * MiB of what they say. */
#define LIMIT_INQUIRIES 16
/* Things that are parked for an operator and remembered as told, some 200 bytes each. Beyond it
 * they stand in the log only. */
#define LIMIT_ALERTS 10000
/* Why an operator orders something: it lies in records, rows and the audit log. And who: a name
 * and a host. */
#define LIMIT_REASON_BYTES 200
#define LIMIT_BY_BYTES     100

/* COMMIT and LOOKUP sent again to a participant that came back, and not yet answered: more would
 * only wait in the participant's queue, in front of its new work. */
#define LIMIT_OUTSTANDING 1024

/* Finished transactions kept for `tx show` and `tx list`. */
#define LIMIT_HISTORY 10000

/* One journal record: a COMMIT with 64 branches, a key and its results; or what a step of a saga
 * came to, its output and its result, 32 KiB each. */
#define LIMIT_RECORD_BYTES (72 * 1024)
/* One batch frame of the journal. A bigger batch is split over several frames. */
#define LIMIT_BATCH_BYTES (4 * 1024 * 1024)
_Static_assert(LIMIT_RECORD_BYTES + 4096 <= LIMIT_BATCH_BYTES, "a record fits a batch");

/* A saga's definition. Its text lies in one journal record and travels in one message. */
#define LIMIT_SAGA_DEFINITION_BYTES (48 * 1024)
_Static_assert(LIMIT_SAGA_DEFINITION_BYTES + 4096 <= LIMIT_MESSAGE_BYTES, "it fits a message");
_Static_assert(LIMIT_SAGA_DEFINITION_BYTES + 4096 <= LIMIT_RECORD_BYTES, "it fits a record");
/* Steps of a definition, with the blocks that hold others: more than a person can follow. */
#define LIMIT_SAGA_STEPS 256
/* Blocks inside each other. It bounds every walk over the tree of steps. */
#define LIMIT_SAGA_DEPTH 8
/* Values that a saga is started with. */
#define LIMIT_SAGA_INPUTS 64
/* One expression: what is longer belongs into an operation. */
#define LIMIT_SAGA_EXPRESSION_BYTES 2048
/* Expressions of a definition, which are compiled as one program: some 0.4 ms each. */
#define LIMIT_SAGA_EXPRESSIONS 512
/* Brackets inside each other in an expression, and the nesting of a value: as core/json.h. */
#define LIMIT_SAGA_NESTING 64
/* Items of a for_each, each of which is journaled, and numbers that one range() gives. */
#define LIMIT_SAGA_ITEMS 10000
/* Items of a for_each that run at once: what one saga may take of everybody's room. */
#define LIMIT_SAGA_AT_ONCE 256
/* A text that an expression makes by repeating another: as much as it may give at all. */
#define LIMIT_SAGA_REPEATED_BYTES 32768
/* A value that is handed on: an input, the arguments of a call, an output, a signal. */
#define LIMIT_SAGA_VALUE_BYTES LIMIT_RESULT_BYTES
_Static_assert(2 * LIMIT_SAGA_VALUE_BYTES + 4096 <= LIMIT_RECORD_BYTES,
               "a step's end fits a record");
/* Tries of a step. Who needs more means a retriable step, which has no such bound. */
#define LIMIT_SAGA_ATTEMPTS 1000
/* Sagas that run at a coordinator, those that are steps of others too: each waits in under 1 KiB. A
 * start is refused beyond it. */
#define LIMIT_SAGAS (500 * 1000)
/* Ended sagas kept for `saga show` and `saga list --all`, those that were steps too. */
#define LIMIT_SAGA_HISTORY 1000
/* Sagas inside each other: a step that would go deeper fails. */
#define LIMIT_SAGA_GENERATIONS 8
/* A step's name with the numbers of its items: "goods[9999][12]". */
#define LIMIT_SAGA_LABEL_BYTES (LIMIT_WORD_BYTES + LIMIT_SAGA_DEPTH * 7)
/* The key of what was done of it, in the participant's troth.barrier: "shop.c1.5.17/charge/undo".
 */
#define LIMIT_BARRIER_KEY_BYTES (LIMIT_GTRID_BYTES + 1 + LIMIT_SAGA_LABEL_BYTES + 5)
/* Tries sent to one participant and not answered. More would only wait there, each in a queue of
 * its own, in front of other work; here they wait in the order in which they became due. */
#define LIMIT_EXECUTING 256
/* Signals that one saga keeps until a wait takes them. */
#define LIMIT_SAGA_SIGNALS 16
/* Mistakes and warnings that one run tells: more than a person reads. */
#define LIMIT_SAGA_FINDINGS 1000

/* A configuration or submit file. */
#define LIMIT_FILE_BYTES (1024 * 1024)

#endif
