berth_test(NAME test_pack LABEL unit SOURCES test_pack.c USES berth_scribe)
