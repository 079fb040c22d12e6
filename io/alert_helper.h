/* The small process that runs the hook's commands (io/alert_hook.h). */
#ifndef TROTH_IO_ALERT_HELPER_H
#define TROTH_IO_ALERT_HELPER_H

#include "io/alert_hook.h"

/* One alert is one datagram: what is told of it in the log, a NUL, and its JSON. */
enum { ALERT_BYTES = 8 * 1024 };

/* Reads alerts from the socket until its end, and ends this process. */
_Noreturn void alert_helper_run(int socket, const struct alert_hook_config *config);

#endif
