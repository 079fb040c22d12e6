/* The journal port over files: the directory and its lock, the queue of the loop, and the thread
 * that writes it.
 *
 * What must hold:
 *  1. The queue is a list of pieces in order. The loop appends to the last one; the thread takes
 * the first one, and never a checkpoint that is not ended.
 *  2. `durable` grows only after the writer said that everything up to there is on the disk.
 *  3. The thread alone touches the writer, once it runs. */
#include "io/file_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "io/journal_reader.h"
#include "io/journal_writer.h"
#include "io/log.h"

enum {
    /* How long a record that nobody waits for may wait for one that somebody does. */
    LAZY_MS = 100,
    /* A buffer that grew beyond this in a burst is given back. */
    KEEP_BYTES = LIMIT_BATCH_BYTES,
};

static const char lock_name[] = "lock";

/* Encoded records, written together. */
struct piece {
    struct piece *next;
    uint8_t *bytes;
    size_t size, room;
    uint64_t position; /* of its last record */
    bool urgent;
    bool checkpoint;
    bool open; /* a checkpoint that is not ended */
};

/* What the loop may know of the writer, as it was after the last piece. */
struct sizes {
    uint64_t checkpoint_bytes, since_checkpoint_bytes;
    uint64_t total_bytes, segment_count;
    struct journal_counters counters;
};

struct file_journal {
    struct file_journal_events events;
    struct journal_port port;
    uv_async_t *async; /* its own memory: libuv frees handles later than we go */
    char *directory;
    int directory_fd, lock_fd;
    uint64_t segment_bytes; /* as the writer rounded it */
    struct journal_writer writer;

    /* The loop's. */
    uint64_t position; /* of the last record appended */
    uint64_t told;     /* reported to the runner */
    /* What one turn of the loop appends is written together: the thread is woken when the turn is
     * over. Their own memory, like async's. */
    uv_check_t *turn_begins;
    uv_prepare_t *turn_ends;
    bool collecting;  /* between the two */
    bool wake_wanted; /* at the end of the turn */

    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* over what follows */
    pthread_cond_t wake;
    struct piece *first, *last;
    struct piece *spare;        /* one empty piece with its buffer */
    struct timespec lazy_until; /* when the first piece is written though nobody waits */
    bool sleeping;              /* the thread waits for `wake` */
    bool stop;                  /* write what is there, then end */
    bool checkpointing;         /* one is queued or being written */
    uint64_t durable;
    struct sizes sizes;
};

/* ---- the queue ---------------------------------------------------------------------------- */

static void piece_free(struct piece *piece)
{
    if (piece)
        free(piece->bytes);
    free(piece);
}

/* Under the mutex. */
static struct piece *add_piece(struct file_journal *journal)
{
    struct piece *piece = journal->spare ? journal->spare : xcalloc(1, sizeof(*piece));
    journal->spare = NULL;
    *piece = (struct piece){.bytes = piece->bytes, .room = piece->room};
    if (journal->last)
        journal->last->next = piece;
    else
        journal->first = piece;
    journal->last = piece;
    return piece;
}

/* Under the mutex. */
static struct piece *take_piece(struct file_journal *journal)
{
    struct piece *piece = journal->first;
    journal->first = piece->next;
    if (!journal->first)
        journal->last = NULL;
    piece->next = NULL;
    return piece;
}

/* Under the mutex. */
static void give_back(struct file_journal *journal, struct piece *piece)
{
    if (journal->spare || piece->room > KEEP_BYTES)
        piece_free(piece);
    else
        journal->spare = piece;
}

/* Under the mutex. */
static void add_record(struct piece *piece, const void *record, size_t size)
{
    if (piece->room - piece->size < size + JOURNAL_VARINT_BYTES) {
        size_t room = piece->room ? 2 * piece->room : (size_t)LIMIT_RECORD_BYTES;
        while (room - piece->size < size + JOURNAL_VARINT_BYTES)
            room *= 2;
        piece->bytes = xrealloc(piece->bytes, room);
        piece->room = room;
    }
    piece->size += journal_record_begin(piece->bytes + piece->size, size);
    memcpy(piece->bytes + piece->size, record, size);
    piece->size += size;
}

/* Under the mutex. */
static void wake_thread(struct file_journal *journal)
{
    if (journal->sleeping)
        pthread_cond_signal(&journal->wake);
}

