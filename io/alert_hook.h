/* The hook of the configuration: a command that is run for each alert, with the alert as one JSON
 * object on its stdin. It is started by a small process of its own, forked before any socket
 * exists, because nothing may fork after the first nanomsg socket. At most 4 run at once, each 30
 * s; an alert that finds 100 waiting is logged and dropped. */
#ifndef TROTH_IO_ALERT_HOOK_H
#define TROTH_IO_ALERT_HOOK_H

#include "core/error.h"
#include "core/ports.h"

struct alert_hook;

/* Forks: call it first of all. command: NULL-ended words, run without a shell. */
struct alert_hook *alert_hook_start(char *const *command, const char *process, struct error *error);
const struct alert_port *alert_hook_port(struct alert_hook *hook);
void alert_hook_stop(struct alert_hook *hook);

#endif
