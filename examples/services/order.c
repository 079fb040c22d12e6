#include "order.h"

#include <stdlib.h>
#include <string.h>
#include <troth.h>

static const char digits[] = "0123456789";

/* As JSON has them, with no more than two digits behind the point. */
static bool is_amount(const char *text)
{
    size_t whole = strspn(text, digits);
    const char *rest = text + whole;
    size_t cents = *rest == '.' ? strspn(rest + 1, digits) : 0;
    return whole >= 1 && whole <= 9 && (text[0] != '0' || whole == 1) &&
           (!*rest || (cents >= 1 && cents <= 2 && !rest[1 + cents]));
}

static bool is_quantity(const char *text)
{
    size_t size = strspn(text, digits);
    return size >= 1 && size <= 6 && !text[size] && text[0] != '0';
}

static bool is_name(const char *text)
{
    return text && text[0] && strlen(text) <= 100;
}

static bool is_protocol(const char *text)
{
    return text &&
           (strcmp(text, "2pc") == 0 || strcmp(text, "3pc") == 0 || strcmp(text, "saga") == 0);
}

bool order_read(struct order *order, const char *request)
{
    *order = (struct order){
        .id = troth_json_get(request, "request_id"),
        .customer = troth_json_get(request, "customer"),
        .sku = troth_json_get(request, "sku"),
        .quantity = troth_json_get(request, "quantity"),
        .amount = troth_json_get(request, "amount"),
        .protocol = troth_json_get(request, "protocol"),
    };
    return is_name(order->id) && is_name(order->customer) && is_name(order->sku) &&
           order->quantity && is_quantity(order->quantity) && order->amount &&
           is_amount(order->amount) && is_protocol(order->protocol);
}

void order_free(struct order *order)
{
    free(order->id);
    free(order->customer);
    free(order->sku);
    free(order->quantity);
    free(order->amount);
    free(order->protocol);
}
