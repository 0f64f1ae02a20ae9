foreach(name claim claim_keys claim_later claim_lost claim_name)
    berth_test(NAME test_${name} LABEL integration TIMEOUT 180
        SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c ${CMAKE_CURRENT_LIST_DIR}/claim_rig.c
        USES berth_db test_support_pg_all)
endforeach()