/* Likewise. */
static void wake_thread_soon(struct file_journal *journal)
{
    if (journal->collecting)
        journal->wake_wanted = true;
    else
        wake_thread(journal);
}

static void on_turn_begins(uv_check_t *check)
{
    struct file_journal *journal = check->data;
    journal->collecting = true;
}

/* What settles the turn comes after this and wakes by itself. */
static void on_turn_ends(uv_prepare_t *prepare)
{
    struct file_journal *journal = prepare->data;
    journal->collecting = false;
    if (!journal->wake_wanted)
        return;
    journal->wake_wanted = false;
    pthread_mutex_lock(&journal->mutex);
    wake_thread(journal);
    pthread_mutex_unlock(&journal->mutex);
}

static struct timespec after_ms(int ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += ms * 1000000L;
    at.tv_sec += at.tv_nsec / 1000000000L;
    at.tv_nsec %= 1000000000L;
    return at;
}

/* ---- the port ----------------------------------------------------------------------------- */

static uint64_t append(void *self, const void *record, size_t size, bool urgent)
{
    struct file_journal *journal = self;
    CHECK(size > 0 && size <= LIMIT_RECORD_BYTES);
    pthread_mutex_lock(&journal->mutex);
    struct piece *piece = journal->last;
    if (!piece || (piece->checkpoint && !piece->open))
        piece = add_piece(journal);
    /* Only the first piece's time counts: the thread takes what is behind it without waiting. */
    bool first = journal->first == piece && piece->size == 0;
    if (first)
        journal->lazy_until = after_ms(LAZY_MS);
    add_record(piece, record, size);
    piece->position = ++journal->position;
    if (first || (urgent && !piece->urgent)) {
        piece->urgent |= urgent;
        wake_thread_soon(journal);
    }
    pthread_mutex_unlock(&journal->mutex);
    return journal->position;
}

static bool checkpoint_due(void *self)
{
    struct file_journal *journal = self;
    pthread_mutex_lock(&journal->mutex);
    bool checkpointing = journal->checkpointing;
    uint64_t last = journal->sizes.checkpoint_bytes;
    uint64_t since = journal->sizes.since_checkpoint_bytes;
    pthread_mutex_unlock(&journal->mutex);
    uint64_t needed = 2 * last > journal->segment_bytes ? 2 * last : journal->segment_bytes;
    return !checkpointing && since > needed;
}

static void checkpoint_begin(void *self)
{
    struct file_journal *journal = self;
    pthread_mutex_lock(&journal->mutex);
    CHECK(!journal->last || !journal->last->open);
    struct piece *piece = add_piece(journal);
    piece->position = journal->position;
    piece->checkpoint = piece->open = true;
    journal->checkpointing = true;
    pthread_mutex_unlock(&journal->mutex);
}

static void checkpoint_end(void *self)
{
    struct file_journal *journal = self;
    pthread_mutex_lock(&journal->mutex);
    CHECK(journal->last && journal->last->open);
    journal->last->open = false;
    journal->last->urgent = true;
    wake_thread(journal);
    pthread_mutex_unlock(&journal->mutex);
}

/* ---- the thread --------------------------------------------------------------------------- */

/* Under the mutex, by whoever has the writer. */
static void note_sizes(struct file_journal *journal)
{
    const struct journal_writer *writer = &journal->writer;
    journal->sizes = (struct sizes){writer->checkpoint_bytes, writer->since_checkpoint_bytes,
                                    writer->total_bytes, writer->segment_count, writer->counters};
}

/* Waits until the first piece should be written. NULL: nothing is left and the thread must end. */
static struct piece *next_piece(struct file_journal *journal)
{
    for (;;) {
        struct piece *first = journal->first;
        /* What is behind the first piece, a checkpoint, is waited for. */
        if (first && !first->open && (first->urgent || first->next || journal->stop))
            return take_piece(journal);
        if (!first && journal->stop)
            return NULL;
        journal->sleeping = true;
        int code = 0;
        if (first && !first->open)
            code = pthread_cond_timedwait(&journal->wake, &journal->mutex, &journal->lazy_until);
        else
            pthread_cond_wait(&journal->wake, &journal->mutex);
        journal->sleeping = false;
        if (code == ETIMEDOUT && journal->first && !journal->first->open)
            return take_piece(journal);
    }
}

/* The process must not live on: what is on the disk is known again only to a new start. */
static _Noreturn void die(const struct error *error)
{
    log_error(error);
    _exit(1);
}

