/* The payment service. It is two things in one process:
 *
 * - a server, which is asked to charge a customer within a transaction that somebody else has begun
 *   (order-service, by two or three phases): it does so on a connection of its own, and hands over;
 * - the participant `payments`, whose operations are C functions here: steps of sagas use them, and
 *   so may `troth submit`. It also finishes what the server has handed over. */
#include <stdio.h>
#include <stdlib.h>

#include "service.h"

/* ---- what is done in the database ---------------------------------------------------------- */

static bool charge(PGconn *connection, const char *order_id, const char *customer,
                   const char *amount, struct problem *problem)
{
    const char *const payment[] = {customer, amount, NULL};
    const char *const charged[] = {order_id, customer, amount, NULL};
    return change_one_row(connection,
                          "update account set balance = balance - $2::numeric"
                          " where customer = $1 and balance >= $2::numeric",
                          payment, "insufficient_funds: the account has less than that", NULL,
                          problem) &&
           change_one_row(
               connection, "insert into charge (order_id, customer, amount) values ($1, $2, $3)",
               charged, "not_charged: that much was not charged for the order", NULL, problem);
}

static bool refund(PGconn *connection, const char *order_id, const char *amount,
                   struct problem *problem)
{
    const char *const values[] = {order_id, amount, NULL};
    return change_one_row(connection,
                          "update charge set refunded = refunded + $2::numeric"
                          " where order_id = $1 and refunded + $2::numeric <= amount",
                          values, "not_charged: that much was not charged for the order", NULL,
                          problem) &&
           change_one_row(connection,
                          "update account set balance = balance + $2::numeric"
                          " where customer = (select customer from charge where order_id = $1)",
                          values, "no_such_account: there is no such customer", NULL, problem);
}

/* ---- operations ---------------------------------------------------------------------------- */

static bool charge_operation(struct troth_request *request, PGconn *connection, void *self)
{
    (void)self;
    struct problem problem = {0};
    const char *amount = troth_argument(request, "amount");
    if (!charge(connection, troth_argument(request, "order_id"),
                troth_argument(request, "customer"), amount, &problem))
        return service_refuse(request, &problem);
    return service_return(request, troth_json("{\"amount\": %j}", amount));
}

static bool refund_operation(struct troth_request *request, PGconn *connection, void *self)
{
    (void)self;
    struct problem problem = {0};
    return refund(connection, troth_argument(request, "order_id"),
                  troth_argument(request, "amount"), &problem) ||
           service_refuse(request, &problem);
}

static bool quote_operation(struct troth_request *request, PGconn *connection, void *self)
{
    (void)self;
    struct problem problem = {0};
    PGresult *row = NULL;
    const char *const values[] = {troth_argument(request, "customer"),
                                  troth_argument(request, "amount"), NULL};
    if (!change_one_row(connection,
                        "select round($2::numeric * 0.02, 2) from account where customer = $1",
                        values, "no_such_account: there is no such customer", &row, &problem))
        return service_refuse(request, &problem);
    char *result = troth_json("{\"fee\": %j}", PQgetvalue(row, 0, 0));
    PQclear(row);
    return service_return(request, result);
}

/* Those that the sagas of examples/sagas/place-order.yaml need. */
static const struct troth_operation operations[] = {
    {.name = "charge",
     .parameters = "order_id text, customer text, amount numeric",
     .handler = charge_operation},
    {.name = "refund", .parameters = "order_id text, amount numeric", .handler = refund_operation},
    {.name = "quote",
     .parameters = "customer text, amount numeric",
     .read_only = true,
     .handler = quote_operation},
};

/* ---- the server ---------------------------------------------------------------------------- */

/* What the caller wants, inside its transaction. True: done, prepared, and the coordinator knows.
 * A kill at any place here leaves something for the coordinator to abort, or to commit. */
static bool take_part(struct service_worker *worker, const char *context, const char *order_id,
                      const char *customer, const char *amount, struct problem *problem)
{
    PGconn *connection = database_connection(&worker->database, problem);
    if (!connection)
        return false;
    struct troth_result result = {0};
    struct troth_tx *tx = NULL;
    bool done = false;
    if (troth_tx_resume(worker->troth, context, &tx, &result) != TROTH_OK ||
        troth_join(tx, connection, "payments", &result) != TROTH_OK)
        problem_of_troth(problem, &result);
    else if (charge(connection, order_id, customer, amount, problem)) {
        done = troth_hand_over(tx, connection, &result) == TROTH_OK;
        if (!done)
            problem_of_troth(problem, &result);
    }
    troth_tx_free(tx); /* what was not handed over is rolled back, and the transaction aborted */
    troth_result_clear(&result);
    return done;
}

static char *answer(void *self, const char *request)
{
    char *context = troth_json_get(request, "context");
    char *order_id = troth_json_get(request, "order_id");
    char *customer = troth_json_get(request, "customer");
    char *amount = troth_json_get(request, "amount");
    struct problem problem = {.code = "bad_request"};
    bool done = context && order_id && customer && amount &&
                take_part(self, context, order_id, customer, amount, &problem);
    fprintf(stderr, "payment-service: order %s: %s %s\n", order_id ? order_id : "?",
            done ? "charged, if it commits" : problem.code, problem.message);
    char *text = done ? troth_json("{\"status\": \"done\"}") : problem_answer(&problem);
    free(context);
    free(order_id);
    free(customer);
    free(amount);
    return text;
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "payment-service",
        .operations = operations,
        .operation_count = sizeof(operations) / sizeof(operations[0]),
        .answer = answer,
    };
    return service_main(&service, argc, argv);
}
