/* Slices of systemd, by a systemd that the test plays: it notes what it is asked for. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "runner/limits/limits_parts.h"

#define ATTEMPT "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b.2"
#define PART "0193a1b2c3d47e5f8a6b7c8d9e0f1a2b.2"

static char dir[64], notes[96];
static pid_t manager;
static FILE *file; /* the manager's end of the notes */
static bool exists;

static int note_properties(sd_bus_message *m) {
    const char *name;
    uint64_t number;
    int flag;
    sd_bus_message_enter_container(m, 'a', "(sv)");
    while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
        sd_bus_message_read(m, "s", &name);
        if (strstr(name, "Accounting")) {
            sd_bus_message_read(m, "v", "b", &flag);
            number = (uint64_t)flag;
        } else
            sd_bus_message_read(m, "v", "t", &number);
        fprintf(file, " %s=%llu", name, (unsigned long long)number);
        sd_bus_message_exit_container(m);
    }
    fputc('\n', file);
    return sd_bus_message_exit_container(m);
}

static int on_start(sd_bus_message *m, void *arg, sd_bus_error *error) {
    const char *name, *mode;
    (void)arg;
    sd_bus_message_read(m, "ss", &name, &mode);
    if (exists)
        return sd_bus_error_set(error, "org.freedesktop.systemd1.UnitExists", "there already");
    fprintf(file, "start %s %s", name, mode);
    note_properties(m);
    exists = strstr(name, "berth-known") != NULL;
    return sd_bus_reply_method_return(m, "o", "/job/1");
}

static int on_change(sd_bus_message *m, void *arg, sd_bus_error *error) {
    const char *name;
    int runtime;
    (void)arg, (void)error;
    sd_bus_message_read(m, "sb", &name, &runtime);
    fprintf(file, "change %s %d", name, runtime);
    note_properties(m);
    return sd_bus_reply_method_return(m, NULL);
}

static int on_stop(sd_bus_message *m, void *arg, sd_bus_error *error) {
    const char *name, *mode;
    (void)arg;
    sd_bus_message_read(m, "ss", &name, &mode);
    fprintf(file, "stop %s\n", name);
    return sd_bus_error_set(error, "org.freedesktop.systemd1.NoSuchUnit", "gone by itself");
}

static int on_hello(sd_bus_message *m, void *arg, sd_bus_error *error) {
    (void)arg, (void)error;
    return sd_bus_reply_method_return(m, "s", ":1.1");
}

static const sd_bus_vtable bus_table[] = {
    SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Hello", "", "s", on_hello, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END};
static const sd_bus_vtable manager_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", on_start, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("SetUnitProperties", "sba(sv)", "", on_change, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("StopUnit", "ss", "o", on_stop, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END};

static void serve(int fd) {
    sd_bus *bus = NULL;
    sd_id128_t id;
    sd_id128_randomize(&id);
    sd_bus_new(&bus);
    sd_bus_set_fd(bus, fd, fd);
    sd_bus_set_server(bus, 1, id);
    sd_bus_set_trusted(bus, 1);
    sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/DBus", "org.freedesktop.DBus", bus_table, NULL);
    sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                             manager_table, NULL);
    sd_bus_start(bus);
    for (int rc = 0; rc >= 0;) {
        rc = sd_bus_process(bus, NULL);
        fflush(file);
        if (rc == 0)
            rc = sd_bus_wait(bus, UINT64_MAX);
    }
    sd_bus_close_unref(bus);
}

static void begin(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    AUTO_FREE char *address = NULL;
    snprintf(dir, sizeof dir, "/tmp/slice-test-XXXXXX");
    cr_assert(mkdtemp(dir));
    snprintf(notes, sizeof notes, "%s/notes", dir);
    snprintf(at.sun_path, sizeof at.sun_path, "%s/bus", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(fd, 8), 0);
    address = mem_printf("unix:path=%s", at.sun_path);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
    file = fopen(notes, "we");
    setvbuf(file, NULL, _IOLBF, 0); /* noted before it is answered */
    manager = fork();
    if (manager == 0)
        for (;;)
            serve(accept(fd, NULL, NULL));
    close(fd);
    fclose(file);
}

