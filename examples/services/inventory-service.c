/* The warehouse. As payment-service.c: a server that reserves goods within the transaction of who
 * asks, and the participant `inventory`, whose operations are C functions. */
#include <stdio.h>
#include <stdlib.h>

#include "service.h"

/* ---- what is done in the database ---------------------------------------------------------- */

static bool reserve(PGconn *connection, const char *order_id, const char *sku, const char *quantity,
                    struct problem *problem)
{
    const char *const goods[] = {sku, quantity, NULL};
    const char *const reserved[] = {order_id, sku, quantity, NULL};
    return change_one_row(connection,
                          "update stock set available = available - $2::integer,"
                          " reserved = reserved + $2::integer"
                          " where sku = $1 and available >= $2::integer",
                          goods, "out_of_stock: there is less than that", NULL, problem) &&
           change_one_row(
               connection, "insert into reservation (order_id, sku, quantity) values ($1, $2, $3)",
               reserved, "not_reserved: nothing is reserved for the order", NULL, problem);
}

static bool release(PGconn *connection, const char *order_id, struct problem *problem)
{
    const char *const values[] = {order_id, NULL};
    return change_one_row(connection,
                          "update stock set available = available + r.quantity,"
                          " reserved = reserved - r.quantity"
                          " from reservation r where r.order_id = $1 and stock.sku = r.sku",
                          values, "not_reserved: nothing is reserved for the order", NULL,
                          problem) &&
           change_one_row(connection, "delete from reservation where order_id = $1", values,
                          "not_reserved: nothing is reserved for the order", NULL, problem);
}

static bool ship(PGconn *connection, const char *order_id, struct problem *problem)
{
    const char *const values[] = {order_id, NULL};
    return change_one_row(connection,
                          "update reservation set shipped_at = now()"
                          " where order_id = $1 and shipped_at is null",
                          values, "not_reserved: nothing is reserved for the order", NULL,
                          problem) &&
           change_one_row(connection,
                          "update stock set reserved = reserved - r.quantity,"
                          " shipped = shipped + r.quantity"
                          " from reservation r where r.order_id = $1 and stock.sku = r.sku",
                          values, "not_reserved: nothing is reserved for the order", NULL, problem);
}

/* ---- operations ---------------------------------------------------------------------------- */

static bool reserve_operation(struct troth_request *request, PGconn *connection, void *self)
{
    (void)self;
    struct problem problem = {0};
    return reserve(connection, troth_argument(request, "order_id"), troth_argument(request, "sku"),
                   troth_argument(request, "quantity"), &problem) ||
           service_refuse(request, &problem);
}

static bool release_operation(struct troth_request *request, PGconn *connection, void *self)
{
    (void)self;
    struct problem problem = {0};
    return release(connection, troth_argument(request, "order_id"), &problem) ||
           service_refuse(request, &problem);
}

static bool ship_operation(struct troth_request *request, PGconn *connection, void *self)
{
    (void)self;
    struct problem problem = {0};
    return ship(connection, troth_argument(request, "order_id"), &problem) ||
           service_refuse(request, &problem);
}

static const struct troth_operation operations[] = {
    {.name = "reserve",
     .parameters = "order_id text, sku text, quantity integer",
     .handler = reserve_operation},
    {.name = "release", .parameters = "order_id text", .handler = release_operation},
    {.name = "ship", .parameters = "order_id text", .handler = ship_operation},
};

/* ---- the server ---------------------------------------------------------------------------- */

/* As in payment-service.c. */
static bool take_part(struct service_worker *worker, const char *context, const char *order_id,
                      const char *sku, const char *quantity, struct problem *problem)
{
    PGconn *connection = database_connection(&worker->database, problem);
    if (!connection)
        return false;
    struct troth_result result = {0};
    struct troth_tx *tx = NULL;
    bool done = false;
    if (troth_tx_resume(worker->troth, context, &tx, &result) != TROTH_OK ||
        troth_join(tx, connection, "inventory", &result) != TROTH_OK)
        problem_of_troth(problem, &result);
    else if (reserve(connection, order_id, sku, quantity, problem)) {
        done = troth_hand_over(tx, connection, &result) == TROTH_OK;
        if (!done)
            problem_of_troth(problem, &result);
    }
    troth_tx_free(tx);
    troth_result_clear(&result);
    return done;
}

static char *answer(void *self, const char *request)
{
    char *context = troth_json_get(request, "context");
    char *order_id = troth_json_get(request, "order_id");
    char *sku = troth_json_get(request, "sku");
    char *quantity = troth_json_get(request, "quantity");
    struct problem problem = {.code = "bad_request"};
    bool done = context && order_id && sku && quantity &&
                take_part(self, context, order_id, sku, quantity, &problem);
    fprintf(stderr, "inventory-service: order %s: %s %s\n", order_id ? order_id : "?",
            done ? "reserved, if it commits" : problem.code, problem.message);
    char *text = done ? troth_json("{\"status\": \"done\"}") : problem_answer(&problem);
    free(context);
    free(order_id);
    free(sku);
    free(quantity);
    return text;
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "inventory-service",
        .operations = operations,
        .operation_count = sizeof(operations) / sizeof(operations[0]),
        .answer = answer,
    };
    return service_main(&service, argc, argv);
}
