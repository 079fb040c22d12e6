#include "tests/real/support/network.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"

struct network {
    int hosts;
    int home, middle; /* namespaces, as descriptors: the test's own, the switch's */
    int spaces[NETWORK_HOSTS];
    char addresses[NETWORK_HOSTS][24];
};

/* ---- namespaces ---------------------------------------------------------------------------- */

static int open_space(void)
{
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* -1: not allowed. */
static int make_space(int home)
{
    if (unshare(CLONE_NEWNET) != 0)
        return -1;
    int space = open_space();
    CHECK(space >= 0 && setns(home, CLONE_NEWNET) == 0);
    return space;
}

static bool make_spaces(struct network *network)
{
    network->middle = make_space(network->home);
    for (int i = 0; i < network->hosts; i++)
        network->spaces[i] = network->middle < 0 ? -1 : make_space(network->home);
    return network->hosts > 0 && network->spaces[network->hosts - 1] >= 0;
}

/* A script of sh in that namespace; true when all of it went well. */
static bool run_in(int space, const char *script)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (setns(space, CLONE_NEWNET) == 0)
            execl("/bin/sh", "sh", "-ec", script, (char *)NULL);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        CHECK(errno == EINTR);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- the switch and its ports -------------------------------------------------------------- */

/* Without 127.0.0.1 and the route that comes with it, loopback addresses are as any others. */
static bool connect_host(struct network *network, int host)
{
    char *script = xasprintf("exec 2>&1\n"
                             "ip link set lo up\n"
                             "ip address del 127.0.0.1/8 dev lo\n"
                             "ip link add eth0 type veth peer name port%d netns /proc/%d/fd/%d\n"
                             "for who in all default eth0; do\n"
                             "  echo 1 >/proc/sys/net/ipv4/conf/$who/route_localnet\n"
                             "done\n"
                             "ip address add %s/24 dev eth0\n"
                             "ip link set eth0 up\n",
                             host, (int)getpid(), network->middle, network->addresses[host]);
    bool done = run_in(network->spaces[host], script);
    free(script);
    return done;
}

/* A bridge for each part that there can be. */
static bool make_bridges(struct network *network)
{
    char *script = xasprintf("exec 2>&1\n"
                             "for part in $(seq 0 %d); do\n"
                             "  ip link add bridge$part type bridge\n"
                             "  ip link set bridge$part up\n"
                             "done\n",
                             network->hosts - 1);
    bool done = run_in(network->middle, script);
    free(script);
    return done;
}

static bool connect_all(struct network *network)
{
    char parts[NETWORK_HOSTS + 1];
    if (!make_bridges(network))
        return false;
    for (int i = 0; i < network->hosts; i++) {
        if (!connect_host(network, i))
            return false;
    }
    memset(parts, '0', (size_t)network->hosts);
    parts[network->hosts] = '\0';
    network_split(network, parts);
    return true;
}

struct network *network_open(int hosts, const char **why)
{
    CHECK(hosts <= NETWORK_HOSTS);
    struct network *network = xcalloc(1, sizeof(*network));
    network->hosts = hosts;
    network->home = open_space();
    network->middle = -1;
    for (int i = 0; i < NETWORK_HOSTS; i++)
        network->spaces[i] = -1;
    for (int i = 0; i < hosts; i++)
        snprintf(network->addresses[i], sizeof(network->addresses[0]), "127.99.0.%d", i + 1);
    *why = NULL;
    if (system("command -v ip >/dev/null") != 0)
        *why = "the command ip is missing (package iproute2)";
    else if (network->home < 0 || !make_spaces(network))
        *why = "no right to make network namespaces";
    else if (!connect_all(network))
        *why = "no right to configure a network namespace";
    if (!*why)
        return network;
    network_close(network);
    return NULL;
}

static void close_space(int space)
{
    if (space >= 0)
        close(space);
}

void network_close(struct network *network)
{
    close_space(network->home);
    close_space(network->middle);
    for (int i = 0; i < NETWORK_HOSTS; i++)
        close_space(network->spaces[i]);
    free(network);
}

const char *network_address(const struct network *network, int host)
{
    return network->addresses[host];
}

void network_enter(const struct network *network, int host)
{
    CHECK(setns(network->spaces[host], CLONE_NEWNET) == 0);
}

void network_split(struct network *network, const char *parts)
{
    char script[64 * NETWORK_HOSTS];
    int size = 0;
    CHECK(strlen(parts) == (size_t)network->hosts);
    for (int i = 0; i < network->hosts; i++)
        size += snprintf(script + size, sizeof(script) - (size_t)size,
                         "ip link set port%d master bridge%c up\n", i, parts[i]);
    if (!run_in(network->middle, script))
        fail_msg("the network could not be split: %s", parts);
}

/* The sender has the address of a card that nobody has. */
static void set_neighbour(struct network *network, int from, int to, const char *action)
{
    char *script = xasprintf("ip neighbour %s %s dev eth0 lladdr 02:00:00:00:00:01\n", action,
                             network->addresses[to]);
    bool done = run_in(network->spaces[from], script);
    free(script);
    if (!done)
        fail_msg("the neighbour could not be changed: %s", action);
}

void network_block(struct network *network, int from, int to)
{
    set_neighbour(network, from, to, "replace");
}

void network_unblock(struct network *network, int from, int to)
{
    set_neighbour(network, from, to, "delete");
}
