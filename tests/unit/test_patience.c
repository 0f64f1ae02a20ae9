#include <criterion/criterion.h>

#include "runner/patience.h"

#define AWAY_NS (JOB_AWAY_MAX_MS * NS_PER_MS)

Test(patience, ends_without_a_step_forward) {
    struct patience p = {0};
    cr_expect(patience_lasts(&p, 7, 1));
    cr_expect(patience_lasts(&p, 7, AWAY_NS));
    cr_expect_not(patience_lasts(&p, 7, AWAY_NS + 1));
    cr_expect_not(patience_lasts(&p, 7, 2 * AWAY_NS));
}

Test(patience, begins_anew_with_a_step_forward) {
    struct patience p = {0};
    cr_expect(patience_lasts(&p, 0, 1));
    cr_expect(patience_lasts(&p, 1, AWAY_NS + 1), "the engine was there in between");
    cr_expect(patience_lasts(&p, 1, 2 * AWAY_NS));
    cr_expect_not(patience_lasts(&p, 1, 2 * AWAY_NS + 1));
}
