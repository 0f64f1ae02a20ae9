/* The engine: a whole call of it is refused before it was sent, or its answer is lost after it took place;
 * and libcurl's own failures. */
#include <curl/curl.h>

#include "torture.h"

static struct {
    CURL *easy; /* of the call that is to fail */
    bool refused;
} engine;

static CURLMsg message;

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy) {
    REAL(curl_multi_add_handle);
    const char *how = torture_now("curl_multi_add_handle", "refused,lost,failed");
    if (torture_is(how, "failed"))
        return CURLM_OUT_OF_MEMORY;
    if (how) {
        engine.easy = easy;
        engine.refused = torture_is(how, "refused");
    }
    return real(multi, easy);
}

CURLMcode curl_multi_perform(CURLM *multi, int *running) {
    REAL(curl_multi_perform);
    if (torture_is(torture_now("curl_multi_perform", "failed"), "failed"))
        return CURLM_OUT_OF_MEMORY;
    if (!engine.easy || !engine.refused)
        return real(multi, running);
    *running = 0;
    return CURLM_OK;
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left) {
    REAL(curl_multi_info_read);
    if (engine.easy && engine.refused) {
        message =
            (CURLMsg){.msg = CURLMSG_DONE, .easy_handle = engine.easy, .data.result = CURLE_COULDNT_CONNECT};
        engine.easy = NULL;
        *left = 0;
        return &message;
    }
    CURLMsg *got = real(multi, left);
    if (!got || !engine.easy || got->easy_handle != engine.easy || got->msg != CURLMSG_DONE)
        return got;
    message = *got;
    message.data.result = CURLE_RECV_ERROR;
    engine.easy = NULL;
    return &message;
}

CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy) {
    REAL(curl_multi_remove_handle);
    if (engine.easy == easy)
        engine.easy = NULL;
    return real(multi, easy);
}

CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd fds[], unsigned n, int ms, int *ready) {
    REAL(curl_multi_poll);
    return torture_now("curl_multi_poll", "failed") ? CURLM_OUT_OF_MEMORY : real(multi, fds, n, ms, ready);
}

CURLcode curl_global_init_mem(long flags, curl_malloc_callback m, curl_free_callback f,
                              curl_realloc_callback r, curl_strdup_callback s, curl_calloc_callback c) {
    REAL(curl_global_init_mem);
    return torture_now("curl_global_init_mem", "failed") ? CURLE_FAILED_INIT : real(flags, m, f, r, s, c);
}
