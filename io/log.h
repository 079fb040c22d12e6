/* The log: one line an event on stderr, as text or JSON. */
#ifndef TROTH_IO_LOG_H
#define TROTH_IO_LOG_H

#include <stdbool.h>

#include "core/error.h"
#include "core/ports.h"

enum log_format { LOG_TEXT, LOG_JSON };

/* Process-wide; the defaults are LOG_TEXT and LOG_INFO. name: "trothd" ... is not copied. */
void log_setup(const char *name, enum log_format format, enum log_level lowest);
/* Thread-safe; one write(2) a line. text: 2026-11-21T01:02:03.456Z trothd info: ... */
void log_line(enum log_level level, const char *line);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* message, detail and hint as one event. */
void log_error(const struct error *error);
bool log_level_parse(const char *text, enum log_level *level);

#endif