static void write_piece(struct file_journal *journal, const struct piece *piece)
{
    struct error error = {0};
    bool done = piece->checkpoint
                    ? journal_writer_checkpoint(&journal->writer, piece->bytes, piece->size, &error)
                    : journal_writer_append(&journal->writer, piece->bytes, piece->size, &error);
    if (!done)
        die(&error);
}

static void *run_thread(void *self)
{
    struct file_journal *journal = self;
    pthread_mutex_lock(&journal->mutex);
    for (struct piece *piece; (piece = next_piece(journal)) != NULL;) {
        pthread_mutex_unlock(&journal->mutex);
        write_piece(journal, piece);
        pthread_mutex_lock(&journal->mutex);
        if (piece->checkpoint)
            journal->checkpointing = false;
        CHECK(piece->position >= journal->durable);
        journal->durable = piece->position;
        note_sizes(journal);
        give_back(journal, piece);
        uv_async_send(journal->async);
    }
    pthread_mutex_unlock(&journal->mutex);
    return NULL;
}

/* In the loop. */
static void tell_durable(uv_async_t *async)
{
    struct file_journal *journal = async->data;
    pthread_mutex_lock(&journal->mutex);
    uint64_t durable = journal->durable;
    pthread_mutex_unlock(&journal->mutex);
    if (durable == journal->told)
        return;
    journal->told = durable;
    journal->events.durable(journal->events.self, durable);
}

