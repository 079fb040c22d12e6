/* An order, as place-order asks for it: a JSON object. */
#ifndef ORDER_H
#define ORDER_H

#include <stdbool.h>

struct order {
    char *id, *customer, *sku, *quantity, *amount, *protocol;
};

/* False: something is missing or makes no sense. To be freed in any case. */
bool order_read(struct order *order, const char *request);
void order_free(struct order *order);

#endif
