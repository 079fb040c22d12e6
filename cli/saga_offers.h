/* What the participants of a running coordinator offer, for lint. */
#ifndef TROTH_CLI_SAGA_OFFERS_H
#define TROTH_CLI_SAGA_OFFERS_H

#include "cli/cli.h"
#include "core/error.h"
#include "saga/catalogue.h"

bool saga_offers(const struct options *options, struct catalogue *catalogue, struct error *error);

#endif
