/* A shop on real processes and real databases: trothd and three participants on the three clusters
 * of tests/run, on this host or each on one of its own (network.h). A test starts, stops and kills
 * its processes, and looks at the truth by SQL (purchase.h buys). The tests of one program share a
 * shop as long as they pass: each starts with everything running and empty tables. What fails kills
 * all processes and leaves the folder with logs, journal and configurations. */
#ifndef TROTH_TESTS_REAL_SHOP_H
#define TROTH_TESTS_REAL_SHOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

enum process { COORDINATOR, ORDERS, PAYMENTS, INVENTORY, PROCESSES };
/* trothd, orders, payments, inventory; the last three are also participants and clusters. */
extern const char *const process_names[PROCESSES];

struct shop {
    char folder[64];                 /* configurations, logs, the journal */
    char addresses[PROCESSES][64];   /* where each listens */
    struct network *network;         /* NULL: all on this host */
    bool sagas;                      /* with what sagas need (saga_shop.h) */
    const char *services[PROCESSES]; /* programs in place of troth-participant; NULL: none */
    char build[512];                 /* where the programs are */
    struct {
        pid_t pid;       /* 0: not running */
        long log_offset; /* where the log of this run begins */
        long mark;       /* what shop_logged looks at begins here */
        bool doomed;     /* started to die or stop at a crash point */
    } processes[PROCESSES];
    int orders;           /* order ids given out */
    const void *argument; /* of this test */
    void (*body)(struct shop *shop);
    bool passed;
};

/* ---- tests --------------------------------------------------------------------------------- */

struct CMUnitTest shop_test(const char *name, void (*body)(struct shop *shop),
                            const void *argument);
#define SHOP_TEST(body) shop_test(#body, body, NULL)
/* Runs them as TAP; returns main's exit code. At the end the processes are stopped in order, which
 * must succeed. */
int shop_run(const char *program, const struct CMUnitTest *tests, size_t count);
/* Called before shop_run: each process on a host of its own; tests are skipped where that is not
 * allowed. */
void shop_use_network(void);
/* Called before shop_run: that participant is this program of the build, with `--config FILE`: a
 * service, which offers what its file does not. */
void shop_use_service(enum process participant, const char *program);
/* Called before shop_run: a shop in which the sagas of examples/sagas run. */
void shop_use_sagas(void);
/* Called before shop_run: what was started to die or stop at a crash point, and did not, runs on
 * into the next test, which sees to it itself. */
void shop_use_armed(void);
/* The test can't be made here; it does not return. */
_Noreturn void shop_skip(struct shop *shop, const char *reason);
/* A line of TAP for a reader: not judged. */
void shop_remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- processes ----------------------------------------------------------------------------- */

/* crash: TROTH_CRASH_AT for it, or NULL. */
void shop_start(struct shop *shop, enum process process, const char *crash);
/* The same with TROTH_STOP_AT: at that point it stops and waits for SIGCONT. */
void shop_start_to_stop(struct shop *shop, enum process process, const char *stop,
                        const char *crash);
bool shop_stopped(struct shop *shop, enum process process);
void shop_wait_stopped(struct shop *shop, enum process process);
/* Starts those that don't run and waits until all are ready. */
void shop_start_all(struct shop *shop);
/* All run, and since their last start every participant is connected with its database up; or one
 * that was started with a crash point has ended. */
void shop_wait_ready(struct shop *shop);
/* What the coordinator says of it alone, whichever processes speak for the participants. */
void shop_wait_connected(struct shop *shop);
void shop_signal(struct shop *shop, enum process process, int signal);
bool shop_ended(struct shop *shop, enum process process); /* reaps nothing */
/* Waits until the process has ended; returns its wait status and forgets it. */
int shop_wait_end(struct shop *shop, enum process process);
void shop_kill(struct shop *shop, enum process process); /* kill -9, and waits for its end */
/* SIGTERM; it must end with 0. */
void shop_stop(struct shop *shop, enum process process);
/* Has it logged this since its last start, or since shop_mark was called? */
bool shop_logged(struct shop *shop, enum process process, const char *text);
void shop_mark(struct shop *shop);
void shop_wait_logged(struct shop *shop, enum process process, const char *text);

/* Any program of the build, its output appended to FOLDER/LOG; dies with the test. words[0] is its
 * name in the build, and they end with NULL. */
pid_t shop_spawn(struct shop *shop, const char *const *words, const char *log, const char *crash);
/* The same into a descriptor, on the host of a process. */
pid_t shop_spawn_at(struct shop *shop, enum process host, const char *const *words, int output);
int shop_reap(pid_t pid); /* its wait status */
void shop_write(struct shop *shop, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* a file in the folder */
int shop_free_port(void);

#endif
