/* The audit log: what a line is, and what a file of them must be.
 *
 * A line is the text of one JSON object. Its hash, the last member, is SHA-256 of all that stands
 * before it in the line, and among that is the hash of the line before.
 *
 * What must hold:
 *  1. What append returned from is durable, as a whole line.
 *  2. A line is one write(2) behind a whole line. What a crash, or a disk that is full, leaves of
 *     one is cut by this process or closed off by the next, which says how much it was.
 *  3. No second process writes to the file: it is locked. */
#include "io/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "core/json.h"
#include "core/limits.h"
#include "io/log.h"

enum { HASH_BYTES = crypto_hash_sha256_BYTES, HASH_TEXT_BYTES = 2 * HASH_BYTES };
_Static_assert(sizeof(((struct audit_facts *)NULL)->last_hash) == HASH_TEXT_BYTES + 1,
               "a hash in hexadecimal");

static const char hash_member[] = ",\"hash\":\"";
static const char line_end[] = "\"}";
enum {
    HASH_MEMBER_BYTES = sizeof(hash_member) - 1,
    LINE_END_BYTES = sizeof(line_end) - 1,
    /* What stands behind the text that is hashed. */
    LINE_REST_BYTES = HASH_MEMBER_BYTES + HASH_TEXT_BYTES + LINE_END_BYTES,
};

typedef char hash_text[HASH_TEXT_BYTES + 1];

struct audit {
    struct audit_port port;
    struct host_port host;
    char *path, *process;
    int fd;
    uint64_t lines; /* whole ones in the file */
    off_t end;      /* behind the last of them */
    hash_text hash; /* of that one; "": there is none */
};

static void hash_of(const char *bytes, size_t size, hash_text out)
{
    unsigned char hash[HASH_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)bytes, size);
    sodium_bin2hex(out, sizeof(hash_text), hash, sizeof(hash));
}

/* ---- reading ------------------------------------------------------------------------------ */

/* What a line says of itself. */
struct link {
    uint64_t number;
    int64_t at_us;
    hash_text hash, previous; /* previous "": it is the first */
    /* It closes off what a crash left of the line in front of it: so many bytes, with this hash. */
    bool closes_torn;
    uint64_t torn_bytes;
    hash_text torn_hash;
};

static bool copy_hash(const struct json *json, hash_text out)
{
    if (!json || json->type != JSON_STRING || json->text_size != HASH_TEXT_BYTES)
        return false;
    memcpy(out, json->text, HASH_TEXT_BYTES + 1);
    return true;
}

static bool read_number(const struct json *json, uint64_t *out)
{
    char *end;
    if (!json || json->type != JSON_NUMBER)
        return false;
    errno = 0;
    *out = strtoull(json->text, &end, 10);
    return errno == 0 && *end == '\0';
}

bool audit_time_parse(const char *text, int64_t *us)
{
    struct tm parts = {0};
    int fraction, size = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ%n", &parts.tm_year, &parts.tm_mon,
               &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &fraction,
               &size) != 7 ||
        size == 0 || text[size])
        return false;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    *us = (int64_t)timegm(&parts) * 1000000 + fraction;
    return true;
}

/* NULL: the members are those of a line. */
static const char *read_members(const struct json *json, struct link *link)
{
    const struct json *previous = json_member(json, "previous");
    const struct json *torn = json_member(json, "torn_bytes");
    if (json->type != JSON_OBJECT)
        return "it is no JSON object";
    if (!read_number(json_member(json, "line"), &link->number))
        return "it has no number";
    const struct json *at = json_member(json, "at");
    if (!at || at->type != JSON_STRING || !audit_time_parse(at->text, &link->at_us))
        return "it has no time";
    link->previous[0] = '\0';
    if (!previous || (previous->type != JSON_NULL && !copy_hash(previous, link->previous)))
        return "it does not name the line before it";
    link->closes_torn = torn != NULL;
    if (torn && (!read_number(torn, &link->torn_bytes) ||
                 !copy_hash(json_member(json, "torn_hash"), link->torn_hash)))
        return "it does not say what it closes off";
    return NULL;
}

