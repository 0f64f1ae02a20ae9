#include <criterion/criterion.h>
#include <string.h>

#include "base/json.h"
#include "orchestrator/gateway/job_view.h"

static struct api_job job(void) {
    return (struct api_job){.id = "0198e5a0-0000-7000-8000-000000000000",
                            .tenant = "default",
                            .status = "running",
                            .exit_code = API_NONE,
                            .signal = API_NONE,
                            .log_limit = API_NONE};
}

static bool is_truncated(int64_t log_bytes, int64_t stored_bytes, int64_t log_limit) {
    struct api_job of = job();
    of.log_bytes = log_bytes;
    of.stored_bytes = stored_bytes;
    of.log_limit = log_limit;
    AUTO_JSON json_t *view = job_view(&of);
    const json_t *truncated = json_object_get(json_object_get(view, "log"), "truncated");
    cr_assert(json_is_boolean(truncated));
    return json_is_true(truncated);
}

Test(job_view, a_log_is_truncated_when_it_has_passed_its_limit) {
    cr_expect(!is_truncated(0, 0, API_NONE));
    cr_expect(!is_truncated(0, 0, 20));
    cr_expect(!is_truncated(20, 20, 20));
    cr_expect(is_truncated(21, 20, 20));
    /* The tail is cut to its length at the end only, and what was lost is in no row. */
    cr_expect(is_truncated(21, 21, 20));
    cr_expect(!is_truncated(20, 13, 20));
}

Test(job_view, a_stored_document_may_hold_nul) {
    struct api_job of = job();
    of.spec = "{\"image\":\"a\",\"input\":\"x\\u0000y\"}";
    of.labels = "{nonsense";
    AUTO_JSON json_t *view = job_view(&of);
    const json_t *input = json_object_get(json_object_get(view, "spec"), "input");
    cr_assert_eq(json_string_length(input), 3);
    cr_expect_eq(memcmp(json_string_value(input), "x\0y", 3), 0);
    cr_expect_str_eq(json_get_string(view, "labels"), "{nonsense", "what does not parse is shown as it is");
}