static void start_thread(struct file_journal *journal)
{
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&journal->wake, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    /* Signals are the loop's; and a file size limit must come back as EFBIG, not as a signal. */
    sigset_t all, before;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    CHECK(pthread_create(&journal->thread, NULL, run_thread, journal) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    journal->running = true;
}

/* ---- opening ------------------------------------------------------------------------------ */

static bool refuse(struct file_journal *journal, int code, const char *what, struct error *error)
{
    error_set(error, ERROR_IO, "cannot %s the journal directory %s: %s", what, journal->directory,
              strerror(code));
    return error_hint(error,
                      code == ENOENT || code == ENOTDIR
                          ? "make the directory that it shall lie in, or set `journal.directory`"
                      : code == ENOSPC || code == EDQUOT
                          ? "make room on its file system (df -h)"
                          : "give the user of this process write access to it, or set "
                            "`journal.directory` to another one");
}

/* A directory is durable once the one above it is flushed. */
static bool flush_parent(struct file_journal *journal, struct error *error)
{
    int fd = openat(journal->directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    int code = errno;
    if (fd >= 0)
        close(fd);
    return done || refuse(journal, code, "flush what holds", error);
}

static bool open_directory(struct file_journal *journal, struct error *error)
{
    bool made = mkdir(journal->directory, 0700) == 0;
    if (!made && errno != EEXIST)
        return refuse(journal, errno, "make", error);
    journal->directory_fd = open(journal->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (journal->directory_fd < 0)
        return refuse(journal, errno, "open", error);
    return !made || flush_parent(journal, error);
}

static bool lock_directory(struct file_journal *journal, struct error *error)
{
    char holder[32] = "";
    journal->lock_fd = openat(journal->directory_fd, lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (journal->lock_fd < 0)
        return refuse(journal, errno, "write to", error);
    if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return refuse(journal, errno, "lock", error);
        ssize_t size = pread(journal->lock_fd, holder, sizeof(holder) - 1, 0);
        holder[size > 0 ? strcspn(holder, "\n") : 0] = '\0';
        error_set(error, ERROR_REFUSED, "the journal %s is in use by another process (pid %s)",
                  journal->directory, holder[0] ? holder : "not known");
        return error_hint(error, "one coordinator runs on a journal: stop the other one, or set "
                                 "`journal.directory` to another directory");
    }
    int size = snprintf(holder, sizeof(holder), "%ld\n", (long)getpid());
    if (ftruncate(journal->lock_fd, 0) != 0 ||
        pwrite(journal->lock_fd, holder, (size_t)size, 0) != size)
        return refuse(journal, errno, "write to", error);
    return true;
}

struct replay {
    const struct file_journal_events *events;
    struct error *error;
};

static bool replay_record(void *self, const struct journal_visit *visit)
{
    struct replay *replay = self;
    return replay->events->replay(replay->events->self, visit->record, visit->size, replay->error);
}

static bool open_log(struct file_journal *journal, const struct file_journal_options *options,
                     struct error *error)
{
    struct replay replay = {&journal->events, error};
    struct journal_report report;
    struct journal_tail tail;
    enum journal_scan result = journal_scan(journal->directory_fd, journal->directory,
                                            replay_record, &replay, &report, &tail, error);
    if (result == JOURNAL_FAILED || result == JOURNAL_STOPPED)
        return false;
    bool done = journal_writer_open(&journal->writer, journal->directory_fd, journal->directory,
                                    options->segment_bytes, result == JOURNAL_EMPTY ? NULL : &tail,
                                    &report, error);
    journal->segment_bytes = journal->writer.segment_bytes;
    note_sizes(journal);
    return done;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void watch_loop(struct file_journal *journal, uv_loop_t *uv)
{
    journal->async = xcalloc(1, sizeof(*journal->async));
    journal->turn_begins = xcalloc(1, sizeof(*journal->turn_begins));
    journal->turn_ends = xcalloc(1, sizeof(*journal->turn_ends));
    journal->async->data = journal->turn_begins->data = journal->turn_ends->data = journal;
    CHECK(uv_async_init(uv, journal->async, tell_durable) == 0);
    CHECK(uv_check_init(uv, journal->turn_begins) == 0);
    CHECK(uv_prepare_init(uv, journal->turn_ends) == 0);
    CHECK(uv_check_start(journal->turn_begins, on_turn_begins) == 0);
    CHECK(uv_prepare_start(journal->turn_ends, on_turn_ends) == 0);
}

struct file_journal *file_journal_open(struct loop *loop,
                                       const struct file_journal_options *options,
                                       const struct file_journal_events *events,
                                       struct error *error)
{
    struct file_journal *journal = xcalloc(1, sizeof(*journal));
    journal->events = *events;
    journal->port =
        (struct journal_port){journal, append, checkpoint_due, checkpoint_begin, checkpoint_end};
    journal->directory = xstrdup(options->directory);
    journal->directory_fd = journal->lock_fd = journal->writer.fd = -1;
    CHECK(pthread_mutex_init(&journal->mutex, NULL) == 0);
    if (!open_directory(journal, error) || !lock_directory(journal, error) ||
        !open_log(journal, options, error)) {
        file_journal_close(journal);
        return NULL;
    }
    watch_loop(journal, loop_uv(loop));
    start_thread(journal);
    return journal;
}

void file_journal_close(struct file_journal *journal)
{
    if (journal->running) {
        pthread_mutex_lock(&journal->mutex);
        CHECK(!journal->last || !journal->last->open);
        journal->stop = true;
        pthread_cond_signal(&journal->wake);
        pthread_mutex_unlock(&journal->mutex);
        CHECK(pthread_join(journal->thread, NULL) == 0);
        CHECK(journal->first == NULL && journal->durable == journal->position);
        pthread_cond_destroy(&journal->wake);
    }
    if (journal->async) {
        uv_close((uv_handle_t *)journal->async, free_handle);
        uv_close((uv_handle_t *)journal->turn_begins, free_handle);
        uv_close((uv_handle_t *)journal->turn_ends, free_handle);
    }
    journal_writer_close(&journal->writer);
    if (journal->lock_fd >= 0)
        close(journal->lock_fd);
    if (journal->directory_fd >= 0)
        close(journal->directory_fd);
    pthread_mutex_destroy(&journal->mutex);
    piece_free(journal->spare);
    free(journal->directory);
    free(journal);
}

const struct journal_port *file_journal_port(struct file_journal *journal)
{
    return &journal->port;
}

void file_journal_counters(struct file_journal *journal, struct journal_counters *counters)
{
    pthread_mutex_lock(&journal->mutex);
    *counters = journal->sizes.counters;
    counters->pending = journal->position - journal->durable;
    pthread_mutex_unlock(&journal->mutex);
}

void file_journal_facts(struct file_journal *journal, uint64_t *bytes, uint64_t *segments,
                        uint64_t *free_bytes)
{
    struct statvfs facts;
    pthread_mutex_lock(&journal->mutex);
    *bytes = journal->sizes.total_bytes;
    *segments = journal->sizes.segment_count;
    pthread_mutex_unlock(&journal->mutex);
    *free_bytes = fstatvfs(journal->directory_fd, &facts) == 0
                      ? (uint64_t)facts.f_bavail * facts.f_frsize
                      : 0;
}