static void end(void) {
    kill(manager, SIGKILL);
    waitpid(manager, NULL, 0);
    dir_remove_tree(AT_FDCWD, dir, NULL);
}

TestSuite(slice, .init = begin, .fini = end, .timeout = 30);

static void expect_notes(const char *text) {
    AUTO_BUF struct buf seen = BUF(4096);
    cr_assert_eq(file_read(AT_FDCWD, notes, 4096, &seen, NULL), 0);
    cr_expect_str_eq(buf_str(&seen), text);
}

#define LEFT "/sys/fs/cgroup/memory/berth.slice/berth-left.slice/berth-left-" PART ".slice/scope"

/* What the engine has forgotten in it is killed before the slice is stopped. */
Test(slice, that_has_something_left_in_it_is_cleared) {
    struct err err = {0};
    pid_t left = fork();
    if (left == 0)
        for (;;)
            pause();
    cr_assert_eq(dir_make(LEFT, 0755, &err), 0, "%s", err.text);
    FILE *procs = fopen(LEFT "/cgroup.procs", "we");
    fprintf(procs, "%d", (int)left);
    cr_assert_eq(fclose(procs), 0);
    cr_expect_lt(limits_remove("berth-left-" PART ".slice", &err), 0);
    cr_expect_eq(err.kind, ERR_AWAY);
    while (limits_clear("berth-left-" PART ".slice", &err) < 0)
        cr_assert_eq(err.kind, ERR_AWAY, "%s", err.text);
    int status = 0;
    cr_assert_eq(waitpid(left, &status, 0), left);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    expect_notes("stop berth-left-" PART ".slice\n");
    rmdir("/sys/fs/cgroup/memory/berth.slice/berth-left.slice/berth-left-" PART ".slice");
    rmdir("/sys/fs/cgroup/memory/berth.slice/berth-left.slice");
    rmdir("/sys/fs/cgroup/memory/berth.slice");
}

#define ACCOUNTING " MemoryAccounting=1 CPUAccounting=1 TasksAccounting=1"

Test(slice, of_an_instance_is_made_and_then_changed) {
    struct err err = {0};
    char group[LIMITS_GROUP_MAX];
    struct limits_bound bound = {
        .memory_bytes = 1048576, .cpus_milli = 1500, .systemd = true, .instance = "known"};
    cr_assert_eq(limits_setup(&bound, group, &err), 0, "%s", err.text);
    cr_expect_str_eq(group, "berth-known.slice");
    bound.memory_bytes = bound.cpus_milli = 0;
    cr_assert_eq(limits_setup(&bound, group, &err), 0, "%s", err.text);
    long weight = LIMITS_WEIGHT * sysconf(_SC_NPROCESSORS_ONLN);
    AUTO_FREE char *expected =
        mem_printf("start berth-known.slice replace" ACCOUNTING
                   " MemoryMax=1048576 CPUWeight=%ld CPUQuotaPerSecUSec=1500000\n"
                   "change berth-known.slice 1" ACCOUNTING
                   " MemoryMax=18446744073709551615 CPUWeight=%ld CPUQuotaPerSecUSec=18446744073709551615\n",
                   weight, weight);
    expect_notes(expected);
}

Test(slice, of_an_attempt_comes_and_goes) {
    struct err err = {0};
    char parent[LIMITS_GROUP_MAX];
    cr_assert_eq(limits_make("berth-x.slice", ATTEMPT, parent, &err), 0, "%s", err.text);
    cr_expect_str_eq(parent, "berth-x-" PART ".slice");
    cr_expect_eq(limits_remove(parent, &err), 0, "%s", err.text);
    expect_notes("start berth-x-" PART ".slice replace" ACCOUNTING "\nstop berth-x-" PART ".slice\n");
}
