foreach(name scribe scribe_alone scribe_refused scribe_streams scribe_flood)
    berth_test(NAME test_${name} LABEL integration SOURCES test_${name}.c scribe_world.c USES berth_scribe test_support_pg_all TIMEOUT 300)
endforeach()
