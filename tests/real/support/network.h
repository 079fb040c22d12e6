/* Hosts: a network namespace for each process of a shop, joined by a switch that can be cut into
 * parts. Across a cut nothing arrives in either direction and nobody is told: connections stay as
 * they are, silent. The hosts have loopback addresses, as `security: none` takes no others.
 *
 * The namespaces have no names and no files: the kernel removes them with the last process in them
 * and the test, however that ends. */
#ifndef TROTH_TESTS_REAL_NETWORK_H
#define TROTH_TESTS_REAL_NETWORK_H

struct network;

enum { NETWORK_HOSTS = 8 };

/* NULL when this machine does not allow it, which needs root: *why says what is missing. */
struct network *network_open(int hosts, const char **why);
void network_close(struct network *network);
/* "127.99.0.1" of the first. */
const char *network_address(const struct network *network, int host);
/* In a child, between fork and exec: it lives at that host. */
void network_enter(const struct network *network, int host);
/* One digit a host: those of the same digit hear each other. "0111" cuts the first host off; "0000"
 * heals. */
void network_split(struct network *network, const char *parts);
/* What one host sends to the other is lost, in this direction alone; all else goes on. */
void network_block(struct network *network, int from, int to);
void network_unblock(struct network *network, int from, int to);

#endif
