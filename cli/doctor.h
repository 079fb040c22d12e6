/* What the parts of `troth doctor` share: each looks at one kind of answer and says what it found.
 */
#ifndef TROTH_CLI_DOCTOR_H
#define TROTH_CLI_DOCTOR_H

#include "cli/connect.h"
#include "core/json.h"
#include "wire.pb-c.h"

/* Info: nothing is wrong, but somebody may have wanted it otherwise, or must know of it. */
enum level { LEVEL_OK, LEVEL_INFO, LEVEL_WARNING, LEVEL_PROBLEM, LEVELS };

struct finding {
    enum level level;
    char *subject, *text, *hint; /* hint: what to do; "" when nothing is to be done */
};

/* Zeros are none. */
struct findings {
    struct answerer who;
    struct finding *list;
    size_t count, room;
    int counts[LEVELS];
    char subject[80]; /* what the next findings are about */
};

void findings_about(struct findings *findings, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void found(struct findings *findings, enum level level, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Warnings and problems until now. */
int findings_bad(const struct findings *findings);
/* By subject, in the order of their first finding. */
void findings_print(const struct findings *findings);
/* The members findings and well of the open object. */
void findings_json(struct json_writer *writer, const struct findings *findings);
void findings_fini(struct findings *findings);

/* The answers, NULL where there is none. */
struct checkup {
    const Wire__Answer *coordinator, *participants, *in_doubt, *forced, *hazards, *prepared,
        *diagnosis;
};

void check_coordinator(struct findings *findings, const struct checkup *checkup);
void check_participants(struct findings *findings, const struct checkup *checkup);
/* Sessions of participants, where they listen, and whether all are of one version. */
void check_sessions(struct findings *findings, const struct checkup *checkup);
/* Whether somebody answers where participants say that they listen. */
void check_doors(struct findings *findings, const struct checkup *checkup,
                 const struct options *options);
void check_databases(struct findings *findings, const struct checkup *checkup);
void check_clocks(struct findings *findings, const struct checkup *checkup);
void check_prepared(struct findings *findings, const struct checkup *checkup);
void check_transactions(struct findings *findings, const struct checkup *checkup);

/* The view of that participant, or NULL. */
const Wire__ParticipantView *participant_find(const struct checkup *checkup, const char *name);
/* Longer than this in doubt, or without a majority, is no moment any more. */
#define IN_DOUBT_LONG_US (60 * 1000 * 1000ll)

#endif
