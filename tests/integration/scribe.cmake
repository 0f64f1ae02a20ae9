berth_test(NAME test_scribe LABEL integration SOURCES test_scribe.c scribe_world.c USES berth_scribe test_support_pg_all TIMEOUT 300)
