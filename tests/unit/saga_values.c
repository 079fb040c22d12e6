/* The small parts of a saga: digests, times, pauses, the values that it is started with. */
#include "tests/unit/saga_kit.h"

#include "saga/digest.h"
#include "saga/duration.h"
#include "saga/input.h"
#include "saga/instant.h"
#include "saga/retry.h"

/* The examples of FIPS 180-4 and others, made by sha256sum. */
static void digests_are_sha_256(void **state)
{
    (void)state;
    static const struct {
        const char *text, *digest;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    digest_text text;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct digest digest = digest_of(cases[i].text, strlen(cases[i].text));
        assert_string_equal(digest_format(text, &digest), cases[i].digest);
    }
    char *million = xmalloc(1000000);
    memset(million, 'a', 1000000);
    struct digest digest = digest_of(million, 1000000);
    assert_string_equal(digest_format(text, &digest),
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    /* Around the edge where the length needs a block of its own. */
    digest = digest_of(million, 55);
    assert_string_equal(digest_format(text, &digest),
                        "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    digest = digest_of(million, 56);
    assert_string_equal(digest_format(text, &digest),
                        "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
    digest = digest_of(million, 64);
    assert_string_equal(digest_format(text, &digest),
                        "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    free(million);
}

static void times_are_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-21T01:02:03Z", 1795222923000000},
        {"2026-11-21T01:02:03.5Z", 1795222923500000},
        {"2026-11-21T01:02:03.1234567Z", 1795222923123456},
        {"2026-11-21T03:02:03+02:00", 1795222923000000},
        {"2026-11-20t22:32:03-02:30", 1795222923000000},
        {"2024-02-29T00:00:00z", 1709164800000000},
        {"1969-12-31T23:59:59Z", -1000000},
        {"0001-01-01T00:00:00Z", -62135596800000000},
        {"9999-12-31T23:59:59Z", 253402300799000000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us = 1;
        assert_true(instant_parse(cases[i].text, strlen(cases[i].text), &us));
        assert_int_equal(us, cases[i].us);
    }
    static const char *const wrong[] = {"",
                                        "2026",
                                        "2026-11-21",
                                        "2026-11-21T01:02:03",
                                        "2026-13-21T01:02:03Z",
                                        "2023-02-29T01:02:03Z",
                                        "2026-11-21T24:02:03Z",
                                        "2026-11-21 01:02:03Z",
                                        "2026-11-21T01:02:03.Z",
                                        "2026-11-21T01:02:03+2:00",
                                        "2026-11-21T01:02:03Zx",
                                        "26-11-21T01:02:03Z"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int64_t us;
        if (instant_parse(wrong[i], strlen(wrong[i]), &us))
            fail_msg("\"%s\" was taken for a time", wrong[i]);
    }
}

static void pauses_grow_to_their_most(void **state)
{
    (void)state;
    struct saga_retry retry = {5, 100, 1000, 2500, 0};
    static const uint64_t expected[] = {100, 250, 625, 1000, 1000};
    for (int i = 0; i < 5; i++)
        assert_int_equal(saga_retry_pause(&retry, i + 1, 12345), expected[i]);
    retry.factor_permille = 1000;
    assert_int_equal(saga_retry_pause(&retry, 1000000000, 0), 100);
    struct saga_retry century = {0, 3153600000000000, 3153600000000000, 100000, 1000};
    assert_true(saga_retry_pause(&century, 1000, UINT64_MAX) <= 2 * century.max_us);
}

static void chance_stays_within_its_bounds_and_reaches_them(void **state)
{
    (void)state;
    struct saga_retry retry = {5, 10000, 10000, 1000, 200};
    uint64_t least = UINT64_MAX, most = 0;
    for (uint64_t random = 0; random < 10000; random++) {
        uint64_t pause = saga_retry_pause(&retry, 1, random);
        least = pause < least ? pause : least;
        most = pause > most ? pause : most;
    }
    assert_int_equal(least, 8000);
    assert_int_equal(most, 12000);
}

static void durations_are_told_in_the_largest_unit(void **state)
{
    (void)state;
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {{0, "0us"},           {250, "250us"},       {1500000, "1500ms"},
                 {90000000, "90s"},    {300000000, "5m"},    {129600000000, "36h"},
                 {604800000000, "7d"}, {3600000000ull, "1h"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        duration_text text;
        assert_string_equal(duration_format(text, cases[i].us), cases[i].text);
    }
}

/* ---- inputs --------------------------------------------------------------------------------- */

static struct saga_plan *plan_with_inputs(void)
{
    return kit_plan("saga: order\nversion: 1\n"
                    "input:\n"
                    "  id: string\n"
                    "  amount: number\n"
                    "  quantity: {type: integer, default: 1}\n"
                    "  gift: {type: boolean, default: false}\n"
                    "  note: {type: any, default: {text: \"\", lines: [1.50]}}\n"
                    "steps: [{name: a, call: p.q, with: \"${ .input }\", compensate: none}]\n");
}

static void inputs_keep_their_digits_and_get_their_defaults(void **state)
{
    (void)state;
    struct saga_plan *plan = plan_with_inputs();
    struct error error = {0};
    static const char given[] =
        "{\"amount\": 12345678901234567.890, \"id\": \"o-1\", \"gift\": true}";
    char *complete = saga_input_complete(plan, given, strlen(given), &error);
    assert_non_null(complete);
    assert_string_equal(complete, "{\"id\":\"o-1\",\"amount\":12345678901234567.890,\"quantity\":1,"
                                  "\"gift\":true,\"note\":{\"text\":\"\",\"lines\":[1.50]}}");
    char *again = saga_input_complete(plan, complete, strlen(complete), &error);
    assert_string_equal(again, complete);
    free(again);
    free(complete);
    saga_plan_free(plan);
}

static void wrong_inputs_are_told_all_at_once(void **state)
{
    (void)state;
    struct saga_plan *plan = plan_with_inputs();
    struct error error = {0};
    static const char given[] = "{\"amont\": 1, \"quantity\": 1.0, \"gift\": \"yes\", \"zzz\": 1}";
    assert_null(saga_input_complete(plan, given, strlen(given), &error));
    assert_string_equal(error.message, "saga order: 6 mistakes in the input");
    static const char *const parts[] = {"the input \"id\" (string) is missing",
                                        "the input \"amount\" (number) is missing",
                                        "input quantity: expected an integer",
                                        "input gift: expected true or false",
                                        "unknown input \"amont\"; did you mean \"amount\"?",
                                        "unknown input \"zzz\""};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        assert_non_null(strstr(error.detail, parts[i]));
    assert_null(saga_input_complete(plan, "[1]", 3, &error));
    assert_string_equal(error.message, "expected a JSON object of the inputs of order");
    assert_null(saga_input_complete(plan, "{", 1, &error));
    assert_non_null(strstr(error.message, "not valid JSON"));
    char *large = xmalloc(LIMIT_SAGA_VALUE_BYTES + 100);
    int size = sprintf(large, "{\"amount\": 1, \"id\": \"");
    memset(large + size, 'x', LIMIT_SAGA_VALUE_BYTES);
    strcpy(large + size + LIMIT_SAGA_VALUE_BYTES, "\"}");
    assert_null(saga_input_complete(plan, large, strlen(large), &error));
    assert_string_equal(error.message, "the input of order is larger than 32 KiB");
    free(large);
    saga_plan_free(plan);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_sha_256),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(pauses_grow_to_their_most),
        cmocka_unit_test(chance_stays_within_its_bounds_and_reaches_them),
        cmocka_unit_test(durations_are_told_in_the_largest_unit),
        cmocka_unit_test(inputs_keep_their_digits_and_get_their_defaults),
        cmocka_unit_test(wrong_inputs_are_told_all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
