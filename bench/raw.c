/* The raw limit: two-phase commit over N databases straight through libpq, without a coordinator, a
 * journal or a network of our own. Each of the in-flight transactions has a connection to every
 * database: one pipeline BEGIN, UPDATE, PREPARE TRANSACTION to all at once; when all have answered,
 * COMMIT PREPARED to all at once. Nothing that commits atomically over these databases can be
 * faster in kind; it is what Troth is measured against. It is not safe: a crash between the two
 * leaves prepared transactions that nobody owns. Of sagas: the local transactions of the three
 * steps, each in its database, one after the other; a crash between two leaves the order half done.
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/figures.h"
#include "core/check.h"

struct flight {
    PGconn *connections[8];
    int waiting;    /* databases that have not answered the current phase */
    bool finishing; /* COMMIT PREPARED is out */
    int step;       /* of a saga: the database that works */
    uint64_t started_us;
    char gid[64];
};

static struct bench_options options;
static struct figures figures;
static struct flight *flights;
static uint64_t serial;

static _Noreturn void die(PGconn *connection, const char *what)
{
    fprintf(stderr, "raw: %s: %s", what, PQerrorMessage(connection));
    exit(1);
}

/* By database: as bench/sagas/order.yaml has them. */
static const char *const steps[] = {
    "insert into purchase (amount, account) values ($1, $2)",
    "update bench set balance = balance - $1 where id = $2",
    "update bench set balance = balance - $1 where id = $2",
};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

static PGconn *open_connection(const char *conninfo, const char *work)
{
    PGconn *connection = PQconnectdb(conninfo);
    if (PQstatus(connection) != CONNECTION_OK)
        die(connection, "cannot connect");
    PGresult *result = PQprepare(connection, "work", work, 2, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die(connection, "cannot prepare the work");
    PQclear(result);
    if (PQsetnonblocking(connection, 1) != 0 || !PQenterPipelineMode(connection))
        die(connection, "no pipeline mode");
    return connection;
}

static void send_statement(PGconn *connection, const char *sql)
{
    if (!PQsendQueryParams(connection, sql, 0, NULL, NULL, NULL, NULL, 0))
        die(connection, sql);
}

static void send_work(struct flight *flight, PGconn *connection)
{
    char id[16];
    snprintf(id, sizeof(id), "%d", figures_account((int)(flight - flights), options.in_flight));
    const char *values[] = {"1", id};
    if (!PQsendQueryPrepared(connection, "work", 2, values, NULL, NULL, 0))
        die(connection, "work");
}

static void send_step(struct flight *flight)
{
    PGconn *connection = flight->connections[flight->step];
    flight->waiting = 1;
    send_work(flight, connection);
    if (!PQpipelineSync(connection) || PQflush(connection) < 0)
        die(connection, "flush");
}

static void start(struct flight *flight)
{
    char sql[128];
    flight->started_us = bench_now_us();
    flight->step = 0;
    if (options.sagas) {
        send_step(flight);
        return;
    }
    flight->finishing = false;
    flight->waiting = options.databases;
    snprintf(flight->gid, sizeof(flight->gid), "raw.%d.%llu", getpid(),
             (unsigned long long)serial++);
    for (int i = 0; i < options.databases; i++) {
        PGconn *connection = flight->connections[i];
        send_statement(connection, "BEGIN");
        send_work(flight, connection);
        snprintf(sql, sizeof(sql), "PREPARE TRANSACTION '%s.%d'", flight->gid, i);
        send_statement(connection, sql);
        if (!PQpipelineSync(connection) || PQflush(connection) < 0)
            die(connection, "flush");
    }
}

static void finish(struct flight *flight)
{
    char sql[128];
    flight->finishing = true;
    flight->waiting = options.databases;
    for (int i = 0; i < options.databases; i++) {
        PGconn *connection = flight->connections[i];
        snprintf(sql, sizeof(sql), "COMMIT PREPARED '%s.%d'", flight->gid, i);
        send_statement(connection, sql);
        if (!PQpipelineSync(connection) || PQflush(connection) < 0)
            die(connection, "flush");
    }
}

/* Reads what has come; true when this database's phase is over. */
static bool answered(PGconn *connection)
{
    bool synced = false;
    if (!PQconsumeInput(connection))
        die(connection, "lost connection");
    while (!synced && !PQisBusy(connection)) {
        PGresult *result = PQgetResult(connection);
        if (!result)
            continue;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_PIPELINE_SYNC)
            synced = true;
        else if (status != PGRES_COMMAND_OK)
            die(connection, "a statement failed");
        PQclear(result);
    }
    return synced;
}

/* All databases have answered what was out. False: that was the last of it. */
static bool go_on(struct flight *flight)
{
    if (options.sagas && ++flight->step < STEPS) {
        send_step(flight);
        return true;
    }
    if (options.sagas || flight->finishing)
        return false;
    finish(flight);
    return true;
}

int main(int argc, char **argv)
{
    bench_options_parse(&options, argc, argv);
    if (options.sagas)
        options.databases = STEPS;
    if (options.conninfo_count < options.databases) {
        fprintf(stderr, "raw: %d databases need as many --conninfo\n", options.databases);
        return 2;
    }
    int n = options.in_flight, total = n * options.databases;
    flights = xcalloc((size_t)n, sizeof(*flights));
    struct pollfd *polls = xcalloc((size_t)total, sizeof(*polls));
    for (int i = 0; i < total; i++) {
        struct flight *flight = &flights[i / options.databases];
        int database = i % options.databases;
        flight->connections[database] =
            open_connection(options.conninfos[database], steps[options.sagas ? database : 1]);
        polls[i] = (struct pollfd){.fd = PQsocket(flight->connections[database]), .events = POLLIN};
    }
    uint64_t begun = bench_now_us(), warm = begun + (uint64_t)(options.seconds * 200000),
             end = warm + (uint64_t)(options.seconds * 1000000), now = begun;
    int running = n;
    for (int i = 0; i < n; i++)
        start(&flights[i]);
    while (running > 0) {
        if (poll(polls, (nfds_t)total, 10000) <= 0) {
            fprintf(stderr, "raw: no answer for 10 s\n");
            return 1;
        }
        for (int i = 0; i < total; i++) {
            struct flight *flight = &flights[i / options.databases];
            if (!polls[i].revents || !answered(flight->connections[i % options.databases]) ||
                --flight->waiting > 0)
                continue;
            if (go_on(flight))
                continue;
            now = bench_now_us();
            if (figures.begun_us == 0 && now >= warm)
                figures.begun_us = now;
            else if (now < end)
                figures_add(&figures, flight->started_us, now);
            if (now < end)
                start(flight);
            else
                running--;
        }
    }
    figures_print(&figures, end);
    for (int i = 0; i < total; i++)
        PQfinish(flights[i / options.databases].connections[i % options.databases]);
    free(flights);
    free(polls);
    figures_fini(&figures);
    return 0;
}
