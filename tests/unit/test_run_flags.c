/* What the flags of berth run make of a job. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/run_flags.h"

static int parse(struct run_flags *flags, struct err *err, char **argv) {
    int argc = 0;
    while (argv[argc])
        argc++;
    flags->spec = json_object();
    return run_flags_parse(flags, argc, argv, err);
}

/* The job that the words make, as JSON without blanks, its members sorted. */
#define EXPECT(want, ...)                                                                                    \
    do {                                                                                                     \
        struct run_flags flags = {0};                                                                        \
        struct err err = {0};                                                                                \
        cr_expect_eq(parse(&flags, &err, (char *[]){"run", __VA_ARGS__, NULL}), 0, "%s", err.text);          \
        AUTO_FREE char *got = json_dumps(flags.spec, JSON_COMPACT | JSON_SORT_KEYS);                         \
        cr_expect_str_eq(got, want);                                                                         \
        json_decref(flags.spec);                                                                             \
    } while (0)

#define REFUSE(words, ...)                                                                                   \
    do {                                                                                                     \
        struct run_flags flags = {0};                                                                        \
        struct err err = {0};                                                                                \
        cr_expect_eq(parse(&flags, &err, (char *[]){"run", __VA_ARGS__, NULL}), -1);                         \
        cr_expect_eq(err.kind, ERR_USAGE);                                                                   \
        cr_expect(strstr(err.text, words), "'%s' is not in '%s'", words, err.text);                          \
        json_decref(flags.spec);                                                                             \
    } while (0)

Test(run_flags, image_and_command) {
    EXPECT("{\"image\":\"i\"}", "i");
    EXPECT("{\"command\":[\"echo\",\"-v\",\"a:b\"],\"image\":\"i\"}", "i", "echo", "-v", "a:b");
    REFUSE("IMAGE is missing", "-d");
    REFUSE("--nonsense", "--nonsense", "i");
}

Test(run_flags, plain_values) {
    EXPECT("{\"deadlines\":{\"idle\":\"3m\",\"queue\":\"1h\",\"run\":\"10m\"},\"image\":\"i\"}", "--idle",
           "3m", "--timeout=10m", "--queue-timeout", "1h", "i");
    EXPECT("{\"image\":\"i\",\"network\":\"none\",\"priority\":-5,\"pull\":\"always\"}", "--network", "none",
           "--pull=always", "--priority", "-5", "i");
    EXPECT("{\"image\":\"i\",\"limits\":{\"memory\":\"64m\",\"shm\":\"1g\",\"tmpfs\":{\"/t\":\"8m\"}}}",
           "-m64m", "--shm-size", "1g", "--tmpfs", "/t:size=8m", "i");
    EXPECT("{\"image\":\"i\",\"retry\":{\"delay\":\"2s\",\"max\":3}}", "--retry", "3", "--retry-delay", "2s",
           "i");
    REFUSE("not a number", "--retry", "often", "i");
}

Test(run_flags, volumes) {
    EXPECT("{\"image\":\"i\",\"mounts\":[{\"read_only\":false,\"source\":\"cache\",\"target\":\"/"
           "c\",\"type\":\"volume\"},"
           "{\"read_only\":true,\"source\":\"/srv/data\",\"target\":\"/d\",\"type\":\"bind\"}]}",
           "-v", "cache:/c", "--volume=/srv/data:/d:ro", "i");
    EXPECT("{\"image\":\"i\",\"mounts\":[{\"read_only\":false,\"source\":\"c\",\"target\":\"/"
           "c\",\"type\":\"volume\"}]}",
           "-vc:/c:rw", "i");
    REFUSE("NAME:/where", "-v", "/anonymous", "i");
    REFUSE("NAME:/where", "-v", "./here:/there", "i");
    REFUSE("NAME:/where", "-v", ":/there", "i");
    REFUSE("ro or rw", "-v", "a:/b:Z", "i");
}

Test(run_flags, mounts) {
    EXPECT("{\"image\":\"i\",\"mounts\":[{\"read_only\":true,\"source\":\"/s\",\"target\":\"/"
           "t\",\"type\":\"bind\"}]}",
           "--mount", "type=bind,src=/s,dst=/t,readonly", "i");
    EXPECT("{\"image\":\"i\",\"mounts\":[{\"source\":\"c\",\"target\":\"/t\",\"type\":\"volume\"}]}",
           "--mount", "source=c,destination=/t", "i");
    EXPECT("{\"image\":\"i\",\"mounts\":[{\"read_only\":false,\"size\":\"4m\",\"target\":\"/"
           "t\",\"type\":\"tmpfs\"}]}",
           "--mount", "type=tmpfs,target=/t,tmpfs-size=4m,ro=false", "i");
    REFUSE("'propagation=shared'", "--mount", "type=bind,src=/s,dst=/t,propagation=shared", "i");
    REFUSE("'target' wants a value", "--mount", "target", "i");
    REFUSE("size=BYTES", "--tmpfs", "/t:ro", "i");
    REFUSE("size=BYTES", "--tmpfs", "/t:size=1m,mode=0700", "i");
}

Test(run_flags, services_and_keys) {
    EXPECT("{\"image\":\"i\",\"services\":[{\"image\":\"postgres:17\",\"name\":\"db\"},"
           "{\"image\":\"r\",\"name\":\"q\",\"ready\":{\"tcp\":6379}}]}",
           "--service", "db=postgres:17", "--service",
           "{\"name\":\"q\",\"image\":\"r\",\"ready\":{\"tcp\":6379}}", "i");
    REFUSE("NAME=IMAGE", "--service", "postgres", "i");
    REFUSE("NAME=IMAGE", "--service", "=postgres", "i");
    REFUSE("NAME=IMAGE", "--service", "db=", "i");
    REFUSE("not JSON", "--service", "{db", "i");
    EXPECT("{\"concurrency\":{\"key\":\"deploy=a\"},\"image\":\"i\"}", "--concurrency", "deploy=a", "i");
    EXPECT("{\"concurrency\":{\"key\":\"k\",\"max\":2,\"on_conflict\":\"reject\"},\"image\":\"i\"}",
           "--concurrency", "k,max=2,on_conflict=reject", "i");
    REFUSE("'most=2'", "--concurrency", "k,most=2", "i");
    REFUSE("'max=2x'", "--concurrency", "k,max=2x", "i");
    REFUSE("'max='", "--concurrency", "k,max=", "i");
}

Test(run_flags, what_is_no_text_is_refused) {
    REFUSE("UTF-8", "-v", "a\xff:/b", "i");
    REFUSE("UTF-8", "--mount", "target=/\xff", "i");
    REFUSE("UTF-8", "--service", "db=\xff", "i");
    REFUSE("UTF-8", "--concurrency", "\xff", "i");
    REFUSE("UTF-8", "\xff");
}