/* A line without its newline. NULL: it is sound in itself; else what is wrong with it. */
static const char *read_line(const char *bytes, size_t size, struct link *link)
{
    hash_text hash;
    if (size <= LINE_REST_BYTES)
        return "it is no line of an audit log: too short";
    size_t hashed = size - LINE_REST_BYTES;
    const char *rest = bytes + hashed;
    if (memcmp(rest, hash_member, HASH_MEMBER_BYTES) != 0 ||
        memcmp(bytes + size - LINE_END_BYTES, line_end, LINE_END_BYTES) != 0)
        return "it does not end with its hash";
    hash_of(bytes, hashed, hash);
    memcpy(link->hash, hash, sizeof(hash));
    if (memcmp(rest + HASH_MEMBER_BYTES, hash, HASH_TEXT_BYTES) != 0)
        return "it was changed: its hash is that of another text";
    struct json *json = json_parse(bytes, size, NULL);
    const char *wrong = json ? read_members(json, link) : "it is no JSON";
    json_free(json);
    return wrong;
}

/* ---- verifying ---------------------------------------------------------------------------- */

struct walk {
    FILE *file;
    const char *path;
    struct audit_facts *facts;
    struct error *error;
    uint64_t at; /* number of the line in the file, as an editor counts */
    char *line, *torn;
    size_t room;
    ssize_t size;     /* of the line with its newline */
    size_t torn_size; /* 0: the line before was sound */
    const char *torn_why;
};

static bool broken(struct walk *walk, uint64_t at, const char *why)
{
    error_set(walk->error, ERROR_CORRUPT, "%s: line %" PRIu64 " is not sound", walk->path, at);
    error_detail(walk->error, "%s", why);
    return error_hint(walk->error, "compare with a copy, and with the log of the process, which "
                                   "tells the number and hash of each line");
}

/* Is this sound line the one that must follow? */
static bool follows(struct walk *walk, const struct link *link)
{
    const struct audit_facts *facts = walk->facts;
    hash_text torn;
    if (link->closes_torn != (walk->torn_size > 0))
        return walk->torn_size
                   ? broken(walk, walk->at - 1, walk->torn_why)
                   : broken(walk, walk->at, "it closes off a torn line, and there is none");
    if (link->closes_torn) {
        hash_of(walk->torn, walk->torn_size, torn);
        if (walk->torn_size != link->torn_bytes || strcmp(torn, link->torn_hash) != 0)
            return broken(walk, walk->at - 1,
                          "it was torn by a crash, and was changed since it was closed off");
    }
    if (link->number != facts->lines + 1 || strcmp(link->previous, facts->last_hash) != 0)
        return broken(walk, walk->at,
                      link->number > facts->lines + 1
                          ? "it does not continue the line before it: lines are missing in between"
                          : "it does not continue the line before it: it was moved or doubled");
    return true;
}

static void take(struct audit_facts *facts, const struct link *link)
{
    if (facts->lines++ == 0)
        facts->first_us = link->at_us;
    facts->last_us = link->at_us;
    memcpy(facts->last_hash, link->hash, sizeof(link->hash));
}

/* What is not sound may be torn: the next line says so, or nothing does. */
static bool keep_torn(struct walk *walk, const char *why, size_t size)
{
    if (walk->torn_size)
        return broken(walk, walk->at - 1, walk->torn_why);
    free(walk->torn);
    walk->torn = xmalloc(size + 1);
    memcpy(walk->torn, walk->line, size);
    walk->torn_size = size;
    walk->torn_why = size ? why : "it is empty";
    return size > 0 || broken(walk, walk->at, walk->torn_why);
}

static bool check_line(struct walk *walk, bool (*each)(void *self, const char *line), void *self,
                       bool *stopped)
{
    struct link link;
    size_t size = (size_t)walk->size;
    if (walk->line[size - 1] != '\n')
        return broken(
            walk, walk->at,
            "it is cut short, as by a crash; the next start of the process closes it off");
    const char *wrong = read_line(walk->line, --size, &link);
    if (wrong)
        return keep_torn(walk, wrong, size);
    if (!follows(walk, &link))
        return false;
    walk->torn_size = 0;
    take(walk->facts, &link);
    walk->line[size] = '\0';
    *stopped = each && !each(self, walk->line);
    return true;
}

