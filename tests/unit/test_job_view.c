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
                            .created_us = API_NONE,
                            .started_us = API_NONE,
                            .finished_us = API_NONE,
                            .deadline_us = API_NONE,
                            .run_at_us = API_NONE,
                            .retry_at_us = API_NONE,
                            .claimed_us = API_NONE,
                            .pulled_us = API_NONE,
                            .container_us = API_NONE,
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

Test(job_view, earlier_attempts_are_a_list_also_when_there_are_none) {
    struct api_job of = job();
    AUTO_JSON json_t *none = job_view(&of);
    cr_expect_eq(json_array_size(json_object_get(none, "earlier_attempts")), 0);
    of.earlier = "[{\"attempt\": 1}]";
    AUTO_JSON json_t *one = job_view(&of);
    const json_t *first = json_array_get(json_object_get(one, "earlier_attempts"), 0);
    cr_expect_eq(json_integer_value(json_object_get(first, "attempt")), 1);
}

static void says(const struct api_job *of, const char *words) {
    AUTO_FREE char *message = job_message(of);
    if (words)
        cr_expect(message && strstr(message, words), "%s: '%s' is not in '%s'", of->status, words,
                  message ? message : "");
    else
        cr_expect_null(message, "%s", of->status);
}

Test(job_view, every_status_but_queued_and_running_says_why) {
    struct api_job of = job();
    for (int status = 0; status < STATUS_COUNT; status++) {
        of.status = status_name((enum status)status);
        bool silent = status == STATUS_QUEUED || status == STATUS_RUNNING;
        /* The other ends have words of their own in their rows. */
        if (silent || !status_is_terminal((enum status)status) || status == STATUS_SUCCEEDED)
            says(&of, silent ? NULL : ".");
    }
    of.status = "preparing";
    of.orchestrator = "host-a";
    says(&of, "host-a is looking for its image");
    of.pulled_us = 1;
    says(&of, "The image is there");
    of.container_us = 2;
    says(&of, "host-a starts it as soon as its services");
    of.message = "its own";
    says(&of, "its own");
    of = job();
    of.status = "retrying";
    of.attempt = 2;
    of.attempt_status = "errored";
    of.reason = "pull_failed";
    of.retry_at_us = 0;
    says(&of, "Attempt 2 ended as errored/pull_failed. The next one begins from 1970-01-01T00:00:00");
}

static bool has_link(const char *status, const char *name) {
    struct api_job of = job();
    of.status = status;
    AUTO_JSON json_t *view = job_view(&of);
    return json_get_string(json_object_get(view, "links"), name);
}

Test(job_view, links_lead_to_what_can_be_done_now) {
    cr_expect(has_link("queued", "cancel") && has_link("running", "cancel") && !has_link("failed", "cancel"));
    cr_expect(!has_link("queued", "extend") && has_link("running", "extend") && !has_link("lost", "extend"));
    cr_expect(!has_link("running", "retry") && has_link("succeeded", "retry") &&
              has_link("canceled", "retry"));
    cr_expect(has_link("queued", "explain") && has_link("failed", "explain"));
}
