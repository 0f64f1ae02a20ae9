#!/bin/sh
# lint_planted.sh: whether lint.sh sees what it is for. Plants one violation of each rule, and what only looks like
# one, in a directory of its own.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir -p base proto runner/init runner/docker orchestrator/db orchestrator/supervisor client tests/unit docs

for call in sprintf vsprintf strcpy strcat strtok atoi atol gets signal system sleep usleep nanosleep alloca rand; do
    printf 'int a;\nint b = %s(1);\n' $call >"base/banned_$call.c"
    echo "base/banned_$call.c:2: banned function"
done >expected
plant() { # FILE LINE FINDING
    printf '%s\n' "$2" >"$1"
    echo "$1:1: $3" >>expected
}
plant tests/unit/test_nap.c '    usleep(1000);' 'banned function'
plant base/thread.c '#include <pthread.h>' thread
plant runner/pull.c 'if (fork() == 0)' 'fork outside spawn.c and init'
plant runner/shell.c 'FILE *f = popen(line, "r");' 'fork outside spawn.c and init'
plant client/main.c 'char *home = getenv("HOME");' 'environment read outside base/config'
plant client/main_quiet.c 'char *home = secure_getenv("HOME");' 'environment read outside base/config'
plant proto/when.c 'return time(NULL);' 'clock asked outside base/clock'
plant runner/when.c 'clock_gettime(CLOCK_REALTIME, &ts);' 'clock asked outside base/clock'
plant orchestrator/select.c 'q("select id from jobs");' 'SQL outside orchestrator/db'
plant orchestrator/update.c 'q("  UPDATE berth.jobs SET a = 1");' 'SQL outside orchestrator/db'
plant orchestrator/insert.c 'q("insert into t values (1)");' 'SQL outside orchestrator/db'
plant orchestrator/delete.c '/* why */ q("delete from t");' 'SQL outside orchestrator/db'
plant client/url.c 'get("/v1.41/containers/json");' 'Engine URL outside runner/docker'
plant client/pull.c 'get("/images/create");' 'Engine URL outside runner/docker'
plant docs/howto.md "see /ho""me/me/berth" 'path of one machine'
plant docs/here.md "see $dir/x" 'path of one machine'
seq 501 | sed 's/.*/int a;/' >base/long.c
echo 'base/long.c:501: 501 lines, at most 500' >>expected

# None of these is one.
cat >base/innocent.c <<'END'
/* sleep(1), getenv("X") and
 * system("x") in a comment */
int x; // fork()
a->signal(1); b.time(2); snprintf(p, n, "sleep(1) \" getenv(2)"); ctx_sleep(1); strtime(1); my_fork(); '"'; runtime(2);
err("you may select one of them, update the settings"); log("listen on it"); char *s = "a/containers";
END
printf 'getenv("X");\n' >base/config_env.c
printf 'clock_gettime(a, b);\n' >base/clock.c
printf 'fork(); clock_gettime(a, b);\n' >runner/init/child.c
printf 'fork();\n' >orchestrator/supervisor/spawn.c
printf 'q("select a from b");\n' >orchestrator/db/jobs.c
printf 'get("/containers/create");\n' >runner/docker/containers.c
printf 'fork(); popen(a, b); q("delete from t"); get("/containers/x");\n' >tests/unit/test_db.c
seq 500 | sed 's/.*/int a;/' >base/short.c
printf 'a home like /ho''me/user is in images\n' >docs/user.md

mv expected "$dir.expected"
trap 'rm -rf "$dir" "$dir.expected" "$dir.found"' EXIT
status=0
"$here/lint.sh" "$dir" >"$dir.found" || status=$?
sort -o "$dir.expected" "$dir.expected"
sort "$dir.found" | diff "$dir.expected" - || { echo "lint.sh does not see what was planted (<) or sees what is none (>)"; exit 1; }
[ "$status" -eq 1 ] || { echo "lint.sh found something and yet ended with $status"; exit 1; }

find "$dir" -type f -delete
"$here/lint.sh" "$dir" || { echo "lint.sh found something in an empty tree"; exit 1; }