static bool check_lines(struct walk *walk, bool (*each)(void *self, const char *line), void *self)
{
    bool stopped = false;
    while (!stopped && (walk->size = getline(&walk->line, &walk->room, walk->file)) > 0) {
        walk->at++;
        if (!check_line(walk, each, self, &stopped))
            return false;
    }
    if (ferror(walk->file))
        return error_set(walk->error, ERROR_IO, "cannot read %s: %s", walk->path, strerror(errno));
    if (walk->torn_size)
        return broken(walk, walk->at, walk->torn_why);
    if (walk->at == 0) {
        error_set(walk->error, ERROR_CORRUPT, "%s is empty", walk->path);
        return error_hint(walk->error, "a log begins with a line that says so");
    }
    return true;
}

bool audit_verify(const char *path, struct audit_facts *facts,
                  bool (*each)(void *self, const char *line), void *self, struct error *error)
{
    *facts = (struct audit_facts){0};
    struct walk walk = {.path = path, .facts = facts, .error = error};
    CHECK(sodium_init() >= 0);
    walk.file = fopen(path, "re");
    if (!walk.file) {
        error_set(error, ERROR_IO, "cannot open the audit log %s: %s", path, strerror(errno));
        return error_hint(error, "`audit` of the configuration names the file");
    }
    bool sound = check_lines(&walk, each, self);
    fclose(walk.file);
    free(walk.line);
    free(walk.torn);
    return sound;
}

/* ---- writing ------------------------------------------------------------------------------ */

static bool refuse(const struct audit *audit, const char *what, struct error *error)
{
    int code = errno;
    error_set(error, ERROR_IO, "cannot %s the audit log %s: %s", what, audit->path, strerror(code));
    return error_hint(
        error, code == ENOSPC || code == EDQUOT ? "make room on its file system (df -h)"
               : code == ENOENT || code == ENOTDIR
                   ? "make the directory that it shall lie in, or set `audit`"
               : code == EFBIG ? "it is as large as a file may be here (ulimit -f): move it away"
                               : "give the user of this process write access to it, or set "
                                 "`audit` to another file");
}

/* An order that is not on record must not be carried out, and it may stand there in part. */
static _Noreturn void die(const struct error *error)
{
    log_error(error);
    _exit(1);
}

static void put_time(struct json_writer *writer, int64_t us)
{
    char text[40], whole[30];
    time_t seconds = us / 1000000;
    struct tm parts;
    CHECK(gmtime_r(&seconds, &parts) != NULL);
    strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, sizeof(text), "%s.%06dZ", whole, (int)(us % 1000000));
    json_name(writer, "at");
    json_string(writer, text);
}

static void begin_line(const struct audit *audit, struct json_writer *writer)
{
    json_open(writer, '{');
    json_name(writer, "line");
    json_unsigned(writer, audit->lines + 1);
    put_time(writer, audit->host.wall_us(audit->host.self));
    json_name(writer, "process");
    json_string(writer, audit->process);
}

static void put_given(struct json_writer *writer, const char *name, const char *text)
{
    if (!text)
        return;
    json_name(writer, name);
    json_string(writer, text);
}

/* The members that chain it, and the newline. */
static void end_line(const struct audit *audit, struct json_writer *writer, hash_text hash)
{
    json_name(writer, "previous");
    json_string(writer, audit->hash[0] ? audit->hash : NULL);
    hash_of(writer->text, writer->size, hash);
    json_name(writer, "hash");
    json_string(writer, hash);
    json_close(writer, '}');
}

/* All of it, or nothing stays of it. */
static bool write_whole(struct audit *audit, const char *bytes, size_t size, struct error *error)
{
    ssize_t wrote;
    do
        wrote = write(audit->fd, bytes, size);
    while (wrote < 0 && errno == EINTR);
    if (wrote == (ssize_t)size)
        return true;
    if (wrote >= 0)
        errno = ENOSPC; /* a write to a file is cut short by nothing else than a limit */
    refuse(audit, "write to", error);
    /* If this fails, too, the next start closes it off. */
    return wrote > 0 && ftruncate(audit->fd, audit->end) != 0
               ? error_detail(error, "a part of a line stands at its end")
               : false;
}

