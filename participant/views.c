#include "participant/agent_private.h"

void view_answer(struct agent *agent, struct peer *peer, const Wire__Query *query)
{
    (void)agent, (void)peer, (void)query;
}
