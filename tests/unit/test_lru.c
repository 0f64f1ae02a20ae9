/* Which images go. */
#include <criterion/criterion.h>

#include "orchestrator/reaper/lru.h"

enum { N = 4 };

/* Each of 10 bytes; used at 30, 10, 40 and 20. */
static void fill(struct lru_image images[N]) {
    static const int64_t used[N] = {30, 10, 40, 20};
    for (size_t i = 0; i < N; i++)
        images[i] = (struct lru_image){.used_ns = used[i], .bytes = 10, .tag = i};
}

static bool goes(const struct lru_image images[N], size_t tag) {
    for (size_t i = 0; i < N; i++)
        if (images[i].tag == tag)
            return images[i].goes;
    cr_assert(false, "image %zu is lost", tag);
    return false;
}

Test(lru, nothing_goes_up_to_the_high_mark) {
    struct lru_image images[N];
    fill(images);
    cr_assert_eq(lru_choose(images, N, 40, 0), 0);
    cr_assert(!goes(images, 0) && !goes(images, 1) && !goes(images, 2) && !goes(images, 3));
}

Test(lru, above_it_the_oldest_go_down_to_the_low_mark) {
    struct lru_image images[N];
    fill(images);
    cr_assert_eq(lru_choose(images, N, 39, 20), 2);
    cr_assert(goes(images, 1) && goes(images, 3) && !goes(images, 0) && !goes(images, 2));
    fill(images);
    cr_assert_eq(lru_choose(images, N, 39, 29), 2, "one byte above the low mark is above it");
    fill(images);
    cr_assert_eq(lru_choose(images, N, 39, 30), 1);
    cr_assert(goes(images, 1));
}

Test(lru, wanted_ones_stay_however_old_and_much) {
    struct lru_image images[N];
    fill(images);
    images[1].wanted = images[2].wanted = true;
    cr_assert_eq(lru_choose(images, N, 39, 0), 2);
    cr_assert(!goes(images, 1) && !goes(images, 2) && goes(images, 0) && goes(images, 3));
    fill(images);
    for (size_t i = 0; i < N; i++)
        images[i].wanted = true;
    cr_assert_eq(lru_choose(images, N, 0, 0), 0);
}

Test(lru, of_one_age_the_largest_goes_first) {
    struct lru_image images[N] = {
        {.bytes = 10}, {.bytes = 30, .tag = 1}, {.bytes = 20, .tag = 2}, {.bytes = 5, .tag = 3}};
    cr_assert_eq(lru_choose(images, N, 64, 35), 1);
    cr_assert(goes(images, 1));
}

Test(lru, no_images_are_no_trouble) {
    cr_assert_eq(lru_choose(NULL, 0, 0, 0), 0);
}