/* Writes what the writer holds as a line, with `before` in front of it, and frees the writer. */
static bool put_line(struct audit *audit, const char *before, struct json_writer *writer,
                     struct error *error)
{
    hash_text hash;
    end_line(audit, writer, hash);
    char *text = xasprintf("%s%s\n", before, writer->text);
    size_t size = strlen(text);
    bool done = write_whole(audit, text, size, error);
    /* A crash here: the line may be there, in part, or not. Nothing was done about the order. */
    if (done && fsync(audit->fd) != 0)
        done = refuse(audit, "flush", error);
    free(text);
    json_writer_fini(writer);
    if (!done)
        return false;
    audit->lines++;
    audit->end += (off_t)size;
    memcpy(audit->hash, hash, sizeof(hash));
    /* A copy elsewhere of what the whole file up to here comes to. */
    log_write(LOG_INFO, "audit: line %" PRIu64 " of %s has hash %s", audit->lines, audit->path,
              hash);
    return true;
}

static bool put_beginning(struct audit *audit, struct error *error)
{
    struct json_writer writer = {0};
    begin_line(audit, &writer);
    put_given(&writer, "action", "begin");
    return put_line(audit, "", &writer, error);
}

static bool close_torn(struct audit *audit, const char *torn, size_t size, struct error *error)
{
    struct json_writer writer = {0};
    hash_text hash;
    hash_of(torn, size, hash);
    begin_line(audit, &writer);
    put_given(&writer, "action", "close off a torn line");
    json_name(&writer, "torn_bytes");
    json_unsigned(&writer, size);
    put_given(&writer, "torn_hash", hash);
    log_write(LOG_WARNING, "audit log %s: its last line was cut short, as by a crash: closed off",
              audit->path);
    audit->end += (off_t)size;
    return put_line(audit, "\n", &writer, error);
}

/* ---- opening ------------------------------------------------------------------------------ */

/* All bytes from offset on, a new text. NULL with an error. */
static char *read_from(const struct audit *audit, off_t offset, size_t size, struct error *error)
{
    char *bytes = xmalloc(size + 1);
    for (size_t got = 0; got < size;) {
        ssize_t more = pread(audit->fd, bytes + got, size - got, offset + (off_t)got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0) {
            errno = more < 0 ? errno : EIO;
            refuse(audit, "read", error);
            free(bytes);
            return NULL;
        }
        got += (size_t)more;
    }
    return bytes;
}

static bool last_line_broken(const struct audit *audit, const char *why, struct error *error)
{
    error_set(error, ERROR_CORRUPT, "the last line of the audit log %s is not sound", audit->path);
    error_detail(error, "%s", why);
    return error_hint(error,
                      "troth audit verify %s tells more; moved away it is kept as it is, and a new "
                      "one begins",
                      audit->path);
}

/* Else it is a file of something else. A power loss may leave zeros where the text should be. */
static bool begins_as_line(const char *torn, size_t size)
{
    static const char beginning[] = "{\"line\":";
    size_t shared = size < sizeof(beginning) - 1 ? size : sizeof(beginning) - 1;
    return torn[0] == '\0' || memcmp(torn, beginning, shared) == 0;
}

/* The end of the file: its last whole line, which must be sound, and what is torn behind it. Lines
 * are bounded, as what is in them comes in bounded messages; so this part is enough. */
