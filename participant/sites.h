/* Who holds the registers of a three-phase transaction: its participants' names and addresses, as
 * they come with PREPARE and lie in troth.register, one text:
 *
 *   orders=tcp://127.0.0.1:7411,payments=tcp://127.0.0.1:7412
 *
 * The n-th, from 0, is site n + 1 and branch n; site 0 is the coordinator, which the gtrid names.
 * Read strictly: a row is never half understood. */
#ifndef TROTH_PARTICIPANT_SITES_H
#define TROTH_PARTICIPANT_SITES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/limits.h"
#include "wire.pb-c.h"

enum { SITES_MOST = LIMIT_SITES - 1 }; /* the coordinator is the other one */

struct site_address {
    const char *name, *address;
};

/* 1 to SITES_MOST names, each once, each with an address that the text can hold. */
bool sites_valid(Wire__Site *const *sites, size_t count);
/* Of valid ones: with the terminating zero. */
size_t sites_text_size(Wire__Site *const *sites, size_t count);
void sites_text(char *text, Wire__Site *const *sites, size_t count);
/* How many such a text names; 0: none. */
int sites_count(const char *text);
/* Cuts the text, which is changed, into list: SITES_MOST of them. Returns how many there are; 0:
 * the text is not what sites_text writes. */
int sites_split(char *text, struct site_address *list);

#endif
