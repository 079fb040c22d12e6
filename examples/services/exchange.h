/* Requests and answers, JSON texts, over nanomsg's REQ and REP.
 *
 * A request may arrive twice: nanomsg sends it again by itself when the connection is lost before
 * the answer. Who answers must be able to bear that. */
#ifndef EXCHANGE_H
#define EXCHANGE_H

enum { EXCHANGE_BYTES = 65536 }; /* of a message; who sends a longer one loses the connection */

/* Where somebody answers. {address, -1} to begin with; for one thread at a time. */
struct exchange_line {
    const char *address;
    int socket;
};

/* The answer, to be freed with free(). NULL: none came in time, and errno says why. The request may
 * have been carried out all the same. */
char *exchange_ask(struct exchange_line *line, const char *request, int timeout_ms);
void exchange_hang_up(struct exchange_line *line);

/* Answers one request with a text that free() frees. NULL: what became of it can't be said. */
typedef char *exchange_answer(void *self, const char *request);

struct exchange;

/* Answers requests at this address on as many threads, each with its own `self` of those.
 * NULL with errno: the address is none or taken. */
struct exchange *exchange_serve(const char *address, exchange_answer *answer, int threads,
                                void *const selves[]);
/* Lets what is being answered end, and takes no more. NULL is harmless. */
void exchange_close(struct exchange *exchange);

#endif