static bool read_end(struct audit *audit, off_t size, struct error *error)
{
    enum { END_BYTES = 8 * LIMIT_MESSAGE_BYTES }; /* a character becomes six at most */
    off_t from = size > END_BYTES ? size - END_BYTES : 0;
    size_t count = (size_t)(size - from);
    char *bytes = read_from(audit, from, count, error);
    if (!bytes)
        return false;
    const char *newline = memrchr(bytes, '\n', count);
    size_t whole = newline ? (size_t)(newline - bytes) : 0;
    const char *before = newline ? memrchr(bytes, '\n', whole) : NULL;
    const char *line = before ? before + 1 : bytes;
    struct link link;
    const char *wrong = NULL;
    if (newline)
        wrong = read_line(line, (size_t)(newline - line), &link);
    else if (from > 0)
        wrong = "there is no line";
    size_t torn_at = newline ? whole + 1 : 0;
    if (!wrong && torn_at < count && !begins_as_line(bytes + torn_at, count - torn_at))
        wrong = "it is no line of an audit log";
    bool done = !wrong || last_line_broken(audit, wrong, error);
    if (done && newline) {
        audit->lines = link.number;
        memcpy(audit->hash, link.hash, sizeof(link.hash));
    }
    audit->end = from + (off_t)torn_at;
    if (done && torn_at < count)
        done = close_torn(audit, bytes + torn_at, count - torn_at, error);
    free(bytes);
    return done;
}

/* A file is durable once its directory is flushed. */
static bool flush_directory(const struct audit *audit, struct error *error)
{
    char *path = xstrdup(audit->path);
    int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    if (!done)
        refuse(audit, "flush the directory of", error);
    if (fd >= 0)
        close(fd);
    free(path);
    return done;
}

static bool open_file(struct audit *audit, struct error *error)
{
    struct stat facts;
    audit->fd = open(audit->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (audit->fd < 0)
        return refuse(audit, "open", error);
    if (flock(audit->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return refuse(audit, "lock", error);
        error_set(error, ERROR_REFUSED, "the audit log %s is in use by another process",
                  audit->path);
        return error_hint(error, "set `audit` to another file, or stop the other process");
    }
    if (fstat(audit->fd, &facts) != 0)
        return refuse(audit, "read", error);
    if (!S_ISREG(facts.st_mode)) {
        error_set(error, ERROR_IO, "the audit log %s is no plain file", audit->path);
        return error_hint(error, "set `audit` to a file");
    }
    audit->lines = 0;
    audit->end = 0;
    audit->hash[0] = '\0';
    if (facts.st_size > 0)
        return read_end(audit, facts.st_size, error);
    return put_beginning(audit, error) && flush_directory(audit, error);
}

/* Somebody may have moved the file away, to keep it elsewhere: then a new one begins. */
static void begin_anew_if_moved(struct audit *audit)
{
    struct stat ours, named;
    struct error error = {0};
    bool there = stat(audit->path, &named) == 0;
    CHECK(fstat(audit->fd, &ours) == 0);
    if (there && ours.st_dev == named.st_dev && ours.st_ino == named.st_ino)
        return;
    log_write(LOG_INFO, "audit log %s was moved away: a new one begins", audit->path);
    close(audit->fd);
    if (!open_file(audit, &error))
        die(&error);
}

static void append(void *self, const struct audit_entry *entry)
{
    struct audit *audit = self;
    struct error error = {0};
    struct json_writer writer = {0};
    begin_anew_if_moved(audit);
    begin_line(audit, &writer);
    put_given(&writer, "action", entry->action);
    put_given(&writer, "subject", entry->subject);
    put_given(&writer, "stage", entry->stage);
    put_given(&writer, "by", entry->by);
    put_given(&writer, "session", entry->session);
    put_given(&writer, "reason", entry->reason);
    put_given(&writer, "before", entry->before);
    put_given(&writer, "after", entry->after);
    if (!put_line(audit, "", &writer, &error))
        die(&error);
}

struct audit *audit_open(const char *path, const char *process, const struct host_port *host,
                         struct error *error)
{
    CHECK(sodium_init() >= 0);
    /* A limit on the size of files must come back as EFBIG, which is told, not as a signal. */
    signal(SIGXFSZ, SIG_IGN);
    struct audit *audit = xcalloc(1, sizeof(*audit));
    audit->port = (struct audit_port){audit, append};
    audit->host = *host;
    audit->path = xstrdup(path);
    audit->process = xstrdup(process);
    if (open_file(audit, error))
        return audit;
    audit_close(audit);
    return NULL;
}

const struct audit_port *audit_port(struct audit *audit)
{
    return &audit->port;
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    if (audit->fd >= 0)
        close(audit->fd);
    free(audit->path);
    free(audit->process);
    free(audit);
}
