/* The order service. It takes orders from place-order and has them carried out in three databases:
 *
 * - by 2pc or 3pc: it begins a transaction, writes the order on a connection of its own, and asks
 *   payment-service and inventory-service to do their parts in the same transaction;
 * - by saga: it has the coordinator run place-order (examples/sagas/place-order.yaml), whose steps
 *   are operations of the three participants.
 *
 * The id of a request is its idempotency key: the coordinator knows what became of it, so this
 * process keeps nothing and may be killed at any moment. Who asks again with the same id hears the
 * same answer:
 *   placed   it is done, everywhere
 *   refused  nothing of it is anywhere, and it would be refused again
 *   failed   nothing of it is anywhere; another try may fare better
 *   unknown  not known yet: ask again */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "exchange.h"
#include "order.h"

/* An order that is not decided by then is aborted; a question to another service, and the wait for
 * a saga's end, are shorter. Who places orders waits longer than all of it. */
enum { THREADS = 4, ORDER_MS = 8000, QUESTION_MS = 3000 };

struct worker {
    struct troth *troth;
    struct database database;
    struct exchange_line payments, inventory;
};

/* ---- answers ------------------------------------------------------------------------------- */

static char *answer_with(const char *status, const struct troth_result *result)
{
    return troth_json("{\"status\": %s, \"id\": %s, \"code\": %s, \"message\": %s}", status,
                      result->id, result->problem.code, result->problem.message);
}

/* What Troth says when an order is begun, or committed, as an answer. */
static char *answer_of(const struct troth_result *result)
{
    struct problem problem = {0};
    switch (result->status) {
    case TROTH_OK:
        return answer_with("placed", result);
    case TROTH_ABORTED:
        problem_of_troth(&problem, result);
        return answer_with(problem.passing ? "failed" : "refused", result);
    case TROTH_REFUSED: /* key_conflict: by another protocol, say */
        return answer_with(result->problem.passing ? "failed" : "refused", result);
    case TROTH_UNAVAILABLE:
        return answer_with("failed", result);
    case TROTH_UNKNOWN:
    case TROTH_HAZARD:
    case TROTH_PENDING:
        break;
    }
    return answer_with("unknown", result);
}

/* Of a saga that has begun: what was undone stays so, and it goes on when nobody can be asked. */
static char *answer_of_saga(const struct troth_result *result)
{
    return answer_with(result->status == TROTH_OK        ? "placed"
                       : result->status == TROTH_ABORTED ? "refused"
                                                         : "unknown",
                       result);
}

/* There is an order with this id, and it can't be told whether it is this one and stays. */
static char *answer_unknown(struct problem *problem)
{
    char *answer = troth_json("{\"status\": \"unknown\", \"code\": %s, \"message\": %s}",
                              problem->code, problem->message);
    problem_clear(problem);
    return answer;
}

/* ---- a transaction over three services ----------------------------------------------------- */

/* NULL: it is inserted. Otherwise the answer. */
static char *insert_order(PGconn *connection, const struct order *order)
{
    struct problem problem = {0};
    const char *const values[] = {order->id,       order->customer, order->sku,
                                  order->quantity, order->amount,   NULL};
    if (change_one_row(connection,
                       "insert into purchase (order_id, customer, sku, quantity, amount)"
                       " values ($1, $2, $3, $4, $5) on conflict do nothing",
                       values, "id_taken: there is an order with this id", NULL, &problem))
        return NULL;
    /* By an earlier request with this id, most likely, that has just been committed. Who asks once
     * more hears of it. */
    return strcmp(problem.code, "id_taken") == 0 ? answer_unknown(&problem)
                                                 : problem_answer(&problem);
}

/* Asks another service to do its part. request: freed. NULL: it has. Otherwise the answer for who
 * placed the order. */
static char *ask(struct exchange_line *line, char *request)
{
    char *answer = request ? exchange_ask(line, request, QUESTION_MS) : NULL;
    free(request);
    if (!answer)
        return troth_json("{\"status\": \"failed\", \"code\": \"no_answer\", \"message\": %s}",
                          line->address);
    char *status = troth_json_get(answer, "status");
    bool done = status && strcmp(status, "done") == 0;
    free(status);
    if (!done)
        return answer;
    free(answer);
    return NULL;
}

/* All parts of the order, in a transaction that is open. NULL: they are done. */
static char *do_parts(struct worker *worker, struct troth_tx *tx, const struct order *order)
{
    struct problem problem = {0};
    struct troth_result result = {0};
    char *answer = NULL;
    PGconn *connection = database_connection(&worker->database, &problem);
    if (connection && troth_join(tx, connection, "orders", &result) == TROTH_OK)
        answer = insert_order(connection, order);
    else {
        if (connection)
            problem_of_troth(&problem, &result);
        answer = problem_answer(&problem);
    }
    const char *context = troth_tx_context(tx);
    if (!answer)
        answer =
            ask(&worker->inventory,
                troth_json("{\"context\": %s, \"order_id\": %s, \"sku\": %s, \"quantity\": %j}",
                           context, order->id, order->sku, order->quantity));
    if (!answer)
        answer =
            ask(&worker->payments, troth_json("{\"context\": %s, \"order_id\": %s,"
                                              " \"customer\": %s, \"amount\": %j}",
                                              context, order->id, order->customer, order->amount));
    troth_result_clear(&result);
    return answer;
}

