/* A record of the journal as a line, for people or as JSON. */
#ifndef TROTH_CLI_JOURNAL_LINE_H
#define TROTH_CLI_JOURNAL_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "journal.pb-c.h"

/* Facts go out as they come: as words of a text line or as members of a JSON object. */
struct line {
    bool as_json;
    struct json_writer json;
};

void line_text(struct line *line, const char *name, const char *text);
void line_number(struct line *line, const char *name, uint64_t number);
void line_flag(struct line *line, const char *name, bool flag);
/* False: a record that this program does not know. */
bool line_record(struct line *line, const Journal__Record *record);

#endif
