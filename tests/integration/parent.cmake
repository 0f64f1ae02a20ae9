berth_test(NAME test_claim LABEL integration SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_claim.c
    USES berth_db test_support_pg_all TIMEOUT 120)
