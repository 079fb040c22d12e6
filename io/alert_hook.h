/* The hook of the configuration: a command that is run for each alert, with the alert as one JSON
 * object on its stdin:
 *   {"kind": "hazard", "subject": "shop.c1.5.17", "text": "...", "command": "troth tx explain ...",
 *    "process": "trothd c1", "at": 1795259537.123456}
 *
 * It is started by a small process of its own, forked before any socket exists, because nothing may
 * fork after the first nanomsg socket; so that one has none of them, and not the journal's lock
 * either. It ends when this process does, however that ends. At most 4 commands run at once, each
 * 30 s; an alert that finds 100 waiting is logged and dropped. What a command says on stderr is in
 * the log, its first line, when it fails. */
#ifndef TROTH_IO_ALERT_HOOK_H
#define TROTH_IO_ALERT_HOOK_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/error.h"
#include "core/ports.h"

struct alert_hook;

struct alert_hook_config {
    char *const *command; /* NULL-ended words, run without a shell */
    const char *process;  /* "trothd c1" */
    int limit_ms;         /* of one run; 0: 30 s */
};

/* False: no such program can be run, which only the first alert would tell otherwise. */
bool alert_hook_can_run(const char *program);
/* Forks: call it first of all, but after log_setup. NULL with an error. */
struct alert_hook *alert_hook_start(const struct alert_hook_config *config, struct error *error);
const struct alert_port *alert_hook_port(struct alert_hook *hook);
pid_t alert_hook_process(const struct alert_hook *hook); /* for tests */
/* What runs has 2 s more. NULL is harmless. */
void alert_hook_stop(struct alert_hook *hook);

#endif
