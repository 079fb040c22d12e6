/* What doctor says of clocks. Ids, decisions and promises do not depend on them; how long rows are
 * kept, and believed to be kept, does. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/doctor.h"
#include "cli/print.h"
#include "core/check.h"

#define SECOND_US 1000000ll
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US   (60 * MINUTE_US)

/* At a participant's door nobody measures how long the answer took: a look takes 2 s at most. */
#define LOOK_US (2 * SECOND_US)

static enum level level_of(int64_t off_us)
{
    return off_us > HOUR_US     ? LEVEL_PROBLEM
           : off_us > MINUTE_US ? LEVEL_WARNING
           : off_us > SECOND_US ? LEVEL_INFO
                                : LEVEL_OK;
}

/* us: how far it is ahead; doubt_us: or up to so much less. The certain part counts. */
static enum level check_clock(struct findings *findings, int64_t us, int64_t doubt_us,
                              const char *whose, const char *than)
{
    time_text age;
    int64_t off_us = (us < 0 ? -us : us) - doubt_us;
    enum level level = level_of(off_us);
    if (level == LEVEL_OK)
        return level;
    found(findings, level,
          level == LEVEL_INFO ? "run NTP on both machines"
                              : "set it, and run NTP: rows of troth.barrier and troth.register are "
                                "kept for seven days by one clock and believed for half of that by "
                                "another, so days apart may undo what others rely on",
          "its %s is %s %s the %s", whose, age_format(age, off_us), us < 0 ? "behind" : "ahead of",
          than);
    return level;
}

/* The answer came half a round trip after it was given, as far as anybody knows. */
static enum level check_both(struct findings *findings, const Wire__Testimony *testimony)
{
    int64_t half_us = (int64_t)(testimony->round_trip_us / 2);
    int64_t then_us = testimony->heard_us - half_us;
    enum level agent = LEVEL_OK, database = LEVEL_OK;
    if (testimony->agent_us)
        agent = check_clock(findings, testimony->agent_us - then_us, half_us, "machine's clock",
                            "coordinator's");
    if (testimony->database_us)
        database = check_clock(findings, testimony->database_us - then_us, half_us,
                               "database's clock", "coordinator's");
    return agent > database ? agent : database;
}

void check_clocks(struct findings *findings, const struct checkup *checkup)
{
    const Wire__Answer *answer = checkup->diagnosis;
    enum level worst = LEVEL_OK;
    size_t heard = 0;
    for (size_t i = 0; answer && i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        enum level level = LEVEL_OK;
        if (!testimony->agent_us)
            continue;
        heard++;
        findings_about(findings, "participant %.32s", testimony->participant);
        if (testimony->heard_us)
            level = check_both(findings, testimony);
        else if (testimony->database_us)
            level = check_clock(findings, testimony->database_us - testimony->agent_us, LOOK_US,
                                "database's clock", "participant's own");
        worst = level > worst ? level : worst;
    }
    findings_about(findings, "clocks");
    if (heard > 0 && worst == LEVEL_OK)
        found(findings, LEVEL_OK, "", "differ by less than a second, as far as can be measured");
}
