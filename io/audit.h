/* The audit log: one JSON object a line, append-only, each with the hash of the line before it, so
 * that a line that was changed, removed or put in between is found (io/audit_verify).
 * docs/operating.md has the members. Files are opened with O_APPEND and mode 0600; a torn last line
 * of a crash is closed off by the next start with a line that says so. */
#ifndef TROTH_IO_AUDIT_H
#define TROTH_IO_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "core/ports.h"

struct audit;

/* process: "trothd c1", "troth-participant payments". NULL with an error: it can't be opened, or
 * its last line is not sound. */
struct audit *audit_open(const char *path, const char *process, const struct host_port *host,
                         struct error *error);
const struct audit_port *audit_port(struct audit *audit);
void audit_close(struct audit *audit);

struct audit_facts {
    uint64_t lines;
    int64_t first_us, last_us;
    char last_hash[65];
};

/* Blocking. False with an error that names the first line that is not sound, and why. each: called
 * for every sound line, or NULL. */
bool audit_verify(const char *path, struct audit_facts *facts,
                  bool (*each)(void *self, const char *line), void *self, struct error *error);

/* 2026-11-21T01:02:03.456789Z, as `at` of a line. */
bool audit_time_parse(const char *text, int64_t *us);

#endif
