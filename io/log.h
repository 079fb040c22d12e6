/* The log: one line an event on stderr, as text or JSON. */
#ifndef TROTH_IO_LOG_H
#define TROTH_IO_LOG_H

#include <stdbool.h>

#include "core/error.h"
#include "core/ports.h"

enum log_format { LOG_TEXT, LOG_JSON };

/* A program may be started with stdin, stdout or stderr closed. The next file that it opens would
 * then take that place, and text meant for a terminal would go into a journal or to a peer. This
 * fills the places, so that reading and writing there fail as they would have. Before any file is
 * opened; log_setup does it. */
void log_hold_standard_files(void);

/* Process-wide; the defaults are LOG_TEXT and LOG_INFO. name: "trothd" ... is not copied. */
void log_setup(const char *name, enum log_format format, enum log_level lowest);
/* Thread-safe; one write(2) a line. text: 2026-11-21T01:02:03.456Z trothd info: ... */
void log_line(enum log_level level, const char *line);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* message, detail and hint as one event. */
void log_error(const struct error *error);
bool log_level_parse(const char *text, enum log_level *level);

#endif
