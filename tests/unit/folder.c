/* A watched folder, on a real loop and a real file system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"
#include "io/folder.h"

struct watch {
    char path[64];
    struct loop *loop;
    struct folder *folder;
    int told, count;
    size_t size; /* of the last file */
    bool waiting;
    uv_timer_t patience;
};

static void changed(void *self, const struct folder_files *files)
{
    struct watch *watch = self;
    watch->told++;
    watch->count = files->count;
    watch->size = files->count ? files->items[files->count - 1].size : 0;
    if (watch->waiting)
        loop_stop(watch->loop);
}

static void gave_up(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing was told within a minute");
}

static void write_file(const struct watch *watch, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", watch->path, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static void remove_file(const struct watch *watch, const char *name)
{
    char *path = xasprintf("%s/%s", watch->path, name);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void open_watch(struct watch *watch)
{
    *watch = (struct watch){.path = "/tmp/troth-folder-XXXXXX"};
    assert_non_null(mkdtemp(watch->path));
    watch->loop = loop_new();
    assert_int_equal(uv_timer_init(loop_uv(watch->loop), &watch->patience), 0);
    assert_int_equal(uv_timer_start(&watch->patience, gave_up, 60000, 0), 0);
}

static void close_watch(struct watch *watch)
{
    folder_free(watch->folder);
    uv_close((uv_handle_t *)&watch->patience, NULL);
    loop_free(watch->loop);
    assert_int_equal(rmdir(watch->path), 0);
}

static void start_watch(struct watch *watch)
{
    struct folder_events events = {watch, changed};
    watch->folder = folder_watch(watch->loop, watch->path, 100, &events);
}

static void wait_for_change(struct watch *watch)
{
    watch->waiting = true;
    loop_run(watch->loop);
    watch->waiting = false;
}

static void it_is_read_at_once_and_when_it_changes(void **unused)
{
    (void)unused;
    struct watch watch;
    open_watch(&watch);
    write_file(&watch, "a.yaml", "a");
    write_file(&watch, "notes.txt", "no");
    write_file(&watch, ".hidden.yaml", "no");
    start_watch(&watch);
    assert_int_equal(watch.told, 1);
    assert_int_equal(watch.count, 1);
    write_file(&watch, "b.yml", "longer");
    wait_for_change(&watch);
    assert_int_equal(watch.count, 2);
    assert_int_equal(watch.size, 6);
    remove_file(&watch, "b.yml");
    wait_for_change(&watch);
    assert_int_equal(watch.count, 1);
    remove_file(&watch, "a.yaml");
    remove_file(&watch, "notes.txt");
    remove_file(&watch, ".hidden.yaml");
    close_watch(&watch);
}

static void one_that_comes_back_is_read_again(void **unused)
{
    (void)unused;
    struct watch watch;
    open_watch(&watch);
    write_file(&watch, "a.yaml", "a");
    start_watch(&watch);
    remove_file(&watch, "a.yaml");
    assert_int_equal(rmdir(watch.path), 0);
    assert_int_equal(mkdir(watch.path, 0700), 0);
    write_file(&watch, "c.yaml", "back");
    wait_for_change(&watch);
    assert_int_equal(watch.count, 1);
    assert_int_equal(watch.size, 4);
    write_file(&watch, "c.yaml", "and changed");
    wait_for_change(&watch);
    assert_int_equal(watch.size, 11);
    remove_file(&watch, "c.yaml");
    close_watch(&watch);
}

static void one_that_is_not_there_tells_nothing(void **unused)
{
    (void)unused;
    struct watch watch;
    struct folder_files files;
    struct error error = {0};
    open_watch(&watch);
    assert_int_equal(rmdir(watch.path), 0);
    start_watch(&watch);
    assert_int_equal(watch.told, 0);
    assert_false(folder_read(watch.path, 100, &files, &error));
    assert_non_null(strstr(error.message, watch.path));
    assert_int_equal(mkdir(watch.path, 0700), 0);
    wait_for_change(&watch);
    assert_int_equal(watch.told, 1);
    close_watch(&watch);
}

static void what_is_too_large_shows(void **unused)
{
    (void)unused;
    struct watch watch;
    char text[200];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    open_watch(&watch);
    write_file(&watch, "a.yaml", text);
    start_watch(&watch);
    assert_int_equal(watch.size, 101);
    remove_file(&watch, "a.yaml");
    close_watch(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_read_at_once_and_when_it_changes),
        cmocka_unit_test(one_that_comes_back_is_read_again),
        cmocka_unit_test(one_that_is_not_there_tells_nothing),
        cmocka_unit_test(what_is_too_large_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