/* The id was used before, and that order was placed: was it this one? */
static char *answer_again(struct worker *worker, const struct order *order,
                          const struct troth_result *result)
{
    struct problem problem = {0};
    PGconn *connection = database_connection(&worker->database, &problem);
    const char *const values[] = {order->id,       order->customer, order->sku,
                                  order->quantity, order->amount,   NULL};
    if (connection &&
        change_one_row(connection,
                       "select from purchase where order_id = $1 and customer = $2"
                       " and sku = $3 and quantity = $4 and amount = $5",
                       values, "another_order: this id was used for an order that was another one",
                       NULL, &problem))
        return answer_with("placed", result);
    /* The database is away; or the order is not carried out there yet. */
    return problem.passing || !result->applied ? answer_unknown(&problem)
                                               : problem_answer(&problem);
}

static char *by_transaction(struct worker *worker, const struct order *order)
{
    struct troth_options options = {
        .protocol = strcmp(order->protocol, "3pc") == 0 ? TROTH_3PC : TROTH_2PC,
        .deadline_ms = ORDER_MS,
        .key = order->id,
    };
    struct troth_result result = {0};
    struct troth_tx *tx = NULL;
    char *answer = NULL;
    enum troth_status status = troth_begin(worker->troth, &options, &tx, &result);
    if (status == TROTH_OK && result.repeated)
        answer = answer_again(worker, order, &result);
    else if (status == TROTH_OK)
        answer = do_parts(worker, tx, order);
    if (status == TROTH_OK && !answer)
        troth_commit(tx, &result);
    if (!answer)
        answer = answer_of(&result);
    troth_tx_free(tx); /* aborts it, unless it was committed */
    troth_result_clear(&result);
    return answer;
}

/* ---- a saga -------------------------------------------------------------------------------- */

static char *by_saga(struct worker *worker, const struct order *order)
{
    char *input =
        troth_json("{\"order_id\": %s, \"customer\": %s, \"sku\": %s, \"quantity\": %j,"
                   " \"amount\": %j}",
                   order->id, order->customer, order->sku, order->quantity, order->amount);
    struct troth_result started = {0}, ended = {0};
    char *answer;
    switch (
        troth_saga_start(worker->troth, "place-order", input, order->id, QUESTION_MS, &started)) {
    case TROTH_OK:
        troth_saga_wait(worker->troth, started.id, ORDER_MS, &ended);
        answer = answer_of_saga(&ended);
        break;
    case TROTH_ABORTED: /* an earlier request with this id began it */
        answer = answer_of_saga(&started);
        break;
    default:
        answer = answer_of(&started);
    }
    troth_result_clear(&started);
    troth_result_clear(&ended);
    free(input);
    return answer;
}

/* ---- the process --------------------------------------------------------------------------- */

static char *answer(void *self, const char *request)
{
    struct order order;
    char *text;
    if (!order_read(&order, request))
        text = troth_json("{\"status\": \"refused\", \"code\": \"bad_request\", \"message\": %s}",
                          "an order has request_id, customer, sku, quantity, amount and protocol");
    else if (strcmp(order.protocol, "saga") == 0)
        text = by_saga(self, &order);
    else
        text = by_transaction(self, &order);
    fprintf(stderr, "order-service: order %s: %s\n", order.id ? order.id : "?", text);
    order_free(&order);
    return text;
}

struct words {
    const char *listen, *postgres, *payments, *inventory;
};

static bool read_words(int argc, char **argv, struct words *words)
{
    static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                            {"postgres", required_argument, NULL, 'p'},
                                            {"payments", required_argument, NULL, 'm'},
                                            {"inventory", required_argument, NULL, 'i'},
                                            {0}};
    for (int word; (word = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const char **place = word == 'l'   ? &words->listen
                             : word == 'p' ? &words->postgres
                             : word == 'm' ? &words->payments
                             : word == 'i' ? &words->inventory
                                           : NULL;
        if (!place)
            return false;
        *place = optarg;
    }
    if (words->listen && words->postgres && words->payments && words->inventory && optind == argc)
        return true;
    fprintf(stderr, "usage: order-service --listen tcp://127.0.0.1:PORT --postgres CONNINFO"
                    " --payments ADDRESS --inventory ADDRESS\n");
    return false;
}

/* Answers until SIGTERM or SIGINT, which are blocked in all threads. */
static int run(const struct words *words, struct troth *troth, const sigset_t *ends)
{
    struct worker workers[THREADS];
    void *selves[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.troth = troth,
                                     .database = {.conninfo = words->postgres},
                                     .payments = {words->payments, -1},
                                     .inventory = {words->inventory, -1}};
        selves[i] = &workers[i];
    }
    struct exchange *exchange = exchange_serve(words->listen, answer, THREADS, selves);
    if (!exchange) {
        fprintf(stderr, "order-service: can't listen at %s: %s\n", words->listen, strerror(errno));
        return 1;
    }
    fprintf(stderr, "order-service: answers at %s\n", words->listen);
    int signal;
    sigwait(ends, &signal);
    exchange_close(exchange);
    for (int i = 0; i < THREADS; i++) {
        database_close(&workers[i].database);
        exchange_hang_up(&workers[i].payments);
        exchange_hang_up(&workers[i].inventory);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct words words = {0};
    if (!read_words(argc, argv, &words))
        return 2;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before there are threads */
    struct troth_result result = {0};
    struct troth *troth = troth_open(NULL, &result);
    int status = 2;
    if (troth)
        status = run(&words, troth, &ends);
    else
        fprintf(stderr, "order-service: %s\n", result.problem.message);
    troth_close(troth);
    troth_result_clear(&result);
    return status;
}
