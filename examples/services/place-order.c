/* Places an order with order-service, and asks again with the same request id until the answer is
 * certain. Exit code: 0 placed; 1 refused; 2 usage; 3 failed: nothing of it is anywhere; 5 not
 * known: ask again with the same --id. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <troth.h>

#include "exchange.h"

/* order-service answers within ANSWER_MS, whatever happens. Between two tries there is a pause; the
 * last one has at least TRY_MS. */
enum { ANSWER_MS = 13000, PAUSE_MS = 200, TRY_MS = 1000 };

struct words {
    const char *at, *by, *id;
    long timeout_s;
    char made_id[33];
    char **order; /* customer, sku, quantity, amount */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool make_id(struct words *words)
{
    uint64_t parts[2];
    if (getrandom(parts, sizeof(parts), 0) != sizeof(parts))
        return false;
    snprintf(words->made_id, sizeof(words->made_id), "%016" PRIx64 "%016" PRIx64, parts[0],
             parts[1]);
    words->id = words->made_id;
    return true;
}

static bool read_words(int argc, char **argv, struct words *words)
{
    static const struct option options[] = {{"at", required_argument, NULL, 'a'},
                                            {"by", required_argument, NULL, 'b'},
                                            {"id", required_argument, NULL, 'i'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {0}};
    *words = (struct words){.by = "2pc", .timeout_s = 20};
    for (int word; (word = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (word == 'a')
            words->at = optarg;
        else if (word == 'b')
            words->by = optarg;
        else if (word == 'i')
            words->id = optarg;
        else if (word == 't')
            words->timeout_s = strtol(optarg, NULL, 10);
        else
            return false;
    }
    words->order = argv + optind;
    if (words->at && words->timeout_s > 0 && words->timeout_s < 3600 && argc - optind == 4)
        return words->id || make_id(words);
    fprintf(stderr, "usage: place-order --at tcp://HOST:PORT [--by 2pc|3pc|saga] [--id REQUEST_ID]"
                    " [--timeout SECONDS] CUSTOMER SKU QUANTITY AMOUNT\n");
    return false;
}

/* Waits a little. False: there is no time for another try. */
static bool pause_before(int64_t end_ms)
{
    if (now_ms() + PAUSE_MS + TRY_MS > end_ms)
        return false;
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    return true;
}

/* What the answer comes to, as exit code. */
static int judge(const char *answer)
{
    static const struct {
        const char *status;
        int code;
    } codes[] = {{"placed", 0}, {"refused", 1}, {"failed", 3}, {"unknown", 5}};
    char *status = troth_json_get(answer, "status");
    int code = 5;
    for (size_t i = 0; status && i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strcmp(status, codes[i].status) == 0)
            code = codes[i].code;
    free(status);
    return code;
}

/* Asks until the answer is certain or the time is over. */
static int place(const struct words *words, const char *request)
{
    struct exchange_line line = {words->at, -1};
    int64_t end = now_ms() + words->timeout_s * 1000;
    char *answer = NULL;
    bool lost = false; /* an answer: a later try that failed does not tell what became of it */
    int code;
    do {
        int64_t left = end - now_ms();
        free(answer);
        answer = exchange_ask(&line, request, left < ANSWER_MS ? (int)left : ANSWER_MS);
        if (!answer)
            fprintf(stderr, "place-order: no answer from %s: %s\n", words->at, strerror(errno));
        code = answer ? judge(answer) : 5;
        lost = lost || code == 5;
    } while (code >= 3 && pause_before(end));
    exchange_hang_up(&line);
    if (!answer || (code == 3 && lost)) {
        code = 5;
        free(answer);
        answer = troth_json("{\"status\": \"unknown\", \"code\": \"no_answer\", \"message\":"
                            " \"what became of it was not told: ask again with the same id\"}");
    }
    printf("%s\n", answer);
    free(answer);
    return code;
}

int main(int argc, char **argv)
{
    struct words words;
    if (!read_words(argc, argv, &words))
        return 2;
    char *request = troth_json(
        "{\"request_id\": %s, \"customer\": %s, \"sku\": %s, \"quantity\": %j,"
        " \"amount\": %j, \"protocol\": %s}",
        words.id, words.order[0], words.order[1], words.order[2], words.order[3], words.by);
    if (!request) {
        fprintf(stderr, "place-order: QUANTITY and AMOUNT are numbers, all else is UTF-8 text\n");
        return 2;
    }
    if (words.id == words.made_id)
        fprintf(stderr, "place-order: --id %s\n", words.id);
    int code = place(&words, request);
    free(request);
    return code;
}
