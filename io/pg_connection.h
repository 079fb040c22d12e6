/* One non-blocking connection to PostgreSQL, in pipeline mode once it is ready, on the process's
 * loop. Its owner sends commands and gets one result for each, in order; nobody else reads it.
 *
 * Losing the connection is reported from the loop, never from inside a call of the owner. After a
 * send has failed the other sends do nothing until then. A host name in the conninfo is resolved by
 * libpq, which blocks; numeric addresses and sockets do not. */
#ifndef TROTH_IO_PG_CONNECTION_H
#define TROTH_IO_PG_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/ports.h"

enum pg_connection_state {
    PG_CONNECTION_CLOSED,
    PG_CONNECTION_WAITING,    /* for the time of the next try */
    PG_CONNECTION_CONNECTING, /* libpq's handshake */
    PG_CONNECTION_SETTLING,   /* the session's settings are being made */
    PG_CONNECTION_READY
};

struct pg_connection;

/* What all connections of one database port have in common. Outlives them. */
struct pg_connection_shared {
    uv_loop_t *uv;
    const struct host_port *host;
    char *conninfo;
    char *name;      /* application_name is this and the connection's serial */
    uint64_t serial; /* given to the last connection that was opened; never used twice */
};

struct pg_connection_owner {
    void (*ready)(struct pg_connection *connection);
    /* One command's or Sync's result; borrowed for the call. An error is the server's, with an
     * SQLSTATE, and not the end of the session: that comes as closed. */
    void (*result)(struct pg_connection *connection, PGresult *result);
    /* Not usable any more, or (was_ready false) it could not be made. The owner may retry. */
    void (*closed)(struct pg_connection *connection, bool was_ready, const char *reason);
};

/* For the settings. Another server answers at the same address after a failover, while sessions of
 * the one before may live on. */
#define PG_ASK_SERVER "select extract(epoch from pg_postmaster_start_time())::text as server"

struct pg_connection {
    struct pg_connection_shared *shared;
    const struct pg_connection_owner *owner;
    void *self;           /* the owner's */
    const char *settings; /* SQL that makes the session's settings; outlives the connection */
    enum pg_connection_state state;
    PGconn *handle;
    uv_poll_t *poll;
    int poll_events;
    uv_timer_t *timer; /* of a try, of its time limit, and of a failure to be reported */
    uint64_t serial;
    int backend_pid;
    int outstanding; /* Syncs that are still to come back; a commit that fails with one is a result
                        more than commands */
    bool broken;     /* a failure waits to be reported */
    /* A wait for a synchronous standby was cancelled: what was committed or prepared last may not
     * survive a failover. The owner resets it. */
    bool standby_doubt;
    char server[32];   /* which one it is, where the settings ask (PG_ASK_SERVER) */
    unsigned failures; /* tries in a row that led nowhere */
    uint64_t ready_at_us;
    char reason[512];
    char last_words[256]; /* the server's, when it ended the session */
};

void pg_connection_init(struct pg_connection *connection, struct pg_connection_shared *shared,
                        const struct pg_connection_owner *owner, void *self, const char *settings);
/* Closes without a callback. */
void pg_connection_fini(struct pg_connection *connection);

/* Connects from the loop: soon after the first failure, then 250 ms to 5 s later with jitter. Only
 * when CLOSED; harmless otherwise. */
void pg_connection_open(struct pg_connection *connection);
/* Closes without a callback; open may follow. */
void pg_connection_close(struct pg_connection *connection);
/* Gives the connection up: the loop will close it and tell the owner, with this reason. */
void pg_connection_fail(struct pg_connection *connection, const char *reason);

static inline bool pg_connection_ready(const struct pg_connection *connection)
{
    return connection->state == PG_CONNECTION_READY && !connection->broken;
}

/* Sends, only when READY. Nothing goes out before a sync, but by libpq's own will. */
void pg_connection_query(struct pg_connection *connection, const char *sql, int count,
                         const char *const *values);
void pg_connection_prepare(struct pg_connection *connection, const char *name, const char *sql,
                           int count, const Oid *types);
void pg_connection_execute(struct pg_connection *connection, const char *name, int count,
                           const char *const *values);
void pg_connection_sync(struct pg_connection *connection);

/* libpq keeps in step when the commit of a Sync fails. */
bool pg_connection_tells_of_sync(void);

/* The application_name of a serial; returns buffer. */
enum { PG_NAME_BYTES = 64 };
const char *pg_connection_name(const struct pg_connection_shared *shared, uint64_t serial,
                               char buffer[PG_NAME_BYTES]);

/* The keywords and values for libpq: defaults, then the conninfo, then what Troth insists on. */
enum { PG_PARAMETERS = 10 };
void pg_connection_parameters(const char *conninfo, const char *name,
                              const char *keywords[PG_PARAMETERS],
                              const char *values[PG_PARAMETERS]);
/* False when the text is no conninfo at all. libpq's own words would quote it, password and all. */
bool pg_conninfo_valid(const char *conninfo);
/* It says that a wait for a synchronous standby was cancelled (standby_doubt). */
bool pg_notice_doubts_standby(const PGresult *notice);
/* The first line of libpq's text, without "FATAL:  " and the like; returns buffer. */
const char *pg_first_line(const char *text, char *buffer, int size);

#endif
