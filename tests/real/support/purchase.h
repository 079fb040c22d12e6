/* Purchases through the command line, as a person makes them, and the books that tell the truth. */
#ifndef TROTH_TESTS_REAL_PURCHASE_H
#define TROTH_TESTS_REAL_PURCHASE_H

#include "tests/real/support/shop.h"

/* Exit codes of `troth submit`. */
enum { TOLD_COMMITTED, TOLD_ABORTED, TOLD_MISTAKE, TOLD_NOBODY, TOLD_REFUSED, TOLD_UNKNOWN };

/* What a command said: its exit code, and standard output and error, to be freed. */
struct said {
    int code;
    char *output;
};
/* troth --coordinator ADDRESS WORDS; words end with NULL. */
struct said shop_command(struct shop *shop, const char *const *words);
struct said shop_say(struct shop *shop, ...) __attribute__((sentinel));
/* The same as a process that goes on while the test does; output: a pipe. */
pid_t shop_command_begin(struct shop *shop, const char *const *words, int *output);
bool shop_command_ended(pid_t pid); /* without waiting; reaps nothing */
struct said shop_command_end(pid_t pid, int output);
/* troth beside that process, asking at its own address; or anywhere. */
struct said shop_command_at(struct shop *shop, enum process process, const char *const *words);
struct said shop_say_at(struct shop *shop, enum process process, ...) __attribute__((sentinel));
struct said shop_say_to(struct shop *shop, const char *address, ...) __attribute__((sentinel));
/* As operators ask of what a database has to tell: again when it, or who asks it, just had no time
 * (`try again` is the hint then), for 20 s at most. To a participant's own address, or by the
 * coordinator. */
struct said shop_ask(struct shop *shop, ...) __attribute__((sentinel));
struct said shop_ask_to(struct shop *shop, const char *address, ...) __attribute__((sentinel));
void said_fini(struct said *said);
/* Fails the test unless the output has this text; says what it was. */
void said_has(struct said *said, const char *text);
/* The exit code, and up to three texts that must be there; NULL: none. Frees what was said. */
void said_expect(struct said said, int code, const char *one, const char *two, const char *three);

/* One lamp for 10 in all three databases, unless the fields say otherwise; all may be left zero. */
struct purchase {
    const char *coordinator; /* the address of another than the shop's */
    const char *timeout;     /* "10s" */
    const char *key, *wait, *protocol;
    const char *customer; /* ada */
    const char *sku;      /* lamp */
    int amount;
    const char *alone;  /* one phase: only a note, at this participant */
    const char *dawdle; /* a note at orders, and one at this participant that takes a second */
    const char *pair;   /* a note at orders, and one at this participant */
    const char *also;   /* and a note at this one */
    char order[32];     /* out; in with `again`: the same order once more */
    bool again;
    pid_t pid;
    int output; /* a pipe */
};
void purchase_begin(struct shop *shop, struct purchase *purchase);
struct said purchase_end(struct shop *shop, struct purchase *purchase);
bool purchase_ended(const struct purchase *purchase); /* without waiting; reaps nothing */
/* Both, for the exit code. */
int purchase_make(struct shop *shop, struct purchase *purchase);
/* The shop works: a purchase commits, now or soon, as a session may still be lost for what was done
 * to the processes before. */
void purchase_wait_possible(struct shop *shop);

/* Waits until no database has a prepared transaction and the coordinator owes nothing. */
void books_wait_settled(struct shop *shop);
bool books_none_prepared(void);
/* Waits for that alone, whoever lives; returns how long it took. */
int books_wait_none_prepared(int seconds);
/* Waits until so many are prepared in the database of a participant. */
void books_wait_prepared(const char *participant, int count);
/* By SQL: each order is in all three databases or in none, and not twice; the money and the lamps
 * add up; nothing is prepared. Returns the number of orders. */
int books_check(void);
/* How often the order is in the books (or the note, at a participant). */
int books_count(const char *order);
int books_count_purchase(const struct purchase *purchase); /* wherever it has effects */
int books_count_notes(const char *participant, const char *order);
/* The id of the newest transaction of three phases that is prepared, or has a row, in a database
 * that answers. */
void books_newest_gtrid(char *gtrid, size_t size);

#endif
